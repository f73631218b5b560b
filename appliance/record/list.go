package record

import (
	"bytes"
	"context"
	"encoding/base64"
	"hash/fnv"
	"iter"
	"slices"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/filter"
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
	Filter *filter.Filter // only records that match; from Book.Parse, for the same entity
	Field  string         // when given, only records whose indexed Field equals Value
	Value  any            // string, ID or time.Time
	Sort   string         // an indexed field, with "-" before it for backwards; "" or "-" is by age
	Valued bool           // only records that have a value in Sort; others come behind all that have one
	Limit  int            // 0 is DefaultLimit
	Cursor string         // of the page before, "" for the first
	Keep   func(Record) bool
	Act    ID // of ChangeMany and DeleteMany: the id that the act gets, so that who asks twice finds it; zero for a fresh one
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
	p, err := b.plan(ctx, tx, q)
	if err != nil {
		return Page{}, err
	}
	p.paged = true
	page := p.page(ctx, tx)
	if p.spent {
		p.collectAll()
		page = p.page(ctx, tx)
	}
	return page, ctx.Err()
}

func (q Query) limit() int {
	if q.Limit <= 0 {
		return DefaultLimit
	}
	return min(q.Limit, MaxLimit)
}

// page reads as many records as the query asks for, and where the next page begins.
func (p *plan) page(ctx context.Context, tx store.Tx) (page Page) {
	var last []byte
	for at, r := range p.walk(ctx, tx) {
		if len(page.Records) == p.query.limit() {
			if p.sort == nil {
				last = last[len(last)-16:] // the order of age, whatever was walked: the next page may walk something else
			}
			page.Next = cursorText(p.query, last)
			p.spent = false
			break
		}
		last = append(last[:0], at...)
		r.raw = slices.Clone(r.raw)
		page.Records = append(page.Records, p.book.shown(ctx, tx, r))
	}
	return page
}

// Count says how many records the query would list: exact is false when there are more than n. Where the query has no
// condition it costs a read; else it counts CountLimit records at most.
func (b *Book) Count(ctx context.Context, q Query) (n int, exact bool, err error) {
	return b.count(ctx, q, CountLimit)
}

// CountAll is Count to the end, however long it takes.
func (b *Book) CountAll(ctx context.Context, q Query) (n int, err error) {
	n, _, err = b.count(ctx, q, -1)
	return n, err
}

func (b *Book) count(ctx context.Context, q Query, limit int) (n int, exact bool, err error) {
	err = b.db.View(ctx, func(tx store.Tx) error {
		q.Cursor, exact = "", true
		if !q.Valued {
			q.Sort = "" // no order changes how many there are
		}
		p, err := b.plan(ctx, tx, q)
		if err != nil {
			return err
		}
		if n, exact = p.counted(tx); exact {
			return nil
		}
		n, exact = 0, true
		for range p.walk(ctx, tx) {
			if n == limit {
				exact = false
				return nil
			}
			n++
		}
		return ctx.Err()
	})
	return n, exact, err
}

// counted reads the answer of a plan without conditions from the kept counts.
func (p *plan) counted(tx store.Tx) (n int, ok bool) {
	if len(p.tests) > 0 || p.query.Valued || p.query.Field != "" {
		return 0, false
	}
	if p.everybody() {
		return int(counted(tx, countKey(p.entity.Name, ""))), true
	}
	// A record that stands under two of the actor's principals is counted under each.
	for _, principal := range p.principals {
		if under := counted(tx, countKey(p.entity.Name, principal)); under > 0 && n > 0 {
			return 0, false
		} else if under > 0 {
			n = int(under)
		}
	}
	return n, true
}

// walk yields where each record stands in the plan's order, and the record, of those that pass its tests. The record
// is the store's until the next.
func (p *plan) walk(ctx context.Context, tx store.Tx) iter.Seq2[[]byte, Record] {
	if p.collect {
		return p.collected(ctx, tx)
	}
	return p.scan(ctx, tx, p.index, p.windows, p.reverse)
}

// patience is how many records a walk in the order of an index may test in vain before reading all records in their own
// order, which costs a tenth for each, is the better way.
const patience = 5000

