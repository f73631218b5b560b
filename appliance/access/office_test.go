package access

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantKind(t testing.TB, what string, err error, kind string) {
	t.Helper()
	got := ""
	if err != nil {
		got = fault.KindOf(err).String()
	}
	if got != kind {
		t.Errorf("%s = %q (%v), want %q", what, got, err, kind)
	}
}

// office is a store with a gate over it. Facts that the gate tells stand in told; the holders of roles in holders.
type office struct {
	db      store.DB
	told    []string
	holders map[Role]int
}

func newOffice(t testing.TB) *office {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "karov.db"))
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return &office{db: db, holders: map[Role]int{}}
}

// gate opens the gate as a start of the appliance does.
func (o *office) gate(ctx context.Context) (*Gate, error) {
	return OpenGate(ctx, Options{DB: o.db, Now: func() time.Time { return time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC) },
		Tell: func(_ context.Context, _ store.Tx, fact, role string, about map[string]string) error {
			o.told = append(o.told, fmt.Sprint(fact, " ", role, " ", about))
			return nil
		},
		CheckWhere: func(entity, condition string) error {
			if strings.Contains(condition, ")") || strings.Count(condition, `"`)%2 == 1 {
				return fault.InvalidField("filter", "filter.syntax", "column", 1)
			}
			return nil
		},
		CheckField: func(entity, field string) error {
			if field == "no_such" {
				return fault.New(fault.Invalid, "field.unknown")
			}
			return nil
		},
		Holders: func(_ store.Tx, role Role) (int, error) { return o.holders[role], nil },
	})
}

func officeGate(t testing.TB) *Gate {
	t.Helper()
	gate, err := newOffice(t).gate(t.Context())
	must(t, err)
	return gate
}

func ownerOf(t testing.TB) context.Context {
	return WithActor(t.Context(), Actor{ID: "o", Role: Owner})
}

// setRole makes a role as the owner, whatever version counts.
func setRole(t testing.TB, g *Gate, r Rules) Version {
	t.Helper()
	now, err := g.Policy(ownerOf(t))
	must(t, err)
	v, err := g.SetRole(ownerOf(t), now.Number, r)
	must(t, err)
	return v
}

func TestOfficeRoles(t *testing.T) {
	o := newOffice(t)
	gate, err := o.gate(t.Context())
	must(t, err)
	owner := ownerOf(t)
	night := Rules{Name: "night-shift", Base: Agent, Labels: map[string]string{"he": "משמרת לילה"},
		Grants: []Grant{{Entity: "contact", Verb: See, Scope: Team}, {Entity: "deal", Verb: "*", Scope: None}, {Entity: "club.member", Verb: See, Scope: All}},
		Fields: []FieldRule{{"contact", "phones", Hide}, {"contact", "notes", ReadOnly}}}
	v, err := gate.SetRole(owner, 0, night)
	must(t, err)
	if v.Number != 1 || v.By != "o" || v.Act != "set" || v.Role != "night-shift" || len(v.Roles) != 1 {
		t.Errorf("the version is %+v", v)
	}
	ctx := WithActor(t.Context(), Actor{ID: "dana", Role: "night-shift"})
	scopes := func(g *Gate) string {
		return fmt.Sprint(g.Scope(ctx, See, "contact"), g.Scope(ctx, Change, "contact"), g.Scope(ctx, See, "deal"), g.Scope(ctx, Create, "deal"),
			g.Scope(ctx, See, "club.member"), g.Scope(ctx, Change, "club.member"), g.Scope(ctx, See, "task"), g.Scope(ctx, See, "other"))
	}
	const want = "team own none none all none own none"
	fields := func(g *Gate) string {
		f := g.Fields(ctx, "contact")
		return fmt.Sprint(f.Hidden("phones"), f.ReadOnly("phones"), f.Hidden("notes"), f.ReadOnly("notes"), f.Hidden("name"), g.Fields(ctx, "deal") == nil)
	}
	if got := scopes(gate); got != want {
		t.Errorf("the role reaches %s, want %s", got, want)
	}
	if got := fields(gate); got != "true true false true false true" {
		t.Errorf("its fields: %s", got)
	}
	if role, err := gate.ParseRole("night-shift"); role != "night-shift" || err != nil {
		t.Errorf("ParseRole = %q, %v", role, err)
	}
	again, err := o.gate(t.Context()) // the appliance starts anew
	must(t, err)
	if scopes(again) != want || fields(again) != fields(gate) {
		t.Errorf("after a start: %s, %s", scopes(again), fields(again))
	}
	if got := strings.Join(o.told, "\n"); got != "access.changed night-shift map[act:set version:1]" {
		t.Errorf("told %s", got)
	}
}

