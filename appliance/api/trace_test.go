package api

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/record"
)

// TestTraces: what a record held, where it went, and for whom it is.
func TestTraces(t *testing.T) {
	h := newHouse(t)
	for _, q := range []request{
		{as: "dana", method: "PATCH", path: "/records/contact/{Alpha}", headers: `If-Match: "1"`, body: `{"city":"Haifa","phones":["050-1112233"]}`, status: 200},
		{as: "dana", method: "PATCH", path: "/records/contact/{Alpha}", headers: `If-Match: "2"`, body: `{"city":null}`, status: 200},
		{as: "dana", method: "GET", path: "/records/contact/{Alpha}/history", status: 200,
			want: `"version":3 & "by":"{dana}" & {"field":"city","from":"Haifa","to":null} & {"field":"city","from":null,"to":"Haifa"} & {"field":"phones","from":["052-7654320"],"to":["050-1112233"]} & "next":null`},
		{as: "dana", method: "GET", path: "/records/contact/{Alpha}/history?limit=1", status: 200, want: `"version":3 & "next":"3"`, never: []string{`"version":2`}},
		{as: "dana", method: "GET", path: "/records/contact/{Alpha}/history?limit=1&cursor=3", status: 200, want: `"version":2`, never: []string{`"version":3`}},
		{as: "dana", method: "GET", path: "/records/contact/{Alpha}/history?cursor=x", status: 400, want: "list.cursor"},
		{as: "dana", method: "GET", path: "/records/contact/{Gamma}/history", status: 404},
		{as: "viewer", method: "GET", path: "/records/contact/{Alpha}/history", status: 200, want: "Haifa"},

		{as: "dana", method: "GET", path: "/records/contact/bin", status: 403, want: "delete:contact"},
		{as: "manager", method: "DELETE", path: "/records/contact/{Beta}", headers: `If-Match: "1"`, status: 204},
		{as: "manager", method: "GET", path: "/records/contact/bin", status: 200, want: `"id":"{Beta}" & "deleted_by":"{manager}" & "deleted_at":"20 & "next":null`},
		{as: "manager", method: "GET", path: "/records/contact/bin?fields=name", status: 200, want: "Beta Common", never: []string{"beta@customer"}},
		{as: "manager", method: "GET", path: "/records/contact/bin?cursor=x", status: 400, want: "list.cursor"},
		{as: "viewer", method: "POST", path: "/records/contact/{Beta}/restore", status: 403},
		{as: "dana", method: "POST", path: "/records/contact/{Beta}/restore", status: 403},
		{as: "yossi", method: "POST", path: "/records/contact/{Beta}/restore", status: 404},
		{as: "manager", method: "POST", path: "/records/contact/{Beta}/restore", body: `{"x":1}`, status: 422, want: "field.unknown"},
		{as: "manager", method: "POST", path: "/records/contact/{Beta}/restore", status: 200, want: `"id":"{Beta}" & "version":1`},
		{as: "manager", method: "POST", path: "/records/contact/{Beta}/restore", status: 404},
		{as: "dana", method: "GET", path: "/records/contact/{Beta}", status: 200, want: "beta@customer.example"},
		{as: "manager", method: "GET", path: "/records/contact/bin", status: 200, want: `"items":[]`},
	} {
		q.path = Prefix + q.path
		h.check(t, q)
	}
}

