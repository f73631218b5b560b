package filter

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/karov-crm/karov/appliance/schema"
)

// Condition is a term that every record which meets the filter meets too, on one of the record's own fields: what an
// index of that field could serve.
type Condition struct {
	Field *schema.Field // for the record's own fields one with their number (id: 0, created_at: 2, updated_at: 3, ...)
	Op    string        // "=", "in", "<", "<=", ">", ">=", "starts", "period", "empty", "not empty"

	nodes []*node // one of them holds
}

// Range is a run of stored values, both ends within it; a nil end is open. Prefix means every text that begins with
// From, and then there is no To.
//
// Values are in the form in which records store them. Those that records store as numbers are 8 bytes that sort as the
// values do: a moment is its big-endian milliseconds with the sign turned, a number its big-endian bits with the sign
// turned, and all bits where it is negative. Yes is one byte 1. Texts are as they were written and compare folded, but
// for choices, people and ids.
type Range struct {
	From, To []byte
	Prefix   bool
}

// Conditions lists the terms that an index could serve. They are necessary and not sufficient: whoever reads records
// by one asks Match for each.
func (f *Filter) Conditions() (conditions []Condition) {
	if f.All() {
		return nil
	}
	terms := []*node{f.root}
	if f.root.op == opAnd {
		terms = f.root.kids
	}
	for _, n := range terms {
		if c, ok := conditionOf(n); ok {
			conditions = append(conditions, c)
		}
	}
	return conditions
}

func conditionOf(n *node) (c Condition, ok bool) {
	switch n.op {
	case opPath:
		f := indexable(n)
		return Condition{Field: f, Op: "=", nodes: []*node{n}}, f != nil && f.Type == schema.YesNo
	case opNot:
		if c, ok = conditionOf(n.kids[0]); !ok || c.Op != "empty" {
			return c, false
		}
		return Condition{Field: c.Field, Op: "not empty"}, true
	case opOr:
		return eitherOf(n.kids)
	case opEqual, opIn, opLess, opLessEqual, opGreater, opGreaterEqual, opStarts, opEmpty, opPeriod:
	default:
		return c, false
	}
	c = Condition{Field: indexable(n.kids[0]), Op: signs[n.op], nodes: []*node{n}}
	switch {
	case c.Field == nil:
		return c, false
	case n.op == opEmpty:
		return Condition{Field: c.Field, Op: "empty"}, true
	case n.op == opPeriod:
		c.Op = "period"
	case n.op == opIn:
		c.nodes = n.alts
	}
	for _, k := range c.nodes {
		if c.Field.Type == schema.YesNo || k.op == opEmpty || len(k.kids) > 1 && k.kids[1].reads || k.probe.phone || c.Field.Type == schema.Yearly {
			return c, false
		}
	}
	return c, true
}

// eitherOf is a condition of several on the same field, one of which holds.
func eitherOf(terms []*node) (c Condition, ok bool) {
	for i, n := range terms {
		one, ok := conditionOf(n)
		if !ok || i > 0 && one.Field != c.Field || len(one.nodes) == 0 || one.Op == "empty" {
			return c, false
		}
		c.Field, c.Op, c.nodes = one.Field, "in", append(c.nodes, one.nodes...)
	}
	return c, true
}

// indexable is the field of a node that is one of the record's own and stored in it, nil for any other.
func indexable(n *node) *schema.Field {
	f := fieldOf(n)
	if f == nil || len(n.path.hops) > 0 || f.Type == schema.File || f.Type == schema.Picture {
		return nil
	}
	return f
}

// Resolve gives the runs of values of which a record must have one, in no order; none means that no record can. It says
// nothing for "empty" and "not empty".
func (c Condition) Resolve(env *Env) (ranges []Range) {
	x := run{env: env}
	for _, n := range c.nodes {
		switch {
		case n.op == opPath:
			ranges = append(ranges, Range{From: []byte{1}, To: []byte{1}})
		case n.op == opPeriod:
			from, to := n.per.days(env)
			ranges = append(ranges, daysBetween(c.Field, from, to, env))
		default:
			ranges = append(ranges, c.ranges(n, eval(n.kids[1], &x), env)...)
		}
	}
	return ranges
}

