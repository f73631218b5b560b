package record

import (
	"context"
	"slices"
	"sort"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/search"
	"github.com/karov-crm/karov/appliance/store"
)

// Change is one write of a record.
type Change struct {
	Entity  string
	ID      ID     // of a new record: its id, or the zero ID for a fresh one
	Version uint64 // the version that was seen; 0 skips the check and is for rooms only
	Values  Values
	Fact    string            // name of the fact; "" for <entity>.created or <entity>.changed, "-" for none
	About   map[string]string // of the fact
	Inside  bool              // the room asked for permission already, and may write closed fields
}

// Create makes a record. The fields of Values that the entity does not have, or that are closed, are Invalid.
func (b *Book) Create(ctx context.Context, entity string, values Values) (r Record, err error) {
	c := Change{Entity: entity, Values: values}
	err = b.db.Update(ctx, func(tx store.Tx) error {
		r, err = b.CreateTx(ctx, tx, c)
		return err
	})
	return r, err
}

// CreateTx is Create within a transaction.
func (b *Book) CreateTx(ctx context.Context, tx store.Tx, c Change) (Record, error) {
	e := b.schema.Entity(c.Entity)
	if e == nil {
		return Record{}, fault.Missing("entity", c.Entity)
	}
	if c.ID.Zero() {
		c.ID = NewID()
	}
	if !c.Inside {
		if err := b.gate.Require(ctx, access.Create, access.Object{Entity: e.Name}); err != nil {
			return Record{}, err
		}
	}
	if tx.Bucket("record."+e.Name).Get(c.ID[:]) != nil {
		return Record{}, fault.New(fault.Conflict, "record.exists", "id", c.ID.String())
	}
	c.Values = b.ownNew(ctx, e, c)
	fields, changed, err := b.merge(e, map[int][]byte{}, c)
	if err != nil {
		return Record{}, err
	}
	now, actor := b.now(), access.ActorFrom(ctx).ID
	h := header{version: 1, created: now, updated: now, createdBy: actor, updater: actor}
	after := Record{ID: c.ID, entity: e, raw: encode(h, fields)}
	if !c.Inside {
		// A record one may create but would not be allowed to see would be lost to its maker.
		if err := b.require(ctx, tx, access.See, after); err != nil {
			return Record{}, fault.New(fault.Forbidden, "access.not-yours", "entity", e.Name)
		}
		if err := b.checkLinks(ctx, tx, after, changed); err != nil {
			return Record{}, err
		}
	}
	return after, b.write(ctx, tx, written{after: after, change: c, fields: changed, fact: ".created"})
}

// ownNew gives a record that somebody limited to own records makes to its maker, unless he names another of his own.
func (b *Book) ownNew(ctx context.Context, e *schema.Entity, c Change) Values {
	if c.Inside || e.Owner == "" || b.gate.Scope(ctx, access.See, e.Name) != access.Own {
		return c.Values
	}
	if v, ok := c.Values[e.Owner]; ok && v != nil && v != "" {
		return c.Values
	}
	values := Values{e.Owner: access.ActorFrom(ctx).ID}
	for name, value := range c.Values {
		if name != e.Owner {
			values[name] = value
		}
	}
	return values
}

// Change changes some fields of a record. Version is the one that was seen: a record that has moved on is a Conflict.
func (b *Book) Change(ctx context.Context, entity string, id ID, version uint64, values Values) (r Record, err error) {
	if version == 0 {
		return Record{}, fault.New(fault.Invalid, "record.version-missing")
	}
	c := Change{Entity: entity, ID: id, Version: version, Values: values}
	err = b.db.Update(ctx, func(tx store.Tx) error {
		r, err = b.ChangeTx(ctx, tx, c)
		return err
	})
	return r, err
}

