package journal

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

const (
	// maxWaiting is how many notes wait to be written at most; then who reads writes them himself.
	maxWaiting = 4096
	// noteDelay is how long a note waits for others, so that a busy office pays for one write to disk in that time.
	noteDelay = 500 * time.Millisecond
	// sameRead is how long reading one record again is the same reading.
	sameRead = 5 * time.Minute
	// maxKnown is how many readings are remembered at most, twice; beyond it one is noted once too often.
	maxKnown = 8192
	// retryPause is how long Run waits when the store refused.
	retryPause = 5 * time.Second
)

// Seen is the fact that somebody read a record; contact is the customer it concerns, "" for none, and sensitive the
// names of those of its fields that hold something and are marked so.
func Seen(entity, id, contact string, sensitive []string) Fact {
	return Fact{Name: entity + ".read", Entity: entity, ID: id, Contact: contact, Fields: sensitive}
}

// Opened is the fact that somebody opened an attachment of a record.
func Opened(entity, id, contact string) Fact {
	return Fact{Name: entity + ".file-opened", Entity: entity, ID: id, Contact: contact}
}

// Searched is the fact that somebody searched, and how much was found. What he typed is nobody's business.
func Searched(results int) Fact {
	return Fact{Name: "record.searched", About: map[string]string{"results": strconv.Itoa(results)}}
}

// Listed is the fact that somebody looked at a list of an entity; fields are those that its filter named.
func Listed(entity string, fields []string, results int) Fact {
	return Fact{Name: entity + ".listed", Entity: entity, Fields: fields, About: map[string]string{"results": strconv.Itoa(results)}}
}

// Exported is the fact that somebody took records out, how many and which of their fields.
func Exported(entity string, fields []string, count int) Fact {
	return Fact{Name: entity + ".exported", Entity: entity, Fields: fields, About: map[string]string{"count": strconv.Itoa(count)}}
}

// Note remembers that the actor read something, as Seen, Opened, Searched, Listed or Exported say, and returns at once;
// Run writes it. Reading the same record again within five minutes is the same reading; searching or listing again
// before the first was written counts in its word "times". Only when many notes could not be written yet does Note
// write them itself, and fail with what the store said: nobody reads what cannot be written down. It must not be called
// in a transaction.
func (j *Journal) Note(ctx context.Context, f Fact) error {
	f.At, f.Actor, f.About, f.Read, f.Card = j.now(), access.ActorFrom(ctx).ID, about(ctx, f.About), true, false
	for !j.notes.put(f) {
		if err := j.Flush(ctx); err != nil {
			return fault.Wrap(err, fault.Unavailable, "journal.full")
		}
	}
	return nil
}

// Run writes notes until the context ends, then what is left.
func (j *Journal) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), j.Flush(context.WithoutCancel(ctx)))
		case <-j.notes.came:
		}
		pause := noteDelay
		for {
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			if ctx.Err() != nil || j.Flush(ctx) == nil {
				break
			}
			pause = retryPause // a full disk: the notes stay, and who reads hears of it when there are too many
		}
	}
}

// Flush writes all notes that wait, in one transaction. Those that cannot be written go on waiting.
func (j *Journal) Flush(ctx context.Context) error {
	j.notes.writing.Lock()
	defer j.notes.writing.Unlock()
	batch := j.notes.take()
	if len(batch) == 0 {
		return nil
	}
	err := j.db.Update(ctx, func(tx store.Tx) error {
		for _, f := range batch { // a copy of each: the function may run twice
			j.append(tx, &f)
		}
		return nil
	})
	if err != nil {
		j.notes.back(batch)
	}
	return err
}

// notes are what was read and is not written yet, and what was noted lately.
type notes struct {
	writing sync.Mutex // held by who writes, so that notes keep their order
	came    chan struct{}

	mu      sync.Mutex
	waiting []Fact
	known   [2]map[reading]time.Time // of this while and of the one before
}

// reading is what makes two notes about one record the same.
type reading struct{ actor, via, name, entity, id, fields string }

func newNotes() *notes {
	return &notes{came: make(chan struct{}, 1), known: [2]map[reading]time.Time{{}, {}}}
}

// put takes a note unless it is known already; false when no more can wait.
func (n *notes) put(f Fact) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if f.ID != "" {
		r := reading{f.Actor, f.About["via"], f.Name, f.Entity, f.ID, strings.Join(f.Fields, ",")}
		if n.lately(r, f.At) {
			return true
		}
		if len(n.waiting) >= maxWaiting {
			return false
		}
		n.remember(r, f.At)
	} else if n.again(f) {
		return true
	}
	if len(n.waiting) >= maxWaiting {
		return false
	}
	n.waiting = append(n.waiting, f)
	select {
	case n.came <- struct{}{}:
	default:
	}
	return true
}

// lately tells whether the same was noted a short while ago. A clock that was set back does not silence anything.
func (n *notes) lately(r reading, now time.Time) bool {
	for _, known := range n.known {
		if at, ok := known[r]; ok {
			since := now.Sub(at)
			return since >= 0 && since < sameRead
		}
	}
	return false
}

// remember keeps a reading. Two maps take turns, so that the old ones go without a search.
func (n *notes) remember(r reading, now time.Time) {
	if len(n.known[0]) >= maxKnown {
		n.known[1], n.known[0] = n.known[0], make(map[reading]time.Time, maxKnown)
	}
	n.known[0][r] = now
}

// again counts a note about no single record in one like it that still waits.
func (n *notes) again(f Fact) bool {
	if f.About["results"] == "" {
		return false
	}
	for i := len(n.waiting) - 1; i >= max(0, len(n.waiting)-32); i-- {
		w := &n.waiting[i]
		if w.ID != "" || w.Actor != f.Actor || w.Name != f.Name || w.Entity != f.Entity || w.About["via"] != f.About["via"] || !slices.Equal(w.Fields, f.Fields) {
			continue
		}
		times, _ := strconv.Atoi(w.About["times"])
		about := maps.Clone(f.About)
		about["times"] = strconv.Itoa(max(times, 1) + 1)
		w.About = about
		return true
	}
	return false
}

func (n *notes) take() []Fact {
	n.mu.Lock()
	defer n.mu.Unlock()
	batch := n.waiting
	n.waiting = nil
	return batch
}

// back puts notes that could not be written before those that came meanwhile.
func (n *notes) back(batch []Fact) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waiting = append(batch, n.waiting...)
	select {
	case n.came <- struct{}{}:
	default:
	}
}
