package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/job"
)

// add posts a record of an entity and keeps its id under a name.
func (h *house) add(t *testing.T, as, name, entity, body string) {
	t.Helper()
	a := h.check(t, request{as: as, method: "POST", path: Prefix + "/records/" + entity, body: body, status: http.StatusCreated})
	var made struct{ ID string }
	if err := json.Unmarshal([]byte(a.body), &made); err != nil {
		t.Fatal(err)
	}
	h.ids[name] = made.ID
}

// TestSegments asks who is in a segment, and in which segments a record is, as several roles. All of it is held against
// the document.
func TestSegments(t *testing.T) {
	h := newHouse(t)
	h.add(t, "manager", "a", "segment", `{"name":"With an a","kind":"contact","filter":"name contains \"a\" and name starts \"A\" or name starts \"G\""}`)
	h.add(t, "manager", "all", "segment", `{"name":"All","kind":"contact","filter":"name contains \"common\""}`)
	h.add(t, "manager", "talks", "segment", `{"name":"Talks","kind":"conversation","filter":"subject contains \"question\""}`)
	l := newLawyer(t, h)
	for _, q := range []request{
		{as: "viewer", path: "/segments/{a}/members", status: 200, want: `"id":"{Alpha}" & Gamma Common & "entity":"contact" & "next":null`, never: []string{"Beta"}},
		{as: "viewer", path: "/segments/{a}/members?fields=name", status: 200, want: "Gamma Common", never: []string{"gamma@customer"}},
		{as: "viewer", path: "/segments/{all}/members?limit=6", status: 200, want: "Alpha & Zeta", never: nil},
		{as: "viewer", path: "/segments/{talks}/members", status: 200, want: `"entity":"conversation" & Question of Zeta`},
		{as: "dana", path: "/segments/{a}/members", status: 200, want: "Alpha Common", never: notHers()},
		{as: "dana", path: "/segments/{all}/members", status: 200, want: "Alpha Common & Beta Common", never: notHers()},
		{as: "dana", path: "/segments/{talks}/members", status: 200, want: "Question of Alpha", never: notHers()},

		{as: "viewer", path: "/segments/{all}/count", status: 200, want: `"total":6,"total_exact":true`},
		{as: "dana", path: "/segments/{all}/count", status: 200, want: `"total":2,"total_exact":true`},
		{as: "dana", path: "/segments/{a}/count", status: 200, want: `"ready":false & "total":1,"total_exact":true`},

		{as: "viewer", path: "/records/contact/{Gamma}/segments", status: 200, want: `{"segment":"{all}","name":"All","since":null},{"segment":"{a}","name":"With an a"`},
		{as: "dana", path: "/records/contact/{Beta}/segments", status: 200, want: `"name":"All"`, never: []string{"With an a"}},
		{as: "dana", path: "/records/contact/{Gamma}/segments", status: 404},
		{as: "viewer", path: "/records/tag/" + none + "/segments", status: 404},

		{as: "viewer", path: "/segments/{a}/members?fields=shoe", status: 400, want: "list.unknown-field"},
		{as: "viewer", path: "/segments/{a}/members?limit=0", status: 400, want: "list.limit"},
		{as: "viewer", path: "/segments/{a}/members?sort=name", status: 400, want: "query.unknown"},
		{as: "viewer", path: "/segments/{a}/members?cursor=x", status: 400, want: "list.cursor"},
		{as: "viewer", path: "/segments/{a}/members?cursor=m-1", status: 400, want: "list.cursor"},
		{as: "viewer", path: "/segments/{a}/members?cursor=fx", status: 400, want: "list.cursor"},
		{as: "viewer", path: "/segments/{a}/count?fields=name", status: 400, want: "query.unknown"},
		{as: "viewer", path: "/segments/{Alpha}/members", status: 404},
		{as: "viewer", path: "/segments/" + none + "/count", status: 404},
		{as: "viewer", path: "/segments/" + none + "/members", status: 404},
	} {
		q.method, q.path = "GET", Prefix+q.path
		l.check(t, q)
	}
	for _, path := range []string{"/segments/{a}/members", "/segments/{a}/count", "/records/contact/{Alpha}/segments", "/views?entity=contact"} {
		h.check(t, request{method: "GET", path: Prefix + path, status: 401})
	}
}

