package record

import (
	"bytes"
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/search"
	"github.com/karov-crm/karov/appliance/store"
)

// In the bin a record's bytes begin with two fields that no other record has: when it was deleted and by whom.
const (
	fieldDeletedAt = 7
	fieldDeletedBy = 8
)

// Deleted is a record in the bin.
type Deleted struct {
	Record Record
	At     time.Time
	By     string // id of the actor
}

// Delete puts a record into the bin, from where Restore brings it back.
func (b *Book) Delete(ctx context.Context, entity string, id ID, version uint64) error {
	return b.update(ctx, func(tx store.Tx) error {
		return b.DeleteTx(ctx, tx, entity, id, version)
	})
}

// DeleteTx is Delete within a transaction.
func (b *Book) DeleteTx(ctx context.Context, tx store.Tx, entity string, id ID, version uint64) error {
	before, err := b.Raw(tx, entity, id)
	if err != nil {
		return err
	}
	if err := b.require(ctx, tx, access.Delete, before); err != nil {
		return err
	}
	if version != before.Version() {
		return fault.New(fault.Conflict, "record.changed", "version", before.Version(), "by", before.UpdatedBy())
	}
	verdict, ask := b.verdict(ctx, tx, ActDelete, Change{Entity: entity, ID: id}, version)
	if verdict.Refused != nil {
		return verdict.Refused
	}
	ask(before, Record{}, nil)
	if err := b.write(ctx, tx, written{before: before, change: Change{Entity: entity, ID: id}, fact: ".deleted"}); err != nil {
		return err
	}
	tx.Bucket(binBucket).Put(binKey(entity, id), binned(before.raw, b.now(), access.ActorFrom(ctx).ID))
	return nil
}

// Restore brings a record back from the bin, as it was. Where a new one has its id meanwhile, that is a Conflict.
func (b *Book) Restore(ctx context.Context, entity string, id ID) (r Record, err error) {
	err = b.update(ctx, func(tx store.Tx) error {
		r, err = b.RestoreTx(ctx, tx, entity, id)
		return err
	})
	return r, err
}

// RestoreTx is Restore within a transaction.
func (b *Book) RestoreTx(ctx context.Context, tx store.Tx, entity string, id ID) (Record, error) {
	e, raw := b.schema.At(tx).Entity(entity), tx.Bucket(binBucket).Get(binKey(entity, id))
	if e == nil || raw == nil {
		return Record{}, fault.Missing(entity, id.String())
	}
	d := unbinned(raw)
	d.Record.ID, d.Record.entity = id, e
	if err := b.require(ctx, tx, access.Delete, d.Record); err != nil {
		return Record{}, err
	}
	if tx.Bucket("record."+entity).Get(id[:]) != nil {
		return Record{}, fault.New(fault.Conflict, "record.exists", "id", id.String())
	}
	verdict, ask := b.verdict(ctx, tx, ActCreate, Change{Entity: entity}, 0)
	if verdict.Refused != nil {
		return Record{}, verdict.Refused
	}
	ask(Record{}, d.Record, nil)
	if err := b.write(ctx, tx, written{after: d.Record, change: Change{Entity: entity, ID: id}, fact: ".restored"}); err != nil {
		return Record{}, err // it stays in the bin: the transaction may go on to others
	}
	tx.Bucket(binBucket).Delete(binKey(entity, id))
	return b.shown(ctx, tx, d.Record), nil
}

// Bin lists what of an entity was deleted and may be restored by the actor, by age of the records, from the one after
// the cursor. Next is the cursor to the rest, the zero ID at the end.
func (b *Book) Bin(ctx context.Context, entity string, after ID, limit int) (page []Deleted, next ID, err error) {
	if limit <= 0 || limit > MaxLimit {
		limit = DefaultLimit
	}
	err = b.db.View(ctx, func(tx store.Tx) error {
		e := b.schema.At(tx).Entity(entity)
		if e == nil {
			return fault.Missing("entity", entity)
		}
		if b.gate.Scope(ctx, access.Delete, entity) == access.None {
			return b.gate.Require(ctx, access.Delete, access.Object{Entity: entity})
		}
		prefix := binKey(entity, ID{})[:len(entity)+1]
		from := prefix
		if !after.Zero() {
			from = append(binKey(entity, after), 0)
		}
		for key, raw := range tx.Bucket(binBucket).Scan(from, store.PrefixEnd(prefix), false) {
			d := unbinned(raw)
			copy(d.Record.ID[:], key[len(prefix):])
			d.Record.entity = e
			if b.require(ctx, tx, access.Delete, d.Record) != nil {
				continue
			}
			if len(page) == limit {
				next = page[limit-1].Record.ID
				return nil
			}
			d.Record = b.shown(ctx, tx, d.Record)
			page = append(page, d)
		}
		return nil
	})
	return page, next, err
}

