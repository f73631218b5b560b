package transfer

import (
	"bytes"
	"context"
	"encoding/csv"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/seed"
	"github.com/karov-crm/karov/appliance/staff"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

// asAppliance is a context in which the appliance itself acts.
func asAppliance(ctx context.Context) context.Context {
	return access.WithActor(ctx, access.Appliance())
}

// newOffice is an office with a real store, the built-in entities, and more where they are given.
func newOffice(t testing.TB, more ...schema.Entity) *Office {
	t.Helper()
	o, _ := officeIn(t, t.TempDir(), more...)
	return o
}

// officeIn is newOffice with its store in a folder.
func officeIn(t testing.TB, dir string, more ...schema.Entity) (*Office, store.DB) {
	t.Helper()
	db, err := bolt.Open(filepath.Join(dir, "karov.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := store.Prepare(asAppliance(t.Context()), db, nil); err != nil {
		t.Fatal(err)
	}
	gate, err := access.NewGate()
	if err != nil {
		t.Fatal(err)
	}
	kinds, err := schema.New(append(append([]schema.Entity{contact.Entity(), contact.TagEntity()}, inbox.Entities()...), more...)...)
	if err != nil {
		t.Fatal(err)
	}
	facts := journal.New(db, time.Now)
	book := record.NewBook(record.Parts{DB: db, Schema: schema.Fixed(kinds), Gate: gate, Journal: facts, Now: time.Now})
	return &Office{Book: book, Gate: gate, Journal: facts, Contacts: contact.New(book, gate, "IL"),
		Staff: staff.New(db, gate, facts, time.Now), Now: time.Now}, db
}

// customers is a file of synthetic customers.
func customers(t testing.TB, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.Write([]string{"Name", "Type", "Company", "Phone", "Email", "City", "Address", "Note", "Birthday"})
	for c := range seed.Contacts(1, n) {
		_ = w.Write([]string{c.Name, c.Kind, c.Company, strings.Join(c.Phones, "; "), strings.Join(c.Emails, "; "), c.City, c.Address, c.Note, c.Birthday})
	}
	if w.Flush(); w.Error() != nil {
		t.Fatal(w.Error())
	}
	return b.Bytes()
}

// BenchmarkOfficeImport brings 100,000 customers into an empty office, by how many rows a transaction takes.
func BenchmarkOfficeImport(b *testing.B) {
	const n = 100_000
	file := customers(b, n)
	for _, batch := range []int{1000, 2000, 4000} {
		b.Run(strconv.Itoa(batch), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				o := newOffice(b)
				b.StartTimer()
				res, err := Import(asAppliance(b.Context()), bytes.NewReader(file), Options{Batch: batch}, o)
				if err != nil || res.Created < n*99/100 {
					b.Fatalf("%+v, %v", res, err)
				}
			}
			b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
