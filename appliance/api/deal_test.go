package api

import (
	"encoding/json"
	"testing"
	"time"
)

// market is a house with the pipelines of a new office, whose stages are known by name, and deals: dana's and yossi's.
func market(t *testing.T) (*house, *lawyer) {
	t.Helper()
	h := newHouse(t)
	if err := h.Deals.Begin(appliance(t.Context()), "en"); err != nil {
		t.Fatal(err)
	}
	for _, holds := range []string{"deal", "lead"} {
		all, err := h.Deals.Pipelines(appliance(t.Context()), holds)
		if err != nil {
			t.Fatal(err)
		}
		h.ids[holds+"s"] = all[0].ID.String()
		for _, s := range all[0].Stages {
			h.ids[holds+" "+s.Name] = s.ID.String()
		}
	}
	month := time.Now().Format("2006-01")
	h.add(t, "dana", "roof", "deal", `{"title":"Roof","contact":"{Alpha}","value":"1000.00 ILS","expected_close":"`+month+`-28"}`)
	h.add(t, "yossi", "wall", "deal", `{"title":"Wall","contact":"{Gamma}","value":"500.00 ILS"}`)
	h.add(t, "dana", "asker", "lead", `{"name":"Asker","phone":"054-7654321","value":"70 ILS"}`)
	h.add(t, "yossi", "other", "lead", `{"name":"Other","email":"other@customer.example"}`)
	return h, newLawyer(t, h)
}

// TestWhereProgramsDealsBegin: a deal that names no stage begins in the first; one that names it stands there.
func TestWhereProgramsDealsBegin(t *testing.T) {
	_, l := market(t)
	for _, q := range []request{
		{as: "dana", path: "deal", body: `{"title":"x","contact":"{Alpha}"}`, status: 201, want: `"pipeline":"{deals}" & "stage":"{deal New enquiry}" & "owner":"{dana}"`},
		{as: "manager", path: "deal", body: `{"title":"x","contact":"{Alpha}","pipeline":"{deals}"}`, status: 201, want: `"stage":"{deal New enquiry}"`},
		{as: "dana", path: "deal", body: `{"title":"x","contact":"{Alpha}","pipeline":"{deals}","stage":"{deal Quote}"}`, status: 201, want: `"stage":"{deal Quote}"`},
		{as: "dana", path: "deal", body: `{"title":"x","contact":"{Gamma}"}`, status: 422, want: `"field":"contact"`},
		{as: "dana", path: "deal", body: `{"title":"x","contact":"{Alpha}","pipeline":"{leads}"}`, status: 422, want: "deal.no-stage"},
		{as: "dana", path: "deal", body: `{"title":"x","contact":"{Alpha}","stage":"{deal Won}","pipeline":"{deals}"}`, status: 422, want: "deal.closed-stage"},
		{as: "viewer", path: "deal", body: `{"title":"x","contact":"{Alpha}"}`, status: 403},
		{as: "dana", path: "lead", body: `{"name":"x"}`, status: 201, want: `"stage":"{lead New}" & "state":"new"`},
	} {
		q.method, q.path = "POST", Prefix+"/records/"+q.path
		l.check(t, q)
	}
	again := request{as: "dana", method: "POST", path: Prefix + "/records/deal", body: `{"title":"Once","contact":"{Alpha}"}`, headers: "Idempotency-Key: d", status: 201}
	first := l.made(t, "once", again)
	if second := l.check(t, again); first.body != second.body {
		t.Errorf("asked twice: %s and %s", first.body, second.body)
	}
}