// Knows tells whether the actor may hear of what happens to a record: he sees it, or would see it were it not in the bin.
// Of one that is gone for good hear those who see all of its entity.
func (b *Book) Knows(ctx context.Context, entity string, id ID) (ok bool, err error) {
	err = b.db.View(ctx, func(tx store.Tx) error {
		e := b.schema.At(tx).Entity(entity)
		if e == nil {
			return nil
		}
		r, there := rawOf(tx, e, id)
		if !there {
			raw := tx.Bucket(binBucket).Get(binKey(entity, id))
			if raw == nil {
				rights, err := b.gate.Filter(ctx, entity)
				ok = err == nil && rights.All && rights.Where == ""
				return nil
			}
			r = unbinned(raw).Record
			r.ID, r.entity = id, e
		}
		ok = b.Allowed(ctx, tx, access.See, r)
		return nil
	})
	return ok, err
}

// Purge empties the bin of what was deleted before a moment, at most limit records, and says how many. It is for jobs
// and asks nobody's permission.
func (b *Book) Purge(ctx context.Context, before time.Time, limit int) (n int, err error) {
	err = b.db.Update(ctx, func(tx store.Tx) error {
		n = 0
		var old [][]byte
		for key, raw := range tx.Bucket(binBucket).Scan(nil, nil, false) {
			if d := unbinned(raw); !d.At.IsZero() && d.At.Before(before) {
				if old = append(old, bytes.Clone(key)); len(old) == limit {
					break
				}
			}
		}
		for _, key := range old {
			tx.Bucket(binBucket).Delete(key)
			if at := bytes.IndexByte(key, 0); len(key) == at+1+16 {
				forgetTraces(tx, string(key[:at]), ID(key[at+1:]))
			}
			n++
		}
		return nil
	})
	return n, err
}

// EraseTx removes a record, in use or in the bin, with its history, its shares and all by which it is found, for good.
// It is for a room that was asked to forget a person, and asked for permission itself. The fact names no field. A
// record that is nowhere is no error.
func (b *Book) EraseTx(ctx context.Context, tx store.Tx, entity string, id ID) error {
	if r, err := b.Raw(tx, entity, id); err == nil {
		erased := written{before: r, change: Change{Entity: entity, ID: id}, fact: ".erased"}
		if err := b.write(ctx, tx, erased); err != nil {
			return err
		}
	} else if fault.KindOf(err) != fault.NotFound {
		return err
	} else if tx.Bucket(binBucket).Get(binKey(entity, id)) != nil {
		if err := b.journal.Append(ctx, tx, journal.Fact{Name: entity + ".erased", Entity: entity, ID: id.String()}); err != nil {
			return err
		}
	}
	tx.Bucket(binBucket).Delete(binKey(entity, id))
	forgetTraces(tx, entity, id)
	return search.Delete(tx, entity, id)
}

// forgetTraces drops what is kept about a record beside it.
func forgetTraces(tx store.Tx, entity string, id ID) {
	for _, name := range []string{historyBucket, sharesBucket} {
		bucket, prefix := tx.Bucket(name), shareKey(entity, id, "")
		var keys [][]byte
		for key := range bucket.Scan(prefix, store.PrefixEnd(prefix), false) {
			keys = append(keys, bytes.Clone(key))
		}
		for _, key := range keys {
			bucket.Delete(key)
		}
	}
}

func binKey(entity string, id ID) []byte { return append(append([]byte(entity), 0), id[:]...) }

// binned is a record's bytes as they lie in the bin.
func binned(raw []byte, at time.Time, by string) []byte {
	head := appendText(appendMoment(nil, fieldDeletedAt, at), fieldDeletedBy, by)
	return append(head, raw...)
}

// unbinned reads a record from the bin. One from an older program has no moment.
func unbinned(raw []byte) (d Deleted) {
	d.Record.raw = slices.Clone(raw)
	if number, _, _ := protowire.ConsumeTag(raw); number != fieldDeletedAt {
		return d
	}
	head := 0
	d.Record.walk(func(n protowire.Number, t protowire.Type, b []byte, v uint64) bool {
		switch n {
		case fieldDeletedAt:
			d.At = time.UnixMilli(protowire.DecodeZigZag(v)).UTC()
			head += protowire.SizeTag(n) + protowire.SizeVarint(v)
		case fieldDeletedBy:
			d.By = string(b)
			head += protowire.SizeTag(n) + protowire.SizeBytes(len(b))
		default:
			return false
		}
		return true
	})
	d.Record.raw = d.Record.raw[head:]
	return d
}
