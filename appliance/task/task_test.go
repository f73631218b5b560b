package task

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/store"
)

func TestCreateSaysTheRest(t *testing.T) {
	o := open(t)
	hers, owner := as(t, access.Agent, "dana"), as(t, access.Owner)
	customer := o.customer("dana")
	deal, err := o.book.Create(owner, "deal", record.Values{"contact": customer})
	must(t, err)
	secret, err := o.book.Create(owner, "deal", record.Values{"contact": o.customer("yossi")})
	must(t, err)
	for _, c := range []struct {
		what     string
		ctx      context.Context
		values   record.Values
		assignee string
		contact  record.ID
		wrong    string
	}{
		{"one's own", owner, record.Values{}, "owner", record.ID{}, ""},
		{"an agent's", hers, record.Values{}, "dana", record.ID{}, ""},
		{"nobody's", owner, record.Values{"assignee": ""}, "", record.ID{}, ""},
		{"the appliance's", as(t, access.System), record.Values{}, "", record.ID{}, ""},
		{"another's about one's own customer", hers, record.Values{"assignee": "yossi", "contact": customer}, "yossi", customer, ""},
		{"another's about nobody", hers, record.Values{"assignee": "yossi"}, "", record.ID{}, "access.not-yours"},
		{"about a deal", hers, record.Values{"deal": deal.ID}, "dana", customer, ""},
		{"about a deal as text", hers, record.Values{"deal": deal.ID.String()}, "dana", customer, ""},
		{"about another's deal", hers, record.Values{"deal": secret.ID}, "", record.ID{}, "deal field.link"},
		{"about no deal", hers, record.Values{"deal": "x"}, "", record.ID{}, "deal field.link"},
		{"done already", owner, record.Values{"state": Done}, "", record.ID{}, "state field.closed"},
		{"from a rule, as somebody says", owner, record.Values{"source": ByRule}, "", record.ID{}, "source field.closed"},
		{"repeating from no day", owner, record.Values{"repeat": Daily}, "", record.ID{}, "due task.repeat-needs-due"},
		{"as a viewer", as(t, access.Viewer), record.Values{}, "", record.ID{}, "access.forbidden"},
	} {
		c.values["title"] = c.what
		got, err := o.Create(c.ctx, c.values)
		wantKey(t, c.what, err, c.wrong)
		if err == nil && (got.Assignee != c.assignee || got.Contact != c.contact || got.State != Open || got.Kind != ToDo || got.Priority != "normal") {
			t.Errorf("%s: %+v", c.what, got)
		}
	}
	wantKey(t, "without a title", second(o.Create(owner, nil)), "title field.required")
	twice := record.Values{"title": "once"}
	a, err := o.CreateOnce(owner, "key", twice)
	must(t, err)
	b, err := o.CreateOnce(owner, "key", twice)
	must(t, err)
	if a.ID != b.ID {
		t.Error("one form made two tasks")
	}
	o.told(0)
}

