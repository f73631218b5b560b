package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/karov-crm/karov/plugins/sdk"
)

const (
	weekDays  = 7
	maxListed = 200 // rows of one table; beyond it a list of the orders serves better
)

// week are the orders around today, as far as the person may see them, in the order of their time.
type week struct {
	zone  *time.Location
	today sdk.Date
	days  [weekDays][]sdk.Record // planned for today, tomorrow and so on, without cancelled ones
	late  []sdk.Record           // planned for a day before today, and not done
}

func readWeek(ctx context.Context, h sdk.Host) (w week, err error) {
	if w.zone, err = place(ctx, h); err != nil {
		return w, err
	}
	w.today = sdk.DateOf(time.Now().In(w.zone))
	query := sdk.Query{Entity: orderEntity, Sort: "planned", Limit: 5 * maxListed, Fields: []string{"asset", "customer", "kind", "state", "planned"},
		Filter: sdk.Where(`state != "cancelled" and planned >= ? and planned < ?`, w.today.In(w.zone), w.today.AddDays(weekDays).In(w.zone))}
	for r, err := range h.Records().Query(ctx, query) {
		if err != nil {
			return w, err
		}
		day := sdk.DateOf(r.Time("planned").In(w.zone))
		for n := range w.days {
			if w.today.AddDays(n) == day {
				w.days[n] = append(w.days[n], r)
			}
		}
	}
	query.Limit = maxListed
	query.Filter = sdk.Where(`state in (?) and planned < ?`, open(), w.today.In(w.zone))
	w.late, err = sdk.Collect(h.Records().Query(ctx, query))
	return w, err
}

func (w week) finishedToday() (n int) {
	for _, r := range w.days[0] {
		if r.Text("state") == done {
			n++
		}
	}
	return n
}

// today is the page of visits: today's, those of the week, and those that are late.
func (s *service) today(ctx context.Context, h sdk.Host, l sdk.Look) (sdk.View, error) {
	w, err := readWeek(ctx, h)
	if err != nil {
		return sdk.View{}, err
	}
	listed, empty := w.days[0], sdk.Say("fieldservice.none-today")
	switch l.Params["when"] {
	case "week":
		listed, empty = slices.Concat(w.days[:]...), sdk.Say("fieldservice.none-week")
	case "late":
		listed, empty = w.late, sdk.Say("fieldservice.none-late")
	}
	table, err := orderTable(ctx, h, w, listed, empty)
	if err != nil {
		return sdk.View{}, err
	}
	chart := w.chart()
	return sdk.View{Blocks: []sdk.Block{
		append(w.figures(), sdk.Figure{Label: sdk.Say("fieldservice.done-today"), Value: w.finishedToday(), Tone: sdk.Good}),
		sdk.Tabs{Param: "when", Tabs: []sdk.Tab{
			{Name: "today", Label: sdk.Say("fieldservice.today"), Blocks: []sdk.Block{table}},
			{Name: "week", Label: sdk.Say("fieldservice.week"), Blocks: []sdk.Block{table, chart}},
			{Name: "late", Label: sdk.Say("fieldservice.late"), Blocks: []sdk.Block{table}},
		}},
	}}, nil
}

// summary is the box of the home page.
func (s *service) summary(ctx context.Context, h sdk.Host, _ sdk.Look) (sdk.View, error) {
	w, err := readWeek(ctx, h)
	if err != nil {
		return sdk.View{}, err
	}
	buttons := sdk.Buttons{{Label: sdk.Say("fieldservice.show-visits"), View: "today"}}
	if len(w.late) > 0 {
		buttons = append(buttons, sdk.Button{Label: sdk.Say("fieldservice.show-late"), View: "today", Params: map[string]string{"when": "late"}})
	}
	return sdk.View{Blocks: []sdk.Block{w.figures(), buttons}}, nil
}

func (w week) figures() sdk.Figures {
	late := sdk.Figure{Label: sdk.Say("fieldservice.late"), Value: len(w.late), Tone: sdk.Quiet}
	if len(w.late) > 0 {
		late.Tone = sdk.Bad
	}
	return sdk.Figures{{Label: sdk.Say("fieldservice.today"), Value: len(w.days[0])}, late}
}

// chart draws how many visits each day of the week has.
func (w week) chart() sdk.Chart {
	c := sdk.Chart{Title: sdk.Say("fieldservice.by-day"), Series: []sdk.Series{{Label: sdk.Say("fieldservice.visits")}}}
	for n, orders := range w.days {
		day := w.today.AddDays(n)
		c.Labels = append(c.Labels, fmt.Sprintf("%02d.%02d", day.Day, int(day.Month)))
		c.Series[0].Values = append(c.Series[0].Values, float64(len(orders)))
	}
	return c
}

// orderTable lists orders with the names of their lorries and customers, each leading to its order.
func orderTable(ctx context.Context, h sdk.Host, w week, orders []sdk.Record, empty sdk.Words) (sdk.Table, error) {
	orders = orders[:min(len(orders), maxListed)]
	plates, err := names(ctx, h, assetEntity, "plate", links(orders, "asset"))
	if err != nil {
		return sdk.Table{}, err
	}
	customers, err := names(ctx, h, contactEntity, "name", links(orders, "customer"))
	if err != nil {
		return sdk.Table{}, err
	}
	t := sdk.Table{Empty: empty, Columns: []sdk.Column{{Label: sdk.Say("fieldservice.when")}, {Label: sdk.Say("fieldservice.lorry")},
		{Label: sdk.Say("fieldservice.customer")}, {Label: sdk.Say("fieldservice.kind")}, {Label: sdk.Say("fieldservice.state")}}}
	for _, r := range orders {
		var when any
		if moment := r.Time("planned"); !moment.IsZero() {
			when = moment
		}
		t.Rows = append(t.Rows, sdk.TableRow{Open: r.Ref(), Cells: []any{when, plates[r.Link("asset")], customers[r.Link("customer")],
			sdk.Say("fieldservice.kind-" + kindOf(r)), stateCell(r, w)}})
	}
	return t, nil
}

func kindOf(r sdk.Record) string {
	if kind := r.Text("kind"); kind != "" {
		return kind
	}
	return maintenance
}

// stateCell shows the state of an order, and that it is late.
func stateCell(r sdk.Record, w week) sdk.Cell {
	state := r.Text("state")
	words := sdk.Say("fieldservice.state-" + state)
	switch {
	case state == done:
		return sdk.Toned(sdk.Good, words)
	case state == cancelled:
		return sdk.Toned(sdk.Quiet, words)
	case state == "":
		return sdk.Cell{Value: ""}
	case !r.Time("planned").IsZero() && r.Time("planned").Before(w.today.In(w.zone)):
		return sdk.Toned(sdk.Bad, words)
	}
	return sdk.Cell{Value: words}
}

// names are the titles of records by their ids, of those that the person may see.
func names(ctx context.Context, h sdk.Host, entity, field string, ids []string) (map[string]string, error) {
	found, err := h.Records().GetAll(ctx, entity, ids, field)
	if err != nil {
		return nil, err
	}
	out := make(map[string]string, len(found))
	for _, r := range found {
		out[r.ID] = r.Text(field)
	}
	return out, nil
}
