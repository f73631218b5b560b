package record

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

// Act is what a write does to a record.
type Act string

// The acts that an Asker is asked about. A restoration from the bin is a Create.
const (
	ActCreate Act = "create"
	ActUpdate Act = "update"
	ActDelete Act = "delete"
)

// Asker is asked about writes before they are done, outside any transaction: it may be slow, and talk to others.
type Asker interface {
	// Asks tells, at no cost, whether writes of this kind are asked about at all.
	Asks(ctx context.Context, entity string, act Act) bool
	// Ask answers each of the writes, in their order. Its error refuses all of them.
	Ask(ctx context.Context, asks []Ask) ([]Verdict, error)
}

// Ask is one write that is about to be done. Its records may be kept: they are no part of a transaction.
type Ask struct {
	Act           Act
	Entity        string
	Before, After Record   // the zero Record where there is none
	Fields        []string // that are about to change
}

// Verdict is what became of an Ask: Refused says why the write must not be done; otherwise Values are written besides
// or instead of what the writer gave.
type Verdict struct {
	Refused error
	Values  Values
}

// SetAsker names who is asked before writes. It is called while the appliance is put together.
func (b *Book) SetAsker(a Asker) { b.asker = a }

type overrideKey struct{}

// WithOverride says that whoever writes with this context asks to be let through where somebody who is asked would
// refuse. Whether he may is for the Asker to decide.
func WithOverride(ctx context.Context) context.Context {
	return context.WithValue(ctx, overrideKey{}, true)
}

// Overrides tells whether the context asks for it.
func Overrides(ctx context.Context) bool { return ctx.Value(overrideKey{}) != nil }

// maxRounds is how often a transaction's function is run, so that what it does and what was asked agree: once to learn
// what it wants, once to do it, once more for each time that the records moved on in between.
const maxRounds = 5

// errAsk ends a transaction whose writes are about to be asked about. It never leaves the book.
var errAsk = errors.New("writes are to be asked about")

// askingTx is a transaction of which the book learns what it writes. In the first run it lets everything pass and
// remembers; in the next it has the answers.
type askingTx struct {
	store.Tx
	asked []asked    // what this run wants, in order
	known []asked    // what was asked before this run, with verdicts
	moved bool       // this run wants something else than was asked
	made  map[ID]int // the records that this run made, by their place: each run gives them other ids
}

// asked is one write with its verdict.
type asked struct {
	ask     Ask
	key     askKey
	whole   bool // the write came as far as to be done; one that changes nothing is not asked about
	known   bool // verdict is what was answered, not what is supposed
	verdict Verdict
}

// askKey is what must be the same for an answer to count: the write, and the version of the record it was about.
type askKey struct {
	act     Act
	entity  string
	id      ID  // zero for a new record
	made    int // place of a record that the same run made, whose id differs from run to run; 0 for none
	version uint64
	values  Values
}

// about is how far two runs of one function may lie apart: a moment that it takes from the clock differs between them.
const about = time.Minute

func (k askKey) equal(other askKey) bool {
	if k.act != other.act || k.entity != other.entity || k.id != other.id || k.made != other.made || k.version != other.version ||
		len(k.values) != len(other.values) {
		return false
	}
	for name, value := range k.values {
		also, ok := other.values[name]
		if !ok {
			return false
		}
		was, isTime := value.(time.Time)
		is, areBoth := also.(time.Time)
		if isTime && areBoth && is.Sub(was).Abs() < about {
			continue
		}
		if !reflect.DeepEqual(value, also) {
			return false
		}
	}
	return true
}

// keyOf is the key of a write in this run. Ids of records that the run made itself stand in it by their place.
func (run *askingTx) keyOf(act Act, c Change, version uint64) askKey {
	key := askKey{act: act, entity: c.Entity, version: version, values: make(Values, len(c.Values))}
	if act != ActCreate {
		if key.made = run.made[c.ID]; key.made == 0 {
			key.id = c.ID
		}
	}
	for name, value := range c.Values {
		key.values[name] = value
		switch v := value.(type) {
		case ID:
			if place := run.made[v]; place > 0 {
				key.values[name] = place
			}
		case string:
			if id, err := ParseID(v); err == nil && run.made[id] > 0 {
				key.values[name] = run.made[id]
			}
		}
	}
	return key
}

