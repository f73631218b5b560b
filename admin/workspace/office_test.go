package workspace_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/admin/live"
	"github.com/karov-crm/karov/admin/workspace"
	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/blob"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/deal"
	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/appliance/job"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/search"
	"github.com/karov-crm/karov/appliance/staff"
	"github.com/karov-crm/karov/appliance/store/bolt"
	"github.com/karov-crm/karov/appliance/task"
)

const password = "correct horse battery"

// clock is the office's: tests write history with it and then let it stand.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}

// postman is where this process ends: what a channel would carry away.
type postman struct {
	mu   sync.Mutex
	fail error
	sent []inbox.Outbound
}

func (p *postman) Send(_ context.Context, out inbox.Outbound) (inbox.Receipt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return inbox.Receipt{}, p.fail
	}
	p.sent = append(p.sent, out)
	return inbox.Receipt{ExternalID: out.ExternalID, At: time.Now()}, nil
}

func (p *postman) failing(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail = err
}

func (p *postman) delivered() []inbox.Outbound {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]inbox.Outbound(nil), p.sent...)
}

// office is the real rooms on a real store, behind the real pages.
type office struct {
	t        testing.TB
	url      string
	clock    *clock
	post     *postman
	people   map[access.Role]staff.Account
	contacts *contact.Room
	inbox    *inbox.Room
	tasks    *task.Room
	deals    *deal.Room
	book     *record.Book
	staff    *staff.Room
	files    *blob.Store
	system   context.Context
	workshop *workshop
	streams  atomic.Int32 // event streams that are open
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newOffice(t testing.TB) *office {
	t.Helper()
	folder := t.TempDir()
	db := must[*bolt.DB](t)(bolt.Open(filepath.Join(folder, "karov.db")))
	t.Cleanup(func() { _ = db.Close() }) // the folder goes with the test
	o := &office{t: t, clock: &clock{at: time.Now()}, post: &postman{}, people: map[access.Role]staff.Account{}, workshop: &workshop{}}
	o.system = access.WithActor(context.Background(), access.Appliance())
	gate := must[*access.Gate](t)(access.NewGate())
	facts := journal.New(db, o.clock.now)
	kinds := must[*schema.Schema](t)(schema.New(slices.Concat(inbox.Entities(), deal.Entities("ILS"),
		[]schema.Entity{customers(), contact.TagEntity(), task.Entity()}, lorries())...))
	gate.SetCustom([]string{"vehicles.asset", "vehicles.order"})
	book := record.NewBook(record.Parts{DB: db, Schema: schema.Fixed(kinds), Gate: gate, Journal: facts, Now: o.clock.now})
	o.book = book
	jobs := job.NewQueue(db, o.clock.now)
	o.contacts = contact.New(book, gate, "IL")
	o.inbox = inbox.New(inbox.Parts{Book: book, Gate: gate, Contacts: o.contacts, Jobs: jobs, Now: o.clock.now})
	o.inbox.SetSender(o.post)
	zone := must[*time.Location](t)(time.LoadLocation("Asia/Jerusalem"))
	o.tasks = task.New(task.Parts{Book: book, Gate: gate, Journal: facts, Contacts: o.contacts, Zone: zone, Now: o.clock.now})
	o.deals = deal.New(deal.Parts{Book: book, Gate: gate, Journal: facts, Contacts: o.contacts, Now: o.clock.now})
	if err := o.deals.Begin(o.system, "he"); err != nil {
		t.Fatal(err)
	}
	o.staff = staff.New(db, gate, facts, o.clock.now)
	o.files = must[*blob.Store](t)(blob.Open(filepath.Join(folder, "blobs")))
	o.hire()

	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	o.work(job.NewRunner(jobs, log, 2, o.inbox.Jobs()...))
	f := must[*frame.Frame](t)(frame.New(frame.Options{Auth: o.staff, Log: slog.New(slog.NewTextHandler(testLog{t}, nil)), Now: o.clock.now,
		Zone: zone, Office: "ועד הבית שלנו", Language: "he"}))
	workspace.Register(f, workspace.Rooms{Search: search.New(db, gate), Contacts: o.contacts, Inbox: o.inbox, Tasks: o.tasks, Deals: o.deals, Staff: o.staff,
		Files: o.files, Gate: gate, Book: book, Plugins: o.workshop, Region: "IL"})
	life, end := context.WithCancel(context.Background())
	t.Cleanup(end)
	live.Register(life, f, facts, book)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/live" {
			o.streams.Add(1)
			defer o.streams.Add(-1)
		}
		f.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { end(); server.Close() })
	o.url = server.URL
	return o
}

// work lets a runner do the office's jobs until the test ends.
func (o *office) work(r *job.Runner) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.Run(ctx) // ends with the context
	}()
	o.t.Cleanup(func() { stop(); <-done })
}

// testLog lets the frame's log of surprises fail the test that caused one.
type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	if strings.Contains(string(b), "level=ERROR") {
		l.t.Errorf("the frame logged: %s", b)
	}
	return len(b), nil
}

func (o *office) hire() {
	for role, name := range map[access.Role]string{access.Owner: "דנה לוי", access.Manager: "Olga Petrova", access.Agent: "יוסי כהן", access.Viewer: "Ann Reader"} {
		o.people[role] = must[staff.Account](o.t)(o.staff.Add(o.system, staff.Draft{Email: string(role) + "@office.example", Name: name,
			Lang: "en", Password: password, Role: role}))
	}
}

func (o *office) as(role access.Role) context.Context {
	return access.WithActor(context.Background(), o.people[role].Actor())
}

func (o *office) customer(values record.Values) contact.Contact {
	o.t.Helper()
	return must[contact.Contact](o.t)(o.contacts.Create(o.as(access.Owner), values))
}

// receive lets a mail come in some time ago.
func (o *office) receive(ago time.Duration, in inbox.Inbound) inbox.Conversation {
	o.t.Helper()
	now := o.clock.now()
	o.clock.set(now.Add(-ago))
	defer o.clock.set(now)
	in.Channel, in.Account, in.SentAt = "email", "office@karov.example", now.Add(-ago)
	if in.ExternalID == "" {
		in.ExternalID = record.NewID().String() + "@mail.example"
	}
	if err := o.inbox.Receive(o.system, in); err != nil {
		o.t.Fatal(err)
	}
	page := must[inbox.Page](o.t)(o.inbox.List(o.system, inbox.AllOpen, "", 200))
	for _, c := range page.Conversations {
		if c.Handle == in.From.Handle && c.LastAt.Equal(o.clock.now().UTC().Truncate(time.Millisecond)) {
			return c
		}
	}
	for _, c := range page.Conversations {
		if c.Handle == in.From.Handle {
			return c
		}
	}
	o.t.Fatalf("the mail of %s is in no conversation", in.From.Handle)
	return inbox.Conversation{}
}

func (o *office) keep(name, media, content string) inbox.Attachment {
	o.t.Helper()
	hash, size, err := o.files.Put(o.system, strings.NewReader(content))
	if err != nil {
		o.t.Fatal(err)
	}
	return inbox.Attachment{Name: name, Type: media, Size: size, Blob: hash}
}
