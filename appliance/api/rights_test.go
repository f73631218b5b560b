package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// nightShift is a role of an office's own.
const nightShift = `{"base":"agent","labels":{"ru":"Ночная смена"},"grants":[{"entity":"contact","verb":"see","scope":"all","where":"city = \"Haifa\""}],
	"fields":[{"entity":"contact","field":"note","right":"hide"}]}`

// TestRoles makes, changes, takes away and brings back roles as programs do. All of it is held against the document.
func TestRoles(t *testing.T) {
	h := newHouse(t)
	l := newLawyer(t, h)
	const all, one, versions = "/roles", "/roles/night-shift", "/role-versions"
	first, second := `If-Match: "0"`, `If-Match: "1"`
	for _, q := range []request{
		{method: "GET", path: all, status: 200, want: `"version":0 & "name":"owner","built_in":true & "grants":[{"entity":"*","verb":"*","scope":"all"}] & "name":"viewer"`},
		{method: "GET", path: all + "/agent", status: 200, want: `{"entity":"contact","verb":"see","scope":"own"}`},
		{method: "GET", path: one, status: 404, want: "role.not-found"},
		{method: "GET", path: versions, status: 200, want: `"items":[],"next":null`},
		{method: "PUT", path: one, body: nightShift, status: 428, want: "version.missing"},
		{method: "PUT", path: one, body: nightShift, headers: second, status: 412, want: "role.changed-meanwhile"},
		{method: "PUT", path: one, body: nightShift, headers: first, status: 200, want: `"name":"night-shift","built_in":false & "where":"city = \"Haifa\"" & Ночная`},
		{method: "GET", path: one, status: 200, want: `"base":"agent" & "right":"hide" & "scope":"all"`},
		{method: "GET", path: all, status: 200, want: `"version":1 & "name":"night-shift"`},
		{method: "PUT", path: one, body: `{"base":"viewer"}`, headers: first, status: 412},
		{method: "PUT", path: one, body: `{"base":"viewer"}`, headers: second, status: 200, want: `"base":"viewer","grants":[],"fields":[]`},
		{method: "DELETE", path: all + "/no-such", headers: `If-Match: "2"`, status: 404},
		{method: "DELETE", path: all + "/agent", headers: `If-Match: "2"`, status: 404},
		{method: "GET", path: versions, status: 200, want: `"number":2 & "act":"set","role":"night-shift" & "by":"{owner}" & "number":1 & "next":null`, never: []string{"Haifa"}},
		{method: "GET", path: versions + "?limit=1", status: 200, want: `"number":2 & "next":"2"`, never: []string{`"number":1`}},
		{method: "GET", path: versions + "?cursor=2", status: 200, want: `"number":1`, never: []string{`"number":2`}},
		{method: "GET", path: versions + "/1", status: 200, want: `"roles":[{"name":"night-shift" & Haifa`},
		{method: "GET", path: versions + "/9", status: 404, want: "policy.not-found"},
		{method: "POST", path: versions + "/1/revert", status: 428},
		{method: "POST", path: versions + "/1/revert", headers: second, status: 412},
		{method: "POST", path: versions + "/9/revert", headers: `If-Match: "2"`, status: 404},
		{method: "POST", path: versions + "/1/revert", headers: "If-Match: \"2\"\nIdempotency-Key: once", status: 200, want: `"number":3 & "act":"reverted","to":1 & Haifa`},
		{method: "POST", path: versions + "/1/revert", headers: "If-Match: \"2\"\nIdempotency-Key: once", status: 200, want: `"number":3`},
		{method: "POST", path: versions + "/2/revert", headers: "If-Match: \"2\"\nIdempotency-Key: once", status: 422, want: "idempotency.reused"},
		{method: "POST", path: versions + "/1/revert", headers: `If-Match: "2"`, status: 412},
		{method: "POST", path: versions + "/0/revert", headers: `If-Match: "3"`, status: 200, want: `"number":4 & "to":0`},
		{method: "GET", path: one, status: 404},
		{method: "PUT", path: one, body: nightShift, headers: `If-Match: "4"`, status: 200},
		{method: "PUT", path: "/accounts/{dana}/role", body: `{"role":"night-shift"}`, status: 200, want: `"id":"{dana}" & "role":"night-shift"`},
		{method: "DELETE", path: one, headers: `If-Match: "5"`, status: 409, want: "role.in-use"},
		{method: "PUT", path: "/accounts/{dana}/role", body: `{"role":"agent"}`, status: 200},
		{method: "DELETE", path: one, headers: `If-Match: "5"`, status: 204},
		{method: "GET", path: all, status: 200, want: `"version":6`, never: []string{"night-shift"}},
	} {
		q.as, q.path = "owner", Prefix+q.path
		a := l.check(t, q)
		if q.status < 300 && strings.HasPrefix(q.path, Prefix+all) && q.method != "DELETE" && a.header.Get("ETag") == "" {
			t.Errorf("%s %s has no ETag", q.method, q.path)
		}
	}
}

