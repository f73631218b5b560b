package api

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// readDocument asks for the document as a program does.
func readDocument(t *testing.T, h *house) map[string]any {
	t.Helper()
	a := h.check(t, request{as: "viewer", method: "GET", path: Prefix + "/openapi.json", status: 200})
	var d map[string]any
	if err := json.Unmarshal([]byte(a.body), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// at follows names into a document; nil where there is nothing.
func at(v any, names ...string) any {
	for _, name := range names {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

// TestDocumentIsSound checks what OpenAPI 3.1 demands of a document, and that it and the router know the same calls.
func TestDocumentIsSound(t *testing.T) {
	h := bareHouse(t, nil)
	d := readDocument(t, h)
	if at(d, "openapi") != "3.1.0" || at(d, "info", "title") == nil || at(d, "info", "version") != "1.2.3" {
		t.Errorf("head is %v %v", d["openapi"], d["info"])
	}
	walk(d, func(path string, m map[string]any) {
		if target, ok := m["$ref"].(string); ok {
			rest, local := strings.CutPrefix(target, "#/")
			if !local || at(d, strings.Split(rest, "/")...) == nil {
				t.Errorf("%s leads nowhere: %s", path, target)
			}
		}
		if required, ok := m["required"].([]any); ok {
			for _, name := range required {
				if at(m, "properties", fmt.Sprint(name)) == nil {
					t.Errorf("%s requires %v, which it does not describe", path, name)
				}
			}
		}
		if !strings.HasSuffix(path, "/properties") { // there "type" is a property's name
			names, _ := m["type"].([]any)
			if name, one := m["type"].(string); one {
				names = []any{name}
			}
			for _, name := range names {
				if !slices.Contains([]string{"string", "number", "integer", "boolean", "array", "object", "null", "http"}, fmt.Sprint(name)) {
					t.Errorf("%s has the type %v", path, name)
				}
			}
		}
	})
	names, calls := map[string]bool{}, map[string]bool{}
	for path, item := range at(d, "paths").(map[string]any) {
		for method, op := range item.(map[string]any) {
			calls[strings.ToUpper(method)+" "+path] = true
			checkOperation(t, method+" "+path, op.(map[string]any), names)
		}
	}
	checkCalls(t, h, calls)
}

func checkOperation(t *testing.T, name string, op map[string]any, names map[string]bool) {
	t.Helper()
	id, _ := op["operationId"].(string)
	if id == "" || names[id] || op["summary"] == "" {
		t.Errorf("%s: operationId %q is missing or stands twice, summary %q", name, id, op["summary"])
	}
	names[id] = true
	declared := map[string]bool{}
	parameters, _ := op["parameters"].([]any)
	for _, p := range parameters {
		key := fmt.Sprint(at(p, "in"), " ", at(p, "name"))
		if declared[key] || at(p, "schema") == nil || at(p, "in") == "path" && at(p, "required") != true {
			t.Errorf("%s: parameter %s is not whole or stands twice", name, key)
		}
		declared[key] = true
	}
	for _, blank := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(name, -1) {
		if !declared["path "+blank[1]] {
			t.Errorf("%s: %s is not declared", name, blank[1])
		}
	}
	responses, _ := op["responses"].(map[string]any)
	good := 0
	for status, response := range responses {
		if at(response, "description") == nil && at(response, "$ref") == nil {
			t.Errorf("%s: response %s has no description", name, status)
		}
		if strings.HasPrefix(status, "2") {
			good++
		}
	}
	if good == 0 || responses["default"] == nil {
		t.Errorf("%s: responses are %v", name, responses)
	}
}

// checkCalls compares the document's calls with the router's.
func checkCalls(t *testing.T, h *house, calls map[string]bool) {
	t.Helper()
	for _, r := range h.echo.Routes() {
		if r.Method == "HEAD" {
			continue
		}
		for _, e := range h.Book.Schema().Entities() {
			call := r.Method + " " + regexp.MustCompile(`:(\w+)`).ReplaceAllString(strings.Replace(r.Path, ":entity", e.Name, 1), "{$1}")
			if calls[call] {
				calls[call] = false
			} else if _, known := calls[call]; !known {
				t.Errorf("%s is not in the document", call)
			}
		}
	}
	for call, open := range calls {
		if open {
			t.Errorf("%s is in the document only", call)
		}
	}
}

func walk(v any, visit func(string, map[string]any)) { walkAt("#", v, visit) }

func walkAt(path string, v any, visit func(string, map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		visit(path, v)
		for name, below := range v {
			walkAt(path+"/"+name, below, visit)
		}
	case []any:
		for i, below := range v {
			walkAt(fmt.Sprint(path, "/", i), below, visit)
		}
	}
}

// TestAnswersFitTheDocument: what is shown has the names and types that the document promises.
func TestAnswersFitTheDocument(t *testing.T) {
	h := newHouse(t)
	d := readDocument(t, h)
	for _, e := range h.Book.Schema().Entities() {
		a := h.check(t, request{as: "owner", method: "GET", path: Prefix + "/records/" + e.Name, status: 200})
		var p struct{ Items []map[string]any }
		if err := json.Unmarshal([]byte(a.body), &p); err != nil {
			t.Fatalf("%s: %v", e.Name, err)
		}
		if len(p.Items) == 0 {
			if slices.Contains([]string{"contact", "conversation", "message"}, e.Name) {
				t.Fatalf("%s: no items", e.Name)
			}
			continue
		}
		properties := at(d, "components", "schemas", e.Name, "properties").(map[string]any)
		for name, value := range p.Items[0] {
			described, ok := properties[name]
			if !ok {
				t.Errorf("%s.%s is not described", e.Name, name)
			}
			if allowed := at(described, "type"); allowed != nil && !strings.Contains(fmt.Sprint(allowed), typeOf(value)) {
				t.Errorf("%s.%s is %v, described as %v", e.Name, name, value, allowed)
			}
		}
		for name := range properties {
			if _, ok := p.Items[0][name]; !ok {
				t.Errorf("%s.%s is described and not shown", e.Name, name)
			}
		}
	}
	for name, closed := range map[string]bool{"subject": false, "state": true, "contact": true} {
		written := at(d, "components", "schemas", "conversation.new", "properties", name) != nil
		if written == closed {
			t.Errorf("conversation.%s may be written: %v", name, written)
		}
	}
}

func typeOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return "string"
	case bool:
		return "boolean"
	case float64:
		if v == float64(int64(v)) {
			return "" // an integer is a number too
		}
		return "number"
	case []any:
		return "array"
	}
	return "object"
}

// FuzzBody: a body is read as an object whose names stand once, or refused in words.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{`{"name":"x"}`, `{}`, `null`, `[]`, ``, `{"a":1,"a":2}`, `{"a":{"b":{"c":[[[[[[1]]]]]]}}}`, `{"a":1e999}`,
		"{\"a\":\"\xff\"}", `{"a":"\ud800"}`, `{"a":1}x`, "\ufeff{}", `{"a":1,}`, strings.Repeat("[", 200), strings.Repeat(`{"a":`, 200)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		values, err := parseObject(raw)
		if err != nil {
			checkFault(t, err)
			return
		}
		if !json.Valid(raw) || values == nil {
			t.Fatalf("%q was read as %v", raw, values)
		}
		written, err := json.Marshal(values)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := parseObject(written); err != nil || len(again) != len(values) {
			t.Fatalf("%q becomes %q, which reads as %v, %v", raw, written, again, err)
		}
	})
}

// checkFault: an error of a parser is the caller's mistake and has a sentence.
func checkFault(t *testing.T, err error) {
	t.Helper()
	f := asFault(t.Context(), err)
	if status := statusOf(f, "POST"); status < 400 || status > 499 {
		t.Fatalf("%v is a %d", err, status)
	}
	for _, field := range f.Fields {
		if !readTexts().has(field.Key) {
			t.Fatalf("%s has no sentence", field.Key)
		}
	}
}

// FuzzTag: If-Match gives a version or is refused.
func FuzzTag(f *testing.F) {
	for _, seed := range []string{`"1"`, `W/"1"`, `*`, ``, `"1", "2"`, `"18446744073709551616"`, `"-1"`, `"1`, `""`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, tag string) {
		version, err := versionOf([]string{tag})
		if err != nil {
			checkFault(t, err)
		} else if version == 0 || tag != fmt.Sprintf("%q", fmt.Sprint(version)) {
			t.Fatalf("%q is version %d", tag, version)
		}
	})
}
