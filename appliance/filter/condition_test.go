package filter

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/search"
)

// TestConditions lists what an index could serve, with its bounds.
func TestConditions(t *testing.T) {
	o, e := open(t), env(t)
	for text, want := range map[string]string{
		`city = "חיפה" and kind = "person"`: `city = [חיפה חיפה]; kind = [person person]`, `vip and not kind = "person"`: `vip = [01 01]`,
		`city in ("a", "b")`: `city in [a a] [b b]`, `city = "a" or city = "b" or city starts "c"`: `city in [a a] [b b] [c*]`, `city = "a" or kind = "person"`: ``, `city starts "a"`: `city starts [a*]`, `city contains "a"`: ``, `city < "m"`: `city < [- m]`, `city >= "m"`: `city >= [m -]`,
		`owner = me`: `owner = [dana dana]`, `owner in (me, my team)`: `owner in [dana dana] [dana dana] [moshe moshe]`, `owner is empty`: `owner empty`, `owner is not empty`: `owner not empty`, `owner = ""`: `owner empty`,
		`due >= today-90d and due < 2026-12-01`: `due >= [2026-08-24 -]; due < [- 2026-11-30]`, `due is this week`: `due period [2026-11-22 2026-11-28]`, `due = today`: `due = [2026-11-22 2026-11-22]`, `due > today`: `due > [2026-11-23 -]`, `due <= now`: `due <= [- 2026-11-22]`,
		`last_at > 2026-11-20T00:00Z`: `last_at > [ms:1763596800001+1y -]`, `last_at < today`: `last_at < [- today-1ms]`, `last_at = today`: `last_at = [today tomorrow-1ms]`,
		`score = 5`: `score = [c014000000000000 c014000000000000]`, `score < -1`: `score < [- 400fffffffffffff-1]`, `score >= 0`: `score >= [7fffffffffffffff -]`,
		`balance = 1`: `balance = [8000000000000064ILS 8000000000000064ILS]`, `balance > 1`: `balance > [8000000000000065 -]`, `balance < 1`: `balance < [- 8000000000000063ZZZ]`,
		`id = "01000000-0000-7000-8000-000000000001"`: `id = [01000000000070008000000000000001 01000000000070008000000000000001]`,
		`phones = "050"`: ``, `birthday = "--01-01"`: ``, `vip = false`: ``, `company.city = "x"`: ``, `size = "large"`: ``, `not city = "x"`: ``, `score > count(tags)`: ``, ``: ``, `company = "01000000-0000-7000-8000-000000000001"`: `company = [01000000000070008000000000000001 01000000000070008000000000000001]`, `contract = "x"`: ``, `city in ("", "a")`: ``,
	} {
		f, err := Parse(text, o.Schema, "contact", Options{})
		must(t, err)
		var said []string
		for _, c := range f.Conditions() {
			line := c.Field.Name + " " + c.Op
			for _, r := range c.Resolve(e) {
				line += " [" + shown(r.From)
				if r.Prefix {
					line += "*]"
					continue
				}
				line += " " + shown(r.To) + "]"
			}
			said = append(said, line)
		}
		got := strings.Join(said, "; ")
		today := startOf(dayOf(e.Now, e), e).UnixMilli()
		want = strings.NewReplacer("ms:1763596800001+1y", shown(sortableMoment(moment("2026-11-20T00:00:00Z").UnixMilli()+1)), "tomorrow-1ms", shown(sortableMoment(today+24*3600*1000-1)),
			"today-1ms", shown(sortableMoment(today-1)), "[today", "["+shown(sortableMoment(today)), "400fffffffffffff-1", "400ffffffffffffe").Replace(want)
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", text, got, want)
		}
	}
}

func shown(b []byte) string {
	if b == nil {
		return "-"
	}
	if len(b) == 11 && bytes.ContainsAny(b[8:], "IZ") {
		return hex.EncodeToString(b[:8]) + string(b[8:])
	}
	for _, c := range b {
		if c < ' ' || c > 'z' && (len(b) == 8 && b[0]>>4 != 0xd || len(b) == 16) {
			return hex.EncodeToString(b)
		}
	}
	return string(b)
}

