package workspace

import (
	"html"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/admin/frame/locale"
	"github.com/karov-crm/karov/appliance/search"
)

func TestMarked(t *testing.T) {
	for _, test := range []struct {
		text  string
		spans []search.Span
		want  string
	}{
		{"משה כהן", []search.Span{{From: 7, To: 11}}, "משה [כה]ן"},
		{"Cohen & Partners", []search.Span{{From: 0, To: 3}, {From: 8, To: 11}}, "[Coh]en & [Par]tners"},
		{"<b>bold</b>", []search.Span{{From: 1, To: 2}}, "<[b]>bold</b>"},
		{"all", []search.Span{{From: 0, To: 3}}, "[all]"},
		{"none", nil, "none"},
		{"", nil, ""},
		{"short", []search.Span{{From: 2, To: 99}, {From: -1, To: 2}, {From: 4, To: 4}}, "short"},
		{"overlap", []search.Span{{From: 0, To: 4}, {From: 2, To: 6}}, "[over]lap"},
	} {
		var got strings.Builder
		for _, p := range marked(test.text, test.spans) {
			if p.Marked {
				got.WriteString("[" + p.Text + "]")
			} else {
				got.WriteString(p.Text)
			}
		}
		if got.String() != test.want {
			t.Errorf("%q at %v: %s, want %s", test.text, test.spans, got.String(), test.want)
		}
	}
}

func TestLinked(t *testing.T) {
	for text, want := range map[string]string{
		"see https://a.example/x?y=1&z=2.":        "see |https://a.example/x?y=1&z=2|.",
		"(http://b.example)":                      "(|http://b.example|)",
		"javascript:alert(1) and http:// none":    "javascript:alert(1) and http:// none",
		"two https://a.example https://b.example": "two |https://a.example| |https://b.example|",
	} {
		var b strings.Builder
		for _, p := range linked(text) {
			if p.Href != "" {
				b.WriteString("|" + p.Text + "|")
			} else {
				b.WriteString(p.Text)
			}
		}
		if b.String() != want {
			t.Errorf("%q: %s, want %s", text, b.String(), want)
		}
	}
}

func FuzzLinked(f *testing.F) {
	f.Add("see https://a.example/x. and http://b")
	f.Add("https://\u202e\x00https://x")
	f.Fuzz(func(t *testing.T, text string) {
		var all strings.Builder
		for _, p := range linked(text) {
			all.WriteString(p.Text)
			if p.Href != "" && !strings.HasPrefix(p.Href, "http://") && !strings.HasPrefix(p.Href, "https://") {
				t.Errorf("%q links to %q", text, p.Href)
			}
		}
		if all.String() != text {
			t.Errorf("%q became %q", text, all.String())
		}
	})
}

func TestFold(t *testing.T) {
	for name, test := range map[string]struct{ text, own, quoted string }{
		"plain":          {"Hello\nthere\n", "Hello\nthere", ""},
		"signs only":     {"Yes.\n\n> Is it?\n> Really?\n", "Yes.", "> Is it?\n> Really?"},
		"English":        {"Yes.\n\nOn Mon, Nov 2, 2026 at 10:00 Dana <d@x.example> wrote:\n> Is it?", "Yes.", "On Mon, Nov 2, 2026 at 10:00 Dana <d@x.example> wrote:\n> Is it?"},
		"broken in two":  {"Yes.\n\nOn Mon, Nov 2, 2026 at 10:00 Dana Levi\n<dana@office.example> wrote:\n> Is it?", "Yes.", "On Mon, Nov 2, 2026 at 10:00 Dana Levi\n<dana@office.example> wrote:\n> Is it?"},
		"Hebrew":         {"תודה\n\n\u200fבתאריך יום א׳, 2 בנוב׳ 2026 ב-10:00 מאת דנה:\u200f\n> שלום", "תודה", "\u200fבתאריך יום א׳, 2 בנוב׳ 2026 ב-10:00 מאת דנה:\u200f\n> שלום"},
		"Russian":        {"Да\n\nпн, 2 нояб. 2026 г. в 10:00, Дана <d@x.example> пишет:\n> Точно?", "Да", "пн, 2 нояб. 2026 г. в 10:00, Дана <d@x.example> пишет:\n> Точно?"},
		"Outlook":        {"Yes.\r\n\r\n-----Original Message-----\r\nFrom: Dana\r\nIs it?", "Yes.", "-----Original Message-----\nFrom: Dana\nIs it?"},
		"Outlook's line": {"Yes.\n________________________________\nFrom: Dana", "Yes.", "________________________________\nFrom: Dana"},
		"between lines":  {"> Is it?\nYes.\n> Really?\nNo.", "> Is it?\nYes.\n> Really?\nNo.", ""},
		"all quoted":     {"> Is it?", "> Is it?", ""},
		"a word wrote":   {"I wrote:\nbuy milk", "I wrote:\nbuy milk", ""},
	} {
		if own, quoted := fold(test.text); own != test.own || quoted != test.quoted {
			t.Errorf("%s: %q and %q", name, own, quoted)
		}
	}
}

func FuzzFold(f *testing.F) {
	f.Add("Yes.\n\nOn Mon, Nov 2, 2026 at 10:00 Dana <d@x.example> wrote:\n> Is it?")
	f.Add(strings.Repeat("> \n", 100))
	f.Fuzz(func(t *testing.T, text string) {
		own, quoted := fold(text)
		plain := func(s string) string { return strings.Join(strings.Fields(strings.ReplaceAll(s, "\r\n", "\n")), " ") }
		if got := plain(own + "\n" + quoted); utf8.ValidString(text) && got != plain(text) {
			t.Errorf("%q lost something: %q", text, got)
		}
	})
}

