package api

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"github.com/karov-crm/karov/appliance/access"
)

// everyType is a kind of record with a field of each type that an office can have, and one with no field at all.
const everyType = `[{"op":"add-entity","entity":"bare","labels":{"en":"Bare"}},
	{"op":"add-entity","entity":"file","labels":{"en":"Case"},"fields":[{"field":"amount","type":"money","labels":{"en":"x"}},{"field":"file","type":"file","labels":{"en":"x"}}]},
	{"op":"add-entity","entity":"problem","labels":{"en":"Problem"}}, {"op":"add-entity","entity":"fact","labels":{"en":"Fact"}},
	{"op":"add-entity","entity":"every","title":"a_text","owner":"a_staff","labels":{"en":"Every"},"fields":[
	{"field":"a_text","type":"text","required":true,"unique":true,"labels":{"en":"x"}},
	{"field":"a_long_text","type":"long-text","default":"two\nlines","labels":{"en":"x"}},
	{"field":"a_number","type":"number","indexed":true,"default":5,"labels":{"en":"x"}},
	{"field":"a_money","type":"money","currency":"ILS","indexed":true,"labels":{"en":"x"}},
	{"field":"a_yes","type":"yes-no","labels":{"en":"x"}},
	{"field":"a_choice","type":"choice","choices":["red","כחול","$ref","a/b"],"labels":{"en":"x"}},
	{"field":"choices","type":"choice","many":true,"choices":["a","b"],"labels":{"en":"x"}},
	{"field":"a_time","type":"time","indexed":true,"labels":{"en":"x"}},
	{"field":"a_date","type":"date","labels":{"en":"x"}},
	{"field":"a_yearly","type":"yearly","labels":{"en":"x"}},
	{"field":"a_phone","type":"phone","many":true,"searched":true,"labels":{"en":"x"}},
	{"field":"an_email","type":"email","sensitive":true,"labels":{"en":"x"}},
	{"field":"a_url","type":"url","labels":{"en":"x"}},
	{"field":"a_link","type":"link","target":"contact","labels":{"en":"x"}},
	{"field":"links","type":"link","target":"every","many":true,"labels":{"en":"x"}},
	{"field":"a_staff","type":"staff","labels":{"en":"x"}},
	{"field":"a_file","type":"file","labels":{"en":"x"}},
	{"field":"pictures","type":"picture","many":true,"labels":{"en":"x"}},
	{"field":"a_formula","type":"formula","formula":"a_number","labels":{"en":"x"}},
	{"field":"schema","type":"text","labels":{"en":"x"}}, {"field":"type","type":"text","labels":{"en":"x"}}]},
	{"op":"add-field","entity":"contact","field":"everies","type":"link","target":"every","many":true,"labels":{"en":"x"}}]`

// lint holds a document against the rules of OpenAPI 3.1, with the formats and patterns of its schemas.
func lint(t *testing.T, raw []byte) (*openapi3.T, error) {
	t.Helper()
	loader := openapi3.NewLoader()
	d, err := loader.LoadFromData(raw)
	if err != nil {
		return nil, err
	}
	return d, d.Validate(t.Context(), openapi3.EnableSchemaFormatValidation(), openapi3.EnableSchemaPatternValidation(),
		openapi3.EnableSchemaDefaultsValidation(), openapi3.EnableExamplesValidation(), openapi3.EnableMultiError())
}

// TestDocumentLints: the document is sound by a linter that is not ours, for every role, with the built-in kinds of
// record and with an office's own.
func TestDocumentLints(t *testing.T) {
	h := bareHouse(t, nil)
	ask := func() {
		t.Helper()
		for _, role := range []string{"owner", "manager", "dana", "viewer"} {
			a := h.check(t, request{as: role, method: "GET", path: Prefix + "/openapi.json", status: 200})
			if d, err := lint(t, []byte(a.body)); err != nil {
				t.Errorf("%s: %v", role, err)
			} else if role == "owner" && d.Paths.Len() < 15 {
				t.Errorf("the owner's document has %d paths", d.Paths.Len())
			}
		}
	}
	ask()
	h.check(t, request{as: "owner", method: "POST", path: Prefix + "/schema/changes", body: `{"version":1,"ops":` + everyType + `}`, status: 200})
	a := h.check(t, request{as: "owner", method: "GET", path: Prefix + "/openapi.json", status: 200, want: `"/api/v1/records/every/{id}" & "a_money" & "every.page"`})
	ask()
	h.check(t, request{as: "owner", method: "POST", path: Prefix + "/schema/changes", status: 200, body: `{"version":2,"ops":[{"op":"hide-entity","entity":"every"},
		{"op":"set","entity":"contact","field":"city","mark":"required","value":true},{"op":"retire-choice","entity":"every","field":"a_choice","choice":"red"}]}`})
	ask()
	checkLinter(t, a.body)
}

