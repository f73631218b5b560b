package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/karov-crm/karov/appliance/record"
)

const none = "0198a6f2-0000-7000-8000-000000000000"

// TestBadRequests: whatever is wrong is named, nothing is guessed, and nothing is done.
func TestBadRequests(t *testing.T) {
	h := newHouse(t)
	for _, q := range slices.Concat(badPaths(), badQueries(), badBodies(), badVersions()) {
		q.as, q.path = "owner", Prefix+q.path
		h.check(t, q)
	}
	h.check(t, request{as: "owner", method: "GET", path: Prefix + "/records/contact", status: 200, want: `"total":6`})
	h.check(t, request{as: "owner", method: "GET", path: Prefix + "/records/contact/{Alpha}", status: 200, want: `"version":1 & "city":null`})
	if log := h.log.String(); strings.Contains(log, "level=ERROR") {
		t.Errorf("a caller's mistake was logged as ours: %s", log)
	}
}

func badPaths() []request {
	return []request{
		{method: "GET", path: "/records/nothing", status: 404, want: "entity.not-found"},
		{method: "GET", path: "/records/contact/7", status: 404, want: "contact.not-found"},
		{method: "GET", path: "/records/contact/" + none, status: 404},
		{method: "GET", path: "/records/contact/{Alpha.talk}", status: 404},
		{method: "GET", path: "/records/contact/..%2f..%2fstore.meta", status: 404},
		{method: "GET", path: "/records/contact%00/x", status: 404},
		{method: "GET", path: "/records/contact/%ff%fe", status: 404},
		{method: "GET", path: "/records/contact/" + strings.Repeat("9", 5000), status: 404},
		{method: "GET", path: "/records/index.contact.name", status: 404},
		{method: "GET", path: "/records/conversation/{Alpha.talk}/timeline", status: 404},
		{method: "GET", path: "/nothing", status: 404, want: "path.not-found"},
		{method: "PUT", path: "/records/contact/{Alpha}", body: `{}`, status: 405, want: "method.not-allowed"},
		{method: "DELETE", path: "/records/contact", status: 405},
		{method: "GET", path: "/conversations/{Alpha.talk}/close", status: 405},
		{method: "TRACE", path: "/search", status: 405},
		{method: "GET", path: "/records/contact", headers: "+Authorization: Bearer krv_other", status: 401, want: "access.scheme"},
	}
}

func badQueries() []request {
	return []request{
		{method: "GET", path: "/records/contact?limit=0", status: 400, want: "from 1 to 200"},
		{method: "GET", path: "/records/contact?limit=201", status: 400},
		{method: "GET", path: "/records/contact?limit=", status: 400},
		{method: "GET", path: "/records/contact?limit=9999999999999999999999", status: 400},
		{method: "GET", path: "/records/contact?limit=5&limit=6", status: 400, want: "query.repeated"},
		{method: "GET", path: "/records/contact?filtr=x", status: 400, want: "query.unknown"},
		{method: "GET", path: "/records/contact?limit=%zz", status: 400, want: "query.malformed"},
		{method: "GET", path: "/records/contact?sort=%ff", status: 400, want: "field.utf8"},
		{method: "GET", path: "/records/contact?sort=note", status: 400, want: "list.sort"},
		{method: "GET", path: "/records/contact?sort=--name", status: 400},
		{method: "GET", path: "/records/contact?fields=name,nothing", status: 400, want: "There is no field nothing."},
		{method: "GET", path: "/records/contact?count=all", status: 400},
		{method: "GET", path: "/records/contact?filter=name", status: 400, want: "filter.condition"},
		{method: "GET", path: "/records/contact?filter=name+%3C+5", status: 400, want: `"field":"filter" & column`},
		{method: "GET", path: `/records/contact?filter=name%3D"x`, status: 400, want: "filter.quote & column 6"},
		{method: "GET", path: `/records/contact?filter=name%3D"%5Cq"`, status: 400, want: "filter.escape"},
		{method: "GET", path: `/records/contact?filter=name%3D"חיפה"+and+nothing%3D"x"`, status: 400, want: "filter.unknown & column 17"},
		{method: "GET", path: `/records/conversation?filter=state%3D"odd"`, status: 400, want: "filter.choice & open, closed"},
		{method: "GET", path: `/records/conversation?filter=last_at%3D"yesterday"`, status: 400, want: "filter."},
		{method: "GET", path: `/records/message?filter=conversation%3D"x"`, status: 400, want: "filter."},
		{method: "GET", path: "/records/contact?valued=maybe", status: 400, want: "field.yes-no"},
		{method: "GET", path: "/records/contact?cursor=!!", status: 400, want: "list.cursor"},
		{method: "GET", path: "/records/contact?cursor=AAAA", status: 400},
		{method: "GET", path: "/records/contact?cursor=" + strings.Repeat("A", 4000), status: 400},
		{method: "GET", path: "/records/contact?cursor=" + strings.Repeat("A", 5000), status: 400, want: "field.too-long"},
		{method: "GET", path: "/records/contact/{Alpha}/timeline?cursor=e30x", status: 400},
		{method: "GET", path: "/records/contact/{Alpha}/timeline?limit=51", status: 400},
		{method: "GET", path: "/search", status: 400, want: `"field":"q","key":"field.required"`},
		{method: "GET", path: "/search?q=a&limit=51", status: 400},
		{method: "GET", path: "/conversations?view=odd", status: 400, want: "waiting, open, mine, closed"},
		{method: "GET", path: "/conversations?view=", status: 400},
	}
}

