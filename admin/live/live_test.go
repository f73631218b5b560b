package live_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/admin/live"
	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/staff"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

// office is the rooms that a stream needs, real ones.
type office struct {
	url      string
	facts    *journal.Journal
	contacts *contact.Room
	staff    *staff.Room
	people   map[access.Role]staff.Account
	secrets  map[access.Role]string
	system   context.Context
	end      context.CancelFunc
}

func newOffice(t *testing.T) *office {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	db, err := bolt.Open(filepath.Join(t.TempDir(), "karov.db"))
	check(err)
	t.Cleanup(func() { _ = db.Close() }) // the folder goes with the test
	gate, err := access.NewGate()
	check(err)
	kinds, err := schema.New(contact.Entity(), contact.TagEntity())
	check(err)
	o := &office{facts: journal.New(db, time.Now), people: map[access.Role]staff.Account{}, secrets: map[access.Role]string{}}
	book := record.NewBook(record.Parts{DB: db, Schema: schema.Fixed(kinds), Gate: gate, Journal: o.facts, Now: time.Now})
	o.contacts, o.staff = contact.New(book, gate, "IL"), staff.New(db, gate, o.facts, time.Now)
	o.system = access.WithActor(context.Background(), access.Appliance())
	for _, role := range access.Roles() {
		email := string(role) + "@office.example"
		o.people[role], err = o.staff.Add(o.system, staff.Draft{Email: email, Password: "correct horse battery", Role: role})
		check(err)
		o.secrets[role], _, err = o.staff.SignIn(o.system, email, "correct horse battery", "test")
		check(err)
	}
	f, err := frame.New(frame.Options{Auth: o.staff, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: time.Now, Zone: time.UTC, Language: "en"})
	check(err)
	life, end := context.WithCancel(context.Background())
	o.end = end
	live.Register(life, f, o.facts, book)
	server := httptest.NewServer(f)
	t.Cleanup(func() { end(); server.Close() })
	o.url = server.URL
	return o
}

// listen opens a stream and gives its lines until it ends.
func (o *office) listen(t *testing.T, role access.Role, after string) <-chan string {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(o.url)
	if err != nil {
		t.Fatal(err)
	}
	jar.SetCookies(at, []*http.Cookie{{Name: "karov", Value: o.secrets[role]}})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, o.url+"/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Last-Event-ID", after)
	res, err := (&http.Client{Jar: jar}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" || res.Header.Get("X-Accel-Buffering") != "no" {
		t.Fatalf("the stream answered %d %v", res.StatusCode, res.Header)
	}
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		defer res.Body.Close()
		for s := bufio.NewScanner(res.Body); s.Scan(); {
			lines <- s.Text()
		}
	}()
	if first := next(t, lines); first != "retry: 2000" {
		t.Fatalf("the stream begins with %q", first)
	}
	return lines
}

// next gives the next line that says something.
func next(t *testing.T, lines <-chan string) string {
	t.Helper()
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				return "(ended)"
			}
			if line != "" && !strings.HasPrefix(line, ":") {
				return line
			}
		case <-time.After(40 * time.Second):
			t.Fatal("the stream is silent")
		}
	}
}

// data gives the names of the next event, and its id.
func data(t *testing.T, lines <-chan string) (names, id string) {
	t.Helper()
	for {
		line := next(t, lines)
		if rest, ok := strings.CutPrefix(line, "id: "); ok {
			id = rest
		}
		if rest, ok := strings.CutPrefix(line, "data: "); ok {
			return rest, id
		}
		if line == "(ended)" {
			return line, id
		}
	}
}

func (o *office) customer(t *testing.T, owner string) contact.Contact {
	t.Helper()
	c, err := o.contacts.Create(o.system, record.Values{"name": "Somebody", "owner": owner})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNobodyHearsOfWhatIsNotHis(t *testing.T) {
	o := newOffice(t)
	agent, owner := o.listen(t, access.Agent, ""), o.listen(t, access.Owner, "")
	foreign := o.customer(t, o.people[access.Owner].ID)
	own := o.customer(t, o.people[access.Agent].ID)
	if names, _ := data(t, agent); names != "contact:"+own.ID.String()+" contacts" {
		t.Errorf("the agent heard %q", names)
	}
	heard := ""
	for !strings.Contains(heard, own.ID.String()) {
		names, _ := data(t, owner)
		heard += names
	}
	if !strings.Contains(heard, foreign.ID.String()) {
		t.Errorf("the owner heard %q", heard)
	}
}

func TestStreamResumes(t *testing.T) {
	o := newOffice(t)
	lines := o.listen(t, access.Owner, "")
	first := o.customer(t, "")
	names, id := data(t, lines)
	if !strings.Contains(names, first.ID.String()) || id == "" {
		t.Fatalf("heard %q %q", names, id)
	}
	second := o.customer(t, "")
	if names, _ := data(t, o.listen(t, access.Owner, id)); strings.Contains(names, first.ID.String()) || !strings.Contains(names, second.ID.String()) {
		t.Errorf("after the break: %q", names)
	}
}

func TestStreamEndsWithTheSessionAndTheAppliance(t *testing.T) {
	o := newOffice(t)
	lines, other := o.listen(t, access.Manager, ""), o.listen(t, access.Owner, "")
	if err := o.staff.Disable(o.system, o.people[access.Manager].ID, true); err != nil {
		t.Fatal(err)
	}
	for {
		line := next(t, lines)
		if line == "event: over" {
			break
		}
		if line == "(ended)" {
			t.Fatal("the stream ended without a word")
		}
	}
	if names, _ := data(t, lines); names != "session" {
		t.Errorf("the last word was %q", names)
	}
	if line := next(t, lines); line != "(ended)" {
		t.Errorf("after the session: %q", line)
	}
	o.end()
	for line := range other {
		if strings.HasPrefix(line, "data:") {
			t.Errorf("at the end: %q", line)
		}
	}
}

func TestFloodBecomesOneWord(t *testing.T) {
	o := newOffice(t)
	last, err := o.facts.Last(o.system)
	if err != nil {
		t.Fatal(err)
	}
	for range 60 {
		o.customer(t, "")
	}
	if names, _ := data(t, o.listen(t, access.Owner, fmt.Sprint(last))); names != "*" {
		t.Errorf("sixty changes were named: %.100s", names)
	}
}

func TestNames(t *testing.T) {
	f := journal.Fact{Entity: "message", ID: "m", Contact: "c", About: map[string]string{"conversation": "v"}}
	if got := strings.Join(live.Names(f), " "); got != "message:m contact:c conversation:v inbox" {
		t.Error(got)
	}
	f.Read = true
	if got := live.Names(f); len(got) != 0 {
		t.Errorf("that somebody read changes the pages %q", got)
	}
	if got := live.Names(journal.Fact{Name: "appliance.started"}); len(got) != 0 {
		t.Error(got)
	}
}
