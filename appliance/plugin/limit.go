package plugin

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/plugins/wire"
	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// How much one plugin may ask of Karov. An honest one meets none of these: its SDK has one connection, on which gRPC
// itself lets callsAtOnce/2 wait.
const (
	connectionsAtOnce = 8
	refusalTakes      = 200 * time.Millisecond // who floods waits, so that refusing it costs the core little
	floodAfter        = 100                    // refused calls of one process
	lastOfAll         = 19                     // as a rank among processes, the last that there is
	callsPerSecond    = 2000
	callsInABurst     = 2000
	callsAtOnce       = 64
	auditsPerMinute   = 1000
	listsAtOnce       = 2           // lists and counts, each of which may read every record
	tellEvery         = time.Minute // how often Options.Refused hears of one kind of refusal
	tellsInABurst     = 30          // and of all kinds, then one a second: a plugin may make kinds up
	maxToldKinds      = 1000
)

// limit bounds what one plugin asks of Karov. It outlives the plugin's process, so that nobody gets a
// full bucket by falling.
type limit struct {
	calls  *rate.Limiter
	audits *rate.Limiter
	tells  *rate.Limiter
	lists  chan struct{} // one place for each that is under way
	atOnce atomic.Int64
	now    func() time.Time

	mu   sync.Mutex
	told map[string]time.Time // what was told of, and when
}

func newLimit(now func() time.Time) *limit {
	return &limit{
		calls: rate.NewLimiter(callsPerSecond, callsInABurst), audits: rate.NewLimiter(rate.Limit(auditsPerMinute)/60, auditsPerMinute),
		tells: rate.NewLimiter(1, tellsInABurst), lists: make(chan struct{}, listsAtOnce), now: now, told: map[string]time.Time{},
	}
}

// enter lets a call in unless there are too many; leave is called at its end. One that comes too fast counts too: who
// floods gets no more by it.
func (l *limit) enter() (leave func(), ok bool) {
	now := l.now()
	if l.atOnce.Add(1) > callsAtOnce || l.calls.ReserveN(now, 1).DelayFrom(now) > 0 {
		l.atOnce.Add(-1)
		return nil, false
	}
	return func() { l.atOnce.Add(-1) }, true
}

// list waits for its turn to read many records; done gives the turn on.
func (l *limit) list(ctx context.Context) (done func(), err error) {
	select {
	case l.lists <- struct{}{}:
		return func() { <-l.lists }, nil
	case <-ctx.Done():
		return nil, fault.Wrap(ctx.Err(), fault.Unavailable, "plugin.too-many-calls")
	}
}

// tell calls fn, unless of the same kind it was called a short while ago.
func (l *limit) tell(kind string, fn func()) {
	now := l.now()
	l.mu.Lock()
	last, known := l.told[kind]
	again := known && now.Sub(last) < tellEvery && !now.Before(last) || !l.tells.AllowN(now, 1)
	if !again {
		if len(l.told) >= maxToldKinds { // somebody makes up kinds: one telling more does no harm
			clear(l.told)
		}
		l.told[kind] = now
	}
	l.mu.Unlock()
	if !again {
		fn()
	}
}

// limitUnary lets no more single calls in than a plugin may make.
func (s *session) limitUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	leave, ok := s.limit.enter()
	if !ok {
		return nil, s.tooMany(ctx)
	}
	defer leave()
	return next(ctx, req)
}

// limitStream is limitUnary for streams: each counts as one call for as long as it lasts.
func (s *session) limitStream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	leave, ok := s.limit.enter()
	if !ok {
		return s.tooMany(stream.Context())
	}
	defer leave()
	return next(srv, sizedStream{stream, s})
}

// sizedStream tells of a message over the limit of the line within a stream.
type sizedStream struct {
	grpc.ServerStream
	s *session
}

// RecvMsg implements grpc.ServerStream.
func (w sizedStream) RecvMsg(m any) error {
	err := w.ServerStream.RecvMsg(m)
	w.s.sized(w.Context(), err)
	return err
}

// sized tells of an error by which gRPC refused a message for its size.
func (s *session) sized(ctx context.Context, err error) {
	if err != nil && status.Code(err) == codes.ResourceExhausted && strings.Contains(status.Convert(err).Message(), "larger than max") {
		(&callbacks{s: s}).refused(ctx, refusedSize, nil)
	}
}

// tooMany refuses a call for their number, not at once: with so many connections, and so many calls on each, a plugin
// that floods has no more than some thousands of refusals in a second.
func (s *session) tooMany(ctx context.Context) error {
	c := &callbacks{s: s}
	c.refused(ctx, refusedRate, nil)
	if s.floods.Add(1) == floodAfter {
		s.humble(ctx)
	}
	s.holdUp(ctx)
	return wire.FaultError(toWire(fault.New(fault.TooMany, "plugin.too-many-calls")))
}

// humble puts a process that floods behind everybody else on the machine, until its end: only a new process starts afresh.
func (s *session) humble(ctx context.Context) {
	if err := unix.Setpriority(unix.PRIO_PGRP, s.pid(), lastOfAll); err != nil {
		s.p.say(ctx, slog.LevelWarn, "a plugin that floods could not be put last", slog.Any("error", err))
		return
	}
	s.p.say(ctx, slog.LevelWarn, "a plugin floods and comes last from now on", slog.Int("refused", floodAfter))
}

// holdUp lets a call wait that is refused for what no honest plugin does.
func (s *session) holdUp(ctx context.Context) {
	wait := time.NewTimer(refusalTakes/2 + rand.N(refusalTakes)) // not all come back at one moment
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
	}
}

// oversized tells of single calls over the limit of the line, which gRPC refuses before anybody else sees them.
type oversized struct{ s *session }

// TagRPC implements stats.Handler.
func (oversized) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC implements stats.Handler.
func (o oversized) HandleRPC(ctx context.Context, of stats.RPCStats) {
	if end, ok := of.(*stats.End); ok {
		o.s.sized(ctx, end.Error)
	}
}

// TagConn implements stats.Handler.
func (oversized) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (oversized) HandleConn(context.Context, stats.ConnStats) {}
