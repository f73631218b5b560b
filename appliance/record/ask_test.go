package record

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

// desk is an Asker that answers by a function and remembers what it was asked.
type desk struct {
	entity string
	answer func(a Ask) Verdict
	mu     sync.Mutex
	asks   []Ask
	rounds int
}

func (d *desk) Asks(_ context.Context, entity string, _ Act) bool { return entity == d.entity }

func (d *desk) Ask(_ context.Context, asks []Ask) (verdicts []Verdict, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rounds++
	for _, a := range asks {
		d.asks = append(d.asks, a)
		verdicts = append(verdicts, d.answer(a))
	}
	return verdicts, nil
}

func asking(t *testing.T, answer func(a Ask) Verdict) (*office, *desk) {
	o := open(t)
	d := &desk{entity: "contact", answer: answer}
	o.SetAsker(d)
	return o, d
}

func pass(Ask) Verdict { return Verdict{} }

func TestAWriteIsAskedAboutOnceAndThenDone(t *testing.T) {
	o, d := asking(t, pass)
	owner := as(t, access.Owner)
	r := o.create(Values{"name": "דנה", "note": "before"})
	r, err := o.Change(owner, "contact", r.ID, r.Version(), Values{"note": "after"})
	must(t, err)
	must(t, o.Delete(owner, "contact", r.ID, r.Version()))
	_, err = o.Restore(owner, "contact", r.ID)
	must(t, err)
	var acts []string
	for _, a := range d.asks {
		acts = append(acts, fmt.Sprintf("%s %q to %q %v", a.Act, a.Before.Text("note"), a.After.Text("note"), a.Fields))
	}
	want := `[create "" to "before" [name note] update "before" to "after" [note] delete "after" to "" [] create "" to "after" []]`
	if fmt.Sprint(acts) != want {
		t.Errorf("asked about\n%v, want\n%v", acts, want)
	}
	if got, err := o.Get(owner, "contact", r.ID); err != nil || got.Text("note") != "after" || got.Version() != 2 {
		t.Errorf("it is %v %v", got, err)
	}
}

func TestARefusedWriteLeavesNothing(t *testing.T) {
	refusal := fault.New(fault.Forbidden, "access.not-yours", "entity", "contact")
	o, d := asking(t, func(a Ask) Verdict {
		if a.After.Text("note") == "no" || a.Act == ActDelete {
			return Verdict{Refused: refusal}
		}
		return Verdict{}
	})
	owner := as(t, access.Owner)
	r := o.create(Values{"name": "דנה"})
	seq, err := o.facts.Last(owner)
	must(t, err)
	_, err = o.Create(owner, "contact", Values{"name": "יוסי", "note": "no"})
	if !errors.Is(err, refusal) {
		t.Errorf("create: %v", err)
	}
	if _, err = o.Change(owner, "contact", r.ID, 1, Values{"note": "no"}); !errors.Is(err, refusal) {
		t.Errorf("change: %v", err)
	}
	if err = o.Delete(owner, "contact", r.ID, 1); !errors.Is(err, refusal) {
		t.Errorf("delete: %v", err)
	}
	if last, _ := o.facts.Last(owner); last != seq {
		t.Errorf("the journal went on from %d to %d", seq, last)
	}
	if n, _, _ := o.Count(owner, Query{Entity: "contact"}); n != 1 || len(d.asks) != 4 {
		t.Errorf("%d customers, %d asks", n, len(d.asks))
	}
}

func TestAVerdictWritesBesides(t *testing.T) {
	o, _ := asking(t, func(a Ask) Verdict { return Verdict{Values: Values{"score": 7.0, "note": "by the hook"}} })
	r := o.create(Values{"name": "דנה", "note": "by the writer"})
	if score, _ := r.Number("score"); score != 7 || r.Text("note") != "by the hook" || r.Text("name") != "דנה" {
		t.Errorf("it is %v", r.Fields())
	}
}

func TestOnlyWhatIsWantedIsAskedAbout(t *testing.T) {
	o, d := asking(t, pass)
	owner := as(t, access.Owner)
	r := o.create(Values{"name": "דנה"})
	d.asks = nil
	if _, err := o.Change(owner, "contact", r.ID, 1, Values{"name": "דנה"}); err != nil {
		t.Error(err)
	}
	_, err := o.Change(owner, "contact", r.ID, 1, Values{"nothing": "x"})
	wantKind(t, "an unknown field", err, "invalid")
	if len(d.asks) != 0 {
		t.Errorf("asked about %d writes that change nothing or cannot be", len(d.asks))
	}
}

