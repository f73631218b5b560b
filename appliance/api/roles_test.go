package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// notYossis is what dana must not see anywhere: the customers of others, their ids, their letters.
func notHers() (texts []string) {
	for _, name := range []string{"Gamma", "Delta", "Epsilon", "Zeta"} {
		texts = append(texts, name+" Common", "of "+name, "{"+name+"}", "{"+name+".talk}", "{"+name+".mail}", strings.ToLower(name)+"@customer")
	}
	return texts
}

// TestNobodySeesWhatIsNotTheirs goes through each door as each role.
func TestNobodySeesWhatIsNotTheirs(t *testing.T) {
	h := newHouse(t)
	for _, all := range []string{"owner", "manager", "viewer"} {
		for _, q := range []request{
			{path: "/search?q=common", want: "Alpha Common & Gamma Common & Zeta Common"},
			{path: "/records/contact", want: `"total":6,"total_exact":true & Alpha & Gamma & Zeta`},
			{path: "/records/conversation", want: `"total":6,"total_exact":true & Question of Alpha & Question of Zeta`},
			{path: "/records/message", want: `"total":6,"total_exact":true & Letter of Alpha & Letter of Zeta`},
			{path: "/records/contact/{Gamma}", want: `"id":"{Gamma}" & "emails":["gamma@customer.example"]`},
			{path: "/records/contact/{Gamma}/timeline", want: "Letter of Gamma & contact.created"},
			{path: "/conversations?view=waiting", want: `"total":6 & "contact_name":"Gamma Common"`},
			{path: "/conversations", want: `"total":6`},
			{path: "/conversations?view=mine", want: `"items":[],"next":null,"total":0,"total_exact":true`},
			{path: "/conversations/{Gamma.talk}/messages", want: `"total":1 & Letter of Gamma`},
			{path: "/records/message/{Gamma.mail}", want: "Letter of Gamma"},
			{path: `/records/contact?filter=owner+%3D+"{yossi}"`, want: `"total":3,"total_exact":true & Delta`},
		} {
			q.as, q.method, q.status = all, "GET", 200
			q.path = Prefix + q.path
			h.check(t, q)
		}
	}
	for _, q := range []request{
		{path: "/search?q=common", status: 200, want: "Alpha Common & Beta Common"},
		{path: "/search?q=gamma", status: 200, want: `{"items":[]}`},
		{path: "/search?q=052-7654322", status: 200, want: `{"items":[]}`},
		{path: "/search?q=gamma@customer.example", status: 200, want: `{"items":[]}`},
		{path: "/records/contact", status: 200, want: `"total":2,"total_exact":true & Alpha & Beta`},
		{path: "/records/contact?count=exact&sort=-name", status: 200, want: `"total":2,"total_exact":true & Alpha & Beta`},
		{path: "/records/contact?limit=1", status: 200, want: `"total":2,"total_exact":true`},
		{path: `/records/contact?filter=owner+%3D+"{yossi}"`, status: 200, want: `"items":[],"next":null,"total":0,"total_exact":true`},
		{path: `/records/contact?filter=name+%3D+"Gamma+Common"`, status: 200, want: `"items":[],"next":null,"total":0`},
		{path: "/records/conversation", status: 200, want: `"total":2,"total_exact":true & Question of Alpha`},
		{path: "/records/conversation?sort=-last_at", status: 200, want: `"total":2,"total_exact":true`},
		{path: `/records/conversation?filter=contact+%3D+"{Gamma}"`, status: 200, want: `"items":[],"next":null,"total":0`},
		{path: "/records/message", status: 200, want: `"total":2,"total_exact":true & Letter of Beta`},
		{path: `/records/message?filter=conversation+%3D+"{Gamma.talk}"`, status: 200, want: `"items":[],"next":null,"total":0`},
		{path: "/records/contact/{Alpha}", status: 200, want: "Alpha Common"},
		{path: "/records/contact/{Gamma}", status: 404},
		{path: "/records/contact/{Zeta}", status: 404},
		{path: "/records/conversation/{Gamma.talk}", status: 404},
		{path: "/records/message/{Gamma.mail}", status: 404},
		{path: "/records/contact/{Alpha}/timeline", status: 200, want: "Letter of Alpha"},
		{path: "/records/contact/{Gamma}/timeline", status: 404},
		{path: "/conversations?view=waiting", status: 200, want: `"total":2`},
		{path: "/conversations", status: 200, want: `"total":2`},
		{path: "/conversations?view=closed&count=exact", status: 200, want: `"total":0`},
		{path: "/conversations/{Alpha.talk}/messages", status: 200, want: `"total":1`},
		{path: "/conversations/{Gamma.talk}/messages", status: 404},
		{method: "POST", path: "/conversations/{Gamma.talk}/messages", body: `{"text":"hello"}`, status: 404},
		{method: "POST", path: "/conversations/{Gamma.talk}/close", status: 404},
		{method: "POST", path: "/conversations/{Gamma.talk}/reopen", status: 404},
		{method: "POST", path: "/conversations/{Gamma.talk}/assign", body: `{"account":"{dana}"}`, status: 404},
		{method: "POST", path: "/conversations/{Alpha.talk}/assign", body: `{"account":"{dana}"}`, status: 403, want: "assign:conversation"},
		{method: "POST", path: "/messages/{Gamma.mail}/retry", status: 404},
		{method: "PATCH", path: "/records/contact/{Gamma}", body: `{"city":"Haifa"}`, headers: `If-Match: "1"`, status: 404},
		{method: "PATCH", path: "/records/contact/{Gamma}", body: `{"city":"Haifa"}`, headers: `If-Match: "99"`, status: 404},
		{method: "PATCH", path: "/records/contact/{Zeta}", body: `{"owner":"{dana}"}`, headers: `If-Match: "1"`, status: 404},
		{method: "PATCH", path: "/records/contact/{Alpha}", body: `{"owner":"{yossi}"}`, headers: `If-Match: "1"`, status: 403},
		{method: "DELETE", path: "/records/contact/{Gamma}", headers: `If-Match: "1"`, status: 404},
		{method: "DELETE", path: "/records/contact/{Alpha}", headers: `If-Match: "1"`, status: 403, want: "delete:contact"},
		{method: "POST", path: "/records/contact", body: `{"name":"Mine","owner":"{yossi}"}`, status: 403},
		{method: "POST", path: "/records/message", body: `{}`, status: 403},
	} {
		q.as, q.never, q.path = "dana", notHers(), Prefix+q.path
		if q.method == "" {
			q.method = "GET"
		}
		if strings.Contains(q.path, "%3D") || q.status == 404 {
			q.never = nil // the request itself names them, and instance repeats it
		}
		h.check(t, q)
	}
}