// TestShares lends a record to an account and to a team, and takes it back.
func TestShares(t *testing.T) {
	h := newHouse(t)
	team := must(h.Staff.TeamAdd(appliance(t.Context()), "Night shift"))(t)
	if err := h.Staff.SetTeam(appliance(t.Context()), h.ids["yossi"], team.ID); err != nil {
		t.Fatal(err)
	}
	h.ids["team"] = team.ID
	for _, q := range []request{
		{as: "yossi", method: "GET", path: "/records/contact/{Alpha}", status: 404},
		{as: "yossi", method: "PUT", path: "/records/contact/{Alpha}/shares/{yossi}", body: `{"change":true}`, status: 404},
		{as: "yossi", method: "GET", path: "/records/contact/{Alpha}/shares", status: 404},
		{as: "viewer", method: "PUT", path: "/records/contact/{Alpha}/shares/{yossi}", body: `{"change":true}`, status: 403},
		{as: "dana", method: "PUT", path: "/records/contact/{Alpha}/shares/{yossi}", body: `{}`, status: 422, want: "field.yes-no"},
		{as: "dana", method: "PUT", path: "/records/contact/{Alpha}/shares/nobody", body: `{"change":true}`, status: 422, want: "staff.not-found"},
		{as: "dana", method: "PUT", path: "/records/contact/{Alpha}/shares/team:" + none, body: `{"change":true}`, status: 422, want: "team.not-found"},
		{as: "dana", method: "PUT", path: "/records/contact/{Alpha}/shares/{yossi}", body: `{"change":false}`, status: 200, want: `{"subject":"{yossi}","change":false}`},
		{as: "yossi", method: "GET", path: "/records/contact/{Alpha}", status: 200, want: "Alpha Common"},
		{as: "yossi", method: "GET", path: "/records/message/{Alpha.mail}", status: 200, want: "Letter of Alpha"},
		{as: "yossi", method: "GET", path: "/records/contact?sort=name", status: 200, want: `"total":4 & Alpha`},
		{as: "yossi", method: "GET", path: "/search?q=alpha", status: 200, want: "Alpha Common"},
		{as: "yossi", method: "PATCH", path: "/records/contact/{Alpha}", headers: `If-Match: "1"`, body: `{"city":"Eilat"}`, status: 403},
		{as: "dana", method: "PUT", path: "/records/contact/{Alpha}/shares/{yossi}", body: `{"change":true}`, status: 200},
		{as: "yossi", method: "PATCH", path: "/records/contact/{Alpha}", headers: `If-Match: "1"`, body: `{"city":"Eilat"}`, status: 200},
		{as: "dana", method: "GET", path: "/records/contact/{Alpha}/shares", status: 200, want: `{"subject":"{yossi}","change":true}`},
		{as: "dana", method: "DELETE", path: "/records/contact/{Alpha}/shares/{yossi}", status: 204},
		{as: "dana", method: "DELETE", path: "/records/contact/{Alpha}/shares/{yossi}", status: 204},
		{as: "yossi", method: "GET", path: "/records/contact/{Alpha}", status: 404},
		{as: "yossi", method: "GET", path: "/search?q=alpha", status: 200, want: `{"items":[]}`},
		{as: "dana", method: "PUT", path: "/records/contact/{Alpha}/shares/team:{team}", body: `{"change":false}`, status: 200},
		{as: "yossi", method: "GET", path: "/records/contact/{Alpha}", status: 200},
		{as: "dana", method: "DELETE", path: "/records/contact/{Alpha}/shares/team:{team}", status: 204},
		{as: "yossi", method: "GET", path: "/records/contact/{Alpha}", status: 404},
	} {
		q.path = Prefix + q.path
		h.check(t, q)
	}
}

