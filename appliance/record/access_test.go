package record

import (
	"context"
	"testing"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/store"
)

// TestDoors asks at each door of the book for another's, nobody's and own records.
func TestDoors(t *testing.T) {
	o := open(t)
	owner := as(t, access.Owner)
	talk := func(contact ID, assignee string) Record {
		r, err := o.Create(owner, "conversation", Values{"contact": contact, "subject": "s", "assignee": assignee})
		must(t, err)
		return r
	}
	theirs, nobodys := o.create(Values{"name": "theirs", "owner": "yossi"}), o.create(Values{"name": "nobodys"})
	mine := o.create(Values{"name": "mine", "owner": "dana"})
	records := map[string]Record{"theirs": theirs, "nobodys": nobodys, "mine": mine,
		"their talk": talk(theirs.ID, ""), "nobody's talk": talk(nobodys.ID, ""), "my talk": talk(mine.ID, ""),
		"assigned talk": talk(theirs.ID, "dana")}
	doors := map[string]func(context.Context, Record) error{
		"get":     func(ctx context.Context, r Record) error { return second(o.Get(ctx, r.Entity(), r.ID)) },
		"change":  func(ctx context.Context, r Record) error { return second(o.Change(ctx, r.Entity(), r.ID, 9, nil)) },
		"delete":  func(ctx context.Context, r Record) error { return o.Delete(ctx, r.Entity(), r.ID, 9) },
		"restore": func(ctx context.Context, r Record) error { return second(o.Restore(ctx, r.Entity(), r.ID)) },
	}
	for _, c := range []struct {
		who                  access.Role
		record               string
		get, change, deleted string // kinds; version 9 is never right, so that "conflict" is an open door
	}{
		{access.Agent, "theirs", "not-found", "not-found", "not-found"},
		{access.Agent, "nobodys", "not-found", "not-found", "not-found"},
		{access.Agent, "their talk", "not-found", "not-found", "not-found"},
		{access.Agent, "nobody's talk", "not-found", "not-found", "not-found"},
		{access.Agent, "mine", "", "conflict", "forbidden"},
		{access.Agent, "my talk", "", "conflict", "forbidden"},
		{access.Agent, "assigned talk", "", "conflict", "forbidden"},
		{access.Viewer, "theirs", "", "forbidden", "forbidden"},
		{access.Viewer, "their talk", "", "forbidden", "forbidden"},
		{access.Manager, "theirs", "", "conflict", "conflict"},
		{access.Plugin, "mine", "not-found", "not-found", "not-found"},
		{"", "mine", "unauthenticated", "unauthenticated", "unauthenticated"},
	} {
		ctx, r := as(t, c.who, "dana"), records[c.record]
		if c.who == "" {
			ctx = t.Context()
		}
		what := string(c.who) + " " + c.record + " "
		wantKind(t, what+"get", doors["get"](ctx, r), c.get)
		wantKind(t, what+"change", doors["change"](ctx, r), c.change)
		wantKind(t, what+"delete", doors["delete"](ctx, r), c.deleted)
		wantKind(t, what+"restore of what is not in the bin", doors["restore"](ctx, r), "not-found")
		visible, err := o.Visible(ctx, r.Entity(), r.ID)
		must(t, err)
		if visible != (c.get == "") {
			t.Errorf("%svisible = %v", what, visible)
		}
	}
	for _, c := range []struct {
		who             access.Role
		contacts, talks int // -1 for refused
	}{{access.Agent, 1, 2}, {access.Viewer, 3, 4}, {access.Manager, 3, 4}, {access.Plugin, -1, -1}, {"", -1, -1}} {
		for entity, want := range map[string]int{"contact": c.contacts, "conversation": c.talks} {
			for _, sort := range []string{"", "-", "assignee", "name", "-owner"} {
				f := o.Schema().Entity(entity).Field(trimmed(sort))
				if trimmed(sort) != "" && (f == nil || want < 0) {
					continue
				}
				page, err := o.List(as(t, c.who, "dana"), Query{Entity: entity, Sort: sort})
				n, exact, countErr := o.Count(as(t, c.who, "dana"), Query{Entity: entity, Sort: sort})
				if (err != nil) != (want < 0) || (countErr != nil) != (want < 0) {
					t.Errorf("%s %s by %q: %v, %v", c.who, entity, sort, err, countErr)
				}
				if want >= 0 && (len(page.Records) != n || !exact) {
					t.Errorf("%s lists %d %s by %q and counts %d", c.who, len(page.Records), entity, sort, n)
				}
				if want >= 0 && (sort == "" || sort == "name") && n != want {
					t.Errorf("%s sees %d %s by %q, want %d", c.who, n, entity, sort, want)
				}
			}
		}
	}
}

