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
)

// Migration takes the data from one format to the next, inside the transaction that also writes the new number.
type Migration func(Tx) error

// Prepare makes a fresh store format len(steps)+1 and takes an older one there in a single transaction: steps[i] leads
// from format i+1 to i+2. A store of a newer format is refused untouched: an older program must not write into it.
func Prepare(ctx context.Context, db DB, steps []Migration) error {
	newest := len(steps) + 1
	format := 0
	err := db.View(ctx, func(tx Tx) (err error) {
		format, err = readFormat(tx)
		return err
	})
	if err != nil || format == newest {
		return err
	}
	if format > newest {
		return fault.New(fault.Invalid, "store.too-new", "found", format, "known", newest)
	}
	return db.Update(ctx, func(tx Tx) error {
		at, err := readFormat(tx)
		if err != nil {
			return err
		}
		meta := tx.Bucket(MetaBucket)
		if at == 0 {
			id := make([]byte, 16)
			if _, err := rand.Read(id); err != nil {
				return err
			}
			meta.Put(identityKey, []byte(hex.EncodeToString(id)))
			at = newest
		}
		for ; at < newest; at++ {
			if err := steps[at-1](tx); err != nil {
				return err
			}
		}
		meta.Put(formatKey, []byte(strconv.Itoa(newest)))
		return nil
	})
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
