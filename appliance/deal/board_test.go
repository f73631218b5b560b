package deal

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

func TestBoard(t *testing.T) {
	o := open(t)
	hers := o.customer("dana")
	for i := range 5 {
		o.at = o.at.Add(time.Minute)
		o.make(record.Values{"title": fmt.Sprint("d", i), "value": fmt.Sprint(i, ".10 ILS"), "contact": hers})
	}
	o.make(record.Values{"title": "dollars", "value": "7 USD", "owner": "dana"})
	o.move(o.make(record.Values{"title": "new win", "value": "50"}), "Won")
	o.move(o.make(record.Values{"title": "quoted", "value": "20"}), "Quote")
	columns := o.board(as(t, access.Owner), 2)
	c := columns["New enquiry"]
	if c.Count != 6 || !c.Exact || written(c.Sums) != "10.50 ILS + 7.00 USD" || len(c.Cards) != 2 || c.Cards[0].Title != "dollars" || c.Next == "" || c.Stale != 0 {
		t.Errorf("the first column: %+v", c)
	}
	var got []string
	for cursor := c.Next; cursor != ""; {
		cards, next, err := o.Column(as(t, access.Owner), c.Stage.ID, cursor, 3)
		must(t, err)
		for _, card := range cards {
			got = append(got, card.Title)
		}
		cursor = next
	}
	wantList(t, "the rest of the first column", got, "d3", "d2", "d1", "d0")
	if c := columns["Won"]; c.Count != 1 || written(c.Sums) != "50.00 ILS" || c.Cards[0].Title != "new win" || c.Cards[0].ContactName == "" || c.Next != "" {
		t.Errorf("won: %+v", c)
	}
	if c := columns["Negotiation"]; c.Count != 0 || len(c.Sums) != 0 || len(columns) != 6 {
		t.Errorf("an empty column: %+v of %d", c, len(columns))
	}
	if c := o.board(as(t, access.Agent, "dana"), 10)["New enquiry"]; c.Count != 6 || len(c.Cards) != 6 || c.Next != "" {
		t.Errorf("an agent with all of them: %+v", c)
	}
	for stage, c := range o.board(as(t, access.Agent, "yossi"), 10) {
		if c.Count != 0 || len(c.Cards) != 0 || len(c.Sums) != 0 {
			t.Errorf("a stranger sees in %s %+v", stage, c)
		}
	}
	for _, ctx := range []struct {
		role access.Role
		kind string
	}{{access.Plugin, "not-found"}, {"", "not-found"}} {
		wantKind(t, string(ctx.role)+" looks", second(o.Board(as(t, ctx.role, "x"), o.stages["Quote"].Pipeline, 1)), ctx.kind)
	}
	_, _, err := o.Column(as(t, access.Owner), c.Stage.ID, "AAAA", 3)
	wantKind(t, "a cursor made by hand", err, "invalid")
	wantKind(t, "a board of nothing", second(o.Board(as(t, access.Owner), record.NewID(), 1)), "not-found")
}

// TestBoardForgets looks at the board when time has passed: what is old is stale, what was closed long ago is gone.
func TestBoardForgets(t *testing.T) {
	o := open(t)
	o.make(record.Values{"title": "waits", "value": "1"})
	o.move(o.make(record.Values{"title": "old win", "value": "2"}), "Won")
	o.move(o.make(record.Values{"title": "old loss", "value": "3"}), "Lost")
	stale := func(days int) int {
		o.at = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC).AddDate(0, 0, days)
		return o.board(as(t, access.Owner), 10)["New enquiry"].Stale
	}
	if stale(7) != 0 || stale(8) != 1 {
		t.Error("a deal is stale after other days than its stage says")
	}
	if c := o.board(as(t, access.Owner), 10); c["Won"].Count != 1 || c["Lost"].Count != 1 || !c["New enquiry"].Cards[0].Stale {
		t.Errorf("after a week: %+v", c)
	}
	stale(32)
	o.move(o.make(record.Values{"title": "new win", "value": "4"}), "Won")
	if c := o.board(as(t, access.Owner), 10); c["Won"].Count != 1 || written(c["Won"].Sums) != "4.00 ILS" || c["Lost"].Count != 0 || c["New enquiry"].Count != 1 {
		t.Errorf("after a month: %+v", c)
	}
}

func TestBoardOfLeads(t *testing.T) {
	o := open(t)
	o.asker(record.Values{"phone": "050-1234567", "value": "10"})
	b, err := o.Board(as(t, access.Owner), o.stages["lead New"].Pipeline, 5)
	must(t, err)
	if len(b.Columns) != 4 || b.Columns[0].Count != 1 || b.Columns[0].Cards[0].Title != "050-1234567" || written(b.Columns[0].Sums) != "10.00 ILS" || b.Pipeline.Holds != Leads {
		t.Errorf("%+v", b)
	}
}

// TestHiddenValues shows a board without its sums to somebody who may not know what deals are worth.
func TestHiddenValues(t *testing.T) {
	o := open(t)
	o.make(record.Values{"value": "1000", "expected_close": "2026-11-30"})
	o.role("clerk", nil, access.FieldRule{Entity: Deals, Field: "value", Right: access.Hide})
	c := o.board(as(t, "clerk"), 5)["New enquiry"]
	if c.Count != 1 || len(c.Sums) != 0 || c.Cards[0].Value != (schema.Amount{}) {
		t.Errorf("%+v", c)
	}
	f, err := o.Forecast(as(t, "clerk"), o.stages["Quote"].Pipeline, "2026-11-01", 1)
	must(t, err)
	if m := f.Months[0]; m.Count != 1 || len(m.Total) != 0 || len(m.Weighted) != 0 {
		t.Errorf("%+v", m)
	}
}