// makes remembers a record that a run made.
func makes(tx store.Tx, id ID) {
	if run, ok := tx.(*askingTx); ok {
		if run.made == nil {
			run.made = map[ID]int{}
		}
		run.made[id] = len(run.made) + 1
	}
}

// update runs fn in a writing transaction, and asks about its writes first where somebody wants to be asked. The
// function may then run several times, as any transaction's function may.
func (b *Book) update(ctx context.Context, fn func(store.Tx) error) error {
	if b.asker == nil {
		return b.db.Update(ctx, fn)
	}
	var known []asked
	for range maxRounds {
		var run *askingTx
		err := b.db.Update(ctx, func(tx store.Tx) error {
			run = &askingTx{Tx: tx, known: known}
			if err := fn(run); err != nil {
				return err
			}
			if run.moved || len(run.asked) != len(run.known) {
				return errAsk
			}
			return nil
		})
		if !errors.Is(err, errAsk) {
			return err
		}
		if known = run.asked; len(known) == 0 { // what was asked about is not wanted any more
			continue
		}
		if err := b.askAll(ctx, known); err != nil {
			return err
		}
	}
	return fault.New(fault.Conflict, "record.moving")
}

// askAll asks about what a run wants, and puts the answers beside it.
func (b *Book) askAll(ctx context.Context, wanted []asked) error {
	var asks []Ask
	for _, a := range wanted {
		if a.whole && !a.known {
			asks = append(asks, a.ask)
		}
	}
	if len(asks) == 0 {
		return nil
	}
	verdicts, err := b.asker.Ask(ctx, asks)
	if err != nil {
		return err
	}
	if len(verdicts) != len(asks) {
		return fault.New(fault.Internal, "error.internal")
	}
	for i := range wanted {
		if wanted[i].whole && !wanted[i].known {
			wanted[i].verdict, verdicts = verdicts[0], verdicts[1:]
		}
		wanted[i].known = true
	}
	return nil
}

// verdict gives what was answered about a write, the empty Verdict where nobody asks or it is not known yet. The
// returned function must be called with the write itself, before it is done.
func (b *Book) verdict(ctx context.Context, tx store.Tx, act Act, c Change, version uint64) (Verdict, func(before, after Record, fields []string)) {
	none := func(Record, Record, []string) {}
	if b.asker == nil || c.Quiet || !b.asker.Asks(ctx, c.Entity, act) {
		return Verdict{}, none
	}
	run, ok := tx.(*askingTx)
	if !ok { // a transaction that was not begun through the book: there is no outside to ask from
		return Verdict{Refused: fault.New(fault.Internal, "error.internal")}, none
	}
	key := run.keyOf(act, c, version)
	want, place := asked{key: key, ask: Ask{Act: act, Entity: c.Entity}}, len(run.asked)
	if !run.moved && place < len(run.known) && run.known[place].key.equal(key) {
		want.known, want.verdict = true, run.known[place].verdict
	} else if len(run.known) > 0 {
		run.moved = true
	}
	run.asked = append(run.asked, want)
	return want.verdict, func(before, after Record, fields []string) {
		run.asked[place].whole = true
		ask := &run.asked[place].ask
		ask.Before, ask.After, ask.Fields = before.kept(), after.kept(), slices.Clone(fields)
	}
}

// kept is a copy of the record that outlives its transaction.
func (r Record) kept() Record {
	r.raw = slices.Clone(r.raw)
	return r
}

// with is the change with what a verdict writes besides. The writer's own rights are not held against that.
func (c Change) with(v Verdict) Change {
	if len(v.Values) == 0 {
		return c
	}
	values := maps.Clone(c.Values)
	if values == nil {
		values = Values{}
	}
	for name, value := range v.Values {
		values[name] = value
		if !slices.Contains(c.own, name) {
			c.own = append(slices.Clone(c.own), name)
		}
	}
	c.Values = values
	return c
}
