package plugin_test

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/plugins/plugintest"
)

func TestPluginsComeAndGoWhileTheHostRuns(t *testing.T) {
	home := rogue(t, "sender")
	w := plugintest.Start(t, home, plugintest.NewOffice(nil))
	first := w.Up(t, 0)
	dir := rogueIn(t, t.TempDir(), "aside", "1.0.0")
	if err := w.Host.Add(dir); err != nil {
		t.Fatal(err)
	}
	if err := w.Host.Add(dir); fault.KindOf(err) != fault.Conflict {
		t.Errorf("the same again: %v", err)
	}
	if err := w.Host.Add(t.TempDir()); fault.Of(err).Key != "plugin.manifest-unreadable" {
		t.Errorf("an empty folder: %v", err)
	}
	plugintest.Wait(t, "the one that was added is well", func() bool { return w.Host.Healthy("test.rogue.aside") == nil })
	list := w.Host.List()
	if len(list) != 2 || list[0].ID != "test.rogue.aside" || list[1].PID != first.PID {
		t.Fatalf("the list is %+v", list)
	}
	if err := w.Host.Remove(t.Context(), "test.rogue.aside"); err != nil {
		t.Fatal(err)
	}
	if !plugintest.Gone(list[0].PID) || plugintest.Gone(first.PID) {
		t.Error("the wrong process is gone")
	}
	for what, err := range map[string]error{
		"health":  w.Host.Healthy("test.rogue.aside"),
		"removal": w.Host.Remove(t.Context(), "test.rogue.aside"),
		"swap":    w.Host.Swap(t.Context(), "test.rogue.aside", dir),
	} {
		if fault.KindOf(err) != fault.NotFound {
			t.Errorf("%s of a plugin that is gone: %v", what, err)
		}
	}
}

func TestAPluginIsAddedBeforeTheHostRuns(t *testing.T) {
	office := plugintest.NewOffice(nil)
	run, err := os.MkdirTemp("", "k")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(run)
	h, err := plugin.Open(plugin.Options{
		DataDir: t.TempDir(), RunDir: run, Log: slog.New(slog.DiscardHandler), Inbox: office, Blobs: office, Settings: office,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Add(rogueIn(t, t.TempDir(), "aside", "1.0.0")); err != nil {
		t.Fatal(err)
	}
	if s := h.List(); len(s) != 1 || s[0].State != plugin.Stopped {
		t.Errorf("the list is %+v", s)
	}
	if err := h.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSwap(t *testing.T) {
	home := rogue(t, "sender")
	w := plugintest.Start(t, home, plugintest.NewOffice(nil))
	before := w.Up(t, 0)
	id := before.ID
	if err := w.Host.Swap(t.Context(), id, rogueIn(t, t.TempDir(), "sender", "1.1.0")); err != nil {
		t.Fatal(err)
	}
	now := w.Up(t, before.PID)
	if now.Version != "1.1.0" || !plugintest.Gone(before.PID) {
		t.Errorf("version %s runs, the old one is gone: %v", now.Version, plugintest.Gone(before.PID))
	}
	if err := w.Host.Swap(t.Context(), id, rogueIn(t, t.TempDir(), "aside", "1.0.0")); fault.Of(err).Key != "plugin.other-id" {
		t.Errorf("another plugin in its place: %v", err)
	}
	if w.Status().PID != now.PID {
		t.Error("a swap that was refused at once ended the process")
	}
}

func TestASwapThatFailsLeavesTheOldVersionRunning(t *testing.T) {
	home := rogue(t, "sender")
	w := plugintest.Start(t, home, plugintest.NewOffice(nil), func(o *plugin.Options) { o.Timing.Start = 10 * time.Second })
	before := w.Up(t, 0)
	for how, want := range map[string]string{"1.1.0-liar": "plugin.other-than-manifest", "1.1.0-crash": "plugin.not-started"} {
		err := w.Host.Swap(t.Context(), before.ID, rogueIn(t, t.TempDir(), "sender", how))
		if fault.Of(err).Key != want {
			t.Errorf("%s: %v", how, err)
		}
		now := w.Up(t, before.PID)
		if now.Version != "1.0.0" {
			t.Errorf("version %s runs", now.Version)
		}
		before = now
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := w.Host.Swap(ctx, before.ID, rogueIn(t, t.TempDir(), "sender", "1.2.0-silent")); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("with no time left: %v", err)
	}
	now := w.Up(t, before.PID)
	if now.Version != "1.0.0" {
		t.Errorf("version %s runs", now.Version)
	}
	if err := w.Host.Swap(ctx, before.ID, rogueIn(t, t.TempDir(), "sender", "1.3.0")); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("begun after its time: %v", err)
	}
	if w.Status().PID != now.PID {
		t.Error("a swap without time ended the process")
	}
}

func TestSwapOfADisabledPluginStartsNothing(t *testing.T) {
	w := plugintest.Start(t, rogue(t, "sender"), plugintest.NewOffice(nil))
	id := w.Up(t, 0).ID
	if err := w.Host.Disable(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := w.Host.Swap(t.Context(), id, rogueIn(t, t.TempDir(), "sender", "1.1.0")); err != nil {
		t.Fatal(err)
	}
	if s := w.Status(); s.State != plugin.Disabled || s.PID != 0 || s.Version != "1.1.0" {
		t.Errorf("state %s, process %d, version %s", s.State, s.PID, s.Version)
	}
	if err := w.Host.Enable(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	w.Up(t, 0)
}

// TestManyChangesAtOnce lets everything that changes what runs happen at the same time. In the end one process runs.
func TestManyChangesAtOnce(t *testing.T) {
	w := plugintest.Start(t, rogue(t, "sender"), plugintest.NewOffice(nil))
	id := w.Up(t, 0).ID
	next := []string{rogueIn(t, t.TempDir(), "sender", "1.1.0"), rogueIn(t, t.TempDir(), "sender", "1.2.0")}
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for range 3 {
				for _, err := range []error{
					w.Host.Swap(t.Context(), id, next[i%2]), w.Host.Disable(t.Context(), id), w.Host.Enable(t.Context(), id),
				} {
					if err != nil {
						t.Error(err)
					}
				}
				w.Host.List()
				w.Host.Channels()
			}
		})
	}
	all.Wait()
	w.Up(t, 0)
	if n := len(w.Host.List()); n != 1 {
		t.Errorf("%d plugins are listed", n)
	}
}
