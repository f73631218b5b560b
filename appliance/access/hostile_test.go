package access

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/karov-crm/karov/appliance/fault"
)

func TestHostileRules(t *testing.T) {
	gate := officeGate(t)
	long := strings.Repeat("x", 5<<20)
	grant := func(g Grant) Rules { return Rules{Name: "x", Grants: []Grant{g}} }
	refused := map[string]Rules{
		"no name": {}, "an endless name": {Name: Role(long)},
		"an endless entity":    grant(Grant{Entity: long, Verb: See, Scope: All}),
		"an endless condition": grant(Grant{Entity: "contact", Verb: See, Scope: All, Where: long}),
		"an endless label":     {Name: "x", Labels: map[string]string{"he": long}},
		"a label turned round": {Name: "x", Labels: map[string]string{"he": "abc\u202edef"}},
		"a label of no letter": {Name: "x", Labels: map[string]string{"he": ""}},
		"an odd language":      {Name: "x", Labels: map[string]string{"he\n": "x"}},
		"no such base":         {Name: "x", Base: "night-shift"}, "the appliance as base": {Name: "x", Base: System}, "a plugin as base": {Name: "x", Base: Plugin},
		"no entity":             grant(Grant{Verb: See, Scope: All}),
		"an entity of casbin":   grant(Grant{Entity: `contact" || true || "`, Verb: See, Scope: All}),
		"an entity of lines":    grant(Grant{Entity: "contact, see, all\np, x, *", Verb: See, Scope: All}),
		"no verb":               grant(Grant{Entity: "contact", Scope: All}),
		"a verb of lines":       grant(Grant{Entity: "contact", Verb: "see, all\np, x, *", Scope: All}),
		"a scope beyond":        grant(Grant{Entity: "contact", Verb: See, Scope: 9}),
		"a scope below":         grant(Grant{Entity: "contact", Verb: See, Scope: -1}),
		"one thing said twice":  {Name: "x", Grants: []Grant{{Entity: "contact", Verb: See, Scope: All}, {Entity: "contact", Verb: See, Scope: Own}}},
		"a condition that ends": grant(Grant{Entity: "contact", Verb: See, Scope: Own, Where: `a = 1) or (b = b`}),
		"an open quotation":     grant(Grant{Entity: "contact", Verb: See, Scope: Own, Where: `a = "x`}),
		"a NUL":                 grant(Grant{Entity: "contact", Verb: See, Scope: Own, Where: "a = 1\x00"}),
		"a line":                grant(Grant{Entity: "contact", Verb: See, Scope: Own, Where: "a = 1\nor b = b"}),
		"no text":               grant(Grant{Entity: "contact", Verb: See, Scope: Own, Where: "a = \xff"}),
		"a turned condition":    grant(Grant{Entity: "contact", Verb: See, Scope: Own, Where: "a = \u202e1"}),
		"a condition on all":    grant(Grant{Entity: "*", Verb: See, Scope: Own, Where: "a = 1"}),
		"a condition on kinds":  grant(Grant{Entity: "custom", Verb: See, Scope: Own, Where: "a = 1"}),
		"a condition on create": grant(Grant{Entity: "contact", Verb: Create, Scope: All, Where: "a = 1"}),
		"a condition on none":   grant(Grant{Entity: "contact", Verb: See, Scope: None, Where: "a = 1"}),
		"a field of all":        {Name: "x", Fields: []FieldRule{{"contact", "*", Hide}}},
		"a field with a quote":  {Name: "x", Fields: []FieldRule{{"contact", `na"me`, Hide}}},
		"a field of all kinds":  {Name: "x", Fields: []FieldRule{{"*", "name", Hide}}},
		"no right":              {Name: "x", Fields: []FieldRule{{"contact", "name", ""}}},
		"a field twice":         {Name: "x", Fields: []FieldRule{{"contact", "name", Hide}, {"contact", "name", ReadOnly}}},
		"a field that is not":   {Name: "x", Fields: []FieldRule{{"contact", "no_such", Hide}}},
	}
	for _, name := range []Role{"owner", "manager", "agent", "viewer", "plugin", "system", "team", "nobody", "Night", "night shift", "night,shift", "night\nshift",
		`"night"`, "night-", "-night", "*", "p", "לילה", "night\x00", "nıght", "../night"} {
		if name != "p" {
			refused[fmt.Sprintf("the name %q", name)] = Rules{Name: name}
		}
	}
	for what, r := range refused {
		_, err := gate.SetRole(ownerOf(t), 0, r)
		if f := fault.Of(err); err == nil || f.Kind != fault.Invalid || len(f.Fields) == 0 || f.Fields[0].Key == "" {
			t.Errorf("a role with %s: %v", what, err)
		}
	}
	if v, err := gate.Policy(ownerOf(t)); err != nil || v.Number != 0 {
		t.Errorf("something of it was stored: %+v, %v", v, err)
	}
	_, err := gate.SetRole(ownerOf(t), 0, grant(Grant{Entity: "contact", Verb: See, Scope: Own, Where: `a = "x`}))
	if f := fault.Of(err); f.Fields[0].Name != "grants[0].where" || f.Fields[0].Key != "filter.syntax" || f.Fields[0].Params["column"] != "1" {
		t.Errorf("the fault does not say where: %+v", f)
	}
}