// compute does the waiting jobs until a segment's members are computed.
func (h *house) compute(t *testing.T, segment string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- job.NewRunner(h.jobs, slog.New(slog.DiscardHandler), 1, h.Segments.Jobs()...).Run(ctx) }()
	for ctx.Err() == nil {
		a := h.ask(t, request{as: "owner", method: "GET", path: Prefix + "/segments/" + segment + "/count"})
		if strings.Contains(a.body, `"ready":true`) {
			cancel()
			<-done
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("the segment is not computed after 20 seconds")
}

// TestMembersByPages: the cursor of a page leads to the next, until every member was listed once; before the members are
// computed and after.
func TestMembersByPages(t *testing.T) {
	h := newHouse(t)
	h.add(t, "owner", "all", "segment", `{"name":"All","kind":"contact","filter":"name contains \"common\""}`)
	h.pages(t)
	h.check(t, request{as: "owner", method: "GET", path: Prefix + "/records/contact/{Gamma}/segments", status: 200, want: `"since":null`})
	h.compute(t, "{all}")
	h.pages(t)
	h.check(t, request{as: "owner", method: "GET", path: Prefix + "/records/contact/{Gamma}/segments", status: 200, want: `"since":"20`})
	h.check(t, request{as: "dana", method: "GET", path: Prefix + "/segments/{all}/count", status: 200, want: `"ready":true & "total":2`})
	h.check(t, request{as: "owner", method: "GET", path: Prefix + "/segments/{all}/count", status: 200, want: `"total":6,"total_exact":true`})
}

// pages lists a segment of six by four.
func (h *house) pages(t *testing.T) {
	t.Helper()
	seen, cursor := map[string]bool{}, ""
	for pages := 1; ; pages++ {
		a := h.check(t, request{as: "manager", method: "GET", path: Prefix + "/segments/{all}/members?limit=4&cursor=" + cursor, status: 200})
		var page struct {
			Items []struct{ ID string }
			Next  *string
		}
		if err := json.Unmarshal([]byte(a.body), &page); err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Items {
			if seen[r.ID] {
				t.Errorf("%s is listed twice", r.ID)
			}
			seen[r.ID] = true
		}
		if page.Next == nil {
			if len(seen) != 6 || pages != 2 {
				t.Errorf("%d members on %d pages", len(seen), pages)
			}
			return
		}
		cursor = *page.Next
	}
}

// TestViews: everybody has his own views, and those that are shared.
func TestViews(t *testing.T) {
	h := newHouse(t)
	h.add(t, "dana", "mine", "view", `{"name":"Mine","kind":"contact","filter":"owner = me","sort":"-name","columns":["name","phones"],"owner":"{dana}"}`)
	h.add(t, "dana", "ours", "view", `{"name":"Ours","kind":"contact","shared":true,"owner":"{dana}"}`)
	h.add(t, "yossi", "his", "view", `{"name":"His","kind":"contact","owner":"{yossi}"}`)
	h.add(t, "dana", "talks", "view", `{"name":"Talks","kind":"conversation","owner":"{dana}"}`)
	l := newLawyer(t, h)
	for _, q := range []request{
		{as: "dana", path: "/views?entity=contact", status: 200, want: `"id":"{mine}" & "filter":"owner = me","sort":"-name","columns":["name","phones"] & "name":"Ours"`, never: []string{"{his}", "{talks}"}},
		{as: "yossi", path: "/views?entity=contact", status: 200, want: `"id":"{ours}" & "id":"{his}"`, never: []string{"{mine}", "{talks}"}},
		{as: "viewer", path: "/views?entity=conversation", status: 200, want: `"id":"{talks}"`, never: []string{"{mine}"}},
		{as: "yossi", path: "/views?entity=conversation", status: 200, want: `"items":[],"next":null`},
		{as: "dana", path: "/views", status: 400, want: "field.required"},
		{as: "dana", path: "/views?entity=", status: 400, want: "field.required"},
		{as: "dana", path: "/views?entity=nothing", status: 404},
		{as: "owner", path: "/views?entity=nothing", status: 404},
	} {
		q.method, q.path = "GET", Prefix+q.path
		l.check(t, q)
	}
}
