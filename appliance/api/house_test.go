package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/attachment"
	"github.com/karov-crm/karov/appliance/blob"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/deal"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/appliance/job"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/search"
	"github.com/karov-crm/karov/appliance/segment"
	"github.com/karov-crm/karov/appliance/staff"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
	"github.com/karov-crm/karov/appliance/task"
	"github.com/karov-crm/karov/appliance/transfer"
)

// house is an office with a real store and a real listener: an owner, a manager, the agents dana and yossi, a viewer.
// Of its customers dana has two, yossi three, and nobody one; each wrote one mail, named after the customer.
type house struct {
	*API
	t      testing.TB
	server *httptest.Server
	db     store.DB
	jobs   *job.Queue
	log    *logBuffer
	tokens map[string]string // role or name -> secret
	ids    map[string]string // names that stand in braces in requests
}

// logBuffer keeps what was logged.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func appliance(ctx context.Context) context.Context {
	return access.WithActor(ctx, access.Appliance())
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// bareHouse builds the rooms over a fresh store, without customers. More are entities beside the built-in ones.
func bareHouse(t testing.TB, change func(*Parts), more ...schema.Entity) *house {
	t.Helper()
	h := &house{t: t, log: &logBuffer{}, tokens: map[string]string{}, ids: map[string]string{}}
	ctx := appliance(t.Context())
	db := must(bolt.Open(filepath.Join(t.TempDir(), "karov.db")))(t)
	t.Cleanup(func() { _ = db.Close() })
	h.db = db
	if err := store.Prepare(ctx, db, nil); err != nil {
		t.Fatal(err)
	}
	facts := journal.New(db, time.Now)
	var people *staff.Room
	gate := must(access.OpenGate(ctx, access.Options{DB: db, Now: time.Now,
		CheckWhere: func(string, string) error { return nil }, CheckField: func(string, string) error { return nil },
		Tell: func(ctx context.Context, tx store.Tx, name, role string, about map[string]string) error {
			return facts.Append(ctx, tx, journal.Fact{Name: name, Entity: "role", ID: role, About: about})
		},
		Holders: func(tx store.Tx, role access.Role) (int, error) { return people.Holders(tx, role) }}))(t)
	people = staff.New(db, gate, facts, time.Now)
	kinds := must(schema.Open(ctx, db, schema.Options{Journal: facts, Gate: gate, Now: time.Now}, slices.Concat([]schema.Entity{contact.Entity(), contact.TagEntity(), task.Entity()}, inbox.Entities(), deal.Entities("ILS"), segment.Entities(), more)...))(t)
	book := record.NewBook(record.Parts{DB: db, Schema: kinds, Gate: gate, Journal: facts, Now: time.Now})
	contacts := contact.New(book, gate, "IL")
	h.jobs = job.NewQueue(db, time.Now)
	p := Parts{Book: book, Schema: kinds, Contacts: contacts, Staff: people, Search: search.New(db, gate),
		Gate: gate, Journal: facts, Files: attachment.New(book, gate, facts, must(blob.Open(filepath.Join(t.TempDir(), "blobs")))(t), time.Now),
		Inbox: inbox.New(inbox.Parts{Book: book, Gate: gate, Contacts: contacts, Jobs: h.jobs, Now: time.Now}),
		Log:   slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Now: time.Now, Version: "1.2.3",
		Limits: Limits{PerSecond: 1e6, Burst: 1e6}}
	p.Segments = segment.New(segment.Parts{Book: book, Gate: gate, Journal: facts, Jobs: h.jobs, Schema: kinds, Now: time.Now})
	p.Tasks = task.New(task.Parts{Book: book, Gate: gate, Journal: facts, Contacts: contacts, Zone: time.UTC, Now: time.Now})
	p.Deals = deal.New(deal.Parts{Book: book, Gate: gate, Journal: facts, Contacts: contacts, Now: time.Now})
	p.Spool = t.TempDir()
	p.Transfer = &transfer.Office{Book: book, Gate: gate, Journal: facts, Contacts: contacts, Staff: p.Staff, Now: time.Now}
	if change != nil {
		change(&p)
	}
	h.API = must(New(p))(t)
	for name, role := range map[string]access.Role{"owner": access.Owner, "manager": access.Manager, "dana": access.Agent,
		"yossi": access.Agent, "viewer": access.Viewer} {
		account := must(h.Staff.Add(ctx, staff.Draft{Email: name + "@office.example", Name: name, Role: role, Password: "correct horse"}))(t)
		secret, _, err := h.Staff.CreateToken(ctx, account.ID, name)
		if err != nil {
			t.Fatal(err)
		}
		h.tokens[name], h.ids[name] = secret, account.ID
	}
	mux := http.NewServeMux()
	h.Mount(mux)
	h.server = httptest.NewServer(mux)
	t.Cleanup(h.server.Close)
	return h
}

// newHouse is a house with its customers.
func newHouse(t testing.TB) *house {
	t.Helper()
	h := bareHouse(t, nil)
	for i, who := range []struct{ name, owner string }{{"Alpha", "dana"}, {"Beta", "dana"}, {"Gamma", "yossi"}, {"Delta", "yossi"},
		{"Epsilon", "yossi"}, {"Zeta", ""}} {
		ctx := appliance(t.Context())
		c := must(h.Contacts.Create(ctx, record.Values{"name": who.name + " Common", "owner": h.ids[who.owner], "kind": "person",
			"emails": []string{strings.ToLower(who.name) + "@customer.example"}, "phones": []string{fmt.Sprintf("052-765432%d", i)}}))(t)
		h.ids[who.name] = c.ID.String()
		h.receive(who.name)
		for _, conversation := range must(h.Inbox.Of(ctx, c.ID, 1))(t) {
			h.ids[who.name+".talk"] = conversation.ID.String()
			found, _, err := h.Inbox.Messages(ctx, conversation.ID, record.ID{}, 1)
			if err != nil || len(found) != 1 {
				t.Fatalf("%d messages, %v", len(found), err)
			}
			h.ids[who.name+".mail"] = found[0].ID.String()
		}
	}
	return h
}

