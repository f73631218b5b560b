package access

import (
	"fmt"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/fault"
)

// TestSharesScopesAndVerbs tries each verb on each kind of record, shared in each way, with each scope, and holds the
// gate to what is written beside.
func TestSharesScopesAndVerbs(t *testing.T) {
	gate := officeGate(t)
	gate.SetTeams(map[string]string{"dana": "north", "avi": "north", "yossi": "south"})
	whose := map[string][]string{"mine": {"", "dana"}, "mate's": {"avi"}, "stranger's": {"yossi"}, "nobody's": {""}, "via two": {"yossi", "dana"}}
	shares := map[string][]Share{"not": nil, "to me": {{"dana", false}}, "to me to change": {{"dana", true}}, "to the team": {{"team:north", false}},
		"to the team to change": {{"team:north", true}}, "to others": {{"avi", true}, {"team:south", true}, {"", true}, {"team:", true}, {"dana ", true}}}
	for scope := None; scope <= All; scope++ {
		name := Role("scope-" + scope.String())
		setRole(t, gate, Rules{Name: name, Grants: []Grant{{Entity: "contact", Verb: "*", Scope: scope}}})
		ctx := WithActor(t.Context(), Actor{ID: "dana", Role: name, Team: "north"})
		for kind, owners := range whose {
			for how, shared := range shares {
				for _, verb := range Verbs() {
					o := Object{Entity: "contact", ID: "7", Owners: owners, Shares: shared}
					its := kind == "mine" || kind == "via two"
					want := scope == All || scope >= Own && its || scope == Team && kind == "mate's"
					if scope != None && strings.Contains(how, "to me") || scope != None && strings.Contains(how, "to the team") {
						want = want || verb == See || strings.HasSuffix(how, "to change") && (verb == Change || verb == Reply)
					}
					if got := gate.Allowed(ctx, verb, o); got != want {
						t.Errorf("scope %s, %s record, shared %s: %s = %v, want %v", scope, kind, how, verb, got, want)
					}
				}
			}
		}
	}
}

// A share reaches those only whose role has the verb at all.
func TestAShareGoesNoFurtherThanTheRole(t *testing.T) {
	gate := officeGate(t)
	lent := Object{Entity: "contact", ID: "7", Owners: []string{"yossi"}, Shares: []Share{{"dana", true}}}
	setRole(t, gate, Rules{Name: "looker", Grants: []Grant{{Entity: "contact", Verb: See, Scope: Own}}})
	ctx := WithActor(t.Context(), Actor{ID: "dana", Role: "looker"})
	if !gate.Allowed(ctx, See, lent) || gate.Allowed(ctx, Change, lent) || gate.Allowed(ctx, Reply, lent) {
		t.Error("a share to change gives a verb that the role does not have")
	}
	if err := gate.Require(ctx, Change, lent); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("changing what one sees by a share = %v", err)
	}
	for _, a := range []Actor{{}, {ID: "dana", Role: Plugin}, {ID: "dana", Role: "nobody"}, {Role: "looker"}} {
		if gate.Allowed(WithActor(t.Context(), a), See, lent) {
			t.Errorf("%+v sees what is shared with dana", a)
		}
	}
}

// What one does to a record reaches no further than seeing it, whatever is granted.
func TestNobodyActsOnWhatHeDoesNotSee(t *testing.T) {
	gate := officeGate(t)
	setRole(t, gate, Rules{Name: "x", Grants: []Grant{{Entity: "contact", Verb: "*", Scope: All}, {Entity: "contact", Verb: See, Scope: Own}, {Entity: "deal", Verb: Change, Scope: All}}})
	ctx := WithActor(t.Context(), Actor{ID: "dana", Role: "x"})
	theirs := Object{Entity: "contact", ID: "7", Owners: []string{"yossi"}}
	for _, verb := range Verbs() {
		want := All
		if verb.ofRecord() {
			want = Own
			if err := gate.Require(ctx, verb, theirs); fault.KindOf(err) != fault.NotFound {
				t.Errorf("%s of another's = %v", verb, err)
			}
		}
		if got := gate.Scope(ctx, verb, "contact"); got != want {
			t.Errorf("%s reaches %s, want %s", verb, got, want)
		}
	}
	if gate.Scope(ctx, Change, "deal") != None {
		t.Error("one changes what one sees nothing of")
	}
}

