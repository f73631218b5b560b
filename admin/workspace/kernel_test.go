package workspace_test

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"github.com/karov-crm/karov/admin/frame/frametest"
	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/appliance/record"
)

func TestLookupByKeyboardAlone(t *testing.T) {
	d := aDay(newOffice(t))
	p := frametest.Open(t).Page(1280, 800, "light")
	d.signIn(p, access.Owner, "he")
	p.Value(`window.sameDocument = "yes"`)
	p.Strike(frametest.Key{Key: "/", Code: "Slash"})
	p.Until(`document.activeElement.id === "lookup"`)
	p.Press("כהן")
	p.UntilText("#lookup-list [aria-selected=true]", "משה כהן")
	p.Press(kb.Enter)
	p.UntilText("h1", "משה כהן")
	if got := p.Value(`[window.sameDocument, document.activeElement.tagName, location.pathname, document.title.includes("משה כהן"), document.querySelector("#lookup-popover").hidden].join(" ")`); got != "yes H1 /contacts/"+d.cohen.ID.String()+" true true" {
		t.Errorf("after Enter: %s", got)
	}
	p.Value(`history.back()`)
	p.UntilText("h1", "דנה לוי")
	p.Strike(frametest.Key{Key: "ל", Code: "KeyK", Ctrl: true})
	p.Until(`document.activeElement.id === "lookup"`)
	p.Press("zzz")
	p.UntilText("#lookup-list", "zzz")
	p.Press(kb.Enter)
	p.Until(`location.pathname === "/contacts/new" && document.querySelector("#name").value === "zzz"`)
	if problems := p.Problems(); len(problems) > 0 {
		t.Error(problems)
	}
}

func TestKeysWorkInEveryLayout(t *testing.T) {
	d := aDay(newOffice(t))
	p := frametest.Open(t).Page(1280, 800, "light")
	d.signIn(p, access.Owner, "ru")
	p.Strike(frametest.Key{Key: "п", Code: "KeyG"})
	p.Strike(frametest.Key{Key: "ш", Code: "KeyI"})
	p.Until(`location.pathname === "/inbox"`)
	p.UntilText("h1", "Обращения")
	p.Strike(frametest.Key{Key: "о", Code: "KeyJ"})
	p.Strike(frametest.Key{Key: "о", Code: "KeyJ"})
	p.Until(`[...document.querySelectorAll("[data-row]")].indexOf(document.activeElement) === 1`)
	p.Strike(frametest.Key{Key: "ArrowUp", Code: "ArrowUp"})
	p.Until(`[...document.querySelectorAll("[data-row]")].indexOf(document.activeElement) === 0`)
	p.Strike(frametest.Key{Key: "?", Code: "Slash"})
	p.Until(`document.querySelector("#keys").open`)
	p.Sound("shortcuts")
	p.Click("#keys button")
	p.Click(".account summary")
	p.Click("button[name=keys][value=off]")
	p.Until(`!("keys" in document.body.dataset) && document.documentElement.dataset.kernel === "ready"`)
	p.Strike(frametest.Key{Key: "n", Code: "KeyN"})
	p.Strike(frametest.Key{Key: "л", Code: "KeyK", Ctrl: true})
	p.Until(`document.activeElement.id === "lookup"`)
	if at := p.Value(`location.pathname`); at != "/inbox" {
		t.Errorf("a single letter still acted: %s", at)
	}
}

func TestModifiedClicksAreTheBrowsers(t *testing.T) {
	d := aDay(newOffice(t))
	p := frametest.Open(t).Page(1280, 800, "light")
	d.signIn(p, access.Owner, "en")
	p.Value(`addEventListener("click", (e) => { window.taken = e.defaultPrevented; e.preventDefault(); })`)
	click := func(how string) string {
		return p.Value(`(document.querySelector("#menu a[href='/contacts']").dispatchEvent(new MouseEvent("click", {bubbles: true, cancelable: true, ` + how + `})), window.taken)`)
	}
	for _, how := range []string{"ctrlKey: true", "metaKey: true", "shiftKey: true", "button: 1"} {
		if click(how) != "false" {
			t.Errorf("the kernel took a click with %s", how)
		}
	}
	if click("button: 0") != "true" {
		t.Error("the kernel left a plain click alone")
	}
}

