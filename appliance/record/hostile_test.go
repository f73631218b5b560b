package record

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/store"
)

// TestHostileTexts puts what no person types into each field that holds a text.
func TestHostileTexts(t *testing.T) {
	s := openShop(t, every())
	owner := as(t, access.Owner)
	huge := strings.Repeat("שם ארוך ", (5<<20)/len("שם ארוך "))
	for _, field := range []string{"line", "phone", "mail", "site", "who", "kind", "day", "yearly", "code"} {
		_, err := s.Create(owner, "every", Values{field: huge})
		wantKind(t, "5 MB of "+field, err, "invalid")
	}
	r, err := s.Create(owner, "every", Values{"prose": huge})
	if err != nil || r.Text("prose") != strings.TrimSpace(huge) && r.Text("prose") != huge {
		t.Errorf("5 MB of prose: %v", err)
	}
	for _, bad := range []string{"a\x00b", "\u202ea\u2066b\u2069", "\ufeffab", "a\x1b\x07b", "a\u202db"} {
		r, err := s.Create(owner, "every", Values{"line": bad, "codes": []string{bad + "1"}, "phones": []string{bad}})
		must(t, err)
		if r.Text("line") != "ab" || !slices.Equal(r.Texts("codes"), []string{"ab1"}) || r.Text("phones") != "ab" {
			t.Errorf("%q stands as %q %q %q", bad, r.Text("line"), r.Texts("codes"), r.Texts("phones"))
		}
		must(t, s.Delete(owner, "every", r.ID, r.Version()))
	}
	for _, name := range []string{"", "line\x00", "line\"", "'; drop", "LINE", "line.line", strings.Repeat("x", 1<<20), "id", "version", "created_at"} {
		_, err := s.Create(owner, "every", Values{name: "x"})
		wantKind(t, fmt.Sprintf("a field called %.20q", name), err, "invalid")
		wantKind(t, fmt.Sprintf("sort by %.20q", name), second(s.List(owner, Query{Entity: "every", Sort: name + "x"})), "invalid")
		wantKind(t, fmt.Sprintf("list of %.20q", name), second(s.List(owner, Query{Entity: "every\x00" + name})), "not-found")
	}
	deep := strings.Repeat("(", 10_000) + `line = "x"` + strings.Repeat(")", 10_000)
	wantKind(t, "a filter 10,000 deep", second(s.Parse(owner, "every", deep)), "invalid")
	must(t, s.Check(owner))
}

// TestIDsOfOtherKinds asks at each door with the id of another kind of record.
func TestIDsOfOtherKinds(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	thing, part, _ := s.tree("dana")
	for name, door := range map[string]func(context.Context) error{
		"get": func(ctx context.Context) error { return second(s.Get(ctx, "part", thing.ID)) },
		"change": func(ctx context.Context) error {
			return second(s.Change(ctx, "part", thing.ID, 1, Values{"name": "x"}))
		},
		"delete":   func(ctx context.Context) error { return s.Delete(ctx, "part", thing.ID, 1) },
		"restore":  func(ctx context.Context) error { return second(s.Restore(ctx, "part", thing.ID)) },
		"history":  func(ctx context.Context) error { return second(s.History(ctx, "part", thing.ID, 0, 0)) },
		"share":    func(ctx context.Context) error { return s.Share(ctx, "part", thing.ID, access.Share{Subject: "anna"}) },
		"unshare":  func(ctx context.Context) error { return s.Unshare(ctx, "part", thing.ID, "anna") },
		"shares":   func(ctx context.Context) error { return second(s.Shares(ctx, "part", thing.ID)) },
		"bulk":     func(ctx context.Context) error { return second(s.BulkOf(ctx, thing.ID)) },
		"undo":     func(ctx context.Context) error { return second(s.UndoMany(ctx, thing.ID, nil)) },
		"no kind":  func(ctx context.Context) error { return second(s.Get(ctx, "part\x00", thing.ID)) },
		"a bucket": func(ctx context.Context) error { return second(s.Get(ctx, "bin", thing.ID)) },
	} {
		wantKind(t, name+" as owner", door(owner), "not-found")
		wantKind(t, name+" as dana", door(as(t, "mine", "dana")), "not-found")
	}
	_, err := s.Create(owner, "part", Values{"of": part.ID})
	wantField(t, "a link to another kind", err, "of", "field.link")
	page, err := s.List(owner, Query{Entity: "part", Field: "of", Value: part.ID})
	if err != nil || len(page.Records) != 0 {
		t.Errorf("parts of a part: %d, %v", len(page.Records), err)
	}
	must(t, s.Update(owner, func(tx store.Tx) error { return s.EraseTx(owner, tx, "part", thing.ID) }))
	if _, err := s.Get(owner, "thing", thing.ID); err != nil {
		t.Errorf("erased as another kind it is gone: %v", err)
	}
	must(t, s.Check(owner))
}

