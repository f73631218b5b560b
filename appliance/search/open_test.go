package search

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

type office struct {
	*Index
	t    testing.TB
	db   store.DB
	gate *access.Gate
}

func open(t testing.TB) *office {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "karov.db"))
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	gate, err := access.NewGate()
	must(t, err)
	return &office{Index: New(db, gate), t: t, db: db, gate: gate}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func as(t testing.TB, role access.Role, id string) context.Context {
	return access.WithActor(t.Context(), access.Actor{ID: id, Role: role})
}

// put makes a contact findable; its title is its name unless it has parts of that kind.
func (o *office) put(id byte, doc Doc) {
	o.t.Helper()
	must(o.t, o.db.Update(o.t.Context(), func(tx store.Tx) error { return Put(tx, contact(id, doc)) }))
}

func contact(id byte, doc Doc) Doc {
	doc.Entity, doc.ID = "contact", [16]byte{15: id}
	for _, p := range doc.Parts {
		if p.Kind == Name {
			return doc
		}
	}
	doc.Parts = append([]Part{{Field: "name", Kind: Name, Text: doc.Title}}, doc.Parts...)
	return doc
}

func text(field, s string) Part { return Part{Field: field, Kind: Text, Text: s} }
func phone(s string) Part       { return Part{Field: "phones", Kind: Phone, Text: s} }
func email(s string) Part       { return Part{Field: "emails", Kind: Email, Text: s} }
func shown(p Part) Part         { p.Shown = true; return p }

// find gives the titles that the owner of the office finds.
func (o *office) find(query string) (titles []string) {
	o.t.Helper()
	hits, err := o.Find(as(o.t, access.Owner, "o"), query, 0)
	must(o.t, err)
	for _, h := range hits {
		titles = append(titles, h.Title)
	}
	return titles
}

func testContext() context.Context { return context.Background() }

// readingOf is a look at the index of a transaction.
func readingOf(tx store.Tx) *reading {
	r := &reading{}
	r.begin(tx)
	return r
}
