package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
)

func TestEventsAreHeardInOrder(t *testing.T) {
	var heard []uint64
	var last Event
	k := newKarov(t, Plugin{After: func(_ context.Context, _ Host, e Event) error {
		heard, last = append(heard, e.Seq), e
		return nil
	}})
	stream, err := wirev1.NewHooksClient(k.plugin).After(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const events = 3000
	var sending sync.WaitGroup
	sending.Go(func() {
		for seq := range uint64(events) {
			e := &wirev1.Event{
				Seq: 2 * (seq + 1), Name: "contact.changed", Record: &wirev1.RecordRef{Entity: "contact", Id: fmt.Sprint(seq)},
				Fields: []string{"city"}, Contact: "c", Actor: "system", About: map[string]string{"a": "b"},
			}
			if err := stream.Send(e); err != nil {
				t.Error(err)
				return
			}
		}
	})
	var told uint64
	for told < 2*events {
		done, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if done.GetSeq() <= told || done.GetSeq()%2 != 0 {
			t.Fatalf("after %d it is done with %d", told, done.GetSeq())
		}
		told = done.GetSeq()
	}
	sending.Wait()
	if len(heard) != events || !slices.IsSorted(heard) {
		t.Errorf("it heard %d events, in order: %v", len(heard), slices.IsSorted(heard))
	}
	if last.Record != (Ref{"contact", fmt.Sprint(events - 1)}) || last.Name != "contact.changed" || last.Contact != "c" ||
		last.Fields[0] != "city" || last.Actor != "system" || last.About["a"] != "b" {
		t.Errorf("the last one is %+v", last)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Errorf("it ended with %v", err)
	}
}

func TestAnEventThatFailsComesAgain(t *testing.T) {
	fail := true
	k := newKarov(t, Plugin{After: func(_ context.Context, _ Host, e Event) error {
		if e.Seq == 3 && fail {
			return Temporary("x.away", errors.New("the service is away"))
		}
		return nil
	}})
	from := uint64(1)
	for attempt := range 2 {
		stream, err := wirev1.NewHooksClient(k.plugin).After(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for seq := from; seq <= 5; seq++ {
			if err := stream.Send(&wirev1.Event{Seq: seq}); err != nil && err != io.EOF {
				t.Fatal(err)
			}
		}
		var done *wirev1.EventDone
		for done, err = stream.Recv(); err == nil && done.GetSeq() < 5; done, err = stream.Recv() {
			from = done.GetSeq() + 1
		}
		if f := wire.FaultOf(err); attempt == 0 && (f.GetKey() != "x.away" || from != 3) || attempt == 1 && f != nil {
			t.Errorf("attempt %d ended with %v before %d", attempt, f, from)
		}
		fail = false
		k.server.events.worked() // the pause between the two is not of interest here
	}
}

func TestStreamsOfEventsThatFailArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p patience
		began := time.Now()
		for range 30 {
			p.failed()
			if !p.wait(t.Context(), t.Context()) {
				t.Fatal("it gave up")
			}
		}
		// Doubling from 1 s to 5 min, each jittered to between its half and its whole.
		if took := time.Since(began); took < 50*time.Minute || took > 115*time.Minute {
			t.Errorf("30 failures took %v", took)
		}
		p.worked()
		began = time.Now()
		if !p.wait(t.Context(), t.Context()) || time.Since(began) != 0 {
			t.Errorf("after one that worked it waits %v", time.Since(began))
		}
		p.failed()
		drained, drain := context.WithCancel(t.Context())
		drain()
		if p.wait(t.Context(), drained) {
			t.Error("a drained plugin goes on")
		}
	})
}
