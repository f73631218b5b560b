package deal

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
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

// office is a room with all it stands on, in Jerusalem, with the pipelines of a new English office.
type office struct {
	*Room
	t      testing.TB
	people *contact.Room
	facts  *journal.Journal
	at     time.Time
	stages map[string]Stage // by name; those of leads as "lead New"
}

// bare is an office without pipelines.
func bare(t testing.TB) *office {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "karov.db"))
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	s, err := schema.New(append(Entities("ILS"), contact.Entity(), contact.TagEntity())...)
	must(t, err)
	o := &office{t: t, at: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC), stages: map[string]Stage{}}
	now := func() time.Time { return o.at }
	gate, err := access.OpenGate(t.Context(), access.Options{DB: db, Now: now,
		Tell:       func(context.Context, store.Tx, string, string, map[string]string) error { return nil },
		CheckWhere: func(string, string) error { return nil }, CheckField: func(string, string) error { return nil }})
	must(t, err)
	zone, err := time.LoadLocation("Asia/Jerusalem")
	must(t, err)
	o.facts = journal.New(db, now)
	book := record.NewBook(record.Parts{DB: db, Schema: schema.Fixed(s), Gate: gate, Journal: o.facts, Now: now, Zone: zone})
	o.people = contact.New(book, gate, "IL")
	o.Room = New(Parts{Book: book, Gate: gate, Journal: o.facts, Contacts: o.people, Now: now})
	return o
}

func open(t testing.TB) *office {
	o := bare(t)
	must(t, o.Begin(as(t, access.System), "en"))
	o.learn()
	return o
}

// learn reads the stages.
func (o *office) learn() {
	o.t.Helper()
	for holds, before := range map[string]string{Deals: "", Leads: "lead "} {
		for _, p := range o.list(holds) {
			for _, s := range p.Stages {
				o.stages[before+s.Name] = s
			}
		}
	}
}

func (o *office) list(holds string) []Pipeline {
	o.t.Helper()
	all, err := o.Pipelines(as(o.t, access.Owner), holds)
	must(o.t, err)
	return all
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

// role gives a role of the office's own what a manager may do, with less.
func (o *office) role(name access.Role, grants []access.Grant, fields ...access.FieldRule) {
	o.t.Helper()
	versions, err := o.gate.Versions(as(o.t, access.Owner))
	must(o.t, err)
	_, err = o.gate.SetRole(as(o.t, access.Owner), uint64(len(versions)), access.Rules{Name: name, Base: access.Manager, Grants: grants, Fields: fields})
	must(o.t, err)
}

func (o *office) customer(owner string) record.ID {
	o.t.Helper()
	c, err := o.people.Create(as(o.t, access.Owner), record.Values{"name": "Customer of " + owner, "owner": owner})
	must(o.t, err)
	return c.ID
}

// make makes a deal as the owner of the office, with a customer where none is given.
func (o *office) make(values record.Values) Deal {
	o.t.Helper()
	if values["title"] == nil {
		values["title"] = "Boiler"
	}
	if values["contact"] == nil {
		values["contact"] = o.customer("owner")
	}
	d, err := o.Create(as(o.t, access.Owner), values)
	must(o.t, err)
	return d
}

// move brings a deal into the stage of that name.
func (o *office) move(d Deal, stage string) Deal {
	o.t.Helper()
	d, err := o.Move(as(o.t, access.Owner), d.ID, d.Version, o.stages[stage].ID, "too dear")
	must(o.t, err)
	return d
}

// told lists the names of the facts since a number, and checks that all the office has is sound.
func (o *office) told(since uint64) string {
	o.t.Helper()
	facts, err := o.facts.After(o.t.Context(), since, 1000)
	must(o.t, err)
	var names []string
	for _, f := range facts {
		names = append(names, f.Name)
	}
	must(o.t, o.book.Check(o.t.Context()))
	return strings.Join(names, " ")
}

func (o *office) last() uint64 {
	o.t.Helper()
	n, err := o.facts.Last(o.t.Context())
	must(o.t, err)
	return n
}

func (o *office) board(ctx context.Context, limit int) map[string]Column {
	o.t.Helper()
	b, err := o.Board(ctx, o.stages["Quote"].Pipeline, limit)
	must(o.t, err)
	columns := map[string]Column{}
	for _, c := range b.Columns {
		columns[c.Stage.Name] = c
	}
	return columns
}

func written(amounts []schema.Amount) string {
	var all []string
	for _, a := range amounts {
		all = append(all, a.String())
	}
	return strings.Join(all, " + ")
}

func names(stages []Stage) []string {
	var all []string
	for _, s := range stages {
		all = append(all, s.Name)
	}
	return all
}

func wantList(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}