func TestAnswerIsSentOnceAndItsStateComesLive(t *testing.T) {
	d := aDay(newOffice(t))
	p := frametest.Open(t).Page(1280, 800, "light")
	d.signIn(p, access.Owner, "en")
	before := len(d.post.delivered())
	p.Go(d.url + "/inbox/" + d.boiler.ID.String())
	p.Value(`window.sameDocument = "yes"`)
	p.Strike(frametest.Key{Key: "ר", Code: "KeyR"})
	p.Until(`document.activeElement.id === "reply-text"`)
	p.Press("תודה על התמונה.")
	// Ctrl+Enter, and again at once: an impatient hand sends one answer.
	send := frametest.Key{Key: "Enter", Code: "Enter", Ctrl: true}
	p.Strike(send, send)
	p.UntilText(".bubble.out:last-child", "תודה על התמונה.")
	p.UntilText(".bubble.out:last-child", "Sent")
	p.Until(`document.querySelector("#reply-text").value === "" && window.sameDocument === "yes"`)
	p.UntilText("#status", "answer is on its way")
	if sent := d.post.delivered(); len(sent) != before+1 || sent[before].To.Handle != "moshe@cohen.example" {
		t.Errorf("sent %d answers: %+v", len(sent)-before, sent[before:])
	}
	if kept := p.Value(`Object.keys(localStorage).length`); kept != "0" {
		t.Errorf("%s drafts are left after sending", kept)
	}
	p.Sound("after an answer")
}

func TestDraftOutlivesTheSession(t *testing.T) {
	d := aDay(newOffice(t))
	p := frametest.Open(t).Page(1280, 800, "light")
	d.signIn(p, access.Owner, "en")
	p.Go(d.url + "/inbox/" + d.boiler.ID.String())
	p.Type("#reply-text", "A long answer that nobody wants to type again.")
	if err := d.staff.ResetPassword(d.system, d.people[access.Owner].ID, password); err != nil { // ends the sessions
		t.Fatal(err)
	}
	p.Click("#reply button[type=submit]")
	p.See("#password")
	p.Type("#email", "owner@office.example")
	p.Type("#password", password+"\r")
	p.Until(`document.querySelector("#reply-text")?.value === "A long answer that nobody wants to type again."`)
	p.Click("#reply button[type=submit]")
	p.UntilText(".bubble.out:last-child", "nobody wants to type again")
}

func TestNewsComeByThemselves(t *testing.T) {
	d := aDay(newOffice(t))
	p := frametest.Open(t).Page(1280, 800, "light")
	d.signIn(p, access.Owner, "en")
	p.Go(d.url + "/inbox/" + d.boiler.ID.String())
	p.Type("#reply-text", "half a sen")
	p.Value(`document.querySelector("#reply-text").setSelectionRange(4, 4)`)
	list := p.Beside()
	list.Go(d.url + "/inbox")
	d.receive(0, inbox.Inbound{From: inbox.Party{Handle: "moshe@cohen.example", Name: "משה כהן"}, Subject: "Re: הדוד דולף",
		InReplyTo: []string{"boiler-1@cohen.example"}, Text: "הטכנאי עוד לא הגיע!"})
	p.UntilText(".bubble:last-child", "הטכנאי עוד לא הגיע!")
	if got := p.Value(`(({value, selectionStart}) => value + "|" + selectionStart + "|" + document.activeElement.id)(document.querySelector("#reply-text"))`); got != "half a sen|4|reply-text" {
		t.Errorf("typing was disturbed: %s", got)
	}
	p.UntilText("#status", "A customer wrote")
	list.UntilText("#conversations", "הטכנאי עוד לא הגיע!")
	fresh := d.receive(0, inbox.Inbound{From: inbox.Party{Handle: "new@stranger.example", Name: "New Person"}, Subject: "First", Text: "Hello there"})
	list.UntilText("#conversations", "New Person")
	list.Click(`a[href="/inbox/` + fresh.ID.String() + `"]`)
	list.UntilText("h1", "First")
	list.Click(`button[name=state]`)
	list.UntilText("#conversation-head", "Closed")
	d.until(func() bool { return d.streams.Load() == 1 }) // one for both tabs; those of pages that were left have ended
	for _, page := range []*frametest.Page{p, list} {
		if problems := page.Problems(); len(problems) > 0 {
			t.Error(problems)
		}
	}
}