func TestChangeRevertRemove(t *testing.T) {
	o := newOffice(t)
	gate, err := o.gate(t.Context())
	must(t, err)
	owner := ownerOf(t)
	ctx := WithActor(t.Context(), Actor{ID: "dana", Role: "night-shift"})
	night := func(s Scope) Rules {
		return Rules{Name: "night-shift", Grants: []Grant{{Entity: "contact", Verb: See, Scope: s}}}
	}
	sees := func(want Scope) {
		t.Helper()
		if got := gate.Scope(ctx, See, "contact"); got != want {
			t.Errorf("sees %s, want %s", got, want)
		}
	}
	for i, s := range []Scope{All, Own, Team} {
		_, err := gate.SetRole(owner, uint64(i), night(s))
		must(t, err)
		sees(s)
	}
	wantKind(t, "a change of an older version", second(gate.SetRole(owner, 2, night(All))), "conflict")
	sees(Team)
	must(t, second(gate.Revert(owner, 3, 2)))
	sees(Own)
	wantKind(t, "a version that never was", second(gate.Revert(owner, 4, 9)), "not-found")
	o.holders["night-shift"] = 1
	wantKind(t, "removing a role in use", second(gate.RemoveRole(owner, 4, "night-shift")), "conflict")
	wantKind(t, "reverting to before a role in use", second(gate.Revert(owner, 4, 0)), "conflict")
	sees(Own)
	o.holders = nil
	wantKind(t, "removing what is not", second(gate.RemoveRole(owner, 4, "day-shift")), "not-found")
	wantKind(t, "removing what is built in", second(gate.RemoveRole(owner, 4, Agent)), "not-found")
	must(t, second(gate.RemoveRole(owner, 4, "night-shift")))
	sees(None)
	if f := gate.Fields(ctx, "contact"); !f.Hidden("anything") || !f.ReadOnly("anything") {
		t.Error("a role that is gone reads fields")
	}
	wantKind(t, "a role that is gone", second(gate.ParseRole("night-shift")), "invalid")
	must(t, second(gate.Revert(owner, 5, 1)))
	sees(All)
	must(t, second(gate.Revert(owner, 6, 0)))
	sees(None)
	all, err := gate.Versions(owner)
	must(t, err)
	var acts []string
	for _, v := range all {
		acts = append(acts, fmt.Sprint(v.Number, v.Act, v.To, v.By))
	}
	if got := strings.Join(acts, " "); got != "7reverted0o 6reverted1o 5removed0o 4reverted2o 3set0o 2set0o 1set0o" {
		t.Errorf("versions: %s", got)
	}
	if got := o.told[3]; got != "access.reverted  map[to:2 version:4]" {
		t.Errorf("told %s", got)
	}
	again, err := o.gate(t.Context())
	must(t, err)
	if p, err := again.Policy(owner); err != nil || p.Number != 7 || len(p.Roles) != 0 {
		t.Errorf("after a start: %+v, %v", p, err)
	}
}

func second[T any](_ T, err error) error { return err }

// TestWhoMayChangeThePolicy tries everybody, and those who administer but may not do all.
func TestWhoMayChangeThePolicy(t *testing.T) {
	gate := officeGate(t)
	night := Rules{Name: "night-shift", Base: Agent}
	for _, c := range []struct {
		actor Actor
		kind  string
	}{{Actor{}, "unauthenticated"}, {Actor{ID: "m", Role: Manager}, "forbidden"}, {Actor{ID: "a", Role: Agent}, "forbidden"},
		{Actor{ID: "p", Role: Plugin}, "forbidden"}, {Actor{ID: "x", Role: "night-shift"}, "forbidden"}} {
		ctx := WithActor(t.Context(), c.actor)
		wantKind(t, "set by "+string(c.actor.Role), second(gate.SetRole(ctx, 0, night)), c.kind)
		wantKind(t, "remove by "+string(c.actor.Role), second(gate.RemoveRole(ctx, 0, "night-shift")), c.kind)
		wantKind(t, "revert by "+string(c.actor.Role), second(gate.Revert(ctx, 0, 0)), c.kind)
	}
	wantKind(t, "read by an agent", second(gate.Policy(WithActor(t.Context(), Actor{ID: "a", Role: Agent}))), "forbidden")
	wantKind(t, "versions by an agent", second(gate.Versions(WithActor(t.Context(), Actor{ID: "a", Role: Agent}))), "forbidden")
	wantKind(t, "read by a viewer", second(gate.Policy(WithActor(t.Context(), Actor{ID: "v", Role: Viewer}))), "")
	must(t, second(gate.SetRole(WithActor(t.Context(), Appliance()), 0, night)))

	it := Rules{Name: "office-it", Base: Agent, Grants: []Grant{{Entity: "office", Verb: "*", Scope: All}, {Entity: "contact", Verb: See, Scope: Own, Where: "vip = no"}},
		Fields: []FieldRule{{"contact", "notes", Hide}, {"contact", "name", ReadOnly}}}
	setRole(t, gate, it)
	ctx := WithActor(t.Context(), Actor{ID: "it", Role: "office-it"})
	for what, r := range map[string]Rules{
		"one who sees more":              {Name: "more", Base: Agent, Grants: []Grant{{Entity: "contact", Verb: See, Scope: All, Where: "vip = no"}}, Fields: it.Fields},
		"one without the condition":      {Name: "more", Base: Agent, Fields: it.Fields},
		"one without field rules":        {Name: "more", Grants: it.Grants},
		"one who reads what he may":      {Name: "more", Grants: it.Grants, Fields: []FieldRule{{"contact", "notes", ReadOnly}, {"contact", "name", Hide}}},
		"one who writes what he may not": {Name: "more", Grants: it.Grants, Fields: []FieldRule{{"contact", "notes", Hide}}},
		"one of all":                     {Name: "more", Base: Owner},
		"himself, with more":             {Name: "office-it", Base: Owner, Fields: it.Fields},
		"himself, without rules":         {Name: "office-it", Base: Agent, Grants: it.Grants},
		"less to one who has more":       {Name: "night-shift", Grants: nil},
	} {
		v, err := gate.Policy(ctx)
		must(t, err)
		_, err = gate.SetRole(ctx, v.Number, r)
		if fault.KindOf(err) != fault.Forbidden || fault.Of(err).Key != "role.beyond-yours" {
			t.Errorf("office IT makes %s: %v", what, err)
		}
	}
	v, err := gate.Policy(ctx)
	must(t, err)
	wantKind(t, "bringing back one who may do more", second(gate.Revert(ctx, v.Number, 0)), "forbidden")
	must(t, second(gate.SetRole(ctx, v.Number, Rules{Name: "less", Grants: []Grant{{Entity: "contact", Verb: See, Scope: Own, Where: "vip = no"}}, Fields: it.Fields})))
	if gate.Within(ctx, Manager) || gate.Within(ctx, Owner) || !gate.Within(ctx, "less") || !gate.Within(ctx, "office-it") || !gate.Within(ownerOf(t), Owner) {
		t.Error("Within misjudges")
	}
	builtin, err := NewGate()
	must(t, err)
	wantKind(t, "changing a gate of built-in roles", second(builtin.SetRole(ownerOf(t), 0, night)), "conflict")
}

