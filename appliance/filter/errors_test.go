package filter

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/fault"
)

// TestErrors points at the column and says what was wanted.
func TestErrors(t *testing.T) {
	o := open(t)
	for _, c := range []struct{ text, want string }{
		{`citi = "x"`, `filter.nearest column=1 field=citi nearest=city`}, {`vip and cyti = "x"`, `filter.nearest column=9 field=cyti nearest=city`},
		{`עיר = "x" `, `filter.unknown column=1 field=עיר`}, {`"חיפה" = עיר`, `filter.unquoted column=10 found=עיר`}, {`city = חיפה`, `filter.unquoted column=8 found=חיפה`}, {`city in ("a", Jerusalem)`, `filter.unquoted column=15 found=jerusalem`}, {`score > scores`, `filter.nearest column=9 field=scores nearest=score`}, {`city = (אבגדה)`, `filter.unquoted column=9 found=אבגדה`}, {`score + אבגדה > 5`, `filter.unknown column=9 field=אבגדה`},
		{`company.cty = "x"`, `filter.nearest column=9 field=cty nearest=city`}, {"`ci\"ty` = 1", `filter.nearest column=1 field=ci"ty nearest=city`}, {"`ci.ty` = 1", `filter.unknown column=1 field=ci.ty`},
		{`city = "x`, `filter.quote column=8`}, {`city = 'x"`, `filter.quote column=8`}, {"city = `x", `filter.quote column=8`}, {`city = "x\`, `filter.quote column=8`}, {`city = "a\z"`, `filter.escape column=10`},
		{`"city" = "x"`, `filter.name column=1`}, {`1 = 1`, `filter.name column=1`}, {`ci"ty" = "x"`, `filter.end column=3 found="ty"`},
		{`city`, `filter.condition column=1`}, {`vip and city`, `filter.condition column=9`}, {`not city`, `filter.condition column=5`}, {`5`, `filter.condition column=1`},
		{`city =`, `filter.value-missing column=7`}, {`city = and`, `filter.value-wanted column=8 found=and`}, {`= 5`, `filter.value-wanted column=1 found==`}, {`city not "x"`, `filter.operator column=10 found="x"`}, {`city not`, `filter.operator column=9 found=`},
		{`city "x"`, `filter.end column=6 found="x"`}, {`city = "x" "y"`, `filter.end column=12 found="y"`}, {`vip) or vip`, `filter.end column=4 found=)`},
		{`(vip or vip`, `filter.closing column=1`}, {`(vip "x"`, `filter.end column=6 found="x"`}, {`city in ("a", "b"`, `filter.closing column=9`}, {`city in "a"`, `filter.open column=9 found="a"`}, {`city in ()`, `filter.value-wanted column=10 found=)`}, {`age(birthday > 3`, `filter.closing column=4`},
		{`score = "5"`, `filter.wanted column=9 example=12.5`}, {`city = 5`, `filter.wanted column=8 example="Haifa"`}, {`vip = 1`, `filter.wanted column=7 example=true`}, {`due = 5`, `filter.wanted column=7 example=2026-11-22, today-90d`}, {`due = "soon"`, `filter.wanted column=7 example=2026-11-22, today-90d`},
		{`company = "acme"`, `filter.wanted column=11 example="01990a3e-7c1b-7f00-8000-5a1d2c3b4e5f"`}, {`birthday = "--02-30"`, `filter.wanted column=12 example="--02-28"`}, {`balance = "1"`, `filter.wanted column=11 example=100 ILS`}, {`balance = due`, `filter.wanted column=11 example=100 ILS`},
		{`kind = "robot"`, `filter.choice choices=person, company column=8`}, {`tags = "fresh"`, `filter.choice choices=new, old, gold column=8`}, {`kind > "person"`, `filter.operation column=6 operator=>`}, {`kind starts "p"`, `filter.operation column=6 operator=starts`},
		{`score contains "1"`, `filter.operation column=7 operator=contains`}, {`vip > false`, `filter.operation column=5 operator=>`}, {`phones > "05"`, `filter.operation column=8 operator=>`}, {`city is today`, `filter.operation column=6 operator=is today`}, {`city * 2 = 4`, `filter.operation column=6 operator=*`}, {`-city = 1`, `filter.operation column=1 operator=-`}, {`due + due = today`, `filter.operation column=5 operator=+`}, {`due & 3d = "x"`, `filter.operation column=5 operator=&`},
		{`due is soon`, `filter.period column=8 known=` + periods}, {`due is next 0 days`, `filter.period column=8 known=` + periods}, {`due is next 99999 days`, `filter.period column=8 known=` + periods}, {`due is`, `filter.period column=7 known=` + periods},
		{`due = 2026-02-30`, `filter.date column=7 found=2026-02-30`}, {`due = 2026-13-01`, `filter.date column=7 found=2026-13-01`}, {`due = 0000-01-01`, `filter.date column=7 found=0000-01-01`}, {`last_at = 2026-11-22T25:00`, `filter.date column=11 found=2026-11-22T25=00`},
		{`due = today-999999999d`, `filter.span column=13 found=999999999d`}, {`due = today-99999999999999999999d`, `filter.span column=13 found=99999999999999999999d`},
		{`due = today` + strings.Repeat("+1d", 9), `filter.operation column=36 operator=+`},
		{`score = ` + strings.Repeat("9", 400), `filter.number column=9 found=` + strings.Repeat("9", 40) + `…`}, {`score = 1.2.3`, `filter.number column=9 found=1.2.3`}, {`balance = 1.234 ILS`, `filter.amount column=11 found=1.234 ILS`}, {`balance = 5 XYZ`, `filter.amount column=11 found=5 XYZ`}, {`balance = 1.234`, `filter.amount column=11 found=1.234 ILS`}, {`paid > 5`, `filter.currency column=8`},
		{`agee(birthday) = 1`, `filter.function column=1 known=` + functionNames + ` name=agee`}, {`system("rm") = 1`, `filter.function column=1 known=` + functionNames + ` name=system`}, {`age() = 1`, `filter.arguments column=1 least=1 most=1 name=age`}, {`round(score, 1, 2) = 1`, `filter.arguments column=1 least=1 most=2 name=round`}, {`age(city) = 1`, `filter.wanted column=5 example=2026-11-22, today-90d`}, {`count(1) = 1`, `filter.name column=7`}, {`round(score, city) = 1`, `filter.wanted column=14 example=2`}, {`if(vip, 1, "a") = 1`, `filter.wanted column=12 example=12.5`}, {`if(score, 1, 2) = 1`, `filter.condition column=4`},
		{`city = me`, `filter.me column=8`}, {`company = my team`, `filter.me column=11`}, {`owner > me`, `filter.operation column=7 operator=>`}, {`me = owner`, ``}, {`me = "x"`, `filter.operation column=4 operator==`},
		{`city.name = "x"`, `filter.not-link column=1 field=city`}, {`owner.name = "x"`, `filter.not-link column=1 field=owner`}, {`company.parent.parent.parent.parent.name = "x"`, `filter.links column=37 limit=4`}, {`friends.friends.name = "x"`, `filter.fan column=1`}, {`company. = 1`, `filter.name column=10 found==`},
		{`raw = "x"`, `filter.data column=1 field=raw`}, {`raw is empty`, `filter.data column=1 field=raw`},
		{`left = "x"`, `filter.circle column=1 field=left`}, {`broken = 1`, `filter.unknown column=1 field=broken`},
		{"city = \"a\x00b\"", `filter.character character=U+0000 column=10`}, {"city\x00 = 1", `filter.character character=U+0000 column=5`}, {"city = \"\u202eabc\"", `filter.character character=U+202E column=9`}, {"city\u200f = 1", `filter.character character=U+200F column=5`}, {`city ~ "x"`, `filter.character character=~ column=6`}, {`city = “x”`, `filter.character character=“ column=8`},
		{"city = \"\xff\"", `filter.utf8 column=9`}, {"\xd7", `filter.utf8 column=1`},
		{`city = "` + strings.Repeat("a", MaxBytes) + `"`, `filter.too-long limit=65536`},
	} {
		_, err := Parse(c.text, o.Schema, "contact", Options{})
		if c.want == "" {
			must(t, err)
			continue
		}
		if err == nil {
			t.Errorf("%.80s is taken", c.text)
			continue
		}
		if got := said(faultOf(t, err)); got != c.want {
			t.Errorf("%.80s:\n got %s\nwant %s", c.text, got, c.want)
		}
	}
	if _, err := Parse(`x = 1`, o.Schema, "robot", Options{}); fault.KindOf(err) != fault.NotFound {
		t.Errorf("an entity that does not exist: %v", err)
	}
}

// said is a fault on one line.
func said(f fault.Field) string {
	params := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprint(f.Params), "map["), "]")
	return strings.ReplaceAll(f.Key+" "+params, ":", "=")
}

// TestTooMuch ends in an error that says the limit, whatever the shape.
func TestTooMuch(t *testing.T) {
	o := open(t)
	const many = 10_000
	for text, key := range map[string]string{
		strings.Repeat("vip and ", many) + "vip":                       "too-long",
		strings.Repeat("vip or ", 8000) + "vip":                        "terms",
		strings.Repeat("(", many) + "vip" + strings.Repeat(")", many):  "deep",
		strings.Repeat("not ", many) + "vip":                           "deep",
		"score = " + strings.Repeat("-", many) + "1":                   "deep",
		"score = " + strings.Repeat("1+", many) + "1":                  "terms",
		"score = " + strings.Repeat("round(", many) + "1":              "deep",
		strings.Repeat("if(vip,", 8000):                                "deep",
		"city in (" + strings.Repeat(`("a"),`, many) + `"b")`:          "terms",
		"city in (" + strings.Repeat(`"a",`, many) + `"b")`:            "",
		"city = " + strings.Repeat("a.", many) + "b":                   "links",
		strings.Repeat("city in ((", 6000):                             "deep",
		strings.Repeat(" ", MaxBytes+1):                                "too-long",
		strings.Repeat("x", 5<<20):                                     "too-long",
		"city = \"" + strings.Repeat(`\\`, 30_000):                     "quote",
		"city = " + strings.Repeat(`"a" & `, many) + `"b"`:             "terms",
		"due = today" + strings.Repeat("+1d", many):                    "terms",
		strings.Repeat("vip is not empty and ", 900) + `city = "last"`: "",
	} {
		_, err := Parse(text, o.Schema, "contact", Options{})
		if key == "" {
			must(t, err)
			continue
		}
		if err == nil || faultOf(t, err).Key != "filter."+key {
			t.Errorf("%.40s...: %v, want filter.%s", text, err, key)
		}
	}
}

// TestHiddenFields: a field that is not for the asker is answered like one that does not exist, wherever it stands.
func TestHiddenFields(t *testing.T) {
	o := open(t)
	hidden := Options{Hidden: func(entity, field string) bool {
		return entity == "contact" && (field == "balance" || field == "created_at") || entity == "company" && field == "city"
	}}
	for text, like := range map[string]string{
		`balance > 5`: `balanse > 5`, `vip and balance > 5`: `vip and balanse > 5`, `created_at > today`: `creeted_at > today`, `company.city = "x"`: `company.citz = "x"`,
		`size = "large"`: `syze = "large"`, `label = "x"`: `lebel = "x"`, `round(balance) = 1`: `round(balanse) = 1`, `5 < balance`: `5 < balanse`, `balance is empty`: `balanse is empty`,
		`friends.balance > 1`: `friends.balanse > 1`, `balance.x = 1`: `balanse.x = 1`, `balance = 1.234`: `balanse = 1.234`, `left = balance`: `left = balanse`,
	} {
		_, err := Parse(text, o.Schema, "contact", hidden)
		_, other := Parse(like, o.Schema, "contact", hidden)
		if err == nil || other == nil {
			t.Errorf("%s: %v; %s: %v", text, err, like, other)
			continue
		}
		got, want := faultOf(t, err), faultOf(t, other)
		delete(got.Params, "field")
		delete(want.Params, "field")
		delete(got.Params, "found")
		delete(want.Params, "found")
		if got.Key != want.Key || !maps.Equal(got.Params, want.Params) {
			t.Errorf("%s: %s, but of a field that does not exist: %s", text, said(got), said(want))
		}
		if got.Params["nearest"] == "balance" || got.Params["nearest"] == "size" {
			t.Errorf("%s: the error tells of a hidden field: %s", text, said(got))
		}
		if _, err := ParseFormula(text, o.Schema, "contact", hidden); err == nil {
			t.Errorf("%s is taken as a formula", text)
		}
	}
	if _, err := Parse(`city = "x" and company.name = "y" and score > 1`, o.Schema, "contact", hidden); err != nil {
		t.Errorf("fields that are not hidden: %v", err)
	}
}
