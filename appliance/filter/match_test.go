package filter

import (
	"testing"
)

// TestMatch asks one record in both ways in which a row is read, and holds the canonical text of each condition to the
// same answer and to the same text again.
func TestMatch(t *testing.T) {
	o := open(t)
	dana, e := o.dana(), env(t)
	for _, c := range []struct {
		text string
		want bool
	}{
		{``, true},
		{`true`, true}, {`false`, false}, {`not true`, false}, {`yes or false`, true},
		// texts, folded
		{`city = "חיפה"`, true}, {`city = "חיפ"`, false}, {`city = "חיפהה"`, false}, {`city != "חיפה"`, false}, {`city = 'חיפה'`, true},
		{`CITY == "חֵיפָה"`, true}, {`name = "דנה כהנ"`, true}, {`name contains "כהן"`, true}, {`name starts "דנ"`, true}, {`name starts with "כהן"`, false},
		{`note contains "cafe"`, true}, {`note contains "CALLS"`, true}, {`note contains "елка"`, true}, {`note contains "tea"`, false},
		{`note not contains "tea"`, true}, {`note contains ".\nno"`, true}, {`name > "א"`, true}, {`name < "א"`, false}, {`name >= "דנה כהן" and name <= "דנה כהן"`, true},
		{`city in ("תל אביב", "חיפה")`, true}, {`city not in ("תל אביב", "חיפה")`, false}, {`city in ("a", "b", "c", "חיפה", "d")`, true}, {`city in ("a", "b", "c", "d")`, false},
		{`city = ""`, false}, {`city != ""`, true}, {`city is empty`, false}, {`city is not empty`, true}, {`city in ("", "x")`, false},
		{`site starts "https://EXAMPLE"`, true}, {"`in` = \"inside\"", true}, {`contract contains "pdf"`, true}, {`contract is empty`, false},
		// choices, people, ids
		{`kind = "person"`, true}, {`kind = "PERSON"`, true}, {`kind != "company"`, true}, {`kind in ("company")`, false}, {`tags = "gold"`, true}, {`tags contains "זהב"`, true},
		{`tags = "золото"`, true}, {`tags = "old"`, false}, {`tags != "old"`, true}, {`tags in ("old", "new")`, true}, {`count(tags) = 2`, true},
		{`owner = me`, true}, {`owner != me`, false}, {`owner = my team`, true}, {`owner in (me, "x")`, true}, {`owner = "Dana"`, false}, {`owner = "dana"`, true}, {`created_by = me`, true}, {`updated_by in (my team)`, false},
		{`id = "01000000-0000-7000-8000-000000000001"`, true}, {`id in ("01000000-0000-7000-8000-000000000002")`, false}, {`version = 3`, true},
		// phones and addresses
		{`phones = "0501234567"`, true}, {`phones = "+972 50-123-4567"`, true}, {`phones = "8 495 765 43 21"`, true}, {`phones = "0501234568"`, false},
		{`phones contains "1234"`, true}, {`phones contains "495"`, true}, {`phones starts "050"`, true}, {`phones starts "123"`, false}, {`phones contains "abc"`, false}, {`phones in ("1", "0501234567")`, true},
		{`emails = "Dana@Example.com"`, true}, {`emails contains "@example."`, true}, {`count(phones) > 1`, true}, {`count(emails) > 1`, false},
		// numbers, money, yes or no
		{`score = 7.5`, true}, {`score > 7 and score < 8`, true}, {`score in (1, 7.5)`, true}, {`7 < score`, true}, {`score * 2 = 15`, true}, {`score + 1 > 8.4 and score - 1 < 6.6`, true}, {`-score = -7.5`, true}, {`score / 0 = 1`, false}, {`score / 0 != 1`, true},
		{`balance = 1200.50 ILS`, true}, {`balance > 1200`, true}, {`balance >= 1200.51`, false}, {`balance > 1 USD`, false}, {`balance != 1 USD`, true}, {`balance * 2 = 2401 ILS`, true}, {`balance / 2 = 600.25 ILS`, true}, {`balance / balance = 1`, true}, {`paid < 0 USD`, true}, {`paid = -5 USD`, true}, {`balance + paid > 0 ILS`, false},
		{`vip`, true}, {`not vip`, false}, {`vip = true`, true}, {`vip = no`, false}, {`vip is empty`, false},
		// days and moments
		{`due = 2026-11-25`, true}, {`due > today`, true}, {`due < today+1w`, true}, {`due - 3d = today`, true}, {`due - today = 3`, true}, {`due is this week`, true}, {`due is next week`, false}, {`due is next 3 days`, true}, {`due is next 2 days`, false}, {`due = "2026-11-25"`, true}, {`due + 1 = 2026-11-26`, true}, {`due + 1m = 2026-12-25`, true},
		{`last_at = 2026-11-21`, true}, {`last_at = 2026-11-20`, false}, {`last_at < today`, true}, {`last_at is yesterday`, true}, {`last_at > -2d`, true}, {`last_at >= -1d`, true}, {`last_at > -1d`, false}, {`last_at < now-35h`, true}, {`last_at < now-36h`, false}, {`last_at >= 2026-11-21T00:30`, true}, {`last_at > 2026-11-21T00:30`, false}, {`last_at = 2026-11-20T22:30Z`, true}, {`last_at = "2026-11-21T00:30:00+02:00"`, true}, {`last_at <= 2026-11-21 and last_at >= 2026-11-21`, true}, {`last_at is last week`, true}, {`last_at > -36h`, true}, {`last_at > -35h`, false},
		{`updated_at > created_at`, true}, {`updated_at - created_at > 19`, true}, {`created_at is this month`, true}, {`year(created_at) = 2026`, true}, {`month(due) = 11 and day(due) = 25`, true}, {`created_at is last 21 days`, true}, {`created_at is last 20 days`, false},
		{`birthday = "--02-29"`, true}, {`birthday = "--03-01"`, false}, {`birthday != "--03-01"`, true}, {`birthday < 1990-01-01`, true}, {`birthday < today-38y`, true}, {`birthday < today-39y`, false}, {`age(birthday) = 38`, true}, {`yearday(birthday) = 60`, true}, {`yearly(due) is this week`, true}, {`birthday is this month`, false}, {`year(birthday) = 1988`, true},
		// links
		{`company.city = "חיפה"`, true}, {`company.city = "Haifa"`, false}, {`company.parent.city starts "tel"`, true}, {`company.parent.parent.city is empty`, true}, {`company.parent.parent is empty`, true}, {`company is empty`, false}, {`company.staff > 10`, true}, {`company = "01000000-0000-7000-8000-000000000064"`, true}, {`company.id = "01000000-0000-7000-8000-000000000064"`, true}, {`friends.name = "михаил"`, true}, {`friends.name = "dana"`, false}, {`count(friends) = 2`, true}, {`count(friends.city) = 1`, true}, {`company.created_by = me`, true},
		// formulas
		{`size = "large"`, true}, {`label contains "(large)"`, true}, {`years > 37`, true}, {`company.grand = "Holding!"`, true}, {`if(vip, score, 0) = 7.5`, true}, {`round(score) = 8`, true}, {`round(balance, 0) = 1201 ILS`, true}, {`name & city = "דנה כהןחיפה"`, true},
		// and, or, not
		{`city = "x" or kind = "person" and vip`, true}, {`(city = "x" or kind = "person") and not vip`, false}, {`not city = "x" and not (vip and score > 8)`, true}, {`not not vip`, true}, {`(vip = true) = true`, true},
	} {
		f, err := Parse(c.text, o.Schema, "contact", Options{})
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got := f.Match(wiredRow{dana}, e); got != c.want {
			t.Errorf("%s = %v, want %v", c.text, got, c.want)
		}
		if got := f.Match(dana, e); got != c.want {
			t.Errorf("%s = %v when it is read field by field, want %v", c.text, got, c.want)
		}
		again, err := Parse(f.String(), o.Schema, "contact", Options{})
		if err != nil || again.String() != f.String() || !sameTree(again.root, f.root) {
			t.Errorf("%s: its canonical text %s does not parse to the same: %v %v", c.text, f, again, err)
			continue
		}
		if got := again.Match(wiredRow{dana}, e); got != c.want {
			t.Errorf("%s = %v, want %v", f, got, c.want)
		}
	}
}