func trimmed(sort string) string {
	if sort != "" && sort[0] == '-' {
		return sort[1:]
	}
	return sort
}

func TestFindIsPartitionedByOwner(t *testing.T) {
	o := open(t)
	a := o.create(Values{"name": "Levi One", "owner": "dana"})
	o.create(Values{"name": "Levi Two", "owner": "yossi"})
	o.create(Values{"name": "Levi Three"})
	for _, c := range []struct {
		ctx  context.Context
		want int
	}{{as(t, access.Agent, "dana"), 1}, {as(t, access.Agent, "dan"), 0}, {as(t, access.Viewer), 3}} {
		hits, err := o.index.Find(c.ctx, "levi", 10)
		must(t, err)
		if len(hits) != c.want {
			t.Errorf("%d hits, want %d", len(hits), c.want)
		}
	}
	_, err := o.Change(as(t, access.Owner), "contact", a.ID, 1, Values{"owner": "yossi"})
	must(t, err)
	if hits, _ := o.index.Find(as(t, access.Agent, "dana"), "levi", 10); len(hits) != 0 {
		t.Errorf("an agent still finds a contact that was handed over: %v", hits)
	}
}

func TestOwnership(t *testing.T) {
	o := open(t)
	agent, manager := as(t, access.Agent, "dana"), as(t, access.Manager)
	for _, owner := range []any{nil, "", "dana"} {
		r, err := o.Create(agent, "contact", Values{"name": "x", "owner": owner})
		must(t, err)
		if r.Text("owner") != "dana" {
			t.Errorf("created with owner %v, it is %q's", owner, r.Text("owner"))
		}
	}
	r, err := o.Create(agent, "contact", Values{"name": "x"})
	must(t, err)
	wantKind(t, "create for another", second(o.Create(agent, "contact", Values{"name": "x", "owner": "yossi"})), "forbidden")
	wantKind(t, "create on another's customer", second(o.Create(agent, "conversation", Values{"contact": r.ID})), "forbidden")
	for _, owner := range []any{"yossi", "", nil, []any{"yossi"}} {
		wantKind(t, "hand over by an agent", second(o.Change(agent, "contact", r.ID, 1, Values{"owner": owner})), "forbidden")
	}
	same, err := o.Change(agent, "contact", r.ID, 1, Values{"owner": "dana", "name": "y"})
	must(t, err)
	_, err = o.Change(manager, "contact", r.ID, same.Version(), Values{"owner": "yossi"})
	must(t, err)
	wantKind(t, "get after the hand-over", second(o.Get(agent, "contact", r.ID)), "not-found")
	if n, _, _ := o.Count(manager, Query{Entity: "contact"}); n != 4 {
		t.Errorf("%d contacts, want 4: something refused stands", n)
	}
	made, err := o.Create(manager, "contact", Values{"name": "nobody's"})
	must(t, err)
	if made.Has("owner") {
		t.Error("what a manager makes became his own")
	}
	must(t, o.Check(manager))
}

// TestInsideSkipsTheGate holds because rooms ask for permission themselves.
func TestInsideSkipsTheGate(t *testing.T) {
	o, nobody := open(t), t.Context()
	must(t, o.Update(nobody, func(tx store.Tx) error {
		r, err := o.CreateTx(nobody, tx, Change{Entity: "contact", Values: Values{"name": "x", "secret": map[string]int{"a": 1}}, Inside: true})
		if err != nil {
			return err
		}
		var data map[string]int
		must(t, r.Data("secret", &data))
		if data["a"] != 1 {
			t.Errorf("data came back as %v", data)
		}
		return nil
	}))
}