// TestBulk changes and deletes many, once for a key, and takes it back.
func TestBulk(t *testing.T) {
	h := newHouse(t)
	act := func(a answer) record.Bulk {
		t.Helper()
		var b record.Bulk
		if err := json.Unmarshal([]byte(a.body), &b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	all := Prefix + "/records/contact/bulk"
	body := `{"filter":"name contains \"common\"","values":{"city":"Haifa","tags":null}}`
	a := h.check(t, request{as: "dana", method: "POST", path: all, body: body, headers: "Idempotency-Key: one", status: 200,
		want: `"total":2,"done":2,"skipped":0 & "ended":true & "by":"{dana}" & "fields":["city","tags"] & "entity":"contact"`})
	first := act(a)
	if at := a.header.Get("Location"); at != Prefix+"/bulk/"+first.ID.String() {
		t.Errorf("Location is %q", at)
	}
	h.ids["bulk"] = first.ID.String()
	again := act(h.check(t, request{as: "dana", method: "POST", path: all, body: body, headers: "Idempotency-Key: one", status: 200, want: `"done":2`}))
	if again.ID != first.ID {
		t.Errorf("the same key did it again: %s, %s", first.ID, again.ID)
	}
	for _, q := range []request{
		{as: "dana", method: "POST", path: "/records/contact/bulk", body: `{"filter":"name = \"x\"","values":{"city":"X"}}`, headers: "Idempotency-Key: one", status: 422, want: "idempotency.reused"},
		{as: "manager", method: "GET", path: `/records/contact?filter=city%3D"haifa"`, status: 200, want: `"total":2`},
		{as: "yossi", method: "GET", path: "/bulk/{bulk}", status: 404},
		{as: "manager", method: "GET", path: "/bulk/{bulk}", status: 200, want: `"done":2`},
		{as: "yossi", method: "GET", path: "/bulk", status: 200, want: `"items":[]`},
		{as: "dana", method: "GET", path: "/bulk?limit=5", status: 200, want: `"id":"{bulk}"`},
		{as: "yossi", method: "POST", path: "/bulk/{bulk}/undo", status: 404},
		{as: "dana", method: "PATCH", path: "/records/contact/{Beta}", headers: `If-Match: "2"`, body: `{"city":"Eilat"}`, status: 200},
		{as: "dana", method: "POST", path: "/bulk/{bulk}/undo", status: 200, want: `"undone":true,"restored":1,"kept":1`},
		{as: "dana", method: "POST", path: "/bulk/{bulk}/undo", status: 200, want: `"undone":true,"restored":1,"kept":1`},
		{as: "dana", method: "GET", path: "/records/contact/{Alpha}", status: 200, want: `"city":null`},
		{as: "dana", method: "GET", path: "/records/contact/{Beta}", status: 200, want: `"city":"Eilat"`},

		{as: "dana", method: "POST", path: "/records/contact/bulk", body: `{"filter":"name contains \"common\"","delete":true}`, status: 403, want: "delete:contact"},
		{as: "viewer", method: "POST", path: "/records/contact/bulk", body: `{"filter":"name contains \"common\"","values":{"city":"x"}}`, status: 403},
		{as: "manager", method: "POST", path: "/records/contact/bulk", body: `{"filter":" ","delete":true}`, status: 422, want: `"field":"filter","key":"field.required"`},
		{as: "manager", method: "POST", path: "/records/contact/bulk", body: `{"delete":true}`, status: 422, want: `"field":"filter"`},
		{as: "manager", method: "POST", path: "/records/contact/bulk", body: `{"filter":"name contains \"common\""}`, status: 422, want: "bulk.one-of"},
		{as: "manager", method: "POST", path: "/records/contact/bulk", body: `{"filter":"name contains \"common\"","values":{}}`, status: 422, want: "bulk.one-of"},
		{as: "manager", method: "POST", path: "/records/contact/bulk", body: `{"filter":"name contains \"common\"","values":{"city":"x"},"delete":true}`, status: 422, want: "bulk.one-of"},
		{as: "manager", method: "POST", path: "/records/contact/bulk", body: `{"filter":"name contains \"common\"","delete":"yes"}`, status: 422, want: "field.yes-no"},
		{as: "manager", method: "POST", path: "/records/contact/bulk", body: `{"filter":"name contains","delete":true}`, status: 422, want: "filter. & column"},
		{as: "manager", method: "POST", path: "/records/contact/bulk", body: `{"filter":"name contains \"c\"","values":{"odd":1,"handles":["x"]}}`, status: 422, want: `"field":"odd","key":"field.unknown" & "field":"handles","key":"field.closed"`},
		{as: "manager", method: "POST", path: "/records/contact/bulk", body: `{"filter":"name contains \"c\"","values":{"version":1}}`, status: 422, want: "field.closed"},
		{as: "manager", method: "POST", path: "/records/contact/bulk", body: `{"filter":"name contains \"common\"","values":{"kind":"robot"}}`, status: 200, want: `"done":0,"skipped":6 & "key":"input.invalid"`},
		{as: "manager", method: "POST", path: "/records/contact/bulk", body: `{"filter":"name = \"nobody at all\"","delete":true}`, status: 200, want: `"total":0 & "ended":true`},
		{as: "manager", method: "GET", path: "/bulk/" + none, status: 404, want: "bulk.not-found"},
		{as: "manager", method: "GET", path: "/records/contact", status: 200, want: `"total":6`},
	} {
		q.path = Prefix + q.path
		h.check(t, q)
	}
	gone := act(h.check(t, request{as: "manager", method: "POST", path: all, body: `{"filter":"name contains \"common\" and owner is empty","delete":true}`, status: 200, want: `"done":1 & "deletion":true`}))
	h.check(t, request{as: "manager", method: "GET", path: Prefix + "/records/contact/{Zeta}", status: 404})
	h.check(t, request{as: "manager", method: "POST", path: Prefix + "/bulk/" + gone.ID.String() + "/undo", status: 200, want: `"restored":1`})
	h.check(t, request{as: "manager", method: "GET", path: Prefix + "/records/contact/{Zeta}", status: 200})
}

// TestExplain says how lists are answered, and gives nothing away.
func TestExplain(t *testing.T) {
	h := newHouse(t)
	at := Prefix + "/records/contact/explain?"
	for _, q := range []request{
		{as: "owner", path: at, want: `"walks":"all of contact, by age"`},
		{as: "owner", path: at + "filter=" + url.QueryEscape(`city = "Haifa"`), want: `"tests":"city = \"Haifa\""`},
		{as: "owner", path: at + "sort=-name", want: `"walks":"index contact.name"`},
		{as: "owner", path: at + "filter=" + url.QueryEscape(`external_id = "x"`), want: `"walks":"index contact.external_id"`},
		{as: "dana", path: at, want: `"principal":["{dana}"`},
	} {
		q.method, q.status = "GET", 200
		h.check(t, q)
	}
	h.check(t, request{as: "owner", method: "GET", path: at + "limit=5", status: 400, want: "query.unknown"})
	h.check(t, request{as: "owner", method: "GET", path: at + "filter=odd", status: 400, want: "filter."})
}

// TestNotes: the journal hears who read what, with the names of sensitive fields and never what was searched.
func TestNotes(t *testing.T) {
	h := newHouse(t)
	for _, path := range []string{"/records/contact/{Alpha}", "/records/contact/{Alpha}?fields=name", "/search?q=secretword", "/records/contact?filter=" +
		url.QueryEscape(`city = "secretword"`), "/export/contact?fields=name", "/records/contact/{Alpha}/timeline"} {
		h.check(t, request{as: "manager", method: "GET", path: Prefix + path, status: 200})
	}
	if err := h.Journal.Flush(appliance(t.Context())); err != nil {
		t.Fatal(err)
	}
	facts := must(h.Journal.After(t.Context(), 0, 10_000))(t)
	seen := map[string]int{}
	for _, f := range facts {
		if f.Read && f.Actor == h.ids["manager"] {
			seen[f.Name+" "+strings.Join(f.Fields, ",")+" "+f.About["count"]]++
		}
		for _, word := range append(append([]string{}, f.Fields...), f.About["results"], f.Name, f.ID) {
			if strings.Contains(word, "secretword") {
				t.Errorf("what was searched stands in %+v", f)
			}
		}
	}
	for _, want := range []string{"contact.read  ", "record.searched  ", "contact.listed city ", "contact.exported name 6"} {
		if seen[want] == 0 {
			t.Errorf("no note %q among %v", want, seen)
		}
	}
}
