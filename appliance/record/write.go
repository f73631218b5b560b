package record

import (
	"context"
	"maps"
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
	Quiet   bool              // of Inside and closed fields: nobody edits them, so the version and the moment stay

	own []string // the fields that the book filled in itself: whose a new record is, and what its room says of it
}

// Create makes a record. The fields of Values that the entity does not have, or that are closed, are Invalid.
func (b *Book) Create(ctx context.Context, entity string, values Values) (r Record, err error) {
	c := Change{Entity: entity, Values: values}
	err = b.update(ctx, func(tx store.Tx) error {
		r, err = b.CreateTx(ctx, tx, c)
		return err
	})
	return r, err
}

// CreateTx is Create within a transaction.
func (b *Book) CreateTx(ctx context.Context, tx store.Tx, c Change) (Record, error) {
	e := b.schema.At(tx).Entity(c.Entity)
	if e == nil || e.Hidden {
		return Record{}, fault.Missing("entity", c.Entity)
	}
	fresh := c.ID.Zero()
	if fresh {
		c.ID = NewID()
	}
	if !c.Inside {
		if err := b.gate.Require(ctx, access.Create, access.Object{Entity: e.Name}); err != nil {
			return Record{}, err
		}
	}
	if !fresh && tx.Bucket("record."+e.Name).Get(c.ID[:]) != nil {
		return Record{}, fault.New(fault.Conflict, "record.exists", "id", c.ID.String())
	}
	c, err := b.filled(ctx, tx, b.ownNew(ctx, e, c))
	if err != nil {
		return Record{}, err
	}
	verdict, ask := b.verdict(ctx, tx, ActCreate, c, 0)
	if verdict.Refused != nil {
		return Record{}, verdict.Refused
	}
	c = c.with(verdict)
	fields := map[int][]byte{}
	changed, err := b.merge(ctx, e, fields, c, true)
	if err != nil {
		return Record{}, err
	}
	now, actor := b.now(), access.ActorFrom(ctx).ID
	h := header{version: 1, created: now, updated: now, createdBy: actor, updater: actor}
	after := Record{ID: c.ID, entity: e, raw: encode(h, fields)}
	ask(Record{}, after, changed)
	makes(tx, c.ID)
	w := written{after: after, change: c, fields: changed, fact: ".created", fresh: fresh}
	if c.Inside {
		return after, b.write(ctx, tx, w)
	}
	// A record one may create but would not be allowed to see would be lost to its maker.
	if err := b.require(ctx, tx, access.See, after); err != nil {
		return Record{}, fault.New(fault.Forbidden, "access.not-yours", "entity", e.Name)
	}
	if err := b.checkLinks(ctx, tx, after, changed); err != nil {
		return Record{}, err
	}
	return b.shown(ctx, tx, after), b.write(ctx, tx, w)
}

// ownNew gives a record that somebody limited to own records, or to his team's, makes to its maker, unless he names
// another of them.
func (b *Book) ownNew(ctx context.Context, e *schema.Entity, c Change) Change {
	scope := b.gate.Scope(ctx, access.See, e.Name)
	if c.Inside || e.Owner == "" || scope != access.Own && scope != access.Team {
		return c
	}
	if v, ok := c.Values[e.Owner]; ok && v != nil && v != "" {
		return c
	}
	values := Values{e.Owner: access.ActorFrom(ctx).ID}
	for name, value := range c.Values {
		if name != e.Owner {
			values[name] = value
		}
	}
	c.Values, c.own = values, append(c.own, e.Owner)
	return c
}

// filled puts into a new record what its room says of one whose maker did not say it.
func (b *Book) filled(ctx context.Context, tx store.Tx, c Change) (Change, error) {
	fill := b.fills[c.Entity].fill
	if c.Inside || fill == nil {
		return c, nil
	}
	more, err := fill(ctx, tx, c.Values)
	if err != nil || len(more) == 0 {
		return c, err
	}
	values := maps.Clone(c.Values)
	if values == nil {
		values = Values{}
	}
	for name, value := range more {
		values[name], c.own = value, append(c.own, name)
	}
	c.Values = values
	return c, nil
}

