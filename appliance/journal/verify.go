package journal

import (
	"context"
	"encoding/binary"
	"strconv"
	"strings"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

// Anchor is what one has to know of a journal to prove later that all its facts up to there still stand: the number and
// the hash of one fact. Kept away from the machine it finds also what the store's own bytes cannot show: that the newest
// facts were taken away with every trace, or that the whole chain was written anew.
type Anchor struct {
	Seq  uint64 `json:"seq"`
	Hash string `json:"hash"`
}

// String is the text form, as 1042:9f86d0…, which ParseAnchor reads.
func (a Anchor) String() string { return strconv.FormatUint(a.Seq, 10) + ":" + a.Hash }

// ParseAnchor reads an anchor's text form. Anything else is an Invalid fault "journal.anchor".
func ParseAnchor(text string) (Anchor, error) {
	number, hash, _ := strings.Cut(strings.TrimSpace(text), ":")
	seq, err := strconv.ParseUint(number, 10, 64)
	if err != nil || seq == 0 || sumOf(hash) == (sum{}) {
		return Anchor{}, fault.New(fault.Invalid, "journal.anchor", "anchor", text)
	}
	return Anchor{Seq: seq, Hash: sumOf(hash).String()}, nil
}

// Anchor gives the anchor of the newest fact, the zero one before the first.
func (j *Journal) Anchor(ctx context.Context) (a Anchor, err error) {
	err = j.db.View(ctx, func(tx store.Tx) error {
		if seq, hash := head(tx); seq > 0 {
			a = Anchor{Seq: seq, Hash: hash.String()}
		}
		return nil
	})
	return a, err
}

// Verify walks the whole chain and returns how many facts from the first on are proved. The first damage is an Invalid
// fault with its number (seq) and moment (at): "journal.changed" (its bytes are not those that were written),
// "journal.removed" (from seq to until nothing stands), "journal.reordered" (the fact until stands there), "journal.replaced"
// (it is whole in itself, but the one after it was written after another), "journal.truncated" (the newest, from seq to
// until, are gone) and "journal.added" (something stands there that nobody appended). Anchors are held against the chain too.
func (j *Journal) Verify(ctx context.Context, anchors ...Anchor) (good int, err error) {
	err = j.db.View(ctx, func(tx store.Tx) error {
		c := chain{known: map[uint64]sum{}}
		for _, a := range anchors {
			c.known[a.Seq] = sumOf(a.Hash)
			c.furthest = max(c.furthest, a.Seq)
		}
		err := c.walk(ctx, tx)
		if err == nil {
			err = c.end(tx)
		}
		good = int(c.good)
		return err
	})
	return good, err
}

// chain is how far a walk over the facts came: good facts, the newest of which has the hash prev and the moment at.
type chain struct {
	good     uint64
	prev     sum
	at       time.Time
	known    map[uint64]sum // anchors
	furthest uint64
}

func (c *chain) walk(ctx context.Context, tx store.Tx) error {
	for key, raw := range tx.Bucket(factsBucket).Scan(nil, nil, false) {
		if err := c.next(key, raw); err != nil {
			return err
		}
		if c.good%1000 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// next holds one fact against those before it.
func (c *chain) next(key, raw []byte) error {
	want := c.good + 1
	if len(key) != 8 || binary.BigEndian.Uint64(key) < want {
		return c.broken("journal.added", want, want, c.at)
	}
	if seq := binary.BigEndian.Uint64(key); seq > want {
		return c.broken("journal.removed", want, seq-1, c.at)
	}
	f, err := decode(raw)
	if err != nil {
		return c.broken("journal.changed", want, want, c.at)
	}
	if !intact(raw, f) {
		return c.broken("journal.changed", want, want, f.At)
	}
	if f.Seq != want {
		return c.broken("journal.reordered", want, f.Seq, f.At)
	}
	if sumOf(f.Prev) != c.prev {
		// Both are whole; the later one still names the fact that stood before it when it was written.
		if c.good > 0 {
			c.good--
		}
		return c.broken("journal.replaced", c.good+1, c.good+1, c.at)
	}
	if hash, ok := c.known[want]; ok && hash != sumOf(f.Hash) {
		return c.broken("journal.replaced", want, want, f.At)
	}
	c.good, c.prev, c.at = want, sumOf(f.Hash), f.At
	return nil
}

// end looks for facts that should stand behind the last one: by the head, and by whatever else speaks of them.
func (c *chain) end(tx store.Tx) error {
	seq, hash := head(tx)
	last := max(seq, c.furthest)
	for _, raw := range tx.Bucket(readersBucket).Scan(nil, nil, false) {
		if len(raw) == 8 {
			last = max(last, binary.BigEndian.Uint64(raw))
		}
	}
	for key := range tx.Bucket(contactsBucket).Scan(nil, nil, false) {
		if len(key) > 8 {
			last = max(last, binary.BigEndian.Uint64(key[len(key)-8:]))
		}
	}
	switch {
	case last > c.good:
		return c.broken("journal.truncated", c.good+1, last, c.at)
	case seq < c.good:
		c.good = seq
		return c.broken("journal.added", seq+1, seq+1, c.at)
	case hash != c.prev:
		c.good--
		return c.broken("journal.replaced", c.good+1, c.good+1, c.at)
	}
	return nil
}

// broken makes the fault of the first damage. At is the moment of the damaged fact where it can be read, or else that
// of the last one before it that is proved.
func (c *chain) broken(key string, seq, until uint64, at time.Time) error {
	when := "-"
	if !at.IsZero() {
		when = at.UTC().Format(time.RFC3339)
	}
	return fault.New(fault.Invalid, key, "seq", seq, "until", until, "at", when)
}
