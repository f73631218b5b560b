package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/karov-crm/karov/plugins/sdk"
)

// The states of a job order.
const (
	planned   = "planned"
	onTheWay  = "on-the-way"
	inWork    = "in-work"
	done      = "done"
	cancelled = "cancelled"
)

// open are the states of orders that somebody has still to work on.
func open() []string { return []string{planned, onTheWay, inWork} }

const maintenance = "maintenance"

// beforeOrder is asked before somebody writes an order: it fills in what the lorry and the contract say, and refuses a
// job on a contract that does not cover it. What the plugin writes itself goes the same way, see complete.
func (s *service) beforeOrder(ctx context.Context, h sdk.Host, w sdk.Write) (sdk.Values, error) {
	zone, err := place(ctx, h)
	if err != nil {
		return nil, err
	}
	contract, err := linked(ctx, h, w, contractEntity, "contract")
	if err != nil {
		return nil, err
	}
	more := sdk.Values{}
	lorry, err := lorryOf(ctx, h, w, contract, more)
	if err != nil {
		return nil, err
	}
	if err := fillCustomer(w.After(), contract, lorry, more); err != nil {
		return nil, err
	}
	day := sdk.DateOf(time.Now().In(zone))
	if when := w.After().Time("planned"); !when.IsZero() {
		day = sdk.DateOf(when.In(zone))
	}
	if err := cover(w, contract, day, more); err != nil {
		return nil, err
	}
	if w.After().Text("title") == "" {
		more["title"] = titleOf(lorry, day)
	}
	if w.Act == sdk.Creating && !w.After().Has("price") {
		if price := s.priceOf(contract, w.After()); price.Minor > 0 {
			more["price"] = price
		}
	}
	return more, nil
}

// linked reads the record to which a link of the order leads, the zero Record for none. One that this very write names
// must be there for who writes; one that stands in the order already is read whether he may see it or not.
func linked(ctx context.Context, h sdk.Host, w sdk.Write, entity, field string) (sdk.Record, error) {
	id := w.After().Link(field)
	if id == "" {
		return sdk.Record{}, nil
	}
	if changes(w, field) {
		if _, err := h.Records().Get(ctx, entity, id); err != nil {
			if sdk.IsNotFound(err) {
				return sdk.Record{}, sdk.Invalid(field, "fieldservice.no-such-"+field)
			}
			return sdk.Record{}, err
		}
	}
	return whole(ctx, h, entity, id)
}

// whole reads a record as the plugin: a role from which the end of contracts is hidden must not thereby pass it. One in
// the bin is the zero Record.
func whole(ctx context.Context, h sdk.Host, entity, id string) (sdk.Record, error) {
	r, err := h.Records().Get(sdk.AsPlugin(ctx), entity, id)
	if sdk.IsNotFound(err) {
		return sdk.Record{}, nil
	}
	return r, err
}

// lorryOf is the lorry of the order, which is the contract's where the order names none.
func lorryOf(ctx context.Context, h sdk.Host, w sdk.Write, contract sdk.Record, more sdk.Values) (sdk.Record, error) {
	if w.After().Has("asset") || !contract.Has("asset") {
		return linked(ctx, h, w, assetEntity, "asset")
	}
	lorry, err := whole(ctx, h, assetEntity, contract.Link("asset"))
	if err == nil && !lorry.IsZero() {
		more["asset"] = lorry.ID
	}
	return lorry, err
}

func changes(w sdk.Write, field string) bool {
	_, named := w.Values[field]
	return named
}

// fillCustomer fills in whose order it is. A contract works for the customer whose it is, and for nobody else; a lorry
// may be driven by one customer and paid for by another.
func fillCustomer(order sdk.Values, contract, lorry sdk.Record, more sdk.Values) error {
	customer := order.Link("customer")
	switch {
	case customer == "" && contract.Has("customer"):
		more["customer"] = contract.Link("customer")
	case customer == "" && lorry.Has("customer"):
		more["customer"] = lorry.Link("customer")
	case customer != "" && contract.Has("customer") && contract.Link("customer") != customer:
		return sdk.Invalid("contract", "fieldservice.other-customer")
	}
	return nil
}

// cover refuses a job that begins on a contract which does not cover its day, unless a manager wants it: the order then
// says so, and goes its way without being refused again. Nobody says so by writing the field.
func cover(w sdk.Write, contract sdk.Record, day sdk.Date, more sdk.Values) error {
	approved := w.Before.Yes("approved") && !changes(w, "contract")
	begins := w.Act == sdk.Creating || changes(w, "contract") || changes(w, "planned") || changes(w, "state")
	state := w.After().Text("state")
	if begins && !approved && !contract.IsZero() && (state == "" || slices.Contains(open(), state)) {
		if err := refusal(contract, day); err != nil {
			if !w.Override {
				return err
			}
			approved = true
		}
	}
	if w.After().Yes("approved") != approved {
		more["approved"] = approved
	}
	return nil
}

// refusal says why a contract covers no job on a day, nil when it does.
func refusal(contract sdk.Record, day sdk.Date) error {
	until := contract.Date("until")
	switch {
	case contract.Text("state") == "paused":
		return sdk.Refuse("fieldservice.contract-paused", "number", contract.Text("number"))
	case contract.Text("state") == "ended":
		return sdk.Refuse("fieldservice.contract-ended", "number", contract.Text("number"))
	case !until.IsZero() && until.Before(day):
		return sdk.Refuse("fieldservice.contract-expired", "number", contract.Text("number"), "until", dayText(until))
	}
	return nil
}

// priceOf is what a job costs before anybody says otherwise: maintenance costs what the contract or the office says,
// other work what it turns out to be.
func (s *service) priceOf(contract sdk.Record, order sdk.Values) sdk.Money {
	if kind := order.Text("kind"); kind != "" && kind != maintenance {
		return sdk.Money{}
	}
	if contract.Has("price") {
		return contract.Money("price")
	}
	return s.settings.Load().price
}

// titleOf names an order to people: by the lorry and the day.
func titleOf(lorry sdk.Record, day sdk.Date) string {
	if lorry.IsZero() {
		return dayText(day)
	}
	return lorry.Text("plate") + " · " + dayText(day)
}

// dayText writes a day as people of all three languages write it.
func dayText(d sdk.Date) string { return fmt.Sprintf("%02d.%02d.%d", d.Day, int(d.Month), d.Year) }

// complete gives the values of a write as they stand after the plugin asked itself: Karov does not ask it about its own.
func (s *service) complete(ctx context.Context, h sdk.Host, w sdk.Write) (sdk.Values, error) {
	more, err := s.beforeOrder(ctx, h, w)
	if err != nil {
		return nil, err
	}
	values := maps.Clone(w.Values)
	maps.Copy(values, more)
	return values, nil
}
