package schema

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

// builtin are as the rooms' own entities, only smaller.
func builtin() []Entity {
	return []Entity{
		{Name: "contact", Title: "name", Owner: "owner", Contact: "id", Fields: []Field{
			{Number: 16, Name: "name", Type: Text, Indexed: true, Required: true},
			{Number: 17, Name: "owner", Type: Staff, Indexed: true},
			{Number: 18, Name: "kind", Type: Choice, Choices: []string{"person", "company"}},
			{Number: 19, Name: "handles", Type: Text, Many: true, Closed: true},
			{Number: 20, Name: "city", Type: Text},
			{Number: 21, Name: "score", Type: Number, Default: 5.0},
		}},
		{Name: "task", Title: "subject", Contact: "contact", Fields: []Field{
			{Number: 16, Name: "subject", Type: Text},
			{Number: 17, Name: "contact", Type: Link, Target: "contact", Indexed: true},
		}},
	}
}

var now = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// office is a registry with the store it lies in.
type office struct {
	*Registry
	db    store.DB
	facts *journal.Journal
}

func openStore(t testing.TB) store.DB {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "karov.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func openOffice(t testing.TB, set ...Entity) *office {
	t.Helper()
	if set == nil {
		set = builtin()
	}
	return reopen(t, openStore(t), set...)
}

func reopen(t testing.TB, db store.DB, set ...Entity) *office {
	t.Helper()
	gate, err := access.NewGate()
	if err != nil {
		t.Fatal(err)
	}
	facts := journal.New(db, time.Now)
	r, err := Open(t.Context(), db, Options{Journal: facts, Gate: gate, Now: func() time.Time { return now }}, set...)
	if err != nil {
		t.Fatal(err)
	}
	return &office{r, db, facts}
}

func as(role access.Role) context.Context {
	return access.WithActor(context.Background(), access.Actor{ID: string(role) + "-1", Role: role})
}

var boss = as(access.Owner)

func names(lang string) map[string]string { return map[string]string{"en": lang} }

func newField(entity, field string, d Definition) Op {
	return Op{Kind: AddField, Entity: entity, Field: field, Labels: names(field), Definition: d}
}

// change does what must work.
func (o *office) change(t testing.TB, ops ...Op) *Schema {
	t.Helper()
	s, err := o.Change(boss, o.Current().Version(), ops...)
	if err != nil {
		t.Fatalf("%v: %v", ops, err)
	}
	return s
}

func (o *office) revert(t testing.TB, to uint64) *Schema {
	t.Helper()
	s, err := o.Revert(boss, o.Current().Version(), to)
	if err != nil {
		t.Fatalf("revert to %d: %v", to, err)
	}
	return s
}

// described is what a schema says, without what only this package sees.
func described(s *Schema) string {
	raw, err := json.Marshal(s.Entities())
	if err != nil {
		panic(err)
	}
	return string(raw)
}