func badBodies() []request {
	deep := strings.Repeat("[", 50) + strings.Repeat("]", 50)
	return []request{
		{method: "POST", path: "/records/contact", status: 415, want: "body.media-type"},
		{method: "POST", path: "/records/contact", headers: "Content-Type: application/json", status: 400, want: "body.missing"},
		{method: "POST", path: "/records/contact", body: `{"name":"X"}`, headers: "Content-Type: text/plain", status: 415},
		{method: "POST", path: "/records/contact", body: `{"name":"X"}`, headers: "Content-Type: application/json; charset=windows-1255", status: 415},
		{method: "POST", path: "/records/contact", body: `{"name":"X"}`, headers: "Content-Type: -", status: 415},
		{method: "POST", path: "/records/contact", body: `{"name":"X"}`, headers: "Content-Encoding: gzip", status: 415},
		{method: "POST", path: "/records/contact", body: `{"name":"X"}`, headers: "Content-Type: application/merge-patch+json", status: 415},
		{method: "POST", path: "/records/contact", body: `{"name":"X"`, status: 400, want: "body.malformed & byte 11"},
		{method: "POST", path: "/records/contact", body: `{"name":"X"} {}`, status: 400, want: "body.malformed"},
		{method: "POST", path: "/records/contact", body: `{"name":"X",}`, status: 400},
		{method: "POST", path: "/records/contact", body: `["name"]`, status: 400, want: "body.not-object"},
		{method: "POST", path: "/records/contact", body: `null`, status: 400, want: "body.not-object"},
		{method: "POST", path: "/records/contact", body: "{\"name\":\"\xff\"}", status: 400, want: "body.utf8"},
		{method: "POST", path: "/records/contact", body: `{"name":"X","name":"Y"}`, status: 422, want: "field.repeated"},
		{method: "POST", path: "/records/contact", body: `{"name":` + deep + `}`, status: 400, want: "body.deep"},
		{method: "POST", path: "/records/contact", body: `{"name":1e999}`, status: 400, want: "body.number"},
		{method: "POST", path: "/records/contact", body: `{"name":"` + strings.Repeat("x", 1<<20) + `"}`, status: 413, want: "body.too-large & 1048576"},
		{method: "POST", path: "/records/contact", body: `{"name":"X","nickname":"Y","odd":1}`, status: 422, want: `"field":"nickname","key":"field.unknown" & "field":"odd"`},
		{method: "POST", path: "/records/contact", body: `{"Name":"X"}`, status: 422, want: "field.unknown"},
		{method: "POST", path: "/records/contact", body: `{"name":"X","id":"` + none + `"}`, status: 422, want: `"field":"id","key":"field.closed"`},
		{method: "POST", path: "/records/contact", body: `{"name":7}`, status: 422, want: `"field":"name","key":"field.text"`},
		{method: "POST", path: "/records/contact", body: `{"name":"X","kind":"robot"}`, status: 422, want: "person, company"},
		{method: "POST", path: "/records/contact", body: `{"name":"X","birthday":"1990-02-31"}`, status: 422, want: "field.yearly"},
		{method: "POST", path: "/records/contact", body: `{"name":"X","emails":["nonsense"]}`, status: 422, want: "field.email"},
		{method: "POST", path: "/records/contact", body: `{"name":"X","phones":"050"}`, status: 422, want: "field.many"},
		{method: "POST", path: "/records/contact", body: `{"city":"Haifa"}`, status: 422, want: "contact.nameless"},
		{method: "POST", path: "/records/contact", body: `{"name":"` + strings.Repeat("x", 400) + `"}`, status: 422, want: "longer than 300 bytes"},
		{method: "POST", path: "/records/contact?x=1", body: `{"name":"X"}`, status: 422, want: "query.unknown"},
		{method: "POST", path: "/records/message", body: `{"text":"X"}`, status: 422, want: `"field":"text","key":"field.closed"`},
		{method: "POST", path: "/records/conversation", body: `{"subject":"X"}`, status: 422, want: `"field":"contact","key":"field.required"`},
		{method: "POST", path: "/conversations/{Alpha.talk}/messages", body: `{}`, status: 422, want: `"field":"text","key":"field.required"`},
		{method: "POST", path: "/conversations/{Alpha.talk}/messages", body: `{"text":"  "}`, status: 422},
		{method: "POST", path: "/conversations/{Alpha.talk}/messages", body: `{"text":["x"]}`, status: 422, want: "field.text"},
		{method: "POST", path: "/conversations/{Alpha.talk}/messages", body: `{"text":"x","to":"a@b.example"}`, status: 422, want: "field.unknown"},
		{method: "POST", path: "/conversations/{Alpha.talk}/assign", body: `{}`, status: 422, want: "field.required"},
		{method: "POST", path: "/conversations/{Alpha.talk}/assign", body: `{"account":"nobody"}`, status: 422, want: "staff.not-found"},
		{method: "POST", path: "/conversations/{Alpha.talk}/close", body: `{"now":true}`, status: 422, want: "field.unknown"},
		{method: "POST", path: "/messages/{Alpha.mail}/retry", status: 409, want: "message.not-failed"},
		{method: "POST", path: "/records/contact", body: `{"name":"X"}`, headers: "Idempotency-Key: " + strings.Repeat("k", 201), status: 422, want: "idempotency.malformed"},
		{method: "POST", path: "/records/contact", body: `{"name":"X"}`, headers: "Idempotency-Key: מפתח", status: 422},
		{method: "POST", path: "/records/contact", body: `{"name":"X"}`, headers: "+Idempotency-Key: a\n+Idempotency-Key: b", status: 422},
	}
}