// sameTree compares what two trees say.
func sameTree(a, b *node) bool {
	if a == nil || b == nil {
		return a == b
	}
	if a.op != b.op || a.name != b.name || a.kind != b.kind || a.per != b.per || a.rel.String() != b.rel.String() || len(a.kids) != len(b.kids) {
		return false
	}
	if a.op == opConst && (a.lit.kind != b.lit.kind || a.lit.n != b.lit.n || a.lit.f != b.lit.f || a.lit.cur != b.lit.cur || string(a.lit.b) != string(b.lit.b)) {
		return false
	}
	for i := range a.kids {
		if !sameTree(a.kids[i], b.kids[i]) {
			return false
		}
	}
	return true
}

// TestEmptyFields holds comparisons to what people expect of a record in which nothing was filled in.
func TestEmptyFields(t *testing.T) {
	o := open(t)
	r, e := o.add("contact", 9, nil), env(t)
	for text, want := range map[string]bool{
		`city = "x"`: false, `city != "x"`: true, `city is empty`: true, `city = ""`: true, `city != ""`: false, `city contains ""`: false,
		`city in ("", "x")`: true, `not city in ("x")`: true, `score > 0`: false, `score < 1`: false, `score = 0`: false, `score + 1 = 1`: false, `vip`: false, `vip = false`: true, `not vip`: true,
		`due < today`: false, `due > today`: false, `last_at < now`: false, `birthday is this year`: false, `age(birthday) < 5`: false, `company.city = "x"`: false,
		`company.city != "x"`: true, `company.city is empty`: true, `owner = me`: false, `owner != me`: true, `phones is empty`: true, `count(phones) = 0`: true,
		`balance > 0`: false, `tags != "old"`: true, `size = "small"`: true, `name & city is empty`: true, `due - today is empty`: true, `if(vip, 1) is empty`: true,
	} {
		f, err := Parse(text, o.Schema, "contact", Options{})
		must(t, err)
		if got := f.Match(wiredRow{r}, e); got != want {
			t.Errorf("%s = %v, want %v", text, got, want)
		}
	}
}

