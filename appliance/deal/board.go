package deal

import (
	"context"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

const (
	// SumLimit is how many leads or deals of one stage are counted and added up.
	SumLimit = 5000
	// closedShown is for how long what was won or lost stays on the board.
	closedShown = 30 * 24 * time.Hour
)

// Board is a pipeline with what stands in it.
type Board struct {
	Pipeline Pipeline
	Columns  []Column // of each stage, in order
}

// Column is one stage of a board. Of a stage that closes, it is about the last 30 days.
type Column struct {
	Stage Stage
	Count int             // of what the actor may see
	Exact bool            // false where there are more than SumLimit, and then the sums are of the newest
	Sums  []schema.Amount // by currency
	Stale int             // how many have stood here too long
	Cards []Card          // the newest
	Next  string          // cursor of Column to more of them, "" for none
}

// Card is a lead or a deal on a board.
type Card struct {
	ID            record.ID
	Version       uint64 // for Move
	Title         string
	Contact       record.ID
	ContactName   string
	Owner         string
	Value         schema.Amount
	ExpectedClose string
	Since         time.Time // when it came into the stage
	Stale         bool      // it has stood there longer than the stage allows
}

// Board gives a pipeline with at most limit cards in each column, of what the actor may see. That he looked stands in
// the journal.
func (r *Room) Board(ctx context.Context, pipeline record.ID, limit int) (b Board, err error) {
	err = r.book.View(ctx, func(tx store.Tx) error {
		rec, err := r.book.GetTx(ctx, tx, "pipeline", pipeline)
		if err != nil {
			return err
		}
		b = Board{Pipeline: r.pipelines(tx, []record.Record{rec})[0]}
		for _, s := range b.Pipeline.Stages {
			c, err := r.column(ctx, tx, b.Pipeline.Holds, s, limit)
			if err != nil {
				return err
			}
			b.Columns = append(b.Columns, c)
		}
		return nil
	})
	if err != nil {
		return Board{}, err
	}
	shown := 0
	for _, c := range b.Columns {
		shown += len(c.Cards)
	}
	return b, r.tellListed(ctx, b.Pipeline.Holds, shown)
}

// tellListed tells the journal that the actor looks at what stands in stages.
func (r *Room) tellListed(ctx context.Context, entity string, results int) error {
	return r.book.TellListed(ctx, record.Query{Entity: entity, Field: "stage"}, results)
}

// Column gives more cards of a stage, from where a Column's Next points, and the cursor to those after them.
func (r *Room) Column(ctx context.Context, stage record.ID, cursor string, limit int) (cards []Card, next string, err error) {
	holds := ""
	err = r.book.View(ctx, func(tx store.Tx) error {
		rec, err := r.book.GetTx(ctx, tx, "stage", stage)
		if err != nil {
			return err
		}
		s := stageOf(rec)
		over, err := r.book.Raw(tx, "pipeline", s.Pipeline)
		if err != nil {
			return err
		}
		holds = over.Text("holds")
		q, err := r.standing(ctx, holds, s, r.shownSince())
		if err != nil {
			return err
		}
		q.Cursor, q.Limit = cursor, limit
		page, err := r.book.ListTx(ctx, tx, q)
		cards, next = nil, page.Next
		for _, d := range page.Records {
			card := r.glance(s, d)
			card.ContactName = r.named(ctx, tx, card.Contact)
			cards = append(cards, card)
		}
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return cards, next, r.tellListed(ctx, holds, len(cards))
}

// standing asks for what stands in a stage, the newest first; of a stage that closes, for what was closed since a day, the
// last first.
func (r *Room) standing(ctx context.Context, entity string, s Stage, day time.Time) (record.Query, error) {
	q := record.Query{Entity: entity, Limit: record.MaxLimit, Sort: "-", Field: "stage", Value: s.ID}
	if !s.Closes() {
		return q, nil
	}
	since, err := r.book.Parse(ctx, entity, "closed_at >= "+day.In(r.book.Zone()).Format(time.DateOnly))
	q.Filter, q.Sort, q.Valued, q.Field, q.Value = since, "-closed_at", true, "", nil
	q.Keep = func(d record.Record) bool { return d.Link("stage") == s.ID }
	return q, err
}

// shownSince is the day since which a board shows what was won or lost.
func (r *Room) shownSince() time.Time { return r.now().Add(-closedShown) }

// column reads the cards of a stage and goes on counting behind them.
func (r *Room) column(ctx context.Context, tx store.Tx, entity string, s Stage, limit int) (Column, error) {
	if limit <= 0 || limit > record.MaxLimit {
		limit = record.DefaultLimit
	}
	c, total := Column{Stage: s, Exact: true}, sums{}
	q, err := r.standing(ctx, entity, s, r.shownSince())
	if err != nil {
		return Column{}, err
	}
	q.Limit = limit
	err = r.each(ctx, tx, q, func(d record.Record) bool {
		if c.Exact = c.Count < SumLimit; !c.Exact {
			return false
		}
		card := r.glance(s, d)
		if c.Count++; c.Count <= limit {
			card.ContactName = r.named(ctx, tx, card.Contact)
			c.Cards = append(c.Cards, card)
		}
		if card.Stale {
			c.Stale++
		}
		total.add(card.Value)
		return true
	}, func(next string) {
		if c.Count == limit {
			c.Next = next
		}
	})
	c.Sums = total.amounts()
	return c, err
}

// each visits what a query finds, page by page, until visit returns false. Between two pages it calls turn with the
// cursor.
func (r *Room) each(ctx context.Context, tx store.Tx, q record.Query, visit func(record.Record) bool, turn func(next string)) error {
	for {
		page, err := r.book.ListTx(ctx, tx, q)
		if err != nil {
			return err
		}
		for _, d := range page.Records {
			if !visit(d) {
				return nil
			}
		}
		if page.Next == "" {
			return nil
		}
		turn(page.Next)
		q.Cursor, q.Limit = page.Next, record.MaxLimit
	}
}

// glance is a card without the customer's name, which would be one more read.
func (r *Room) glance(s Stage, d record.Record) Card {
	value, _ := d.Amount("value")
	card := Card{ID: d.ID, Version: d.Version(), Title: d.Text("title"), Contact: d.Link("contact"), Owner: d.Text("owner"),
		Value: value, ExpectedClose: d.Text("expected_close"), Since: since(d), Stale: r.Stale(s, since(d))}
	if d.Entity() == Leads {
		card.Title = LeadFromRecord(d).Title()
	}
	return card
}

// Stale tells whether something that has stood in a stage since then should have moved on.
func (r *Room) Stale(s Stage, since time.Time) bool {
	return !s.Closes() && s.StaleDays > 0 && r.now().Sub(since) > time.Duration(s.StaleDays)*24*time.Hour
}

// Outlook is what is expected in a month, or what has no month.
type Outlook struct {
	Month    string // as 2026-11
	Count    int    // open deals that are expected to be closed in it
	Total    []schema.Amount
	Weighted []schema.Amount // by the probability of their stages
	Won      []schema.Amount // what was won in it already
}

// Forecast is what a pipeline of deals will bring.
type Forecast struct {
	Months  []Outlook
	Late    Outlook // expected before the first month, and still open
	Later   Outlook // after the last one
	Undated Outlook
	Exact   bool // false where a stage holds more than SumLimit open deals
}

// Forecast says what the deals of a pipeline that the actor may see will bring, month by month from the month of a day,
// as 2026-11-22, on.
func (r *Room) Forecast(ctx context.Context, pipeline record.ID, from string, months int) (f Forecast, err error) {
	begin, err := time.Parse(time.DateOnly, from)
	if err != nil {
		return Forecast{}, fault.InvalidField("from", "field.date")
	}
	if months < 1 || months > 36 {
		return Forecast{}, fault.InvalidField("months", "deal.months", "limit", 36)
	}
	plan := newOutlooks(begin, months)
	err = r.book.View(ctx, func(tx store.Tx) error {
		rec, err := r.book.GetTx(ctx, tx, "pipeline", pipeline)
		if err != nil {
			return err
		}
		if rec.Text("holds") != Deals {
			return fault.InvalidField("pipeline", "deal.other-kind")
		}
		plan = newOutlooks(begin, months)
		for _, s := range r.stages(tx, pipeline) {
			if s.Kind == Lost {
				continue
			}
			if err := r.expect(ctx, tx, s, plan); err != nil {
				return err
			}
		}
		return nil
	})
	return plan.forecast(), err
}

// expect adds what stands in a stage, or was won in it since the first month began.
func (r *Room) expect(ctx context.Context, tx store.Tx, s Stage, plan *outlooks) error {
	zone := r.book.Zone()
	q, err := r.standing(ctx, Deals, s, time.Date(plan.first.Year(), plan.first.Month(), 1, 0, 0, 0, 0, zone))
	if err != nil {
		return err
	}
	n := 0
	return r.each(ctx, tx, q, func(d record.Record) bool {
		value, _ := d.Amount("value")
		if s.Kind == Won {
			plan.won(d.Time("closed_at").In(zone).Format(time.DateOnly), value)
			return true
		}
		if n++; n > SumLimit {
			plan.cut = true
			return false
		}
		plan.expect(d.Text("expected_close"), value, s.Probability)
		return true
	}, func(string) {})
}
