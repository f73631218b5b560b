package search

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

// foundBy gives the titles that somebody finds, sorted, or the kind of the error.
func (o *office) foundBy(ctx context.Context, query string) string {
	o.t.Helper()
	hits, err := o.Find(ctx, query, 9)
	if err != nil {
		return fault.KindOf(err).String()
	}
	var titles []string
	for _, h := range hits {
		titles = append(titles, h.Title)
	}
	slices.Sort(titles)
	return strings.Join(titles, " ")
}

func TestPrincipalsArePartitioned(t *testing.T) {
	o := open(t)
	o.gate.SetTeams(map[string]string{"rina": "north", "gad": "north"})
	o.put(1, Doc{Title: "Levi", Principals: []string{"dana", "dan"}})
	o.put(2, Doc{Title: "Levin", Principals: []string{"yossi", ""}})
	o.put(3, Doc{Title: "Levit"})
	o.put(4, Doc{Title: "Levkin", Principals: []string{"zoe", access.TeamSubject("north")}})
	o.put(5, Doc{Title: "Levski", Principals: []string{"gad"}})
	found := func(role access.Role, id string) string { return o.foundBy(as(t, role, id), "lev") }
	for _, c := range []struct {
		role     access.Role
		id, want string
	}{
		{access.Agent, "dana", "Levi"}, {access.Agent, "dan", "Levi"}, {access.Agent, "da", ""}, {access.Agent, "yossi", "Levin"}, {access.Agent, "rina", "Levkin"}, {access.Agent, "gad", "Levkin Levski"},
		{access.Viewer, "v", "Levi Levin Levit Levkin Levski"}, {access.Plugin, "plugin:x", "forbidden"}, {"", "", "unauthenticated"}, {access.Agent, "", "unauthenticated"},
	} {
		if got := found(c.role, c.id); got != c.want {
			t.Errorf("%s %q finds %q, want %q", c.role, c.id, got, c.want)
		}
	}
	o.put(1, Doc{Title: "Levi", Principals: []string{"yossi"}})
	if found(access.Agent, "dana") != "" || found(access.Agent, "yossi") != "Levi Levin" {
		t.Error("the owner changed and the index did not")
	}
}

func TestEntitiesHaveTheirOwnRights(t *testing.T) {
	o := open(t)
	o.put(1, Doc{Title: "Levi", Principals: []string{"dana"}})
	must(t, o.db.Update(t.Context(), func(tx store.Tx) error {
		for i, entity := range []string{"club.member", "deal", "task"} {
			doc := Doc{Entity: entity, ID: [16]byte{byte(i)}, Title: "Levi of " + entity, Principals: []string{"dana"}, Parts: []Part{{"name", Name, "Levi", false}}}
			if err := Put(tx, doc); err != nil {
				return err
			}
		}
		return nil
	}))
	for role, want := range map[access.Role]string{access.Owner: "Levi|Levi of club.member|Levi of deal|Levi of task", access.Agent: "Levi|Levi of deal|Levi of task", access.Viewer: "Levi|Levi of deal|Levi of task"} {
		hits, err := o.Find(as(t, role, "dana"), "levi", 9)
		must(t, err)
		var got []string
		for _, h := range hits {
			got = append(got, h.Title)
		}
		if slices.Sort(got); strings.Join(got, "|") != want {
			t.Errorf("%s finds %q, want %q", role, got, want)
		}
	}
}

// withRole is an office with a role of its own.
func withRole(t testing.TB, r access.Rules) *office {
	o := open(t)
	gate, err := access.OpenGate(t.Context(), access.Options{DB: o.db, Now: time.Now,
		CheckWhere: func(_, _ string) error { return nil }, CheckField: func(_, _ string) error { return nil }})
	must(t, err)
	_, err = gate.SetRole(as(t, access.Owner, "o"), 0, r)
	must(t, err)
	o.gate, o.Index = gate, New(o.db, gate)
	return o
}

// TestHiddenFields holds that a hidden field neither finds a record nor is shown of it, nor names it.
func TestHiddenFields(t *testing.T) {
	hide := func(field string) access.FieldRule {
		return access.FieldRule{Entity: "contact", Field: field, Right: access.Hide}
	}
	o := withRole(t, access.Rules{Name: "desk", Base: access.Viewer, Fields: []access.FieldRule{hide("phones"), hide("company"), hide("emails")}})
	o.put(1, Doc{Title: "Dana Levi", Parts: []Part{shown(text("company", "Acme")), shown(text("city", "Haifa")), shown(phone("050-1234567")), email("boss@acme.example")}})
	o.put(2, Doc{Title: "Acme", Parts: []Part{{"name", Name, "", false}, shown(text("company", "Acme"))}})
	ctx := as(t, "desk", "d")
	for query, want := range map[string]string{"levi": "Dana Levi", "haifa": "Dana Levi", "acme": "", "4567": "", "0501234567": "", "boss": "", "boss@acme.example": "", "levi acme": "", "אקמה": "", "akme": "", "שבצק": ""} {
		if got := o.foundBy(ctx, query); got != want {
			t.Errorf("%q finds %q, want %q", query, got, want)
		}
		if want != "" || query == "levi acme" {
			continue
		}
		if got := o.foundBy(as(t, access.Owner, "o"), query); got == "" {
			t.Errorf("%q finds nobody even for the owner", query)
		}
	}
	hits, err := o.Find(ctx, "levi", 9)
	must(t, err)
	if len(hits) != 1 || hits[0].Subtitle != "Haifa" || hits[0].Matched != "" {
		t.Errorf("shown is %+v", hits)
	}

	o = withRole(t, access.Rules{Name: "desk", Base: access.Viewer, Fields: []access.FieldRule{hide("name")}})
	o.put(1, Doc{Title: "Dana Levi", Parts: []Part{shown(text("city", "Haifa"))}})
	o.put(2, Doc{Title: "Levi, Dana (12)", Parts: []Part{{"name", Name, "Dana Levi", false}, shown(text("city", "Haifa"))}})
	hits, err = o.Find(ctx, "haifa", 9)
	must(t, err)
	for _, h := range hits {
		if h.Title != withheld || h.Marks != nil || h.Subtitle != "Haifa" {
			t.Errorf("shown is %+v", h)
		}
	}
	if got := o.foundBy(ctx, "levi"); got != "" || len(hits) != 2 {
		t.Errorf("a hidden name finds %q; the city finds %d", got, len(hits))
	}
}

func TestConditionIsMet(t *testing.T) {
	o := withRole(t, access.Rules{Name: "north", Base: access.Viewer, Grants: []access.Grant{{Entity: "contact", Verb: access.See, Scope: access.All, Where: `city = "Haifa"`}}})
	o.put(1, Doc{Title: "Levi"})
	o.put(2, Doc{Title: "Levin"})
	ctx := as(t, "north", "n")
	if got := o.foundBy(ctx, "lev"); got != "" {
		t.Errorf("with nobody to ask, %q is found", got)
	}
	asked := 0
	o.Conditions(func(got context.Context, tx store.Tx, entity string, id [16]byte, where string) bool {
		asked++
		return got == ctx && tx != nil && entity == "contact" && where == `city = "Haifa"` && id[15] == 2
	})
	if got := o.foundBy(ctx, "lev"); got != "Levin" || asked != 2 {
		t.Errorf("%q is found, %d were asked", got, asked)
	}
}