// TestRolesCountAtOnce: what a role may do is what was last put.
func TestRolesCountAtOnce(t *testing.T) {
	h := newHouse(t)
	put := func(version, body string) {
		t.Helper()
		h.check(t, request{as: "owner", method: "PUT", path: Prefix + "/roles/night-shift", body: body, headers: `If-Match: "` + version + `"`, status: 200})
	}
	put("0", `{"base":"agent","grants":[{"entity":"contact","verb":"see","scope":"all"}]}`)
	h.check(t, request{as: "dana", method: "GET", path: Prefix + "/records/contact", status: 200, want: `"total":2`})
	h.check(t, request{as: "owner", method: "PUT", path: Prefix + "/accounts/{dana}/role", body: `{"role":"night-shift"}`, status: 200})
	h.check(t, request{as: "dana", method: "GET", path: Prefix + "/records/contact", status: 200, want: `"total":6`})
	put("1", `{"base":"agent","grants":[{"entity":"contact","verb":"see","scope":"none"}]}`)
	h.check(t, request{as: "dana", method: "GET", path: Prefix + "/records/contact/{Alpha}", status: 404})
}

// TestRefusedRules: a rule that means nothing is told with its place.
func TestRefusedRules(t *testing.T) {
	h := bareHouse(t, nil)
	for _, c := range []struct {
		name, body string
		status     int
		want       string
	}{
		{"owner", `{}`, 422, "role.reserved"},
		{"Night", `{}`, 422, "role.name"},
		{"x", `{"base":"boss"}`, 422, `"field":"base","key":"role.base"`},
		{"x", `{"grants":[{"entity":"contact","verb":"eat","scope":"all"}]}`, 422, `"field":"grants[0]","key":"role.verb"`},
		{"x", `{"grants":[{"entity":"contact","verb":"see","scope":"everywhere"}]}`, 422, "role.scope"},
		{"x", `{"grants":[{"entity":"contact","verb":"see","scope":"all","were":"city = 1"}]}`, 422, `"field":"grants","key":"field.malformed"`},
		{"x", `{"grants":[{"entity":"*","verb":"see","scope":"all","where":"city = 1"}]}`, 422, "role.where-for-nothing"},
		{"x", `{"fields":[{"entity":"contact","field":"note","right":"burn"}]}`, 422, "role.right"},
		{"x", `{"fields":"all"}`, 422, `"field":"fields"`},
		{"x", `{"labels":{"english":"x"}}`, 422, "role.label"},
		{"x", `{"grant":[]}`, 422, "field.unknown"},
		{"x", `[]`, 400, "body.not-object"},
		{"x", `{"grants":[` + strings.Repeat(`{"entity":"contact","verb":"see","scope":"all"},`, 2) + `{"entity":"deal","verb":"see","scope":"all"}]}`, 422, "role.twice"},
	} {
		h.check(t, request{as: "owner", method: "PUT", path: Prefix + "/roles/" + c.name, body: c.body, headers: `If-Match: "0"`, status: c.status, want: c.want})
	}
	for _, n := range []string{"x", "-1", "99999999999999999999", "1.5"} {
		h.check(t, request{as: "owner", method: "GET", path: Prefix + "/role-versions/" + n, status: 404})
		h.check(t, request{as: "owner", method: "POST", path: Prefix + "/role-versions/" + n + "/revert", headers: `If-Match: "0"`, status: 404})
	}
	h.check(t, request{as: "owner", method: "GET", path: Prefix + "/role-versions?cursor=0", status: 400, want: "list.cursor"})
	h.check(t, request{as: "owner", method: "GET", path: Prefix + "/roles", status: 200, want: `"version":0`})
}

// made posts and keeps the id of what was made under a name.
func (l *lawyer) made(t *testing.T, name string, q request) answer {
	t.Helper()
	a := l.check(t, q)
	var one struct{ ID string }
	if err := json.Unmarshal([]byte(a.body), &one); err != nil {
		t.Fatal(err)
	}
	l.h.ids[name] = one.ID
	return a
}

