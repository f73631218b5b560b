package record

import (
	"context"
	"encoding/binary"
	"slices"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/search"
	"github.com/karov-crm/karov/appliance/store"
)

const (
	countsBucket = "record.counts"
	binBucket    = "record.bin"
)

// Hook is asked in the transaction of each write of an entity, before anything of it is stored. Before is the zero
// Record for a new one, after for a deleted one. An error refuses the write; a hook that refuses must not have written
// anything itself, since the transaction may hold others' writes and go on.
type Hook func(ctx context.Context, tx store.Tx, before, after Record) error

// Describe says what a record can be found by. ok is false for one that lookup does not find.
type Describe func(tx store.Tx, r Record) (doc search.Doc, ok bool)

// Book is the door to all records of a store.
type Book struct {
	db      store.DB
	schema  *schema.Schema
	gate    *access.Gate
	journal *journal.Journal
	now     func() time.Time

	hooks    map[string][]Hook
	describe map[string]Describe
}

// Parts is what a Book is made of.
type Parts struct {
	DB      store.DB
	Schema  *schema.Schema
	Gate    *access.Gate
	Journal *journal.Journal
	Now     func() time.Time
}

// NewBook opens the book. Rooms add their hooks before the first write.
func NewBook(p Parts) *Book {
	return &Book{db: p.DB, schema: p.Schema, gate: p.Gate, journal: p.Journal, now: p.Now,
		hooks: map[string][]Hook{}, describe: map[string]Describe{}}
}

// Watch adds a hook to an entity. It is called while the appliance is put together, never later.
func (b *Book) Watch(entity string, h Hook) { b.hooks[entity] = append(b.hooks[entity], h) }

// Lookup says how records of an entity are found by lookup. It is called while the appliance is put together.
func (b *Book) Lookup(entity string, d Describe) { b.describe[entity] = d }

// Schema is the schema of the book's records.
func (b *Book) Schema() *schema.Schema { return b.schema }

// View and Update run fn in a transaction of the book's store, for rooms that read or write several records at once.
func (b *Book) View(ctx context.Context, fn func(store.Tx) error) error { return b.db.View(ctx, fn) }

// Update runs fn in a writing transaction.
func (b *Book) Update(ctx context.Context, fn func(store.Tx) error) error {
	return b.db.Update(ctx, fn)
}

// Get reads a record that the actor may see.
func (b *Book) Get(ctx context.Context, entity string, id ID) (r Record, err error) {
	err = b.db.View(ctx, func(tx store.Tx) error {
		r, err = b.GetTx(ctx, tx, entity, id)
		return err
	})
	return r, err
}

// GetTx is Get within a transaction.
func (b *Book) GetTx(ctx context.Context, tx store.Tx, entity string, id ID) (Record, error) {
	r, err := b.Raw(tx, entity, id)
	if err != nil {
		return Record{}, err
	}
	if err := b.require(ctx, tx, access.See, r); err != nil {
		return Record{}, err
	}
	return r, nil
}

// Raw reads a record without asking who reads. It is for rooms that have asked already, or that act for the appliance.
func (b *Book) Raw(tx store.Tx, entity string, id ID) (Record, error) {
	e := b.schema.Entity(entity)
	if e == nil {
		return Record{}, fault.Missing("entity", entity)
	}
	raw := tx.Bucket("record." + entity).Get(id[:])
	if raw == nil {
		return Record{}, fault.Missing(entity, id.String())
	}
	// Copied, because a later write in the same transaction may move the page it lies on.
	return Record{ID: id, entity: e, raw: slices.Clone(raw)}, nil
}

// Require refuses the actor what he may not do to a record, as access.Gate.Require does.
func (b *Book) Require(ctx context.Context, tx store.Tx, verb access.Verb, r Record) error {
	return b.require(ctx, tx, verb, r)
}

func (b *Book) require(ctx context.Context, tx store.Tx, verb access.Verb, r Record) error {
	o := access.Object{Entity: r.Entity(), ID: r.ID.String()}
	if b.gate.Scope(ctx, verb, r.Entity()) != access.All {
		o.Owners = b.owners(tx, r, 0)
	}
	return b.gate.Require(ctx, verb, o)
}

// Visible tells whether the actor may see the record, and false for one that does not exist.
func (b *Book) Visible(ctx context.Context, entity string, id ID) (ok bool, err error) {
	err = b.db.View(ctx, func(tx store.Tx) error {
		_, err := b.GetTx(ctx, tx, entity, id)
		switch fault.KindOf(err) {
		case fault.NotFound, fault.Forbidden, fault.Unauthenticated:
			return nil
		}
		ok = err == nil
		return err
	})
	return ok, err
}

// owners lists whose a record is: its own owner and, through its Via link, those of the record it hangs on.
func (b *Book) owners(tx store.Tx, r Record, depth int) (owners []string) {
	if r.entity.Owner != "" {
		if owner := r.Text(r.entity.Owner); owner != "" {
			owners = append(owners, owner)
		}
	}
	if r.entity.Via == "" || depth > 4 {
		return owners
	}
	over := r.entity.Field(r.entity.Via).Target
	parent, err := b.Raw(tx, over, r.Link(r.entity.Via))
	if err != nil {
		return owners
	}
	return append(owners, b.owners(tx, parent, depth+1)...)
}

// contactOf is the customer a record concerns, the zero ID for none.
func contactOf(r Record) ID {
	switch {
	case r.entity == nil || r.entity.Contact == "":
		return ID{}
	case r.entity.Contact == "id":
		return r.ID
	}
	return r.Link(r.entity.Contact)
}

// count keeps the number of records of an entity, for all and by direct owner.
func count(tx store.Tx, entity, owner string, by int64) {
	counts := tx.Bucket(countsBucket)
	keys := []string{entity}
	if owner != "" {
		keys = append(keys, entity+"\x00"+owner)
	}
	for _, key := range keys {
		n := counted(tx, key) + by
		counts.Put([]byte(key), binary.BigEndian.AppendUint64(nil, uint64(n)))
	}
}

func counted(tx store.Tx, key string) int64 {
	raw := tx.Bucket(countsBucket).Get([]byte(key))
	if len(raw) != 8 {
		return 0
	}
	return int64(binary.BigEndian.Uint64(raw))
}
