package record

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

func mark(field, mark string, value any) schema.Op {
	return schema.Op{Kind: schema.Set, Entity: "thing", Field: field, Mark: mark, Value: value}
}

// derived gives the pairs of all buckets that are made from records, but those of lookup.
func (s *shop) derived() map[string]string {
	s.t.Helper()
	pairs := map[string]string{}
	must(s.t, s.View(s.t.Context(), func(tx store.Tx) error {
		for _, name := range tx.Buckets() {
			if !strings.HasPrefix(name, "index.") && name != countsBucket && name != buildingBucket {
				continue
			}
			for key, value := range tx.Bucket(name).Scan(nil, nil, false) {
				if name != countsBucket || !bytes.Equal(value, make([]byte, 8)) { // nothing of it, as if it had never been
					pairs[name+"\x00"+string(key)] = string(value)
				}
			}
		}
		return nil
	}))
	return pairs
}

func sameDerived(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	if maps.Equal(got, want) {
		return
	}
	for key, value := range want {
		if other, ok := got[key]; !ok || other != value {
			t.Errorf("%s: %q is %q, want %q", what, key, other, value)
			break
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok {
			t.Errorf("%s: %q should not be there", what, key)
			break
		}
	}
}

// churn writes things at random until stop is closed, and says how many writes stood.
func (s *shop) churn(ctx context.Context, seed uint64, ids []ID, stop chan struct{}) (stood int) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	for {
		select {
		case <-stop:
			return stood
		default:
		}
		id := ids[rnd.IntN(len(ids))]
		now, err := s.Get(ctx, "thing", id)
		switch {
		case err != nil:
			_, err = s.Restore(ctx, "thing", id)
		case rnd.IntN(5) == 0:
			err = s.Delete(ctx, "thing", id, now.Version())
		default:
			_, err = s.Change(ctx, "thing", id, now.Version(), Values{"city": fmt.Sprint("c", rnd.IntN(50)), "score": float64(rnd.IntN(9)), "owner": []string{"dana", "anna"}[rnd.IntN(2)]})
		}
		switch kind := fault.KindOf(err); {
		case err == nil:
			stood++
		case kind != fault.Conflict && kind != fault.NotFound:
			s.t.Error(err)
			return stood
		}
	}
}

// TestIndexIsBuiltWhileOthersWrite makes a field indexed, not, and again, under writers and readers.
func TestIndexIsBuiltWhileOthersWrite(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	ids := s.things(4*buildBatch + 11)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for seed := range 3 {
		wg.Go(func() {
			if s.churn(owner, uint64(seed), ids, stop) == 0 {
				t.Error("nothing was written meanwhile")
			}
		})
	}
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			page, err := s.List(owner, Query{Entity: "thing", Sort: "city", Limit: MaxLimit})
			if err == nil && len(page.Records) < MaxLimit {
				t.Errorf("an index that is not whole lists %d", len(page.Records))
			}
			f, wrong := s.Parse(owner, "thing", `city starts "c"`)
			if kind := fault.KindOf(err); err != nil && kind != fault.Unavailable && kind != fault.Invalid || wrong != nil {
				t.Error(err, wrong)
				return
			}
			must(t, s.View(owner, func(tx store.Tx) error {
				want := 0
				for id, raw := range tx.Bucket("record.thing").Scan(nil, nil, false) {
					if (Record{ID: ID(id), entity: s.schema.At(tx).Entity("thing"), raw: raw}).Text("city")[0] == 'c' {
						want++
					}
				}
				p, err := s.plan(owner, tx, Query{Entity: "thing", Filter: f})
				must(t, err)
				got := 0
				for range p.walk(owner, tx) {
					got++
				}
				if got != want {
					t.Errorf("walks %d of %d by %q", got, want, p.index)
				}
				return nil
			}))
		}
	})
	for _, on := range []bool{true, false, true, true, false, false, true} {
		if s.kinds.Current().Entity("thing").Field("city").Indexed != on {
			s.evolve(mark("city", "indexed", on))
		}
		must(t, s.Build(owner))
	}
	close(stop)
	wg.Wait()
	must(t, s.Check(owner))
	before := s.derived()
	must(t, s.Rebuild(owner, nil))
	sameDerived(t, "built under writers", before, s.derived())
}

