package workspace_test

import (
	"testing"

	"github.com/karov-crm/karov/admin/frame/frametest"
	"github.com/karov-crm/karov/appliance/access"
)

func (o *office) signIn(p *frametest.Page, role access.Role, lang string) {
	o.t.Helper()
	if err := o.staff.SetLanguage(o.as(role), lang); err != nil {
		o.t.Fatal(err)
	}
	p.Go(o.url + "/sign-in?lang=" + lang)
	p.Type("#email", string(role)+"@office.example")
	p.Type("#password", password+"\r")
	p.See("#lookup")
	p.Until(`document.documentElement.dataset.kernel === "ready"`)
}

// Every page, in a right-to-left and a left-to-right language, light and dark, wide and on a phone: nothing that axe
// finds, no violation of the content policy, nothing wider than the window.
func TestPagesAreSound(t *testing.T) {
	d := aDay(newOffice(t))
	b := frametest.Open(t)
	for _, look := range []struct {
		lang, scheme  string
		width, height int64
		name          string
	}{
		{"he", "light", 1280, 860, "he-1280-light"}, {"en", "dark", 1280, 860, "en-1280-dark"},
		{"he", "dark", 360, 740, "he-360-dark"}, {"en", "light", 360, 740, "en-360-light"},
		{"ru", "light", 900, 800, "ru-900-light"},
	} {
		t.Run(look.name, func(t *testing.T) {
			p := b.Page(look.width, look.height, look.scheme)
			d.signIn(p, access.Owner, look.lang)
			for _, page := range []struct{ name, path string }{
				{"home", "/"}, {"lookup", "/lookup?q=coh"}, {"lookup-none", "/lookup?q=zzzz"}, {"contacts", "/contacts"},
				{"card", "/contacts/" + d.cohen.ID.String()}, {"edit", "/contacts/" + d.cohen.ID.String() + "/edit"}, {"new", "/contacts/new?name=Noa"},
				{"inbox", "/inbox?tab=open"}, {"inbox-empty", "/inbox?tab=mine"}, {"conversation", "/inbox/" + d.boiler.ID.String()},
				{"failed", "/inbox/" + d.failed.ID.String()}, {"nowhere", "/nowhere"},
			} {
				p.Go(d.url + page.path)
				p.See("h1")
				p.Sound(page.name + " " + look.name)
				p.Shot(page.name + "-" + look.name)
			}
			p.Click("#lookup")
			p.Type("#lookup", "כה")
			p.Until(`document.querySelectorAll("#lookup-list [role=option]").length > 0`)
			p.Sound("lookup open " + look.name)
			p.Shot("lookup-open-" + look.name)
			p.Press("\x1b")
			p.Click(".account summary")
			p.Sound("account menu " + look.name)
			p.Shot("account-" + look.name)
		})
	}
}
