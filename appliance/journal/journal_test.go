package journal

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

func open(t testing.TB) *Journal {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "karov.db"))
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return New(db, func() time.Time { return time.Date(2026, 11, 22, 9, 0, 0, 123456789, time.UTC) })
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (j *Journal) tell(t testing.TB, facts ...Fact) {
	t.Helper()
	ctx := access.WithActor(t.Context(), access.Actor{ID: "dana", Role: access.Owner})
	must(t, j.db.Update(ctx, func(tx store.Tx) error {
		for _, f := range facts {
			if err := j.Append(ctx, tx, f); err != nil {
				return err
			}
		}
		return nil
	}))
}

func numbered(n int) (facts []Fact) {
	for i := range n {
		facts = append(facts, Fact{Name: "thing.happened", Entity: "thing", ID: fmt.Sprint(i), About: map[string]string{"n": fmt.Sprint(i)}})
	}
	return facts
}

func TestFactsStandInOrder(t *testing.T) {
	j := open(t)
	j.tell(t, numbered(5)...)
	facts, err := j.After(t.Context(), 1, 3)
	must(t, err)
	if len(facts) != 3 || facts[0].Seq != 2 || facts[0].Actor != "dana" || facts[0].ID != "1" || facts[1].Prev != facts[0].Hash {
		t.Errorf("After(1, 3) = %+v", facts)
	}
	if last, _ := j.Last(t.Context()); last != 5 {
		t.Errorf("Last = %d", last)
	}
	if good, err := j.Verify(t.Context()); good != 5 || err != nil {
		t.Errorf("Verify = %d, %v", good, err)
	}
	err = j.db.Update(t.Context(), func(tx store.Tx) error {
		if err := j.Append(t.Context(), tx, Fact{Name: "never.true"}); err != nil {
			t.Error(err)
		}
		return errors.New("no")
	})
	if last, _ := j.Last(t.Context()); err == nil || last != 5 {
		t.Errorf("a fact of a failed transaction stands: %d", last)
	}
}

func TestEmptyJournalIsGood(t *testing.T) {
	if good, err := open(t).Verify(t.Context()); good != 0 || err != nil {
		t.Errorf("Verify = %d, %v", good, err)
	}
}

func TestHostileTextKeepsTheChain(t *testing.T) {
	j := open(t)
	j.tell(t, Fact{Name: "x.y", Entity: "a\xffb", ID: "\xc3(", Fields: []string{"\xff", ""}, Contact: "\xfe", About: map[string]string{"k\xff": "v\x00\u2028<&>\xff"}},
		Fact{Name: "x.y", Fields: []string{}, About: map[string]string{}}, Fact{})
	if good, err := j.Verify(t.Context()); good != 3 || err != nil {
		t.Errorf("Verify = %d, %v", good, err)
	}
}

func TestManyWritersMakeOneChain(t *testing.T) {
	j := open(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				j.tell(t, numbered(2)...)
			}
		})
	}
	wg.Wait()
	if good, err := j.Verify(t.Context()); good != 160 || err != nil {
		t.Errorf("Verify = %d, %v", good, err)
	}
}

func TestConcerning(t *testing.T) {
	j := open(t)
	for i := range 6 {
		j.tell(t, Fact{Name: "contact.changed", ID: fmt.Sprint(i), Contact: []string{"a", "b"}[i%2], Card: i != 4})
	}
	read := func(contact string, before uint64, limit int) (ids string) {
		must(t, j.db.View(t.Context(), func(tx store.Tx) error {
			return Concerning(tx, contact, before, func(f Fact) bool { ids += f.ID; return len(ids) < limit })
		}))
		return ids
	}
	for _, c := range []struct {
		contact string
		before  uint64
		limit   int
		want    string
	}{{"a", 0, 9, "20"}, {"b", 0, 9, "531"}, {"b", 6, 9, "31"}, {"b", 0, 2, "53"}, {"b", 1, 9, ""}, {"b", 1<<64 - 1, 9, "531"}, {"c", 0, 9, ""}} {
		if got := read(c.contact, c.before, c.limit); got != c.want {
			t.Errorf("Concerning(%s, %d) = %q, want %q", c.contact, c.before, got, c.want)
		}
	}
}

// TestFollowResumes stops a reader, in the middle of a batch too, and starts it again.
func TestFollowResumes(t *testing.T) {
	j := open(t)
	j.tell(t, numbered(3)...) // before the reader was known: not for it
	seen := make(chan uint64, 100)
	follow := func(fail uint64) (stop func() error) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- j.Follow(ctx, "reader", func(_ context.Context, f Fact) error {
				if f.Seq == fail {
					return errors.New("crash")
				}
				seen <- f.Seq
				return nil
			})
		}()
		return func() error { cancel(); return <-done }
	}
	stop := follow(0)
	for range 200 { // until the reader is known
		var known bool
		must(t, j.db.View(t.Context(), func(tx store.Tx) error { known = tx.Bucket(readersBucket).Get([]byte("reader")) != nil; return nil }))
		if known {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	j.tell(t, numbered(2)...)
	want := func(all ...uint64) {
		t.Helper()
		for _, seq := range all {
			if got := <-seen; got != seq {
				t.Fatalf("the reader sees %d, want %d", got, seq)
			}
		}
	}
	want(4, 5)
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("Follow = %v", err)
	}
	j.tell(t, numbered(2)...)
	crashed := follow(7)
	want(6)
	if err := crashed(); err == nil || err.Error() != "crash" {
		t.Errorf("Follow = %v", err)
	}
	stop = follow(0)
	want(6, 7) // at least once: the batch was not remembered
	j.tell(t, numbered(1)...)
	want(8)
	_ = stop()
	if len(seen) != 0 {
		t.Errorf("the reader sees %d facts too many", len(seen))
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	j := open(t)
	j.tell(t, numbered(1)...)
	must(t, j.Wait(t.Context(), 0))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := j.Wait(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait = %v", err)
	}
}
