package record

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/filter"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

// things makes n things, named and numbered, half of them dana's and half yossi's, and tells nobody.
func (s *shop) things(n int) (ids []ID) {
	s.t.Helper()
	owner := as(s.t, access.Owner)
	must(s.t, s.Update(owner, func(tx store.Tx) error {
		ids = nil
		for i := range n {
			r, err := s.CreateTx(owner, tx, Change{Entity: "thing", Inside: true, Fact: "-", Values: Values{
				"name": fmt.Sprintf("n%04d", i), "score": float64(i), "owner": []string{"dana", "yossi"}[i%2], "city": "before"}})
			if err != nil {
				return err
			}
			ids = append(ids, r.ID)
		}
		return nil
	}))
	return ids
}

func (s *shop) filter(ctx context.Context, text string) *filter.Filter {
	s.t.Helper()
	f, err := s.Parse(ctx, "thing", text)
	must(s.t, err)
	return f
}

// cities counts the things by their city.
func (s *shop) cities() map[string]int {
	found := map[string]int{}
	for _, r := range s.everything("thing") {
		found[r.Text("city")]++
	}
	return found
}

func TestBulkChangeAndUndo(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	ids := s.things(3*bulkBatch + 7)
	before := s.everything("thing")
	told := 0
	act, err := s.ChangeMany(owner, Query{Entity: "thing", Filter: s.filter(owner, `score >= 2`)}, Values{"city": "after", "kind": "a"}, func(b Bulk) { told++ })
	must(t, err)
	want := len(ids) - 2
	if act.Total != want || act.Done != want || act.Skipped != 0 || !act.Ended || told != 4 || act.By != "owner" || !slices.Equal(act.Fields, []string{"city", "kind"}) {
		t.Errorf("%+v, told %d times", act, told)
	}
	if c := s.cities(); c["after"] != want || c["before"] != 2 {
		t.Errorf("cities %v", c)
	}
	must(t, s.Check(owner))
	touched, err := s.Get(owner, "thing", ids[5])
	must(t, err)
	_, err = s.Change(owner, "thing", ids[5], touched.Version(), Values{"city": "mine"})
	must(t, err)
	gone, err := s.Get(owner, "thing", ids[6])
	must(t, err)
	must(t, s.Delete(owner, "thing", ids[6], gone.Version()))
	undone, err := s.UndoMany(owner, act.ID, nil)
	must(t, err)
	if !undone.Undone || undone.Restored != want-2 || undone.Kept != 2 {
		t.Errorf("undone %+v", undone)
	}
	if c := s.cities(); c["after"] != 0 || c["mine"] != 1 || c["before"] != len(ids)-2 {
		t.Errorf("after the undo %v", c)
	}
	for _, was := range before {
		now, err := s.Get(owner, "thing", was.ID)
		if was.ID != ids[5] && was.ID != ids[6] && (err != nil || now.Has("kind") || now.Text("name") != was.Text("name") || now.Version() != was.Version()+2 && was.ID != ids[0] && was.ID != ids[1]) {
			t.Errorf("%s is %v at version %d, %v", was.Text("name"), now.Fields(), now.Version(), err)
		}
	}
	last, err := s.journal.Last(owner)
	must(t, err)
	again, err := s.UndoMany(owner, act.ID, nil)
	must(t, err)
	if after, _ := s.journal.Last(owner); after != last || again.Restored != undone.Restored {
		t.Errorf("a second undo wrote %d facts: %+v", after-last, again)
	}
	must(t, s.Check(owner))
}

// TestBulkInterrupted ends the context after a batch, of the act and of its undo.
func TestBulkInterrupted(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	ids := s.things(3 * bulkBatch)
	ctx, stop := context.WithCancel(owner)
	act, err := s.ChangeMany(ctx, Query{Entity: "thing", Sort: "-name"}, Values{"city": "after"}, func(b Bulk) {
		if b.Done == 2*bulkBatch {
			stop()
		}
	})
	if err == nil || act.Done != 2*bulkBatch || act.Ended {
		t.Fatalf("interrupted: %+v, %v", act, err)
	}
	if c := s.cities(); c["after"] != 2*bulkBatch {
		t.Errorf("cities %v", c)
	}
	kept, err := s.BulkOf(owner, act.ID)
	if err != nil || kept.Done != act.Done || kept.Ended {
		t.Errorf("what stands of it: %+v, %v", kept, err)
	}
	ctx, stop = context.WithCancel(owner)
	half, err := s.UndoMany(ctx, act.ID, func(Bulk) { stop() })
	if err == nil || half.Restored != bulkBatch || half.Undone {
		t.Fatalf("interrupted undo: %+v, %v", half, err)
	}
	whole, err := s.UndoMany(owner, act.ID, nil)
	must(t, err)
	if c := s.cities(); c["before"] != len(ids) || !whole.Undone || whole.Restored != 2*bulkBatch || whole.Kept != 0 {
		t.Errorf("undone %+v, cities %v", whole, c)
	}
	must(t, s.Check(owner))
}