func TestForeignHTMLIsHarmless(t *testing.T) {
	hostile := []string{
		`<script>alert(1)</script>`, `<img src=x onerror=alert(1)>`, `<img src="https://evil.example/p.gif">`, `<a href="javascript:alert(1)">x</a>`,
		`<a href="data:text/html,<script>1</script>">x</a>`, `<style>@import "https://evil.example/x.css";</style>`, `<p style="background:url(https://evil.example/p)">x</p>`,
		`<div style="position:fixed;inset:0">x</div>`, `<form action="https://evil.example"><input name=p></form>`, `<iframe src="https://evil.example"></iframe>`,
		`<svg><animate onbegin=alert(1)></svg>`, `<base href="https://evil.example/">`, `<meta http-equiv=refresh content="0;url=https://evil.example">`,
		`<table background="https://evil.example/p"><tr><td>x</td></tr></table>`, `<link rel=stylesheet href="https://evil.example">`, `<video poster="https://evil.example/p">`,
		`<p style="color:expression(alert(1))">x</p>`, `<math><mtext></p><style><!--</style><img src onerror=alert(1)>`, `<a href="//evil.example/x">x</a>`,
	}
	bad := regexp.MustCompile(`(?i)<(script|img|style|form|input|iframe|svg|base|meta|link|video|object|embed)\b|\son\w+\s*=|javascript:|data:|url\(|@import|expression\(|position|background="`)
	for _, text := range hostile {
		got := foreignHTML().Sanitize(text)
		if bad.MatchString(got) || strings.Contains(got, "evil.example") && !strings.HasPrefix(got, `<a href="`) {
			t.Errorf("%s became %s", text, got)
		}
	}
	kept := foreignHTML().Sanitize(`<div dir="rtl"><p style="color: red; text-align: right"><b>שלום</b> <a href="https://a.example/">here</a></p><table><tr><td colspan="2">1</td></tr></table></div>`)
	for _, want := range []string{`dir="rtl"`, "<b>שלום</b>", `style="color: red; text-align: right"`, `colspan="2"`, `target="_blank"`, "noopener", "noreferrer", "nofollow"} {
		if !strings.Contains(kept, want) {
			t.Errorf("%s is lost: %s", want, kept)
		}
	}
}

func FuzzForeignHTML(f *testing.F) {
	f.Add(`<p style="color:red">x<script>alert(1)</script><img src=x onerror=1>`)
	f.Add(`<a href="jAvAsCrIpT:alert(1)">x</a><math><mtext><style><!--</style>`)
	bad := regexp.MustCompile(`(?i)<(script|img|style|form|input|iframe|svg|base|meta|link|video|object|embed)[\s>/]`)
	f.Fuzz(func(t *testing.T, text string) {
		if got := foreignHTML().Sanitize(text); bad.MatchString(got) {
			t.Errorf("%q became %q", text, got)
		}
	})
}

func TestSafeName(t *testing.T) {
	for name, want := range map[string]string{
		"invoice.pdf": "invoice.pdf", "../../etc/passwd": "passwd", `C:\Users\x\a.txt`: "a.txt", "evil\u202egpj.html": "evilgpj.html",
		"": "file", "...": "file", "a\r\nSet-Cookie: x.txt": "aSet-Cookie x.txt", `q"uo<te>.txt`: "quote.txt", "חשבונית.pdf": "חשבונית.pdf",
		strings.Repeat("א", 300) + ".pdf": strings.Repeat("א", 88) + ".pdf",
	} {
		if got := safeName(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func FuzzSafeName(f *testing.F) {
	f.Add("../x\u202ey.pdf")
	f.Add(strings.Repeat(".", 500))
	f.Fuzz(func(t *testing.T, name string) {
		got := safeName(name)
		if got == "" || len(got) > 200 || strings.ContainsAny(got, "/\\\r\n\x00\"\u202e") || got == ".." {
			t.Errorf("%q became %q", name, got)
		}
	})
}

func TestPhones(t *testing.T) {
	for number, want := range map[string]string{"+972501234567": "050-123-4567", "050-1234567": "050-123-4567", "+442079460958": "+44 20 7946 0958", "ext. 12": "ext. 12", "": ""} {
		if got := phone(number, "IL"); got != want {
			t.Errorf("%s: %s, want %s", number, got, want)
		}
	}
}

func TestPiecesEscape(t *testing.T) {
	var b strings.Builder
	err := pieces([]piece{{Text: "<b>"}, {Text: "<i>", Marked: true}, {Text: "https://x.example/?<>", Href: `https://x.example/?"><script>`}}).Render(t.Context(), &b)
	if err != nil || strings.Contains(b.String(), "<b>") || strings.Contains(b.String(), "<i>") || strings.Contains(b.String(), "<script>") || !strings.Contains(b.String(), "<mark>"+html.EscapeString("<i>")) {
		t.Errorf("%v: %s", err, b.String())
	}
}

func TestWaitingGrows(t *testing.T) {
	words, err := locale.Load()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	v := frame.View{Voice: words.In("en", time.UTC), Now: now}
	seen := map[string]bool{}
	for _, d := range []time.Duration{time.Minute, 5 * time.Hour, 30 * time.Hour} {
		w := waitingOf(v, now.Add(-d))
		if w.Text == "" || seen[w.Icon] || seen[w.Tone] {
			t.Errorf("%s: %+v is like another", d, w)
		}
		seen[w.Icon], seen[w.Tone] = true, true
	}
}
