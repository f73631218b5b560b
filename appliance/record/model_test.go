package record

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/store"
)

// TestModel does random creates, changes, deletes and restores beside a map, and compares every list by every sort,
// every count and the book's own check with it.
func TestModel(t *testing.T) {
	o, ctx := open(t), as(t, access.Owner)
	rnd := rand.New(rand.NewPCG(5, 6))
	live, bin := map[ID]Record{}, map[ID]Record{}
	draw := func() Values {
		return Values{
			"name":  []any{nil, "דנה", "dana", "Dana", fmt.Sprint(rnd.IntN(30)), "ё", "е"}[rnd.IntN(7)],
			"owner": []any{nil, "dana", "yossi"}[rnd.IntN(3)],
			"kind":  []any{nil, "person", "company"}[rnd.IntN(3)],
			"seen":  []any{nil, time.Unix(rnd.Int64N(1000)-500, 0)}[rnd.IntN(2)],
			"tags":  [][]string{nil, {"a"}, {"b", "a"}}[rnd.IntN(3)],
		}
	}
	for range 400 {
		var err error
		var r Record
		switch op := rnd.IntN(10); {
		case op < 4 || len(live) == 0:
			if r, err = o.Create(ctx, "contact", draw()); err == nil {
				live[r.ID] = r
			}
		case op < 7:
			r = one(rnd, live)
			if r, err = o.Change(ctx, "contact", r.ID, r.Version(), draw()); err == nil {
				live[r.ID] = r
			}
		case op < 9:
			r = one(rnd, live)
			if err = o.Delete(ctx, "contact", r.ID, r.Version()); err == nil {
				delete(live, r.ID)
				bin[r.ID] = r
			}
		case len(bin) > 0:
			if r, err = o.Restore(ctx, "contact", one(rnd, bin).ID); err == nil {
				delete(bin, r.ID)
				live[r.ID] = r
			}
		}
		must(t, err)
	}
	must(t, o.Check(ctx))
	compare(t, o, live)
	must(t, o.Update(ctx, func(tx store.Tx) error {
		// Describing every record again must change nothing that lookup finds.
		for id := range live {
			if err := o.Reindex(tx, "contact", id); err != nil {
				return err
			}
		}
		return nil
	}))
	compare(t, o, live)
}

func one(rnd *rand.Rand, from map[ID]Record) Record {
	ids := make([]ID, 0, len(from))
	for id := range from {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b ID) int { return bytes.Compare(a[:], b[:]) })
	return from[ids[rnd.IntN(len(ids))]]
}

func compare(t *testing.T, o *office, live map[ID]Record) {
	t.Helper()
	key := map[string]func(Record) (string, bool){
		"":      func(r Record) (string, bool) { return "", true },
		"name":  func(r Record) (string, bool) { return sortableText(r.Text("name")), r.Has("name") },
		"owner": func(r Record) (string, bool) { return sortableText(r.Text("owner")), r.Has("owner") },
		"kind":  func(r Record) (string, bool) { return sortableText(r.Text("kind")), r.Has("kind") },
		"seen":  func(r Record) (string, bool) { return sortableTime(r.Time("seen")), r.Has("seen") },
	}
	for _, role := range []access.Role{access.Owner, access.Agent} {
		for sort, of := range key {
			var with, without []Record // a value in the field
			for _, r := range live {
				if role != access.Owner && r.Text("owner") != "dana" {
					continue
				}
				if _, ok := of(r); ok {
					with = append(with, r)
				} else {
					without = append(without, r)
				}
			}
			order := func(a, b Record) int {
				x, _ := of(a)
				y, _ := of(b)
				return cmp.Or(cmp.Compare(x, y), bytes.Compare(a.ID[:], b.ID[:]))
			}
			slices.SortFunc(with, order)
			slices.SortFunc(without, order)
			for _, backwards := range []string{"", "-"} {
				q := Query{Entity: "contact", Sort: backwards + sort, Limit: 9}
				same(t, fmt.Sprintf("%s by %q", role, q.Sort), o.all(role, q), slices.Concat(with, without))
				q.Valued = true
				same(t, fmt.Sprintf("%s by %q, those that have it", role, q.Sort), o.all(role, q), with)
				slices.Reverse(with)
				slices.Reverse(without)
			}
			if sort == "" {
				n, exact, err := o.Count(as(t, role, "dana"), Query{Entity: "contact"})
				if err != nil || n != len(with) || !exact {
					t.Errorf("%s counts %d, %v; want %d", role, n, err, len(with))
				}
			}
		}
	}
	for _, tag := range []string{"a", "b"} {
		want := 0
		for _, r := range live {
			if slices.Contains(r.Texts("tags"), tag) {
				want++
			}
		}
		if got := len(o.all(access.Owner, Query{Entity: "contact", Field: "tags", Value: tag})); got != want {
			t.Errorf("%d records with tag %s, want %d", got, tag, want)
		}
	}
}

func same(t *testing.T, what string, got, want []Record) {
	t.Helper()
	if !slices.EqualFunc(got, want, func(a, b Record) bool { return a.ID == b.ID && bytes.Equal(a.raw, b.raw) }) {
		t.Errorf("%s: %d records, the model has %d, or another order or content", what, len(got), len(want))
	}
}
