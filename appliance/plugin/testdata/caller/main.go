// Command caller is a plugin of the tests, made with the SDK: what it shows and does, it asks of the office.
package main

import (
	"context"

	"github.com/karov-crm/karov/plugins/sdk"
)

func main() {
	sdk.Run(sdk.Plugin{
		Info:  sdk.Info{ID: "test.caller", Version: "1.0.0"},
		Views: map[string]sdk.ViewFunc{"customers": customers},
	})
}

// customers lists those whom the one who looks may see. It names nobody by itself.
func customers(ctx context.Context, h sdk.Host, _ sdk.Look) (sdk.View, error) {
	found, err := sdk.Collect(h.Records().Query(ctx, sdk.Query{Entity: "contact", Sort: "name"}))
	if err != nil {
		return sdk.View{}, err
	}
	var v sdk.View
	for _, r := range found {
		v.Blocks = append(v.Blocks, sdk.Text(sdk.Plain(r.Text("name"))))
	}
	return v, nil
}
