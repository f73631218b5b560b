package main

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/karov-crm/karov/plugins/sdk"
)

// plan makes an order out of the form that stands on the cards of customers and lorries.
func (s *service) plan(ctx context.Context, h sdk.Host, p sdk.Press) (sdk.Outcome, error) {
	order := sdk.Values{"state": planned, "kind": p.Input.Text("kind"), "note": p.Input.Text("note")}
	for _, r := range p.Records {
		switch r.Entity {
		case contactEntity:
			order["customer"] = r.ID
		case assetEntity:
			order["asset"] = r.ID
		}
	}
	for _, link := range []string{"asset", "contract"} {
		if id := p.Input.Link(link); id != "" {
			order[link] = id
		}
	}
	if !order.Has("customer") && !order.Has("asset") && !order.Has("contract") {
		return sdk.Outcome{}, sdk.Refuse("fieldservice.nothing-to-plan")
	}
	when, err := s.asked(ctx, h, p.Input)
	if err != nil {
		return sdk.Outcome{}, err
	}
	order["planned"] = when
	if p.Input.Has("price") {
		if order["price"], err = shekels(p.Input.Number("price")); err != nil {
			return sdk.Outcome{}, err
		}
	}
	return s.create(ctx, h, p.Key, sdk.Write{Act: sdk.Creating, Entity: orderEntity, Values: order, Actor: p.Actor})
}

// planAnyway makes a visit today on a contract that is over or paused. Karov lets only those press who may delete the
// contract; it asks that of each record, so that a press on none is refused here.
func (s *service) planAnyway(ctx context.Context, h sdk.Host, p sdk.Press) (sdk.Outcome, error) {
	if len(p.Records) != 1 {
		return sdk.Outcome{}, sdk.Refuse("fieldservice.one-contract")
	}
	zone, err := place(ctx, h)
	if err != nil {
		return sdk.Outcome{}, err
	}
	set := s.settings.Load()
	when := at(set.workday(sdk.DateOf(time.Now().In(zone))), set.begin, zone)
	return s.create(ctx, h, p.Key, sdk.Write{Act: sdk.Creating, Entity: orderEntity, Actor: p.Actor, Override: true, Values: sdk.Values{
		"state": planned, "kind": maintenance, "contract": p.Records[0].ID, "planned": when}})
}

// create writes the order of a press, once for its key, and leads to it.
func (s *service) create(ctx context.Context, h sdk.Host, key string, w sdk.Write) (sdk.Outcome, error) {
	values, err := s.complete(ctx, h, w)
	if err != nil {
		return sdk.Outcome{}, err
	}
	made, err := h.Records().WriteOnce(ctx, key, sdk.Create(orderEntity, values))
	if err != nil {
		return sdk.Outcome{}, err
	}
	return sdk.Outcome{Message: sdk.Say("fieldservice.planned"), Open: made[0].Ref()}, nil
}

// asked reads day and hour of the form.
func (s *service) asked(ctx context.Context, h sdk.Host, input sdk.Values) (time.Time, error) {
	set := s.settings.Load()
	day, err := sdk.ParseDate(input.Text("day"))
	if err != nil || day.Year == 0 {
		return time.Time{}, sdk.Invalid("day", "fieldservice.day-wrong")
	}
	hour := set.begin
	if text := input.Text("hour"); text != "" {
		hour, err = parseClock(text)
		if err != nil || !slices.ContainsFunc(set.hours(), func(c sdk.Choice) bool { return c.Value == hour.String() }) {
			return time.Time{}, sdk.Refuse("fieldservice.outside-hours", "begin", set.begin.String(), "end", set.end.String())
		}
	}
	zone, err := place(ctx, h)
	if err != nil {
		return time.Time{}, err
	}
	return at(day, hour, zone), nil
}

// shekels reads an amount that somebody typed.
func shekels(n float64) (sdk.Money, error) {
	if math.IsNaN(n) || n < 0 || n > maxPrice {
		return sdk.Money{}, sdk.Invalid("price", "fieldservice.price-wrong")
	}
	return sdk.Money{Minor: int64(math.Round(n * 100)), Currency: shekel}, nil
}
