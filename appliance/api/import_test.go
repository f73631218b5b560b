package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"
)

// send imports a file as somebody.
func (h *house) send(t *testing.T, as, path, media, body, headers string) answer {
	t.Helper()
	return h.ask(t, request{as: as, method: "POST", path: Prefix + "/import/" + path, body: body, headers: "Content-Type: " + media + "\n" + headers})
}

// clean looks that nothing of a file stays on the disk.
func (h *house) clean(t *testing.T) {
	t.Helper()
	left, err := os.ReadDir(h.Spool)
	if err != nil || len(left) > 0 {
		t.Errorf("%d files stay on the disk: %v", len(left), err)
	}
}

const people = "Name,Mobile,E-mail,Shoe\r\nDana Levi,050-1234567,dana@levi.example,41\r\nNobody,12,x,42\r\nAvi Cohen,052-7654999,,43\r\n"

// TestImportOfCustomers: rows become customers, what is wrong is told with line and field, and the same file twice
// changes nothing.
func TestImportOfCustomers(t *testing.T) {
	h := newHouse(t)
	l := newLawyer(t, h)
	post := request{as: "manager", method: "POST", path: Prefix + "/import/contact?name=people.csv", body: people, headers: "Content-Type: text/csv", status: 200}
	post.path += "&dry_run=true"
	post.want = `"name":"people.csv","dry_run":true & "ended":true,"failure":null,"rows":3,"rejected":1,"created":0 & {"header":"Shoe","field":null} & {"header":"Mobile","field":"phone"} & ` +
		`{"line":3,"errors":[{"field":"phone","key":"transfer.phone","detail":"Mobile: 12 is not a phone number."} & "encoding":"utf-8","separator":","`
	l.check(t, post)
	h.check(t, request{as: "owner", method: "GET", path: Prefix + "/records/contact", status: 200, want: `"total":6`})
	post.path, post.want = Prefix+"/import/contact", `"dry_run":false & "rows":3,"rejected":1,"created":2,"updated":0,"unchanged":0`
	l.made(t, "made", post)
	post.want = `"created":0,"updated":0,"unchanged":2`
	l.check(t, post)
	post.path, post.want = Prefix+`/import/contact?map={%22Shoe%22:%22note%22,%22Mobile%22:%22-%22}`, `{"header":"Shoe","field":"note"} & {"header":"Mobile","field":"-"}`
	l.check(t, post)
	for _, q := range []request{
		{as: "manager", path: "/imports/{made}", status: 200, want: `"id":"{made}","entity":"contact","name":"file" & "created":2 & transfer.phone`},
		{as: "manager", path: "/imports", status: 200, want: `"id":"{made}" & "dry_run":true`, never: []string{"transfer.phone"}},
		{as: "owner", path: "/imports", status: 200, want: `{"items":[],"next":null}`},
		{as: "owner", path: "/imports/{made}", status: 404, want: "import.not-found"},
		{as: "manager", path: "/imports/" + none, status: 404},
		{as: "manager", path: "/imports/x", status: 404},
		{as: "owner", path: "/search?q=levi", status: 200, want: "Dana Levi"},
	} {
		q.method, q.path = "GET", Prefix+q.path
		l.check(t, q)
	}
	h.clean(t)
}

// TestImportOfRecords: other kinds of record come from CSV and JSON by their fields, as an export writes them.
func TestImportOfRecords(t *testing.T) {
	h := newHouse(t)
	h.check(t, request{as: "owner", method: "POST", path: Prefix + "/schema/changes", body: `{"version":1,"ops":` + carOps + `}`, status: 200})
	l := newLawyer(t, h)
	l.check(t, request{as: "owner", method: "POST", path: Prefix + "/import/car", body: "Plate;colour\n12-345;red\n12-346;green\n", headers: "Content-Type: text/csv", status: 200,
		want: `"created":1 & "rejected":1 & {"line":3,"errors":[{"field":"colour","key":"transfer.choice" & "separator":";"`})
	l.check(t, request{as: "owner", method: "POST", path: Prefix + "/import/car", body: "[{\"plate\":\"12-347\",\"colour\":\"blue\"},\n{\"plate\":\"12-348\",\"wheels\":4}]", status: 200,
		want: `"created":1,"updated":0,"unchanged":0 & {"line":2,"errors":[{"field":"wheels","key":"field.unknown"`})
	h.check(t, request{as: "owner", method: "GET", path: Prefix + "/records/car?sort=plate", status: 200, want: `"total":2 & 12-345 & 12-347`})
	out := h.check(t, request{as: "owner", method: "GET", path: Prefix + "/export/car?format=csv", status: 200})
	a := h.send(t, "owner", "car", "text/csv", out.body, "")
	if a.status != 200 || !strings.Contains(a.body, `"unchanged":2`) {
		t.Errorf("an export that comes back: %d %s", a.status, a.body)
	}
	h.clean(t)
}

