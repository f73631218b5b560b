package schema

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

// history is what a random walk through changes remembers: whatever was made once must be there for ever.
type history struct {
	fields   map[int]string    // number: entity, name and type
	choices  map[string]bool   // entity.field.choice
	versions map[uint64]string // what each version said
}

func (h *history) check(t *testing.T, s *Schema) {
	t.Helper()
	numbers := map[int]string{}
	for _, e := range s.Entities() {
		for _, f := range e.Fields {
			what := fmt.Sprint(e.Name, ".", f.Name, " ", f.Type, f.Many)
			if f.Custom {
				if was := h.fields[f.Number]; was != "" && was != what || numbers[f.Number] != "" {
					t.Fatalf("version %d: number %d is %s, was %s, also %s", s.Version(), f.Number, what, was, numbers[f.Number])
				}
				numbers[f.Number], h.fields[f.Number] = what, what
			}
			for _, choice := range slices.Concat(f.Choices, f.Retired) {
				h.choices[e.Name+"."+f.Name+"."+choice] = true
			}
		}
	}
	if len(numbers) != len(h.fields) {
		t.Fatalf("version %d has %d own fields of %d that were made", s.Version(), len(numbers), len(h.fields))
	}
	have := 0
	for _, e := range s.Entities() {
		for _, f := range e.Fields {
			have += len(f.Choices) + len(f.Retired)
		}
	}
	if have != len(h.choices) {
		t.Fatalf("version %d has %d choices of %d that were made", s.Version(), have, len(h.choices))
	}
	h.versions[s.Version()] = described(s)
}

func randomOp(r *rand.Rand, s *Schema, n int) Op {
	kinds := []OpKind{AddEntity, AddField, AddField, AddField, RenameEntity, HideEntity, ShowEntity, RenameField, HideField, ShowField,
		AddChoice, RenameChoice, RetireChoice, RetireChoice, ShowChoice, ShowChoice, Set, Set}
	op := Op{Kind: kinds[r.IntN(len(kinds))], Labels: names(fmt.Sprint("label", n))}
	ofChoice := slices.Contains([]OpKind{AddChoice, RenameChoice, RetireChoice, ShowChoice}, op.Kind)
	type pair struct {
		e *Entity
		f *Field
	}
	var places []pair
	for _, e := range s.Entities() {
		for i := range e.Fields {
			if f := &e.Fields[i]; !ofChoice || f.Type == Choice {
				places = append(places, pair{e, f})
			}
		}
	}
	at := places[r.IntN(len(places))]
	op.Entity, op.Field = at.e.Name, at.f.Name
	if at.f.Type == Choice {
		all := slices.Concat(at.f.Choices, at.f.Retired)
		op.Choice = all[r.IntN(len(all))]
	}
	switch op.Kind {
	case AddEntity:
		op.Entity, op.Field = fmt.Sprint("entity", n), ""
	case AddField:
		op.Field, op.Choice = fmt.Sprint("field", n), ""
		op.Definition = []Definition{{Type: Text}, {Type: Choice, Choices: []string{"a", "b"}}, {Type: Link, Target: at.e.Name, Many: true}, {Type: Number, Indexed: true},
			{Type: Money, Currency: "ILS"}, {Type: Email, Unique: true}}[r.IntN(6)]
	case AddChoice:
		op.Choice = fmt.Sprint("choice", n)
	case Set:
		op.Mark = []string{"required", "unique", "indexed", "searched", "sensitive"}[r.IntN(5)]
		op.Value = r.IntN(2) == 0
	}
	return op
}

