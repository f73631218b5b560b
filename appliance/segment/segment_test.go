package segment

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

// TestMembershipFollowsAtOnce: who fulfils the filter is a member as soon as the change is made, and facts say so.
func TestMembershipFollowsAtOnce(t *testing.T) {
	o := open(t)
	dana := o.add("contact", record.Values{"name": "Dana", "city": "חיפה"})
	o.add("contact", record.Values{"name": "Avi", "city": "Haifa"})
	s := o.segment(`city = "חיפה"`)
	if o.members(s.ID) != nil {
		t.Error("there are members before the job")
	}
	wantNames(t, "before the job, by the filter", o.in(as(t, access.Owner), s.ID), "Dana")
	o.work()
	wantNames(t, "members", o.members(s.ID), "Dana")
	wantNames(t, "nobody joined a new segment", o.told())

	misha := o.add("contact", record.Values{"name": "Misha", "city": "חֵיפָה"})
	wantNames(t, "members", o.members(s.ID), "Dana", "Misha")
	o.change(dana, record.Values{"name": "Dana K"}) // concerns no filter
	o.change(dana, record.Values{"city": "Acre"})
	wantNames(t, "members", o.members(s.ID), "Misha")
	rec, err := o.book.Get(as(t, access.Owner), "contact", misha.ID)
	must(t, err)
	must(t, o.book.Delete(as(t, access.Owner), "contact", misha.ID, rec.Version()))
	wantNames(t, "members", o.members(s.ID))
	_, err = o.book.Restore(as(t, access.Owner), "contact", misha.ID)
	must(t, err)
	wantNames(t, "members", o.in(as(t, access.Owner), s.ID), "Misha")
	wantNames(t, "facts", o.told(), "joined Misha", "left Dana K", "left Misha", "joined Misha")

	s = o.change(s, record.Values{"filter": `city = "Acre"`})
	wantNames(t, "after a change, by the filter", o.in(as(t, access.Owner), s.ID), "Dana K")
	o.work()
	wantNames(t, "after a change", o.members(s.ID), "Dana K")
	if n := len(o.told()); n != 4 {
		t.Errorf("%d facts, want 4: nobody joined but by the segment's own change", n)
	}
	must(t, o.book.Delete(as(t, access.Owner), "segment", s.ID, s.Version()))
	o.work()
	if o.members(s.ID) != nil {
		t.Error("a segment that is gone has members")
	}
	_, err = o.book.Restore(as(t, access.Owner), "segment", s.ID)
	must(t, err)
	o.work()
	wantNames(t, "after it came back", o.members(s.ID), "Dana K")
}

// TestLinksAreFollowed: a change of a company moves its people, through two links and where no index leads back too.
func TestLinksAreFollowed(t *testing.T) {
	o := open(t)
	holding := o.add("company", record.Values{"name": "Holding", "city": "Haifa"})
	acme := o.add("company", record.Values{"name": "Acme", "city": "Acre", "holding": holding.ID})
	by := map[string]record.ID{}
	for name, filter := range map[string]string{"one": `company.city = "Haifa"`, "two": `company.holding.city = "Haifa"`, "unindexed": `employer.city = "Haifa"`, "none": `company.city is empty`, "self": `parent.city = "Haifa"`, "count": `count(company.name) = 1`} {
		by[name] = o.segment(filter).ID
	}
	dana := o.add("contact", record.Values{"name": "Dana", "company": acme.ID, "employer": acme.ID})
	boss := o.add("contact", record.Values{"name": "Boss", "city": "Acre"})
	o.work()
	want := func(what string, one, two, unindexed, none, self, count []string) {
		t.Helper()
		for name, names := range map[string][]string{"one": one, "two": two, "unindexed": unindexed, "none": none, "self": self, "count": count} {
			wantNames(t, what+": "+name, o.members(by[name]), names...)
		}
	}
	d, b, both, nobody := []string{"Dana"}, []string{"Boss"}, []string{"Boss", "Dana"}, []string(nil)
	want("at first", nobody, d, nobody, b, nobody, d)
	o.change(acme, record.Values{"city": "Haifa"})
	want("the company moved", d, d, nobody, b, nobody, d)
	o.work()
	want("and the job found those who have no index", d, d, d, b, nobody, d)
	o.change(holding, record.Values{"city": "Acre"})
	want("the holding moved", d, nobody, d, b, nobody, d)
	o.work()
	o.change(acme, record.Values{"note": "says nothing"})
	if o.dueJobs() != 0 {
		t.Error("a field that no filter reads makes work")
	}
	rec, err := o.book.Get(as(t, access.Owner), "company", acme.ID)
	must(t, err)
	must(t, o.book.Delete(as(t, access.Owner), "company", acme.ID, rec.Version()))
	o.work()
	want("the company is gone", nobody, nobody, nobody, both, nobody, nobody)
	_, err = o.book.Restore(as(t, access.Owner), "company", acme.ID)
	must(t, err)
	o.work()
	want("it came back", d, nobody, d, b, nobody, d)
	o.change(dana, record.Values{"parent": dana.ID, "city": "Haifa"})
	want("one's own parent", d, nobody, d, b, d, d)
	o.change(dana, record.Values{"parent": boss.ID})
	want("another's", d, nobody, d, b, nobody, d)
	o.change(boss, record.Values{"city": "Haifa"})
	want("who moved", d, nobody, d, b, d, d)
}

