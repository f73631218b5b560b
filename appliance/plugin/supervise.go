package plugin

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
)

// pingsMissed is how many pings in a row may go unanswered before the process counts as hung.
const pingsMissed = 2

// supervised is one plugin: its manifest, its status, and its process while there is one.
type supervised struct {
	host   *Host
	m      *Manifest
	broken *fault.Error // why it can never be started; nil for a sound plugin
	log    *pluginLog
	nudged chan struct{} // something changed that a waiting supervisor must see

	mu          sync.Mutex
	status      Status
	enabled     bool
	tryNow      bool               // forget the pauses
	session     *session           // nil when no process is up
	quit        context.CancelFunc // ends the life under way; nil when there is none
	lifeEnded   chan struct{}      // closed when the life under way ended
	health      map[account]Health
	healthOrder []account // as they were first reported
	opened      []account // by the configuration
}

func newSupervised(h *Host, m *Manifest) *supervised {
	p := &supervised{
		host: h, m: m, nudged: make(chan struct{}, 1), health: map[account]Health{},
		enabled: !slices.Contains(h.o.Disabled, m.ID),
		status:  Status{ID: m.ID, Name: m.Name, Version: m.Version, State: Stopped, Since: h.o.Now()},
	}
	if !p.enabled {
		p.status.State = Disabled
	}
	p.log = newPluginLog(h.o.Log, m.ID)
	return p
}

// supervise keeps the plugin alive until ctx ends. Patience is what a stopping plugin may use up.
func (p *supervised) supervise(ctx, patience context.Context) {
	b := &breaker{t: p.host.o.Timing}
	for ctx.Err() == nil {
		if !p.isEnabled() {
			p.set(func(s *Status) { s.State, s.PID = Disabled, 0 })
			p.sleep(ctx, 0)
			continue
		}
		began := p.host.o.Now()
		err := p.live(ctx, patience)
		if err == nil { // it was told to stop
			continue
		}
		now := p.host.o.Now()
		wait, open := b.ended(now, now.Sub(began))
		p.host.o.Log.Error("a plugin ended", "plugin", p.m.ID, "error", err, "again in", wait, "circuit open", open)
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
		return err
	}
	defer s.close()
	p.mu.Lock()
	p.session = s
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.session = nil
		p.mu.Unlock()
	}()
	p.set(func(st *Status) { st.State, st.PID = Running, s.pid() })
	p.host.o.Log.Info("a plugin runs", "plugin", p.m.ID, "version", p.m.Version, "pid", s.pid())
	p.configure(ctx, s)
	return p.watch(ctx, patience, s)
}

// watch returns when the life is over: nil when it was told to stop.
func (p *supervised) watch(ctx, patience context.Context, s *session) error {
	tick := time.NewTicker(p.host.o.Timing.PingEvery)
	defer tick.Stop()
	missed := 0
	for {
		select {
		case <-s.process.exited:
			if ctx.Err() != nil {
				return nil
			}
			s.process.lastLines()
			return p.log.whyEnded(s.process.exitErr)
		case <-ctx.Done():
			s.stop(patience)
			return nil
		case <-tick.C:
		}
		if err := s.ping(ctx); err != nil && ctx.Err() == nil {
			if missed++; missed >= pingsMissed {
				return fault.Wrap(err, fault.Unavailable, "plugin.hung") // close kills it
			}
			continue
		}
		missed = 0
		if !s.configured.Load() && !s.refused.Load() {
			p.configure(ctx, s) // what kept the settings from it may be over
		}
	}
}

// configure gives the plugin its settings. A refusal is no fall: the plugin stays up and waits for better ones.
func (p *supervised) configure(ctx context.Context, s *session) error {
	ctx, cancel := context.WithTimeout(ctx, p.host.o.Timing.Configure)
	defer cancel()
	err := s.configure(ctx)
	if err != nil && ctx.Err() == nil {
		p.host.o.Log.Warn("a plugin is not configured", "plugin", p.m.ID, "error", err)
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
