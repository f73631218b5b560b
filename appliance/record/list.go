package record

import (
	"bytes"
	"context"
	"encoding/base64"
	"hash/fnv"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

// Limits of one page.
const (
	DefaultLimit = 50
	MaxLimit     = 200
	// CountLimit is up to where counts that have to look at records are exact.
	CountLimit = 1000
)

// Query asks for a page of records.
type Query struct {
	Entity string
	Field  string // when given, only records whose indexed Field equals Value
	Value  any    // string, ID or time.Time
	Sort   string // an indexed field, with "-" before it for backwards; "" or "-" is by age. Records without a value in
	// it are left out, but for the title
	Limit  int    // 0 is DefaultLimit
	Cursor string // of the page before, "" for the first
	Keep   func(Record) bool
}

// Page is a run of records and the cursor to the next, "" on the last page.
type Page struct {
	Records []Record
	Next    string
}

// List gives a page of what the actor may see.
func (b *Book) List(ctx context.Context, q Query) (page Page, err error) {
	err = b.db.View(ctx, func(tx store.Tx) error {
		page, err = b.ListTx(ctx, tx, q)
		return err
	})
	return page, err
}

// ListTx is List within a transaction.
func (b *Book) ListTx(ctx context.Context, tx store.Tx, q Query) (Page, error) {
	walk, err := b.plan(ctx, tx, q)
	if err != nil {
		return Page{}, err
	}
	limit := q.Limit
	if limit <= 0 {
		limit = DefaultLimit
	}
	limit = min(limit, MaxLimit)
	var page Page
	var last []byte
	for key, r := range walk {
		if len(page.Records) == limit {
			page.Next = cursorText(q, last)
			break
		}
		last = slices.Clone(key)
		r.raw = slices.Clone(r.raw)
		page.Records = append(page.Records, r)
	}
	return page, ctx.Err()
}

// Count says how many records the query would list: exact is false when there are more than n. Without Keep, Field and
// Sort it costs one read for those who see all or have an owner's count; else it counts CountLimit records at most.
func (b *Book) Count(ctx context.Context, q Query) (n int, exact bool, err error) {
	err = b.db.View(ctx, func(tx store.Tx) error {
		e := b.schema.Entity(q.Entity)
		if e == nil {
			return fault.Missing("entity", q.Entity)
		}
		filter, err := b.gate.Filter(ctx, q.Entity)
		if err != nil {
			return err
		}
		if q.Keep == nil && q.Field == "" && strings.TrimPrefix(q.Sort, "-") == "" && (filter.All || e.Via == "") {
			key := q.Entity
			if !filter.All {
				key += "\x00" + filter.Owner
			}
			n, exact = int(counted(tx, key)), true
			return nil
		}
		walk, err := b.plan(ctx, tx, q)
		if err != nil {
			return err
		}
		exact = true
		for range walk {
			if n == CountLimit {
				exact = false
				break
			}
			n++
		}
		return nil
	})
	return n, exact, err
}

// plan chooses the bucket to walk and yields (key, record) of what the actor may see, from the cursor on.
func (b *Book) plan(ctx context.Context, tx store.Tx, q Query) (iter.Seq2[[]byte, Record], error) {
	e := b.schema.Entity(q.Entity)
	if e == nil {
		return nil, fault.Missing("entity", q.Entity)
	}
	filter, err := b.gate.Filter(ctx, q.Entity)
	if err != nil {
		return nil, err
	}
	sort, reverse := strings.CutPrefix(q.Sort, "-")
	name, prefix := "record."+e.Name, []byte(nil)
	is := func(Record) bool { return true }
	switch {
	case q.Field != "":
		if sort != "" {
			return nil, fault.InvalidField("sort", "list.sort-with-field")
		}
		if prefix, is, err = equals(e, q.Field, q.Value); err != nil {
			return nil, err
		}
		name = indexBucket(e.Name, q.Field)
	case sort != "":
		if f := e.Field(sort); f == nil || !f.Indexed || f.Many { // by one of many it would list a record again and again
			return nil, fault.InvalidField("sort", "list.sort", "field", sort)
		}
		name = indexBucket(e.Name, sort)
	case !filter.All && e.Owner != "" && e.Via == "" && e.Field(e.Owner).Indexed:
		name, prefix = indexBucket(e.Name, e.Owner), []byte(sortableText(filter.Owner))
	}
	from, to, err := b.window(q, prefix, reverse)
	if err != nil {
		return nil, err
	}
	records := tx.Bucket("record." + e.Name)
	return func(yield func([]byte, Record) bool) {
		for key, raw := range tx.Bucket(name).Scan(from, to, reverse) {
			r := Record{entity: e, raw: raw}
			copy(r.ID[:], key[len(key)-16:])
			if name != "record."+e.Name {
				r.raw = records.Get(r.ID[:])
			}
			if r.raw == nil || !is(r) || !filter.All && !slices.Contains(b.owners(tx, r, 0), filter.Owner) || q.Keep != nil && !q.Keep(r) {
				continue
			}
			if !yield(key, r) {
				return
			}
		}
	}, nil
}

// window is the range of keys to walk: the prefix's, from the cursor on.
func (b *Book) window(q Query, prefix []byte, reverse bool) (from, to []byte, err error) {
	from, to = prefix, store.PrefixEnd(prefix)
	if q.Cursor == "" {
		return from, to, nil
	}
	at, err := cursorKey(q)
	if err != nil {
		return nil, nil, err
	}
	if !bytes.HasPrefix(at, prefix) {
		return nil, nil, fault.InvalidField("cursor", "list.cursor")
	}
	if reverse {
		return from, at, nil
	}
	return append(at, 0), to, nil
}

// equals gives the beginning of the index keys of a value, and tells a record that has it from one whose text only
// folds to the same key or begins alike.
func equals(e *schema.Entity, field string, value any) (prefix []byte, is func(Record) bool, err error) {
	f := e.Field(field)
	if f == nil || !f.Indexed {
		return nil, nil, fault.InvalidField("filter", "list.field", "field", field)
	}
	single := *f
	single.Many = false
	cleaned, bad := clean(&single, value)
	if bad != nil || cleaned == nil {
		return nil, nil, fault.InvalidField("filter", "field.type")
	}
	switch v := cleaned.(type) {
	case ID:
		return v[:], func(r Record) bool { return r.Link(field) == v }, nil
	case time.Time:
		return []byte(sortableTime(v)), func(Record) bool { return true }, nil
	case string:
		return []byte(sortableText(v)), func(r Record) bool { return slices.Contains(r.Texts(field), v) }, nil
	}
	return nil, nil, fault.InvalidField("filter", "field.type")
}

// A cursor is the key of the last record shown, with a sum of the query it belongs to, so that one from another list
// is refused. It grants nothing: every record is asked for anew.

func cursorText(q Query, key []byte) string {
	return base64.RawURLEncoding.EncodeToString(append(querySum(q), key...))
}

func cursorKey(q Query) ([]byte, error) {
	raw, err := base64.RawURLEncoding.DecodeString(q.Cursor)
	if err != nil || len(raw) < 4+16 || len(raw) > 2048 || !bytes.Equal(raw[:4], querySum(q)) {
		return nil, fault.InvalidField("cursor", "list.cursor")
	}
	return raw[4:], nil
}

func querySum(q Query) []byte {
	h := fnv.New32a()
	h.Write([]byte(q.Entity + "\x00" + q.Field + "\x00" + q.Sort))
	return h.Sum(nil)
}

// Linked yields the records of an entity whose indexed link names id, newest first, without asking who reads; older
// than before where that is given.
func (b *Book) Linked(tx store.Tx, entity, link string, id, before ID) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		e := b.schema.Entity(entity)
		to := store.PrefixEnd(id[:])
		if !before.Zero() {
			to = append(id[:len(id):len(id)], before[:]...)
		}
		records := tx.Bucket("record." + entity)
		for key := range tx.Bucket(indexBucket(entity, link)).Scan(id[:], to, true) {
			r := Record{entity: e}
			copy(r.ID[:], key[len(key)-16:])
			if raw := records.Get(r.ID[:]); raw != nil {
				r.raw = slices.Clone(raw)
				if !yield(r) {
					return
				}
			}
		}
	}
}

// Allowed tells whether the actor may do verb to a record that was read already.
func (b *Book) Allowed(ctx context.Context, tx store.Tx, verb access.Verb, r Record) bool {
	return b.require(ctx, tx, verb, r) == nil
}

// With yields the records whose indexed field has the value, oldest first, without asking who reads.
func (b *Book) With(tx store.Tx, entity, field string, value any) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		e := b.schema.Entity(entity)
		prefix, is, err := equals(e, field, value)
		if err != nil {
			return // nothing has an impossible value; a field that is not indexed would find nothing in the room's tests
		}
		for key := range tx.Bucket(indexBucket(entity, field)).Scan(prefix, store.PrefixEnd(prefix), false) {
			r, err := b.Raw(tx, entity, ID(key[len(key)-16:]))
			if err == nil && is(r) && !yield(r) {
				return
			}
		}
	}
}
