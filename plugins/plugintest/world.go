package plugintest

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/plugin"
)

// patience is how long the suite waits for something that must happen. It bounds a failing run and measures nothing.
const patience = 60 * time.Second

// Build makes a folder of plugins that holds one plugin, as Karov finds it: what lies in dir, and its binary, built from
// the Go package pkg ("" when dir holds the binary). It gives the folder for plugin.Options.Dirs.
func Build(t testing.TB, dir, pkg string) string {
	t.Helper()
	m, err := plugin.ReadManifest(dir)
	if err != nil {
		t.Fatalf("read the manifest: %v", err)
	}
	home := filepath.Join(t.TempDir(), "plugins")
	to := filepath.Join(home, m.ID)
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatalf("copy the plugin: %v", err)
	}
	if pkg != "" {
		program, err := built(pkg)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, m.Binary), program, 0o700); err != nil {
			t.Fatalf("write %s: %v", m.Binary, err)
		}
	}
	return home
}

// programs are those that this test program built, by package: linking one anew for each test takes longer than the test.
var programs sync.Map // package -> func() ([]byte, error)

// built gives a program, built once in each test program.
func built(pkg string) ([]byte, error) {
	once, _ := programs.LoadOrStore(pkg, sync.OnceValues(func() ([]byte, error) {
		dir, err := os.MkdirTemp("", "k")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		path := filepath.Join(dir, "program")
		out, err := exec.Command("go", "build", "-o", path, pkg).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("build %s: %w\n%s", pkg, err, out)
		}
		return os.ReadFile(path)
	}))
	return once.(func() ([]byte, error))()
}

// Launcher builds the program that locks plugins in (package confine) and gives its path, for plugin.Options.Launch.
func Launcher(t testing.TB) string {
	t.Helper()
	program, err := launcher()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "launch")
	if err := os.WriteFile(path, program, 0o700); err != nil {
		t.Fatalf("write the launcher: %v", err)
	}
	return path
}

// launcher builds the launcher once in each test program.
func launcher() ([]byte, error) {
	return built("github.com/karov-crm/karov/appliance/plugin/confine/launch")
}

// World is a running host with one office.
type World struct {
	Host   *plugin.Host
	Office *Office
	Log    *Log
}

// Quick are spans of time short enough for a test.
func Quick() plugin.Timing {
	return plugin.Timing{
		Before: 3 * time.Second, Render: 4 * time.Second, // on a machine where everything is tested at once
		PingEvery: 300 * time.Millisecond, Ping: 2 * time.Second,
		BackoffMin: 20 * time.Millisecond, BackoffMax: 100 * time.Millisecond, Crashes: 1000,
	}
}

// Start starts a host over the plugins in home. It is closed with the test. Change may alter the options.
func Start(t testing.TB, home string, office *Office, change ...func(*plugin.Options)) *World {
	t.Helper()
	run, err := os.MkdirTemp("", "k") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(run) })
	log := &Log{}
	o := plugin.Options{
		Dirs: []string{home}, DataDir: t.TempDir(), RunDir: run, Version: "test",
		Log:   slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Inbox: office, Blobs: office, Settings: office, Timing: Quick(), Launch: []string{Launcher(t)},
	}
	for _, c := range change {
		c(&o)
	}
	h, err := plugin.Open(o)
	if err != nil {
		t.Fatalf("open the host: %v", err)
	}
	if err := h.Start(t.Context()); err != nil {
		t.Fatalf("start the host: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := h.Close(ctx); err != nil {
			t.Errorf("close the host: %v", err)
		}
		if t.Failed() {
			t.Logf("log of the host:\n%s", log.String())
		}
	})
	return &World{Host: h, Office: office, Log: log}
}

// Status gives the status of the only plugin.
func (w *World) Status() plugin.Status { return w.Host.List()[0] }

// Up waits until the plugin runs, was configured and has another process than pid.
func (w *World) Up(t testing.TB, pid int) plugin.Status {
	t.Helper()
	Wait(t, "the plugin runs", func() bool {
		s := w.Status()
		return s.State == plugin.Running && s.LastError == nil && s.PID != pid && w.configured()
	})
	return w.Status()
}

func (w *World) configured() bool { return len(w.Host.Channels()) > 0 }

// Kill sends a signal to the plugin's process.
func (w *World) Kill(t testing.TB, sig syscall.Signal) (pid int) {
	t.Helper()
	pid = w.Status().PID
	if pid == 0 {
		return 0
	}
	if err := syscall.Kill(pid, sig); err != nil && err != syscall.ESRCH {
		t.Fatalf("signal the plugin: %v", err)
	}
	return pid
}

// Stop stops the plugin's process, as a debugger or a hung disk would.
func (w *World) Stop(t testing.TB) (pid int) {
	t.Helper()
	return w.Kill(t, syscall.SIGSTOP)
}

// Wait waits until a condition holds.
func Wait(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Gone tells whether a process has ended.
func Gone(pid int) bool {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return true
	}
	_, after, _ := bytes.Cut(raw, []byte(") "))
	return bytes.HasPrefix(after, []byte("Z")) || bytes.HasPrefix(after, []byte("X"))
}

// Log keeps what the host logged.
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write adds to the log.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// String gives the log so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
