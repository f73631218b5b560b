package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/attachment"
	"github.com/karov-crm/karov/appliance/blob"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/job"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
	"github.com/karov-crm/karov/plugins/plugintest"
)

const workshop = "il.example.workshop"

// served is an office whose plugin is a real process with a service of each kind.
type served struct {
	*plugintest.World
	t     *testing.T
	db    store.DB
	book  *record.Book
	facts *journal.Journal
	queue *job.Queue
	clock *hands
}

// hands are those of a clock that a test turns.
type hands struct {
	mu  sync.Mutex
	off time.Duration
}

func (h *hands) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Now().Add(h.off)
}

func (h *hands) turn(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.off += d
}

func fine(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func serve(t *testing.T) *served {
	t.Helper()
	s := &served{t: t, clock: &hands{}}
	dir := t.TempDir()
	db, err := bolt.Open(filepath.Join(dir, "karov.db"))
	fine(t, err)
	t.Cleanup(func() { _ = db.Close() })
	s.db = db
	gate, err := access.NewGate()
	fine(t, err)
	gate.SetCustom([]string{"workshop.lorry"})
	set, err := schema.New(
		schema.Entity{Name: "contact", Title: "name", Owner: "owner", Contact: "id", Fields: []schema.Field{
			{Number: 16, Name: "name", Type: schema.Text, Required: true, Indexed: true}, {Number: 17, Name: "owner", Type: schema.Staff, Indexed: true},
			{Number: 18, Name: "note", Type: schema.LongText}, {Number: 19, Name: "score", Type: schema.Number},
			{Number: 20, Name: "kind", Type: schema.Choice, Choices: []string{"shop", "firm"}}, {Number: 21, Name: "code", Type: schema.Text}}},
		schema.Entity{Name: "workshop.lorry", Title: "plate", Contact: "customer", Via: "customer", Fields: []schema.Field{
			{Number: 16, Name: "plate", Type: schema.Text, Required: true}, {Number: 17, Name: "customer", Type: schema.Link, Target: "contact", Indexed: true}}})
	fine(t, err)
	s.facts = journal.New(db, s.clock.now)
	s.book = record.NewBook(record.Parts{DB: db, Schema: schema.Fixed(set), Gate: gate, Journal: s.facts, Now: s.clock.now})
	s.queue = job.NewQueue(db, s.clock.now)
	blobs, err := blob.Open(filepath.Join(dir, "blobs"))
	fine(t, err)
	home := plugintest.Build(t, filepath.Join("testdata", "workshop"), "github.com/karov-crm/karov/appliance/plugin/testdata/workshop")
	s.World = plugintest.Start(t, home, plugintest.NewOffice(nil), func(o *plugin.Options) {
		o.DB, o.Book, o.Gate, o.Journal, o.Queue, o.Now = db, s.book, gate, s.facts, s.queue, s.clock.now
		o.Files = attachment.New(s.book, gate, s.facts, blobs, s.clock.now)
		o.Actor = func(ctx context.Context, id string) context.Context {
			return access.WithActor(ctx, access.Actor{ID: "plugin:" + id, Role: access.Plugin})
		}
	})
	s.book.SetAsker(s.Host)
	plugintest.Wait(t, "the plugin serves", func() bool { return len(s.Host.Views(plugin.OnPage, "")) == 1 })
	return s
}

func (s *served) as(id string, role access.Role) context.Context {
	return access.WithActor(s.t.Context(), access.Actor{ID: id, Role: role, Lang: "en"})
}

func (s *served) owner() context.Context { return s.as("owner", access.Owner) }

func (s *served) contact(ctx context.Context, name string) (record.Record, error) {
	return s.book.Create(ctx, "contact", record.Values{"name": name})
}

// kept lists the keys that the plugin keeps below a prefix.
func (s *served) kept(prefix string) (keys []string) {
	s.t.Helper()
	fine(s.t, s.db.View(s.t.Context(), func(tx store.Tx) error {
		keys = nil
		for key := range tx.Bucket("plugin.kv").Scan(nil, nil, false) {
			if _, name, ok := strings.Cut(string(key), "\x00"+prefix); ok {
				keys = append(keys, name)
			}
		}
		return nil
	}))
	return keys
}

func TestABeforeHookRefusesChangesAndFails(t *testing.T) {
	s := serve(t)
	r, err := s.contact(s.owner(), "score please")
	fine(t, err)
	if score, _ := r.Number("score"); score != 42 {
		t.Errorf("the hook's value is not there: %v", r.Fields())
	}
	agent := s.as("avi", access.Agent)
	_, err = s.contact(agent, "refuse me")
	if f := fault.Of(err); f.Kind != fault.Forbidden && f.Kind != fault.Invalid || f.Key != "workshop.refused" || f.Params["name"] != "refuse me" {
		t.Errorf("refused: %v", err)
	}
	if _, err = s.contact(record.WithOverride(agent), "refuse me"); fault.Of(err).Key != "workshop.refused" {
		t.Errorf("who may not override did: %v", err)
	}
	if _, err = s.contact(record.WithOverride(s.owner()), "refuse me"); err != nil {
		t.Errorf("the owner may override: %v", err)
	}
	if _, err = s.contact(s.owner(), "slow one"); fault.Of(err).Key != "plugin.hook-silent" || fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a hook that fails closed and is slow: %v", err)
	}
	if _, err = s.contact(s.owner(), "steal"); fault.Of(err).Key != "plugin.hook-silent" {
		t.Errorf("a hook that writes what it may not: %v", err)
	}
	// The other entity's hook fails open.
	if _, err = s.book.Create(s.owner(), "workshop.lorry", record.Values{"plate": "slow 1", "customer": r.ID.String()}); err != nil {
		t.Errorf("a hook that fails open and is slow: %v", err)
	}
	pid := s.Status().PID
	if _, err = s.contact(s.owner(), "die now"); fault.Of(err).Key != "plugin.hook-silent" {
		t.Errorf("a hook that falls: %v", err)
	}
	plugintest.Wait(t, "it is up again", func() bool { st := s.Status(); return st.State == plugin.Running && st.PID != pid })
	plugintest.Wait(t, "writes go on", func() bool { _, err := s.contact(s.owner(), "after all"); return err == nil })
	n, _, err := s.book.Count(s.owner(), record.Query{Entity: "contact"})
	fine(t, err)
	if n != 3 {
		t.Errorf("%d customers, want 3", n)
	}
}

