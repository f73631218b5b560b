// Command garage is a module, made to be copied: plugin.yaml declares lorries and repairs, and this program adds what
// Karov cannot know by itself, a view on the customer's card, a page of open repairs, and a button that finishes them.
package main

import (
	"context"

	"github.com/karov-crm/karov/plugins/sdk"
)

func main() {
	sdk.Run(sdk.Plugin{
		Info:    sdk.Info{ID: "com.karov-crm.garage", Version: "0.1.0"},
		Views:   map[string]sdk.ViewFunc{"lorries": lorries, "open": open},
		Actions: map[string]sdk.ActionFunc{"finish": finish},
	})
}

// lorries shows a customer's lorries and how many repairs are open, with the rights of the person who looks.
func lorries(ctx context.Context, h sdk.Host, l sdk.Look) (sdk.View, error) {
	repairs, _, err := h.Records().Count(ctx, "garage.repair", sdk.Where(`customer = ? and state = "open"`, l.Record))
	if err != nil {
		return sdk.View{}, err
	}
	table := sdk.Table{Columns: []sdk.Column{{Label: sdk.Say("garage.plate")}}, Empty: sdk.Say("garage.no-lorries")}
	query := sdk.Query{Entity: "garage.lorry", Filter: sdk.Where("customer = ?", l.Record), Limit: 50}
	for lorry, err := range h.Records().Query(ctx, query) {
		if err != nil {
			return sdk.View{}, err
		}
		table.Rows = append(table.Rows, sdk.TableRow{Cells: []any{lorry.Text("plate")}, Open: lorry.Ref()})
	}
	figure := sdk.Figure{Label: sdk.Say("garage.open-repairs"), Value: repairs}
	if repairs > 0 {
		figure.Tone = sdk.Warn
	}
	return sdk.View{Blocks: []sdk.Block{sdk.Figures{figure}, table}}, nil
}

// open is the page of all open repairs that the person may see, at most 200.
func open(ctx context.Context, h sdk.Host, _ sdk.Look) (sdk.View, error) {
	found, err := sdk.Collect(h.Records().Query(ctx, sdk.Query{Entity: "garage.repair", Filter: `state = "open"`, Limit: 200}))
	if err != nil {
		return sdk.View{}, err
	}
	plates, err := platesOf(ctx, h, found)
	if err != nil {
		return sdk.View{}, err
	}
	table := sdk.Table{
		Columns: []sdk.Column{{Label: sdk.Say("garage.what")}, {Label: sdk.Say("garage.plate")}},
		Empty:   sdk.Say("garage.nothing-open"),
	}
	for _, repair := range found {
		table.Rows = append(table.Rows, sdk.TableRow{Cells: []any{repair.Text("what"), plates[repair.Link("lorry")]}, Open: repair.Ref()})
	}
	return sdk.View{Blocks: []sdk.Block{table}}, nil
}

// platesOf reads the lorries of many repairs in one call.
func platesOf(ctx context.Context, h sdk.Host, repairs []sdk.Record) (map[string]string, error) {
	var ids []string
	for _, repair := range repairs {
		ids = append(ids, repair.Link("lorry"))
	}
	plates := map[string]string{}
	if len(ids) == 0 {
		return plates, nil
	}
	lorries, err := h.Records().GetAll(ctx, "garage.lorry", ids, "plate")
	for _, lorry := range lorries {
		plates[lorry.ID] = lorry.Text("plate")
	}
	return plates, err
}

// finish closes the repairs on which the button was pressed. Pressed twice, it finds nothing left to do.
func finish(ctx context.Context, h sdk.Host, p sdk.Press) (sdk.Outcome, error) {
	finished := 0
	for _, ref := range p.Records {
		_, err := sdk.Amend(ctx, h.Records(), ref, func(repair sdk.Record) (sdk.Values, error) {
			if repair.Text("state") == "done" {
				return nil, nil
			}
			finished++
			return sdk.Values{"state": "done"}, nil
		})
		if err != nil {
			return sdk.Outcome{}, err
		}
	}
	return sdk.Outcome{Message: sdk.Say("garage.finished", "count", finished)}, nil
}
