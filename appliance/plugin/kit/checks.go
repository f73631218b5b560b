package kit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/record"
)

// Checks are all that the suite tries, in their order.
func Checks() []Check {
	return []Check{
		{Name: "has a manifest that offices can live with", Grade: Bronze, run: manifestLints},
		{Name: "starts confined and says who it is", Grade: Bronze, run: starts, first: true},
		{Name: "does what its manifest declares", Grade: Bronze, run: serves},
		{Name: "speaks every language", Grade: Bronze, run: languages},
		{Name: "ends when it is told to", Grade: Bronze, run: ends},
		{Name: "comes back when it is killed", Grade: Bronze, run: killed},
		{Name: "is built the same each time", Grade: Silver, run: builtAlike},
		{Name: "stays up with a wrong configuration", Grade: Silver, run: wrongConfiguration},
		{Name: "is found when it hangs", Grade: Silver, run: hangs},
		{Name: "takes a flood", Grade: Silver, run: flooded},
		{Name: "waits for a slow host", Grade: Silver, run: slowHost},
		{Name: "hears everything across restarts of Karov", Grade: Silver, run: restarts},
		{Name: "loses and doubles no message", Grade: Silver, run: brings},
		{Name: "sends once", Grade: Silver, run: sendsOnce},
		{Name: "lives through a full disk", Grade: Gold, run: fullDisk},
		{Name: "runs under an older Karov", Grade: Gold, run: oldHost},
		{Name: "asks for no more than it needs", Grade: Gold, run: permissionLints},
		{Name: "is fit to be handed out", Grade: Gold, run: packageLints},
	}
}

func starts(t *T) {
	c := t.open()
	s := t.up(c, 0)
	if s.Isolation == "" || strings.HasPrefix(s.Isolation, "none") {
		t.errorf("it is not confined: %q", s.Isolation)
	}
	t.saw("isolation %s, %.1f MB", s.Isolation, float64(s.Memory)/(1<<20))
}

// serves makes records of each kind that matters to the plugin, and asks for each view, button and job.
func serves(t *T) {
	c := t.open()
	s := t.up(c, 0)
	e := &exercise{t: t, c: c, say: t.errorf}
	e.all()
	if now := c.status(); now.PID != s.PID {
		t.errorf("its process fell while it was used")
	}
	t.wait("it heard every event", func() bool { return c.Host.Waiting(c.ID) == 0 })
	t.saw("%d calls", c.status().Numbers.CallsTo)
}

// languages looks whether everything that people read is a sentence in every language.
func languages(t *T) {
	m := t.subject.m
	for _, lang := range plugin.Languages() {
		for _, other := range plugin.Languages() {
			for key := range m.Sentences(other) {
				if m.Sentences(lang)[key] == "" {
					t.errorf("%s has no sentence in %s", key, lang)
				}
			}
		}
		for key, said := range m.Sentences(lang) {
			if !sameParams(said, m.Sentences("en")[key]) {
				t.errorf("%s in %s has other parameters than in en", key, lang)
			}
		}
	}
	c := t.open()
	t.up(c, 0)
	if len(m.Provides.Channels) == 0 {
		return
	}
	if t.subject.World.Config == nil {
		t.missing("%s names no configuration: what the accounts say was not seen", WorldFile)
	}
	t.wait("an account is reported", func() bool { return len(c.status().Accounts) > 0 })
	for _, a := range c.status().Accounts {
		if a.Key != "" && m.Sentences("en")[a.Key] == "" {
			t.errorf("account %s is reported with %q, which has no sentence", a.Account, a.Key)
		}
	}
}

func ends(t *T) {
	c := t.open()
	s := t.up(c, 0)
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	t.must("disable the plugin", c.Host.Disable(ctx, s.ID))
	if !Gone(s.PID) {
		t.errorf("process %d lives on", s.PID)
	}
	if strings.Contains(c.log.String(), "did not finish its work") {
		t.errorf("it did not drain in time")
	}
	t.must("enable the plugin", c.Host.Enable(ctx, s.ID))
	t.up(c, s.PID)
}

// killed ends the process again and again while the plugin is used. What it answers meanwhile may fail, but must come.
func killed(t *T) {
	c := t.open()
	s := t.up(c, 0)
	e := &exercise{t: t, c: c, say: t.saw, quiet: true}
	for range 3 {
		stop := e.meanwhile()
		t.must("kill it", syscall.Kill(s.PID, syscall.SIGKILL))
		s = t.up(c, s.PID)
		stop()
	}
	t.wait("it heard every event", func() bool { return c.Host.Waiting(c.ID) == 0 })
	if c.status().Restarts < 3 {
		t.errorf("it was started again %d times, fewer than it was killed", c.status().Restarts)
	}
}

