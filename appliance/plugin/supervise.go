package plugin

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
)

// supervised is one plugin: its manifest, its status, and its process while there is one.
type supervised struct {
	host   *Host
	m      *Manifest
	broken *fault.Error // why it can never be started; nil for a sound plugin
	log    *pluginLog
	meter  *meter
	limit  *limit
	hook   hookTrouble
	nudged chan struct{} // something changed that a waiting supervisor must see

	// turn is held by whoever changes what runs: Enable, Disable, Swap, Remove. It passes to the next version.
	turn chan struct{}

	mu          sync.Mutex
	status      Status
	tenure      tenure
	enabled     bool
	tryNow      bool               // forget the pauses
	session     *session           // nil when no process is up
	quit        context.CancelFunc // ends the life under way; nil when there is none
	lifeEnded   chan struct{}      // closed when the life under way ended
	health      map[account]Health
	healthOrder []account // as they were first reported
	opened      []account // by the configuration
}

// tenure is the time in which a plugin is supervised: from its launch until it is retired, or the host closes.
type tenure struct {
	leave context.CancelFunc // begins its end; nil before the launch
	hurry context.CancelFunc // ends the patience with it
	over  chan struct{}      // closed when nothing of it lives
	first chan error         // how the first start went
}

// newSupervised makes a plugin that is not launched yet. Before is the version that it follows, nil for none.
func newSupervised(h *Host, m *Manifest, before *supervised) *supervised {
	p := &supervised{
		host: h, m: m, nudged: make(chan struct{}, 1), health: map[account]Health{},
		status: Status{ID: m.ID, Name: m.Name, Version: m.Version, State: Stopped, Since: h.o.Now()},
	}
	if before == nil {
		p.turn = make(chan struct{}, 1)
		p.log, p.meter, p.limit = newPluginLog(h.o.Log, m.ID), newMeter(m.ID), newLimit(h.o.Now)
		p.meter.setWaiting(p.waiting)
		p.enabled = !slices.Contains(h.o.Disabled, m.ID) && (h.o.Enabled == nil || h.o.Enabled(m.ID))
	} else {
		p.turn, p.log, p.meter, p.limit = before.turn, before.log, before.meter, before.limit
		p.enabled = before.isEnabled()
		p.status.Restarts = before.snapshot().Restarts
	}
	if !p.enabled {
		p.status.State = Disabled
	}
	return p
}

// begun begins a tenure and gives what runs it.
func (p *supervised) begun(ctx, patience context.Context) func() {
	ctx, leave := context.WithCancel(ctx)
	patience, hurry := context.WithCancel(patience)
	p.meter.setWaiting(p.waiting) // anew with each version
	t := tenure{leave: leave, hurry: hurry, over: make(chan struct{}), first: make(chan error, 1)}
	p.mu.Lock()
	p.tenure = t
	p.mu.Unlock()
	return func() {
		defer close(t.over)
		defer hurry()
		defer leave()
		p.supervise(ctx, patience)
	}
}

// retire ends the tenure and returns when no process lives; it may finish what it began until ctx ends.
func (p *supervised) retire(ctx context.Context) {
	t := p.held()
	if t.leave == nil {
		return
	}
	t.leave()
	defer context.AfterFunc(ctx, t.hurry)()
	<-t.over
}

func (p *supervised) held() tenure {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tenure
}

// firstWas keeps how the first start of the tenure went, for who waits for it.
func (p *supervised) firstWas(err error) {
	select {
	case p.held().first <- err:
	default:
	}
}

// current gives the session of the process that runs and has its settings.
func (p *supervised) current() (*session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.session == nil || !p.session.configured.Load() {
		return nil, fault.New(fault.Unavailable, "plugin.not-running", "plugin", p.m.Name)
	}
	return p.session, nil
}

// supervise keeps the plugin alive until ctx ends. Patience is what a stopping plugin may use up.
func (p *supervised) supervise(ctx, patience context.Context) {
	b := &breaker{t: p.host.o.Timing}
	for ctx.Err() == nil {
		if !p.isEnabled() {
			p.set(func(s *Status) { s.State, s.PID = Disabled, 0 })
			p.firstWas(nil)
			p.sleep(ctx, 0)
			continue
		}
		began := time.Now() // not the office's clock, which may be set: pauses go by the machine's
		err := p.live(ctx, patience)
		if err == nil { // it was told to stop
			continue
		}
		wait, open := b.ended(time.Now(), time.Since(began))
		p.say(ctx, slog.LevelError, "a plugin ended",
			slog.Any("error", err), slog.Duration("again in", wait), slog.Bool("circuit open", open))
		p.set(func(s *Status) {
			s.State, s.PID, s.LastError = Backoff, 0, fault.Of(err)
			if open {
				s.State = OpenCircuit
			}
			s.Restarts++
		})
		p.sleep(ctx, wait)
		if p.takeTryNow() {
			b.reset()
		}
	}
	p.set(func(s *Status) { s.State, s.PID = Stopped, 0 })
}

