// Package journal is the office's one sequence of facts: who did what to which record, and when.
//
// A fact is appended in the transaction that makes it true. It drives live pages, the timeline, jobs that wait for
// something, and the audit. It owns the buckets journal.facts (by number), journal.head (number and hash of the newest),
// journal.contacts (which facts concern a customer) and journal.readers (how far each reader came).
//
// It promises that numbers have no gaps, that each fact carries the hash of the one before, so that a changed, removed
// or reordered one is found by Verify, and that a reader sees each fact at least once, in order.
//
// It will not hold personal text: a fact names records and fields, never what stands in them, so that a person can be
// forgotten without breaking the chain.
package journal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
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

// Fact is one thing that happened. Append fills Seq, At, Actor, Prev and Hash.
type Fact struct {
	Seq     uint64            `json:"seq"`
	At      time.Time         `json:"at"`
	Name    string            `json:"name"` // noun.past, as "message.received"
	Actor   string            `json:"actor"`
	Entity  string            `json:"entity,omitempty"`
	ID      string            `json:"id,omitempty"`
	Fields  []string          `json:"fields,omitempty"`  // names of the fields that changed
	Contact string            `json:"contact,omitempty"` // id of the customer it concerns
	About   map[string]string `json:"about,omitempty"`   // few words that are nobody's personal data: a channel, a reason key
	Card    bool              `json:"card,omitempty"`    // it stands on the customer's timeline by itself
	Prev    string            `json:"prev"`
	Hash    string            `json:"hash,omitempty"` // SHA-256 of the fact without it, in hex
}

// Journal appends facts and wakes those who read them.
type Journal struct {
	db  store.DB
	now func() time.Time

	mu   sync.Mutex
	wake chan struct{} // closed and replaced when facts became durable
}

// New makes the journal of a store. Now is the clock.
func New(db store.DB, now func() time.Time) *Journal {
	return &Journal{db: db, now: now, wake: make(chan struct{})}
}

// Append writes the fact in the transaction. Readers are woken after the commit.
func (j *Journal) Append(ctx context.Context, tx store.Tx, f Fact) error {
	last, prev := head(tx)
	f.Seq, f.Prev = last+1, prev
	f.At = j.now().UTC().Truncate(time.Millisecond)
	f.Actor = access.ActorFrom(ctx).ID
	f = f.valid()
	f.Hash = hash(f)
	raw, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encode fact %s: %w", f.Name, err)
	}
	tx.Bucket(factsBucket).Put(seqKey(f.Seq), raw)
	tx.Bucket(headBucket).Put(headKey, append(seqKey(f.Seq), f.Hash...))
	if f.Contact != "" && f.Card {
		tx.Bucket(contactsBucket).Put(append([]byte(f.Contact), seqKey(f.Seq)...), nil)
	}
	tx.OnCommit(j.announce)
	return nil
}

var headKey = []byte("head")

// head is the number and hash of the newest fact. It is kept beside the facts, so that the newest cannot go unnoticed.
func head(tx store.Tx) (seq uint64, hash string) {
	if raw := tx.Bucket(headBucket).Get(headKey); len(raw) > 8 {
		return binary.BigEndian.Uint64(raw), string(raw[8:])
	}
	return 0, ""
}

// valid is the fact with no byte in it that JSON would write otherwise the second time, and so break the chain.
func (f Fact) valid() Fact {
	for _, s := range []*string{&f.Name, &f.Actor, &f.Entity, &f.ID, &f.Contact} {
		*s = strings.ToValidUTF8(*s, "\uFFFD")
	}
	fields, about := make([]string, len(f.Fields)), make(map[string]string, len(f.About))
	for i, s := range f.Fields {
		fields[i] = strings.ToValidUTF8(s, "\uFFFD")
	}
	for k, v := range f.About {
		about[strings.ToValidUTF8(k, "\uFFFD")] = strings.ToValidUTF8(v, "\uFFFD")
	}
	f.Fields, f.About = fields, about
	return f
}

func seqKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

func hash(f Fact) string {
	f.Hash = ""
	raw, err := json.Marshal(f)
	if err != nil {
		panic(err) // a Fact holds nothing that JSON cannot
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

func (j *Journal) announce() {
	j.mu.Lock()
	defer j.mu.Unlock()
	close(j.wake)
	j.wake = make(chan struct{})
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
		for _, raw := range tx.Bucket(factsBucket).Scan(seqKey(seq+1), nil, false) {
			var f Fact
			if err := json.Unmarshal(raw, &f); err != nil {
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
		raw := facts.Get(key[len(key)-8:])
		var f Fact
		if err := json.Unmarshal(raw, &f); err != nil {
			return fault.Wrap(err, fault.Internal, "store.damaged", "what", contactsBucket)
		}
		if !visit(f) {
			return nil
		}
	}
	return nil
}

// Verify walks the whole chain and returns how many facts are good. The first that was changed, removed or reordered
// is an Invalid fault "journal.broken" with its number.
func (j *Journal) Verify(ctx context.Context) (good int, err error) {
	err = j.db.View(ctx, func(tx store.Tx) error {
		prev, next := "", uint64(1)
		for key, raw := range tx.Bucket(factsBucket).Scan(nil, nil, false) {
			var f Fact
			err := json.Unmarshal(raw, &f)
			again, _ := json.Marshal(f)
			if err != nil || !bytes.Equal(key, seqKey(next)) || f.Seq != next || f.Prev != prev || f.Hash != hash(f) || !bytes.Equal(raw, again) {
				return fault.Wrap(err, fault.Invalid, "journal.broken", "seq", next)
			}
			prev, next = f.Hash, next+1
			good++
			if good%1000 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
		}
		if seq, hash := head(tx); seq != next-1 || hash != prev {
			return fault.New(fault.Invalid, "journal.broken", "seq", next)
		}
		return nil
	})
	return good, err
}
