package plugin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/control"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
	"github.com/karov-crm/karov/plugins/plugintest"
)

// victim is a small office with a data file, another plugin, a local door and a server in its network.
type victim struct {
	*plugintest.World
	data, run string
	book      *record.Book
	customer  record.ID
	settings  map[string]string
	server    net.Listener

	mu      sync.Mutex
	refused map[string]int // what was told of, as "what to-or-permission"
	knocked int            // acts of the local door that were called
	reached int            // connections that came to the server
}

// hostileManifest grants one place in the network and nothing else.
const hostileManifest = `id: test.hostile
name: Hostile
version: 1.0.0
api: ">=1.0"
binary: hostile
permissions:
  memory: 1GB
  storage: 64MB
  egress:
    - {to: "${declared}:%d", private: true}
    - {to: "localhost:%d"}
    - {to: "169.254.169.254:80", private: true}
config:
`

// otherPlugin is an honest one beside it.
const otherPlugin = "com.karov-crm.example"

// aims are the settings that tell the plugin where to aim. None of them gives it anything.
var aims = []string{"data", "key", "other", "other-sockets", "package", "control", "server", "abstract", "declared", "record", "last"}

func newVictim(t *testing.T) *victim {
	t.Helper()
	v := &victim{data: t.TempDir(), refused: map[string]int{}}
	v.openServer(t)
	home := v.plugins(t)
	options := v.core(t)
	office := plugintest.NewOffice(nil)
	v.settings = map[string]string{
		"data": filepath.Join(v.data, "karov.db"), "key": filepath.Join(v.data, "conf", "secret.key"),
		"other": filepath.Join(v.data, "plugins", otherPlugin), "folder": t.TempDir(), "package": filepath.Join(home, "hostile"),
		"server": v.server.Addr().String(), "declared": "127.0.0.1", "record": v.customer.String(),
	}
	v.World = plugintest.Start(t, home, office, func(o *plugin.Options) {
		v.run = o.RunDir
		o.Disabled = []string{"test.hostile"}
		o.Timing.BackoffMin, o.Timing.BackoffMax = time.Hour, time.Hour // one attempt is enough
		o.DataDir, o.Own = filepath.Join(v.data, "plugins"), []string{v.data}
		options(o)
	})
	v.settings["other-sockets"] = filepath.Join(v.run, "p", otherPlugin)
	v.openDoor(t)
	v.openAbstract(t)
	office.SetConfig(v.settings)
	plugintest.Wait(t, "the other plugin runs", func() bool { return len(v.Host.Channels()["folder"]) > 0 })
	return v
}

// plugins makes a folder with the hostile plugin and an honest one.
func (v *victim) plugins(t *testing.T) string {
	t.Helper()
	home := plugintest.Build(t, exampleDir, examplePackage)
	dir := filepath.Join(home, "hostile")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "hostile"), "./testdata/hostile").CombinedOutput(); err != nil {
		t.Fatalf("build the hostile plugin: %v\n%s", err, out)
	}
	port := v.server.Addr().(*net.TCPAddr).Port
	manifest := fmt.Sprintf(hostileManifest, port, port)
	for _, key := range aims {
		manifest += fmt.Sprintf("  - {key: %s, type: text, label: {he: x, en: x, ru: x}}\n", key)
	}
	if err := os.WriteFile(filepath.Join(dir, "plugin.yaml"), []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	return home
}