func TestForecast(t *testing.T) {
	o, owner := open(t), as(t, access.Owner)
	sales := o.stages["Quote"].Pipeline
	deal := func(close, value, stage string) {
		t.Helper()
		values := record.Values{"value": value}
		if close != "" {
			values["expected_close"] = close
		}
		if d := o.make(values); stage != "New enquiry" {
			o.move(d, stage)
		}
	}
	deal("2026-11-30", "100", "Quote")          // at 50 %
	deal("2026-11-01", "33.33", "Needs")        // at 25 %
	deal("2026-12-31", "10 USD", "Negotiation") // at 75 %
	deal("2026-10-31", "5", "Quote")
	deal("2027-01-01", "6", "Quote")
	deal("", "7", "New enquiry")
	deal("2026-11-15", "1000", "Lost")
	deal("2026-12-15", "200", "Won")
	o.at = time.Date(2026, 10, 31, 22, 30, 0, 0, time.UTC) // past midnight in Jerusalem, which is at +2 then
	deal("", "1", "Won")
	o.at = time.Date(2026, 10, 31, 21, 30, 0, 0, time.UTC) // before
	deal("", "10000", "Won")
	f, err := o.Forecast(owner, sales, "2026-11-22", 2)
	must(t, err)
	show := func(x Outlook) string {
		return fmt.Sprintf("%s %d: %s, weighted %s, won %s", x.Month, x.Count, written(x.Total), written(x.Weighted), written(x.Won))
	}
	for got, want := range map[string]string{
		show(f.Months[0]): "2026-11 2: 133.33 ILS, weighted 58.33 ILS, won 201.00 ILS",
		show(f.Months[1]): "2026-12 1: 10.00 USD, weighted 7.50 USD, won ",
		show(f.Late):      " 1: 5.00 ILS, weighted 2.50 ILS, won ",
		show(f.Later):     " 1: 6.00 ILS, weighted 3.00 ILS, won ",
		show(f.Undated):   " 1: 7.00 ILS, weighted 0.70 ILS, won ",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if !f.Exact || len(f.Months) != 2 {
		t.Errorf("%+v", f)
	}
	for what, c := range map[string]struct {
		pipeline record.ID
		from     string
		months   int
		kind     string
	}{
		"of leads": {o.stages["lead New"].Pipeline, "2026-11-22", 2, "invalid"}, "from no day": {sales, "x", 2, "invalid"},
		"of no months": {sales, "2026-11-22", 0, "invalid"}, "of a century": {sales, "2026-11-22", 1200, "invalid"},
		"of nothing": {record.NewID(), "2026-11-22", 1, "not-found"},
	} {
		wantKind(t, "a forecast "+what, second(o.Forecast(owner, c.pipeline, c.from, c.months)), c.kind)
	}
}

// TestSumsAreOfAnySize adds up what no single amount can hold.
func TestSumsAreOfAnySize(t *testing.T) {
	s := sums{}
	for range 3 {
		s.add(schema.Amount{Minor: math.MaxInt64, Currency: "ILS"})
		s.add(schema.Amount{Minor: 3, Currency: "JPY"})
	}
	s.add(schema.Amount{})
	if got := s.amounts(); len(got) != 2 || got[0].Minor != math.MaxInt64 || got[1].Minor != 9 {
		t.Errorf("%v", got)
	}
	if got := s.parts(6); got[0].Minor != math.MaxInt64/2+1 || got[1].Minor != 2 {
		t.Errorf("a sixth is %v", got)
	}
}

// TestAFullColumn counts as far as it promises and says that there are more.
func TestAFullColumn(t *testing.T) {
	o := open(t)
	customer, quote := o.customer("owner"), o.stages["Quote"]
	const more = 7
	must(t, o.book.Update(as(t, access.System), func(tx store.Tx) error {
		for range SumLimit + more {
			_, err := o.book.CreateTx(as(t, access.System), tx, record.Change{Entity: Deals, Inside: true, Values: record.Values{"title": "x", "contact": customer,
				"pipeline": quote.Pipeline, "stage": quote.ID, "value": "1"}})
			if err != nil {
				return err
			}
		}
		return nil
	}))
	c := o.board(as(t, access.Owner), 3)["Quote"]
	if c.Count != SumLimit || c.Exact || written(c.Sums) != fmt.Sprintf("%d.00 ILS", SumLimit) || len(c.Cards) != 3 || c.Next == "" {
		t.Errorf("%d deals, exact %v, %s", c.Count, c.Exact, written(c.Sums))
	}
	f, err := o.Forecast(as(t, access.Owner), quote.Pipeline, "2026-11-22", 1)
	must(t, err)
	if f.Exact || f.Undated.Count != SumLimit {
		t.Errorf("%+v", f)
	}
}

// TestReadingIsTold reads in every way and looks what the journal knows of it; what the room reads to answer a change is
// no reading.
func TestReadingIsTold(t *testing.T) {
	o, owner := open(t), as(t, access.Owner)
	d := o.move(o.make(record.Values{}), "Quote")
	l := o.asker(record.Values{"name": "x"})
	before := o.last()
	must(t, second(o.Get(owner, d.ID)))
	must(t, second(o.GetLead(owner, l.ID)))
	o.board(owner, 5)
	_, _, err := o.Column(owner, d.Stage, "", 5)
	must(t, err)
	if o.Title(owner, d.ID) != "Boiler" || o.Title(as(t, access.Plugin), d.ID) != "" {
		t.Error("a deal's title is for the wrong people")
	}
	must(t, o.facts.Flush(owner))
	if told := o.told(before); told != "deal.read lead.read deal.listed" {
		t.Errorf("told %s", told)
	}
}