// A browser without shared workers has a stream in the tab that is looked at.
func TestNewsComeWithoutSharedWorker(t *testing.T) {
	d := aDay(newOffice(t))
	p := frametest.Open(t).Page(360, 740, "light")
	p.Before(`delete window.SharedWorker`)
	d.signIn(p, access.Owner, "en")
	p.Go(d.url + "/inbox")
	p.Until(`!window.SharedWorker`)
	d.receive(0, inbox.Inbound{From: inbox.Party{Handle: "new@stranger.example", Name: "New Person"}, Subject: "First", Text: "Hello there"})
	p.UntilText("#conversations", "New Person")
	if problems := p.Problems(); len(problems) > 0 {
		t.Error(problems)
	}
}

func TestCollidingEditsShowBothValues(t *testing.T) {
	d := aDay(newOffice(t))
	p := frametest.Open(t).Page(1280, 800, "light")
	d.signIn(p, access.Owner, "en")
	edit := d.url + "/contacts/" + d.cohen.ID.String() + "/edit"
	p.Go(edit)
	p.Value(`document.querySelector("#city").value = "Haifa"`)
	p.Value(`document.querySelector("#company").value = "Cohen & Sons"`)
	other := func(values record.Values) {
		t.Helper()
		now, err := d.contacts.Get(d.system, d.cohen.ID)
		if err == nil {
			_, err = d.contacts.Change(d.as(access.Manager), d.cohen.ID, now.Version, values)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	other(record.Values{"city": "נתניה", "note": "changed by Olga"})
	p.Click("#contact-form button[type=submit]")
	p.UntilText("#contact-clash", "נתניה")
	p.UntilText("#contact-clash", "Haifa")
	p.Sound("a clash")
	p.Shot("clash-en-1280-light")
	if shown := p.Value(`document.querySelector("#city").value + "|" + document.querySelector("#note").value`); shown != "Haifa|changed by Olga" {
		t.Errorf("after the clash the form holds %s", shown)
	}
	p.Click("#contact-form button[type=submit]")
	p.UntilText("#contact-top", "Haifa")
	got, err := d.contacts.Get(d.system, d.cohen.ID)
	if err != nil || got.City != "Haifa" || got.Note != "changed by Olga" || got.Company != "Cohen & Sons" {
		t.Errorf("stored: %+v %v", got, err)
	}
	// Where two people changed different fields there is nothing to decide.
	p.Go(edit)
	p.Value(`document.querySelector("#address").value = "Herzl 14"`)
	other(record.Values{"city": "עכו"})
	p.Click("#contact-form button[type=submit]")
	p.UntilText("#contact-top", "עכו")
	if got, err = d.contacts.Get(d.system, d.cohen.ID); err != nil || got.Address != "Herzl 14" || got.City != "עכו" {
		t.Errorf("stored: %+v %v", got, err)
	}
}

func TestLongTimelineGrowsAndKeepsWhatWasShown(t *testing.T) {
	d := aDay(newOffice(t))
	for i := range 45 {
		d.receive(time.Duration(100-i)*time.Minute, inbox.Inbound{From: inbox.Party{Handle: "long@history.example", Name: "Long History"}, Subject: "Letter",
			Text: "Letter number " + strings.Repeat("i", i+1) + "."})
	}
	found, _, err := d.contacts.List(d.system, record.Query{Limit: 200})
	if err != nil {
		t.Fatal(err)
	}
	var path string
	for _, c := range found {
		if c.Name == "Long History" {
			path = "/contacts/" + c.ID.String()
		}
	}
	p := frametest.Open(t).Page(1280, 800, "light")
	d.signIn(p, access.Owner, "en")
	p.Go(d.url + path)
	p.Until(`document.querySelectorAll("#timeline .entry").length === 20`)
	p.Click("#timeline .more a")
	p.Until(`document.querySelectorAll("#timeline .entry").length === 40`)
	d.receive(0, inbox.Inbound{From: inbox.Party{Handle: "long@history.example", Name: "Long History"}, Subject: "Newest", Text: "The newest one"})
	p.UntilText("#timeline .entry", "The newest one")
	p.Until(`document.querySelectorAll("#timeline .entry").length >= 40`)
	p.Click("#timeline .more a")
	p.Until(`!document.querySelector("#timeline .more")`)
	if n := p.Value(`new Set([...document.querySelectorAll("#timeline .entry")].map((e) => e.id)).size`); n != "47" {
		t.Errorf("the timeline shows %s different entries, 46 letters and one creation happened", n)
	}
}

// An answer that was asked for before "more" must not take the rows away that "more" brought.
func TestLateAnswerLeavesWhatMoreBrought(t *testing.T) {
	d := aDay(newOffice(t))
	for i := range 30 {
		d.receive(time.Duration(100-i)*time.Minute, inbox.Inbound{From: inbox.Party{Handle: "long@history.example", Name: "Long History"}, Subject: "Letter", Text: "Letter"})
	}
	found, _, err := d.contacts.List(d.system, record.Query{Limit: 200})
	if err != nil {
		t.Fatal(err)
	}
	p := frametest.Open(t).Page(1280, 800, "light")
	d.signIn(p, access.Owner, "en")
	p.Go(d.url + "/contacts/" + found[len(found)-1].ID.String())
	p.Until(`document.querySelectorAll("#timeline .entry").length === 20`)
	p.Until(`!window.held`)
	p.Value(`(() => { const real = fetch; window.fetch = async (...a) => {
		const res = await real(...a);
		if (String(a[0]).includes("limit=20")) { window.held = true; await new Promise((go) => { window.letGo = go; }); }
		return res;
	}; })()`)
	d.receive(0, inbox.Inbound{From: inbox.Party{Handle: "long@history.example", Name: "Long History"}, Subject: "Newest", Text: "The newest one"})
	p.Until(`window.held`)
	p.Click("#timeline .more a")
	p.Until(`document.querySelectorAll("#timeline .entry").length === 31`)
	p.Value(`window.letGo()`)
	p.UntilText("#timeline .entry", "The newest one")
	if n := p.Value(`document.querySelectorAll("#timeline .entry").length`); n != "31" {
		t.Errorf("%s entries are shown, want as many as before", n)
	}
}

func TestFormattedMailIsHarmless(t *testing.T) {
	d := aDay(newOffice(t))
	p := frametest.Open(t).Page(1280, 800, "light")
	d.signIn(p, access.Owner, "en")
	p.Go(d.url + "/inbox/" + d.boiler.ID.String())
	p.Click(`details:has(iframe) > summary`)
	p.Until(`performance.getEntriesByType("resource").some((e) => e.name.endsWith("/formatted") && e.responseEnd > 0)`)
	p.Sound("formatted mail")
	p.Shot("formatted-en-1280-light")
	if got := p.Value(`[window.hacked, document.querySelector("iframe").contentDocument].join()`); got != "," {
		t.Errorf("the mail reached the page: %s", got)
	}
}
