package staff

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

// openWithRoles is open with a gate that can be given roles of the office's own.
func openWithRoles(t testing.TB) *office {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "karov.db"))
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	o := &office{t: t, at: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)}
	j := journal.New(db, o.clock)
	gate, err := access.OpenGate(t.Context(), access.Options{DB: db, Now: o.clock,
		Tell: func(ctx context.Context, tx store.Tx, fact, role string, about map[string]string) error {
			return j.Append(ctx, tx, journal.Fact{Name: fact, Entity: "role", ID: role, About: about})
		},
		Holders: func(tx store.Tx, role access.Role) (int, error) { return o.Holders(tx, role) },
	})
	must(t, err)
	o.Room = New(db, gate, j, o.clock)
	must(t, o.Seat(t.Context()))
	o.dana, err = o.Add(as(t, access.Owner), Draft{Email: "dana@example.com", Name: "Dana", Password: secretWord, Role: access.Agent, Lang: "he"})
	must(t, err)
	return o
}

// add makes an account and gives its id.
func (o *office) add(email string, role access.Role) string {
	o.t.Helper()
	a, err := o.Add(as(o.t, access.Owner), Draft{Email: email, Password: secretWord, Role: role})
	must(o.t, err)
	return a.ID
}

// role makes a role of the office's own.
func (o *office) role(r access.Rules) {
	o.t.Helper()
	owner := as(o.t, access.Owner)
	now, err := o.gate.Policy(owner)
	must(o.t, err)
	must(o.t, second(o.gate.SetRole(owner, now.Number, r)))
}

func TestTeams(t *testing.T) {
	o, owner := openWithRoles(t), as(t, access.Owner)
	avi := o.add("avi@example.com", access.Agent)
	north, err := o.TeamAdd(owner, "  צפון ")
	must(t, err)
	if north.Name != "צפון" || north.ID == "" {
		t.Errorf("the team is %+v", north)
	}
	south, err := o.TeamAdd(owner, "דרום")
	must(t, err)
	wantKind(t, "a second team of one name", second(o.TeamAdd(owner, "צפון")), "conflict")
	for _, name := range []string{"", "  ", strings.Repeat("x", 101), "a\x00b", "a\u202eb", "a\xffb", "a\nb"} {
		wantKind(t, fmt.Sprintf("a team named %q", name), second(o.TeamAdd(owner, name)), "invalid")
		wantKind(t, fmt.Sprintf("renaming to %q", name), o.TeamRename(owner, north.ID, name), "invalid")
	}
	must(t, o.SetTeam(owner, o.dana.ID, north.ID))
	must(t, o.SetTeam(owner, avi, north.ID))
	wantKind(t, "nobody into a team", o.SetTeam(owner, "x", north.ID), "not-found")
	wantKind(t, "into no such team", o.SetTeam(owner, avi, "x"), "not-found")
	wantKind(t, "renaming to a taken name", o.TeamRename(owner, north.ID, "דרום"), "conflict")
	must(t, o.TeamRename(owner, north.ID, "צפון")) // its own
	must(t, o.TeamRename(owner, north.ID, "חיפה"))
	wantKind(t, "renaming nothing", o.TeamRename(owner, "x", "y"), "not-found")
	teams, err := o.Teams(as(t, access.Viewer))
	must(t, err)
	if len(teams) != 2 || teams[0] != (Team{south.ID, "דרום", 0}) || teams[1] != (Team{north.ID, "חיפה", 2}) {
		t.Errorf("Teams = %+v", teams)
	}
	err = o.TeamRemove(owner, north.ID)
	if f := fault.Of(err); f.Kind != fault.Conflict || f.Params["accounts"] != "2" {
		t.Errorf("removing a team with members: %v", err)
	}
	must(t, o.SetTeam(owner, o.dana.ID, ""))
	must(t, o.SetTeam(owner, avi, south.ID))
	must(t, o.TeamRemove(owner, north.ID))
	wantKind(t, "removing it again", o.TeamRemove(owner, north.ID), "not-found")
	wantKind(t, "into a team that is gone", o.SetTeam(owner, avi, north.ID), "not-found")
	facts, err := o.journal.After(t.Context(), 2, 100)
	must(t, err)
	var got []string
	for _, f := range facts {
		got = append(got, f.Name+strings.Join(f.Fields, ""))
	}
	if want := "team.added team.added staff.changedteam staff.changedteam team.renamed team.renamed staff.changedteam staff.changedteam team.removed"; strings.Join(got, " ") != want {
		t.Errorf("facts %v", got)
	}
}

