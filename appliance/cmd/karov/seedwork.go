package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/deal"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/seed"
	"github.com/karov-crm/karov/appliance/staff"
	"github.com/karov-crm/karov/appliance/store"
)

// seedWork is how many synthetic tasks, deals and leads are asked for.
type seedWork struct {
	Tasks, Deals, Leads int
	Seed                uint64
}

func (w seedWork) check(customers int) error {
	if w.Tasks < 0 || w.Tasks > customers || w.Deals < 0 || w.Deals > customers || w.Leads < 0 || w.Leads > seed.Most/2 {
		return fault.InvalidField("contacts", "seed.count", "most", seed.Most)
	}
	return nil
}

// worker makes the synthetic work of an office: its tasks, deals and leads.
type worker struct {
	*appliance
	seedWork
	staff     []staff.Account
	customers map[int]record.ID // those that this run made, by their index: work for others was made before
	made      map[string]int
}

// seedWork lets the first synthetic customers have tasks and deals, and makes leads, as the office's own staff.
func (a *appliance) seedWork(ctx context.Context, w seedWork, fresh map[int]bool) (map[string]int, error) {
	people, err := a.staff.List(ctx)
	if err != nil {
		return nil, err
	}
	k := worker{appliance: a, seedWork: w, customers: map[int]record.ID{}, made: map[string]int{}}
	for _, p := range people {
		if p.Disabled {
			continue
		}
		if k.staff = append(k.staff, p); p.Role == access.Owner && access.ActorFrom(ctx).Role == access.System {
			ctx = access.WithActor(ctx, p.Actor())
		}
	}
	if err := k.know(ctx, fresh); err != nil {
		return nil, err
	}
	return k.made, errors.Join(k.tasks(ctx), k.deals(ctx), k.leads(ctx))
}

// know finds the customers that this run made.
func (k *worker) know(ctx context.Context, fresh map[int]bool) error {
	return k.book.View(ctx, func(tx store.Tx) error {
		for s := range seed.Contacts(k.Seed, max(k.Tasks, k.Deals)) {
			if !fresh[s.Index] {
				continue
			}
			if known := k.contacts.KnownTx(tx, contact.Phone, s.Phones[0]); len(known) > 0 {
				k.customers[s.Index] = known[0]
			}
		}
		return nil
	})
}

// who is a member of the staff, "" in an office without any.
func (k *worker) who(number int) string {
	if len(k.staff) == 0 {
		return ""
	}
	return k.staff[number%len(k.staff)].ID
}

func (k *worker) tasks(ctx context.Context) error {
	now := k.now().In(k.book.Zone())
	for s := range seed.Tasks(k.Seed, k.Tasks) {
		customer, ok := k.customers[s.Index]
		if !ok {
			continue
		}
		due := time.Date(now.Year(), now.Month(), now.Day()+s.Days, 0, s.Minute, 0, 0, now.Location())
		t, err := k.appliance.tasks.Create(ctx, record.Values{"title": s.Title, "note": s.Note, "contact": customer, "due": due, "kind": s.Kind,
			"priority": s.Priority, "repeat": s.Repeat, "assignee": k.who(s.Who)})
		switch {
		case err != nil:
		case s.State == "done":
			_, err = k.appliance.tasks.Finish(ctx, t.ID)
		case s.State == "cancelled":
			_, err = k.appliance.tasks.Cancel(ctx, t.ID)
		}
		if err != nil {
			return fmt.Errorf("make a task: %w", err)
		}
		k.made["tasks"]++
	}
	return nil
}

func (k *worker) deals(ctx context.Context) error {
	pipelines, err := k.appliance.deals.Pipelines(ctx, deal.Deals)
	if err != nil || len(pipelines) == 0 {
		return err
	}
	currency, today := deal.CurrencyOf(k.config.Country), k.now().In(k.book.Zone())
	digits, _ := schema.Digits(currency)
	unit := int64(1)
	for range digits {
		unit *= 10
	}
	for s := range seed.Deals(k.Seed, k.Deals) {
		customer, ok := k.customers[s.Index]
		if !ok {
			continue
		}
		stage, end := stagesOf(pipelines[0], s.Step, s.Outcome)
		d, err := k.appliance.deals.Create(ctx, record.Values{"title": s.Title, "contact": customer, "pipeline": pipelines[0].ID, "stage": stage, "source": s.Source,
			"value":          schema.Amount{Minor: int64(s.Value) * unit, Currency: currency},
			"expected_close": today.AddDate(0, 0, s.Days).Format(time.DateOnly), "owner": k.who(s.Who)})
		if err == nil && !end.Zero() {
			_, err = k.appliance.deals.Move(ctx, d.ID, d.Version, end, s.Reason)
		}
		if err != nil {
			return fmt.Errorf("make a deal: %w", err)
		}
		k.made["deals"]++
	}
	return nil
}

// stagesOf picks the open stage in which something begins, some steps along, and the one in which it ends, if it does.
func stagesOf(p deal.Pipeline, step int, outcome string) (begin, end record.ID) {
	for _, s := range p.Stages {
		switch {
		case s.Kind == deal.Open && (begin.Zero() || step > 0):
			if !begin.Zero() {
				step--
			}
			begin = s.ID
		case s.Kind == outcome && s.Closes() && end.Zero():
			end = s.ID
		}
	}
	return begin, end
}

func (k *worker) leads(ctx context.Context) error {
	pipelines, err := k.appliance.deals.Pipelines(ctx, deal.Leads)
	if err != nil || len(pipelines) == 0 || len(k.customers) == 0 {
		return err
	}
	for s := range seed.Leads(k.Seed, k.Leads) {
		stage, _ := stagesOf(pipelines[0], s.Step, deal.Open)
		_, err := k.appliance.deals.CreateLead(ctx, "", record.Values{"name": s.Name, "company": s.Company, "phone": s.Phone, "email": s.Email, "note": s.Note,
			"source": s.Source, "stage": stage, "owner": k.who(s.Who)})
		if err != nil {
			return fmt.Errorf("make a lead: %w", err)
		}
		k.made["leads"]++
	}
	return nil
}
