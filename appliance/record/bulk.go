package record

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"slices"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

const (
	bulkBucket = "record.bulk" // "m", id: what was done, as JSON; "e", id, record: the version it left
	bulkBatch  = 200           // records of one transaction
	// MaxBulk is the most records that one act changes.
	MaxBulk = 200_000
	// maxProblems is how many refused records a bulk act names.
	maxProblems = 20
)

// Bulk is one act on many records.
type Bulk struct {
	ID       ID           `json:"id"`
	Entity   string       `json:"entity"`
	Filter   string       `json:"filter,omitempty"`
	Fields   []string     `json:"fields,omitempty"` // that were changed; none for a deletion
	Deletion bool         `json:"deletion,omitempty"`
	By       string       `json:"by"`
	At       time.Time    `json:"at"`
	Total    int          `json:"total"`   // records that matched when it began
	Done     int          `json:"done"`    // changed by it
	Skipped  int          `json:"skipped"` // left as they were: refused, or no longer matching
	Problems []BulkReason `json:"problems,omitempty"`
	Ended    bool         `json:"ended"`
	Undone   bool         `json:"undone,omitempty"`
	Restored int          `json:"restored,omitempty"` // brought back by the undo
	Kept     int          `json:"kept,omitempty"`     // left by the undo, since somebody changed them meanwhile
}

// BulkReason is why one record was left as it was.
type BulkReason struct {
	ID  ID     `json:"id"`
	Key string `json:"key"` // of the fault
}

// ChangeMany gives the same values to all records that a query finds and the actor may change. Each batch of records is
// one transaction; progress, which may be nil, is told after each. UndoMany takes it back, also when it was interrupted.
func (b *Book) ChangeMany(ctx context.Context, q Query, values Values, progress func(Bulk)) (Bulk, error) {
	act := Bulk{Entity: q.Entity}
	for name := range values {
		act.Fields = append(act.Fields, name)
	}
	slices.Sort(act.Fields)
	if len(values) == 0 {
		return act, fault.InvalidField("values", "field.required")
	}
	return b.many(ctx, q, act, progress, func(tx store.Tx, act *Bulk, r Record) (bool, error) {
		after, err := b.ChangeTx(ctx, tx, Change{Entity: act.Entity, ID: r.ID, Version: r.Version(), Values: values,
			About: map[string]string{"bulk": act.ID.String()}})
		return after.Version() != r.Version(), err
	})
}

// DeleteMany puts all records that a query finds, and the actor may delete, into the bin.
func (b *Book) DeleteMany(ctx context.Context, q Query, progress func(Bulk)) (Bulk, error) {
	return b.many(ctx, q, Bulk{Entity: q.Entity, Deletion: true}, progress, func(tx store.Tx, act *Bulk, r Record) (bool, error) {
		return true, b.DeleteTx(ctx, tx, act.Entity, r.ID, r.Version())
	})
}

func (b *Book) many(ctx context.Context, q Query, act Bulk, progress func(Bulk), one func(store.Tx, *Bulk, Record) (bool, error)) (Bulk, error) {
	act.ID, act.By, act.At = q.Act, access.ActorFrom(ctx).ID, b.now()
	if act.ID.Zero() {
		act.ID = NewID()
	}
	if q.Filter != nil {
		act.Filter = q.Filter.String()
	}
	ids, err := b.found(ctx, q)
	if err != nil {
		return act, err
	}
	if act.Total = len(ids); act.Total == 0 {
		act.Ended = true
		return act, b.db.Update(ctx, func(tx store.Tx) error { return saveBulk(tx, act) })
	}
	for batch := range slices.Chunk(ids, bulkBatch) {
		next := act
		err := b.update(ctx, func(tx store.Tx) error {
			next = act
			next.Problems = slices.Clone(act.Problems)
			for _, id := range batch {
				if err := b.oneOfMany(ctx, tx, q, &next, id, one); err != nil {
					return err
				}
			}
			next.Ended = next.Done+next.Skipped == next.Total
			return saveBulk(tx, next)
		})
		if err != nil {
			return act, err
		}
		act = next
		if progress != nil {
			progress(act)
		}
	}
	return act, nil
}

