package plugin_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/plugins/plugintest"
)

// beside makes a folder of plugins with a rogue and "sender", which does as it should.
func beside(t *testing.T, how string) string {
	t.Helper()
	home := rogue(t, how)
	rogueIn(t, home, "sender", "1.0.0")
	return home
}

// declare adds to the manifest of a rogue.
func declare(t *testing.T, home, how, what string) {
	t.Helper()
	file := filepath.Join(home, how+"-1.0.0", "plugin.yaml")
	if err := os.WriteFile(file, []byte(readFile(t, file)+what+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// statusOf gives the status of one of several rogues.
func statusOf(t *testing.T, w *plugintest.World, how string) plugin.Status {
	t.Helper()
	for _, s := range w.Host.List() {
		if s.ID == "test.rogue."+how {
			return s
		}
	}
	t.Fatalf("there is no %s", how)
	return plugin.Status{}
}

// works waits until "sender" works and gives its process.
func works(t *testing.T, w *plugintest.World) (pid int) {
	t.Helper()
	plugintest.Wait(t, "the neighbour works", func() bool {
		return w.Host.Healthy("test.rogue.sender") == nil
	})
	return statusOf(t, w, "sender").PID
}

func TestACrashLoopOpensItsCircuitAndHarmsNoNeighbour(t *testing.T) {
	w := plugintest.Start(t, beside(t, "crash"), plugintest.NewOffice(nil), func(o *plugin.Options) { o.Timing.Crashes = 5 })
	pid := works(t, w)
	plugintest.Wait(t, "the circuit is open", func() bool { return statusOf(t, w, "crash").State == plugin.OpenCircuit })
	if err := tellIt(t, w, "hello"); err != nil {
		t.Errorf("the neighbour: %v", err)
	}
	if s := statusOf(t, w, "sender"); s.PID != pid || s.Restarts != 0 {
		t.Errorf("the neighbour was started again: %+v", s)
	}
}

func TestAFloodOfPrintedLinesIsBounded(t *testing.T) {
	w := plugintest.Start(t, beside(t, "spill"), plugintest.NewOffice(nil))
	pid := works(t, w)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, most := heap(), uint64(0)
	plugintest.Wait(t, "it spilled much", func() bool {
		most = max(most, heap())
		if err := tellIt(t, w, "hello"); err != nil {
			t.Errorf("the neighbour: %v", err)
		}
		for _, a := range statusOf(t, w, "spill").Accounts {
			if n, err := strconv.Atoi(a.Detail); err == nil && n >= 12 { // more than is read at once
				return true
			}
		}
		return false
	})
	if most > before+16<<20 {
		t.Errorf("the heap grew from %d to %d MB", before>>20, most>>20)
	}
	lines, err := w.Host.Logs("test.rogue.spill", 0, -8)
	if err != nil || len(lines) == 0 || len(lines) > 1000 {
		t.Errorf("%d lines are kept, %v", len(lines), err)
	}
	if s := statusOf(t, w, "sender"); s.PID != pid {
		t.Error("the neighbour was started again")
	}
	if n := len(w.Log.String()); n > 8<<20 {
		t.Errorf("the log of the host has %d bytes", n)
	}
}

func TestAnAnswerOfAHundredMegabytes(t *testing.T) {
	home := rogue(t, "sender")
	declare(t, home, "sender", "permissions: {memory: 1GB}") // with less it does not live to answer
	w := plugintest.Start(t, home, plugintest.NewOffice(nil))
	now := w.Up(t, 0)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before := m.TotalAlloc
	if f := fault.Of(tellIt(t, w, "giant")); f.Kind != fault.Unavailable || f.Key != "channel.failed" {
		t.Errorf("the fault is %v", f)
	}
	if runtime.ReadMemStats(&m); m.TotalAlloc > before+32<<20 {
		t.Errorf("%d MB were taken for it", (m.TotalAlloc-before)>>20)
	}
	if err := tellIt(t, w, "hello"); err != nil {
		t.Errorf("the next message: %v", err)
	}
	if w.Status().PID != now.PID {
		t.Error("it was started again")
	}
}

// TestAClockThatJumps sets the clock a year on and back. The pauses between two starts go by another clock.
func TestAClockThatJumps(t *testing.T) {
	var jump atomic.Int64
	w := plugintest.Start(t, beside(t, "crash"), plugintest.NewOffice(nil), func(o *plugin.Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(jump.Load())) }
	})
	pid := works(t, w)
	const year = 365 * 24 * time.Hour
	for _, by := range []time.Duration{year, 0, -year} {
		jump.Store(int64(by))
		fell := statusOf(t, w, "crash").Restarts
		plugintest.Wait(t, "it is started again", func() bool { return statusOf(t, w, "crash").Restarts >= fell+3 })
	}
	if err := tellIt(t, w, "hello"); err != nil {
		t.Error(err)
	}
	if s := statusOf(t, w, "sender"); s.PID != pid {
		t.Error("the plugin that works was started again")
	}
}

// TestTwoPluginsWithOneChannelAndOneSentence installs two plugins that know nothing of each other.
func TestTwoPluginsWithOneChannelAndOneSentence(t *testing.T) {
	home := beside(t, "aside")
	for how, word := range map[string]string{"aside": "first", "sender": "second"} {
		for _, lang := range plugin.Languages() {
			dir := filepath.Join(home, how+"-1.0.0", "locale")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, lang+".yaml"), []byte(fmt.Sprintf("rogue.hello: %q\n", word)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	w := plugintest.Start(t, home, plugintest.NewOffice(nil))
	works(t, w)
	plugintest.Wait(t, "the other works", func() bool { return w.Host.Healthy("test.rogue.aside") == nil })
	if got := w.Host.Channels()["rogue"]; len(got) != 1 || got[0] != "office" {
		t.Errorf("the accounts are %v", got)
	}
	for how, want := range map[string]string{"aside": "first", "sender": "second", "nobody": ""} {
		if got := w.Host.Sentence("test.rogue."+how, "en", "rogue.hello"); got != want {
			t.Errorf("%s says %q, want %q", how, got, want)
		}
	}
	if got := w.Host.Sentences("he")["rogue.hello"]; got != "first" {
		t.Errorf("all together say %q", got)
	}
	send := func() error {
		_, err := w.Host.Send(t.Context(), inbox.Outbound{MessageID: record.NewID(), Channel: "rogue", Account: "office"})
		return err
	}
	if err := send(); err != nil {
		t.Error(err)
	}
	if err := w.Host.Remove(t.Context(), "test.rogue.aside"); err != nil {
		t.Fatal(err)
	}
	if err := send(); err != nil {
		t.Errorf("with one of them gone: %v", err)
	}
}
