package schema

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

// The kinds of op that a version tells of when a plugin changed the schema. Nobody gives them to Change.
const (
	Declared  OpKind = "declared"  // a plugin declares the Entity, or fields of it
	Withdrawn OpKind = "withdrawn" // a plugin declares nothing more; what it declared is hidden
	Erased    OpKind = "erased"    // what a plugin declared is gone, with all that records held of it
)

// declaredEntity is what a plugin says of an entity that it owns. The office's own names stand over its names.
type declaredEntity struct {
	Plugin  string            `json:"plugin"`
	Gone    bool              `json:"gone,omitempty"` // not declared any more: out of use, with its records
	Labels  map[string]string `json:"labels,omitempty"`
	Plurals map[string]string `json:"plurals,omitempty"`
}

// declaredField is what a plugin says of a field that it owns. What the office changed of it stands over it, as over a
// built-in one.
type declaredField struct {
	Plugin  string            `json:"plugin"`
	Gone    bool              `json:"gone,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
	Retired []string          `json:"retired,omitempty"` // choices that it declared once
	Definition
}

// field is the field before the office changed anything of it.
func (d *declaredField) field(name string, number int) Field {
	f := Field{Name: name, Number: number, Custom: true, Plugin: d.Plugin, Type: d.Type, Many: d.Many, Required: d.Required,
		Indexed: d.Indexed || d.Unique, Unique: d.Unique, Searched: d.Searched, Sensitive: d.Sensitive, Target: d.Target, Formula: d.Formula,
		Currency: d.Currency, Max: d.Max, Default: plainDefault(d.Default), Labels: over(d.Labels, nil),
		Choices: slices.Clone(d.Choices), Retired: slices.Clone(d.Retired), ChoiceLabels: d.ChoiceLabels}
	return f
}

// Declare makes the schema hold exactly what a plugin declares: ops of the kinds AddEntity and AddField that say all of
// it. What is new is added, what it declared once and does not any more is hidden and keeps its data, and with no ops all
// of it is. What it declares again is as it was. The same declaration changes nothing. A type that is another than records
// hold, or a name that somebody else has, is refused, and nothing is changed. It is for the appliance, which read the ops
// out of a manifest; the actor's id stands in the version.
func (r *Registry) Declare(ctx context.Context, plugin string, ops ...Op) (*Schema, error) {
	return r.declare(ctx, func(tx store.Tx, before *Schema) (*revision, error) {
		d := r.draft(tx, before)
		if err := d.declare(plugin, ops); err != nil {
			return nil, err
		}
		kind := Declared
		if len(ops) == 0 {
			kind = Withdrawn
		}
		return r.revised(before, d, d.partsOf(kind, plugin))
	})
}

// Foresee says what Declare would do, and stores nothing. Watchers are not asked.
func (r *Registry) Foresee(ctx context.Context, plugin string, ops ...Op) (differences []Difference, err error) {
	if err := r.mayDeclare(ctx); err != nil {
		return nil, err
	}
	err = r.db.View(ctx, func(tx store.Tx) error {
		before, err := r.load(tx)
		if err != nil {
			return err
		}
		d := r.draft(tx, before)
		if err := d.declare(plugin, ops); err != nil {
			return err
		}
		fresh, err := r.revised(before, d, nil)
		if err == nil {
			differences = Diff(before, fresh.schema)
		}
		return err
	})
	return differences, err
}

// Erase drops what a plugin declares no more out of the schema. Who calls it has erased what records held of it; the
// numbers of its fields are never used again. Fields that others added to its entities go with these.
func (r *Registry) Erase(ctx context.Context, plugin string) (*Schema, error) {
	return r.declare(ctx, func(tx store.Tx, before *Schema) (*revision, error) { return r.erased(tx, before, plugin) })
}

// MayErase says what would refuse Erase, such as a field of the office's own that links to the plugin's entity.
func (r *Registry) MayErase(ctx context.Context, plugin string) error {
	if err := r.mayDeclare(ctx); err != nil {
		return err
	}
	return r.db.View(ctx, func(tx store.Tx) error {
		before, err := r.load(tx)
		if err == nil {
			_, err = r.erased(tx, before, plugin)
		}
		return err
	})
}

func (r *Registry) erased(tx store.Tx, before *Schema, plugin string) (*revision, error) {
	d := r.draft(tx, before)
	ops := d.partsOf(Erased, plugin)
	for _, op := range ops { // what this program cannot use it cannot empty
		if before.Entity(op.Entity) == nil || slices.ContainsFunc(before.dormant, func(name string) bool { return strings.HasPrefix(name, op.Entity+".") }) {
			return nil, fault.New(fault.Conflict, "schema.no-entity", "entity", op.Entity)
		}
	}
	d.layer.Entities = slices.DeleteFunc(d.layer.Entities, func(e *entityLayer) bool {
		e.Fields = slices.DeleteFunc(e.Fields, func(f *fieldLayer) bool { return f.Declared != nil && f.Declared.Plugin == plugin && f.Declared.Gone })
		return e.Declared != nil && e.Declared.Plugin == plugin && e.Declared.Gone
	})
	return r.revised(before, d, ops)
}

// mayDeclare: a manifest is declared by the appliance alone.
func (r *Registry) mayDeclare(ctx context.Context) error {
	if access.ActorFrom(ctx).Role != access.System {
		return fault.New(fault.Forbidden, "access.forbidden", "permission", string(access.Administer)+":schema")
	}
	return r.mayChange(ctx)
}

// declare is replace for whoever need not have seen a version.
func (r *Registry) declare(ctx context.Context, revise reviser) (after *Schema, err error) {
	if err := r.mayDeclare(ctx); err != nil {
		return nil, err
	}
	err = r.db.Update(ctx, func(tx store.Tx) error {
		before, err := r.load(tx)
		if err != nil {
			return err
		}
		fresh, err := revise(tx, before)
		if err != nil {
			return err
		}
		if after = before; same(before.layer, fresh.schema.layer) {
			return nil
		}
		after = fresh.schema
		return r.write(ctx, tx, before, fresh)
	})
	if err != nil {
		return nil, err
	}
	return after, nil
}

func (r *Registry) draft(tx store.Tx, before *Schema) *draft {
	return &draft{builtin: r.builtin, layer: before.named(), next: nextNumber(tx), dots: true}
}

// revised makes the revision that a draft is.
func (r *Registry) revised(before *Schema, d *draft, ops []Op) (*revision, error) {
	d.layer.prune()
	after, err := build(r.builtin, d.layer, before.version+1)
	if err == nil {
		err = r.approve(before, after)
	}
	if err != nil {
		return nil, err
	}
	return &revision{schema: after, next: d.next, ops: ops}, nil
}

// partsOf tells in ops which entities the plugin has a part in.
func (d *draft) partsOf(kind OpKind, plugin string) (ops []Op) {
	for _, e := range d.layer.Entities {
		its := e.Declared != nil && e.Declared.Plugin == plugin
		if its || slices.ContainsFunc(e.Fields, func(f *fieldLayer) bool { return f.Declared != nil && f.Declared.Plugin == plugin }) {
			ops = append(ops, Op{Kind: kind, Entity: e.Name})
		}
	}
	return ops
}

// declare works a plugin's whole declaration in.
func (d *draft) declare(plugin string, ops []Op) error {
	for _, e := range d.layer.Entities { // what is not found below is gone
		if e.Declared != nil && e.Declared.Plugin == plugin {
			e.Declared.Gone = true
		}
		for _, f := range e.Fields {
			if f.Declared != nil && f.Declared.Plugin == plugin {
				f.Declared.Gone = true
			}
		}
	}
	for _, op := range ops {
		var err error
		switch op.Kind {
		case AddEntity:
			err = d.declareEntity(plugin, op)
		case AddField:
			err = d.declareField(plugin, op.Entity, NewField{op.Field, op.Labels, op.Definition})
		default:
			err = fault.New(fault.Invalid, "schema.op", "op", op.Kind)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *draft) declareEntity(plugin string, op Op) error {
	e := d.layer.entity(op.Entity)
	if e == nil || !e.Custom || d.builtinEntity(op.Entity) != nil {
		fields := op.Fields
		op.Fields = nil
		if err := d.addEntity(op); err != nil {
			return err
		}
		e, op.Fields = d.layer.entity(op.Entity), fields
		e.Labels, e.Plurals, e.Declared = nil, nil, &declaredEntity{Plugin: plugin}
	}
	switch {
	case e.Declared == nil:
		return fault.New(fault.Conflict, "schema.of-office", "entity", op.Entity)
	case e.Declared.Plugin != plugin:
		return fault.New(fault.Conflict, "schema.of-another", "entity", op.Entity, "plugin", e.Declared.Plugin)
	case e.Owner != op.Owner || e.Via != op.Via || e.Contact != op.Contact:
		return fault.New(fault.Conflict, "schema.roles-changed", "entity", op.Entity)
	}
	labels, err := relabelled(nil, op.Labels, true)
	if err != nil {
		return err
	}
	plurals, err := relabelled(nil, op.Plurals, false)
	if err != nil {
		return err
	}
	*e.Declared = declaredEntity{Plugin: plugin, Labels: labels, Plurals: plurals}
	e.Title, e.Timeline = op.Title, op.Timeline
	for _, f := range op.Fields {
		if err := d.declareField(plugin, op.Entity, f); err != nil {
			return err
		}
	}
	return nil
}

func (d *draft) declareField(plugin, entity string, said NewField) error {
	p, err := d.entity(entity)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(p.entity.Fields, func(f *fieldLayer) bool { return f.Name == said.Field && f.Number != 0 })
	if i < 0 {
		if err := d.addField(entity, said); err != nil {
			return err
		}
		i = len(p.entity.Fields) - 1
		number := p.entity.Fields[i].Number
		p.entity.Fields[i] = &fieldLayer{Name: said.Field, Number: number, Declared: &declaredField{Plugin: plugin, Definition: said.Definition}}
	}
	f := p.entity.Fields[i]
	if f.Declared == nil {
		return fault.New(fault.Conflict, "schema.of-office", "entity", entity+"."+said.Field)
	}
	if f.Declared.Plugin != plugin {
		return fault.New(fault.Conflict, "schema.of-another", "entity", entity+"."+said.Field, "plugin", f.Declared.Plugin)
	}
	old := f.Declared
	if old.Type != said.Type || old.Many != said.Many || old.Target != said.Target {
		return fault.New(fault.Conflict, "schema.type-changed", "entity", entity, "field", said.Field, "from", old.form(), "to", (&declaredField{Definition: said.Definition}).form())
	}
	fresh := &declaredField{Plugin: plugin, Definition: said.Definition}
	if fresh.Labels, err = relabelled(nil, said.Labels, true); err != nil {
		return err
	}
	fresh.ChoiceLabels = map[string]map[string]string{}
	for _, choice := range slices.Concat(old.Choices, old.Retired) {
		if !slices.Contains(said.Choices, choice) { // records may hold it
			fresh.Retired = setIn(fresh.Retired, choice, true)
			fresh.ChoiceLabels[choice] = old.ChoiceLabels[choice]
		}
	}
	for choice, labels := range said.ChoiceLabels {
		fresh.ChoiceLabels[choice] = labels
		if err := checkLabels(labels); err != nil {
			return err
		}
	}
	// Through JSON, so that a declaration that was stored and one that was not are the same.
	raw, err := json.Marshal(fresh)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "schema.default", "entity", entity, "field", said.Field)
	}
	f.Declared = &declaredField{}
	return json.Unmarshal(raw, f.Declared)
}

// form says in a word what records hold of the field.
func (d *declaredField) form() string {
	words := []string{string(d.Type)}
	if d.Many {
		words = append(words, "many")
	}
	if d.Target != "" {
		words = append(words, d.Target)
	}
	return strings.Join(words, " ")
}

// Plugins lists the plugins that declare something, or declared it once and were not purged.
func (s *Schema) Plugins() (ids []string) {
	if s.layer == nil {
		return nil
	}
	for _, e := range s.layer.Entities {
		if e.Declared != nil {
			ids = append(ids, e.Declared.Plugin)
		}
		for _, f := range e.Fields {
			if f.Declared != nil {
				ids = append(ids, f.Declared.Plugin)
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Withdrawn tells what of a plugin is out of use because it does not declare it any more: whole entities, and fields of
// entities that others own.
func (s *Schema) Withdrawn(plugin string) (entities []*Entity, fields map[string][]Field) {
	fields = map[string][]Field{}
	if s.layer == nil {
		return nil, fields
	}
	for _, l := range s.layer.Entities {
		e := s.Entity(l.Name)
		if e == nil {
			continue
		}
		if l.Declared != nil && l.Declared.Plugin == plugin {
			if l.Declared.Gone {
				entities = append(entities, e)
			}
			continue
		}
		for _, f := range l.Fields {
			if now := e.Numbered(f.Number); now != nil && f.Declared != nil && f.Declared.Plugin == plugin && f.Declared.Gone {
				fields[e.Name] = append(fields[e.Name], *now)
			}
		}
	}
	return entities, fields
}

// Declares tells whether a plugin declares anything now.
func (s *Schema) Declares(plugin string) bool {
	if s.layer == nil {
		return false
	}
	return slices.ContainsFunc(s.layer.Entities, func(e *entityLayer) bool {
		return e.Declared != nil && e.Declared.Plugin == plugin && !e.Declared.Gone ||
			slices.ContainsFunc(e.Fields, func(f *fieldLayer) bool { return f.Declared != nil && f.Declared.Plugin == plugin && !f.Declared.Gone })
	})
}
