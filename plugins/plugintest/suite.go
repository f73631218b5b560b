package plugintest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/record"
)

// Plugin is the plugin under test, and what the suite must know to use it.
type Plugin struct {
	Dir     string            // folder with plugin.yaml and locale
	Package string            // Go package of the program; "" when Dir holds the binary
	Config  map[string]string // a configuration that works
	Wrong   map[string]string // one that the plugin itself must refuse; nil when every value of the schema is good

	// Bring makes one message come from the world whose text contains the given words.
	Bring func(t testing.TB, words string)
	// Answer is a message that can be sent, nil for a channel that sends nothing. The suite sets its MessageID.
	Answer *inbox.Outbound
	// Sent gives how many messages reached the world whose text contains the given words.
	Sent func(t testing.TB, words string) int
}

// Run puts the plugin through the suite.
func Run(t *testing.T, p Plugin) {
	home := Build(t, p.Dir, p.Package)
	t.Run("speaks every language", func(t *testing.T) { languages(t, home, p) })
	t.Run("stays up with a wrong configuration", func(t *testing.T) { wrongConfiguration(t, home, p) })
	t.Run("ends when it is told to", func(t *testing.T) { ends(t, home, p) })
	t.Run("is found when it hangs", func(t *testing.T) { hangs(t, home, p) })
	if p.Bring != nil {
		t.Run("brings a message that was refused for now", func(t *testing.T) { refusedForNow(t, home, p) })
		t.Run("loses and doubles nothing when killed", func(t *testing.T) { killed(t, home, p) })
	}
	if p.Answer != nil {
		t.Run("sends once", func(t *testing.T) { sendsOnce(t, home, p) })
	}
}

// languages checks that what people read exists in every language.
func languages(t *testing.T, home string, p Plugin) {
	w := Start(t, home, NewOffice(p.Config))
	first := plugin.Languages()[0]
	want := slices.Sorted(maps.Keys(w.Host.Sentences(first)))
	for _, lang := range plugin.Languages()[1:] {
		if got := slices.Sorted(maps.Keys(w.Host.Sentences(lang))); !slices.Equal(got, want) {
			t.Errorf("the sentences in %s are %v, in %s %v", lang, got, first, want)
		}
	}
	w.Up(t, 0)
	Wait(t, "an account is reported", func() bool { return len(w.Status().Accounts) > 0 })
	for _, a := range w.Status().Accounts {
		if a.Key != "" && w.Host.Sentences(first)[a.Key] == "" {
			t.Errorf("account %s is reported with %q, which has no sentence", a.Account, a.Key)
		}
	}
}

// wrongConfiguration checks that a refusal is in words, ends nothing, and is over with a better configuration.
func wrongConfiguration(t *testing.T, home string, p Plugin) {
	if p.Wrong == nil {
		t.Skip("the plugin names no configuration that it refuses: every value of its schema is good")
	}
	w := Start(t, home, NewOffice(p.Wrong))
	Wait(t, "the configuration is refused", func() bool { return w.Status().LastError != nil })
	s := w.Status()
	if s.State != plugin.Running {
		t.Errorf("after a refused configuration the plugin is %s, not running", s.State)
	}
	if s.LastError.Kind != fault.Invalid {
		t.Errorf("the refusal is of kind %v, not invalid: %v", s.LastError.Kind, s.LastError)
	}
	for _, f := range s.LastError.Fields {
		if f.Key != "field.required" && f.Key != "field.malformed" && w.Host.Sentences("en")[f.Key] == "" {
			t.Errorf("the refusal of %s says %q, which has no sentence", f.Name, f.Key)
		}
	}
	w.Office.SetConfig(p.Config)
	if err := w.Host.Reconfigure(t.Context(), s.ID); err != nil {
		t.Fatalf("give a good configuration: %v", err)
	}
	if now := w.Up(t, 0); now.PID != s.PID && !namesPaths(t, w, s.ID) {
		t.Errorf("the plugin was started again for its configuration")
	}
}

