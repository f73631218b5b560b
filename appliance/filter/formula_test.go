package filter

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/schema"
)

func TestFormulas(t *testing.T) {
	o := open(t)
	dana, e := o.dana(), env(t)
	empty := o.add("contact", 9, nil)
	for _, c := range []struct {
		text string
		typ  schema.Type
		want any // for dana
		none any // for a record with nothing in it
	}{
		{`score`, schema.Number, 7.5, nil}, {`score * 2 + 1`, schema.Number, 16.0, nil}, {`(score + 0.5) / 4 - 1`, schema.Number, 1.0, nil}, {`2 - 1 - 1`, schema.Number, 0.0, 0.0}, {`2 - (1 - 1)`, schema.Number, 2.0, 2.0}, {`8 / 2 / 2`, schema.Number, 2.0, 2.0}, {`-score`, schema.Number, -7.5, nil}, {`1 - -1`, schema.Number, 2.0, 2.0},
		{`1 / 0`, schema.Number, nil, nil}, {`score / (score - 7.5)`, schema.Number, nil, nil}, {`0 / 0`, schema.Number, nil, nil}, {`1000000000000000000 * 1000000000000000000`, schema.Number, 1e36, 1e36},
		{`balance + 1 ILS`, schema.Money, schema.Amount{Minor: 120150, Currency: "ILS"}, nil}, {`balance - balance`, schema.Money, schema.Amount{Currency: "ILS"}, nil}, {`balance * 0.333`, schema.Money, schema.Amount{Minor: 39977, Currency: "ILS"}, nil}, {`balance / 3`, schema.Money, schema.Amount{Minor: 40017, Currency: "ILS"}, nil}, {`2 * 5 JPY`, schema.Money, schema.Amount{Minor: 10, Currency: "JPY"}, schema.Amount{Minor: 10, Currency: "JPY"}}, {`balance / 0`, schema.Money, nil, nil}, {`balance / 100 ILS`, schema.Number, 12.005, nil}, {`balance + 1 USD`, schema.Money, nil, nil}, {`balance / paid`, schema.Number, nil, nil}, {`-paid`, schema.Money, schema.Amount{Minor: 500, Currency: "USD"}, nil}, {`90000000000000000 ILS + 90000000000000000 ILS`, schema.Money, nil, nil}, {`90000000000000000 ILS * 2`, schema.Money, nil, nil},
		{`round(score)`, schema.Number, 8.0, nil}, {`round(1.2345, 2)`, schema.Number, 1.23, 1.23}, {`round(1250, -2)`, schema.Number, 1300.0, 1300.0}, {`round(1, 400)`, schema.Number, nil, nil}, {`round(balance, 1)`, schema.Money, schema.Amount{Minor: 120050, Currency: "ILS"}, nil}, {`round(balance)`, schema.Money, schema.Amount{Minor: 120100, Currency: "ILS"}, nil},
		{`name & ", " & city`, schema.Text, "דנה כהן, חיפה", ", "}, {`name & city`, schema.Text, "דנה כהןחיפה", nil}, {`"n: " & score & " " & balance & " " & due & " " & vip`, schema.Text, "n: 7.5 1200.50 ILS 2026-11-25 true", "n:    false"}, {`last_at & ""`, schema.Text, "2026-11-21 00:30", nil}, {`birthday & ""`, schema.Text, "1988-02-29", nil}, {`company & ""`, schema.Text, "01000000-0000-7000-8000-000000000064", nil}, {`id & ""`, schema.Text, "01000000-0000-7000-8000-000000000001", "01000000-0000-7000-8000-000000000009"}, {`tags & ""`, schema.Text, "new", nil},
		{`if(score > 5, "many", "few")`, schema.Text, "many", "few"}, {`if(vip, due)`, schema.Date, "2026-11-25", nil}, {`if(vip and city = "x", 1, if(vip, 2, 3))`, schema.Number, 2.0, 3.0},
		{`score > 5`, schema.YesNo, true, false}, {`not vip`, schema.YesNo, false, true}, {`today > 2026-01-01`, schema.YesNo, true, true}, {`due is next 7 days`, schema.YesNo, true, false},
		{`today`, schema.Date, "2026-11-22", "2026-11-22"}, {`due - today`, schema.Number, 3.0, nil}, {`today - 2026-11-01`, schema.Number, 21.0, 21.0}, {`updated_at - created_at`, schema.Number, 19.5625, 19.5625}, {`due + 1m`, schema.Date, "2026-12-25", nil}, {`due + score`, schema.Date, "2026-12-02", nil}, {`3 + due`, schema.Date, "2026-11-28", nil}, {`due - 1y`, schema.Date, "2025-11-25", nil}, {`due + 2h`, schema.Time, moment("2026-11-25T00:00:00Z"), nil}, {`last_at + 1d`, schema.Time, moment("2026-11-21T22:30:00Z"), nil}, {`now`, schema.Time, moment("2026-11-22T10:00:00Z"), moment("2026-11-22T10:00:00Z")}, {`due + 100000000`, schema.Date, nil, nil}, {`last_at + 1000000000`, schema.Time, nil, nil}, {`2026-11-22T10:30 - 1h`, schema.Time, moment("2026-11-22T07:30:00Z"), moment("2026-11-22T07:30:00Z")},
		{`age(birthday)`, schema.Number, 38.0, nil}, {`year(today) - year(birthday)`, schema.Number, 38.0, nil}, {`yearly(birthday)`, schema.Yearly, "1988-02-29", nil}, {`count(phones) + count(tags)`, schema.Number, 4.0, 0.0},
		{`company.name & " / " & company.parent.name`, schema.Text, "Acme / Holding", " / "}, {`company.grand`, schema.Text, "Holding!", "!"}, {`label`, schema.Text, "דנה כהן (large)", " (small)"}, {`years + 1`, schema.Number, 39.0, nil},
	} {
		x, err := ParseFormula(c.text, o.Schema, "contact", Options{})
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if x.Type() != c.typ {
			t.Errorf("%s is a %s, want %s", c.text, x.Type(), c.typ)
		}
		for _, r := range []struct {
			row  Row
			want any
		}{{wiredRow{dana}, c.want}, {dana, c.want}, {wiredRow{empty}, c.none}} {
			want := r.want
			if c.text == `company.grand` && r.row != (wiredRow{dana}) && r.row != Row(dana) {
				want = nil // without a company there is no formula of it
			}
			v := x.Eval(r.row, e)
			if got := v.Any(); !equal(got, want) || v.Empty() != (want == nil) || !v.Empty() && v.Type() != c.typ {
				t.Errorf("%s = %v (%s), want %v", c.text, got, v.Type(), want)
			}
		}
		again, err := ParseFormula(x.String(), o.Schema, "contact", Options{})
		if err != nil || !sameTree(again.root, x.root) {
			t.Errorf("%s: its canonical text %s does not parse to the same: %v", c.text, x, err)
		}
	}
}

