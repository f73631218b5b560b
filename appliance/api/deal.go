package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/appliance/deal"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

// usualMonths is how far a forecast looks where its caller does not say.
const usualMonths = 6

// dealRoutes are of what may be sold: moving it, and seeing where it stands.
func (a *API) dealRoutes() []route {
	const pipeline = Prefix + "/pipelines/:id"
	return []route{
		{method: post, path: Prefix + "/deals/:id/move", handle: a.moveDeal, describe: describeMoveDeal},
		{method: post, path: Prefix + "/leads/:id/move", handle: a.moveLead, describe: describeMoveLead},
		{method: post, path: Prefix + "/leads/:id/convert", handle: a.convertLead, describe: describeConvert},
		{method: get, path: pipeline + "/board", handle: a.board, describe: describeBoard},
		{method: get, path: pipeline + "/forecast", handle: a.forecast, describe: describeForecast},
		{method: get, path: Prefix + "/stages/:id/cards", handle: a.cards, describe: describeCards},
	}
}

// idIn reads a field that holds the id of a record; one that is not there, or null, is the zero ID.
func idIn(values record.Values, name string) (record.ID, error) {
	text, err := textOf(values, name)
	if err != nil || text == "" {
		return record.ID{}, err
	}
	id, err := record.ParseID(text)
	if err != nil {
		return record.ID{}, fault.InvalidField(name, "field.link")
	}
	return id, nil
}

func (a *API) moveDeal(c echo.Context) error { return a.move(c, deal.Deals) }

func (a *API) moveLead(c echo.Context) error { return a.move(c, deal.Leads) }

// move brings a deal or a lead into another stage, from the version that the caller saw.
func (a *API) move(c echo.Context, entity string) error {
	ctx := c.Request().Context()
	values, id, err := a.act(c, entity, "stage", "reason")
	if err != nil {
		return err
	}
	stage, err := idIn(values, "stage")
	if err != nil {
		return err
	}
	if stage.Zero() {
		return fault.InvalidField("stage", "field.required")
	}
	reason, err := textOf(values, "reason")
	if err != nil {
		return err
	}
	_, version, err := seen(c, entity)
	if err != nil {
		return err
	}
	done, err := a.doneBefore(c, wanted{entity, id, "move", values, func(r record.Record) bool { return r.Link("stage") == stage }})
	switch {
	case err != nil || done:
	case entity == deal.Leads:
		_, err = a.Deals.MoveLead(ctx, id, version, stage, reason)
	default:
		_, err = a.Deals.Move(ctx, id, version, stage, reason)
	}
	if err != nil {
		return err
	}
	return a.answer(c, entity, id)
}

// convertLead makes a lead a customer and a deal.
func (a *API) convertLead(c echo.Context) error {
	id, version, err := seen(c, deal.Leads)
	if err != nil {
		return err
	}
	if _, err := parameters(c); err != nil {
		return err
	}
	values, err := a.body(c, true)
	if err != nil {
		return err
	}
	what, err := conversionOf(values)
	if err != nil {
		return err
	}
	done, err := a.doneBefore(c, wanted{deal.Leads, id, "convert", values, func(r record.Record) bool { return !r.Link("contact").Zero() }})
	if err == nil && !done {
		_, err = a.Deals.Convert(c.Request().Context(), id, version, what)
	}
	if err != nil {
		return err
	}
	return a.answer(c, deal.Leads, id)
}

// conversionOf reads what a lead is to become: a customer, who may be named, and a deal unless none is wanted.
func conversionOf(values record.Values) (what deal.Conversion, err error) {
	if err := onlyThese(values, "contact", "deal", "title", "pipeline"); err != nil {
		return what, err
	}
	wants, ok := values["deal"].(bool)
	if values["deal"] != nil && !ok {
		return what, fault.InvalidField("deal", "field.yes-no")
	}
	what.NoDeal = ok && !wants
	if what.Contact, err = idIn(values, "contact"); err != nil {
		return what, err
	}
	if what.Title, err = textOf(values, "title"); err != nil {
		return what, err
	}
	what.Pipeline, err = idIn(values, "pipeline")
	return what, err
}

// stageShown is a stage as boards have it.
type stageShown struct {
	ID          record.ID `json:"id"`
	Name        string    `json:"name"`
	Kind        string    `json:"kind"`
	Probability int       `json:"probability"`
	StaleDays   int       `json:"stale_days"`
	Colour      any       `json:"colour"`
}

// cardShown is a lead or a deal on a board.
type cardShown struct {
	Entity        string    `json:"entity"`
	ID            record.ID `json:"id"`
	Version       uint64    `json:"version"`
	Title         string    `json:"title"`
	Contact       any       `json:"contact"`
	ContactName   any       `json:"contact_name"`
	Owner         any       `json:"owner"`
	Value         any       `json:"value"`
	ExpectedClose any       `json:"expected_close"`
	Since         any       `json:"since"`
	Stale         bool      `json:"stale"`
}

