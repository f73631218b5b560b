package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// TestGuessCharset encodes what people write in subjects and names, each in the charsets that can hold it, and wants
// it back without a label.
func TestGuessCharset(t *testing.T) {
	hebrew := []string{
		"שלום", "דנה לוי", "הצעת מחיר", "תשלום חשבונית 1234", "Re: פגישה מחר", "יוסי כהן", "בקשה דחופה - אין אינטרנט במשרד",
		"מזל טוב!", "אפשר להתקשר אליי אחרי 16:00?", "ארנונה", "תודה רבה", "קובץ מצורף: דוח שנתי",
	}
	russian := []string{
		"Привет", "Дмитрий Петров", "Счёт за ноябрь", "СРОЧНО", "Re: встреча завтра", "Анна", "Не работает интернет в офисе",
		"Договор 15", "спасибо", "Оплата заказа", "Ольга Иванова", "вопрос по доставке",
	}
	western := []string{"café au lait", "Ångström", "Übergröße", "naïve résumé", "Señor Muñoz"}
	for name, c := range map[string]struct {
		enc   *charmap.Charmap
		texts []string
	}{
		charsetHebrew: {charmap.Windows1255, hebrew}, charsetRussian: {charmap.Windows1251, russian},
		charsetKOI8: {charmap.KOI8R, russian}, charsetLatin: {charmap.Windows1252, western},
	} {
		for _, text := range c.texts {
			raw, err := c.enc.NewEncoder().Bytes([]byte(text))
			if err != nil {
				t.Fatalf("%q in %s: %v", text, name, err)
			}
			for _, label := range []string{"", "unknown-8bit", "us-ascii", "iso-8859-1", "x-no-such", "utf-8"} {
				if got := toUTF8(label, raw); got != text {
					t.Errorf("%q in %s under the label %q reads %q (guessed %s)", text, name, label, got, guessCharset(raw))
				}
			}
			if got := toUTF8(name, raw); got != text {
				t.Errorf("%q under its own label %s reads %q", text, name, got)
			}
			if got := toUTF8(name, []byte(text)); got != text {
				t.Errorf("%q is UTF-8 and reads %q under the label %s", text, got, name)
			}
		}
	}
}

func TestLabels(t *testing.T) {
	for label, c := range map[string][2]string{
		"DOS-862": {"\x99\x8c\x85\x8d", "שלום"}, "'windows-1255'": {"\xf9\xec\xe5\xed", "שלום"}, "win-1251": {"\xcf\xf0\xe8", "При"},
		"charset=koi8-r": {"\xf0\xd2\xc9", "При"}, "KOI8_U": {"\xf0\xd2\xc9", "При"}, "cp866": {"\x8f\xe0\xa8", "При"},
		"utf-7": {"+BekF3AXVBd0-", "שלום"}, "utf-16": {"\xff\xfe\xe9\x05", "ש"}, "iso-8859-8-E": {"\xf9\xec", "של"},
		"ISO-2022-JP": {"\x1b$B$3\x1b(B", "こ"}, "gb18030": {"\xc4\xe3", "你"},
	} {
		if got := toUTF8(label, []byte(c[0])); got != c[1] {
			t.Errorf("%s: %q, want %q", label, got, c[1])
		}
	}
	if got := toUTF8("utf-8", []byte("שלום \xd7")); got != "שלום \uFFFD" {
		t.Errorf("a cut letter reads %q", got)
	}
}

func FuzzToUTF8(f *testing.F) {
	f.Add("utf-7", []byte("+BekF3AXVBd0-"))
	f.Add("windows-1255", []byte("\xf9\xec\xe5\xed"))
	f.Add("", []byte("\xff\xfe\x00"))
	f.Fuzz(func(t *testing.T, label string, b []byte) {
		if s := toUTF8(label, b); !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
			t.Errorf("%q", s)
		}
	})
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte("attachment; filename*0*=koi8-r'ru'%F3; filename*1=\"b\\\"c\""))
	f.Add([]byte("\"a, b\" <a@b>, =?utf-8?Q?=D7=A9?= (x) <c@d>;e:f@g;"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, params := mediaType(raw)
		for _, v := range params {
			if !utf8.ValidString(v) || strings.ContainsAny(v, "\r\n\x00") {
				t.Errorf("a parameter reads %q", v)
			}
		}
		for _, p := range parseAddresses(bareText(raw, "")) {
			if !utf8.ValidString(p.Handle+p.Name) || strings.ContainsAny(p.Handle, "<> \r\n") || !strings.Contains(p.Handle, "@") {
				t.Errorf("an address reads %+v", p)
			}
		}
		messageIDs(string(raw))
	})
}

func FuzzHTMLToText(f *testing.F) {
	f.Add("<p>a<br>b<script>x</script><a href='http://x/'>y</a>")
	f.Fuzz(func(t *testing.T, source string) {
		if text := htmlToText(clean(source)); !utf8.ValidString(text) {
			t.Errorf("%q", text)
		}
	})
}
