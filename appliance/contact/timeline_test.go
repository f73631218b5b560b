package contact

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/record"
)

// TestTimelineMeetsEachEntryOnce pages over records and facts whose clock jumps back and forth, while more come.
func TestTimelineMeetsEachEntryOnce(t *testing.T) {
	o, ctx := open(t), as(t, access.Owner)
	dana := o.create(record.Values{"name": "Dana"})
	other := o.create(record.Values{"name": "Other"})
	want := map[string]bool{"contact.created": true}
	for i := range 30 {
		o.at = o.at.Add(time.Duration(i*37%11-4) * time.Second)
		_, err := o.book.Create(ctx, "conversation", record.Values{"contact": dana.ID, "about": fmt.Sprint(i)})
		must(t, err)
		_, err = o.book.Create(ctx, "conversation", record.Values{"contact": other.ID, "about": "not hers"})
		must(t, err)
		want[fmt.Sprint(i)] = true
		if i%3 == 0 {
			dana, err = o.Change(ctx, dana.ID, dana.Version, record.Values{"note": fmt.Sprint(i)})
			must(t, err)
			want[fmt.Sprint("contact.changed ", dana.Version)] = true
		}
	}
	for _, limit := range []int{1, 2, 7, 100} {
		met, cursor, version := map[string]int{}, "", dana.Version
		for pages := 0; pages < 200; pages++ {
			entries, next, err := o.Timeline(ctx, dana.ID, cursor, limit)
			must(t, err)
			if len(entries) > limit {
				t.Errorf("%d entries on a page of %d", len(entries), limit)
			}
			for _, e := range entries {
				switch {
				case e.Record.Exists():
					met[e.Record.Text("about")]++
				case e.Fact.Name == "contact.changed":
					met[fmt.Sprint("contact.changed ", version)]++
					version--
				default:
					met[e.Fact.Name]++
				}
			}
			if cursor = next; cursor == "" {
				break
			}
			_, err = o.book.Create(ctx, "conversation", record.Values{"contact": dana.ID, "about": "later"})
			must(t, err)
		}
		for what := range want {
			if met[what] != 1 {
				t.Errorf("pages of %d meet %q %d times", limit, what, met[what])
			}
		}
		if met["not hers"] != 0 {
			t.Error("another's conversation stands on the timeline")
		}
	}
}

func TestTimelineIsNewestFirst(t *testing.T) {
	o, ctx := open(t), as(t, access.Owner)
	dana := o.create(record.Values{"name": "Dana"})
	for range 5 {
		o.at = o.at.Add(time.Minute)
		_, err := o.book.Create(ctx, "conversation", record.Values{"contact": dana.ID})
		must(t, err)
		o.at = o.at.Add(time.Minute)
		dana, err = o.Change(ctx, dana.ID, dana.Version, record.Values{"note": o.at.String()})
		must(t, err)
	}
	entries, next, err := o.Timeline(ctx, dana.ID, "", 50)
	must(t, err)
	if len(entries) != 11 || next != "" {
		t.Fatalf("%d entries, next %q", len(entries), next)
	}
	for i := 1; i < len(entries); i++ {
		if entries[i].At.After(entries[i-1].At) || entries[i].Record.Exists() == entries[i-1].Record.Exists() {
			t.Errorf("entry %d is out of order", i)
		}
	}
}

func TestTimelineOfAnotherIsNotFound(t *testing.T) {
	o := open(t)
	theirs := o.create(record.Values{"name": "x", "owner": "yossi"})
	_, _, err := o.Timeline(as(t, access.Agent, "dana"), theirs.ID, "", 10)
	wantKind(t, "timeline of another's customer", err, "not-found")
	_, _, err = o.Timeline(t.Context(), theirs.ID, "", 10)
	wantKind(t, "timeline for nobody", err, "unauthenticated")
	_, _, err = o.Timeline(as(t, access.Owner), record.NewID(), "", 10)
	wantKind(t, "timeline of nobody", err, "not-found")
	if entries, _, err := o.Timeline(as(t, access.Agent, "yossi"), theirs.ID, "", 10); err != nil || len(entries) != 1 {
		t.Errorf("own timeline: %d entries, %v", len(entries), err)
	}
}

// FuzzTimelineCursor reads a timeline from any cursor: it is refused as Invalid, or shows this customer's only.
func FuzzTimelineCursor(f *testing.F) {
	o, ctx := open(f), as(f, access.Owner)
	dana, other := o.create(record.Values{"name": "Dana"}), o.create(record.Values{"name": "Other"})
	for _, id := range []ID{dana.ID, other.ID, dana.ID} {
		_, err := o.book.Create(ctx, "conversation", record.Values{"contact": id})
		must(f, err)
	}
	_, next, err := o.Timeline(ctx, dana.ID, "", 1)
	must(f, err)
	f.Add(next)
	for _, s := range []string{"null", "{}", `{"r":null,"f":18446744073709551615}`, `{"f":-1}`, `{"r":{"conversation":"x"}}`,
		`{"r":{"conversation":"` + other.ID.String() + `"}}`, strings.Repeat("[", 3000)} {
		f.Add(base64.RawURLEncoding.EncodeToString([]byte(s)))
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		entries, _, err := o.Timeline(as(t, access.Owner), dana.ID, cursor, 10)
		if err != nil {
			wantKind(t, "timeline", err, "invalid")
		}
		for _, e := range entries {
			if e.Record.Exists() && e.Record.Link("contact") != dana.ID || e.Fact.Contact == other.ID.String() {
				t.Fatalf("cursor %q shows another's entry", cursor)
			}
		}
	})
}
