package record

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

func TestFieldsComeBackAsTheyWereGiven(t *testing.T) {
	o := open(t)
	parent := o.create(Values{"name": "הורה"})
	seen := time.Date(2026, 11, 22, 1, 2, 3, int(4*time.Millisecond), time.UTC)
	made := o.create(Values{"name": "דנה לוי", "emails": []any{"Dana@Example.com"}, "score": 2.5, "seen": seen, "vip": true,
		"kind": "person", "note": "a\nb", "born": "1990-02-28", "tags": []string{"x", "y"}, "parent": parent.ID.String()})
	r, err := o.Get(as(t, access.Owner), "contact", made.ID)
	must(t, err)
	score, scored := r.Number("score")
	_, noScore := parent.Number("score")
	for what, good := range map[string]bool{
		"name": r.Text("name") == "דנה לוי", "emails": slices.Equal(r.Texts("emails"), []string{"dana@example.com"}),
		"score": scored && score == 2.5, "no score": !noScore, "seen": r.Time("seen").Equal(seen), "vip": r.YesNo("vip"),
		"kind": r.Text("kind") == "person", "note": r.Text("note") == "a\nb", "born": r.Text("born") == "1990-02-28",
		"tags": slices.Equal(r.Texts("tags"), []string{"x", "y"}), "parent": r.Link("parent") == parent.ID,
		"version": r.Version() == 1, "author": r.CreatedBy() == "owner" && r.UpdatedBy() == "owner",
		"has": r.Has("vip") && !parent.Has("vip") && !r.Has("nothing"), "unknown field": r.Text("nothing") == "",
	} {
		if !good {
			t.Errorf("%s is not what was given", what)
		}
	}
	changed, err := o.Change(as(t, access.Manager), "contact", made.ID, 1, Values{"vip": false, "tags": nil, "score": nil})
	must(t, err)
	if changed.Has("vip") || changed.Has("tags") || changed.Has("score") || changed.Text("name") != "דנה לוי" {
		t.Error("emptying fields emptied others, or did not")
	}
	if changed.Version() != 2 || changed.CreatedBy() != "owner" || changed.UpdatedBy() != "manager" || !changed.UpdatedAt().After(changed.CreatedAt()) {
		t.Errorf("version %d by %s, made by %s", changed.Version(), changed.UpdatedBy(), changed.CreatedBy())
	}
}

func TestTheEpochIsAMoment(t *testing.T) {
	o := open(t)
	r := o.create(Values{"name": "x", "seen": "1970-01-01T00:00:00Z"})
	if !r.Has("seen") || !r.Time("seen").Equal(time.Unix(0, 0)) {
		t.Errorf("1970 reads as %v", r.Time("seen"))
	}
}

func TestStaleVersionIsAConflict(t *testing.T) {
	o, ctx := open(t), as(t, access.Owner)
	r := o.create(Values{"name": "first"})
	_, err := o.Change(ctx, "contact", r.ID, 1, Values{"name": "second"})
	must(t, err)
	_, err = o.Change(ctx, "contact", r.ID, 1, Values{"name": "lost"})
	wantKind(t, "change of a stale version", err, "conflict")
	_, err = o.Change(ctx, "contact", r.ID, 0, Values{"name": "lost"})
	wantKind(t, "change without a version", err, "invalid")
	wantKind(t, "delete of a stale version", o.Delete(ctx, "contact", r.ID, 1), "conflict")
	wantKind(t, "delete without a version", o.Delete(ctx, "contact", r.ID, 0), "conflict")
	if now, _ := o.Get(ctx, "contact", r.ID); now.Text("name") != "second" || now.Version() != 2 {
		t.Errorf("the record is %q, version %d", now.Text("name"), now.Version())
	}
}

func TestChangeOfNothingWritesNothing(t *testing.T) {
	o, ctx := open(t), as(t, access.Owner)
	r := o.create(Values{"name": "same", "tags": []string{"a"}})
	before, err := o.facts.Last(ctx)
	must(t, err)
	same, err := o.Change(ctx, "contact", r.ID, 1, Values{"name": " same ", "tags": []string{"a", "a"}, "note": ""})
	must(t, err)
	if after, _ := o.facts.Last(ctx); same.Version() != 1 || after != before {
		t.Errorf("version %d, %d new facts", same.Version(), after-before)
	}
}

func TestFactsNameTheChangedFieldsAndNoText(t *testing.T) {
	o, ctx := open(t), as(t, access.Owner)
	r := o.create(Values{"name": "a", "note": "b"})
	_, err := o.Change(ctx, "contact", r.ID, 1, Values{"name": "c", "note": "b", "vip": true})
	must(t, err)
	must(t, o.Delete(ctx, "contact", r.ID, 2))
	_, err = o.Restore(ctx, "contact", r.ID)
	must(t, err)
	facts, err := o.facts.After(ctx, 0, 10)
	must(t, err)
	var got []string
	for _, f := range facts {
		got = append(got, fmt.Sprint(f.Name, f.Fields, f.Card, f.Contact == r.ID.String()))
	}
	want := []string{"contact.created[name note] true true", "contact.changed[name vip] true true", "contact.deleted[] true true",
		"contact.restored[] true true"}
	if !slices.Equal(got, want) {
		t.Errorf("facts:\n%q\nwant\n%q", got, want)
	}
}