// TestBarredLinks: what the asker may not see is as if it were not there.
func TestBarredLinks(t *testing.T) {
	o := open(t)
	dana, e := o.dana(), env(t)
	o.barred[id(100)] = true
	for text, want := range map[string]bool{`company.city = "חיפה"`: false, `company.city is empty`: true, `company.grand is empty`: true, `company is empty`: false} {
		f, err := Parse(text, o.Schema, "contact", Options{})
		must(t, err)
		if got := f.Match(wiredRow{dana}, e); got != want {
			t.Errorf("%s = %v, want %v", text, got, want)
		}
	}
}

// TestYearlyDays goes round the year's end and 29 February.
func TestYearlyDays(t *testing.T) {
	o := open(t)
	for _, c := range []struct {
		birthday, text, now string
		want                bool
	}{
		{"1990-01-02", `birthday is next 7 days`, "2026-12-30T10:00:00Z", true}, {"1990-12-29", `birthday is last 7 days`, "2027-01-02T10:00:00Z", true},
		{"--01-02", `birthday is this week`, "2026-12-30T10:00:00Z", true}, {"1990-01-03", `birthday is this week`, "2026-12-30T10:00:00Z", false},
		{"1990-12-27", `birthday is this week`, "2027-01-01T10:00:00Z", true}, {"1990-12-26", `birthday is this week`, "2027-01-01T10:00:00Z", false},
		{"1988-02-29", `birthday is today`, "2026-02-28T10:00:00Z", true}, {"1988-02-29", `birthday is today`, "2028-02-28T10:00:00Z", false}, {"--02-29", `birthday is today`, "2028-02-29T10:00:00Z", true},
		{"1988-02-29", `birthday is today`, "2027-03-01T10:00:00Z", false}, {"1988-02-29", `age(birthday) = 38`, "2026-02-28T10:00:00Z", true}, {"1988-02-29", `age(birthday) = 37`, "2026-02-27T10:00:00Z", true},
		{"2027-01-02", `birthday is next 7 days`, "2026-12-30T10:00:00Z", true}, {"2028-01-02", `birthday is next 7 days`, "2026-12-30T10:00:00Z", false}, // not born yet
		{"1990-01-31", `birthday is next month`, "2026-12-31T10:00:00Z", true}, {"1990-12-31", `birthday is last month`, "2027-01-15T10:00:00Z", true}, {"1990-05-05", `birthday is this year`, "2027-01-15T10:00:00Z", true},
		{"1990-05-05", `birthday is tomorrow`, "2026-05-04T22:00:00Z", false}, {"1990-05-05", `birthday is today`, "2026-05-04T22:00:00Z", true}, // midnight is Jerusalem's
		{"1990-05-05", `birthday is next 3660 days`, "2026-05-04T10:00:00Z", true}, {"--05-05", `age(birthday) > 0`, "2026-05-04T10:00:00Z", false},
	} {
		r := o.add("contact", 9, values{"birthday": c.birthday})
		f, err := Parse(c.text, o.Schema, "contact", Options{})
		must(t, err)
		if got := f.Match(wiredRow{r}, env(t).at(c.now)); got != c.want {
			t.Errorf("%s: %s at %s = %v, want %v", c.birthday, c.text, c.now, got, c.want)
		}
	}
}