// ctxEvery is after how many records a walk asks whether anybody still waits for it.
const ctxEvery = 1024

// scan walks the windows of an index, or of the records themselves, and tests each record.
func (p *plan) scan(ctx context.Context, tx store.Tx, index string, windows []window, reverse bool) iter.Seq2[[]byte, Record] {
	return func(yield func([]byte, Record) bool) {
		records := tx.Bucket("record." + p.entity.Name)
		n := 0
		for _, w := range windows {
			for at, raw := range p.keys(tx, index, w, reverse) {
				if n++; n%ctxEvery == 0 && ctx.Err() != nil {
					return
				}
				if p.hopeful && p.paged && n > patience {
					p.spent = true
					return
				}
				id := at[len(at)-16:]
				if index != "" {
					raw = records.Get(id)
				}
				r := Record{ID: ID(id), entity: p.entity, raw: raw}
				if r.raw != nil && p.passes(r) && !yield(at, r) {
					return
				}
			}
		}
	}
}

// keys yields the places of a window of an index, each once, over all of the actor's principals. Without an index the
// place is the record's id, and its bytes come along.
func (p *plan) keys(tx store.Tx, index string, w window, reverse bool) iter.Seq2[[]byte, []byte] {
	if index == "" {
		return tx.Bucket("record."+p.entity.Name).Scan(w.from, w.to, reverse)
	}
	bucket := tx.Bucket(indexBucket(p.entity.Name, index))
	if len(p.principals) == 1 {
		return partitionKeys(bucket, p.principals[0], w, reverse)
	}
	return mergedKeys(bucket, p.principals, w, reverse)
}

func partitionKeys(bucket store.Bucket, principal string, w window, reverse bool) iter.Seq2[[]byte, []byte] {
	skip := len(principal) + 1
	from, to := w.under(principal)
	return func(yield func([]byte, []byte) bool) {
		for key, value := range bucket.Scan(from, to, reverse) {
			if len(key) >= skip+16 && !yield(key[skip:], value) {
				return
			}
		}
	}
}

// mergedKeys walks several partitions at once in one order.
func mergedKeys(bucket store.Bucket, principals []string, w window, reverse bool) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		type head struct {
			at   []byte
			next func() ([]byte, []byte, bool)
		}
		var heads []*head
		for _, principal := range principals {
			next, stop := iter.Pull2(partitionKeys(bucket, principal, w, reverse))
			defer stop()
			if at, _, ok := next(); ok {
				heads = append(heads, &head{slices.Clone(at), next})
			}
		}
		var last []byte
		for len(heads) > 0 {
			first := 0
			for i := range heads {
				if c := bytes.Compare(heads[i].at, heads[first].at); c < 0 && !reverse || c > 0 && reverse {
					first = i
				}
			}
			h := heads[first]
			if last == nil || !bytes.Equal(h.at, last) {
				last = append(last[:0], h.at...)
				if !yield(last, nil) {
					return
				}
			}
			at, _, ok := h.next()
			if !ok {
				heads = slices.Delete(heads, first, first+1)
				continue
			}
			h.at = append(h.at[:0], at...)
		}
	}
}

// collected reads the records that a condition leaves, and sorts them by what the list is sorted by. It keeps no more
// than the page needs.
func (p *plan) collected(ctx context.Context, tx store.Tx) iter.Seq2[[]byte, Record] {
	type place struct {
		at []byte
		id ID
	}
	return func(yield func([]byte, Record) bool) {
		var places []place
		first := func(n int) {
			slices.SortFunc(places, func(a, b place) int { return p.compare(a.at, b.at) })
			places = slices.CompactFunc(places, func(a, b place) bool { return a.id == b.id }) // met by two of its values
			places = places[:min(len(places), n)]
		}
		need := p.query.limit() + 1
		for _, r := range p.scan(ctx, tx, p.index, p.windows, false) {
			at := r.ID[:]
			if p.sort != nil {
				value := indexValues(r, p.sort)[0]
				if value == missing && p.query.Valued {
					continue
				}
				at = append([]byte(value), r.ID[:]...)
			}
			if p.after != nil && p.compare(at, p.after) <= 0 {
				continue
			}
			if places = append(places, place{slices.Clone(at), r.ID}); p.paged && len(places) > 4*need+1000 {
				first(need)
			}
		}
		first(len(places))
		for _, found := range places {
			if r, ok := rawOf(tx, p.entity, found.id); ok && !yield(found.at, r) {
				return
			}
		}
	}
}

