package main

import (
	"log/slog"
	"net/http"
	"testing"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/config"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

// TestKindsOfTheOffice: who makes a kind of record can use it at once, so can the others as far as their roles go, and a
// start of the appliance changes nothing about it.
func TestKindsOfTheOffice(t *testing.T) {
	c := config.Default()
	c.Data, c.Plugins, c.Listen, c.PlainHTTP = t.TempDir(), t.TempDir(), "127.0.0.1:0", true
	h := &house{t: t}
	opens := func() {
		t.Helper()
		var err error
		h.a, err = open(t.Context(), c, slog.New(slog.DiscardHandler))
		h.must(err)
		h.handler, err = h.a.handler(t.Context())
		h.must(err)
	}
	opens()
	manager := h.hire(person{name: "manager"}, access.Manager, "")
	agent := h.hire(person{name: "agent"}, access.Agent, "")
	viewer := h.hire(person{name: "viewer"}, access.Viewer, "")
	const cars = "/api/v1/records/car"
	wants := func(p person, method, path, body string, want int) {
		t.Helper()
		if got, answer := h.ask(p, method, path, body, "Content-Type", "application/json"); got != want {
			t.Errorf("%s %s %s: %d, want %d: %s", p.name, method, path, got, want, answer)
		}
	}
	wants(manager, http.MethodGet, cars, "", http.StatusNotFound)
	_, err := h.a.schema.Change(manager.ctx, h.a.schema.Current().Version(), schema.Op{Kind: schema.AddEntity, Entity: "car", Labels: map[string]string{"en": "Car"},
		Title: "plate", Owner: "keeper", Fields: []schema.NewField{
			{Field: "plate", Labels: map[string]string{"en": "Plate"}, Definition: schema.Definition{Type: schema.Text}},
			{Field: "keeper", Labels: map[string]string{"en": "Keeper"}, Definition: schema.Definition{Type: schema.Staff, Indexed: true}}}})
	h.must(err)
	wants(manager, http.MethodPost, cars, `{"plate":"11-222-33"}`, http.StatusCreated)
	wants(agent, http.MethodPost, cars, `{"plate":"44-555-66"}`, http.StatusCreated)
	wants(viewer, http.MethodPost, cars, `{"plate":"77-888-99"}`, http.StatusForbidden)
	counts := func() {
		t.Helper()
		for _, c := range []struct {
			who  person
			want int
		}{{manager, 2}, {agent, 1}, {viewer, 2}} {
			n, exact, err := h.a.book.Count(c.who.ctx, record.Query{Entity: "car"})
			if n != c.want || !exact || err != nil {
				t.Errorf("%s counts %d cars (%v, %v), want %d", c.who.name, n, exact, err, c.want)
			}
		}
	}
	counts()
	h.must(h.a.close())
	opens()
	counts()
	h.must(h.a.close())
}