// TestDocumentOfStrangers: who has nothing to do with a kind of record does not read of it, and what is left is sound.
func TestDocumentOfStrangers(t *testing.T) {
	h := bareHouse(t, nil)
	for _, role := range []access.Role{access.Plugin, "nobody"} {
		ctx := access.WithActor(t.Context(), access.Actor{ID: "someone", Role: role})
		raw, err := json.Marshal(h.document(ctx))
		if err != nil {
			t.Fatal(err)
		}
		d, err := lint(t, raw)
		if err != nil {
			t.Fatalf("%s: %v", role, err)
		}
		if text := string(raw); strings.Contains(text, "external_id") || strings.Contains(text, "/conversations") || d.Paths.Len() < 4 {
			t.Errorf("%s reads of %v", role, d.Paths.InMatchingOrder())
		}
	}
}

// checkLinter breaks a document: a linter that finds nothing would prove nothing.
func checkLinter(t *testing.T, body string) {
	t.Helper()
	for what, change := range map[string][2]string{
		"reference to nothing":    {`"#/components/schemas/contact"`, `"#/components/schemas/nobody"`},
		"type that is none":       {`"type":["number","null"]`, `"type":["decimal","null"]`},
		"parameter of no place":   {`"in":"query"`, `"in":"elsewhere"`},
		"path without parameter":  {`"/api/v1/records/every/{id}"`, `"/api/v1/records/every/{uid}"`},
		"no title":                {`"title":"Karov"`, `"heading":"Karov"`},
		"pattern that is none":    {`^[A-Z]{3}$`, `^[A-Z{3}$(`},
		"answer without its text": {`"description":"OpenAPI 3.1."`, `"summary":"OpenAPI 3.1."`},
	} {
		broken := strings.Replace(body, change[0], change[1], 1)
		if broken == body {
			t.Errorf("%s: there is no %s to break", what, change[0])
		} else if _, err := lint(t, []byte(broken)); err == nil {
			t.Errorf("the linter does not find: %s", what)
		}
	}
}

// lawyer holds answers against the document.
type lawyer struct {
	h      *house
	router routers.Router
	seen   map[string]bool // operations that answered
}

func newLawyer(t *testing.T, h *house) *lawyer {
	t.Helper()
	a := h.check(t, request{as: "owner", method: "GET", path: Prefix + "/openapi.json", status: 200})
	d, err := lint(t, []byte(a.body))
	if err != nil {
		t.Fatal(err)
	}
	return &lawyer{h, must(legacy.NewRouter(d))(t), map[string]bool{}}
}

// check asks and holds what was asked and what was answered against the document. A request that is refused need not fit.
func (l *lawyer) check(t *testing.T, q request) answer {
	t.Helper()
	a := l.h.check(t, q)
	r := must(http.NewRequestWithContext(t.Context(), q.method, l.h.fill(q.path), strings.NewReader(l.h.fill(q.body))))(t)
	if q.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for line := range strings.Lines(q.headers) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		r.Header.Set(name, value)
	}
	route, params, err := l.router.FindRoute(r)
	if err != nil {
		t.Errorf("%s %s is not in the document: %v", q.method, q.path, err)
		return a
	}
	l.seen[route.Operation.OperationID] = true
	options := &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, MultiError: true}
	asked := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: options}
	if err := openapi3filter.ValidateRequest(t.Context(), asked); err != nil && a.status < 300 {
		t.Errorf("%s %s was taken, and does not fit the document: %v", q.method, q.path, err)
	}
	answered := &openapi3filter.ResponseValidationInput{RequestValidationInput: asked, Status: a.status, Header: a.header,
		Body: io.NopCloser(strings.NewReader(a.body)), Options: options}
	if err := openapi3filter.ValidateResponse(t.Context(), answered); err != nil {
		t.Errorf("%s %s answers %.600s, which does not fit the document: %v", q.method, q.path, a.body, err)
	}
	return a
}