// TestManyDependents: where a change moves more people than one transaction should, a job follows.
func TestManyDependents(t *testing.T) {
	o := open(t)
	acme := o.add("company", record.Values{"name": "Acme", "city": "Acre"})
	for i := range maxAtOnce + 5 {
		o.add("contact", record.Values{"name": fmt.Sprint(i), "company": acme.ID})
	}
	s := o.segment(`company.city = "Haifa"`)
	o.work()
	o.change(acme, record.Values{"city": "Haifa"})
	if n := len(o.members(s.ID)); n != 0 {
		t.Errorf("%d members were made in the transaction", n)
	}
	if n, exact, err := o.Count(as(t, access.Owner), s.ID); n != maxAtOnce+5 || !exact || err != nil {
		t.Errorf("meanwhile %d are counted, %v, %v", n, exact, err)
	}
	o.work()
	if n := len(o.members(s.ID)); n != maxAtOnce+5 || len(o.told()) != n {
		t.Errorf("%d members, %d facts", n, len(o.told()))
	}
}

// TestTimePasses: what today is decides, so at midnight of the office members change.
func TestTimePasses(t *testing.T) {
	o := open(t)
	o.add("contact", record.Values{"name": "Dana", "due": "2026-11-23", "seen": o.clock()})
	o.add("contact", record.Values{"name": "Avi", "due": "2026-11-22"})
	due, late, recent := o.segment(`due = today`), o.segment(`due < today`), o.segment(`seen > now-1h`)
	o.work()
	wantNames(t, "due", o.members(due.ID), "Avi")
	o.pass("2026-11-22T21:59:59Z") // a second before midnight in Jerusalem
	o.work()
	wantNames(t, "due", o.members(due.ID), "Avi")
	wantNames(t, "seen within the hour", o.in(as(t, access.Owner), recent.ID))
	wantNames(t, "found by the job", o.members(recent.ID))
	o.pass("2026-11-22T22:00:00Z")
	wantNames(t, "before the job, by the filter", o.in(as(t, access.Owner), due.ID), "Dana")
	if st, err := o.Status(as(t, access.Owner), due.ID); err != nil || st.Ready || st.Broken {
		t.Errorf("status %v, %v", st, err)
	}
	o.work()
	wantNames(t, "due", o.members(due.ID), "Dana")
	wantNames(t, "late", o.members(late.ID), "Avi")
	if st, err := o.Status(as(t, access.Owner), due.ID); err != nil || !st.Ready {
		t.Errorf("status %v, %v", st, err)
	}
	facts := o.told()
	slices.Sort(facts)
	wantNames(t, "facts", facts, "joined Avi", "joined Dana", "left Avi", "left Dana")
	o.pass("2026-11-25T10:00:00Z") // the appliance was off for days
	o.work()
	wantNames(t, "late", o.members(late.ID), "Avi", "Dana")
}

