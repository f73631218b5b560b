package main

import (
	"context"
	"fmt"
	"time"

	"github.com/karov-crm/karov/plugins/sdk"
)

// visits makes the orders of the visits that are due within the days ahead. It is called each morning, and whenever
// somebody asks; a contract moves to its next visit together with the order, so that a second call finds nothing to do.
func (s *service) visits(ctx context.Context, h sdk.Host, _ sdk.Job) (sdk.Words, error) {
	zone, err := place(ctx, h)
	if err != nil {
		return sdk.Words{}, err
	}
	made, today := 0, sdk.DateOf(time.Now().In(zone))
	query := sdk.Query{Entity: contractEntity, Filter: sdk.Where(`state = "active" and next_visit <= ?`, today.AddDays(s.settings.Load().ahead))}
	// All are read before the first is written: what is written leaves the list that is being read.
	due, err := sdk.Collect(h.Records().Query(ctx, query))
	if err != nil {
		return sdk.Words{}, err
	}
	customers, err := present(ctx, h, due)
	if err != nil {
		return sdk.Words{}, err
	}
	for _, contract := range due {
		if customer := contract.Link("customer"); customer != "" && !customers[customer] {
			continue // he lies in the bin; when he comes back, so do his visits
		}
		n, err := s.visit(ctx, h, contract, today, zone)
		switch {
		case sdk.IsConflict(err):
			continue // somebody is changing the contract: the next run sees it
		case sdk.IsPermanent(err):
			h.Log().Warn("a visit was not made", "contract", contract.ID, "error", err) // the others shall have theirs
			continue
		case err != nil:
			return sdk.Words{}, fmt.Errorf("make the visit of contract %s: %w", contract.ID, err)
		}
		made += n
	}
	return sdk.Say("fieldservice.visits-made", "count", made), nil
}

// present tells which customers of contracts there are.
func present(ctx context.Context, h sdk.Host, contracts []sdk.Record) (map[string]bool, error) {
	found, err := h.Records().GetAll(ctx, contactEntity, links(contracts, "customer"), "name")
	if err != nil {
		return nil, err
	}
	out := make(map[string]bool, len(found))
	for _, r := range found {
		out[r.ID] = true
	}
	return out, nil
}

// visit makes the due visit of a contract and names the next. A day that the contract does not cover any more, and one
// for which the office planned a visit by hand, gets none.
func (s *service) visit(ctx context.Context, h sdk.Host, contract sdk.Record, today sdk.Date, zone *time.Location) (int, error) {
	due := contract.Date("next_visit")
	if refusal(contract, due) != nil {
		return 0, nil
	}
	moved := sdk.Update(contract, sdk.Values{"next_visit": nextVisit(contract.Values, today)})
	key := fmt.Sprintf("visit %s %s %d", contract.ID, due, contract.Version)
	set := s.settings.Load()
	day := set.workday(due)
	if refusal(contract, day) != nil {
		day = due // the last one, on a day on which nobody works: the office finds another
	}
	there := sdk.Where(`contract = ? and kind = "maintenance" and state != "cancelled" and planned >= ? and planned < ?`,
		contract.Ref(), day.In(zone), day.AddDays(1).In(zone))
	n, _, err := h.Records().Count(ctx, orderEntity, there)
	if err != nil {
		return 0, err
	}
	if n > 0 {
		_, err := h.Records().WriteOnce(ctx, key, moved)
		return 0, err
	}
	order, err := s.complete(ctx, h, sdk.Write{Act: sdk.Creating, Entity: orderEntity, Values: sdk.Values{
		"state": planned, "kind": maintenance, "contract": contract.ID, "planned": at(day, set.begin, zone)}})
	if err != nil {
		return 0, err
	}
	_, err = h.Records().WriteOnce(ctx, key, sdk.Create(orderEntity, order), moved)
	return 1, err
}

// visitsNow asks for the visits without waiting for the morning. It does no more than the morning would, so that it asks
// for no right of its own; pressed twice it runs once.
func visitsNow(ctx context.Context, h sdk.Host, _ sdk.Press) (sdk.Outcome, error) {
	if err := h.Office().Enqueue(ctx, sdk.Job{Name: "visits", Key: "now"}); err != nil {
		return sdk.Outcome{}, err
	}
	return sdk.Outcome{Message: sdk.Say("fieldservice.visits-asked")}, nil
}

// links are the ids to which a link of some records leads, each once.
func links(records []sdk.Record, field string) (ids []string) {
	seen := map[string]bool{}
	for _, r := range records {
		if id := r.Link(field); id != "" && !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids
}