// TestConditionsHold: whatever a filter keeps lies within the bounds of each of its conditions.
func TestConditionsHold(t *testing.T) {
	o, e := open(t), env(t)
	dana := o.dana()
	kept := 0
	for _, field := range []string{"city", "name", "kind", "owner", "score", "balance", "paid", "due", "last_at", "created_at", "tags", "company", "id", "vip", "version"} {
		for _, value := range []string{`"חיפה"`, `"HAIFA"`, `"person"`, `me`, `my team`, `7.5`, `3`, `-1`, `1200.50 ILS`, `-5 USD`, `0 ILS`, `2026-11-25`, `2026-11-21`, `today`, `today-1d`, `now-2d`, `now`, `2026-11-20T22:30Z`, `"gold"`, `true`,
			`"01000000-0000-7000-8000-000000000064"`, `"01000000-0000-7000-8000-000000000001"`} {
			for _, form := range []string{"%s = %s", "%s < %s", "%s <= %s", "%s > %s", "%s >= %s", "%s starts %s", "%s in (%s)", "%s is this week or %s = %s", "%s is yesterday"} {
				text := fmt.Sprintf(form, field, value)
				if strings.Count(form, "%s") == 3 {
					text = fmt.Sprintf(form, field, field, value)
				} else if strings.Count(form, "%s") == 1 {
					text = fmt.Sprintf(form, field)
				}
				f, err := Parse(text, o.Schema, "contact", Options{})
				if err != nil || !f.Match(wiredRow{dana}, e) {
					continue
				}
				kept++
				for _, c := range f.Conditions() {
					if !within(dana, c, e) {
						t.Errorf("%s keeps a record that lies outside of its condition on %s", text, c.Field.Name)
					}
				}
			}
		}
	}
	if kept < 100 {
		t.Errorf("only %d filters kept the record", kept)
	}
}

// within tells whether one of a record's values lies in one of the ranges, as an index of them would find it.
func within(r *row, c Condition, e *Env) bool {
	var stored []string
	if c.Field.Name == "id" {
		stored = append(stored, string(r.id[:]))
	}
	r.each(c.Field.Number, func(value cell) bool {
		stored = append(stored, sortKey(c.Field, value))
		return true
	})
	key := func(b []byte) string {
		if kindOf(c.Field) == kindText && !exact(c.Field.Type) {
			return search.Fold(string(b))
		}
		return string(b)
	}
	for _, s := range stored {
		for _, bounds := range c.Resolve(e) {
			if bounds.Prefix && strings.HasPrefix(s, key(bounds.From)) || !bounds.Prefix && (bounds.From == nil || s >= key(bounds.From)) && (bounds.To == nil || s <= key(bounds.To)) {
				return true
			}
		}
	}
	return false
}

func sortKey(f *schema.Field, c cell) string {
	switch kindOf(f) {
	case kindTime:
		return string(sortableMoment(protowire.DecodeZigZag(c.n)))
	case kindNumber:
		v := decode(f, c)
		return string(sortableNumber(v.f))
	case kindYesNo:
		return string([]byte{1})
	case kindText:
		if !exact(f.Type) {
			return search.Fold(string(c.b))
		}
	}
	return string(c.b)
}

func TestUses(t *testing.T) {
	o := open(t)
	for text, want := range map[string]string{
		`city = "x" and city = "y"`: `contact.city`, `company.parent.city = "x" and owner = me`: `contact.owner, contact.company, contact.company>company.parent, contact.company>company.parent>company.city`,
		`size = "x"`: `contact.balance, contact.size`, `company.grand = "x"`: `contact.company, contact.company>company.grand, contact.company>company.parent, contact.company>company.parent>company.name`, `count(friends.phones) > 1`: `contact.friends, contact.friends>contact.phones`, `created_at < today`: `contact.created_at`, ``: ``,
	} {
		f, err := Parse(text, o.Schema, "contact", Options{})
		must(t, err)
		got := map[string]bool{}
		for _, u := range f.Uses() {
			name := ""
			for _, s := range u.Via {
				name += s.Entity + "." + s.Field + ">"
			}
			got[name+u.Entity+"."+u.Field] = true
		}
		wanted := 0
		for name := range strings.SplitSeq(want, ", ") {
			if name != "" {
				wanted++
			}
			if name != "" && !got[name] {
				t.Errorf("%s does not use %s, but %v", text, name, got)
			}
		}
		if len(got) != wanted {
			t.Errorf("%s uses %v, want %s", text, got, want)
		}
	}
	for text, want := range map[string]Clock{`city = "x"`: Timeless, `due < today`: Daily, `due is this week`: Daily, `age(birthday) > 5`: Daily, `years > 5`: Daily, `last_at < now-2h`: Always, `last_at < -2h and due < today`: Always, `last_at > 2026-11-22T10:30`: Timeless} {
		f, err := Parse(text, o.Schema, "contact", Options{})
		must(t, err)
		if f.Clock() != want || f.Asker() {
			t.Errorf("%s: clock %d, asker %v", text, f.Clock(), f.Asker())
		}
	}
}