// compare orders two places as the list does: those without a value come last in both directions.
func (p *plan) compare(a, b []byte) int {
	if p.sort != nil {
		if noA, noB := a[0] == missing[0], b[0] == missing[0]; noA != noB {
			if noA {
				return 1
			}
			return -1
		}
	}
	if p.reverse {
		return bytes.Compare(b, a)
	}
	return bytes.Compare(a, b)
}

// A cursor is the place of the last record shown, with a sum of the query it belongs to, so that one from another list
// is refused. It grants nothing: every record is asked for anew.

func cursorText(q Query, at []byte) string {
	return base64.RawURLEncoding.EncodeToString(append(querySum(q), at...))
}

func cursorPlace(q Query) ([]byte, error) {
	raw, err := base64.RawURLEncoding.DecodeString(q.Cursor)
	if err != nil || len(raw) < 4+16 || len(raw) > 2048 || !bytes.Equal(raw[:4], querySum(q)) {
		return nil, fault.InvalidField("cursor", "list.cursor")
	}
	return raw[4:], nil
}

func querySum(q Query) []byte {
	h := fnv.New32a()
	h.Write([]byte(q.Entity + "\x00" + q.Field + "\x00" + q.Sort))
	if q.Filter != nil {
		h.Write([]byte("\x00" + q.Filter.String()))
	}
	return h.Sum(nil)
}

// Linked yields the records of an entity whose indexed link names id, newest first, without asking who reads; older
// than before where that is given.
func (b *Book) Linked(tx store.Tx, entity, link string, id, before ID) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		e := b.schema.At(tx).Entity(entity)
		if e == nil || e.Field(link) == nil || !b.ready(tx, entity, link) {
			return
		}
		prefix := append([]byte("\x00"+valued), id[:]...)
		to := store.PrefixEnd(prefix)
		if !before.Zero() {
			to = append(slices.Clone(prefix), before[:]...)
		}
		for key := range tx.Bucket(indexBucket(entity, link)).Scan(prefix, to, true) {
			if r, ok := rawOf(tx, e, ID(key[len(key)-16:])); ok && !yield(r) {
				return
			}
		}
	}
}

// With yields the records whose indexed field has the value, oldest first, without asking who reads.
func (b *Book) With(tx store.Tx, entity, field string, value any) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		e := b.schema.At(tx).Entity(entity)
		w, is, err := equals(e, field, value)
		if err != nil {
			return // nothing has an impossible value; a field that is not indexed would find nothing in the room's tests
		}
		for at := range partitionKeys(tx.Bucket(indexBucket(entity, field)), "", w, false) {
			if r, ok := rawOf(tx, e, ID(at[len(at)-16:])); ok && is(r) && !yield(r) {
				return
			}
		}
	}
}

// equals gives the window of a value, and tells a record that has it from one whose text only folds to the same key or
// begins alike.
func equals(e *schema.Entity, field string, value any) (w window, is func(Record) bool, err error) {
	f := e.Field(field)
	if f == nil || !f.Indexed || f.Hidden {
		return w, nil, fault.InvalidField("filter", "list.field", "field", field)
	}
	single := *holding(f)
	single.Many = false
	cleaned, bad := clean(&single, value)
	if bad != nil || cleaned == nil {
		return w, nil, fault.InvalidField("filter", "field.type")
	}
	raw, err := wire(&single, cleaned)
	if err != nil {
		return w, nil, err
	}
	found := indexValues(Record{entity: e, raw: raw}, f)
	w = prefixed([]byte(found[0]))
	if s, ok := cleaned.(string); ok {
		return w, func(r Record) bool {
			same := false
			r.visit(numberOf(f), func(b []byte) bool { same = same || string(b) == s; return !same })
			return same
		}, nil
	}
	return w, func(Record) bool { return true }, nil
}
