package plugin

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/protobuf/proto"
)

// Limits of the services for records.
const (
	maxGet    = 200
	maxWrites = 500
	maxFilter = 16 << 10

	// maxAnswer is how much of a message records may fill; the rest is left for what stands around them.
	maxAnswer     = wire.MaxMessage - 64<<10
	perRecord     = 8  // bytes around a record in a message
	maxLongAtOnce = 20 // records with long texts that are held at once
)

// replied is what a service gives back: what it found, or the fault as the line carries it.
func replied[T any](c *callbacks, answer *T, err error) (*T, error) {
	if err != nil {
		return nil, c.toWire(err)
	}
	return answer, nil
}

// begin gives a call to one of the services its actor. A host that stands on no records serves none of them.
func (c *callbacks) begin(ctx context.Context) (context.Context, error) {
	if o := c.s.p.host.o; o.DB == nil || o.Book == nil || o.Gate == nil || o.Journal == nil {
		return nil, fault.New(fault.Unavailable, "plugin.service-absent")
	}
	return c.acting(ctx)
}

// entity finds a kind of record that the plugin may do verb to.
func (c *callbacks) entity(ctx context.Context, verb access.Verb, name string) (*schema.Entity, error) {
	if err := c.granted(ctx, verb, name); err != nil {
		return nil, err
	}
	e := c.s.p.host.o.Book.Schema().Entity(name)
	if e == nil || e.Hidden {
		return nil, fault.Missing("entity", wire.Cut(name, 100))
	}
	return e, nil
}

// Query lists records.
func (s recordsService) Query(ctx context.Context, r *wirev1.QueryRequest) (*wirev1.QueryResponse, error) {
	answer, err := s.query(ctx, r)
	return replied(s.c, answer, err)
}

func (s recordsService) query(ctx context.Context, r *wirev1.QueryRequest) (*wirev1.QueryResponse, error) {
	ctx, err := s.c.begin(ctx)
	if err != nil {
		return nil, err
	}
	e, q, err := s.asked(ctx, r.GetEntity(), r.GetFilter())
	if err != nil {
		return nil, err
	}
	if r.GetLimit() < 0 || r.GetLimit() > record.MaxLimit {
		return nil, fault.InvalidField("limit", "list.limit", "most", record.MaxLimit)
	}
	if err := s.named(ctx, e, r.GetFields()); err != nil {
		return nil, err
	}
	q.Sort, q.Cursor, q.Limit = r.GetSort(), r.GetCursor(), int(r.GetLimit())
	found, answer, err := s.page(ctx, e, q, r.GetFields())
	if err != nil {
		return nil, err
	}
	return answer, s.tellListed(ctx, e, q, found)
}

// asked reads which records are meant.
func (s recordsService) asked(ctx context.Context, entity, filter string) (e *schema.Entity, q record.Query, err error) {
	if e, err = s.c.entity(ctx, access.See, entity); err != nil {
		return nil, q, err
	}
	q.Entity = e.Name
	switch {
	case len(filter) > maxFilter:
		return nil, q, fault.InvalidField("filter", "field.too-long", "limit", maxFilter)
	case filter != "":
		q.Filter, err = s.c.s.p.host.o.Book.Parse(ctx, e.Name, filter)
	}
	return e, q, err
}

