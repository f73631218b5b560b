package search

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
)

// slowly folds as Fold does, by its definition.
func slowly(s string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(s) {
		switch {
		case unicode.Is(unicode.Mn, r), unicode.Is(unicode.Cf, r), strings.ContainsRune("\"'׳״’`", r):
		default:
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return strings.NewReplacer("ך", "כ", "ם", "מ", "ן", "נ", "ף", "פ", "ץ", "צ").Replace(b.String())
}

func FuzzFold(f *testing.F) {
	for _, s := range []string{"כהן", "שָׁלוֹם", "Фёдор Й", "José", "O'Brien", "ﬁ½", "İstanbul", "\xff", "\u202ex", "ẞ", "צה״ל", "ﬡךﭏ", "Åﷺ", "각", "１２３", "`a\x00b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := Fold(s), slowly(s); got != want && utf8.ValidString(s) {
			t.Fatalf("Fold(%q) = %q, want %q", s, got, want)
		}
		for _, word := range Words(s) {
			if word == "" || !utf8.ValidString(word) || strings.ContainsAny(word, "\x00 #") {
				t.Fatalf("%q has the word %q", s, word)
			}
		}
		if strings.Trim(Digits(s), "0123456789") != "" {
			t.Fatalf("Digits(%q) = %q", s, Digits(s))
		}
		var all strings.Builder
		last := 0
		tokens([]byte(s), func(tok token) bool {
			if len(tok.text) == 0 || len(tok.text) > maxWord || tok.from < 0 || tok.to > len(s) || tok.from >= tok.to || !utf8.Valid(tok.text) {
				t.Fatalf("%q has the token %+v", s, tok)
			}
			if end := beginning([]byte(s), tok.from, tok.to, len(tok.text)); end < tok.from || end > tok.to {
				t.Fatalf("%q: the token %+v ends at %d", s, tok, end)
			}
			_ = soundsOf(string(tok.text))
			last = tok.to
			all.Write(tok.text)
			return true
		})
		if words := strings.Join(Words(s), ""); last > 0 && all.Len() < maxWord && all.String() != words {
			t.Fatalf("%q has the tokens %q and the words %q", s, all.String(), words)
		}
	})
}

// FuzzQuery asks any query: nothing may panic, marks lie within their texts, and an agent finds only his own.
func FuzzQuery(f *testing.F) {
	o := open(f)
	o.put(1, Doc{Title: "דנה Levi", Principals: []string{"dana"}, Parts: []Part{shown(phone("+972 50-1234567")), shown(email("a@b.example")), text("note", "שָׁלוֹם O'Brien ﬁne 12-345")}})
	o.put(2, Doc{Title: "יוסי Levi", Principals: []string{"yossi"}, Parts: []Part{phone("+972501234568"), email("a@c.example")}})
	for _, s := range []string{"levi", "a@", "050-123", "8 495", "\xff", strings.Repeat("ל", 300), "@@ @", "# 1 2 3 4", "yossi\x00lev", "fine", "בםיקמ", "kuznetsov 12", "levy", "lvei", "שלום fine", "א ב ג", strings.Repeat("aa ", 50)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		hits, err := o.Find(as(t, access.Agent, "dana"), query, 5)
		must(t, err)
		for _, h := range hits {
			if h.ID != [16]byte{15: 1} {
				t.Fatalf("%q finds another's %q", query, h.Title)
			}
			marksWithin(t, h.Title, h.Marks)
			marksWithin(t, h.Subtitle, h.SubtitleMarks)
			marksWithin(t, h.Matched, h.MatchedMarks)
		}
	})
}

func marksWithin(t *testing.T, s string, spans []Span) {
	t.Helper()
	at := 0
	for _, span := range spans {
		if span.From < at || span.To <= span.From || span.To > len(s) || !utf8.ValidString(s[span.From:span.To]) {
			t.Fatalf("%q is marked at %v", s, spans)
		}
		at = span.To
	}
}

// FuzzDoc reads any bytes as a stored doc: it is damaged, or its parts lie within it and it is written as it was.
func FuzzDoc(f *testing.F) {
	good := encode(Doc{Entity: "contact", Title: "דנה", Parts: []Part{{"name", Name, "דנה", true}, phone("+972501234567"), email("a@b")}, Principals: []string{"dana"}})
	for _, raw := range [][]byte{good, good[:20], nil, {}, make([]byte, 8), make([]byte, 11), append([]byte{docForm}, make([]byte, 60)...), append(append([]byte{}, good[:9]...), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01)} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var d stored
		if err := d.decode(raw); err != nil {
			if fault.Of(err).Key != "store.damaged" {
				t.Fatal(err)
			}
			return
		}
		size := len(d.entity) + len(d.title)
		for _, p := range d.parts {
			if size += len(p.field); string(p.text) != string(d.title) {
				size += len(p.text)
			}
		}
		if size > len(raw) {
			t.Fatalf("%x gives parts that are longer than it", raw)
		}
		if n := len(termsOf(&d)); n > 3*maxTerms+maxPrincipals {
			t.Fatalf("%d terms", n)
		}
		q := parse("דנה 4567 a@b")
		q.meets(&d, nil)
		for _, p := range d.parts {
			q.marks(nil, p.text, p.kind)
		}
	})
}