// TestAnotherAndNoneLookAlike: whoever asks for a record cannot tell from the answer whether there is one.
func TestAnotherAndNoneLookAlike(t *testing.T) {
	h := newHouse(t)
	none := "0198a6f2-0000-7000-8000-000000000000"
	for _, path := range []string{"/records/contact/%s", "/records/contact/%s/timeline", "/records/conversation/%s",
		"/records/message/%s", "/conversations/%s/messages"} {
		var shown []problem
		for _, id := range []string{h.ids["Gamma"], h.ids["Gamma.talk"], h.ids["Gamma.mail"], none} {
			a := h.ask(t, request{as: "dana", method: "GET", path: Prefix + fmt.Sprintf(path, id)})
			var p problem
			if err := json.Unmarshal([]byte(a.body), &p); err != nil {
				t.Fatal(err)
			}
			p.ID, p.Instance = "", ""
			shown = append(shown, p)
		}
		for _, p := range shown[1:] {
			if fmt.Sprint(p) != fmt.Sprint(shown[0]) || p.Status != 404 {
				t.Errorf("%s: %+v and %+v differ", path, p, shown[0])
			}
		}
	}
}

// TestWhoMayDoWhat: viewers change nothing, agents their own, managers everything but the office.
func TestWhoMayDoWhat(t *testing.T) {
	h := newHouse(t)
	for _, q := range []request{
		{as: "viewer", method: "POST", path: "/records/contact", body: `{"name":"No"}`, status: 403, want: "create:contact"},
		{as: "viewer", method: "PATCH", path: "/records/contact/{Alpha}", body: `{"city":"No"}`, headers: `If-Match: "1"`, status: 403},
		{as: "viewer", method: "DELETE", path: "/records/contact/{Alpha}", headers: `If-Match: "1"`, status: 403},
		{as: "viewer", method: "POST", path: "/conversations/{Alpha.talk}/messages", body: `{"text":"no"}`, status: 403},
		{as: "viewer", method: "POST", path: "/conversations/{Alpha.talk}/close", status: 403},
		{as: "viewer", method: "POST", path: "/conversations/{Alpha.talk}/assign", body: `{"account":null}`, status: 403},
		{as: "viewer", method: "POST", path: "/messages/{Alpha.mail}/retry", status: 403},
		{as: "dana", method: "POST", path: "/records/contact", body: `{"name":"Fresh"}`, status: 201, want: `"owner":"{dana}"`},
		{as: "dana", method: "PATCH", path: "/records/contact/{Alpha}", body: `{"city":"Haifa"}`, headers: `If-Match: "1"`, status: 200, want: `"city":"Haifa" & "version":2`},
		{as: "dana", method: "POST", path: "/conversations/{Alpha.talk}/messages", body: `{"text":"shalom"}`, status: 201, want: `"state":"queued" & "text":"shalom" & "author":"{dana}"`},
		{as: "dana", method: "POST", path: "/conversations/{Alpha.talk}/close", body: `{}`, status: 200, want: `"state":"closed"`},
		{as: "dana", method: "POST", path: "/conversations/{Alpha.talk}/reopen", status: 200, want: `"state":"open"`},
		{as: "manager", method: "POST", path: "/conversations/{Zeta.talk}/assign", body: `{"account":"{dana}"}`, status: 200, want: `"assignee":"{dana}"`},
		{as: "dana", method: "GET", path: "/records/contact/{Zeta}", status: 200, want: `"owner":"{dana}"`},
		{as: "dana", method: "GET", path: "/conversations?view=mine", status: 200, want: `"total":1,"total_exact":true & Zeta`},
		{as: "manager", method: "DELETE", path: "/records/contact/{Epsilon}", headers: `If-Match: "1"`, status: 204},
		{as: "manager", method: "GET", path: "/records/contact/{Epsilon}", status: 404},
		{as: "owner", method: "GET", path: "/search?q=epsilon", status: 200, want: `{"items":[]}`},
	} {
		q.path = Prefix + q.path
		h.check(t, q)
	}
}

