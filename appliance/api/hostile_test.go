package api

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/record"
)

// TestHostileFilters: whatever a filter is, the answer is a clear error or the right records, and soon.
func TestHostileFilters(t *testing.T) {
	h := newHouse(t)
	began := time.Now()
	list := func(filter string) string { return Prefix + "/records/contact?filter=" + url.QueryEscape(filter) }
	bulk := func(filter string) string {
		return `{"values":{"city":"x"},"filter":` + string(must(json.Marshal(filter))(t)) + `}`
	}
	for _, c := range []struct{ filter, want string }{
		{strings.Repeat("(", 10_000), "filter.deep"},
		{strings.Repeat("(", 10_000) + `name = "x"` + strings.Repeat(")", 10_000), "filter.deep"},
		{strings.Repeat("not ", 10_000) + `name = "x"`, "filter.deep"},
		{`name = "x"` + strings.Repeat(` or name = "x"`, 4000), "filter.terms"},
		{strings.Repeat(" ", 60_000) + "odd", "filter.unknown"},
		{"name = \"a\x00b\"", ""},
		{"name = \"\u202egnirts\"", ""},
		{"na\u202eme = \"x\"", "filter."},
		{`"name" = "x"`, "filter."},
		{"`name` = 'x'", ""},
		{`name'; drop table contact; -- = "x"`, "filter."},
		{`name = "\"; drop"`, ""},
		{`handles contains "x"`, ""},
		{`owner.password = "x"`, "filter."},
		{"тест = \"x\"", "filter.unknown"},
		{strings.Repeat("tags.", 10) + `name = "x"`, "filter."},
		{`name in (` + strings.Repeat(`"x",`, 10_000) + `"x")`, ""},
		{`birthday = 99999999999999999999-01-01`, "filter."},
		{`updated_at > today-99999999999999d`, "filter."},
		{`name contains ""`, ""},
		{"\xff\xfe", "field.utf8"},
	} {
		for _, q := range []request{
			{method: "GET", path: list(c.filter)},
			{method: "GET", path: Prefix + "/records/contact/explain?filter=" + url.QueryEscape(c.filter)},
			{method: "GET", path: Prefix + "/export/contact?filter=" + url.QueryEscape(c.filter)},
			{method: "POST", path: Prefix + "/records/contact/bulk", body: bulk(c.filter)},
		} {
			q.as = "owner"
			a := h.ask(t, q)
			key := c.want
			if key == "field.utf8" && q.method == "POST" {
				key = "" // JSON has a replacement character in its place
			}
			switch {
			case key == "" && a.status != 200 && a.status != 400 && a.status != 422:
				t.Errorf("%s %.80q: status %d %.300s", q.method, c.filter, a.status, a.body)
			case key != "" && (a.status != 400 && a.status != 422 || !strings.Contains(a.body, key)):
				t.Errorf("%s %.80q: status %d, no %q in %.500s", q.method, c.filter, a.status, key, a.body)
			}
		}
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %s", took)
	}
	h.check(t, request{as: "owner", method: "GET", path: Prefix + "/records/contact", status: 200, want: `"total":6`})
	if log := h.log.String(); strings.Contains(log, "level=ERROR") {
		t.Errorf("a caller's mistake was logged as ours: %.500s", log)
	}
}

// TestHostileValues: names of megabytes, letters that nobody sees, fields with quotes.
func TestHostileValues(t *testing.T) {
	h := bareHouse(t, func(p *Parts) { p.Limits.Body = 8 << 20 })
	for _, q := range []request{
		{body: `{"name":"` + strings.Repeat("x", 5<<20) + `"}`, status: 422, want: "longer than 300 bytes"},
		{body: `{"name":"` + strings.Repeat("א", 9<<20/2) + `"}`, status: 413, want: "body.too-large"},
		{body: "{\"name\":\"a\\u0000b\\u202ec\\u2066d\\u200e\"}", status: 201, want: `"name":"abcd`},
		{body: "{\"name\":\"a\x00b\"}", status: 400, want: "body.malformed"},
		{body: `{"name":"\u202e\u2066"}`, status: 422, want: "contact.nameless"},
		{body: `{"name":"x","\"":1,"a\"b'c":2,"name\u0000":3}`, status: 422, want: `"field":"\"","key":"field.unknown" & "field":"a\"b'c"`},
		{body: `{"name":"x","phones":[` + strings.Repeat(`"1",`, 200) + `"1"]}`, status: 422, want: "field.too-many"},
		{body: `{"name":"x","tags":["` + none + `"]}`, status: 422, want: `"field":"tags","key":"field.link"`},
	} {
		q.as, q.method, q.path = "owner", "POST", Prefix+"/records/contact"
		h.check(t, q)
	}
	for _, path := range []string{"/records/contact?fields=na%22me", "/records/contact?sort=na%22me", "/records/contact?fields=%00", "/records/contact?sort=-%27name",
		"/export/contact?fields=na%22me"} {
		h.check(t, request{as: "owner", method: "GET", path: Prefix + path, status: 400, want: "list."})
	}
}

