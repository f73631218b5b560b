package floor_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
	"github.com/karov-crm/karov/appliance/store/bolt/floor"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func id(n int) []byte { return fmt.Appendf(nil, "id-%013d", n) }

// filled opens a store of 1,000 records with an index by name and one by customer, ten records a customer.
func filled(t *testing.T) *bolt.DB {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "karov.db"))
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	must(t, db.Update(t.Context(), func(tx store.Tx) error {
		for n := range 1000 {
			tx.Bucket("records").Put(id(n), fmt.Appendf(nil, "<%d>", n))
			tx.Bucket("names").Put(append(fmt.Appendf(nil, "name %04d\x00", 999-n), id(n)...), nil)
			tx.Bucket("customers").Put(append(id(n/10), id(n)...), nil)
		}
		return nil
	}))
	return db
}

// TestReads checks that the floor reads what it says, since a floor that reads less would flatter it.
func TestReads(t *testing.T) {
	f := floor.Over(filled(t), 1)
	found, out, err := f.Page("names", []byte("name 0100"), 3, "records", nil)
	if found != 3 || string(out) != "<899><898><897>" || err != nil {
		t.Errorf("page: %d %s %v", found, out, err)
	}
	for customer, want := range map[int]string{7: "<79><78>", 99: "<999><998>"} {
		found, out, err = f.Back("customers", id(customer), 2, "records", nil)
		if found != 2 || string(out) != want || err != nil {
			t.Errorf("back of %d: %d %s %v", customer, found, out, err)
		}
	}
	if found, out, err = f.Back("customers", id(500), 2, "records", nil); found != 0 || err != nil {
		t.Errorf("back of nobody: %d %s %v", found, out, err)
	}
	if out, err = f.Get("records", [][]byte{id(1), id(5)}, nil); string(out) != "<1><5>" || err != nil {
		t.Errorf("get: %s %v", out, err)
	}
	if pairs, _, err := f.Scan("records"); pairs != 1000 || err != nil {
		t.Errorf("scan: %d %v", pairs, err)
	}
	views := [][]floor.Read{{{Bucket: "records", From: id(7)}, {Bucket: "names", From: []byte("name 0100"), Pairs: 2}, {Bucket: "nowhere", From: id(1)}},
		{{Bucket: "records", From: id(3), Pairs: 2}, {Bucket: "records", From: id(3), Pairs: 2, Back: true}, {Bucket: "records", Pairs: 1},
			{Bucket: "records", Pairs: 2, Back: true}, {Bucket: "records", From: id(999), Pairs: 5}, {Bucket: "records", From: []byte("z"), Pairs: 1, Back: true}}}
	if out, err = f.Again(views, nil); string(out) != "<7><3><4><2><1><0><999><998><999><999>" || err != nil {
		t.Errorf("again: %s %v", out, err)
	}
	if _, _, err := f.Page("nowhere", nil, 1, "records", nil); err == nil {
		t.Error("a page of nothing was read")
	}
}

func TestWritesAreDurableAndUndone(t *testing.T) {
	db := filled(t)
	f := floor.Over(db, 8)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for n := range 20 {
				if err := f.Write([]floor.Put{{Bucket: "records", Key: id(5000 + w*100 + n), Value: []byte("x"), New: true},
					{Bucket: "records", Key: id(1), Value: []byte("<1>")}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	must(t, f.WriteAlone([]floor.Put{{Bucket: "names", Key: id(1), New: true}}))
	count := func(want int) {
		t.Helper()
		pairs, _, err := f.Scan("records")
		if pairs != want || err != nil {
			t.Errorf("%d records, want %d: %v", pairs, want, err)
		}
	}
	count(1160)
	must(t, f.Undo())
	count(1000)
	if found, out, _ := f.Page("names", []byte("name 0998"), 5, "records", nil); found != 2 || string(out) != "<1><0>" {
		t.Errorf("after Undo: %d %s", found, out)
	}
	must(t, db.Check(t.Context()))
}