// TestScanSurvivesRestart: a segment that was half computed when the power failed is computed to its end.
func TestScanSurvivesRestart(t *testing.T) {
	o := open(t)
	const n = scanBatch + 300
	must(t, o.book.Update(as(t, access.Owner), func(tx store.Tx) error {
		for i := range n {
			c := record.Change{Entity: "contact", Values: record.Values{"name": fmt.Sprint(i), "city": "Haifa"}}
			if _, err := o.book.CreateTx(as(t, access.Owner), tx, c); err != nil {
				return err
			}
		}
		return nil
	}))
	s := o.segment(`city = "Haifa"`)
	step := func() (more bool) {
		must(t, o.book.Update(as(t, access.Owner), func(tx store.Tx) (err error) {
			more, err = o.step(t.Context(), tx, s.ID)
			return err
		}))
		return more
	}
	step() // drops what was
	if !step() || len(o.members(s.ID)) != scanBatch {
		t.Fatalf("after a batch there are %d members", len(o.members(s.ID)))
	}
	must(t, o.db.Close())
	o.start()
	first := o.in(as(t, access.Owner), s.ID)
	if len(first) != n {
		t.Errorf("while it is computed %d members are found, want %d", len(first), n)
	}
	// One that was passed leaves, one that was not joins, one that was not is deleted.
	page, err := o.book.List(as(t, access.Owner), record.Query{Entity: "contact", Limit: 1})
	must(t, err)
	o.change(page.Records[0], record.Values{"city": "Acre"})
	page, err = o.book.List(as(t, access.Owner), record.Query{Entity: "contact", Sort: "-", Limit: 2})
	must(t, err)
	o.change(page.Records[0], record.Values{"city": "Acre"})
	must(t, o.book.Delete(as(t, access.Owner), "contact", page.Records[1].ID, page.Records[1].Version()))
	o.work()
	if got := len(o.members(s.ID)); got != n-3 {
		t.Errorf("%d members, want %d", got, n-3)
	}
	wantNames(t, "nobody joined", o.told())
	if count, exact, err := o.Count(as(t, access.Owner), s.ID); count != n-3 || !exact || err != nil {
		t.Errorf("count %d, %v, %v", count, exact, err)
	}
}

// TestRefused: what cannot be a segment or a view is refused on the field that is wrong.
func TestRefused(t *testing.T) {
	o := open(t)
	s := o.segment(``)
	for _, c := range []struct {
		what   string
		values record.Values
		want   string
	}{
		{"segment", record.Values{"name": "a", "kind": "robot"}, "kind: segment.entity"},
		{"segment", record.Values{"name": "a", "kind": "contact", "filter": `citi = "x"`}, "filter: filter.nearest"},
		{"segment", record.Values{"name": "a", "kind": "contact", "filter": `city = "x`}, "filter: filter.quote"},
		{"segment", record.Values{"name": "a", "kind": "contact", "filter": `owner = me`}, "filter: segment.asker"},
		{"segment", record.Values{"name": "a", "kind": "contact", "filter": `owner in (my team)`}, "filter: segment.asker"},
		{"segment", record.Values{"name": "a", "kind": "contact", "filter": strings.Repeat("(", 60_000)}, "filter: filter.deep"},
		{"segment", record.Values{"kind": "contact"}, "name: field.required"},
		{"view", record.Values{"name": "a", "kind": "robot"}, "kind: segment.entity"},
		{"view", record.Values{"name": "a", "kind": "contact", "filter": `x`}, "filter: filter.unknown"},
		{"view", record.Values{"name": "a", "kind": "contact", "sort": "-score"}, "sort: list.sort"},
		{"view", record.Values{"name": "a", "kind": "contact", "columns": []string{"name", "nose"}}, "columns: view.column"},
		{"view", record.Values{"name": "a", "kind": "contact", "filter": `owner = me`, "sort": "-name", "columns": []string{"name", "id", "grade"}, "shared": true}, ""},
	} {
		_, err := o.book.Create(as(t, access.Owner), c.what, c.values)
		wantFault(t, fmt.Sprint(c.what, c.values), err, c.want)
	}
	_, err := o.book.Change(as(t, access.Owner), "segment", s.ID, 1, record.Values{"kind": "company"})
	wantFault(t, "another entity", err, "kind: segment.entity-fixed")
	_, err = o.Members(as(t, access.Owner), s.ID, "x1", 5)
	wantFault(t, "a cursor made by hand", err, "cursor: list.cursor")
	_, err = o.Members(as(t, access.Owner), s.ID, "mx", 5)
	wantFault(t, "a cursor made by hand", err, "cursor: list.cursor")
	_, err = o.Members(as(t, access.Owner), s.ID, "fx", 5)
	wantFault(t, "a cursor made by hand", err, "cursor: list.cursor")
	_, err = o.Members(as(t, access.Owner), record.NewID(), "", 5)
	wantFault(t, "no such segment", err, "segment.not-found")
	_, err = o.Members(t.Context(), s.ID, "", 5)
	wantFault(t, "nobody", err, "access.sign-in")
}

