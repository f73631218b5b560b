package record

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/search"
	"github.com/karov-crm/karov/appliance/store"
)

// line is a revision in one line: version, who, and each change as JSON.
func line(r Revision) string {
	parts := []string{fmt.Sprint(r.Version), r.By}
	for _, c := range r.Changes {
		from, err := json.Marshal(c.From)
		to, wrong := json.Marshal(c.To)
		parts = append(parts, fmt.Sprintf("%s:%s>%s", c.Field, from, to))
		if err != nil || wrong != nil {
			parts = append(parts, "damaged")
		}
	}
	return strings.Join(parts, " ")
}

func TestHistory(t *testing.T) {
	s := openShop(t, every())
	owner, boss := as(t, access.Owner), as(t, access.Owner, "boss")
	r, err := s.Create(owner, "every", Values{"line": "a", "number": 1.0, "level": nil, "marks": nil})
	must(t, err)
	var moments []time.Time
	change := func(who string, v Values) {
		t.Helper()
		ctx := owner
		if who == "boss" {
			ctx = boss
		}
		r, err = s.Change(ctx, "every", r.ID, r.Version(), v)
		must(t, err)
		moments = append(moments, r.UpdatedAt())
	}
	change("owner", Values{"line": "b", "price": "5"})
	change("boss", Values{"line": "b", "number": nil, "kinds": []string{"a", "b"}})
	change("boss", Values{"yes": true, "line": ""})
	change("owner", Values{"line": "c", "at": "2026-01-01T00:00:00Z", "friend": r.ID})
	_, err = s.Change(owner, "every", r.ID, r.Version(), Values{"line": "c"}) // changes nothing
	must(t, err)
	id := `"` + r.ID.String() + `"`
	want := []string{
		`5 owner line:null>"c" at:null>"2026-01-01T00:00:00Z" friend:null>` + id,
		`4 boss line:"b">null yes:null>true`,
		`3 boss number:1>null kinds:null>["a","b"]`,
		`2 owner line:"a">"b" price:null>{"amount":"5.00","currency":"ILS"}`,
	}
	slices.Reverse(moments)
	for _, limit := range []int{0, 1, 3} {
		var got []string
		for before := uint64(0); ; {
			page, err := s.History(owner, "every", r.ID, before, limit)
			must(t, err)
			if len(page) == 0 {
				break
			}
			for _, rev := range page {
				if !rev.At.Equal(moments[len(got)]) {
					t.Errorf("version %d was at %v, want %v", rev.Version, rev.At, moments[len(got)])
				}
				got = append(got, line(rev))
			}
			before = page[len(page)-1].Version
		}
		if !slices.Equal(got, want) {
			t.Errorf("by %d:\n%s\nwant\n%s", limit, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	must(t, s.Delete(owner, "every", r.ID, r.Version()))
	wantKind(t, "history of what is in the bin", second(s.History(owner, "every", r.ID, 0, 0)), "not-found")
	_, err = s.Restore(owner, "every", r.ID)
	must(t, err)
	if page, err := s.History(owner, "every", r.ID, 0, 0); err != nil || len(page) != 4 {
		t.Errorf("after the bin %d revisions, %v", len(page), err)
	}
	s.evolve(schema.Op{Kind: schema.HideField, Entity: "every", Field: "number"})
	page, err := s.History(owner, "every", r.ID, 0, 0)
	if err != nil || line(page[2]) != `3 boss kinds:null>["a","b"]` {
		t.Errorf("with a field out of use: %s, %v", line(page[2]), err)
	}
}

func TestHistoryOfBulkAndUndo(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	ids := s.things(2)
	act, err := s.ChangeMany(as(t, access.Owner, "many"), Query{Entity: "thing"}, Values{"city": "after"}, nil)
	must(t, err)
	_, err = s.UndoMany(as(t, access.Owner, "back"), act.ID, nil)
	must(t, err)
	page, err := s.History(owner, "thing", ids[1], 0, 0)
	must(t, err)
	if len(page) != 2 || line(page[0]) != `3 back city:"after">"before"` || line(page[1]) != `2 many city:"before">"after"` {
		t.Errorf("%v", page)
	}
}

// TestHistoryOfOneRecordEndsThere has many records with histories side by side.
func TestHistoryOfOneRecordEndsThere(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	ids := s.things(20)
	for round := range 3 {
		for i, id := range ids {
			_, err := s.Change(owner, "thing", id, uint64(round+1), Values{"city": fmt.Sprint(i, " ", round)})
			must(t, err)
		}
	}
	for i, id := range ids {
		page, err := s.History(owner, "thing", id, 0, 0)
		if err != nil || len(page) != 3 || page[0].Changes[0].To != fmt.Sprint(i, " ", 2) {
			t.Errorf("%d: %v, %v", i, page, err)
		}
	}
	wantKind(t, "of a stranger's", second(s.History(as(t, "mine", "anna"), "thing", ids[0], 0, 0)), "not-found")
	wantKind(t, "of nothing", second(s.History(owner, "thing", NewID(), 0, 0)), "not-found")
}

// lookups makes the shop's things found by their names.
func (s *shop) lookups() *search.Index {
	s.Lookup("thing", func(_ store.Tx, r Record) (search.Doc, bool) {
		return search.Doc{Title: r.Text("name"), Recent: r.UpdatedAt(), Parts: []search.Part{{Field: "name", Kind: search.Name, Text: r.Text("name")},
			{Field: "city", Kind: search.Text, Text: r.Text("city"), Shown: true}}}, true
	})
	return search.New(s.db, s.gate)
}

// TestErasedLeavesNoTrace looks through every bucket for the texts and the id of what was erased.
func TestErasedLeavesNoTrace(t *testing.T) {
	s := openShop(t, every())
	index := s.lookups()
	owner := as(t, access.Owner)
	for _, state := range []string{"in use", "in the bin"} {
		r, err := s.Create(owner, "thing", Values{"name": "Zaphod Quux", "city": "Xyzzyville", "owner": "dana", "labels": []string{"plughtag"}, "price": "77777.77"})
		must(t, err)
		part, err := s.Create(owner, "part", Values{"of": r.ID, "name": "remains"})
		must(t, err)
		r, err = s.Change(owner, "thing", r.ID, r.Version(), Values{"name": "Trillian Quux", "city": "Frobozzia"})
		must(t, err)
		must(t, s.Share(owner, "thing", r.ID, access.Share{Subject: "anna"}))
		act, err := s.ChangeMany(owner, Query{Entity: "thing"}, Values{"city": "Grueland"}, nil)
		must(t, err)
		_, err = s.UndoMany(owner, act.ID, nil)
		must(t, err)
		texts := []string{"zaphod", "trillian", "quux", "xyzzyville", "frobozzia", "grueland", "plughtag"}
		if state == "in the bin" {
			must(t, s.Delete(owner, "thing", r.ID, r.Version()+2))
		}
		if s.holding(texts) == nil {
			t.Fatal("nothing of the record is stored")
		}
		must(t, s.Update(owner, func(tx store.Tx) error { return s.EraseTx(owner, tx, "thing", r.ID) }))
		if found := s.holding(texts); found != nil {
			t.Errorf("%s: what was erased stands in %q", state, found)
		}
		for _, query := range []string{"quux", "trillian", "frobozzia"} {
			if hits, err := index.Find(owner, query, 5); err != nil || len(hits) > 0 {
				t.Errorf("%s: found by %s: %v, %v", state, query, hits, err)
			}
		}
		wantKind(t, "restore", second(s.Restore(owner, "thing", r.ID)), "not-found")
		must(t, s.Check(owner))
		if n, err := s.CountAll(as(t, "mine", "anna"), Query{Entity: "part"}); err != nil || n != 0 {
			t.Errorf("%s: by the share of what was erased anna sees %d parts, %v", state, n, err)
		}
		if _, err := s.Get(owner, "part", part.ID); err != nil {
			t.Errorf("%s: what hung on it: %v", state, err)
		}
		must(t, s.Update(owner, func(tx store.Tx) error { return s.EraseTx(owner, tx, "thing", r.ID) })) // nothing any more
	}
}

// holding lists the buckets in whose keys or values one of the texts stands, in any case.
func (s *shop) holding(texts []string) (found []string) {
	s.t.Helper()
	must(s.t, s.View(s.t.Context(), func(tx store.Tx) error {
		for _, name := range tx.Buckets() {
			for key, value := range tx.Bucket(name).Scan(nil, nil, false) {
				both := strings.ToLower(string(key) + "\x00" + string(value))
				if slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(both, text) }) && !slices.Contains(found, name) {
					found = append(found, name)
				}
			}
		}
		return nil
	}))
	return found
}

// TestUniqueIsHeldForFieldsOutOfUse restores a record whose hidden value another has meanwhile.
func TestUniqueIsHeldForFieldsOutOfUse(t *testing.T) {
	s := openShop(t, every())
	owner := as(t, access.Owner)
	r, err := s.Create(owner, "every", Values{"code": "one"})
	must(t, err)
	must(t, s.Delete(owner, "every", r.ID, r.Version()))
	_, err = s.Create(owner, "every", Values{"code": "ONE"})
	must(t, err)
	s.evolve(schema.Op{Kind: schema.HideField, Entity: "every", Field: "code"})
	_, err = s.Restore(owner, "every", r.ID)
	wantField(t, "restore", err, "code", "field.taken")
	s.evolve(schema.Op{Kind: schema.ShowField, Entity: "every", Field: "code"})
	must(t, s.Check(owner))
}
