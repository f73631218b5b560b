package confine

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// probeVariable makes this test program try everything in the list of attempts and print what came of it.
const probeVariable = "KAROV_TEST_PROBE"

// oldVariable is the same as on a kernel that offers the least.
const oldVariable = "KAROV_TEST_OLD"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Command {
		os.Exit(Main())
	}
	if folder := os.Getenv(probeVariable); folder != "" {
		probe(folder)
		return
	}
	if folder := os.Getenv(oldVariable); folder != "" {
		probeOld(folder)
		return
	}
	os.Exit(m.Run())
}

// withoutDetector builds this very test program without what the race detector adds: that takes more memory than a plugin may have.
var withoutDetector = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "k")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "plain")
	if out, err := exec.Command("go", "test", "-c", "-o", file, ".").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the test program: %w\n%s", err, out)
	}
	return os.ReadFile(file)
})

// room is the folders of one plugin, and a file outside them.
type room struct{ dir string }

func (r room) path(name string) string { return filepath.Join(r.dir, name) }

func newRoom(t *testing.T) room {
	t.Helper()
	r := room{t.TempDir()}
	for _, dir := range []string{"work", "package", "sockets", "other"} {
		if err := os.Mkdir(r.path(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"secret", "package/data", "other/data", "allowed"} {
		if err := os.WriteFile(r.path(name), []byte("content"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The test program itself is both the plugin and the launcher.
	program, err := withoutDetector()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"package/plugin", "launcher"} {
		if err := os.WriteFile(r.path(name), program, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func (r room) spec() Spec {
	return Spec{
		Program: r.path("package/plugin"), Work: r.path("work"), Package: r.path("package"), Sockets: r.path("sockets"),
		Read: []string{r.path("allowed"), r.path("not there")}, Minimum: Files, Parent: os.Getpid(),
		Limits: Limits{Memory: 256 << 20, OpenFiles: 300, FileSize: 1 << 20},
	}
}

// launched starts the launcher over a spec and gives what the plugin printed.
func launched(t *testing.T, spec Spec, env ...string) (Report, string, error) {
	t.Helper()
	start, err := Prepare(spec)
	if err != nil {
		t.Fatal(err)
	}
	defer start.Close()
	var out, errs strings.Builder
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	cmd := exec.Command(filepath.Join(spec.Sockets, "../launcher"), Command)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &out, &errs
	cmd.ExtraFiles = append([]*os.File{null}, start.Files()...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	report, refused := start.Started(cmd.Process.Pid)
	err = cmd.Wait()
	if refused == nil && err != nil {
		t.Fatalf("the plugin ended: %v\n%s", err, errs.String())
	}
	return report, out.String(), refused
}

func TestAPluginIsLockedIn(t *testing.T) {
	r := newRoom(t)
	report, out, err := launched(t, r.spec(), probeVariable+"="+r.dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := min(landlockABI(), knownABI); report.Landlock != want || !report.SystemCalls || !report.Limits || report.Level.Below(Files) {
		t.Errorf("the report is %s, landlock should be %d", report, want)
	}
	var got map[string]string
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("the probe printed %q: %v", out, err)
	}
	for _, a := range attempts(r.dir) {
		if got[a.name] != a.want {
			t.Errorf("%-30s got %q, want %q", a.name, got[a.name], a.want)
		}
	}
	if len(got) != len(attempts(r.dir)) {
		t.Errorf("%d results of %d attempts", len(got), len(attempts(r.dir)))
	}
	if data, err := os.ReadFile(r.path("secret")); err != nil || string(data) != "content" {
		t.Errorf("the secret is now %q, %v", data, err)
	}
}

// TestTheProbeBites runs the same attempts with nothing confined: each that is refused above must be possible here, or
// the test above would prove nothing.
func TestTheProbeBites(t *testing.T) {
	r := newRoom(t)
	cmd := exec.Command(r.path("package/plugin"))
	cmd.Dir = r.path("work")
	cmd.Env = []string{probeVariable + "=" + r.dir}
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	var got map[string]string
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("the probe printed %q: %v", out, err)
	}
	for _, a := range attempts(r.dir) {
		if a.want != "ok" && !a.always && got[a.name] == a.want {
			t.Errorf("%s is %q for anybody", a.name, got[a.name])
		}
	}
}

// TestTheOldestKernelToo is about what landlock of ABI 2 leaves open and the filter must close.
func TestTheOldestKernelToo(t *testing.T) {
	if landlockABI() < leastABI {
		t.Skip("this kernel has no landlock; CI has")
	}
	r := newRoom(t)
	cmd := exec.Command(r.path("package/plugin"))
	cmd.Env = []string{oldVariable + "=" + r.dir}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var got map[string]string
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("the probe printed %q: %v", out, err)
	}
	for _, a := range oldAttempts(r.dir) {
		if got[a.name] != a.want {
			t.Errorf("%-30s got %q, want %q", a.name, got[a.name], a.want)
		}
	}
}

func TestTheProgramMustBeTheOneInstalled(t *testing.T) {
	r := newRoom(t)
	spec := r.spec()
	spec.SHA256 = strings.Repeat("0", 64)
	_, _, err := launched(t, spec)
	var refusal *Refusal
	if !errors.As(err, &refusal) || refusal.Why != WhyChanged {
		t.Errorf("another program: %v", err)
	}
}

func TestLessThanTheMinimumIsNotStarted(t *testing.T) {
	var r Report
	for _, c := range []struct {
		abi   int
		calls bool
		want  Level
	}{{0, true, None}, {1, true, None}, {2, false, None}, {2, true, Files}, {5, true, Files}, {6, true, Full}, {11, true, Full}} {
		r = Report{Landlock: c.abi, SystemCalls: c.calls, Limits: true}
		if r.judge(); r.Level != c.want {
			t.Errorf("landlock %d, filter %v is %s, want %s", c.abi, c.calls, r.Level, c.want)
		}
	}
	if !None.Below(Files) || !Files.Below(Full) || Full.Below(Full) || Level("").Known() {
		t.Error("the levels are out of order")
	}
}

// TestThePluginCannotClaimMore holds the report of a launcher that confines nothing against the kernel.
func TestThePluginCannotClaimMore(t *testing.T) {
	s := &Start{spec: Spec{Minimum: Files}}
	said := Report{Level: Full, Landlock: 7, SystemCalls: true, Limits: true}
	got, err := s.crossCheck(os.Getpid(), said)
	var refusal *Refusal
	if !errors.As(err, &refusal) || refusal.Why != WhyIsolation || got.Level != None {
		t.Errorf("an unconfined process passes as %s, %v", got, err)
	}
	s.spec.Minimum = None
	if got, err := s.crossCheck(os.Getpid(), said); err != nil || got.Level != None {
		t.Errorf("without a minimum it is %s, %v", got, err)
	}
}

func TestBadSpecs(t *testing.T) {
	r := newRoom(t)
	for name, change := range map[string]func(*Spec){
		"relative path":   func(s *Spec) { s.Work = "work" },
		"no such level":   func(s *Spec) { s.Minimum = "much" },
		"no interpreter":  func(s *Spec) { s.Interpreter = "perl" },
		"no work folder":  func(s *Spec) { s.Work = r.path("nowhere") },
		"the host ended":  func(s *Spec) { s.Parent = 1 << 30 },
		"too much to say": func(s *Spec) { s.Read = []string{strings.Repeat("x", maxSpec)} },
	} {
		spec := r.spec()
		change(&spec)
		if report, _, err := launched(t, spec, probeVariable+"="+r.dir); err == nil {
			t.Errorf("%s: started with %s", name, report)
		}
	}
}

// TestAnotherUser needs root, which tests of the package have in CI.
func TestAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can start a plugin as another user, and this test runs as one who is not")
	}
	r := newRoom(t)
	spec := r.spec()
	spec.UID, spec.GID = 60001, 60001
	for dir := r.dir; dir != "/"; dir = filepath.Dir(dir) {
		if st, err := os.Stat(dir); err != nil || st.Mode()&0o001 == 0 {
			if err := os.Chmod(dir, 0o711); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := filepath.WalkDir(r.dir, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, 60001, 60001))
	}); err != nil {
		t.Fatal(err)
	}
	report, out, err := launched(t, spec, probeVariable+"="+r.dir)
	if err != nil {
		t.Fatal(err)
	}
	if report.OwnUser != 60001 || !slices.Contains(report.Parts(), "user 60001") {
		t.Errorf("the report is %s", report)
	}
	var got map[string]string
	if err := json.Unmarshal([]byte(out), &got); err != nil || got["user"] != "60001 60001 60001" {
		t.Errorf("it runs as %v, %v", got["user"], err)
	}
}

func TestPythonRunsLockedIn(t *testing.T) {
	if _, err := os.Stat("/usr/bin/python3"); err != nil {
		t.Skip("there is no Python on this machine; CI installs python3")
	}
	r := newRoom(t)
	script := `
import os, ssl, socket, threading, json, sys
def why(f):
    try:
        f()
        return "ok"
    except OSError as e:
        return os.strerror(e.errno)
t = threading.Thread(target=lambda: None); t.start(); t.join()
ssl.create_default_context()
socket.socketpair()
open("mine", "w").write("x")
print(json.dumps({
  "secret": why(lambda: open(os.path.dirname(sys.argv[0]) + "/../secret")),
  "network": why(lambda: socket.socket()),
  "process": why(lambda: os.fork()),
  "program": why(lambda: os.execv("/bin/true", ["true"])),
}))
`
	file := r.path("package/plugin.py")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := r.spec()
	spec.Program, spec.Interpreter = file, "python3"
	_, out, err := launched(t, spec, "LANG=C")
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("it printed %q: %v", out, err)
	}
	want := map[string]string{
		"secret": "Permission denied", "network": "Operation not permitted", "process": "Operation not permitted",
		"program": "Operation not permitted",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// why names what became of an attempt.
func why(err error) string {
	var errno syscall.Errno
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &errno):
		return unix.ErrnoName(errno)
	}
	return fmt.Sprint(err)
}
