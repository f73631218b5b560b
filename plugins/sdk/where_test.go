package sdk_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/karov-crm/karov/appliance/filter"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/plugins/sdk"
)

func TestWhere(t *testing.T) {
	for want, got := range map[string]string{
		`city = "חיפה"`:                                sdk.Where("city = ?", "חיפה"),
		`city = "a\"b\\c\n" and n > -2.5`:              sdk.Where("city = ? and n > ?", "a\"b\\c\n", -2.5),
		`city in ("a", "b") and vip = true`:            sdk.Where("city in (?) and vip = ?", []string{"a", "b"}, true),
		`asset = "7" and due < 2026-11-22`:             sdk.Where("asset = ? and due < ?", sdk.Ref{Entity: "x", ID: "7"}, sdk.Date{Year: 2026, Month: 11, Day: 22}),
		`birthday = "--02-29" and price = 12.50 ILS`:   sdk.Where("birthday = ? and price = ?", sdk.Date{Month: 2, Day: 29}, sdk.Money{Minor: 1250, Currency: "ILS"}),
		`at < 2026-11-22T09:30:00.12Z and n = 7`:       sdk.Where("at < ? and n = ?", time.Date(2026, 11, 22, 11, 30, 0, 12e7, time.FixedZone("", 7200)), uint8(7)),
		"a = \"?\" and b = '\\'?' and `c?` = \"x\"":    sdk.Where("a = \"?\" and b = '\\'?' and `c?` = ?", "x"),
		`a = ? and b = "1"`:                            sdk.Where(`a = ? and b = "1"`),
		`a = "1" %!(EXTRA int)`:                        sdk.Where(`a = ?`, "1", 2),
		`a = %!(NIL) and b = %!(chan int) and c = "x?`: sdk.Where(`a = ? and b = ? and c = "x?`, nil, make(chan int)),
	} {
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// person is a record that is not a customer of rank, and lives in city.
type person struct {
	filter.Row
	city string
}

func (p person) Bytes(number int) ([]byte, bool)          { return []byte(p.city), number == 16 }
func (p person) Each(number int, fn func([]byte) bool)    { fn([]byte(p.city)) }
func (p person) Scalar(int) (uint64, bool)                { return 0, false }
func (p person) Follow(string, []byte) (filter.Row, bool) { return nil, false }
func (p person) ID() (id [16]byte)                        { return id }

func office(t testing.TB) *schema.Schema {
	t.Helper()
	s, err := schema.New(schema.Entity{Name: "contact", Title: "city", Fields: []schema.Field{
		{Number: 16, Name: "city", Type: schema.Text}, {Number: 17, Name: "vip", Type: schema.YesNo},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// FuzzWhere holds that a foreign text is a value of the filter and nothing else: the filter can be read, and matches
// nobody whom its own words exclude.
func FuzzWhere(f *testing.F) {
	for _, s := range []string{"חיפה", `" or true or city = "`, `\" or true`, "\x00", "\u202e", "a\xff", "'`?%", "", strings.Repeat(`\`, 99)} {
		f.Add(s)
	}
	s := office(f)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > filter.MaxBytes/8 {
			return
		}
		where := sdk.Where("vip and city = ?", text)
		parsed, err := filter.Parse(where, s, "contact", filter.Options{})
		if err != nil {
			t.Fatalf("%q makes a filter that cannot be read: %v", text, err)
		}
		if parsed.Match(person{city: text}, &filter.Env{}) {
			t.Errorf("%q makes a filter that finds whom it excludes: %s", text, where)
		}
		found, err := filter.Parse(sdk.Where("city = ?", text), s, "contact", filter.Options{})
		if err != nil || len(text) > 0 && plainText(text) && !found.Match(person{city: text}, &filter.Env{}) {
			t.Errorf("%q is not found by itself: %v", text, err)
		}
	})
}

// plainText tells texts of which nothing is lost when they are folded or cleaned.
func plainText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > 'z' && r < 'א' || r > 'ת' })
}
