// Package storetest is the suite that every engine of the store passes. An engine's own test calls Run with a function
// that opens it; what the suite checks is what store's doc comments promise, and nothing an engine does beyond that.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

// Opener opens the store that lies in dir, making it where there is none.
type Opener func(dir string) (store.DB, error)

// Run runs the whole suite.
func Run(t *testing.T, open Opener) {
	cases := map[string]func(*testing.T, store.DB){
		"PutGetDelete":        testPutGetDelete,
		"Scan":                testScan,
		"PrefixEnd":           testPrefixEnd,
		"ErrorRollsBack":      testErrorRollsBack,
		"PanicRollsBack":      testPanicRollsBack,
		"ViewRefusesWrites":   testViewRefusesWrites,
		"BadKeysFail":         testBadKeysFail,
		"ViewSeesOneMoment":   testViewSeesOneMoment,
		"OnCommit":            testOnCommit,
		"Counter":             testCounter,
		"FailuresAmongOthers": testFailuresAmongOthers,
		"CancelledContext":    testCancelledContext,
		"ValuesAreCopied":     testValuesAreCopied,
		"Buckets":             testBuckets,
		"BigValues":           testBigValues,
		"Windows":             testWindows,
		"SeesItsOwn":          testSeesItsOwn,
		"ScansWithinScans":    testScansWithinScans,
		"PanicInView":         testPanicInView,
		"TooLong":             testTooLong,
		"EndedView":           testEndedView,
		"ContextEnds":         testContextEndsWhileWaiting,
		"OnCommitOrder":       testOnCommitOrder,
		"Check":               func(t *testing.T, db store.DB) { must(t, db.Check(t.Context())) },
	}
	for name, run := range cases {
		t.Run(name, func(t *testing.T) {
			db, err := open(t.TempDir())
			must(t, err)
			defer func() { must(t, db.Close()) }()
			run(t, db)
			must(t, db.Check(t.Context()))
		})
	}
	t.Run("Reopen", func(t *testing.T) { testReopen(t, open) })
	t.Run("Model", func(t *testing.T) { testModel(t, open) })
	t.Run("CopyWhileWriting", func(t *testing.T) { testCopyWhileWriting(t, open) })
	t.Run("CloseAmongWriters", func(t *testing.T) { testCloseAmongWriters(t, open) })
	t.Run("Prepare", func(t *testing.T) { testPrepare(t, open) })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, db store.DB, bucket string, pairs ...string) {
	t.Helper()
	must(t, db.Update(t.Context(), func(tx store.Tx) error {
		for i := 0; i+1 < len(pairs); i += 2 {
			tx.Bucket(bucket).Put([]byte(pairs[i]), []byte(pairs[i+1]))
		}
		return nil
	}))
}

func get(t *testing.T, db store.DB, bucket, key string) (value string, ok bool) {
	t.Helper()
	must(t, db.View(t.Context(), func(tx store.Tx) error {
		v := tx.Bucket(bucket).Get([]byte(key))
		value, ok = string(v), v != nil
		return nil
	}))
	return value, ok
}

func want(t *testing.T, db store.DB, bucket, key, value string) {
	t.Helper()
	if got, ok := get(t, db, bucket, key); !ok || got != value {
		t.Fatalf("%s/%s = %q, %v; want %q", bucket, key, got, ok, value)
	}
}

func absent(t *testing.T, db store.DB, bucket, key string) {
	t.Helper()
	if got, ok := get(t, db, bucket, key); ok {
		t.Fatalf("%s/%s = %q, want nothing", bucket, key, got)
	}
}

func testPutGetDelete(t *testing.T, db store.DB) {
	absent(t, db, "a", "x")
	put(t, db, "a", "x", "1", "empty", "")
	want(t, db, "a", "x", "1")
	want(t, db, "a", "empty", "")
	absent(t, db, "b", "x")
	must(t, db.Update(t.Context(), func(tx store.Tx) error {
		b := tx.Bucket("a")
		b.Delete([]byte("x"))
		b.Delete([]byte("never"))
		tx.Bucket("nowhere").Delete([]byte("x"))
		if got := b.GetMany([][]byte{[]byte("x"), []byte("empty")}); got[0] != nil || got[1] == nil {
			return fmt.Errorf("got many %q", got)
		}
		return nil
	}))
	absent(t, db, "a", "x")
	long := bytes.Repeat([]byte{7}, store.MaxKey)
	put(t, db, "a", string(long), "long")
	want(t, db, "a", string(long), "long")
}