func TestEventsComeInOrderAndWaitWhileThePluginIsDown(t *testing.T) {
	s := serve(t)
	for i := range 20 {
		_, err := s.contact(s.owner(), fmt.Sprint("early ", i))
		fine(t, err)
	}
	plugintest.Wait(t, "all are heard", func() bool { return len(s.kept("heard/")) == 20 })
	fine(t, s.Host.Disable(s.t.Context(), workshop))
	for i := range 300 { // more than may be under way at once
		_, err := s.contact(s.owner(), fmt.Sprint("late ", i))
		fine(t, err)
	}
	fine(t, s.Host.Enable(s.t.Context(), workshop))
	plugintest.Wait(t, "some are heard", func() bool { return len(s.kept("heard/")) > 60 })
	s.Kill(t, syscall.SIGKILL)
	plugintest.Wait(t, "all are heard", func() bool { return len(s.kept("heard/")) == 320 })
	keys := s.kept("heard/")
	r, err := s.contact(s.owner(), "named")
	fine(t, err)
	_, err = s.book.Change(s.owner(), "contact", r.ID, 1, record.Values{"code": "hidden"}) // a field that it may not see
	fine(t, err)
	_, err = s.book.Change(s.owner(), "contact", r.ID, 2, record.Values{"note": "x"})
	fine(t, err)
	plugintest.Wait(t, "the change is heard", func() bool { return len(s.kept("heard/")) == len(keys)+2 })
	if last := s.kept("heard/"); !strings.HasSuffix(last[len(last)-1], "contact.changed "+r.ID.String()) {
		t.Errorf("the last heard is %s", last[len(last)-1])
	}
	plugintest.Wait(t, "nothing waits", func() bool { return s.Host.Waiting(workshop) == 0 })
}

