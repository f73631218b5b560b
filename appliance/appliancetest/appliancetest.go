// Package appliancetest starts a whole Karov for tests: the real program with its plugins, as processes of their own,
// over a data folder that the test gives or that is thrown away.
//
// It owns the processes it starts and promises to end them with the test. It speaks with them as anybody would: by
// commands, the API and signals, so that what a test shows is what users get. It will not reach into rooms: their own
// tests do.
package appliancetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The owner that Setup makes.
const (
	OwnerEmail    = "owner@karov.test"
	OwnerPassword = "correct horse battery"
)

// patience is how long the appliance may take to come up or to go down on a busy machine.
const patience = 90 * time.Second

// programs are the built binaries, made once for all tests of a package.
type programs struct {
	karov, plugins string
	err            error
}

var build = sync.OnceValue(func() (p programs) {
	dir, err := os.MkdirTemp("", "karov-built-")
	if err != nil {
		return programs{err: err}
	}
	p = programs{karov: filepath.Join(dir, "karov"), plugins: filepath.Join(dir, "plugins")}
	root, err := goOutput("list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		return programs{err: err}
	}
	compile := []string{"build", "-o", p.karov}
	if raceDetector {
		compile = append(compile, "-race")
	}
	if _, err := goOutput(append(compile, "github.com/karov-crm/karov/appliance/cmd/karov")...); err != nil {
		return programs{err: err}
	}
	home := filepath.Join(p.plugins, "email")
	if p.err = os.CopyFS(home, os.DirFS(filepath.Join(root, "plugins", "email"))); p.err != nil {
		return p
	}
	_, p.err = goOutput("build", "-o", filepath.Join(home, "email"), "github.com/karov-crm/karov/plugins/email")
	return p
})

func goOutput(args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", args[0], err, errs.String())
	}
	return strings.TrimSpace(out.String()), nil
}

// CleanUp removes the built programs; a package's TestMain calls it after its tests.
func CleanUp() {
	if p := build(); p.karov != "" {
		_ = os.RemoveAll(filepath.Dir(p.karov))
	}
}

// Appliance is a Karov of a test. Its methods fail the test when something goes wrong.
type Appliance struct {
	URL  string
	Data string

	tb      testing.TB
	listen  string
	daemon  *exec.Cmd
	log     *bytes.Buffer
	logging sync.Mutex
	ended   chan struct{}
	tokens  map[string]string
}

// New makes an appliance with an owner over a fresh data folder, without starting it. The folder's name is short, since
// sockets lie in it.
func New(tb testing.TB) *Appliance {
	tb.Helper()
	dir, err := os.MkdirTemp("", "kt")
	must(tb, err)
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	a := Over(tb, filepath.Join(dir, "d"))
	a.Karov(OwnerPassword+"\n", "setup", "--owner-email", OwnerEmail, "--owner-name", "Dana Owner", "--language", "en", "--password-stdin")
	return a
}

