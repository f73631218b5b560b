package sdk

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
)

// Limits of one call, as the contract states them. The SDK pages by itself where it can.
const (
	pageSize   = 200
	amendTimes = 5
)

// Record is one record, as far as the caller may read it. Its values are read by the methods of Values:
//
//	r.Text("plate"), r.Money("price"), r.Date("next_visit"), r.Link("customer")
type Record struct {
	Entity               string
	ID                   string
	Version              uint64 // which state of the record this is; an update names it
	CreatedAt, UpdatedAt time.Time
	CreatedBy, UpdatedBy string // an account's id, "plugin:<id>" or "system"
	Values
}

// Ref names the record.
func (r Record) Ref() Ref { return Ref{Entity: r.Entity, ID: r.ID} }

// IsZero tells whether this is no record, as Write.Before of a new one.
func (r Record) IsZero() bool { return r.ID == "" }

// Query says which records.
type Query struct {
	Entity string
	Filter string   // in Karov's filter language; Where writes it with foreign values. "" for all
	Sort   string   // a field's name, "-" before it for descending; "" for the order of creation
	Limit  int      // at most so many, 0 for all
	Fields []string // only these values; empty for all
}

// Records is what the office holds, as the plugin was granted it. Called with the ctx of a handler that answers for a
// person, it does and shows no more than that person may; AsPlugin takes the person away. What was not granted is an
// error that IsForbidden knows; a record that is not for the caller is not found, exactly as one that does not exist.
type Records interface {
	// Get reads one record. One that is not there is an error that IsNotFound knows.
	Get(ctx context.Context, entity, id string) (Record, error)
	// GetAll reads many by their ids, in the order asked; those not found are left out.
	GetAll(ctx context.Context, entity string, ids []string, fields ...string) ([]Record, error)
	// Query lists records and fetches page after page while the loop goes on. An error ends the loop:
	//
	//	for r, err := range h.Records().Query(ctx, sdk.Query{Entity: "contact", Filter: `city = "Haifa"`}) {
	//		if err != nil {
	//			return err
	//		}
	//		...
	//	}
	Query(ctx context.Context, q Query) iter.Seq2[Record, error]
	// Count counts exactly up to 1,000; beyond it exact is false and there are more.
	Count(ctx context.Context, entity, filter string) (n int, exact bool, err error)
	// Write does several writes, at most 500, in one transaction: all or none. It gives the records as they are now, in the
	// order of the writes; of a deleted one only its entity and id. A version that is no longer the record's is an error
	// that IsConflict knows.
	Write(ctx context.Context, batch ...Change) ([]Record, error)
	// WriteOnce is Write, done once for a key however often it is called: a second call with the same key answers what the
	// first one answered. Use it where the plugin itself may be called again: in a job, after an event, for a web-hook.
	WriteOnce(ctx context.Context, key string, batch ...Change) ([]Record, error)
}

// Change is one write of a batch: Create, Update or Delete make it.
type Change struct {
	create, update, remove bool
	of                     Ref
	version                uint64
	values                 Values
}

// Create makes a record. A link may name a record that the same batch makes: Made.
func Create(entity string, v Values) Change {
	return Change{create: true, of: Ref{Entity: entity}, values: v}
}

// Update changes the values that are named and leaves the others. It holds only while the record is as r was read.
func Update(r Record, v Values) Change {
	return Change{update: true, of: r.Ref(), version: r.Version, values: v}
}

// Delete puts a record into the bin. It holds only while the record is as r was read.
func Delete(r Record) Change { return Change{remove: true, of: r.Ref(), version: r.Version} }

// Made names the record that the write with this index, from 0, of the same batch makes:
//
//	h.Records().Write(ctx,
//		sdk.Create("fieldservice.asset", sdk.Values{"plate": "12-345-67"}),
//		sdk.Create("fieldservice.order", sdk.Values{"asset": sdk.Made(0)}))
func Made(index int) Ref { return Ref{ID: "@" + plain(index)} }

// Amend reads a record, asks change what to write, and writes it; when somebody else was first, it reads and asks
// again. Nil Values write nothing. It gives the record as it is then.
func Amend(ctx context.Context, in Records, ref Ref, change func(Record) (Values, error)) (Record, error) {
	for attempt := 1; ; attempt++ {
		r, err := in.Get(ctx, ref.Entity, ref.ID)
		if err != nil {
			return Record{}, err
		}
		v, err := change(r)
		if err != nil || v == nil {
			return r, err
		}
		now, err := in.Write(ctx, Update(r, v))
		if err == nil && len(now) == 1 {
			return now[0], nil
		}
		if !IsConflict(err) || attempt == amendTimes {
			return Record{}, err
		}
	}
}

