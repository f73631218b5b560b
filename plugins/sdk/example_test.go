package sdk_test

import (
	"bufio"
	"context"
	"crypto/hmac"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/karov-crm/karov/plugins/sdk"
)

// A module: a hook that refuses, a button, a view on the customer's card, a job. Its plugin.yaml declares each of them
// under the same name, and the entity fieldservice.order.
func Example() {
	main := func() {
		sdk.Run(sdk.Plugin{
			Info:    sdk.Info{ID: "com.example.fieldservice", Version: "1.0.0"},
			Before:  map[string]sdk.BeforeFunc{"fieldservice.order": mayBegin},
			Actions: map[string]sdk.ActionFunc{"finish": finish},
			Views:   map[string]sdk.ViewFunc{"orders": orders},
			Jobs:    map[string]sdk.JobFunc{"visits": visits},
		})
	}
	_ = main // Karov starts it; started here it would end the process
}

// mayBegin refuses an order on a contract that is over, unless a manager overrides.
func mayBegin(ctx context.Context, h sdk.Host, w sdk.Write) (sdk.Values, error) {
	contract, err := h.Records().Get(ctx, "fieldservice.contract", w.After().Link("contract"))
	if err != nil {
		return nil, err
	}
	until := contract.Date("until")
	if until.Before(sdk.DateOf(time.Now())) && !w.Override {
		return nil, sdk.Refuse("fieldservice.contract-expired", "until", until)
	}
	return sdk.Values{"customer": contract.Link("customer")}, nil
}

// finish closes the orders on which the button was pressed, with the rights of the person who pressed it.
func finish(ctx context.Context, h sdk.Host, p sdk.Press) (sdk.Outcome, error) {
	for _, ref := range p.Records {
		_, err := sdk.Amend(ctx, h.Records(), ref, func(order sdk.Record) (sdk.Values, error) {
			if order.Text("state") == "done" {
				return nil, nil
			}
			return sdk.Values{"state": "done", "finished_at": time.Now(), "note": p.Input.Text("note")}, nil
		})
		if err != nil {
			return sdk.Outcome{}, err
		}
	}
	return sdk.Outcome{Message: sdk.Say("fieldservice.finished", "count", len(p.Records))}, nil
}

// orders shows a customer's open orders on its card.
func orders(ctx context.Context, h sdk.Host, l sdk.Look) (sdk.View, error) {
	open := sdk.Table{
		Columns: []sdk.Column{{Label: sdk.Say("fieldservice.lorry")}, {Label: sdk.Say("fieldservice.price"), Numbers: true}},
		Empty:   sdk.Say("fieldservice.nothing-open"),
	}
	count := 0
	query := sdk.Query{Entity: "fieldservice.order", Filter: sdk.Where(`customer = ? and state = "open"`, l.Record), Limit: 20}
	for order, err := range h.Records().Query(ctx, query) {
		if err != nil {
			return sdk.View{}, err
		}
		count++
		open.Rows = append(open.Rows, sdk.TableRow{Cells: []any{order.Text("plate"), order.Money("price")}, Open: order.Ref()})
	}
	return sdk.View{Blocks: []sdk.Block{
		sdk.Figures{{Label: sdk.Say("fieldservice.open"), Value: count}},
		open,
		sdk.Buttons{{Label: sdk.Say("fieldservice.plan"), View: "plan", Params: map[string]string{"customer": l.Record.ID}}},
	}}, nil
}

// visits makes the orders of the month. It may be called twice for one time, so that it writes each order once.
func visits(ctx context.Context, h sdk.Host, j sdk.Job) (sdk.Words, error) {
	made, today := 0, sdk.DateOf(j.Due)
	due := sdk.Query{Entity: "fieldservice.contract", Filter: sdk.Where("next_visit <= ?", today)}
	for contract, err := range h.Records().Query(ctx, due) {
		if err != nil {
			return sdk.Words{}, err
		}
		_, err := h.Records().WriteOnce(ctx, fmt.Sprintf("visit %s %s", contract.ID, contract.Date("next_visit")),
			sdk.Create("fieldservice.order", sdk.Values{"contract": contract.Ref(), "state": "open"}),
			sdk.Update(contract, sdk.Values{"next_visit": today.AddDays(30)}))
		switch {
		case sdk.IsConflict(err):
			continue // somebody is changing the contract: the next run sees it
		case err != nil:
			return sdk.Words{}, err
		}
		made++
	}
	return sdk.Say("fieldservice.visits-made", "count", made), nil
}

// What happens in the office is heard in order, each event at least once, also what happened while the plugin was down.
func ExamplePlugin_after() {
	p := sdk.Plugin{After: func(ctx context.Context, h sdk.Host, e sdk.Event) error {
		if e.Name != "contact.created" {
			return nil
		}
		contact, err := h.Records().Get(ctx, "contact", e.Record.ID)
		if sdk.IsNotFound(err) {
			return nil // it is gone meanwhile
		}
		if err != nil {
			return err // the same event comes again
		}
		return h.Office().Enqueue(ctx, sdk.Job{Name: "welcome", Key: contact.ID, Due: time.Now().Add(time.Hour)})
	}}
	_ = p
}

