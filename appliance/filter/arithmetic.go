package filter

import (
	"math"
	"strings"

	"github.com/karov-crm/karov/appliance/schema"
)

// What cannot be computed is nothing, and so is all that is computed from nothing: a missing field, a division by zero,
// a sum of two currencies, a number or an amount that is too large.

func negative(v Value) Value {
	switch v.kind {
	case kindNumber:
		return number(-v.f)
	case kindMoney:
		if v.n != math.MinInt64 {
			v.n = -v.n
			return v
		}
	case kindSpan:
		v.n = -v.n
		return v
	}
	return Value{}
}

func arithmetic(n *node, x *run) Value {
	a, b := eval(n.kids[0], x), Value{}
	if right := n.kids[1]; right.kind == kindSpan {
		return shifted(a, right.rel, n.op, x.env)
	}
	b = eval(n.kids[1], x)
	switch {
	case a.Empty() || b.Empty():
		return Value{}
	case a.kind == kindNumber && b.kind == kindNumber:
		return numbers(n.op, a.f, b.f)
	case a.kind == kindMoney || b.kind == kindMoney:
		return amounts(n.op, a, b)
	case n.op == opSubtract && b.kind != kindNumber:
		return between(a, b, x.env)
	}
	return shiftedByDays(a, b, n.op)
}

func numbers(o op, a, b float64) Value {
	switch o {
	case opAdd:
		return number(a + b)
	case opSubtract:
		return number(a - b)
	case opMultiply:
		return number(a * b)
	}
	return number(a / b) // by zero it is endless or none, and so nothing
}

// amounts computes with money: sums of one currency, so many times it, a part of it, and how often one is in another.
func amounts(o op, a, b Value) Value {
	switch o {
	case opAdd, opSubtract:
		if a.cur != b.cur {
			return Value{}
		}
		sum := float64(a.n) + float64(b.n)
		n := a.n + b.n
		if o == opSubtract {
			sum, n = float64(a.n)-float64(b.n), a.n-b.n
		}
		if math.Abs(sum) >= math.MaxInt64 {
			return Value{}
		}
		a.n = n
		return a
	case opMultiply:
		if a.kind == kindNumber {
			a, b = b, a
		}
		return times(a, b.f)
	}
	if b.kind == kindMoney {
		if a.cur != b.cur {
			return Value{}
		}
		return numbers(opDivide, float64(a.n), float64(b.n))
	}
	return times(a, 1/b.f)
}

// times is an amount many times, to the nearest of its currency's smallest units.
func times(a Value, by float64) Value {
	n := math.Round(float64(a.n) * by)
	if math.IsNaN(n) || math.Abs(n) >= math.MaxInt64 {
		return Value{}
	}
	a.n = int64(n)
	return a
}

// millisOfDay are the milliseconds of a day of 24 hours.
const millisOfDay = 24 * 60 * 60 * 1000

// between is how many days lie between two moments: whole ones as soon as one of them is a day.
func between(a, b Value, env *Env) Value {
	if a.kind == kindTime && b.kind == kindTime {
		return number(float64(a.n-b.n) / millisOfDay)
	}
	from, ok := b.day(env)
	to, also := a.day(env)
	if !ok || !also {
		return Value{}
	}
	return number(float64(to - from))
}

// maxDay is the last day of the year 9999, up to where days and moments can be written.
const maxDay = 2_932_896

// bounded is a day or a moment that can be written, nothing else.
func bounded(v Value) Value {
	day := v.n
	if v.kind == kindTime {
		day /= millisOfDay
	}
	if day > maxDay || day < -719_162 { // 0001-01-01
		return Value{}
	}
	return v
}

// shifted is a day or a moment and a span after it, or before.
func shifted(v Value, by relative, o op, env *Env) Value {
	if v.kind != kindDate && v.kind != kindTime {
		return Value{}
	}
	for _, s := range by.spans {
		if o == opSubtract {
			s.n = -s.n
		}
		switch {
		case v.kind == kindDate && s.short():
			v = Value{kind: kindTime, n: s.from(startOf(v.n, env)).UnixMilli()}
		case v.kind == kindDate:
			v.n = s.dayFrom(v.n)
		default:
			v.n = s.from(timeOf(v, env)).UnixMilli()
		}
	}
	return bounded(v)
}

// shiftedByDays is a day or a moment and so many days after it: due + 3.
func shiftedByDays(a, b Value, o op) Value {
	if a.kind == kindNumber {
		a, b = b, a
	}
	days := b.f
	if o == opSubtract {
		days = -days
	}
	if math.Abs(days) > 2*maxDay {
		return Value{}
	}
	switch a.kind {
	case kindDate:
		a.n += int64(math.Floor(days))
	case kindTime:
		a.n += int64(days * millisOfDay)
	default:
		return Value{}
	}
	return bounded(a)
}

// joinTexts is a & b: what is missing leaves nothing between its neighbours.
func joinTexts(n *node, x *run) Value {
	var b strings.Builder
	for _, k := range n.kids {
		v := eval(k, x)
		if b.WriteString(v.text(x.env.zone())); b.Len() > MaxBytes {
			return Value{}
		}
	}
	if b.Len() == 0 {
		return Value{}
	}
	return Value{kind: kindText, b: []byte(b.String())}
}

// round is a number to so many decimals, or an amount to so many of its currency.
func round(v Value, decimals int) Value {
	if v.kind == kindMoney {
		digits, _ := schema.Digits(string(v.cur[:]))
		if decimals >= digits {
			return v
		}
		step := math.Pow10(digits - decimals)
		return times(Value{kind: kindMoney, n: int64(math.Round(float64(v.n) / step)), cur: v.cur}, step)
	}
	step := math.Pow10(decimals)
	if scaled := v.f * step; !math.IsInf(scaled, 0) {
		return number(math.Round(scaled) / step)
	}
	return v
}
