package inbox

import (
	"context"
	"testing"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/record"
)

// TestDoors knocks at every door of the room with another's, nobody's, own and assigned conversations.
func TestDoors(t *testing.T) {
	o, owner := open(t), as(t, access.Owner)
	talk := map[string]Conversation{}
	for _, who := range []string{"theirs", "nobodys", "mine", "assigned"} {
		o.receive(mail(who, who+"@example.com"))
		all := o.list(Waiting)
		c := all[len(all)-1]
		person, err := o.people.Get(owner, c.Contact)
		must(t, err)
		if whose := map[string]string{"theirs": "yossi", "mine": "dana", "assigned": "yossi"}[who]; whose != "" {
			must(t, second(o.people.Change(owner, person.ID, person.Version, record.Values{"owner": whose})))
		}
		talk[who] = c
	}
	must(t, o.Assign(owner, talk["assigned"].ID, "dana"))
	message := func(c Conversation) record.ID { return o.messages(c.ID)[0].ID }
	doors := map[string]func(context.Context, Conversation) error{
		"get": func(ctx context.Context, c Conversation) error { return second(o.Get(ctx, c.ID)) },
		"messages": func(ctx context.Context, c Conversation) error {
			_, _, err := o.Messages(ctx, c.ID, record.ID{}, 5)
			return err
		},
		"message": func(ctx context.Context, c Conversation) error { return second(o.Message(ctx, message(c))) },
		"record":  func(ctx context.Context, c Conversation) error { return second(o.book.Get(ctx, "message", message(c))) },
		"retry":   func(ctx context.Context, c Conversation) error { return o.Retry(ctx, message(c)) },
		"reply":   func(ctx context.Context, c Conversation) error { return second(o.Reply(ctx, c.ID, Reply{Text: "x"})) },
		"close":   func(ctx context.Context, c Conversation) error { return o.Close(ctx, c.ID, false) },
		"change": func(ctx context.Context, c Conversation) error {
			return second(o.book.Change(ctx, "conversation", c.ID, 99, record.Values{"subject": "x"}))
		},
		"closed field": func(ctx context.Context, c Conversation) error {
			now, err := o.Get(owner, c.ID)
			must(t, err)
			return second(o.book.Change(ctx, "conversation", c.ID, now.Version, record.Values{"state": Closed}))
		},
		"delete": func(ctx context.Context, c Conversation) error { return o.book.Delete(ctx, "conversation", c.ID, 99) },
		"assign": func(ctx context.Context, c Conversation) error { return o.Assign(ctx, c.ID, "eve") },
	}
	hidden := map[string]string{}
	for door := range doors {
		hidden[door] = "not-found"
	}
	open := map[string]string{"get": "", "messages": "", "message": "", "record": "", "retry": "conflict", "reply": "", "close": "",
		"change": "conflict", "closed field": "invalid", "delete": "forbidden", "assign": "forbidden"}
	look := map[string]string{"get": "", "messages": "", "message": "", "record": "", "retry": "forbidden", "reply": "forbidden", "close": "forbidden",
		"change": "forbidden", "closed field": "forbidden", "delete": "forbidden", "assign": "forbidden"}
	for _, c := range []struct {
		role  access.Role
		whose string
		want  map[string]string
	}{
		{access.Agent, "theirs", hidden}, {access.Agent, "nobodys", hidden}, {access.Agent, "mine", open}, {access.Agent, "assigned", open},
		{access.Viewer, "theirs", look}, {access.Plugin, "mine", hidden},
	} {
		for door, knock := range doors {
			wantKind(t, string(c.role)+" "+c.whose+" "+door, knock(as(t, c.role, "dana"), talk[c.whose]), c.want[door])
		}
	}
	for door, knock := range doors {
		wantKind(t, "nobody "+door, knock(t.Context(), talk["mine"]), "unauthenticated")
	}
}

