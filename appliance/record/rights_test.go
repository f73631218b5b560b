package record

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

// allOf grants everything of all entities.
var allOf = access.Grant{Entity: "*", Verb: "*", Scope: access.All}

// TestHiddenFieldsAreNotThere asks at each door for a field that is hidden from a role, and of one that does not exist:
// the answers must not differ.
func TestHiddenFieldsAreNotThere(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	s.role("blind", []access.Grant{allOf}, access.FieldRule{Entity: "thing", Field: "cost", Right: access.Hide},
		access.FieldRule{Entity: "thing", Field: "score", Right: access.Hide}, access.FieldRule{Entity: "thing", Field: "over", Right: access.Hide})
	blind := as(t, "blind")
	top, err := s.Create(owner, "thing", Values{"name": "top", "score": 1.0})
	must(t, err)
	r, err := s.Create(owner, "thing", Values{"name": "x", "score": 10.0, "cost": 4.0, "size": 2.0, "over": top.ID})
	must(t, err)
	r, err = s.Change(owner, "thing", r.ID, r.Version(), Values{"cost": 5.0, "size": 3.0})
	must(t, err)
	look := func(door string, r Record) {
		t.Helper()
		_, scored := r.Number("score")
		if told := r.Fields(); scored || r.Has("cost") || r.Reads("cost") || !r.Link("over").Zero() || told["cost"] != nil || told["score"] != nil ||
			told["margin"] != nil || told["double"] != nil || r.Computed("double") != nil {
			t.Errorf("%s shows %v", door, told)
		}
		if n, ok := r.Number("size"); !ok || n < 3 {
			t.Errorf("%s does not show the size", door)
		}
	}
	got, err := s.Get(blind, "thing", r.ID)
	must(t, err)
	look("get", got)
	page, err := s.List(blind, Query{Entity: "thing", Filter: s.filter(blind, `size = 3`)})
	must(t, err)
	for _, found := range page.Records {
		look("list", found)
	}
	if len(page.Records) != 1 {
		t.Errorf("lists %d", len(page.Records))
	}
	changed, err := s.Change(blind, "thing", r.ID, r.Version(), Values{"size": 4.0})
	must(t, err)
	look("change", changed)
	revisions, err := s.History(blind, "thing", r.ID, 0, 0)
	must(t, err)
	if len(revisions) != 2 || len(revisions[0].Changes) != 1 || len(revisions[1].Changes) != 1 || revisions[1].Changes[0].Field != "size" {
		t.Errorf("history %+v", revisions)
	}
	must(t, s.Delete(blind, "thing", r.ID, changed.Version()))
	bin, _, err := s.Bin(blind, "thing", ID{}, 0)
	must(t, err)
	look("bin", bin[0].Record)
	back, err := s.Restore(blind, "thing", r.ID)
	must(t, err)
	look("restore", back)
	for name, door := range map[string]func(field string) error{
		"filter":         func(f string) error { return second(s.Parse(blind, "thing", f+` is empty`)) },
		"filter by link": func(f string) error { return second(s.Parse(blind, "part", `of.`+f+` is empty`)) },
		"sort":           func(f string) error { return second(s.List(blind, Query{Entity: "thing", Sort: f})) },
		"sort backwards": func(f string) error { return second(s.List(blind, Query{Entity: "thing", Sort: "-" + f})) },
		"count sorted": func(f string) error {
			return second(s.CountAll(blind, Query{Entity: "thing", Sort: f, Valued: true}))
		},
		"field":        func(f string) error { return second(s.List(blind, Query{Entity: "thing", Field: f, Value: 10.0})) },
		"explain":      func(f string) error { return second(s.Explain(blind, Query{Entity: "thing", Sort: f})) },
		"create":       func(f string) error { return second(s.Create(blind, "thing", Values{f: 1.0})) },
		"create empty": func(f string) error { return second(s.Create(blind, "thing", Values{f: nil})) },
		"change":       func(f string) error { return second(s.Change(blind, "thing", r.ID, changed.Version(), Values{f: 1.0})) },
		"change many": func(f string) error {
			return problemOf(s.ChangeMany(blind, Query{Entity: "thing"}, Values{f: 1.0}, nil))
		},
		"explain field": func(f string) error { return second(s.Explain(blind, Query{Entity: "thing", Field: f, Value: 10.0})) },
	} {
		hidden, unknown := door("score"), door("zzzzz")
		if hidden == nil || unknown == nil {
			t.Errorf("%s: hidden %v, unknown %v", name, hidden, unknown)
			continue
		}
		a, b := fault.Of(hidden), fault.Of(unknown)
		if a.Kind != b.Kind || a.Key != b.Key || strings.ReplaceAll(hidden.Error(), "score", "zzzzz") != unknown.Error() {
			t.Errorf("%s tells a hidden field from one that does not exist:\n%v\n%v", name, hidden, unknown)
		}
	}
}

