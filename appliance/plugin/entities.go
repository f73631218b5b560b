package plugin

import (
	"context"
	"slices"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

// Declarations bring what manifests declare into the office's schema, where lists, forms, search, the API, rights, import,
// export and backup find it.
type Declarations struct {
	Schema *schema.Registry
	Book   *record.Book
}

// Apply makes the schema hold what a manifest declares, and hides what an earlier version of it declared besides. It is
// called before a version starts, and what it refuses must not start. The same manifest again changes nothing.
func (d *Declarations) Apply(ctx context.Context, m *Manifest) error {
	ops := m.Ops()
	if len(ops) == 0 && !slices.Contains(d.Schema.Current().Plugins(), m.ID) {
		return nil
	}
	if err := d.notPurging(ctx, m.ID); err != nil {
		return err
	}
	_, err := d.Schema.Declare(speaking(ctx, m.ID), m.ID, ops...)
	return err
}

// Foresee says what Apply would change, or why it would refuse.
func (d *Declarations) Foresee(ctx context.Context, m *Manifest) ([]schema.Difference, error) {
	return d.Schema.Foresee(speaking(ctx, m.ID), m.ID, m.Ops()...)
}

// Withdraw hides all that a plugin declared. Its records, and what others' records hold of its fields, stay.
func (d *Declarations) Withdraw(ctx context.Context, id string) error {
	return d.Apply(ctx, &Manifest{ID: id})
}

// Settle withdraws what plugins declared that are not installed any more.
func (d *Declarations) Settle(ctx context.Context, installed []string) error {
	s := d.Schema.Current()
	for _, id := range s.Plugins() {
		if slices.Contains(installed, id) || !s.Declares(id) {
			continue
		}
		if err := d.Withdraw(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// notPurging refuses a plugin whose data are being erased.
func (d *Declarations) notPurging(ctx context.Context, id string) error {
	return d.Book.View(ctx, func(tx store.Tx) error {
		if tx.Bucket(purgingBucket).Get([]byte(id)) != nil {
			return fault.New(fault.Conflict, "plugin.purging", "id", id)
		}
		return nil
	})
}

// declare asks for what a manifest declares.
func (h *Host) declare(ctx context.Context, m *Manifest) error {
	if h.o.Declare == nil {
		return nil
	}
	return h.o.Declare(ctx, m)
}

// speaking makes the appliance the actor, in the name of a plugin.
func speaking(ctx context.Context, id string) context.Context {
	return access.WithActor(ctx, access.Actor{ID: "plugin:" + id, Role: access.System, Name: id})
}

// Ops say to the schema what the manifest declares.
func (m *Manifest) Ops() (ops []schema.Op) {
	for _, e := range m.Entities {
		op := schema.Op{Kind: schema.AddEntity, Entity: e.Name, Labels: e.Label, Plurals: e.Plural, Title: e.Title, Owner: e.Owner,
			Contact: e.Contact, Timeline: e.Timeline}
		if e.Owner == "" {
			op.Via = e.Contact
		}
		for _, f := range e.Fields {
			d := f.definition()
			d.Indexed = d.Indexed || f.Name == e.Contact || f.Name == e.Owner
			op.Fields = append(op.Fields, schema.NewField{Field: f.Name, Labels: f.Label, Definition: d})
		}
		ops = append(ops, op)
	}
	for _, f := range m.Fields {
		ops = append(ops, schema.Op{Kind: schema.AddField, Entity: f.Entity, Field: f.Name, Labels: f.Label, Definition: f.definition()})
	}
	return ops
}