// Questions about made-up names are refused, and take no memory.
func TestHostileQuestions(t *testing.T) {
	gate := officeGate(t)
	setRole(t, gate, Rules{Name: "x", Grants: []Grant{{Entity: "contact", Verb: See, Scope: All}}})
	for _, role := range []Role{"x", Agent, "nobody", "", `x" || true || "`} {
		ctx := WithActor(t.Context(), Actor{ID: "d", Role: role})
		for i, entity := range []string{"", "*", "custom", `"`, "contact ", "CONTACT", "contact\x00", `contact" || true || "`, "r.entity", strings.Repeat("x", 1<<20)} {
			for _, verb := range append(Verbs(), "*", "", "sea", `see" || true || "`) {
				if got := gate.Scope(ctx, verb, entity); got != None {
					t.Errorf("%q: %s of entity %d reaches %s", role, verb, i, got)
				}
			}
		}
	}
	if got := gate.Scope(ownerOf(t), "sea", "contact"); got != None {
		t.Errorf("the owner may do what is no verb: %s", got)
	}
	r := gate.policy.Load().roles["x"]
	if len(r.decided) != 4 {
		t.Errorf("%d cells for a role that names one entity", len(r.decided))
	}
}

// TestTenThousandGrants fills a role to the limit: the last grant counts as the first does, and one more is refused.
func TestTenThousandGrants(t *testing.T) {
	gate := officeGate(t)
	big := Rules{Name: "big", Base: Agent}
	for i := range maxRules {
		big.Grants = append(big.Grants, Grant{Entity: fmt.Sprintf("kind_%d", i), Verb: See, Scope: Scope(i % 4)})
	}
	setRole(t, gate, big)
	ctx := WithActor(t.Context(), Actor{ID: "d", Role: "big"})
	for _, i := range []int{0, 1, 2, 3, 5000, 9998, 9999} {
		if got := gate.Scope(ctx, See, fmt.Sprintf("kind_%d", i)); got != Scope(i%4) {
			t.Errorf("kind_%d: %s", i, got)
		}
	}
	if gate.Scope(ctx, See, "kind_10000") != None || gate.Scope(ctx, See, "contact") != Own {
		t.Error("what is not said is not as the base has it")
	}
	big.Grants = append(big.Grants, Grant{Entity: "one_more", Verb: See, Scope: All})
	wantKind(t, "one more", second(gate.SetRole(ownerOf(t), 1, big)), "too-large")
	many := officeGate(t)
	for i := range maxRoles {
		setRole(t, many, Rules{Name: Role(fmt.Sprintf("r%d", i))})
	}
	wantKind(t, "one role more", second(many.SetRole(ownerOf(t), maxRoles, Rules{Name: "one-more"})), "too-large")
}

// TestChangeWhileAsking changes the policy and the teams while others ask. Whoever asks after a change was made must
// get its answer, and every answer must be one that some version gave.
func TestChangeWhileAsking(t *testing.T) {
	gate := officeGate(t)
	rules := func(s Scope) Rules {
		return Rules{Name: "x", Grants: []Grant{{Entity: "contact", Verb: See, Scope: s}}, Fields: []FieldRule{{"contact", "name", Hide}}}
	}
	setRole(t, gate, rules(Own))
	ctx := WithActor(t.Context(), Actor{ID: "dana", Role: "x"})
	done := make(chan struct{})
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				f, err := gate.Filter(ctx, "contact")
				if err != nil || !f.All && (len(f.Principals) == 0 || len(f.Principals) > 4) || !gate.Fields(ctx, "contact").Hidden("name") {
					t.Errorf("Filter = %+v, %v", f, err)
					return
				}
				gate.Allowed(ctx, Change, Object{Entity: "contact", ID: "7", Owners: []string{"avi"}})
			}
		})
	}
	for i := range 60 {
		want := []Scope{Own, Team, All}[i%3]
		setRole(t, gate, rules(want))
		gate.SetTeams(map[string]string{"dana": "north", "avi": []string{"north", "south"}[i%2]})
		if got := gate.Scope(ctx, See, "contact"); got != want {
			t.Fatalf("after the change: %s, want %s", got, want)
		}
	}
	close(done)
	asking.Wait()
}

// Two who change at once: one of them is told that somebody was first.
func TestTwoChangesAtOnce(t *testing.T) {
	gate := officeGate(t)
	errs := make(chan error, 8)
	for i := range 8 {
		go func() {
			_, err := gate.SetRole(ownerOf(t), 0, Rules{Name: Role(fmt.Sprintf("r%d", i))})
			errs <- err
		}()
	}
	won := 0
	for range 8 {
		switch err := <-errs; {
		case err == nil:
			won++
		case fault.KindOf(err) != fault.Conflict:
			t.Errorf("the loser is told %v", err)
		}
	}
	if v, err := gate.Policy(ownerOf(t)); won != 1 || err != nil || v.Number != 1 || len(v.Roles) != 1 {
		t.Errorf("%d won; the policy is %+v, %v", won, v, err)
	}
}