// core makes the data with one customer, and gives the options by which plugins get at records.
func (v *victim) core(t *testing.T) func(*plugin.Options) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.Mkdir(filepath.Join(v.data, "conf"), 0o700))
	db, err := bolt.Open(filepath.Join(v.data, "karov.db"))
	check(err)
	t.Cleanup(func() { _ = db.Close() })
	check(store.Prepare(t.Context(), db, nil))
	gate, err := access.OpenGate(t.Context(), access.Options{DB: db, Now: time.Now,
		CheckWhere: func(_, _ string) error { return nil }, CheckField: func(_, _ string) error { return nil }})
	check(err)
	set, err := schema.New(schema.Entity{Name: "contact", Title: "name", Fields: []schema.Field{
		{Number: 16, Name: "name", Type: schema.Text, Required: true, Indexed: true},
	}})
	check(err)
	facts := journal.New(db, time.Now)
	v.book = record.NewBook(record.Parts{DB: db, Schema: schema.Fixed(set), Gate: gate, Journal: facts, Now: time.Now})
	made, err := v.book.Create(appliance(t.Context()), "contact", record.Values{"name": "Rami"})
	check(err)
	v.customer = made.ID
	settings, err := plugin.OpenSettings(db, gate, facts, filepath.Join(v.data, "conf", "secret.key"))
	check(err)
	check(settings.Set(appliance(t.Context()), "test.hostile", map[string]string{"x": "y"}, false)) // so that the key is there
	return func(o *plugin.Options) {
		o.DB, o.Book, o.Gate, o.Journal, o.Secrets = db, v.book, gate, facts, settings
		o.Actor = func(ctx context.Context, id string) context.Context {
			return access.WithActor(ctx, access.Actor{ID: "plugin:" + id, Role: access.Plugin})
		}
		o.Refused = func(_ context.Context, id, what string, about map[string]string) {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.refused[strings.TrimSpace(what+" "+about["to"]+about["permission"])]++
		}
	}
}

func appliance(ctx context.Context) context.Context {
	return access.WithActor(ctx, access.Appliance())
}

// openServer listens in the network and counts who comes.
func (v *victim) openServer(t *testing.T) {
	t.Helper()
	var err error
	if v.server, err = net.Listen("tcp4", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.server.Close() })
	go func() {
		for {
			conn, err := v.server.Accept()
			if err != nil {
				return
			}
			v.mu.Lock()
			v.reached++
			v.mu.Unlock()
			conn.Close()
		}
	}()
}

// openDoor opens the local door by which commands speak with the daemon.
func (v *victim) openDoor(t *testing.T) {
	t.Helper()
	s := control.NewServer(slog.New(slog.DiscardHandler))
	s.Handle("status", func(context.Context, *control.Call) (any, error) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.knocked++
		return "come in", nil
	})
	door, err := control.Listen(v.data)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(door) }()
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	v.settings["control"] = door.Addr().String()
}

// openAbstract listens on a local socket that is no file.
func (v *victim) openAbstract(t *testing.T) {
	t.Helper()
	v.settings["abstract"] = "@karov-test-" + strconv.Itoa(os.Getpid())
	l, err := net.Listen("unix", v.settings["abstract"])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
}

// attempts lets the plugin loose on what last names, and gives what it wrote down.
func (v *victim) attempts(t *testing.T, last string) map[string]string {
	t.Helper()
	work := filepath.Join(v.data, "plugins", "test.hostile")
	if err := v.Host.Disable(t.Context(), "test.hostile"); err != nil {
		t.Fatal(err)
	}
	falls := v.status().Restarts
	if err := os.RemoveAll(work); err != nil {
		t.Fatal(err)
	}
	config := maps.Clone(v.settings)
	config["last"] = last
	v.Office.SetConfig(config)
	if err := v.Host.Enable(t.Context(), "test.hostile"); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	plugintest.Wait(t, "the hostile plugin is done, or was ended", func() bool {
		raw, err := os.ReadFile(filepath.Join(work, "results.jsonl"))
		if err != nil {
			return false
		}
		for line := range bytes.Lines(raw) {
			var r struct{ Attempt, Outcome string }
			if json.Unmarshal(line, &r) == nil {
				got[r.Attempt] = r.Outcome
			}
		}
		_, done := got["done"]
		return done || v.status().Restarts > falls
	})
	return got
}

func (v *victim) status() plugin.Status {
	for _, s := range v.Host.List() {
		if s.ID == "test.hostile" {
			return s
		}
	}
	return plugin.Status{}
}

// told tells whether the host heard of a refusal.
func (v *victim) told(t *testing.T, what string) {
	t.Helper()
	plugintest.Wait(t, "the audit has "+what, func() bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		return v.refused[what] > 0
	})
}

// answers measures the core for a while: it reads the customer again and again, and each answer must be right.
func (v *victim) answers(t *testing.T, stop <-chan struct{}) (took []time.Duration) {
	ctx := appliance(t.Context())
	for {
		select {
		case <-stop:
			return took
		case <-time.After(2 * time.Millisecond):
		}
		began := time.Now()
		r, err := v.book.Get(ctx, "contact", v.customer)
		took = append(took, time.Since(began))
		if err != nil || r.Text("name") != "Rami" {
			t.Errorf("the core's answer is %v, %v", r, err)
			return took
		}
	}
}

