package bolt

import (
	"bytes"
	"fmt"
	"iter"

	"go.etcd.io/bbolt"

	"github.com/karov-crm/karov/appliance/store"
)

// tx is one transaction function's view of a bbolt transaction, which it may share with others of the same batch.
type tx struct {
	bolt     *bbolt.Tx
	writable bool
	dirty    bool  // something was written
	failed   error // the first error of the engine; wins over what the function returns
	onCommit []func()
	buckets  map[string]*bucket
}

func (t *tx) Bucket(name string) store.Bucket {
	if b, ok := t.buckets[name]; ok {
		return b
	}
	if t.buckets == nil {
		t.buckets = make(map[string]*bucket, 8)
	}
	b := &bucket{tx: t, name: name}
	b.bolt = t.bolt.Bucket([]byte(name))
	t.buckets[name] = b
	return b
}

// How full bbolt leaves a page that it splits. Where keys are only appended, as those of records and facts are by their
// time, a page that is left half full stays so for ever: at 0.9 such a bucket is half as large. Where keys come in any
// order it is the other way round: the next key that comes into a full page splits it again, into crumbs. 200,000 random
// keys, 2,000 a transaction, fill 8,700 pages to a third at 0.9, and 4,300 pages to two thirds at 0.5, with a fifth fewer
// pages written. So a bucket is looked at as it is written to.
const (
	filledInOrder  = 0.9
	filledAnywhere = 0.5
)

// place keeps count of the keys that came behind all others, and lets the next split go by it.
func (b *bucket) place(key []byte) {
	if b.puts == 0 {
		last, _ := b.bolt.Cursor().Last()
		b.last = append(b.last, last...)
	}
	b.puts++
	if bytes.Compare(key, b.last) > 0 {
		b.appended++
		b.last = append(b.last[:0], key...)
	}
	b.bolt.FillPercent = filledAnywhere
	if 3*b.appended >= b.puts { // counters and later changes stand beside what is appended
		b.bolt.FillPercent = filledInOrder
	}
}

func (t *tx) Buckets() (names []string) {
	err := t.bolt.ForEach(func(name []byte, b *bbolt.Bucket) error {
		if k, _ := b.Cursor().First(); k != nil {
			names = append(names, string(name))
		}
		return nil
	})
	t.fail(err)
	return names
}

func (t *tx) OnCommit(fn func()) { t.onCommit = append(t.onCommit, fn) }

func (t *tx) fail(err error) {
	if err != nil && t.failed == nil {
		t.failed = fmt.Errorf("store: %w", diskFault(err))
	}
}

type bucket struct {
	tx   *tx
	name string
	bolt *bbolt.Bucket // nil until something is put

	// Cursors are used again: each seek begins at the root, and bbolt's own Get makes a new one, with its stack, each time.
	getter, scanner *bbolt.Cursor
	scanning        bool // the scanner is in use

	// Of what was put: the greatest key of the bucket, how many pairs there were, and how many behind all others.
	last           []byte
	puts, appended int
}

func (b *bucket) Get(key []byte) []byte {
	if b.bolt == nil {
		return nil
	}
	if b.getter == nil {
		b.getter = b.bolt.Cursor()
	}
	k, v := b.getter.Seek(key)
	if v == nil || !bytes.Equal(k, key) { // v is nil for a bucket in the bucket, which nobody makes
		return nil
	}
	return v[:len(v):len(v)]
}

func (b *bucket) GetMany(keys [][]byte) [][]byte {
	values := make([][]byte, len(keys))
	for i, key := range keys {
		values[i] = b.Get(key)
	}
	return values
}

func (b *bucket) Put(key, value []byte) {
	if !b.open() {
		return
	}
	b.tx.dirty = true
	b.place(key)
	// bbolt keeps the value's slice until the commit, so it gets a copy of its own.
	b.tx.fail(b.bolt.Put(key, append(make([]byte, 0, len(value)), value...)))
}

func (b *bucket) Delete(key []byte) {
	if b.bolt == nil {
		return
	}
	if !b.open() {
		return
	}
	b.tx.dirty = true
	b.tx.fail(b.bolt.Delete(key))
}

// open makes the bucket exist for writing.
func (b *bucket) open() bool {
	if !b.tx.writable {
		b.tx.fail(fmt.Errorf("write to bucket %s in a view", b.name))
		return false
	}
	if b.bolt == nil {
		made, err := b.tx.bolt.CreateBucketIfNotExists([]byte(b.name))
		if err != nil {
			b.tx.fail(fmt.Errorf("make bucket %s: %w", b.name, err))
			return false
		}
		b.tx.dirty = true
		b.bolt = made
	}
	return true
}

func (b *bucket) Scan(from, to []byte, reverse bool) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		if b.bolt == nil {
			return
		}
		c := b.cursor()
		if reverse {
			backwards(c, from, to, yield)
		} else {
			forwards(c, from, to, yield)
		}
		b.scanning = b.scanning && c != b.scanner
	}
}

// cursor is the bucket's scanner, or another one while that is in use.
func (b *bucket) cursor() *bbolt.Cursor {
	if b.scanning {
		return b.bolt.Cursor()
	}
	if b.scanner == nil {
		b.scanner = b.bolt.Cursor()
	}
	b.scanning = true
	return b.scanner
}

func forwards(c *bbolt.Cursor, from, to []byte, yield func([]byte, []byte) bool) {
	var k, v []byte
	if from == nil {
		k, v = c.First()
	} else {
		k, v = c.Seek(from)
	}
	for ; k != nil && (to == nil || bytes.Compare(k, to) < 0); k, v = c.Next() {
		if !yield(k, v) {
			return
		}
	}
}

func backwards(c *bbolt.Cursor, from, to []byte, yield func([]byte, []byte) bool) {
	var k, v []byte
	if to == nil {
		k, v = c.Last()
	} else if after, _ := c.Seek(to); after == nil {
		k, v = c.Last()
	} else {
		k, v = c.Prev()
	}
	for ; k != nil && bytes.Compare(k, from) >= 0; k, v = c.Prev() {
		if !yield(k, v) {
			return
		}
	}
}