// TestImportOfAWorkbook: the first sheet of a workbook is brought in, by its rows, and our own workbooks come back.
func TestImportOfAWorkbook(t *testing.T) {
	h := newHouse(t)
	book := excelize.NewFile()
	for cell, value := range map[string]any{"A1": "שם", "B1": "טלפון", "C1": "הערה", "A2": "דנה", "B2": 501234567.0, "C2": "one\ntwo", "A3": "אבי", "B3": 12} {
		if err := book.SetCellValue("Sheet1", cell, value); err != nil {
			t.Fatal(err)
		}
	}
	var raw bytes.Buffer
	if err := book.Write(&raw); err != nil {
		t.Fatal(err)
	}
	a := h.send(t, "manager", "contact", xlsxType, raw.String(), "")
	if a.status != 200 || !strings.Contains(a.body, `"rows":2,"rejected":1,"created":1`) || !strings.Contains(a.body, `{"line":3,"errors":[{"field":"phone"`) {
		t.Errorf("a workbook: %d %s", a.status, a.body)
	}
	out := h.check(t, request{as: "manager", method: "GET", path: Prefix + "/export/tag?format=xlsx", status: 200})
	h.check(t, request{as: "owner", method: "POST", path: Prefix + "/records/tag", body: `{"name":"gold"}`, status: 201})
	if a := h.send(t, "manager", "tag", xlsxType, out.body, ""); a.status != 200 || !strings.Contains(a.body, `"rows":0`) {
		t.Errorf("a workbook without rows: %d %s", a.status, a.body)
	}
	out = h.check(t, request{as: "manager", method: "GET", path: Prefix + "/export/tag?format=xlsx", status: 200})
	if a := h.send(t, "manager", "tag", xlsxType, out.body, ""); a.status != 200 || !strings.Contains(a.body, `"unchanged":1`) {
		t.Errorf("our own workbook: %d %s", a.status, a.body)
	}
	if a := h.send(t, "manager", "contact", xlsxType, "PK\x03\x04 nothing", ""); a.status != 400 || !strings.Contains(a.body, "transfer.workbook-broken") {
		t.Errorf("a broken workbook: %d %s", a.status, a.body)
	}
	h.clean(t)
}