// oneOfMany does the act on one record, if it still matches. What refuses it counts; what breaks ends the act.
func (b *Book) oneOfMany(ctx context.Context, tx store.Tx, q Query, act *Bulk, id ID, one func(store.Tx, *Bulk, Record) (bool, error)) error {
	r, err := b.Raw(tx, q.Entity, id)
	if err != nil || q.Filter != nil && !q.Filter.Match(b.row(ctx, tx, r), b.env(ctx)) {
		act.Skipped++
		return nil
	}
	changed, err := one(tx, act, r)
	switch {
	case err == nil && changed:
		act.Done++
		version := binary.BigEndian.AppendUint64(nil, r.Version()+1)
		tx.Bucket(bulkBucket).Put(bulkKey('e', act.ID, id[:]), version)
	case err == nil:
		act.Skipped++
	case fault.KindOf(err) == fault.Internal || fault.KindOf(err) == fault.Unavailable || ctx.Err() != nil:
		return err
	default:
		act.Skipped++
		if len(act.Problems) < maxProblems {
			act.Problems = append(act.Problems, BulkReason{ID: id, Key: fault.Of(err).Key})
		}
	}
	return nil
}

// found lists the ids of what a query finds.
func (b *Book) found(ctx context.Context, q Query) (ids []ID, err error) {
	err = b.db.View(ctx, func(tx store.Tx) error {
		q.Cursor, ids = "", nil
		p, err := b.plan(ctx, tx, q)
		if err != nil {
			return err
		}
		for _, r := range p.walk(ctx, tx) {
			if ids = append(ids, r.ID); len(ids) > MaxBulk {
				return fault.New(fault.Invalid, "bulk.too-many", "limit", MaxBulk)
			}
		}
		return ctx.Err()
	})
	return ids, err
}

func bulkKey(kind byte, act ID, rest []byte) []byte {
	return append(append([]byte{kind}, act[:]...), rest...)
}

func saveBulk(tx store.Tx, act Bulk) error {
	raw, err := json.Marshal(act)
	if err != nil {
		return err
	}
	tx.Bucket(bulkBucket).Put(bulkKey('m', act.ID, nil), raw)
	return nil
}

// BulkOf reads an act on many records, to the one who did it and to those who see everything of the entity.
func (b *Book) BulkOf(ctx context.Context, id ID) (act Bulk, err error) {
	err = b.db.View(ctx, func(tx store.Tx) error {
		act, err = b.bulkTx(ctx, tx, id)
		return err
	})
	return act, err
}

func (b *Book) bulkTx(ctx context.Context, tx store.Tx, id ID) (act Bulk, err error) {
	raw := tx.Bucket(bulkBucket).Get(bulkKey('m', id, nil))
	if raw == nil {
		return act, fault.Missing("bulk", id.String())
	}
	if err := json.Unmarshal(raw, &act); err != nil {
		return act, fault.Wrap(err, fault.Internal, "store.damaged", "what", bulkBucket)
	}
	if act.By != access.ActorFrom(ctx).ID && b.gate.Scope(ctx, access.See, act.Entity) != access.All {
		return Bulk{}, fault.Missing("bulk", id.String())
	}
	return act, nil
}

// Bulks lists the newest acts on many records that the actor may know of.
func (b *Book) Bulks(ctx context.Context, limit int) (acts []Bulk, err error) {
	if limit <= 0 || limit > MaxLimit {
		limit = DefaultLimit
	}
	err = b.db.View(ctx, func(tx store.Tx) error {
		acts = nil
		for key := range tx.Bucket(bulkBucket).Scan([]byte("m"), []byte("n"), true) {
			act, err := b.bulkTx(ctx, tx, ID(key[1:]))
			if fault.KindOf(err) == fault.NotFound && err != nil {
				continue
			}
			if err != nil {
				return err
			}
			if acts = append(acts, act); len(acts) == limit {
				break
			}
		}
		return nil
	})
	return acts, err
}

