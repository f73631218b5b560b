package main

import (
	"context"
	"slices"

	"github.com/karov-crm/karov/appliance/control"
	"github.com/karov-crm/karov/appliance/transfer"
)

// exportAct takes records out into a file. Its bytes go to the command as progress, piece by piece; the command throws
// them away unless the result comes at the end.
func (a *appliance) exportAct(ctx context.Context, c *control.Call) (any, error) {
	var order transfer.Order
	if err := c.Args(&order); err != nil {
		return nil, err
	}
	x, err := a.transfer.Prepare(ctx, order)
	if err != nil {
		return nil, err
	}
	n, err := x.Write(ctx, exported{c}, func(n int) { c.Progress(map[string]any{"rows": n}) })
	return map[string]any{"rows": n, "fields": x.Fields()}, err
}

// exported sends what is written to it as progress.
type exported struct{ call *control.Call }

func (e exported) Write(b []byte) (int, error) {
	e.call.Progress(map[string]any{"file": slices.Clone(b)})
	return len(b), nil
}
