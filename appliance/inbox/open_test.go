package inbox

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/job"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/search"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

// office is a room with all it stands on and a sender that the test speaks for.
type office struct {
	*Room
	t      testing.TB
	db     *bolt.DB
	people *contact.Room
	index  *search.Index
	facts  *journal.Journal
	queue  *job.Queue
	send   *sender

	mu sync.Mutex
	at time.Time
}

type sender struct {
	SendFn func(context.Context, Outbound) (Receipt, error)
}

func (s *sender) Send(ctx context.Context, m Outbound) (Receipt, error) { return s.SendFn(ctx, m) }

func open(t testing.TB) *office {
	t.Helper()
	o, err := build(t.TempDir())
	must(t, err)
	t.Cleanup(func() { must(t, o.db.Close()) })
	o.t = t
	return o
}

// build puts an office together over the store of a folder.
func build(dir string) (*office, error) {
	db, err := bolt.Open(filepath.Join(dir, "karov.db"))
	if err != nil {
		return nil, err
	}
	s, err := schema.New(append([]schema.Entity{contact.Entity(), contact.TagEntity()}, Entities()...)...)
	if err != nil {
		return nil, err
	}
	gate, err := access.NewGate()
	if err != nil {
		return nil, err
	}
	o := &office{db: db, at: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC), send: &sender{}}
	o.facts, o.queue = journal.New(db, o.clock), job.NewQueue(db, o.clock)
	book := record.NewBook(record.Parts{DB: db, Schema: schema.Fixed(s), Gate: gate, Journal: o.facts, Now: o.clock})
	o.people, o.index = contact.New(book, gate, "IL"), search.New(db, gate)
	o.Room = New(Parts{Book: book, Gate: gate, Contacts: o.people, Jobs: o.queue, Now: o.clock})
	o.SetSender(o.send)
	return o, nil
}

func (o *office) clock() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.at
}

func (o *office) pass(d time.Duration) {
	o.mu.Lock()
	o.at = o.at.Add(d)
	o.mu.Unlock()
	o.queue.Wake()
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

func mail(id, from string, answers ...string) Inbound {
	return Inbound{Channel: "email", Account: "office@example.com", ExternalID: id, From: Party{Handle: from, Name: "Dana"},
		Subject: "About " + id, Text: "Hello, this is " + id, InReplyTo: answers}
}

// receive takes a message as a plugin brings it, a minute after the one before.
func (o *office) receive(in Inbound) {
	o.t.Helper()
	o.pass(time.Minute)
	must(o.t, o.Receive(as(o.t, access.Plugin, "plugin:email"), in))
}

func (o *office) list(view View) []Conversation {
	o.t.Helper()
	page, err := o.List(as(o.t, access.Owner), view, "", 100)
	must(o.t, err)
	return page.Conversations
}

func (o *office) messages(c record.ID) []Message {
	o.t.Helper()
	m, more, err := o.Messages(as(o.t, access.Owner), c, record.ID{}, 100)
	must(o.t, err)
	if more {
		o.t.Error("there are more messages than a page")
	}
	return m
}

// run does jobs until the function it returns is called.
func (o *office) run() (stop func()) {
	ctx, cancel := context.WithCancel(o.t.Context())
	done := make(chan struct{})
	r := job.NewRunner(o.queue, slog.New(slog.NewTextHandler(io.Discard, nil)), 2, o.Jobs()...)
	go func() { defer close(done); _ = r.Run(ctx) }()
	return func() { cancel(); <-done }
}

func (o *office) untilState(id record.ID, state string) (m Message) {
	o.t.Helper()
	for range 2000 {
		var err error
		m, err = o.Message(as(o.t, access.Owner), id)
		must(o.t, err)
		if m.State == state {
			return m
		}
		time.Sleep(5 * time.Millisecond)
	}
	o.t.Fatalf("the message is %s, never %s", m.State, state)
	return m
}

func jobOf(key string) job.Job { return job.Job{Kind: DeliverJob, Key: key} }
