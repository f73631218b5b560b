package workspace_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/karov-crm/karov/admin/workspace"
	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/record"
)

// reader is a person's browser without script.
type reader struct {
	t     *testing.T
	http  *http.Client
	base  string
	token string
}

var tokenField = regexp.MustCompile(`name="_token" value="([^"]+)"`)

func (d *day) reader(t *testing.T, role access.Role) *reader {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{t: t, base: d.url, http: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	r.remember(r.get("/sign-in?lang=en"))
	if status, _, _ := r.ask(http.MethodPost, "/sign-in", url.Values{"email": {string(role) + "@office.example"}, "password": {password}}); status != http.StatusSeeOther {
		t.Fatalf("%s cannot sign in: %d", role, status)
	}
	r.remember(r.get("/"))
	return r
}

func (r *reader) remember(page string) {
	if m := tokenField.FindStringSubmatch(page); m != nil {
		r.token = m[1]
	}
}

func (r *reader) get(path string) string {
	r.t.Helper()
	_, page, _ := r.ask(http.MethodGet, path, nil)
	return page
}

func (r *reader) ask(method, path string, form url.Values) (int, string, http.Header) {
	r.t.Helper()
	if form != nil && form.Get("_token") == "" {
		form.Set("_token", r.token)
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html")
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := r.http.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res.StatusCode, strings.NewReplacer("\u2068", "", "\u2069", "").Replace(string(body)), res.Header
}

// Page tests are data: who asks for what, what he is answered, what stands on the page and what must not.
func TestPagesByRole(t *testing.T) {
	d := aDay(newOffice(t))
	cohen, boiler, failed := d.cohen.ID.String(), d.boiler.ID.String(), d.failed.ID.String()
	formatted := "/inbox/" + boiler + "/messages/" + d.last(d.boiler).ID.String() + "/formatted"
	file := "/inbox/" + boiler + "/files/" + d.last(d.boiler).ID.String()
	for _, test := range []struct {
		name, path string
		role       access.Role
		status     int
		wants      []string
		lacks      []string
	}{
		{"the owner's home", "/", access.Owner, 200, []string{"Waiting for an answer", "משה כהן", "Анна Иванова", "Waiting 26 hours"}, nil},
		{"an agent's home", "/", access.Agent, 200, []string{"Анна Иванова"}, []string{"משה כהן", cohen, boiler}},
		{"a card", "/contacts/" + cohen, access.Owner, 200, []string{`tel:+972501234567`, "050-123-4567", "mailto:moshe@cohen.example", "דנה לוי", "הדוד דולף", "What happened", "/edit"}, nil},
		{"a card for reading", "/contacts/" + cohen, access.Viewer, 200, []string{"050-123-4567"}, []string{"/edit"}},
		{"a foreign card", "/contacts/" + cohen, access.Agent, 404, []string{"Nothing here"}, []string{"משה"}},
		{"a foreign card's form", "/contacts/" + cohen + "/edit", access.Agent, 404, nil, []string{"משה"}},
		{"a foreign timeline", "/contacts/" + cohen + "/timeline", access.Agent, 404, nil, []string{"הדוד"}},
		{"a foreign conversation", "/inbox/" + boiler, access.Agent, 404, nil, []string{"הדוד"}},
		{"a foreign mail", formatted, access.Agent, 404, nil, []string{"מצרף"}},
		{"a foreign file", file + "/0", access.Agent, 404, nil, []string{"not really"}},
		{"a stranger's id", "/contacts/" + record.NewID().String(), access.Owner, 404, nil, nil},
		{"no id", "/contacts/abc", access.Owner, 422, []string{"This is no id"}, nil},
		{"a file that is not there", file + "/7", access.Owner, 404, nil, nil},
		{"a mail of another conversation", "/inbox/" + failed + "/messages/" + d.last(d.boiler).ID.String() + "/formatted", access.Owner, 404, nil, []string{"מצרף"}},
		{"all customers", "/contacts", access.Owner, 200, []string{"6 customers", "Cohen &amp; Partners", "Дмитрий Коэн"}, nil},
		{"own customers", "/contacts", access.Agent, 200, []string{"2 customers", "Анна Иванова"}, []string{"Cohen", "משה"}},
		{"lookup", "/lookup?q=%D7%9B%D7%94", access.Owner, 200, []string{"<mark>כה</mark>ן"}, nil},
		{"lookup by phone", "/lookup/results?q=0501234", access.Owner, 200, []string{"<mark>050-123-4</mark>567", `role="option"`}, []string{"<html"}},
		{"lookup of the foreign", "/lookup?q=0501234", access.Agent, 200, []string{"Nobody was found"}, []string{cohen}},
		{"lookup of own in another alphabet", "/lookup?q=%D7%9B%D7%94%D7%9F", access.Agent, 200, []string{"Дмитрий <mark>Коэн</mark>"}, []string{cohen}},
		{"lookup is no script", "/lookup?q=%3Cscript%3Ealert(1)%3C/script%3E", access.Owner, 200, []string{"&lt;script&gt;"}, []string{"<script>alert"}},
		{"lookup offers to add", "/lookup?q=054-111222", access.Owner, 200, []string{"/contacts/new?phones=054-111222"}, nil},
		{"a reader adds nobody", "/lookup?q=zzzz", access.Viewer, 200, nil, []string{"/contacts/new"}},
		{"a conversation", "/inbox/" + boiler, access.Owner, 200, []string{"טכנאי יגיע היום", "Earlier messages", "evilgpj.html", "Sent", `id="reply"`, "moshe@cohen.example"}, []string{"\u202e", "<script>parent"}},
		{"a conversation for reading", "/inbox/" + boiler, access.Viewer, 200, []string{"טכנאי"}, []string{`id="reply"`, "/assign", "/state"}},
		{"an own conversation", "/inbox/" + failed, access.Agent, 200, []string{"Not sent", "This is larger than the limit", "/retry"}, []string{"/assign"}},
		{"a web address", "/inbox/" + d.invoice.ID.String(), access.Owner, 200, []string{`href="https://partners.example/invoices/2291?x=1&amp;y=2"`, "noopener noreferrer"}, nil},
		{"the inbox's tabs", "/inbox?tab=closed", access.Owner, 200, []string{"No closed conversations"}, nil},
		{"a broken cursor", "/inbox?cursor=x", access.Owner, 422, []string{"begin again"}, nil},
		{"nowhere", "/nowhere", access.Owner, 404, []string{"Nothing here"}, nil},
	} {
		status, page, _ := d.reader(t, test.role).ask(http.MethodGet, test.path, nil)
		if status != test.status {
			t.Errorf("%s: %d, want %d", test.name, status, test.status)
		}
		for _, want := range test.wants {
			if !strings.Contains(page, want) {
				t.Errorf("%s lacks %s\n%s", test.name, want, page)
			}
		}
		for _, lack := range test.lacks {
			if strings.Contains(page, lack) {
				t.Errorf("%s shows %s", test.name, lack)
			}
		}
	}
}

func TestActionsByRole(t *testing.T) {
	d := aDay(newOffice(t))
	boiler, cohen := "/inbox/"+d.boiler.ID.String(), "/contacts/"+d.cohen.ID.String()
	agent := d.people[access.Agent].ID
	for _, test := range []struct {
		name, path string
		role       access.Role
		form       url.Values
		status     int
		wants      string
	}{
		{"a reader cannot answer", boiler + "/reply", access.Viewer, url.Values{"text": {"x"}}, 403, "permission"},
		{"a reader cannot close", boiler + "/state", access.Viewer, url.Values{"state": {"closed"}}, 403, ""},
		{"an agent cannot answer others' customers", boiler + "/reply", access.Agent, url.Values{"text": {"x"}}, 404, ""},
		{"an agent cannot assign", "/inbox/" + d.failed.ID.String() + "/assign", access.Agent, url.Values{"assignee": {agent}}, 403, ""},
		{"a reader cannot change", cohen + "/edit", access.Viewer, url.Values{"name": {"x"}, "before.name": {"משה כהן"}, "version": {"1"}}, 403, ""},
		{"a reader cannot add", "/contacts/new", access.Viewer, url.Values{"name": {"x"}}, 403, ""},
		{"an empty answer", boiler + "/reply", access.Owner, url.Values{"text": {"  \n"}}, 422, "This must not be empty"},
		{"a nameless customer", "/contacts/new", access.Owner, url.Values{"name": {""}, "city": {"Haifa"}}, 422, "needs a name"},
		{"a wrong address", "/contacts/new", access.Owner, url.Values{"name": {"Noa"}, "emails": {"noa.example"}}, 422, "This is not an e-mail address"},
		{"a foreign form", boiler + "/reply", access.Owner, url.Values{"text": {"x"}, "_token": {"AAAA"}}, 403, "out of date"},
		{"an answer", boiler + "/reply", access.Owner, url.Values{"text": {"Coming."}, "_key": {"k1"}}, 303, ""},
		{"the same answer again", boiler + "/reply", access.Owner, url.Values{"text": {"Coming."}, "_key": {"k1"}}, 303, ""},
		{"trying a failed one again", "/inbox/" + d.failed.ID.String() + "/messages/" + d.last(d.failed).ID.String() + "/retry", access.Agent, url.Values{}, 303, ""},
		{"assigning", boiler + "/assign", access.Manager, url.Values{"assignee": {agent}}, 303, ""},
		{"closing", boiler + "/state", access.Manager, url.Values{"state": {"closed"}}, 303, ""},
		{"a customer", "/contacts/new", access.Agent, url.Values{"name": {"Noa"}, "kind": {"person"}, "phones": {"054-1112222", ""}}, 303, ""},
	} {
		status, page, _ := d.reader(t, test.role).ask(http.MethodPost, test.path, test.form)
		if status != test.status || !strings.Contains(page, test.wants) {
			t.Errorf("%s: %d, want %d\n%s", test.name, status, test.status, page)
		}
	}
	messages, _, err := d.inbox.Messages(d.system, d.boiler.ID, record.ID{}, 50)
	if err != nil || len(messages) != 4 {
		t.Errorf("the conversation holds %d messages, %v", len(messages), err)
	}
	if c, err := d.inbox.Get(d.system, d.boiler.ID); err != nil || c.Assignee != agent || c.State != "closed" {
		t.Errorf("the conversation is %+v, %v", c, err)
	}
}

// What strangers send is answered under a policy of its own, whatever they call it.
func TestForeignContentIsCaged(t *testing.T) {
	d := aDay(newOffice(t))
	owner := d.reader(t, access.Owner)
	mail := "/inbox/" + d.boiler.ID.String()
	id := d.last(d.boiler).ID.String()
	_, page, h := owner.ask(http.MethodGet, mail+"/messages/"+id+"/formatted", nil)
	if h.Get("Content-Security-Policy") != workspace.FramePolicy || !strings.Contains(workspace.FramePolicy, "sandbox ") || strings.Contains(workspace.FramePolicy, "allow-same-origin") {
		t.Errorf("the mail's policy: %s", h.Get("Content-Security-Policy"))
	}
	for _, bad := range []string{"<script", "evil.example", "javascript:", "<img"} {
		if strings.Contains(page, bad) {
			t.Errorf("the mail holds %s:\n%s", bad, page)
		}
	}
	if !strings.Contains(page, "<b>מצרף</b>") {
		t.Errorf("the mail lost its shape:\n%s", page)
	}
	status, body, h := owner.ask(http.MethodGet, mail+"/files/"+id+"/1", nil)
	for name, want := range map[string]string{"Content-Type": "application/octet-stream", "X-Content-Type-Options": "nosniff", "Content-Disposition": `attachment; filename=evilgpj.html`} {
		if h.Get(name) != want {
			t.Errorf("the file's %s: %q", name, h.Get(name))
		}
	}
	if status != 200 || body != "<script>alert(1)</script>" || !strings.Contains(h.Get("Content-Security-Policy"), "sandbox;") || strings.Contains(h.Get("Content-Security-Policy"), "allow-") {
		t.Errorf("the file: %d %q %s", status, body, h.Get("Content-Security-Policy"))
	}
	if _, _, h := owner.ask(http.MethodGet, mail+"/files/"+id+"/0", nil); !strings.Contains(h.Get("Content-Disposition"), "filename*=utf-8''%D7%93") {
		t.Errorf("a Hebrew name: %s", h.Get("Content-Disposition"))
	}
}
