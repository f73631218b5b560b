package console_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/admin/console"
	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/admin/frame/frametest"
	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/staff"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

const (
	password = "correct horse battery"
	shop     = "il.example.workshop"
)

// cellar stands where the host of the plugins stands: one that runs, one that fell too often, one that is off.
type cellar struct {
	mu   sync.Mutex
	acts []string
}

func (c *cellar) did(act string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acts = append(c.acts, act)
}

func (c *cellar) List() []plugin.Status {
	return []plugin.Status{
		{ID: "com.other.fallen", Name: "Fallen", Version: "2.0.0", State: plugin.OpenCircuit, Restarts: 5,
			LastError: &fault.Error{Kind: fault.Unavailable, Key: "plugin.hung"}},
		{ID: "com.other.off", Name: "כבוי", Version: "0.1.0", State: plugin.Disabled},
		{ID: shop, Name: "Workshop <b>", Version: "1.0.0", State: plugin.Running, PID: 7, Isolation: "full (landlock 7, seccomp)", Memory: 17 << 20,
			Numbers:  plugin.Numbers{CallsTo: 1200, CallsFrom: 3400, Refused: 2},
			Accounts: []plugin.Health{{Account: "office@example.com", OK: true}, {Account: "second@example.com", Key: "plugin.hung", Detail: "NO [AUTH]"}}},
	}
}

func (c *cellar) Manifest(id string) (*plugin.Manifest, error) {
	return &plugin.Manifest{ID: id, Name: id, Permissions: plugin.Permissions{
		Records: []plugin.RecordGrant{{Entity: "contact", Verbs: []string{"see", "change"}, Fields: []string{"name"}}},
		Egress:  []plugin.EgressGrant{{To: "api.example.com:443"}, {To: "${imap.host}:993", Private: true}}}}, nil
}

func (c *cellar) Waiting(string) int64 { return 12 }

func (c *cellar) Logs(_ string, _ uint64, level slog.Level) (lines []plugin.Line, err error) {
	for i, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if l >= level {
			lines = append(lines, plugin.Line{ID: uint64(i), At: time.Date(2026, 11, 22, 9, i, 0, 0, time.UTC), Level: l,
				Text: "line of " + l.String() + " <script>alert(1)</script>", Attrs: map[string]string{"plugin": shop, "n": "1"}})
		}
	}
	return lines, nil
}

func (c *cellar) JobStates(context.Context, string) ([]plugin.JobState, error) {
	return []plugin.JobState{{Job: "nightly", Label: plugin.Label{"he": "לילי", "en": "Nightly", "ru": "Ночное"}, Next: time.Now().Add(time.Hour), Last: time.Now(), OK: true},
		{Job: "remind", Label: plugin.Label{"he": "תזכורת", "en": "Remind", "ru": "Напомнить"}, Last: time.Now(), Key: "plugin.job-failed"}}, nil
}

func (c *cellar) RunJob(_ context.Context, id, name string) error {
	c.did("run " + id + " " + name)
	return nil
}
func (c *cellar) Enable(_ context.Context, id string) error { c.did("enable " + id); return nil }
func (c *cellar) Disable(_ context.Context, id string) error {
	c.did("disable " + id)
	return nil
}
func (c *cellar) Views(plugin.Place, string) []plugin.ViewRef {
	return []plugin.ViewRef{{Plugin: shop, Name: "state", Place: plugin.OnSettings, Label: plugin.Label{"he": "מצב", "en": "State", "ru": "Состояние"}}}
}

// List of packages: one that the host knows, one that it could not be given.
type shelf struct{}

func (shelf) List(context.Context) ([]plugin.Shown, error) {
	return []plugin.Shown{{Installed: plugin.Installed{ID: "com.other.broken", Name: "Broken"}, State: plugin.StateBroken,
		Trouble: &fault.Error{Kind: fault.Unavailable, Key: "plugin.not-started"}}}, nil
}

type office struct {
	t      *testing.T
	url    string
	cellar *cellar
	speak  func(lang string) // changes the owner's language
}

func newOffice(t *testing.T) *office {
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
	room := staff.New(db, gate, journal.New(db, time.Now), time.Now)
	var owner staff.Account
	for _, role := range []access.Role{access.Viewer, access.Agent, access.Manager, access.Owner} {
		owner, err = room.Add(access.WithActor(t.Context(), access.Appliance()), staff.Draft{Email: string(role) + "@office.example", Name: "דנה לוי", Lang: "en", Password: password, Role: role})
		if err != nil {
			t.Fatal(err)
		}
	}
	f, err := frame.New(frame.Options{Auth: room, Log: slog.New(slog.DiscardHandler), Now: time.Now, Zone: time.UTC, Office: "Office", Language: "he"})
	if err != nil {
		t.Fatal(err)
	}
	f.GET("/", func(c echo.Context) error { return f.Page(c, http.StatusOK, "Home", templ.Raw("<h1>Home</h1>")) })
	o := &office{t: t, cellar: &cellar{}, speak: func(lang string) {
		if err := room.SetLanguage(access.WithActor(context.Background(), owner.Actor()), lang); err != nil {
			t.Error(err)
		}
	}}
	console.Register(f, console.Rooms{Gate: gate, Plugins: o.cellar, Packages: shelf{}})
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	o.url = s.URL
	return o
}