// columnShown is one stage of a board.
type columnShown struct {
	Stage      stageShown      `json:"stage"`
	Total      int             `json:"total"`
	TotalExact bool            `json:"total_exact"`
	Sums       []schema.Amount `json:"sums"`
	Stale      int             `json:"stale"`
	Cards      []cardShown     `json:"cards"`
	Next       any             `json:"next"`
}

// orNil is null for a text that says nothing.
func orNil(text string) any {
	if text == "" {
		return nil
	}
	return text
}

func cardsOf(entity string, cards []deal.Card) []cardShown {
	shown := make([]cardShown, 0, len(cards))
	for _, card := range cards {
		one := cardShown{Entity: entity, ID: card.ID, Version: card.Version, Title: card.Title, ContactName: orNil(card.ContactName),
			Owner: orNil(card.Owner), ExpectedClose: orNil(card.ExpectedClose), Since: moment(card.Since), Stale: card.Stale}
		if !card.Contact.Zero() {
			one.Contact = card.Contact
		}
		if card.Value != (schema.Amount{}) {
			one.Value = card.Value
		}
		shown = append(shown, one)
	}
	return shown
}

// board shows a pipeline with what stands in each of its stages, within what the caller may see.
func (a *API) board(c echo.Context) error {
	id, err := idOf(c, "pipeline")
	if err != nil {
		return err
	}
	values, err := parameters(c, "limit")
	if err != nil {
		return err
	}
	limit, err := limitOf(values, record.DefaultLimit, record.MaxLimit)
	if err != nil {
		return err
	}
	b, err := a.Deals.Board(c.Request().Context(), id, limit)
	if err != nil {
		return err
	}
	columns := make([]columnShown, 0, len(b.Columns))
	for _, column := range b.Columns {
		s := column.Stage
		columns = append(columns, columnShown{Stage: stageShown{s.ID, s.Name, s.Kind, s.Probability, s.StaleDays, orNil(s.Colour)},
			Total: column.Count, TotalExact: column.Exact, Sums: append([]schema.Amount{}, column.Sums...), Stale: column.Stale,
			Cards: cardsOf(b.Pipeline.Holds, column.Cards), Next: orNil(column.Next)})
	}
	return writeJSON(c, http.StatusOK, jsonType, map[string]any{"pipeline": map[string]any{"id": b.Pipeline.ID, "name": b.Pipeline.Name,
		"holds": b.Pipeline.Holds, "hidden": b.Pipeline.Hidden}, "columns": columns})
}

// cards goes on with a column of a board.
func (a *API) cards(c echo.Context) error {
	ctx := c.Request().Context()
	id, err := idOf(c, "stage")
	if err != nil {
		return err
	}
	values, err := parameters(c, "cursor", "limit")
	if err != nil {
		return err
	}
	limit, err := limitOf(values, record.DefaultLimit, record.MaxLimit)
	if err != nil {
		return err
	}
	found, next, err := a.Deals.Column(ctx, id, values["cursor"], limit)
	if err != nil {
		return err
	}
	s, err := a.Deals.Stage(ctx, id)
	if err != nil {
		return err
	}
	over, err := a.Deals.Pipeline(ctx, s.Pipeline)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, jsonType, itemsOf(cardsOf(over.Holds, found), next))
}

// outlookShown is what is expected in a month, or of what has no month.
type outlookShown struct {
	Month    string          `json:"month,omitempty"`
	Count    int             `json:"count"`
	Total    []schema.Amount `json:"total"`
	Weighted []schema.Amount `json:"weighted"`
	Won      []schema.Amount `json:"won"`
}

func outlookOf(o deal.Outlook) outlookShown {
	return outlookShown{o.Month, o.Count, append([]schema.Amount{}, o.Total...), append([]schema.Amount{}, o.Weighted...),
		append([]schema.Amount{}, o.Won...)}
}

// forecast says what a pipeline of deals will bring.
func (a *API) forecast(c echo.Context) error {
	id, err := idOf(c, "pipeline")
	if err != nil {
		return err
	}
	values, err := parameters(c, "from", "months")
	if err != nil {
		return err
	}
	from, months := values["from"], usualMonths
	if _, given := values["from"]; !given {
		from = a.Now().In(a.Book.Zone()).Format(time.DateOnly)
	}
	if text, given := values["months"]; given {
		if months, err = strconv.Atoi(text); err != nil {
			return fault.InvalidField("months", "field.number")
		}
	}
	f, err := a.Deals.Forecast(c.Request().Context(), id, from, months)
	if err != nil {
		return err
	}
	shown := make([]outlookShown, 0, len(f.Months))
	for _, o := range f.Months {
		shown = append(shown, outlookOf(o))
	}
	return writeJSON(c, http.StatusOK, jsonType, map[string]any{"months": shown, "late": outlookOf(f.Late), "later": outlookOf(f.Later),
		"undated": outlookOf(f.Undated), "exact": f.Exact})
}
