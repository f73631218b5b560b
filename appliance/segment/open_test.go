package segment

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/job"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

// office is a room with all it stands on, in Jerusalem.
type office struct {
	*Room
	t    testing.TB
	path string
	db   store.DB
	gate *access.Gate

	mu sync.Mutex
	at time.Time
}

func entities() []schema.Entity {
	return append([]schema.Entity{
		{Name: "contact", Title: "name", Owner: "owner", Contact: "id", Fields: []schema.Field{
			{Number: 16, Name: "name", Type: schema.Text, Indexed: true},
			{Number: 17, Name: "city", Type: schema.Text, Indexed: true},
			{Number: 18, Name: "score", Type: schema.Number},
			{Number: 19, Name: "company", Type: schema.Link, Target: "company", Indexed: true},
			{Number: 20, Name: "employer", Type: schema.Link, Target: "company"},
			{Number: 21, Name: "due", Type: schema.Date},
			{Number: 22, Name: "seen", Type: schema.Time},
			{Number: 23, Name: "owner", Type: schema.Staff, Indexed: true},
			{Number: 24, Name: "code", Type: schema.Text, Indexed: true, Unique: true},
			{Number: 25, Name: "parent", Type: schema.Link, Target: "contact", Indexed: true},
			{Number: 26, Name: "grade", Type: schema.Formula, Formula: `if(score > 5, "good", "poor")`},
		}},
		{Name: "company", Title: "name", Fields: []schema.Field{
			{Number: 16, Name: "name", Type: schema.Text},
			{Number: 17, Name: "city", Type: schema.Text},
			{Number: 18, Name: "holding", Type: schema.Link, Target: "company", Indexed: true},
			{Number: 19, Name: "note", Type: schema.Text},
		}}}, Entities()...)
}

func open(t testing.TB) *office {
	t.Helper()
	o := &office{t: t, path: filepath.Join(t.TempDir(), "karov.db"), at: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)}
	o.start()
	t.Cleanup(func() { must(t, o.db.Close()) })
	return o
}

// start opens the store and all that stands on it, as the appliance does.
func (o *office) start() {
	o.t.Helper()
	var err error
	o.db, err = bolt.Open(o.path)
	must(o.t, err)
	facts := journal.New(o.db, o.clock)
	o.gate, err = access.OpenGate(o.t.Context(), access.Options{DB: o.db, Now: o.clock, CheckField: func(string, string) error { return nil }})
	must(o.t, err)
	registry, err := schema.Open(o.t.Context(), o.db, schema.Options{Journal: facts, Gate: o.gate, Now: o.clock}, entities()...)
	must(o.t, err)
	zone, err := time.LoadLocation("Asia/Jerusalem")
	must(o.t, err)
	book := record.NewBook(record.Parts{DB: o.db, Schema: registry, Gate: o.gate, Journal: facts, Now: o.clock, Zone: zone})
	o.Room = New(Parts{Book: book, Gate: o.gate, Journal: facts, Jobs: job.NewQueue(o.db, o.clock), Schema: registry, Now: o.clock})
}

func (o *office) clock() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.at
}

func (o *office) pass(to string) {
	t, err := time.Parse(time.RFC3339, to)
	must(o.t, err)
	o.mu.Lock()
	o.at = t
	o.mu.Unlock()
}

