package filter

import (
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/search"
)

// probe is a comparison made ready: its right side, folded once. That of one which depends on nothing is made when the
// filter is parsed.
type probe struct {
	op       op
	right    Value
	folded   string
	digits   string          // of a phone
	exact    bool            // texts compare byte by byte
	phone    bool            // texts compare by digits
	set      map[string]bool // of "in": the folded or exact texts of a long list
	from, to int64           // the days of a period
}

// test tells whether a record meets a condition.
func test(n *node, x *run) bool {
	switch n.op {
	case opAnd:
		for _, k := range n.kids {
			if !test(k, x) {
				return false
			}
		}
		return true
	case opOr:
		for _, k := range n.kids {
			if test(k, x) {
				return true
			}
		}
		return false
	case opNot:
		return !test(n.kids[0], x)
	case opEmpty:
		return !compare(n, x)
	case opIn:
		if n.probe.set != nil {
			return compare(n, x)
		}
		for _, alt := range n.alts {
			if test(alt, x) {
				return true
			}
		}
		return false
	case opEqual, opLess, opLessEqual, opGreater, opGreaterEqual, opContains, opStarts, opPeriod:
		return compare(n, x)
	}
	if n.op == opPath {
		return anyValue(&n.probe, n.path, 0, x)
	}
	v := eval(n, x)
	return v.n == 1
}

// compare tells whether one of the values of the left side meets the comparison.
func compare(n *node, x *run) bool {
	pr := &n.probe
	if !n.fixed {
		own := n.probe
		n.prepare(&own, x)
		pr = &own
	}
	left := n.kids[0]
	if left.op == opPath {
		return anyValue(pr, left.path, 0, x)
	}
	v := eval(left, x)
	return !v.Empty() && holds(pr, &v, x)
}

// prepare computes the right side of a comparison that depends on the moment, the asker or the record.
func (n *node) prepare(pr *probe, x *run) {
	switch {
	case n.op == opPeriod:
		pr.from, pr.to = n.per.days(x.env)
		return
	case len(n.kids) < 2 || n.op == opIn:
		return
	}
	pr.right = eval(n.kids[1], x)
	pr.fold()
}

// fold makes the forms in which texts compare.
func (pr *probe) fold() {
	if pr.right.kind != kindText || pr.exact {
		return
	}
	pr.folded = search.Fold(string(pr.right.b))
	if pr.phone {
		pr.digits = search.Digits(string(pr.right.b))
	}
}

// anyValue tells whether one of the values at a path's end meets the comparison.
func anyValue(pr *probe, p *path, depth int, x *run) bool {
	if depth < len(p.hops) {
		h := &p.hops[depth]
		for c := x.values(h.number); c.next(); {
			if len(c.b) != 16 {
				continue
			}
			if row, ok := x.row.Follow(h.target, c.b); ok {
				linked := enter(row, x.env)
				if anyValue(pr, p, depth+1, &linked) {
					return true
				}
			}
		}
		return false
	}
	switch {
	case p.formula != nil:
		v := eval(p.formula.root, x)
		return !v.Empty() && holds(pr, &v, x)
	case p.own && p.field.Type == schema.Link:
		id := x.row.ID()
		v := Value{kind: kindLink, b: id[:]}
		return holds(pr, &v, x)
	}
	found := false
	for c := x.values(p.field.Number); c.next(); {
		v := decode(p.field, c.cell)
		if v.Empty() {
			continue
		}
		if found = true; holds(pr, &v, x) {
			return true
		}
	}
	if !found && p.field.Type == schema.YesNo {
		return holds(pr, &Value{kind: kindYesNo}, x)
	}
	return false
}

