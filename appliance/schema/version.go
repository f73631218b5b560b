package schema

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

// versionsBucket holds each version under "v" and its number, the newest's number and digest under headKey, and the
// number that the next own field gets under nextKey.
const versionsBucket = "schema.versions"

var (
	headKey = []byte("head")
	nextKey = []byte("next")
)

// Version is one state of the schema and how it came about.
type Version struct {
	Number uint64    `json:"number"`
	At     time.Time `json:"at"`
	By     string    `json:"by"`           // account id
	To     uint64    `json:"to,omitempty"` // the version it went back to, 0 where it did not
	Ops    []Op      `json:"ops,omitempty"`
}

// storedVersion is a version with all that the office added until then.
type storedVersion struct {
	Version
	Layer *layer `json:"layer"`
}

func versionKey(number uint64) []byte { return binary.BigEndian.AppendUint64([]byte("v"), number) }

// headOf names a stored version by its number and its contents.
func headOf(number uint64, raw []byte) []byte {
	sum := sha256.Sum256(raw)
	return append(binary.BigEndian.AppendUint64(nil, number), sum[:16]...)
}

func damaged(err error) error {
	return fault.Wrap(err, fault.Internal, "store.damaged", "what", versionsBucket)
}

// readVersion reads the version that a head names.
func readVersion(tx store.Tx, head []byte) (*storedVersion, error) {
	if len(head) < 8 {
		return nil, damaged(nil)
	}
	number := binary.BigEndian.Uint64(head)
	raw := tx.Bucket(versionsBucket).Get(versionKey(number))
	if raw == nil || !bytes.Equal(head, headOf(number, raw)) {
		return nil, damaged(nil)
	}
	return decodeVersion(raw, number, nextNumber(tx))
}

func decodeVersion(raw []byte, number uint64, next int) (*storedVersion, error) {
	var v storedVersion
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, damaged(err)
	}
	if v.Number != number || number < 2 || v.Layer == nil || !v.Layer.sound(next) {
		return nil, damaged(nil)
	}
	return &v, nil
}

// writeVersion stores a version as the newest and gives its head.
func writeVersion(tx store.Tx, v *storedVersion, next int) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "error.internal")
	}
	bucket, head := tx.Bucket(versionsBucket), headOf(v.Number, raw)
	bucket.Put(versionKey(v.Number), raw)
	bucket.Put(headKey, head)
	bucket.Put(nextKey, binary.BigEndian.AppendUint64(nil, uint64(next)))
	return head, nil
}

// nextNumber is what the next own field gets. It never goes back, so that no number is used twice.
func nextNumber(tx store.Tx) int {
	if raw := tx.Bucket(versionsBucket).Get(nextKey); len(raw) == 8 {
		return int(min(binary.BigEndian.Uint64(raw), 1<<28))
	}
	return FirstCustom
}

// Versions lists the versions below before (0: from the newest), newest first, at most limit of them. Version 1, the
// built-in set, was never made and is not among them. They are for those who may administer the schema.
func (r *Registry) Versions(ctx context.Context, before uint64, limit int) (versions []Version, err error) {
	if err := r.mayChange(ctx); err != nil {
		return nil, err
	}
	from := []byte("v")
	to := store.PrefixEnd(from)
	if before > 0 {
		to = versionKey(before)
	}
	err = r.db.View(ctx, func(tx store.Tx) error {
		versions = nil
		for key, raw := range tx.Bucket(versionsBucket).Scan(from, to, true) {
			if len(versions) == limit {
				break
			}
			if len(key) != 9 {
				return damaged(nil)
			}
			v, err := decodeVersion(raw, binary.BigEndian.Uint64(key[1:]), nextNumber(tx))
			if err != nil {
				return err
			}
			versions = append(versions, v.Version)
		}
		return ctx.Err()
	})
	return versions, err
}
