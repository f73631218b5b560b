package filter

import (
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/search"
)

// fit brings the right side of a comparison to the kind of the left: a text that is a day or an id, a number that is
// money in the field's currency, a span that is a moment, a choice's label that is the choice.
func (c *checker) fit(left, right *node, o op) {
	f := fieldOf(left)
	switch {
	case c.err != nil:
		return
	case right.kind == kindMe || right.kind == kindTeam:
		if f == nil || f.Type != schema.Staff || o != opEqual {
			c.wrong("filter.me", "column", right.at)
		}
		return
	case right.op == opConst && right.kind == kindText && left.kind != kindText:
		c.fitText(left, right)
	case right.op == opConst && right.kind == kindText && f != nil && f.Type == schema.Choice:
		c.fitChoice(f, right)
	case right.op == opConst && right.kind == kindNumber && left.kind == kindMoney:
		c.fitAmount(f, right)
	case right.kind == kindSpan && isMoment(left.kind):
		if right.rel.base = today; slices.ContainsFunc(right.rel.spans, span.short) {
			right.rel.base = now
		}
		c.relative(right)
	}
	if c.err == nil && left.kind != right.kind && !(isMoment(left.kind) && isMoment(right.kind)) {
		c.wrong("filter.wanted", "column", right.at, "example", example(left.kind, f))
	}
}

func isMoment(k kind) bool { return k == kindDate || k == kindTime || k == kindYearly }

// fitText reads a quoted day, moment or id.
func (c *checker) fitText(left, right *node) {
	text := string(right.lit.b)
	switch left.kind {
	case kindDate, kindTime:
		right.setMoment(text)
	case kindYearly:
		if n, ok := readYearly(right.lit.b); ok {
			right.kind, right.lit = kindYearly, Value{kind: kindYearly, n: n}
		}
	case kindLink:
		if id, err := uuid.Parse(text); err == nil && len(text) == 36 {
			right.kind, right.lit = kindLink, Value{kind: kindLink, b: id[:]}
		}
	}
}

func (c *checker) fitAmount(f *schema.Field, right *node) {
	if f == nil || f.Currency == "" {
		c.wrong("filter.currency", "column", right.at)
		return
	}
	a, err := schema.ParseAmount(strconv.FormatFloat(right.lit.f, 'f', -1, 64), f.Currency)
	if err != nil {
		c.wrong("filter.amount", "column", right.at, "found", right.lit.text(nil)+" "+f.Currency)
		return
	}
	right.kind, right.lit = kindMoney, moneyValue(a)
}

// fitChoice takes a choice by its value, or by what it is called in some language where only one is called so.
func (c *checker) fitChoice(f *schema.Field, right *node) {
	text := string(right.lit.b)
	if text == "" {
		return
	}
	called, ok := c.choices[f]
	if !ok {
		called = choicesOf(f)
		c.choices[f] = called
	}
	value := called[text]
	if value == "" {
		value = called["\x00"+search.Fold(text)]
	}
	if value == "" {
		c.wrong("filter.choice", "column", right.at, "choices", excerptList(f.Choices))
		return
	}
	right.lit.b = []byte(value)
}

// choicesOf lists the choices of a field by their values and, behind a NUL, by what they are called, folded: "" where two
// are called alike.
func choicesOf(f *schema.Field) map[string]string {
	called := map[string]string{}
	name := func(label, value string) {
		folded := "\x00" + search.Fold(label)
		if other, taken := called[folded]; taken && other != value {
			value = ""
		}
		called[folded] = value
	}
	for _, value := range slices.Concat(f.Choices, f.Retired) {
		called[value] = value
		name(value, value)
		for _, label := range f.ChoiceLabels[value] {
			name(label, value)
		}
	}
	return called
}

// excerptList shows the first of many choices.
func excerptList(choices []string) string {
	const shown = 20
	if len(choices) > shown {
		return strings.Join(choices[:shown], ", ") + ", …"
	}
	return strings.Join(choices, ", ")
}

// example is a value of a kind as it is written.
func example(k kind, f *schema.Field) string {
	switch k {
	case kindNumber:
		return "12.5"
	case kindMoney:
		if f != nil && f.Currency != "" {
			return "100 " + f.Currency
		}
		return "100 ILS"
	case kindDate, kindTime:
		return "2026-11-22, today-90d"
	case kindYearly:
		return `"--02-28"`
	case kindYesNo:
		return "true"
	case kindLink:
		return `"01990a3e-7c1b-7f00-8000-5a1d2c3b4e5f"`
	case kindSpan:
		return "90d"
	}
	return `"Haifa"`
}