// plans are queries that are answered in each way that there is, and who asks.
func (s *shop) plans() map[string]struct {
	ctx context.Context
	q   Query
} {
	type asked = struct {
		ctx context.Context
		q   Query
	}
	owner, team, mine := as(s.t, access.Owner), as(s.t, "whole-team", "dana"), as(s.t, "mine", "dana")
	cheap := as(s.t, "cheap")
	kind, few := s.filter(owner, `kind = "a"`), s.filter(owner, `score in (1, 3, 4, 6)`)
	return map[string]asked{
		"all by age":             {owner, Query{}},
		"all by age, backwards":  {owner, Query{Sort: "-"}},
		"by an index":            {owner, Query{Sort: "name"}},
		"by an index, backwards": {owner, Query{Sort: "-score"}},
		"one value":              {owner, Query{Filter: kind}},
		"one value, backwards":   {owner, Query{Filter: kind, Sort: "-"}},
		"collected":              {owner, Query{Filter: few}},
		"collected and sorted":   {owner, Query{Filter: few, Sort: "-name"}},
		"a part of the order":    {owner, Query{Filter: s.filter(owner, `score > 2`), Sort: "score"}},
		"a field":                {owner, Query{Field: "kind", Value: "a"}},
		"a condition":            {cheap, Query{Sort: "-name"}},
		"own":                    {mine, Query{}},
		"merged":                 {team, Query{}},
		"merged by an index":     {team, Query{Sort: "-name"}},
		"merged and one value":   {team, Query{Filter: s.filter(team, `kind = "a"`)}},
		"merged and collected":   {team, Query{Filter: s.filter(team, `score in (1, 3, 4, 6)`), Sort: "name"}},
	}
}

// stock are things of dana's, yossi's and anna's with values for the plans.
func (s *shop) stock(n int) {
	s.t.Helper()
	owner := as(s.t, access.Owner)
	must(s.t, s.Update(owner, func(tx store.Tx) error {
		for i := range n {
			v := Values{"name": fmt.Sprintf("n%02d", (i*7)%n), "owner": []string{"dana", "yossi", "anna"}[i%3], "score": float64(i % 8)}
			if i%2 == 0 {
				v["kind"] = "a"
			}
			if i%9 == 4 {
				delete(v, "score")
			}
			if _, err := s.CreateTx(owner, tx, Change{Entity: "thing", Inside: true, Fact: "-", Values: v}); err != nil {
				return err
			}
		}
		return nil
	}))
}

// TestHandMadeCursors gives each plan cursors of its own sum with any place behind it.
func TestHandMadeCursors(t *testing.T) {
	s := openShop(t)
	s.stock(40)
	all := s.everything("thing")
	foreign := all[20]
	places := [][]byte{make([]byte, 16), slices.Repeat([]byte{0xff}, 16), slices.Repeat([]byte{0xff}, 300), foreign.ID[:],
		append([]byte(valued+"n10\x00"), foreign.ID[:]...), append([]byte(missing), foreign.ID[:]...), append([]byte("yossi\x00"), foreign.ID[:]...),
		append([]byte("\x00"+valued), foreign.ID[:]...), append([]byte(valued+sortableNumber(3)), foreign.ID[:]...), slices.Repeat([]byte{1}, 17)}
	for name, asked := range s.plans() {
		asked.q.Entity, asked.q.Limit = "thing", MaxLimit
		whole, err := s.List(asked.ctx, asked.q)
		must(t, err)
		order := map[ID]int{}
		for i, r := range whole.Records {
			order[r.ID] = i
		}
		for _, place := range places {
			asked.q.Cursor = base64.RawURLEncoding.EncodeToString(append(querySum(asked.q), place...))
			page, err := s.List(asked.ctx, asked.q)
			if err != nil {
				wantKind(t, name, err, "invalid")
				continue
			}
			for i, r := range page.Records {
				at, seen := order[r.ID]
				if !seen || i > 0 && at != order[page.Records[i-1].ID]+1 {
					t.Errorf("%s from %x shows %q out of its place", name, place, r.Text("name"))
				}
			}
		}
	}
}