// TestHostileCursors: a cursor that was made by hand, or is of another list, or of somebody else's, gives no more than
// the list itself.
func TestHostileCursors(t *testing.T) {
	h := newHouse(t)
	next := func(as, query string) string {
		t.Helper()
		var p struct{ Next string }
		a := h.check(t, request{as: as, method: "GET", path: Prefix + "/records/contact?limit=1" + query, status: 200})
		if err := json.Unmarshal([]byte(a.body), &p); err != nil {
			t.Fatal(err)
		}
		return p.Next
	}
	owners := next("owner", "")
	h.check(t, request{as: "dana", method: "GET", path: Prefix + "/records/contact?cursor=" + owners, status: 200, never: notHers()})
	h.check(t, request{as: "owner", method: "GET", path: Prefix + "/records/conversation?cursor=" + owners, status: 400, want: "list.cursor"})
	h.check(t, request{as: "owner", method: "GET", path: Prefix + "/records/contact?filter=" + url.QueryEscape(`name != "x"`) + "&cursor=" + owners, status: 400, want: "list.cursor"})
	raw := must(base64.RawURLEncoding.DecodeString(owners))(t)
	for i := range raw {
		broken := append([]byte{}, raw...)
		broken[i] ^= 0xff
		a := h.ask(t, request{as: "dana", method: "GET", path: Prefix + "/records/contact?cursor=" + base64.RawURLEncoding.EncodeToString(broken)})
		if a.status != 200 && a.status != 400 {
			t.Errorf("byte %d: status %d %.300s", i, a.status, a.body)
		}
		for _, never := range notHers() {
			if strings.Contains(a.body, h.fill(never)) {
				t.Errorf("byte %d: %q stands in %.500s", i, never, a.body)
			}
		}
	}
	for _, cursor := range []string{"AAAA", "%00", strings.Repeat("A", 4000), base64.RawURLEncoding.EncodeToString(raw[:10])} {
		h.check(t, request{as: "owner", method: "GET", path: Prefix + "/records/contact?cursor=" + cursor, status: 400})
	}
}

// TestSchemaMovesWhileWriting: records are written while the schema changes, and none is lost or broken.
func TestSchemaMovesWhileWriting(t *testing.T) {
	h := bareHouse(t, nil)
	var all sync.WaitGroup
	made := make(chan int, 4)
	for range 4 {
		all.Go(func() {
			n := 0
			for range 40 {
				a := h.ask(t, request{as: "manager", method: "POST", path: Prefix + "/records/contact", body: `{"name":"Moving","color":"red"}`})
				switch {
				case a.status == 201:
					n++
				case a.status == 422 && strings.Contains(a.body, `"field":"color","key":"field.unknown"`):
					if b := h.ask(t, request{as: "manager", method: "POST", path: Prefix + "/records/contact", body: `{"name":"Moving"}`}); b.status == 201 {
						n++
					}
				default:
					t.Errorf("status %d: %.300s", a.status, a.body)
				}
			}
			made <- n
		})
	}
	version := 1
	change := func(ops string) {
		t.Helper()
		body := `{"version":` + string(must(json.Marshal(version))(t)) + `,"ops":` + ops + `}`
		h.check(t, request{as: "owner", method: "POST", path: Prefix + "/schema/changes", body: body, status: 200})
		version++
	}
	change(`[{"op":"add-field","entity":"contact","field":"color","type":"text","indexed":true,"labels":{"en":"Color"}}]`)
	for range 5 {
		change(`[{"op":"hide-field","entity":"contact","field":"color"}]`)
		change(`[{"op":"show-field","entity":"contact","field":"color"}]`)
	}
	all.Wait()
	close(made)
	total := 0
	for n := range made {
		total += n
	}
	if total != 160 || h.total(t, "/records/contact") != total {
		t.Errorf("%d were made, %d are there", total, h.total(t, "/records/contact"))
	}
	ctx := access.WithActor(t.Context(), access.Appliance())
	if err := h.Book.Build(ctx); err != nil {
		t.Fatal(err)
	}
	if err := h.Book.Check(ctx); err != nil {
		t.Errorf("the book is not whole: %v", err)
	}
}

// TestClockSetBack: with a clock that went back a year records are made, read, listed and changed as before.
func TestClockSetBack(t *testing.T) {
	h := newHouse(t)
	back := time.Now().AddDate(-1, 0, 0)
	q := record.NewBook(record.Parts{DB: h.db, Schema: h.Schema, Gate: h.Gate, Journal: h.Journal, Now: func() time.Time { return back }})
	ctx := appliance(t.Context())
	r := must(q.Create(ctx, "contact", record.Values{"name": "Past"}))(t)
	if r = must(q.Change(ctx, "contact", r.ID, r.Version(), record.Values{"city": "Haifa"}))(t); r.Version() != 2 || !r.UpdatedAt().Before(time.Now().AddDate(0, -11, 0)) {
		t.Errorf("version %d at %s", r.Version(), r.UpdatedAt())
	}
	h.check(t, request{as: "owner", method: "GET", path: Prefix + "/records/contact", status: 200, want: `"total":7 & "name":"Past"`})
	h.check(t, request{as: "owner", method: "GET", path: Prefix + "/records/contact/" + r.ID.String() + "/history", status: 200, want: `"to":"Haifa"`})
	if err := q.Check(ctx); err != nil {
		t.Error(err)
	}
}