func keys(t *testing.T, db store.DB, from, to []byte, reverse bool) (found []string) {
	t.Helper()
	must(t, db.View(t.Context(), func(tx store.Tx) error {
		for k := range tx.Bucket("s").Scan(from, to, reverse) {
			found = append(found, string(k))
		}
		return nil
	}))
	return found
}

func testScan(t *testing.T, db store.DB) {
	put(t, db, "s", "b", "", "a", "", "d", "", "c", "")
	for _, c := range []struct {
		from, to string
		want     []string
	}{
		{"", "", []string{"a", "b", "c", "d"}},
		{"b", "", []string{"b", "c", "d"}},
		{"b", "d", []string{"b", "c"}},
		{"bb", "cc", []string{"c"}},
		{"", "a", nil},
		{"e", "", nil},
		{"", "zz", []string{"a", "b", "c", "d"}},
		{"c", "b", nil},
	} {
		from, to := []byte(c.from), []byte(c.to)
		if c.from == "" {
			from = nil
		}
		if c.to == "" {
			to = nil
		}
		if got := keys(t, db, from, to, false); !slices.Equal(got, c.want) {
			t.Errorf("scan %q..%q = %q, want %q", c.from, c.to, got, c.want)
		}
		backwards := slices.Clone(c.want)
		slices.Reverse(backwards)
		if got := keys(t, db, from, to, true); !slices.Equal(got, backwards) {
			t.Errorf("reverse scan %q..%q = %q, want %q", c.from, c.to, got, backwards)
		}
	}
}

func testPrefixEnd(t *testing.T, db store.DB) {
	put(t, db, "s", "a", "", "ab", "", "abc", "", "ac", "", "a\xff", "", "a\xff\xff", "", "b", "")
	for prefix, wanted := range map[string][]string{"ab": {"ab", "abc"}, "a\xff": {"a\xff", "a\xff\xff"}, "\xff": nil} {
		if got := keys(t, db, []byte(prefix), store.PrefixEnd([]byte(prefix)), false); !slices.Equal(got, wanted) {
			t.Errorf("prefix %q = %q, want %q", prefix, got, wanted)
		}
	}
}

func testErrorRollsBack(t *testing.T, db store.DB) {
	put(t, db, "a", "x", "1")
	wrong := errors.New("wrong")
	err := db.Update(t.Context(), func(tx store.Tx) error {
		tx.Bucket("a").Put([]byte("x"), []byte("2"))
		tx.Bucket("new").Put([]byte("y"), []byte("2"))
		return wrong
	})
	if !errors.Is(err, wrong) {
		t.Fatalf("Update = %v, want the function's error", err)
	}
	want(t, db, "a", "x", "1")
	absent(t, db, "new", "y")
}

func testPanicRollsBack(t *testing.T, db store.DB) {
	func() {
		defer func() {
			if recover() != "ouch" {
				t.Error("the panic did not reach its caller")
			}
		}()
		_ = db.Update(t.Context(), func(tx store.Tx) error {
			tx.Bucket("a").Put([]byte("x"), nil)
			panic("ouch")
		})
	}()
	absent(t, db, "a", "x")
	put(t, db, "a", "still", "works")
}

func testViewRefusesWrites(t *testing.T, db store.DB) {
	put(t, db, "a", "x", "1")
	for name, write := range map[string]func(store.Bucket){
		"put":    func(b store.Bucket) { b.Put([]byte("x"), []byte("2")) },
		"delete": func(b store.Bucket) { b.Delete([]byte("x")) },
	} {
		err := db.View(t.Context(), func(tx store.Tx) error { write(tx.Bucket("a")); return nil })
		if err == nil {
			t.Errorf("%s in a View was not refused", name)
		}
	}
	want(t, db, "a", "x", "1")
}

func testBadKeysFail(t *testing.T, db store.DB) {
	err := db.Update(t.Context(), func(tx store.Tx) error {
		tx.Bucket("a").Put([]byte("good"), nil)
		tx.Bucket("a").Put(nil, []byte("x"))
		return nil
	})
	if err == nil {
		t.Error("an empty key was taken")
	}
	absent(t, db, "a", "good")
}