// TestRights: members are those whom the actor may see, and a segment tells nobody what is hidden from him.
func TestRights(t *testing.T) {
	o := open(t)
	_, err := o.gate.SetRole(as(t, access.Owner), 0, access.Rules{Name: "clerk", Base: access.Agent,
		Fields: []access.FieldRule{{Entity: "contact", Field: "score", Right: access.Hide}}})
	must(t, err)
	o.add("contact", record.Values{"name": "Mine", "city": "Haifa", "score": 9.0, "owner": "noa"})
	other := o.add("contact", record.Values{"name": "Other", "city": "Haifa", "score": 9.0})
	city, rich, graded := o.segment(`city = "Haifa"`), o.segment(`score > 5`), o.segment(`grade = "good"`)
	o.work()
	agent, clerk, viewer := as(t, access.Agent, "noa"), as(t, "clerk", "noa"), as(t, access.Viewer)
	wantNames(t, "the agent's", o.in(agent, city.ID), "Mine")
	wantNames(t, "the viewer's", o.in(viewer, city.ID), "Mine", "Other")
	wantNames(t, "the clerk's", o.in(clerk, city.ID), "Mine")
	if n, exact, err := o.Count(agent, city.ID); n != 1 || !exact || err != nil {
		t.Errorf("the agent counts %d, %v, %v", n, exact, err)
	}
	for _, s := range []record.Record{rich, graded} {
		_, err := o.Members(clerk, s.ID, "", 5)
		wantFault(t, "a hidden field", err, "segment.hidden")
		_, _, err = o.Count(clerk, s.ID)
		wantFault(t, "a hidden field", err, "segment.hidden")
		_, err = o.Filter(clerk, s.ID)
		wantFault(t, "a hidden field", err, "segment.hidden")
	}
	_, err = o.book.Create(clerk, "view", record.Values{"name": "mine", "kind": "contact", "filter": `score > 5`})
	wantFault(t, "a view of a hidden field", err, "filter: filter.nearest") // code is near to score
	_, err = o.book.Create(clerk, "view", record.Values{"name": "mine", "kind": "contact", "columns": []string{"score"}})
	wantFault(t, "a column of a hidden field", err, "columns: view.column")
	_, err = o.book.Create(agent, "segment", record.Values{"name": "mine", "kind": "contact"})
	wantFault(t, "an agent makes a segment", err, "access.forbidden")

	page, err := o.book.List(clerk, record.Query{Entity: "contact"})
	must(t, err)
	in, err := o.Of(clerk, "contact", page.Records[0].ID)
	must(t, err)
	if len(in) != 1 || in[0].Segment != city.ID || in[0].Since.IsZero() {
		t.Errorf("the clerk sees the segments %v", in)
	}
	if in, err = o.Of(as(t, access.Owner), "contact", page.Records[0].ID); len(in) != 3 || err != nil {
		t.Errorf("the owner sees the segments %v, %v", in, err)
	}
	_, err = o.Of(agent, "contact", other.ID)
	wantFault(t, "segments of a record that is not his", err, "contact.not-found")
	_, err = o.Of(as(t, access.Plugin, "plugin:x"), "contact", other.ID)
	wantFault(t, "a plugin", err, "contact.not-found")
}

// TestViews: one's own and those that are shared with everybody.
func TestViews(t *testing.T) {
	o := open(t)
	add := func(who, name string, shared bool) record.Record {
		rec, err := o.book.Create(as(t, access.Agent, who), "view", record.Values{"name": name, "kind": "contact", "filter": "owner = me", "shared": shared})
		must(t, err)
		return rec
	}
	list := func(who string) (names []string) {
		views, err := o.Views(as(t, access.Agent, who), "contact")
		must(t, err)
		for _, v := range views {
			names = append(names, v.Text("name"))
		}
		return names
	}
	add("noa", "Noa's", false)
	public := add("noa", "For all", true)
	add("dan", "Dan's", false)
	wantNames(t, "Noa's views", list("noa"), "For all", "Noa's")
	wantNames(t, "Dan's views", list("dan"), "Dan's", "For all")
	o.change(public, record.Values{"shared": false})
	wantNames(t, "Dan's views", list("dan"), "Dan's")
	o.change(public, record.Values{"shared": true})
	rec, err := o.book.Get(as(t, access.Owner), "view", public.ID)
	must(t, err)
	must(t, o.book.Delete(as(t, access.Owner), "view", public.ID, rec.Version()))
	wantNames(t, "Dan's views", list("dan"), "Dan's")
	_, err = o.Views(as(t, access.Agent), "robot")
	wantFault(t, "views of nothing", err, "entity.not-found")
}