// TestIndexIsUsedWhenItIsWhole asks before, in the middle of, and after the building.
func TestIndexIsUsedWhenItIsWhole(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	s.things(3 * buildBatch)
	old := s.filter(owner, `city = "before"`)
	s.evolve(mark("city", "indexed", true))
	f := s.filter(owner, `city = "before" and score < 100`)
	walks := func() string {
		x, err := s.Explain(owner, Query{Entity: "thing", Filter: s.filter(owner, `city = "nowhere"`)})
		must(t, err)
		if n, err := s.CountAll(owner, Query{Entity: "thing", Filter: f}); err != nil || n != 100 {
			t.Errorf("counts %d, %v", n, err)
		}
		return x.Walks
	}
	if got := walks(); got != "all of thing, by age" {
		t.Errorf("before: %s", got)
	}
	_, err := s.List(owner, Query{Entity: "thing", Sort: "city"})
	wantKind(t, "list by an index that is not built", err, "unavailable")
	_, err = s.List(owner, Query{Entity: "thing", Field: "city", Value: "before"})
	wantKind(t, "list of an index that is not built", err, "unavailable")
	// One transaction a step, and the power goes in between.
	for range 2 {
		must(t, s.Update(owner, func(tx store.Tx) error { return s.buildStep(tx, buildingKey("thing", "city")) }))
	}
	if got := walks(); got != "all of thing, by age" {
		t.Errorf("in the middle: %s", got)
	}
	ended, stop := context.WithCancel(owner)
	stop()
	if err := s.Build(ended); err == nil {
		t.Error("builds though nobody waits")
	}
	must(t, s.Build(owner))
	if got := walks(); got != "index thing.city" {
		t.Errorf("after: %s", got)
	}
	must(t, s.Check(owner))
	page, err := s.List(owner, Query{Entity: "thing", Sort: "city"})
	if err != nil || len(page.Records) != DefaultLimit {
		t.Errorf("lists %d, %v", len(page.Records), err)
	}
	// A filter that was read while there was an index, asked when there is none, and the other way round.
	late := s.filter(owner, `city = "before"`)
	s.evolve(mark("city", "indexed", false))
	must(t, s.Build(owner))
	for name, f := range map[string]Query{"read before": {Filter: old}, "read meanwhile": {Filter: late}} {
		f.Entity = "thing"
		if n, err := s.CountAll(owner, f); err != nil || n != 3*buildBatch {
			t.Errorf("a filter %s counts %d, %v", name, n, err)
		}
	}
	must(t, s.View(owner, func(tx store.Tx) error {
		for range tx.Bucket(indexBucket("thing", "city")).Scan(nil, nil, false) {
			t.Error("an index that is not in use holds keys")
			break
		}
		return nil
	}))
}

// TestPagesGoOnPastTheBuilding turns pages while the way of the walk changes under them.
func TestPagesGoOnPastTheBuilding(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	const n = 40
	s.things(n)
	for _, sort := range []string{"", "-", "name", "-name"} {
		q := Query{Entity: "thing", Filter: s.filter(owner, `city = "before"`), Sort: sort, Limit: 7}
		var met []string
		for turn := 0; ; turn++ {
			if turn%2 == 1 {
				s.evolve(mark("city", "indexed", turn%4 == 1))
				must(t, s.Build(owner))
			}
			page, err := s.List(owner, q)
			must(t, err)
			met = append(met, names(page.Records)...)
			if q.Cursor = page.Next; q.Cursor == "" {
				break
			}
		}
		if sort != "" && sort[0] == '-' {
			slices.Reverse(met)
		}
		if len(met) != n || !slices.IsSorted(met) {
			t.Errorf("by %q the pages show %d of %d: %v", sort, len(met), n, met)
		}
		if s.kinds.Current().Entity("thing").Field("city").Indexed {
			s.evolve(mark("city", "indexed", false))
		}
	}
}