// Change changes some fields of a record. Version is the one that was seen: a record that has moved on is a Conflict.
func (b *Book) Change(ctx context.Context, entity string, id ID, version uint64, values Values) (r Record, err error) {
	if version == 0 {
		return Record{}, fault.New(fault.Invalid, "record.version-missing")
	}
	c := Change{Entity: entity, ID: id, Version: version, Values: values}
	err = b.update(ctx, func(tx store.Tx) error {
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
	if err := b.mayHandOver(ctx, tx, before, c); err != nil {
		return Record{}, err
	}
	verdict, ask := b.verdict(ctx, tx, ActUpdate, c, before.Version())
	if verdict.Refused != nil {
		return Record{}, verdict.Refused
	}
	c = c.with(verdict)
	fields := before.split()
	changed, err := b.merge(ctx, before.entity, fields, c, false)
	if err != nil {
		return Record{}, err
	}
	if len(changed) == 0 {
		return b.seenBy(ctx, tx, before, c), nil
	}
	h := header{version: before.Version() + 1, created: before.CreatedAt(), createdBy: before.CreatedBy(),
		updated: b.now(), updater: access.ActorFrom(ctx).ID}
	if c.Quiet {
		h.version, h.updated, h.updater = before.Version(), before.UpdatedAt(), before.UpdatedBy()
	}
	after := Record{ID: c.ID, entity: before.entity, raw: encode(h, fields)}
	if !c.Inside {
		if err := b.checkLinks(ctx, tx, after, changed); err != nil {
			return Record{}, err
		}
		if !b.meets(ctx, tx, access.Change, after) { // or one could change a record out of one's own reach
			return Record{}, fault.New(fault.Forbidden, "access.not-yours", "entity", c.Entity)
		}
	}
	ask(before, after, changed)
	if err := b.write(ctx, tx, written{before: before, after: after, change: c, fields: changed, fact: ".changed"}); err != nil {
		return Record{}, err
	}
	return b.seenBy(ctx, tx, after, c), nil
}

// seenBy is a written record as its writer may read it; a room reads all of it.
func (b *Book) seenBy(ctx context.Context, tx store.Tx, r Record, c Change) Record {
	if c.Inside {
		return r
	}
	return b.shown(ctx, tx, r)
}

// mayHandOver lets only those who may assign give a record to somebody else.
func (b *Book) mayHandOver(ctx context.Context, tx store.Tx, before Record, c Change) error {
	owner := before.entity.Owner
	value, given := c.Values[owner]
	if c.Inside || owner == "" || !given {
		return nil
	}
	if text, _ := value.(string); text == before.Text(owner) {
		return nil
	}
	return b.require(ctx, tx, access.Assign, before)
}

// checkLinks refuses links to what does not exist, or is not for the actor: both look alike.
func (b *Book) checkLinks(ctx context.Context, tx store.Tx, r Record, changed []string) error {
	for _, name := range changed {
		f := r.entity.Field(name)
		if f.Type != schema.Link {
			continue
		}
		for _, id := range r.Links(name) {
			if _, err := b.GetTx(ctx, tx, f.Target, id); err != nil {
				return fault.InvalidField(name, "field.link")
			}
		}
	}
	return nil
}

// merge puts cleaned values over the stored fields and says which fields changed, in the schema's order. A new record
// gets the defaults of the fields that were not given.
func (b *Book) merge(ctx context.Context, e *schema.Entity, fields map[int][]byte, c Change, fresh bool) (changed []string, err error) {
	rights := b.gate.Fields(ctx, e.Name)
	if c.Inside {
		rights = nil
	}
	wrong := strangers(e, c, rights)
	for i := range e.Fields {
		f := &e.Fields[i]
		value, given := c.Values[f.Name]
		if f.Hidden || rights.Hidden(f.Name) && !slices.Contains(c.own, f.Name) {
			given = false // strangers told of it, as of one that is not there
		}
		byDefault := !given && fresh && f.Default != nil && !f.Hidden
		if byDefault {
			value = f.Default
		}
		if (given || byDefault) && f.Type != schema.Formula {
			raw, bad, err := wireOf(f, value, fields[f.Number])
			switch {
			case err != nil:
				return nil, err
			case bad != nil:
				wrong = append(wrong, *bad)
				continue
			case string(raw) != string(fields[f.Number]):
				if given && rights.ReadOnly(f.Name) && !slices.Contains(c.own, f.Name) {
					wrong = append(wrong, fault.Field{Name: f.Name, Key: "field.read-only"})
					continue
				}
				changed = append(changed, f.Name)
				fields[f.Number] = raw
			}
		}
		if f.Required && !f.Hidden && len(fields[f.Number]) == 0 {
			wrong = append(wrong, fault.Field{Name: f.Name, Key: "field.required"})
		}
	}
	if len(wrong) > 0 {
		sort.Slice(wrong, func(i, j int) bool { return wrong[i].Name < wrong[j].Name })
		return nil, &fault.Error{Kind: fault.Invalid, Key: "input.invalid", Fields: wrong}
	}
	return changed, nil
}

// strangers finds the values that may not be written: fields that are not there, for the writer at least, and those
// that only the entity's room writes.
func strangers(e *schema.Entity, c Change, rights *access.Fields) (wrong []fault.Field) {
	for name := range c.Values {
		switch f := e.Field(name); {
		case f == nil || f.Hidden || rights.Hidden(name) && !slices.Contains(c.own, name):
			wrong = append(wrong, fault.Field{Name: name, Key: "field.unknown"})
		case (f.Closed || f.Type == schema.Formula) && !c.Inside:
			wrong = append(wrong, fault.Field{Name: name, Key: "field.closed"})
		}
	}
	return wrong
}

// wireOf is the stored form of a value. A choice that is retired may stay where it is, and not come anew.
func wireOf(f *schema.Field, value any, stored []byte) ([]byte, *fault.Field, error) {
	cleaned, bad := clean(holding(f), value)
	if bad != nil {
		return nil, bad, nil
	}
	raw, err := wire(f, cleaned)
	if err != nil || string(raw) == string(stored) || f.Type != schema.Choice || len(f.Retired) == 0 {
		return raw, nil, err
	}
	had := Record{raw: stored}
	for _, s := range textsOf(cleaned) {
		kept := false
		had.visit(numberOf(f), func(b []byte) bool { kept = kept || string(b) == s; return !kept })
		if !kept && slices.Contains(f.Retired, s) {
			return nil, choiceProblem(f), nil
		}
	}
	return raw, nil, nil
}

// holding is a field with all that records may hold of it, retired choices too.
func holding(f *schema.Field) *schema.Field {
	if len(f.Retired) == 0 {
		return f
	}
	all := *f
	all.Choices = slices.Concat(f.Choices, f.Retired)
	return &all
}

func textsOf(value any) []string {
	switch v := value.(type) {
	case string:
		return []string{v}
	case []string:
		return v
	}
	return nil
}

// written is a write on its way: what was, what is, and what the journal is told.
type written struct {
	before, after Record
	change        Change
	fields        []string
	fact          string // suffix of the default fact
	fresh         bool   // its id was made for it now, so that nothing hangs on it yet
}

// write stores the record and all that follows from it, in one transaction.
func (b *Book) write(ctx context.Context, tx store.Tx, w written) error {
	if err := b.checkUnique(tx, w); err != nil {
		return err // before the hooks, which may write: the transaction goes on to others' writes
	}
	for _, hooks := range [][]Hook{b.hooks[w.change.Entity], b.any} {
		for _, hook := range hooks {
			if err := hook(ctx, tx, w.before, w.after); err != nil {
				return err
			}
		}
	}
	var was, is []string
	if w.before.Exists() {
		was = b.standing(tx, w.before).principals()
	}
	if w.after.Exists() {
		is = b.standing(tx, w.after).principals()
	}
	records, id := tx.Bucket("record."+w.change.Entity), w.change.ID
	if w.after.Exists() {
		records.Put(id[:], w.after.raw)
	} else {
		records.Delete(id[:])
	}
	tally(tx, w.before, w.after, was, is)
	b.reindex(tx, w.before, w.after, was, is)
	remember(tx, w)
	if together := togetherIn(ctx); together != nil && b.describer(tx, w.change.Entity) != nil {
		together.later(w.change.Entity, id)
	} else if err := b.describeTo(tx, w.change.Entity, id, w.after, is); err != nil {
		return err
	}
	subject := w.after
	if !subject.Exists() {
		subject = w.before
	}
	if !w.fresh {
		if err := b.restandBelow(ctx, tx, subject, was, is); err != nil {
			return err
		}
	}
	return b.tell(ctx, tx, w, subject)
}

// tell appends the write's fact.
func (b *Book) tell(ctx context.Context, tx store.Tx, w written, subject Record) error {
	if w.change.Fact == "-" {
		return nil
	}
	id := w.change.ID
	f := journal.Fact{Name: w.change.Fact, Entity: w.change.Entity, ID: id.String(), Fields: w.fields, About: w.change.About}
	if f.Name == "" {
		f.Name = w.change.Entity + w.fact
	}
	if contact := contactOf(subject); !contact.Zero() {
		f.Contact, f.Card = contact.String(), contact == id
	}
	return b.journal.Append(ctx, tx, f)
}

// checkUnique refuses a value that another record has already. Values that only fold alike are one value.
func (b *Book) checkUnique(tx store.Tx, w written) error {
	if !w.after.Exists() {
		return nil
	}
	e := w.after.entity
	for i := range e.Fields {
		f := &e.Fields[i]
		if !f.Unique || w.before.Exists() && !slices.Contains(w.fields, f.Name) {
			continue
		}
		for _, value := range indexValues(w.after, f) {
			if value == missing {
				continue
			}
			prefix := []byte("\x00" + value)
			for key := range tx.Bucket(indexBucket(e.Name, f.Name)).Scan(prefix, store.PrefixEnd(prefix), false) {
				if len(key) != len(prefix)+16 || ID(key[len(prefix):]) == w.after.ID {
					continue
				}
				other, ok := rawOf(tx, e, ID(key[len(prefix):]))
				if ok && shareOne(wholeValues(w.after, f), wholeValues(other, f)) {
					return fault.InvalidField(f.Name, "field.taken")
				}
			}
		}
	}
	return nil
}

// tally keeps the counts right.
func tally(tx store.Tx, before, after Record, was, is []string) {
	if before.Exists() != after.Exists() {
		by, entity := int64(1), after.Entity()
		if before.Exists() {
			by, entity = -1, before.Entity()
		}
		count(tx, entity, "", by)
	}
	for _, p := range was {
		if !slices.Contains(is, p) {
			count(tx, before.Entity(), p, -1)
		}
	}
	for _, p := range is {
		if !slices.Contains(was, p) {
			count(tx, after.Entity(), p, +1)
		}
	}
}

// Reindex writes what a record can be found by, as its room describes it now. Rooms call it when something else than
// the record changed its description.
func (b *Book) Reindex(tx store.Tx, entity string, id ID) error {
	if b.describer(tx, entity) == nil {
		return nil
	}
	r, err := b.Raw(tx, entity, id)
	if err != nil && fault.KindOf(err) == fault.NotFound {
		return search.Delete(tx, entity, id)
	}
	if err != nil {
		return err
	}
	return b.describeTo(tx, entity, id, r, b.standing(tx, r).principals())
}

// describeTo tells lookup what a record can be found by, or that it is gone.
func (b *Book) describeTo(tx store.Tx, entity string, id ID, r Record, principals []string) error {
	describe := b.describer(tx, entity)
	if describe == nil {
		return nil
	}
	if r.Exists() {
		if doc, ok := describe(tx, r); ok {
			doc.Entity, doc.ID, doc.Principals = entity, id, principals
			return search.Put(tx, doc)
		}
	}
	return search.Delete(tx, entity, id)
}
