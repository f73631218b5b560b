package journal

import (
	"context"
	"slices"
	"time"
)

// watchBatch is how many facts are read at once for a Watcher.
const watchBatch = 200

// Watcher is somebody who hears of facts as they happen, as far as he may.
type Watcher struct {
	After  uint64        // number of the last fact that he heard; one beyond the newest is the newest
	Breath time.Duration // pause between two batches, so that a burst comes as one
	Beat   time.Duration // longest silence; 0 is 20 s
	// May tells whether he may hear of a fact: whether he may see its record. It is asked anew for each.
	May func(ctx context.Context, f Fact) (bool, error)
	// Hidden tells whether a field is hidden from him: its name is left out, and so is a fact that speaks of nothing else.
	Hidden func(entity, field string) bool
	// Tell gets the facts he may hear, in order, and the number of the last fact that was looked at, from which he can
	// resume. No facts are a sign of life. Its error ends the watch.
	Tell func(seq uint64, facts []Fact) error
}

// Watch tells the watcher of every fact above After until the context ends or one of his functions fails. It keeps
// nothing: the watcher's place is the number that Tell gave him last.
func (j *Journal) Watch(ctx context.Context, w Watcher) error {
	last, err := j.Last(ctx)
	if err != nil {
		return err
	}
	seq := min(w.After, last)
	for {
		if seq, err = j.step(ctx, w, seq); err != nil {
			return err
		}
	}
}

// step waits for the next facts, or for the end of the silence, and tells them.
func (j *Journal) step(ctx context.Context, w Watcher, seq uint64) (uint64, error) {
	beat := w.Beat
	if beat <= 0 {
		beat = 20 * time.Second
	}
	patience, cancel := context.WithTimeout(ctx, beat)
	defer cancel()
	if err := j.Wait(patience, seq); err != nil {
		if ctx.Err() == nil && patience.Err() != nil {
			return seq, w.Tell(seq, nil)
		}
		return seq, err
	}
	facts, err := j.After(ctx, seq, watchBatch)
	if err != nil || len(facts) == 0 {
		return seq, err
	}
	next := facts[len(facts)-1].Seq
	heard := facts[:0]
	for _, f := range facts {
		ok, err := w.hears(ctx, &f)
		if err != nil {
			return seq, err
		}
		if ok {
			heard = append(heard, f)
		}
	}
	if err := w.Tell(next, heard); err != nil {
		return seq, err
	}
	if w.Breath > 0 {
		select {
		case <-time.After(w.Breath):
		case <-ctx.Done():
		}
	}
	return next, ctx.Err()
}

// hears tells whether the watcher hears of a fact, and takes from it what he may not hear.
func (w Watcher) hears(ctx context.Context, f *Fact) (bool, error) {
	if w.Hidden != nil && len(f.Fields) > 0 {
		f.Fields = slices.DeleteFunc(f.Fields, func(field string) bool { return w.Hidden(f.Entity, field) })
		if len(f.Fields) == 0 {
			return false, nil
		}
	}
	return w.May(ctx, *f)
}
