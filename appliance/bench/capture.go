package bench

import (
	"bytes"
	"context"
	"sync"

	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt/floor"
)

// Writes stands between the rooms and the engine and, when told to, remembers what each Update put: so that the floor
// writes just as many pairs of just those sizes, where they belong.
type Writes struct {
	store.DB

	mu   sync.Mutex
	on   bool
	seen [][]floor.Put
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
