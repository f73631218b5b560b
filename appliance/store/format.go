package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strconv"

	"github.com/karov-crm/karov/appliance/fault"
)

// MetaBucket holds what the store says of itself.
const MetaBucket = "store.meta"

var (
	formatKey   = []byte("format")
	identityKey = []byte("identity")
	underwayKey = []byte("migrating") // the format that a migration began to leave, until it is done
)

// Progress hears how far a long work is: done of so many, of 0 where nobody knows.
type Progress func(done, of int64)

// Migration takes the data from one format to the next, in as many transactions as it likes: each should be bounded, so
// that the largest office has memory for it. It works on data that nobody else uses. Interrupted data is thrown away by
// the engine and made anew from what was before, so a Migration need not be able to go on from the middle; it must not
// have an effect on anything but the store.
type Migration func(ctx context.Context, db DB, progress Progress) error

// Newest is the format that a program with these steps writes.
func Newest(steps []Migration) int { return len(steps) + 1 }

// Prepare makes a fresh store format Newest(steps) and takes an older one there: steps[i] leads from format i+1 to i+2.
// A store of a newer format is refused untouched: an older program must not write into it. So is one in which a
// migration was interrupted. An engine that keeps its data in a file migrates a copy of it.
func Prepare(ctx context.Context, db DB, steps []Migration) error {
	return Migrate(ctx, db, steps, func(int, int64, int64) {})
}

// Migrate is Prepare that tells how far each step is, by the format it leads to.
func Migrate(ctx context.Context, db DB, steps []Migration, tell func(format int, done, of int64)) error {
	at, err := Older(ctx, db, steps)
	if err != nil {
		return err
	}
	if at == 0 {
		return db.Update(ctx, func(tx Tx) error { return found(tx, Newest(steps)) })
	}
	for ; at < Newest(steps); at++ {
		if err := mark(ctx, db, underwayKey, at); err != nil {
			return err
		}
		to := at + 1
		if err := steps[at-1](ctx, db, func(done, of int64) { tell(to, done, of) }); err != nil {
			return err
		}
		err := db.Update(ctx, func(tx Tx) error {
			meta := tx.Bucket(MetaBucket)
			meta.Put(formatKey, []byte(strconv.Itoa(to)))
			meta.Delete(underwayKey)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Older gives the format of a store, 0 for an empty one, and refuses one that is newer than the steps lead to or in
// which a migration was interrupted. It writes nothing.
func Older(ctx context.Context, db DB, steps []Migration) (format int, err error) {
	err = db.View(ctx, func(tx Tx) error {
		if tx.Bucket(MetaBucket).Get(underwayKey) != nil {
			return fault.New(fault.Invalid, "store.damaged", "what", "an interrupted migration")
		}
		format, err = readFormat(tx)
		return err
	})
	if err == nil && format > Newest(steps) {
		err = fault.New(fault.Invalid, "store.too-new", "found", format, "known", Newest(steps))
	}
	return format, err
}

func mark(ctx context.Context, db DB, key []byte, format int) error {
	return db.Update(ctx, func(tx Tx) error {
		tx.Bucket(MetaBucket).Put(key, []byte(strconv.Itoa(format)))
		return nil
	})
}

// found makes an empty store one of ours, unless another did meanwhile.
func found(tx Tx, format int) error {
	meta := tx.Bucket(MetaBucket)
	if meta.Get(formatKey) != nil {
		return nil
	}
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return err
	}
	meta.Put(identityKey, []byte(hex.EncodeToString(id)))
	meta.Put(formatKey, []byte(strconv.Itoa(format)))
	return nil
}

// Stamp says of which format data is and which name it has, where it does not say so itself: of a restored store that
// lost it. Data without a format passes for the newest, and would never be migrated.
func Stamp(tx Tx, format int, identity string) {
	meta := tx.Bucket(MetaBucket)
	if meta.Get(formatKey) == nil {
		meta.Put(formatKey, []byte(strconv.Itoa(format)))
	}
	if meta.Get(identityKey) == nil {
		meta.Put(identityKey, []byte(identity))
	}
}

// Identity is the random name the data got when it was made: 32 hex digits. A restored copy keeps it.
func Identity(tx Tx) string { return string(tx.Bucket(MetaBucket).Get(identityKey)) }

// Format is the number of the data's format, 0 for an empty store.
func Format(tx Tx) (int, error) { return readFormat(tx) }

func readFormat(tx Tx) (int, error) {
	raw := tx.Bucket(MetaBucket).Get(formatKey)
	if raw == nil {
		return 0, nil
	}
	n, err := strconv.Atoi(string(raw))
	if err != nil || n < 1 {
		return 0, fault.Wrap(err, fault.Invalid, "store.damaged", "what", MetaBucket)
	}
	return n, nil
}