func TestDeleteAndRestore(t *testing.T) {
	o, ctx := open(t), as(t, access.Owner)
	r := o.create(Values{"name": "Gone Girl", "owner": "dana"})
	must(t, o.Delete(ctx, "contact", r.ID, 1))
	_, err := o.Get(ctx, "contact", r.ID)
	wantKind(t, "get of what was deleted", err, "not-found")
	wantKind(t, "second delete", o.Delete(ctx, "contact", r.ID, 1), "not-found")
	if hits, _ := o.index.Find(ctx, "gone", 5); len(hits) != 0 {
		t.Errorf("lookup finds what was deleted: %v", hits)
	}
	_, err = o.Restore(as(t, access.Agent, "dana"), "contact", r.ID)
	wantKind(t, "restore by an agent", err, "forbidden")
	_, err = o.Restore(as(t, access.Agent, "yossi"), "contact", r.ID)
	wantKind(t, "restore by a stranger", err, "not-found")
	back, err := o.Restore(ctx, "contact", r.ID)
	must(t, err)
	if back.Text("name") != "Gone Girl" || back.Version() != 1 {
		t.Errorf("restored %q, version %d", back.Text("name"), back.Version())
	}
	if hits, _ := o.index.Find(ctx, "gone", 5); len(hits) != 1 {
		t.Errorf("lookup finds %v after restore", hits)
	}
	_, err = o.Restore(ctx, "contact", r.ID)
	wantKind(t, "second restore", err, "not-found")
	must(t, o.Check(ctx))
}

func TestRestoreOverANewRecordIsAConflict(t *testing.T) {
	o, ctx := open(t), as(t, access.Owner)
	r := o.create(Values{"name": "old"})
	must(t, o.Delete(ctx, "contact", r.ID, 1))
	must(t, o.Update(ctx, func(tx store.Tx) error {
		_, err := o.CreateTx(ctx, tx, Change{Entity: "contact", ID: r.ID, Values: Values{"name": "new"}})
		return err
	}))
	_, err := o.Restore(ctx, "contact", r.ID)
	wantKind(t, "restore", err, "conflict")
	must(t, o.Check(ctx))
}

func TestForeignIDsAndNames(t *testing.T) {
	o, ctx := open(t), as(t, access.Owner)
	r := o.create(Values{"name": "x"})
	for what, call := range map[string]func() error{
		"id of another entity": func() error { _, err := o.Get(ctx, "conversation", r.ID); return err },
		"unknown id":           func() error { _, err := o.Get(ctx, "contact", NewID()); return err },
		"unknown entity":       func() error { _, err := o.Get(ctx, "no.such", r.ID); return err },
		"create of unknown":    func() error { _, err := o.Create(ctx, "no.such", nil); return err },
		"change of unknown":    func() error { _, err := o.Change(ctx, "no.such", r.ID, 1, nil); return err },
		"delete of unknown":    func() error { return o.Delete(ctx, "no.such", r.ID, 1) },
		"restore of unknown":   func() error { _, err := o.Restore(ctx, "no.such", r.ID); return err },
		"list of unknown":      func() error { _, err := o.List(ctx, Query{Entity: "no.such"}); return err },
		"count of unknown":     func() error { _, _, err := o.Count(ctx, Query{Entity: "no.such"}); return err },
	} {
		wantKind(t, what, call(), "not-found")
	}
	ok, err := o.Visible(ctx, "conversation", r.ID)
	must(t, err)
	if ok {
		t.Error("a contact is visible as a conversation")
	}
}

func TestLinksLeadToWhatOneMaySee(t *testing.T) {
	o := open(t)
	mine, theirs := o.create(Values{"name": "a", "owner": "dana"}), o.create(Values{"name": "b", "owner": "yossi"})
	agent := as(t, access.Agent, "dana")
	for what, id := range map[string]ID{"another's": theirs.ID, "nobody": NewID()} {
		_, err := o.Create(agent, "contact", Values{"name": "c", "parent": id})
		wantField(t, "create with a link to "+what, err, "parent", "field.link")
		_, err = o.Change(agent, "contact", mine.ID, 1, Values{"parent": id})
		wantField(t, "change to a link to "+what, err, "parent", "field.link")
	}
	_, err := o.Create(agent, "contact", Values{"name": "c", "parent": mine.ID})
	must(t, err)
	must(t, o.Check(agent))
}

