package contact

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/search"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

// office is a room with all it stands on, and an entity "visit" that stands on the timeline.
type office struct {
	*Room
	t     testing.TB
	book  *record.Book
	index *search.Index
	at    time.Time
}

func open(t testing.TB) *office {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "karov.db"))
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	visit := schema.Entity{Name: "conversation", Via: "contact", Contact: "contact", Timeline: true, Fields: []schema.Field{
		{Number: 16, Name: "contact", Type: schema.Link, Target: "contact", Required: true, Indexed: true},
		{Number: 17, Name: "about", Type: schema.Text},
	}}
	s, err := schema.New(Entity(), TagEntity(), visit)
	must(t, err)
	gate, err := access.NewGate()
	must(t, err)
	o := &office{t: t, at: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)}
	now := func() time.Time { return o.at }
	o.book = record.NewBook(record.Parts{DB: db, Schema: schema.Fixed(s), Gate: gate, Journal: journal.New(db, now), Now: now})
	o.Room, o.index = New(o.book, gate, "IL"), search.New(db, gate)
	return o
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

func (o *office) create(values record.Values) Contact {
	o.t.Helper()
	c, err := o.Create(as(o.t, access.Owner), values)
	must(o.t, err)
	return c
}

func (o *office) resolve(kind, handle, name string) (id ID) {
	o.t.Helper()
	must(o.t, o.book.Update(o.t.Context(), func(tx store.Tx) (err error) {
		id, err = o.ResolveTx(o.t.Context(), tx, kind, handle, name)
		return err
	}))
	return id
}

func (o *office) count() int {
	o.t.Helper()
	must(o.t, o.book.Check(o.t.Context()))
	n, _, err := o.Count(as(o.t, access.Owner))
	must(o.t, err)
	return n
}