func hangs(t *T) {
	c := t.open(func(o *office) {
		o.change = func(p *plugin.Options) { p.Timing.Ping, p.Timing.Silence = 300*time.Millisecond, 2*time.Second }
	})
	s := t.up(c, 0)
	t.must("stop it", syscall.Kill(s.PID, syscall.SIGSTOP))
	e := &exercise{t: t, c: c, say: t.saw, quiet: true}
	stop := e.meanwhile() // the office goes on
	t.up(c, s.PID)
	stop()
	t.wait("the stopped process is gone", func() bool { return Gone(s.PID) })
	if _, err := c.make(asOwner(t.ctx), "contact"); err != nil && !e.refusal(err) {
		t.errorf("after it hung the office cannot write: %v", err)
	}
}

// flooded uses the plugin from many sides at once.
func flooded(t *T) {
	c := t.open()
	s := t.up(c, 0)
	e := &exercise{t: t, c: c, say: t.saw, quiet: true}
	done := make(chan struct{})
	const sides, rounds = 16, 12
	for range sides {
		go func() {
			defer func() { done <- struct{}{} }()
			for range rounds {
				e.once()
			}
		}()
	}
	for range sides {
		<-done
	}
	if now := c.status(); now.PID != s.PID {
		t.errorf("it fell under %d calls from %d sides: %v", now.Numbers.CallsTo, sides, now.LastError)
	}
	t.wait("it heard every event", func() bool { return c.Host.Waiting(c.ID) == 0 })
	n := c.status()
	t.saw("%d calls to it, %d of them failed; %d back; %.1f MB", n.Numbers.CallsTo, n.Numbers.CallsToFailed, n.Numbers.CallsFrom, float64(n.Memory)/(1<<20))
}

// slowHost makes each of the host's transactions take its time.
func slowHost(t *T) {
	c := t.open()
	s := t.up(c, 0)
	c.db.slow.Store(int64(60 * time.Millisecond))
	e := &exercise{t: t, c: c, say: t.saw, quiet: true}
	e.once()
	if t.subject.World.Bring != nil {
		t.must("bring a message", t.subject.World.Bring("slow-"+c.word()))
	}
	c.db.slow.Store(0)
	t.wait("it heard every event", func() bool { return c.Host.Waiting(c.ID) == 0 })
	if now := c.status(); now.PID != s.PID {
		t.errorf("it fell: %v", now.LastError)
	}
}

// restarts closes Karov in the middle of what the plugin hears, again and again.
func restarts(t *T) {
	if len(t.subject.m.Hooks.After) == 0 && t.subject.World.Bring == nil {
		t.apart("it hears no events and brings no messages")
	}
	data, words := t.folder(), ""
	over := func(o *office) { o.data = data }
	for round := range 3 {
		c := t.open(over)
		t.up(c, 0)
		for range 40 {
			if _, err := c.make(asOwner(t.ctx), "contact"); err != nil {
				t.fatalf("make a customer: %v", err)
			}
		}
		if t.subject.World.Bring != nil {
			words = fmt.Sprintf("again-%d-%s", round, c.word())
			t.must("bring a message", t.subject.World.Bring(words))
		}
		t.must("close the office", c.Close())
	}
	c := t.open(over)
	t.up(c, 0)
	t.wait("it heard every event", func() bool { return c.Host.Waiting(c.ID) == 0 })
	if words != "" {
		t.wait("the last message is here", func() bool { return c.messages(t, words) == 1 })
	}
}

func wrongConfiguration(t *T) {
	w := t.subject.World
	if w.Wrong == nil {
		if len(t.subject.m.Config) == 0 {
			t.apart("it has no settings")
		}
		t.missing("%s names no configuration that it refuses (wrong:)", WorldFile)
	}
	c := t.open(func(o *office) { o.config = func() (map[string]string, error) { return w.Wrong, nil } })
	t.wait("the configuration is refused", func() bool { return c.status().LastError != nil })
	s := c.status()
	if s.State != plugin.Running || s.LastError.Kind != fault.Invalid {
		t.errorf("after a refused configuration it is %s, with %v", s.State, s.LastError)
	}
	for _, f := range s.LastError.Fields {
		if !strings.HasPrefix(f.Key, "field.") && t.subject.m.Sentences("en")[f.Key] == "" {
			t.errorf("the refusal of %s says %q, which has no sentence", f.Name, f.Key)
		}
	}
	t.must("set a good configuration", c.Settings.Set(asOwner(t.ctx), c.ID, w.Config, true))
	t.must("give a good configuration", c.Host.Reconfigure(t.ctx, s.ID))
	paths := slices.ContainsFunc(t.subject.m.Config, func(s plugin.Setting) bool { return s.Type == plugin.Path || s.Type == plugin.Folder })
	if now := t.up(c, 0); now.PID != s.PID && !paths {
		t.errorf("it was started again for its configuration")
	}
}

