package job

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

// clock is moved by the test.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// yard is a queue, and what its runners need.
type yard struct {
	*Queue
	t    testing.TB
	path string
	c    *clock
}

func open(t testing.TB) *yard {
	y := &yard{t: t, path: filepath.Join(t.TempDir(), "karov.db"), c: &clock{at: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)}}
	y.reopen()
	t.Cleanup(func() { must(t, y.db.Close()) })
	return y
}

func (y *yard) reopen() {
	if y.Queue != nil {
		must(y.t, y.db.Close())
	}
	db, err := bolt.Open(y.path)
	must(y.t, err)
	y.Queue = NewQueue(db, y.c.now)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (y *yard) add(j Job) {
	y.t.Helper()
	must(y.t, y.db.Update(y.t.Context(), func(tx store.Tx) error { return y.Add(tx, j) }))
}

func (y *yard) pass(d time.Duration) {
	y.c.mu.Lock()
	y.c.at = y.c.at.Add(d)
	y.c.mu.Unlock()
	y.Wake()
}

// left lists what stands in the queue.
func (y *yard) left() (jobs []Job) {
	must(y.t, y.db.View(y.t.Context(), func(tx store.Tx) error {
		for key := range tx.Bucket(queueBucket).Scan(nil, nil, false) {
			var j Job
			if err := json.Unmarshal(tx.Bucket(jobsBucket).Get(key[8:]), &j); err != nil {
				return err
			}
			jobs = append(jobs, j)
		}
		return nil
	}))
	return jobs
}

// run starts a runner; the function it returns stops it and waits.
func (y *yard) run(parallel int, kinds ...Kind) (stop func()) {
	ctx, cancel := context.WithCancel(y.t.Context())
	done := make(chan error, 1)
	r := NewRunner(y.Queue, slog.New(slog.NewTextHandler(io.Discard, nil)), parallel, kinds...)
	go func() { done <- r.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			y.t.Errorf("Run = %v", err)
		}
	})
}

func (y *yard) until(what string, ok func() bool) {
	y.t.Helper()
	for range 2000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	y.t.Fatalf("never: %s", what)
}

func TestWorkIsDoneOnceByTheAppliance(t *testing.T) {
	y := open(t)
	did := make(chan string, 100)
	stop := y.run(3, Kind{Name: "a.do", Work: func(ctx context.Context, j Job) error {
		did <- j.Key + string(j.Payload) + access.ActorFrom(ctx).ID
		return nil
	}})
	defer stop()
	for _, key := range []string{"1", "2", "3"} {
		y.add(Job{Kind: "a.do", Key: key, Payload: json.RawMessage(`7`)})
	}
	y.until("the queue is empty", func() bool { return len(y.left()) == 0 })
	stop()
	got := map[string]int{}
	for range len(did) {
		got[<-did]++
	}
	if len(got) != 3 || got["17system"] != 1 || got["37system"] != 1 {
		t.Errorf("did %v", got)
	}
}

func TestJobsSurviveARestart(t *testing.T) {
	y := open(t)
	started := make(chan struct{})
	stop := y.run(1, Kind{Name: "a.do", Work: func(ctx context.Context, j Job) error {
		close(started)
		<-ctx.Done() // the appliance goes down in the middle
		return ctx.Err()
	}})
	y.add(Job{Kind: "a.do", Key: "1"})
	y.add(Job{Kind: "a.do", Key: "later", Due: y.c.now().Add(time.Hour)})
	y.add(Job{Kind: "unknown", Key: "x"})
	<-started
	stop()
	y.reopen()
	if left := y.left(); len(left) != 3 || left[0].Attempts != 0 {
		t.Fatalf("after the restart the queue holds %+v", left)
	}
	did := make(chan string, 9)
	stop = y.run(1, Kind{Name: "a.do", Work: func(_ context.Context, j Job) error { did <- j.Key; return nil }})
	defer stop()
	if key := <-did; key != "1" {
		t.Errorf("did %s", key)
	}
	y.pass(time.Hour)
	if key := <-did; key != "later" {
		t.Errorf("did %s", key)
	}
	y.until("only the job of an unknown kind is left", func() bool { return len(y.left()) == 1 })
}

