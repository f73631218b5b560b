package schema

import (
	"strings"
	"testing"
)

func thing(fields ...Field) Entity { return Entity{Name: "thing", Fields: fields} }

func TestContradictionsAreRefused(t *testing.T) {
	name := Field{Number: 16, Name: "name", Type: Text}
	with := func(change func(*Entity)) []Entity {
		e := thing(name, Field{Number: 17, Name: "owner", Type: Staff}, Field{Number: 18, Name: "over", Type: Link, Target: "thing"})
		change(&e)
		return []Entity{e}
	}
	for want, set := range map[string][]Entity{
		"declared twice":                {thing(name), thing(name)},
		"is not a name":                 {{Name: "Thing"}},
		"no name of a field":            {thing(Field{Number: 16, Name: "no name", Type: Text})},
		"field with a dot":              {thing(Field{Number: 16, Name: "a.b", Type: Text})},
		"out of range":                  {thing(Field{Number: 15, Name: "x", Type: Text})},
		"number 16 or name is taken":    {thing(name, Field{Number: 16, Name: "x", Type: Text})},
		"number 17 or name is taken":    {thing(name, Field{Number: 17, Name: "name", Type: Text})},
		"is no type":                    {thing(Field{Number: 16, Name: "x", Type: "texts"})},
		"a choice of nothing":           {thing(Field{Number: 16, Name: "x", Type: Choice})},
		"which is no entity":            {thing(Field{Number: 16, Name: "x", Type: Link, Target: "nothing"})},
		"cannot hold many of number":    {thing(Field{Number: 16, Name: "x", Type: Number, Many: true})},
		"cannot hold many of link":      {thing(Field{Number: 16, Name: "x", Type: Link, Target: "thing", Many: true})},
		"a long-text cannot be indexed": {thing(Field{Number: 16, Name: "x", Type: LongText, Indexed: true})},
		"a number cannot be indexed":    {thing(Field{Number: 16, Name: "x", Type: Number, Indexed: true})},
		"a data cannot be indexed":      {thing(Field{Number: 16, Name: "x", Type: Data, Indexed: true})},
		"its title":                     with(func(e *Entity) { e.Title = "nothing" }),
		"its owner":                     with(func(e *Entity) { e.Owner = "name" }),
		"its via":                       with(func(e *Entity) { e.Via = "owner" }),
		`its via "id"`:                  with(func(e *Entity) { e.Via = "id" }),
		"its contact":                   with(func(e *Entity) { e.Contact = "name" }),
		"no indexed link":               with(func(e *Entity) { e.Contact, e.Timeline = "over", true }),
	} {
		_, err := New(set...)
		message := map[string]string{"no name of a field": `"no name" is not a name`, "field with a dot": `"a.b" is not a name`}[want]
		if message == "" {
			message = want
		}
		if err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("%s: %v", want, err)
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