// TestTeamsAndAccounts: teams are made once, named and taken away; people get roles and teams; and of nobody's password
// there is a trace.
func TestTeamsAndAccounts(t *testing.T) {
	h := newHouse(t)
	l := newLawyer(t, h)
	north := request{as: "owner", method: "POST", path: Prefix + "/teams", body: `{"name":"North"}`, headers: "Idempotency-Key: n", status: 201, want: `"name":"North","members":0`}
	l.made(t, "north", north)
	north.want = `"id":"{north}"`
	l.check(t, north)
	secrets := []string{"argon2", "assword", "krv_"}
	for _, q := range []request{
		{method: "POST", path: "/teams", body: `{"name":"South"}`, headers: "Idempotency-Key: n", status: 422, want: "idempotency.reused"},
		{method: "POST", path: "/teams", body: `{"name":"North"}`, status: 409, want: "team.exists"},
		{method: "POST", path: "/teams", body: `{"name":" "}`, status: 422, want: `"field":"name","key":"field.required"`},
		{method: "POST", path: "/teams", body: `{"name":7}`, status: 422, want: "field.text"},
		{method: "POST", path: "/teams", body: `{"name":"x","members":3}`, status: 422, want: "field.unknown"},
		{method: "GET", path: "/teams", status: 200, want: `"items":[{"id":"{north}","name":"North","members":0}],"next":null`},
		{method: "PATCH", path: "/teams/{north}", body: `{"name":"Far north"}`, status: 200, want: `"name":"Far north"`},
		{method: "PATCH", path: "/teams/" + none, body: `{"name":"x"}`, status: 404, want: "team.not-found"},
		{method: "GET", path: "/accounts", status: 200, want: `"email":"dana@office.example","name":"dana","role":"agent","team":null,"lang":"en","disabled":false`, never: secrets},
		{method: "PUT", path: "/accounts/{dana}/team", body: `{"team":"{north}"}`, status: 200, want: `"team":"{north}"`, never: secrets},
		{method: "GET", path: "/teams", status: 200, want: `"members":1`},
		{method: "DELETE", path: "/teams/{north}", status: 409, want: "team.in-use"},
		{method: "PUT", path: "/accounts/{dana}/team", body: `{"team":"` + none + `"}`, status: 422, want: `"field":"team","key":"team.not-found"`},
		{method: "PUT", path: "/accounts/{dana}/team", body: `{}`, status: 422, want: "field.required"},
		{method: "PUT", path: "/accounts/" + none + "/team", body: `{"team":null}`, status: 404, want: "staff.not-found"},
		{method: "PUT", path: "/accounts/{dana}/team", body: `{"team":null}`, status: 200, want: `"team":null`},
		{method: "DELETE", path: "/teams/{north}", status: 204},
		{method: "DELETE", path: "/teams/{north}", status: 404},
		{method: "PUT", path: "/accounts/{dana}/role", body: `{"role":"viewer"}`, status: 200, want: `"role":"viewer"`, never: secrets},
		{method: "PUT", path: "/accounts/{dana}/role", body: `{"role":"boss"}`, status: 422, want: `"field":"role","key":"role.unknown" & There is no role boss.`},
		{method: "PUT", path: "/accounts/{dana}/role", body: `{"role":"plugin"}`, status: 422, want: "role.unknown"},
		{method: "PUT", path: "/accounts/" + none + "/role", body: `{"role":"agent"}`, status: 404},
		{method: "PUT", path: "/accounts/{owner}/role", body: `{"role":"agent"}`, status: 409, want: "staff.last-owner"},
	} {
		q.as, q.path = "owner", Prefix+q.path
		l.check(t, q)
	}
}

