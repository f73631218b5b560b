package record

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

// TestReadingIsTold reads records with and without a sensitive field, and a list by a filter through a link.
func TestReadingIsTold(t *testing.T) {
	db, err := bolt.Open(filepath.Join(t.TempDir(), "karov.db"))
	must(t, err)
	defer db.Close()
	all := entities()
	for i := range all[0].Fields {
		all[0].Fields[i].Sensitive = all[0].Fields[i].Name == "note"
	}
	s, err := schema.New(all...)
	must(t, err)
	gate, err := access.NewGate()
	must(t, err)
	facts := journal.New(db, time.Now)
	b := NewBook(Parts{DB: db, Schema: schema.Fixed(s), Gate: gate, Journal: facts, Now: time.Now})
	ctx := as(t, access.Owner)
	first, err := b.Create(ctx, "contact", Values{"name": "A", "note": "secret"})
	must(t, err)
	second, err := b.Create(ctx, "conversation", Values{"contact": first.ID, "subject": "B"})
	must(t, err)
	must(t, b.TellRead(ctx, first))
	must(t, b.TellRead(ctx, second))
	f, err := b.Parse(ctx, "conversation", `contact.name = "A" and subject = "B"`)
	must(t, err)
	must(t, b.TellListed(ctx, Query{Entity: "conversation", Filter: f}, 1))
	must(t, facts.Flush(ctx))
	told, err := facts.After(ctx, 2, 10)
	must(t, err)
	var got []string
	for _, f := range told {
		slices.Sort(f.Fields)
		got = append(got, fmt.Sprint(f.Name, " ", f.Fields, " ", f.Contact == first.ID.String(), " ", f.About["results"]))
	}
	want := []string{"contact.read [note] true ", "conversation.read [] true ", "conversation.listed [contact contact.name subject] false 1"}
	if !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}
