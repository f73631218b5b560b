package segment

import (
	"bytes"
	"context"
	"encoding/binary"

	"github.com/karov-crm/karov/appliance/filter"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

// maxAtOnce is how many records are looked at in the transaction of a change to one they link to. Above it a job does.
const maxAtOnce = 200

// recordWritten brings every segment in step with a record that is being written.
func (r *Room) recordWritten(ctx context.Context, tx store.Tx, before, after record.Record) error {
	subject := after
	if !after.Exists() {
		subject = before
	}
	entity := subject.Entity()
	k := r.load(tx)
	if len(k.of[entity]) == 0 && len(k.linked[entity]) == 0 {
		return nil
	}
	var row filter.Row
	if after.Exists() {
		row = &overlay{Row: r.book.Row(tx, after), entity: entity, id: after.ID}
		row.(*overlay).after = row
	}
	for _, s := range k.of[entity] {
		if !before.Exists() && !s.filter.Match(row, r.env()) {
			continue // a new record was no member: no need to look
		}
		if err := r.settle(ctx, tx, s, subject, row); err != nil {
			return err
		}
	}
	for _, s := range k.linked[entity] {
		if err := r.followLinks(ctx, tx, s, linkedChange{before, after, entity, row}); err != nil {
			return err
		}
	}
	return nil
}

// settle makes a record a member of a segment, or no member, as its filter says. A nil row is a record that is gone.
func (r *Room) settle(ctx context.Context, tx store.Tx, s *segment, rec record.Record, row filter.Row) error {
	is := row != nil && s.filter.Match(row, r.env())
	members, key := tx.Bucket(membersBucket), memberKey(s.id, rec.ID)
	if was := members.Get(key) != nil; was == is {
		return nil
	}
	fact, by := "segment.joined", int64(1)
	if is {
		members.Put(key, binary.BigEndian.AppendUint64(nil, uint64(r.now().UnixMilli())))
	} else {
		fact, by = "segment.left", -1
		members.Delete(key)
	}
	setCount(tx, s.id, counted(tx, s.id)+by)
	if p := progressOf(tx, s.id); p.Scanning && p.Quiet {
		return nil
	}
	f := journal.Fact{Name: fact, Entity: rec.Entity(), ID: rec.ID.String(), About: map[string]string{"segment": s.id.String()}}
	if contact := contactOf(r.schema.At(tx), rec); !contact.Zero() {
		f.Contact = contact.String()
	}
	return r.journal.Append(ctx, tx, f)
}

// contactOf is the customer whom a record concerns, the zero ID for none.
func contactOf(s *schema.Schema, rec record.Record) record.ID {
	e := s.Entity(rec.Entity())
	switch {
	case e == nil || e.Contact == "":
		return record.ID{}
	case e.Contact == "id":
		return rec.ID
	}
	return rec.Link(e.Contact)
}

// env is what a segment's filter knows: it is the office's, so nobody asks.
func (r *Room) env() *filter.Env { return &filter.Env{Now: r.now(), Zone: r.book.Zone()} }

func memberKey(segment, id record.ID) []byte {
	return append(segment[:len(segment):len(segment)], id[:]...)
}

func counted(tx store.Tx, id record.ID) int64 {
	raw := tx.Bucket(countsBucket).Get(id[:])
	if len(raw) != 8 {
		return 0
	}
	return int64(binary.BigEndian.Uint64(raw))
}

func setCount(tx store.Tx, id record.ID, n int64) {
	tx.Bucket(countsBucket).Put(id[:], binary.BigEndian.AppendUint64(nil, uint64(n)))
}

// linkedChange is a write of a record to which others link.
type linkedChange struct {
	before, after record.Record
	entity        string
	row           filter.Row // of after
}

// followLinks settles the records whose membership hangs on a field of the one that is being written.
func (r *Room) followLinks(ctx context.Context, tx store.Tx, s *segment, c linkedChange) error {
	done := map[record.ID]bool{}
	for _, use := range s.linked {
		if use.Entity != c.entity || !r.changed(tx, use.Field, c) {
			continue
		}
		id := c.after.ID
		if !c.after.Exists() {
			id = c.before.ID
		}
		ids, ok := r.dependents(tx, use.Via, id)
		if !ok {
			return r.rescan(tx, s.id)
		}
		for _, dependent := range ids {
			if done[dependent] || dependent == id && s.entity == c.entity {
				continue
			}
			done[dependent] = true
			rec, err := r.book.Raw(tx, s.entity, dependent)
			if err != nil {
				return err
			}
			row := &overlay{Row: r.book.Row(tx, rec), entity: c.entity, id: id, after: c.row}
			if err := r.settle(ctx, tx, s, rec, row); err != nil {
				return err
			}
		}
	}
	return nil
}

// changed tells whether a field differs. A record that comes or goes takes all its fields along.
func (r *Room) changed(tx store.Tx, name string, c linkedChange) bool {
	if !c.before.Exists() || !c.after.Exists() {
		return true
	}
	f := r.schema.At(tx).Entity(c.entity).Field(name)
	if f == nil {
		return true // one of the record's own, as updated_at
	}
	if f.Type == schema.Formula {
		return false // what it reads is a use of its own
	}
	before, after := valuesOf(r.book.Row(tx, c.before), f.Number), valuesOf(c.row, f.Number)
	return !bytes.Equal(before, after)
}

// valuesOf is all that a record holds in a field, in one run of bytes.
func valuesOf(row filter.Row, number int) (all []byte) {
	row.Each(number, func(b []byte) bool {
		all = append(binary.BigEndian.AppendUint32(all, uint32(len(b))), b...)
		return true
	})
	if n, ok := row.Scalar(number); ok {
		all = binary.BigEndian.AppendUint64(all, n)
	}
	return all
}

// dependents finds the records from which links lead to one; false where they are too many, or where no index leads
// back.
func (r *Room) dependents(tx store.Tx, via []filter.Step, id record.ID) (ids []record.ID, ok bool) {
	s := r.schema.At(tx)
	ids = []record.ID{id}
	for i := len(via) - 1; i >= 0; i-- {
		step := via[i]
		f := s.Entity(step.Entity).Field(step.Field)
		if f == nil || !f.Indexed || f.Hidden || !r.book.Ready(tx, step.Entity, step.Field) {
			return nil, false
		}
		var from []record.ID
		for _, to := range ids {
			for rec := range r.book.Linked(tx, step.Entity, step.Field, to, record.ID{}) {
				if from = append(from, rec.ID); len(from) > maxAtOnce {
					return nil, false
				}
			}
		}
		ids = from
	}
	return ids, true
}

// overlay is a row that sees one record as it is about to be stored.
type overlay struct {
	filter.Row
	entity string
	id     record.ID
	after  filter.Row // nil when it is being deleted
}

// Wire implements filter.Wired.
func (o *overlay) Wire() []byte { return o.Row.(filter.Wired).Wire() }

// Follow implements filter.Row.
func (o *overlay) Follow(target string, id []byte) (filter.Row, bool) {
	if target == o.entity && bytes.Equal(id, o.id[:]) {
		if o.after == nil {
			return nil, false
		}
		return &overlay{Row: o.after, entity: o.entity, id: o.id, after: o.after}, true
	}
	row, ok := o.Row.Follow(target, id)
	if !ok {
		return nil, false
	}
	return &overlay{Row: row, entity: o.entity, id: o.id, after: o.after}, true
}
