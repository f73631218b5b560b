package record

import (
	"context"
	"fmt"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

// Check reads every record, list index and count and reports the first that does not agree with the records, as an
// Invalid fault "store.damaged". It is for the doctor and asks nobody's permission.
func (b *Book) Check(ctx context.Context) error {
	return b.db.View(ctx, func(tx store.Tx) error {
		for _, e := range b.schema.Entities() {
			if err := b.checkEntity(ctx, tx, e.Name); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *Book) checkEntity(ctx context.Context, tx store.Tx, entity string) error {
	damaged := func(what string) error { return fault.New(fault.Invalid, "store.damaged", "what", what) }
	e := b.schema.Entity(entity)
	counts, indexed := map[string]int64{entity: 0}, map[string]int{}
	for id, raw := range tx.Bucket("record."+entity).Scan(nil, nil, false) {
		r := Record{entity: e, raw: raw}
		if len(id) != len(r.ID) || !r.valid() || r.Version() == 0 {
			return damaged(fmt.Sprintf("record.%s %x", entity, id))
		}
		copy(r.ID[:], id)
		counts[entity]++
		if owner := ownerOf(r); owner != "" {
			counts[entity+"\x00"+owner]++
		}
		for i := range e.Fields {
			if f := &e.Fields[i]; f.Indexed {
				for key := range indexKeys(r, f) {
					indexed[f.Name]++
					if tx.Bucket(indexBucket(entity, f.Name)).Get([]byte(key)) == nil {
						return damaged(indexBucket(entity, f.Name) + " " + r.ID.String())
					}
				}
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	for i := range e.Fields {
		if f := &e.Fields[i]; f.Indexed {
			for range tx.Bucket(indexBucket(entity, f.Name)).Scan(nil, nil, false) {
				indexed[f.Name]--
			}
			if indexed[f.Name] != 0 {
				return damaged(indexBucket(entity, f.Name))
			}
		}
	}
	return checkCounts(tx, entity, counts)
}

// checkCounts compares the kept counts of an entity with those of its records, in both directions.
func checkCounts(tx store.Tx, entity string, counts map[string]int64) error {
	for key, n := range counts {
		if counted(tx, key) != n {
			return fault.New(fault.Invalid, "store.damaged", "what", fmt.Sprintf("%s %q", countsBucket, key))
		}
	}
	prefix := []byte(entity + "\x00")
	for key := range tx.Bucket(countsBucket).Scan(prefix, store.PrefixEnd(prefix), false) {
		if counted(tx, string(key)) != counts[string(key)] {
			return fault.New(fault.Invalid, "store.damaged", "what", fmt.Sprintf("%s %q", countsBucket, key))
		}
	}
	return nil
}