// TestRelative counts spans from the asker's today, and months to the last day that a month has.
func TestRelative(t *testing.T) {
	o := open(t)
	for text, now := range map[string]string{
		`due = today-1m`: "2027-03-31T10:00:00Z", `due = today-1m-1d+1d`: "2027-03-28T10:00:00Z", `due = today+1y`: "2026-02-28T10:00:00Z",
		`due = today-4w`: "2027-03-28T10:00:00Z", `due = today - 28d`: "2027-03-28T10:00:00Z", `due = -28d`: "2027-03-27T22:00:00Z", `due = now-48h`: "2027-03-02T10:00:00Z", `due = today-2880min`: "2027-03-02T10:00:00Z",
	} {
		r := o.add("contact", 9, values{"due": "2027-02-28"})
		f, err := Parse(text, o.Schema, "contact", Options{})
		must(t, err)
		if !f.Match(wiredRow{r}, env(t).at(now)) {
			t.Errorf("%s is not so at %s", text, now)
		}
	}
}

func TestAnd(t *testing.T) {
	o := open(t)
	dana, e := o.dana(), env(t)
	parse := func(text string) *Filter {
		f, err := Parse(text, o.Schema, "contact", Options{})
		must(t, err)
		return f
	}
	all, either, me := parse(" "), parse(`vip or city = "x"`), parse(`owner = me and due > today`)
	if f := And(either, me); f.String() != `(vip or city = "x") and owner = me and due > today` || !f.Match(wiredRow{dana}, e) || !f.Asker() || f.Clock() != Daily || len(f.Uses()) != 4 {
		t.Errorf("%s, asker %v, clock %v, uses %v", f, f.Asker(), f.Clock(), f.Uses())
	}
	if And(all, me) != me || And(me, nil) != me || And(nil, nil) != nil || !And(nil, all).All() || me.All() || !all.All() {
		t.Error("a filter that all meet is not left out")
	}
	if f := And(me, parse(`city = "x"`)); f.Match(wiredRow{dana}, e) {
		t.Errorf("%s is met", f)
	}
}