func TestAViewIsRenderedWithTheRightsOfWhoLooks(t *testing.T) {
	s := serve(t)
	mine, err := s.contact(s.as("avi", access.Agent), "of avi")
	fine(t, err)
	other, err := s.contact(s.owner(), "of the owner")
	fine(t, err)
	rows := func(ctx context.Context, on record.ID) (n int, err error) {
		v, err := s.Host.Render(ctx, workshop, "lorries", &plugin.Ref{Entity: "contact", ID: on}, nil)
		if err != nil {
			return 0, err
		}
		return len(v.Blocks[0].(plugin.Table).Rows), nil
	}
	if n, err := rows(s.owner(), mine.ID); n != 2 || err != nil {
		t.Errorf("the owner sees %d, %v", n, err)
	}
	if n, err := rows(s.as("avi", access.Agent), mine.ID); n != 1 || err != nil {
		t.Errorf("avi sees %d, %v", n, err)
	}
	if _, err := rows(s.as("avi", access.Agent), other.ID); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a card that is not his: %v", err)
	}
	for do, key := range map[string]string{"slow": "plugin.view-failed", "wrong": "plugin.view-wrong"} {
		began := time.Now()
		_, err := s.Host.Render(s.owner(), workshop, "today", nil, map[string]string{"do": do})
		if fault.Of(err).Key != key {
			t.Errorf("%s: %v", do, err)
		}
		t.Logf("%s: told after %s", do, time.Since(began).Round(time.Millisecond))
	}
	if _, err := s.Host.Render(s.owner(), workshop, "none", nil, nil); fault.KindOf(err) != fault.NotFound {
		t.Errorf("no such view: %v", err)
	}
}

func TestAButtonIsPressedForAPerson(t *testing.T) {
	s := serve(t)
	mine, err := s.contact(s.as("avi", access.Agent), "of avi")
	fine(t, err)
	press := plugin.Press{Plugin: workshop, Action: "greet", Records: []plugin.Ref{{Entity: "contact", ID: mine.ID}}, Key: "k"}
	out, err := s.Host.Act(s.as("avi", access.Agent), press)
	if err != nil || out.Message != "Hello \u2068of avi\u2069" || out.Open == nil || out.Open.ID != mine.ID {
		t.Errorf("%+v %v", out, err)
	}
	if _, err := s.Host.Act(s.as("yossi", access.Agent), press); fault.KindOf(err) != fault.NotFound {
		t.Errorf("on a record that is not his: %v", err)
	}
	if _, err := s.Host.Act(s.as("ann", access.Viewer), press); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("without the right to change: %v", err)
	}
	if got := len(s.Host.Actions(s.as("ann", access.Viewer), "contact", "card")); got != 0 {
		t.Errorf("a viewer is shown %d buttons", got)
	}
	if got := len(s.Host.Actions(s.owner(), "contact", "card")); got != 1 {
		t.Errorf("the owner is shown %d buttons", got)
	}
}

func TestJobsRunAtTheirTimeAndOnDemand(t *testing.T) {
	s := serve(t)
	ctx, stop := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = job.NewRunner(s.queue, nil, 4, s.Host.Runs()).Run(ctx) }()
	defer func() { stop(); <-done }()
	fine(t, s.Host.RunJob(s.owner(), workshop, "remind"))
	plugintest.Wait(t, "it ran by hand", func() bool { return len(s.kept("ran/remind by-hand")) == 1 })
	if err := s.Host.RunJob(s.as("avi", access.Agent), workshop, "remind"); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("an agent runs jobs: %v", err)
	}
	states := func() plugin.JobState {
		list, err := s.Host.JobStates(s.owner(), workshop)
		fine(t, err)
		return list[0]
	}
	next := states().Next
	if next.Hour() != 3 || next.Before(s.clock.now()) {
		t.Errorf("the next run is at %s", next)
	}
	s.clock.turn(time.Until(next) + time.Hour) // the machine was off at three
	s.queue.Wake()
	plugintest.Wait(t, "the missed run is made up for, once", func() bool { st := states(); return st.Runs == 1 && st.OK })
	if again := states().Next; !again.After(next) || again.Hour() != 3 {
		t.Errorf("the run after it is at %s", again)
	}
	if len(s.kept("ran/nightly ")) != 1 {
		t.Errorf("ran %v", s.kept("ran/"))
	}
}

