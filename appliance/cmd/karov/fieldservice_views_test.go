package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

// TestFieldServiceShowsEachHisOwn draws every view as a manager and as an agent, in each language.
func TestFieldServiceShowsEachHisOwn(t *testing.T) {
	g := newGarage(t)
	mine := g.make(lorryKind, record.Values{"plate": "11-222-33", "customer": g.his, "maker": "Volvo", "model": "FH"})
	theirs := g.make(lorryKind, record.Values{"plate": "99-888-77", "customer": g.other})
	g.make(contractKind, record.Values{"number": "C-1", "asset": mine, "customer": g.his, "next_visit": g.day(20), "price": schema.Amount{Minor: 45000, Currency: "ILS"}})
	order := g.make(orderKind, record.Values{"asset": mine, "planned": g.noon(0)})
	g.make(orderKind, record.Values{"asset": theirs, "planned": g.noon(0), "kind": "painting"})
	g.make(orderKind, record.Values{"asset": mine, "planned": g.noon(-2), "state": "in-work"})
	g.make(orderKind, record.Values{"asset": mine, "planned": g.noon(3), "kind": "repair"})
	g.make(orderKind, record.Values{"asset": mine, "planned": g.noon(-5), "state": "done", "finished": g.noon(-5), "price": schema.Amount{Minor: 35000, Currency: "ILS"}})
	render := func(p person, view string, on []plugin.Ref, params map[string]string) string {
		t.Helper()
		var ref *plugin.Ref
		if on != nil {
			ref = &on[0]
		}
		v, err := g.a.plugins.Render(p.ctx, fieldService, view, ref, params)
		g.must(err)
		return fmt.Sprintf("%+v", v)
	}
	for _, tab := range []struct{ when, sees, not string }{{"today", "11-222-33", ""}, {"week", "Repair", "In work"}, {"late", "In work", "Planned"}} {
		text := render(g.agent, "today", nil, map[string]string{"when": tab.when})
		if !strings.Contains(text, tab.sees) || tab.not != "" && strings.Contains(text, tab.not) || strings.Contains(text, "99-888-77") || strings.Contains(text, "Another") {
			t.Errorf("the agent's tab %s: %s", tab.when, text)
		}
	}
	if text := render(g.manager, "today", nil, nil); !strings.Contains(text, "99-888-77") || !strings.Contains(text, "Another Ltd") {
		t.Errorf("the manager's visits: %s", text)
	}
	for p, want := range map[string]string{"agent": "Label:Today Note: Value:1 ", "manager": "Label:Today Note: Value:2 "} {
		who := map[string]person{"agent": g.agent, "manager": g.manager}[p]
		if text := render(who, "summary", nil, nil); !strings.Contains(text, want) || !strings.Contains(text, "Label:Late Note: Value:1 ") {
			t.Errorf("the %s's home: %s", p, text)
		}
	}
	card := render(g.agent, "lorries", g.ref("contact", g.his), nil)
	for _, want := range []string{"11-222-33", "Volvo FH", g.noon(20).Format("02.01.2006"), "Finish: ", "C-1", "08:30"} {
		if !strings.Contains(card, want) {
			t.Errorf("the customer's card does not say %q: %s", want, card)
		}
	}
	if text := render(g.agent, "history", g.ref(lorryKind, mine), nil); !strings.Contains(text, "350.00") || !strings.Contains(text, "C-1") {
		t.Errorf("the lorry's card: %s", text)
	}
	if text := render(g.agent, "closing", g.ref(orderKind, order), nil); !strings.Contains(text, "Finish the job") {
		t.Errorf("the order's card: %s", text)
	}
	for _, on := range []struct{ view, entity, id string }{{"lorries", "contact", g.other}, {"history", lorryKind, theirs}} {
		if _, err := g.a.plugins.Render(g.agent.ctx, fieldService, on.view, &g.ref(on.entity, on.id)[0], nil); fault.KindOf(err) != fault.NotFound {
			t.Errorf("the agent looks at another's %s: %v", on.entity, err)
		}
	}
	if _, err := g.a.plugins.Render(g.agent.ctx, fieldService, "state", nil, nil); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("an agent reads the settings: %v", err)
	}
	g.everyLanguage(mine, order)
	g.plansByForm(mine)
}

