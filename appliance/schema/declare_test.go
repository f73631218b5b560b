package schema

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
)

const lorries = "il.karov.lorry"

// asPlugin is the appliance that speaks for a plugin.
func asPlugin(t testing.TB, id string) context.Context {
	return access.WithActor(t.Context(), access.Actor{ID: "plugin:" + id, Role: access.System})
}

// lorry is what a plugin declares: an entity and a field of somebody else's.
func lorry() []Op {
	return []Op{
		{Kind: AddEntity, Entity: "lorry.lorry", Labels: names("Lorry"), Plurals: names("Lorries"), Title: "plate", Via: "customer", Contact: "customer", Fields: []NewField{
			{"plate", names("Plate"), Definition{Type: Text, Required: true, Unique: true, Searched: true}},
			{"customer", names("Customer"), Definition{Type: Link, Target: "contact", Indexed: true}},
			{"state", names("State"), Definition{Type: Choice, Choices: []string{"ready", "broken"}, Default: "ready", ChoiceLabels: map[string]map[string]string{"ready": names("Ready"), "broken": names("Broken")}}},
		}},
		{Kind: AddField, Entity: "contact", Field: "lorry_credit", Labels: names("Credit"), Definition: Definition{Type: Money, Currency: "ILS"}},
	}
}

func (o *office) declares(t *testing.T, plugin string, ops ...Op) *Schema {
	t.Helper()
	s, err := o.Declare(asPlugin(t, plugin), plugin, ops...)
	if err != nil {
		t.Fatalf("%v %v", err, fault.Of(err).Params)
	}
	return s
}

func TestDeclare(t *testing.T) {
	o := openOffice(t)
	s := o.declares(t, lorries, lorry()...)
	e := s.Entity("lorry.lorry")
	if e == nil || !e.Custom || e.Plugin != lorries || e.Labels["en"] != "Lorry" || e.Field("plate").Number < FirstCustom || !e.Field("plate").Indexed ||
		e.Field("state").Default != "ready" || s.Entity("contact").Field("lorry_credit").Plugin != lorries || !s.Declares(lorries) {
		t.Fatalf("the entity is %+v", e)
	}
	if again := o.declares(t, lorries, lorry()...); again.Version() != s.Version() {
		t.Errorf("the same declaration made version %d of %d", again.Version(), s.Version())
	}
	versions, err := o.Versions(boss, 0, 1)
	if err != nil || versions[0].By != "plugin:"+lorries || versions[0].Ops[0].Kind != Declared {
		t.Errorf("the version is %+v, %v", versions, err)
	}
	plate, number := e.Field("plate").Number, s.Entity("contact").Field("lorry_credit").Number

	gone := o.declares(t, lorries)
	if e := gone.Entity("lorry.lorry"); !e.Hidden || !gone.Entity("contact").Field("lorry_credit").Hidden || gone.Declares(lorries) {
		t.Errorf("withdrawn it is %+v", e)
	}
	whole, fields := gone.Withdrawn(lorries)
	if len(whole) != 1 || len(fields["contact"]) != 1 || fields["contact"][0].Number != number || !slices.Equal(gone.Plugins(), []string{lorries}) {
		t.Errorf("withdrawn are %v and %v", whole, fields)
	}
	back := reopen(t, o.db, builtin()...).declares(t, lorries, lorry()...)
	if e := back.Entity("lorry.lorry"); e.Hidden || e.Field("plate").Number != plate || back.Entity("contact").Field("lorry_credit").Number != number || back.Entity("contact").Field("lorry_credit").Hidden {
		t.Errorf("back again it is %+v", e)
	}
}

func TestDeclareNewVersion(t *testing.T) {
	o := openOffice(t)
	before := o.declares(t, lorries, lorry()...).Entity("lorry.lorry")
	next := lorry()
	next[0].Labels = names("Truck")
	next[0].Fields[2].Choices = []string{"ready", "sold"}
	next[0].Fields[2].ChoiceLabels = map[string]map[string]string{"ready": names("Ready"), "sold": names("Sold")}
	next[0].Fields = append(next[0].Fields, NewField{"axles", names("Axles"), Definition{Type: Number}})
	next = next[:1]
	s := o.declares(t, lorries, next...)
	e := s.Entity("lorry.lorry")
	state := e.Field("state")
	switch {
	case e.Labels["en"] != "Truck", e.Field("axles") == nil, e.Field("plate").Number != before.Field("plate").Number:
		t.Errorf("the entity is %+v", e)
	case !slices.Equal(state.Choices, []string{"ready", "sold"}), !slices.Equal(state.Retired, []string{"broken"}), state.ChoiceLabels["broken"]["en"] != "Broken":
		t.Errorf("the choice is %+v", state)
	case !s.Entity("contact").Field("lorry_credit").Hidden:
		t.Error("a field that is not declared any more is shown")
	}
	if next = lorry()[:1]; !slices.Equal(o.declares(t, lorries, next...).Entity("lorry.lorry").Field("state").Choices, []string{"ready", "broken"}) {
		t.Error("a choice that came back is not offered")
	}
}

