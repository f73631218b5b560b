package frame_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/staff"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

const password = "correct horse battery"

// office is a real staff room on a real store, with one person in it.
type office struct {
	*staff.Room
	dana staff.Account
}

func newStaff(t *testing.T, role access.Role) *office {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "karov.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // the folder goes with the test
	gate, err := access.NewGate()
	if err != nil {
		t.Fatal(err)
	}
	o := &office{Room: staff.New(db, gate, journal.New(db, time.Now), time.Now)}
	ctx := access.WithActor(context.Background(), access.Appliance())
	o.dana, err = o.Add(ctx, staff.Draft{Email: "dana@office.example", Name: "דנה לוי", Lang: "en", Password: password, Role: role})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func newFrame(t *testing.T, change func(*frame.Options)) (*frame.Frame, *office) {
	t.Helper()
	people := newStaff(t, access.Owner)
	o := frame.Options{
		Auth: people, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Zone: time.UTC, Office: "Office", Language: "he", Now: time.Now,
	}
	if change != nil {
		change(&o)
	}
	f, err := frame.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return f, people
}

func serve(t *testing.T, f *frame.Frame) string {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s.URL
}
