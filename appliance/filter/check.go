package filter

import (
	"slices"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/schema"
)

// checker gives the nodes of a tree their types, looks names up in the schema, and brings what can be written in
// several ways into one form. It keeps the first error and what the tree costs and reads.
type checker struct {
	text     string
	schema   *schema.Schema
	entity   *schema.Entity
	hidden   func(entity, field string) bool
	formulas map[*schema.Field]*formula
	choices  map[*schema.Field]map[string]string
	open     []*schema.Field // formula fields that are being read, outermost first

	value bool // a value is being checked that may be a text without its quotes

	err  error
	key  string // of the error
	cost int
	deps deps
}

// wrong remembers the first error. Args begin with "column" and a byte of the text.
func (c *checker) wrong(key string, args ...any) {
	if c.err == nil {
		c.err, c.key = fault.InvalidField("filter", key, located(c.text, args)...), key
	}
}

func (c *checker) check(n *node) {
	if n.op != opConst {
		c.cost++
	}
	if c.err != nil || c.cost > maxCost {
		return
	}
	switch n.op {
	case opAnd, opOr, opNot:
		n.kind = kindYesNo
		for _, k := range n.kids {
			c.condition(k)
		}
	case opEqual, opLess, opLessEqual, opGreater, opGreaterEqual, opContains, opStarts:
		n.kind = kindYesNo
		c.pair(n)
	case opIn:
		n.kind = kindYesNo
		c.list(n)
	case opEmpty, opPeriod:
		n.kind = kindYesNo
		c.single(n)
	case opConst:
	case opRelative:
		c.relative(n)
	case opMe, opTeam:
		n.kind, c.deps.asker = kindMe, true
		if n.op == opTeam {
			n.kind = kindTeam
		}
	case opPath:
		c.path(n)
		n.reads = true
		n.probe = probe{op: opEqual, right: yesNo(true)}
	case opCall:
		c.call(n)
	case opNegative:
		c.negative(n)
	case opJoin:
		c.join(n)
	default:
		c.arithmetic(n)
	}
	for _, k := range n.kids {
		n.reads = n.reads || k.reads
	}
}

// condition checks a node that must be true or false.
func (c *checker) condition(n *node) {
	if c.check(n); n.kind != kindYesNo {
		c.wrong("filter.condition", "column", n.at)
	}
}

func (c *checker) relative(n *node) {
	if n.rel.base == "" {
		n.kind = kindSpan
		return
	}
	n.kind = n.rel.kind()
	c.deps.ticks(n.rel)
}

// single checks x is empty and x is this week.
func (c *checker) single(n *node) {
	left := n.kids[0]
	c.check(left)
	n.probe = probe{op: n.op}
	switch {
	case n.op == opEmpty:
		n.fixed = true
		if !left.reads {
			c.wrong("filter.name", "column", left.at)
		}
	case left.kind != kindDate && left.kind != kindTime && left.kind != kindYearly:
		c.wrong("filter.operation", "column", n.at, "operator", "is "+n.per.String())
	default:
		c.deps.clock = max(c.deps.clock, Daily)
	}
}

// pair checks a comparison of two sides.
func (c *checker) pair(n *node) {
	c.check(n.kids[0])
	c.checkValue(n.kids[1])
	if other, ok := mirrored[n.op]; ok && !n.kids[0].reads && n.kids[1].reads {
		n.op = other
		n.kids[0], n.kids[1] = n.kids[1], n.kids[0]
	}
	if c.err != nil {
		return
	}
	left, right := n.kids[0], n.kids[1]
	if left.op == opConst && right.op == opConst {
		c.wrong("filter.name", "column", left.at)
		return
	}
	if !c.allows(n, left) {
		c.wrong("filter.operation", "column", n.at, "operator", signs[n.op])
		return
	}
	c.fit(left, right, n.op)
	c.ready(n)
}