// Over makes an appliance over a data folder as it is.
func Over(tb testing.TB, data string) *Appliance {
	tb.Helper()
	must(tb, build().err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(tb, err)
	listen := ln.Addr().String()
	must(tb, ln.Close())
	a := &Appliance{URL: "http://" + listen, Data: data, tb: tb, listen: listen, log: &bytes.Buffer{}, tokens: map[string]string{}}
	tb.Cleanup(func() {
		a.Kill()
		if tb.Failed() {
			tb.Logf("the daemon's log:\n%s", a.Log())
		}
	})
	return a
}

// Start makes an appliance with an owner and starts it.
func Start(tb testing.TB) *Appliance {
	tb.Helper()
	a := New(tb)
	a.Start()
	return a
}

// Programs gives the built karov and the folder of its plugins, for tests that run commands by themselves.
func Programs(tb testing.TB) (karov, plugins string) {
	tb.Helper()
	must(tb, build().err)
	return build().karov, build().plugins
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// Command gives a karov command on the data folder.
func (a *Appliance) Command(args ...string) *exec.Cmd {
	return exec.Command(build().karov, append(args, "--data", a.Data)...)
}

// Karov runs a command that must succeed, and gives what it printed.
func (a *Appliance) Karov(input string, args ...string) string {
	a.tb.Helper()
	out, err := a.Try(input, args...)
	if err != nil {
		a.tb.Fatalf("karov %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// Try runs a command and gives what it printed, its complaints too.
func (a *Appliance) Try(input string, args ...string) (string, error) {
	cmd := a.Command(args...)
	cmd.Stdin = strings.NewReader(input)
	cmd.Env = append(os.Environ(), "KAROV_LANG=en")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Start starts the daemon and returns when it is ready.
func (a *Appliance) Start() {
	a.tb.Helper()
	a.daemon = a.Command("serve", "--listen", a.listen, "--plain-http", "--plugins", build().plugins)
	a.daemon.Stdout, a.daemon.Stderr = a, a
	a.daemon.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(a.tb, a.daemon.Start())
	ended := make(chan struct{})
	a.ended = ended
	daemon := a.daemon
	go func() { _ = daemon.Wait(); close(ended) }()
	a.Until("the daemon is ready", func() bool {
		select {
		case <-ended:
			a.tb.Fatalf("the daemon ended by itself:\n%s", a.Log())
		default:
		}
		answer, err := http.Get(a.URL + "/readyz")
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
}

// Write takes the daemon's log.
func (a *Appliance) Write(p []byte) (int, error) {
	a.logging.Lock()
	defer a.logging.Unlock()
	return a.log.Write(p)
}

// Log is what the daemon said so far.
func (a *Appliance) Log() string {
	a.logging.Lock()
	defer a.logging.Unlock()
	return a.log.String()
}

// PID is the daemon's process id.
func (a *Appliance) PID() int { return a.daemon.Process.Pid }

// Kill ends the daemon as a power cut would, and waits for its process to go.
func (a *Appliance) Kill() {
	if a.ended == nil {
		return
	}
	_ = a.daemon.Process.Kill() // one that ended already is as dead
	<-a.ended
}

// Stop ends the daemon in good order; it must exit with 0.
func (a *Appliance) Stop() {
	a.tb.Helper()
	must(a.tb, a.daemon.Process.Signal(syscall.SIGTERM))
	select {
	case <-a.ended:
	case <-time.After(patience):
		a.tb.Fatalf("the daemon does not stop:\n%s", a.Log())
	}
	if code := a.daemon.ProcessState.ExitCode(); code != 0 {
		a.tb.Fatalf("the daemon exited with %d:\n%s", code, a.Log())
	}
}

// Until waits for something that is about to happen.
func (a *Appliance) Until(what string, happened func() bool) {
	a.tb.Helper()
	for deadline := time.Now().Add(patience); !happened(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			a.tb.Fatalf("waited in vain: %s", what)
		}
	}
}

// Token gives an API token of an account, made once. The account is the owner's for "".
func (a *Appliance) Token(email string) string {
	a.tb.Helper()
	if a.tokens[email] == "" {
		var made struct{ Token string }
		must(a.tb, json.Unmarshal([]byte(a.Karov("", "token", "create", "--email", email, "--name", "test", "--json")), &made))
		a.tokens[email] = made.Token
	}
	return a.tokens[email]
}

// Answer is what the API said.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Request asks the API as the owner. A body that is not nil is sent as JSON.
func (a *Appliance) Request(ctx context.Context, method, path string, body any, headers ...string) (Answer, error) {
	var r io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return Answer{}, err
		}
		r = bytes.NewReader(raw)
	}
	request, err := http.NewRequestWithContext(ctx, method, a.URL+path, r)
	if err != nil {
		return Answer{}, err
	}
	request.Header.Set("Authorization", "Bearer "+a.Token(""))
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return Answer{}, err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	return Answer{answer.StatusCode, answer.Header, raw}, err
}

// Get reads an address of the API into v.
func (a *Appliance) Get(path string, v any) {
	a.tb.Helper()
	a.mustAnswer(http.MethodGet, path, nil, v)
}

// Post sends body and reads the answer into v, where it is not nil.
func (a *Appliance) Post(path string, body, v any) {
	a.tb.Helper()
	a.mustAnswer(http.MethodPost, path, body, v)
}

func (a *Appliance) mustAnswer(method, path string, body, v any) {
	a.tb.Helper()
	answer, err := a.Request(context.Background(), method, path, body)
	must(a.tb, err)
	if answer.Status >= 300 {
		a.tb.Fatalf("%s %s: %d\n%s", method, path, answer.Status, answer.Body)
	}
	if v != nil {
		must(a.tb, json.Unmarshal(answer.Body, v))
	}
}

// Total is how many records of an entity the owner sees.
func (a *Appliance) Total(entity string) int {
	a.tb.Helper()
	var page struct{ Total int }
	a.Get("/api/v1/records/"+entity+"?limit=1&count=exact", &page)
	return page.Total
}

// Plugin is a plugin as `karov plugin list` shows it.
type Plugin struct {
	ID, State string
	PID       int
	Restarts  int
	Accounts  []struct {
		Account, Key, Detail string
		OK                   bool
		Words                map[string]string
	}
}

// Plugin gives how the plugin of an id fares.
func (a *Appliance) Plugin(id string) Plugin {
	a.tb.Helper()
	var all []Plugin
	must(a.tb, json.Unmarshal([]byte(a.Karov("", "plugin", "list", "--json")), &all))
	for _, p := range all {
		if p.ID == id {
			return p
		}
	}
	a.tb.Fatalf("there is no plugin %s in %v", id, all)
	return Plugin{}
}