func TestUniqueComesLater(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	ids := s.things(6)
	_, err := s.kinds.Change(owner, s.kinds.Current().Version(), mark("city", "unique", true))
	wantKind(t, "unique over duplicates", err, "conflict")
	if f := s.kinds.Current().Entity("thing").Field("city"); f.Unique || f.Indexed {
		t.Error("a refused change stands")
	}
	must(t, s.Check(owner))
	for i, id := range ids {
		_, err := s.Change(owner, "thing", id, 1, Values{"city": fmt.Sprint("c", i)})
		must(t, err)
	}
	s.evolve(mark("city", "unique", true))
	_, err = s.Create(owner, "thing", Values{"city": "C3"})
	wantField(t, "create at once", err, "city", "field.taken")
	_, err = s.Change(owner, "thing", ids[0], 2, Values{"city": "c4"})
	wantField(t, "change at once", err, "city", "field.taken")
	_, err = s.Create(owner, "thing", Values{"city": "c"})
	must(t, err)
	must(t, s.Check(owner))
	page, err := s.List(owner, Query{Entity: "thing", Sort: "city"})
	if err != nil || len(page.Records) != 7 {
		t.Errorf("by it %d, %v", len(page.Records), err)
	}
	s.evolve(mark("city", "unique", false))
	_, err = s.Create(owner, "thing", Values{"city": "c"})
	must(t, err)
}

// TestCustomEntity makes, uses, hides and shows a kind of record, and goes back before it.
func TestCustomEntity(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	first := s.kinds.Current().Version()
	en := func(name string) map[string]string { return map[string]string{"en": name} }
	s.evolve(schema.Op{Kind: schema.AddEntity, Entity: "boat", Labels: en("Boat"), Title: "name", Owner: "skipper", Fields: []schema.NewField{
		{Field: "name", Labels: en("Name"), Definition: schema.Definition{Type: schema.Text, Required: true, Indexed: true}},
		{Field: "skipper", Labels: en("Skipper"), Definition: schema.Definition{Type: schema.Staff, Indexed: true}},
		{Field: "tons", Labels: en("Tons"), Definition: schema.Definition{Type: schema.Number, Default: 3.0}},
	}})
	r, err := s.Create(owner, "boat", Values{"name": "Albatros", "skipper": "dana"})
	must(t, err)
	if n, _ := r.Number("tons"); n != 3 || s.sees(as(t, "mine", "dana"), r) != "b" || s.sees(as(t, "mine", "anna"), r) != "" {
		t.Errorf("a boat of %v tons is seen by the wrong ones", n)
	}
	_, err = s.Create(owner, "boat", Values{})
	wantField(t, "a boat without a name", err, "name", "field.required")
	s.evolve(schema.Op{Kind: schema.HideEntity, Entity: "boat"})
	_, err = s.List(owner, Query{Entity: "boat"})
	wantKind(t, "list of a hidden kind", err, "not-found")
	_, err = s.Create(owner, "boat", Values{"name": "x"})
	wantKind(t, "create of a hidden kind", err, "not-found")
	s.evolve(schema.Op{Kind: schema.ShowEntity, Entity: "boat"})
	if got := s.sees(owner, r); got != "b" {
		t.Errorf("shown again, the boat is seen as %q", got)
	}
	shown := s.kinds.Current().Version()
	_, err = s.kinds.Revert(owner, shown, first)
	must(t, err)
	_, err = s.List(owner, Query{Entity: "boat"})
	wantKind(t, "list before it was made", err, "not-found")
	_, err = s.kinds.Revert(owner, s.kinds.Current().Version(), shown)
	must(t, err)
	must(t, s.Build(owner))
	if got, err := s.Get(owner, "boat", r.ID); err != nil || got.Text("name") != "Albatros" {
		t.Errorf("back again: %q, %v", got.Text("name"), err)
	}
	page, err := s.List(owner, Query{Entity: "boat", Sort: "name"})
	if err != nil || len(page.Records) != 1 {
		t.Errorf("by name %d, %v", len(page.Records), err)
	}
	must(t, s.Check(owner))
}

