package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/karov-crm/karov/appliance/store"
)

// testBigValues stores values from nothing to megabytes, rewrites them at other sizes, and reads them by both ways.
func testBigValues(t *testing.T, db store.DB) {
	sizes := []int{0, 1, 2047, 4095, 4096, 4097, 65 << 10, 1 << 20, 9 << 20}
	value := func(i, size int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, size) }
	for round := range 2 {
		must(t, db.Update(t.Context(), func(tx store.Tx) error {
			for i := range sizes {
				tx.Bucket("big").Put([]byte{byte(i)}, value(i, sizes[(i+round*4)%len(sizes)]))
			}
			return nil
		}))
		must(t, db.View(t.Context(), func(tx store.Tx) error {
			i := 0
			for k, v := range tx.Bucket("big").Scan(nil, nil, false) {
				want := value(i, sizes[(i+round*4)%len(sizes)])
				if !bytes.Equal(k, []byte{byte(i)}) || !bytes.Equal(v, want) || !bytes.Equal(tx.Bucket("big").Get(k), want) {
					return fmt.Errorf("value %d of %d bytes came back as %d", i, len(want), len(v))
				}
				i++
			}
			if i != len(sizes) {
				return fmt.Errorf("%d values came back", i)
			}
			return nil
		}))
	}
}

// testWindows compares scans of any window with a sorted list: bounds that are there, between, before and behind all.
func testWindows(t *testing.T, db store.DB) {
	rnd := rand.New(rand.NewPCG(3, 4))
	model := []string{"\x00", "\x00\x00", "\x00\xff", "a", "a\x00", "a\xff", "a\xff\xff", "b", "\xff", "\xff\x00", "\xff\xff"}
	for range 300 {
		k := make([]byte, 1+rnd.IntN(3))
		for i := range k {
			k[i] = byte(rnd.IntN(4)) * 85
		}
		model = append(model, string(k))
	}
	slices.Sort(model)
	model = slices.Compact(model)
	for _, k := range model {
		put(t, db, "s", k, "v")
	}
	bound := func() []byte {
		switch rnd.IntN(4) {
		case 0:
			return nil
		case 1:
			return []byte(model[rnd.IntN(len(model))])
		case 2:
			return store.PrefixEnd([]byte(model[rnd.IntN(len(model))]))
		}
		return append([]byte(model[rnd.IntN(len(model))]), byte(rnd.IntN(256)))
	}
	for range 500 {
		from, to := bound(), bound()
		if rnd.IntN(10) == 0 {
			to = slices.Clone(from)
		}
		var wanted []string
		for _, k := range model {
			if k >= string(from) && (to == nil || k < string(to)) {
				wanted = append(wanted, k)
			}
		}
		if got := keys(t, db, from, to, false); !slices.Equal(got, wanted) {
			t.Fatalf("scan %q..%q = %q, want %q", from, to, got, wanted)
		}
		slices.Reverse(wanted)
		if got := keys(t, db, from, to, true); !slices.Equal(got, wanted) {
			t.Fatalf("reverse scan %q..%q = %q, want %q", from, to, got, wanted)
		}
	}
	if got := keys(t, db, []byte{}, []byte{}, false); len(got) != 0 {
		t.Errorf("an empty end, which is no nil, gave %q", got)
	}
}

// testSeesItsOwn reads within an Update what it just wrote, before and after the commit makes pages of it.
func testSeesItsOwn(t *testing.T, db store.DB) {
	put(t, db, "s", "a", "old", "c", "old", "e", "old")
	must(t, db.Update(t.Context(), func(tx store.Tx) error {
		b := tx.Bucket("s")
		b.Put([]byte("a"), []byte("new"))
		b.Put([]byte("b"), []byte("new"))
		b.Delete([]byte("c"))
		b.Delete([]byte("b"))
		b.Put([]byte("d"), []byte("new"))
		tx.Bucket("fresh").Put([]byte("x"), []byte("1"))
		got := b.GetMany([][]byte{[]byte("a"), []byte("b"), []byte("c"), []byte("d"), []byte("e")})
		if string(got[0]) != "new" || got[1] != nil || got[2] != nil || string(got[3]) != "new" || string(got[4]) != "old" {
			return fmt.Errorf("got %q", got)
		}
		for _, backwards := range []bool{false, true} {
			var found []string
			for k, v := range tx.Bucket("s").Scan(nil, nil, backwards) {
				found = append(found, string(k)+string(v))
			}
			if backwards {
				slices.Reverse(found)
			}
			if !slices.Equal(found, []string{"anew", "dnew", "eold"}) {
				return fmt.Errorf("scanned %q", found)
			}
		}
		if names := tx.Buckets(); !slices.Equal(names, []string{"fresh", "s"}) {
			return fmt.Errorf("listed %q", names)
		}
		return nil
	}))
	absent(t, db, "s", "b")
	want(t, db, "fresh", "x", "1")
}

// testScansWithinScans stops some early and nests others, over two buckets and over the same one.
func testScansWithinScans(t *testing.T, db store.DB) {
	for i := range 300 {
		put(t, db, "s", fmt.Sprintf("%03d", i), "")
	}
	must(t, db.View(t.Context(), func(tx store.Tx) error {
		outer := 0
		for k := range tx.Bucket("s").Scan(nil, nil, true) {
			inner := 0
			for other := range tx.Bucket("s").Scan(k, nil, false) {
				if inner++; inner == 1 && !bytes.Equal(other, k) {
					return fmt.Errorf("a scan from %s began with %s", k, other)
				}
				if inner == 3 {
					break
				}
			}
			if outer++; outer > 200 {
				break
			}
			if string(k) != fmt.Sprintf("%03d", 300-outer) {
				return fmt.Errorf("the outer scan came to %s after %d", k, outer)
			}
		}
		for k := range tx.Bucket("s").Scan(nil, nil, false) {
			if string(k) != "000" {
				return fmt.Errorf("a scan after one that stopped began with %s", k)
			}
			break
		}
		return nil
	}))
}

// testPanicInView lets a View's panic through and leaves nothing open that a writer or Close would wait for.
func testPanicInView(t *testing.T, db store.DB) {
	put(t, db, "a", "x", "1")
	func() {
		defer func() {
			if recover() != "ouch" {
				t.Error("the panic did not reach its caller")
			}
		}()
		_ = db.View(t.Context(), func(store.Tx) error { panic("ouch") })
	}()
	wrong := errors.New("wrong")
	if err := db.View(t.Context(), func(store.Tx) error { return wrong }); !errors.Is(err, wrong) {
		t.Errorf("View = %v, want the function's error", err)
	}
	put(t, db, "a", "x", "2")
	want(t, db, "a", "x", "2")
}

// testTooLong refuses keys over the limit, and with them the whole Update.
func testTooLong(t *testing.T, db store.DB) {
	err := db.Update(t.Context(), func(tx store.Tx) error {
		tx.Bucket("a").Put([]byte("good"), nil)
		tx.Bucket("a").Put(bytes.Repeat([]byte{1}, 2*store.MaxKey), nil)
		return nil
	})
	if err == nil {
		t.Error("a key of twice the limit was taken")
	}
	absent(t, db, "a", "good")
}

// testEndedView stops where its caller has gone.
func testEndedView(t *testing.T, db store.DB) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.View(ctx, func(store.Tx) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("View with an ended context = %v", err)
	}
	if _, err := db.Copy(ctx, &bytes.Buffer{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Copy with an ended context = %v", err)
	}
	if err := db.Check(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Check with an ended context = %v", err)
	}
}
