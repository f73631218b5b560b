package bolt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/karov-crm/karov/appliance/store"
)

// request is one Update on its way to disk. Its owner waits on done.
type request struct {
	ctx      context.Context
	fn       func(store.Tx) error
	tx       *tx
	err      error
	panicked any
	done     chan struct{}
}

// Update implements store.DB. The first Update that finds nobody writing becomes the writer: it takes with it all that
// wait by then, commits them in one bbolt transaction, and hands the pen on. So a lone Update has no delay, and many
// share one sync.
func (d *DB) Update(ctx context.Context, fn func(store.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r := &request{ctx: ctx, fn: fn, done: make(chan struct{})}
	d.mu.Lock()
	d.waiting = append(d.waiting, r)
	if d.full != nil && len(d.waiting) >= d.expected {
		close(d.full)
		d.full = nil
	}
	lead := !d.writing
	d.writing = true
	d.mu.Unlock()
	if lead {
		d.writeNext()
	}
	if err := d.turn(r); err != nil {
		return err
	}
	if r.panicked != nil {
		panic(r.panicked)
	}
	if r.err == nil {
		for _, call := range r.tx.onCommit {
			call()
		}
	}
	return r.err
}

// turn waits until the request was written, or until its context ends before its turn has come.
func (d *DB) turn(r *request) error {
	select {
	case <-r.done:
		return nil
	case <-r.ctx.Done():
	}
	d.mu.Lock()
	at := slices.Index(d.waiting, r)
	if at >= 0 {
		d.waiting = slices.Delete(d.waiting, at, at+1)
	}
	d.mu.Unlock()
	if at >= 0 {
		return r.ctx.Err()
	}
	<-r.done // it is being written: only its outcome is the truth
	return nil
}

// writeNext commits those who wait, then passes the pen to a goroutine for those who came meanwhile.
func (d *DB) writeNext() {
	d.gather()
	d.mu.Lock()
	n := min(len(d.waiting), maxBatch)
	batch := d.waiting[:n:n]
	d.waiting = append([]*request(nil), d.waiting[n:]...)
	d.mu.Unlock()

	d.commit(batch)

	d.mu.Lock()
	more := len(d.waiting) > 0
	d.writing = more
	d.expected, d.ended = min(n+len(d.waiting), maxBatch), time.Now()
	d.mu.Unlock()
	if more {
		go d.writeNext()
	}
}

const (
	// crowd is how many writers at a time are worth waiting for.
	crowd = 4
	// returning is how long those of the last commit are waited for: a third of what a commit takes.
	returning = 300 * time.Microsecond
)

// gather waits a moment for the writers of the last commit to come back, where they were many. Without it the first who
// is back would write alone and the others after him: 32 steady writers needed 184 commits for 3,000 changes, and with it
// 95.
func (d *DB) gather() {
	d.mu.Lock()
	left := returning - time.Since(d.ended)
	if d.expected < crowd || left <= 0 || len(d.waiting) >= d.expected {
		d.mu.Unlock()
		return
	}
	full := make(chan struct{})
	d.full = full
	d.mu.Unlock()
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-full:
	case <-timer.C:
		d.mu.Lock()
		d.full = nil
		d.mu.Unlock()
	}
}

// commit writes the batch in one transaction. A request that fails after it wrote something takes the transaction down
// with it, so the others run again without it and it runs alone: its error must not rest on what was rolled back.
func (d *DB) commit(batch []*request) {
	for len(batch) > 0 {
		spoiler := -1
		err := d.bolt.Update(func(btx *bbolt.Tx) error {
			for i, r := range batch {
				r.run(btx)
				if r.err != nil && (r.tx.dirty || r.tx.failed != nil) {
					spoiler = i
					return r.err
				}
			}
			return nil
		})
		if spoiler < 0 {
			finish(batch, err)
			return
		}
		spoiled := batch[spoiler]
		batch = append(batch[:spoiler:spoiler], batch[spoiler+1:]...)
		if len(batch) > 0 {
			d.alone(spoiled)
		}
		close(spoiled.done)
	}
}

// alone runs one request in a transaction of its own.
func (d *DB) alone(r *request) {
	err := d.bolt.Update(func(btx *bbolt.Tx) error {
		r.run(btx)
		return r.err
	})
	if r.err == nil && err != nil {
		r.err = fmt.Errorf("commit: %w", diskFault(err))
	}
}

// finish tells every request of a batch how its commit went. One that failed by itself without writing keeps its own
// error, unless the commit failed too: then what it read may never have become true.
func finish(batch []*request, err error) {
	for _, r := range batch {
		if err != nil {
			r.err, r.panicked = fmt.Errorf("commit: %w", diskFault(err)), nil
		}
		close(r.done)
	}
}

// errPanicked stands in for a panic until it is raised again in its owner's goroutine.
var errPanicked = errors.New("transaction function panicked")

func (r *request) run(btx *bbolt.Tx) {
	r.tx, r.err, r.panicked = &tx{bolt: btx, writable: true}, nil, nil
	if r.err = r.ctx.Err(); r.err != nil {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			r.panicked, r.err, r.tx.dirty = p, errPanicked, true
		}
	}()
	r.err = r.fn(r.tx)
	if r.tx.failed != nil {
		r.err = r.tx.failed
	}
}
