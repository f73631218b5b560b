package main

import (
	"context"
	"slices"
	"time"

	"github.com/karov-crm/karov/plugins/sdk"
)

// leave says that the technician is on the way.
func (s *service) leave(ctx context.Context, h sdk.Host, p sdk.Press) (sdk.Outcome, error) {
	return s.move(ctx, h, p, "fieldservice.left", []string{planned}, sdk.Values{"state": onTheWay})
}

// start says that the work began.
func (s *service) start(ctx context.Context, h sdk.Host, p sdk.Press) (sdk.Outcome, error) {
	return s.move(ctx, h, p, "fieldservice.started", []string{planned, onTheWay}, sdk.Values{"state": inWork})
}

// finish says that the work is done, now, and what it cost and took where the form was filled in.
func (s *service) finish(ctx context.Context, h sdk.Host, p sdk.Press) (sdk.Outcome, error) {
	to := sdk.Values{"state": done, "finished": time.Now()}
	if p.Input.Has("price") {
		price, err := shekels(p.Input.Number("price"))
		if err != nil {
			return sdk.Outcome{}, err
		}
		to["price"] = price
	}
	for _, field := range []string{"parts", "note"} {
		if text := p.Input.Text(field); text != "" {
			to[field] = text
		}
	}
	return s.move(ctx, h, p, "fieldservice.finished", open(), to)
}

// cancel calls a job off.
func (s *service) cancel(ctx context.Context, h sdk.Host, p sdk.Press) (sdk.Outcome, error) {
	return s.move(ctx, h, p, "fieldservice.cancelled", open(), sdk.Values{"state": cancelled})
}

// move brings orders from one of some states into another. One that is there already stays as it is, so that a press
// that comes twice does its work once; one that is elsewhere is refused.
func (s *service) move(ctx context.Context, h sdk.Host, p sdk.Press, says string, from []string, to sdk.Values) (sdk.Outcome, error) {
	if len(p.Records) == 0 {
		return sdk.Outcome{}, sdk.Refuse("fieldservice.no-order")
	}
	for _, ref := range p.Records {
		_, err := sdk.Amend(ctx, h.Records(), ref, func(order sdk.Record) (sdk.Values, error) {
			switch state := order.Text("state"); {
			case state == to.Text("state"):
				return nil, nil
			case !slices.Contains(from, state):
				return nil, sdk.Refuse("fieldservice.order-"+state, "title", order.Text("title"))
			}
			return s.complete(ctx, h, sdk.Write{Act: sdk.Updating, Entity: orderEntity, Before: order, Values: to, Actor: p.Actor})
		})
		if err != nil {
			return sdk.Outcome{}, err
		}
	}
	return sdk.Outcome{Message: sdk.Say(says, "count", len(p.Records))}, nil
}