func TestFailuresBackOffAndDie(t *testing.T) {
	y := open(t)
	var mu sync.Mutex
	var told []time.Time
	stop := y.run(1, Kind{Name: "a.do", MaxAttempts: 4,
		Work: func(_ context.Context, j Job) error {
			if j.Attempts == 1 {
				panic("ouch")
			}
			return fault.New(fault.Unavailable, "it.rains")
		},
		Failed: func(_ context.Context, _ store.Tx, j Job, err error, again time.Time) error {
			mu.Lock()
			told = append(told, again)
			mu.Unlock()
			return nil
		}})
	defer stop()
	y.add(Job{Kind: "a.do", Key: "1"})
	attempts := func(n int) func() bool {
		return func() bool { left := y.left(); return len(left) == 1 && left[0].Attempts == n }
	}
	for n := 1; n <= 3; n++ {
		y.until("an attempt failed", attempts(n))
		wait := y.left()[0].Due.Sub(y.c.now())
		if least := 5 * time.Second << (n - 1) * 3 / 4; wait < least || wait > least*4/3+time.Second {
			t.Errorf("after attempt %d it waits %v", n, wait)
		}
		y.pass(wait)
	}
	y.until("the queue is empty", func() bool { return len(y.left()) == 0 })
	dead, err := y.Dead(t.Context())
	must(t, err)
	if len(dead) != 1 || dead[0].Attempts != 4 || dead[0].LastKey != "it.rains" {
		t.Errorf("dead: %+v", dead)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(told) != 4 || told[0].IsZero() || !told[3].IsZero() {
		t.Errorf("told of %v", told)
	}
	y.add(Job{Kind: "a.do", Key: "1", Due: y.c.now().Add(time.Hour)})
	if dead, _ := y.Dead(t.Context()); len(dead) != 0 {
		t.Errorf("a job that was taken up again is still dead: %v", dead)
	}
}

func TestFinalFailuresAreNotTriedAgain(t *testing.T) {
	for kind, final := range map[fault.Kind]bool{fault.Invalid: true, fault.NotFound: true, fault.Forbidden: true, fault.TooLarge: true,
		fault.Unavailable: false, fault.Internal: false, fault.TooMany: false} {
		y := open(t)
		stop := y.run(1, Kind{Name: "a.do", Work: func(context.Context, Job) error { return fault.New(kind, "no") }})
		y.add(Job{Kind: "a.do", Key: "1"})
		y.until("the attempt was settled", func() bool { left := y.left(); return len(left) == 0 || left[0].Attempts == 1 })
		stop()
		if dead, _ := y.Dead(t.Context()); (len(dead) == 1) != final {
			t.Errorf("%s: dead %v", kind, dead)
		}
	}
}

func TestPause(t *testing.T) {
	for attempts, most := range map[int]time.Duration{1: 5 * time.Second, 2: 10 * time.Second, 5: 80 * time.Second, 11: time.Hour, 24: time.Hour, 1000: time.Hour} {
		for range 50 {
			if p := pause(attempts); p > most || p <= most/2 {
				t.Fatalf("pause(%d) = %v", attempts, p)
			}
		}
	}
}

func TestSameKeyReplaces(t *testing.T) {
	y := open(t)
	y.add(Job{Kind: "a.do", Key: "1", Payload: json.RawMessage(`1`), Due: y.c.now().Add(time.Hour)})
	y.add(Job{Kind: "a.do", Key: "1", Payload: json.RawMessage(`2`), Due: y.c.now().Add(time.Minute)})
	y.add(Job{Kind: "b.do", Key: "1"})
	left := y.left()
	if len(left) != 2 || left[0].Kind != "b.do" || string(left[1].Payload) != "2" {
		t.Errorf("the queue holds %+v", left)
	}
}

// TestReplacedWhileDoneIsDoneToo adds a job anew while the first of its key is being done, which then ends well or badly.
func TestReplacedWhileDoneIsDoneToo(t *testing.T) {
	for _, ending := range []error{nil, fault.New(fault.Unavailable, "later"), fault.New(fault.Invalid, "never")} {
		y := open(t)
		started, goOn, did := make(chan struct{}), make(chan struct{}), make(chan string, 9)
		told := make(chan error, 9)
		stop := y.run(2, Kind{Name: "a.do",
			Work: func(_ context.Context, j Job) error {
				did <- string(j.Payload)
				if string(j.Payload) == "1" {
					close(started)
					<-goOn
					return ending
				}
				return nil
			},
			Failed: func(_ context.Context, _ store.Tx, _ Job, err error, _ time.Time) error { told <- err; return nil }})
		y.add(Job{Kind: "a.do", Key: "1", Payload: json.RawMessage(`1`)})
		<-started
		y.add(Job{Kind: "a.do", Key: "1", Payload: json.RawMessage(`2`)})
		close(goOn)
		y.until("the queue is empty", func() bool { return len(y.left()) == 0 })
		stop()
		dead, _ := y.Dead(t.Context())
		if len(did) != 2 || <-did != "1" || <-did != "2" || len(told) != 0 || len(dead) != 0 {
			t.Errorf("ending %v: %d more done, told %d times, dead %v", ending, len(did), len(told), dead)
		}
	}
}

// TestFailedThatFailsDoesNotRepeatTheWork holds because the work may be a letter.
func TestFailedThatFailsDoesNotRepeatTheWork(t *testing.T) {
	for _, how := range []func() error{func() error { return errors.New("no") }, func() error { panic("ouch") }} {
		y := open(t)
		var mu sync.Mutex
		done := 0
		stop := y.run(1, Kind{Name: "a.do",
			Work: func(context.Context, Job) error {
				mu.Lock()
				done++
				mu.Unlock()
				return fault.New(fault.Unavailable, "x")
			},
			Failed: func(context.Context, store.Tx, Job, error, time.Time) error { return how() }})
		y.add(Job{Kind: "a.do", Key: "1"})
		y.until("the attempt was settled", func() bool { left := y.left(); return len(left) == 1 && left[0].Attempts == 1 })
		stop()
		if done != 1 {
			t.Errorf("done %d times", done)
		}
	}
}

func TestOneDamagedJobHoldsUpNoOther(t *testing.T) {
	y := open(t)
	must(t, y.db.Update(t.Context(), func(tx store.Tx) error {
		bad := Job{Kind: "a.do", Key: "0", Due: y.c.now().Add(-time.Hour)}
		tx.Bucket(queueBucket).Put(queueKey(bad), nil)
		tx.Bucket(jobsBucket).Put(jobKey(bad.Kind, bad.Key), []byte("{"))
		return nil
	}))
	did := make(chan string, 1)
	stop := y.run(1, Kind{Name: "a.do", Work: func(_ context.Context, j Job) error { did <- j.Key; return nil }})
	defer stop()
	y.add(Job{Kind: "a.do", Key: "1"})
	if key := <-did; key != "1" {
		t.Errorf("did %s", key)
	}
}

func TestNothingIsAddedByAFailedTransaction(t *testing.T) {
	y := open(t)
	err := y.db.Update(t.Context(), func(tx store.Tx) error {
		must(t, y.Add(tx, Job{Kind: "a.do", Key: "1"}))
		return errors.New("no")
	})
	if err == nil || len(y.left()) != 0 {
		t.Errorf("%v; the queue holds %v", err, y.left())
	}
}

// TestCancelTakesBackWhatHasNotBegun counts before and after.
func TestCancelTakesBackWhatHasNotBegun(t *testing.T) {
	y := open(t)
	for _, key := range []string{"x.1", "x.2", "y.1"} {
		y.add(Job{Kind: "a.do", Key: key})
	}
	must(t, y.db.Update(t.Context(), func(tx store.Tx) error {
		if n, few := y.Waiting(tx, "a.do", "x.", 10), y.Waiting(tx, "a.do", "", 2); n != 2 || few != 2 {
			t.Errorf("%d of x wait, counted to two: %d", n, few)
		}
		must(t, y.Cancel(tx, "a.do", "x.2"))
		return y.Cancel(tx, "a.do", "never there")
	}))
	var did []string
	stop := y.run(1, Kind{Name: "a.do", Work: func(_ context.Context, j Job) error { did = append(did, j.Key); return nil }})
	y.until("the rest is done", func() bool { return len(y.left()) == 0 })
	stop()
	if slices.Sort(did); !slices.Equal(did, []string{"x.1", "y.1"}) {
		t.Errorf("did %v", did)
	}
}
