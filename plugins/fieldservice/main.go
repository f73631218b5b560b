// Command fieldservice is a vertical for a firm that looks after its customers' lorries: their lorries, contracts for
// monthly maintenance, and job orders for maintenance, repairs and painting.
//
// It owns the records fieldservice.asset, fieldservice.contract and fieldservice.order, which plugin.yaml declares; Karov
// keeps them, and everything that Karov does with records it does with these. It promises that each visit of a contract is
// made once, that no job is planned on a contract that is over unless a manager wants it, and that nobody sees or does by
// it what he may not see or do without it. It talks to nothing in the world.
package main

import (
	"context"
	"sync/atomic"
	"time"
	_ "time/tzdata" // a confined plugin reads no files of the machine

	"github.com/karov-crm/karov/plugins/sdk"
)

// The kinds of record, as plugin.yaml declares them.
const (
	assetEntity    = "fieldservice.asset"
	contractEntity = "fieldservice.contract"
	orderEntity    = "fieldservice.order"
	contactEntity  = "contact"
)

func main() { sdk.Run(new(service).plugin()) }

// service is the plugin: its settings, and what it does with them.
type service struct{ settings atomic.Pointer[settings] }

func (s *service) plugin() sdk.Plugin {
	return sdk.Plugin{
		Info:      sdk.Info{ID: "il.karov.fieldservice", Version: "0.1.0"},
		Configure: s.configure,
		Before:    map[string]sdk.BeforeFunc{orderEntity: s.beforeOrder},
		Actions: map[string]sdk.ActionFunc{
			"plan": s.plan, "plan-anyway": s.planAnyway, "leave": s.leave, "start": s.start, "finish": s.finish, "cancel": s.cancel,
			"visits-now": visitsNow,
		},
		Views: map[string]sdk.ViewFunc{
			"lorries": s.lorries, "history": s.history, "closing": s.closing, "today": s.today, "summary": s.summary, "state": s.state,
		},
		Jobs:   map[string]sdk.JobFunc{"visits": s.visits},
		Import: map[string]sdk.ImportFunc{"fleet": fleet},
	}
}

func (s *service) configure(_ context.Context, c sdk.Config) error {
	read, err := readSettings(c)
	if err != nil {
		return err
	}
	s.settings.Store(&read)
	return nil
}

// place is the office's time zone, in which days begin and end.
func place(ctx context.Context, h sdk.Host) (*time.Location, error) {
	office, err := h.Office().About(ctx)
	if err != nil {
		return nil, err
	}
	return office.Location()
}