var tokenField = regexp.MustCompile(`name="_token" value="([^"]+)"`)

// browser is a person's browser without script.
type browser struct {
	t     *testing.T
	http  *http.Client
	base  string
	token string
}

func (o *office) browser(role access.Role) *browser {
	jar, _ := cookiejar.New(nil)
	b := &browser{t: o.t, base: o.url, http: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	b.ask("GET", "/sign-in?lang=en", nil)
	if status, _ := b.ask("POST", "/sign-in", url.Values{"email": {string(role) + "@office.example"}, "password": {password}}); status != http.StatusSeeOther {
		o.t.Fatalf("%s cannot sign in: %d", role, status)
	}
	return b
}

func (b *browser) ask(method, path string, form url.Values) (int, string) {
	b.t.Helper()
	if form != nil {
		form.Set("_token", b.token)
	}
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := b.http.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	if m := tokenField.FindSubmatch(body); m != nil {
		b.token = string(m[1])
	}
	return res.StatusCode, strings.NewReplacer("\u2068", "", "\u2069", "").Replace(string(body))
}

func TestPluginsAreForThoseWhoAdminister(t *testing.T) {
	o := newOffice(t)
	for role, want := range map[access.Role]int{access.Owner: 200, access.Manager: 403, access.Agent: 403, access.Viewer: 403} {
		b := o.browser(role)
		for _, path := range []string{"/console/plugins", "/console/plugins/" + shop} {
			if status, page := b.ask("GET", path, nil); status != want {
				t.Errorf("%s %s: %d, want %d\n%s", role, path, status, want, page)
			}
		}
		for path, form := range map[string]url.Values{"/state": {"state": {"off"}}, "/jobs/nightly": {}} {
			if status, _ := b.ask("POST", "/console/plugins/"+shop+path, form); (status == http.StatusSeeOther) != (want == 200) {
				t.Errorf("%s %s: %d", role, path, status)
			}
		}
	}
	if got := strings.Join(o.cellar.acts, ", "); !strings.Contains(got, "disable "+shop) || !strings.Contains(got, "run "+shop+" nightly") || len(o.cellar.acts) != 2 {
		t.Errorf("done: %s", got)
	}
}

func TestPluginsSayHowTheyAre(t *testing.T) {
	b := newOffice(t).browser(access.Owner)
	_, list := b.ask("GET", "/console/plugins", nil)
	for _, want := range []string{"Workshop &lt;b&gt;", "Fell too often", "does not answer", "Disabled", "17\u00a0MB", "Broken", `href="/console/plugins/com.other.off"`} {
		if !strings.Contains(list, want) {
			t.Errorf("the list lacks %s\n%s", want, list)
		}
	}
	_, page := b.ask("GET", "/console/plugins/"+shop, nil)
	for _, want := range []string{"landlock 7, seccomp", "See, Change: Customer", "Connect to api.example.com:443", "also in the office", "1,200 to it", "office@example.com", "NO [AUTH]",
		"Nightly", "line of ERROR", "&lt;script&gt;", "/views/il.example.workshop/state"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s\n%s", want, page)
		}
	}
	if strings.Contains(page, "line of DEBUG") || strings.Contains(page, "<script>alert") {
		t.Error("the page shows what it must not")
	}
	if _, debug := b.ask("GET", "/console/plugins/"+shop+"?level=debug", nil); !strings.Contains(debug, "line of DEBUG") {
		t.Error("the log at its lowest level lacks a line")
	}
	if status, _ := b.ask("GET", "/console/plugins/none", nil); status != http.StatusNotFound {
		t.Errorf("no such plugin: %d", status)
	}
	if status, _ := b.ask("POST", "/console/plugins/"+shop+"/state", url.Values{"state": {"maybe"}}); status != http.StatusUnprocessableEntity {
		t.Errorf("no such state: %d", status)
	}
}

func TestPagesAreSound(t *testing.T) {
	o := newOffice(t)
	b := frametest.Open(t)
	for _, look := range []struct {
		lang, scheme  string
		width, height int64
		name          string
	}{{"he", "light", 1280, 860, "he-1280-light"}, {"en", "dark", 1280, 860, "en-1280-dark"}, {"he", "dark", 360, 740, "he-360-dark"}, {"ru", "light", 360, 740, "ru-360-light"}} {
		t.Run(look.name, func(t *testing.T) {
			p := b.Page(look.width, look.height, look.scheme)
			o.speak(look.lang)
			p.Go(o.url + "/sign-in?lang=" + look.lang)
			p.Type("#email", "owner@office.example")
			p.Type("#password", password+"\r")
			p.Until(`location.pathname === "/"`)
			for name, path := range map[string]string{"plugins": "/console/plugins", "plugin": "/console/plugins/" + shop, "plugin-off": "/console/plugins/com.other.off"} {
				p.Go(o.url + path)
				p.See("h1")
				p.Sound(name + " " + look.name)
				p.Shot("console-" + name + "-" + look.name)
			}
		})
	}
}
