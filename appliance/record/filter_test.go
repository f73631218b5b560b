package record

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/filter"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

// wide are entities with a field of every type, indexed wherever a type can be.
func wide() []schema.Entity {
	return []schema.Entity{
		{Name: "thing", Title: "name", Owner: "owner", Contact: "id", Fields: []schema.Field{
			{Number: 16, Name: "name", Type: schema.Text, Indexed: true},
			{Number: 17, Name: "owner", Type: schema.Staff, Indexed: true},
			{Number: 18, Name: "score", Type: schema.Number, Indexed: true},
			{Number: 19, Name: "price", Type: schema.Money, Currency: "ILS", Indexed: true},
			{Number: 20, Name: "day", Type: schema.Date, Indexed: true},
			{Number: 21, Name: "seen", Type: schema.Time, Indexed: true},
			{Number: 22, Name: "born", Type: schema.Yearly, Indexed: true},
			{Number: 23, Name: "vip", Type: schema.YesNo, Indexed: true},
			{Number: 24, Name: "kind", Type: schema.Choice, Choices: []string{"a", "b", "c"}, Indexed: true},
			{Number: 25, Name: "labels", Type: schema.Text, Many: true, Indexed: true},
			{Number: 26, Name: "over", Type: schema.Link, Target: "thing", Indexed: true},
			{Number: 27, Name: "near", Type: schema.Link, Target: "thing", Many: true, Indexed: true},
			{Number: 28, Name: "city", Type: schema.Text}, // no index from here on
			{Number: 29, Name: "size", Type: schema.Number},
			{Number: 30, Name: "double", Type: schema.Formula, Formula: "score * 2"},
			{Number: 31, Name: "cost", Type: schema.Number},
			{Number: 32, Name: "margin", Type: schema.Formula, Formula: "score - cost"},
		}},
		{Name: "part", Title: "name", Owner: "owner", Via: "of", Contact: "of", Fields: []schema.Field{
			{Number: 16, Name: "of", Type: schema.Link, Target: "thing", Indexed: true},
			{Number: 17, Name: "name", Type: schema.Text, Indexed: true},
			{Number: 18, Name: "owner", Type: schema.Staff, Indexed: true},
		}},
		{Name: "scrap", Title: "name", Via: "of", Fields: []schema.Field{
			{Number: 16, Name: "of", Type: schema.Link, Target: "part", Indexed: true},
			{Number: 17, Name: "name", Type: schema.Text, Indexed: true},
		}},
	}
}

// shop is a book of wide entities with a gate and a schema that can be changed.
type shop struct {
	*Book
	t     testing.TB
	db    store.DB
	gate  *access.Gate
	kinds *schema.Registry
	clock *clock
}

func openShop(t testing.TB, more ...schema.Entity) *shop {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "karov.db"))
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	s := &shop{t: t, db: db, clock: &clock{at: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)}}
	facts := journal.New(db, s.clock.now)
	s.gate, err = access.OpenGate(t.Context(), access.Options{DB: db, Now: s.clock.now,
		Tell: func(ctx context.Context, tx store.Tx, fact, role string, about map[string]string) error {
			return facts.Append(ctx, tx, journal.Fact{Name: fact, Entity: "role", ID: role, About: about})
		},
		CheckWhere: func(entity, condition string) error {
			_, err := filter.Parse(condition, s.kinds.Current(), entity, filter.Options{})
			return err
		},
		CheckField: func(string, string) error { return nil },
		Holders:    func(store.Tx, access.Role) (int, error) { return 0, nil },
	})
	must(t, err)
	s.kinds, err = schema.Open(t.Context(), db, schema.Options{Journal: facts, Gate: s.gate, Now: s.clock.now}, append(wide(), more...)...)
	must(t, err)
	s.Book = NewBook(Parts{DB: db, Schema: s.kinds, Gate: s.gate, Journal: facts, Now: s.clock.now})
	s.role("whole-team", []access.Grant{{Entity: "*", Verb: access.See, Scope: access.Team}, {Entity: "*", Verb: access.Change, Scope: access.Own}})
	s.role("cheap", []access.Grant{{Entity: "*", Verb: "*", Scope: access.All}, {Entity: "thing", Verb: access.See, Scope: access.All, Where: "score < 5"}})
	s.role("mine", []access.Grant{{Entity: "*", Verb: "*", Scope: access.Own}, {Entity: "*", Verb: access.Create, Scope: access.All},
		{Entity: "*", Verb: access.Delete, Scope: access.None}})
	s.gate.SetTeams(map[string]string{"dana": "north", "yossi": "north", "anna": "south"})
	return s
}

