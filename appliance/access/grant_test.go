package access

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/karov-crm/karov/appliance/fault"
)

// workshop is the grant of a plugin with an entity of its own, workshop.lorry, and a field of its own on customers.
func workshop(records ...GrantedRecords) *Granted {
	return NewGrant(Terms{Holder: "plugin:il.example.workshop", Records: records,
		Own:       func(entity string) bool { return entity == "workshop.lorry" },
		OwnField:  func(entity, field string) bool { return entity == "contact" && field == "workshop_credit" },
		Sensitive: func(_, field string) bool { return field == "birthday" },
	})
}

func grants() map[string]*Granted {
	return map[string]*Granted{
		"nothing": workshop(),
		"reads":   workshop(GrantedRecords{Entity: "contact", Verbs: []Verb{See}}),
		"writes":  workshop(GrantedRecords{Entity: "contact", Verbs: []Verb{See, Create, Change, Delete}, Fields: []string{"name", "birthday"}}),
		"blind":   workshop(GrantedRecords{Entity: "contact", Verbs: []Verb{Create, Change, Delete}}),
		"greedy":  workshop(GrantedRecords{Entity: "contact", Verbs: []Verb{See, Export, Assign, Forget, Administer, Receive, "*"}}, GrantedRecords{Entity: "*", Verbs: Verbs()}),
		"other's": NewGrant(Terms{Holder: "plugin:com.other", Records: []GrantedRecords{{Entity: "contact", Verbs: []Verb{See}}}}),
	}
}

// grantedActors are everybody under whom a plugin can act, itself among them.
func grantedActors() []Actor {
	actors := []Actor{{}, {ID: "plugin:il.example.workshop", Role: Plugin}, {ID: "plugin:another", Role: Plugin}, {ID: "dana", Role: "stranger"}, Appliance()}
	for _, role := range append(Roles(), "haifa") {
		actors = append(actors, Actor{ID: "dana", Role: role})
	}
	return actors
}

func grantGate(t *testing.T) *Gate {
	t.Helper()
	gate := officeGate(t)
	gate.SetCustom([]string{"workshop.lorry"})
	gate.SetTeams(map[string]string{"dana": "north", "avi": "north"})
	setRole(t, gate, Rules{Name: "haifa", Base: Manager, Grants: []Grant{{Entity: "contact", Verb: See, Scope: Team, Where: `city = "חיפה"`}},
		Fields: []FieldRule{{"contact", "name", ReadOnly}, {"contact", "birthday", Hide}}})
	return gate
}

// TestGrantMatrix compares what each role may do under each grant with testdata/grants.txt, which is reviewed as text.
func TestGrantMatrix(t *testing.T) {
	gate := grantGate(t)
	var lines []string
	for name, grant := range grants() {
		for _, actor := range grantedActors() {
			ctx := WithGrant(WithActor(t.Context(), actor), grant)
			for _, entity := range []string{"contact", "deal", "workshop.lorry", "message", "office", "schema"} {
				line := fmt.Sprintf("%-8s %-26s %-8s %-14s", name, actor.ID, actor.Role, entity)
				for _, verb := range Verbs() {
					if s := gate.Scope(ctx, verb, entity); s != None {
						line += fmt.Sprintf(" %s=%s", verb, s)
					}
				}
				line += " |"
				for _, field := range []string{"name", "phones", "birthday", "workshop_credit"} {
					if f := gate.Fields(ctx, entity); !f.Hidden(field) {
						line += " " + field
						if f.ReadOnly(field) {
							line += "(read-only)"
						}
					}
				}
				lines = append(lines, line)
			}
		}
	}
	slices.Sort(lines)
	golden(t, "testdata/grants.txt", strings.Join(lines, "\n")+"\n")
}

// TestEveryDoorWithinTheGrant holds each door of the gate against the actor's rights and the grant, one by one: none
// answers more than either.
func TestEveryDoorWithinTheGrant(t *testing.T) {
	gate := grantGate(t)
	met := func(string) bool { return true }
	objects := []Object{{Entity: "contact"}, {Entity: "contact", ID: "1", Owners: []string{"dana"}, Meets: met}, {Entity: "contact", ID: "2", Owners: []string{"avi"}, Meets: met},
		{Entity: "contact", ID: "3", Owners: []string{"x"}, Meets: met}, {Entity: "contact", ID: "4", Owners: []string{"x"}, Meets: met, Shares: []Share{{"dana", true}}},
		{Entity: "contact", ID: "5", Owners: []string{"dana"}}, {Entity: "deal", ID: "6", Owners: []string{"dana"}}, {Entity: "workshop.lorry", ID: "7", Owners: []string{"avi"}}, {Entity: "office"}}
	tried := 0
	for name, grant := range grants() {
		for _, actor := range grantedActors() {
			free := WithActor(t.Context(), actor)
			ctx := WithGrant(free, grant)
			itself := actor.Role == Plugin && actor.ID == grant.Holder()
			for _, o := range objects {
				for _, verb := range Verbs() {
					tried++
					allows := grant.Allows(verb, o.Entity)
					want := allows && gate.Allowed(free, verb, o) || itself && allows && verb != Receive
					if got := gate.Allowed(ctx, verb, o); got != want {
						t.Errorf("%s, %s %s: Allowed %s of %s %s is %v, want %v", name, actor.ID, actor.Role, verb, o.Entity, o.ID, got, want)
					}
					checkRequire(t, gate, ctx, verb, o, want)
					checkFilter(t, gate, free, ctx, verb, o.Entity, allows, itself)
				}
			}
		}
	}
	if tried < 5000 {
		t.Errorf("only %d tries", tried)
	}
}