// A web-hook: anybody can call it, so that it looks at the signature first. The secret is a setting that the plugin need
// not hold.
func ExamplePlugin_webhook() {
	routes := http.NewServeMux()
	routes.HandleFunc("POST /paid", func(w http.ResponseWriter, r *http.Request) {
		ctx, h := r.Context(), sdk.HostOf(r.Context())
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
		if err != nil {
			http.Error(w, "too long", http.StatusRequestEntityTooLarge)
			return
		}
		want, err := h.Secrets().MAC(ctx, "payments.secret", body)
		got, _ := hex.DecodeString(r.Header.Get("X-Signature"))
		if err != nil || !hmac.Equal(want, got) {
			http.Error(w, "who are you?", http.StatusForbidden)
			return
		}
		var paid struct{ ID, Order string }
		if err := json.Unmarshal(body, &paid); err != nil {
			http.Error(w, "not JSON", http.StatusBadRequest)
			return
		}
		order, err := h.Records().Get(ctx, "fieldservice.order", paid.Order)
		if err == nil {
			_, err = h.Records().WriteOnce(ctx, paid.ID, sdk.Update(order, sdk.Values{"paid": true}))
		}
		if err != nil {
			h.Log().Warn("a payment was not written", "payment", paid.ID, "error", err)
			http.Error(w, "again later", http.StatusServiceUnavailable)
		}
	})
	sdk.Run(sdk.Plugin{HTTP: routes})
}

// What cannot be read is a row with a problem: people see it beside the rows that can.
func ExampleImportFunc() {
	var read sdk.ImportFunc = func(_ context.Context, _ string, file io.Reader, row func(sdk.Row) error) error {
		lines := bufio.NewScanner(file)
		for n := 1; lines.Scan(); n++ {
			r := sdk.Row{Line: n}
			plate, model, found := strings.Cut(lines.Text(), ";")
			if found {
				r.Values = map[string]string{"plate": plate, "model": model}
			} else {
				r.Problem = sdk.Say("fieldservice.no-semicolon")
			}
			if err := row(r); err != nil {
				return err
			}
		}
		return lines.Err()
	}
	_ = read
}

// A migration does a piece at a time, and the same piece twice does no harm: what is done is no longer found.
func ExampleMigrateFunc() {
	var migrate sdk.MigrateFunc = func(ctx context.Context, h sdk.Host, _, _ int, _ string) (next string, done bool, err error) {
		query := sdk.Query{Entity: "fieldservice.order", Filter: "state is empty", Limit: 200}
		found, err := sdk.Collect(h.Records().Query(ctx, query))
		if err != nil || len(found) == 0 {
			return "", err == nil, err
		}
		var batch []sdk.Change
		for _, order := range found {
			batch = append(batch, sdk.Update(order, sdk.Values{"state": "open"}))
		}
		_, err = h.Records().Write(ctx, batch...)
		return "", false, err
	}
	_ = migrate
}

// Compare and swap: of two who count at once, one has to look again.
func ExampleKV() {
	count := func(ctx context.Context, kv sdk.KV, key string) (int, error) {
		for {
			e, err := kv.Get(ctx, key)
			if err != nil {
				return 0, err
			}
			var n int
			if e.Revision > 0 {
				if err := json.Unmarshal(e.Value, &n); err != nil {
					return 0, err
				}
			}
			next, err := json.Marshal(n + 1)
			if err != nil {
				return 0, err
			}
			if _, err := kv.Swap(ctx, e.To(next)); !sdk.IsConflict(err) {
				return n + 1, err
			}
		}
	}
	_ = count
}

// The way out goes where plugin.yaml's permissions.egress says, and nowhere else.
func ExampleHost() {
	locate := func(ctx context.Context, h sdk.Host, address string) (string, error) {
		ask, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://maps.example.com/find", nil)
		if err != nil {
			return "", err
		}
		q := ask.URL.Query()
		q.Set("q", address)
		ask.URL.RawQuery = q.Encode()
		answer, err := h.HTTPClient().Do(ask)
		if err != nil {
			return "", sdk.Temporary("fieldservice.map-away", err)
		}
		defer answer.Body.Close()
		place, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
		return string(place), err
	}
	_ = locate
}

func ExampleWhere() {
	fmt.Println(sdk.Where("city = ? and due < ?", `Tel "Aviv" or true`, sdk.Date{Year: 2026, Month: 11, Day: 22}))
	fmt.Println(sdk.Where("status in (?) and not paid", []string{"open", "planned"}))
	// Output:
	// city = "Tel \"Aviv\" or true" and due < 2026-11-22
	// status in ("open", "planned") and not paid
}

func ExampleSay() {
	w := sdk.Say("fieldservice.due", "price", sdk.Money{Minor: 125000, Currency: "ILS"}, "visits", 3)
	fmt.Println(w) // the sentence itself is in the plugin's locale folder
	// Output: fieldservice.due map[price:1250.00 ILS visits:3]
}

func ExampleValues() {
	r := sdk.Record{Values: sdk.Values{"plate": "12-345-67", "price": sdk.Money{Minor: 1250, Currency: "ILS"}, "next": "2026-11-22"}}
	fmt.Println(r.Text("plate"), r.Money("price"), r.Date("next").AddDays(30), r.Yes("paid"))
	// Output: 12-345-67 12.50 ILS 2026-12-22 false
}

func ExampleRefuse() {
	err := sdk.Refuse("fieldservice.contract-expired", "until", sdk.Date{Year: 2026, Month: 1, Day: 31})
	fmt.Println(sdk.IsPermanent(err), err)
	// Output: true fieldservice.contract-expired map[until:2026-01-31]
}
