package record

import (
	"context"
	"fmt"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

// Check reads every record, list index and count and reports the first that does not agree with the records, as an
// Invalid fault "store.damaged". It is for the doctor and asks nobody's permission.
func (b *Book) Check(ctx context.Context) error {
	return b.db.View(ctx, func(tx store.Tx) error {
		for _, e := range b.schema.At(tx).Entities() {
			if err := b.checkEntity(ctx, tx, e); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *Book) checkEntity(ctx context.Context, tx store.Tx, e *schema.Entity) error {
	entity := e.Name
	counts, indexed := map[string]int64{entity: 0}, map[string]int{}
	for id, raw := range tx.Bucket("record."+entity).Scan(nil, nil, false) {
		r := Record{entity: e, raw: raw}
		if len(id) != len(r.ID) || !r.valid() || r.Version() == 0 {
			return damaged(fmt.Sprintf("record.%s %x", entity, id))
		}
		copy(r.ID[:], id)
		principals := b.standing(tx, r).principals()
		counts[entity]++
		for _, p := range principals {
			counts[entity+"\x00"+p]++
		}
		if err := b.checkKeys(tx, r, principals, indexed); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	for _, field := range append(indexedFields(e), ageField) {
		if !b.ready(tx, entity, field) {
			continue
		}
		for range tx.Bucket(indexBucket(entity, field)).Scan(nil, nil, false) {
			indexed[field]--
		}
		if indexed[field] != 0 {
			return damaged(indexBucket(entity, field))
		}
	}
	return checkCounts(tx, entity, counts)
}

// checkKeys looks for each key that a record should have in the indexes, and counts them.
func (b *Book) checkKeys(tx store.Tx, r Record, principals []string, indexed map[string]int) error {
	for _, field := range append(indexedFields(r.entity), ageField) {
		keys := ageKeys(r, principals)
		if field != ageField {
			keys = indexKeys(r, r.entity.Field(field), principals)
		}
		if !b.ready(tx, r.Entity(), field) {
			continue
		}
		for _, key := range keys {
			indexed[field]++
			if tx.Bucket(indexBucket(r.Entity(), field)).Get([]byte(key)) == nil {
				return damaged(indexBucket(r.Entity(), field) + " " + r.ID.String())
			}
		}
	}
	return nil
}

func damaged(what string) error { return fault.New(fault.Invalid, "store.damaged", "what", what) }

func indexedFields(e *schema.Entity) (names []string) {
	for i := range e.Fields {
		if e.Fields[i].Indexed {
			names = append(names, e.Fields[i].Name)
		}
	}
	return names
}

// checkCounts compares the kept counts of an entity with those of its records, in both directions.
func checkCounts(tx store.Tx, entity string, counts map[string]int64) error {
	for key, n := range counts {
		if counted(tx, []byte(key)) != n {
			return damaged(fmt.Sprintf("%s %q", countsBucket, key))
		}
	}
	prefix := []byte(entity + "\x00")
	for key := range tx.Bucket(countsBucket).Scan(prefix, store.PrefixEnd(prefix), false) {
		if counted(tx, key) != counts[string(key)] {
			return damaged(fmt.Sprintf("%s %q", countsBucket, key))
		}
	}
	return nil
}
