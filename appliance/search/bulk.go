package search

import (
	"fmt"
	"maps"
	"slices"

	"github.com/karov-crm/karov/appliance/store"
)

// Bulk is Put for many records in a transaction: it costs less for each, the more there are. Each list is written once,
// and the words of records that are new are cut by a goroutine of its own while the next ones come. Nothing is found by
// halves: it is written when Write returns, not before. A Bulk that is not written must be dropped.
type Bulk struct {
	w     *writer
	fresh []entry  // new records, on their way to the cutting
	cut   *cutting // nil where there is nothing to cut
}

// entry is a new record.
type entry struct {
	stamp uint64
	key   []byte
	doc   Doc
	raw   []byte // its stored form
	moved bool   // as state.moved
}

// cutSome is how many records go to the cutting at a time.
const cutSome = 128

// NewBulk begins.
func NewBulk(tx store.Tx) *Bulk {
	w := writerOf(tx)
	w.pending, w.bulk, w.given = map[string]bool{}, map[string]*[]uint64{}, map[uint64]uint64{}
	return &Bulk{w: w}
}

// PutAll is Put for many records, by a Bulk.
func PutAll(tx store.Tx, docs []Doc) error {
	b := NewBulk(tx)
	defer b.Drop()
	for _, doc := range docs {
		if err := b.Put(doc); err != nil {
			return err
		}
	}
	return b.Write()
}

// Put takes a record.
func (b *Bulk) Put(doc Doc) error {
	key := docKey(doc.Entity, doc.ID)
	if b.w.pending[string(key)] {
		if err := b.Write(); err != nil {
			return err
		}
	}
	was, err := b.w.before(key)
	if err != nil {
		return err
	}
	b.w.pending[string(key)] = true
	if was.stamp != 0 {
		return b.w.change(key, was, doc)
	}
	b.fresh = append(b.fresh, entry{stamp: b.w.giveStamp(second(millis(doc.Recent))), key: key, doc: doc})
	if len(b.fresh) == cutSome {
		b.send()
	}
	return nil
}

// send hands the new records on.
func (b *Bulk) send() {
	if b.cut == nil {
		b.cut = &cutting{in: make(chan []entry, 64), done: make(chan struct{}), lists: map[string]*[]uint64{}}
		go b.cut.run()
	}
	b.cut.in <- b.fresh
	b.fresh = make([]entry, 0, cutSome)
}

// Write writes what was put.
func (b *Bulk) Write() error {
	if len(b.fresh) > 0 {
		b.send()
	}
	if c := b.cut; c != nil {
		b.cut = nil
		close(c.in)
		<-c.done
		if c.failed != nil {
			return c.failed
		}
		if err := b.w.writeCut(c); err != nil {
			return err
		}
	}
	return b.w.flush()
}

// Drop ends a Bulk that was not written; after Write it does nothing.
func (b *Bulk) Drop() {
	if c := b.cut; c != nil {
		b.cut = nil
		close(c.in)
		<-c.done
	}
}

// writeCut writes new records and their lists.
func (w *writer) writeCut(c *cutting) error {
	for _, e := range c.out {
		stamp := appendStamp(nil, e.stamp)
		w.records.Put(stamp, e.raw)
		w.stamps.Put(e.key, stamp)
		if e.moved {
			w.later([]byte{moved}, e.stamp)
		}
	}
	for _, term := range c.terms {
		fresh := *c.lists[term]
		slices.Sort(fresh)
		if err := w.list([]byte(term), fresh...); err != nil {
			return err
		}
	}
	return nil
}

// cutting makes of new records what is written of them. It knows no transaction.
type cutting struct {
	in   chan []entry
	done chan struct{} // closed when what follows is whole

	out    []entry
	lists  map[string]*[]uint64
	terms  []string // of the lists, sorted
	failed error
}

func (c *cutting) run() {
	defer close(c.done)
	defer func() {
		if p := recover(); p != nil {
			c.failed = fmt.Errorf("cut the words of customers: panic: %v", p)
			for range c.in { // who sends must not wait for ever
			}
		}
	}()
	var d stored
	var t terms
	for some := range c.in {
		for i := range some {
			if err := c.take(&some[i], &d, &t); err != nil && c.failed == nil {
				c.failed = err
			}
		}
		c.out = append(c.out, some...)
	}
	c.terms = slices.Sorted(maps.Keys(c.lists))
}

func (c *cutting) take(e *entry, d *stored, t *terms) error {
	e.raw = encode(e.doc)
	e.doc = Doc{}
	if err := d.decode(e.raw); err != nil {
		return err
	}
	e.moved = second(d.recent) > e.stamp>>perSecond
	for _, term := range t.of(d) {
		if all := c.lists[string(term)]; all != nil {
			*all = append(*all, e.stamp)
		} else {
			c.lists[string(term)] = &[]uint64{e.stamp}
		}
	}
	return nil
}
