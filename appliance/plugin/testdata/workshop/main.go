// Command workshop is a plugin with a service of each kind, for the tests of the host. What a record is called decides
// what it does: it refuses, waits, falls.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/karov-crm/karov/plugins/sdk"
)

func main() {
	routes := http.NewServeMux()
	routes.HandleFunc("POST /echo", echo)
	routes.HandleFunc("GET /private", func(w http.ResponseWriter, r *http.Request) {
		actor, _ := sdk.ActorOf(r.Context())
		_, _ = io.WriteString(w, actor.ID)
	})
	routes.HandleFunc("GET /page", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Set-Cookie", "karov=stolen")
		w.Header().Set("Content-Security-Policy", "script-src *")
		_, _ = io.WriteString(w, "<script>alert(1)</script>")
	})
	sdk.Run(sdk.Plugin{
		Info:    sdk.Info{ID: "il.example.workshop", Version: "1.0.0"},
		Before:  map[string]sdk.BeforeFunc{"contact": before, "workshop.lorry": before},
		After:   after,
		Actions: map[string]sdk.ActionFunc{"greet": greet},
		Views:   map[string]sdk.ViewFunc{"lorries": lorries, "today": lorries},
		Jobs:    map[string]sdk.JobFunc{"nightly": note, "remind": note},
		HTTP:    routes,
		Import:  map[string]sdk.ImportFunc{"lines": lines},
	})
}

func before(_ context.Context, _ sdk.Host, w sdk.Write) (sdk.Values, error) {
	name := w.After().Text("name") + w.After().Text("plate")
	switch {
	case strings.HasPrefix(name, "refuse") && !w.Override:
		return nil, sdk.Refuse("workshop.refused", "name", name)
	case strings.HasPrefix(name, "slow"):
		time.Sleep(8 * time.Second)
	case strings.HasPrefix(name, "die"):
		os.Exit(9)
	case strings.HasPrefix(name, "score"):
		return sdk.Values{"score": 42}, nil
	case strings.HasPrefix(name, "steal"):
		return sdk.Values{"owner": "somebody"}, nil
	}
	return nil, nil
}

// after keeps what it heard, so that the test can read it.
func after(ctx context.Context, h sdk.Host, e sdk.Event) error {
	_, err := h.KV().Put(ctx, fmt.Sprintf("heard/%012d %s %s", e.Seq, e.Name, e.Record.ID), []byte(strings.Join(e.Fields, ",")))
	return err
}

func greet(ctx context.Context, h sdk.Host, p sdk.Press) (sdk.Outcome, error) {
	r, err := h.Records().Get(ctx, "contact", p.Records[0].ID)
	if err != nil {
		return sdk.Outcome{}, err
	}
	return sdk.Outcome{Message: sdk.Say("workshop.hello", "name", r.Text("name")), Open: r.Ref()}, nil
}

func lorries(ctx context.Context, h sdk.Host, l sdk.Look) (sdk.View, error) {
	if l.Params["do"] == "slow" {
		time.Sleep(8 * time.Second)
	}
	if l.Params["do"] == "wrong" {
		return sdk.View{Blocks: []sdk.Block{sdk.Buttons{{Label: sdk.Plain("x"), Action: "never-declared"}}}}, nil
	}
	t := sdk.Table{Columns: []sdk.Column{{Label: sdk.Plain("Plate")}}}
	for r, err := range h.Records().Query(ctx, sdk.Query{Entity: "contact"}) {
		if err != nil {
			return sdk.View{}, err
		}
		t.Rows = append(t.Rows, sdk.TableRow{Cells: []any{r.Text("name")}, Open: r.Ref()})
	}
	return sdk.View{Blocks: []sdk.Block{t}}, nil
}

func note(ctx context.Context, h sdk.Host, j sdk.Job) (sdk.Words, error) {
	_, err := h.KV().Put(ctx, "ran/"+j.Name+" "+j.Key, j.Payload)
	return sdk.Words{}, err
}

func echo(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Cookie") != "" {
		http.Error(w, "a cookie came", http.StatusTeapot)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusCreated)
	_, _ = io.Copy(w, r.Body)
}

func lines(_ context.Context, _ string, file io.Reader, row func(sdk.Row) error) error {
	in := bufio.NewScanner(file)
	for n := 1; in.Scan(); n++ {
		r := sdk.Row{Line: n, Values: map[string]string{"plate": in.Text()}}
		if in.Text() == "" {
			r = sdk.Row{Line: n, Problem: sdk.Say("workshop.nothing")}
		}
		if err := row(r); err != nil {
			return err
		}
	}
	return in.Err()
}