func TestOfficeAddsAndNames(t *testing.T) {
	o := openOffice(t)
	if s := o.Current(); s.Version() != 1 || s.Entity("contact").Field("city") == nil {
		t.Fatalf("an untouched store has version %d", s.Version())
	}
	s := o.change(t,
		newField("contact", "shoe_size", Definition{Type: Number, Indexed: true, Default: 42.0}),
		newField("contact", "passport", Definition{Type: Text, Unique: true, Sensitive: true, Searched: true, Max: 20}),
		newField("contact", "hobbies", Definition{Type: Choice, Many: true, Choices: []string{"chess", "סריגה"}, Default: []string{"chess"},
			ChoiceLabels: map[string]map[string]string{"chess": {"ru": "шахматы"}}}),
		newField("contact", "debt", Definition{Type: Money, Currency: "ILS", Default: "0.50"}),
		Op{Kind: RenameField, Entity: "contact", Field: "city", Labels: map[string]string{"he": "יישוב"}},
		Op{Kind: AddEntity, Entity: "car", Title: "plate", Owner: "keeper", Contact: "driver", Timeline: true, Labels: names("Car"), Plurals: names("Cars"),
			Fields: []NewField{{"plate", names("Plate"), Definition{Type: Text, Unique: true}}, {"keeper", names("Keeper"), Definition{Type: Staff}},
				{"driver", names("Driver"), Definition{Type: Link, Target: "contact", Indexed: true}}}},
		newField("contact", "cars", Definition{Type: Link, Target: "car", Many: true}),
	)
	e := s.Entity("contact")
	if f := e.Field("shoe_size"); f.Number != FirstCustom || !f.Custom || !f.Indexed || f.Default != 42.0 || f.Labels["en"] != "shoe_size" || e.Numbered(FirstCustom) != f {
		t.Errorf("shoe_size is %+v", f)
	}
	if f := e.Field("passport"); f.Number != FirstCustom+1 || !f.Indexed || !f.Unique || !f.Sensitive || !f.Searched || f.Max != 20 {
		t.Errorf("passport is %+v", f)
	}
	if f := e.Field("hobbies"); !reflect.DeepEqual(f.Default, []string{"chess"}) || f.ChoiceLabels["chess"]["ru"] != "шахматы" {
		t.Errorf("hobbies is %+v", f)
	}
	if f := e.Field("city"); f.Custom || f.Number != 20 || f.Labels["he"] != "יישוב" {
		t.Errorf("city is %+v", f)
	}
	car := s.Entity("car")
	if car == nil || !car.Custom || car.Title != "plate" || car.Owner != "keeper" || car.Contact != "driver" || !car.Timeline || car.Plurals["en"] != "Cars" {
		t.Fatalf("car is %+v", car)
	}
	if s.Version() != 2 || o.Current() != s {
		t.Errorf("version %d is not current", s.Version())
	}
	again := reopen(t, o.db, builtin()...).Current()
	if described(again) != described(s) || again.Version() != 2 {
		t.Errorf("another registry reads\n%s\nfor\n%s", described(again), described(s))
	}
}

func TestMarksAndChoicesAndHiding(t *testing.T) {
	o := openOffice(t)
	set := func(field, mark string, value any) Op {
		return Op{Kind: Set, Entity: "contact", Field: field, Mark: mark, Value: value}
	}
	choice := func(kind OpKind, field, choice string) Op {
		return Op{Kind: kind, Entity: "contact", Field: field, Choice: choice, Labels: names(choice)}
	}
	s := o.change(t, set("city", "required", true), set("city", "unique", true), set("score", "default", nil), set("city", "sensitive", true),
		choice(AddChoice, "kind", "club"), choice(RetireChoice, "kind", "company"), newField("contact", "f", Definition{Type: Formula, Formula: "1"}), set("f", "formula", "2"))
	e := s.Entity("contact")
	city, kind := e.Field("city"), e.Field("kind")
	if !city.Required || !city.Unique || !city.Indexed || !city.Sensitive || e.Field("score").Default != nil || e.Field("f").Formula != "2" {
		t.Errorf("marks are %+v, score %+v", city, e.Field("score"))
	}
	if !slices.Equal(kind.Choices, []string{"person", "club"}) || !slices.Equal(kind.Retired, []string{"company"}) || kind.ChoiceLabels["club"]["en"] != "club" {
		t.Errorf("kind is %+v", kind)
	}
	s = o.change(t, set("city", "required", false), set("city", "unique", false), set("city", "indexed", false), set("city", "sensitive", false), set("score", "default", 5.0),
		choice(RetireChoice, "kind", "club"), choice(ShowChoice, "kind", "company"), Op{Kind: HideField, Entity: "contact", Field: "city"}, Op{Kind: HideEntity, Entity: "task"})
	e = s.Entity("contact")
	if city, kind := e.Field("city"), e.Field("kind"); city.Required || city.Unique || city.Indexed || city.Sensitive || !city.Hidden || e.Field("score").Default != 5.0 ||
		!slices.Equal(kind.Choices, []string{"person", "company"}) || !slices.Equal(kind.Retired, []string{"club"}) || !s.Entity("task").Hidden {
		t.Errorf("taken back: %+v %+v", city, kind)
	}
	s = o.change(t, choice(ShowChoice, "kind", "club"), Op{Kind: ShowField, Entity: "contact", Field: "city"}, Op{Kind: ShowEntity, Entity: "task"})
	if e = s.Entity("contact"); e.Field("city").Hidden || s.Entity("task").Hidden || !slices.Contains(e.Field("kind").Choices, "club") {
		t.Error("shown again, and still hidden")
	}
	before := s.Version()
	if s = o.change(t, Op{Kind: ShowEntity, Entity: "task"}, set("city", "required", false)); s.Version() != before {
		t.Errorf("what changes nothing made version %d", s.Version())
	}
}

