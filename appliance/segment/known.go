package segment

import (
	"crypto/rand"
	"slices"

	"github.com/karov-crm/karov/appliance/filter"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

// Every write of every record asks all segments, so they are kept parsed. They are read anew when the bucket's head or
// the schema is another one. A head is drawn by chance, so that one of a transaction that came to nothing is never met
// again.

// known is all segments as they stand under one head and one schema.
type known struct {
	head   string
	schema *schema.Schema

	all    map[record.ID]*segment
	of     map[string][]*segment // by the entity of their members
	linked map[string][]*segment // by the entities that their filters read through links
}

// segment is one of them, parsed.
type segment struct {
	id     record.ID
	entity string
	filter *filter.Filter // nil when the schema has moved on and it cannot be parsed any more
	linked []filter.Use   // fields that it reads through links
}

var headKey = []byte("head")

// load gives the segments of a transaction's moment. It costs a read when nothing changed.
func (r *Room) load(tx store.Tx) *known {
	head, s := string(tx.Bucket(headBucket).Get(headKey)), r.schema.At(tx)
	if k := r.known.Load(); k != nil && k.head == head && k.schema == s {
		return k
	}
	k := parse(tx, s)
	k.head = head
	r.known.Store(k)
	return k
}

// parse reads all segments under a schema.
func parse(tx store.Tx, s *schema.Schema) *known {
	k := &known{schema: s, all: map[record.ID]*segment{}, of: map[string][]*segment{}, linked: map[string][]*segment{}}
	for id, raw := range tx.Bucket(filtersBucket).Scan(nil, nil, false) {
		entity, text := splitDefinition(raw)
		one := &segment{id: record.ID(id), entity: entity}
		if f, err := filter.Parse(text, s, entity, filter.Options{}); err == nil {
			one.filter = f
		}
		k.all[one.id] = one
		if one.filter == nil {
			continue
		}
		k.of[entity] = append(k.of[entity], one)
		for _, u := range one.filter.Uses() {
			if len(u.Via) == 0 {
				continue
			}
			one.linked = append(one.linked, u)
			if !slices.Contains(k.linked[u.Entity], one) {
				k.linked[u.Entity] = append(k.linked[u.Entity], one)
			}
		}
	}
	return k
}

// touch says that a segment was made, changed or dropped in the transaction.
func touch(tx store.Tx) {
	head := make([]byte, 16)
	_, _ = rand.Read(head) // never fails (crypto/rand)
	tx.Bucket(headBucket).Put(headKey, head)
}

// A definition is the entity, NUL and the filter.

func definition(entity, text string) []byte { return []byte(entity + "\x00" + text) }

func splitDefinition(raw []byte) (entity, text string) {
	at := slices.Index(raw, 0)
	if at < 0 {
		return string(raw), ""
	}
	return string(raw[:at]), string(raw[at+1:])
}
