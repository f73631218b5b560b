package record

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/search"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

// entities are as the rooms' own, only smaller: a customer with an owner, a conversation that hangs on him.
func entities() []schema.Entity {
	return []schema.Entity{
		{Name: "contact", Title: "name", Owner: "owner", Contact: "id", Fields: []schema.Field{
			{Number: 16, Name: "name", Type: schema.Text, Indexed: true, Max: 300},
			{Number: 17, Name: "emails", Type: schema.Email, Many: true},
			{Number: 18, Name: "owner", Type: schema.Staff, Indexed: true},
			{Number: 19, Name: "score", Type: schema.Number},
			{Number: 20, Name: "seen", Type: schema.Time, Indexed: true},
			{Number: 21, Name: "vip", Type: schema.YesNo},
			{Number: 22, Name: "kind", Type: schema.Choice, Choices: []string{"person", "company"}, Indexed: true},
			{Number: 23, Name: "note", Type: schema.LongText},
			{Number: 24, Name: "born", Type: schema.Date},
			{Number: 25, Name: "secret", Type: schema.Data, Closed: true},
			{Number: 26, Name: "external_id", Type: schema.Text, Indexed: true},
			{Number: 27, Name: "tags", Type: schema.Text, Many: true, Indexed: true},
			{Number: 28, Name: "parent", Type: schema.Link, Target: "contact"},
		}},
		{Name: "conversation", Title: "subject", Owner: "assignee", Via: "contact", Contact: "contact", Fields: []schema.Field{
			{Number: 16, Name: "contact", Type: schema.Link, Target: "contact", Required: true, Indexed: true},
			{Number: 17, Name: "subject", Type: schema.Text},
			{Number: 18, Name: "assignee", Type: schema.Staff, Indexed: true},
		}},
	}
}

// office is a book with all it stands on.
type office struct {
	*Book
	t     testing.TB
	db    store.DB
	index *search.Index
	facts *journal.Journal
	clock *clock
}

// clock is a clock that stands still between its ticks of a second.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(time.Second)
	return c.at
}

func open(t testing.TB) *office {
	t.Helper()
	return openIn(t, t.TempDir())
}

// openIn is open with the store in a folder, which may be there already.
func openIn(t testing.TB, dir string) *office {
	t.Helper()
	db, err := bolt.Open(filepath.Join(dir, "karov.db"))
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	s, err := schema.New(entities()...)
	must(t, err)
	gate, err := access.NewGate()
	must(t, err)
	c := &clock{at: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)}
	facts := journal.New(db, c.now)
	book := NewBook(Parts{DB: db, Schema: schema.Fixed(s), Gate: gate, Journal: facts, Now: c.now})
	book.Lookup("contact", func(_ store.Tx, r Record) (search.Doc, bool) {
		doc := search.Doc{Title: r.Text("name"), Parts: []search.Part{{Field: "name", Kind: search.Name, Text: r.Text("name")}}}
		for _, email := range r.Texts("emails") {
			doc.Parts = append(doc.Parts, search.Part{Field: "emails", Kind: search.Email, Text: email})
		}
		return doc, true
	})
	return &office{Book: book, t: t, db: db, index: search.New(db, gate), facts: facts, clock: c}
}

// as is a context of somebody of a role; his id is the role's name unless another is given.
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

// wantKind fails unless err is of the kind; "" wants no error.
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

// wantField fails unless err names the field with the sentence.
func wantField(t testing.TB, what string, err error, field, key string) {
	t.Helper()
	if err != nil {
		for _, f := range fault.Of(err).Fields {
			if f.Name == field && f.Key == key {
				return
			}
		}
	}
	t.Errorf("%s = %v, want %s at %s", what, err, key, field)
}

func (o *office) create(values Values) Record {
	o.t.Helper()
	r, err := o.Create(as(o.t, access.Owner), "contact", values)
	must(o.t, err)
	return r
}