func badVersions() []request {
	return []request{
		{method: "PATCH", path: "/records/contact/{Alpha}", body: `{"city":"X"}`, status: 428, want: "version.missing"},
		{method: "PATCH", path: "/records/contact/{Alpha}", body: `{"city":"X"}`, headers: "If-Match: *", status: 428},
		{method: "PATCH", path: "/records/contact/{Alpha}", body: `{"city":"X"}`, headers: `If-Match: "1", "2"`, status: 428},
		{method: "PATCH", path: "/records/contact/{Alpha}", body: `{"city":"X"}`, headers: `If-Match: W/"1"`, status: 412, want: "version.weak"},
		{method: "PATCH", path: "/records/contact/{Alpha}", body: `{"city":"X"}`, headers: `If-Match: 1`, status: 400, want: "version.malformed"},
		{method: "PATCH", path: "/records/contact/{Alpha}", body: `{"city":"X"}`, headers: `If-Match: "0"`, status: 400},
		{method: "PATCH", path: "/records/contact/{Alpha}", body: `{"city":"X"}`, headers: `If-Match: "01"`, status: 400},
		{method: "PATCH", path: "/records/contact/{Alpha}", body: `{"city":"X"}`, headers: `If-Match: "9"`, status: 412, want: "record.changed & version 1"},
		{method: "DELETE", path: "/records/contact/{Alpha}", status: 428},
		{method: "DELETE", path: "/records/contact/{Alpha}", headers: `If-Match: "9"`, status: 412},
	}
}

