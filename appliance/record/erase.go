package record

import (
	"bytes"
	"context"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

// eraseBatch is how many records one transaction of EraseEntity or EraseField writes, and eraseStep how many the latter
// looks at.
const (
	eraseBatch = 200
	eraseStep  = 5000
)

// EraseEntity erases every record of an entity for good, those in the bin too, with their histories, as EraseTx does. It
// works in batches; what was interrupted is done by calling it again. Leaves is told, in the transaction, of the blobs to
// which a record may have referred. It is for whoever purges a plugin, and asked for permission itself.
func (b *Book) EraseEntity(ctx context.Context, entity string, leaves func(tx store.Tx, blobs []string)) error {
	for done := false; !done; {
		err := b.db.Update(ctx, func(tx store.Tx) error {
			ids := someOf(tx, entity)
			done = len(ids) == 0
			for _, id := range ids {
				leaves(tx, b.Attached(tx, entity, id))
				if err := b.EraseTx(ctx, tx, entity, id); err != nil {
					return err
				}
			}
			return ctx.Err()
		})
		if err != nil {
			return err
		}
	}
	return b.db.Update(ctx, func(tx store.Tx) error {
		counts := tx.Bucket(countsBucket)
		var keys [][]byte
		prefix := append([]byte(entity), 0)
		for key := range counts.Scan(prefix, store.PrefixEnd(prefix), false) {
			keys = append(keys, bytes.Clone(key))
		}
		for _, key := range append(keys, countKey(entity, "")) {
			counts.Delete(key)
		}
		return nil
	})
}

// DropIndex empties what is left of the index of a field that the schema does not have any more.
func (b *Book) DropIndex(ctx context.Context, entity, field string) error {
	for more := true; more; {
		err := b.db.Update(ctx, func(tx store.Tx) error {
			more = dropSome(tx.Bucket(indexBucket(entity, field)))
			return ctx.Err()
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// someOf lists a few records of an entity, in use or, when there are none, in the bin.
func someOf(tx store.Tx, entity string) (ids []ID) {
	prefix := append([]byte(entity), 0)
	for _, from := range []struct {
		bucket string
		prefix []byte
	}{{"record." + entity, nil}, {binBucket, prefix}} {
		var to []byte
		if from.prefix != nil {
			to = store.PrefixEnd(from.prefix)
		}
		for key := range tx.Bucket(from.bucket).Scan(from.prefix, to, false) {
			if len(key) != len(from.prefix)+16 {
				continue
			}
			if ids = append(ids, ID(key[len(from.prefix):])); len(ids) == eraseBatch {
				return ids
			}
		}
		if len(ids) > 0 {
			return ids
		}
	}
	return ids
}

// EraseField takes what records hold of a field out of them for good: out of those in use, of those in the bin and of
// what they held before. Their versions stay, and no fact tells of each. It works in batches; what was interrupted is done
// by calling it again. Leaves is told, in the transaction, of the blobs to which a value referred. It is for whoever
// purges a plugin, and asked for permission itself.
func (b *Book) EraseField(ctx context.Context, entity, field string, leaves func(tx store.Tx, blobs []string)) error {
	for _, step := range []func(context.Context, store.Tx, *stripping) error{b.stripRecords, b.stripBin, b.stripHistory} {
		for s := (&stripping{entity: entity, field: field, leaves: leaves}); !s.done; {
			from := s.from
			err := b.db.Update(ctx, func(tx store.Tx) error {
				s.from, s.done = from, true
				return step(ctx, tx, s)
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// stripping is how far the erasing of a field is in one bucket.
type stripping struct {
	entity, field string
	leaves        func(tx store.Tx, blobs []string)
	from          []byte
	done          bool
}

// found lists keys below prefix, from where the stripping is, whose values hold the field; it goes on behind them.
func (s *stripping) found(bucket store.Bucket, prefix []byte, number protowire.Number) (keys [][]byte) {
	from, looked := prefix, 0
	if s.from != nil {
		from = s.from
	}
	var to []byte
	if len(prefix) > 0 {
		to = store.PrefixEnd(prefix)
	}
	for key, raw := range bucket.Scan(from, to, false) {
		if looked++; looked > eraseStep || len(keys) == eraseBatch {
			s.from, s.done = bytes.Clone(key), false
			return keys
		}
		if mentions(raw, number) {
			keys = append(keys, bytes.Clone(key))
		}
	}
	return keys
}

func (b *Book) erasedField(tx store.Tx, s *stripping) (*schema.Entity, *schema.Field, error) {
	e := b.schema.At(tx).Entity(s.entity)
	if e == nil || e.Field(s.field) == nil {
		return nil, nil, fault.New(fault.Invalid, "schema.no-field", "entity", s.entity, "field", s.field)
	}
	return e, e.Field(s.field), nil
}

func (b *Book) stripRecords(ctx context.Context, tx store.Tx, s *stripping) error {
	e, f, err := b.erasedField(tx, s)
	if err != nil {
		return err
	}
	for _, key := range s.found(tx.Bucket("record."+e.Name), nil, numberOf(f)) {
		before, ok := rawOf(tx, e, ID(key))
		if !ok {
			continue
		}
		after := Record{ID: before.ID, entity: e}
		if after.raw, err = without(before.raw, numberOf(f)); err != nil {
			return err
		}
		s.tell(tx, before.raw)
		w := written{before: before, after: after, change: Change{Entity: e.Name, ID: before.ID, Fact: "-", Inside: true}}
		if err := b.write(ctx, tx, w); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (b *Book) stripBin(ctx context.Context, tx store.Tx, s *stripping) error {
	_, f, err := b.erasedField(tx, s)
	if err != nil {
		return err
	}
	return s.rewrite(ctx, tx, binBucket, numberOf(f))
}

func (b *Book) stripHistory(ctx context.Context, tx store.Tx, s *stripping) error {
	_, f, err := b.erasedField(tx, s)
	if err != nil {
		return err
	}
	return s.rewrite(ctx, tx, historyBucket, numberOf(f))
}

// rewrite takes the field out of values that nothing else follows from. What then tells of no change is dropped.
func (s *stripping) rewrite(ctx context.Context, tx store.Tx, name string, number protowire.Number) error {
	bucket, prefix := tx.Bucket(name), append([]byte(s.entity), 0)
	for _, key := range s.found(bucket, prefix, number) {
		raw := bytes.Clone(bucket.Get(key))
		kept, err := without(raw, number)
		if err != nil {
			return err
		}
		s.tell(tx, raw)
		if name == historyBucket && !mentions(kept, fieldChanged) {
			bucket.Delete(key)
			continue
		}
		bucket.Put(key, kept)
	}
	return ctx.Err()
}

// tell says which blobs a value may have referred to.
func (s *stripping) tell(tx store.Tx, raw []byte) {
	if s.leaves == nil {
		return
	}
	var blobs []string
	runs(raw, func(hash []byte) { blobs = append(blobs, string(hash)) })
	if len(blobs) > 0 {
		s.leaves(tx, blobs)
	}
}

// mentions tells whether stored bytes hold a field, or say that it changed.
func mentions(raw []byte, number protowire.Number) bool {
	for len(raw) > 0 {
		n, t, head := protowire.ConsumeTag(raw)
		if head < 0 {
			return false
		}
		size := protowire.ConsumeFieldValue(n, t, raw[head:])
		if size < 0 {
			return false
		}
		if n == number || changes(n, raw[head:], number) {
			return true
		}
		raw = raw[head+size:]
	}
	return false
}

// changes tells whether a part of a history's entry says that the field changed.
func changes(n protowire.Number, value []byte, number protowire.Number) bool {
	if n != fieldChanged {
		return false
	}
	v, _ := protowire.ConsumeVarint(value)
	return v == uint64(number)
}

// without is stored bytes but for one field.
func without(raw []byte, number protowire.Number) ([]byte, error) {
	kept := make([]byte, 0, len(raw))
	for len(raw) > 0 {
		n, t, head := protowire.ConsumeTag(raw)
		if head < 0 {
			return nil, damagedBytes(protowire.ParseError(head))
		}
		size := protowire.ConsumeFieldValue(n, t, raw[head:])
		if size < 0 {
			return nil, damagedBytes(protowire.ParseError(size))
		}
		if n != number && !changes(n, raw[head:], number) {
			kept = append(kept, raw[:head+size]...)
		}
		raw = raw[head+size:]
	}
	return kept, nil
}

func damagedBytes(err error) error {
	return fault.Wrap(err, fault.Internal, "store.damaged", "what", "record")
}
