package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

const secret = "a word that nobody may read again"

// holding opens a store with n values that hold the secret between others that stay.
func holding(t *testing.T, n int) (*DB, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "karov.db")
	db, err := Open(path)
	check(t, err)
	t.Cleanup(func() { _ = db.Close() })
	for from := 0; from < n; from += 100 {
		check(t, db.Update(t.Context(), func(tx store.Tx) error {
			for i := from; i < from+100; i++ {
				tx.Bucket("stays").Put(fmt.Appendf(nil, "%06d", i), bytes.Repeat([]byte("x"), 500))
				tx.Bucket("goes").Put(fmt.Appendf(nil, "%06d %s", i, secret), bytes.Repeat([]byte(secret), 1+i%300))
			}
			return nil
		}))
	}
	return db, path
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (d *DB) drop(t *testing.T, bucket string) {
	t.Helper()
	check(t, d.Update(t.Context(), func(tx store.Tx) error {
		var keys [][]byte
		for key := range tx.Bucket(bucket).Scan(nil, nil, false) {
			keys = append(keys, bytes.Clone(key))
		}
		for _, key := range keys {
			tx.Bucket(bucket).Delete(key)
		}
		return nil
	}))
}

func found(t *testing.T, path string) int {
	t.Helper()
	raw, err := os.ReadFile(path)
	check(t, err)
	return bytes.Count(raw, []byte(secret))
}

// TestScrubLeavesNothingToRead deletes what holds a secret: the file still shows it, and after Scrub no more. Sizes are
// from a few pages to more than one transaction of Scrub fills.
func TestScrubLeavesNothingToRead(t *testing.T) {
	for _, n := range []int{100, 3000} {
		db, path := holding(t, n)
		db.drop(t, "goes")
		before := db.Size()
		if found(t, path) == 0 {
			t.Fatal("the deleted bytes are gone without Scrub: the test shows nothing")
		}
		var wg sync.WaitGroup
		for w := range 2 { // others write and read meanwhile
			wg.Go(func() {
				for i := range 50 {
					err := db.Update(t.Context(), func(tx store.Tx) error {
						tx.Bucket("stays").Put(fmt.Appendf(nil, "new %d %d", w, i), make([]byte, 700))
						return nil
					})
					err = errors.Join(err, db.View(t.Context(), func(tx store.Tx) error { tx.Bucket("stays").Get([]byte("000001")); return nil }))
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		check(t, db.Scrub(t.Context()))
		wg.Wait()
		if left := found(t, path); left != 0 {
			t.Errorf("%d values: the secret stands in the file %d times after Scrub", n, left)
		}
		check(t, db.Check(t.Context()))
		count := 0
		check(t, db.View(t.Context(), func(tx store.Tx) error {
			for range tx.Bucket("stays").Scan(nil, nil, false) {
				count++
			}
			if names := tx.Buckets(); len(names) != 1 {
				t.Errorf("the store has the buckets %v", names)
			}
			return nil
		}))
		if count != n+100 {
			t.Errorf("%d values stay, want %d", count, n+100)
		}
		if grown := db.Size() - before; grown > 32<<20 {
			t.Errorf("the file grew by %d bytes", grown)
		}
	}
}

// TestScrubAfterItWasKilled begins with what a killed one left behind.
func TestScrubAfterItWasKilled(t *testing.T) {
	db, path := holding(t, 100)
	db.drop(t, "goes")
	check(t, db.Update(t.Context(), func(tx store.Tx) error { tx.Bucket(scrubBucket).Put([]byte("left"), make([]byte, 3000)); return nil }))
	check(t, db.Scrub(t.Context()))
	if found(t, path) != 0 {
		t.Error("the secret stands in the file")
	}
}

// TestScrubWaitsForReaders: a reader who began before the deletion still needs the old pages.
func TestScrubWaitsForReaders(t *testing.T) {
	db, path := holding(t, 100)
	reading, read := make(chan struct{}), make(chan struct{})
	ended := make(chan error)
	go func() {
		ended <- db.View(t.Context(), func(tx store.Tx) error { close(reading); <-read; return nil })
	}()
	<-reading
	db.drop(t, "goes")
	if err := db.scrub(t.Context(), 20*time.Millisecond); fault.KindOf(err) != fault.Unavailable || fault.Of(err).Key != "store.busy" {
		t.Errorf("Scrub beside a reader = %v", err)
	}
	close(read)
	check(t, <-ended)
	check(t, db.Scrub(t.Context()))
	if found(t, path) != 0 {
		t.Error("the secret stands in the file")
	}
}

// TestScrubTakesTheOldFileToo: what a migration kept holds the deleted as well.
func TestScrubTakesTheOldFileToo(t *testing.T) {
	db, path := holding(t, 100)
	check(t, os.WriteFile(path+".format-1", []byte(secret), 0o600))
	db.drop(t, "goes")
	check(t, db.Scrub(t.Context()))
	if _, err := os.Stat(path + ".format-1"); !os.IsNotExist(err) {
		t.Errorf("the old file is still there: %v", err)
	}
}
