package bench

import (
	"bytes"
	"context"
	"iter"
	"sync"

	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt/floor"
)

// Writes stands between the rooms and the engine and, when told to, remembers what each Update put and what each View
// read: so that the floor writes just as many pairs of just those sizes, where they belong, and reads the same.
type Writes struct {
	store.DB

	mu    sync.Mutex
	on    bool
	seen  [][]floor.Put
	reads *[][]floor.Read // of each View; nil where nobody asks
}

// NewWrites stands before a store.
func NewWrites(db store.DB) *Writes { return &Writes{DB: db} }

// Update implements store.DB.
func (w *Writes) Update(ctx context.Context, fn func(store.Tx) error) error {
	w.mu.Lock()
	on := w.on
	w.mu.Unlock()
	if !on {
		return w.DB.Update(ctx, fn)
	}
	var puts []floor.Put
	err := w.DB.Update(ctx, func(tx store.Tx) error {
		puts = puts[:0] // it may run again
		return fn(watched{tx, &puts})
	})
	if err == nil && len(puts) > 0 {
		w.mu.Lock()
		w.seen = append(w.seen, puts)
		w.mu.Unlock()
	}
	return err
}

// capture gives what the Updates within fn put.
func (w *Writes) capture(fn func() error) ([][]floor.Put, error) {
	w.mu.Lock()
	w.on, w.seen = true, nil
	w.mu.Unlock()
	err := fn()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.on = false
	return w.seen, err
}

type watched struct {
	store.Tx
	puts *[]floor.Put
}

func (t watched) Bucket(name string) store.Bucket {
	return watchedBucket{t.Tx.Bucket(name), name, t.puts}
}

type watchedBucket struct {
	store.Bucket
	name string
	puts *[]floor.Put
}

func (b watchedBucket) Put(key, value []byte) {
	b.Bucket.Put(key, value)
	*b.puts = append(*b.puts, floor.Put{Bucket: b.name, Key: bytes.Clone(key), Value: bytes.Clone(value)})
}

// pattern is what one create put, and for which record.
type pattern struct {
	id   record.ID
	puts []floor.Put
}

// again is the same create for another record: keys that name the record name the new one, at the same place among the
// others; those that do not (a counter, the head of the journal) are written as they stand now.
func (p pattern) again(tx store.Tx, id record.ID) []floor.Put {
	puts := make([]floor.Put, len(p.puts))
	for i, was := range p.puts {
		key := bytes.ReplaceAll(was.Key, p.id[:], id[:])
		key = bytes.ReplaceAll(key, []byte(p.id.String()), []byte(id.String()))
		puts[i] = floor.Put{Bucket: was.Bucket, Key: key, Value: was.Value, New: !bytes.Equal(key, was.Key)}
		if !puts[i].New {
			puts[i].Value = bytes.Clone(tx.Bucket(was.Bucket).Get(key))
		}
	}
	return puts
}

// View implements store.DB.
func (w *Writes) View(ctx context.Context, fn func(store.Tx) error) error {
	w.mu.Lock()
	all := w.reads
	w.mu.Unlock()
	if all == nil {
		return w.DB.View(ctx, fn)
	}
	var reads []floor.Read
	err := w.DB.View(ctx, func(tx store.Tx) error { return fn(readTx{tx, &reads}) })
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(reads) > 0 {
		*all = append(*all, reads)
	}
	return err
}

// readBy gives what the Views within fn read.
func (w *Writes) readBy(fn func() error) ([][]floor.Read, error) {
	var all [][]floor.Read
	w.mu.Lock()
	w.reads = &all
	w.mu.Unlock()
	err := fn()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reads = nil
	return all, err
}

// readTx remembers what is read in a View.
type readTx struct {
	store.Tx
	reads *[]floor.Read
}

func (t readTx) Bucket(name string) store.Bucket {
	return readBucket{t.Tx.Bucket(name), name, t.reads}
}

type readBucket struct {
	store.Bucket
	name  string
	reads *[]floor.Read
}

func (b readBucket) Get(key []byte) []byte {
	*b.reads = append(*b.reads, floor.Read{Bucket: b.name, From: bytes.Clone(key)})
	return b.Bucket.Get(key)
}

func (b readBucket) GetMany(keys [][]byte) [][]byte {
	for _, key := range keys {
		*b.reads = append(*b.reads, floor.Read{Bucket: b.name, From: bytes.Clone(key)})
	}
	return b.Bucket.GetMany(keys)
}

// Scan counts the pairs that were looked at; a scan that came to its end looked at one behind it too.
func (b readBucket) Scan(from, to []byte, reverse bool) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		r := floor.Read{Bucket: b.name, From: bytes.Clone(from), Back: reverse, Pairs: 1}
		if reverse {
			r.From = bytes.Clone(to)
		}
		at := len(*b.reads)
		*b.reads = append(*b.reads, r)
		pairs := 0
		for k, v := range b.Bucket.Scan(from, to, reverse) {
			pairs++
			(*b.reads)[at].Pairs = pairs
			if !yield(k, v) {
				return
			}
		}
		(*b.reads)[at].Pairs = pairs + 1
	}
}