// TestRandomChanges walks through random changes and reverts: no number is used twice, nothing is lost, each version reads
// as it was, and a registry opened anew says the same.
func TestRandomChanges(t *testing.T) {
	for seed := range uint64(3) {
		r, o := rand.New(rand.NewPCG(seed, 7)), openOffice(t)
		h := &history{map[int]string{}, map[string]bool{}, map[uint64]string{}}
		h.check(t, o.Current())
		done := map[OpKind]int{}
		for n := range 150 {
			before := o.Current()
			var after *Schema
			var err error
			if r.IntN(12) == 0 {
				after, err = o.Revert(boss, before.Version(), 1+r.Uint64N(before.Version()))
			} else {
				op := randomOp(r, before, n)
				if after, err = o.Change(boss, before.Version(), op); err == nil {
					done[op.Kind]++
				}
			}
			if err != nil {
				if fault.KindOf(err) != fault.Invalid {
					t.Fatal(err)
				}
				after = before
			}
			if o.Current() != after && after.Version() != before.Version() {
				t.Fatal("what Change gives is not current")
			}
			h.check(t, o.Current())
		}
		if len(done) < 10 {
			t.Fatalf("seed %d did only %v", seed, done)
		}
		again := reopen(t, o.db, builtin()...)
		if described(again.Current()) != described(o.Current()) || len(again.Current().Dormant()) != 0 {
			t.Errorf("seed %d: opened anew it is another", seed)
		}
		versions, err := again.Versions(boss, 0, 1000)
		if err != nil || uint64(len(versions)) != o.Current().Version()-1 {
			t.Fatalf("%d versions of %d, %v", len(versions), o.Current().Version()-1, err)
		}
		_ = o.db.View(t.Context(), func(tx store.Tx) error {
			for number, was := range h.versions {
				if number == 1 {
					continue
				}
				v, err := decodeVersion(tx.Bucket(versionsBucket).Get(versionKey(number)), number, nextNumber(tx))
				if err != nil {
					t.Fatal(err)
				}
				if s, err := build(builtin(), v.Layer, number); err != nil || described(s) != was {
					t.Errorf("version %d reads otherwise than it was: %v", number, err)
				}
			}
			return nil
		})
	}
}