// formOf writes a form of parts and gives its media type.
func formOf(t *testing.T, parts ...[2]string) (media, body string) {
	t.Helper()
	var raw bytes.Buffer
	w := multipart.NewWriter(&raw)
	for _, part := range parts {
		var err error
		if name, file, ok := strings.Cut(part[0], "="); ok {
			out, made := w.CreateFormFile(name, file)
			if err = made; err == nil {
				_, err = out.Write([]byte(part[1]))
			}
		} else {
			err = w.WriteField(name, part[1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), raw.String()
}

// TestImportForms: a browser's form brings a file as well, and says how it is to be read.
func TestImportForms(t *testing.T) {
	h := newHouse(t)
	file := [2]string{"file=people.csv", people}
	for _, c := range []struct {
		parts  [][2]string
		path   string
		status int
		want   string
	}{
		{[][2]string{{"dry_run", "true"}, file}, "", 200, `"name":"people.csv","dry_run":true & "rows":3`},
		{[][2]string{file, {"name", "other.csv"}, {"dry_run", "true"}, {"map", `{"Shoe":"note"}`}, {"encoding", "utf-8"}}, "", 200, `"name":"other.csv" & "header":"Shoe","field":"note"`},
		{[][2]string{{"dry_run", "true"}}, "", 422, `"field":"file","key":"field.required"`},
		{[][2]string{file, file}, "", 422, `"field":"file","key":"field.repeated"`},
		{[][2]string{file, {"dry_run", "true"}}, "?dry_run=false", 422, `"field":"dry_run","key":"field.repeated"`},
		{[][2]string{file, {"dry", "true"}}, "", 422, `"field":"dry","key":"field.unknown"`},
		{[][2]string{file, {"dry_run", "maybe"}}, "", 422, `"field":"dry_run","key":"field.yes-no"`},
		{[][2]string{file, {"map", `{"Shoe":3}`}}, "", 422, `"field":"map","key":"field.text"`},
		{[][2]string{file, {"map", `[]`}}, "", 422, `"field":"map","key":"field.malformed"`},
		{[][2]string{file, {"map", `{"Shoe":"boots"}`}}, "", 400, "transfer.map-field"},
		{[][2]string{file, {"map", strings.Repeat("x", 5000)}}, "", 422, "field.too-long"},
		{[][2]string{file, {"encoding", "klingon"}}, "", 422, `"field":"encoding","key":"field.choice"`},
	} {
		media, body := formOf(t, c.parts...)
		a := h.send(t, "manager", "contact"+c.path, media, body, "")
		for want := range strings.SplitSeq(c.want, " & ") {
			if a.status != c.status || !strings.Contains(a.body, want) {
				t.Errorf("%.200v: status %d, want %d with %q: %.600s", c.parts, a.status, c.status, want, a.body)
			}
		}
	}
	media, body := formOf(t, file)
	if a := h.send(t, "manager", "contact", media, body[:len(body)/2], ""); a.status != 400 || !strings.Contains(a.body, "body.broken") {
		t.Errorf("half a form: %d %s", a.status, a.body)
	}
	if a := h.send(t, "manager", "contact", "multipart/form-data", body, ""); a.status != 400 {
		t.Errorf("a form of no boundary: %d %s", a.status, a.body)
	}
	h.check(t, request{as: "owner", method: "GET", path: Prefix + "/records/contact", status: 200, want: `"total":6`})
	h.clean(t)
}

// TestImportIsNotForEverybody: without the permission nothing is read, not in a rehearsal either; and a rehearsal tells
// nothing of the office's customers, nor of fields that are hidden.
func TestImportIsNotForEverybody(t *testing.T) {
	h := newHouse(t)
	const alpha = "Name,E-mail,Phone\nAlpha Common,alpha@customer.example,052-7654320\nOther,other@customer.example,\n"
	for who, status := range map[string]int{"": 401, "dana": 403, "yossi": 403, "viewer": 403} {
		for _, query := range []string{"", "?dry_run=true"} {
			for _, entity := range []string{"contact", "deal", "tag"} {
				a := h.send(t, who, entity+query, "text/csv", alpha, "")
				if a.status != status || strings.Contains(a.body, "Alpha") {
					t.Errorf("%q imports %s%s: %d %s", who, entity, query, a.status, a.body)
				}
			}
		}
	}
	known := h.send(t, "manager", "contact?dry_run=true", "text/csv", alpha, "")
	other := h.send(t, "manager", "contact?dry_run=true", "text/csv", strings.NewReplacer("Alpha Common", "Alfred Brown", "alpha@", "fresh@", "7654320", "7650000").Replace(alpha), "")
	cut := func(a answer) string {
		var shown map[string]any
		if err := json.Unmarshal([]byte(a.body), &shown); err != nil || a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		for _, own := range []string{"id", "at"} {
			delete(shown, own)
		}
		return fmt.Sprint(shown)
	}
	if k, o := cut(known), cut(other); k != o {
		t.Errorf("a rehearsal tells who is known:\n%s\n%s", k, o)
	}
	h.check(t, request{as: "owner", method: "PUT", path: Prefix + "/roles/desk", headers: `If-Match: "0"`, status: 200,
		body: `{"base":"manager","fields":[{"entity":"deal","field":"lost_reason","right":"hide"}]}`})
	h.check(t, request{as: "owner", method: "PUT", path: Prefix + "/accounts/{dana}/role", body: `{"role":"desk"}`, status: 200})
	a := h.send(t, "dana", "deal?dry_run=true&map={%22x%22:%22y%22}", "text/csv", "title,lost_reason\na,b\n", "")
	if a.status != 400 || strings.Contains(a.body, "lost_reason") || !strings.Contains(a.body, "expected_close") {
		t.Errorf("the fields are told: %d %s", a.status, a.body)
	}
	h.clean(t)
}

// TestImportRefusals: what is no file, or none of ours, is refused in words.
func TestImportRefusals(t *testing.T) {
	h := bareHouse(t, func(p *Parts) { p.Limits.Import = 2000 })
	for _, c := range []struct {
		path, media, body, headers string
		status                     int
		want                       string
	}{
		{"contact", "text/csv", "", "", 400, "transfer.empty"},
		{"contact", "text/csv", "Boots,Hats\n1,2\n", "", 400, "transfer.no-known-column"},
		{"contact", "application/json", `[{"name":"x"}]`, "", 400, "transfer."},
		{"contact", "text/csv", "%PDF-1.7 ...", "", 400, "transfer.is-document"},
		{"contact", "text/csv", "\xD0\xCF\x11\xE0 old", "", 400, "transfer.is-workbook"},
		{"contact", "image/png", people, "", 415, "body.media-type"},
		{"contact", "text/csv", people, "Content-Encoding: gzip", 415, "body.encoding"},
		{"contact", "text/csv", people, "Idempotency-Key: \u05d0", 422, "idempotency.malformed"},
		{"contact", "text/csv", strings.Repeat(people, 30), "", 413, "body.too-large"},
		{"contact?mapping=x", "text/csv", people, "", 422, "query.unknown"},
		{"contact?dry_run=1", "text/csv", people, "", 422, "field.yes-no"},
		{"nothing", "text/csv", people, "", 404, "entity.not-found"},
		{"deal", "application/json", `[{"title":"x"},`, "", 400, "transfer.json"},
	} {
		a := h.send(t, "owner", c.path, c.media, c.body, c.headers)
		if a.status != c.status || !strings.Contains(a.body, c.want) {
			t.Errorf("%s %s %.30q: status %d, want %d with %s: %.500s", c.path, c.media, c.body, a.status, c.status, c.want, a.body)
		}
	}
	h.clean(t)
	if log := h.log.String(); strings.Contains(log, "level=ERROR") {
		t.Errorf("a caller's mistake was logged as ours: %.500s", log)
	}
}

// TestImportOnce: the same key is the same import, and another file under it is refused.
func TestImportOnce(t *testing.T) {
	h := bareHouse(t, nil)
	first := h.send(t, "manager", "contact", "text/csv", people, "Idempotency-Key: i")
	again := h.send(t, "manager", "contact", "text/csv", people, "Idempotency-Key: i")
	if first.status != 200 || again.body != first.body || first.header.Get("Location") == "" || again.header.Get("Location") != first.header.Get("Location") {
		t.Errorf("asked twice: %d %s\n%s", first.status, first.body, again.body)
	}
	if a := h.send(t, "manager", "contact", "text/csv", people+"More,,more@x.example,1\n", "Idempotency-Key: i"); a.status != 422 || !strings.Contains(a.body, "idempotency.reused") {
		t.Errorf("another file: %d %s", a.status, a.body)
	}
	broken := h.send(t, "manager", "contact", "text/csv", "Hats\n1\n", "Idempotency-Key: j")
	twice := h.send(t, "manager", "contact", "text/csv", "Hats\n1\n", "Idempotency-Key: j")
	if broken.status != 400 || twice.status != 400 {
		t.Errorf("what failed is tried again: %d %d", broken.status, twice.status)
	}
	h.clean(t)
}

// TestImportProgress: the stream tells how far an import is until it ended, to who began it.
func TestImportProgress(t *testing.T) {
	h := bareHouse(t, nil)
	var file strings.Builder
	file.WriteString("Name,E-mail\n")
	for i := range 20_000 {
		fmt.Fprintf(&file, "Customer %d,customer%d@x.example\n", i, i)
	}
	var done sync.WaitGroup
	done.Go(func() {
		if a := h.send(t, "manager", "contact", "text/csv", file.String(), ""); a.status != 200 && a.status != 202 {
			t.Errorf("the import: %d %s", a.status, a.body)
		}
	})
	var id string
	for until := time.Now().Add(time.Minute); id == "" && time.Now().Before(until); time.Sleep(time.Millisecond) {
		for _, one := range h.imports.of(h.ids["manager"]) {
			id = one.id.String()
		}
	}
	r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, h.server.URL+Prefix+"/imports/"+id+"/progress", nil))(t)
	r.Header.Set("Authorization", "Bearer "+h.tokens["manager"])
	response := must(http.DefaultClient.Do(r))(t)
	defer func() { _ = response.Body.Close() }()
	events, last := 0, ""
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	rows := -1
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			events, last = events+1, name
		}
		if raw, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			var shown struct{ Rows int }
			if err := json.Unmarshal([]byte(raw), &shown); err != nil || shown.Rows < rows {
				t.Errorf("%d rows after %d: %v", shown.Rows, rows, err)
			}
			rows = shown.Rows
		}
	}
	if err := lines.Err(); err != nil || response.StatusCode != 200 || events == 0 || last != "ended" || rows != 20_000 {
		t.Errorf("status %d, %d events, the last %q with %d rows, %v", response.StatusCode, events, last, rows, err)
	}
	done.Wait()
	h.check(t, request{as: "owner", method: "GET", path: Prefix + "/imports/" + id + "/progress", status: 404})
	h.check(t, request{as: "manager", method: "GET", path: Prefix + "/imports/" + id + "/progress", status: 200, want: "event: ended"})
	h.check(t, request{as: "owner", method: "GET", path: Prefix + "/records/contact?count=exact&limit=1", status: 200, want: `"total":20000`})
	h.clean(t)
}