// TestNobodySignedIn: every call but the open ones wants a token, and says so as HTTP has it.
func TestNobodySignedIn(t *testing.T) {
	h := newHouse(t)
	revoked := h.tokens["viewer"]
	for _, token := range must(h.Staff.Tokens(appliance(t.Context())))(t) {
		if token.Name == "viewer" {
			if err := h.Staff.RevokeToken(appliance(t.Context()), token.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := h.Staff.Disable(appliance(t.Context()), h.ids["yossi"], true); err != nil {
		t.Fatal(err)
	}
	for _, r := range h.routes() {
		path := strings.NewReplacer(":entity", "contact", ":id", h.ids["Alpha"]).Replace(r.path)
		for _, headers := range []string{"", "Authorization: Bearer krv_wrong", "Authorization: Bearer " + revoked, "Authorization: Bearer",
			"Authorization: Bearer " + h.tokens["yossi"], "Authorization: Basic b3duZXI6cGFzcw==", "Authorization: " + h.tokens["owner"],
			"Cookie: karov=" + h.tokens["owner"], "X-Api-Key: " + h.tokens["owner"], "X-Forwarded-For: 127.0.0.1"} {
			a := h.ask(t, request{method: r.method, path: path, headers: headers})
			if r.open != (a.status == 200) || !r.open && a.status != 401 {
				t.Errorf("%s %s with %q: %d", r.method, path, headers, a.status)
			}
			if !r.open && !strings.HasPrefix(a.header.Get("WWW-Authenticate"), `Bearer realm="Karov"`) {
				t.Errorf("%s: WWW-Authenticate is %q", path, a.header.Get("WWW-Authenticate"))
			}
			if strings.Contains(a.body, "Alpha") {
				t.Errorf("%s: a customer's name stands in %s", path, a.body)
			}
		}
	}
}
