package plugin_test

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/plugins/plugintest"
)

// released makes a folder of plugins with the one that was compiled when a version of the contract was released. It
// must run under every later Karov, as it is.
func released(t *testing.T, api string) string {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skipf("THE RELEASED PLUGINS ARE NOT RUN: they are compiled for amd64, and this is %s", runtime.GOARCH)
	}
	from := filepath.Join("testdata", "released", api)
	to := filepath.Join(t.TempDir(), "example")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	packed, err := os.Open(filepath.Join(from, "example.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	program, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.OpenFile(filepath.Join(to, "example"), os.O_CREATE|os.O_WRONLY, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, program); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(to)
}

// TestAReleasedPluginStillRuns lets the plugin that was compiled against contract 1.0 receive, send and survive.
func TestAReleasedPluginStillRuns(t *testing.T) {
	home := released(t, "1.0")
	data := t.TempDir()
	box := filepath.Join(data, "com.karov-crm.example", "box") // in its own folder, the only one that it may write
	w := plugintest.Start(t, home, plugintest.NewOffice(map[string]string{"folder": box}), func(o *plugin.Options) { o.DataDir = data })
	bring := func(name, text string) {
		t.Helper()
		in := filepath.Join(box, "in")
		if err := os.MkdirAll(in, 0o700); err != nil {
			t.Fatal(err)
		}
		whole := filepath.Join(box, name)
		if err := os.WriteFile(whole, []byte("dana@example.com\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(whole, filepath.Join(in, name)); err != nil {
			t.Fatal(err)
		}
	}
	first := w.Up(t, 0)
	bring("one.txt", "the first")
	plugintest.Wait(t, "a message came", func() bool { return len(w.Office.Messages()) == 1 })
	w.Kill(t, syscall.SIGKILL)
	bring("two.txt", "the second")
	second := w.Up(t, first.PID)
	plugintest.Wait(t, "the message after the fall came", func() bool { return len(w.Office.Messages()) == 2 })
	if got := w.Office.Messages(); got[0].From.Handle != "dana@example.com" || got[0].Text != "the first" || got[1].Text != "the second" {
		t.Errorf("what came is %+v", got)
	}
	id := record.NewID()
	if _, err := w.Host.Send(t.Context(), inbox.Outbound{
		MessageID: id, Channel: "folder", Account: box, To: inbox.Party{Handle: "dana@example.com"}, Text: "the answer",
	}); err != nil {
		t.Fatal(err)
	}
	if text := readFile(t, filepath.Join(box, "out", id.String()+".txt")); !strings.Contains(text, "the answer") {
		t.Errorf("what was sent is %q", text)
	}
	if err := w.Host.Healthy(second.ID); err != nil {
		t.Errorf("it is not well: %v", err)
	}
	if err := w.Host.Disable(t.Context(), second.ID); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(w.Log.String(), "did not finish its work") {
		t.Error("it did not drain")
	}
}
