// Package job does work that survives a restart: what must leave the house, or must be tried again.
//
// A room enqueues a job in the transaction that makes it necessary, so that the one never stands without the other. A
// Runner does jobs when they are due, outside any transaction, and tries again with growing pauses; one that keeps
// failing is laid aside where people see it. It owns the buckets job.queue (when and which), job.jobs and job.dead.
//
// It promises at least once: a job that was being done when the power failed is done again, so that work must be
// idempotent. It will not keep order between jobs.
package job

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

const (
	queueBucket = "job.queue"
	jobsBucket  = "job.jobs"
	deadBucket  = "job.dead"
)

// Job is one piece of work. Kind names who does it ("inbox.deliver"), Key what it is about: a second job of the same
// kind and key takes the place of the first.
type Job struct {
	Kind     string          `json:"kind"`
	Key      string          `json:"key"`
	Payload  json.RawMessage `json:"payload,omitempty"`
	Due      time.Time       `json:"due"`
	Attempts int             `json:"attempts"`
	LastKey  string          `json:"last_key,omitempty"` // sentence of the last failure
	Turn     uint64          `json:"turn"`               // drawn by Add: tells a job from one that took its place
}

// Work does one job. A fault of kind Unavailable, Internal or TooMany is tried again; any other is final.
type Work func(ctx context.Context, j Job) error

// Kind says how jobs of a kind are done.
type Kind struct {
	Name        string
	Work        Work
	MaxAttempts int // then the job is dead; 0 means 20
	// Failed is told in its own transaction each time an attempt failed: again says when the next comes, the zero
	// time that there is none.
	Failed func(ctx context.Context, tx store.Tx, j Job, err error, again time.Time) error
}

// Queue keeps jobs in a store.
type Queue struct {
	db  store.DB
	now func() time.Time

	mu    sync.Mutex
	wakes []chan struct{} // of each runner
}

// NewQueue opens the queue of a store.
func NewQueue(db store.DB, now func() time.Time) *Queue {
	return &Queue{db: db, now: now}
}

func jobKey(kind, key string) []byte { return []byte(kind + "\x00" + key) }

func queueKey(j Job) []byte {
	key := binary.BigEndian.AppendUint64(nil, uint64(j.Due.UnixMilli()))
	return append(key, jobKey(j.Kind, j.Key)...)
}

// Add enqueues a job in the transaction. A zero Due is at once. One that was laid aside under its kind and key is
// forgotten; one that is being done meanwhile is done to its end, and then this one.
func (q *Queue) Add(tx store.Tx, j Job) error {
	if j.Due.IsZero() {
		j.Due = q.now()
	}
	j.Turn = rand.Uint64()
	tx.Bucket(deadBucket).Delete(jobKey(j.Kind, j.Key))
	if err := q.drop(tx, j); err != nil {
		return err
	}
	raw, err := json.Marshal(j)
	if err != nil {
		return fmt.Errorf("encode job %s: %w", j.Kind, err)
	}
	tx.Bucket(jobsBucket).Put(jobKey(j.Kind, j.Key), raw)
	tx.Bucket(queueBucket).Put(queueKey(j), nil)
	tx.OnCommit(q.Wake)
	return nil
}

// drop takes the job of the same kind and key out of the queue.
func (q *Queue) drop(tx store.Tx, j Job) error {
	raw := tx.Bucket(jobsBucket).Get(jobKey(j.Kind, j.Key))
	if raw == nil {
		return nil
	}
	var old Job
	if err := json.Unmarshal(raw, &old); err != nil {
		return fault.Wrap(err, fault.Internal, "store.damaged", "what", jobsBucket)
	}
	tx.Bucket(queueBucket).Delete(queueKey(old))
	tx.Bucket(jobsBucket).Delete(jobKey(j.Kind, j.Key))
	return nil
}

// Waiting counts the jobs of a kind whose keys begin with a prefix, to limit at most.
func (q *Queue) Waiting(tx store.Tx, kind, prefix string, limit int) (n int) {
	from := jobKey(kind, prefix)
	for range tx.Bucket(jobsBucket).Scan(from, store.PrefixEnd(from), false) {
		if n++; n == limit {
			break
		}
	}
	return n
}

