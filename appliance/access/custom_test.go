package access

import (
	"fmt"
	"testing"
)

// TestCustom: what the office makes is for the built-in roles as their text says of custom, from the moment it is there;
// who names it in a role of the office's own says something else about it.
func TestCustom(t *testing.T) {
	gate := officeGate(t)
	setRole(t, gate, Rules{Name: "garage", Base: Agent, Grants: []Grant{{Entity: "car", Verb: See, Scope: All}, {Entity: "boat", Verb: "*", Scope: None}}})
	setRole(t, gate, Rules{Name: "porter", Grants: []Grant{{Entity: "custom", Verb: See, Scope: Team}, {Entity: "*", Verb: Delete, Scope: Own}, {Entity: "*", Verb: See, Scope: Own}}})
	setRole(t, gate, Rules{Name: "bare"})
	scopes := func(role Role, entity string) string {
		ctx := WithActor(t.Context(), Actor{ID: "dana", Role: role})
		return fmt.Sprint(gate.Scope(ctx, See, entity), gate.Scope(ctx, Create, entity), gate.Scope(ctx, Change, entity), gate.Scope(ctx, Delete, entity))
	}
	for _, c := range []struct {
		role         Role
		entity       string
		before, made string
	}{
		{Owner, "car", "all all all all", "all all all all"},
		{Manager, "car", "none none none none", "all all all all"},
		{Agent, "car", "none none none none", "own all own none"},
		{Viewer, "car", "none none none none", "all none none none"},
		{Plugin, "car", "none none none none", "none none none none"},
		{"stranger", "car", "none none none none", "none none none none"},
		{"garage", "car", "all none none none", "all all own none"},
		{"garage", "boat", "none none none none", "none none none none"},
		{"garage", "club.member", "none none none none", "own all own none"},
		{"porter", "car", "own none none own", "team none none own"},
		{"porter", "contact", "own none none own", "own none none own"},
		{"bare", "car", "none none none none", "none none none none"},
		{Manager, "contact", "all all all all", "all all all all"},
		{Manager, "office", "none none none none", "none none none none"},
		{Manager, "custom", "none none none none", "none none none none"},
	} {
		gate.SetCustom(nil)
		if got := scopes(c.role, c.entity); got != c.before {
			t.Errorf("%s, %s that is not there: %s, want %s", c.role, c.entity, got, c.before)
		}
		gate.SetCustom([]string{"boat", "car", "club.member"})
		if got := scopes(c.role, c.entity); got != c.made {
			t.Errorf("%s, %s of the office: %s, want %s", c.role, c.entity, got, c.made)
		}
	}
}

// TestCustomWithin: a role that may do more than another with what the office made is not within it.
func TestCustomWithin(t *testing.T) {
	gate := officeGate(t)
	setRole(t, gate, Rules{Name: "head", Base: Agent, Grants: []Grant{{Entity: "office", Verb: Administer, Scope: All}}})
	head := WithActor(t.Context(), Actor{ID: "h", Role: "head"})
	now, err := gate.Policy(ownerOf(t))
	must(t, err)
	for name, kind := range map[Scope]string{Own: "", All: "forbidden"} {
		_, err := gate.SetRole(head, now.Number, Rules{Name: Role("sees-" + name.String()), Grants: []Grant{{Entity: "custom", Verb: See, Scope: name}}})
		wantKind(t, "a role that sees "+name.String(), err, kind)
		if err == nil {
			now.Number++
		}
	}
	_, err = gate.SetRole(head, now.Number, Rules{Name: "sees-cars", Grants: []Grant{{Entity: "car", Verb: See, Scope: Own}}})
	wantKind(t, "a role for what is not there yet", err, "forbidden")
}
