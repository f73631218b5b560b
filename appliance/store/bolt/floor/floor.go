// Package floor does with bare bbolt what the product does through its rooms, to measure the product against it.
//
// It works on the product's own file, through the handle that is open: so both find the same pages, the same depth of
// trees and the same memory. It owns no bucket; what it writes stands in the product's buckets until Undo takes it away,
// and means nothing there, so it is for data that is thrown away afterwards.
//
// It promises to be as fast as plain code over bbolt can be: no permission, no decoding, no encoding, one read
// transaction a question, writers batched by bbolt's own Batch, tuned. It will not skip a sync: durable is durable.
package floor

import (
	"bytes"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/karov-crm/karov/appliance/store/bolt"
)

// Floor reads and writes a store with bare bbolt.
type Floor struct {
	db *bbolt.DB

	mu   sync.Mutex
	made []Put // keys that were not there before
}

// Put is one pair to write.
type Put struct {
	Bucket     string
	Key, Value []byte
	New        bool // the key is not there yet; one that is there must come with the value that it has
}

// Over makes a floor over an open store, for as many writers at a time. Its batches are written when all of them wait,
// or after a millisecond.
func Over(d *bolt.DB, writers int) *Floor {
	db := d.Engine()
	db.MaxBatchSize, db.MaxBatchDelay = writers, time.Millisecond
	return &Floor{db: db}
}

// idSize is how many bytes at the end of an index's key name the record.
const idSize = 16

// Page reads what a list or a lookup reads at least: keys of an index from a place on, and the record that each names.
// It gives how many records there were, and copies their bytes, since the product must too.
func (f *Floor) Page(index string, from []byte, keys int, records string, into []byte) (found int, out []byte, err error) {
	err = f.db.View(func(tx *bbolt.Tx) error {
		keysOf, recordsOf := tx.Bucket([]byte(index)), tx.Bucket([]byte(records))
		if keysOf == nil || recordsOf == nil {
			return fmt.Errorf("there is no bucket %s or %s", index, records)
		}
		c := keysOf.Cursor()
		n := 0
		for k, _ := c.Seek(from); k != nil && n < keys; k, _ = c.Next() {
			n++
			if len(k) < idSize {
				continue
			}
			if v := recordsOf.Get(k[len(k)-idSize:]); v != nil {
				into = append(into, v...)
				found++
			}
		}
		return nil
	})
	return found, into, err
}

// Back is Page backwards over the keys that begin with prefix: the newest of a customer's timeline.
func (f *Floor) Back(index string, prefix []byte, keys int, records string, into []byte) (found int, out []byte, err error) {
	err = f.db.View(func(tx *bbolt.Tx) error {
		keysOf, recordsOf := tx.Bucket([]byte(index)), tx.Bucket([]byte(records))
		if keysOf == nil || recordsOf == nil {
			return fmt.Errorf("there is no bucket %s or %s", index, records)
		}
		c := keysOf.Cursor()
		k, _ := c.Seek(append(bytes.Clone(prefix), bytes.Repeat([]byte{0xff}, idSize)...))
		if k == nil {
			k, _ = c.Last()
		}
		for k != nil && !bytes.HasPrefix(k, prefix) {
			k, _ = c.Prev()
			if bytes.Compare(k, prefix) < 0 {
				break
			}
		}
		for n := 0; n < keys && bytes.HasPrefix(k, prefix); n++ {
			if v := recordsOf.Get(k[len(k)-idSize:]); v != nil {
				into = append(into, v...)
				found++
			}
			k, _ = c.Prev()
		}
		return nil
	})
	return found, into, err
}

// Read is one look into a bucket: at the value of a key, or at so many pairs from a place on, or before it.
type Read struct {
	Bucket string
	From   []byte // nil for the beginning, or, backwards, the end
	Pairs  int    // 0: the value of From alone
	Back   bool
}