func TestRoutesAreServedWithoutWhatIsTheOffices(t *testing.T) {
	s := serve(t)
	ask := func(method, path, body string, who access.Actor, headers ...string) *http.Response {
		r := httptest.NewRequest(method, path, strings.NewReader(body)).WithContext(access.WithActor(s.t.Context(), who))
		for i := 0; i+1 < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		s.Host.ServeHTTP(w, r)
		return w.Result()
	}
	long := strings.Repeat("שלום ", 100_000)
	res := ask("POST", "/p/"+workshop+"/echo", long, access.Actor{}, "Cookie", "karov=secret")
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusCreated || string(body) != long {
		t.Errorf("echo: %d, %d bytes of %d", res.StatusCode, len(body), len(long))
	}
	for what, want := range map[string][2]any{
		"a body over the limit":   {ask("POST", "/p/"+workshop+"/echo", strings.Repeat("x", 2<<20), access.Actor{}).StatusCode, http.StatusRequestEntityTooLarge},
		"a private route, nobody": {ask("GET", "/p/"+workshop+"/private", "", access.Actor{}).StatusCode, http.StatusUnauthorized},
		"another method":          {ask("GET", "/p/"+workshop+"/echo", "", access.Actor{}).StatusCode, http.StatusMethodNotAllowed},
		"a route not declared":    {ask("GET", "/p/"+workshop+"/other", "", access.Actor{}).StatusCode, http.StatusNotFound},
		"another plugin":          {ask("GET", "/p/none/echo", "", access.Actor{}).StatusCode, http.StatusNotFound},
	} {
		if want[0] != want[1] {
			t.Errorf("%s: %v, want %v", what, want[0], want[1])
		}
	}
	unknown := httptest.NewRequest("POST", "/p/"+workshop+"/echo", io.MultiReader(strings.NewReader(strings.Repeat("x", 2<<20))))
	unknown.ContentLength = -1
	w := httptest.NewRecorder()
	func() {
		defer func() { _ = recover() }() // the answer had begun: it is broken off, as net/http does it
		s.Host.ServeHTTP(w, unknown)
	}()
	if w.Body.Len() > 1<<20 {
		t.Errorf("%d bytes of a body over the limit went through", w.Body.Len())
	}
	res = ask("GET", "/p/"+workshop+"/private", "", access.Actor{ID: "avi", Role: access.Agent})
	if body, _ := io.ReadAll(res.Body); string(body) != "avi" {
		t.Errorf("private: %d %q", res.StatusCode, body)
	}
	res = ask("GET", "/p/"+workshop+"/page", "", access.Actor{})
	if res.Header.Get("Set-Cookie") != "" || !strings.HasPrefix(res.Header.Get("Content-Security-Policy"), "sandbox;") {
		t.Errorf("a page: %v", res.Header)
	}
}

func TestAFileOfAnotherProgramIsRead(t *testing.T) {
	s := serve(t)
	var got []string
	for row, err := range s.Host.ReadFile(s.owner(), workshop, "lines", "l.txt", strings.NewReader("12-345-67\n\n89-012-34\n")) {
		fine(t, err)
		got = append(got, fmt.Sprintf("%d %s%s", row.Line, row.Values["plate"], row.Problem))
	}
	if want := `["1 12-345-67" "2 Nothing to read here." "3 89-012-34"]`; fmt.Sprintf("%q", got) != want {
		t.Errorf("read %q", got)
	}
	for _, err := range s.Host.ReadFile(s.as("ann", access.Viewer), workshop, "lines", "l.txt", strings.NewReader("x")) {
		if fault.KindOf(err) != fault.Forbidden {
			t.Errorf("a viewer imports: %v", err)
		}
	}
	broken := errors.New("the disk")
	for _, err := range s.Host.ReadFile(s.owner(), workshop, "lines", "l.txt", io.MultiReader(strings.NewReader("a\n"), failing{broken})) {
		if err != nil && !errors.Is(err, broken) {
			t.Errorf("a file that cannot be read: %v", err)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
