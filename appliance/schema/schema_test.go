package schema

import (
	"math"
	"testing"

	"github.com/karov-crm/karov/appliance/fault"
)

func thing(fields ...Field) Entity { return Entity{Name: "thing", Fields: fields} }

func TestContradictionsAreRefused(t *testing.T) {
	name := Field{Number: 16, Name: "name", Type: Text}
	with := func(change func(*Entity)) []Entity {
		e := thing(name, Field{Number: 17, Name: "owner", Type: Staff}, Field{Number: 18, Name: "over", Type: Link, Target: "thing"})
		change(&e)
		return []Entity{e}
	}
	one := func(f Field) []Entity {
		f.Number, f.Name = 16, "x"
		return []Entity{thing(f)}
	}
	for name, c := range map[string]struct {
		want string
		set  []Entity
	}{
		"two entities of a name":   {"schema.twice", []Entity{thing(name), thing(name)}},
		"name of an entity":        {"schema.name", []Entity{{Name: "Thing"}}},
		"name of a field":          {"schema.name", []Entity{thing(Field{Number: 16, Name: "no name", Type: Text})}},
		"field with a dot":         {"schema.name", []Entity{thing(Field{Number: 16, Name: "a.b", Type: Text})}},
		"field with a quote":       {"schema.name", []Entity{thing(Field{Number: 16, Name: `a"b`, Type: Text})}},
		"record's own number":      {"schema.number", []Entity{thing(Field{Number: 15, Name: "x", Type: Text})}},
		"number too high":          {"schema.number", []Entity{thing(Field{Number: 1<<28 + 1, Name: "x", Type: Text})}},
		"number twice":             {"schema.taken", []Entity{thing(name, Field{Number: 16, Name: "x", Type: Text})}},
		"name twice":               {"schema.taken", []Entity{thing(name, Field{Number: 17, Name: "name", Type: Text})}},
		"no type":                  {"schema.type", one(Field{Type: "texts"})},
		"choice of nothing":        {"schema.choices", one(Field{Type: Choice})},
		"choice twice":             {"schema.choice-twice", one(Field{Type: Choice, Choices: []string{"a", "a"}})},
		"choice also retired":      {"schema.choice-twice", one(Field{Type: Choice, Choices: []string{"a"}, Retired: []string{"a"}})},
		"invisible choice":         {"schema.choice", one(Field{Type: Choice, Choices: []string{"\u200b"}})},
		"choice that turns text":   {"schema.choice", one(Field{Type: Choice, Choices: []string{"a\u202eb"}})},
		"choices of a text":        {"schema.no-choice", one(Field{Type: Text, Choices: []string{"a"}})},
		"link to nothing":          {"schema.target", one(Field{Type: Link, Target: "nothing"})},
		"target of a text":         {"schema.target", one(Field{Type: Text, Target: "thing"})},
		"many numbers":             {"schema.many", one(Field{Type: Number, Many: true})},
		"many moments":             {"schema.many", one(Field{Type: Time, Many: true})},
		"many formulas":            {"schema.many", one(Field{Type: Formula, Formula: "1", Many: true})},
		"indexed long text":        {"schema.indexed", one(Field{Type: LongText, Indexed: true})},
		"indexed data":             {"schema.indexed", one(Field{Type: Data, Indexed: true})},
		"indexed file":             {"schema.indexed", one(Field{Type: File, Indexed: true})},
		"indexed formula":          {"schema.indexed", one(Field{Type: Formula, Formula: "1", Indexed: true})},
		"unique without an index":  {"schema.unique", one(Field{Type: Text, Unique: true})},
		"searched number":          {"schema.searched", one(Field{Type: Number, Searched: true})},
		"formula without text":     {"schema.formula", one(Field{Type: Formula})},
		"text with a formula":      {"schema.formula", one(Field{Type: Text, Formula: "1"})},
		"required formula":         {"schema.computed", one(Field{Type: Formula, Formula: "1", Required: true})},
		"hidden but required":      {"schema.needed", one(Field{Type: Text, Required: true, Hidden: true})},
		"no currency":              {"schema.currency", one(Field{Type: Money, Currency: "XYZ"})},
		"currency of a number":     {"schema.currency", one(Field{Type: Number, Currency: "ILS"})},
		"length below nothing":     {"schema.max", one(Field{Type: Text, Max: -1})},
		"length of a number":       {"schema.max", one(Field{Type: Number, Max: 5})},
		"its title":                {"schema.role", with(func(e *Entity) { e.Title = "nothing" })},
		"its owner":                {"schema.role", with(func(e *Entity) { e.Owner = "name" })},
		"its via":                  {"schema.role", with(func(e *Entity) { e.Via = "owner" })},
		"its via is itself":        {"schema.role", with(func(e *Entity) { e.Via = "id" })},
		"its contact":              {"schema.role", with(func(e *Entity) { e.Contact = "name" })},
		"timeline without a link":  {"schema.timeline", with(func(e *Entity) { e.Contact, e.Timeline = "over", true })},
		"timeline by contact's id": {"schema.timeline", with(func(e *Entity) { e.Contact, e.Timeline = "id", true })},
	} {
		if _, err := New(c.set...); err == nil || fault.Of(err).Key != c.want || fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func TestTypes(t *testing.T) {
	for _, c := range []struct {
		of             Type
		indexed, lists bool
	}{{Text, true, true}, {LongText, false, true}, {Number, true, false}, {Money, true, false}, {YesNo, true, false}, {Choice, true, true},
		{Time, true, false}, {Date, true, false}, {Yearly, true, false}, {Phone, true, true}, {Email, true, true}, {URL, true, true},
		{Link, true, true}, {Staff, true, true}, {File, false, true}, {Picture, false, true}, {Formula, false, false}, {Data, false, false}} {
		f := Field{Number: 16, Name: "x", Type: c.of}
		switch c.of {
		case Choice:
			f.Choices = []string{"a"}
		case Link:
			f.Target = "thing"
		case Formula:
			f.Formula = "1"
		}
		if _, err := New(thing(f)); err != nil {
			t.Errorf("%s: %v", c.of, err)
		}
		f.Indexed = true
		if _, err := New(thing(f)); (err == nil) != c.indexed {
			t.Errorf("indexed %s: %v", c.of, err)
		}
		f.Indexed, f.Many = false, true
		if _, err := New(thing(f)); (err == nil) != c.lists {
			t.Errorf("many of %s: %v", c.of, err)
		}
	}
}

func TestDefaults(t *testing.T) {
	for _, c := range []struct {
		field Field
		good  []any
		bad   []any
	}{
		{Field{Type: Text, Max: 5}, []any{"abc"}, []any{"abcdef", "", 1.0, true, []string{"a"}, "a\nb", "\xff"}},
		{Field{Type: LongText}, []any{"a\nb"}, []any{"", 1.0}},
		{Field{Type: Number}, []any{0.0, -1.5}, []any{"1", 1, math.NaN(), math.Inf(1)}},
		{Field{Type: YesNo}, []any{true, false}, []any{"true", 1.0}},
		{Field{Type: Choice, Choices: []string{"a", "b"}, Retired: []string{"c"}}, []any{"b"}, []any{"c", "d"}},
		{Field{Type: Choice, Many: true, Choices: []string{"a", "b"}}, []any{[]string{"a", "b"}}, []any{"a", []string{}, []string{"c"}}},
		{Field{Type: Money, Currency: "ILS"}, []any{"12.34", "5 JPY"}, []any{"12.345", "x", 12.0}},
		{Field{Type: Money}, []any{"12.34 USD"}, []any{"12.34"}},
		{Field{Type: Date}, []any{"2024-02-29"}, []any{"2023-02-29", "today"}},
		{Field{Type: Yearly}, []any{"--02-29", "1990-02-28"}, []any{"1990-02-29", "02-28", "--13-01", "0000-01-01"}},
		{Field{Type: Time}, []any{"2026-11-22T10:00:00Z"}, []any{"2026-11-22"}},
		{Field{Type: Email}, []any{"a@b.example"}, []any{"a"}},
		{Field{Type: URL}, []any{"https://a.example/b"}, []any{"javascript:alert(1)", "a", "//a"}},
		{Field{Type: Link, Target: "thing"}, []any{"0190b5a0-0000-7000-8000-000000000000"}, []any{"x"}},
		{Field{Type: File}, nil, []any{"x"}},
		{Field{Type: Data}, nil, []any{"x", 1.0}},
		{Field{Type: Formula, Formula: "1"}, nil, []any{"x", 1.0}},
	} {
		for i, value := range append(c.good, c.bad...) {
			f := c.field
			f.Number, f.Name, f.Default = 16, "x", value
			_, err := New(thing(f))
			if good := i < len(c.good); (err == nil) != good || err != nil && fault.Of(err).Key != "schema.default" {
				t.Errorf("%s with %#v: %v", f.Type, value, err)
			}
		}
	}
}

func TestLookup(t *testing.T) {
	s, err := New(Entity{Name: "club.member", Title: "name", Fields: []Field{{Number: 16, Name: "name", Type: Text, Many: false}}},
		thing(Field{Number: 16, Name: "of", Type: Link, Target: "club.member", Indexed: true}))
	if err != nil {
		t.Fatal(err)
	}
	if e := s.Entity("thing"); e == nil || e.Field("of") == nil || e.Field("nothing") != nil || s.Entity("nothing") != nil {
		t.Error("Entity or Field finds the wrong thing")
	}
	all := s.Entities()
	if len(all) != 2 || all[0].Name != "club.member" || all[1].Name != "thing" {
		t.Errorf("Entities = %v", all)
	}
	all[0] = nil
	if s.Entities()[0] == nil {
		t.Error("a caller can change the schema")
	}
}