// TestATeamIsMadeOnce: asked again under one id, there is one team, as it is by then.
func TestATeamIsMadeOnce(t *testing.T) {
	o, owner := openWithRoles(t), as(t, access.Owner)
	id := record.NewID()
	first, err := o.TeamAddOnce(owner, id, "north")
	must(t, err)
	must(t, o.TeamRename(owner, id.String(), "far north"))
	must(t, o.SetTeam(owner, o.dana.ID, id.String()))
	again, err := o.TeamAddOnce(owner, id, "north")
	must(t, err)
	if first != (Team{id.String(), "north", 0}) || again != (Team{id.String(), "far north", 1}) {
		t.Errorf("made %+v, and again %+v", first, again)
	}
	wantKind(t, "another team of that name", second(o.TeamAddOnce(owner, record.NewID(), "far north")), "conflict")
	wantKind(t, "one who may not", second(o.TeamAddOnce(as(t, access.Manager), id, "north")), "forbidden")
	teams, err := o.Teams(owner)
	must(t, err)
	if len(teams) != 1 {
		t.Errorf("there are %d teams", len(teams))
	}
}

// TestATeamCountsAtTheNextRequest moves somebody and looks what his session and token bring.
func TestATeamCountsAtTheNextRequest(t *testing.T) {
	o, owner := openWithRoles(t), as(t, access.Owner)
	o.role(access.Rules{Name: "mate", Base: access.Agent, Grants: []access.Grant{{Entity: "contact", Verb: access.See, Scope: access.Team}}})
	avi := o.add("avi@example.com", access.Agent)
	north, err := o.TeamAdd(owner, "north")
	must(t, err)
	must(t, o.SetTeam(owner, avi, north.ID))
	session := o.signIn()
	token, _, err := o.CreateToken(owner, o.dana.ID, "script")
	must(t, err)
	sees := func(want string) {
		t.Helper()
		bySession, err := o.Session(t.Context(), session)
		must(t, err)
		byToken, err := o.Token(t.Context(), token)
		must(t, err)
		for _, a := range []Account{bySession, byToken} {
			f, err := o.gate.Filter(access.WithActor(t.Context(), a.Actor()), "contact")
			must(t, err)
			names := map[string]string{o.dana.ID: "dana", avi: "avi", "team:" + north.ID: "team", "lent:" + o.dana.ID: "lent"}
			var got []string
			for _, p := range f.Principals {
				got = append(got, names[p])
			}
			if strings.Join(got, " ") != want || a.Actor().Team != a.Team {
				t.Errorf("%s sees those of %v, want %s", a.Name, got, want)
			}
		}
	}
	sees("dana lent")
	must(t, o.SetRole(owner, o.dana.ID, "mate"))
	sees("dana lent")
	must(t, o.SetTeam(owner, o.dana.ID, north.ID))
	sees("dana avi lent team")
	must(t, o.Disable(owner, avi, true)) // the customers of somebody who left are still the team's
	sees("dana avi lent team")

	again := New(o.db, o.gate, o.journal, o.clock) // the appliance starts anew
	o.gate.SetTeams(nil)
	sees("dana lent")
	must(t, again.Seat(t.Context()))
	sees("dana avi lent team")
	again.seat(0, nil) // a change that is told late does not undo a newer one
	sees("dana avi lent team")
	o.Room = again
	must(t, o.SetTeam(owner, o.dana.ID, ""))
	sees("dana lent")
	must(t, o.SetRole(owner, o.dana.ID, access.Agent))
	sees("dana lent")
}

func TestRolesOfAccounts(t *testing.T) {
	o, owner := openWithRoles(t), as(t, access.Owner)
	o.role(access.Rules{Name: "night-shift", Base: access.Agent})
	must(t, o.SetRole(owner, o.dana.ID, "night-shift"))
	if _, err := o.gate.RemoveRole(owner, 1, "night-shift"); fault.Of(err).Key != "role.in-use" {
		t.Errorf("removing a role that Dana has: %v", err)
	}
	for _, role := range []access.Role{"", "no-such", access.System, access.Plugin, "night shift"} {
		wantKind(t, "role "+string(role), o.SetRole(owner, o.dana.ID, role), "invalid")
		wantKind(t, "a new account of role "+string(role), second(o.Add(owner, Draft{Email: "x@example.com", Password: secretWord, Role: role})), "invalid")
	}
	wantKind(t, "a role of nobody", o.SetRole(owner, "x", access.Agent), "not-found")
	boss := o.add("boss@example.com", access.Owner)
	if err := o.SetRole(owner, boss, access.Manager); fault.Of(err).Key != "staff.last-owner" {
		t.Errorf("the last owner became a manager: %v", err)
	}
	o.add("second@example.com", access.Owner)
	must(t, o.SetRole(owner, boss, access.Manager))
	must(t, o.SetRole(owner, o.dana.ID, access.Viewer))
	must(t, second(o.gate.RemoveRole(owner, 1, "night-shift")))
	wantKind(t, "a role that is gone", o.SetRole(owner, o.dana.ID, "night-shift"), "invalid")
}

