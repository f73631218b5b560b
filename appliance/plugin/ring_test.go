package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/plugins/plugintest"
)

func TestTheLogOfAPlugin(t *testing.T) {
	w := plugintest.Start(t, rogue(t, "logs"), plugintest.NewOffice(nil))
	findings(t, w)
	id := w.Status().ID
	all, err := w.Host.Logs(id, 0, slog.LevelDebug)
	if err != nil {
		t.Fatal(err)
	}
	var last uint64
	found := map[string]plugin.Line{}
	for _, l := range all {
		if l.ID <= last || l.At.IsZero() {
			t.Errorf("line %d at %v follows line %d", l.ID, l.At, last)
		}
		last = l.ID
		found[strings.SplitN(l.Text, " ", 2)[0]] = l
	}
	if l := found["quiet"]; l.Level != slog.LevelDebug || l.Attrs["plugin"] != "someone-else" || l.Attrs[`a\u000ab`] != `c\u000ad` || l.Own {
		t.Errorf("a line is %+v", l)
	}
	if l := all[0]; !l.Own || l.Text != "a plugin runs" || l.Attrs["version"] != "1.0.0" {
		t.Errorf("the first line is %+v", l)
	}
	for _, level := range []slog.Level{slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		some, err := w.Host.Logs(id, 0, level)
		if err != nil || len(some) == 0 || len(some) >= len(all) {
			t.Errorf("%d of %d lines are of level %s, %v", len(some), len(all), level, err)
		}
		for _, l := range some {
			if l.Level < level {
				t.Errorf("among those of %s: %+v", level, l)
			}
		}
	}
	rest, err := w.Host.Logs(id, all[1].ID, slog.LevelDebug)
	if err != nil || len(rest) < len(all)-2 || rest[0].ID != all[2].ID {
		t.Errorf("after line %d come %d lines, %v", all[1].ID, len(rest), err)
	}
	if _, err := w.Host.Logs("nobody", 0, 0); fault.KindOf(err) != fault.NotFound {
		t.Error(err)
	}
	if err := w.Host.Follow(t.Context(), "nobody", 0, 0, nil); fault.KindOf(err) != fault.NotFound {
		t.Error(err)
	}
}

func TestFollowingALog(t *testing.T) {
	w := plugintest.Start(t, rogue(t, "sender"), plugintest.NewOffice(nil))
	first := w.Up(t, 0)
	lines, ended := make(chan plugin.Line, 100), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		ended <- w.Host.Follow(ctx, first.ID, 0, slog.LevelInfo, func(some []plugin.Line) error {
			for _, l := range some {
				lines <- l
			}
			return nil
		})
	}()
	until := func(text string) {
		t.Helper()
		for {
			select {
			case l := <-lines:
				if strings.Contains(l.Text, text) {
					return
				}
			case <-time.After(time.Minute):
				t.Fatalf("no line says %q", text)
			}
		}
	}
	until("a plugin runs")
	if err := tellIt(t, w, "die"); err == nil {
		t.Error("it did not die")
	}
	until("a plugin ended")
	until("a plugin runs")
	if err := w.Host.Swap(t.Context(), first.ID, rogueIn(t, t.TempDir(), "sender", "1.1.0")); err != nil {
		t.Fatal(err)
	}
	until("a plugin runs") // the log goes on over versions
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	full := errors.New("full")
	if err := w.Host.Follow(t.Context(), first.ID, 0, 0, func([]plugin.Line) error { return full }); !errors.Is(err, full) {
		t.Error(err)
	}
}

func TestFollowingEndsWithTheHost(t *testing.T) {
	w := plugintest.Start(t, rogue(t, "sender"), plugintest.NewOffice(nil))
	id := w.Up(t, 0).ID
	ended := make(chan error, 1)
	go func() { ended <- w.Host.Follow(t.Context(), id, 0, 0, func([]plugin.Line) error { return nil }) }()
	if err := w.Host.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestTheLogOfAPluginIsBounded is about lines that are as long as may be: 1,000 of them would be over 100 MB.
func TestTheLogOfAPluginIsBounded(t *testing.T) {
	attrs := map[string]string{}
	for i := range 40 {
		attrs[fmt.Sprint("name", i)] = strings.Repeat("x", 10<<10)
	}
	kept := plugin.KeptOf(300, strings.Repeat("y", 10<<10), attrs)
	size := 0
	for _, l := range kept {
		size += len(l.Text)
		for k, v := range l.Attrs {
			size += len(k) + len(v)
		}
	}
	if len(kept) == 0 || size > 2<<20 {
		t.Errorf("%d lines of %d bytes are kept", len(kept), size)
	}
	if n := len(plugin.KeptOf(3000, "short", nil)); n != 1000 {
		t.Errorf("%d short lines are kept", n)
	}
}
