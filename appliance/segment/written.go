package segment

import (
	"context"
	"slices"
	"strings"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/filter"
	"github.com/karov-crm/karov/appliance/job"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

// segmentWritten checks a segment and has its members computed. Who restores one from the bin makes it anew.
func (r *Room) segmentWritten(ctx context.Context, tx store.Tx, before, after record.Record) error {
	filters := tx.Bucket(filtersBucket)
	if !after.Exists() {
		filters.Delete(before.ID[:])
		tx.Bucket(progressBucket).Delete(before.ID[:])
		touch(tx)
		return r.jobs.Add(tx, job.Job{Kind: DropJob, Key: before.ID.String()})
	}
	entity, text := after.Text("kind"), after.Text("filter")
	if before.Exists() && before.Text("kind") != entity {
		return fault.InvalidField("kind", "segment.entity-fixed")
	}
	if before.Exists() && before.Text("filter") == text && filters.Get(after.ID[:]) != nil {
		return nil
	}
	f, err := r.parse(ctx, tx, entity, text)
	if err != nil {
		return err
	}
	if f.Asker() {
		return fault.InvalidField("filter", "segment.asker")
	}
	filters.Put(after.ID[:], definition(entity, text))
	touch(tx)
	return r.begin(tx, after.ID, progress{Scanning: true, Quiet: true, Dropping: true})
}

// parse reads a filter as the actor may ask it. An entity that is not for him is as unknown as one that does not exist.
func (r *Room) parse(ctx context.Context, tx store.Tx, entity, text string) (*filter.Filter, error) {
	s := r.schema.At(tx)
	if e := s.Entity(entity); e == nil || e.Hidden || r.gate.Scope(ctx, access.See, entity) == access.None {
		return nil, fault.InvalidField("kind", "segment.entity", "entity", entity)
	}
	return filter.Parse(text, s, entity, filter.Options{Hidden: func(entity, field string) bool {
		return r.gate.Fields(ctx, entity).Hidden(field)
	}})
}

// viewWritten checks a view, and keeps those that are shared with everybody in a list.
func (r *Room) viewWritten(ctx context.Context, tx store.Tx, before, after record.Record) error {
	shared := tx.Bucket(sharedBucket)
	if after.Exists() {
		if err := r.checkView(ctx, tx, before, after); err != nil {
			return err
		}
	}
	if before.Exists() {
		shared.Delete(sharedKey(before))
	}
	if after.Exists() && after.YesNo("shared") {
		shared.Put(sharedKey(after), nil)
	}
	return nil
}

func sharedKey(view record.Record) []byte {
	return append([]byte(view.Text("kind")+"\x00"), view.ID[:]...)
}

// checkView checks what is new in a view. What the schema has moved on from stays until somebody changes it, so that a
// broken view can still be renamed.
func (r *Room) checkView(ctx context.Context, tx store.Tx, before, after record.Record) error {
	entity := after.Text("kind")
	moved := !before.Exists() || before.Text("kind") != entity
	if moved || before.Text("filter") != after.Text("filter") {
		if _, err := r.parse(ctx, tx, entity, after.Text("filter")); err != nil {
			return err
		}
	}
	e := r.schema.At(tx).Entity(entity)
	if e == nil {
		return nil
	}
	if sort := after.Text("sort"); moved || before.Text("sort") != sort {
		if err := r.checkSort(ctx, e, strings.TrimPrefix(sort, "-")); err != nil {
			return err
		}
	}
	known := before.Texts("columns")
	if moved {
		known = nil
	}
	for _, name := range after.Texts("columns") {
		if !slices.Contains(known, name) && !own(name) && !r.book.Readable(ctx, e, name) {
			return fault.InvalidField("columns", "view.column", "field", name)
		}
	}
	return nil
}

func (r *Room) checkSort(ctx context.Context, e *schema.Entity, name string) error {
	if name == "" || name == "created_at" {
		return nil
	}
	if f := e.Field(name); f == nil || !f.Indexed || f.Many || !r.book.Readable(ctx, e, name) {
		return fault.InvalidField("sort", "list.sort", "field", name)
	}
	return nil
}

// own tells the columns that every record has.
func own(name string) bool {
	switch name {
	case "id", "version", "created_at", "updated_at", "created_by", "updated_by":
		return true
	}
	return false
}

// schemaChanges has the members of segments computed anew that another formula, or another schema altogether, may have
// changed. It runs in the transaction of the change.
func (r *Room) schemaChanges(tx store.Tx, before, after *schema.Schema) error {
	was, is := parse(tx, before), parse(tx, after)
	for id, one := range is.all {
		old := was.all[id]
		switch {
		case one.filter == nil, old.filter != nil && !formulasChanged(one.filter, before, after):
			continue
		}
		if err := r.begin(tx, id, progress{Scanning: true, Quiet: true}); err != nil {
			return err
		}
	}
	return nil
}

// formulasChanged tells whether one of the formulas that a filter reads says something else now.
func formulasChanged(f *filter.Filter, before, after *schema.Schema) bool {
	for _, u := range f.Uses() {
		e := after.Entity(u.Entity)
		if e == nil {
			continue
		}
		is := e.Field(u.Field)
		if is == nil || is.Type != schema.Formula {
			continue
		}
		old := before.Entity(u.Entity)
		if old == nil || old.Field(u.Field) == nil || old.Field(u.Field).Formula != is.Formula {
			return true
		}
	}
	return false
}