// receive lets a customer write.
func (h *house) receive(name string) {
	h.t.Helper()
	err := h.Inbox.Receive(appliance(h.t.Context()), inbox.Inbound{Channel: "email", Account: "office@office.example",
		ExternalID: name + "-1@customer.example", From: inbox.Party{Handle: strings.ToLower(name) + "@customer.example", Name: name},
		Subject: "Question of " + name, Text: "Letter of " + name + " " + strings.Repeat("long ", 200), HTML: "<b>" + name + "</b>",
		SentAt: time.Now()})
	if err != nil {
		h.t.Fatal(err)
	}
}

// answer is what the API said.
type answer struct {
	status int
	header http.Header
	body   string
}

// request is one request as data. Names in braces are replaced by their ids.
type request struct {
	as      string // whose token; "" for none
	method  string
	path    string
	body    string
	headers string // as "If-Match: "1"", one a line; "+" before a name adds a second one, the value "-" takes it away
	status  int
	want    string   // must stand in the answer; several with " & " between
	never   []string // must not
}

func (h *house) fill(s string) string {
	for name, id := range h.ids {
		s = strings.ReplaceAll(s, "{"+name+"}", id)
	}
	return s
}

// ask sends a request and checks what each answer must keep.
func (h *house) ask(t testing.TB, q request) answer {
	t.Helper()
	r := must(http.NewRequestWithContext(t.Context(), q.method, h.server.URL+h.fill(q.path), strings.NewReader(h.fill(q.body))))(t)
	if q.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if q.as != "" {
		r.Header.Set("Authorization", "Bearer "+h.tokens[q.as])
	}
	for line := range strings.Lines(q.headers) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch more, again := strings.CutPrefix(name, "+"); {
		case again:
			r.Header.Add(more, value)
		case value == "-":
			r.Header.Del(name)
		default:
			r.Header.Set(name, value)
		}
	}
	response := must(http.DefaultClient.Do(r))(t)
	defer response.Body.Close()
	body := must(io.ReadAll(response.Body))(t)
	a := answer{response.StatusCode, response.Header, string(body)}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
		"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"} {
		if got := a.header.Get(name); !strings.HasPrefix(got, want) {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for name := range a.header {
		if strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("the answer carries %s", name)
		}
	}
	if a.status >= 400 && q.method != http.MethodHead {
		checkProblem(t, a)
	}
	return a
}

func checkProblem(t testing.TB, a answer) {
	t.Helper()
	var p problem
	d := json.NewDecoder(strings.NewReader(a.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		t.Fatalf("no problem document: %v in %q", err, a.body)
	}
	if a.header.Get("Content-Type") != problemType || p.Status != a.status || !strings.HasPrefix(p.Type, "urn:karov:problem:") ||
		p.Title == "" || p.Detail == "" || p.Instance == "" || len(p.ID) < 10 || p.Key == "" {
		t.Errorf("problem is not whole: %s %s", a.header.Get("Content-Type"), a.body)
	}
	for _, e := range p.Errors {
		if e.Key == "" || e.Detail == "" {
			t.Errorf("error of a field is not whole: %+v", e)
		}
	}
}

// check asks and compares.
func (h *house) check(t *testing.T, q request) answer {
	t.Helper()
	a := h.ask(t, q)
	name := fmt.Sprintf("%s %s %s %s", q.as, q.method, q.path, q.body)
	if a.status != q.status {
		t.Errorf("%.300s: status %d, want %d: %.600s", name, a.status, q.status, a.body)
	}
	if q.want != "" {
		for want := range strings.SplitSeq(h.fill(q.want), " & ") {
			if !strings.Contains(a.body, want) {
				t.Errorf("%.300s: no %q in %.900s", name, want, a.body)
			}
		}
	}
	for _, never := range q.never {
		if strings.Contains(a.body, h.fill(never)) {
			t.Errorf("%.300s: %q stands in %.900s", name, never, a.body)
		}
	}
	return a
}

// failing is a channel that refuses every message for good.
type failing struct{}

func (failing) Send(context.Context, inbox.Outbound) (inbox.Receipt, error) {
	return inbox.Receipt{}, fault.New(fault.Invalid, "mail.refused")
}

// deliver does the waiting jobs until a message has the state.
func (h *house) deliver(t *testing.T, message, state string) {
	t.Helper()
	h.Inbox.SetSender(failing{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- job.NewRunner(h.jobs, slog.New(slog.DiscardHandler), 1, h.Inbox.Jobs()...).Run(ctx) }()
	for ctx.Err() == nil {
		a := h.ask(t, request{as: "owner", method: "GET", path: Prefix + "/records/message/" + message})
		if strings.Contains(a.body, `"state":"`+state+`"`) {
			cancel()
			<-done
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("the message is not %s after 20 seconds", state)
}

func replyOf(text string) inbox.Reply { return inbox.Reply{Text: text} }
