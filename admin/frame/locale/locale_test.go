package locale

import (
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/schema"
)

func load(t *testing.T) *Bundle {
	t.Helper()
	b, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPacksAreComplete(t *testing.T) {
	b := load(t)
	forms := map[string][]string{"he": {"one", "other", "two"}, "ru": {"few", "many", "one"}, "en": {"one", "other"}}
	parameters := regexp.MustCompile(`\{[a-z-]+\}`)
	all := map[string]bool{}
	for _, pack := range b.packs {
		for key := range pack {
			all[key] = true
		}
	}
	for key := range all {
		want := map[string]bool{}
		for _, p := range parameters.FindAllString(b.packs["en"][key]["other"], -1) {
			want[p] = true
		}
		for lang, pack := range b.packs {
			s, ok := pack[key]
			if !ok {
				t.Errorf("%s lacks %q", lang, key)
				continue
			}
			counted := len(b.packs["en"][key]) > 1
			if names := slices.Sorted(maps.Keys(s)); counted && !slices.Equal(names, forms[lang]) || !counted && len(names) != 1 {
				t.Errorf("%s %q has the plural forms %v", lang, key, names)
			}
			for form, text := range s {
				got := map[string]bool{}
				for _, p := range parameters.FindAllString(text, -1) {
					got[p] = true
				}
				if form != "one" && form != "two" && !maps.Equal(got, want) {
					t.Errorf("%s %q (%s) has the parameters %v, English has %v", lang, key, form, got, want)
				}
				if strings.TrimSpace(text) == "" || text != strings.TrimSpace(text) {
					t.Errorf("%s %q is empty or has blanks around it", lang, key)
				}
			}
		}
	}
}

func TestEachPackIsInItsOwnScript(t *testing.T) {
	own := map[string]*regexp.Regexp{"he": regexp.MustCompile(`\p{Hebrew}`), "ru": regexp.MustCompile(`\p{Cyrillic}`)}
	foreign := map[string]*regexp.Regexp{"he": regexp.MustCompile(`\p{Cyrillic}`), "ru": regexp.MustCompile(`\p{Hebrew}`), "en": regexp.MustCompile(`\p{Hebrew}|\p{Cyrillic}`)}
	for lang, pack := range load(t).packs {
		for key, s := range pack {
			for _, text := range s {
				letters := regexp.MustCompile(`\{[a-z-]+\}|[^\p{L}]`).ReplaceAllString(text, "")
				if foreign[lang].MatchString(text) || letters != "" && own[lang] != nil && !own[lang].MatchString(text) {
					t.Errorf("%s %q is not in that language: %s", lang, key, text)
				}
			}
		}
	}
}

func TestPlurals(t *testing.T) {
	for lang, forms := range map[string]map[string][]int{
		"en": {"one": {1}, "other": {0, 2, 11, 21, 100}},
		"he": {"one": {1}, "two": {2}, "other": {0, 3, 10, 12, 20, 21, 100}},
		"ru": {"one": {1, 21, 101, 1001}, "few": {2, 3, 4, 22, 104}, "many": {0, 5, 11, 12, 14, 19, 20, 25, 100, 111, 112}},
	} {
		for form, numbers := range forms {
			for _, n := range numbers {
				if got := plural(lang, n); got != form {
					t.Errorf("%s %d is %s, want %s", lang, n, got, form)
				}
			}
		}
	}
	v := load(t).In("ru", time.UTC)
	if got := v.Waited(22 * time.Minute); got != "22 минуты" {
		t.Error(got)
	}
}

func TestDatesAndNumbers(t *testing.T) {
	zone, err := time.LoadLocation("Asia/Jerusalem")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 22, 22, 30, 0, 0, time.UTC) // half past midnight on the 23rd in Jerusalem
	at := func(hours int) time.Time { return now.Add(-time.Duration(hours) * time.Hour) }
	for _, test := range []struct{ lang, got, want string }{
		{"he", load(t).In("he", zone).When(at(0), now), "00:30"},
		{"he", load(t).In("he", zone).When(at(1), now), "אתמול 23:30"},
		{"he", load(t).In("he", zone).When(at(48), now), "שבת 00:30"},
		{"he", load(t).In("he", zone).When(at(24*20), now), "3 בנוב׳"},
		{"he", load(t).In("he", zone).Date(now), "23 בנובמבר 2026"},
		{"ru", load(t).In("ru", zone).Date(now), "23 ноября 2026"},
		{"ru", load(t).In("ru", zone).When(at(24*400), now), "19 окт. 2025"},
		{"en", load(t).In("en", zone).Moment(now), "23 November 2026, 00:30"},
		{"en", load(t).In("en", zone).Day(at(24), now), "Yesterday"},
		{"en", load(t).In("en", zone).Day(at(24*9), now), "Saturday, 14 November"},
		{"en", load(t).In("en", zone).Number(1234567), "1,234,567"},
		{"ru", load(t).In("ru", zone).Number(-12345), "-12\u00a0345"},
		{"ru", load(t).In("ru", zone).Size(1536), "1,5\u00a0КБ"},
		{"en", load(t).In("en", zone).Size(900), "900\u00a0bytes"},
		{"he", load(t).In("he", zone).Size(25 << 20), "25\u00a0מ״ב"},
		{"he", load(t).In("he", zone).Waited(50 * time.Hour), "יומיים"},
	} {
		if test.got != test.want {
			t.Errorf("%s: %q, want %q", test.lang, test.got, test.want)
		}
	}
}

