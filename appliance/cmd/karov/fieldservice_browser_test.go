package main

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/karov-crm/karov/admin/frame/frametest"
	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/staff"
)

// TestFieldServiceInTheBrowser plans a visit on the customer's card, in Hebrew, and finds it on the page of visits; in
// English a manager plans on a contract that is over. The pages are looked at in each language.
func TestFieldServiceInTheBrowser(t *testing.T) {
	g := newGarage(t)
	server := httptest.NewServer(g.handler)
	t.Cleanup(server.Close) // after the browser, whose pages listen as long as they are open
	lorry := g.make(lorryKind, record.Values{"plate": "11-222-33", "customer": g.his, "maker": "Volvo", "model": "FH"})
	g.make(contractKind, record.Values{"number": "C-1", "asset": lorry, "customer": g.his, "next_visit": g.day(20), "price": schema.Amount{Minor: 45000, Currency: "ILS"}})
	over := g.make(contractKind, record.Values{"number": "C-2", "asset": lorry, "customer": g.his, "until": g.day(-1)})
	g.make(orderKind, record.Values{"asset": lorry, "planned": g.noon(-2), "state": "in-work"})
	g.make(orderKind, record.Values{"asset": lorry, "planned": g.noon(0), "kind": "painting"})
	g.make(orderKind, record.Values{"asset": lorry, "planned": g.noon(2), "kind": "repair"})
	browser := frametest.Open(t)
	signedIn := func(lang string, role access.Role) *frametest.Page {
		_, err := g.a.staff.Add(g.appliance(), staff.Draft{Email: lang + "@office.example", Name: lang, Lang: lang, Password: "correct horse battery", Role: role})
		g.must(err)
		p := browser.Page(1280, 1400, "light")
		p.Go(server.URL + "/sign-in")
		p.Type("#email", lang+"@office.example")
		p.Type("#password", "correct horse battery\r")
		p.See("#lookup")
		return p
	}
	p := signedIn("he", access.Owner)
	p.UntilText("main", "הביקורים של היום")
	p.Shot("field-home-he")
	p.Go(server.URL + "/contacts/" + g.his)
	p.UntilText("main", "Volvo FH")
	p.Shot("field-card-he")
	if form := p.Value(`document.querySelector('form[action$="/plan"]') !== null`); form != "true" {
		t.Fatal("there is no form on the customer's card")
	}
	p.Value(`(() => { const f = document.querySelector('form[action$="/plan"]'); f.querySelector('[name="text.asset"]').value = "` + lorry + `"; ` +
		`f.querySelector('[name="text.day"]').value = "` + g.day(0) + `"; f.requestSubmit(); return "" })()`)
	p.UntilText("main", "11-222-33 · ")
	p.UntilText("main", "סיום העבודה")
	p.Shot("field-order-he")
	for _, tab := range []string{"today", "week", "late"} {
		p.Go(server.URL + "/views/" + fieldService + "/today?when=" + tab)
		p.UntilText("main", "11-222-33")
		p.Shot("field-visits-" + tab + "-he")
		p.Sound("visits, " + tab)
	}
	if n := len(g.list(g.appliance(), orderKind, `kind = "maintenance" and planned is today`)); n != 1 {
		t.Errorf("the form made %d jobs for today", n)
	}

	en := signedIn("en", access.Manager)
	en.Go(server.URL + "/records/" + contractKind + "/" + over)
	en.UntilText("main", "Plan a visit anyway")
	en.Shot("field-contract-en")
	en.Click(`form[action$="/plan-anyway"] button`)
	en.UntilText("main", "Approved by a manager")
	en.Shot("field-approved-en")
	ru := signedIn("ru", access.Manager)
	for _, page := range []string{"/views/" + fieldService + "/today?when=week", "/records/" + lorryKind + "/" + lorry, "/records/" + orderKind} {
		ru.Go(server.URL + page)
		ru.UntilText("main", "11-222-33")
		ru.Shot("field" + strings.ReplaceAll(strings.Map(plain, page), "/", "-") + "-ru")
	}
}

// plain keeps what may stand in the name of a file.
func plain(r rune) rune {
	if r == '?' || r == '=' || r == '.' {
		return '-'
	}
	return r
}