// ChangeTx changes a record within a transaction. A change that changes nothing writes nothing.
func (b *Book) ChangeTx(ctx context.Context, tx store.Tx, c Change) (Record, error) {
	before, err := b.Raw(tx, c.Entity, c.ID)
	if err != nil {
		return Record{}, err
	}
	if !c.Inside {
		if err := b.require(ctx, tx, access.Change, before); err != nil {
			return Record{}, err
		}
	}
	if c.Version != 0 && c.Version != before.Version() {
		return Record{}, fault.New(fault.Conflict, "record.changed", "version", before.Version(), "by", before.UpdatedBy())
	}
	if !before.valid() {
		// Writing it anew would drop what stands behind the damage.
		return Record{}, fault.New(fault.Internal, "store.damaged", "what", "record."+c.Entity+" "+c.ID.String())
	}
	if err := b.mayHandOver(ctx, before, c); err != nil {
		return Record{}, err
	}
	fields, changed, err := b.merge(before.entity, before.split(), c)
	if err != nil || len(changed) == 0 {
		return before, err
	}
	h := header{version: before.Version() + 1, created: before.CreatedAt(), createdBy: before.CreatedBy(),
		updated: b.now(), updater: access.ActorFrom(ctx).ID}
	after := Record{ID: c.ID, entity: before.entity, raw: encode(h, fields)}
	if !c.Inside {
		if err := b.checkLinks(ctx, tx, after, changed); err != nil {
			return Record{}, err
		}
	}
	return after, b.write(ctx, tx, written{before: before, after: after, change: c, fields: changed, fact: ".changed"})
}

// mayHandOver lets only those who may assign give a record to somebody else.
func (b *Book) mayHandOver(ctx context.Context, before Record, c Change) error {
	owner := before.entity.Owner
	value, given := c.Values[owner]
	if c.Inside || owner == "" || !given {
		return nil
	}
	if text, _ := value.(string); text == before.Text(owner) {
		return nil
	}
	if b.gate.Scope(ctx, access.Assign, before.Entity()) == access.All {
		return nil
	}
	return fault.New(fault.Forbidden, "access.forbidden", "permission", "assign:"+before.Entity())
}

// checkLinks refuses links to what does not exist, or is not for the actor: both look alike.
func (b *Book) checkLinks(ctx context.Context, tx store.Tx, r Record, changed []string) error {
	for _, name := range changed {
		f := r.entity.Field(name)
		if f.Type != schema.Link || r.Link(name).Zero() {
			continue
		}
		if _, err := b.GetTx(ctx, tx, f.Target, r.Link(name)); err != nil {
			return fault.InvalidField(name, "field.link")
		}
	}
	return nil
}

// Delete puts a record into the bin, from where Restore brings it back.
func (b *Book) Delete(ctx context.Context, entity string, id ID, version uint64) error {
	return b.db.Update(ctx, func(tx store.Tx) error {
		before, err := b.Raw(tx, entity, id)
		if err != nil {
			return err
		}
		if err := b.require(ctx, tx, access.Delete, before); err != nil {
			return err
		}
		if version != before.Version() {
			return fault.New(fault.Conflict, "record.changed", "version", before.Version(), "by", before.UpdatedBy())
		}
		if err := b.write(ctx, tx, written{before: before, change: Change{Entity: entity, ID: id}, fact: ".deleted"}); err != nil {
			return err
		}
		tx.Bucket(binBucket).Put(binKey(entity, id), before.raw)
		return nil
	})
}

// Restore brings a record back from the bin, as it was. Where a new one has its id meanwhile, that is a Conflict.
func (b *Book) Restore(ctx context.Context, entity string, id ID) (r Record, err error) {
	err = b.db.Update(ctx, func(tx store.Tx) error {
		e, raw := b.schema.Entity(entity), tx.Bucket(binBucket).Get(binKey(entity, id))
		if e == nil || raw == nil {
			return fault.Missing(entity, id.String())
		}
		r = Record{ID: id, entity: e, raw: slices.Clone(raw)}
		if err := b.require(ctx, tx, access.Delete, r); err != nil {
			return err
		}
		if tx.Bucket("record."+entity).Get(id[:]) != nil {
			return fault.New(fault.Conflict, "record.exists", "id", id.String())
		}
		tx.Bucket(binBucket).Delete(binKey(entity, id))
		return b.write(ctx, tx, written{after: r, change: Change{Entity: entity, ID: id}, fact: ".restored"})
	})
	return r, err
}

func binKey(entity string, id ID) []byte { return append(append([]byte(entity), 0), id[:]...) }