func TestListsOfOpenTasks(t *testing.T) {
	o, owner := open(t), as(t, access.Owner)
	hour := func(n int) time.Time { return o.at.Add(time.Duration(n) * time.Hour) } // it is 11:00 in Jerusalem
	for _, v := range []record.Values{
		{"title": "tomorrow", "due": hour(24)}, {"title": "late", "due": hour(-30)}, {"title": "some day"},
		{"title": "midnight", "due": hour(13)}, {"title": "tonight", "due": hour(13).Add(-time.Millisecond)}, {"title": "just now", "due": hour(0).Add(-time.Millisecond)},
		{"title": "now", "due": hour(0)}, {"title": "long ago", "due": time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC)},
		{"title": "dana's", "due": hour(-1), "assignee": "dana"}, {"title": "nobody's", "due": hour(-2), "assignee": ""},
	} {
		o.make(v)
	}
	mine := []string{"long ago", "late", "just now", "now", "tonight", "midnight", "tomorrow", "some day"}
	wantList(t, "mine", o.everything(owner, Choice{Assignee: "owner"}), mine...)
	wantList(t, "everybody's", o.everything(owner, Choice{}), "long ago", "late", "nobody's", "dana's", "just now", "now", "tonight", "midnight", "tomorrow", "some day")
	page, err := o.Mine(owner, hour(13), "")
	must(t, err)
	wantList(t, "mine before midnight", titles(page.Tasks), mine[:5]...)
	page, err = o.Overdue(owner, "")
	must(t, err)
	wantList(t, "overdue", titles(page.Tasks), "long ago", "late", "nobody's", "dana's", "just now")
	for _, task := range page.Tasks {
		if !task.Late(o.at) {
			t.Errorf("%s is not late", task.Title)
		}
	}
	n, err := o.Count(owner)
	must(t, err)
	if want := (Counts{Overdue: 3, Today: 2, Open: 8, Exact: true}); n != want {
		t.Errorf("counted %+v, want %+v", n, want)
	}
	for _, bad := range []string{"x", "AAAA", base64.RawURLEncoding.EncodeToString(make([]byte, 25))} {
		wantKey(t, "cursor "+bad, second(o.Overdue(owner, bad)), "cursor list.cursor")
	}
	_, err = o.List(owner, Choice{Cursor: base64.RawURLEncoding.EncodeToString(make([]byte, 24))})
	must(t, err) // a place where nothing stands is a place all the same
}

// TestListsFollow changes tasks in every way and looks whether the lists know.
func TestListsFollow(t *testing.T) {
	o, owner := open(t), as(t, access.Owner)
	due := o.at.Add(time.Hour)
	task := o.make(record.Values{"title": "A", "due": due})
	o.make(record.Values{"title": "B", "due": due.Add(time.Hour)})
	list := func(what string, want ...string) {
		t.Helper()
		wantList(t, what, o.everything(owner, Choice{Assignee: "owner"}), want...)
	}
	task, err := o.Change(owner, task.ID, task.Version, record.Values{"due": due.Add(2 * time.Hour)})
	must(t, err)
	list("with another date", "B", "A")
	task, err = o.Change(owner, task.ID, task.Version, record.Values{"due": nil})
	must(t, err)
	list("without a date", "B", "A")
	task, err = o.Change(owner, task.ID, task.Version, record.Values{"assignee": "dana"})
	must(t, err)
	list("handed over", "B")
	task, err = o.Change(owner, task.ID, task.Version, record.Values{"assignee": "owner", "due": due})
	must(t, err)
	list("taken back", "A", "B")
	_, err = o.Finish(owner, task.ID)
	must(t, err)
	list("done", "B")
	task, err = o.Reopen(owner, task.ID)
	must(t, err)
	list("open again", "A", "B")
	must(t, o.book.Delete(owner, "task", task.ID, task.Version))
	list("deleted", "B")
	_, err = o.book.Restore(owner, "task", task.ID)
	must(t, err)
	list("restored", "A", "B")
	// What a write that was refused half-way leaves behind shows nowhere.
	must(t, o.db.Update(t.Context(), func(tx store.Tx) error {
		ghost := record.NewID()
		for _, id := range []record.ID{ghost, task.ID} {
			tail := append(dueKey(due.Add(-time.Hour)), id[:]...)
			tx.Bucket(openBucket).Put(append(listOf("owner"), tail...), nil)
			tx.Bucket(openBucket).Put(append(everybody(), tail...), nil)
		}
		return nil
	}))
	list("with ghosts", "A", "B")
}

