package record

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/karov-crm/karov/appliance/store"
)

// Now is the book's clock, for rooms that write a moment beside its records.
func (b *Book) Now() time.Time { return b.now() }

// attachedStep is how many records Unattached looks at in one transaction.
const attachedStep = 5000

// Attached lists what a record may refer to in the blob store: every run of 64 hexadecimal digits in its stored bytes,
// in use or in the bin, and in its history, whatever field or room's own data it stands in.
func (b *Book) Attached(tx store.Tx, entity string, id ID) (blobs []string) {
	found := map[string]bool{}
	note := func(hash []byte) {
		if !found[string(hash)] {
			found[string(hash)] = true
			blobs = append(blobs, string(hash))
		}
	}
	runs(tx.Bucket("record."+entity).Get(id[:]), note)
	runs(tx.Bucket(binBucket).Get(binKey(entity, id)), note)
	prefix := shareKey(entity, id, "")
	for _, raw := range tx.Bucket(historyBucket).Scan(prefix, store.PrefixEnd(prefix), false) {
		runs(raw, note)
	}
	return blobs
}

// KeepBlobs says that the values of another bucket than the book's own refer to blobs too, as 64 hexadecimal digits. It
// is called while the appliance is put together.
func (b *Book) KeepBlobs(bucket string) { b.keeping = append(b.keeping, bucket) }

// Unattached tells which of the blobs nothing refers to: no record, in use, in the bin or in a history, and no bucket of
// KeepBlobs. It reads every record, in many transactions: a record that is written meanwhile may be missed.
func (b *Book) Unattached(ctx context.Context, blobs []string) ([]string, error) {
	free := map[string]bool{}
	for _, hash := range blobs {
		free[hash] = true
	}
	var buckets []string
	err := b.db.View(ctx, func(tx store.Tx) error {
		buckets = buckets[:0]
		for _, name := range tx.Buckets() {
			if strings.HasPrefix(name, "record.") || slices.Contains(b.keeping, name) {
				buckets = append(buckets, name)
			}
		}
		return nil
	})
	for _, name := range buckets {
		for from := []byte(nil); err == nil && len(free) > 0; {
			if from, err = b.strike(ctx, name, from, free); from == nil {
				break
			}
		}
	}
	var left []string
	for _, hash := range blobs {
		if free[hash] {
			left = append(left, hash)
		}
	}
	return left, err
}

// strike takes out of free what some records of a bucket refer to, and gives the key to go on from, nil at the end.
func (b *Book) strike(ctx context.Context, bucket string, from []byte, free map[string]bool) (next []byte, err error) {
	err = b.db.View(ctx, func(tx store.Tx) error {
		n := 0
		for key, raw := range tx.Bucket(bucket).Scan(from, nil, false) {
			if n++; n > attachedStep {
				next = append([]byte(nil), key...)
				return nil
			}
			runs(raw, func(hash []byte) { delete(free, string(hash)) })
		}
		return nil
	})
	return next, err
}

// runs visits every run of 64 lower-case hexadecimal digits.
func runs(raw []byte, visit func(hash []byte)) {
	const size = 64
	length := 0
	for i, c := range raw {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'f' {
			if length++; length >= size {
				visit(raw[i+1-size : i+1])
			}
			continue
		}
		length = 0
	}
}