// TestRecordLife: made, read, changed, changed by two at once, deleted.
func TestRecordLife(t *testing.T) {
	h := bareHouse(t, nil)
	a := h.check(t, request{as: "owner", method: "POST", path: Prefix + "/records/contact", status: 201,
		body: `{"name":"דנה כהן","phones":["050-1234567","050-1234567"],"birthday":"1990-02-28","note":"<script>\nsecond"}`,
		want: `"name":"דנה כהן" & "phones":["050-1234567"] & "emails":[] & "city":null & "birthday":"1990-02-28" & \u003cscript & "version":1 & "entity":"contact" & "created_by":"{owner}"`})
	at := a.header.Get("Location")
	if !regexp.MustCompile(`^/api/v1/records/contact/[0-9a-f-]{36}$`).MatchString(at) || a.header.Get("ETag") != `"1"` {
		t.Fatalf("Location %q, ETag %q", at, a.header.Get("ETag"))
	}
	h.check(t, request{as: "owner", method: "GET", path: at, headers: `If-None-Match: "7", "1"`, status: 304})
	h.check(t, request{as: "owner", method: "GET", path: at + "?fields=name,updated_at", status: 200, want: `"name": & "updated_at": & "id":`, never: []string{"phones", "created_at"}})
	head := h.check(t, request{as: "owner", method: "HEAD", path: at, status: 200})
	if head.body != "" || head.header.Get("ETag") != `"1"` {
		t.Errorf("HEAD says %q, ETag %q", head.body, head.header.Get("ETag"))
	}
	options := h.check(t, request{method: "OPTIONS", path: at, status: 204})
	for _, method := range []string{"GET", "HEAD", "PATCH", "DELETE", "OPTIONS"} {
		if !strings.Contains(options.header.Get("Allow"), method) {
			t.Errorf("Allow is %q", options.header.Get("Allow"))
		}
	}
	if refused := h.check(t, request{as: "owner", method: "PUT", path: at, status: 405}); !strings.Contains(refused.header.Get("Allow"), "PATCH") {
		t.Errorf("405 allows %q", refused.header.Get("Allow"))
	}
	changed := h.check(t, request{as: "owner", method: "PATCH", path: at, headers: "If-Match: \"1\"\nContent-Type: application/merge-patch+json",
		body: `{"city":"חיפה","birthday":null}`, status: 200, want: `"city":"חיפה" & "birthday":null & "version":2`})
	if changed.header.Get("ETag") != `"2"` {
		t.Errorf("ETag is %q", changed.header.Get("ETag"))
	}
	var mutex sync.Mutex
	var statuses []int
	var both sync.WaitGroup
	for _, city := range []string{"Haifa", "Eilat"} {
		both.Go(func() {
			a := h.ask(t, request{as: "owner", method: "PATCH", path: at, headers: `If-Match: "2"`, body: `{"city":"` + city + `"}`})
			mutex.Lock()
			defer mutex.Unlock()
			statuses = append(statuses, a.status)
		})
	}
	both.Wait()
	slices.Sort(statuses)
	if !slices.Equal(statuses, []int{200, 412}) {
		t.Errorf("two changes of one version: %v", statuses)
	}
	h.check(t, request{as: "owner", method: "DELETE", path: at, headers: `If-Match: "3"`, status: 204})
	h.check(t, request{as: "owner", method: "GET", path: at, status: 404})
	h.check(t, request{as: "owner", method: "GET", path: Prefix + "/records/contact", status: 200, want: `{"items":[],"next":null,"total":0,"total_exact":true}`})
}

// TestOnce: a caller who never heard the answer may ask again, also many at once.
func TestOnce(t *testing.T) {
	h := newHouse(t)
	for _, c := range []struct{ path, body, other, list string }{
		{"/records/contact", `{"name":"Once"}`, `{"name":"Twice"}`, "/records/contact"},
		{"/conversations/{Alpha.talk}/messages", `{"text":"Once\r\n\u0007and again"}`, `{"text":"Twice"}`, "/conversations/{Alpha.talk}/messages"},
	} {
		before := h.total(t, c.list)
		var mutex sync.Mutex
		bodies := map[string]int{}
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				a := h.ask(t, request{as: "owner", method: "POST", path: Prefix + c.path, body: c.body, headers: "Idempotency-Key: one"})
				mutex.Lock()
				defer mutex.Unlock()
				bodies[fmt.Sprint(a.status, a.body)]++
			})
		}
		all.Wait()
		if len(bodies) != 1 || h.total(t, c.list) != before+1 {
			t.Errorf("%s: asked 8 times, %d answers %v, %d made", c.path, len(bodies), bodies, h.total(t, c.list)-before)
		}
		h.check(t, request{as: "owner", method: "POST", path: Prefix + c.path, body: c.other, headers: "Idempotency-Key: one", status: 422, want: "idempotency.reused"})
		h.check(t, request{as: "manager", method: "POST", path: Prefix + c.path, body: c.other, headers: "Idempotency-Key: one", status: 201, want: "Twice"})
	}
}