func TestDeclareRefuses(t *testing.T) {
	o := openOffice(t)
	o.change(t, newField("contact", "lorry_office", Definition{Type: Text}))
	o.declares(t, lorries, lorry()...)
	o.change(t, newField("lorry.lorry", "colour", Definition{Type: Text}))
	version := o.Current().Version()
	with := func(change func(ops []Op)) []Op {
		ops := lorry()
		change(ops)
		return ops
	}
	for _, test := range []struct {
		name, plugin, key string
		ops               []Op
	}{
		{"another type", lorries, "schema.type-changed", with(func(ops []Op) { ops[0].Fields[0].Type = LongText })},
		{"many", lorries, "schema.type-changed", with(func(ops []Op) { ops[0].Fields[2].Many = true })},
		{"another target", lorries, "schema.type-changed", with(func(ops []Op) { ops[0].Fields[1].Target = "task" })},
		{"another owner", lorries, "schema.roles-changed", with(func(ops []Op) { ops[0].Via = "" })},
		{"another plugin's entity", "com.other.lorry", "schema.of-another", lorry()[:1]},
		{"another plugin's field", "com.other.lorry", "schema.of-another", lorry()[1:]},
		{"the office's field", lorries, "schema.of-office", append(lorry(), Op{Kind: AddField, Entity: "contact", Field: "lorry_office", Labels: names("x"), Definition: Definition{Type: Text}})},
		{"the office's field in its own entity", lorries, "schema.of-office", with(func(ops []Op) {
			ops[0].Fields = append(ops[0].Fields, NewField{"colour", names("x"), Definition{Type: Text}})
		})},
		{"a built-in entity", lorries, "schema.twice", with(func(ops []Op) { ops[0].Entity = "task" })},
		{"a built-in field", lorries, "schema.taken", append(lorry(), Op{Kind: AddField, Entity: "contact", Field: "city", Labels: names("x"), Definition: Definition{Type: Text}})},
		{"a stranger's entity", lorries, "schema.no-entity", append(lorry(), Op{Kind: AddField, Entity: "parrot", Field: "lorry_x", Labels: names("x"), Definition: Definition{Type: Text}})},
		{"a link to nothing", lorries, "schema.target", with(func(ops []Op) {
			ops[0].Fields = append(ops[0].Fields, NewField{"x", names("x"), Definition{Type: Link, Target: "parrot"}})
		})},
		{"another op", lorries, "schema.op", []Op{{Kind: HideField, Entity: "contact", Field: "city"}}},
	} {
		_, err := o.Declare(asPlugin(t, test.plugin), test.plugin, test.ops...)
		if fault.Of(err).Key != test.key || o.Current().Version() != version {
			t.Errorf("%s: %v, version %d", test.name, err, o.Current().Version())
		}
		if _, err := o.Foresee(asPlugin(t, test.plugin), test.plugin, test.ops...); fault.Of(err).Key != test.key {
			t.Errorf("%s is foreseen: %v", test.name, err)
		}
	}
	if _, err := o.Declare(boss, lorries, lorry()...); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("an owner declares for a plugin: %v", err)
	}
	for _, op := range []Op{{Kind: Declared, Entity: "x"}, {Kind: Withdrawn, Entity: "contact"}, {Kind: Erased, Entity: "lorry.lorry"}} {
		if _, err := o.Change(boss, version, op); fault.Of(err).Key != "schema.op" {
			t.Errorf("an office does %s: %v", op.Kind, err)
		}
	}
}

