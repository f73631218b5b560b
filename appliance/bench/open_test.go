package bench

import (
	"path/filepath"
	"testing"

	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
	"github.com/karov-crm/karov/appliance/store/bolt/floor"
)

// filled opens a store with a counter.
func filled(t *testing.T) *bolt.DB {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "karov.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// createLike puts what a record's create would: the record, an index key, a key with the id as text, a counter.
func createLike(t *testing.T, w *Writes, id record.ID) error {
	return w.Update(t.Context(), func(tx store.Tx) error {
		tx.Bucket("record.contact").Put(id[:], []byte("record"))
		tx.Bucket("index.contact.name").Put(append([]byte("\x00\x01name\x00"), id[:]...), nil)
		tx.Bucket("journal.contacts").Put([]byte(id.String()+"\x00\x01"), nil)
		tx.Bucket("record.counts").Put([]byte("contact"), []byte("8"))
		return nil
	})
}

func again(t *testing.T, db store.DB, p pattern, id record.ID) (puts []floor.Put) {
	t.Helper()
	if err := db.View(t.Context(), func(tx store.Tx) error { puts = p.again(tx, id); return nil }); err != nil {
		t.Fatal(err)
	}
	return puts
}