// A change that is told late does not take the place of a newer one.
func TestOlderPolicyDoesNotComeBack(t *testing.T) {
	gate := officeGate(t)
	setRole(t, gate, Rules{Name: "x", Base: Owner})
	older := gate.policy.Load()
	setRole(t, gate, Rules{Name: "x"})
	gate.count(older)
	if gate.Scope(WithActor(t.Context(), Actor{ID: "d", Role: "x"}), See, "contact") != None {
		t.Error("an older policy counts again")
	}
}

func TestDamagedPolicyIsRefused(t *testing.T) {
	for what, raw := range map[string]string{
		"nothing": "", "no JSON": "{", "more after it": `{"number":1,"roles":[]}{}`, "another number": `{"number":2,"roles":[]}`,
		"an unknown member": `{"number":1,"roles":[{"name":"x","deny":true}]}`, "a built-in name": `{"number":1,"roles":[{"name":"agent"}]}`,
		"a scope that is none": `{"number":1,"roles":[{"name":"x","grants":[{"entity":"contact","verb":"see","scope":"most"}]}]}`,
		"a verb that is none":  `{"number":1,"roles":[{"name":"x","grants":[{"entity":"contact","verb":"sea","scope":"all"}]}]}`,
		"a right that is none": `{"number":1,"roles":[{"name":"x","fields":[{"entity":"contact","field":"name","right":"hidden"}]}]}`,
		"one name twice":       `{"number":1,"roles":[{"name":"x"},{"name":"x"}]}`, "a base that is none": `{"number":1,"roles":[{"name":"x","base":"system"}]}`,
	} {
		o := newOffice(t)
		must(t, o.db.Update(t.Context(), func(tx store.Tx) error {
			tx.Bucket(policyBucket).Put(numberKey(1), []byte(raw))
			return nil
		}))
		_, err := o.gate(t.Context())
		if f := fault.Of(err); err == nil || f.Key != "store.damaged" || f.Params["what"] != "access.policy" {
			t.Errorf("a policy with %s: %v", what, err)
		}
	}
}

// A change that the store or the journal refuses does not count.
func TestWhatIsNotStoredDoesNotCount(t *testing.T) {
	o := newOffice(t)
	gate, err := o.gate(t.Context())
	must(t, err)
	gate.options.Tell = func(context.Context, store.Tx, string, string, map[string]string) error {
		return errors.New("disk full")
	}
	if _, err := gate.SetRole(ownerOf(t), 0, Rules{Name: "x", Base: Owner}); err == nil {
		t.Error("a change without a fact went through")
	}
	if gate.Scope(WithActor(t.Context(), Actor{ID: "d", Role: "x"}), See, "contact") != None {
		t.Error("a change that was not stored counts")
	}
	if v, err := gate.Policy(ownerOf(t)); err != nil || v.Number != 0 {
		t.Errorf("stored: %+v, %v", v, err)
	}
}
