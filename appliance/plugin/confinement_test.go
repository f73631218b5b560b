package plugin_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/plugin/confine"
	"github.com/karov-crm/karov/appliance/plugin/pack"
	"github.com/karov-crm/karov/plugins/plugintest"
)

// unconfined starts plugins with nothing locked in, for what a locked in one cannot even try.
func unconfined(t *testing.T) func(*plugin.Options) {
	t.Helper()
	launch := filepath.Join(t.TempDir(), "openlaunch")
	if out, err := exec.Command("go", "build", "-o", launch, "./testdata/openlaunch").CombinedOutput(); err != nil {
		t.Fatalf("build the open launcher: %v\n%s", err, out)
	}
	return func(o *plugin.Options) { o.Launch, o.MinimumIsolation = []string{launch}, confine.None }
}

func TestTheIsolationIsShown(t *testing.T) {
	w := plugintest.Start(t, rogue(t, "sender"), plugintest.NewOffice(nil))
	w.Up(t, 0)
	if got := w.Status().Isolation; !strings.Contains(got, "landlock") || !strings.Contains(got, "no network") {
		t.Errorf("the isolation is shown as %q", got)
	}
	open := plugintest.Start(t, rogue(t, "sender"), plugintest.NewOffice(nil), unconfined(t))
	open.Up(t, 0)
	if got := open.Status().Isolation; got != "none" {
		t.Errorf("of an open plugin it is shown as %q", got)
	}
}

func TestLessIsolationThanDemandedIsNotStarted(t *testing.T) {
	w := plugintest.Start(t, rogue(t, "sender"), plugintest.NewOffice(nil), unconfined(t), func(o *plugin.Options) {
		o.MinimumIsolation = confine.Files
		o.Timing.BackoffMin, o.Timing.BackoffMax = time.Hour, time.Hour
	})
	plugintest.Wait(t, "the start failed", func() bool { return w.Status().LastError != nil })
	if s := w.Status(); s.LastError.Key != "plugin.isolation-too-low" || s.PID != 0 || s.LastError.Params["demanded"] != "files" {
		t.Errorf("process %d, error %v", s.PID, s.LastError)
	}
}

// TestAFolderOfTheSettings gives a plugin a folder, then another: what it may reach follows the settings, and nobody can
// give away what is Karov's own.
func TestAFolderOfTheSettings(t *testing.T) {
	home := plugintest.Build(t, exampleDir, examplePackage)
	first, second, data := t.TempDir(), t.TempDir(), t.TempDir()
	office := plugintest.NewOffice(map[string]string{"folder": first})
	w := plugintest.Start(t, home, office, func(o *plugin.Options) { o.Own = []string{data} })
	pid := w.Up(t, 0).PID
	bring := func(folder, text string) {
		t.Helper()
		plugintest.Wait(t, "the plugin made its folders", func() bool { _, err := os.Stat(filepath.Join(folder, "in")); return err == nil })
		file := filepath.Join(folder, "in", text+".txt")
		if err := os.WriteFile(file+".part", []byte("a@b.example\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".part", file); err != nil {
			t.Fatal(err)
		}
		plugintest.Wait(t, text+" is here", func() bool {
			m := office.Messages()
			return len(m) > 0 && strings.Contains(m[len(m)-1].Text, text)
		})
	}
	bring(first, "one")
	office.SetConfig(map[string]string{"folder": second})
	if err := w.Host.Reconfigure(t.Context(), "com.karov-crm.example"); err != nil {
		t.Fatal(err)
	}
	w.Up(t, pid)
	bring(second, "two")
	if n := w.Status().Restarts; n != 0 {
		t.Errorf("the change of a setting counts as %d falls", n)
	}
	for _, folder := range []string{data, filepath.Join(data, ".."), "/"} {
		office.SetConfig(map[string]string{"folder": filepath.Clean(folder)})
		if err := w.Host.Reconfigure(t.Context(), "com.karov-crm.example"); err == nil {
			t.Errorf("%s was given away", folder)
		}
	}
}

// binaryIn gives the program that a manifest names.
func binaryIn(t *testing.T, manifest string) string {
	t.Helper()
	m, err := plugin.ReadManifest(filepath.Dir(manifest))
	if err != nil {
		t.Fatal(err)
	}
	return m.Binary
}

// TestAnotherProgramThanTheInstalledIsNotStarted changes the program of a package after it was unpacked.
func TestAnotherProgramThanTheInstalledIsNotStarted(t *testing.T) {
	home := rogue(t, "sender")
	found, err := filepath.Glob(filepath.Join(home, "*", "plugin.yaml"))
	if err != nil || len(found) != 1 {
		t.Fatalf("the plugin lies in %v, %v", found, err)
	}
	m := pack.Manifest{Format: 1, ID: "test.rogue.sender", Version: "1.0.0", API: ">=1.0", Arch: []string{plugin.Arch()},
		Files: []pack.File{{Path: binaryIn(t, found[0]), Size: 1, Mode: 0o755, SHA256: strings.Repeat("0", 64)}}}
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(found[0]), pack.ManifestName), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var told []string
	w := plugintest.Start(t, home, plugintest.NewOffice(nil), func(o *plugin.Options) {
		o.Timing.BackoffMin, o.Timing.BackoffMax = time.Hour, time.Hour
		o.Refused = func(_ context.Context, _, what string, _ map[string]string) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, what)
		}
	})
	plugintest.Wait(t, "the start failed", func() bool { return w.Status().LastError != nil })
	mu.Lock()
	defer mu.Unlock()
	if s := w.Status(); s.LastError.Key != "plugin.program-changed" || s.PID != 0 || !slices.Equal(told, []string{"program-changed"}) {
		t.Errorf("process %d, error %v, told %v", s.PID, s.LastError, told)
	}
}
