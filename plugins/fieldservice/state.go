package main

import (
	"context"
	"time"

	"github.com/karov-crm/karov/plugins/sdk"
)

// state is what stands with the settings: how much there is, what the next morning will make, and a button that does not
// wait for it. Only those who administer the office see it.
func (s *service) state(ctx context.Context, h sdk.Host, _ sdk.Look) (sdk.View, error) {
	zone, err := place(ctx, h)
	if err != nil {
		return sdk.View{}, err
	}
	set := s.settings.Load()
	until := sdk.DateOf(time.Now().In(zone)).AddDays(set.ahead)
	figures := sdk.Figures{}
	for _, one := range []struct{ label, entity, filter string }{
		{"fieldservice.lorries", assetEntity, ""},
		{"fieldservice.active-contracts", contractEntity, `state = "active"`},
		{"fieldservice.due-visits", contractEntity, sdk.Where(`state = "active" and next_visit <= ?`, until)},
		{"fieldservice.open-orders", orderEntity, sdk.Where("state in (?)", open())},
	} {
		n, _, err := h.Records().Count(ctx, one.entity, one.filter)
		if err != nil {
			return sdk.View{}, err
		}
		figures = append(figures, sdk.Figure{Label: sdk.Say(one.label), Value: n})
	}
	return sdk.View{Blocks: []sdk.Block{
		figures,
		sdk.Text(sdk.Say("fieldservice.works", "begin", set.begin.String(), "end", set.end.String(), "until", dayText(until), "price", set.price)),
		sdk.Buttons{{Label: sdk.Say("fieldservice.visits-now"), Action: "visits-now"}},
	}}, nil
}
