package record

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/store"
)

// TestBinIsPagedByRights pages the bin as those who may restore everything, own things, and nothing.
func TestBinIsPagedByRights(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	s.role("keeper", []access.Grant{{Entity: "*", Verb: "*", Scope: access.Own}})
	s.role("seer", []access.Grant{{Entity: "*", Verb: access.See, Scope: access.All}})
	ids := s.things(11)
	var deleted []ID
	for i, id := range ids {
		if i%3 == 0 {
			continue
		}
		must(t, s.Delete(as(t, access.Owner, fmt.Sprint("by", i)), "thing", id, 1))
		deleted = append(deleted, id)
	}
	part, err := s.Create(owner, "part", Values{"of": ids[0], "name": "p"})
	must(t, err)
	must(t, s.Delete(owner, "part", part.ID, 1))
	for _, c := range []struct {
		who  string
		want []ID
	}{
		{"owner", deleted},
		{"dana", slices.DeleteFunc(slices.Clone(deleted), func(id ID) bool { return slices.Index(ids, id)%2 != 0 })},
	} {
		ctx := owner
		if c.who == "dana" {
			ctx = as(t, "keeper", "dana")
		}
		for _, limit := range []int{1, 2, 3, 50} {
			var got []ID
			for after, pages := (ID{}), 0; ; pages++ {
				page, next, err := s.Bin(ctx, "thing", after, limit)
				must(t, err)
				for _, d := range page {
					got = append(got, d.Record.ID)
					if d.At.IsZero() || d.By != fmt.Sprint("by", slices.Index(ids, d.Record.ID)) || d.Record.Text("city") != "before" {
						t.Errorf("%s was deleted at %v by %q", d.Record.Text("name"), d.At, d.By)
					}
				}
				if after = next; next.Zero() {
					break
				}
				if len(page) != limit || pages > 20 {
					t.Fatalf("a page of %d, want %d", len(page), limit)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s by %d: %d of %d", c.who, limit, len(got), len(c.want))
			}
		}
	}
	_, _, err = s.Bin(as(t, "seer"), "thing", ID{}, 0)
	wantKind(t, "the bin of who deletes nothing", err, "forbidden")
	_, _, err = s.Bin(owner, "no.such", ID{}, 0)
	wantKind(t, "the bin of no entity", err, "not-found")
	wantKind(t, "restore by who deletes nothing", second(s.Restore(as(t, "seer"), "thing", ids[1])), "forbidden")
	wantKind(t, "restore of another's", second(s.Restore(as(t, "keeper", "anna"), "thing", ids[1])), "not-found")
	wantKind(t, "restore as another entity", second(s.Restore(owner, "part", ids[1])), "not-found")
}

// TestPurge empties the bin of what is older, with its history and shares, and nothing else.
func TestPurge(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	ids := s.things(6)
	for _, id := range ids {
		_, err := s.Change(owner, "thing", id, 1, Values{"city": "Purgeville"})
		must(t, err)
		must(t, s.Share(owner, "thing", id, access.Share{Subject: "team:south"}))
	}
	for _, id := range ids[:2] {
		must(t, s.Delete(owner, "thing", id, 2))
	}
	s.clock.mu.Lock()
	s.clock.at = s.clock.at.AddDate(0, 0, 31)
	s.clock.mu.Unlock()
	border := s.clock.now().AddDate(0, 0, -30)
	for _, id := range ids[2:4] {
		must(t, s.Delete(owner, "thing", id, 2))
	}
	for _, want := range []int{1, 1, 0} {
		if n, err := s.Purge(owner, border, 1); err != nil || n != want {
			t.Errorf("purged %d, %v, want %d", n, err, want)
		}
	}
	must(t, s.View(owner, func(tx store.Tx) error {
		for i, id := range ids {
			want := i >= 2
			for _, bucket := range []string{historyBucket, sharesBucket} {
				prefix, held := shareKey("thing", id, ""), false
				for range tx.Bucket(bucket).Scan(prefix, store.PrefixEnd(prefix), false) {
					held = true
				}
				if held != want {
					t.Errorf("%d in %s: %v", i, bucket, held)
				}
			}
		}
		return nil
	}))
	wantKind(t, "restore of what was purged", second(s.Restore(owner, "thing", ids[0])), "not-found")
	_, err := s.Restore(owner, "thing", ids[3])
	must(t, err)
	if r, err := s.Get(as(t, "mine", "anna"), "thing", ids[3]); err != nil || r.Text("city") != "Purgeville" {
		t.Errorf("restored, it is not shared with the south any more: %v", err)
	}
	must(t, s.Check(owner))
}

// TestBinKeepsItsMoment deletes one record twice.
func TestBinKeepsItsMoment(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	ids := s.things(1)
	must(t, s.Delete(owner, "thing", ids[0], 1))
	first, _, err := s.Bin(owner, "thing", ID{}, 0)
	must(t, err)
	_, err = s.Restore(owner, "thing", ids[0])
	must(t, err)
	wantKind(t, "restore twice", second(s.Restore(owner, "thing", ids[0])), "not-found")
	must(t, s.Delete(as(t, access.Owner, "again"), "thing", ids[0], 1))
	later, _, err := s.Bin(owner, "thing", ID{}, 0)
	must(t, err)
	if len(later) != 1 || !later[0].At.After(first[0].At.Add(time.Second/2)) || later[0].By != "again" {
		t.Errorf("first %v by %s, then %v by %s", first[0].At, first[0].By, later[0].At, later[0].By)
	}
}