// TestRebuildMakesWhatWritesMade compares every index, count and answer of lookup.
func TestRebuildMakesWhatWritesMade(t *testing.T) {
	s := openShop(t)
	index := s.lookups()
	owner := as(t, access.Owner)
	rnd := rand.New(rand.NewPCG(3, 4))
	var ids []ID
	for i := range 250 {
		r, err := s.Create(owner, "thing", drawThing(rnd, ids))
		must(t, err)
		ids = append(ids, r.ID)
		switch i % 5 {
		case 0:
			must(t, s.Share(owner, "thing", ids[rnd.IntN(len(ids))], access.Share{Subject: []string{"dana", "team:north"}[i%2]}))
		case 1:
			p, err := s.Create(owner, "part", Values{"of": r.ID, "name": fmt.Sprint(i), "owner": "anna"})
			must(t, err)
			_, err = s.Create(owner, "scrap", Values{"of": p.ID, "name": fmt.Sprint(i)})
			must(t, err)
		case 2:
			_, err := s.Change(owner, "thing", r.ID, 1, drawThing(rnd, ids))
			must(t, err)
		case 3:
			must(t, s.Delete(owner, "thing", r.ID, 1))
			ids = ids[:len(ids)-1]
		}
	}
	found := func() (all []string) {
		for _, ctx := range []context.Context{owner, as(t, "mine", "dana"), as(t, "whole-team", "anna")} {
			for _, query := range []string{"dana", "ёлка", "כהן", "obrien", "haifa"} {
				hits, err := index.Find(ctx, query, 200)
				must(t, err)
				var one []string
				for _, h := range hits {
					one = append(one, fmt.Sprintf("%x %s", h.ID, h.Title))
				}
				slices.Sort(one)
				all = append(all, fmt.Sprint(query, one))
			}
		}
		return all
	}
	before, hits := s.derived(), found()
	must(t, s.Rebuild(owner, nil))
	sameDerived(t, "rebuilt", s.derived(), before)
	if again := found(); !slices.Equal(again, hits) {
		t.Errorf("lookup finds\n%q\nwant\n%q", again, hits)
	}
	must(t, s.Check(owner))
}

// TestSchemaChangesUnderWrites adds and hides fields while others write what they know.
func TestSchemaChangesUnderWrites(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	ids := s.things(50)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for seed := range 3 {
		wg.Go(func() { s.churn(owner, uint64(seed), ids, stop) })
	}
	wg.Go(func() { must(t, s.Serve(doneWith(owner, stop))) })
	for i := range 15 {
		name := fmt.Sprint("extra", i)
		s.evolve(schema.Op{Kind: schema.AddField, Entity: "thing", Field: name, Labels: map[string]string{"en": name},
			Definition: schema.Definition{Type: schema.Text, Indexed: true, Default: "new"}})
		r, err := s.Create(owner, "thing", Values{"name": name})
		must(t, err)
		if r.Text(name) != "new" {
			t.Errorf("%s is %q in a record that was made with it", name, r.Text(name))
		}
		if i%3 == 0 {
			s.evolve(schema.Op{Kind: schema.HideField, Entity: "thing", Field: name})
		}
	}
	close(stop)
	wg.Wait()
	must(t, s.Build(owner))
	must(t, s.Check(owner))
	before := s.derived()
	must(t, s.Rebuild(owner, nil))
	sameDerived(t, "after changes of the schema", before, s.derived())
}

// doneWith is a context that ends when stop is closed.
func doneWith(parent context.Context, stop chan struct{}) context.Context {
	ctx, cancel := context.WithCancel(parent)
	go func() { <-stop; cancel() }()
	return ctx
}