func TestListsAndCountsAreOnesOwn(t *testing.T) {
	o, owner := open(t), as(t, access.Owner)
	for _, from := range []string{"theirs", "mine", "nobodys", "assigned"} {
		o.receive(mail(from, from+"@example.com"))
	}
	all := o.list(Waiting)
	own := map[int]string{0: "yossi", 1: "dana", 3: "yossi"}
	for i, who := range own {
		must(t, second(o.people.Change(owner, all[i].Contact, 1, record.Values{"owner": who})))
	}
	must(t, o.Assign(owner, all[3].ID, "dana"))
	for _, c := range []struct {
		role          access.Role
		waiting, mine int
	}{{access.Owner, 4, 1}, {access.Viewer, 4, 1}, {access.Agent, 2, 1}} {
		ctx := as(t, c.role, "dana")
		n, exact, err := o.CountWaiting(ctx)
		must(t, err)
		if n != c.waiting || !exact {
			t.Errorf("%s counts %d waiting, want %d", c.role, n, c.waiting)
		}
		for view, want := range map[View]int{Waiting: c.waiting, AllOpen: c.waiting, Mine: c.mine, Done: 0} {
			var got []Conversation
			for cursor := ""; ; {
				page, err := o.List(ctx, view, cursor, 1)
				must(t, err)
				got = append(got, page.Conversations...)
				if cursor = page.Next; cursor == "" {
					break
				}
			}
			if len(got) != want {
				t.Errorf("%s lists %d %s, want %d", c.role, len(got), view, want)
			}
		}
	}
	agent := as(t, access.Agent, "dana")
	for i, want := range []int{0, 1, 0, 1} {
		of, err := o.Of(agent, all[i].Contact, 0)
		must(t, err)
		if len(of) != want {
			t.Errorf("an agent sees %d conversations of customer %d, want %d", len(of), i, want)
		}
	}
	// Assigned to a conversation of another's customer she sees it, and neither his card nor his timeline.
	_, _, err := o.people.Timeline(agent, all[3].Contact, "", 5)
	wantKind(t, "timeline of another's customer", err, "not-found")
	if entries, _, err := o.people.Timeline(agent, all[1].Contact, "", 5); err != nil || len(entries) != 3 {
		t.Errorf("own timeline: %d entries, %v", len(entries), err)
	}
	_, err = o.List(owner, "nothing", "", 5)
	wantKind(t, "unknown view", err, "invalid")
	_, err = o.List(owner, Waiting, "AAAA", 5)
	wantKind(t, "hostile cursor", err, "invalid")
}

func TestAssignGivesTheCustomerOfNobody(t *testing.T) {
	o, owner, agent := open(t), as(t, access.Owner), as(t, access.Agent, "dana")
	o.receive(mail("m1", "new@example.com"))
	c := o.list(Waiting)[0]
	must(t, o.Assign(owner, c.ID, "dana"))
	who, err := o.people.Get(agent, c.Contact)
	must(t, err)
	if hits, _ := o.index.Find(agent, "new@example.com", 5); who.Owner != "dana" || len(hits) != 1 {
		t.Errorf("owner %q, lookup finds %d", who.Owner, len(hits))
	}
	if n, _, _ := o.people.Count(agent); n != 1 {
		t.Errorf("she counts %d customers", n)
	}
	must(t, o.Assign(owner, c.ID, ""))
	if now, _ := o.Get(owner, c.ID); now.Assignee != "" {
		t.Errorf("assignee %q", now.Assignee)
	}
	must(t, o.Assign(owner, c.ID, "yossi"))
	if who, _ := o.people.Get(owner, c.Contact); who.Owner != "dana" {
		t.Errorf("the customer was taken from dana for %q", who.Owner)
	}
	must(t, o.book.Check(t.Context()))
}

// TestOfADeletedCustomer holds because people delete what others are looking at.
func TestOfADeletedCustomer(t *testing.T) {
	o, owner := open(t), as(t, access.Owner)
	o.receive(mail("m1", "dana@example.com"))
	c := o.list(Waiting)[0]
	must(t, o.book.Delete(owner, "contact", c.Contact, 1))
	if all := o.list(Waiting); len(all) != 1 || all[0].ContactName != "" || len(o.messages(c.ID)) != 1 {
		t.Errorf("conversations of a deleted customer: %+v", all)
	}
	must(t, second(o.Reply(owner, c.ID, Reply{Text: "x"})))
	o.receive(mail("m2", "dana@example.com", "m1"))
	if all := o.list(Waiting); len(all) != 1 || all[0].Contact == c.Contact || all[0].ContactName != "Dana" {
		t.Errorf("who writes again after that: %+v", all)
	}
	must(t, o.book.Check(t.Context()))
}