func TestABatchIsAskedAboutTogether(t *testing.T) {
	o, d := asking(t, func(a Ask) Verdict {
		if a.After.Text("name") == "n3" {
			return Verdict{Refused: fault.New(fault.Invalid, "record.moving")}
		}
		return Verdict{}
	})
	owner := as(t, access.Owner)
	var refused int
	must(t, o.Update(owner, func(tx store.Tx) error {
		refused = 0
		for i := range 10 {
			r, err := o.CreateTx(owner, tx, Change{Entity: "contact", Values: Values{"name": fmt.Sprint("n", i)}})
			if err != nil {
				refused++
				continue
			}
			// Each run gives the customer another id; the clock moves on too.
			if _, err := o.CreateTx(owner, tx, Change{Entity: "contact", Values: Values{"name": "of", "parent": r.ID, "seen": o.Now()}}); err != nil {
				return err
			}
		}
		return nil
	}))
	if n, _, _ := o.Count(owner, Query{Entity: "contact"}); n != 18 || refused != 1 {
		t.Errorf("%d customers, %d refused, want 18 and 1", n, refused)
	}
	if d.rounds > 2 {
		t.Errorf("asked in %d rounds", d.rounds)
	}
}

func TestWhatMovesOnMeanwhileIsAskedAgain(t *testing.T) {
	owner, moved := as(t, access.Owner), false
	var o *office
	var d *desk
	var r Record
	o, d = asking(t, func(a Ask) Verdict {
		if a.Act == ActUpdate && !moved { // while the hook thinks, somebody else writes
			moved = true
			_, err := o.Change(owner, "contact", r.ID, 1, Values{"note": "first"})
			must(t, err)
		}
		return Verdict{}
	})
	r = o.create(Values{"name": "דנה"})
	o.SetAsker(reentrant{d})
	_, err := o.Change(owner, "contact", r.ID, 1, Values{"note": "second"})
	wantKind(t, "the version seen is not the newest", err, "conflict")
	if got, _ := o.Get(owner, "contact", r.ID); got.Text("note") != "first" {
		t.Errorf("the note is %q", got.Text("note"))
	}
	err = o.Update(owner, func(tx store.Tx) error {
		_, err := o.ChangeTx(owner, tx, Change{Entity: "contact", ID: r.ID, Values: Values{"score": 1.0}})
		return err
	})
	must(t, err)
}

// reentrant answers without holding the desk's lock.
type reentrant struct{ d *desk }

func (r reentrant) Asks(ctx context.Context, entity string, act Act) bool {
	return r.d.Asks(ctx, entity, act)
}

func (r reentrant) Ask(_ context.Context, asks []Ask) (verdicts []Verdict, err error) {
	for _, a := range asks {
		verdicts = append(verdicts, r.d.answer(a))
	}
	return verdicts, nil
}

func TestWritesThatNeverSettleEnd(t *testing.T) {
	n := 0
	o, _ := asking(t, pass)
	owner := as(t, access.Owner)
	err := o.Update(owner, func(tx store.Tx) error {
		n++
		_, err := o.CreateTx(owner, tx, Change{Entity: "contact", Values: Values{"name": fmt.Sprint("run ", n)}})
		return err
	})
	wantKind(t, "a function that wants something else each time", err, "conflict")
	if found, _, _ := o.Count(owner, Query{Entity: "contact"}); found != 0 {
		t.Errorf("%d customers were made", found)
	}
}

func TestAnAskerThatFailsRefuses(t *testing.T) {
	o := open(t)
	o.SetAsker(broken{})
	_, err := o.Create(as(t, access.Owner), "contact", Values{"name": "דנה"})
	wantKind(t, "create", err, "unavailable")
}

type broken struct{}

func (broken) Asks(context.Context, string, Act) bool { return true }

func (broken) Ask(context.Context, []Ask) ([]Verdict, error) {
	return nil, fault.Wrap(context.DeadlineExceeded, fault.Unavailable, "store.full")
}

func TestWritersAreAskedSideBySide(t *testing.T) {
	slow := make(chan struct{})
	o, _ := asking(t, pass)
	owner := as(t, access.Owner)
	o.SetAsker(slowly{slow})
	done := make(chan error, 1)
	go func() { _, err := o.Create(owner, "contact", Values{"name": "slow"}); done <- err }()
	// Another's write does not wait for the hook that thinks: it is asked outside of every transaction.
	ctx, cancel := context.WithTimeout(owner, 30*time.Second)
	defer cancel()
	must(t, o.db.Update(ctx, func(tx store.Tx) error { tx.Bucket("x").Put([]byte("k"), nil); return nil }))
	close(slow)
	must(t, <-done)
}

type slowly struct{ wait chan struct{} }

func (s slowly) Asks(context.Context, string, Act) bool { return true }

func (s slowly) Ask(_ context.Context, asks []Ask) ([]Verdict, error) {
	<-s.wait
	return make([]Verdict, len(asks)), nil
}
