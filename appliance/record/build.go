package record

import (
	"bytes"
	"context"
	"slices"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/search"
	"github.com/karov-crm/karov/appliance/store"
)

// An index that the schema gained while there were records already is not complete at once. record.building has an entry
// for each such field (entity, NUL, field) until Build has been over all records: first it drops what an earlier index
// of that name left behind, then it writes the keys anew. Every write meanwhile keeps its own record's keys right, and
// no list uses the index before it is whole. The field "*" stands for lookup.

const (
	buildingBucket = "record.building"

	everyWord = "*"
	dropping  = 'd' // followed by nothing: it begins again where the first key is
	writing   = 'w' // followed by the id of the last record that was done

	buildBatch = 500 // records of one transaction, so that others' writes need not wait
	dropBatch  = 5000
)

func buildingKey(entity, field string) []byte { return []byte(entity + "\x00" + field) }

// ready tells whether a field's index is whole.
func (b *Book) ready(tx store.Tx, entity, field string) bool {
	return tx.Bucket(buildingBucket).Get(buildingKey(entity, field)) == nil
}

// Ready tells whether a field's index is whole, so that Linked finds all that link to a record.
func (b *Book) Ready(tx store.Tx, entity, field string) bool { return b.ready(tx, entity, field) }

// schemaWillChange refuses a change that the records contradict, and begins to build the indexes that it asks for. It
// runs in the transaction of the change.
func (b *Book) schemaWillChange(tx store.Tx, before, after *schema.Schema) error {
	for _, e := range after.Entities() {
		old := before.Entity(e.Name)
		if old == nil {
			continue // no records yet
		}
		searched := e.Custom && (e.Hidden != old.Hidden || e.Title != old.Title)
		for i := range e.Fields {
			f, was := &e.Fields[i], old.Field(e.Fields[i].Name)
			fresh := was == nil || !was.Indexed
			if f.Unique && (was == nil || !was.Unique) {
				if err := b.checkDistinct(tx, e, f); err != nil {
					return err
				}
			}
			switch {
			case f.Unique && (fresh || !b.ready(tx, e.Name, f.Name)):
				b.indexNow(tx, e, f) // until it is whole nothing would hold two equal values apart
			case f.Indexed != !fresh:
				b.rebuildLater(tx, e.Name, f.Name)
			}
			searched = searched || f.Searched != (was != nil && was.Searched) || was != nil && f.Searched && f.Hidden != was.Hidden
		}
		if searched && (b.describe[e.Name] != nil || e.Custom) {
			b.rebuildLater(tx, e.Name, everyWord)
		}
	}
	return nil
}

// indexNow writes a field's index in the transaction that is running.
func (b *Book) indexNow(tx store.Tx, e *schema.Entity, f *schema.Field) {
	bucket := tx.Bucket(indexBucket(e.Name, f.Name))
	for more := true; more; {
		more = dropSome(bucket)
	}
	for id, raw := range tx.Bucket("record."+e.Name).Scan(nil, nil, false) {
		r := Record{ID: ID(id), entity: e, raw: raw}
		for _, key := range indexKeys(r, f, b.standing(tx, r).principals()) {
			bucket.Put([]byte(key), nil)
		}
	}
	tx.Bucket(buildingBucket).Delete(buildingKey(e.Name, f.Name))
}

func (b *Book) rebuildLater(tx store.Tx, entity, field string) {
	tx.Bucket(buildingBucket).Put(buildingKey(entity, field), []byte{dropping})
	tx.OnCommit(b.wakeBuilder)
}

func (b *Book) wakeBuilder() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// checkDistinct refuses to make a field unique while two records share a value.
func (b *Book) checkDistinct(tx store.Tx, e *schema.Entity, f *schema.Field) error {
	seen := map[string]bool{}
	for _, raw := range tx.Bucket("record."+e.Name).Scan(nil, nil, false) {
		for _, value := range wholeValues(Record{entity: e, raw: raw}, f) {
			if seen[value] {
				return fault.New(fault.Conflict, "schema.not-unique", "field", f.Name)
			}
			seen[value] = true
		}
	}
	return nil
}

