package task

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

// office is a room with all it stands on, in Jerusalem, and an entity "deal" that tasks can be about.
type office struct {
	*Room
	t      testing.TB
	db     store.DB
	people *contact.Room
	facts  *journal.Journal
	at     time.Time
}

func open(t testing.TB) *office {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "karov.db"))
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	deal := schema.Entity{Name: "deal", Owner: "owner", Via: "contact", Contact: "contact", Fields: []schema.Field{
		{Number: 16, Name: "contact", Type: schema.Link, Target: "contact", Indexed: true},
		{Number: 17, Name: "owner", Type: schema.Staff, Indexed: true},
	}}
	e := Entity()
	e.Fields = append(e.Fields, schema.Field{Number: 1000, Name: "room", Type: schema.Text, Custom: true},
		schema.Field{Number: 1001, Name: "ticket", Type: schema.Text, Custom: true, Indexed: true, Unique: true})
	s, err := schema.New(contact.Entity(), contact.TagEntity(), deal, e)
	must(t, err)
	gate, err := access.NewGate()
	must(t, err)
	o := &office{t: t, db: db, at: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)}
	now := func() time.Time { return o.at }
	o.facts = journal.New(db, now)
	book := record.NewBook(record.Parts{DB: db, Schema: schema.Fixed(s), Gate: gate, Journal: o.facts, Now: now, Zone: jerusalem(t)})
	o.people = contact.New(book, gate, "IL")
	o.Room = New(Parts{Book: book, Gate: gate, Journal: o.facts, Contacts: o.people, Zone: jerusalem(t), Now: now})
	return o
}

func jerusalem(t testing.TB) *time.Location {
	zone, err := time.LoadLocation("Asia/Jerusalem")
	must(t, err)
	return zone
}

func as(t testing.TB, role access.Role, id ...string) context.Context {
	actor := access.Actor{ID: string(role), Role: role}
	if len(id) > 0 {
		actor.ID = id[0]
	}
	return access.WithActor(t.Context(), actor)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func second[T any](_ T, err error) error { return err }

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

func wantKey(t testing.TB, what string, err error, key string) {
	t.Helper()
	got := ""
	if err != nil {
		f := fault.Of(err)
		if got = f.Key; len(f.Fields) > 0 {
			got = f.Fields[0].Name + " " + f.Fields[0].Key
		}
	}
	if got != key {
		t.Errorf("%s = %q (%v), want %q", what, got, err, key)
	}
}

// make makes a task as the owner of the office.
func (o *office) make(values record.Values) Task {
	o.t.Helper()
	if values["title"] == nil {
		values["title"] = "Call back"
	}
	task, err := o.Create(as(o.t, access.Owner), values)
	must(o.t, err)
	return task
}

func (o *office) customer(owner string) record.ID {
	o.t.Helper()
	c, err := o.people.Create(as(o.t, access.Owner), record.Values{"name": "Customer of " + owner, "owner": owner})
	must(o.t, err)
	return c.ID
}

// told lists the names of the facts since a number, and checks that all the office has is sound.
func (o *office) told(since uint64) (names []string) {
	o.t.Helper()
	facts, err := o.facts.After(o.t.Context(), since, 1000)
	must(o.t, err)
	for _, f := range facts {
		names = append(names, f.Name)
	}
	must(o.t, o.book.Check(o.t.Context()))
	return names
}

func (o *office) last() uint64 {
	o.t.Helper()
	n, err := o.facts.Last(o.t.Context())
	must(o.t, err)
	return n
}

func titles(tasks []Task) (all []string) {
	for _, t := range tasks {
		all = append(all, t.Title)
	}
	return all
}

// everything walks a list to its end in pages of two.
func (o *office) everything(ctx context.Context, c Choice) (all []string) {
	o.t.Helper()
	for c.Limit = 2; ; {
		page, err := o.List(ctx, c)
		must(o.t, err)
		all = append(all, titles(page.Tasks)...)
		if c.Cursor = page.Next; c.Cursor == "" {
			return all
		}
	}
}

func wantList(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}
