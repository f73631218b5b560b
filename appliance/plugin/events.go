package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	eventsBatch     = 200
	eventsUnderWay  = 256             // that a plugin has and has not done with
	rememberEvery   = time.Second     // how often its place is kept while it works
	eventsAgainMin  = time.Second     // pause after a stream that broke
	eventsAgainMax  = 5 * time.Minute //
	configuredAgain = 100 * time.Millisecond
)

// reader is the name under which the journal keeps how far a plugin is.
func (p *supervised) reader() string { return "plugin:" + p.m.ID }

// events brings a running plugin the facts it wants, until ctx ends. While it is down they wait in the journal.
func (p *supervised) events(ctx context.Context, s *session) {
	if len(p.m.Hooks.After) == 0 || p.host.o.Journal == nil {
		return
	}
	wait := eventsAgainMin
	for ctx.Err() == nil {
		if !s.configured.Load() { // it does not know yet what it is to do with them
			select {
			case <-time.After(configuredAgain):
			case <-ctx.Done():
			}
			continue
		}
		began := p.host.o.Now()
		err := p.stream(ctx, s)
		if ctx.Err() != nil {
			return
		}
		if p.host.o.Now().Sub(began) > eventsAgainMax {
			wait = eventsAgainMin
		}
		p.host.o.Log.Warn("the stream of events to a plugin broke and is begun anew", "plugin", p.m.ID, "in", wait, "error", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		wait = min(2*wait, eventsAgainMax)
	}
}

// stream is one stream: facts go out, the numbers of those done with come back, and what is done with is remembered.
func (p *supervised) stream(ctx context.Context, s *session) error {
	ctx, cancel := context.WithCancelCause(access.WithActor(ctx, access.Appliance()))
	defer cancel(nil)
	journal := p.host.o.Journal
	from, err := journal.Place(ctx, p.reader())
	if err != nil {
		return err
	}
	line, err := wirev1.NewHooksClient(s.conn).After(ctx)
	if err != nil {
		return fmt.Errorf("open the stream: %w", err)
	}
	f := &flow{p: p, grant: s.grant, line: line, room: make(chan struct{}, eventsUnderWay), sent: make(chan uint64, eventsUnderWay)}
	f.done.Store(from)
	f.passed.Store(from)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cancel(f.receive(ctx))
	}()
	remembering := make(chan struct{})
	go func() {
		defer close(remembering)
		f.remember(ctx, from)
	}()
	err = f.send(ctx, from)
	cancel(err)
	<-ended
	<-remembering
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	return err
}

// flow is the state of one stream.
type flow struct {
	p      *supervised
	grant  *access.Granted
	line   wirev1.Hooks_AfterClient
	room   chan struct{} // one place for each event under way
	sent   chan uint64   // their numbers, in order
	done   atomic.Uint64 // up to which nothing is under way
	passed atomic.Uint64 // up to which facts were looked at
}

// send reads the journal and sends what the plugin wants and may know of.
func (f *flow) send(ctx context.Context, seq uint64) error {
	j := f.p.host.o.Journal
	for {
		if err := j.Wait(ctx, seq); err != nil {
			return err
		}
		facts, err := j.After(ctx, seq, eventsBatch)
		if err != nil {
			return err
		}
		for _, fact := range facts {
			seq = fact.Seq
			if e := f.event(fact); e != nil {
				select {
				case f.room <- struct{}{}:
				case <-ctx.Done():
					return ctx.Err()
				}
				f.sent <- seq // never waits: it has as many places as room
				if err := f.line.Send(e); err != nil {
					return fmt.Errorf("send an event: %w", err)
				}
			}
			f.passed.Store(seq)
		}
	}
}

// receive takes the numbers of those done with. A plugin may answer with the last of several.
func (f *flow) receive(ctx context.Context) error {
	for {
		answer, err := f.line.Recv()
		if errors.Is(err, io.EOF) {
			return errors.New("the plugin ended the stream")
		}
		if err != nil {
			return err
		}
		for {
			select {
			case seq := <-f.sent:
				f.done.Store(seq)
				<-f.room
				if seq < answer.GetSeq() {
					continue
				}
				if seq != answer.GetSeq() {
					return fmt.Errorf("the plugin has done with %d, which it was not sent", answer.GetSeq())
				}
			case <-ctx.Done():
				return ctx.Err()
			default:
				return fmt.Errorf("the plugin has done with %d, which it was not sent", answer.GetSeq())
			}
			break
		}
	}
}

// place is how far the plugin is: all that was looked at when nothing is under way, else all that it has done with.
func (f *flow) place() uint64 {
	passed := f.passed.Load() // before the look at what is under way
	if len(f.room) == 0 {
		return max(passed, f.done.Load())
	}
	return f.done.Load()
}

// remember keeps the plugin's place from time to time, and at the end.
func (f *flow) remember(ctx context.Context, kept uint64) {
	tick := time.NewTicker(rememberEvery)
	defer tick.Stop()
	for over := false; !over; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			over = true
		}
		now := f.place()
		if now == kept {
			continue
		}
		if err := f.p.host.o.Journal.Remember(context.WithoutCancel(ctx), f.p.reader(), now); err != nil {
			f.p.host.o.Log.Error("remember how far a plugin is", "plugin", f.p.m.ID, "error", err)
			continue // it will be told again of what it has done with
		}
		kept = now
	}
}

// event makes a fact what a plugin is told, nil for one that it does not want or may not know of: each names a record
// that its grant lets it see.
func (f *flow) event(fact journal.Fact) *wirev1.Event {
	if fact.Read || !slices.ContainsFunc(f.p.m.Hooks.After, func(want string) bool { return wants(want, fact.Name) }) {
		return nil
	}
	if fact.Entity == "" || !f.grant.Allows(access.See, fact.Entity) {
		return nil
	}
	e := &wirev1.Event{Seq: fact.Seq, Name: wire.Valid(fact.Name), Record: &wirev1.RecordRef{Entity: fact.Entity, Id: wire.Valid(fact.ID)},
		Contact: fact.Contact, Actor: wire.Valid(fact.Actor), At: timestamppb.New(fact.At), About: wire.CleanParams(fact.About)}
	for _, field := range fact.Fields {
		if f.grant.AllowsField(access.See, fact.Entity, field) {
			e.Fields = append(e.Fields, field)
		}
	}
	if len(fact.Fields) > 0 && len(e.Fields) == 0 {
		return nil
	}
	return e
}

// wants tells whether a wish of the manifest covers a fact's name.
func wants(wish, name string) bool {
	if prefix, ok := strings.CutSuffix(wish, "*"); ok {
		return strings.HasPrefix(name, prefix)
	}
	return wish == name
}

// waiting is how many facts a plugin has not done with yet, 0 for one that wants none. What cannot be read counts none.
func (p *supervised) waiting() int64 {
	if len(p.m.Hooks.After) == 0 || p.host.o.Journal == nil {
		return 0
	}
	ctx := access.WithActor(context.Background(), access.Appliance())
	last, err := p.host.o.Journal.Last(ctx)
	if err != nil {
		return 0
	}
	place, err := p.host.o.Journal.Place(ctx, p.reader())
	if err != nil || place > last {
		return 0
	}
	return int64(last - place)
}
