package bolt

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"go.etcd.io/bbolt"

	"github.com/karov-crm/karov/appliance/fault"
)

const (
	scrubBucket = "store.scrub" // not there but while Scrub runs, or after it was killed
	// scrubPages is how many pages one transaction of Scrub fills, so that others write in between.
	scrubPages = 2048
	// scrubSpare is how many pages more than are free the last one fills: those that it frees itself.
	scrubSpare = 64
	// scrubPatience is how long Scrub waits for a moment in which nobody reads.
	scrubPatience = 10 * time.Second
)

// Scrub makes what was deleted before it was called unreadable in the file. bbolt leaves old bytes on free pages until
// they are used again; Scrub uses all of them and gives them free again, in transactions between which others write.
// It costs writing as much as is free. A reader who began before the deletion, as a backup, holds the old pages: then
// Scrub is an Unavailable fault "store.busy" and has to be called again. It says nothing of other files: copies,
// backups, and blocks that the disk itself has put aside.
//
// An old file that a migration kept (OpenFormat) holds what was deleted since: it goes too, once this one can be read.
func (d *DB) Scrub(ctx context.Context) error {
	if err := (migration{path: d.path, reached: func(string) {}}).confirm(ctx, d); err != nil {
		return err
	}
	return d.scrub(ctx, scrubPatience)
}

func (d *DB) scrub(ctx context.Context, patience time.Duration) error {
	if err := d.stillness(ctx, patience); err != nil {
		return err
	}
	for filled, free := 0, scrubPages; free >= scrubPages; filled += scrubPages {
		if err := ctx.Err(); err != nil {
			return err
		}
		pages, last := scrubPages, false
		err := d.bolt.Update(func(btx *bbolt.Tx) error {
			free = d.freePages()
			if free < scrubPages {
				pages, last = free+scrubSpare, true
			}
			return fill(btx, uint64(filled), pages)
		})
		if err != nil {
			return fmt.Errorf("scrub store: %w", diskFault(err))
		}
		if last {
			break
		}
	}
	err := d.bolt.Update(func(btx *bbolt.Tx) error { return btx.DeleteBucket([]byte(scrubBucket)) })
	if err != nil {
		return fmt.Errorf("end scrubbing: %w", diskFault(err))
	}
	return nil
}

// stillness waits for a moment in which no reader is open: whoever reads later holds none of the old pages.
func (d *DB) stillness(ctx context.Context, patience time.Duration) error {
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		stats := d.bolt.Stats()
		switch {
		case stats.OpenTxN == 0:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Since(began) > patience:
			return fault.New(fault.Unavailable, "store.busy")
		}
	}
}

// freePages is how many pages the running transaction may use again.
func (d *DB) freePages() int {
	stats := d.bolt.Stats()
	return stats.FreePageN + stats.PendingPageN
}

// fill writes so many pages of nothing: two values to a page, so that each takes a single one, wherever it is free.
func fill(btx *bbolt.Tx, from uint64, pages int) error {
	bucket, err := btx.CreateBucketIfNotExists([]byte(scrubBucket))
	if err != nil {
		return err
	}
	nothing := make([]byte, os.Getpagesize()/2-100)
	for n := range uint64(2 * pages) {
		if err := bucket.Put(binary.BigEndian.AppendUint64(nil, 2*from+n), nothing); err != nil {
			return err
		}
	}
	return nil
}