// namesPaths tells whether the plugin has settings for files or folders: what a process may reach is settled when it is
// started, so other ones mean another process.
func namesPaths(t *testing.T, w *World, id string) bool {
	t.Helper()
	m, err := w.Host.Manifest(id)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(m.Config, func(s plugin.Setting) bool { return s.Type == plugin.Path || s.Type == plugin.Folder })
}

// ends checks that nothing is left running, and that the plugin went by itself.
func ends(t *testing.T, home string, p Plugin) {
	w := Start(t, home, NewOffice(p.Config))
	s := w.Up(t, 0)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := w.Host.Disable(ctx, s.ID); err != nil {
		t.Fatalf("disable the plugin: %v", err)
	}
	if !Gone(s.PID) {
		t.Errorf("process %d lives on", s.PID)
	}
	if strings.Contains(w.Log.String(), "did not finish its work") {
		t.Error("the plugin did not drain in time")
	}
	if got := w.Status().State; got != plugin.Disabled {
		t.Errorf("the plugin is %s, not disabled", got)
	}
	if err := w.Host.Enable(ctx, s.ID); err != nil {
		t.Fatalf("enable the plugin: %v", err)
	}
	w.Up(t, s.PID)
}

// hangs checks that a stopped process is found and replaced.
func hangs(t *testing.T, home string, p Plugin) {
	w := Start(t, home, NewOffice(p.Config), func(o *plugin.Options) { o.Timing.Ping = 300 * time.Millisecond })
	w.Up(t, 0)
	pid := w.Kill(t, syscall.SIGSTOP)
	w.Up(t, pid)
	Wait(t, "the stopped process is gone", func() bool { return Gone(pid) })
}

// refusedForNow checks that a message is kept while the office cannot take it.
func refusedForNow(t *testing.T, home string, p Plugin) {
	words := "later-" + record.NewID().String()
	office := NewOffice(p.Config)
	left := make(chan struct{}, 3)
	for range cap(left) {
		left <- struct{}{}
	}
	office.Refuse = func(in inbox.Inbound) error {
		if !strings.Contains(in.Text, words) {
			return nil
		}
		select {
		case <-left:
			return fault.New(fault.Unavailable, "store.full")
		default:
			return nil
		}
	}
	w := Start(t, home, office)
	p.Bring(t, words)
	Wait(t, "the message comes again", func() bool { return w.count(words) == 1 })
}

// killed kills the process again and again while messages come.
func killed(t *testing.T, home string, p Plugin) {
	const messages, kills = 30, 5
	run := record.NewID().String()
	w := Start(t, home, NewOffice(p.Config))
	w.Up(t, 0)
	for i := range messages {
		p.Bring(t, fmt.Sprintf("word-%s-%02d.", run, i))
		if i%(messages/kills) == 0 {
			w.Up(t, w.Kill(t, syscall.SIGKILL))
		}
	}
	for i := range messages {
		words := fmt.Sprintf("word-%s-%02d.", run, i)
		Wait(t, words+" is here", func() bool { return w.count(words) > 0 })
		if n := w.count(words); n != 1 {
			t.Errorf("%s is here %d times", words, n)
		}
	}
	if w.Status().Restarts < kills {
		t.Errorf("the plugin was started again %d times, fewer than it was killed", w.Status().Restarts)
	}
}

func (w *World) count(words string) int {
	n := 0
	for _, m := range w.Office.Messages() {
		if strings.Contains(m.Text, words) {
			n++
		}
	}
	return n
}

// sendsOnce checks that a second attempt at the same message does not send it twice.
func sendsOnce(t *testing.T, home string, p Plugin) {
	w := Start(t, home, NewOffice(p.Config))
	w.Up(t, 0)
	out := *p.Answer
	out.MessageID = record.NewID()
	words := "answer-" + out.MessageID.String()
	out.Text += " " + words
	for range 2 {
		receipt, err := w.Host.Send(t.Context(), out)
		if err != nil {
			t.Fatalf("send: %v", err)
		}
		if receipt.At.IsZero() {
			t.Error("the receipt has no time")
		}
	}
	Wait(t, "the answer reached the world", func() bool { return p.Sent(t, words) > 0 })
	if n := p.Sent(t, words); n != 1 {
		t.Errorf("the answer was sent %d times", n)
	}
}