// TestImportsAtOnce: so many run at once and no more, and those that ended give their place free.
func TestImportsAtOnce(t *testing.T) {
	h := bareHouse(t, nil)
	first := must(h.imports.take())(t)
	second := must(h.imports.take())(t)
	if a := h.send(t, "manager", "contact", "text/csv", people, ""); a.status != 429 || a.header.Get("Retry-After") != "10" || !strings.Contains(a.body, "import.busy") {
		t.Errorf("a third import: %d %s", a.status, a.body)
	}
	first()
	first() // giving it free twice gives one place
	if a := h.send(t, "manager", "contact", "text/csv", people, ""); a.status != 200 {
		t.Errorf("with one place: %d %s", a.status, a.body)
	}
	second()
	for i := range keptImports + 20 {
		if a := h.send(t, "manager", "contact?dry_run=true", "text/csv", people, ""); a.status != 200 {
			t.Fatalf("import %d: %d %s", i, a.status, a.body)
		}
	}
	if n := len(h.imports.of(h.ids["manager"])); n != keptImports+maxImports {
		t.Errorf("%d imports are remembered", n)
	}
}

// TestImportGoesDown: an import ends between two batches when the appliance goes down, says so, and can be done again.
func TestImportGoesDown(t *testing.T) {
	down := make(chan struct{})
	h := bareHouse(t, func(p *Parts) { p.Down = down })
	close(down)
	var file strings.Builder
	file.WriteString("Name,E-mail\n")
	for i := range 50_000 {
		fmt.Fprintf(&file, "Customer %d,customer%d@x.example\n", i, i)
	}
	a := h.send(t, "manager", "contact", "text/csv", file.String(), "")
	if a.status != 503 && !strings.Contains(a.body, `"key":"store.closed"`) {
		t.Errorf("status %d %s", a.status, a.body)
	}
	h.clean(t)
}
