package filter

import (
	"time"
)

// function is one that can be called by name.
type function struct {
	of          callable
	least, most int // arguments
	takes       []kind
	gives       kind // kindNone: what it takes
	clock       bool // it asks for the time
}

// callable names a function in the tree. It is no Go function, because what is called by way of a variable would move
// every record's run to the heap.
type callable uint8

const (
	callIf callable = iota
	callAge
	callYearday
	callYearly
	callYear
	callMonth
	callDay
	callCount
	callRound
)

// functionOf finds a function by name. "if" is a node of its own and stands here for its arguments only.
func functionOf(name string) (f function, ok bool) {
	days := []kind{kindDate, kindTime, kindYearly}
	switch name {
	case "if":
		return function{of: callIf, least: 2, most: 3}, true
	case "age":
		return function{callAge, 1, 1, days, kindNumber, true}, true
	case "yearday":
		return function{callYearday, 1, 1, days, kindNumber, false}, true
	case "yearly":
		return function{callYearly, 1, 1, days, kindYearly, false}, true
	case "year":
		return function{callYear, 1, 1, days, kindNumber, false}, true
	case "month":
		return function{callMonth, 1, 1, days, kindNumber, false}, true
	case "day":
		return function{callDay, 1, 1, days, kindNumber, false}, true
	case "count":
		return function{callCount, 1, 1, nil, kindNumber, false}, true
	case "round":
		return function{callRound, 1, 2, []kind{kindNumber, kindMoney}, kindNone, false}, true
	}
	return function{}, false
}

// call computes a function.
func call(n *node, x *run) Value {
	if n.fn.of == callCount {
		return number(float64(countOf(n.kids[0].path, 0, x)))
	}
	v := eval(n.kids[0], x)
	if n.fn.of == callRound {
		return rounded(v, n, x)
	}
	year, month, day, ok := dateOf(v, x.env)
	if !ok {
		return Value{}
	}
	switch n.fn.of {
	case callAge:
		return age(year, month, day, x.env)
	case callYearday:
		return yearday(month, day)
	case callYearly:
		return Value{kind: kindYearly, n: packYearly(year, month, day)}
	case callMonth:
		return number(float64(month))
	case callDay:
		return number(float64(day))
	}
	if year == 0 {
		return Value{}
	}
	return number(float64(year))
}

// functionNames are shown to those who misspelt one.
const functionNames = "age, count, day, if, month, round, year, yearday, yearly"

// dateOf is the date of a day, a moment or a yearly day; its year is 0 where that is unknown.
func dateOf(v Value, env *Env) (year, month, day int, ok bool) {
	switch v.kind {
	case kindYearly:
		year, month, day = unpackYearly(v.n)
		return year, month, day, true
	case kindDate, kindTime:
		n, _ := v.day(env)
		year, month, day = civil(n)
		return year, month, day, true
	}
	return 0, 0, 0, false
}

// age is how many whole years have passed since a day. Who was born on 29 February grows older on the 28th in years
// that have no 29th.
func age(year, month, day int, env *Env) Value {
	if year == 0 {
		return Value{}
	}
	today := dayOf(env.Now, env)
	now, _, _ := civil(today)
	years := now - year
	if fallsOn(packYearly(year, month, day), now) > today {
		years--
	}
	return number(float64(years))
}

// yearday is the place of a day in a year of 366 days, so that the 1st of March is the 61st of every year.
func yearday(month, day int) Value {
	return number(float64(dayNumber(2000, month, day) - dayNumber(2000, 1, 1) + 1))
}

// countOf is how many values a field has.
func countOf(p *path, depth int, x *run) (total int) {
	if depth < len(p.hops) {
		h := &p.hops[depth]
		for c := x.values(h.number); c.next(); {
			if len(c.b) != 16 {
				continue
			}
			if row, ok := x.row.Follow(h.target, c.b); ok {
				linked := enter(row, x.env)
				total += countOf(p, depth+1, &linked)
			}
		}
		return total
	}
	if p.formula != nil || p.own && p.field.Number == 0 {
		if v := first(p, depth, x); !v.Empty() {
			return 1
		}
		return 0
	}
	for c := x.values(p.field.Number); c.next(); total++ {
	}
	return total
}

func rounded(v Value, n *node, x *run) Value {
	if v.Empty() {
		return v
	}
	decimals := 0
	if len(n.kids) > 1 {
		d := eval(n.kids[1], x)
		if d.Empty() || d.f < -15 || d.f > 15 {
			return Value{}
		}
		decimals = int(d.f)
	}
	return round(v, decimals)
}

func timeOf(v Value, env *Env) time.Time { return time.UnixMilli(v.n).In(env.zone()) }