// TestNobodyRisesByOthers tries to do by others' accounts what one's own role may not.
func TestNobodyRisesByOthers(t *testing.T) {
	o := openWithRoles(t)
	o.role(access.Rules{Name: "people", Base: access.Agent, Grants: []access.Grant{{Entity: "staff", Verb: "*", Scope: access.All}}})
	boss, viewer := o.add("boss@example.com", access.Owner), o.add("v@example.com", access.Viewer)
	me := access.WithActor(t.Context(), access.Actor{ID: o.add("me@example.com", "people"), Role: "people"})
	mine := access.ActorFrom(me).ID
	north, err := o.TeamAdd(me, "north")
	must(t, err)
	for what, err := range map[string]error{
		"a new owner":           second(o.Add(me, Draft{Email: "x@example.com", Password: secretWord, Role: access.Owner})),
		"a new viewer":          second(o.Add(me, Draft{Email: "x@example.com", Password: secretWord, Role: access.Viewer})),
		"himself owner":         o.SetRole(me, mine, access.Owner),
		"another role of boss":  o.SetRole(me, boss, access.Agent),
		"an agent to a viewer":  o.SetRole(me, o.dana.ID, access.Viewer),
		"boss's password":       o.ResetPassword(me, boss, secretWord),
		"a viewer's password":   o.ResetPassword(me, viewer, secretWord),
		"a token of boss":       func() error { _, _, err := o.CreateToken(me, boss, "x"); return err }(),
		"boss sent away":        o.Disable(me, boss, true),
		"a viewer into a team":  o.SetTeam(me, viewer, north.ID),
		"the viewer made agent": o.SetRole(me, viewer, access.Agent),
	} {
		if f := fault.Of(err); err == nil || f.Kind != fault.Forbidden || f.Key != "role.beyond-yours" {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, err := range map[string]error{
		"a new agent":         second(o.Add(me, Draft{Email: "y@example.com", Password: secretWord, Role: access.Agent})),
		"an agent's password": o.ResetPassword(me, o.dana.ID, secretWord),
		"an agent like him":   o.SetRole(me, o.dana.ID, "people"),
		"an agent in a team":  o.SetTeam(me, o.dana.ID, north.ID),
	} {
		wantKind(t, what, err, "")
	}
}

func TestOnlyThoseWhoMayLeadTeams(t *testing.T) {
	o := openWithRoles(t)
	north, err := o.TeamAdd(as(t, access.Owner), "north")
	must(t, err)
	for door, knock := range map[string]func(context.Context) error{
		"add": func(ctx context.Context) error { return second(o.TeamAdd(ctx, "x")) }, "rename": func(ctx context.Context) error { return o.TeamRename(ctx, north.ID, "x") },
		"remove": func(ctx context.Context) error { return o.TeamRemove(ctx, north.ID) }, "move": func(ctx context.Context) error { return o.SetTeam(ctx, o.dana.ID, north.ID) },
		"role": func(ctx context.Context) error { return o.SetRole(ctx, o.dana.ID, access.Viewer) },
	} {
		for _, role := range []access.Role{access.Manager, access.Agent, access.Viewer, access.Plugin, "stranger"} {
			wantKind(t, door+" by "+string(role), knock(as(t, role)), "forbidden")
		}
		wantKind(t, door+" by nobody", knock(t.Context()), "unauthenticated")
	}
	wantKind(t, "list by an agent", second(o.Teams(as(t, access.Agent))), "forbidden")
	wantKind(t, "list by nobody", second(o.Teams(t.Context())), "unauthenticated")
	wantKind(t, "list by a manager", second(o.Teams(as(t, access.Manager))), "")
}

// TestManyMovesAtOnce moves people from many goroutines; what the gate knows in the end is what stands in the store.
func TestManyMovesAtOnce(t *testing.T) {
	o, owner := openWithRoles(t), as(t, access.Owner)
	o.role(access.Rules{Name: "mate", Base: access.Agent, Grants: []access.Grant{{Entity: "contact", Verb: access.See, Scope: access.Team}}})
	var teams, people []string
	for i := range 3 {
		team, err := o.TeamAdd(owner, fmt.Sprint("team ", i))
		must(t, err)
		teams = append(teams, team.ID)
		people = append(people, o.add(fmt.Sprintf("p%d@example.com", i), "mate"))
	}
	places := append(teams, "")
	var moving sync.WaitGroup
	for i := range 4 {
		moving.Go(func() {
			for n := range 12 {
				if err := o.SetTeam(owner, people[(i+n)%3], places[(i*n)%4]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	moving.Wait()
	accounts, err := o.List(owner)
	must(t, err)
	of := map[string]string{}
	for _, a := range accounts {
		of[a.ID] = a.Team
	}
	for _, id := range people {
		mates := o.gate.Members(access.WithActor(t.Context(), access.Actor{ID: id, Role: "mate"}))
		for _, other := range people {
			want := id == other || of[id] != "" && of[id] == of[other]
			if got := strings.Contains(strings.Join(mates, " "), other); got != want {
				t.Errorf("the gate has %s with %s: %v; the store: %v", id, other, got, want)
			}
		}
	}
}
