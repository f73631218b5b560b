package journal

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

// clocked opens a journal whose clock the test moves.
func clocked(t testing.TB) (*Journal, *atomic.Int64) {
	t.Helper()
	j := open(t)
	at := &atomic.Int64{}
	j.now = func() time.Time { return time.UnixMilli(at.Load()).UTC() }
	at.Store(time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC).UnixMilli())
	return j, at
}

func as(id string, t testing.TB) context.Context {
	return access.WithActor(t.Context(), access.Actor{ID: id, Role: access.Agent})
}

func (j *Journal) names(t testing.TB) (names []string) {
	t.Helper()
	must(t, j.Flush(t.Context()))
	facts, err := j.After(t.Context(), 0, 10_000)
	must(t, err)
	for _, f := range facts {
		if !f.Read || f.Card {
			t.Errorf("a note is written as %+v", f)
		}
		names = append(names, fmt.Sprint(f.Actor, " ", f.Name, " ", f.ID, f.About["times"], f.About["results"], f.About["count"]))
	}
	return names
}

func TestTheSameReadingIsNotedOnce(t *testing.T) {
	j, at := clocked(t)
	note := func(actor string, f Fact) { t.Helper(); must(t, j.Note(as(actor, t), f)) }
	for range 3 {
		note("dana", Seen("contact", "1", "1", nil))
		note("dana", Seen("contact", "2", "2", nil))
		note("yossi", Seen("contact", "1", "1", nil))
		note("dana", Opened("message", "1", "1"))
		note("dana", Seen("contact", "1", "1", []string{"diagnosis"})) // it holds more than it did
		at.Add(int64(4 * time.Minute / time.Millisecond))              // 0, 4, 8 minutes: the third is another reading
	}
	first := []string{"dana contact.read 1", "dana contact.read 2", "yossi contact.read 1", "dana message.file-opened 1", "dana contact.read 1"}
	if got, want := j.names(t), append(first, first...); !slices.Equal(got, want) {
		t.Errorf("noted %q, want %q", got, want)
	}
	if good, err := j.Verify(t.Context()); good != 10 || err != nil {
		t.Errorf("Verify = %d, %v", good, err)
	}
}

func TestAClockSetBackSilencesNothing(t *testing.T) {
	j, at := clocked(t)
	must(t, j.Note(as("dana", t), Seen("contact", "1", "1", nil)))
	at.Add(-int64(365 * 24 * time.Hour / time.Millisecond))
	must(t, j.Note(as("dana", t), Seen("contact", "1", "1", nil)))
	if got := j.names(t); len(got) != 2 {
		t.Errorf("noted %q", got)
	}
}

// TestSearchingIsCounted: a letter is a search, and a name is typed within a second.
func TestSearchingIsCounted(t *testing.T) {
	j, _ := clocked(t)
	for n := range 5 {
		must(t, j.Note(as("dana", t), Searched(50-10*n)))
		must(t, j.Note(as("yossi", t), Searched(7)))
	}
	must(t, j.Note(as("dana", t), Listed("contact", []string{"city"}, 3)))
	must(t, j.Note(as("dana", t), Listed("contact", []string{"note"}, 3)))
	for range 2 { // each export is one
		must(t, j.Note(as("dana", t), Exported("contact", []string{"name"}, 9)))
	}
	want := []string{"dana record.searched 510", "yossi record.searched 57", "dana contact.listed 3", "dana contact.listed 3",
		"dana contact.exported 9", "dana contact.exported 9"}
	if got := j.names(t); !slices.Equal(got, want) {
		t.Errorf("noted %q, want %q", got, want)
	}
	must(t, j.Note(as("dana", t), Searched(1)))
	if got := j.names(t); len(got) != 7 {
		t.Errorf("noted %q", got)
	}
}

// TestMemoryOfReadingsIsBounded reads more records than are remembered: none is lost, and memory ends.
func TestMemoryOfReadingsIsBounded(t *testing.T) {
	j, _ := clocked(t)
	for i := range 3 * maxKnown {
		must(t, j.Note(as("dana", t), Seen("contact", fmt.Sprint(i), "", nil)))
	}
	if got := len(j.notes.known[0]) + len(j.notes.known[1]); got > 2*maxKnown {
		t.Errorf("%d readings are remembered", got)
	}
	must(t, j.Flush(t.Context()))
	if last, _ := j.Last(t.Context()); last != 3*maxKnown {
		t.Errorf("%d notes stand, want %d", last, 3*maxKnown)
	}
}

func TestRunWritesNotes(t *testing.T) {
	j := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- j.Run(ctx) }()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 50 {
				if err := j.Note(as("dana", t), Seen("contact", fmt.Sprint(w, "-", i), "", nil)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	must(t, j.Wait(t.Context(), 199))
	must(t, j.Note(as("dana", t), Seen("contact", "the last", "", nil)))
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v", err)
	}
	if last, _ := j.Last(t.Context()); last != 201 {
		t.Errorf("%d notes stand when Run has ended, want 201", last)
	}
}

// refusing is a store that refuses writes while it is told to.
type refusing struct {
	store.DB
	full atomic.Bool
}

func (r *refusing) Update(ctx context.Context, fn func(store.Tx) error) error {
	if r.full.Load() {
		return fault.New(fault.Unavailable, "disk.full")
	}
	return r.DB.Update(ctx, fn)
}

// TestNobodyReadsUnseen fills the queue while the store refuses: then reading fails, and all that was noted stands once
// there is room again.
func TestNobodyReadsUnseen(t *testing.T) {
	db, err := bolt.Open(filepath.Join(t.TempDir(), "karov.db"))
	must(t, err)
	defer db.Close()
	full := &refusing{DB: db}
	full.full.Store(true)
	j := New(full, time.Now)
	noted := 0
	for {
		err := j.Note(as("dana", t), Seen("contact", fmt.Sprint(noted), "", nil))
		if err != nil {
			if fault.KindOf(err) != fault.Unavailable || fault.Of(err).Key != "journal.full" {
				t.Errorf("Note = %v", err)
			}
			break
		}
		if noted++; noted > 2*maxWaiting {
			t.Fatal("notes are taken without end")
		}
	}
	full.full.Store(false)
	must(t, j.Note(as("dana", t), Seen("contact", fmt.Sprint(noted), "", nil)))
	must(t, j.Flush(t.Context()))
	if last, _ := j.Last(t.Context()); last != uint64(noted)+1 || noted != maxWaiting {
		t.Errorf("%d notes stand, want %d", last, noted+1)
	}
	if good, err := j.Verify(t.Context()); good != noted+1 || err != nil {
		t.Errorf("Verify = %d, %v", good, err)
	}
}