// UndoMany takes an act on many records back. A record that somebody changed since stays as he left it and is counted
// in Kept. Undoing again what is undone does nothing.
func (b *Book) UndoMany(ctx context.Context, id ID, progress func(Bulk)) (act Bulk, err error) {
	if act, err = b.BulkOf(ctx, id); err != nil || act.Undone {
		return act, err
	}
	if err := b.mayUndo(ctx, act); err != nil {
		return act, err
	}
	for !act.Undone { // with what an earlier one, that was interrupted, brought back
		next := act
		err := b.update(ctx, func(tx store.Tx) error {
			next = act
			var keys [][]byte
			prefix := bulkKey('e', id, nil)
			for key, version := range tx.Bucket(bulkBucket).Scan(prefix, store.PrefixEnd(prefix), false) {
				if keys = append(keys, append(bytes.Clone(key), version...)); len(keys) == bulkBatch {
					break
				}
			}
			for _, key := range keys {
				record, version := ID(key[17:33]), binary.BigEndian.Uint64(key[33:])
				if err := b.undoOne(ctx, tx, &next, record, version); err != nil {
					return err
				}
				tx.Bucket(bulkBucket).Delete(key[:33])
			}
			next.Undone = len(keys) < bulkBatch
			return saveBulk(tx, next)
		})
		if err != nil {
			return act, err
		}
		act = next
		if progress != nil {
			progress(act)
		}
	}
	return act, nil
}

// mayUndo refuses whoever could not take all of an act back: an act is undone once, and what the undo may not touch stays.
func (b *Book) mayUndo(ctx context.Context, act Bulk) error {
	verbs := []access.Verb{access.Change}
	if act.Deletion {
		verbs[0] = access.Delete
	} else if e := b.schema.Current().Entity(act.Entity); e != nil && slices.Contains(act.Fields, e.Owner) {
		verbs = append(verbs, access.Assign)
	}
	for _, verb := range verbs {
		reach := b.gate.Scope(ctx, verb, act.Entity)
		if reach == access.None || act.By != access.ActorFrom(ctx).ID && (reach != access.All || b.gate.Where(ctx, verb, act.Entity) != "") {
			return fault.New(fault.Forbidden, "access.forbidden", "permission", string(verb)+":"+act.Entity)
		}
	}
	rights := b.gate.Fields(ctx, act.Entity)
	if slices.ContainsFunc(act.Fields, rights.ReadOnly) {
		return fault.New(fault.Forbidden, "access.forbidden", "permission", string(access.Change)+":"+act.Entity)
	}
	return nil
}

func (b *Book) undoOne(ctx context.Context, tx store.Tx, act *Bulk, id ID, version uint64) (err error) {
	if act.Deletion {
		_, err = b.RestoreTx(ctx, tx, act.Entity, id)
	} else {
		err = b.revertTx(ctx, tx, act, id, version)
	}
	switch fault.KindOf(err) {
	case fault.Internal, fault.Unavailable:
		if err != nil {
			return err
		}
	}
	if err != nil {
		act.Kept++
		return ctx.Err()
	}
	act.Restored++
	return nil
}

// revertTx gives the fields that a change touched what they held before it, if nothing was changed since.
func (b *Book) revertTx(ctx context.Context, tx store.Tx, act *Bulk, id ID, version uint64) error {
	before, err := b.Raw(tx, act.Entity, id)
	if err != nil {
		return err
	}
	if err := b.require(ctx, tx, access.Change, before); err != nil {
		return err
	}
	raw := tx.Bucket(historyBucket).Get(historyKey(act.Entity, id, version))
	if before.Version() != version || raw == nil {
		return fault.New(fault.Conflict, "record.changed", "version", before.Version(), "by", before.UpdatedBy())
	}
	old := Record{ID: id, entity: before.entity, raw: slices.Clone(raw)}
	held, fields := old.split(), before.split()
	var changed []string
	for _, f := range changedFields(old) {
		if f.Name == before.entity.Owner {
			if err := b.require(ctx, tx, access.Assign, before); err != nil {
				return err
			}
		}
		fields[f.Number] = held[f.Number]
		changed = append(changed, f.Name)
	}
	h := header{version: version + 1, created: before.CreatedAt(), createdBy: before.CreatedBy(),
		updated: b.now(), updater: access.ActorFrom(ctx).ID}
	after := Record{ID: id, entity: before.entity, raw: encode(h, fields)}
	if !b.meets(ctx, tx, access.Change, after) {
		return fault.New(fault.Forbidden, "access.not-yours", "entity", act.Entity)
	}
	return b.write(ctx, tx, written{before: before, after: after, fields: changed, fact: ".changed",
		change: Change{Entity: act.Entity, ID: id, About: map[string]string{"undo": act.ID.String()}}})
}