// TestAnswersMeetTheDocument: what is answered is what the document promises, by a validator that is not ours: every
// value of every type, empty and full, and each kind of refusal.
func TestAnswersMeetTheDocument(t *testing.T) {
	h := newHouse(t)
	h.check(t, request{as: "owner", method: "POST", path: Prefix + "/schema/changes", body: `{"version":1,"ops":` + everyType + `}`, status: 200})
	l := newLawyer(t, h)
	post := func(path, body string, status int) answer {
		t.Helper()
		return l.check(t, request{as: "owner", method: "POST", path: Prefix + path, body: body, status: status})
	}
	for _, path := range []string{"/records/contact", "/records/contact/{Alpha}", "/records/contact/{Alpha}/timeline", "/records/conversation", "/records/message",
		"/conversations", "/conversations/{Alpha.talk}/messages", "/search?q=al", "/schema", "/schema/versions", "/records/bare", "/records/file", "/openapi.json"} {
		l.check(t, request{as: "owner", method: "GET", path: Prefix + path, status: 200})
	}
	l.check(t, request{as: "owner", method: "GET", path: Prefix + "/records/contact/" + none, status: 404})
	l.check(t, request{as: "dana", method: "GET", path: Prefix + "/schema/versions", status: 403})
	post("/records/bare", `{}`, 201)
	post("/records/file", `{"amount":{"amount":"5.00","currency":"EUR"}}`, 201)
	post("/records/every", `{}`, 422)
	small := post("/records/every", `{"a_text":"small"}`, 201)
	full := post("/records/every", `{"a_text":"full","a_long_text":"x","a_number":-1.5,"a_money":{"amount":"-12.30","currency":"USD"},"a_yes":true,"a_choice":"כחול",
		"choices":["a","b"],"a_time":"2026-11-22T10:00:00Z","a_date":"2024-02-29","a_yearly":"--02-29","a_phone":["050-1234567"],"an_email":"a@b.example",
		"a_url":"https://a.example/b","a_link":"{Alpha}","a_staff":"{dana}","schema":"s","type":"t"}`, 201)
	for name, a := range map[string]answer{"small": small, "full": full} {
		var made struct{ ID string }
		if err := json.Unmarshal([]byte(a.body), &made); err != nil {
			t.Fatal(err)
		}
		h.ids[name] = made.ID
		l.check(t, request{as: "owner", method: "GET", path: Prefix + "/records/every/{" + name + "}", status: 200})
	}
	l.check(t, request{as: "owner", method: "PATCH", path: Prefix + "/records/every/{full}", body: `{"links":["{small}","{full}"],"a_choice":null,"a_money":null}`, headers: `If-Match: "1"`, status: 200})
	l.check(t, request{as: "owner", method: "GET", path: Prefix + "/records/every?sort=-a_number&limit=1", status: 200})
	l.check(t, request{as: "owner", method: "PATCH", path: Prefix + "/records/every/{full}", body: `{"a_number":1}`, headers: `If-Match: "1"`, status: 412})
	l.check(t, request{as: "owner", method: "DELETE", path: Prefix + "/records/every/{small}", headers: `If-Match: "1"`, status: 204})
	post("/schema/changes", `{"version":2,"preview":true,"ops":`+carOps+`}`, 200)
	post("/schema/changes", `{"version":2,"ops":`+carOps+`}`, 200)
	post("/schema/changes", `{"version":2,"ops":`+carOps+`}`, 409)
	post("/schema/revert", `{"version":3,"to":2}`, 200)
	l.check(t, request{as: "owner", method: "GET", path: Prefix + "/schema/versions", status: 200})
	if len(l.seen) < 18 {
		t.Errorf("only these calls were held against the document: %v", l.seen)
	}
}