func TestBulkDeletionAndUndo(t *testing.T) {
	s := openShop(t, every())
	owner := as(t, access.Owner)
	s.things(bulkBatch + 5)
	act, err := s.DeleteMany(owner, Query{Entity: "thing", Filter: s.filter(owner, `owner = "dana"`), Sort: "name"}, nil)
	must(t, err)
	n, err := s.CountAll(owner, Query{Entity: "thing"})
	must(t, err)
	if !act.Deletion || act.Done != (bulkBatch+6)/2 || n != bulkBatch+5-act.Done {
		t.Errorf("%+v leaves %d", act, n)
	}
	act, err = s.UndoMany(owner, act.ID, nil)
	must(t, err)
	if n, err = s.CountAll(owner, Query{Entity: "thing"}); err != nil || n != bulkBatch+5 || act.Restored != act.Done {
		t.Errorf("%+v, %d stand, %v", act, n, err)
	}
	must(t, s.Check(owner))
	// What cannot come back stays in the bin, though the others' transaction goes on.
	for _, code := range []string{"a", "b", "c"} {
		_, err := s.Create(owner, "every", Values{"code": code})
		must(t, err)
	}
	act, err = s.DeleteMany(owner, Query{Entity: "every"}, nil)
	must(t, err)
	taker, err := s.Create(owner, "every", Values{"code": "B"})
	must(t, err)
	act, err = s.UndoMany(owner, act.ID, nil)
	must(t, err)
	bin, _, err := s.Bin(owner, "every", ID{}, 0)
	must(t, err)
	if act.Restored != 2 || act.Kept != 1 || len(bin) != 1 || bin[0].Record.Text("code") != "b" {
		t.Fatalf("%+v, %d in the bin", act, len(bin))
	}
	must(t, s.Delete(owner, "every", taker.ID, taker.Version()))
	_, err = s.Restore(owner, "every", bin[0].Record.ID)
	must(t, err)
	must(t, s.Check(owner))
}

func TestBulkNamesWhatIsRefused(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	ids := s.things(10)
	team := as(t, "whole-team", "dana") // sees the team's, changes own
	must(t, s.Share(owner, "thing", ids[1], access.Share{Subject: "dana", Change: true}))
	act, err := s.ChangeMany(team, Query{Entity: "thing"}, Values{"city": "after"}, nil)
	must(t, err)
	if act.Total != 10 || act.Done != 6 || act.Skipped != 4 || len(act.Problems) != 4 || act.Problems[0].Key != "access.forbidden" {
		t.Errorf("%+v", act)
	}
	for _, p := range act.Problems {
		if i := slices.Index(ids, p.ID); i%2 == 0 || i == 1 {
			t.Errorf("%d is refused", i)
		}
	}
	_, err = s.ChangeMany(team, Query{Entity: "thing"}, nil, nil)
	wantKind(t, "no values", err, "invalid")
	act, err = s.ChangeMany(owner, Query{Entity: "thing"}, Values{"kind": "no such"}, nil)
	if err != nil || act.Done != 0 || act.Skipped != 10 || len(act.Problems) != 10 || act.Problems[0].Key != "input.invalid" {
		t.Errorf("%+v, %v", act, err)
	}
	act, err = s.ChangeMany(owner, Query{Entity: "thing", Filter: s.filter(owner, `score > 100`)}, Values{"kind": "a"}, nil)
	if err != nil || !act.Ended || act.Total != 0 {
		t.Errorf("of nothing: %+v, %v", act, err)
	}
	none := as(t, access.Agent, "x")
	_, err = s.ChangeMany(none, Query{Entity: "no.such"}, Values{"kind": "a"}, nil)
	wantKind(t, "of no entity", err, "not-found")
}

