package api

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/seed"
)

// fullHouse has 10,000 customers, of whom the first wrote twenty letters.
func fullHouse(b *testing.B) (h *house, id string) {
	b.Helper()
	h = bareHouse(b, nil)
	ctx := appliance(b.Context())
	all := slices.Collect(seed.Contacts(1, 10_000))
	for some := range slices.Chunk(all, 1000) {
		var drafts []contact.Draft
		for _, c := range some {
			drafts = append(drafts, contact.Draft{Kind: c.Kind, Name: c.Name, Company: c.Company, City: c.City, Phones: c.Phones, Emails: c.Emails})
		}
		if _, _, err := h.Contacts.Import(ctx, drafts, false); err != nil {
			b.Fatal(err)
		}
	}
	for i := range 20 {
		err := h.Inbox.Receive(ctx, inbox.Inbound{Channel: "email", Account: "office@office.example", ExternalID: string(rune('a' + i)),
			From: inbox.Party{Handle: "writer@customer.example", Name: "Writer"}, Subject: "Letter", Text: "What does it cost?"})
		if err != nil {
			b.Fatal(err)
		}
	}
	page := must(h.Book.List(ctx, record.Query{Entity: "contact", Sort: "name", Limit: 200}))(b)
	hits := must(h.Search.Find(ctx, "writer@customer.example", 1))(b)
	if len(page.Records) != 200 || len(hits) != 1 {
		b.Fatalf("%d records, %d hits", len(page.Records), len(hits))
	}
	return h, record.ID(hits[0].ID).String()
}

// BenchmarkCalls measures what a program waits for, without the network: token, rate limit, room, JSON.
func BenchmarkCalls(b *testing.B) {
	h, id := fullHouse(b)
	for _, c := range []struct{ name, path string }{
		{"search", "/search?q=%D7%9B%D7%94"},
		{"card", "/records/contact/" + id},
		{"timeline", "/records/contact/" + id + "/timeline"},
		{"list-50", "/records/contact?sort=name"},
		{"inbox", "/conversations?view=waiting"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(http.MethodGet, Prefix+c.path, nil)
				r.Header.Set("Authorization", "Bearer "+h.tokens["owner"])
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatalf("%d %s", w.Code, w.Body)
				}
			}
		})
	}
}