// channel ends a check of a plugin that brings or sends nothing.
func (t *T) channel(known bool, what string) {
	if len(t.subject.m.Provides.Channels) == 0 {
		t.apart("it is no channel")
	}
	if !known {
		t.missing("%s does not say how to %s a message", WorldFile, what)
	}
}

// brings kills the plugin while messages come, and lets the office refuse some for now.
func brings(t *T) {
	t.channel(t.subject.World.Bring != nil, "bring")
	c := t.open()
	s := t.up(c, 0)
	run := c.word()
	const messages, kills = 20, 4
	for i := range messages {
		if i%(messages/kills) == 2 {
			c.db.full.Store(true)
		}
		t.must("bring a message", t.subject.World.Bring(fmt.Sprintf("word-%s-%02d.", run, i)))
		if i%(messages/kills) == 3 {
			t.must("kill it", syscall.Kill(s.PID, syscall.SIGKILL))
			c.db.full.Store(false)
			s = t.up(c, s.PID)
		}
	}
	for i := range messages {
		words := fmt.Sprintf("word-%s-%02d.", run, i)
		t.wait(words+" is here", func() bool { return c.messages(t, words) > 0 })
		if n := c.messages(t, words); n != 1 {
			t.errorf("%s is here %d times", words, n)
		}
	}
}

func sendsOnce(t *T) {
	w := t.subject.World
	t.channel(w.Answer != nil && w.Sent != nil, "send")
	c := t.open()
	t.up(c, 0)
	out := *w.Answer
	out.MessageID = record.NewID()
	words := "answer-" + out.MessageID.String()
	out.Text += " " + words
	for range 2 {
		receipt, err := c.Host.Send(t.ctx, out)
		t.must("send", err)
		if receipt.At.IsZero() {
			t.errorf("the receipt has no time")
		}
	}
	sent := func() int {
		n, err := w.Sent(words)
		t.must("look for what was sent", err)
		return n
	}
	t.wait("the answer reached the world", func() bool { return sent() > 0 })
	if n := sent(); n != 1 {
		t.errorf("the answer was sent %d times", n)
	}
}

// fullDisk lets no write of the office go through for a while.
func fullDisk(t *T) {
	c := t.open()
	s := t.up(c, 0)
	e := &exercise{t: t, c: c, say: t.saw, quiet: true}
	stop := e.meanwhile()
	c.db.full.Store(true)
	e.once()
	words := "full-" + c.word()
	if t.subject.World.Bring != nil {
		t.must("bring a message", t.subject.World.Bring(words))
	}
	time.Sleep(500 * time.Millisecond) // for the plugin to meet it
	c.db.full.Store(false)
	stop()
	if t.subject.World.Bring != nil {
		t.wait("the message is here after all", func() bool { return c.messages(t, words) == 1 })
	}
	t.wait("it heard every event", func() bool { return c.Host.Waiting(c.ID) == 0 })
	if now := c.status(); now.PID != s.PID {
		t.errorf("it fell: %v", now.LastError)
	}
}

// oldHost runs the plugin under a host that speaks the contract's first version and nothing more.
func oldHost(t *T) {
	if !strings.Contains(strings.ReplaceAll(t.subject.m.API, " ", ""), ">=1.0") {
		t.apart("it asks for %s", t.subject.m.API)
	}
	c := t.open(func(o *office) { o.change = func(p *plugin.Options) { p.First = true } })
	s := t.up(c, 0)
	if t.subject.World.Bring != nil {
		words := "old-" + c.word()
		t.must("bring a message", t.subject.World.Bring(words))
		t.wait("the message is here", func() bool { return c.messages(t, words) == 1 })
	}
	if now := c.status(); now.PID != s.PID {
		t.errorf("it fell: %v", now.LastError)
	}
}
