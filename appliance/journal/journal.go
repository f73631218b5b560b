// Package journal is the office's one sequence of facts: who did what to which record, and when; and who read what.
//
// A fact is appended in the transaction that makes it true. It drives live pages, the timeline, jobs that wait for
// something, and the audit. That somebody read is no part of any transaction: Note takes it without waiting for the
// disk, and Run writes what was noted within a second.
//
// It owns the buckets journal.facts (by number), journal.head (number and hash of the newest), journal.contacts (which
// facts concern a customer) and journal.readers (how far each reader came), and the fact audit.read.
//
// It promises that numbers have no gaps, that each fact carries the hash of the one before, so that Verify finds one
// that was changed, removed or reordered, and that a reader sees each fact at least once, in order. A power cut can
// cost the notes of the last second, never a fact of a write: who read then stands nowhere. Nothing else is dropped:
// when notes cannot be written, reading waits, and fails rather than go unseen.
//
// Whoever can write the store file and takes the newest facts away together with their traces (the head, the places of
// readers) is found only by what stands elsewhere: an Anchor, kept on paper or in another place, or a backup, each of
// which holds the head of its moment.
//
// It will not hold personal text: a fact names records and fields, never what stands in them nor what was searched for,
// so that a person can be forgotten without breaking the chain.
package journal

import (
	"context"
	"encoding/binary"
	"maps"
	"sync"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

const (
	factsBucket    = "journal.facts"
	headBucket     = "journal.head"
	contactsBucket = "journal.contacts"
	readersBucket  = "journal.readers"
)

// Fact is one thing that happened. Append and Note fill Seq, At, Actor, Prev and Hash.
type Fact struct {
	Seq     uint64            `json:"seq"`
	At      time.Time         `json:"at"`
	Name    string            `json:"name"` // noun.past, as "message.received"
	Actor   string            `json:"actor"`
	Entity  string            `json:"entity,omitempty"`
	ID      string            `json:"id,omitempty"`
	Fields  []string          `json:"fields,omitempty"`  // names of the fields that changed, or that were read
	Contact string            `json:"contact,omitempty"` // id of the customer it concerns
	About   map[string]string `json:"about,omitempty"`   // few words that are nobody's personal data: a channel, a reason key; "via": the plugin by which he did it
	Card    bool              `json:"card,omitempty"`    // it stands on the customer's timeline by itself
	Read    bool              `json:"read,omitempty"`    // it tells of reading: nothing changed
	Prev    string            `json:"prev"`
	Hash    string            `json:"hash,omitempty"` // SHA-256 of the fact without it, in hex
}

// Journal appends facts and wakes those who read them.
type Journal struct {
	db    store.DB
	now   func() time.Time
	notes *notes

	mu   sync.Mutex
	wake chan struct{} // closed when facts became durable; nil while nobody waits
}

// New makes the journal of a store. Now is the clock.
func New(db store.DB, now func() time.Time) *Journal {
	return &Journal{db: db, now: now, notes: newNotes()}
}

// Append writes the fact in the transaction. Readers are woken after the commit.
func (j *Journal) Append(ctx context.Context, tx store.Tx, f Fact) error {
	f.At, f.Actor, f.About = j.now(), access.ActorFrom(ctx).ID, about(ctx, f.About)
	j.append(tx, &f)
	return nil
}

// about adds by which plugin somebody let it be done.
func about(ctx context.Context, words map[string]string) map[string]string {
	via := access.Via(ctx)
	if via == "" {
		return words
	}
	more := make(map[string]string, len(words)+1)
	maps.Copy(more, words)
	more["via"] = via
	return more
}

// append writes a fact that has its moment and its actor.
func (j *Journal) append(tx store.Tx, f *Fact) {
	heads := tx.Bucket(headBucket)
	last, prev := headOf(heads.Get(headKey))
	f.Seq = last + 1
	raw, own := encode(f, prev)
	key := seqKey(f.Seq)
	tx.Bucket(factsBucket).Put(key, raw)
	heads.Put(headKey, append(key, own[:]...))
	if f.Contact != "" && f.Card {
		tx.Bucket(contactsBucket).Put(append([]byte(f.Contact), key...), nil)
	}
	tx.OnCommit(j.announce)
}

var headKey = []byte("head")

// head is the number and hash of the newest fact. It is kept beside the facts, so that the newest cannot go unnoticed.
func head(tx store.Tx) (seq uint64, hash sum) { return headOf(tx.Bucket(headBucket).Get(headKey)) }

// headOf reads a head: the number, then the hash, which the first journals wrote in hex.
func headOf(raw []byte) (seq uint64, hash sum) {
	switch len(raw) {
	case 8 + len(hash):
		return binary.BigEndian.Uint64(raw), sum(raw[8:])
	case 8 + 2*len(hash):
		return binary.BigEndian.Uint64(raw), sumOf(string(raw[8:]))
	}
	return 0, sum{}
}

// seqKey is where a fact stands. Its capacity is that of its length, so that what is appended never shares it.
func seqKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(make([]byte, 0, 8), seq) }

func (j *Journal) announce() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.wake != nil {
		close(j.wake)
		j.wake = nil
	}
}

// Last is the number of the newest fact, 0 before the first.
func (j *Journal) Last(ctx context.Context) (seq uint64, err error) {
	err = j.db.View(ctx, func(tx store.Tx) error {
		seq, _ = head(tx)
		return nil
	})
	return seq, err
}

// After gives at most limit facts with numbers above seq, in order. It does not ask who is reading: callers show a
// fact only to an actor who may see its record.
func (j *Journal) After(ctx context.Context, seq uint64, limit int) (facts []Fact, err error) {
	err = j.db.View(ctx, func(tx store.Tx) error {
		if seq == 1<<64-1 {
			return nil
		}
		for _, raw := range tx.Bucket(factsBucket).Scan(seqKey(seq+1), nil, false) {
			f, err := decode(raw)
			if err != nil {
				return fault.Wrap(err, fault.Internal, "store.damaged", "what", factsBucket)
			}
			if facts = append(facts, f); len(facts) >= limit {
				break
			}
		}
		return nil
	})
	return facts, err
}

// Wait returns when a fact above seq is durable, or with the context's error.
func (j *Journal) Wait(ctx context.Context, seq uint64) error {
	for {
		j.mu.Lock()
		if j.wake == nil {
			j.wake = make(chan struct{})
		}
		wake := j.wake
		j.mu.Unlock()
		last, err := j.Last(ctx)
		if err != nil || last > seq {
			return err
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Concerning yields the facts that concern a customer, newest first, with numbers below before (0: from the newest),
// until the visit returns false.
func Concerning(tx store.Tx, contact string, before uint64, visit func(Fact) bool) error {
	from := []byte(contact)
	to := store.PrefixEnd(from)
	if before > 0 {
		to = append([]byte(contact), seqKey(before)...)
	}
	facts := tx.Bucket(factsBucket)
	for key := range tx.Bucket(contactsBucket).Scan(from, to, true) {
		f, err := decode(facts.Get(key[len(key)-8:]))
		if err != nil {
			return fault.Wrap(err, fault.Internal, "store.damaged", "what", contactsBucket)
		}
		if !visit(f) {
			return nil
		}
	}
	return nil
}