// TestSchemaChanges: another formula changes members; a schema that a segment no longer fits breaks it, until it fits.
func TestSchemaChanges(t *testing.T) {
	o := open(t)
	must(t, second(o.schema.Change(as(t, access.Owner), 1, schema.Op{Kind: schema.AddField, Entity: "contact", Field: "level", Labels: map[string]string{"en": "Level"},
		Definition: schema.Definition{Type: schema.Formula, Formula: `if(score > 5, "good", "poor")`}})))
	o.add("contact", record.Values{"name": "Dana", "score": 4.0})
	s, same := o.segment(`level = "good"`), o.segment(`score < 5`)
	o.work()
	wantNames(t, "members", o.members(s.ID))
	must(t, second(o.schema.Change(as(t, access.Owner), 2, schema.Op{Kind: schema.Set, Entity: "contact", Field: "level", Mark: "formula", Value: `if(score > 3, "good", "poor")`})))
	wantNames(t, "by the filter", o.in(as(t, access.Owner), s.ID), "Dana")
	if n := o.dueJobs(); n != 1 {
		t.Errorf("%d jobs, want one", n)
	}
	o.work()
	wantNames(t, "members", o.members(s.ID), "Dana")
	wantNames(t, "members", o.members(same.ID), "Dana")
	wantNames(t, "nobody joined", o.told())

	// The owner takes the field away: what asked for it is broken, and says so, until it is right again.
	must(t, second(o.schema.Change(as(t, access.Owner), 3, schema.Op{Kind: schema.AddField, Entity: "contact", Field: "mood", Labels: map[string]string{"en": "Mood"}, Definition: schema.Definition{Type: schema.Text}})))
	mood := o.segment(`mood = "good"`)
	view := o.add("view", record.Values{"name": "v", "kind": "contact", "filter": `mood = "good"`, "columns": []string{"mood"}})
	o.work()
	must(t, o.book.Update(as(t, access.Owner), func(tx store.Tx) error { // as a version of the program without the field would see it
		tx.Bucket(filtersBucket).Put(mood.ID[:], definition("contact", `moods = "good"`))
		touch(tx)
		return nil
	}))
	_, err := o.Members(as(t, access.Owner), mood.ID, "", 5)
	wantFault(t, "a broken segment", err, "segment.broken")
	if st, err := o.Status(as(t, access.Owner), mood.ID); err != nil || !st.Broken || st.Ready {
		t.Errorf("status %v, %v", st, err)
	}
	o.add("contact", record.Values{"name": "Avi"})
	mood = o.change(mood, record.Values{"filter": `mood = "bad"`})
	o.work()
	if st, err := o.Status(as(t, access.Owner), mood.ID); err != nil || !st.Ready {
		t.Errorf("status %v, %v", st, err)
	}
	must(t, second(o.schema.Change(as(t, access.Owner), 4, schema.Op{Kind: schema.HideField, Entity: "contact", Field: "mood"})))
	o.change(view, record.Values{"name": "w"}) // nothing new is wrong in it
	_, err = o.book.Change(as(t, access.Owner), "view", view.ID, 2, record.Values{"columns": []string{"mood", "nose"}})
	wantFault(t, "a column that is none", err, "columns: view.column")
}

func second[T any](_ T, err error) error { return err }

// TestRefusedWritesLeaveNoTrace: a record of many that is refused joins nothing, though the transaction goes on.
func TestRefusedWritesLeaveNoTrace(t *testing.T) {
	o := open(t)
	s := o.segment(`code = "x" or city = "Haifa"`)
	o.work()
	o.add("contact", record.Values{"name": "Dana", "code": "y"})
	o.add("contact", record.Values{"name": "Avi", "code": "z"})
	act, err := o.book.ChangeMany(as(t, access.Owner), record.Query{Entity: "contact"}, record.Values{"code": "x"}, nil)
	must(t, err)
	if act.Done != 1 || act.Skipped != 1 {
		t.Fatalf("%+v", act)
	}
	if n := len(o.members(s.ID)); n != 1 || len(o.told()) != 1 {
		t.Errorf("%d members, facts %v", n, o.told())
	}
	wantNames(t, "as the filter says", o.members(s.ID), o.foundBy(s.ID)...)
}
