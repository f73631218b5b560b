package access

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/fault"
)

// TestMatrix compares every role, entity and verb with testdata/matrix.txt, which is reviewed as text. After a change
// of the policy run it with UPDATE_GOLDEN=1 and read the difference.
func TestMatrix(t *testing.T) {
	gate, err := NewGate()
	if err != nil {
		t.Fatal(err)
	}
	entities := []string{"contact", "conversation", "message", "task", "lead", "deal", "pipeline", "stage", "tag", "view", "segment",
		"schema", "staff", "channel", "office", "audit", "something_new", "made_by_office", "custom"}
	gate.SetCustom([]string{"made_by_office"})
	var b strings.Builder
	for _, role := range append(Roles(), Plugin, "stranger") {
		for _, entity := range entities {
			fmt.Fprintf(&b, "%-9s %-14s", role, entity)
			for _, verb := range Verbs() {
				ctx := WithActor(t.Context(), Actor{ID: "dana", Role: role})
				fmt.Fprintf(&b, " %s=%s", verb, strings.Replace(gate.Scope(ctx, verb, entity).String(), "none", "-", 1))
			}
			b.WriteString("\n")
		}
	}
	golden(t, "testdata/matrix.txt", b.String())
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s changed; got:\n%s", file, got)
	}
}

// TestFieldsMatrix compares what each role may do with each field with testdata/fields.txt: the built-in roles, and such
// as an office makes.
func TestFieldsMatrix(t *testing.T) {
	gate := officeGate(t)
	setRole(t, gate, Rules{Name: "reception", Base: Agent, Fields: []FieldRule{{"contact", "notes", Hide}, {"contact", "phones", ReadOnly}, {"deal", "amount", Hide}}})
	setRole(t, gate, Rules{Name: "books", Base: Viewer, Fields: []FieldRule{{"contact", "phones", Hide}, {"contact", "owner", ReadOnly}}})
	setRole(t, gate, Rules{Name: "bare"})
	var b strings.Builder
	for _, role := range append(Roles(), "reception", "books", "bare", Plugin, System, "stranger", "") {
		ctx := WithActor(t.Context(), Actor{ID: "dana", Role: role})
		for entity, fields := range map[string][]string{"contact": {"name", "notes", "phones", "owner", "no_such"}, "deal": {"amount", "name"}, "other": {"name"}} {
			f := gate.Fields(ctx, entity)
			line := fmt.Sprintf("%-9s %-8s", role, entity)
			for _, field := range fields {
				word := "writes"
				switch {
				case f.Hidden(field) && f.ReadOnly(field):
					word = "hidden"
				case f.ReadOnly(field):
					word = "reads"
				case f.Hidden(field):
					word = "hidden, but writes it"
				}
				line += " " + field + "=" + word
			}
			b.WriteString(line + "\n")
		}
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	slices.Sort(lines)
	golden(t, "testdata/fields.txt", strings.Join(lines, "\n")+"\n")
}

func TestRequire(t *testing.T) {
	gate, err := NewGate()
	if err != nil {
		t.Fatal(err)
	}
	mine := Object{Entity: "contact", ID: "1", Owners: []string{"", "dana"}}
	theirs := Object{Entity: "contact", ID: "2", Owners: []string{"yossi"}}
	nobodys := Object{Entity: "contact", ID: "3", Owners: []string{""}}
	for _, c := range []struct {
		actor  Actor
		verb   Verb
		object Object
		want   string // kind, or "" when allowed
	}{
		{Actor{ID: "dana", Role: Agent}, See, mine, ""},
		{Actor{ID: "dana", Role: Agent}, Change, mine, ""},
		{Actor{ID: "dana", Role: Agent}, Delete, mine, "forbidden"},
		{Actor{ID: "dana", Role: Agent}, See, theirs, "not-found"},
		{Actor{ID: "dana", Role: Agent}, Change, theirs, "not-found"},
		{Actor{ID: "dana", Role: Agent}, See, nobodys, "not-found"},
		{Actor{Role: Agent}, See, nobodys, "unauthenticated"},
		{Actor{}, See, mine, "unauthenticated"},
		{Actor{ID: "v", Role: Viewer}, See, theirs, ""},
		{Actor{ID: "v", Role: Viewer}, Change, theirs, "forbidden"},
		{Actor{ID: "m", Role: Manager}, Change, theirs, ""},
		{Actor{ID: "m", Role: Manager}, Administer, Object{Entity: "office"}, "forbidden"},
		{Actor{ID: "o", Role: Owner}, Administer, Object{Entity: "office"}, ""},
		{Actor{ID: "x", Role: "root"}, See, mine, "not-found"},
	} {
		err := gate.Require(WithActor(t.Context(), c.actor), c.verb, c.object)
		got := ""
		if err != nil {
			got = fault.KindOf(err).String()
		}
		if got != c.want {
			t.Errorf("%s %s %s %v = %q, want %q", c.actor.Role, c.verb, c.object.Entity, c.object.Owners, got, c.want)
		}
	}
}

func BenchmarkCachedDecision(b *testing.B) {
	gate := officeGate(b)
	setRole(b, gate, Rules{Name: "mate", Base: Agent, Grants: []Grant{{Entity: "contact", Verb: See, Scope: Team}}, Fields: []FieldRule{{"contact", "notes", Hide}}})
	gate.SetTeams(map[string]string{"dana": "north", "avi": "north"})
	ctx := WithActor(b.Context(), Actor{ID: "dana", Role: "mate"})
	theirs := Object{Entity: "contact", ID: "7", Owners: []string{"yossi", "avi"}}
	for _, c := range []struct {
		name string
		ask  func()
	}{
		{"scope", func() { gate.Scope(ctx, See, "contact") }},
		{"allowed", func() { gate.Allowed(ctx, See, theirs) }},
		{"filter", func() { _, _ = gate.Filter(ctx, "contact") }},
		{"fields", func() { gate.Fields(ctx, "contact").Hidden("notes") }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.ask()
			}
		})
	}
	b.Run("scope, both processors", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				gate.Scope(ctx, See, "contact")
			}
		})
	})
}