// sleep waits until the time is over (for ever when d is 0), something changed, or ctx ended.
func (p *supervised) sleep(ctx context.Context, d time.Duration) {
	var over <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-over:
	case <-p.nudged:
	case <-ctx.Done():
	}
}

func (p *supervised) nudge() {
	select {
	case p.nudged <- struct{}{}:
	default:
	}
}

func (p *supervised) isEnabled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.enabled
}

func (p *supervised) takeTryNow() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.tryNow
	p.tryNow = false
	return now
}

// live is one life of the process. It gives nil when the process was told to stop, otherwise why it ended.
func (p *supervised) live(ctx, patience context.Context) error {
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	ended := make(chan struct{})
	defer close(ended)
	select {
	case <-p.nudged: // of before this life
	default:
	}
	p.mu.Lock()
	if !p.enabled {
		p.mu.Unlock()
		return nil
	}
	p.tryNow = false
	p.quit, p.lifeEnded = quit, ended
	p.mu.Unlock()
	p.set(func(s *Status) { s.State, s.PID = Starting, 0 })

	s, err := p.begin(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		p.firstWas(err)
		return err
	}
	defer s.close()
	p.mu.Lock()
	p.session = s
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.session, p.status.Pulse, p.status.Memory = nil, nil, 0
		p.mu.Unlock()
	}()
	p.set(func(st *Status) { st.State, st.PID, st.Isolation = Running, s.pid(), s.process.isolation.String() })
	p.weigh(s.pid())
	p.say(ctx, slog.LevelInfo, "a plugin runs", slog.String("version", p.m.Version), slog.Int("pid", s.pid()))
	p.firstWas(nil)
	p.hook.answered(true, p.host.o.Now()) // a new process has a clean sheet
	if err := p.host.schedule(ctx, p.m); err != nil {
		p.say(ctx, slog.LevelError, "a plugin's jobs could not be scheduled", slog.Any("error", err))
	}
	p.configure(ctx, s)
	telling, endTelling := context.WithCancel(ctx)
	var events sync.WaitGroup
	events.Go(func() { p.events(telling, s) })
	defer func() { endTelling(); events.Wait() }()
	return p.watch(ctx, patience, s)
}

// configure gives the plugin its settings. A refusal is no fall: the plugin stays up and waits for better ones.
func (p *supervised) configure(ctx context.Context, s *session) error {
	ctx, cancel := context.WithTimeout(ctx, p.host.o.Timing.Configure)
	defer cancel()
	err := s.configure(ctx)
	if err != nil && ctx.Err() == nil {
		p.say(ctx, slog.LevelWarn, "a plugin is not configured", slog.Any("error", err))
	}
	p.set(func(st *Status) {
		st.LastError = nil
		if err != nil {
			st.LastError = fault.Of(err)
		}
	})
	return err
}

func (p *supervised) reconfigure(ctx context.Context) error {
	if p.broken != nil {
		return p.broken
	}
	p.mu.Lock()
	s := p.session
	p.tryNow = s == nil
	p.mu.Unlock()
	if s == nil {
		p.nudge()
		return nil
	}
	return p.configure(ctx, s)
}

func (p *supervised) enable() {
	p.mu.Lock()
	p.enabled, p.tryNow = true, true
	p.mu.Unlock()
	p.nudge()
}

// disable ends the life under way and waits for its end.
func (p *supervised) disable(ctx context.Context) error {
	p.mu.Lock()
	p.enabled = false
	quit, ended := p.quit, p.lifeEnded
	p.mu.Unlock()
	p.nudge()
	if quit != nil {
		quit()
	} else {
		closed := make(chan struct{})
		close(closed)
		ended = closed
	}
	select {
	case <-ended:
		p.set(func(s *Status) {
			if !p.enabled { // set holds the lock
				s.State, s.PID = Disabled, 0
			}
		})
		return nil
	case <-ctx.Done():
		return fault.Wrap(ctx.Err(), fault.Unavailable, "plugin.still-stopping", "id", p.m.ID)
	}
}
