package plugin_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/plugins/plugintest"
)

var _ inbox.Sender = (*plugin.Host)(nil)

// rogue makes a folder of plugins with one that misbehaves in the given way.
func rogue(t *testing.T, how string) string {
	t.Helper()
	home := t.TempDir()
	rogueIn(t, home, how, "1.0.0")
	return home
}

// rogueIn adds a version of a rogue to a folder of plugins and gives the rogue's own folder.
func rogueIn(t *testing.T, home, how, version string) string {
	t.Helper()
	dir := filepath.Join(home, how+"-"+version)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	manifest := fmt.Sprintf("id: test.rogue.%s\nname: Rogue\nversion: %s\napi: \">=1.0\"\nbinary: %s-%s\nprovides:\n  channels: [rogue]\n",
		how, version, how, version)
	if err := os.WriteFile(filepath.Join(dir, "plugin.yaml"), []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	program, err := buildRogue()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, how+"-"+version), program, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// buildRogue builds the rogue once and gives its bytes.
var buildRogue = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "k")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "rogue")
	if out, err := exec.Command("go", "build", "-o", file, "./testdata/rogue").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the rogue: %w\n%s", err, out)
	}
	return os.ReadFile(file)
})

// findings waits until the rogue is done, and gives what it reported.
func findings(t *testing.T, w *plugintest.World) map[string]string {
	t.Helper()
	got := map[string]string{}
	plugintest.Wait(t, "the rogue is done", func() bool {
		for _, a := range w.Status().Accounts {
			got[a.Account] = a.Detail
		}
		_, done := got["done"]
		return done
	})
	delete(got, "done")
	return got
}

