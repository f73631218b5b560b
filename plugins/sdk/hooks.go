package sdk

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc"
)

// Act is what a Write does.
type Act int

// The acts of a Write.
const (
	Creating Act = iota + 1
	Updating
	Deleting
)

// String names the act as plugin.yaml does.
func (a Act) String() string {
	switch a {
	case Creating:
		return "create"
	case Updating:
		return "update"
	case Deleting:
		return "delete"
	}
	return fmt.Sprintf("act %d", int(a))
}

// Write is a write that somebody is about to do.
type Write struct {
	Act      Act
	Entity   string
	Before   Record // as it stands; IsZero when it is being created
	Values   Values // what is about to be written; nil for a field takes its value away
	Actor    Actor  // who writes
	Override bool   // Actor may override refusals of this hook, and asked for it (plugin.yaml: hooks.before.override)
}

// After gives the values as they will stand when the write is done: those of Before with Values over them.
func (w Write) After() Values {
	out := make(Values, len(w.Before.Values)+len(w.Values))
	for name, v := range w.Before.Values {
		out[name] = v
	}
	for name, v := range w.Values {
		if out[name] = v; v == nil {
			delete(out, name)
		}
	}
	return out
}

// BeforeFunc is asked before a write that plugin.yaml's hooks.before names. Nil lets it pass; Values are written instead
// or besides, where the plugin may change those fields; Refuse says no, with a sentence.
//
// It must answer within 300 ms and have no effect of its own: the write may still fail. It may be called from several
// goroutines. ctx acts for the person who writes.
type BeforeFunc func(ctx context.Context, h Host, w Write) (Values, error)

// Event is one fact of the office's journal. It names records and fields, never their content: read the record, which
// may have changed once more.
type Event struct {
	Seq     uint64 // grows, with gaps; the same when the event is brought again
	Name    string // "contact.changed", "conversation.received"
	Record  Ref
	Fields  []string // that were changed
	Contact string   // id of the customer it concerns
	Actor   string   // who did it: an account's id, "plugin:<id>", or "system"
	At      time.Time
	About   map[string]string
}

// hooks serves Plugin.Before and Plugin.After.
type hooks struct {
	wirev1.UnimplementedHooksServer
	*server
}

// Before asks the plugin about one write.
func (s hooks) Before(ctx context.Context, r *wirev1.BeforeRequest) (*wirev1.BeforeResponse, error) {
	done, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer done()
	ask, ok := s.plugin.Before[r.GetEntity()]
	if !ok {
		return nil, unserved("before-hook", r.GetEntity())
	}
	w := Write{
		Act: Act(r.GetAct()), Entity: r.GetEntity(), Before: plainRecord(r.GetBefore()), Values: plainValues(r.GetValues(), Ref{}),
		Actor: plainActor(r.GetActor()), Override: r.GetOverride(),
	}
	changed, err := ask(withActor(ctx, r.GetActor()), s.host, w)
	if err != nil {
		return nil, toAnswer(err)
	}
	values, err := changed.wire()
	if err != nil {
		return nil, toAnswer(err)
	}
	return &wirev1.BeforeResponse{Values: values}, nil
}

// Back-off between two streams of events of which the first ended with an error of the plugin.
const (
	eventAgainMin = time.Second
	eventAgainMax = 5 * time.Minute
	eventsAhead   = 256 // events read before the plugin is done with the one before
	ackWithin     = 5 * time.Second
)

// After brings events to the plugin, one at a time, and acknowledges each one with which it is done.
func (s hooks) After(stream grpc.BidiStreamingServer[wirev1.Event, wirev1.EventDone]) error {
	done, err := s.begin()
	if err != nil {
		return err
	}
	defer done()
	ctx := stream.Context()
	if s.plugin.After == nil {
		return unserved("hook", "after")
	}
	if !s.events.wait(ctx, s.drained) {
		return nil
	}
	acked := beginAcks(stream)
	defer acked.end()
	incoming := receiveEvents(stream)
	for s.drained.Err() == nil {
		select {
		case e, ok := <-incoming:
			if !ok {
				return nil
			}
			if err := s.hear(ctx, e); err != nil {
				s.events.failed()
				return toAnswer(err)
			}
			s.events.worked()
			acked.done(e.GetSeq())
		case <-s.drained.Done():
		}
	}
	return nil
}

// hear gives the plugin one event.
func (s hooks) hear(ctx context.Context, e *wirev1.Event) (err error) {
	defer s.recovered("after "+e.GetName(), &err)
	return s.plugin.After(ctx, s.host, Event{
		Seq: e.GetSeq(), Name: e.GetName(), Record: plainRef(e.GetRecord()), Fields: e.GetFields(), Contact: e.GetContact(),
		Actor: e.GetActor(), At: plainTime(e.GetAt()), About: e.GetAbout(),
	})
}

// receiveEvents reads ahead. The channel is closed when the stream ends, which it does at the latest with its handler.
func receiveEvents(stream grpc.BidiStreamingServer[wirev1.Event, wirev1.EventDone]) <-chan *wirev1.Event {
	out := make(chan *wirev1.Event, eventsAhead)
	go func() {
		defer close(out)
		for {
			e, err := stream.Recv()
			if err != nil {
				return
			}
			select {
			case out <- e:
			case <-stream.Context().Done():
				return
			}
		}
	}()
	return out
}

// acks tells the host how far the plugin is. While one answer is on its way, later ones become a single one.
type acks struct {
	latest atomic.Uint64
	wake   chan struct{}
	ended  chan struct{}
}

func beginAcks(stream grpc.BidiStreamingServer[wirev1.Event, wirev1.EventDone]) *acks {
	a := &acks{wake: make(chan struct{}, 1), ended: make(chan struct{})}
	go func() {
		defer close(a.ended)
		var told uint64
		for range a.wake {
			seq := a.latest.Load()
			if seq == told { // it was told with the one before
				continue
			}
			if stream.Send(&wirev1.EventDone{Seq: seq}) != nil {
				return // the stream is over, and its handler learns it by itself
			}
			told = seq
		}
	}()
	return a
}

// done says that the plugin is done with an event.
func (a *acks) done(seq uint64) {
	a.latest.Store(seq)
	select {
	case a.wake <- struct{}{}:
	default: // the one that waits will tell it
	}
}

// end waits until the last answer is on its way, but not for a host that does not listen.
func (a *acks) end() {
	close(a.wake)
	select {
	case <-a.ended:
	case <-time.After(ackWithin):
	}
}

// patience paces streams of events whose handler fails.
type patience struct {
	mu    sync.Mutex
	pause time.Duration
	until time.Time
}

// failed makes the next stream wait.
func (p *patience) failed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pause = min(max(2*p.pause, eventAgainMin), eventAgainMax)
	p.until = time.Now().Add(p.pause/2 + rand.N(p.pause/2))
}

// worked forgets what failed.
func (p *patience) worked() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pause, p.until = 0, time.Time{}
}

// wait waits as long as it must, and tells whether neither context ended.
func (p *patience) wait(ctx, drained context.Context) bool {
	p.mu.Lock()
	left := time.Until(p.until)
	p.mu.Unlock()
	if left > 0 {
		select {
		case <-time.After(left):
		case <-ctx.Done():
		case <-drained.Done():
		}
	}
	return ctx.Err() == nil && drained.Err() == nil
}