// page reads as many records as go into a message, one at least. What may be long is read a few at a time.
func (s recordsService) page(ctx context.Context, e *schema.Entity, q record.Query, only []string) (found []record.Record, answer *wirev1.QueryResponse, err error) {
	done, err := s.c.s.limit.list(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	left, size := q.Limit, 0
	if left == 0 {
		left = record.DefaultLimit
	}
	answer = &wirev1.QueryResponse{}
	for step := stepOf(e); left > 0; {
		q.Limit = min(left, step)
		page, err := s.c.s.p.host.o.Book.List(ctx, q)
		if err != nil {
			return nil, nil, err
		}
		records, more := toWireAll(page.Records, e, only, maxAnswer-size)
		switch {
		case more < 0 && len(answer.Records) > 0:
			return found, answer, nil // the next page begins where this step did
		case more < 0 && len(page.Records) == 1:
			return nil, nil, tooLong()
		case more < 0:
			step = len(page.Records) / 2
			continue
		}
		found, answer.Records, size = append(found, page.Records...), append(answer.Records, records...), size+more
		left -= len(records)
		if answer.Next, q.Cursor = page.Next, page.Next; page.Next == "" {
			break
		}
	}
	return found, answer, nil
}

// stepOf is how many records of an entity are read at once.
func stepOf(e *schema.Entity) int {
	if slices.ContainsFunc(e.Fields, func(f schema.Field) bool { return f.Type == schema.LongText }) {
		return maxLongAtOnce
	}
	return record.MaxLimit
}

// toWireAll makes records fit for the line, and says how long they are; -1 for longer than they may be.
func toWireAll(records []record.Record, e *schema.Entity, only []string, limit int) (out []*wirev1.Record, size int) {
	for _, r := range records {
		one := recordToWire(r, e, only)
		if size += proto.Size(one) + perRecord; size > limit {
			return nil, -1
		}
		out = append(out, one)
	}
	return out, size
}

// tooLong is the fault of records that no message can carry.
func tooLong() error {
	return fault.New(fault.TooLarge, "plugin.answer-too-long", "limit", wire.MaxMessage)
}

// tellListed tells the journal that records which are not the plugin's own were listed, and of each in which it read a
// sensitive field.
func (s recordsService) tellListed(ctx context.Context, e *schema.Entity, q record.Query, records []record.Record) error {
	if s.own(e) {
		return nil
	}
	if err := s.c.s.p.host.o.Book.TellListed(ctx, q, len(records)); err != nil {
		return err
	}
	return s.tellRead(ctx, e, records, true)
}

func (s recordsService) tellRead(ctx context.Context, e *schema.Entity, records []record.Record, sensitiveOnly bool) error {
	if s.own(e) {
		return nil
	}
	for _, r := range records {
		if sensitiveOnly && !holdsSensitive(r, e) {
			continue
		}
		if err := s.c.s.p.host.o.Book.TellRead(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

func holdsSensitive(r record.Record, e *schema.Entity) bool {
	for i := range e.Fields {
		if f := &e.Fields[i]; f.Sensitive && r.Has(f.Name) {
			return true
		}
	}
	return false
}

// own tells whether the plugin declares the entity itself.
func (s recordsService) own(e *schema.Entity) bool { return s.c.s.p.m.declares(e.Name) }

// named refuses to show fields that the reader has not.
func (s recordsService) named(ctx context.Context, e *schema.Entity, only []string) error {
	return named(e, only, func(field string) bool { return s.c.s.p.host.o.Book.Readable(ctx, e, field) })
}

// Get reads records by their ids.
func (s recordsService) Get(ctx context.Context, r *wirev1.GetRequest) (*wirev1.GetResponse, error) {
	answer, err := s.get(ctx, r)
	return replied(s.c, answer, err)
}

func (s recordsService) get(ctx context.Context, r *wirev1.GetRequest) (*wirev1.GetResponse, error) {
	ctx, err := s.c.begin(ctx)
	if err != nil {
		return nil, err
	}
	e, err := s.c.entity(ctx, access.See, r.GetEntity())
	if err != nil {
		return nil, err
	}
	if len(r.GetIds()) > maxGet {
		return nil, fault.InvalidField("ids", "field.too-many", "limit", maxGet)
	}
	if err := s.named(ctx, e, r.GetFields()); err != nil {
		return nil, err
	}
	book, answer := s.c.s.p.host.o.Book, &wirev1.GetResponse{}
	var found []record.Record
	err = book.View(ctx, func(tx store.Tx) error {
		size := 0
		for _, text := range r.GetIds() {
			id, err := record.ParseID(text)
			if err != nil {
				continue
			}
			one, err := book.GetTx(ctx, tx, e.Name, id)
			if err != nil && !absent(err) {
				return err
			}
			if err != nil {
				continue
			}
			records, more := toWireAll([]record.Record{one}, e, r.GetFields(), maxAnswer-size)
			if more < 0 {
				return tooLong()
			}
			found, answer.Records, size = append(found, one), append(answer.Records, records...), size+more
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return answer, s.tellRead(ctx, e, found, false)
}

// absent tells the faults of a record that is not there for the reader.
func absent(err error) bool {
	switch fault.KindOf(err) {
	case fault.NotFound, fault.Forbidden:
		return true
	}
	return false
}

// Count counts records.
func (s recordsService) Count(ctx context.Context, r *wirev1.CountRequest) (*wirev1.CountResponse, error) {
	answer, err := s.count(ctx, r)
	return replied(s.c, answer, err)
}

func (s recordsService) count(ctx context.Context, r *wirev1.CountRequest) (*wirev1.CountResponse, error) {
	ctx, err := s.c.begin(ctx)
	if err != nil {
		return nil, err
	}
	e, q, err := s.asked(ctx, r.GetEntity(), r.GetFilter())
	if err != nil {
		return nil, err
	}
	done, err := s.c.s.limit.list(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	n, exact, err := s.c.s.p.host.o.Book.Count(ctx, q)
	if err != nil {
		return nil, err
	}
	if n > record.CountLimit { // of a kept count, which costs nothing: the contract promises no more
		n, exact = record.CountLimit, false
	}
	return &wirev1.CountResponse{Count: int64(n), Exact: exact}, s.tellListed(ctx, e, q, nil)
}

// Write does several writes in one transaction.
func (s recordsService) Write(ctx context.Context, r *wirev1.WriteRequest) (*wirev1.WriteResponse, error) {
	answer, err := s.write(ctx, r)
	return replied(s.c, answer, err)
}

func (s recordsService) write(ctx context.Context, r *wirev1.WriteRequest) (*wirev1.WriteResponse, error) {
	ctx, err := s.c.begin(ctx)
	if err != nil {
		return nil, err
	}
	if n := len(r.GetWrites()); n == 0 || n > maxWrites {
		return nil, fault.InvalidField("writes", "field.too-many", "limit", maxWrites)
	}
	b := &batch{c: s.c, ctx: ctx, writes: r.GetWrites(), entities: make([]*schema.Entity, len(r.GetWrites()))}
	for i, w := range r.GetWrites() {
		verb, entity := target(w)
		if verb == "" {
			return nil, atWrite(i, fault.InvalidField("act", "field.required"))
		}
		if b.entities[i], err = s.c.entity(ctx, verb, entity); err != nil {
			return nil, atWrite(i, err)
		}
	}
	if b.once, err = s.once(ctx, r); err != nil {
		return nil, err
	}
	if err := s.c.s.p.host.o.Book.Update(ctx, b.run); err != nil {
		return nil, err
	}
	answer := &wirev1.WriteResponse{Records: b.answers}
	if b.size > maxAnswer {
		for _, one := range answer.Records {
			one.Values = nil
		}
	}
	return answer, nil
}

// target says what a write does, and to records of which entity; "" for nothing.
func target(w *wirev1.Write) (access.Verb, string) {
	switch act := w.GetAct().(type) {
	case *wirev1.Write_Create:
		return access.Create, act.Create.GetEntity()
	case *wirev1.Write_Update:
		return access.Change, act.Update.GetEntity()
	case *wirev1.Write_Delete:
		return access.Delete, act.Delete.GetEntity()
	}
	return "", ""
}

// atWrite says in which write of a batch a fault is.
func atWrite(i int, err error) error {
	f := *fault.Of(err)
	f.Params = maps.Clone(f.Params)
	if f.Params == nil {
		f.Params = map[string]string{}
	}
	f.Params["write"], f.Err = strconv.Itoa(i), err
	return &f
}

// batch is one call of Write on its way.
type batch struct {
	c        *callbacks
	ctx      context.Context
	writes   []*wirev1.Write
	entities []*schema.Entity
	once     *once // nil where the plugin gave no key

	answers []*wirev1.Record
	size    int         // of the answers
	made    []record.ID // of the writes so far, the zero ID where one made nothing
}

// run does the writes in a transaction. It may be called more than once.
func (b *batch) run(tx store.Tx) error {
	b.answers, b.made, b.size = nil, nil, 0
	if b.once != nil {
		before, err := b.once.before(tx)
		if err != nil {
			return err
		}
		if before != nil {
			return b.again(tx, before)
		}
	}
	for i := range b.writes {
		if err := b.one(tx, i); err != nil {
			return atWrite(i, err)
		}
	}
	if b.once != nil {
		return b.once.keep(tx, b.answers)
	}
	return nil
}

func (b *batch) one(tx store.Tx, i int) error {
	book, e := b.c.s.p.host.o.Book, b.entities[i]
	reader := valueReader{entity: e, made: b.made}
	var made record.ID
	switch act := b.writes[i].GetAct().(type) {
	case *wirev1.Write_Create:
		values, err := reader.values(act.Create.GetValues())
		if err != nil {
			return err
		}
		r, err := book.CreateTx(b.ctx, tx, record.Change{Entity: e.Name, Values: values})
		if err != nil {
			return err
		}
		made = r.ID
		b.answer(r, e)
	case *wirev1.Write_Update:
		r, err := b.update(tx, e, &reader, act.Update)
		if err != nil {
			return err
		}
		b.answer(r, e)
	case *wirev1.Write_Delete:
		id, err := seen(e, act.Delete.GetId(), act.Delete.GetVersion())
		if err != nil {
			return err
		}
		if err := book.DeleteTx(b.ctx, tx, e.Name, id, act.Delete.GetVersion()); err != nil {
			return err
		}
		b.answers = append(b.answers, &wirev1.Record{Entity: e.Name, Id: id.String()})
	}
	b.made = append(b.made, made)
	return nil
}

// answer adds a record as it is now. Once no message can hold them all, they come without values: what is written is
// written, and the plugin reads what it needs.
func (b *batch) answer(r record.Record, e *schema.Entity) {
	one := recordToWire(r, e, nil)
	if b.size += proto.Size(one) + perRecord; b.size > maxAnswer {
		one.Values = nil
	}
	b.answers = append(b.answers, one)
}

func (b *batch) update(tx store.Tx, e *schema.Entity, reader *valueReader, u *wirev1.UpdateRecord) (record.Record, error) {
	id, err := seen(e, u.GetId(), u.GetVersion())
	if err != nil {
		return record.Record{}, err
	}
	values, err := reader.values(u.GetValues())
	if err != nil {
		return record.Record{}, err
	}
	return b.c.s.p.host.o.Book.ChangeTx(b.ctx, tx, record.Change{Entity: e.Name, ID: id, Version: u.GetVersion(), Values: values})
}

// seen reads which record a write is about. A text that is no id is one that does not exist.
func seen(e *schema.Entity, text string, version uint64) (record.ID, error) {
	id, err := record.ParseID(text)
	if err != nil {
		return id, fault.Missing(e.Name, wire.Cut(text, 100))
	}
	if version == 0 {
		return id, fault.New(fault.Invalid, "record.version-missing")
	}
	return id, nil
}

// again answers a batch that was done before with its records as they are now; of one that is gone, or not for the
// caller any more, with its name.
func (b *batch) again(tx store.Tx, before []doneWrite) error {
	book := b.c.s.p.host.o.Book
	for _, d := range before {
		id, err := record.ParseID(d.ID)
		if err != nil {
			return fault.Wrap(err, fault.Internal, "store.damaged", "what", onceBucket)
		}
		r, err := book.GetTx(b.ctx, tx, d.Entity, id)
		switch e := book.Schema().Entity(d.Entity); {
		case err == nil && e != nil:
			b.answer(r, e)
		case err == nil || absent(err):
			b.answers = append(b.answers, &wirev1.Record{Entity: d.Entity, Id: d.ID})
		default:
			return fmt.Errorf("read what was written before: %w", err)
		}
	}
	return nil
}
