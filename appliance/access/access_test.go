package access

import (
	"fmt"
	"os"
	"reflect"
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
		"schema", "staff", "channel", "office", "audit", "something_new"}
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
	const golden = "testdata/matrix.txt"
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the matrix changed; got:\n%s", b.String())
	}
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
	gate, err := NewGate()
	if err != nil {
		b.Fatal(err)
	}
	ctx := WithActor(b.Context(), Actor{ID: "dana", Role: Agent})
	for b.Loop() {
		gate.Scope(ctx, See, "contact")
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
		{Actor{ID: "dana", Role: Agent}, Filter{Principals: []string{"dana"}, Owner: "dana"}, ""},
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
