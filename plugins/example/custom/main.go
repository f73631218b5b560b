// Command credit is a customisation, made to be copied: plugin.yaml gives each customer a credit limit, and this program
// is asked before a deal is written and refuses one that is worth more. Who administers deals may override it.
package main

import (
	"context"

	"github.com/karov-crm/karov/plugins/sdk"
)

func main() {
	sdk.Run(sdk.Plugin{
		Info:   sdk.Info{ID: "com.karov-crm.credit", Version: "0.1.0"},
		Before: map[string]sdk.BeforeFunc{"deal": withinLimit},
	})
}

// withinLimit is asked on the way of every deal, so it reads one record at most. It changes nothing: the write may still
// fail.
func withinLimit(ctx context.Context, h sdk.Host, w sdk.Write) (sdk.Values, error) {
	deal := w.After()
	value := deal.Money("value")
	if value.Minor <= 0 || deal.Link("contact") == "" || w.Override {
		return nil, nil
	}
	customer, err := h.Records().Get(ctx, "contact", deal.Link("contact"))
	if sdk.IsNotFound(err) {
		return nil, nil // Karov itself refuses a deal with nobody
	}
	if err != nil {
		return nil, err
	}
	limit := customer.Money("credit_limit")
	if limit.Currency != value.Currency || value.Minor <= limit.Minor {
		return nil, nil // no limit, or one in another currency: nothing to compare
	}
	return nil, sdk.Refuse("credit.over-limit", "name", customer.Text("name"), "limit", limit, "value", value)
}