func (s *shop) role(name access.Role, grants []access.Grant, fields ...access.FieldRule) {
	s.t.Helper()
	versions, err := s.gate.Versions(as(s.t, access.Owner))
	must(s.t, err)
	seen := uint64(0)
	for _, v := range versions {
		seen = max(seen, v.Number)
	}
	_, err = s.gate.SetRole(as(s.t, access.Owner), seen, access.Rules{Name: name, Grants: grants, Fields: fields})
	must(s.t, err)
}

// evolve changes the schema.
func (s *shop) evolve(ops ...schema.Op) {
	s.t.Helper()
	_, err := s.kinds.Change(as(s.t, access.Owner), s.kinds.Current().Version(), ops...)
	must(s.t, err)
}

// everything gives all records of an entity as they are stored.
func (s *shop) everything(entity string) (all []Record) {
	must(s.t, s.View(s.t.Context(), func(tx store.Tx) error {
		e := s.schema.At(tx).Entity(entity)
		for id, raw := range tx.Bucket("record."+entity).Scan(nil, nil, false) {
			all = append(all, Record{ID: ID(id), entity: e, raw: slices.Clone(raw)})
		}
		return nil
	}))
	return all
}

func drawThing(rnd *rand.Rand, others []ID) Values {
	pick := func(from ...any) any { return from[rnd.IntN(len(from))] }
	v := Values{
		"name":   pick(nil, "דנה כהן", "Dana", "dana", "ёлка", "Елка", "O'Brien", "x"),
		"owner":  pick(nil, "dana", "yossi", "anna"),
		"score":  pick(nil, 0.0, -3.5, 7.0, 1e9, float64(rnd.IntN(10))),
		"price":  pick(nil, "10.50", "99 USD", "-3", "0", "1000000"),
		"day":    pick(nil, "2026-11-22", "2026-11-01", "1999-12-31", "2027-01-01"),
		"seen":   pick(nil, "2026-11-21T23:30:00Z", "2026-08-01T00:00:00Z", "1960-01-01T00:00:00Z", "2026-11-22T08:00:00Z"),
		"born":   pick(nil, "1990-02-28", "--02-29", "--11-23", "2000-12-31"),
		"vip":    pick(nil, true, false),
		"kind":   pick(nil, "a", "b", "c"),
		"labels": pick(nil, []string{"red"}, []string{"red", "כחול"}, []string{"green", "Red"}),
		"city":   pick(nil, "חיפה", "Haifa", "Москва"),
		"size":   pick(nil, 1.0, 2.0),
		"cost":   pick(nil, 1.0, 2.0),
	}
	if len(others) > 0 {
		v["over"] = pick(nil, others[rnd.IntN(len(others))])
		v["near"] = pick(nil, []ID{others[rnd.IntN(len(others))], others[0]})
	}
	return v
}

// filters are terms that random filters are made of; %s stands for an id.
var filters = []string{
	`name = "DANA"`, `name starts "ד"`, `name contains "a"`, `name is empty`, `name is not empty`, `name > "m"`, `owner = me`, `owner in (my team)`,
	`owner = "anna"`, `owner is empty`, `score = 7`, `score >= 0`, `score < 0`, `score in (1, 2, 3)`, `score > 1000`, `score is empty`, `double = 14`,
	`price > 5 ILS`, `price = 99 USD`, `price <= 0 ILS`, `price is not empty`, `day = 2026-11-22`, `day < 2000-01-01`, `day > today-30d`, `day is empty`,
	`seen < today`, `seen >= today-200d`, `seen > now-2h`, `seen is empty`, `born is next 7 days`, `yearday(born) < 70`, `vip`, `not vip`, `vip = no`,
	`kind = "a"`, `kind in ("a", "c")`, `kind != "b"`, `labels = "RED"`, `labels contains "ree"`, `labels is empty`, `city = "חיפה"`, `city starts "h"`,
	`size = 1`, `over is empty`, `over.name = "dana"`, `over.city = "חיפה"`, `near is not empty`, `count(labels) > 1`, `over = "%s"`, `near = "%s"`,
}

