package api

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

// machine is a kind of record with a field of each type that a file can go wrong with.
func machine() schema.Entity {
	return schema.Entity{Name: "lead_note", Title: "name", Owner: "owner", Contact: "customer", Fields: []schema.Field{
		{Number: 16, Name: "name", Type: schema.Text, Indexed: true},
		{Number: 17, Name: "owner", Type: schema.Staff, Indexed: true},
		{Number: 18, Name: "customer", Type: schema.Link, Target: "contact", Indexed: true},
		{Number: 19, Name: "papers", Type: schema.File, Many: true},
		{Number: 20, Name: "photo", Type: schema.Picture},
		{Number: 21, Name: "price", Type: schema.Money, Currency: "ILS"},
		{Number: 22, Name: "secret", Type: schema.Text, Sensitive: true},
		{Number: 23, Name: "count", Type: schema.Number},
		{Number: 24, Name: "words", Type: schema.Text, Many: true},
	}}
}

const png = "\x89PNG\x0D\x0A\x1A\x0Arest of a picture"

// withMachines is a house whose roles have rights on machines: the built-in policy knows only the built-in entities, so
// the owner has all, and others none.
func withMachines(t *testing.T) *house { return bareHouse(t, nil, machine()) }

// TestFiles: a file goes into a record by who uploaded it, comes out to who may read the record, and a guessed name of a
// blob opens nothing.
func TestFiles(t *testing.T) {
	h := withMachines(t)
	upload := func(q request) answer {
		t.Helper()
		q.as, q.method = "owner", "POST"
		return h.check(t, q)
	}
	for _, q := range []request{
		{path: "/blobs", status: 422, want: `"field":"name","key":"field.required"`},
		{path: "/blobs?name=" + url.QueryEscape("../../etc/passwd"), body: "x", headers: "Content-Type: text/plain", status: 422, want: "attachment.name"},
		{path: "/blobs?name=x", body: "x", headers: "Content-Type: nonsense", status: 422, want: "attachment.type"},
		{path: "/blobs?name=x.png", body: "<html>", headers: "Content-Type: image/png", status: 422, want: "field.picture"},
		{path: "/blobs?name=x.txt", body: "x", headers: "Content-Type: text/plain\nContent-Encoding: gzip", status: 415, want: "body.encoding"},
		{path: "/blobs?name=x.txt&size=3", body: "x", status: 422, want: "query.unknown"},
	} {
		q.path = Prefix + q.path
		upload(q)
	}
	paper := upload(request{path: Prefix + "/blobs?name=" + url.QueryEscape("חוזה \"1\".html"), body: "<script>alert(1)</script>",
		headers: "Content-Type: text/html", status: 201, want: `"size":25 & "type":"text/html"`}).body
	photo := upload(request{path: Prefix + "/blobs?name=me.png", body: png, headers: "Content-Type: image/png", status: 201}).body
	made := h.check(t, request{as: "owner", method: "POST", path: Prefix + "/records/lead_note", status: 201,
		body: `{"name":"One","papers":[` + paper + `],"photo":` + photo + `,"price":"12.30"}`, want: `"photo":{"blob":" & "price":{"amount":"12.30","currency":"ILS"}`})
	at := made.header.Get("Location")
	file := h.check(t, request{as: "owner", method: "GET", path: at + "/files/papers/0", status: 200, want: "<script>"})
	if d := file.header.Get("Content-Disposition"); !strings.HasPrefix(d, "attachment; filename*=utf-8''") || file.header.Get("Content-Type") != "text/html" ||
		!strings.Contains(file.header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("headers of a file: %v", file.header)
	}
	if got := h.check(t, request{as: "owner", method: "GET", path: at + "/files/photo/0", status: 200}); got.body != png {
		t.Errorf("the picture came back as %q", got.body)
	}
	for _, q := range []request{
		{as: "owner", method: "HEAD", path: at + "/files/photo/0", status: 200},
		{as: "owner", method: "GET", path: at + "/files/papers/1", status: 404},
		{as: "owner", method: "GET", path: at + "/files/papers/-1", status: 404},
		{as: "owner", method: "GET", path: at + "/files/papers/x", status: 404},
		{as: "owner", method: "GET", path: at + "/files/name/0", status: 404},
		{as: "owner", method: "GET", path: at + "/files/nothing/0", status: 404},
		{as: "manager", method: "GET", path: at + "/files/papers/0", status: 404},
		{as: "viewer", method: "POST", path: Prefix + "/blobs?name=x.txt", body: "x", headers: "Content-Type: text/plain", status: 403, want: "attachment.nowhere"},
		{as: "owner", method: "POST", path: Prefix + "/records/lead_note", status: 422, want: "attachment.not-yours",
			body: `{"name":"Guess","papers":[{"blob":"` + strings.Repeat("0a", 32) + `","name":"x","size":1,"type":"text/plain"}]}`},
		{as: "owner", method: "POST", path: Prefix + "/records/lead_note", status: 422, want: "attachment.not-yours",
			body: `{"name":"Lies","photo":` + strings.Replace(photo, `"size":25`, `"size":7`, 1) + `}`},
		{as: "owner", method: "POST", path: Prefix + "/records/lead_note", status: 422, want: "field.picture", body: `{"name":"Lies","photo":` + paper + `}`},
		{as: "owner", method: "POST", path: Prefix + "/records/lead_note", status: 422, want: "attachment.malformed", body: `{"name":"Lies","photo":{"blob":"../x","name":"x","size":1,"type":"image/png"}}`},
	} {
		h.check(t, q)
	}
	// Who did not upload it may not name it, though he knows its name; the record that held it may hold it again.
	other := access.WithActor(t.Context(), access.Actor{ID: "somebody", Role: access.Owner})
	var value map[string]any
	if err := json.Unmarshal([]byte(paper), &value); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Book.Create(other, "lead_note", record.Values{"name": "Thief", "papers": []any{value}}); err == nil || fault.Of(err).Fields[0].Key != "attachment.not-yours" {
		t.Errorf("a stranger took a blob by its name: %v", err)
	}
	id := must(record.ParseID(at[strings.LastIndex(at, "/")+1:]))(t)
	if _, err := h.Book.Change(other, "lead_note", id, 1, record.Values{"papers": nil}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Book.Change(other, "lead_note", id, 2, record.Values{"papers": []any{value}}); err != nil {
		t.Errorf("the record's own file was refused: %v", err)
	}
	h.check(t, request{as: "owner", method: "DELETE", path: at, headers: `If-Match: "3"`, status: 204})
	h.check(t, request{as: "owner", method: "GET", path: at + "/files/papers/0", status: 404})
	h.check(t, request{as: "owner", method: "POST", path: at + "/restore", status: 200})
	h.check(t, request{as: "owner", method: "GET", path: at + "/files/papers/0", status: 200, want: "<script>"})
}

// TestLargeUpload ends at its limit, and leaves nothing.
func TestLargeUpload(t *testing.T) {
	h := bareHouse(t, func(p *Parts) { p.Limits.File = 1000 }, machine())
	h.check(t, request{as: "owner", method: "POST", path: Prefix + "/blobs?name=x", body: strings.Repeat("x", 1001), headers: "Content-Type: text/plain", status: 413, want: "body.too-large & 1000"})
	h.check(t, request{as: "owner", method: "POST", path: Prefix + "/blobs?name=x", body: strings.Repeat("x", 1000), headers: "Content-Type: text/plain", status: 201})
}

// TestExport takes records out in each format, within rights, without sensitive and hidden fields.
func TestExport(t *testing.T) {
	h := withMachines(t)
	ctx := appliance(t.Context())
	for i, name := range []string{`=HYPERLINK("http://evil")`, "+972501234567", "-1+1", "@x", "Dana \"the\" Cohen, Ltd\nsecond", "כהן", "\t=1"} {
		must(h.Book.Create(ctx, "lead_note", record.Values{"name": name, "secret": "hush", "price": "-12.30", "count": -1.5,
			"words": []string{"a", fmt.Sprint("b;", i)}, "owner": h.ids["dana"]}))(t)
	}
	at := Prefix + "/export/lead_note"
	a := h.check(t, request{as: "owner", method: "GET", path: at, status: 200, never: []string{"hush", "secret"}})
	rows, err := csv.NewReader(strings.NewReader(a.body)).ReadAll()
	if err != nil || len(rows) != 8 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	name := indexOf(rows[0], "name")
	for i, want := range []string{`'=HYPERLINK("http://evil")`, "'+972501234567", "'-1+1", "'@x", "Dana \"the\" Cohen, Ltd second", "כהן", "'=1"} {
		if got := rows[i+1][name]; got != want {
			t.Errorf("cell is %q, want %q", got, want)
		}
	}
	if row := rows[1]; row[indexOf(rows[0], "price")] != "'-12.30 ILS" || row[indexOf(rows[0], "count")] != "-1.5" || row[indexOf(rows[0], "words")] != `["a","b;0"]` {
		t.Errorf("row is %q", row)
	}
	if d := a.header.Get("Content-Disposition"); !strings.HasPrefix(d, "attachment; filename=lead_note-20") || !strings.HasSuffix(d, ".csv") {
		t.Errorf("Content-Disposition is %q", d)
	}
	for _, q := range []request{
		{as: "owner", path: "?bom=true&fields=name", want: "\ufeffname\r\n"},
		{as: "owner", path: "?fields=secret&sensitive=true&filter=" + url.QueryEscape(`name = "כהן"`), want: "secret\r\nhush\r\n"},
		{as: "owner", path: "?format=json&fields=id,name,words&filter=" + url.QueryEscape(`name = "כהן"`), want: `"name":"כהן","words":["a","b;5"]}`},
		{as: "owner", path: "?filter=" + url.QueryEscape(`name = "nobody"`) + "&format=json", want: "[\n]\n"},
	} {
		q.method, q.status, q.path = "GET", 200, at+q.path
		h.check(t, q)
	}
	book := h.check(t, request{as: "owner", method: "GET", path: at + "?format=xlsx", status: 200})
	checkWorkbook(t, book.body)
	for _, q := range []request{
		{as: "owner", path: at + "?fields=secret", status: 400, want: "export.sensitive"},
		{as: "owner", path: at + "?fields=nothing", status: 400, want: "list.unknown-field"},
		{as: "owner", path: at + "?format=vcf", status: 400, want: "csv, json, xlsx."},
		{as: "owner", path: at + "?filter=odd", status: 400, want: "filter."},
		{as: "owner", path: at + "?sensitive=maybe", status: 400, want: "field.yes-no"},
		{as: "owner", path: Prefix + "/export/nothing", status: 404},
		{as: "manager", path: at, status: 403, want: "export:lead_note"},
		{as: "dana", path: Prefix + "/export/contact", status: 403, want: "export:contact"},
		{as: "viewer", path: Prefix + "/export/contact", status: 403, want: "export:contact"},
		{as: "manager", path: Prefix + "/export/contact", status: 200, want: "id,created_at"},
	} {
		q.method = "GET"
		h.check(t, q)
	}
	must(h.Contacts.Create(ctx, record.Values{"name": "Dana; Cohen, Jr.", "phones": []string{"050-1234567"}, "city": "Haifa", "note": "two\nlines"}))(t)
	h.check(t, request{as: "owner", method: "GET", path: Prefix + "/export/contact?format=vcf", status: 200,
		want: "BEGIN:VCARD & FN:Dana; Cohen\\, Jr. & TEL:050-1234567 & NOTE:two\\nlines & ADR:;;;Haifa & END:VCARD"})
}

func indexOf(header []string, name string) int {
	for i, h := range header {
		if h == name {
			return i
		}
	}
	return -1
}

// checkWorkbook looks that a workbook is a zip whose sheet holds texts as texts and no formula.
func checkWorkbook(t *testing.T, body string) {
	t.Helper()
	z, err := zip.NewReader(strings.NewReader(body), int64(len(body)))
	if err != nil {
		t.Fatal(err)
	}
	f := must(z.Open("xl/worksheets/sheet1.xml"))(t)
	defer f.Close()
	raw := must(io.ReadAll(f))(t)
	for _, want := range []string{"=HYPERLINK", "כהן", "<v>-12.3</v>", "<v>-1.5</v>"} {
		if !bytes.Contains(raw, []byte(want)) {
			t.Errorf("no %q in the sheet %.2000s", want, raw)
		}
	}
	if bytes.Contains(raw, []byte("<f>")) || bytes.Contains(raw, []byte("hush")) {
		t.Error("a formula, or a sensitive field, stands in the sheet")
	}
}

// stream opens a stream of events and gives its lines.
func (h *house) stream(t *testing.T, as, query, last string) (lines chan string, status int, end context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	r := must(http.NewRequestWithContext(ctx, "GET", h.server.URL+Prefix+"/events"+query, nil))(t)
	r.Header.Set("Authorization", "Bearer "+h.tokens[as])
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	response := must(http.DefaultClient.Do(r))(t)
	lines = make(chan string, 1000)
	go func() {
		defer response.Body.Close()
		defer close(lines)
		var rest string
		for b := make([]byte, 4096); ; {
			n, err := response.Body.Read(b)
			rest += string(b[:n])
			for {
				line, more, ok := strings.Cut(rest, "\n")
				if !ok {
					break
				}
				lines <- line
				rest = more
			}
			if err != nil {
				if !errors.Is(err, io.EOF) && ctx.Err() == nil {
					lines <- "broken: " + err.Error()
				}
				return
			}
		}
	}()
	return lines, response.StatusCode, cancel
}

// await reads lines until one holds the text; it gives all that came, and whether it did before the stream ended.
func await(lines chan string, text string) (came []string, ok bool) {
	for line := range lines {
		if came = append(came, line); strings.Contains(line, text) {
			return came, true
		}
	}
	return came, false
}

// TestEvents: everybody hears of what he may see, and nothing else; a stream resumes, and ends with its token.
func TestEvents(t *testing.T) {
	h := newHouse(t)
	dana, status, endDana := h.stream(t, "dana", "", "")
	defer endDana()
	owner, _, endOwner := h.stream(t, "owner", "?after=0", "")
	defer endOwner()
	if status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	for _, q := range []request{
		{as: "manager", method: "PATCH", path: "/records/contact/{Gamma}", headers: `If-Match: "1"`, body: `{"city":"Haifa"}`, status: 200},
		{as: "manager", method: "PATCH", path: "/records/contact/{Alpha}", headers: `If-Match: "1"`, body: `{"city":"Haifa","name":"Alpha Two"}`, status: 200},
		{as: "manager", method: "GET", path: "/records/contact/{Alpha}", status: 200},
		{as: "manager", method: "DELETE", path: "/records/contact/{Beta}", headers: `If-Match: "1"`, status: 204},
	} {
		q.path = Prefix + q.path
		h.check(t, q)
	}
	came, ok := await(dana, `"name":"contact.deleted"`)
	all := strings.Join(came, "\n")
	if !ok || !strings.Contains(all, h.ids["Alpha"]) || !strings.Contains(all, `"fields":["name","city"]`) || !strings.Contains(all, h.ids["Beta"]) {
		t.Errorf("dana heard %s", all)
	}
	if strings.Contains(all, h.ids["Gamma"]) || strings.Contains(all, "Haifa") || strings.Contains(all, ".read") {
		t.Errorf("dana heard what is not hers: %s", all)
	}
	came, ok = await(owner, `"name":"contact.deleted"`)
	all = strings.Join(came, "\n")
	if !ok || !strings.Contains(all, h.ids["Gamma"]) || !strings.Contains(all, `"name":"token.created"`) || !strings.Contains(all, `"name":"message.received"`) {
		t.Errorf("the owner heard %.3000s", all)
	}
	last := ""
	for _, line := range came {
		if id, ok := strings.CutPrefix(line, "id: "); ok {
			last = id
		}
	}
	h.check(t, request{as: "manager", method: "PATCH", path: Prefix + "/records/contact/{Delta}", headers: `If-Match: "1"`, body: `{"city":"Eilat"}`, status: 200})
	again, _, endAgain := h.stream(t, "owner", "?after=0", last)
	defer endAgain()
	if came, ok = await(again, h.ids["Delta"]); !ok || len(came) > 6 {
		t.Errorf("resumed with %q", came)
	}
	h.check(t, request{as: "dana", method: "GET", path: Prefix + "/events?after=-1", status: 400, want: "events.after"})
	h.check(t, request{as: "dana", method: "HEAD", path: Prefix + "/events", status: 200})

	for _, token := range must(h.Staff.Tokens(appliance(t.Context())))(t) {
		if token.Name == "dana" {
			if err := h.Staff.RevokeToken(appliance(t.Context()), token.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.check(t, request{as: "manager", method: "PATCH", path: Prefix + "/records/contact/{Alpha}", headers: `If-Match: "2"`, body: `{"city":"Acre"}`, status: 200})
	if came, ok := await(dana, "event: over"); !ok || strings.Contains(strings.Join(came, ""), `"version"`) {
		t.Errorf("a stream outlived its token: %q", came)
	}
}

// TestEventsAreBounded: one account does not take all streams there are, and streams end with the appliance.
func TestEventsAreBounded(t *testing.T) {
	down := make(chan struct{})
	h := bareHouse(t, func(p *Parts) { p.Limits.Streams, p.Down = 2, down })
	var open []chan string
	for range 2 {
		lines, status, end := h.stream(t, "owner", "", "")
		defer end()
		if status != 200 {
			t.Fatal(status)
		}
		open = append(open, lines)
	}
	h.check(t, request{as: "owner", method: "GET", path: Prefix + "/events", status: 429, want: "streams.too-many"})
	close(down)
	for _, lines := range open {
		if _, ok := await(lines, "no such line"); ok {
			t.Error("the stream goes on")
		}
	}
}