// problemOf is the fault of a bulk act, or the reason why it left the first record.
func problemOf(act Bulk, err error) error {
	if err == nil && len(act.Problems) > 0 {
		err = fault.New(fault.Invalid, act.Problems[0].Key)
	}
	return err
}

// TestReadOnlyFields reads a field everywhere and writes it nowhere.
func TestReadOnlyFields(t *testing.T) {
	s := openShop(t, every())
	owner := as(t, access.Owner)
	s.role("reader", []access.Grant{allOf}, access.FieldRule{Entity: "thing", Field: "score", Right: access.ReadOnly},
		access.FieldRule{Entity: "every", Field: "level", Right: access.ReadOnly})
	reader := as(t, "reader")
	r, err := s.Create(owner, "thing", Values{"name": "x", "score": 10.0})
	must(t, err)
	if got, err := s.Get(reader, "thing", r.ID); err != nil || got.Fields()["score"] != 10.0 || got.Computed("double") != 20.0 {
		t.Errorf("reads %v, %v", got.Fields(), err)
	}
	page, err := s.List(reader, Query{Entity: "thing", Filter: s.filter(reader, `score = 10`), Sort: "score"})
	if err != nil || len(page.Records) != 1 {
		t.Errorf("lists %d, %v", len(page.Records), err)
	}
	_, err = s.Change(reader, "thing", r.ID, r.Version(), Values{"score": 11.0})
	wantField(t, "change", err, "score", "field.read-only")
	_, err = s.Change(reader, "thing", r.ID, r.Version(), Values{"score": nil})
	wantField(t, "empty", err, "score", "field.read-only")
	_, err = s.Create(reader, "thing", Values{"score": 1.0})
	wantField(t, "create", err, "score", "field.read-only")
	act, err := s.ChangeMany(reader, Query{Entity: "thing"}, Values{"score": 1.0}, nil)
	if err != nil || act.Done != 0 || act.Skipped != 1 {
		t.Errorf("bulk %+v, %v", act, err)
	}
	r, err = s.Change(reader, "thing", r.ID, r.Version(), Values{"score": 10.0, "name": "y"}) // a form sends all it shows
	must(t, err)
	_, err = s.Create(reader, "every", Values{"level": 9.0})
	wantField(t, "create with another than the default", err, "level", "field.read-only")
	made, err := s.Create(reader, "every", Values{"line": "x"})
	if n, _ := made.Number("level"); err != nil || n != 5 {
		t.Errorf("the default is %v, %v", n, err)
	}
	if score, _ := r.Number("score"); score != 10 {
		t.Errorf("the score is %v", score)
	}
}

// TestOwnerIsFilledInWhereNobodyMayWriteIt makes records as one who sees own ones only.
func TestOwnerIsFilledInWhereNobodyMayWriteIt(t *testing.T) {
	s := openShop(t)
	for _, right := range []access.Right{access.ReadOnly, access.Hide} {
		role := access.Role("own-" + string(right))
		s.role(role, []access.Grant{{Entity: "*", Verb: "*", Scope: access.Own}, {Entity: "*", Verb: access.Create, Scope: access.All}}, access.FieldRule{Entity: "thing", Field: "owner", Right: right})
		r, err := s.Create(as(t, role, "dana"), "thing", Values{"name": "x"})
		must(t, err)
		if whole, err := s.Get(as(t, access.Owner), "thing", r.ID); err != nil || whole.Text("owner") != "dana" {
			t.Errorf("%s: owned by %q, %v", right, whole.Text("owner"), err)
		}
		_, err = s.Create(as(t, role, "dana"), "thing", Values{"name": "x", "owner": "yossi"})
		wantKind(t, "create for another", err, "invalid")
	}
}

