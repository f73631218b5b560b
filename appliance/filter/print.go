package filter

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// rank is how tightly an operator binds; what binds less than its place wants stands in parentheses.
func rank(n *node) int {
	switch n.op {
	case opOr:
		return 1
	case opAnd:
		return 2
	case opNot:
		if comparison(n.kids[0]) {
			return 4
		}
		return 3
	case opEqual, opLess, opLessEqual, opGreater, opGreaterEqual, opContains, opStarts, opIn, opEmpty, opPeriod:
		return 4
	case opJoin:
		return 5
	case opAdd, opSubtract:
		return 6
	case opMultiply, opDivide:
		return 7
	case opNegative:
		return 8
	case opConst:
		if (n.kind == kindNumber && n.lit.f < 0) || (n.kind == kindMoney && n.lit.n < 0) {
			return 8
		}
	case opRelative:
		if n.rel.base != "" && len(n.rel.spans) > 0 || len(n.rel.spans) > 1 {
			return 6
		}
		if len(n.rel.spans) == 1 && n.rel.spans[0].n < 0 {
			return 8
		}
	}
	return 9
}

// comparison tells the conditions whose "not" stands within them: x not in (1), x != 1, x is not empty.
func comparison(n *node) bool {
	return slices.Contains([]op{opEqual, opContains, opStarts, opIn, opEmpty, opPeriod}, n.op)
}

// written is the canonical text of a tree.
func written(n *node) string {
	var b strings.Builder
	write(&b, n, 0)
	return b.String()
}

func write(b *strings.Builder, n *node, place int) {
	if rank(n) < place {
		b.WriteByte('(')
		defer b.WriteByte(')')
	}
	switch n.op {
	case opAnd, opOr:
		for i, k := range n.kids {
			if i > 0 {
				b.WriteString(" " + signs[n.op] + " ")
			}
			write(b, k, rank(n)+1)
		}
	case opNot:
		if comparison(n.kids[0]) {
			writeComparison(b, n.kids[0], true)
			return
		}
		b.WriteString("not ")
		write(b, n.kids[0], 3)
	case opConst:
		b.WriteString(literal(n.lit))
	case opRelative:
		b.WriteString(n.rel.String())
	case opMe:
		b.WriteString("me")
	case opTeam:
		b.WriteString("my team")
	case opPath:
		b.WriteString(fieldName(n.name))
	case opCall, opIf:
		b.WriteString(n.name)
		writeList(b, n.kids, 0)
	case opNegative:
		b.WriteByte('-')
		write(b, n.kids[0], 8)
	case opJoin, opAdd, opSubtract, opMultiply, opDivide:
		write(b, n.kids[0], rank(n))
		b.WriteString(" " + signs[n.op] + " ")
		write(b, n.kids[1], rank(n)+1)
	default:
		writeComparison(b, n, false)
	}
}

func writeComparison(b *strings.Builder, n *node, negated bool) {
	write(b, n.kids[0], 5)
	sign := signs[n.op]
	switch {
	case n.op == opEqual && negated:
		sign = "!="
	case n.op == opPeriod:
		sign = "is " + n.per.String()
		if negated {
			sign = "is not " + n.per.String()
		}
	case n.op == opEmpty && negated:
		sign = "is not empty"
	case negated:
		sign = "not " + sign
	}
	b.WriteString(" " + sign)
	switch n.op {
	case opEmpty, opPeriod:
	case opIn:
		b.WriteByte(' ')
		writeList(b, n.kids[1:], 6)
	default:
		b.WriteByte(' ')
		write(b, n.kids[1], 5)
	}
}

func writeList(b *strings.Builder, items []*node, place int) {
	b.WriteByte('(')
	for i, k := range items {
		if i > 0 {
			b.WriteString(", ")
		}
		write(b, k, place)
	}
	b.WriteByte(')')
}

// fieldName puts names that are words of the language into backticks.
func fieldName(name string) string {
	parts := strings.Split(name, ".")
	for i, part := range parts {
		if i == 0 && slices.Contains(reserved, part) {
			parts[i] = "`" + part + "`"
		}
	}
	return strings.Join(parts, ".")
}

func literal(v Value) string {
	switch v.kind {
	case kindText:
		return quoted(string(v.b))
	case kindTime:
		return time.UnixMilli(v.n).UTC().Format("2006-01-02T15:04:05.999Z07:00")
	case kindYearly, kindLink:
		return strconv.Quote(v.text(time.UTC))
	}
	return v.text(time.UTC)
}

func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`, "\r", `\r`).Replace(s) + `"`
}
