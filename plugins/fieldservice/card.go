package main

import (
	"context"
	"strings"
	"time"

	"github.com/karov-crm/karov/plugins/sdk"
)

const (
	maxOnCard    = 20 // rows of a table on a card
	maxToFinish  = 4  // orders with a button of their own
	maxToChoose  = 100
	maxHappening = 50
)

// lorries is what stands on a customer's card: his lorries, what is open, and the form for more.
func (s *service) lorries(ctx context.Context, h sdk.Host, l sdk.Look) (sdk.View, error) {
	own := sdk.Where("customer = ?", l.Record)
	assets, err := sdk.Collect(h.Records().Query(ctx, sdk.Query{Entity: assetEntity, Filter: own, Sort: "plate", Limit: maxToChoose}))
	if err != nil {
		return sdk.View{}, err
	}
	contracts, err := sdk.Collect(h.Records().Query(ctx, sdk.Query{Entity: contractEntity, Filter: own, Limit: maxToChoose}))
	if err != nil {
		return sdk.View{}, err
	}
	jobs, err := s.openJobs(ctx, h, own)
	if err != nil {
		return sdk.View{}, err
	}
	blocks := []sdk.Block{assetTable(assets, contracts), sdk.Heading(sdk.Say("fieldservice.open-orders"))}
	blocks = append(blocks, jobs...)
	return sdk.View{Blocks: append(blocks, sdk.Heading(sdk.Say("fieldservice.new-order")), s.planForm(assets, contracts))}, nil
}

// history is what stands on a lorry's card.
func (s *service) history(ctx context.Context, h sdk.Host, l sdk.Look) (sdk.View, error) {
	own := sdk.Where("asset = ?", l.Record)
	contracts, err := sdk.Collect(h.Records().Query(ctx, sdk.Query{Entity: contractEntity, Filter: own, Limit: maxToChoose}))
	if err != nil {
		return sdk.View{}, err
	}
	jobs, err := s.openJobs(ctx, h, own)
	if err != nil {
		return sdk.View{}, err
	}
	over := sdk.Query{Entity: orderEntity, Filter: own + ` and state = "done"`, Sort: "-planned", Limit: maxHappening}
	finished, err := sdk.Collect(h.Records().Query(ctx, over))
	if err != nil {
		return sdk.View{}, err
	}
	blocks := []sdk.Block{contractTable(contracts), sdk.Heading(sdk.Say("fieldservice.open-orders"))}
	blocks = append(blocks, jobs...)
	if len(finished) > 0 {
		blocks = append(blocks, sdk.Heading(sdk.Say("fieldservice.was-done")), doneLine(finished))
	}
	return sdk.View{Blocks: append(blocks, sdk.Heading(sdk.Say("fieldservice.new-order")), s.planForm(nil, contracts))}, nil
}

// closing is the form that finishes an order, on its own card.
func (s *service) closing(ctx context.Context, h sdk.Host, l sdk.Look) (sdk.View, error) {
	order, err := h.Records().Get(ctx, orderEntity, l.Record.ID)
	if err != nil {
		return sdk.View{}, err
	}
	switch order.Text("state") {
	case done:
		return sdk.View{Blocks: []sdk.Block{sdk.Paragraph{Words: sdk.Say("fieldservice.state-done"), Tone: sdk.Good}}}, nil
	case cancelled:
		return sdk.View{Blocks: []sdk.Block{sdk.Paragraph{Words: sdk.Say("fieldservice.state-cancelled"), Tone: sdk.Quiet}}}, nil
	}
	var price any
	if order.Has("price") {
		price = float64(order.Money("price").Minor) / 100
	}
	return sdk.View{Blocks: []sdk.Block{sdk.Form{Action: "finish", Submit: sdk.Say("fieldservice.finish"), Inputs: []sdk.Input{
		{Name: "price", Label: sdk.Say("fieldservice.price-shekels"), Kind: sdk.Numeric, Value: price},
		{Name: "parts", Label: sdk.Say("fieldservice.parts"), Kind: sdk.LongText, Value: order.Text("parts")},
		{Name: "note", Label: sdk.Say("fieldservice.note"), Kind: sdk.LongText, Value: order.Text("note")},
	}}}}, nil
}

// openJobs are the orders that a filter finds and that are not done, with buttons that finish the first of them.
func (s *service) openJobs(ctx context.Context, h sdk.Host, own string) ([]sdk.Block, error) {
	query := sdk.Query{Entity: orderEntity, Filter: own + sdk.Where(" and state in (?)", open()), Sort: "planned", Limit: maxOnCard}
	orders, err := sdk.Collect(h.Records().Query(ctx, query))
	if err != nil {
		return nil, err
	}
	zone, err := place(ctx, h)
	if err != nil {
		return nil, err
	}
	table, err := orderTable(ctx, h, week{zone: zone, today: sdk.DateOf(time.Now().In(zone))}, orders, sdk.Say("fieldservice.nothing-open"))
	if err != nil || len(orders) == 0 {
		return []sdk.Block{table}, err
	}
	var buttons sdk.Buttons
	for _, r := range orders[:min(len(orders), maxToFinish)] {
		buttons = append(buttons, sdk.Button{Label: sdk.Say("fieldservice.finish-one", "title", r.Text("title")), Action: "finish", Records: []sdk.Ref{r.Ref()}})
	}
	return []sdk.Block{table, buttons}, nil
}