// TestTeamsCountAtOnce moves people and looks who sees whose records.
func TestTeamsCountAtOnce(t *testing.T) {
	gate := officeGate(t)
	setRole(t, gate, Rules{Name: "mate", Grants: []Grant{{Entity: "contact", Verb: See, Scope: Team}, {Entity: "contact", Verb: Change, Scope: Own}}})
	dana := WithActor(t.Context(), Actor{ID: "dana", Role: "mate", Team: "north"}) // what the actor says of his team does not count
	avis := Object{Entity: "contact", ID: "7", Owners: []string{"avi"}}
	sees := func(want bool, principals ...string) {
		t.Helper()
		f, err := gate.Filter(dana, "contact")
		if err != nil || f.All || f.Where != "" || fmt.Sprint(f.Principals) != fmt.Sprint(principals) {
			t.Errorf("Filter = %+v, %v, want %v", f, err, principals)
		}
		if gate.Allowed(dana, See, avis) != want {
			t.Errorf("dana sees avi's: %v, want %v", !want, want)
		}
		if gate.Allowed(dana, Change, avis) {
			t.Error("dana changes avi's")
		}
	}
	sees(false, "dana", "lent:dana")
	gate.SetTeams(map[string]string{"dana": "north", "avi": "north", "": "north", "yossi": ""})
	sees(true, "avi", "dana", "lent:dana", "team:north")
	if got := fmt.Sprint(gate.Members(dana)); got != "[avi dana]" {
		t.Errorf("Members = %s", got)
	}
	own, err := gate.FilterFor(dana, Change, "contact")
	if err != nil || fmt.Sprint(own.Principals) != "[dana lent:dana team:north]" {
		t.Errorf("FilterFor change = %+v, %v", own, err)
	}
	gate.SetTeams(map[string]string{"dana": "south", "avi": "north"})
	sees(false, "dana", "lent:dana", "team:south")
	if got := fmt.Sprint(gate.Members(WithActor(t.Context(), Actor{}))); got != "[]" {
		t.Errorf("nobody's team = %s", got)
	}
}

// TestConditions holds that a condition is asked for each record, whatever else lets the actor at it.
func TestConditions(t *testing.T) {
	gate := officeGate(t)
	setRole(t, gate, Rules{Name: "north", Base: Viewer, Grants: []Grant{
		{Entity: "contact", Verb: See, Scope: All, Where: `city = "חיפה"`}, {Entity: "contact", Verb: Change, Scope: Own, Where: `vip = no`},
		{Entity: "contact", Verb: Create, Scope: All}, {Entity: "contact", Verb: Delete, Scope: All}}})
	ctx := WithActor(t.Context(), Actor{ID: "dana", Role: "north"})
	for verb, want := range map[Verb]string{See: `city = "חיפה"`, Change: `(city = "חיפה") and (vip = no)`, Delete: `city = "חיפה"`, Create: "", Export: "", Import: ""} {
		if got := gate.Where(ctx, verb, "contact"); got != want {
			t.Errorf("Where %s = %q, want %q", verb, got, want)
		}
	}
	f, err := gate.Filter(ctx, "contact")
	if err != nil || !f.All || f.Where != `city = "חיפה"` {
		t.Errorf("Filter = %+v, %v", f, err)
	}
	o := Object{Entity: "contact", ID: "7", Owners: []string{"dana"}, Shares: []Share{{"dana", true}}}
	met := map[string]bool{}
	meets := func(condition string) bool { return met[condition] }
	for _, c := range []struct {
		meets       func(string) bool
		sees, alter bool
		what        string
	}{{nil, false, false, "a room that cannot tell"}, {meets, false, false, "a record that meets nothing"}} {
		o.Meets = c.meets
		if gate.Allowed(ctx, See, o) != c.sees || gate.Allowed(ctx, Change, o) != c.alter {
			t.Errorf("%s: see %v, change %v", c.what, !c.sees, !c.alter)
		}
		if err := gate.Require(ctx, Change, o); fault.KindOf(err) != fault.NotFound {
			t.Errorf("%s: Require = %v", c.what, err)
		}
	}
	met[`city = "חיפה"`] = true
	if err := gate.Require(ctx, Change, o); fault.KindOf(err) != fault.Forbidden || !gate.Allowed(ctx, See, o) {
		t.Errorf("a record that may be seen: changing it = %v", err)
	}
	met[`(city = "חיפה") and (vip = no)`] = true
	if !gate.Allowed(ctx, Change, o) {
		t.Error("a record that meets both cannot be changed")
	}
	if gate.Where(WithActor(t.Context(), Appliance()), See, "contact") != "" {
		t.Error("the appliance has a condition")
	}
}