func (h *house) total(t testing.TB, path string) int {
	t.Helper()
	a := h.ask(t, request{as: "owner", method: "GET", path: Prefix + path + "?limit=1"})
	var p struct{ Total int }
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.status != http.StatusOK {
		t.Fatalf("%d %v: %s", a.status, err, a.body)
	}
	return p.Total
}

// TestPaging walks lists to their end: everything once, in order, and the total never lies.
func TestPaging(t *testing.T) {
	h := bareHouse(t, nil)
	ctx := appliance(t.Context())
	for i := range 1203 {
		values := record.Values{"name": fmt.Sprintf("N%04d", i), "owner": h.ids[[]string{"dana", "yossi"}[i%2]]}
		if i < 1100 {
			values["external_id"] = fmt.Sprintf("x%d", i%3)
		}
		if _, err := h.Contacts.Create(ctx, values); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		as, query string
		found     int
		total     string
	}{
		{"owner", "limit=200", 1203, `"total":1203,"total_exact":true`},
		{"owner", "sort=-name&limit=199", 1203, `"total":1203,"total_exact":true`},
		{"dana", "sort=name&limit=100", 602, `"total":602,"total_exact":true`},
		{"dana", "sort=-", 602, `"total":602,"total_exact":true`},
		{"owner", "sort=external_id&limit=200", 1203, `"total":1203,"total_exact":true`},
		{"owner", "sort=external_id&valued=true&limit=200", 1100, `"total":1000,"total_exact":false`},
		{"owner", "sort=external_id&valued=true&limit=200&count=exact", 1100, `"total":1100,"total_exact":true`},
		{"owner", `filter=name+contains+"7"+and+external_id+is+not+empty&sort=-name&limit=50`, 290, `"total":290,"total_exact":true`},
		{"owner", `filter=external_id%3D"x1"&limit=7`, 367, `"total":367,"total_exact":true`},
		{"owner", `filter=external_id+%3D+"X1"`, 367, `"total":367,"total_exact":true`},
		{"yossi", `filter=external_id+%3D+"x1"`, 184, `"total":184,"total_exact":true`},
	} {
		seen, cursor := map[string]bool{}, ""
		for pages := 0; ; pages++ {
			a := h.check(t, request{as: c.as, method: "GET", path: Prefix + "/records/contact?" + c.query + cursor, status: 200, want: c.total})
			var p struct {
				Items []struct{ ID string }
				Next  *string
			}
			if err := json.Unmarshal([]byte(a.body), &p); err != nil {
				t.Fatal(err)
			}
			for _, item := range p.Items {
				if seen[item.ID] {
					t.Fatalf("%s: %s came twice", c.query, item.ID)
				}
				seen[item.ID] = true
			}
			if p.Next == nil || pages > 300 {
				break
			}
			cursor = "&cursor=" + *p.Next
		}
		if len(seen) != c.found {
			t.Errorf("%s as %s: %d records, want %d", c.query, c.as, len(seen), c.found)
		}
	}
	a := h.ask(t, request{as: "owner", method: "GET", path: Prefix + "/records/contact?sort=name&limit=1"})
	var p struct{ Next string }
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Fatal(err)
	}
	h.check(t, request{as: "owner", method: "GET", path: Prefix + "/records/contact?cursor=" + p.Next, status: 400, want: "list.cursor"})
	h.check(t, request{as: "yossi", method: "GET", path: Prefix + "/records/contact?limit=1&sort=name&cursor=" + p.Next, status: 200, want: "N0001"})
}

