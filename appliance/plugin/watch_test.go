package plugin_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/plugins/plugintest"
)

// tellIt makes a rogue do what its text says.
func tellIt(t *testing.T, w *plugintest.World, text string) error {
	t.Helper()
	_, err := w.Host.Send(t.Context(), inbox.Outbound{MessageID: record.NewID(), Channel: "rogue", Account: "office", Text: text})
	return err
}

func TestAPluginTellsItsHealth(t *testing.T) {
	w := plugintest.Start(t, rogue(t, "pulse"), plugintest.NewOffice(nil))
	var changes atomic.Int64
	first := w.Up(t, 0)
	plugintest.Wait(t, "it told its health", func() bool { return w.Status().Pulse != nil })
	if u := w.Status().Pulse; !u.OK || u.Goroutines != 7 || u.Heap != 42 {
		t.Errorf("its health is %+v", u)
	}
	if err := w.Host.Healthy(first.ID); err != nil {
		t.Errorf("it is well, and the host says %v", err)
	}
	if w.Status().Memory < 1<<20 {
		t.Errorf("its process is said to occupy %d bytes", w.Status().Memory)
	}
	w.Host.OnChange(func() { changes.Add(1) })
	if err := tellIt(t, w, "ill"); err != nil {
		t.Fatal(err)
	}
	plugintest.Wait(t, "it is ill", func() bool { return !w.Status().Pulse.OK })
	u := w.Status().Pulse
	if u.Key != "rogue.ill" || u.Detail != `ouch\u000a` || !maps.Equal(u.Params, map[string]string{"where": "stomach"}) {
		t.Errorf("its health is %+v", u)
	}
	if f := fault.Of(w.Host.Healthy(first.ID)); f.Key != "rogue.ill" || f.Kind != fault.Unavailable || f.Params["where"] != "stomach" {
		t.Errorf("the fault is %v", f)
	}
	if n := changes.Load(); n != 1 {
		t.Errorf("%d changes were told for one", n)
	}
	if err := tellIt(t, w, "well"); err != nil {
		t.Fatal(err)
	}
	plugintest.Wait(t, "it is well again", func() bool { return w.Host.Healthy(first.ID) == nil })
	if now := w.Status(); now.PID != first.PID || now.Restarts != 0 {
		t.Errorf("it was started again: %+v", now)
	}
	if err := w.Host.Disable(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	if now := w.Status(); now.Pulse != nil || now.Memory != 0 {
		t.Errorf("of a process that is gone it is said: %+v", now)
	}
}

func TestSilenceIsAHang(t *testing.T) {
	w := plugintest.Start(t, rogue(t, "mute"), plugintest.NewOffice(nil), func(o *plugin.Options) {
		o.Timing.PingEvery, o.Timing.Silence = 50*time.Millisecond, 500*time.Millisecond
		o.Timing.BackoffMin, o.Timing.BackoffMax = time.Hour, time.Hour
	})
	plugintest.Wait(t, "the silence is noticed", func() bool { return w.Status().State == plugin.Backoff })
	if s := w.Status(); s.LastError.Key != "plugin.hung" || !strings.Contains(s.LastError.Error(), "does not tell its health") {
		t.Errorf("the error is %v", s.LastError)
	}
}

func TestOneThatTellsItsHealthWithoutEndIsBorne(t *testing.T) {
	w := plugintest.Start(t, rogue(t, "babbler"), plugintest.NewOffice(nil))
	first := w.Up(t, 0)
	var changes atomic.Int64
	w.Host.OnChange(func() { changes.Add(1) })
	plugintest.Wait(t, "changes are told", func() bool { return changes.Load() > 5 })
	if u := w.Status().Pulse; u.Key != "" || len(u.Detail) > 20000 || strings.Contains(u.Detail, "\x1b") {
		t.Errorf("its health is %.100q of %d bytes", u.Detail, len(u.Detail))
	}
	if now := w.Status(); now.PID != first.PID {
		t.Error("it was started again")
	}
}

// TestSocketsThatSomebodyRemoved does what a service that cleans up old files does.
func TestSocketsThatSomebodyRemoved(t *testing.T) {
	var run string
	w := plugintest.Start(t, rogue(t, "sender"), plugintest.NewOffice(nil), func(o *plugin.Options) {
		run = o.RunDir
		o.Timing.Ping, o.Timing.PingEvery = time.Minute, 100*time.Millisecond
	})
	now := w.Up(t, 0)
	dir := filepath.Join(run, "p", now.ID)
	remove := map[string]func() error{
		"ours":     func() error { return os.Remove(filepath.Join(dir, "host.sock")) },
		"its own":  func() error { return os.Remove(filepath.Join(dir, "plugin.sock")) },
		"all":      func() error { return os.RemoveAll(filepath.Join(run, "p")) },
		"replaced": func() error { return os.Rename(filepath.Join(dir, "plugin.sock"), filepath.Join(dir, "host.sock")) },
	}
	for _, what := range slices.Sorted(maps.Keys(remove)) {
		if err := remove[what](); err != nil {
			t.Fatal(err)
		}
		now = w.Up(t, now.PID)
		if err := tellIt(t, w, "hello"); err != nil {
			t.Errorf("after %s were removed: %v", what, err)
		}
	}
	lines, err := w.Host.Logs(now.ID, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, l := range lines {
		if l.Own && strings.Contains(l.Attrs["error"], "plugin.sockets-gone") {
			n++
		}
	}
	if n != len(remove) {
		t.Errorf("the log tells %d times of sockets that are gone, want %d: %v", n, len(remove), lines)
	}
}

func TestWhatIsDeclaredMustBeServed(t *testing.T) {
	for what, want := range map[string]string{
		"hooks: {after: [\"contact.*\"]}": "karov.plugin.v1.Hooks",
		"data: 2":                         "karov.plugin.v1.Migration",
	} {
		home := rogue(t, "sender")
		declare(t, home, "sender", what)
		w := plugintest.Start(t, home, plugintest.NewOffice(nil))
		plugintest.Wait(t, "it is refused", func() bool { return w.Status().LastError != nil })
		if f := w.Status().LastError; f.Key != "plugin.service-not-served" || f.Params["service"] != want {
			t.Errorf("%s: %v", what, f)
		}
	}
}

func TestAPluginOfAnotherContractIsRefused(t *testing.T) {
	w := plugintest.Start(t, rogue(t, "later"), plugintest.NewOffice(nil))
	plugintest.Wait(t, "it is refused", func() bool { return w.Status().LastError != nil })
	if f := w.Status().LastError; f.Key != "plugin.api-unsupported" {
		t.Error(f)
	}
}

func TestAHangAtTheStart(t *testing.T) {
	w := plugintest.Start(t, rogue(t, "stranded"), plugintest.NewOffice(nil), func(o *plugin.Options) {
		o.Timing.Start = time.Second
		o.Timing.BackoffMin, o.Timing.BackoffMax = time.Hour, time.Hour
	})
	plugintest.Wait(t, "the hang is noticed", func() bool { return w.Status().State == plugin.Backoff })
	if s := w.Status(); s.LastError.Key != "plugin.not-started" || s.PID != 0 {
		t.Errorf("process %d, error %v", s.PID, s.LastError)
	}
}

func TestAHangAtTheEnd(t *testing.T) {
	w := plugintest.Start(t, rogue(t, "clinger"), plugintest.NewOffice(nil), func(o *plugin.Options) {
		o.Timing.Drain, o.Timing.Exit = 300*time.Millisecond, 300*time.Millisecond
	})
	now := w.Up(t, 0)
	if err := w.Host.Disable(t.Context(), now.ID); err != nil {
		t.Fatal(err)
	}
	if s := w.Status(); !plugintest.Gone(now.PID) || s.State != plugin.Disabled {
		t.Errorf("process %d lives, state %s", now.PID, s.State)
	}
}
