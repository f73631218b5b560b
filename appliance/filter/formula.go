package filter

import (
	"slices"

	"github.com/karov-crm/karov/appliance/schema"
)

// Expr is a formula: it computes a value from the fields of a record.
type Expr struct {
	root *node
	deps deps
}

// formula is a formula field that another text reads.
type formula struct {
	root *node
	deps deps
	cost int
}

// ParseFormula reads a formula over the fields of an entity. Its faults are those of Parse. A formula that reads a
// field which the asker may not see is refused like one that reads a field which does not exist: its value is not for
// him either.
func ParseFormula(text string, s *schema.Schema, entity string, o Options) (*Expr, error) {
	root, c, err := read(text, s, entity, o)
	if err != nil {
		return nil, err
	}
	if root == nil {
		c.wrong("filter.formula-empty", "column", 0)
		return nil, c.err
	}
	if c.result(root); c.err != nil {
		return nil, c.err
	}
	return &Expr{root, c.deps}, nil
}

// result refuses what cannot be the value of a formula.
func (c *checker) result(root *node) {
	if !slices.Contains([]kind{kindText, kindNumber, kindMoney, kindDate, kindTime, kindYearly, kindYesNo}, root.kind) {
		c.wrong("filter.formula-result", "column", root.at)
	}
}

// Eval computes the formula for a record.
func (e *Expr) Eval(r Row, env *Env) Value {
	x := enter(r, env)
	v := eval(e.root, &x)
	v.b = slices.Clone(v.b)
	return v
}

// Type is the type of the formula's values.
func (e *Expr) Type() schema.Type { return typeOf(e.root.kind) }

// String is the formula in its canonical form.
func (e *Expr) String() string { return written(e.root) }

// Uses lists the fields that the formula reads, as Filter.Uses does.
func (e *Expr) Uses() []Use { return e.deps.sorted() }

// Clock says how the passing of time changes the formula's value.
func (e *Expr) Clock() Clock { return e.deps.clock }

// Asker tells whether the value depends on who asks.
func (e *Expr) Asker() bool { return e.deps.asker }

// formulaPath gives a path that ends in a formula field the formula's tree and kind.
func (c *checker) formulaPath(n *node, via []Step) {
	f := c.formulaOf(n.path.entity, n.path.field, n.at)
	if f == nil {
		if c.err == nil {
			c.unknown(n.path.entity, n.path.field.Name, n.ats[len(n.ats)-1])
		}
		return
	}
	n.path.formula, n.kind = f, f.root.kind
	cost := f.cost
	if n.path.many() {
		cost *= 100
	}
	c.cost += cost
	c.deps.add(f.deps, via)
}

// formulaOf reads the formula of a field, once. One that cannot be read is nil, and so is one that reads a field which
// the asker may not see. A circle of formulas is an error of its own.
func (c *checker) formulaOf(e *schema.Entity, field *schema.Field, at int) *formula {
	if f, ok := c.formulas[field]; ok {
		return f
	}
	switch {
	case slices.Contains(c.open, field):
		c.wrong("filter.circle", "column", at, "field", field.Name)
		return nil
	case len(c.open) == maxFormulas:
		c.wrong("filter.formula-deep", "column", at, "limit", maxFormulas)
		return nil
	}
	root, err := parse(field.Formula)
	if err != nil || root == nil {
		c.formulas[field] = nil
		return nil
	}
	inner := &checker{text: field.Formula, schema: c.schema, entity: e, hidden: c.hidden, formulas: c.formulas, choices: c.choices,
		open: append(slices.Clone(c.open), field)}
	if inner.check(root); inner.err == nil && inner.cost <= maxCost {
		inner.result(root)
	}
	switch {
	case inner.key == "filter.costly" || inner.err == nil && inner.cost > maxCost:
		c.wrong("filter.costly", "column", at)
		return nil
	case inner.key == "filter.circle":
		c.wrong("filter.circle", "column", at, "field", field.Name)
		return nil
	case inner.key == "filter.formula-deep":
		c.wrong("filter.formula-deep", "column", at, "limit", maxFormulas)
		return nil
	case inner.err != nil:
		c.formulas[field] = nil
		return nil
	}
	f := &formula{root, inner.deps, inner.cost}
	c.formulas[field] = f
	return f
}