// TestChangesAmongReaders changes the schema while others read it in their transactions: each sees the schema of its own
// moment, which has as many fields as its version says.
func TestChangesAmongReaders(t *testing.T) {
	o := openOffice(t)
	first := len(o.Current().Entity("contact").Fields)
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for last, current := uint64(0), uint64(0); ctx.Err() == nil; {
				newest := o.Current().Version()
				if newest < current {
					t.Errorf("Current goes back from %d to %d", current, newest)
				}
				current = newest
				_ = o.db.View(t.Context(), func(tx store.Tx) error {
					s := o.At(tx)
					if s.Version() < last || o.At(tx) != s || len(s.Entity("contact").Fields) != first+int(s.Version())-1 {
						t.Errorf("version %d after %d has %d fields", s.Version(), last, len(s.Entity("contact").Fields))
					}
					last = s.Version()
					return nil
				})
			}
		})
	}
	var writers sync.WaitGroup
	won := make(chan uint64, 100)
	for w := range 3 {
		writers.Go(func() {
			for n := range 15 {
				seen := o.Current().Version()
				s, err := o.Change(boss, seen, newField("contact", fmt.Sprintf("f_%d_%d", w, n), Definition{Type: Text}))
				switch {
				case err == nil && s.Version() != seen+1:
					t.Errorf("version %d follows %d", s.Version(), seen)
				case err == nil:
					won <- s.Version()
				case fault.KindOf(err) != fault.Conflict:
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	stop()
	readers.Wait()
	close(won)
	count := uint64(0)
	for range won {
		count++
	}
	if count == 0 || o.Current().Version() != 1+count {
		t.Errorf("%d changes made version %d", count, o.Current().Version())
	}
}

// TestReadersOfOlderMoments: a transaction that began before changes goes on with its own schema, however many came.
func TestReadersOfOlderMoments(t *testing.T) {
	o := openOffice(t)
	o.change(t, newField("contact", "x", Definition{Type: Text}))
	_ = o.db.View(t.Context(), func(tx store.Tx) error {
		for n := range 2 * keep {
			o.change(t, newField("contact", fmt.Sprint("y", n), Definition{Type: Text}))
		}
		s := o.At(tx)
		if s.Version() != 2 || s.Entity("contact").Field("y0") != nil || o.At(tx) != s {
			t.Errorf("an old moment has version %d", s.Version())
		}
		return nil
	})
	if n := len(*o.recent.Load()); n > keep {
		t.Errorf("%d schemas are remembered", n)
	}
}

// FuzzStoredVersion: whatever lies in the store is read or called damaged, and what is read can be built and written
// again as the same.
func FuzzStoredVersion(f *testing.F) {
	for _, seed := range []string{
		`{"number":2,"at":"2026-11-22T10:00:00Z","by":"a","ops":[{"op":"set","entity":"contact"}],"layer":{}}`,
		`{"number":2,"layer":{"entities":[{"name":"contact","fields":[{"name":"x","number":1000,"type":"text","new":[1]}]}],"other":{}}}`,
		`{"number":2,"layer":{"entities":[{"name":"car","custom":true,"title":"x","fields":[{"name":"x","number":1001,"type":"choice","choices":["a"],"retired":["a"]}]}]}}`,
		`{"number":2,"layer":{"entities":[{"name":"contact","hidden":true,"fields":[{"name":"city","unique":true},{"name":"kind","retired":["person","company"],"default":null}]}]}}`,
		`{"number":2,"layer":{"entities":[{"name":"contact","fields":[{"name":"name","number":1002,"type":"link","target":"nothing","default":[1]}]},null]}}`,
		`{"number":2,"layer":null}`, `null`, `[]`, `{"number":2,"layer":{"entities":[{"name":"a","Name":"b","custom":true}]}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := decodeVersion(raw, 2, FirstCustom+10)
		if err != nil {
			if p := fault.Of(err); p.Key != "store.damaged" || p.Params["what"] != versionsBucket {
				t.Fatalf("%q: %v", raw, err)
			}
			return
		}
		s, err := build(builtin(), v.Layer, 2)
		if err != nil {
			t.Fatalf("%q cannot be built: %v", raw, err)
		}
		if again, err := build(builtin(), v.Layer.clone(), 2); err != nil || described(again) != described(s) {
			t.Fatalf("%q is another when it was written: %v", raw, err)
		}
	})
}

// FuzzOps: whatever ops say, they are done or refused in words, and never leave a schema that contradicts itself.
func FuzzOps(f *testing.F) {
	for _, seed := range []string{
		`[{"op":"add-field","entity":"contact","field":"x","labels":{"en":"X"},"type":"text","default":"a"}]`,
		`[{"op":"add-entity","entity":"car","labels":{"en":"Car"},"title":"plate","fields":[{"field":"plate","labels":{"en":"P"},"type":"text"}]},{"op":"hide-entity","entity":"car"}]`,
		`[{"op":"set","entity":"contact","field":"city","mark":"unique","value":true},{"op":"hide-field","entity":"contact","field":"city"}]`,
		`[{"op":"retire-choice","entity":"contact","field":"kind","choice":"person"},{"op":"add-choice","entity":"contact","field":"kind","choice":"x"}]`,
		`[{"op":"set","entity":"contact","field":"score","mark":"default","value":[1,{"a":null}]}]`,
		`[{"op":"rename-field","entity":"contact","field":"city","labels":{"en":""}}]`, `[null]`, `[{"op":1}]`, `{}`, `[{"op":"set","x":1}]`,
	} {
		f.Add([]byte(seed))
	}
	first, err := New(builtin()...)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		ops, err := ParseOps(raw)
		d := &draft{builtin: builtin(), layer: &layer{}, next: FirstCustom}
		for i := 0; i < len(ops) && err == nil; i++ {
			_ = ops[i].String()
			err = d.do(ops[i])
		}
		if err == nil {
			var s *Schema
			if s, err = build(builtin(), d.layer, 2); err != nil {
				t.Fatalf("%q: %v", raw, err)
			}
			if !d.layer.sound(d.next) {
				t.Fatalf("%q makes a layer that is refused when it is read", raw)
			}
			err = (&Registry{}).approve(first, s)
		}
		if err != nil && fault.KindOf(err) != fault.Invalid {
			t.Fatalf("%q: %v", raw, err)
		}
	})
}
