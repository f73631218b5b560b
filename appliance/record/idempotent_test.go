package record

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

func onceBook(t *testing.T, now func() time.Time) *Book {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "karov.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	gate, err := access.NewGate()
	if err != nil {
		t.Fatal(err)
	}
	s, err := schema.New(schema.Entity{Name: "contact", Title: "name", Owner: "owner", Fields: []schema.Field{
		{Number: 16, Name: "name", Type: schema.Text, Required: true, Indexed: true},
		{Number: 17, Name: "owner", Type: schema.Staff, Indexed: true},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return NewBook(Parts{DB: db, Schema: schema.Fixed(s), Gate: gate, Journal: journal.New(db, now), Now: now})
}

// TestCreateOnce goes through the ways in which somebody asks again.
func TestCreateOnce(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	b := onceBook(t, func() time.Time { return now })
	dana := access.WithActor(t.Context(), access.Actor{ID: "dana", Role: access.Agent})
	yossi := access.WithActor(t.Context(), access.Actor{ID: "yossi", Role: access.Agent})
	owner := access.WithActor(t.Context(), access.Actor{ID: "boss", Role: access.Owner})

	first, err := b.CreateOnce(dana, "contact", "k", Values{"name": "Alpha"})
	if err != nil || first.Text("owner") != "dana" {
		t.Fatalf("%v, owner %q", err, first.Text("owner"))
	}
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			again, err := b.CreateOnce(dana, "contact", "k", Values{"name": "Alpha"})
			if err != nil || again.ID != first.ID {
				t.Errorf("asked again: %v, %v", again.ID, err)
			}
		})
	}
	wait.Wait()
	other, err := b.CreateOnce(yossi, "contact", "k", Values{"name": "Alpha"})
	if err != nil || other.ID == first.ID {
		t.Errorf("the same key of somebody else: %v, %v", other.ID, err)
	}
	_, err = b.CreateOnce(dana, "contact", "k", Values{"name": "Beta"})
	wantKey(t, err, fault.Invalid, "idempotency.reused")

	// What was refused is not remembered: the same key works once the values are right.
	_, err = b.CreateOnce(dana, "contact", "bad", Values{})
	wantKey(t, err, fault.Invalid, "input.invalid")
	if _, err = b.CreateOnce(dana, "contact", "bad", Values{"name": "Right"}); err != nil {
		t.Error(err)
	}

	changed, err := b.Change(owner, "contact", first.ID, 1, Values{"name": "Renamed", "owner": "yossi"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.CreateOnce(dana, "contact", "k", Values{"name": "Alpha"})
	wantKey(t, err, fault.Conflict, "idempotency.gone") // it is not hers to see any more
	if err := b.Delete(owner, "contact", first.ID, changed.Version()); err != nil {
		t.Fatal(err)
	}
	_, err = b.CreateOnce(dana, "contact", "k", Values{"name": "Alpha"})
	wantKey(t, err, fault.Conflict, "idempotency.gone")

	now = now.Add(requestLife)
	fresh, err := b.CreateOnce(dana, "contact", "k", Values{"name": "Beta"})
	if err != nil || fresh.ID == first.ID {
		t.Errorf("a key after its life: %v, %v", fresh.ID, err)
	}
}

func TestCreateOnceRefuses(t *testing.T) {
	b := onceBook(t, time.Now)
	viewer := access.WithActor(t.Context(), access.Actor{ID: "v", Role: access.Viewer})
	_, err := b.CreateOnce(viewer, "contact", "k", Values{"name": "X"})
	wantKey(t, err, fault.Forbidden, "access.forbidden")
	_, err = b.CreateOnce(t.Context(), "contact", "k", Values{"name": "X"})
	wantKey(t, err, fault.Unauthenticated, "access.sign-in")
	_, err = b.CreateOnce(viewer, "nothing", "k", Values{})
	wantKey(t, err, fault.NotFound, "entity.not-found")
	for _, key := range []string{"", strings.Repeat("k", MaxKey+1)} {
		_, err = b.CreateOnce(viewer, "contact", key, Values{"name": "X"})
		wantKey(t, err, fault.Invalid, "input.invalid")
	}
}

// TestCreateOnceForgets: what is remembered does not grow for ever, and a key that came back is not forgotten early.
func TestCreateOnceForgets(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	b := onceBook(t, func() time.Time { return now })
	ctx := access.WithActor(t.Context(), access.Actor{ID: "boss", Role: access.Owner})
	create := func(key string) ID {
		r, err := b.CreateOnce(ctx, "contact", key, Values{"name": key})
		if err != nil {
			t.Fatal(err)
		}
		return r.ID
	}
	for i := range 120 {
		create(fmt.Sprint("old", i))
	}
	now = now.Add(requestLife)
	again := create("old0")
	for i := range 5 {
		now = now.Add(time.Second)
		create(fmt.Sprint("new", i))
	}
	if create("old0") != again {
		t.Error("a key that was used anew was forgotten with its old use")
	}
	left := 0
	err := b.View(ctx, func(tx store.Tx) error {
		for range tx.Bucket(requestsBucket).Scan(nil, nil, false) {
			left++
		}
		return nil
	})
	if err != nil || left != 2*6 {
		t.Errorf("%d entries are left of 126 requests, want those of the 6 young ones; %v", left, err)
	}
}

func wantKey(t *testing.T, err error, kind fault.Kind, key string) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != kind {
		t.Errorf("%v, want %v", err, kind)
		return
	}
	for _, field := range f.Fields {
		if field.Key == key {
			return
		}
	}
	if f.Key != key {
		t.Errorf("%v, want %s", err, key)
	}
}