func TestOneOfTwoManagersIsTold(t *testing.T) {
	o := openOffice(t)
	manager := as(access.Manager)
	if _, err := o.Change(manager, 1, newField("contact", "a", Definition{Type: Text})); err != nil {
		t.Fatal(err)
	}
	_, err := o.Change(boss, 1, newField("contact", "b", Definition{Type: Text}))
	f := fault.Of(err)
	if f.Kind != fault.Conflict || f.Key != "schema.changed" || f.Params["version"] != "2" || f.Params["by"] != "manager-1" || f.Params["at"] != "2026-11-22T10:00:00Z" {
		t.Errorf("the second is told %v", err)
	}
	if _, err := o.Revert(boss, 1, 1); fault.KindOf(err) != fault.Conflict {
		t.Errorf("a revert over a change: %v", err)
	}
	if _, err := o.Preview(boss, 3, newField("contact", "b", Definition{Type: Text})); fault.KindOf(err) != fault.Conflict {
		t.Errorf("a version that is not yet: %v", err)
	}
}

func TestWhoMayChange(t *testing.T) {
	o := openOffice(t)
	for _, role := range []access.Role{access.Agent, access.Viewer, access.Plugin} {
		for what, do := range map[string]func() error{
			"change": func() error {
				_, err := o.Change(as(role), 1, newField("contact", "x", Definition{Type: Text}))
				return err
			},
			"revert":   func() error { _, err := o.Revert(as(role), 1, 1); return err },
			"preview":  func() error { _, err := o.Preview(as(role), 1); return err },
			"versions": func() error { _, err := o.Versions(as(role), 0, 10); return err },
		} {
			if err := do(); fault.KindOf(err) != fault.Forbidden {
				t.Errorf("%s may %s: %v", role, what, err)
			}
		}
	}
	if _, err := o.Change(context.Background(), 1); fault.KindOf(err) != fault.Unauthenticated {
		t.Errorf("nobody: %v", err)
	}
	if _, err := Fixed(o.Current()).Change(boss, 1); fault.Of(err).Key != "schema.fixed" {
		t.Errorf("a fixed one changes: %v", err)
	}
}

func TestFactsAndVersions(t *testing.T) {
	o := openOffice(t)
	o.change(t, newField("contact", "secret_name", Definition{Type: Text}), Op{Kind: RenameEntity, Entity: "task", Labels: names("Very private")})
	o.revert(t, 1)
	facts, err := o.facts.After(t.Context(), 0, 10)
	if err != nil || len(facts) != 2 {
		t.Fatalf("%d facts, %v", len(facts), err)
	}
	raw, _ := json.Marshal(facts)
	if f := facts[0]; f.Name != "schema.changed" || f.Entity != "schema" || f.ID != "2" || f.Actor != "owner-1" || f.About["version"] != "2" ||
		f.About["ops"] != "add-field rename-entity" || !slices.Equal(f.Fields, []string{"contact.secret_name", "task"}) || bytes.Contains(raw, []byte("private")) {
		t.Errorf("the fact is %+v", f)
	}
	if f := facts[1]; f.Name != "schema.reverted" || f.About["to"] != "1" || f.About["version"] != "3" {
		t.Errorf("the fact is %+v", f)
	}
	versions, err := o.Versions(boss, 0, 10)
	if err != nil || len(versions) != 2 || versions[1].Number != 2 || !versions[1].At.Equal(now) || versions[1].By != "owner-1" ||
		versions[1].Ops[0].String() != "add-field contact.secret_name text" || versions[0].To != 1 {
		t.Errorf("versions are %+v, %v", versions, err)
	}
	for _, c := range []struct {
		before uint64
		limit  int
		want   uint64
	}{{0, 1, 3}, {3, 10, 2}, {99, 1, 3}} {
		if page, err := o.Versions(boss, c.before, c.limit); err != nil || len(page) != 1 || page[0].Number != c.want {
			t.Errorf("%d before %d are %+v, %v", c.limit, c.before, page, err)
		}
	}
	if page, err := o.Versions(boss, 2, 10); err != nil || len(page) != 0 {
		t.Errorf("before the first there is %+v, %v", page, err)
	}
}

