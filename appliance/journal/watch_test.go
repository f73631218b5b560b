package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestWatchTellsWhatOneMayHear resumes a watch by number, leaves out others' facts and the names of hidden fields.
func TestWatchTellsWhatOneMayHear(t *testing.T) {
	j := open(t)
	j.tell(t, Fact{Name: "a.made", Entity: "a", ID: "mine"}, Fact{Name: "a.made", Entity: "a", ID: "theirs"},
		Fact{Name: "a.changed", Entity: "a", ID: "mine", Fields: []string{"name", "wage"}},
		Fact{Name: "a.changed", Entity: "a", ID: "mine", Fields: []string{"wage"}})
	heard := func(after uint64) (told []string) {
		t.Helper()
		last, beats := uint64(0), 0
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := j.Watch(ctx, Watcher{After: after, Beat: 20 * time.Millisecond,
			May:    func(_ context.Context, f Fact) (bool, error) { return f.ID == "mine", nil },
			Hidden: func(entity, field string) bool { return entity == "a" && field == "wage" },
			Tell: func(seq uint64, facts []Fact) error {
				if len(facts) == 0 {
					if beats++; beats == 2 {
						return errors.New("enough")
					}
				}
				for _, f := range facts {
					told = append(told, fmt.Sprintf("%d%v", f.Seq, f.Fields))
				}
				last = seq
				if seq == 4 && beats == 0 {
					j.tell(t, Fact{Name: "a.made", Entity: "a", ID: "mine"})
				}
				return nil
			}})
		if err == nil || err.Error() != "enough" {
			t.Errorf("Watch = %v", err)
		}
		if newest, _ := j.Last(t.Context()); last != newest {
			t.Errorf("the watch ends at %d, the journal at %d", last, newest)
		}
		return told
	}
	if got, want := heard(0), []string{"1[]", "3[name]", "5[]"}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	if got, want := heard(3), []string{"5[]"}; !slices.Equal(got, want) {
		t.Errorf("resumed at 3 it is told %q, want %q", got, want)
	}
	if got := heard(1 << 63); len(got) != 0 {
		t.Errorf("resumed beyond the newest it is told %q", got)
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	j := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := j.Watch(ctx, Watcher{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Watch = %v", err)
	}
	j.tell(t, numbered(1)...)
	failed := errors.New("no answer")
	err := j.Watch(t.Context(), Watcher{May: func(context.Context, Fact) (bool, error) { return false, failed }})
	if !errors.Is(err, failed) {
		t.Errorf("Watch = %v", err)
	}
}