// TestMoves moves deals and leads, from the version that was seen, once.
func TestMoves(t *testing.T) {
	_, l := market(t)
	const v1, v2, key = `If-Match: "1"`, `If-Match: "2"`, "\nIdempotency-Key: m"
	for _, q := range []request{
		{as: "dana", path: "deals/{roof}/move", body: `{"stage":"{deal Quote}"}`, status: 428, want: "version.missing"},
		{as: "dana", path: "deals/{roof}/move", body: `{}`, headers: v1, status: 422, want: `"field":"stage","key":"field.required"`},
		{as: "dana", path: "deals/{roof}/move", body: `{"stage":"x"}`, headers: v1, status: 422, want: "field.link"},
		{as: "dana", path: "deals/{roof}/move", body: `{"stage":"{lead New}"}`, headers: v1, status: 422, want: "deal.other-pipeline"},
		{as: "dana", path: "deals/{roof}/move", body: `{"stage":"{deal Quote}"}`, headers: v2, status: 412, want: "record.changed"},
		{as: "dana", path: "deals/{roof}/move", body: `{"stage":"{deal Quote}"}`, headers: v1 + key, status: 200, want: `"stage":"{deal Quote}" & "version":2`},
		{as: "dana", path: "deals/{roof}/move", body: `{"stage":"{deal Quote}"}`, headers: v1 + key, status: 200, want: `"version":2`},
		{as: "dana", path: "deals/{roof}/move", body: `{"stage":"{deal Won}"}`, headers: v2 + key, status: 422, want: "idempotency.reused"},
		{as: "dana", path: "deals/{roof}/move", body: `{"stage":"{deal Quote}"}`, headers: v1, status: 412},
		{as: "viewer", path: "deals/{roof}/move", body: `{"stage":"{deal Won}"}`, headers: v2, status: 403, want: "change:deal"},
		{as: "yossi", path: "deals/{roof}/move", body: `{"stage":"{deal Won}"}`, headers: v2, status: 404, never: []string{"Roof"}},
		{as: "yossi", path: "deals/{roof}/move", body: `{"stage":"{deal Won}"}`, headers: v2 + key, status: 404},
		{as: "", path: "deals/{roof}/move", body: `{"stage":"{deal Won}"}`, headers: v2, status: 401},
		{as: "manager", path: "deals/{roof}/move", body: `{"stage":"{deal Lost}","reason":"Too dear"}`, headers: v2, status: 200, want: `"lost_reason":"Too dear"`, never: []string{`"closed_at":null`}},
		{as: "dana", path: "deals/{asker}/move", body: `{"stage":"{deal Quote}"}`, headers: v1, status: 404, want: "deal.not-found"},
		{as: "dana", path: "leads/{asker}/move", body: `{"stage":"{lead In progress}"}`, headers: v1, status: 200, want: `"state":"working"`},
		{as: "dana", path: "leads/{other}/move", body: `{"stage":"{lead In progress}"}`, headers: v1, status: 404},
		{as: "viewer", path: "leads/{other}/move", body: `{"stage":"{lead In progress}"}`, headers: v1, status: 403},
	} {
		q.method, q.path = "POST", Prefix+"/"+q.path
		l.check(t, q)
	}
}

// TestConversions makes leads customers.
func TestConversions(t *testing.T) {
	h, l := market(t)
	h.add(t, "dana", "third", "lead", `{"name":"Third","email":"alpha@customer.example"}`)
	const v1, v2, key = `If-Match: "1"`, `If-Match: "2"`, "\nIdempotency-Key: c"
	for _, q := range []request{
		{as: "dana", path: "{asker}", status: 428},
		{as: "dana", path: "{asker}", headers: v2, status: 412},
		{as: "dana", path: "{asker}", body: `{"deal":"yes"}`, headers: v1, status: 422, want: `"field":"deal","key":"field.yes-no"`},
		{as: "dana", path: "{asker}", body: `{"contact":"x"}`, headers: v1, status: 422, want: `"field":"contact","key":"field.link"`},
		{as: "dana", path: "{asker}", body: `{"contact":"{Gamma}"}`, headers: v1, status: 422, want: `"field":"contact","key":"field.link"`},
		{as: "dana", path: "{asker}", body: `{"company":"x"}`, headers: v1, status: 422, want: "field.unknown"},
		{as: "dana", path: "{other}", headers: v1, status: 404},
		{as: "viewer", path: "{asker}", headers: v1, status: 403},
		{as: "", path: "{asker}", headers: v1, status: 401},
		{as: "dana", path: "{asker}", body: `{"title":"Big one"}`, headers: v1 + key, status: 200, want: `"state":"qualified"`, never: []string{`"contact":null`, `"deal":null`}},
		{as: "dana", path: "{asker}", body: `{"title":"Big one"}`, headers: v1 + key, status: 200, want: `"version":2`},
		{as: "dana", path: "{asker}", headers: v2, status: 409, want: "lead.converted"},
		{as: "dana", path: "{third}", body: `{"deal":false}`, headers: v1, status: 200, want: `"contact":"{Alpha}" & "deal":null`},
	} {
		q.method, q.path = "POST", Prefix+"/leads/"+q.path+"/convert"
		l.check(t, q)
	}
	h.check(t, request{as: "dana", method: "GET", path: Prefix + "/records/deal?filter=title+%3D+%22Big+one%22", status: 200, want: `"total":1 & "amount":"70.00","currency":"ILS"`})
	h.check(t, request{as: "dana", method: "GET", path: Prefix + "/search?q=asker", status: 200, want: "Asker"})
}