// TestManyOfOthers gives an agent a page although thousands of others' tasks stand before his own.
func TestManyOfOthers(t *testing.T) {
	o := open(t)
	must(t, o.book.Update(as(t, access.System), func(tx store.Tx) error {
		for i := range mostLooked + 5 {
			due, who := o.at.Add(time.Duration(i)*time.Second), "yossi"
			if i == mostLooked+2 {
				who = "dana"
			}
			_, err := o.book.CreateTx(as(t, access.System), tx, record.Change{Entity: "task", Inside: true,
				Values: record.Values{"title": fmt.Sprint(i), "due": due, "assignee": who, "state": Open}})
			if err != nil {
				return err
			}
		}
		return nil
	}))
	page, err := o.List(as(t, access.Agent, "dana"), Choice{})
	must(t, err)
	if len(page.Tasks) != 0 || page.Next == "" {
		t.Errorf("%d tasks, next %q", len(page.Tasks), page.Next)
	}
	page, err = o.List(as(t, access.Agent, "dana"), Choice{Cursor: page.Next})
	must(t, err)
	wantList(t, "behind the others'", titles(page.Tasks), fmt.Sprint(mostLooked+2))
	if n, err := o.Count(as(t, access.Agent, "yossi")); err != nil || n.Open != record.CountLimit || n.Exact {
		t.Errorf("counted %+v, %v", n, err)
	}
}

// TestDoors knocks at every door of the room as each role, with one's own task, another's, one about one's own customer.
func TestDoors(t *testing.T) {
	o := open(t)
	kinds := map[string]record.Values{"mine": {"assignee": "dana"}, "theirs": {"assignee": "yossi"}, "nobodys": {"assignee": ""},
		"customer": {"assignee": "yossi", "contact": o.customer("dana")}}
	doors := map[string]func(context.Context, Task) error{
		"get": func(ctx context.Context, k Task) error { return second(o.Get(ctx, k.ID)) },
		"change": func(ctx context.Context, k Task) error {
			return second(o.Change(ctx, k.ID, 99, record.Values{"title": "x"}))
		},
		"finish": func(ctx context.Context, k Task) error { return second(o.Finish(ctx, k.ID)) },
		"cancel": func(ctx context.Context, k Task) error { return second(o.Cancel(ctx, k.ID)) },
		"snooze": func(ctx context.Context, k Task) error { return second(o.Snooze(ctx, k.ID, o.at.Add(time.Hour))) },
		"reopen": func(ctx context.Context, k Task) error { return second(o.Reopen(ctx, k.ID)) },
		"assign": func(ctx context.Context, k Task) error {
			return second(o.Change(ctx, k.ID, k.Version, record.Values{"assignee": "eve"}))
		},
		"delete": func(ctx context.Context, k Task) error { return o.book.Delete(ctx, "task", k.ID, 99) },
	}
	all := map[string]string{"get": "", "change": "conflict", "finish": "", "cancel": "", "snooze": "", "reopen": "conflict", "assign": "", "delete": "conflict"}
	own := map[string]string{"get": "", "change": "conflict", "finish": "", "cancel": "", "snooze": "", "reopen": "conflict", "assign": "forbidden", "delete": "forbidden"}
	look, none, nobody := map[string]string{}, map[string]string{}, map[string]string{}
	for door := range doors {
		look[door], none[door], nobody[door] = "forbidden", "not-found", "unauthenticated"
	}
	look["get"] = ""
	var lines []string
	for _, c := range []struct {
		ctx   context.Context
		role  string
		whose string
		want  map[string]string
	}{
		{as(t, access.Agent, "dana"), "agent", "mine", own}, {as(t, access.Agent, "dana"), "agent", "customer", own},
		{as(t, access.Agent, "dana"), "agent", "theirs", none}, {as(t, access.Agent, "dana"), "agent", "nobodys", none},
		{as(t, access.Manager), "manager", "theirs", all}, {as(t, access.Owner), "owner", "nobodys", all},
		{as(t, access.Viewer), "viewer", "theirs", look}, {as(t, access.Plugin), "plugin", "mine", none}, {t.Context(), "nobody", "mine", nobody},
	} {
		for door, knock := range doors {
			values := record.Values{"title": c.whose}
			for name, v := range kinds[c.whose] {
				values[name] = v
			}
			wantKind(t, c.role+" "+c.whose+" "+door, knock(c.ctx, o.make(values)), c.want[door])
		}
		lines = append(lines, c.role)
	}
	if len(lines) != 9 {
		t.Error("a role was left out")
	}
	o.told(0)
}