func testViewSeesOneMoment(t *testing.T, db store.DB) {
	put(t, db, "a", "x", "1")
	must(t, db.View(t.Context(), func(tx store.Tx) error {
		written := make(chan error)
		go func() {
			written <- db.Update(context.WithoutCancel(t.Context()), func(tx store.Tx) error {
				tx.Bucket("a").Put([]byte("x"), []byte("2"))
				return nil
			})
		}()
		if err := <-written; err != nil {
			return err
		}
		if got := string(tx.Bucket("a").Get([]byte("x"))); got != "1" {
			return fmt.Errorf("a View saw %q that was written after it began", got)
		}
		return nil
	}))
	want(t, db, "a", "x", "2")
}

func testOnCommit(t *testing.T, db store.DB) {
	calls := 0
	must(t, db.Update(t.Context(), func(tx store.Tx) error {
		tx.Bucket("a").Put([]byte("x"), []byte("1"))
		tx.OnCommit(func() { calls++; want(t, db, "a", "x", "1") })
		return nil
	}))
	_ = db.Update(t.Context(), func(tx store.Tx) error {
		tx.OnCommit(func() { t.Error("OnCommit ran for a failed Update") })
		return errors.New("no")
	})
	if calls != 1 {
		t.Errorf("OnCommit ran %d times, want once", calls)
	}
}

