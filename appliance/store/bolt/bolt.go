// Package bolt is the store's engine over one BoltDB file. It is the only package that imports bbolt.
//
// It owns the file and its lock: a second process that opens the same file is refused in one sentence. It promises
// what store.DB promises; Updates that come while another is being written to disk are written together after it, so
// that a hundred writers pay for a few syncs, and a lone writer waits for nobody.
//
// OpenFormat takes a file of an older format to the newest by a copy beside it (see there): beside karov.db may lie
// karov.db.migrating, a copy at work, and karov.db.format-N, the file as it was.
//
// It will not set NoSync, but for a copy on which nobody relies until it is synced, nor NoFreelistSync: the first loses
// acknowledged data in a power cut, the second makes opening slower with every customer and was measured to win nothing.
package bolt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

// maxBatch is how many waiting Updates are written together at most, so that one commit stays short.
const maxBatch = 256

// addressSpace is how much of the file is mapped from the start. Only addresses are taken, no memory; but a write that
// has to map more must wait for every reader, and a backup reads for minutes.
const addressSpace = 16 << 30

// DB is an open BoltDB file.
type DB struct {
	bolt *bbolt.DB
	file *os.File // the open file, which keeps the lock
	path string

	mu       sync.Mutex
	waiting  []*request
	writing  bool
	expected int           // how many writers there were around the last commit
	ended    time.Time     // when it ended
	full     chan struct{} // closed when as many wait again; nil where nobody waits for them
}

var _ store.DB = (*DB)(nil)

// Open opens the file, making it where there is none, readable by its owner only. A file that another process holds is
// an Unavailable fault "store.in-use" after a short wait; one that is not a store is Invalid "store.damaged".
func Open(path string) (*DB, error) { return open(path, false) }

// open opens the file. Unsynced is for copies on which nobody relies.
func open(path string, unsynced bool) (*DB, error) {
	d := &DB{path: path}
	var err error
	d.bolt, err = bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:         500 * time.Millisecond,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: addressSpace,
		NoSync:          unsynced,
		NoGrowSync:      unsynced,
		OpenFile: func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
			d.file, err = os.OpenFile(name, flag, mode)
			return d.file, err
		},
	})
	switch {
	case err == nil:
		return d, nil
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fault.Wrap(err, fault.Unavailable, "store.in-use", "path", path)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return nil, fault.Wrap(err, fault.Invalid, "store.damaged", "what", path)
	default:
		return nil, fmt.Errorf("open store %s: %w", path, diskFault(err))
	}
}

// View implements store.DB.
func (d *DB) View(ctx context.Context, fn func(store.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return d.bolt.View(func(btx *bbolt.Tx) error {
		tx := &tx{bolt: btx}
		err := fn(tx)
		if tx.failed != nil {
			return tx.failed
		}
		return err
	})
}

// Copy implements store.DB.
func (d *DB) Copy(ctx context.Context, w io.Writer) (n int64, err error) {
	err = d.bolt.View(func(btx *bbolt.Tx) error {
		n, err = btx.WriteTo(writerUntil{ctx, w})
		return err
	})
	if err != nil && ctx.Err() != nil {
		return n, ctx.Err() // bbolt keeps the words of an error and not the error
	}
	return n, err
}

// Check implements store.DB. It holds the pen meanwhile, since bbolt's checker reads the list of free pages, which a
// writer changes.
func (d *DB) Check(ctx context.Context) error {
	btx, err := d.bolt.Begin(true)
	if err != nil {
		return fmt.Errorf("check store: %w", diskFault(err))
	}
	defer func() { _ = btx.Rollback() }() // nothing was written
	var first error
	for err := range btx.Check() { // drained to the end: bbolt's checker blocks otherwise
		if first == nil {
			first = fault.Wrap(err, fault.Invalid, "store.damaged", "what", d.path)
		}
	}
	return errors.Join(first, ctx.Err())
}

// Size implements store.DB.
func (d *DB) Size() int64 {
	info, err := os.Stat(d.path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// Close implements store.DB.
func (d *DB) Close() error { return d.bolt.Close() }

// diskFault gives errors of a full or broken disk their kind, so that people read what to do.
func diskFault(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return fault.Wrap(err, fault.Unavailable, "disk.full")
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.EROFS):
		return fault.Wrap(err, fault.Unavailable, "disk.broken")
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		return fault.Wrap(err, fault.Unavailable, "store.closed")
	}
	return err
}

// writerUntil stops a long copy when its context ends.
type writerUntil struct {
	ctx context.Context
	w   io.Writer
}

func (w writerUntil) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.w.Write(p)
}

// Engine is the bare engine beneath, for package floor alone: what goes through it is seen by no contract.
func (d *DB) Engine() *bbolt.DB { return d.bolt }