// TestConditionsOfRoles limits seeing and changing by what a record holds.
func TestConditionsOfRoles(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	s.role("small", []access.Grant{allOf, {Entity: "thing", Verb: access.See, Scope: access.All, Where: "score < 5"},
		{Entity: "thing", Verb: access.Change, Scope: access.All, Where: `kind = "a"`}})
	small := as(t, "small")
	ids := map[string]ID{}
	for name, v := range map[string]Values{
		"seen":      {"score": 1.0, "kind": "a"},
		"fixed":     {"score": 1.0, "kind": "b"},
		"big":       {"score": 9.0, "kind": "a"},
		"scoreless": {"kind": "a"},
	} {
		v["name"] = name
		r, err := s.Create(owner, "thing", v)
		must(t, err)
		ids[name] = r.ID
	}
	for name, want := range map[string][3]string{ // get, change, delete; of a stale version, so that "conflict" is an open door
		"seen": {"", "conflict", "conflict"}, "fixed": {"", "forbidden", "conflict"},
		"big": {"not-found", "not-found", "not-found"}, "scoreless": {"not-found", "not-found", "not-found"},
	} {
		wantKind(t, "get "+name, second(s.Get(small, "thing", ids[name])), want[0])
		wantKind(t, "history of "+name, second(s.History(small, "thing", ids[name], 0, 0)), want[0])
		wantKind(t, "change "+name, second(s.Change(small, "thing", ids[name], 9, Values{"city": "x"})), want[1])
		wantKind(t, "delete "+name, s.Delete(small, "thing", ids[name], 9), want[2])
	}
	for _, sort := range []string{"", "-", "name", "-score"} {
		page, err := s.List(small, Query{Entity: "thing", Sort: sort})
		must(t, err)
		got := names(page.Records)
		slices.Sort(got)
		if !slices.Equal(got, []string{"fixed", "seen"}) {
			t.Errorf("by %q: %q", sort, got)
		}
	}
	if n, exact, err := s.Count(small, Query{Entity: "thing"}); err != nil || n != 2 || !exact {
		t.Errorf("counts %d, %v, %v", n, exact, err)
	}
	_, err := s.Change(small, "thing", ids["seen"], 1, Values{"kind": "b"})
	wantKind(t, "change out of reach of change", err, "forbidden")
	_, err = s.Change(small, "thing", ids["seen"], 1, Values{"score": 7.0})
	wantKind(t, "change out of sight", err, "forbidden")
	_, err = s.Create(small, "thing", Values{"score": 8.0})
	wantKind(t, "create out of sight", err, "forbidden")
	_, err = s.Create(small, "thing", Values{"score": 2.0, "over": ids["big"]})
	wantField(t, "link to what is out of sight", err, "over", "field.link")
	act, err := s.ChangeMany(small, Query{Entity: "thing"}, Values{"city": "x"}, nil)
	if err != nil || act.Total != 2 || act.Done != 1 || act.Problems[0].ID != ids["fixed"] {
		t.Errorf("bulk %+v, %v", act, err)
	}
	must(t, s.Check(owner))
}