// during measures the core while something happens.
func (v *victim) during(t *testing.T, what func()) string {
	t.Helper()
	stop, took := make(chan struct{}), make(chan []time.Duration, 1)
	go func() { took <- v.answers(t, stop) }()
	what()
	close(stop)
	all := <-took
	if len(all) == 0 {
		t.Error("the core did not answer at all")
		return ""
	}
	slices.Sort(all)
	return fmt.Sprintf("%6d answers, p50 %v, p99 %v", len(all), all[len(all)/2].Round(time.Microsecond), all[len(all)*99/100].Round(time.Microsecond))
}

// refusals are what must come of each attempt, and who refuses it.
var refusals = []struct{ attempt, outcome, by string }{
	{"read the data file", "EACCES", "landlock"}, {"write the data file", "EACCES", "landlock"},
	{"empty the data file", "EACCES|EPERM", "landlock, system calls before ABI 3"}, {"lock the data file away (chmod)", "EPERM", "system calls"},
	{"delete the data file", "EACCES", "landlock"}, {"put another in its place", "EACCES|EXDEV", "landlock"}, {"link to it", "EXDEV|EACCES", "landlock"},
	{"read it by a symbolic link", "EACCES", "landlock"}, {"list the data folder", "EACCES", "landlock"},
	{"read the key of its secrets", "EACCES", "landlock"}, {"list another plugin's folder", "EACCES", "landlock"},
	{"write into another plugin's folder", "EACCES", "landlock"}, {"change its own program", "EACCES|ETXTBSY", "landlock"},
	{"read /etc/passwd", "EACCES", "landlock"}, {"read /etc/shadow", "EACCES", "landlock"},
	{"read the host's memory file", "EACCES", "landlock"}, {"read the host's environment", "EACCES", "landlock"},
	{"exec /bin/true", "EPERM", "system calls"}, {"exec a program it wrote", "EPERM", "system calls"}, {"fork bomb", "EPERM", "system calls"},
	{"signal the host", "EPERM", "system calls, landlock"}, {"have the kernel signal the host", "EPERM", "system calls, landlock"},
	{"ptrace the host", "EPERM", "system calls"}, {"read the host's memory", "EPERM", "system calls"},
	{"cut the host's open files", "EPERM", "system calls"}, {"slow the host down", "EPERM", "system calls"},
	{"outlive the host", "EPERM", "system calls"}, {"a user namespace", "EPERM", "system calls"}, {"io_uring", "EPERM", "system calls"},
	{"its own line with a wrong token", "Unauthenticated", "host: token, audited"}, {"its own line without a token", "Unauthenticated", "host: token, audited"},
	{"another plugin's line to the host", "Unavailable", "host: peer, audited"}, {"another plugin itself", "Unavailable", "the other plugin: peer"},
	{"another plugin's way out", "EOF|unexpected EOF|ECONNRESET|EPIPE", "host: peer, audited"},
	{"the way out with a wrong token", "407 Proxy Authentication Required", "host: token, audited"},
	{"papers of the host's process", "EPERM", "kernel"}, {"commands of the administrator", "403 Forbidden", "host: key"},
	{"the key to those commands", "EACCES", "landlock"},
	{"an undeclared host", "egress.forbidden", "host: way out, audited"},
	{"an undeclared port of a declared host", "egress.forbidden", "host: way out, audited"},
	{"this machine under a public name", "egress.forbidden", "host: way out, audited"}, {"the cloud's keys", "egress.forbidden", "host: way out, audited"},
	{"TCP", "EPERM", "system calls"}, {"UDP", "EPERM", "system calls"}, {"MPTCP", "EPERM", "system calls"}, {"a raw socket", "EPERM", "system calls"},
	{"packets", "EPERM", "system calls"}, {"netlink", "EPERM", "system calls"}, {"listen to the world", "EPERM", "system calls"},
	{"an abstract socket of the host", "EPERM", "landlock from ABI 6"},
	{"records it was not granted", "plugin.not-granted", "host: grant, audited"}, {"count what it was not granted", "plugin.not-granted", "host: grant, audited"},
	{"rights of a made-up call", "PermissionDenied", "host: handle, audited"},
	{"a message of 100 MB", "ResourceExhausted", "host: line, audited"},
	{"a declared place", "done", "allowed"},
}