func TestOnlyThePluginItselfGetsIn(t *testing.T) {
	t.Setenv("KAROV_SECRET", "must not leak")
	t.Setenv("TZ", "Asia/Jerusalem")
	w := plugintest.Start(t, rogue(t, "stranger"), plugintest.NewOffice(nil), unconfined(t))
	got := findings(t, w)
	env := got["environment"]
	delete(got, "environment")
	want := map[string]string{
		"right token":   "OK",
		"wrong token":   "Unauthenticated",
		"no token":      "Unauthenticated ",
		"other process": "Unavailable",
		"folder":        "700",
		"other channel": "PermissionDenied plugin.channel-not-provided",
		"long cursor":   "OutOfRange message.too-large",
		"foreign file":  "NotFound file.not-found",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if strings.Contains(env, "leak") || strings.Contains(env, "PATH=") || !strings.Contains(env, "TZ=Asia/Jerusalem") {
		t.Errorf("the plugin's environment is %s", env)
	}
}

func TestLimitsOfAMessage(t *testing.T) {
	office := plugintest.NewOffice(nil)
	got := findings(t, plugintest.Start(t, rogue(t, "flood"), office))
	want := map[string]string{
		"nothing":           "InvalidArgument message.head-missing",
		"chunk first":       "InvalidArgument message.head-missing",
		"two heads":         "InvalidArgument message.chunk-malformed",
		"message over 4 MB": "ResourceExhausted ",
		"long chunk":        "InvalidArgument message.chunk-malformed",
		"long text":         "InvalidArgument message.too-large",
		"long attachment":   "InvalidArgument message.too-large",
		"many attachments":  "InvalidArgument message.too-many-attachments",
		"wrong order":       "InvalidArgument message.part-unexpected",
		"unknown part":      "InvalidArgument message.part-unexpected",
		"no id":             "InvalidArgument input.invalid",
		"no sender":         "InvalidArgument input.invalid",
		"hostile notice":    "InvalidArgument input.invalid",
		"broken text":       "OK ",
		"whole":             "OK ",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	messages := office.Messages()
	if len(messages) != 2 {
		t.Fatalf("%d messages came in, want 2", len(messages))
	}
	if text := messages[0].Text; text != "a\uFFFDb" {
		t.Errorf("the broken text is %q", text)
	}
	whole := messages[1]
	if whole.Text != "text" || whole.HTML != "<b>" || whole.Channel != "rogue" || len(whole.Attachments) != 2 {
		t.Fatalf("the whole message is %+v", whole)
	}
	for blob, want := range map[string]string{
		whole.Raw: "raw", whole.Attachments[0].Blob: "", whole.Attachments[1].Blob: "second",
	} {
		if got := office.File(t, blob); got != want {
			t.Errorf("a file holds %q, want %q", got, want)
		}
	}
	if a := whole.Attachments; a[0].Size != 0 || a[1].Size != 6 {
		t.Errorf("the sizes are %d and %d", a[0].Size, a[1].Size)
	}
}

func TestNobodyForgesALogLine(t *testing.T) {
	w := plugintest.Start(t, rogue(t, "logs"), plugintest.NewOffice(nil))
	findings(t, w)
	plugintest.Wait(t, "the printed lines are in the log", func() bool {
		return strings.Contains(w.Log.String(), "printed as json")
	})
	log := w.Log.String()
	for _, line := range strings.Split(strings.TrimSpace(log), "\n") {
		if !strings.HasPrefix(line, "time=2") || len(line) > 5000 {
			t.Errorf("not a line of ours: %.200q", line)
		}
		if strings.ContainsAny(line, "\r\x1b\u202e") {
			t.Errorf("a control character in %.200q", line)
		}
	}
	for _, want := range []string{
		`level=WARN msg="one\\u000atime=now level=ERROR`, `level=DEBUG msg=quiet plugin=test.rogue.logs`,
		`of.plugin=someone-else`, `level=WARN msg=printed\u000dforged`, `level=ERROR msg="{\"level\":\"ERROR\"`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log has no %s", want)
		}
	}
	if n := strings.Count(log, "msg=flood"); n >= 600 {
		t.Errorf("all %d lines of the flood are in the log", n)
	}
}

func TestSendMapsErrors(t *testing.T) {
	office := plugintest.NewOffice(nil)
	w := plugintest.Start(t, rogue(t, "sender"), office, func(o *plugin.Options) {
		o.Timing.Send, o.Timing.PingEvery = time.Second, time.Hour
	})
	w.Up(t, 0)
	tests := []struct {
		text string
		kind fault.Kind
		key  string
	}{
		{"invalid", fault.Invalid, "channel.failed"},
		{"forbidden", fault.Forbidden, "channel.failed"},
		{"not found", fault.NotFound, "channel.failed"},
		{"fault", fault.Invalid, "rogue.too-large"},
		{"hostile key", fault.Unavailable, "channel.not-running"},
		{"plain", fault.Unavailable, "channel.failed"},
		{"hang", fault.Unavailable, "channel.timeout"},
		{strings.Repeat("x", 5<<20), fault.Invalid, "channel.message-too-large"},
		{"die", fault.Unavailable, "channel.not-running"},
	}
	for _, test := range tests {
		_, err := w.Host.Send(t.Context(), inbox.Outbound{MessageID: record.NewID(), Channel: "rogue", Account: "office", Text: test.text})
		f := fault.Of(err)
		if err == nil || f.Kind != test.kind || f.Key != test.key {
			t.Errorf("%.20s: got %v, want %v %s", test.text, err, test.kind, test.key)
		}
		switch test.text {
		case "fault":
			if f.Params["limit"] != "5" || f.Params["detail"] != "552 too big" {
				t.Errorf("the parameters are %v", f.Params)
			}
		case "invalid":
			if f.Params["detail"] != `no\u000asuch address` {
				t.Errorf("the detail is %q", f.Params["detail"])
			}
		}
	}
	_, err := w.Host.Send(t.Context(), inbox.Outbound{MessageID: record.NewID(), Channel: "pigeon"})
	if fault.KindOf(err) != fault.Unavailable || fault.Of(err).Key != "channel.not-running" {
		t.Errorf("a channel that nobody provides: %v", err)
	}
}

func TestSendLendsFiles(t *testing.T) {
	office := plugintest.NewOffice(nil)
	w := plugintest.Start(t, rogue(t, "sender"), office)
	w.Up(t, 0)
	hash, _, err := office.Put(t.Context(), strings.NewReader("the file"))
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := w.Host.Send(t.Context(), inbox.Outbound{
		MessageID: record.NewID(), Channel: "rogue", Account: "office", Text: "file",
		Attachments: []inbox.Attachment{{Name: "a", Blob: hash}},
	})
	if err != nil || receipt.ExternalID != "the file" {
		t.Errorf("the plugin read %q, %v", receipt.ExternalID, err)
	}
}

func TestBadStarts(t *testing.T) {
	for how, want := range map[string]string{
		"liar": "plugin.other-than-manifest", "elsewhere": "plugin.not-started", "silent": "plugin.not-started",
		"crash": "plugin.not-started",
	} {
		t.Run(how, func(t *testing.T) {
			w := plugintest.Start(t, rogue(t, how), plugintest.NewOffice(nil), func(o *plugin.Options) {
				o.Timing.Start = 2 * time.Second
				o.Timing.BackoffMin, o.Timing.BackoffMax = time.Hour, time.Hour
			})
			plugintest.Wait(t, "the start failed", func() bool { return w.Status().LastError != nil })
			s := w.Status()
			if s.LastError.Key != want || s.State != plugin.Backoff || s.PID != 0 {
				t.Errorf("state %s, process %d, error %v; want %s", s.State, s.PID, s.LastError, want)
			}
			if how == "crash" && !strings.Contains(s.LastError.Error(), "panic: boom") {
				t.Errorf("the error does not tell what the plugin said: %v", s.LastError)
			}
		})
	}
}

func TestCircuitOpensAndIsClosedByHand(t *testing.T) {
	w := plugintest.Start(t, rogue(t, "crash"), plugintest.NewOffice(nil), func(o *plugin.Options) { o.Timing.Crashes = 5 })
	plugintest.Wait(t, "the circuit is open", func() bool { return w.Status().State == plugin.OpenCircuit })
	if n := w.Status().Restarts; n != 5 {
		t.Errorf("the circuit opened after %d ends, not 5", n)
	}
	if err := w.Host.Enable(t.Context(), w.Status().ID); err != nil {
		t.Fatal(err)
	}
	plugintest.Wait(t, "it was tried again", func() bool { return w.Status().Restarts > 5 })
}

func TestAnEndIsNoticedThoughAChildHoldsThePipes(t *testing.T) {
	w := plugintest.Start(t, rogue(t, "orphan"), plugintest.NewOffice(nil), unconfined(t), func(o *plugin.Options) {
		o.Timing.BackoffMin, o.Timing.BackoffMax = time.Hour, time.Hour
		o.Timing.PingEvery = time.Hour
	})
	plugintest.Wait(t, "the end is noticed", func() bool { return w.Status().State == plugin.Backoff })
	s := w.Status()
	if s.LastError.Key != "plugin.ended" || !strings.Contains(s.LastError.Params["detail"], "exit status 7") {
		t.Errorf("the error is %v", s.LastError)
	}
	child, err := strconv.Atoi(s.Accounts[0].Detail)
	if err != nil {
		t.Fatalf("the rogue says %v", s.Accounts)
	}
	plugintest.Wait(t, "its child is gone", func() bool { return plugintest.Gone(child) })
}

func TestCloseIsNotHeldUpByAStoppedPlugin(t *testing.T) {
	w := plugintest.Start(t, rogue(t, "sender"), plugintest.NewOffice(nil), func(o *plugin.Options) {
		o.Timing.PingEvery, o.Timing.Drain = time.Hour, time.Hour
	})
	pid := w.Up(t, 0).PID
	w.Stop(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := w.Host.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
	if !plugintest.Gone(pid) {
		t.Errorf("process %d lives on", pid)
	}
}

func TestFallsLeaveNothingBehind(t *testing.T) {
	w := plugintest.Start(t, rogue(t, "orphan"), plugintest.NewOffice(nil), unconfined(t))
	open := func() int {
		files, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	plugintest.Wait(t, "it fell once", func() bool { return w.Status().Restarts >= 1 })
	files, goroutines := open(), runtime.NumGoroutine()
	plugintest.Wait(t, "it fell often", func() bool { return w.Status().Restarts >= 15 })
	if err := w.Host.Disable(t.Context(), w.Status().ID); err != nil {
		t.Fatal(err)
	}
	plugintest.Wait(t, "the files and goroutines of its lives are gone", func() bool {
		return open() <= files+2 && runtime.NumGoroutine() <= goroutines+2
	})
}