// assetTable lists lorries with their next visit.
func assetTable(assets, contracts []sdk.Record) sdk.Table {
	next := map[string]sdk.Date{}
	for _, c := range contracts {
		visit, known := c.Date("next_visit"), next[c.Link("asset")]
		if c.Text("state") == "active" && !visit.IsZero() && (known.IsZero() || visit.Before(known)) {
			next[c.Link("asset")] = visit
		}
	}
	t := sdk.Table{Empty: sdk.Say("fieldservice.no-lorries"), Columns: []sdk.Column{{Label: sdk.Say("fieldservice.lorry")},
		{Label: sdk.Say("fieldservice.model")}, {Label: sdk.Say("fieldservice.next-visit")}}}
	for _, a := range assets[:min(len(assets), maxOnCard)] {
		visit := ""
		if d := next[a.ID]; !d.IsZero() {
			visit = dayText(d)
		}
		model := strings.TrimSpace(a.Text("maker") + " " + a.Text("model"))
		t.Rows = append(t.Rows, sdk.TableRow{Open: a.Ref(), Cells: []any{a.Text("plate"), model, visit}})
	}
	return t
}

// contractTable lists the contracts of a lorry.
func contractTable(contracts []sdk.Record) sdk.Table {
	t := sdk.Table{Empty: sdk.Say("fieldservice.no-contract"), Columns: []sdk.Column{{Label: sdk.Say("fieldservice.contract")},
		{Label: sdk.Say("fieldservice.state")}, {Label: sdk.Say("fieldservice.until")}, {Label: sdk.Say("fieldservice.price"), Numbers: true}}}
	for _, c := range contracts[:min(len(contracts), maxOnCard)] {
		var until, price any
		if d := c.Date("until"); !d.IsZero() {
			until = dayText(d)
		}
		if c.Has("price") {
			price = c.Money("price")
		}
		state := sdk.Cell{Value: ""}
		if of := c.Text("state"); of != "" {
			state = sdk.Cell{Value: sdk.Say("fieldservice.contract-is-" + of)}
		}
		t.Rows = append(t.Rows, sdk.TableRow{Open: c.Ref(), Cells: []any{c.Text("number"), state, until, price}})
	}
	return t
}

// doneLine tells what was done, newest first.
func doneLine(orders []sdk.Record) (line sdk.Timeline) {
	for _, r := range orders {
		when := r.Time("finished")
		if when.IsZero() {
			when = r.UpdatedAt
		}
		words := sdk.Say("fieldservice.kind-" + kindOf(r))
		if r.Has("price") {
			words = sdk.Say("fieldservice.done-for-"+kindOf(r), "price", r.Money("price"))
		}
		line = append(line, sdk.Happening{At: when, Words: words, Open: r.Ref(), Tone: sdk.Good})
	}
	return line
}

// planForm asks for a job: for one of the customer's lorries, or for the lorry on whose card it stands.
func (s *service) planForm(assets, contracts []sdk.Record) sdk.Form {
	f := sdk.Form{Action: "plan", Submit: sdk.Say("fieldservice.plan")}
	if len(assets) > 0 {
		f.Inputs = append(f.Inputs, sdk.Input{Name: "asset", Label: sdk.Say("fieldservice.lorry"), Kind: sdk.OneOf, Choices: choices(assets, "plate")})
	}
	if len(contracts) > 0 {
		f.Inputs = append(f.Inputs, sdk.Input{Name: "contract", Label: sdk.Say("fieldservice.contract"), Kind: sdk.OneOf,
			Choices: choices(contracts, "number"), Help: sdk.Say("fieldservice.contract-help")})
	}
	var kinds []sdk.Choice
	for _, kind := range []string{maintenance, "repair", "painting"} {
		kinds = append(kinds, sdk.Choice{Value: kind, Label: sdk.Say("fieldservice.kind-" + kind)})
	}
	set := s.settings.Load()
	f.Inputs = append(f.Inputs,
		sdk.Input{Name: "kind", Label: sdk.Say("fieldservice.kind"), Kind: sdk.OneOf, Required: true, Value: maintenance, Choices: kinds},
		sdk.Input{Name: "day", Label: sdk.Say("fieldservice.day"), Kind: sdk.Day, Required: true},
		sdk.Input{Name: "hour", Label: sdk.Say("fieldservice.hour"), Kind: sdk.OneOf, Required: true, Value: set.begin.String(), Choices: set.hours()},
		sdk.Input{Name: "price", Label: sdk.Say("fieldservice.price-shekels"), Kind: sdk.Numeric, Help: sdk.Say("fieldservice.price-help")},
		sdk.Input{Name: "note", Label: sdk.Say("fieldservice.note"), Kind: sdk.LongText})
	return f
}

// choices are records to choose from, by what they are called.
func choices(records []sdk.Record, title string) (all []sdk.Choice) {
	for _, r := range records {
		all = append(all, sdk.Choice{Value: r.ID, Label: sdk.Plain(r.Text(title))})
	}
	return all
}