func checkRequire(t *testing.T, gate *Gate, ctx context.Context, verb Verb, o Object, want bool) {
	t.Helper()
	err := gate.Require(ctx, verb, o)
	kind := fault.KindOf(err)
	switch {
	case want != (err == nil):
		t.Errorf("Require says %v, Allowed says %v", err, want)
	case want:
	case ActorFrom(ctx).ID == "" && kind != fault.Unauthenticated,
		ActorFrom(ctx).ID != "" && o.ID != "" && !gate.Allowed(ctx, See, o) && kind != fault.NotFound,
		ActorFrom(ctx).ID != "" && (o.ID == "" || gate.Allowed(ctx, See, o)) && kind != fault.Forbidden:
		t.Errorf("%s of %s %s is refused as %v", verb, o.Entity, o.ID, kind)
	}
}

func checkFilter(t *testing.T, gate *Gate, free, ctx context.Context, verb Verb, entity string, allows, itself bool) {
	t.Helper()
	got, err := gate.FilterFor(ctx, verb, entity)
	want, wanted := gate.FilterFor(free, verb, entity)
	if itself && allows && verb != Receive {
		want, wanted = Filter{All: true}, nil
	}
	if !allows || wanted != nil {
		if err == nil || got.All || got.Principals != nil {
			t.Errorf("a list to %s %s under a grant: %+v, %v", verb, entity, got, err)
		}
		return
	}
	if err != nil || got.All != want.All || got.Where != want.Where || !slices.Equal(got.Principals, want.Principals) {
		t.Errorf("a list to %s %s under a grant: %+v, %v; want %+v", verb, entity, got, err, want)
	}
	if w := gate.Where(ctx, verb, entity); w != want.Where {
		t.Errorf("the condition of %s %s is %q, want %q", verb, entity, w, want.Where)
	}
}

// TestGrantsDoNotMix asks for the same actor under several grants at once: nothing that is remembered crosses.
func TestGrantsDoNotMix(t *testing.T) {
	gate := grantGate(t)
	actor := WithActor(t.Context(), Actor{ID: "m", Role: Manager})
	var wait sync.WaitGroup
	for name, want := range map[string]Scope{"nothing": None, "reads": All, "blind": None, "writes": All} {
		ctx := WithGrant(actor, grants()[name])
		wait.Go(func() {
			for range 2000 {
				if got := gate.Scope(ctx, See, "contact"); got != want {
					t.Errorf("under %q a manager sees %v", name, got)
					return
				}
			}
		})
	}
	wait.Wait()
	if got := gate.Scope(actor, See, "contact"); got != All {
		t.Errorf("without a grant he sees %v", got)
	}
}

// TestWhoActsUnderAGrant tells the holder and the person apart, and lets neither grant nor actor outlive the other.
func TestWhoActsUnderAGrant(t *testing.T) {
	grant := grants()["reads"]
	person := WithGrant(WithActor(t.Context(), Actor{ID: "dana", Role: Agent}), grant)
	itself := WithGrant(WithActor(t.Context(), Actor{ID: grant.Holder(), Role: Plugin}), grant)
	anew := WithActor(person, Appliance())
	for _, c := range []struct {
		ctx                context.Context
		actor, via, plugin string
	}{{person, "dana", grant.Holder(), "il.example.workshop"}, {itself, grant.Holder(), "", "il.example.workshop"}, {anew, "system", "", ""}, {t.Context(), "", "", ""}} {
		if a, v, p := ActorFrom(c.ctx).ID, Via(c.ctx), PluginFrom(c.ctx); a != c.actor || v != c.via || p != c.plugin {
			t.Errorf("actor %q via %q of plugin %q, want %+v", a, v, p, c)
		}
	}
	gate := grantGate(t)
	if gate.Within(person, "haifa") || gate.Within(WithGrant(WithActor(t.Context(), Actor{ID: "o", Role: Owner}), grant), Viewer) {
		t.Error("a role can be given away under a grant")
	}
	bare := NewGrant(Terms{Holder: "plugin:x", Records: []GrantedRecords{{Entity: "contact", Verbs: []Verb{See}}}})
	if f := gate.Fields(WithGrant(WithActor(t.Context(), Actor{ID: "plugin:x", Role: Plugin}), bare), "contact"); !f.Hidden("name") {
		t.Error("where nobody says what is sensitive, an unnamed field is granted")
	}
}