func equal(a, b any) bool {
	if t, ok := a.(time.Time); ok {
		u, ok := b.(time.Time)
		return ok && t.Equal(u)
	}
	if f, ok := a.(float64); ok {
		g, ok := b.(float64)
		return ok && (f == g || f-g < 1e-9 && g-f < 1e-9)
	}
	return a == b
}

func TestWrongFormulas(t *testing.T) {
	o := open(t)
	for text, want := range map[string]string{
		``: `filter.formula-empty column=1`, `company`: `filter.formula-result column=1`, `3d`: `filter.formula-result column=1`, `me`: `filter.formula-result column=1`, `1 +`: `filter.value-missing column=4`,
		`left`: `filter.circle column=1 field=left`, `1 & right`: `filter.circle column=5 field=right`, `broken`: `filter.unknown column=1 field=broken`, `city + 1`: `filter.operation column=6 operator=+`, `raw`: `filter.data column=1 field=raw`, `name & me`: `filter.operation column=6 operator=&`,
	} {
		if _, err := ParseFormula(text, o.Schema, "contact", Options{}); err == nil || said(faultOf(t, err)) != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// TestFormulasOfFormulas bounds how deep formulas may read one another, and how much all of them may cost.
func TestFormulasOfFormulas(t *testing.T) {
	build := func(formula string, n int) (*schema.Schema, error) {
		e := schema.Entity{Name: "contact", Fields: []schema.Field{{Number: 16, Name: "f0", Type: schema.Number}}}
		for i := 1; i <= n; i++ {
			text := strings.ReplaceAll(formula, "F", fmt.Sprintf("f%d", i-1))
			e.Fields = append(e.Fields, schema.Field{Number: 16 + i, Name: fmt.Sprintf("f%d", i), Type: schema.Formula, Formula: text})
		}
		return schema.New(e)
	}
	for _, c := range []struct {
		formula string
		n       int
		want    string
	}{
		{`F + 1`, maxFormulas, ""}, {`F + 1`, maxFormulas + 1, "filter.formula-deep"}, {`F + F`, 9, ""}, {`F + F`, maxFormulas, "filter.costly"},
	} {
		s, err := build(c.formula, c.n)
		must(t, err)
		_, err = Parse(fmt.Sprintf(`f%d > 1`, c.n), s, "contact", Options{})
		switch {
		case c.want == "":
			must(t, err)
		case err == nil || faultOf(t, err).Key != c.want:
			t.Errorf("%d times %s: %v, want %s", c.n, c.formula, err, c.want)
		}
	}
}