// testCounter would lose counts if concurrent Updates did not see each other.
func testCounter(t *testing.T, db store.DB) {
	const writers, rounds = 16, 25
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range rounds {
				if err := db.Update(t.Context(), func(tx store.Tx) error {
					b := tx.Bucket("n")
					var n int
					_, _ = fmt.Sscan(string(b.Get([]byte("n"))), &n)
					b.Put([]byte("n"), fmt.Append(nil, n+1))
					return nil
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	want(t, db, "n", "n", fmt.Sprint(writers*rounds))
}

// testFailuresAmongOthers lets failing, panicking and good Updates meet in shared commits.
func testFailuresAmongOthers(t *testing.T, db store.DB) {
	wrong := errors.New("wrong")
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			defer func() {
				if p := recover(); (p != nil) != (i%3 == 2) {
					t.Errorf("writer %d: panic %v", i, p)
				}
			}()
			err := db.Update(t.Context(), func(tx store.Tx) error {
				tx.Bucket("f").Put(fmt.Appendf(nil, "%02d", i), []byte("x"))
				switch i % 3 {
				case 1:
					return wrong
				case 2:
					panic("ouch")
				}
				return nil
			})
			if (i%3 == 1) != errors.Is(err, wrong) {
				t.Errorf("writer %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	for i := range 60 {
		if _, ok := get(t, db, "f", fmt.Sprintf("%02d", i)); ok != (i%3 == 0) {
			t.Errorf("writer %d: stored %v", i, ok)
		}
	}
}

func testCancelledContext(t *testing.T, db store.DB) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.Update(ctx, func(tx store.Tx) error { tx.Bucket("a").Put([]byte("x"), nil); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Update with an ended context = %v", err)
	}
	absent(t, db, "a", "x")
}

func testValuesAreCopied(t *testing.T, db store.DB) {
	key, value := []byte("key"), []byte("value")
	must(t, db.Update(t.Context(), func(tx store.Tx) error {
		tx.Bucket("a").Put(key, value)
		copy(key, "xxx")
		copy(value, "xxxxx")
		return nil
	}))
	want(t, db, "a", "key", "value")
}

func testBuckets(t *testing.T, db store.DB) {
	put(t, db, "b", "x", "1")
	put(t, db, "a", "x", "1")
	put(t, db, "gone", "x", "1")
	must(t, db.Update(t.Context(), func(tx store.Tx) error { tx.Bucket("gone").Delete([]byte("x")); return nil }))
	must(t, db.View(t.Context(), func(tx store.Tx) error {
		if got := tx.Buckets(); !slices.Equal(got, []string{"a", "b"}) {
			return fmt.Errorf("listed buckets %q", got)
		}
		return nil
	}))
}

func testReopen(t *testing.T, open Opener) {
	dir := t.TempDir()
	db, err := open(dir)
	must(t, err)
	put(t, db, "a", "x", "1")
	var copied bytes.Buffer
	if n, err := db.Copy(t.Context(), &copied); err != nil || n != int64(copied.Len()) || n == 0 {
		t.Errorf("Copy = %d, %v; wrote %d", n, err, copied.Len())
	}
	must(t, db.Close())
	must(t, db.Close())
	db, err = open(dir)
	must(t, err)
	want(t, db, "a", "x", "1")
	if db.Size() == 0 {
		t.Error("Size = 0")
	}
	must(t, db.Close())
}

// testModel runs random transactions beside a map and compares all of it after each reopening.
func testModel(t *testing.T, open Opener) {
	rnd := rand.New(rand.NewPCG(1, 2))
	dir, model := t.TempDir(), map[string]string{}
	for range 5 {
		db, err := open(dir)
		must(t, err)
		for range 60 {
			next, fail := cloned(model), rnd.IntN(5) == 0
			ops := make([][2]string, rnd.IntN(20))
			for i := range ops {
				ops[i] = [2]string{fmt.Sprint(rnd.IntN(200)), fmt.Sprint(rnd.Int())}
			}
			err := db.Update(t.Context(), func(tx store.Tx) error {
				for i, op := range ops {
					if i%4 == 3 {
						tx.Bucket("s").Delete([]byte(op[0]))
					} else {
						tx.Bucket("s").Put([]byte(op[0]), []byte(op[1]))
					}
				}
				if fail {
					return errors.New("fail")
				}
				return nil
			})
			if fail != (err != nil) {
				t.Fatal(err)
			}
			if fail {
				continue
			}
			for i, op := range ops {
				if i%4 == 3 {
					delete(next, op[0])
				} else {
					next[op[0]] = op[1]
				}
			}
			model = next
		}
		if got := keys(t, db, nil, nil, false); len(got) != len(model) || !slices.IsSorted(got) {
			t.Fatalf("%d keys in the store, %d in the model", len(got), len(model))
		}
		for k, v := range model {
			want(t, db, "s", k, v)
		}
		must(t, db.Close())
	}
}

func cloned(m map[string]string) map[string]string {
	c := make(map[string]string, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

func testPrepare(t *testing.T, open Opener) {
	db, err := open(t.TempDir())
	must(t, err)
	defer db.Close()
	must(t, store.Prepare(t.Context(), db, nil))
	name := identity(t, db)
	add := func(key string) store.Migration {
		return func(ctx context.Context, db store.DB, progress store.Progress) error {
			progress(1, 2)
			return db.Update(ctx, func(tx store.Tx) error { tx.Bucket("m").Put([]byte(key), nil); return nil })
		}
	}
	failing := func(context.Context, store.DB, store.Progress) error { return errors.New("cannot") }
	var heard []string
	must(t, store.Migrate(t.Context(), db, []store.Migration{add("1"), add("2")}, func(format int, done, of int64) {
		heard = append(heard, fmt.Sprint(format, done, of))
	}))
	if !slices.Equal(heard, []string{"2 1 2", "3 1 2"}) {
		t.Errorf("heard of the migration: %q", heard)
	}
	must(t, store.Prepare(t.Context(), db, []store.Migration{failing, failing}))
	want(t, db, "m", "1", "")
	want(t, db, "m", "2", "")
	if got := identity(t, db); got != name || len(got) != 32 {
		t.Errorf("the store was %q and is %q", name, got)
	}
	if err := store.Prepare(t.Context(), db, nil); fault.Of(err).Key != "store.too-new" {
		t.Fatalf("an older program opened newer data: %v", err)
	}
	third := []store.Migration{failing, failing, failing}
	if err := store.Prepare(t.Context(), db, third); err == nil {
		t.Fatal("a failed migration was taken for done")
	}
	if err := store.Prepare(t.Context(), db, third); fault.Of(err).Key != "store.damaged" {
		t.Fatalf("data that a migration left half done was opened: %v", err)
	}
}

func identity(t *testing.T, db store.DB) (name string) {
	t.Helper()
	must(t, db.View(t.Context(), func(tx store.Tx) error { name = store.Identity(tx); return nil }))
	return name
}
