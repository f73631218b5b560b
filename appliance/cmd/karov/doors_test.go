package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/config"
	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/staff"
	"github.com/karov-crm/karov/appliance/store"
)

// customer is one of the customers whom everybody tries to see. Word stands in his name and nowhere else; note, phone,
// code and text are what some may not read: two fields of his and a message he wrote.
type customer struct {
	key, word, note, phone, code, text string
	id, talk, message, deal, task      record.ID
	record                             record.Record
}

// person is somebody who tries the doors.
type person struct {
	name    string
	ctx     context.Context // with his actor
	token   string          // of the API, "" where he cannot have one
	session string          // of the pages
	address string          // of his machine, so that he has a caller's limits for himself
	sees    []string        // keys of the customers who are his to see
	changes []string        // to change
	lends   []string        // to share with others
	deletes []string
	exports bool
	blind   bool // note, phone and code of customers and the text of messages are hidden from him
}

// house is an office with everything open.
type house struct {
	t         *testing.T
	a         *appliance
	handler   http.Handler
	people    []person
	customers []*customer
	segment   record.ID // of all customers
	telling   record.ID // a segment that tells a hidden field
}

var everybody = []string{"dana's", "avi's", "lent to dana", "lent to north", "yossi's"}

func newHouse(t *testing.T) *house {
	c := config.Default()
	c.Data, c.Plugins, c.Listen, c.PlainHTTP = t.TempDir(), t.TempDir(), "127.0.0.1:0", true
	a, err := open(t.Context(), c, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.close(); err != nil {
			t.Error(err)
		}
	})
	h := &house{t: t, a: a}
	if h.handler, err = a.handler(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) appliance() context.Context {
	return access.WithActor(h.t.Context(), access.Appliance())
}

// role makes a role of the office's own.
func (h *house) role(r access.Rules) {
	h.t.Helper()
	now, err := h.a.gate.Policy(h.appliance())
	h.must(err)
	_, err = h.a.gate.SetRole(h.appliance(), now.Number, r)
	h.must(err)
}

// hire makes an account with a token and a session.
func (h *house) hire(p person, role access.Role, team string) person {
	h.t.Helper()
	const password = "correct horse battery"
	a, err := h.a.staff.Add(h.appliance(), staff.Draft{Email: p.name + "@office.example", Name: p.name, Lang: "en", Password: password, Role: role})
	h.must(err)
	if team != "" {
		h.must(h.a.staff.SetTeam(h.appliance(), a.ID, team))
		a.Team = team
	}
	p.token, _, err = h.a.staff.CreateToken(h.appliance(), a.ID, "doors")
	h.must(err)
	p.session, _, err = h.a.staff.SignIn(h.t.Context(), a.Email, password, "doors")
	h.must(err)
	p.ctx = access.WithActor(h.t.Context(), a.Actor())
	return h.lets(p)
}

// lets brings somebody to the doors.
func (h *house) lets(p person) person {
	p.address = fmt.Sprintf("192.0.2.%d:1000", len(h.people)+1)
	h.people = append(h.people, p)
	return p
}