// holds tells whether a value, which is not nothing, meets a comparison.
func holds(pr *probe, v *Value, x *run) bool {
	switch pr.op {
	case opEmpty:
		return true
	case opPeriod:
		return v.falls(pr.from, pr.to, x.env)
	}
	switch {
	case pr.set != nil:
		return pr.inSet(v)
	case pr.right.kind == kindMe:
		return string(v.b) == x.env.Me
	case pr.right.kind == kindTeam:
		for _, id := range x.env.Team {
			if id == string(v.b) {
				return true
			}
		}
		return false
	case pr.right.kind == kindNone:
		return false
	case v.kind == kindText:
		return pr.holdsText(v.b)
	}
	sign, ok := order(v, &pr.right, x.env)
	return ok && pr.takes(sign)
}

// takes tells whether an order of two values is what the operator wants; 2 is two values that are only not equal.
func (pr *probe) takes(sign int) bool {
	switch pr.op {
	case opEqual:
		return sign == 0
	case opLess:
		return sign == -1
	case opLessEqual:
		return sign == -1 || sign == 0
	case opGreater:
		return sign == 1
	case opGreaterEqual:
		return sign == 1 || sign == 0
	}
	return false
}

func (pr *probe) holdsText(text []byte) bool {
	if pr.exact {
		return string(text) == string(pr.right.b)
	}
	if pr.phone && pr.digits != "" {
		var buffer [maxDigits]byte
		return pr.holdsDigits(digitsOf(buffer[:0], text))
	}
	if pr.op == opContains {
		return containsFolded(text, pr.folded)
	}
	sign, starts := compareFolded(text, pr.folded)
	if pr.op == opStarts {
		return starts
	}
	return pr.takes(sign)
}

func (pr *probe) holdsDigits(digits []byte) bool {
	switch pr.op {
	case opContains:
		return bytesContain(digits, pr.digits)
	case opStarts:
		return len(digits) >= len(pr.digits) && string(digits[:len(pr.digits)]) == pr.digits
	}
	return samePhone(digits, pr.digits)
}

// inSet looks a text up in a long list.
func (pr *probe) inSet(v *Value) bool {
	if pr.exact {
		return pr.set[string(v.b)]
	}
	var buffer [window]byte
	if folded, ok := appendFolded(buffer[:0], v.b); ok {
		return pr.set[string(folded)]
	}
	return pr.set[search.Fold(string(v.b))]
}

// eval gives the value of a node for a record. A field that holds many gives its first.
func eval(n *node, x *run) Value {
	switch n.op {
	case opConst:
		return n.lit
	case opRelative:
		return n.rel.value(x.env)
	case opMe:
		return Value{kind: kindMe}
	case opTeam:
		return Value{kind: kindTeam}
	case opPath:
		return first(n.path, 0, x)
	case opCall:
		return call(n, x)
	case opIf:
		if test(n.kids[0], x) {
			return eval(n.kids[1], x)
		}
		if len(n.kids) > 2 {
			return eval(n.kids[2], x)
		}
		return Value{}
	case opNegative:
		v := eval(n.kids[0], x)
		return negative(v)
	case opJoin:
		return joinTexts(n, x)
	case opAdd, opSubtract, opMultiply, opDivide:
		return arithmetic(n, x)
	}
	return yesNo(test(n, x))
}

// first is the first value at a path's end.
func first(p *path, depth int, x *run) Value {
	if depth < len(p.hops) {
		h := &p.hops[depth]
		for c := x.values(h.number); c.next(); {
			if len(c.b) != 16 {
				continue
			}
			if row, ok := x.row.Follow(h.target, c.b); ok {
				linked := enter(row, x.env)
				if v := first(p, depth+1, &linked); !v.Empty() {
					return v
				}
			}
		}
		return Value{}
	}
	switch {
	case p.formula != nil:
		return eval(p.formula.root, x)
	case p.own && p.field.Type == schema.Link:
		id := x.row.ID()
		return Value{kind: kindLink, b: id[:]}
	}
	for c := x.values(p.field.Number); c.next(); {
		if v := decode(p.field, c.cell); !v.Empty() {
			return v
		}
	}
	if p.field.Type == schema.YesNo {
		return yesNo(false)
	}
	return Value{}
}