func (c Condition) ranges(n *node, right Value, env *Env) []Range {
	switch right.kind {
	case kindNone:
		return nil
	case kindMe:
		if env.Me == "" {
			return nil
		}
		return []Range{point([]byte(env.Me))}
	case kindTeam:
		var ranges []Range
		for _, id := range env.Team {
			ranges = append(ranges, point([]byte(id)))
		}
		return ranges
	}
	switch kindOf(c.Field) {
	case kindNumber:
		return numberRange(n.op, right.f)
	case kindMoney:
		return moneyRange(n.op, right)
	case kindDate, kindTime:
		return []Range{momentRange(c.Field, n.op, right, env)}
	}
	value := slices.Clone(right.b)
	if n.op == opStarts {
		return []Range{{From: value, Prefix: true}}
	}
	return []Range{bounds(n.op, value, value)}
}

func point(b []byte) Range { return Range{From: b, To: b} }

// bounds is the run of an operator: below is the last value under the right side, and above the first over it, where
// they are known; else the right side itself.
func bounds(o op, from, to []byte) Range {
	switch o {
	case opLess, opLessEqual:
		return Range{To: to}
	case opGreater, opGreaterEqual:
		return Range{From: from}
	}
	return Range{From: from, To: to}
}

func numberRange(o op, f float64) []Range {
	switch o {
	case opLess:
		f = math.Nextafter(f, math.Inf(-1))
	case opGreater:
		f = math.Nextafter(f, math.Inf(1))
	}
	if f == 0 { // both zeros are equal
		return []Range{bounds(o, sortableNumber(math.Copysign(0, -1)), sortableNumber(0))}
	}
	return []Range{bounds(o, sortableNumber(f), sortableNumber(f))}
}

func sortableNumber(f float64) []byte {
	bits := math.Float64bits(f)
	if bits>>63 == 1 {
		bits = ^bits
	} else {
		bits |= 1 << 63
	}
	return binary.BigEndian.AppendUint64(nil, bits)
}

// moneyRange may hold amounts of other currencies too, which Match leaves out.
func moneyRange(o op, v Value) []Range {
	switch {
	case o == opLess && v.n == math.MinInt64, o == opGreater && v.n == math.MaxInt64:
		return nil
	case o == opLess:
		v.n--
	case o == opGreater:
		v.n++
	}
	value := v.amount().Encode()
	switch r := bounds(o, value, value); {
	case o == opEqual:
		return []Range{r}
	case r.From != nil:
		return []Range{{From: value[:8]}}
	}
	return []Range{{To: append(slices.Clone(value[:8]), "ZZZ"...)}}
}

// momentRange is the run of days or moments that an operator takes.
func momentRange(f *schema.Field, o op, right Value, env *Env) Range {
	if f.Type == schema.Time && right.kind == kindTime {
		n := right.n
		switch o {
		case opLess:
			n--
		case opGreater:
			n++
		}
		return bounds(o, sortableMoment(n), sortableMoment(n))
	}
	day, _ := right.day(env)
	switch o {
	case opLess:
		return Range{To: daysBetween(f, day-1, day-1, env).To}
	case opGreater:
		return Range{From: daysBetween(f, day+1, day+1, env).From}
	}
	r := daysBetween(f, day, day, env)
	return bounds(o, r.From, r.To)
}

// daysBetween is the run of the values that lie on the days from one to another.
func daysBetween(f *schema.Field, from, to int64, env *Env) Range {
	if f.Type == schema.Date {
		return Range{From: []byte(dayText(from)), To: []byte(dayText(to))}
	}
	return Range{From: sortableMoment(startOf(from, env).UnixMilli()), To: sortableMoment(startOf(to+1, env).UnixMilli() - 1)}
}

func sortableMoment(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)^1<<63) }