// stands tells whether the job is still the one of its kind and key.
func (q *Queue) stands(tx store.Tx, j Job) bool {
	var now Job
	return json.Unmarshal(tx.Bucket(jobsBucket).Get(jobKey(j.Kind, j.Key)), &now) == nil && now.Turn == j.Turn
}

// Dead lists the jobs that were given up, by kind and key, for those who look after the appliance.
func (q *Queue) Dead(ctx context.Context) (jobs []Job, err error) {
	err = q.db.View(ctx, func(tx store.Tx) error {
		for _, raw := range tx.Bucket(deadBucket).Scan(nil, nil, false) {
			var j Job
			if err := json.Unmarshal(raw, &j); err != nil {
				return fault.Wrap(err, fault.Internal, "store.damaged", "what", deadBucket)
			}
			jobs = append(jobs, j)
		}
		return nil
	})
	return jobs, err
}

// Cancel takes the job of a kind and key out of the queue in the transaction. One that is in hand is done to its end.
func (q *Queue) Cancel(tx store.Tx, kind, key string) error {
	return q.drop(tx, Job{Kind: kind, Key: key})
}

// Wake makes the runners look at the queue now.
func (q *Queue) Wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, wake := range q.wakes {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

// Runner does the jobs of a queue whose kinds it knows. Several may share a queue, so that work which may take long
// holds up no other.
type Runner struct {
	queue *Queue
	wake  chan struct{}
	kinds map[string]Kind
	log   *slog.Logger
	slots chan struct{}

	mu      sync.Mutex
	running map[string]bool
	done    sync.WaitGroup
}

// NewRunner makes a runner that does at most parallel jobs at a time.
func NewRunner(q *Queue, log *slog.Logger, parallel int, kinds ...Kind) *Runner {
	r := &Runner{queue: q, wake: make(chan struct{}, 1), kinds: map[string]Kind{}, log: log, slots: make(chan struct{}, parallel), running: map[string]bool{}}
	q.mu.Lock()
	q.wakes = append(q.wakes, r.wake)
	q.mu.Unlock()
	for _, k := range kinds {
		if k.MaxAttempts == 0 {
			k.MaxAttempts = 20
		}
		r.kinds[k.Name] = k
	}
	return r
}

// Run does jobs until the context ends, then waits for those in hand.
func (r *Runner) Run(ctx context.Context) error {
	defer r.done.Wait()
	ctx = access.WithActor(ctx, access.Appliance())
	for {
		next, err := r.startDue(ctx)
		if err != nil && ctx.Err() == nil {
			r.log.Error("look at job queue", "error", err)
			next = r.queue.now().Add(10 * time.Second)
		}
		pause := time.Minute
		if !next.IsZero() {
			pause = min(pause, max(10*time.Millisecond, next.Sub(r.queue.now())))
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-r.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// startDue starts every job that is due and not in hand, and tells when the next one is due.
func (r *Runner) startDue(ctx context.Context) (next time.Time, err error) {
	var due []Job
	var damaged error
	err = r.queue.db.View(ctx, func(tx store.Tx) error {
		jobs := tx.Bucket(jobsBucket)
		for key := range tx.Bucket(queueBucket).Scan(nil, nil, false) {
			at := time.UnixMilli(int64(binary.BigEndian.Uint64(key)))
			if at.After(r.queue.now()) || len(due) >= 100 {
				next = at
				break
			}
			var j Job
			if err := json.Unmarshal(jobs.Get(key[8:]), &j); err != nil {
				damaged = fault.Wrap(err, fault.Internal, "store.damaged", "what", jobsBucket+" "+string(key[8:]))
				continue // one damaged job must not hold up the others
			}
			if r.kinds[j.Kind].Work != nil && !r.inHand(j) {
				due = append(due, j)
			}
		}
		return nil
	})
	for _, j := range due {
		if !r.start(ctx, j) {
			break
		}
	}
	return next, errors.Join(err, damaged)
}

func (r *Runner) inHand(j Job) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.running[j.Kind+"\x00"+j.Key]
}

// start does a job in a goroutine once there is a slot; false when the context ended first.
func (r *Runner) start(ctx context.Context, j Job) bool {
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	name := j.Kind + "\x00" + j.Key
	r.mu.Lock()
	r.running[name] = true
	r.mu.Unlock()
	r.done.Go(func() {
		defer func() {
			r.mu.Lock()
			delete(r.running, name)
			r.mu.Unlock()
			<-r.slots
			r.queue.Wake()
		}()
		if r.stands(ctx, j) {
			r.do(ctx, j)
		}
	})
	return true
}

// stands looks again: between the look at the queue and its slot, a job may have been done or replaced.
func (r *Runner) stands(ctx context.Context, j Job) (ok bool) {
	err := r.queue.db.View(ctx, func(tx store.Tx) error {
		ok = r.queue.stands(tx, j)
		return nil
	})
	return ok && err == nil
}

func (r *Runner) do(ctx context.Context, j Job) {
	kind := r.kinds[j.Kind]
	err := safely(func() error { return kind.Work(ctx, j) })
	if ctx.Err() != nil && err != nil {
		return // the appliance is going down: the job stays as it is and is done again
	}
	j.Attempts++
	if err != nil {
		r.log.Warn("job failed", "kind", j.Kind, "key", j.Key, "attempt", j.Attempts, "error", err)
	}
	// While the store refuses (a full disk), what is tried again is the writing down and never the work: it was done.
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		failed := r.settle(context.WithoutCancel(ctx), kind, j, err)
		if failed == nil {
			return
		}
		r.log.Error("settle job", "kind", j.Kind, "key", j.Key, "error", failed)
		if errors.Is(failed, errHook) {
			kind.Failed = nil // it would refuse again, and the job must not be done again for its sake
			continue
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// errHook tells a Failed that failed from a store that refused.
var errHook = errors.New("tell of the failure")

// settle takes a done job out of the queue, or puts a failed one back with its next time. A job that took its place
// meanwhile stays, and speaks for itself.
func (r *Runner) settle(ctx context.Context, kind Kind, j Job, failure error) error {
	return r.queue.db.Update(ctx, func(tx store.Tx) error {
		if !r.queue.stands(tx, j) {
			return nil
		}
		if failure == nil {
			return r.queue.drop(tx, j)
		}
		next := j
		next.LastKey = fault.Of(failure).Key
		var again time.Time
		if retryable(failure) && j.Attempts < kind.MaxAttempts {
			again = r.queue.now().Add(pause(j.Attempts))
			next.Due = again
			if err := r.queue.Add(tx, next); err != nil {
				return err
			}
		} else if err := r.lay(tx, next); err != nil {
			return err
		}
		if kind.Failed == nil {
			return nil
		}
		if err := safely(func() error { return kind.Failed(ctx, tx, next, failure, again) }); err != nil {
			return fmt.Errorf("%w: %w", errHook, err)
		}
		return nil
	})
}

// lay moves a job to the dead ones.
func (r *Runner) lay(tx store.Tx, j Job) error {
	raw, err := json.Marshal(j)
	if err != nil {
		return err
	}
	tx.Bucket(deadBucket).Put(jobKey(j.Kind, j.Key), raw)
	return r.queue.drop(tx, j)
}

func retryable(err error) bool {
	switch fault.KindOf(err) {
	case fault.Unavailable, fault.Internal, fault.TooMany:
		return true
	}
	return false
}

// pause grows from 5 seconds to an hour, with a quarter of chance so that many do not come at once.
func pause(attempts int) time.Duration {
	d := min(5*time.Second<<min(attempts-1, 12), time.Hour)
	return d - time.Duration(rand.Int64N(int64(d)/4))
}

// safely turns a panic into an error with its stack: one broken job must not take the appliance down.
func safely(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault.Wrap(fmt.Errorf("panic: %v\n%s", p, debug.Stack()), fault.Internal, "error.internal")
		}
	}()
	return fn()
}