// Again does again what the product read for an answer: the same looks, each list of them in a transaction of its own. It
// gives the bytes of the values, one after another.
func (f *Floor) Again(views [][]Read, into []byte) (out []byte, err error) {
	for _, reads := range views {
		err := f.db.View(func(tx *bbolt.Tx) error {
			var space [16]named
			open := space[:0]
			for i := range reads {
				var b *bbolt.Bucket
				if b, open = bucketOf(tx, open, reads[i].Bucket); b != nil {
					into = reads[i].from(b, into)
				}
			}
			return nil
		})
		if err != nil {
			return into, err
		}
	}
	return into, nil
}

// named is a bucket that is open in a transaction, nil for one that is not there.
type named struct {
	name   string
	bucket *bbolt.Bucket
}

func bucketOf(tx *bbolt.Tx, open []named, name string) (*bbolt.Bucket, []named) {
	for _, o := range open {
		if o.name == name {
			return o.bucket, open
		}
	}
	b := tx.Bucket([]byte(name))
	return b, append(open, named{name, b})
}

func (r *Read) from(b *bbolt.Bucket, into []byte) []byte {
	if r.Pairs == 0 {
		return append(into, b.Get(r.From)...)
	}
	c := b.Cursor()
	var k, v []byte
	switch {
	case r.From == nil && r.Back:
		k, v = c.Last()
	case r.From == nil:
		k, v = c.First()
	default:
		if k, v = c.Seek(r.From); r.Back && k == nil {
			k, v = c.Last()
		} else if r.Back {
			k, v = c.Prev()
		}
	}
	for n := 1; k != nil; n++ {
		if into = append(into, v...); n == r.Pairs {
			break
		}
		if r.Back {
			k, v = c.Prev()
		} else {
			k, v = c.Next()
		}
	}
	return into
}

// Get reads values by their keys and gives their bytes, one after another.
func (f *Floor) Get(bucket string, keys [][]byte, into []byte) (out []byte, err error) {
	err = f.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		if b == nil {
			return fmt.Errorf("there is no bucket %s", bucket)
		}
		for _, k := range keys {
			into = append(into, b.Get(k)...)
		}
		return nil
	})
	return into, err
}

// Scan reads every pair of a bucket and gives how many there are and how many bytes their values take.
func (f *Floor) Scan(bucket string) (pairs, size int, err error) {
	err = f.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		if b == nil {
			return fmt.Errorf("there is no bucket %s", bucket)
		}
		c := b.Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			pairs++
			for i := 0; i < len(v); i += 64 { // each line of memory is touched, as by anybody who reads the value
				size += int(v[i] & 1)
			}
			size += len(v)
		}
		return nil
	})
	return pairs, size, err
}

// Write makes the pairs durable together with those of the other writers that come at the same time.
func (f *Floor) Write(puts []Put) error {
	return f.remember(puts, f.db.Batch(func(tx *bbolt.Tx) error { return put(tx, puts) }))
}

// WriteAlone makes the pairs durable in a transaction of their own, as an import does with a batch.
func (f *Floor) WriteAlone(puts []Put) error {
	return f.remember(puts, f.db.Update(func(tx *bbolt.Tx) error { return put(tx, puts) }))
}

func (f *Floor) remember(puts []Put, err error) error {
	if err != nil {
		return fmt.Errorf("write the floor's pairs: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range puts {
		if p.New {
			f.made = append(f.made, p)
		}
	}
	return nil
}

func put(tx *bbolt.Tx, puts []Put) error {
	var bucket *bbolt.Bucket
	for i, p := range puts {
		if i == 0 || p.Bucket != puts[i-1].Bucket {
			if bucket = tx.Bucket([]byte(p.Bucket)); bucket == nil {
				return fmt.Errorf("there is no bucket %s", p.Bucket)
			}
		}
		if err := bucket.Put(p.Key, p.Value); err != nil {
			return err
		}
	}
	return nil
}

// Undo takes away what the floor wrote.
func (f *Floor) Undo() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.db.Update(func(tx *bbolt.Tx) error {
		for _, p := range f.made {
			if err := tx.Bucket([]byte(p.Bucket)).Delete(p.Key); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("take the floor's pairs away: %w", err)
	}
	f.made = nil
	return nil
}