// TestPagesOfEachPlan walks each plan page by page: they make up the whole.
func TestPagesOfEachPlan(t *testing.T) {
	s := openShop(t)
	s.stock(40)
	for name, asked := range s.plans() {
		asked.q.Entity, asked.q.Limit = "thing", MaxLimit
		whole, err := s.List(asked.ctx, asked.q)
		must(t, err)
		for _, limit := range []int{1, 3, 19} {
			q, got := asked.q, []Record(nil)
			for q.Limit = limit; ; {
				page, err := s.List(asked.ctx, q)
				must(t, err)
				if got = append(got, page.Records...); page.Next == "" || len(got) > 100 {
					break
				}
				q.Cursor = page.Next
			}
			same(t, fmt.Sprintf("%s by %d", name, limit), got, whole.Records)
		}
		if len(whole.Records) < 5 {
			t.Errorf("%s shows %d only", name, len(whole.Records))
		}
	}
}

// TestClockSetBack turns the clock back by a year between writes.
func TestClockSetBack(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	back := func() {
		s.clock.mu.Lock()
		defer s.clock.mu.Unlock()
		s.clock.at = s.clock.at.AddDate(-1, 0, 0)
	}
	first, err := s.Create(owner, "thing", Values{"name": "first", "city": "a"})
	must(t, err)
	r, err := s.Change(owner, "thing", first.ID, 1, Values{"city": "b"})
	must(t, err)
	before := r.UpdatedAt()
	back()
	late, err := s.Create(owner, "thing", Values{"name": "second"})
	must(t, err)
	r, err = s.Change(owner, "thing", first.ID, 2, Values{"city": "c"})
	must(t, err)
	if !r.UpdatedAt().Before(before) || !r.CreatedAt().Equal(first.CreatedAt()) || r.Version() != 3 {
		t.Errorf("version %d, made %v, changed %v", r.Version(), r.CreatedAt(), r.UpdatedAt())
	}
	revisions, err := s.History(owner, "thing", first.ID, 0, 0)
	if err != nil || len(revisions) != 2 || revisions[0].Changes[0].To != "c" || revisions[1].Changes[0].To != "b" {
		t.Errorf("history %+v, %v", revisions, err)
	}
	page, err := s.List(owner, Query{Entity: "thing"})
	if err != nil || !slices.Equal(names(page.Records), []string{"first", "second"}) {
		t.Errorf("by age %q, %v", names(page.Records), err)
	}
	// One whose id is of a year ago: it stands before the others, and pages meet each once.
	var old ID
	copy(old[:], late.ID[:])
	old[0], old[1] = 0x01, 0x90
	must(t, s.Update(owner, func(tx store.Tx) error {
		_, err := s.CreateTx(owner, tx, Change{Entity: "thing", ID: old, Values: Values{"name": "zeroth"}})
		return err
	}))
	var met []string
	q := Query{Entity: "thing", Limit: 1}
	for {
		page, err := s.List(owner, q)
		must(t, err)
		met = append(met, names(page.Records)...)
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	if !slices.Equal(met, []string{"zeroth", "first", "second"}) {
		t.Errorf("pages meet %q", met)
	}
	must(t, s.Delete(owner, "thing", old, 1))
	if n, err := s.Purge(owner, before.Add(-time.Hour), 10); err != nil || n != 1 {
		t.Errorf("purged %d, %v", n, err)
	}
	must(t, s.Check(owner))
}

// FuzzPlans pages each plan from any cursor: it is refused, or shows what the plan shows, in its order.
func FuzzPlans(f *testing.F) {
	s := openShop(f)
	s.stock(30)
	var kinds []string
	plans := s.plans()
	for name := range plans {
		kinds = append(kinds, name)
	}
	slices.Sort(kinds)
	whole := map[string][]ID{}
	for i, name := range kinds {
		q := plans[name].q
		q.Entity, q.Limit = "thing", MaxLimit
		page, err := s.List(plans[name].ctx, q)
		must(f, err)
		for _, r := range page.Records {
			whole[name] = append(whole[name], r.ID)
		}
		q.Limit = 2
		page, err = s.List(plans[name].ctx, q)
		must(f, err)
		raw, err := base64.RawURLEncoding.DecodeString(page.Next)
		must(f, err)
		f.Add(i, raw[4:])
	}
	f.Fuzz(func(t *testing.T, kind int, place []byte) {
		name := kinds[uint(kind)%uint(len(kinds))]
		q := plans[name].q
		q.Entity, q.Limit = "thing", 5
		q.Cursor = base64.RawURLEncoding.EncodeToString(append(querySum(q), place...))
		page, err := s.List(plans[name].ctx, q)
		if err != nil {
			wantKind(t, name, err, "invalid")
			return
		}
		if len(page.Records) == 0 {
			return
		}
		from := slices.Index(whole[name], page.Records[0].ID)
		for i, r := range page.Records {
			if from < 0 || from+i >= len(whole[name]) || whole[name][from+i] != r.ID {
				t.Fatalf("%s from %x shows %s, which is not next", name, place, r.ID)
			}
		}
	})
}
