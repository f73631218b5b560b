package schema

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/store"
)

// Teller is told of each change, in its transaction. A journal.Journal is one.
type Teller interface {
	Append(ctx context.Context, tx store.Tx, f journal.Fact) error
}

// Gate says who may change the schema: whoever may administer the entity "schema". An access.Gate is one.
type Gate interface {
	Require(ctx context.Context, verb access.Verb, o access.Object) error
}

// Options is what a Registry works with. Journal and Gate are needed for changes only.
type Options struct {
	Journal Teller
	Gate    Gate
	Now     func() time.Time

	// CheckFormula refuses a formula that does not fit its entity. The language is another room's. Nil takes any.
	CheckFormula func(s *Schema, e *Entity, f *Field) error
}

// Watcher is asked in the transaction of each change, before it is stored; an error refuses the change. It may be called
// more than once for one change, with the same schemas, as a transaction's function may.
type Watcher func(tx store.Tx, before, after *Schema) error

// Registry keeps the schema of an office, in all its versions. It is safe for use from any goroutine.
type Registry struct {
	Options
	db      store.DB
	builtin []Entity
	first   *Schema // version 1: the built-in set

	current atomic.Pointer[Schema]
	recent  atomic.Pointer[[]snapshot] // the schemas of the last few moments, newest first
	keeping sync.Mutex                 // held to replace recent

	watching sync.RWMutex
	watchers []Watcher
}

// snapshot is a schema with what the store says of its moment.
type snapshot struct {
	head   string
	schema *Schema
}

// keep is how many schemas are remembered: readers may be some changes behind while the newest is in use.
const keep = 4

// Open reads the newest version from a store and puts it over the built-in entities.
func Open(ctx context.Context, db store.DB, o Options, builtin ...Entity) (*Registry, error) {
	for i := range builtin {
		for j := range builtin[i].Fields {
			if f := &builtin[i].Fields[j]; f.Number >= FirstCustom {
				return nil, fault.New(fault.Invalid, "schema.number", "entity", builtin[i].Name, "field", f.Name, "type", f.Type, "number", f.Number)
			}
		}
	}
	first, err := New(builtin...)
	if err != nil {
		return nil, err
	}
	r := Fixed(first)
	r.Options, r.db, r.builtin = o, db, builtin
	err = db.View(ctx, func(tx store.Tx) error {
		s, err := r.load(tx)
		if err == nil {
			r.current.Store(s)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Fixed is a registry of one schema that never changes, for tests and for tools that have no store.
func Fixed(s *Schema) *Registry {
	r := &Registry{first: s}
	r.current.Store(s)
	r.recent.Store(&[]snapshot{})
	return r
}

// Current is the newest schema that is durable, for use outside of a transaction. What it says may have changed when a
// transaction begins: there, ask At.
func (r *Registry) Current() *Schema { return r.current.Load() }

// At is the schema of a transaction's moment: every record in it was written under that one or an older one. It costs
// one read unless the schema changed since. Where the store is damaged, it is the newest that could be read.
func (r *Registry) At(tx store.Tx) *Schema {
	s, err := r.load(tx)
	if err != nil {
		return r.Current()
	}
	return s
}

func (r *Registry) load(tx store.Tx) (*Schema, error) {
	if r.db == nil {
		return r.first, nil
	}
	head := tx.Bucket(versionsBucket).Get(headKey)
	if head == nil {
		return r.first, nil
	}
	for _, known := range *r.recent.Load() {
		if known.head == string(head) {
			return known.schema, nil
		}
	}
	v, err := readVersion(tx, head)
	if err != nil {
		return nil, err
	}
	s, err := build(r.builtin, v.Layer, v.Number)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "store.damaged", "what", versionsBucket)
	}
	return r.remember(snapshot{string(head), s}), nil
}

// remember keeps a schema under the head that names its contents, so that one that was never committed is not taken for
// another of its number. It gives the one that is kept: a moment has one schema, whoever reads it first.
func (r *Registry) remember(fresh snapshot) *Schema {
	r.keeping.Lock()
	defer r.keeping.Unlock()
	recent := *r.recent.Load()
	for _, known := range recent {
		if known.head == fresh.head {
			return known.schema
		}
	}
	recent = slices.Insert(slices.Clone(recent), 0, fresh)
	recent = recent[:min(len(recent), keep)]
	r.recent.Store(&recent)
	return fresh.schema
}

// Watch adds a function that is asked before each change. It is called while the appliance is put together.
func (r *Registry) Watch(fn Watcher) {
	r.watching.Lock()
	defer r.watching.Unlock()
	r.watchers = append(r.watchers, fn)
}
