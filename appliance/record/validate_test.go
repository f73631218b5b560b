package record

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
)

func TestBadInputIsRefused(t *testing.T) {
	o, ctx := open(t), as(t, access.Owner)
	for _, c := range []struct {
		field string
		value any
		key   string
	}{
		{"nothing", "x", "field.unknown"},
		{"secret", "x", "field.closed"},
		{"name", strings.Repeat("א", 5<<20/2), "field.too-long"},
		{"name", "\xff\xfe", "field.utf8"},
		{"name", 7.0, "field.text"},
		{"name", []string{"x"}, "field.text"},
		{"note", strings.Repeat("x", maxLongText+1), "field.too-long"},
		{"emails", "a@b.example", "field.many"},
		{"emails", []any{"a@b.example", 7}, "field.text"},
		{"emails", []string{"no address"}, "field.email"},
		{"emails", []string{"Dana <a@b.example>"}, "field.email"},
		{"tags", make([]string, maxMany+1), "field.too-many"},
		{"score", "7", "field.number"},
		{"score", math.NaN(), "field.number"},
		{"score", math.Inf(1), "field.number"},
		{"vip", "yes", "field.yes-no"},
		{"kind", "robot", "field.choice"},
		{"born", "28.2.1990", "field.date"},
		{"born", "1990-02-30", "field.date"},
		{"seen", "yesterday", "field.time"},
		{"seen", 7.0, "field.time"},
		{"seen", "0000-01-01T00:00:00+05:00", "field.time"},
		{"seen", "9999-12-31T23:00:00-05:00", "field.time"},
		{"seen", time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC), "field.time"},
		{"parent", "not an id", "field.link"},
		{"parent", map[string]any{}, "field.link"},
	} {
		_, err := o.Create(ctx, "contact", Values{c.field: c.value})
		wantKind(t, c.field+" "+c.key, err, "invalid")
		wantField(t, "create", err, c.field, c.key)
	}
	_, err := o.Create(ctx, "conversation", Values{"subject": "x"})
	wantField(t, "conversation of nobody", err, "contact", "field.required")
	if n, _, _ := o.Count(ctx, Query{Entity: "contact"}); n != 0 {
		t.Errorf("%d refused contacts stand", n)
	}
}

func TestTextIsCleaned(t *testing.T) {
	o := open(t)
	for given, want := range map[string]string{
		"  Dana \t Levi\r\n": "Dana Levi",
		"Dana\rLevi":         "Dana Levi",
		"a\x00b\x1bc":        "abc",
		"\u202eevil\u202c":   "evil",
		"\u2066x\u2069":      "x",
		"\ufeffname":         "name",
		"\u2028a\u2029b":     "a b",
		"\u200e\u200b":       "", // nothing that anybody sees
		"׳ד\u200fנה":         "׳ד\u200fנה",
	} {
		if got := o.create(Values{"name": given}).Text("name"); got != want {
			t.Errorf("name %q stands as %q, want %q", given, got, want)
		}
	}
	if got := o.create(Values{"note": "a\r\n\tb\x00\u202e"}).Text("note"); got != "a\n\tb" {
		t.Errorf("note stands as %q", got)
	}
}

// TestEveryMomentStandsInJSON holds because a page of the API must not fail for one record.
func TestEveryMomentStandsInJSON(t *testing.T) {
	o := open(t)
	for _, text := range []string{"0001-01-01T00:00:00Z", "0001-01-02T00:00:00Z", "9999-12-31T23:59:59Z", "2026-11-22T10:00:00+02:00"} {
		r := o.create(Values{"name": "x", "seen": text})
		if _, err := json.Marshal(r.Time("seen")); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if r.Has("seen") == r.Time("seen").IsZero() {
			t.Errorf("%s: has %v, reads %v", text, r.Has("seen"), r.Time("seen"))
		}
	}
}

func TestID(t *testing.T) {
	id := NewID()
	if back, err := ParseID(id.String()); err != nil || back != id {
		t.Errorf("ParseID(%s) = %s, %v", id, back, err)
	}
	for _, bad := range []string{"", "x", "{" + id.String() + "}", "urn:uuid:" + id.String(), strings.ReplaceAll(id.String(), "-", ""), id.String() + "\x00", strings.Repeat("0", 36)} {
		if _, err := ParseID(bad); err == nil {
			t.Errorf("ParseID(%q) took it", bad)
		}
	}
	type holder struct{ A, B ID }
	raw, err := json.Marshal(holder{A: id})
	must(t, err)
	var back holder
	must(t, json.Unmarshal(raw, &back))
	if back.A != id || !back.B.Zero() {
		t.Errorf("%s came back as %v", raw, back)
	}
}
