package storetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

// held starts an Update that stays in its function until let is called.
func held(t *testing.T, db store.DB) (let func()) {
	t.Helper()
	in, out, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	var once sync.Once
	go func() {
		done <- db.Update(t.Context(), func(tx store.Tx) error {
			once.Do(func() { close(in) })
			<-out
			tx.Bucket("a").Put([]byte("held"), nil)
			return nil
		})
	}()
	<-in
	return func() {
		close(out)
		must(t, <-done)
	}
}

// testContextEndsWhileWaiting: who gives up waiting for his turn is told at once, and his function never runs.
func testContextEndsWhileWaiting(t *testing.T, db store.DB) {
	let := held(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	given, other := make(chan error), make(chan error)
	go func() {
		given <- db.Update(ctx, func(tx store.Tx) error { tx.Bucket("a").Put([]byte("given up"), nil); return nil })
	}()
	go func() {
		other <- db.Update(t.Context(), func(tx store.Tx) error { tx.Bucket("a").Put([]byte("patient"), nil); return nil })
	}()
	cancel()
	if err := <-given; !errors.Is(err, context.Canceled) { // while the other still holds the pen
		t.Errorf("the one who gave up got %v", err)
	}
	let()
	must(t, <-other)
	absent(t, db, "a", "given up")
	want(t, db, "a", "patient", "")
	want(t, db, "a", "held", "")
}

// testOnCommitOrder calls an Update's functions in their order, once, also where it ran again because another failed.
func testOnCommitOrder(t *testing.T, db store.DB) {
	let := held(t, db)
	var mu sync.Mutex
	calls := map[int][]int{}
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			err := db.Update(t.Context(), func(tx store.Tx) error {
				for n := range 3 {
					tx.OnCommit(func() {
						mu.Lock()
						calls[i] = append(calls[i], n)
						mu.Unlock()
					})
				}
				tx.Bucket("a").Put(fmt.Appendf(nil, "%d", i), nil)
				if i%10 == 0 {
					return errors.New("no")
				}
				return nil
			})
			if (i%10 == 0) != (err != nil) {
				t.Errorf("writer %d: %v", i, err)
			}
		})
	}
	let()
	wg.Wait()
	for i := range 40 {
		wanted := []int{0, 1, 2}
		if i%10 == 0 {
			wanted = nil
		}
		if !slices.Equal(calls[i], wanted) {
			t.Errorf("writer %d: calls %v, want %v", i, calls[i], wanted)
		}
	}
	// It is outside the transaction: it may read and write.
	must(t, db.Update(t.Context(), func(tx store.Tx) error {
		tx.OnCommit(func() { put(t, db, "a", "then", "1") })
		return nil
	}))
	want(t, db, "a", "then", "1")
}

// pairs writes two counters that are equal at any moment, until the context ends.
func pairs(ctx context.Context, t *testing.T, db store.DB, wg *sync.WaitGroup) {
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				err := db.Update(t.Context(), func(tx store.Tx) error {
					value := fmt.Appendf(nil, "%d", i)
					tx.Bucket("left").Put(fmt.Appendf(nil, "%d", w), value)
					tx.Bucket("fill").Put(fmt.Appendf(nil, "%d %d", w, i%500), make([]byte, i%3000))
					tx.Bucket("right").Put(fmt.Appendf(nil, "%d", w), value)
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
}

// testCopyWhileWriting opens copies that were made while four wrote: each shows one moment, and is sound.
func testCopyWhileWriting(t *testing.T, open Opener) {
	dir := t.TempDir()
	db, err := open(dir)
	must(t, err)
	defer func() { must(t, db.Close()) }()
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) != 1 {
		t.Fatalf("the store is in %d files: this test has to learn where a copy goes", len(entries))
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	pairs(ctx, t, db, &wg)
	for range 5 {
		other := t.TempDir()
		f, err := os.Create(filepath.Join(other, entries[0].Name()))
		must(t, err)
		_, err = db.Copy(t.Context(), f)
		must(t, errors.Join(err, f.Close()))
		must(t, db.Check(t.Context())) // which the writers must not confuse
		copied, err := open(other)
		must(t, err)
		must(t, copied.Check(t.Context()))
		must(t, copied.View(t.Context(), func(tx store.Tx) error {
			for k, v := range tx.Bucket("left").Scan(nil, nil, false) {
				if right := tx.Bucket("right").Get(k); string(right) != string(v) {
					return fmt.Errorf("the copy mixes two moments: %s and %s", v, right)
				}
			}
			return nil
		}))
		must(t, copied.Close())
	}
	stop()
	wg.Wait()
}

// testCloseAmongWriters closes while many write: whoever was told that his change is durable finds it again, the others
// are told that the store is closed.
func testCloseAmongWriters(t *testing.T, open Opener) {
	dir := t.TempDir()
	db, err := open(dir)
	must(t, err)
	var wg sync.WaitGroup
	var kept sync.Map
	var written atomic.Int64
	closing := make(chan struct{})
	for w := range 16 {
		wg.Go(func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("%d-%d", w, i)
				err := db.Update(t.Context(), func(tx store.Tx) error { tx.Bucket("a").Put([]byte(key), nil); return nil })
				if err != nil {
					if fault.KindOf(err) != fault.Unavailable {
						t.Errorf("a writer of a closed store got %v", err)
					}
					return
				}
				kept.Store(key, true)
				if written.Add(1) == 100 {
					close(closing)
				}
			}
		})
	}
	<-closing
	must(t, db.Close())
	wg.Wait()
	db, err = open(dir)
	must(t, err)
	kept.Range(func(key, _ any) bool { want(t, db, "a", key.(string), ""); return true })
	must(t, db.Close())
}