// merge puts cleaned values over the stored fields and says which fields changed, in the schema's order.
func (b *Book) merge(e *schema.Entity, fields map[int][]byte, c Change) (map[int][]byte, []string, error) {
	var wrong []fault.Field
	var changed []string
	for name := range c.Values {
		if f := e.Field(name); f == nil {
			wrong = append(wrong, fault.Field{Name: name, Key: "field.unknown"})
		} else if f.Closed && !c.Inside {
			wrong = append(wrong, fault.Field{Name: name, Key: "field.closed"})
		}
	}
	for _, f := range sortedFields(e) {
		value, given := c.Values[f.Name]
		if given {
			cleaned, bad := clean(&f, value)
			if bad != nil {
				wrong = append(wrong, *bad)
				continue
			}
			raw, err := wire(&f, cleaned)
			if err != nil {
				return nil, nil, err
			}
			if string(raw) != string(fields[f.Number]) {
				changed = append(changed, f.Name)
				fields[f.Number] = raw
			}
		}
		if f.Required && len(fields[f.Number]) == 0 {
			wrong = append(wrong, fault.Field{Name: f.Name, Key: "field.required"})
		}
	}
	if len(wrong) > 0 {
		sort.Slice(wrong, func(i, j int) bool { return wrong[i].Name < wrong[j].Name })
		return nil, nil, &fault.Error{Kind: fault.Invalid, Key: "input.invalid", Fields: wrong}
	}
	return fields, changed, nil
}

func sortedFields(e *schema.Entity) []schema.Field {
	fields := slices.Clone(e.Fields)
	slices.SortFunc(fields, func(a, b schema.Field) int { return a.Number - b.Number })
	return fields
}

// written is a write on its way: what was, what is, and what the journal is told.
type written struct {
	before, after Record
	change        Change
	fields        []string
	fact          string // suffix of the default fact
}

// write stores the record and all that follows from it, in one transaction.
func (b *Book) write(ctx context.Context, tx store.Tx, w written) error {
	records, id := tx.Bucket("record."+w.change.Entity), w.change.ID
	for _, hook := range b.hooks[w.change.Entity] {
		if err := hook(ctx, tx, w.before, w.after); err != nil {
			return err
		}
	}
	if w.after.Exists() {
		records.Put(id[:], w.after.raw)
	} else {
		records.Delete(id[:])
	}
	b.tally(tx, w.before, w.after)
	reindex(tx, w.before, w.after)
	if err := b.Reindex(tx, w.change.Entity, id); err != nil {
		return err
	}
	if w.change.Fact == "-" {
		return nil
	}
	concerned := w.after
	if !concerned.Exists() {
		concerned = w.before
	}
	f := journal.Fact{Name: w.change.Fact, Entity: w.change.Entity, ID: id.String(), Fields: w.fields, About: w.change.About}
	if f.Name == "" {
		f.Name = w.change.Entity + w.fact
	}
	if contact := contactOf(concerned); !contact.Zero() {
		f.Contact, f.Card = contact.String(), contact == id
	}
	return b.journal.Append(ctx, tx, f)
}

// tally keeps the counts right.
func (b *Book) tally(tx store.Tx, before, after Record) {
	was, is := ownerOf(before), ownerOf(after)
	if before.Exists() && after.Exists() && was == is {
		return
	}
	if before.Exists() {
		count(tx, before.Entity(), was, -1)
	}
	if after.Exists() {
		count(tx, after.Entity(), is, +1)
	}
}

// ownerOf is a record's own owner, "" for none.
func ownerOf(r Record) string {
	if !r.Exists() || r.entity.Owner == "" {
		return ""
	}
	return r.Text(r.entity.Owner)
}

// Reindex writes what a record can be found by, as its room describes it now. Rooms call it when something else than
// the record changed its description.
func (b *Book) Reindex(tx store.Tx, entity string, id ID) error {
	describe := b.describe[entity]
	if describe == nil {
		return nil
	}
	r, err := b.Raw(tx, entity, id)
	if fault.KindOf(err) == fault.NotFound && err != nil {
		return search.Delete(tx, entity, id)
	}
	if err != nil {
		return err
	}
	doc, ok := describe(tx, r)
	if !ok {
		return search.Delete(tx, entity, id)
	}
	doc.Entity, doc.ID, doc.Owners = entity, id, b.owners(tx, r, 0)
	return search.Put(tx, doc)
}