func TestListsAreOnesOwn(t *testing.T) {
	o := open(t)
	customer := o.customer("dana")
	o.make(record.Values{"title": "mine", "assignee": "dana", "due": o.at})
	o.make(record.Values{"title": "theirs", "assignee": "yossi", "due": o.at})
	o.make(record.Values{"title": "about my customer", "assignee": "yossi", "contact": customer, "due": o.at.Add(1)})
	o.make(record.Values{"title": "nobody's", "assignee": "", "due": o.at})
	dana := as(t, access.Agent, "dana")
	wantList(t, "an agent's", o.everything(dana, Choice{}), "mine", "about my customer")
	wantList(t, "an agent's of another", o.everything(dana, Choice{Assignee: "yossi"}), "about my customer")
	wantList(t, "a viewer's", o.everything(as(t, access.Viewer), Choice{Assignee: "yossi"}), "theirs", "about my customer")
	of, err := o.Of(dana, customer, 0)
	must(t, err)
	wantList(t, "of the customer", titles(of), "about my customer")
	if of, err = o.Of(as(t, access.Agent, "eve"), customer, 0); err != nil || len(of) != 0 {
		t.Errorf("a stranger sees %v, %v", titles(of), err)
	}
	for role, ctx := range map[string]context.Context{"plugin": as(t, access.Plugin), "nobody": t.Context()} {
		want := map[string]string{"plugin": "forbidden", "nobody": "unauthenticated"}[role]
		wantKind(t, role+" lists", second(o.List(ctx, Choice{})), want)
		wantKind(t, role+" counts", second(o.Count(ctx)), want)
	}
	wantKind(t, "nobody's own", second(o.Mine(t.Context(), o.at, "")), "unauthenticated")
}

func TestOfACustomer(t *testing.T) {
	o, owner := open(t), as(t, access.Owner)
	customer := o.customer("dana")
	deal, err := o.book.Create(owner, "deal", record.Values{"contact": customer})
	must(t, err)
	o.make(record.Values{"title": "some day", "contact": customer})
	done := o.make(record.Values{"title": "done", "contact": customer})
	o.make(record.Values{"title": "later", "contact": customer, "due": o.at.Add(2 * time.Hour)})
	o.make(record.Values{"title": "soon", "deal": deal.ID, "due": o.at.Add(time.Hour)})
	_, err = o.Finish(owner, done.ID)
	must(t, err)
	of, err := o.Of(owner, customer, 0)
	must(t, err)
	wantList(t, "of a customer", titles(of), "soon", "later", "some day", "done")
	if of[0].ContactName != "Customer of dana" {
		t.Errorf("the customer is called %q", of[0].ContactName)
	}
	of, err = o.OfDeal(owner, deal.ID, 0)
	must(t, err)
	wantList(t, "of a deal", titles(of), "soon")
	entries, _, err := o.people.Timeline(owner, customer, "", 20)
	must(t, err)
	var line []string
	for _, e := range entries {
		if e.Record.Exists() {
			line = append(line, FromRecord(e.Record).Title)
		} else {
			line = append(line, e.Fact.Name)
		}
	}
	if got := strings.Join(line, ", "); !strings.Contains(got, "task.done") || !strings.Contains(got, "soon") || len(line) != 6 {
		t.Errorf("timeline: %s", got)
	}
}

// TestReadingIsTold reads a task and a list; what the room reads to answer a change is no reading.
func TestReadingIsTold(t *testing.T) {
	o, owner := open(t), as(t, access.Owner)
	k := o.make(record.Values{"title": "A"})
	before := o.last()
	must(t, second(o.Get(owner, k.ID)))
	must(t, second(o.Mine(owner, time.Time{}, "")))
	if o.Title(owner, k.ID) != "A" || o.Title(as(t, access.Plugin), k.ID) != "" {
		t.Error("a task's title is for the wrong people")
	}
	must(t, o.facts.Flush(owner))
	wantList(t, "told", o.told(before), "task.read", "task.listed")
}