// TestOfficeOverPlugin: the office names and hides what a plugin declares, and cannot change what it is.
func TestOfficeOverPlugin(t *testing.T) {
	o := openOffice(t)
	o.declares(t, lorries, lorry()...)
	s := o.change(t, Op{Kind: RenameEntity, Entity: "lorry.lorry", Labels: map[string]string{"en": "Van"}},
		Op{Kind: RenameField, Entity: "lorry.lorry", Field: "state", Labels: map[string]string{"en": "Shape"}},
		Op{Kind: AddChoice, Entity: "lorry.lorry", Field: "state", Choice: "lost", Labels: names("Lost")},
		Op{Kind: HideField, Entity: "contact", Field: "lorry_credit"},
		Op{Kind: Set, Entity: "lorry.lorry", Field: "state", Mark: "indexed", Value: true})
	check := func(s *Schema) {
		t.Helper()
		e := s.Entity("lorry.lorry")
		if e.Labels["en"] != "Van" || e.Labels["he"] != names("Lorry")["he"] || e.Field("state").Labels["en"] != "Shape" || !slices.Contains(e.Field("state").Choices, "lost") ||
			!e.Field("state").Indexed || !s.Entity("contact").Field("lorry_credit").Hidden {
			t.Errorf("the entity is %+v", e)
		}
	}
	check(s)
	check(o.declares(t, lorries, lorry()...))
	o.declares(t, lorries)
	check(o.declares(t, lorries, lorry()...))
	for _, op := range []Op{
		{Kind: Set, Entity: "lorry.lorry", Field: "plate", Mark: "unique", Value: false},
		{Kind: Set, Entity: "lorry.lorry", Field: "plate", Mark: "required", Value: false},
		{Kind: Set, Entity: "lorry.lorry", Field: "plate", Mark: "formula", Value: "1"},
		{Kind: HideField, Entity: "lorry.lorry", Field: "plate"},
		{Kind: HideField, Entity: "lorry.lorry", Field: "customer"},
	} {
		if _, err := o.Change(boss, o.Current().Version(), op); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%v: %v", op, err)
		}
	}
	s = o.change(t, Op{Kind: RenameEntity, Entity: "lorry.lorry", Labels: map[string]string{"en": ""}})
	if s.Entity("lorry.lorry").Labels["en"] != "Lorry" {
		t.Errorf("the plugin's name is not back: %v", s.Entity("lorry.lorry").Labels)
	}
}

// TestRevertLeavesPlugins: going back in the office's own changes takes nothing from a plugin and brings nothing back.
func TestRevertLeavesPlugins(t *testing.T) {
	o := openOffice(t)
	o.change(t, newField("contact", "shoe", Definition{Type: Number}))
	o.declares(t, lorries, lorry()...)
	with := o.Current().Version()
	for _, to := range []uint64{1, 2} {
		s := o.revert(t, to)
		if e := s.Entity("lorry.lorry"); e == nil || e.Hidden || e.Field("plate").Hidden || s.Entity("contact").Field("lorry_credit").Hidden {
			t.Errorf("back to %d the entity is %+v", to, e)
		}
	}
	o.declares(t, lorries)
	if s := o.revert(t, with); !s.Entity("lorry.lorry").Hidden || !s.Entity("contact").Field("lorry_credit").Hidden {
		t.Error("going back brought a plugin's entity back")
	}
	if _, err := o.Erase(asPlugin(t, lorries), lorries); err != nil {
		t.Fatal(err)
	}
	s := o.revert(t, with)
	if s.Entity("lorry.lorry") != nil || s.Entity("contact").Field("lorry_credit") != nil || len(s.Plugins()) != 0 {
		t.Error("going back brought what was purged back")
	}
}

func TestErase(t *testing.T) {
	o := openOffice(t)
	s := o.declares(t, lorries, lorry()...)
	number := s.Entity("contact").Field("lorry_credit").Number
	if s, err := o.Erase(asPlugin(t, lorries), lorries); err != nil || s.Entity("lorry.lorry") == nil {
		t.Errorf("what is declared was erased: %v", err)
	}
	o.change(t, newField("contact", "lorry", Definition{Type: Link, Target: "lorry.lorry"}))
	o.declares(t, lorries)
	if err := o.MayErase(asPlugin(t, lorries), lorries); fault.Of(err).Key != "schema.target" || fault.Of(err).Params["field"] != "lorry" {
		t.Errorf("an entity that the office links to may be erased: %v", err)
	}
	if _, err := o.Erase(asPlugin(t, lorries), lorries); err == nil || o.Current().Entity("lorry.lorry") == nil {
		t.Errorf("an entity that the office links to was erased: %v", err)
	}
	other := openOffice(t)
	other.declares(t, lorries, lorry()...)
	other.declares(t, lorries)
	s, err := other.Erase(asPlugin(t, lorries), lorries)
	if err != nil || s.Entity("lorry.lorry") != nil || s.Entity("contact").Field("lorry_credit") != nil {
		t.Fatalf("erased: %v", err)
	}
	s = other.declares(t, lorries, lorry()...)
	if now := s.Entity("contact").Field("lorry_credit").Number; now <= number {
		t.Errorf("the number %d is given again", now)
	}
}

// TestDeclaredIsKeptByOlderPrograms: an older program that knows nothing of declarations keeps them.
func TestDeclaredIsKeptByOlderPrograms(t *testing.T) {
	o := openOffice(t)
	o.declares(t, lorries, lorry()...)
	o.rewrite(t, func(text string) string { return strings.ReplaceAll(text, `"declared":`, `"asserted":`) })
	older := reopen(t, o.db, builtin()...)
	older.change(t, newField("contact", "code", Definition{Type: Text}))
	older.rewrite(t, func(text string) string { return strings.ReplaceAll(text, `"asserted":`, `"declared":`) })
	if s := reopen(t, o.db, builtin()...).Current(); s.Entity("lorry.lorry") == nil || s.Entity("contact").Field("lorry_credit").Plugin != lorries {
		t.Errorf("dormant are %v", s.Dormant())
	}
}