func TestRevertLosesNothing(t *testing.T) {
	o := openOffice(t)
	o.change(t, newField("contact", "size", Definition{Type: Choice, Choices: []string{"s", "m"}}), Op{Kind: RenameField, Entity: "contact", Field: "city", Labels: names("Town")})
	second := o.Current()
	third := o.change(t,
		newField("contact", "later", Definition{Type: Text, Required: true}),
		Op{Kind: AddChoice, Entity: "contact", Field: "size", Choice: "xl", Labels: names("Huge")},
		Op{Kind: AddChoice, Entity: "contact", Field: "kind", Choice: "club"},
		Op{Kind: RetireChoice, Entity: "contact", Field: "kind", Choice: "person"},
		Op{Kind: AddEntity, Entity: "car", Title: "plate", Labels: names("Car"), Fields: []NewField{{"plate", names("Plate"), Definition{Type: Text, Required: true}}}},
		Op{Kind: RenameField, Entity: "contact", Field: "city", Labels: names("Place")},
		Op{Kind: HideField, Entity: "contact", Field: "size"})
	foreseen, err := o.PreviewRevert(boss, 3, 2)
	if err != nil || o.Current() != third {
		t.Fatal(err)
	}
	s := o.revert(t, 2)
	if done := Diff(third, s); !reflect.DeepEqual(done, foreseen) || len(done) == 0 {
		t.Errorf("foreseen %v, done %v", foreseen, done)
	}
	e := s.Entity("contact")
	if f := e.Field("later"); f == nil || !f.Hidden || f.Required || f.Number != third.Entity("contact").Field("later").Number {
		t.Errorf("later is %+v", f)
	}
	if f := e.Field("size"); f.Hidden || !slices.Equal(f.Choices, []string{"s", "m"}) || !slices.Equal(f.Retired, []string{"xl"}) || f.ChoiceLabels["xl"]["en"] != "Huge" {
		t.Errorf("size is %+v", f)
	}
	if f := e.Field("kind"); !slices.Equal(f.Choices, []string{"person", "company"}) || !slices.Equal(f.Retired, []string{"club"}) {
		t.Errorf("kind is %+v", f)
	}
	if e.Field("city").Labels["en"] != "Town" || s.Entity("car") == nil || !s.Entity("car").Hidden {
		t.Errorf("city is %+v, car %+v", e.Field("city"), s.Entity("car"))
	}
	for _, d := range Diff(second, s) {
		hidden := s.Entity(d.Entity).Hidden || s.Entity(d.Entity).Field(d.Field).Hidden
		if !hidden && d.What != "added" && d.What != "retired" && d.Choice == "" {
			t.Errorf("besides what is hidden, %+v differs", d)
		}
	}
	if s = o.revert(t, 3); s.Entity("car").Hidden || s.Entity("contact").Field("later").Hidden || !s.Entity("contact").Field("later").Required || s.Version() != 5 {
		t.Errorf("the revert cannot be taken back")
	}
	s = o.revert(t, 1)
	if f := s.Entity("contact").Field("size"); !f.Hidden || f.Number != FirstCustom || s.Entity("contact").Field("city").Labels["en"] != "" {
		t.Errorf("without anything of the office's: %+v", f)
	}
	if s = o.change(t, newField("contact", "fresh", Definition{Type: Text})); s.Entity("contact").Field("fresh").Number != FirstCustom+3 {
		t.Errorf("the next number is %d", s.Entity("contact").Field("fresh").Number)
	}
	if _, err := o.Revert(boss, s.Version(), 99); fault.Of(err).Key != "schema.no-version" {
		t.Errorf("a version that never was: %v", err)
	}
	if again, err := o.Revert(boss, s.Version(), s.Version()); err != nil || again.Version() != s.Version() {
		t.Errorf("back to where one is: %v", err)
	}
}