// TestConditionThatCannotBeReadDenies has a role whose condition names a field that another program's schema lacks.
func TestConditionThatCannotBeReadDenies(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	s.role("sized", []access.Grant{allOf, {Entity: "thing", Verb: access.See, Scope: access.All, Where: "size < 5 or size is empty"}})
	r, err := s.Create(owner, "thing", Values{"name": "x", "size": 1.0})
	must(t, err)
	_, err = s.Get(as(t, "sized"), "thing", r.ID)
	must(t, err)
	less := wide()
	less[0].Fields = slices.DeleteFunc(less[0].Fields, func(f schema.Field) bool { return f.Name == "size" })
	small, err := schema.New(less...)
	must(t, err)
	later := NewBook(Parts{DB: s.db, Schema: schema.Fixed(small), Gate: s.gate, Journal: s.journal, Now: s.clock.now})
	sized := as(t, "sized")
	wantKind(t, "get", second(later.Get(sized, "thing", r.ID)), "not-found")
	wantKind(t, "change", second(later.Change(sized, "thing", r.ID, 1, Values{"name": "y"})), "not-found")
	wantKind(t, "delete", later.Delete(sized, "thing", r.ID, 1), "not-found")
	wantKind(t, "create", second(later.Create(sized, "thing", Values{"name": "y"})), "forbidden")
	page, err := later.List(sized, Query{Entity: "thing"})
	n, exact, countErr := later.Count(sized, Query{Entity: "thing", Sort: "name"})
	if err != nil || countErr != nil || len(page.Records) != 0 || n != 0 || !exact {
		t.Errorf("lists %d, %v, counts %d, %v", len(page.Records), err, n, countErr)
	}
	_, err = later.Get(owner, "thing", r.ID)
	must(t, err)
}

// TestRightsCountAtOnce changes a role between two questions.
func TestRightsCountAtOnce(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	r, err := s.Create(owner, "thing", Values{"name": "x", "cost": 1.0, "score": 3.0})
	must(t, err)
	ctx := as(t, "changing")
	read := func() (shown []string) {
		got, err := s.Get(ctx, "thing", r.ID)
		if err != nil {
			return []string{fault.KindOf(err).String()}
		}
		for name := range got.Fields() {
			shown = append(shown, name)
		}
		slices.Sort(shown)
		return shown
	}
	want := func(when string, want ...string) {
		t.Helper()
		if got := read(); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
	}
	s.role("changing", []access.Grant{allOf})
	want("all", "cost", "double", "margin", "name", "score")
	s.role("changing", []access.Grant{allOf}, access.FieldRule{Entity: "thing", Field: "cost", Right: access.Hide})
	want("without the cost", "double", "name", "score")
	s.role("changing", []access.Grant{allOf, {Entity: "thing", Verb: access.See, Scope: access.All, Where: "score > 3"}})
	want("of more than three", "not-found")
	s.role("changing", []access.Grant{allOf, {Entity: "thing", Verb: access.See, Scope: access.None}})
	want("none", "not-found")
}

// TestFollowedLinksAreTheReaders filters through a link to what the reader may not see, or not all of.
func TestFollowedLinksAreTheReaders(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	s.role("no-city", []access.Grant{allOf}, access.FieldRule{Entity: "thing", Field: "city", Right: access.Hide})
	thing, err := s.Create(owner, "thing", Values{"name": "secret", "city": "x", "owner": "yossi"})
	must(t, err)
	_, err = s.Create(owner, "part", Values{"of": thing.ID, "name": "p", "owner": "dana"})
	must(t, err)
	count := func(ctx context.Context, text string) int {
		t.Helper()
		f, err := s.Parse(ctx, "part", text)
		must(t, err)
		n, err := s.CountAll(ctx, Query{Entity: "part", Filter: f})
		must(t, err)
		return n
	}
	if n := count(owner, `of.name = "secret"`); n != 1 {
		t.Errorf("the owner finds %d", n)
	}
	if n := count(as(t, "mine", "dana"), `of.name = "secret"`); n != 0 {
		t.Errorf("through a link to another's thing dana finds %d", n)
	}
	if n := count(as(t, "mine", "dana"), `of.name is empty`); n != 1 {
		t.Errorf("of a thing that is not hers dana finds no empty name but %d", n)
	}
	_, err = s.Parse(as(t, "no-city"), "part", `of.city = "x"`)
	wantKind(t, "a hidden field through a link", err, "invalid")
	must(t, s.View(owner, func(tx store.Tx) error {
		for _, r := range s.everything("part") {
			if s.Allowed(as(t, "mine", "anna"), tx, access.See, r) {
				t.Error("anna sees dana's part")
			}
		}
		return nil
	}))
}