// Collect makes what a Query finds a slice.
func Collect[T any](found iter.Seq2[T, error]) ([]T, error) {
	var all []T
	for one, err := range found {
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// records is Records over the line.
type records struct{ client wirev1.RecordsClient }

// Get reads one record.
func (c records) Get(ctx context.Context, entity, id string) (Record, error) {
	found, err := c.GetAll(ctx, entity, []string{id})
	if err != nil {
		return Record{}, err
	}
	if len(found) == 0 {
		return Record{}, local(wirev1.Kind_KIND_NOT_FOUND, "record.not-found", fmt.Errorf("there is no %s %s for the caller", entity, id))
	}
	return found[0], nil
}

// GetAll reads many, in as many calls as it takes.
func (c records) GetAll(ctx context.Context, entity string, ids []string, fields ...string) ([]Record, error) {
	out := make([]Record, 0, len(ids))
	for len(ids) > 0 {
		n := min(len(ids), pageSize)
		ask := &wirev1.GetRequest{Entity: wire.Valid(entity), Ids: validTexts(ids[:n]), Fields: validTexts(fields)}
		answer, err := call(ctx, c.client.Get, ask)
		if err != nil {
			return nil, err
		}
		out = append(out, plainRecords(answer.GetRecords())...)
		ids = ids[n:]
	}
	return out, nil
}

// Query pages through what is found.
func (c records) Query(ctx context.Context, q Query) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		ask := &wirev1.QueryRequest{
			Entity: wire.Valid(q.Entity), Filter: wire.Valid(q.Filter), Sort: wire.Valid(q.Sort), Fields: validTexts(q.Fields),
		}
		for left := q.Limit; ; {
			ask.Limit = pageSize
			if q.Limit > 0 {
				ask.Limit = int32(min(left, pageSize))
			}
			page, err := call(ctx, c.client.Query, ask)
			if err != nil {
				yield(Record{}, err)
				return
			}
			for _, r := range page.GetRecords() {
				left--
				if !yield(plainRecord(r), nil) || q.Limit > 0 && left == 0 {
					return
				}
			}
			if ask.Cursor = page.GetNext(); ask.Cursor == "" {
				return
			}
		}
	}
}

// Count counts.
func (c records) Count(ctx context.Context, entity, filter string) (int, bool, error) {
	answer, err := call(ctx, c.client.Count, &wirev1.CountRequest{Entity: wire.Valid(entity), Filter: wire.Valid(filter)})
	return int(answer.GetCount()), answer.GetExact(), err
}

// Write writes a batch.
func (c records) Write(ctx context.Context, batch ...Change) ([]Record, error) {
	return c.WriteOnce(ctx, "", batch...)
}

// WriteOnce writes a batch once for a key.
func (c records) WriteOnce(ctx context.Context, key string, batch ...Change) ([]Record, error) {
	if len(batch) == 0 {
		return nil, nil
	}
	ask := &wirev1.WriteRequest{IdempotencyKey: wire.Valid(key)}
	for _, one := range batch {
		w, err := one.wire()
		if err != nil {
			return nil, err
		}
		ask.Writes = append(ask.Writes, w)
	}
	answer, err := call(ctx, c.client.Write, ask)
	if err != nil {
		return nil, err
	}
	return plainRecords(answer.GetRecords()), nil
}

func (c Change) wire() (*wirev1.Write, error) {
	values, err := c.values.wire()
	if err != nil {
		return nil, local(wirev1.Kind_KIND_INVALID, "record.value-unfit", err)
	}
	entity, id := wire.Valid(c.of.Entity), wire.Valid(c.of.ID)
	switch {
	case c.create:
		act := &wirev1.CreateRecord{Entity: entity, Values: values}
		return &wirev1.Write{Act: &wirev1.Write_Create{Create: act}}, nil
	case c.update:
		act := &wirev1.UpdateRecord{Entity: entity, Id: id, Version: c.version, Values: values}
		return &wirev1.Write{Act: &wirev1.Write_Update{Update: act}}, nil
	case c.remove:
		act := &wirev1.DeleteRecord{Entity: entity, Id: id, Version: c.version}
		return &wirev1.Write{Act: &wirev1.Write_Delete{Delete: act}}, nil
	}
	return nil, local(wirev1.Kind_KIND_INVALID, "record.no-change", errors.New("a Change is made by Create, Update or Delete"))
}

func plainRecords(in []*wirev1.Record) []Record {
	out := make([]Record, 0, len(in))
	for _, r := range in {
		out = append(out, plainRecord(r))
	}
	return out
}

func plainRecord(r *wirev1.Record) Record {
	if r == nil {
		return Record{}
	}
	return Record{
		Entity: r.GetEntity(), ID: r.GetId(), Version: r.GetVersion(),
		CreatedAt: plainTime(r.GetCreatedAt()), UpdatedAt: plainTime(r.GetUpdatedAt()),
		CreatedBy: r.GetCreatedBy(), UpdatedBy: r.GetUpdatedBy(),
		Values: plainValues(r.GetValues(), Ref{Entity: r.GetEntity(), ID: r.GetId()}),
	}
}

func plainRef(r *wirev1.RecordRef) Ref { return Ref{Entity: r.GetEntity(), ID: r.GetId()} }

func plainRefs(in []*wirev1.RecordRef) []Ref {
	out := make([]Ref, 0, len(in))
	for _, r := range in {
		out = append(out, plainRef(r))
	}
	return out
}

// wire gives nil for no record.
func (r Ref) wire() *wirev1.RecordRef {
	if r.IsZero() {
		return nil
	}
	return &wirev1.RecordRef{Entity: wire.Valid(r.Entity), Id: wire.Valid(r.ID)}
}

func validTexts(in []string) []string {
	out := make([]string, 0, len(in))
	for _, s := range in {
		out = append(out, wire.Valid(s))
	}
	return out
}