// everyLanguage draws all views in each language and looks for keys that are no sentences.
func (g *garage) everyLanguage(lorry, order string) {
	words := map[string]string{"he": "היום", "ru": "Сегодня", "en": "Today"}
	for lang, today := range words {
		actor := access.ActorFrom(g.appliance())
		actor.ID, actor.Role, actor.Lang = "owner", access.Owner, lang
		ctx := access.WithActor(g.t.Context(), actor)
		for view, on := range map[string][]plugin.Ref{"today": nil, "summary": nil, "state": nil, "lorries": g.ref("contact", g.his),
			"history": g.ref(lorryKind, lorry), "closing": g.ref(orderKind, order)} {
			var ref *plugin.Ref
			if on != nil {
				ref = &on[0]
			}
			v, err := g.a.plugins.Render(ctx, fieldService, view, ref, nil)
			g.must(err)
			text := fmt.Sprintf("%+v", v)
			if strings.Contains(text, "fieldservice.") && !strings.Contains(text, "fieldservice.order") && !strings.Contains(text, "fieldservice.asset") {
				g.t.Errorf("%s in %s says a key: %s", view, lang, text)
			}
			if (view == "today" || view == "summary") && !strings.Contains(text, today) {
				g.t.Errorf("%s in %s: %s", view, lang, text)
			}
		}
	}
}

// plansByForm plans jobs by the form, as an agent.
func (g *garage) plansByForm(lorry string) {
	form := map[string]any{"asset": lorry, "kind": "repair", "day": g.day(4), "hour": "10:30", "price": 1250.5, "note": "the left door"}
	out, err := g.press(g.agent, "plan", g.ref("contact", g.his), form)
	g.must(err)
	r := g.get(orderKind, out.Open.ID.String())
	price, _ := r.Amount("price")
	if at := r.Time("planned").In(g.zone); at.Format("2006-01-02 15:04") != g.day(4)+" 10:30" || price.Minor != 125050 || r.Text("kind") != "repair" || r.CreatedBy() != access.ActorFrom(g.agent.ctx).ID {
		g.t.Errorf("planned: %v at %s by %s", r.Fields(), at, r.CreatedBy())
	}
	for what, c := range map[string]struct {
		on    []plugin.Ref
		field string
		value any
		key   string
	}{
		"no day":                {g.ref("contact", g.his), "day", "tomorrow", "fieldservice.day-wrong"},
		"at night":              {g.ref("contact", g.his), "hour", "03:00", "fieldservice.outside-hours"},
		"for nobody":            {nil, "asset", nil, "fieldservice.nothing-to-plan"},
		"a lorry that is not":   {g.ref("contact", g.his), "asset", record.NewID().String(), "fieldservice.no-such-asset"},
		"a price beyond reason": {g.ref("contact", g.his), "price", 1e12, "fieldservice.price-wrong"},
	} {
		wrong := map[string]any{}
		for name, v := range form {
			wrong[name] = v
		}
		wrong[c.field] = c.value
		_, err := g.press(g.agent, "plan", c.on, wrong)
		g.refused(what, err, c.key)
	}
}

// TestFieldServiceTakesLorriesIn: from a workbook, as Karov takes any record in, and from a fleet program's export.
func TestFieldServiceTakesLorriesIn(t *testing.T) {
	g := newGarage(t)
	book := excelize.NewFile()
	for i, row := range [][]any{{"מספר רישוי", "לקוח", "Make", "Год выпуска"}, {"12-345-67", "Haulage Ltd", "Volvo", 2019}, {"76-543-21", "Haulage Ltd", "MAN", 2021}, {"", "Haulage Ltd", "none", 2000}} {
		g.must(book.SetSheetRow("Sheet1", fmt.Sprintf("A%d", i+1), &row))
	}
	var file bytes.Buffer
	g.must(book.Write(&file))
	status, answer := g.ask(g.manager, http.MethodPost, "/api/v1/import/"+lorryKind, file.String(),
		"Content-Type", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")
	if status != http.StatusOK || !strings.Contains(answer, `"created":2`) || !strings.Contains(answer, `"rejected":1`) {
		t.Fatalf("the workbook: %d %s", status, answer)
	}
	found := g.list(g.agent.ctx, lorryKind, `plate = "12-345-67" and year = 2019 and maker = "Volvo"`)
	if len(found) != 1 || found[0].Link("customer").String() != g.his {
		t.Errorf("the lorry of the workbook: %v", found)
	}
	for _, name := range []string{"fleet-1255.csv", "fleet-utf8.csv"} {
		raw, err := os.Open(filepath.Join(fieldServices, "testdata", name))
		g.must(err)
		var got []string
		for row, err := range g.a.plugins.ReadFile(g.manager.ctx, fieldService, "fleet", name, raw) {
			g.must(err)
			got = append(got, fmt.Sprint(row.Line, " ", row.Values["plate"], " ", row.Values["maker"], " ", row.Values["נהג"], row.Problem))
		}
		g.must(raw.Close())
		want := "2 33-444-55 וולוו דוד כהן|3 44-555-66 מאן |4   This line has more values than there are columns, or cannot be read."
		if strings.Join(got, "|") != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}
