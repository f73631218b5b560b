package record

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/search"
	"github.com/karov-crm/karov/appliance/store"
)

const (
	countsBucket  = "record.counts"
	binBucket     = "record.bin"
	sharesBucket  = "record.shares"
	historyBucket = "record.history"
)

// Hook is asked in the transaction of each write of an entity, before anything of it is stored. Before is the zero
// Record for a new one, after for a deleted one. An error refuses the write; a hook that refuses must not have written
// anything itself, since the transaction may hold others' writes and go on.
type Hook func(ctx context.Context, tx store.Tx, before, after Record) error

// Fill says what a new record holds that its maker, who gave the values, did not have to say. What he gave it leaves as
// it is: that is held against his rights, and what a Fill adds is not.
type Fill func(ctx context.Context, tx store.Tx, values Values) (Values, error)

// filling is a Fill, and the fields that it may fill in.
type filling struct {
	fill   Fill
	fields []string
}

// Describe says what a record can be found by. ok is false for one that lookup does not find.
type Describe func(tx store.Tx, r Record) (doc search.Doc, ok bool)

// Book is the door to all records of a store.
type Book struct {
	db      store.DB
	schema  *schema.Registry
	gate    *access.Gate
	journal *journal.Journal
	now     func() time.Time
	zone    *time.Location
	week    time.Weekday

	hooks    map[string][]Hook
	any      []Hook
	describe map[string]Describe
	fills    map[string]filling
	wheres   sync.Map // whereKey -> *filter.Filter: conditions of roles, parsed
	asker    Asker
	wake     chan struct{}
	keeping  []string // buckets beside its own that refer to blobs
}

// Parts is what a Book is made of.
type Parts struct {
	DB      store.DB
	Schema  *schema.Registry
	Gate    *access.Gate
	Journal *journal.Journal
	Now     func() time.Time
	Zone    *time.Location // in which a day begins, for filters such as "today"; nil for UTC
	Week    time.Weekday   // on which a week begins
}

// NewBook opens the book. Rooms add their hooks before the first write.
func NewBook(p Parts) *Book {
	if p.Zone == nil {
		p.Zone = time.UTC
	}
	b := &Book{db: p.DB, schema: p.Schema, gate: p.Gate, journal: p.Journal, now: p.Now, zone: p.Zone, week: p.Week,
		hooks: map[string][]Hook{}, describe: map[string]Describe{}, fills: map[string]filling{}, wake: make(chan struct{}, 1)}
	p.Schema.Watch(b.schemaWillChange)
	return b
}

// Watch adds a hook to an entity. It is called while the appliance is put together, never later.
func (b *Book) Watch(entity string, h Hook) { b.hooks[entity] = append(b.hooks[entity], h) }

// WatchAll adds a hook to every entity, also to those that are made later. It runs after the entity's own.
func (b *Book) WatchAll(h Hook) { b.any = append(b.any, h) }

// Complete says what fills in fields of new records of an entity. It is called while the appliance is put together.
func (b *Book) Complete(entity string, f Fill, fields ...string) {
	b.fills[entity] = filling{f, fields}
}

// Completes tells whether a field of a new record may be left out, since it is filled in.
func (b *Book) Completes(entity, field string) bool {
	return slices.Contains(b.fills[entity].fields, field)
}

// Lookup says how records of an entity are found by lookup. It is called while the appliance is put together.
func (b *Book) Lookup(entity string, d Describe) { b.describe[entity] = d }

// Schema is the schema of the book's records as it is now.
func (b *Book) Schema() *schema.Schema { return b.schema.Current() }

// View and Update run fn in a transaction of the book's store, for rooms that read or write several records at once.
func (b *Book) View(ctx context.Context, fn func(store.Tx) error) error { return b.db.View(ctx, fn) }

// Update runs fn in a writing transaction. It may run several times, and only the last run counts.
func (b *Book) Update(ctx context.Context, fn func(store.Tx) error) error {
	return b.update(ctx, fn)
}

// Get reads a record that the actor may see. Fields that are hidden from him read as empty.
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
	return b.shown(ctx, tx, r), nil
}

// Raw reads a record without asking who reads. It is for rooms that have asked already, or that act for the appliance.
func (b *Book) Raw(tx store.Tx, entity string, id ID) (Record, error) {
	e := b.schema.At(tx).Entity(entity)
	if e == nil {
		return Record{}, fault.Missing("entity", entity)
	}
	r, ok := rawOf(tx, e, id)
	if !ok {
		return Record{}, fault.Missing(entity, id.String())
	}
	return r, nil
}

// rawOf reads a record of an entity. Its bytes are copied, because a later write in the same transaction may move the
// page they lie on.
func rawOf(tx store.Tx, e *schema.Entity, id ID) (Record, bool) {
	raw := tx.Bucket("record." + e.Name).Get(id[:])
	if raw == nil {
		return Record{}, false
	}
	return Record{ID: id, entity: e, raw: slices.Clone(raw)}, true
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

// count keeps the number of records of an entity, for all ("") and by principal.
func count(tx store.Tx, entity, principal string, by int64) {
	key := countKey(entity, principal)
	tx.Bucket(countsBucket).Put(key, binary.BigEndian.AppendUint64(nil, uint64(counted(tx, key)+by)))
}

func countKey(entity, principal string) []byte {
	if principal == "" {
		return []byte(entity)
	}
	return []byte(entity + "\x00" + principal)
}

func counted(tx store.Tx, key []byte) int64 {
	raw := tx.Bucket(countsBucket).Get(key)
	if len(raw) != 8 {
		return 0
	}
	return int64(binary.BigEndian.Uint64(raw))
}