func TestParametersAreIsolated(t *testing.T) {
	v := load(t).In("en", time.UTC)
	if got, want := v.T("health.account", "account", "דואר"), "\u2068דואר\u2069 is not working."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestPluginsCannotReplaceOurs(t *testing.T) {
	b := load(t)
	said := map[string]map[string]string{"en": {"mail.full": "The mailbox is full."}, "he": {"signin.title": "x"}}
	b.Also(func(lang string) map[string]string { return said[lang] })
	v := b.In("he", time.UTC)
	if got := v.T("mail.full"); got != "The mailbox is full." {
		t.Errorf("a plugin's sentence that Hebrew lacks: %q", got)
	}
	if v.T("signin.title") == "x" {
		t.Error("a plugin replaced our words")
	}
	said["he"]["mail.full"] = "התיבה מלאה." // a plugin that came later
	if got := v.T("mail.full"); got != "התיבה מלאה." || !v.Has("mail.full") || v.Has("mail.other") {
		t.Errorf("a plugin's sentence: %q", got)
	}
}

func TestMatchPicksALanguage(t *testing.T) {
	for header, want := range map[string]string{"he-IL,he;q=0.9,en;q=0.8": "he", "iw": "he", "fr, ru;q=0.5": "ru", "": "he", "de": "he", "EN-us": "en"} {
		if got := Match(header, "he"); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}

func TestMoney(t *testing.T) {
	for _, c := range []struct {
		lang   string
		amount schema.Amount
		want   string
	}{
		{"he", schema.Amount{Minor: 120050, Currency: "ILS"}, "1,200.50\u00a0₪"},
		{"he", schema.Amount{Minor: 120000, Currency: "ILS"}, "1,200\u00a0₪"},
		{"ru", schema.Amount{Minor: 123456789, Currency: "RUB"}, "1\u00a0234\u00a0567,89\u00a0₽"},
		{"en", schema.Amount{Minor: -5, Currency: "USD"}, "-$0.05"},
		{"en", schema.Amount{Minor: 999, Currency: "ILS"}, "₪9.99"},
		{"en", schema.Amount{Minor: 1000, Currency: "JPY"}, "1,000\u00a0JPY"},
		{"en", schema.Amount{Minor: 12345, Currency: "KWD"}, "12.345\u00a0KWD"},
		{"ru", schema.Amount{Minor: math.MinInt64 + 1, Currency: "EUR"}, "-92\u00a0233\u00a0720\u00a0368\u00a0547\u00a0758,07\u00a0€"},
	} {
		if got := load(t).In(c.lang, time.UTC).Money(c.amount); got != "\u2066"+c.want+"\u2069" {
			t.Errorf("%s: %q, want %q", c.lang, got, c.want)
		}
	}
}
