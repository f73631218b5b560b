package search

import (
	"fmt"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/store"
)

// TestBulkIsPutForEach: seconds that come again, records that come twice, are known already or were heard of meanwhile, and
// more of them than go to the cutting at a time.
func TestBulkIsPutForEach(t *testing.T) {
	var docs []Doc
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for n := range 5 * cutSome / 2 {
		doc := Doc{Entity: "contact", ID: [16]byte{14: byte(n >> 8), 15: byte(n)}, Title: fmt.Sprintf("Name Number%d", n%7), Recent: at.Add(time.Duration(n%3) * time.Second)}
		doc.Parts = []Part{{"name", Name, doc.Title, false}, {"phones", Phone, fmt.Sprintf("05012%05d", n), true}}
		docs = append(docs, doc)
	}
	again := docs[3]
	again.Parts = append(again.Parts[:1:1], Part{"city", Text, "Elsewhere", true})
	moved := docs[200]
	moved.Recent = at.Add(time.Hour)
	for _, known := range []int{0, 1, cutSome, len(docs)} {
		each, bulk := open(t), open(t)
		must(t, each.db.Update(t.Context(), func(tx store.Tx) error { return putEach(tx, append(docs[:len(docs):len(docs)], again, moved)) }))
		must(t, bulk.db.Update(t.Context(), func(tx store.Tx) error { return putEach(tx, docs[:known]) }))
		must(t, bulk.db.Update(t.Context(), func(tx store.Tx) error { return PutAll(tx, append(docs[:len(docs):len(docs)], again, moved)) }))
		for _, query := range []string{"Name", "number3", "elsewhere", "0501200100", "00200", "012"} {
			want, err := each.Find(as(t, access.Owner, "o"), query, MaxLimit)
			must(t, err)
			got, err := bulk.Find(as(t, access.Owner, "o"), query, MaxLimit)
			must(t, err)
			if len(want) == 0 || fmt.Sprint(ids(got)) != fmt.Sprint(ids(want)) {
				t.Errorf("%d known, %s: %v, want %v", known, query, ids(got), ids(want))
			}
		}
		must(t, bulk.db.View(t.Context(), func(tx store.Tx) error {
			n := 0
			for range tx.Bucket(recordsBucket).Scan(nil, nil, false) {
				n++
			}
			if n != len(docs) {
				t.Errorf("%d known: %d records, want %d", known, n, len(docs))
			}
			return nil
		}))
	}
}

// ids are the records that hits name.
func ids(hits []Hit) (all []int) {
	for _, h := range hits {
		all = append(all, int(h.ID[14])<<8|int(h.ID[15]))
	}
	return all
}

// TestBulkThatIsDropped leaves nothing behind, neither words nor a goroutine that waits.
func TestBulkThatIsDropped(t *testing.T) {
	o := open(t)
	must(t, o.db.Update(t.Context(), func(tx store.Tx) error {
		b := NewBulk(tx)
		for n := range 2*cutSome + 1 {
			must(t, b.Put(Doc{Entity: "contact", ID: [16]byte{15: byte(n), 14: byte(n >> 8)}, Title: "x", Parts: []Part{{"name", Name, "dropped", false}}}))
		}
		b.Drop()
		b.Drop()
		return nil
	}))
	hits, err := o.Find(as(t, access.Owner, "o"), "dropped", 5)
	must(t, err)
	if len(hits) != 0 {
		t.Errorf("%d of a dropped bulk are found", len(hits))
	}
}