// TestRefusedWriteLeavesNothing lets a write fail at its hook inside a transaction that goes on, as an import does.
func TestRefusedWriteLeavesNothing(t *testing.T) {
	o, ctx := open(t), as(t, access.Owner)
	o.Watch("contact", func(_ context.Context, _ store.Tx, _, after Record) error {
		if after.Exists() && after.Text("name") == "bad" {
			return fault.InvalidField("name", "field.bad")
		}
		return nil
	})
	good := o.create(Values{"name": "good"})
	must(t, o.Update(ctx, func(tx store.Tx) error {
		if _, err := o.CreateTx(ctx, tx, Change{Entity: "contact", Values: Values{"name": "bad"}}); err == nil {
			return errors.New("the hook was not asked")
		}
		if _, err := o.ChangeTx(ctx, tx, Change{Entity: "contact", ID: good.ID, Values: Values{"name": "bad"}}); err == nil {
			return errors.New("the hook was not asked")
		}
		return nil
	}))
	must(t, o.Check(ctx))
	if n, _, _ := o.Count(ctx, Query{Entity: "contact"}); n != 1 {
		t.Errorf("%d contacts, want 1", n)
	}
	if now, _ := o.Get(ctx, "contact", good.ID); now.Text("name") != "good" {
		t.Errorf("a refused change stands: %q", now.Text("name"))
	}
}

func TestAFieldThatTheSchemaLostStays(t *testing.T) {
	o, ctx := open(t), as(t, access.Owner)
	r := o.create(Values{"name": "x", "note": "keep me", "tags": []string{"t"}})
	small := entities()
	small[0].Fields = slices.DeleteFunc(small[0].Fields, func(f schema.Field) bool { return f.Name == "note" })
	s, err := schema.New(small...)
	must(t, err)
	gate, err := access.NewGate()
	must(t, err)
	later := NewBook(Parts{DB: o.db, Schema: schema.Fixed(s), Gate: gate, Journal: o.facts, Now: o.clock.now})
	_, err = later.Change(ctx, "contact", r.ID, 1, Values{"name": "y"})
	must(t, err)
	if now, _ := o.Get(ctx, "contact", r.ID); now.Text("note") != "keep me" || now.Text("name") != "y" || now.Text("tags") != "t" {
		t.Errorf("after the change: %q %q %q", now.Text("name"), now.Text("note"), now.Text("tags"))
	}
}

func TestDamagedRecordIsFoundAndNotWrittenOver(t *testing.T) {
	o, ctx := open(t), as(t, access.Owner)
	r := o.create(Values{"name": "x", "note": "y"})
	must(t, o.Check(ctx))
	must(t, o.Update(ctx, func(tx store.Tx) error {
		tx.Bucket("record.contact").Put(r.ID[:], append(slices.Clone(r.raw), 0xff))
		return nil
	}))
	wantKind(t, "change", second(o.Change(ctx, "contact", r.ID, 1, Values{"name": "z"})), "internal")
	wantKind(t, "check", o.Check(ctx), "invalid")
}

func second[T any](_ T, err error) error { return err }

func TestCheckFindsWhatDisagrees(t *testing.T) {
	for what, spoil := range map[string]func(store.Tx, Record){
		"lost index key": func(tx store.Tx, r Record) {
			tx.Bucket("index.contact.name").Delete([]byte("\x00\x01x\x00" + string(r.ID[:])))
		},
		"extra index key": func(tx store.Tx, r Record) {
			tx.Bucket("index.contact.name").Put([]byte("\x00\x01y\x00"+string(r.ID[:])), nil)
		},
		"wrong count":     func(tx store.Tx, r Record) { count(tx, "contact", "", 1) },
		"wrong own count": func(tx store.Tx, r Record) { count(tx, "contact", "dana", 1); count(tx, "contact", "", -1) },
		"lost record":     func(tx store.Tx, r Record) { tx.Bucket("record.contact").Delete(r.ID[:]) },
	} {
		o, ctx := open(t), as(t, access.Owner)
		r := o.create(Values{"name": "x"})
		must(t, o.Update(ctx, func(tx store.Tx) error { spoil(tx, r); return nil }))
		wantKind(t, what, o.Check(ctx), "invalid")
	}
}

// TestManyWritersLoseNothing lets many add to one record, each beginning anew when another was first.
func TestManyWritersLoseNothing(t *testing.T) {
	o, ctx := open(t), as(t, access.Owner)
	r := o.create(Values{"name": "x", "score": 0.0})
	const writers, rounds = 8, 15
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for done := 0; done < rounds; {
				now, err := o.Get(ctx, "contact", r.ID)
				if err != nil {
					t.Error(err)
					return
				}
				n, _ := now.Number("score")
				_, err = o.Change(ctx, "contact", r.ID, now.Version(), Values{"score": n + 1})
				switch {
				case err == nil:
					done++
				case fault.KindOf(err) != fault.Conflict:
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	now, err := o.Get(ctx, "contact", r.ID)
	must(t, err)
	if n, _ := now.Number("score"); n != writers*rounds || now.Version() != writers*rounds+1 {
		t.Errorf("sum %v, version %d, want %d and %d", n, now.Version(), writers*rounds, writers*rounds+1)
	}
}
