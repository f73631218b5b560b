package record

import (
	"context"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/filter"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

// shown is the record as the actor may read it: without hidden fields, with the values of its formulas.
func (b *Book) shown(ctx context.Context, tx store.Tx, r Record) Record {
	r.rights = b.gate.Fields(ctx, r.entity.Name)
	var env *filter.Env
	for i := range r.entity.Fields {
		f := &r.entity.Fields[i]
		if f.Type != schema.Formula || f.Hidden || r.rights.Hidden(f.Name) {
			continue
		}
		expr := b.formula(b.schema.At(tx), r.entity, f)
		if expr == nil || b.usesHidden(ctx, expr.Uses()) {
			continue
		}
		if env == nil {
			env, r.computed = b.env(ctx), map[string]any{}
		}
		if v := expr.Eval(b.row(ctx, tx, r), env).Any(); v != nil {
			r.computed[f.Name] = v
		}
	}
	return r
}

// Shown is a record that was read without asking who reads, by Raw, Linked or With, as the actor may read it. Whether he
// may see it at all, Allowed tells.
func (b *Book) Shown(ctx context.Context, tx store.Tx, r Record) Record { return b.shown(ctx, tx, r) }

// Readable tells whether an entity has a field that the actor may read.
func (b *Book) Readable(ctx context.Context, e *schema.Entity, field string) bool {
	f := e.Field(field)
	return f != nil && !f.Hidden && !b.gate.Fields(ctx, e.Name).Hidden(field)
}

// usesHidden tells whether a formula reads a field that the actor may not: he must not see it by what is made of it.
func (b *Book) usesHidden(ctx context.Context, uses []filter.Use) bool {
	for _, u := range uses {
		if b.gate.Fields(ctx, u.Entity).Hidden(u.Field) {
			return true
		}
	}
	return false
}

// formula parses a formula field once per schema, nil for one that cannot be computed any more.
func (b *Book) formula(s *schema.Schema, e *schema.Entity, f *schema.Field) *filter.Expr {
	key := whereKey{s.Version(), e.Name, "=" + f.Formula}
	if x, ok := b.wheres.Load(key); ok {
		return x.(*filter.Expr)
	}
	x, err := filter.ParseFormula(f.Formula, s, e.Name, filter.Options{})
	if err != nil {
		x = nil
	}
	b.wheres.Store(key, x)
	return x
}

// Parse reads a filter of an entity as the actor may ask it: a field that is hidden from him is unknown.
func (b *Book) Parse(ctx context.Context, entity, text string) (*filter.Filter, error) {
	return filter.Parse(text, b.schema.Current(), entity, filter.Options{Hidden: func(entity, field string) bool {
		return b.gate.Fields(ctx, entity).Hidden(field)
	}})
}

// env is what a filter knows beside the record.
func (b *Book) env(ctx context.Context) *filter.Env {
	return &filter.Env{Now: b.now().In(b.zone), Zone: b.zone, Week: b.week, Me: access.ActorFrom(ctx).ID, Team: b.gate.Members(ctx)}
}

// Zone is where the office's days begin.
func (b *Book) Zone() *time.Location { return b.zone }

// row lets filters and formulas read a record.
func (b *Book) row(ctx context.Context, tx store.Tx, r Record) *row {
	return &row{r: r, follow: func(target string, id ID) (Record, bool) {
		linked, err := b.GetTx(ctx, tx, target, id)
		return linked, err == nil
	}}
}

// Row lets a filter read a record as the appliance sees it, following every link.
func (b *Book) Row(tx store.Tx, r Record) filter.Row {
	w := b.officeRow(tx)
	w.r = r
	return w
}

// officeRow follows links whoever asks.
func (b *Book) officeRow(tx store.Tx) *row {
	return &row{follow: func(target string, id ID) (Record, bool) {
		linked, err := b.Raw(tx, target, id)
		return linked, err == nil
	}}
}

// row is a record as filter.Row. It is used again for each record of a scan.
type row struct {
	r      Record
	follow func(target string, id ID) (Record, bool)
}

var (
	_ filter.Row   = (*row)(nil)
	_ filter.Wired = (*row)(nil)
)

// ID implements filter.Row.
func (w *row) ID() [16]byte { return w.r.ID }

// Bytes implements filter.Row.
func (w *row) Bytes(number int) ([]byte, bool) {
	b := w.r.first(protowire.Number(number))
	return b, b != nil
}

// Each implements filter.Row.
func (w *row) Each(number int, fn func([]byte) bool) { w.r.visit(protowire.Number(number), fn) }

// Scalar implements filter.Row.
func (w *row) Scalar(number int) (uint64, bool) { return w.r.scalar(protowire.Number(number)) }

// Wire implements filter.Wired.
func (w *row) Wire() []byte { return w.r.raw }

// Follow implements filter.Row.
func (w *row) Follow(target string, id []byte) (filter.Row, bool) {
	if len(id) != 16 {
		return nil, false
	}
	linked, ok := w.follow(target, ID(id))
	if !ok {
		return nil, false
	}
	return &row{r: linked, follow: w.follow}, true
}