// checkValue checks what something is compared with: a word there is more often a text without its quotes than a field.
func (c *checker) checkValue(n *node) {
	c.value = n.op == opPath
	c.check(n)
	c.value = false
}

// list checks x in (a, b).
func (c *checker) list(n *node) {
	left := n.kids[0]
	if c.check(left); !left.reads {
		c.wrong("filter.name", "column", left.at)
	}
	plain := true
	for _, item := range n.kids[1:] {
		if c.checkValue(item); c.err != nil {
			return
		}
		c.fit(left, item, opEqual)
		alt := &node{op: opEqual, at: item.at, kids: []*node{left, item}, kind: kindYesNo, reads: true}
		c.ready(alt)
		n.alts = append(n.alts, alt)
		plain = plain && alt.op == opEqual && item.op == opConst && item.kind == kindText && !alt.probe.phone
	}
	if c.err != nil || !plain || len(n.alts) < manyItems {
		return
	}
	n.fixed, n.probe = true, probe{op: opIn, exact: n.alts[0].probe.exact, set: map[string]bool{}}
	for _, alt := range n.alts {
		if alt.probe.exact {
			n.probe.set[string(alt.probe.right.b)] = true
		} else {
			n.probe.set[alt.probe.folded] = true
		}
	}
}

// manyItems is from where a list is looked up instead of gone through.
const manyItems = 4

// fieldOf is the field of a node that is a field, nil for any other. A formula field is none: it has the kind of what
// it gives, and nothing else.
func fieldOf(n *node) *schema.Field {
	if n.op != opPath || n.path == nil || n.path.formula != nil {
		return nil
	}
	return n.path.field
}

// allows tells whether an operator fits what stands on its left.
func (c *checker) allows(n, left *node) bool {
	f := fieldOf(left)
	switch {
	case n.op == opEqual:
		return left.kind != kindSpan && left.kind != kindMe && left.kind != kindTeam
	case n.op == opContains && f != nil && f.Type == schema.Choice:
		return true
	case n.op == opContains || n.op == opStarts:
		return left.kind == kindText && (f == nil || !exact(f.Type))
	case f != nil && (exact(f.Type) || f.Type == schema.Phone):
		return false
	}
	return slices.Contains([]kind{kindText, kindNumber, kindMoney, kindDate, kindTime, kindYearly}, left.kind)
}

// ready makes a comparison's probe once its sides are known.
func (c *checker) ready(n *node) {
	if c.err != nil {
		return
	}
	left, right := n.kids[0], n.kids[1]
	if n.op == opEqual && right.op == opConst && right.kind == kindText && len(right.lit.b) == 0 {
		n.op, n.kids, n.fixed, n.probe = opEmpty, n.kids[:1], true, probe{op: opEmpty}
		return
	}
	n.probe = probe{op: n.op}
	if f := fieldOf(left); f != nil {
		n.probe.exact, n.probe.phone = exact(f.Type), f.Type == schema.Phone
		if f.Type == schema.Choice {
			n.probe.op = opEqual // contains, of a field that holds many
		}
	}
	if n.fixed = slices.Contains([]op{opConst, opMe, opTeam}, right.op); !n.fixed {
		return
	}
	n.probe.right = eval(right, nil)
	n.probe.fold()
}

func (c *checker) negative(n *node) {
	k := n.kids[0]
	c.check(k)
	n.kind = k.kind
	switch {
	case k.op == opConst && (k.kind == kindNumber || k.kind == kindMoney):
		n.op, n.kids, n.lit = opConst, nil, negative(k.lit)
	case k.kind == kindSpan:
		n.op, n.kids, n.rel = opRelative, nil, relative{}.plus(k.rel, opSubtract)
	case k.kind != kindNumber && k.kind != kindMoney:
		c.wrong("filter.operation", "column", n.at, "operator", "-")
	}
}

func (c *checker) join(n *node) {
	n.kind = kindText
	for _, k := range n.kids {
		c.check(k)
		if k.kind == kindSpan || k.kind == kindMe || k.kind == kindTeam {
			c.wrong("filter.operation", "column", n.at, "operator", "&")
		}
	}
}

