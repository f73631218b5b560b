package journal

import (
	"context"
	"encoding/binary"

	"github.com/karov-crm/karov/appliance/store"
)

// Follow hands every fact to fn, in order, from the place that the named reader remembered; a new reader begins at the
// present. The place is kept after fn returned nil for a batch, so that after a crash fn may see some facts again. It
// returns when the context ends or fn fails.
func (j *Journal) Follow(ctx context.Context, reader string, fn func(context.Context, Fact) error) error {
	seq, err := j.place(ctx, reader)
	if err != nil {
		return err
	}
	for {
		if err := j.Wait(ctx, seq); err != nil {
			return err
		}
		facts, err := j.After(ctx, seq, 200)
		if err != nil {
			return err
		}
		for _, f := range facts {
			if err := fn(ctx, f); err != nil {
				return err
			}
			seq = f.Seq
		}
		if err := j.remember(ctx, reader, seq); err != nil {
			return err
		}
	}
}

func (j *Journal) place(ctx context.Context, reader string) (seq uint64, err error) {
	known := false
	err = j.db.View(ctx, func(tx store.Tx) error {
		if raw := tx.Bucket(readersBucket).Get([]byte(reader)); len(raw) == 8 {
			seq, known = binary.BigEndian.Uint64(raw), true
		}
		return nil
	})
	if err != nil || known {
		return seq, err
	}
	if seq, err = j.Last(ctx); err != nil {
		return 0, err
	}
	return seq, j.remember(ctx, reader, seq)
}

func (j *Journal) remember(ctx context.Context, reader string, seq uint64) error {
	return j.db.Update(ctx, func(tx store.Tx) error {
		tx.Bucket(readersBucket).Put([]byte(reader), seqKey(seq))
		return nil
	})
}
