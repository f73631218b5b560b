package schema

import (
	"fmt"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
)

func TestRefusedOps(t *testing.T) {
	o := openOffice(t)
	o.CheckFormula = func(s *Schema, e *Entity, f *Field) error {
		if e.Field(f.Formula) == nil || e.Field(f.Formula).Hidden {
			return fault.New(fault.Invalid, "filter.unknown", "column", 1)
		}
		return nil
	}
	o.change(t, newField("contact", "mine", Definition{Type: Choice, Choices: []string{"a", "b"}, Required: true}), newField("contact", "double", Definition{Type: Formula, Formula: "score"}))
	long := strings.Repeat("x", 101)
	text := Definition{Type: Text}
	many := make([]string, MaxChoices+1)
	for i := range many {
		many[i] = fmt.Sprint("c", i)
	}
	for name, c := range map[string]struct {
		want string
		op   Op
	}{
		"no op":                        {"schema.op", Op{Kind: "drop-everything", Entity: "contact"}},
		"no entity":                    {"schema.no-entity", newField("nothing", "x", text)},
		"no field":                     {"schema.no-field", Op{Kind: HideField, Entity: "contact", Field: "nothing"}},
		"entity of a bucket":           {"schema.reserved", Op{Kind: AddEntity, Entity: "counts", Labels: names("x")}},
		"entity of a plugin":           {"schema.name", Op{Kind: AddEntity, Entity: "club.member", Labels: names("x")}},
		"entity twice":                 {"schema.twice", Op{Kind: AddEntity, Entity: "task", Labels: names("x")}},
		"entity without a name":        {"schema.unnamed", Op{Kind: AddEntity, Entity: "car"}},
		"entity named with a quote":    {"schema.name", Op{Kind: AddEntity, Entity: `a"b`, Labels: names("x")}},
		"entity is the customer":       {"schema.role", Op{Kind: AddEntity, Entity: "car", Contact: "id", Labels: names("x")}},
		"entity without its title":     {"schema.role", Op{Kind: AddEntity, Entity: "car", Title: "x", Labels: names("x")}},
		"entity of another's customer": {"schema.role", Op{Kind: AddEntity, Entity: "car", Contact: "c", Labels: names("x"), Fields: []NewField{{"c", names("x"), Definition{Type: Link, Target: "task"}}}}},
		"field of a built-in name":     {"schema.taken", newField("contact", "city", text)},
		"field of an own name":         {"schema.taken", newField("contact", "mine", text)},
		"field as record's own":        {"schema.reserved", newField("contact", "updated_at", text)},
		"field as a word of filters":   {"schema.reserved", newField("contact", "and", text)},
		"field name with a dot":        {"schema.name", newField("contact", "a.b", text)},
		"field name too long":          {"schema.name", newField("contact", long, text)},
		"field without a name":         {"schema.unnamed", Op{Kind: AddField, Entity: "contact", Field: "x", Definition: text}},
		"name with a bidi override":    {"schema.label", Op{Kind: AddField, Entity: "contact", Field: "x", Labels: names("a\u202eb"), Definition: text}},
		"name too long":                {"schema.label", Op{Kind: AddField, Entity: "contact", Field: "x", Labels: names(long), Definition: text}},
		"name of no language":          {"schema.label", Op{Kind: RenameField, Entity: "contact", Field: "city", Labels: map[string]string{"English": "x"}}},
		"name with NUL":                {"schema.label", Op{Kind: RenameEntity, Entity: "contact", Labels: names("a\x00b")}},
		"last name taken away":         {"schema.unnamed", Op{Kind: RenameField, Entity: "contact", Field: "mine", Labels: names("")}},
		"data":                         {"schema.type", newField("contact", "x", Definition{Type: Data})},
		"unknown type":                 {"schema.type", newField("contact", "x", Definition{Type: "barcode"})},
		"link to nothing":              {"schema.target", newField("contact", "x", Definition{Type: Link, Target: "nothing"})},
		"too many choices":             {"schema.choices-many", newField("contact", "x", Definition{Type: Choice, Choices: many})},
		"label of no choice":           {"schema.no-such-choice", newField("contact", "x", Definition{Type: Choice, Choices: []string{"a"}, ChoiceLabels: map[string]map[string]string{"b": names("b")}})},
		"default of another type":      {"schema.default", newField("contact", "x", Definition{Type: Number, Default: "1"})},
		"formula that does not fit":    {"schema.formula-wrong", newField("contact", "x", Definition{Type: Formula, Formula: "nothing"})},
		"hiding what a formula reads":  {"schema.formula-wrong", Op{Kind: HideField, Entity: "contact", Field: "score"}},
		"hiding a required field":      {"schema.needed", Op{Kind: HideField, Entity: "contact", Field: "mine"}},
		"hiding the title":             {"schema.needed", Op{Kind: HideField, Entity: "task", Field: "subject"}},
		"hiding the owner":             {"schema.needed", Op{Kind: HideField, Entity: "contact", Field: "owner"}},
		"hiding a closed field":        {"schema.needed", Op{Kind: HideField, Entity: "contact", Field: "handles"}},
		"hiding a room's entity":       {"schema.entity-needed", Op{Kind: HideEntity, Entity: "contact"}},
		"choice twice":                 {"schema.choice-twice", Op{Kind: AddChoice, Entity: "contact", Field: "kind", Choice: "person"}},
		"choice of a text":             {"schema.no-choice", Op{Kind: AddChoice, Entity: "contact", Field: "city", Choice: "x"}},
		"choice in two lines":          {"schema.choice", Op{Kind: AddChoice, Entity: "contact", Field: "kind", Choice: "a\nb"}},
		"retiring no choice":           {"schema.no-such-choice", Op{Kind: RetireChoice, Entity: "contact", Field: "kind", Choice: "x"}},
		"not required any more":        {"schema.built-in", Op{Kind: Set, Entity: "contact", Field: "name", Mark: "required", Value: false}},
		"not indexed any more":         {"schema.built-in", Op{Kind: Set, Entity: "task", Field: "contact", Mark: "indexed", Value: false}},
		"closed and required":          {"schema.built-in", Op{Kind: Set, Entity: "contact", Field: "handles", Mark: "required", Value: true}},
		"mark of no yes or no":         {"schema.value", Op{Kind: Set, Entity: "contact", Field: "city", Mark: "required", Value: "yes"}},
		"no mark":                      {"schema.value", Op{Kind: Set, Entity: "contact", Field: "city", Mark: "beautiful", Value: true}},
		"formula of a text":            {"schema.value", Op{Kind: Set, Entity: "contact", Field: "city", Mark: "formula", Value: "1"}},
		"indexed formula":              {"schema.indexed", Op{Kind: Set, Entity: "contact", Field: "double", Mark: "indexed", Value: true}},
		"searched number":              {"schema.searched", Op{Kind: Set, Entity: "contact", Field: "score", Mark: "searched", Value: true}},
		"default that does not fit":    {"schema.default", Op{Kind: Set, Entity: "contact", Field: "score", Mark: "default", Value: "x"}},
	} {
		before := o.Current()
		_, err := o.Change(boss, before.Version(), Op{Kind: RenameField, Entity: "contact", Field: "score", Labels: names("S")}, c.op)
		f := fault.Of(err)
		if err == nil || f.Kind != fault.Invalid || f.Key != c.want || len(f.Fields) == 0 || f.Fields[len(f.Fields)-1].Name != "ops[1]" {
			t.Errorf("%s: %v, want %s in ops[1]", name, err, c.want)
		}
		if o.Current() != before {
			t.Fatalf("%s: something of it stayed", name)
		}
	}
	for _, ops := range [][]Op{nil, make([]Op, MaxOps+1)} {
		if _, err := o.Change(boss, o.Current().Version(), ops...); fault.Of(err).Key != "schema.ops" {
			t.Errorf("%d ops: %v", len(ops), err)
		}
	}
	plugins := access.WithActor(t.Context(), access.Appliance())
	if s, err := o.Change(plugins, o.Current().Version(), Op{Kind: AddEntity, Entity: "club.member", Labels: names("x")}); err != nil || s.Entity("club.member") == nil {
		t.Errorf("the appliance cannot install a plugin's entity: %v", err)
	}
}

func TestLimits(t *testing.T) {
	o := openOffice(t)
	var ops []Op
	for i := range MaxFields - len(builtin()[1].Fields) {
		ops = append(ops, newField("task", fmt.Sprint("f", i), Definition{Type: Text}))
	}
	o.change(t, ops...)
	if _, err := o.Change(boss, o.Current().Version(), newField("task", "more", Definition{Type: Text})); fault.Of(err).Key != "schema.fields" {
		t.Errorf("a field too many: %v", err)
	}
	ops = nil
	for i := range MaxEntities {
		ops = append(ops, Op{Kind: AddEntity, Entity: fmt.Sprint("e", i), Labels: names("x")})
	}
	s := o.change(t, ops...)
	if _, err := o.Change(boss, s.Version(), Op{Kind: AddEntity, Entity: "more", Labels: names("x")}); fault.Of(err).Key != "schema.entities" {
		t.Errorf("an entity too many: %v", err)
	}
	o.revert(t, 2)
	if _, err := o.Change(boss, o.Current().Version(), Op{Kind: AddEntity, Entity: "more", Labels: names("x")}); fault.Of(err).Key != "schema.entities" {
		t.Errorf("hidden entities do not count: %v", err)
	}
}