// Serve builds indexes as the schema asks for them, until ctx ends.
func (b *Book) Serve(ctx context.Context) error {
	for {
		if err := b.Build(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-b.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

// Build completes every index that is not whole. It goes on where an earlier one was interrupted.
func (b *Book) Build(ctx context.Context) error {
	for {
		var key []byte
		err := b.db.View(ctx, func(tx store.Tx) error {
			for k := range tx.Bucket(buildingBucket).Scan(nil, nil, false) {
				key = bytes.Clone(k)
				break
			}
			return nil
		})
		if err != nil || key == nil {
			return err
		}
		if err := b.db.Update(ctx, func(tx store.Tx) error { return b.buildStep(tx, key) }); err != nil {
			return err
		}
	}
}

// buildStep does the next batch of the index that key names.
func (b *Book) buildStep(tx store.Tx, key []byte) error {
	building := tx.Bucket(buildingBucket)
	state := building.Get(key)
	entity, field, _ := bytes.Cut(key, []byte{0})
	e := b.schema.At(tx).Entity(string(entity))
	if len(state) == 0 || e == nil {
		building.Delete(key)
		return nil
	}
	if state[0] == dropping {
		if string(field) != everyWord && dropSome(tx.Bucket(indexBucket(e.Name, string(field)))) {
			return nil
		}
		building.Put(key, []byte{writing})
		return nil
	}
	f := e.Field(string(field))
	if string(field) != everyWord && (f == nil || !f.Indexed) {
		building.Delete(key)
		return nil
	}
	var from []byte
	if len(state) > 1 {
		from = append(bytes.Clone(state[1:]), 0)
	}
	var batch []Record
	for id, raw := range tx.Bucket("record."+e.Name).Scan(from, nil, false) {
		batch = append(batch, Record{ID: ID(id), entity: e, raw: slices.Clone(raw)})
		if len(batch) == buildBatch {
			break
		}
	}
	if err := b.buildSome(tx, batch, f); err != nil {
		return err
	}
	if len(batch) < buildBatch {
		building.Delete(key)
		return nil
	}
	building.Put(key, append([]byte{writing}, batch[len(batch)-1].ID[:]...))
	return nil
}

// buildSome writes a field's index of some records, or, without a field, what lookup finds them by.
func (b *Book) buildSome(tx store.Tx, batch []Record, f *schema.Field) error {
	if f == nil {
		return b.describeAll(tx, batch)
	}
	for _, r := range batch {
		bucket := tx.Bucket(indexBucket(r.Entity(), f.Name))
		for _, key := range indexKeys(r, f, b.standing(tx, r).principals()) {
			bucket.Put([]byte(key), nil)
		}
	}
	return nil
}

// describeAll tells lookup of many records of one entity at once.
func (b *Book) describeAll(tx store.Tx, batch []Record) error {
	if len(batch) == 0 || b.describer(tx, batch[0].Entity()) == nil {
		return nil
	}
	docs := make([]search.Doc, 0, len(batch))
	for _, r := range batch {
		which := lookedUp{r.Entity(), r.ID}
		if doc, ok := b.docOf(tx, which); ok {
			docs = append(docs, doc)
		} else if err := search.Delete(tx, which.entity, which.id); err != nil {
			return err
		}
	}
	return search.PutAll(tx, docs)
}

// dropSome empties a bucket by one batch and tells whether there is more.
func dropSome(bucket store.Bucket) (more bool) {
	var keys [][]byte
	for key := range bucket.Scan(nil, nil, false) {
		if len(keys) == dropBatch {
			more = true
			break
		}
		keys = append(keys, bytes.Clone(key))
	}
	for _, key := range keys {
		bucket.Delete(key)
	}
	return more
}

// Rebuild writes every index, count and lookup anew from the records alone: after a migration, or a restore that had
// lost some. It works in batches, and done is told how many records it has been over.
func (b *Book) Rebuild(ctx context.Context, done func(int)) error {
	if err := b.dropDerived(ctx); err != nil {
		return err
	}
	n := 0
	for _, e := range b.schema.Current().Entities() {
		var from []byte
		for {
			var some int
			var next []byte
			err := b.db.Update(ctx, func(tx store.Tx) (err error) {
				some, next, err = b.rebuildSome(tx, e, from, batchAfter(n))
				return err
			})
			if err != nil {
				return err
			}
			if some == 0 {
				break
			}
			from = next
			if n += some; done != nil {
				done(n)
			}
		}
	}
	return nil
}

// batchAfter is how many records one transaction takes after n: the engine splits its pages at the end of a transaction
// only, so that a large one into small indexes costs the square of its size.
func batchAfter(n int) int { return min(max(n/8, buildBatch), 10*buildBatch) }

// rebuildSome writes what follows from the next records of an entity, and says how many they were and where to go on.
func (b *Book) rebuildSome(tx store.Tx, e *schema.Entity, from []byte, most int) (n int, next []byte, err error) {
	var batch []Record
	for id, raw := range tx.Bucket("record."+e.Name).Scan(from, nil, false) {
		batch = append(batch, Record{ID: ID(id), entity: e, raw: slices.Clone(raw)})
		if len(batch) == most {
			break
		}
	}
	for _, r := range batch {
		principals := b.standing(tx, r).principals()
		tally(tx, Record{}, r, nil, principals)
		b.reindex(tx, Record{}, r, nil, principals)
		from = append(slices.Clone(r.ID[:]), 0)
	}
	return len(batch), from, b.describeAll(tx, batch)
}

// dropDerived empties what Rebuild writes.
func (b *Book) dropDerived(ctx context.Context) error {
	var names []string
	err := b.db.View(ctx, func(tx store.Tx) error {
		for _, name := range tx.Buckets() {
			if bytes.HasPrefix([]byte(name), []byte("index.")) || bytes.HasPrefix([]byte(name), []byte("search.")) ||
				name == countsBucket || name == buildingBucket {
				names = append(names, name)
			}
		}
		return nil
	})
	for _, name := range names {
		for more := true; more && err == nil; {
			err = b.db.Update(ctx, func(tx store.Tx) error { more = dropSome(tx.Bucket(name)); return nil })
		}
	}
	return err
}
