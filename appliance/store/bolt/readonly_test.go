package bolt

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

// TestLookChangesNothing reads a file that is open to nobody else, tries to write, and compares every byte.
func TestLookChangesNothing(t *testing.T) {
	db, path := holding(t, 100)
	if err := Look(path, func(store.DB) error { return nil }); fault.Of(err).Key != "store.in-use" {
		t.Errorf("look at a file that is in use: %v", err)
	}
	check(t, db.Close())
	before, err := os.ReadFile(path)
	check(t, err)
	check(t, os.Chmod(path, 0o400))
	n := 0
	err = Look(path, func(db store.DB) error {
		if err := db.Update(t.Context(), func(tx store.Tx) error { tx.Bucket("x").Put([]byte("k"), nil); return nil }); err == nil {
			t.Error("a write was taken")
		}
		return db.View(t.Context(), func(tx store.Tx) error {
			for range tx.Bucket("stays").Scan(nil, nil, false) {
				n++
			}
			return nil
		})
	})
	check(t, err)
	after, err := os.ReadFile(path)
	check(t, err)
	if n != 100 || !bytes.Equal(before, after) {
		t.Errorf("%d values read; the file is the same: %v", n, bytes.Equal(before, after))
	}
}

func TestLookAtWhatIsNoStore(t *testing.T) {
	dir := t.TempDir()
	if err := Look(filepath.Join(dir, "none"), nil); fault.KindOf(err) != fault.NotFound {
		t.Errorf("look at nothing: %v", err)
	}
	db, path := holding(t, 100)
	check(t, db.Close())
	whole, err := os.ReadFile(path)
	check(t, err)
	for what, raw := range map[string][]byte{"text": bytes.Repeat([]byte("no store "), 4096), "empty": nil, "cut": whole[:len(whole)/2/4096*4096],
		"torn": append(bytes.Clone(whole[:3*4096]), bytes.Repeat([]byte{0xff}, len(whole)-3*4096)...)} {
		bad := filepath.Join(dir, what)
		check(t, os.WriteFile(bad, raw, 0o600))
		err := Look(bad, func(db store.DB) error {
			return db.View(t.Context(), func(tx store.Tx) error {
				for range tx.Bucket("stays").Scan(nil, nil, false) {
				}
				return nil
			})
		})
		if err == nil && what != "cut" {
			t.Errorf("%s: nothing is said", what)
		}
	}
}