// BenchmarkFirstDecision is what the first question about an entity costs after a change of the policy: all verbs of it
// are decided at once.
func BenchmarkFirstDecision(b *testing.B) {
	gate := officeGate(b)
	r := gate.policy.Load().roles[Agent]
	for b.Loop() {
		if _, err := r.judge(kind{name: "contact"}); err != nil {
			b.Fatal(err)
		}
	}
}

func TestFilter(t *testing.T) {
	gate, err := NewGate()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		actor Actor
		want  Filter
		kind  string
	}{
		{Actor{ID: "dana", Role: Agent}, Filter{Principals: []string{"dana", "lent:dana"}}, ""},
		{Actor{ID: "v", Role: Viewer}, Filter{All: true}, ""},
		{Appliance(), Filter{All: true}, ""},
		{Actor{Role: Agent}, Filter{}, "unauthenticated"}, // an agent without an id must not become one who sees all
		{Actor{ID: "plugin:x", Role: Plugin}, Filter{}, "forbidden"},
		{Actor{ID: "x", Role: "root"}, Filter{}, "forbidden"},
		{Actor{}, Filter{}, "unauthenticated"},
	} {
		got, err := gate.Filter(WithActor(t.Context(), c.actor), "contact")
		kind := ""
		if err != nil {
			kind = fault.KindOf(err).String()
		}
		if !reflect.DeepEqual(got, c.want) || kind != c.kind {
			t.Errorf("%+v filters %+v, %q; want %+v, %q", c.actor, got, kind, c.want, c.kind)
		}
	}
}

func TestParseRole(t *testing.T) {
	gate, err := NewGate()
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range Roles() {
		if got, err := gate.ParseRole(string(role)); got != role || err != nil {
			t.Errorf("ParseRole(%s) = %q, %v", role, got, err)
		}
	}
	for _, name := range []string{"", "system", "plugin", "Owner", "root", "*"} {
		if _, err := gate.ParseRole(name); fault.KindOf(err) != fault.Invalid {
			t.Errorf("ParseRole(%q) = %v", name, err)
		}
	}
}