// TestRightsAreNotForEverybody goes through the calls of roles, staff and audit as each role.
func TestRightsAreNotForEverybody(t *testing.T) {
	h := newHouse(t)
	h.check(t, request{as: "owner", method: "POST", path: Prefix + "/teams", body: `{"name":"North"}`, status: 201})
	for _, c := range []struct {
		method, path, body, headers string
		may                         string // who reads it besides the owner
		right                       string
	}{
		{"GET", "/roles", "", "", "manager viewer", "see:staff"},
		{"GET", "/roles/agent", "", "", "manager viewer", "see:staff"},
		{"GET", "/role-versions", "", "", "manager viewer", "see:staff"},
		{"PUT", "/roles/own", `{"base":"owner"}`, `If-Match: "0"`, "", "administer:office"},
		{"DELETE", "/roles/own", "", `If-Match: "1"`, "", "administer:office"},
		{"POST", "/role-versions/0/revert", "", "If-Match: \"0\"\nIdempotency-Key: k", "", "administer:office"},
		{"GET", "/teams", "", "", "manager viewer", "see:staff"},
		{"POST", "/teams", `{"name":"x"}`, "Idempotency-Key: k", "", "administer:staff"},
		{"PATCH", "/teams/" + none, `{"name":"x"}`, "", "", "administer:staff"},
		{"DELETE", "/teams/" + none, "", "", "", "administer:staff"},
		{"GET", "/accounts", "", "", "manager viewer", "see:staff"},
		{"PUT", "/accounts/{dana}/role", `{"role":"owner"}`, "", "", "administer:staff"},
		{"PUT", "/accounts/{dana}/team", `{"team":null}`, "", "", "administer:staff"},
		{"GET", "/audit", "", "", "", "see:audit"},
	} {
		for _, who := range []string{"manager", "dana", "yossi", "viewer", ""} {
			q := request{as: who, method: c.method, path: Prefix + c.path, body: c.body, headers: c.headers, status: 403, want: c.right}
			switch {
			case who == "":
				q.status, q.want = 401, ""
			case strings.Contains(c.may, who):
				q.status, q.want = 200, ""
			}
			h.check(t, q)
		}
	}
	h.check(t, request{as: "owner", method: "GET", path: Prefix + "/roles", status: 200, want: `"version":0`})
	h.check(t, request{as: "owner", method: "GET", path: Prefix + "/accounts", status: 200, want: `"name":"dana","role":"agent"`})
}

// TestAudit looks for who did what: by whom, about what, when, page by page; and finds itself.
func TestAudit(t *testing.T) {
	h := newHouse(t)
	l := newLawyer(t, h)
	h.check(t, request{as: "dana", method: "GET", path: Prefix + "/records/contact/{Alpha}", status: 200})
	h.check(t, request{as: "dana", method: "PATCH", path: Prefix + "/records/contact/{Alpha}", body: `{"city":"Secretville"}`, headers: `If-Match: "1"`, status: 200})
	for _, q := range []request{
		{path: "?actor=dana@office.example&name=contact.", status: 200, want: `"name":"contact.changed","actor":"{dana}","fields":["city"] & "who":"dana","entity":"contact","id":"{Alpha}" & "read":true`,
			never: []string{"Secretville", "contact.created"}},
		{path: "?actor={dana}&record=contact:{Alpha}", status: 200, want: "contact.changed", never: []string{"{Gamma}", "staff.added"}},
		{path: "?record=contact:{Gamma}", status: 200, want: `"contact":"{Gamma}" & message.received`, never: []string{"{Alpha}"}},
		{path: "?record={Gamma}", status: 200, want: "contact.created"},
		{path: "?record=staff&name=staff.added", status: 200, want: `"role":"viewer" & "who":"","entity":"staff"`, never: []string{"contact."}},
		{path: "?name=audit.", status: 200, want: `"name":"audit.read","actor":"{owner}"`},
		{path: "?since=2100-01-01", status: 200, want: `{"items":[],"next":null}`},
		{path: "?until=2000-01-01T00:00:00Z", status: 200, want: `{"items":[],"next":null}`},
		{path: "?since=yesterday", status: 400, want: `"field":"since","key":"field.time"`},
		{path: "?limit=501", status: 400, want: "list.limit"},
		{path: "?cursor=x", status: 400, want: "list.cursor"},
		{path: "?who=dana", status: 400, want: "query.unknown"},
		{path: "?actor=nobody@office.example", status: 404, want: "staff.not-found"},
	} {
		q.as, q.method, q.path = "owner", "GET", Prefix+"/audit"+h.fill(q.path)
		l.check(t, q)
	}
	seen, cursor, last := map[float64]bool{}, "", 1e18
	for range 100 {
		a := l.check(t, request{as: "owner", method: "GET", path: Prefix + "/audit?limit=7&until=2100-01-01" + cursor, status: 200})
		var page struct {
			Items []struct{ Seq float64 }
			Next  *string
		}
		if err := json.Unmarshal([]byte(a.body), &page); err != nil {
			t.Fatal(err)
		}
		for _, f := range page.Items {
			if seen[f.Seq] || f.Seq >= last {
				t.Fatalf("fact %v stands behind %v", f.Seq, last)
			}
			seen[f.Seq], last = true, f.Seq
		}
		if page.Next == nil {
			break
		}
		cursor = "&cursor=" + *page.Next
	}
	if last != 1 {
		t.Errorf("the pages end at fact %v: %s", last, fmt.Sprint(len(seen)))
	}
}