// move brings in the people and the customers.
func (h *house) move() {
	now := h.a.schema.Current()
	_, err := h.a.schema.Change(h.appliance(), now.Version(), schema.Op{Kind: schema.AddField, Entity: "contact", Field: "plan",
		Labels: map[string]string{"en": "Plan"}, Definition: schema.Definition{Type: schema.File}})
	h.must(err)
	north, err := h.a.staff.TeamAdd(h.appliance(), "north")
	h.must(err)
	hidden := []access.FieldRule{{Entity: "contact", Field: "note", Right: access.Hide}, {Entity: "contact", Field: "phones", Right: access.Hide},
		{Entity: "contact", Field: "external_id", Right: access.Hide}, {Entity: "contact", Field: "plan", Right: access.Hide}, {Entity: "message", Field: "text", Right: access.Hide},
		{Entity: "conversation", Field: "last_text", Right: access.Hide}}
	see := func(entity string, scope access.Scope, where string) access.Grant {
		return access.Grant{Entity: entity, Verb: access.See, Scope: scope, Where: where}
	}
	h.role(access.Rules{Name: "mate", Base: access.Agent, Grants: []access.Grant{see("contact", access.Team, ""), see("conversation", access.Team, ""),
		see("message", access.Team, "")}})
	h.role(access.Rules{Name: "desk", Base: access.Manager, Fields: hidden})
	h.role(access.Rules{Name: "haifa", Base: access.Manager, Grants: []access.Grant{see("contact", access.All, `city = "חיפה"`),
		see("conversation", access.All, `contact.city = "חיפה"`), see("message", access.All, `contact.city = "חיפה"`)}})
	h.hire(person{name: "owner", sees: everybody, changes: everybody, lends: everybody, deletes: everybody, exports: true}, access.Owner, "")
	h.hire(person{name: "manager", sees: everybody, changes: everybody, lends: everybody, deletes: everybody, exports: true}, access.Manager, "")
	dana := h.hire(person{name: "agent", sees: []string{"dana's", "lent to dana", "lent to north"}, changes: []string{"dana's", "lent to north"},
		lends: []string{"dana's"}}, access.Agent, north.ID)
	h.hire(person{name: "mate", sees: []string{"dana's", "avi's", "lent to north"}, changes: []string{"lent to north"}}, "mate", north.ID)
	h.hire(person{name: "desk", sees: everybody, changes: everybody, lends: everybody, deletes: everybody, exports: true, blind: true}, "desk", "")
	one := []string{"dana's"}
	h.hire(person{name: "haifa", sees: one, changes: one, lends: one, deletes: one, exports: true}, "haifa", "")
	h.hire(person{name: "viewer", sees: everybody}, access.Viewer, "")
	avi := h.hire(person{name: "avi", sees: []string{"dana's", "avi's", "lent to north"}, changes: []string{"avi's", "lent to north"},
		lends: []string{"avi's"}}, "mate", north.ID)
	his := []string{"lent to dana", "lent to north", "yossi's"}
	yossi := h.hire(person{name: "yossi", sees: his, changes: his, lends: his}, access.Agent, "")
	h.lets(person{name: "plugin", ctx: access.WithActor(h.t.Context(), access.Actor{ID: "plugin:x", Role: access.Plugin})})
	// A plugin under a grant without the hidden fields: for itself, and for Dana, who sees less than it was granted.
	h.lets(person{name: "vertical", ctx: access.WithGrant(asPlugin(h.t.Context(), "il.example.vertical"), vertical()), sees: everybody, blind: true})
	h.lets(person{name: "via dana", ctx: access.WithGrant(dana.ctx, vertical()), sees: dana.sees, blind: true})
	h.lets(person{name: "stranger", ctx: access.WithActor(h.t.Context(), access.Actor{ID: "x", Role: "no-such-role"})})
	h.lets(person{name: "nobody", ctx: h.t.Context()})

	id := func(p person) string { return access.ActorFrom(p.ctx).ID }
	owners := []string{id(dana), id(avi), id(yossi), id(yossi), id(yossi)}
	for i, key := range everybody {
		h.customers = append(h.customers, h.customer(i, key, owners[i]))
	}
	h.segment = h.segmentOf("all", `name contains "Customer"`)
	h.telling = h.segmentOf("telling", `note starts "secretnote"`)
	h.must(h.a.book.Share(h.appliance(), "contact", h.customers[2].id, access.Share{Subject: id(dana)}))
	h.must(h.a.book.Share(h.appliance(), "contact", h.customers[3].id, access.Share{Subject: access.TeamSubject(north.ID), Change: true}))
}

// vertical is the grant of a plugin that may read customers and their messages, but for what is hidden from the blind.
func vertical() *access.Granted {
	see := func(entity string, fields ...string) access.GrantedRecords {
		return access.GrantedRecords{Entity: entity, Verbs: []access.Verb{access.See}, Fields: fields}
	}
	return access.NewGrant(access.Terms{Holder: "plugin:il.example.vertical", Records: []access.GrantedRecords{see("contact", "name", "city", "owner", "emails"),
		see("conversation", "subject", "contact", "assignee", "state", "last_at"), see("message", "subject", "contact", "conversation"), see("segment", "name", "kind", "filter")}})
}

// segmentOf makes a segment of customers.
func (h *house) segmentOf(name, filter string) record.ID {
	made, err := h.a.book.Create(h.appliance(), "segment", record.Values{"name": name, "kind": "contact", "filter": filter})
	h.must(err)
	return made.ID
}

