package plugin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// pingsMissed is how many pings in a row may go unanswered before the process counts as hung.
const pingsMissed = 2

// pulseEvery is how often at most a plugin's health is read. One that tells it without end waits.
const pulseEvery = 100 * time.Millisecond

// Pulse is how a plugin says it is. Key names a sentence.
type Pulse struct {
	OK         bool
	Key        string
	Params     map[string]string
	Detail     string
	Goroutines int64 // or what the plugin's language has in their place
	Heap       int64 // bytes
}

// watch returns when the life is over: nil when it was told to stop.
func (p *supervised) watch(ctx, patience context.Context, s *session) error {
	tick := time.NewTicker(p.host.o.Timing.PingEvery)
	defer tick.Stop()
	if s.tells {
		ctx, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() { defer close(ended); s.listen(ctx) }()
		defer func() { cancel(); <-ended }()
	}
	v := vigil{at: time.Now()}
	for {
		select {
		case <-s.process.exited:
			if ctx.Err() != nil {
				return nil
			}
			s.process.lastLines()
			return s.whyEnded()
		case <-s.again:
			s.stop(patience)
			return nil
		case <-ctx.Done():
			s.stop(patience)
			return nil
		case <-tick.C:
		}
		if err := v.look(ctx, s); err != nil && ctx.Err() == nil {
			if over := s.process.overrun.Load(); over != nil { // it does not answer because it was killed for this
				return over
			}
			return err // close kills it
		}
		p.weigh(s.pid())
		if v.missed == 0 && !s.configured.Load() && !s.refused.Load() {
			p.configure(ctx, s) // what kept the settings from it may be over
		}
	}
}

// vigil is what the watch over one session remembers from one look to the next.
type vigil struct {
	missed int   // pings in a row
	heard  int64 // of the health at the last look
	silent time.Duration
	at     time.Time // of the last look
}

// look is one look at the plugin. It gives a fault when it can no longer work and must be started again.
func (v *vigil) look(ctx context.Context, s *session) error {
	if err := s.socketsThere(); err != nil {
		return fault.Wrap(err, fault.Unavailable, "plugin.sockets-gone")
	}
	t := s.p.host.o.Timing
	if err := s.ping(ctx); err == nil {
		v.missed = 0
	} else if v.missed++; v.missed >= pingsMissed {
		return fault.Wrap(err, fault.Unavailable, "plugin.hung")
	}
	// A look that comes late counts as two at most: then it was Karov that slept, and not the plugin.
	passed := min(time.Since(v.at), 2*t.PingEvery)
	v.at = time.Now()
	if heard := s.heard.Load(); heard != v.heard || !s.tells {
		v.heard, v.silent = heard, 0
	} else if v.silent += passed; v.silent >= t.Silence {
		return fault.Wrap(errors.New("it does not tell its health"), fault.Unavailable, "plugin.hung")
	}
	return nil
}

// noteSockets notes which files the sockets are.
func (s *session) noteSockets() error {
	s.sockets = map[string]os.FileInfo{}
	for _, name := range []string{pluginSocket, hostSocket} {
		info, err := os.Lstat(filepath.Join(s.dir, name))
		if err != nil {
			return fmt.Errorf("look at the sockets: %w", err)
		}
		s.sockets[name] = info
	}
	return nil
}

// socketsThere looks whether the sockets still lie where they were made. Whoever cleans up old files may take them, and
// nobody who is connected would notice: only the next connection would fail.
func (s *session) socketsThere() error {
	for name, was := range s.sockets {
		info, err := os.Lstat(filepath.Join(s.dir, name))
		if err != nil {
			return fmt.Errorf("look at the sockets: %w", err)
		}
		if !os.SameFile(was, info) {
			return fmt.Errorf("%s is not the file that it was", name)
		}
	}
	return nil
}

// ping asks whether the process answers, over a connection of its own: an old one can look well when nobody reads it.
func (s *session) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.p.host.o.Timing.Ping)
	defer cancel()
	conn, err := grpc.NewClient("unix:"+filepath.Join(s.dir, pluginSocket), wire.DialOptions(s.token, s.peer)...)
	if err != nil {
		return fmt.Errorf("dial the plugin: %w", err)
	}
	defer conn.Close()
	answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: wire.HealthService})
	if err != nil {
		return fmt.Errorf("ping the plugin: %w", err)
	}
	if answer.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("ping the plugin: it says %s", answer.GetStatus())
	}
	return nil
}

// listen reads how the plugin says it is, until ctx ends. A stream that broke is opened again; the silence meanwhile
// counts.
func (s *session) listen(ctx context.Context) {
	for ctx.Err() == nil {
		stream, err := s.base.Health(ctx, &wirev1.HealthRequest{})
		for err == nil {
			var r *wirev1.HealthResponse
			if r, err = stream.Recv(); err == nil {
				s.heard.Add(1)
				s.p.felt(r)
				pause(ctx, pulseEvery)
			}
		}
		pause(ctx, s.p.host.o.Timing.PingEvery)
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// felt keeps how the plugin says it is.
func (p *supervised) felt(r *wirev1.HealthResponse) {
	now := &Pulse{
		OK: r.GetOk(), Params: wire.CleanParams(r.GetParams()), Detail: printable(wire.Cut(r.GetDetail(), 2000)),
		Goroutines: max(r.GetGoroutines(), 0), Heap: max(r.GetHeap(), 0),
	}
	if wire.ValidKey(r.GetKey()) {
		now.Key = r.GetKey()
	}
	p.mu.Lock()
	was := p.status.Pulse
	p.status.Pulse = now
	p.mu.Unlock()
	if was == nil || was.OK != now.OK || was.Key != now.Key || was.Detail != now.Detail || !maps.Equal(was.Params, now.Params) {
		p.host.changed()
	}
}

// unwell is the fault of a plugin that says it is not well, nil when it says nothing of the kind.
func (u *Pulse) unwell() error {
	if u == nil || u.OK {
		return nil
	}
	f := fault.New(fault.Unavailable, "plugin.unwell", "detail", u.Detail)
	if u.Key != "" {
		f.Key, f.Params = u.Key, maps.Clone(u.Params)
	}
	return f
}

// weigh measures how much memory the process uses.
func (p *supervised) weigh(pid int) {
	bytes := residentMemory(pid)
	p.mu.Lock()
	p.status.Memory = bytes
	p.mu.Unlock()
}

// residentMemory gives the bytes of memory that a process occupies (proc_pid_statm(5)), 0 when it is gone.
func residentMemory(pid int) int64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(raw), &size, &resident); err != nil {
		return 0
	}
	return resident * int64(os.Getpagesize())
}