// TestInbox: a customer wrote, is answered, delivery fails, is tried again.
func TestInbox(t *testing.T) {
	h := newHouse(t)
	a := h.check(t, request{as: "dana", method: "POST", path: Prefix + "/conversations/{Alpha.talk}/messages", body: `{"text":"We are open until five."}`,
		status: 201, want: `"state":"queued" & "direction":"out" & "conversation":"{Alpha.talk}" & "subject":"Re: Question of Alpha"`})
	at := a.header.Get("Location")
	h.ids["answer"] = at[strings.LastIndex(at, "/")+1:]
	h.check(t, request{as: "dana", method: "GET", path: at, status: 200, want: `"id":"{answer}" & "state":"queued"`})
	h.check(t, request{as: "dana", method: "GET", path: Prefix + "/conversations?view=waiting", status: 200, want: `"total":1 & Beta`, never: []string{"Alpha"}})
	h.check(t, request{as: "dana", method: "GET", path: Prefix + "/conversations/{Alpha.talk}/messages?limit=1", status: 200, want: `{answer} & "total":2,"total_exact":true`, never: []string{"Letter of"}})
	h.check(t, request{as: "dana", method: "GET", path: Prefix + "/conversations/{Alpha.talk}/messages?fields=state", status: 200, want: `"state":"received"`, never: []string{"Letter of"}})
	h.deliver(t, h.ids["answer"], "failed")
	h.check(t, request{as: "dana", method: "GET", path: at, status: 200, want: `"failure":{"key":"mail.refused"`})
	h.check(t, request{as: "viewer", method: "POST", path: Prefix + "/messages/{answer}/retry", status: 403})
	h.check(t, request{as: "yossi", method: "POST", path: Prefix + "/messages/{answer}/retry", status: 404})
	h.check(t, request{as: "dana", method: "POST", path: Prefix + "/messages/{answer}/retry", status: 200, want: `"state":"queued" & "failure":null`})
	h.check(t, request{as: "dana", method: "GET", path: Prefix + "/records/contact/{Alpha}/timeline?limit=1", status: 200, want: `"text":"We are open until five."`, never: []string{`"next":null`}})
	h.check(t, request{as: "dana", method: "GET", path: Prefix + "/records/contact/{Alpha}/timeline", status: 200,
		want: `"cut":["text"] & "html":"\u003cb\u003eAlpha\u003c/b\u003e" & "name":"contact.created" & "parties":{"from":{"handle":"alpha@customer.example","name":"Alpha"}} & "next":null`})
	h.check(t, request{as: "manager", method: "POST", path: Prefix + "/conversations/{Alpha.talk}/assign", body: `{"account":"{yossi}"}`, status: 200, want: `"assignee":"{yossi}"`})
	h.check(t, request{as: "yossi", method: "GET", path: Prefix + "/conversations?view=mine", status: 200, want: `"total":1 & {Alpha.talk}`})
	h.check(t, request{as: "manager", method: "POST", path: Prefix + "/conversations/{Alpha.talk}/assign", body: `{"account":null}`, status: 200, want: `"assignee":null`})
	h.check(t, request{as: "owner", method: "POST", path: Prefix + "/conversations/{Gamma.talk}/close", status: 200, want: `"waiting_since":null`})
	h.check(t, request{as: "owner", method: "GET", path: Prefix + "/conversations?view=closed", status: 200, want: `"total":1 & {Gamma.talk}`, never: []string{"{Alpha.talk}"}})
	h.check(t, request{as: "owner", method: "GET", path: Prefix + "/conversations?view=open&limit=2", status: 200, want: `"total":5`, never: []string{"{Gamma.talk}", `"next":null`}})
}

// TestLargeMailsEndAPage: a page of megabyte mails ends early, and the next ones lead to all of them.
func TestLargeMailsEndAPage(t *testing.T) {
	h := newHouse(t)
	conversation := must(record.ParseID(h.ids["Alpha.talk"]))(t)
	body := strings.Repeat("א", 400<<10)
	for i := range 24 {
		if _, err := h.Inbox.Reply(appliance(t.Context()), conversation, replyOf(fmt.Sprint(i, body))); err != nil {
			t.Fatal(err)
		}
	}
	cursor, seen, pages := "", 0, 0
	for {
		a := h.ask(t, request{as: "owner", method: "GET", path: Prefix + "/conversations/{Alpha.talk}/messages?limit=200" + cursor})
		if a.status != 200 || len(a.body) > 2*pageBytes+(20<<20) {
			t.Fatalf("status %d, %d bytes", a.status, len(a.body))
		}
		var p struct {
			Items []struct{ ID string }
			Next  string
		}
		if err := json.Unmarshal([]byte(a.body), &p); err != nil {
			t.Fatal(err)
		}
		seen, pages = seen+len(p.Items), pages+1
		if p.Next == "" {
			break
		}
		cursor = "&cursor=" + p.Next
	}
	if seen != 25 || pages < 2 {
		t.Errorf("%d messages on %d pages", seen, pages)
	}
}