// work does every job that is due, one after the other.
func (o *office) work() {
	o.t.Helper()
	ctx, cancel := context.WithCancel(o.t.Context())
	done := make(chan struct{})
	runner := job.NewRunner(o.jobs, slog.New(slog.NewTextHandler(io.Discard, nil)), 1, o.Jobs()...)
	go func() { defer close(done); _ = runner.Run(ctx) }()
	defer func() { cancel(); <-done }()
	for range 4000 {
		if o.dueJobs() == 0 {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	o.t.Fatal("the jobs do not end")
}

// dueJobs counts the jobs in the queue that are due.
func (o *office) dueJobs() (n int) {
	must(o.t, o.db.View(o.t.Context(), func(tx store.Tx) error {
		for key := range tx.Bucket("job.queue").Scan(nil, nil, false) {
			var at int64
			for _, c := range key[:8] {
				at = at<<8 | int64(c)
			}
			if at <= o.clock().UnixMilli() {
				n++
			}
		}
		return nil
	}))
	return n
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

// add makes a record as the office's owner.
func (o *office) add(entity string, values record.Values) record.Record {
	o.t.Helper()
	rec, err := o.book.Create(as(o.t, access.Owner), entity, values)
	must(o.t, err)
	return rec
}

func (o *office) change(rec record.Record, values record.Values) record.Record {
	o.t.Helper()
	now, err := o.book.Get(as(o.t, access.Owner), rec.Entity(), rec.ID)
	must(o.t, err)
	rec, err = o.book.Change(as(o.t, access.Owner), rec.Entity(), rec.ID, now.Version(), values)
	must(o.t, err)
	return rec
}

func (o *office) segment(filter string) record.Record {
	o.t.Helper()
	return o.add("segment", record.Values{"name": "where " + filter, "kind": "contact", "filter": filter})
}

// in lists the names of a segment's members as an actor sees them, page by page.
func (o *office) in(ctx context.Context, id record.ID) (names []string) {
	o.t.Helper()
	cursor := ""
	for {
		page, err := o.Members(ctx, id, cursor, 2)
		must(o.t, err)
		for _, rec := range page.Records {
			names = append(names, rec.Text("name"))
		}
		if cursor = page.Next; cursor == "" {
			slices.Sort(names)
			return names
		}
	}
}

// members are the names in the bucket of members, which must be as many as the count says, and none but those that the
// filter finds.
func (o *office) members(id record.ID) (names []string) {
	o.t.Helper()
	must(o.t, o.db.View(o.t.Context(), func(tx store.Tx) error {
		names = nil
		for key := range tx.Bucket(membersBucket).Scan(id[:], store.PrefixEnd(id[:]), false) {
			rec, err := o.book.Raw(tx, "contact", record.ID(key[16:]))
			must(o.t, err)
			names = append(names, rec.Text("name"))
		}
		if n := counted(tx, id); int(n) != len(names) {
			o.t.Errorf("%d members are counted, there are %v", n, names)
		}
		return nil
	}))
	slices.Sort(names)
	return names
}

// foundBy lists the names that a segment's filter finds now, whatever is stored.
func (o *office) foundBy(id record.ID) (names []string) {
	o.t.Helper()
	f, err := o.Filter(as(o.t, access.Owner), id)
	must(o.t, err)
	page, err := o.book.List(as(o.t, access.Owner), record.Query{Entity: "contact", Filter: f, Limit: record.MaxLimit})
	must(o.t, err)
	for _, rec := range page.Records {
		names = append(names, rec.Text("name"))
	}
	slices.Sort(names)
	return names
}

// told lists the facts of segments since the last call.
func (o *office) told() (facts []string) {
	o.t.Helper()
	all, err := o.journal.After(o.t.Context(), 0, 100_000)
	must(o.t, err)
	for _, f := range all {
		if f.Name == "segment.joined" || f.Name == "segment.left" {
			rec := f.ID
			if f.Contact != "" && f.Contact != f.ID || f.About["segment"] == "" || f.Entity != "contact" {
				o.t.Errorf("the fact %v is not whole", f)
			}
			name := rec
			if id, err := record.ParseID(rec); err == nil {
				if r, err := o.book.Get(as(o.t, access.Owner), "contact", id); err == nil {
					name = r.Text("name")
				}
			}
			facts = append(facts, fmt.Sprintf("%s %s", f.Name[len("segment."):], name))
		}
	}
	return facts
}

func wantNames(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// wantFault holds an error to a kind and to the key of itself or of its only field.
func wantFault(t testing.TB, what string, err error, key string) {
	t.Helper()
	got := ""
	if err != nil {
		f := fault.Of(err)
		if got = f.Key; len(f.Fields) == 1 {
			got = f.Fields[0].Name + ": " + f.Fields[0].Key
		}
	}
	if got != key {
		t.Errorf("%s: %q (%v), want %q", what, got, err, key)
	}
}