// TestBoardAndForecast: each sees what he may see of a pipeline, and no sum tells him of the rest.
func TestBoardAndForecast(t *testing.T) {
	h, l := market(t)
	month := time.Now().Format("2006-01")
	for _, q := range []request{
		{as: "owner", path: "pipelines/{deals}/board", status: 200, want: `"holds":"deal" & "name":"New enquiry","kind":"open","probability":10 & "total":2,"total_exact":true & "amount":"1500.00" & ` +
			`"id":"{roof}","version":1,"title":"Roof","contact":"{Alpha}","contact_name":"Alpha Common","owner":"{dana}" & Wall & Gamma Common`},
		{as: "viewer", path: "pipelines/{deals}/board", status: 200, want: `Roof & Wall`},
		{as: "dana", path: "pipelines/{deals}/board", status: 200, want: `"total":1,"total_exact":true & "amount":"1000.00" & Roof`, never: append(notHers(), "Wall", "1500", "{wall}")},
		{as: "yossi", path: "pipelines/{deals}/board", status: 200, want: `"amount":"500.00" & Wall`, never: []string{"Roof", "Alpha", "{Alpha}", "1500"}},
		{as: "dana", path: "pipelines/{leads}/board", status: 200, want: `"holds":"lead" & "entity":"lead" & "title":"Asker","contact":null,"contact_name":null`, never: []string{"Other", "{other}"}},
		{as: "owner", path: "pipelines/{deals}/board?limit=1", status: 200, want: `"total":2 & "title":"Wall"`, never: []string{"Roof"}},
		{as: "owner", path: "pipelines/{deals}/board?limit=0", status: 400, want: "list.limit"},
		{as: "owner", path: "pipelines/{deals}/board?stage=x", status: 400, want: "query.unknown"},
		{as: "owner", path: "pipelines/" + none + "/board", status: 404, want: "pipeline.not-found"},
		{as: "owner", path: "pipelines/{deal Quote}/board", status: 404},
		{as: "", path: "pipelines/{deals}/board", status: 401},

		{as: "dana", path: "stages/{deal New enquiry}/cards", status: 200, want: `"title":"Roof" & "next":null`, never: append(notHers(), "Wall")},
		{as: "dana", path: "stages/{lead New}/cards", status: 200, want: `"entity":"lead" & Asker`, never: []string{"Other"}},
		{as: "dana", path: "stages/" + none + "/cards", status: 404},
		{as: "dana", path: "stages/{deal New enquiry}/cards?cursor=x", status: 400, want: "list.cursor"},

		{as: "owner", path: "pipelines/{deals}/forecast", status: 200, want: `"exact":true & {"month":"` + month + `","count":1,"total":[{"amount":"1000.00","currency":"ILS"}],"weighted":[{"amount":"100.00" & "undated":{"count":1,"total":[{"amount":"500.00"`},
		{as: "dana", path: "pipelines/{deals}/forecast", status: 200, want: `1000.00 & "undated":{"count":0,"total":[]`, never: []string{"500.00"}},
		{as: "yossi", path: "pipelines/{deals}/forecast?from=2001-05-20&months=2", status: 200, want: `"month":"2001-05" & "month":"2001-06" & 500.00`, never: []string{"1000.00", "2001-07"}},
		{as: "owner", path: "pipelines/{deals}/forecast?months=37", status: 400, want: `"field":"months","key":"deal.months"`},
		{as: "owner", path: "pipelines/{deals}/forecast?months=x", status: 400, want: `"field":"months","key":"field.number"`},
		{as: "owner", path: "pipelines/{deals}/forecast?from=may", status: 400, want: `"field":"from","key":"field.date"`},
		{as: "owner", path: "pipelines/{leads}/forecast", status: 400, want: "deal.other-kind"},
		{as: "owner", path: "pipelines/" + none + "/forecast", status: 404},
	} {
		q.method, q.path = "GET", Prefix+"/"+q.path
		l.check(t, q)
	}
	h.cardsByPages(t)
}

// cardsByPages goes from a board on to the cards that were not on it.
func (h *house) cardsByPages(t *testing.T) {
	t.Helper()
	a := h.check(t, request{as: "owner", method: "GET", path: Prefix + "/pipelines/{deals}/board?limit=1", status: 200})
	var board struct {
		Columns []struct {
			Stage struct{ ID string }
			Next  *string
		}
	}
	if err := json.Unmarshal([]byte(a.body), &board); err != nil {
		t.Fatal(err)
	}
	if len(board.Columns) != 6 || board.Columns[0].Next == nil || board.Columns[1].Next != nil {
		t.Fatalf("the board is %s", a.body)
	}
	first := board.Columns[0]
	h.check(t, request{as: "owner", method: "GET", path: Prefix + "/stages/" + first.Stage.ID + "/cards?limit=1&cursor=" + *first.Next, status: 200,
		want: `"title":"Roof" & "next":null`, never: []string{"Wall"}})
}