func drawFilter(rnd *rand.Rand, ids []ID, depth int) string {
	if depth > 0 {
		switch rnd.IntN(5) {
		case 0, 1:
			return drawFilter(rnd, ids, depth-1) + " and " + drawFilter(rnd, ids, depth-1)
		case 2:
			return "(" + drawFilter(rnd, ids, depth-1) + " or " + drawFilter(rnd, ids, depth-1) + ")"
		case 3:
			return "not (" + drawFilter(rnd, ids, depth-1) + ")"
		}
	}
	term := filters[rnd.IntN(len(filters))]
	if strings.Contains(term, "%s") {
		term = fmt.Sprintf(term, ids[rnd.IntN(len(ids))])
	}
	return term
}

// TestListsAreWhatMatches compares lists, counts and their pages with a look at every record, for random filters, orders
// and readers.
func TestListsAreWhatMatches(t *testing.T) {
	s := openShop(t)
	rnd := rand.New(rand.NewPCG(7, 11))
	owner := as(t, access.Owner)
	var ids []ID
	for range 300 {
		r, err := s.Create(owner, "thing", drawThing(rnd, ids))
		must(t, err)
		ids = append(ids, r.ID)
	}
	for i := range 40 {
		subject := []string{"dana", "team:north", "team:south"}[i%3]
		must(t, s.Share(owner, "thing", ids[rnd.IntN(len(ids))], access.Share{Subject: subject, Change: i%2 == 0}))
	}
	must(t, s.Check(owner))
	sorts := []string{"", "-", "name", "-name", "score", "-score", "price", "-day", "seen", "-born", "kind", "-owner"}
	readers := []context.Context{owner, as(t, "mine", "dana"), as(t, "whole-team", "dana"), as(t, "whole-team", "anna"), as(t, "cheap", "guest")}
	for i := range 600 {
		ctx := readers[i%len(readers)]
		text := drawFilter(rnd, ids, 2)
		f, err := s.Parse(ctx, "thing", text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		q := Query{Entity: "thing", Filter: f, Sort: sorts[rnd.IntN(len(sorts))], Limit: 1 + rnd.IntN(60), Valued: rnd.IntN(4) == 0}
		compareList(t, s, ctx, q)
	}
}

// compareList holds a list against a look at every record.
func compareList(t *testing.T, s *shop, ctx context.Context, q Query) {
	t.Helper()
	want := map[ID]bool{}
	sorted := trimmed(q.Sort)
	must(t, s.View(ctx, func(tx store.Tx) error {
		for _, r := range s.everything("thing") {
			if s.Allowed(ctx, tx, access.See, r) && q.Filter.Match(s.row(ctx, tx, r), s.env(ctx)) && (!q.Valued || sorted == "" || r.Has(sorted)) {
				want[r.ID] = true
			}
		}
		return nil
	}))
	x, err := s.Explain(ctx, q)
	must(t, err)
	what := fmt.Sprintf("%s by %q valued %v (%s) as %s", q.Filter, q.Sort, q.Valued, x, access.ActorFrom(ctx).Role)
	count := q
	var got []Record
	for {
		page, err := s.List(ctx, q)
		must(t, err)
		got = append(got, page.Records...)
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
		if len(page.Records) == 0 || len(got) > 1000 {
			t.Fatalf("%s: the pages do not end", what)
		}
	}
	met := map[ID]bool{}
	for i, r := range got {
		if !want[r.ID] || met[r.ID] {
			t.Errorf("%s: shows %s, matching %v, met before %v", what, r.ID, want[r.ID], met[r.ID])
		}
		met[r.ID] = true
		if i > 0 && !inOrder(got[i-1], r, q.Sort) {
			t.Errorf("%s: %d stands wrong: %q then %q", what, i, got[i-1].Text(sorted), r.Text(sorted))
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: lists %d of %d", what, len(got), len(want))
	}
	if n, exact, err := s.Count(ctx, count); err != nil || !exact || n != len(want) {
		t.Errorf("%s: counts %d, %v, %v, want %d", what, n, exact, err, len(want))
	}
	if n, err := s.CountAll(ctx, count); err != nil || n != len(want) {
		t.Errorf("%s: counts all %d, %v, want %d", what, n, err, len(want))
	}
	if t.Failed() {
		t.FailNow()
	}
}

func inOrder(a, b Record, sort string) bool {
	reverse, name := strings.HasPrefix(sort, "-"), trimmed(sort)
	var x, y string
	if name != "" {
		f := a.entity.Field(name)
		x, y = indexValues(a, f)[0], indexValues(b, f)[0]
		if (x == missing) != (y == missing) {
			return y == missing
		}
	}
	c := strings.Compare(x, y)
	if c == 0 {
		c = bytes.Compare(a.ID[:], b.ID[:])
	}
	return c < 0 != reverse
}

// TestExplain says which index serves which condition.
func TestExplain(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	other, err := s.Create(owner, "thing", Values{"name": "first"})
	must(t, err)
	for i := range 50 {
		_, err := s.Create(owner, "thing", Values{"name": fmt.Sprint("n", i), "score": float64(i), "kind": "a", "owner": "dana", "over": other.ID, "seen": s.clock.now()})
		must(t, err)
	}
	for _, c := range []struct{ filter, sort, walks, sorts string }{
		{`kind = "a"`, "", "index thing.kind", "by the index"},
		{`score = 7`, "name", "index thing.score", "in memory"},
		{`score > 7 and score < 9`, "score", "index thing.score", "by the index"},
		{`score in (1, 2)`, "", "index thing.score", "in memory"},
		{`name starts "n1"`, "name", "index thing.name", "by the index"},
		{`owner = me`, "", "index thing.owner", "by the index"},
		{`kind is empty`, "", "index thing.kind", "by the index"},
		{`seen > today-90d`, "-seen", "index thing.seen", "by the index"},
		{`kind = "a" and score = 3`, "", "index thing.score", "by the index"},
		{`kind = "a" or kind = "b"`, "name", "index thing.kind", "in memory"},
		{`kind = "a" or score = 3`, "", "all of thing, by age", "by the index"},
		{`city = "חיפה"`, "name", "index thing.name", "by the index"},
		{`city = "חיפה"`, "", "all of thing, by age", "by the index"},
		{`not (score = 3)`, "", "all of thing, by age", "by the index"},
		{fmt.Sprintf(`over = "%s"`, other.ID), "", "index thing.over", "by the index"},
		{`price > 5 ILS`, "", "index thing.price", "in memory"},
	} {
		f, err := s.Parse(owner, "thing", c.filter)
		must(t, err)
		x, err := s.Explain(owner, Query{Entity: "thing", Filter: f, Sort: c.sort})
		must(t, err)
		if x.Walks != c.walks || x.Sorts != c.sorts {
			t.Errorf("%s by %q: %s, sorts %s; want %s, %s", c.filter, c.sort, x.Walks, x.Sorts, c.walks, c.sorts)
		}
	}
	f, err := s.Parse(owner, "thing", `score = 3`)
	must(t, err)
	x, err := s.Explain(as(t, "whole-team", "dana"), Query{Entity: "thing", Filter: f})
	must(t, err)
	if !slices.Equal(x.Principal, []string{"dana", "yossi", "lent:dana", "team:north"}) {
		t.Errorf("a member of the team walks the partitions of %q", x.Principal)
	}
}

// TestRareMatchesAreFoundInAnyOrder goes past the patience of a walk in the order of an index.
func TestRareMatchesAreFoundInAnyOrder(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	for from := 0; from < 3*patience; from += 5000 {
		must(t, s.Update(owner, func(tx store.Tx) error {
			for i := from; i < from+5000; i++ {
				v := Values{"name": fmt.Sprintf("n%05d", (i*7919)%(3*patience)), "owner": []string{"dana", "anna"}[i%2]}
				if i%1000 == 1 {
					v["city"] = "חיפה"
				}
				if _, err := s.CreateTx(owner, tx, Change{Entity: "thing", Values: v, Inside: true, Fact: "-"}); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	for _, ctx := range []context.Context{owner, as(t, "mine", "anna"), as(t, "whole-team", "anna")} {
		for _, sort := range []string{"name", "-name"} {
			f, err := s.Parse(ctx, "thing", `city = "חיפה"`)
			must(t, err)
			compareList(t, s, ctx, Query{Entity: "thing", Filter: f, Sort: sort, Limit: 4})
		}
	}
	if _, err := s.Parse(owner, "thing", `town = "חיפה"`); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a filter on no field: %v", err)
	}
}
