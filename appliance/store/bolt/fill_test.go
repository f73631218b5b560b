package bolt

import (
	"encoding/binary"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/karov-crm/karov/appliance/store"
)

// TestPagesAreFilled: a bucket whose keys come in order must not stay half empty, and one whose keys come in any order must
// not fall into crumbs.
func TestPagesAreFilled(t *testing.T) {
	d, err := Open(filepath.Join(t.TempDir(), "karov.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	chance := rand.New(rand.NewPCG(1, 2))
	key, n := make([]byte, 40), uint64(0)
	for range 30 {
		err := d.Update(t.Context(), func(tx store.Tx) error {
			for range 500 {
				n++
				binary.BigEndian.PutUint64(key, n)
				tx.Bucket("ordered").Put(key, nil)
				binary.BigEndian.PutUint64(key, chance.Uint64())
				tx.Bucket("random").Put(key, nil)
				binary.BigEndian.PutUint64(key, n%3) // as a counter beside what is appended
				tx.Bucket("ordered").Put(key[:8], nil)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]float64{"ordered": 0.8, "random": 0.6} {
		err := d.bolt.View(func(tx *bbolt.Tx) error {
			s := tx.Bucket([]byte(name)).Stats()
			if used := float64(s.LeafInuse) / float64(s.LeafAlloc); used < want {
				t.Errorf("the pages of keys that come %s are filled to %.2f, want %.2f at least", name, used, want)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