// arithmetic checks + - * /. A relative moment and the spans after it become one node.
func (c *checker) arithmetic(n *node) {
	a, b := n.kids[0], n.kids[1]
	c.check(a)
	c.check(b)
	if c.err != nil {
		return
	}
	if b.kind == kindSpan && a.op == opRelative && (n.op == opAdd || n.op == opSubtract) {
		if n.rel = a.rel.plus(b.rel, n.op); len(n.rel.spans) > maxSpans {
			c.wrong("filter.operation", "column", n.at, "operator", signs[n.op])
		}
		n.op, n.kids, n.at = opRelative, nil, a.at
		c.relative(n)
		return
	}
	if n.kind = resultOf(n.op, a, b); n.kind == kindNone {
		c.wrong("filter.operation", "column", n.at, "operator", signs[n.op])
	}
}

// resultOf is the kind of a sum, a product and so on; kindNone where there is none.
func resultOf(o op, a, b *node) kind {
	isDay := func(k kind) bool { return k == kindDate || k == kindTime }
	additive := o == opAdd || o == opSubtract
	switch {
	case a.kind == kindNumber && b.kind == kindNumber:
		return kindNumber
	case a.kind == kindMoney && b.kind == kindMoney && additive:
		return kindMoney
	case a.kind == kindMoney && b.kind == kindMoney && o == opDivide:
		return kindNumber
	case a.kind == kindMoney && b.kind == kindNumber && !additive, a.kind == kindNumber && b.kind == kindMoney && o == opMultiply:
		return kindMoney
	case isDay(a.kind) && isDay(b.kind) && o == opSubtract:
		return kindNumber
	case isDay(a.kind) && b.kind == kindSpan && additive:
		if b.rel.kind() == kindTime {
			return kindTime
		}
		return a.kind
	case isDay(a.kind) && b.kind == kindNumber && additive:
		return a.kind
	case a.kind == kindNumber && isDay(b.kind) && o == opAdd:
		return b.kind
	}
	return kindNone
}

func (c *checker) call(n *node) {
	f, ok := functionOf(n.name)
	if !ok {
		c.wrong("filter.function", "column", n.at, "name", excerpt(n.name), "known", functionNames)
		return
	}
	if len(n.kids) < f.least || len(n.kids) > f.most {
		c.wrong("filter.arguments", "column", n.at, "name", n.name, "least", f.least, "most", f.most)
		return
	}
	n.fn = f
	if n.name == "if" {
		c.choose(n)
		return
	}
	for _, k := range n.kids {
		c.check(k)
	}
	if c.err != nil {
		return
	}
	left := n.kids[0]
	switch {
	case n.name == "count" && left.op != opPath:
		c.wrong("filter.name", "column", left.at)
	case f.takes != nil && !slices.Contains(f.takes, left.kind):
		c.wrong("filter.wanted", "column", left.at, "example", example(f.takes[0], nil))
	case len(n.kids) > 1 && n.kids[1].kind != kindNumber:
		c.wrong("filter.wanted", "column", n.kids[1].at, "example", "2")
	}
	if n.kind = f.gives; n.kind == kindNone {
		n.kind = left.kind
	}
	if f.clock {
		c.deps.clock = max(c.deps.clock, Daily)
	}
}

// choose checks if(condition, a, b).
func (c *checker) choose(n *node) {
	n.op = opIf
	c.condition(n.kids[0])
	for _, k := range n.kids[1:] {
		if c.check(k); c.err != nil {
			return
		}
		switch {
		case k.kind == kindSpan || k.kind == kindMe || k.kind == kindTeam:
			c.wrong("filter.operation", "column", k.at, "operator", "if")
		case n.kind != kindNone && k.kind != n.kind:
			c.wrong("filter.wanted", "column", k.at, "example", example(n.kind, nil))
		}
		n.kind = k.kind
	}
}