func TestWatchersMayRefuse(t *testing.T) {
	o := openOffice(t)
	no := errors.New("there are duplicates")
	var heard []string
	o.Watch(func(tx store.Tx, before, after *Schema) error {
		if at := o.At(tx); at != before {
			t.Errorf("At is version %d in the watcher, before is %d", at.Version(), before.Version())
		}
		heard = append(heard, fmt.Sprint(before.Version(), "-", after.Version()))
		if f := after.Entity("contact").Field("city"); f.Unique {
			return no
		}
		tx.Bucket("test.heard").Put([]byte("x"), []byte("y"))
		return nil
	})
	if _, err := o.Change(boss, 1, Op{Kind: Set, Entity: "contact", Field: "city", Mark: "unique", Value: true}); !errors.Is(err, no) {
		t.Fatalf("the watcher was not obeyed: %v", err)
	}
	if o.Current().Version() != 1 {
		t.Error("a refused change is current")
	}
	o.change(t, newField("contact", "x", Definition{Type: Text}))
	if !slices.Equal(heard, []string{"1-2", "1-2"}) {
		t.Errorf("heard %v", heard)
	}
}

// TestRolledBackChange: a schema that was read within a transaction that came to nothing is not taken for another one.
func TestRolledBackChange(t *testing.T) {
	o := openOffice(t)
	failed := errors.New("no")
	o.Journal = tellerFunc(func(_ context.Context, tx store.Tx, _ journal.Fact) error {
		if o.At(tx).Entity("contact").Field("x") == nil {
			t.Error("the transaction does not see its own change")
		}
		return failed
	})
	if _, err := o.Change(boss, 1, newField("contact", "x", Definition{Type: Text})); !errors.Is(err, failed) {
		t.Fatal(err)
	}
	o.Journal = o.facts
	s := o.change(t, newField("contact", "y", Definition{Type: Number}))
	_ = o.db.View(t.Context(), func(tx store.Tx) error {
		if at := o.At(tx); at.Entity("contact").Field("x") != nil || at.Entity("contact").Field("y").Number != FirstCustom || at.Version() != s.Version() {
			t.Errorf("At is %s", described(at))
		}
		return nil
	})
}

type tellerFunc func(context.Context, store.Tx, journal.Fact) error

func (f tellerFunc) Append(ctx context.Context, tx store.Tx, fact journal.Fact) error {
	return f(ctx, tx, fact)
}

func TestAtIsOneRead(t *testing.T) {
	o := openOffice(t)
	o.change(t, newField("contact", "x", Definition{Type: Text}))
	_ = o.db.View(t.Context(), func(tx store.Tx) error {
		c := &counting{Tx: tx}
		o.At(c)
		if c.gets != 1 {
			t.Errorf("At read %d times", c.gets)
		}
		return nil
	})
	_ = o.db.View(t.Context(), func(tx store.Tx) error {
		if n := testing.AllocsPerRun(100, func() { o.At(tx) }); n > 1 {
			t.Errorf("At allocates %v times", n)
		}
		return nil
	})
}

type counting struct {
	store.Tx
	gets int
}

func (c *counting) Bucket(name string) store.Bucket { return &countingBucket{c.Tx.Bucket(name), c} }

type countingBucket struct {
	store.Bucket
	of *counting
}

func (b *countingBucket) Get(key []byte) []byte { b.of.gets++; return b.Bucket.Get(key) }

// TestReservedNames: a bucket that record keeps beside its records is no entity's name.
func TestReservedNames(t *testing.T) {
	files, err := filepath.Glob("../record/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal("no source of record: ", err)
	}
	found := 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`Bucket += "record\.([a-z_]+)"`).FindAllSubmatch(raw, -1) {
			found++
			if !slices.Contains(reserved, string(m[1])) {
				t.Errorf("%s: an entity could be named %s", file, m[1])
			}
		}
	}
	if found < 3 {
		t.Errorf("only %d buckets found", found)
	}
}

func TestBuiltInNumbersStayBelow(t *testing.T) {
	_, err := Open(t.Context(), openStore(t), Options{}, thing(Field{Number: FirstCustom, Name: "x", Type: Text}))
	if fault.Of(err).Key != "schema.number" {
		t.Error(err)
	}
}