func TestAHostilePluginReachesNothing(t *testing.T) {
	v := newVictim(t)
	before := v.during(t, func() { time.Sleep(500 * time.Millisecond) })
	var got map[string]string
	meanwhile := v.during(t, func() { got = v.attempts(t, "") })
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "ATTEMPT\tOUTCOME\tREFUSED BY")
	for _, r := range refusals {
		fmt.Fprintf(w, "%s\t%s\t%s\n", r.attempt, got[r.attempt], r.by)
		if !slices.Contains(strings.Split(r.outcome, "|"), got[r.attempt]) {
			t.Errorf("%s: %q, want %s", r.attempt, got[r.attempt], r.outcome)
		}
		delete(got, r.attempt)
	}
	delete(got, "done")
	if len(got) > 0 {
		t.Errorf("attempts that nobody expects: %v", got)
	}
	_ = w.Flush()
	t.Logf("what the plugin tried (%s):\n%s", v.status().Isolation, table.String())
	t.Logf("the core before    %s\n    the core meanwhile %s", before, meanwhile)
	port := strconv.Itoa(v.server.Addr().(*net.TCPAddr).Port)
	for _, what := range []string{
		"token-wrong", "stranger", "egress evil.example:443", "egress 127.0.0.1:22", "egress localhost:" + port, "egress 169.254.169.254:80",
		"not-granted see:contact", "call-unknown", "message-too-long",
	} {
		v.told(t, what)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.knocked > 0 || v.reached != 1 {
		t.Errorf("the local door was used %d times, the server in the network reached %d times", v.knocked, v.reached)
	}
}

// TestAStrangerIsTurnedAway is another process of the same user on the plugin's own line: this one.
func TestAStrangerIsTurnedAway(t *testing.T) {
	v := newVictim(t)
	for _, socket := range []string{"host.sock", "egress.sock"} {
		conn, err := net.Dial("unix", filepath.Join(v.settings["other-sockets"], socket))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
		if n, err := io.Copy(io.Discard, conn); n > 0 || err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s says %d bytes to a stranger, %v", socket, n, err)
		}
		conn.Close()
	}
	v.told(t, "stranger")
}

func TestAHostilePluginUsesNothingUp(t *testing.T) {
	v := newVictim(t)
	t.Logf("the core before: %s", v.during(t, func() { time.Sleep(time.Second) }))
	t.Run("100,000 calls a second", func(t *testing.T) {
		var got map[string]string
		began := time.Now()
		meanwhile := v.during(t, func() { got = v.attempts(t, "calls") })
		outcome := got["100,000 calls a second"]
		t.Logf("%s; the core meanwhile %s", outcome, meanwhile)
		var answered, refused int
		if _, err := fmt.Sscanf(outcome, "%d answered and %d refused", &answered, &refused); err != nil {
			t.Fatalf("it came to %q", outcome)
		}
		// 2,000 in each second and 4,000 at once: a slow machine does not come so far, no machine comes further.
		if most := 4000 + int(time.Since(began).Seconds()+1)*2000; answered > most {
			t.Errorf("%d calls were answered, at most %d may be", answered, most)
		}
		if refused > 0 {
			v.told(t, "too-many-calls")
		}
	})
	for _, c := range []struct{ last, attempt, want, told string }{
		{"files", "1,000,000 files", "plugin.storage-over", "over-its-bounds"},
		{"disk", "10 GB on the disk", "plugin.storage-over", "over-its-bounds"},
		{"hidden-disk", "10 GB without a name", "plugin.storage-over", "over-its-bounds"},
		{"memory", "10 GB of memory", "plugin.ended", ""},
		{"threads", "a thousand threads", "plugin.threads-over", "over-its-bounds"},
	} {
		t.Run(c.attempt, func(t *testing.T) {
			var got map[string]string
			meanwhile := v.during(t, func() { got = v.attempts(t, c.last) })
			s := v.status()
			outcome := got[c.attempt]
			if s.LastError != nil {
				outcome = s.LastError.Error()
			}
			t.Logf("%s: %.150s; the core meanwhile %s", c.attempt, outcome, meanwhile)
			if s.LastError == nil || s.LastError.Key != c.want {
				t.Errorf("it came to %q, %v", got[c.attempt], s.LastError)
			}
			if c.told != "" {
				v.told(t, c.told)
			}
		})
	}
}
