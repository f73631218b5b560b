package filter

import (
	"testing"

	"github.com/karov-crm/karov/appliance/fault"
)

var seeds = []string{``, `city = "חיפה" and not (birthday is this week or company.city starts "Tel")`, `owner in (me, my team) and balance >= 100 ILS and last_at < today-90d`,
	`if(balance > 1000 ILS, "large", "small") & " " & name`, `phones contains "050"`, `not not vip or score*-2 = -(3 - -1)`, "`in` is not empty", `due - 3d <= today+2w-1m`, `last_at > 2026-11-22T10:30:00+02:00`, `2026-11-22T10:30 - 1h < last_at`,
	`birthday in ("--02-29", 1990-01-01)`, `count(friends.city) > round(score, 1)`, `tags not in ("new", "זהב")`, `city != 'a"b\n'`, `label is empty and size = "x"`, `kind contains "person"`, `(vip) = (score = 1)`, `yearly(due) is next 30 days`, "\x00", `((((`, `"`, `today-999999999d`, `-0 = score`, `- - 1 < score`, `score = 0.1 + 0.2`, `3d+1m = due`, `due = today - (1d + 1m)`}

// FuzzParse: no text makes Parse panic, an error says where, and what is taken has a canonical text with the same tree
// that the same records meet.
func FuzzParse(f *testing.F) {
	for _, text := range seeds {
		f.Add(text)
	}
	o := open(f)
	dana, empty, e := o.dana(), o.add("contact", 9, nil), env(f)
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := Parse(text, o.Schema, "contact", Options{})
		if err != nil {
			where := faultOf(t, err)
			if where.Params["column"] == "" && where.Key != "filter.too-long" {
				t.Fatalf("%q: the error %v has no column", text, err)
			}
			if x, err := ParseFormula(text, o.Schema, "contact", Options{}); err == nil {
				again, err := ParseFormula(x.String(), o.Schema, "contact", Options{})
				if err != nil || !sameTree(x.root, again.root) {
					t.Fatalf("%q: its canonical text %q does not parse to the same: %v", text, x, err)
				}
				x.Eval(wiredRow{dana}, e).Any()
				x.Eval(empty, e).Any()
			}
			return
		}
		again, err := Parse(parsed.String(), o.Schema, "contact", Options{})
		if err != nil || !sameTree(parsed.root, again.root) || again.String() != parsed.String() {
			t.Fatalf("%q: its canonical text %q does not parse to the same: %v", text, parsed, err)
		}
		for _, r := range []*row{dana, empty} {
			kept := parsed.Match(wiredRow{r}, e)
			if kept != parsed.Match(r, e) || kept != again.Match(r, e) {
				t.Fatalf("%q: the answer depends on how the record is read", text)
			}
			for _, c := range parsed.Conditions() {
				if kept && c.Op != "empty" && c.Op != "not empty" && !within(r, c, e) {
					t.Fatalf("%q keeps a record that lies outside of its condition on %s", text, c.Field.Name)
				}
			}
		}
	})
}

// FuzzMatch: no stored bytes make a filter panic.
func FuzzMatch(f *testing.F) {
	o := open(f)
	f.Add(o.dana().raw)
	f.Add([]byte{0x82, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 'x'})
	f.Add([]byte{0x82, 0x01, 0x05, 'a'})
	f.Add([]byte{0x80, 0x01})
	var filters []*Filter
	for _, text := range seeds {
		parsed, err := Parse(text, o.Schema, "contact", Options{})
		if err == nil {
			filters = append(filters, parsed)
		} else if fault.KindOf(err) != fault.Invalid {
			f.Fatal(err)
		}
	}
	label, err := ParseFormula(`name & phones & balance & due & birthday & last_at & company & contract & id & score & company.name`, o.Schema, "contact", Options{})
	must(f, err)
	e := env(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := &row{office: o, id: id(1), raw: raw}
		for _, parsed := range filters {
			if parsed.Match(wiredRow{r}, e) != parsed.Match(r, e) && ascending(raw) {
				t.Fatalf("%s: the answer depends on how the record is read", parsed)
			}
		}
		label.Eval(wiredRow{r}, e).Any()
		label.Eval(r, e).Any()
	})
}

// ascending tells whether the fields stand in the order of their numbers, as records have them.
func ascending(raw []byte) bool {
	last := 0
	for at := 0; at < len(raw); {
		n, c, next := field(raw, at)
		if next == 0 || n < last || n == last && !c.bytes {
			return false
		}
		last, at = n, next
	}
	return true
}
