package main

import (
	"bytes"
	"net/mail"
	"strings"
	"testing"

	"github.com/karov-crm/karov/admin/frame/frametest"
	"github.com/karov-crm/karov/appliance/appliancetest"
	"github.com/karov-crm/karov/plugins/email/mailtest"
)

// signIn makes an owner who reads a language and signs in.
func signIn(p *frametest.Page, a *appliancetest.Appliance, lang string) {
	a.Karov(appliancetest.OwnerPassword+"\n", "staff", "add", lang+"@karov.test", "--role", "owner", "--language", lang, "--password-stdin")
	p.Go(a.URL + "/sign-in")
	p.Type("#email", lang+"@karov.test")
	p.Type("#password", appliancetest.OwnerPassword+"\r")
	p.See("#lookup")
	p.Until(`document.documentElement.dataset.kernel === "ready"`)
}

// TestADayInTheBrowser is a call-taker's walk through the real product: signs in, finds the customer by a few letters,
// sees a mail appear on the open card, answers it, sees that it was sent; the customer's mail program has the answer.
func TestADayInTheBrowser(t *testing.T) {
	server := mailtest.Start(t)
	a := appliancetest.Start(t)
	a.Karov("", "seed", "--contacts", "1000", "--letters", "30")
	var alice struct{ ID string }
	a.Post("/api/v1/records/contact", map[string]any{"name": "אליסה כהן־לוי", "emails": []string{mailtest.Customer},
		"phones": []string{"050-1234567"}, "city": "חיפה"}, &alice)
	connect(a, server, mailtest.OfficeSecret)

	p := frametest.Open(t).Page(1280, 860, "light")
	signIn(p, a, "he")
	if dir := p.Value(`document.documentElement.dir`); dir != "rtl" {
		t.Errorf("the Hebrew page reads %s", dir)
	}
	p.Shot("day-home-he")
	p.Type("#lookup", "אליס")
	p.UntilText("#lookup-list [role=option]", "אליסה")
	p.Shot("day-lookup-he")
	p.Press("\r")
	p.UntilText("h1", "אליסה כהן")

	server.Deliver(t, letter("live@customer.test", "מחיר של משולש", "שלום,\r\nכמה עולה משולש אזהרה?\r\nתודה"))
	p.UntilText("#timeline", "מחיר של משולש") // by itself: nobody touched the page
	p.UntilText("#contact-talks", "מחיר של משולש")
	p.Shot("day-card-he")
	p.Click(`main a[href^="/inbox/"]`)
	p.UntilText("main", "כמה עולה משולש אזהרה?")
	p.Type(`textarea[name="text"]`, "ארבעים שקלים.")
	p.Shot("day-conversation-he")
	p.Click(`form[action$="/reply"] button[type="submit"]`)
	p.UntilText("main", "ארבעים שקלים.")
	received := server.WaitMail(t, mailtest.Customer, 1)[0]
	answer, err := mail.ReadMessage(bytes.NewReader(received))
	if err != nil {
		t.Fatal(err)
	}
	if got := answer.Header.Get("In-Reply-To"); got != "<live@customer.test>" {
		t.Errorf("the answer is to %q", got)
	}
	a.Until("it is marked as sent", func() bool { return timeline(a, alice.ID)[0].State == "sent" })
	p.Go(a.URL + "/inbox?tab=waiting")
	p.See("h1")
	p.Shot("day-inbox-he")
	for _, page := range []struct{ name, path string }{
		{"home", "/"}, {"lookup", "/lookup?q=co"}, {"card", "/contacts/" + alice.ID}, {"inbox", "/inbox?tab=open"}, {"contacts", "/contacts"},
	} {
		p.Go(a.URL + page.path)
		p.See("h1")
		p.Sound(page.name)
	}
	english := frametest.Open(t).Page(1280, 860, "light")
	signIn(english, a, "en")
	for _, page := range []struct{ name, path string }{{"home", "/"}, {"lookup", "/lookup?q=co"}, {"card", "/contacts/" + alice.ID}, {"inbox", "/inbox?tab=open"}} {
		english.Go(a.URL + page.path)
		english.See("h1")
		english.Shot("day-" + page.name + "-en")
	}
	if problems := append(p.Problems(), english.Problems()...); len(problems) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(problems, "\n"))
	}
}
