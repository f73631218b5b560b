package kit

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/karov-crm/karov/appliance/plugin"
)

// patience is how long a check waits for something that must happen. It bounds a failing run and measures nothing.
const patience = 60 * time.Second

// Grade is how far a plugin is.
type Grade string

// The grades, from the least. Each holds what the one before holds.
const (
	NoGrade Grade = "none"
	Bronze  Grade = "bronze" // it does its work and can be installed
	Silver  Grade = "silver" // it comes through what happens in an office
	Gold    Grade = "gold"   // nothing is missing
)

// Check is one thing that a plugin must do.
type Check struct {
	Name  string
	Grade Grade
	run   func(*T)
	first bool // without it nothing else is worth a try
}

// Subject is the plugin under test.
type Subject struct {
	Source string   // its folder as its maker has it, "" when only a package is there
	Home   string   // a folder that holds it built, as plugin.Options.Dirs
	Launch []string // as plugin.Options.Launch
	World  World    // what the suite knows of the world behind it

	m *plugin.Manifest
}

// NewSubject makes a subject of the plugin that lies built in home/<anything>.
func NewSubject(s Subject) (*Subject, error) {
	found, err := filepath.Glob(filepath.Join(s.Home, "*", "plugin.yaml"))
	if err != nil || len(found) != 1 {
		return nil, fmt.Errorf("%s holds %d plugins, not one", s.Home, len(found))
	}
	s.m, err = plugin.ReadManifest(filepath.Dir(found[0]))
	return &s, err
}

// Manifest is that of the plugin.
func (s *Subject) Manifest() *plugin.Manifest { return s.m }

// Outcome is how a check ended.
type Outcome string

// The outcomes.
const (
	Passed  Outcome = "passed"
	Failed  Outcome = "failed"
	Missing Outcome = "missing" // it could not be tried for want of something that the plugin's maker can give
	Apart   Outcome = "apart"   // it is not about plugins of this kind
)

// Result is what became of a check.
type Result struct {
	Name    string        `json:"name"`
	Grade   Grade         `json:"grade"`
	Outcome Outcome       `json:"outcome"`
	Notes   []string      `json:"notes,omitempty"` // what is wrong, or what was seen
	Took    time.Duration `json:"took"`
}

// Run puts a plugin through one check.
func (s *Subject) Run(ctx context.Context, c Check) Result {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	t := &T{ctx: ctx, subject: s, starting: c.first, outcome: Passed}
	began := time.Now()
	done := make(chan struct{})
	go func() { // so that Fatalf can end the check and nothing else
		defer close(done)
		defer t.cleanUp()
		c.run(t)
	}()
	<-done
	return Result{Name: c.Name, Grade: c.Grade, Outcome: t.outcome, Notes: t.notes, Took: time.Since(began).Round(time.Millisecond)}
}

// T is one run of a check.
type T struct {
	ctx      context.Context
	subject  *Subject
	starting bool // the check is about the start alone

	mu       sync.Mutex
	outcome  Outcome
	notes    []string
	cleanups []func()
}

func (t *T) note(o Outcome, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if o != Passed && t.outcome != Failed {
		t.outcome = o
	}
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// saw notes what is worth knowing.
func (t *T) saw(format string, args ...any) { t.note(Passed, format, args...) }

// errorf notes what is wrong and goes on.
func (t *T) errorf(format string, args ...any) { t.note(Failed, format, args...) }

// fatalf notes what is wrong and ends the check.
func (t *T) fatalf(format string, args ...any) {
	t.note(Failed, format, args...)
	runtime.Goexit()
}

// missing ends a check that cannot be tried.
func (t *T) missing(format string, args ...any) {
	t.note(Missing, format, args...)
	runtime.Goexit()
}

// apart ends a check that is not about this plugin.
func (t *T) apart(format string, args ...any) {
	t.note(Apart, format, args...)
	runtime.Goexit()
}

func (t *T) must(what string, err error) {
	if err != nil {
		t.fatalf("%s: %v", what, err)
	}
}

func (t *T) cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

func (t *T) cleanUp() {
	for i := len(t.cleanups) - 1; i >= 0; i-- {
		t.cleanups[i]()
	}
}

// folder makes a folder that is removed with the check.
func (t *T) folder() string {
	dir, err := os.MkdirTemp("", "karov-suite-")
	t.must("make a folder", err)
	t.cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// wait waits until a condition holds.
func (t *T) wait(what string, holds func() bool) {
	for end := time.Now().Add(patience); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) || t.ctx.Err() != nil {
			t.fatalf("waited in vain until %s", what)
		}
	}
}

// unconfigured tells whether the plugin has settings that it cannot do without, and nobody gave them.
func (s *Subject) unconfigured() bool {
	return s.World.Config == nil && slices.ContainsFunc(s.m.Config, func(c plugin.Setting) bool { return c.Required && c.Default == "" })
}

// open opens an office with the plugin in it, over a folder of its own. A plugin that nobody configured can only be
// started.
func (t *T) open(change ...func(*office)) *Core {
	if t.subject.unconfigured() && !t.starting {
		t.missing("%s gives no configuration (config:), and the plugin has settings that are required", WorldFile)
	}
	o := office{home: t.subject.Home, data: t.folder(), launch: t.subject.Launch, config: t.subject.World.settings}
	for _, c := range change {
		c(&o)
	}
	c, err := openCore(t.ctx, o)
	t.must("open the office", err)
	t.cleanup(func() {
		if err := c.Close(); err != nil {
			t.errorf("close the office: %v", err)
		}
		if t.outcome == Failed {
			t.saw("the host's last words:\n%s", c.log.last())
		}
	})
	return c
}

// up waits until the plugin runs, was configured, and has another process than pid.
func (t *T) up(c *Core, pid int) plugin.Status {
	t.wait("the plugin runs", func() bool {
		s := c.status()
		if s.State != plugin.Running || s.PID == pid {
			return false
		}
		return t.subject.unconfigured() || s.LastError == nil && c.Host.Healthy(s.ID) == nil
	})
	return c.status()
}

// Lines keep what an office logged.
type Lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write adds to the log.
func (l *Lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// String gives the log so far.
func (l *Lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// last gives the end of the log.
func (l *Lines) last() string {
	s := l.String()
	return s[max(0, len(s)-2000):]
}
