// Package store keeps Karov's data: ordered buckets of keys and values, read and changed in transactions.
//
// It is small on purpose. An engine is a sub-package (store/bolt today) that passes store/storetest; nothing above it
// may rely on more than is written here, so that a second engine over another database can take its place.
//
// It owns the bucket "store.meta" (the data's format and its number). It promises that Update returns nil only after
// the change is durable, that a transaction is seen whole or not at all, and that a reader sees one moment.
//
// It will not cache, encode, index or permit: record does. It will not offer a way to be less durable.
package store

import (
	"context"
	"io"
	"iter"
)

// DB is an open store. Its methods may be called from any goroutine.
type DB interface {
	// View runs fn on one moment of the data. Nothing fn does can change it: a Put or Delete is a fault.
	View(ctx context.Context, fn func(Tx) error) error

	// Update runs fn and makes its changes durable before it returns nil. When fn returns an error, panics, or the
	// disk refuses, nothing of it stays. Concurrent Updates may share one write to disk. fn may run more than once,
	// so it must have no effect but on the Tx; it must not start another transaction, sleep or talk to the world. When
	// ctx ends before fn's turn has come, fn does not run.
	Update(ctx context.Context, fn func(Tx) error) error

	// Copy writes a consistent copy of the whole store, in the engine's own format, while others read and write.
	Copy(ctx context.Context, w io.Writer) (int64, error)

	// Check reads everything and reports the first inconsistency of the engine's own structures. Writers may have to wait
	// for it.
	Check(ctx context.Context) error

	// Size is how many bytes the store takes on disk.
	Size() int64

	// Close waits for running transactions and gives the file free. A second Close does nothing.
	Close() error
}

// Tx is a transaction. It and everything read through it are valid only until its function returns, and only in that
// function's goroutine.
//
// Reading methods return no error: when the engine fails, they answer as if nothing were there, and View or Update
// returns the engine's error whatever the function returned. So a function can never commit on a read that failed.
type Tx interface {
	// Bucket names a bucket. It need not exist: an empty one is read, and the first Put makes it.
	Bucket(name string) Bucket

	// Buckets lists the names of the buckets that hold something, in order.
	Buckets() []string

	// OnCommit calls fn once after the changes are durable, outside the transaction; never when they are not.
	OnCommit(fn func())
}

// Bucket is an ordered map within a transaction. Slices it returns must be copied to outlive the transaction and must
// not be written to. Keys must not be empty and take at most MaxKey bytes.
type Bucket interface {
	// Get returns the value, or nil where there is none. A stored empty value is an empty non-nil slice.
	Get(key []byte) []byte

	// GetMany returns the values for keys, in their order, nil where there is none.
	GetMany(keys [][]byte) [][]byte

	// Put stores the pair. Both are copied.
	Put(key, value []byte)

	// Delete removes the key where it is there.
	Delete(key []byte)

	// Scan yields the pairs with from <= key < to in order, or backwards from the last below to. A nil from is the
	// start, a nil to the end. The bucket must not be changed while it is scanned.
	Scan(from, to []byte, reverse bool) iter.Seq2[[]byte, []byte]
}

// MaxKey is the longest key an engine must take, in bytes.
const MaxKey = 32 << 10

// PrefixEnd is the first key after all keys that begin with prefix: with it, Scan(prefix, PrefixEnd(prefix)) yields
// exactly those. It is nil, the end, when there is none.
func PrefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := append([]byte(nil), prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return nil
}