// TestBulkIsItsMakersAndUndoneByRights tries to read and to undo another's act.
func TestBulkIsItsMakersAndUndoneByRights(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	s.things(4)
	s.role("clerk", []access.Grant{{Entity: "*", Verb: "*", Scope: access.All}, {Entity: "thing", Verb: access.Assign, Scope: access.None}},
		access.FieldRule{Entity: "thing", Field: "city", Right: access.ReadOnly})
	s.role("looker", []access.Grant{{Entity: "*", Verb: access.See, Scope: access.All}})
	clerk, dana := as(t, "clerk", "c"), as(t, "mine", "dana")
	act, err := s.ChangeMany(owner, Query{Entity: "thing"}, Values{"city": "after"}, nil)
	must(t, err)
	given, err := s.ChangeMany(owner, Query{Entity: "thing"}, Values{"owner": "anna"}, nil)
	must(t, err)
	for _, id := range []ID{act.ID, NewID()} {
		_, err = s.BulkOf(dana, id)
		wantKind(t, "another's act", err, "not-found")
		_, err = s.UndoMany(dana, id, nil)
		wantKind(t, "undo of another's act", err, "not-found")
	}
	if acts, err := s.Bulks(dana, 0); err != nil || len(acts) != 0 {
		t.Errorf("who sees own things only knows of %d acts, %v", len(acts), err)
	}
	acts, err := s.Bulks(owner, 0)
	if err != nil || len(acts) != 2 || acts[0].ID != given.ID || acts[1].ID != act.ID {
		t.Errorf("%d acts, %v", len(acts), err)
	}
	_, err = s.UndoMany(clerk, given.ID, nil)
	wantKind(t, "undo of an assignment by who may not assign", err, "forbidden")
	_, err = s.UndoMany(as(t, "looker"), given.ID, nil)
	wantKind(t, "undo by who sees all and changes nothing", err, "forbidden")
	undone, err := s.UndoMany(owner, given.ID, nil)
	if err != nil || undone.Restored != 4 {
		t.Errorf("the undo was spent by those who may not: %+v, %v", undone, err)
	}
	again, err := s.ChangeMany(owner, Query{Entity: "thing"}, Values{"city": "again"}, nil)
	must(t, err)
	_, err = s.UndoMany(clerk, again.ID, nil)
	wantKind(t, "undo by who may not write the city", err, "forbidden")
	must(t, s.Check(owner))
	if s.cities()["again"] != 4 {
		t.Error("who may not write the city took its change back")
	}
}

// TestBulkGoesOverAllThatIsFound is of more records than a page tests in vain.
func TestBulkGoesOverAllThatIsFound(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	const n = patience + 500
	s.things(n)
	for _, sort := range []string{"", "name", "-score"} {
		q := Query{Entity: "thing", Filter: s.filter(owner, `city = "before"`), Sort: sort, Valued: true}
		if got, err := s.CountAll(owner, q); err != nil || got != n {
			t.Errorf("by %q counts %d, %v", sort, got, err)
		}
		if ids, err := s.found(owner, q); err != nil || len(ids) != n {
			t.Errorf("by %q finds %d, %v", sort, len(ids), err)
		}
	}
}

// TestBulkSkipsWhatChangedMeanwhile changes a record between the look and the act.
func TestBulkSkipsWhatChangedMeanwhile(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	ids := s.things(2 * bulkBatch)
	act, err := s.ChangeMany(owner, Query{Entity: "thing", Filter: s.filter(owner, `city = "before"`)}, Values{"kind": "b"}, func(b Bulk) {
		if b.Done != bulkBatch {
			return
		}
		r, err := s.Change(owner, "thing", ids[bulkBatch], 1, Values{"city": "elsewhere"})
		must(t, err)
		if r.Has("kind") {
			t.Error("the second batch was first")
		}
		must(t, s.Delete(owner, "thing", ids[bulkBatch+1], 1))
	})
	must(t, err)
	if act.Done != 2*bulkBatch-2 || act.Skipped != 2 || !act.Ended {
		t.Errorf("%+v", act)
	}
	r, err := s.Get(owner, "thing", ids[bulkBatch])
	if err != nil || r.Has("kind") {
		t.Errorf("one that matches no more was changed: %v", err)
	}
}

// TestBulkStopsAtItsHooksFault ends with the fault of a hook that breaks, not with one that refuses.
func TestBulkStopsAtItsHooksFault(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	s.things(6)
	s.Watch("thing", func(_ context.Context, _ store.Tx, _, after Record) error {
		switch after.Text("name") {
		case "n0001":
			return fault.New(fault.Forbidden, "access.forbidden", "permission", "x")
		case "n0004":
			if after.Text("kind") == "c" {
				return fault.New(fault.Internal, "store.damaged", "what", "x")
			}
		}
		return nil
	})
	act, err := s.ChangeMany(owner, Query{Entity: "thing"}, Values{"kind": "a"}, nil)
	if err != nil || act.Done != 5 || act.Skipped != 1 {
		t.Errorf("%+v, %v", act, err)
	}
	_, err = s.ChangeMany(owner, Query{Entity: "thing"}, Values{"kind": "c"}, nil)
	wantKind(t, "an act at which the store breaks", err, "internal")
	for _, r := range s.everything("thing") {
		if r.Text("kind") == "c" {
			t.Errorf("%s was changed", r.Text("name"))
		}
	}
	must(t, s.Check(owner))
}

// TestUndoPastASchemaChange undoes an act whose field was hidden meanwhile.
func TestUndoPastASchemaChange(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	s.things(3)
	act, err := s.ChangeMany(owner, Query{Entity: "thing"}, Values{"city": "after"}, nil)
	must(t, err)
	s.evolve(schema.Op{Kind: schema.HideField, Entity: "thing", Field: "city"})
	act, err = s.UndoMany(owner, act.ID, nil)
	must(t, err)
	s.evolve(schema.Op{Kind: schema.ShowField, Entity: "thing", Field: "city"})
	if c := s.cities(); c["before"] != 3 || act.Restored != 3 {
		t.Errorf("%+v, %v", act, c)
	}
	must(t, s.Check(owner))
}