// customer makes one with a note, a code and a message, changed once, so that there is a history.
func (h *house) customer(i int, key, owner string) *customer {
	x := &customer{key: key, word: []string{"Aardvark", "Bumblebee", "Capybara", "Dromedary", "Echidna"}[i], note: fmt.Sprintf("secretnote%d", i),
		phone: fmt.Sprintf("+9725011122%02d", i), code: fmt.Sprintf("secretcode%d", i), text: fmt.Sprintf("secrettext%d", i)}
	city := "אילת"
	if i == 0 {
		city = "חיפה"
	}
	email := fmt.Sprintf("customer%d@customer.example", i)
	plan, err := h.a.files.Put(h.appliance(), "plan.txt", "text/plain", strings.NewReader("plan for "+x.word))
	h.must(err)
	made, err := h.a.book.Create(h.appliance(), "contact", record.Values{"name": x.word + " Customer", "owner": owner, "city": city, "note": "before",
		"phones": []string{x.phone}, "emails": []string{email}, "external_id": x.code, "plan": plan})
	h.must(err)
	x.id = made.ID
	x.record, err = h.a.book.Change(h.appliance(), "contact", x.id, made.Version(), record.Values{"note": x.note})
	h.must(err)
	blob, size, err := h.a.blobs.Put(h.t.Context(), strings.NewReader("file of "+x.word))
	h.must(err)
	channel := access.WithActor(h.t.Context(), access.Actor{ID: "plugin:email", Role: access.Plugin})
	h.must(h.a.inbox.Receive(channel, inbox.Inbound{Channel: "email", Account: "office@office.example", ExternalID: strconv.Itoa(i), Subject: "Subject of " + x.word,
		From: inbox.Party{Handle: email}, Text: x.text, SentAt: time.Now(), Attachments: []inbox.Attachment{{Name: "plan.txt", Type: "text/plain", Size: size, Blob: blob}}}))
	h.must(h.a.book.View(h.appliance(), func(tx store.Tx) error {
		for m := range h.a.book.Linked(tx, "message", "contact", x.id, record.ID{}) {
			x.message, x.talk = m.ID, m.Link("conversation")
		}
		return nil
	}))
	if x.message.Zero() {
		h.t.Fatalf("the message of %s is not there", x.word)
	}
	h.work(x, owner)
	return x
}

// work gives a customer a deal and a task of his owner's. Neither says his name: who reads it there knows it of him.
func (h *house) work(x *customer, owner string) {
	d, err := h.a.deals.Create(h.appliance(), record.Values{"title": "Offer", "contact": x.id, "owner": owner, "value": "100.00 ILS"})
	h.must(err)
	work, err := h.a.tasks.Create(h.appliance(), record.Values{"title": "Call back", "contact": x.id, "assignee": owner})
	h.must(err)
	x.deal, x.task = d.ID, work.ID
}

// ask sends a request as somebody: to the API with his token, to a page with his session.
func (h *house) ask(p person, method, path, body string, headers ...string) (status int, answer string) {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr = p.address
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	if strings.HasPrefix(path, "/api/") {
		if p.token != "" {
			r.Header.Set("Authorization", "Bearer "+p.token)
		}
	} else if p.session != "" {
		r.AddCookie(&http.Cookie{Name: "karov", Value: p.session})
	}
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// sight is what somebody saw of a customer through a door.
type sight struct {
	seen   bool   // that there is such a customer
	leaked string // what of him is hidden from those who are blind
}

// of looks for a customer, by what names him, and for his secrets in an answer.
func (x *customer) of(answer string, ok bool, names ...string) (s sight) {
	for _, name := range names {
		s.seen = s.seen || ok && strings.Contains(answer, name)
	}
	for _, secret := range []string{x.note, x.phone, strings.TrimPrefix(x.phone, "+"), "50-111-22" + x.phone[len(x.phone)-2:], x.code, x.text} {
		if strings.Contains(answer, secret) {
			s.leaked = secret
		}
	}
	return s
}

// TestEveryDoorAsEveryRole tries each way to customers as everybody, and prints who sees how many of the five.
func TestEveryDoorAsEveryRole(t *testing.T) {
	h := newHouse(t)
	h.move()
	var table strings.Builder
	fmt.Fprintf(&table, "%-26s", "door")
	for _, p := range h.people {
		fmt.Fprintf(&table, " %-9s", p.name)
	}
	tried := 0
	for _, d := range doors() {
		fmt.Fprintf(&table, "\n%-26s", d.name)
		for _, p := range h.people {
			if d.pages && p.token == "" && p.name != "nobody" {
				fmt.Fprintf(&table, " %-9s", "no door")
				continue
			}
			fmt.Fprintf(&table, " %-9s", h.stand(d, p))
			tried += len(h.customers)
		}
	}
	t.Logf("customers seen of %d, by door and role; everything else was refused (%d tries)\n%s", len(h.customers), tried, table.String())
}

// stand tries a door as somebody for each customer, and gives the cell of the table.
func (h *house) stand(d door, p person) string {
	wants := p.sees
	if d.who != nil {
		wants = d.who(p)
	}
	if d.secret && p.blind {
		wants = nil
	}
	n := 0
	for _, x := range h.customers {
		s := d.try(h, p, x)
		if want := slices.Contains(wants, x.key); s.seen != want {
			h.t.Errorf("%s, %s: customer %q seen: %v, want %v", d.name, p.name, x.key, s.seen, want)
		}
		if s.leaked != "" && (p.blind || !s.seen && !slices.Contains(p.sees, x.key)) {
			h.t.Errorf("%s, %s: %q of customer %q leaked", d.name, p.name, s.leaked, x.key)
		}
		if s.seen {
			n++
		}
	}
	switch {
	case n == 0 && len(wants) == 0:
		return "refused"
	case p.blind && !d.secret:
		return fmt.Sprintf("%d masked", n)
	}
	return strconv.Itoa(n)
}
