package record

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

// every has a field of each type, alone and many.
func every() schema.Entity {
	return schema.Entity{Name: "every", Title: "line", Fields: []schema.Field{
		{Number: 16, Name: "line", Type: schema.Text, Max: 20, Indexed: true},
		{Number: 17, Name: "prose", Type: schema.LongText},
		{Number: 18, Name: "number", Type: schema.Number, Indexed: true},
		{Number: 19, Name: "price", Type: schema.Money, Currency: "ILS", Indexed: true},
		{Number: 20, Name: "yes", Type: schema.YesNo, Indexed: true},
		{Number: 21, Name: "kind", Type: schema.Choice, Choices: []string{"a", "b"}, Retired: []string{"old"}, Indexed: true},
		{Number: 22, Name: "kinds", Type: schema.Choice, Many: true, Choices: []string{"a", "b"}, Retired: []string{"old"}},
		{Number: 23, Name: "at", Type: schema.Time, Indexed: true},
		{Number: 24, Name: "day", Type: schema.Date, Indexed: true},
		{Number: 25, Name: "yearly", Type: schema.Yearly, Indexed: true},
		{Number: 26, Name: "phone", Type: schema.Phone},
		{Number: 27, Name: "phones", Type: schema.Phone, Many: true},
		{Number: 28, Name: "mail", Type: schema.Email},
		{Number: 29, Name: "site", Type: schema.URL},
		{Number: 30, Name: "friend", Type: schema.Link, Target: "every"},
		{Number: 31, Name: "friends", Type: schema.Link, Target: "every", Many: true},
		{Number: 32, Name: "who", Type: schema.Staff},
		{Number: 33, Name: "paper", Type: schema.File},
		{Number: 34, Name: "papers", Type: schema.File, Many: true},
		{Number: 35, Name: "face", Type: schema.Picture},
		{Number: 36, Name: "twice", Type: schema.Formula, Formula: "number * 2"},
		{Number: 37, Name: "code", Type: schema.Text, Unique: true, Indexed: true},
		{Number: 38, Name: "codes", Type: schema.Text, Many: true, Unique: true, Indexed: true},
		{Number: 39, Name: "level", Type: schema.Number, Default: 5.0},
		{Number: 40, Name: "marks", Type: schema.Text, Many: true, Default: []string{"x", "y"}},
	}}
}

var blob = strings.Repeat("ab", 32)

func paper(kind string) map[string]any {
	return map[string]any{"blob": blob, "name": "a.png", "size": 7.0, "type": kind}
}

// stored gives what stands in a stored record under a number: each value with its wire type, in hex.
func stored(r Record, number int) string {
	var parts []string
	rest := r.raw
	for len(rest) > 0 {
		key, n := binary.Uvarint(rest)
		value := rest[n:]
		switch key & 7 {
		case 0:
			_, size := binary.Uvarint(value)
			value = value[:size]
			rest = rest[n+size:]
		case 1:
			value, rest = value[:8], value[8:]
		case 2:
			size, m := binary.Uvarint(value)
			value, rest = value[m:m+int(size)], value[m+int(size):]
		default:
			return "damaged"
		}
		if key>>3 == uint64(number) {
			parts = append(parts, fmt.Sprintf("%d:%s", key&7, hex.EncodeToString(value)))
		}
	}
	return strings.Join(parts, " ")
}

// TestStoredForms compares what is stored, and what JSON gives back, with what is promised of each type.
func TestStoredForms(t *testing.T) {
	s := openShop(t, every())
	owner := as(t, access.Owner)
	first, err := s.Create(owner, "every", Values{"line": "first"})
	must(t, err)
	id, idHex := first.ID.String(), hex.EncodeToString(first.ID[:])
	file := `{"blob":"` + blob + `","name":"a.png","size":7,"type":"image/png"}`
	fileHex := hex.EncodeToString([]byte(file))
	for _, c := range []struct {
		field       string
		value       any
		want, plain string
	}{
		{"line", " שם  a\t", "2:d7a9d79d2061", `"שם a"`},
		{"prose", "a\r\n\nb", "2:610a0a62", `"a\n\nb"`},
		{"number", 1.5, "1:000000000000f83f", `1.5`},
		{"number", -0.25, "1:000000000000d0bf", `-0.25`},
		{"price", "12.34", "2:80000000000004d2" + "494c53", `{"amount":"12.34","currency":"ILS"}`},
		{"price", "-1 JPY", "2:7fffffffffffffff" + "4a5059", `{"amount":"-1","currency":"JPY"}`},
		{"price", map[string]any{"amount": "0.005", "currency": "KWD"}, "2:8000000000000005" + "4b5744", `{"amount":"0.005","currency":"KWD"}`},
		{"price", 7.5, "2:80000000000002ee" + "494c53", `{"amount":"7.50","currency":"ILS"}`},
		{"yes", true, "0:01", `true`},
		{"yes", false, "", ``},
		{"kind", "a", "2:61", `"a"`},
		{"kinds", []any{"b", "a", "b"}, "2:62 2:61", `["b","a"]`},
		{"at", "1970-01-01T00:00:00.001Z", "0:02", `"1970-01-01T00:00:00.001Z"`},
		{"at", "1969-12-31T23:59:59.999Z", "0:01", `"1969-12-31T23:59:59.999Z"`},
		{"at", "2026-11-22T02:00:00+02:00", "0:80d0eb88c068", `"2026-11-22T00:00:00Z"`},
		{"day", "2026-11-22", "2:" + hex.EncodeToString([]byte("2026-11-22")), `"2026-11-22"`},
		{"yearly", "--02-29", "2:" + hex.EncodeToString([]byte("--02-29")), `"--02-29"`},
		{"yearly", "1990-02-28", "2:" + hex.EncodeToString([]byte("1990-02-28")), `"1990-02-28"`},
		{"phone", "050-1234567", "2:" + hex.EncodeToString([]byte("050-1234567")), `"050-1234567"`},
		{"phones", []string{"1", "2"}, "2:31 2:32", `["1","2"]`},
		{"mail", "A@B.example", "2:" + hex.EncodeToString([]byte("a@b.example")), `"a@b.example"`},
		{"site", "https://a.example/x?y", "2:" + hex.EncodeToString([]byte("https://a.example/x?y")), `"https://a.example/x?y"`},
		{"friend", id, "2:" + idHex, `"` + id + `"`},
		{"friends", []any{id, id}, "2:" + idHex, `["` + id + `"]`},
		{"who", "dana", "2:64616e61", `"dana"`},
		{"paper", paper("image/png"), "2:" + fileHex, file},
		{"papers", []any{paper("image/png"), paper("image/png")}, "2:" + fileHex + " 2:" + fileHex, "[" + file + "," + file + "]"},
		{"face", paper("image/png"), "2:" + fileHex, file},
	} {
		r, err := s.Create(owner, "every", Values{c.field: c.value})
		must(t, err)
		f := r.entity.Field(c.field)
		if got := stored(r, f.Number); got != c.want {
			t.Errorf("%s %v is stored as %s, want %s", c.field, c.value, got, c.want)
		}
		plain := ""
		if value, ok := r.Fields()[c.field]; ok {
			raw, err := json.Marshal(value)
			must(t, err)
			plain = string(raw)
		}
		if plain != c.plain {
			t.Errorf("%s %v reads as %s, want %s", c.field, c.value, plain, c.plain)
		}
		if c.plain == "" {
			continue
		}
		var again any
		must(t, json.Unmarshal([]byte(plain), &again))
		same, err := s.Change(owner, "every", r.ID, r.Version(), Values{c.field: again})
		if err != nil || same.Version() != r.Version() {
			t.Errorf("%s does not take what it gave, %s: version %d, %v", c.field, plain, same.Version(), err)
		}
		empty, err := s.Change(owner, "every", r.ID, r.Version(), Values{c.field: nil})
		if err != nil || empty.Has(c.field) || stored(empty, f.Number) != "" {
			t.Errorf("%s emptied holds %s, %v", c.field, stored(empty, f.Number), err)
		}
	}
	must(t, s.Check(owner))
}

func TestRefusedValuesOfEachType(t *testing.T) {
	s := openShop(t, every())
	owner := as(t, access.Owner)
	for _, c := range []struct {
		field string
		value any
		key   string
	}{
		{"line", strings.Repeat("א", 11), "field.too-long"}, {"line", 1.0, "field.text"}, {"prose", []string{"x"}, "field.text"},
		{"number", "1", "field.number"}, {"number", true, "field.number"}, {"number", math.Inf(-1), "field.number"},
		{"price", "1.005", "amount.digits"}, {"price", "1 XXX", "amount.currency"}, {"price", "x", "amount.malformed"},
		{"price", "99999999999999999999", "amount.range"}, {"price", true, "amount.malformed"}, {"price", []any{"1"}, "amount.malformed"},
		{"price", map[string]any{"amount": "1", "currency": "USD", "more": 1.0}, "amount.malformed"},
		{"yes", "true", "field.yes-no"}, {"yes", 1.0, "field.yes-no"},
		{"kind", "c", "field.choice"}, {"kind", "A", "field.choice"}, {"kind", "old", "field.choice"},
		{"kinds", []any{"a", "c"}, "field.choice"}, {"kinds", []any{"old"}, "field.choice"}, {"kinds", "a", "field.many"},
		{"at", "2026-11-22", "field.time"}, {"at", 5.0, "field.time"},
		{"day", "2026-02-29", "field.date"}, {"day", "22.11.2026", "field.date"},
		{"yearly", "1990-02-29", "field.yearly"}, {"yearly", "--02-30", "field.yearly"}, {"yearly", "-02-28", "field.yearly"},
		{"yearly", "02-28", "field.yearly"}, {"yearly", "--2-8", "field.yearly"},
		{"mail", "a@", "field.email"}, {"mail", "a b@c.example", "field.email"},
		{"site", "javascript:alert(1)", "field.url"}, {"site", "https://", "field.url"}, {"site", "a.example", "field.url"},
		{"site", "https://a.example/\x7f%zz", "field.url"},
		{"friend", "x", "field.link"}, {"friend", NewID().String(), "field.link"}, {"friend", []any{}, "field.link"},
		{"friends", []any{"x"}, "field.link"}, {"friends", 1.0, "field.many"}, {"friends", []any{NewID()}, "field.link"},
		{"friends", make([]string, maxMany+1), "field.too-many"},
		{"paper", "x", "attachment.malformed"}, {"paper", []any{paper("image/png"), paper("image/png")}, "field.too-many"},
		{"paper", map[string]any{"blob": "../etc", "name": "a", "type": "a/b"}, "attachment.malformed"},
		{"paper", map[string]any{"blob": blob, "name": "../a", "type": "a/b"}, "attachment.name"},
		{"paper", map[string]any{"blob": blob, "name": "a", "type": "png"}, "attachment.type"},
		{"face", paper("image/svg+xml"), "field.picture"}, {"face", paper("application/pdf"), "field.picture"},
		{"twice", 4.0, "field.closed"},
	} {
		_, err := s.Create(owner, "every", Values{c.field: c.value})
		wantField(t, fmt.Sprintf("%s %.40v", c.field, c.value), err, c.field, c.key)
	}
	if n, err := s.CountAll(owner, Query{Entity: "every"}); err != nil || n != 0 {
		t.Errorf("%d refused records stand, %v", n, err)
	}
}

// TestIndexOrder holds the order of lists against the order of the values.
func TestIndexOrder(t *testing.T) {
	s := openShop(t, every())
	owner := as(t, access.Owner)
	for field, ordered := range map[string][]any{
		"number": {-math.MaxFloat64, -1e9, -2.0, -1.5, -math.SmallestNonzeroFloat64, 0.0, math.SmallestNonzeroFloat64, 0.5, 1.0, 1e300},
		"price":  {"-92233720368547758.07", "-10", "-9.99", "0", "0.01", "9.99", "10", "92233720368547758.07"},
		"yearly": {"--01-01", "1990-02-28", "2004-02-28", "--02-29", "2000-02-29", "--11-22", "1950-12-31"},
		"at":     {"0001-01-02T00:00:00Z", "1905-01-01T00:00:00Z", "1969-12-31T23:59:59.999Z", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.001Z", "9999-12-31T00:00:00Z"},
		"day":    {"0001-01-01", "1969-12-31", "1970-01-01", "2026-11-22", "9999-12-31"},
		"line":   {"1", "10", "a", "A b", "ä c", "ab", "б", "ё", "я", "א", "ת"},
	} {
		made := slices.Clone(ordered)
		for i := range made { // not in their order
			made[i], made[(i*7+3)%len(made)] = made[(i*7+3)%len(made)], made[i]
		}
		for _, value := range made {
			_, err := s.Create(owner, "every", Values{field: value})
			must(t, err)
		}
		var want, got []any
		for _, value := range ordered {
			f := s.Schema().Entity("every").Field(field)
			cleaned, bad := clean(f, value)
			if bad != nil {
				t.Fatalf("%s %v: %v", field, value, bad)
			}
			raw, err := wire(f, cleaned)
			must(t, err)
			want = append(want, Record{entity: s.Schema().Entity("every"), raw: raw}.Plain(f))
		}
		page, err := s.List(owner, Query{Entity: "every", Sort: field, Valued: true})
		must(t, err)
		for _, r := range page.Records {
			got = append(got, r.Plain(r.entity.Field(field)))
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("by %s:\n%v\nwant\n%v", field, got, want)
		}
		page, err = s.List(owner, Query{Entity: "every", Sort: "-" + field, Valued: true})
		must(t, err)
		slices.Reverse(want)
		got = nil
		for _, r := range page.Records {
			got = append(got, r.Plain(r.entity.Field(field)))
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("by -%s:\n%v\nwant\n%v", field, got, want)
		}
	}
}

func TestDefaultsAndRequired(t *testing.T) {
	needy := schema.Entity{Name: "needy", Title: "name", Fields: []schema.Field{
		{Number: 16, Name: "name", Type: schema.Text, Required: true},
		{Number: 17, Name: "stage", Type: schema.Choice, Choices: []string{"new", "done"}, Default: "new", Required: true},
	}}
	s := openShop(t, every(), needy)
	owner := as(t, access.Owner)
	r, err := s.Create(owner, "every", Values{})
	must(t, err)
	if n, ok := r.Number("level"); !ok || n != 5 || !slices.Equal(r.Texts("marks"), []string{"x", "y"}) {
		t.Errorf("defaults: %v %v", n, r.Texts("marks"))
	}
	r, err = s.Create(owner, "every", Values{"level": nil, "marks": []string{}})
	must(t, err)
	if r.Has("level") || r.Has("marks") {
		t.Error("an empty value is filled with a default")
	}
	for _, empty := range []any{nil, "", " \t", "\u200b"} {
		_, err = s.Create(owner, "needy", Values{"name": empty})
		wantField(t, "create without", err, "name", "field.required")
	}
	made, err := s.Create(owner, "needy", Values{"name": "x"})
	must(t, err)
	_, err = s.Change(owner, "needy", made.ID, made.Version(), Values{"stage": ""})
	wantField(t, "emptied", err, "stage", "field.required")
	if made.Text("stage") != "new" {
		t.Errorf("stage %q", made.Text("stage"))
	}
}

// TestUniqueValues tries to have one value twice in every way.
func TestUniqueValues(t *testing.T) {
	s := openShop(t, every())
	owner := as(t, access.Owner)
	first, err := s.Create(owner, "every", Values{"code": "Ab", "codes": []string{"one", "two"}})
	must(t, err)
	other, err := s.Create(owner, "every", Values{"code": "b"})
	must(t, err)
	for field, values := range map[string][]any{"code": {"Ab", "ab", "AB", " aB "}, "codes": {[]string{"two"}, []string{"x", "ONE"}}} {
		for _, value := range values {
			_, err = s.Create(owner, "every", Values{field: value})
			wantField(t, fmt.Sprint("create with ", value), err, field, "field.taken")
			_, err = s.Change(owner, "every", other.ID, other.Version(), Values{field: value})
			wantField(t, fmt.Sprint("change to ", value), err, field, "field.taken")
		}
	}
	for _, free := range []string{"A", "abc", "a b"} { // begins alike only
		_, err = s.Create(owner, "every", Values{"code": free})
		must(t, err)
	}
	_, err = s.Create(owner, "every", Values{})
	must(t, err)
	first, err = s.Change(owner, "every", first.ID, first.Version(), Values{"code": "AB"})
	must(t, err)
	must(t, s.Delete(owner, "every", first.ID, first.Version()))
	taker, err := s.Create(owner, "every", Values{"code": "ab"})
	must(t, err)
	_, err = s.Restore(owner, "every", first.ID)
	wantField(t, "restore", err, "code", "field.taken")
	_, err = s.Change(owner, "every", taker.ID, taker.Version(), Values{"code": "free"})
	must(t, err)
	_, err = s.Restore(owner, "every", first.ID)
	must(t, err)
	must(t, s.Check(owner))
}

// TestLongUniqueValuesMayBeginAlike has two addresses that differ only behind what stands in an index key.
func TestLongUniqueValuesMayBeginAlike(t *testing.T) {
	long := schema.Entity{Name: "page", Title: "url", Fields: []schema.Field{{Number: 16, Name: "url", Type: schema.Text, Unique: true, Indexed: true}}}
	s := openShop(t, long)
	owner := as(t, access.Owner)
	stem := "https://a.example/" + strings.Repeat("x", 2*maxIndexed)
	for _, end := range []string{"1", "2"} {
		_, err := s.Create(owner, "page", Values{"url": stem + end})
		must(t, err)
	}
	_, err := s.Create(owner, "page", Values{"url": strings.ToUpper(stem) + "1"})
	wantField(t, "the same", err, "url", "field.taken")
	must(t, s.Check(owner))
}

func TestConcurrentCreatesOfOneValue(t *testing.T) {
	s := openShop(t, every())
	owner := as(t, access.Owner)
	var wg sync.WaitGroup
	var made atomic.Int32
	for i := range 16 {
		wg.Go(func() {
			_, err := s.Create(owner, "every", Values{"code": []string{"same", "SAME"}[i%2], "line": fmt.Sprint(i)})
			switch {
			case err == nil:
				made.Add(1)
			case fault.KindOf(err) != fault.Invalid:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 || len(s.everything("every")) != 1 {
		t.Errorf("%d creates of one value were told that they stand, %d stand", made.Load(), len(s.everything("every")))
	}
}

// TestRetiredChoices keeps what a record holds, and lets nobody choose it anew.
func TestRetiredChoices(t *testing.T) {
	s := openShop(t, every())
	owner := as(t, access.Owner)
	r, err := s.Create(owner, "every", Values{"kind": "b", "kinds": []string{"a", "b"}})
	must(t, err)
	other, err := s.Create(owner, "every", Values{"kind": "a"})
	must(t, err)
	s.evolve(schema.Op{Kind: schema.RetireChoice, Entity: "every", Field: "kind", Choice: "b"}, schema.Op{Kind: schema.RetireChoice, Entity: "every", Field: "kinds", Choice: "b"})
	r, err = s.Change(owner, "every", r.ID, r.Version(), Values{"line": "x", "kind": "b", "kinds": []string{"b"}})
	must(t, err)
	if r.Text("kind") != "b" || !slices.Equal(r.Texts("kinds"), []string{"b"}) {
		t.Errorf("holds %q %q", r.Text("kind"), r.Texts("kinds"))
	}
	_, err = s.Change(owner, "every", other.ID, other.Version(), Values{"kind": "b"})
	wantField(t, "choose a retired one", err, "kind", "field.choice")
	_, err = s.Change(owner, "every", other.ID, other.Version(), Values{"kinds": []string{"a", "b"}})
	wantField(t, "choose a retired one", err, "kinds", "field.choice")
	page, err := s.List(owner, Query{Entity: "every", Field: "kind", Value: "b"})
	if err != nil || len(page.Records) != 1 {
		t.Errorf("of the retired choice %d, %v", len(page.Records), err)
	}
	must(t, s.Check(owner))
}

// TestFieldsOutOfUseKeepWhatTheyHold hides a field, changes the record, and shows the field again.
func TestFieldsOutOfUseKeepWhatTheyHold(t *testing.T) {
	s := openShop(t, every())
	owner := as(t, access.Owner)
	r, err := s.Create(owner, "every", Values{"number": 7.0, "line": "a", "code": "c"})
	must(t, err)
	s.evolve(schema.Op{Kind: schema.HideField, Entity: "every", Field: "number"}, schema.Op{Kind: schema.HideField, Entity: "every", Field: "code"})
	r, err = s.Change(owner, "every", r.ID, r.Version(), Values{"line": "b"})
	must(t, err)
	if _, ok := r.Number("number"); ok || r.Has("code") || r.Fields()["number"] != nil || r.Reads("number") {
		t.Error("a field out of use is read")
	}
	_, err = s.Change(owner, "every", r.ID, r.Version(), Values{"number": 8.0})
	wantField(t, "write", err, "number", "field.unknown")
	_, err = s.List(owner, Query{Entity: "every", Sort: "number"})
	wantField(t, "sort", err, "sort", "list.sort")
	must(t, s.Delete(owner, "every", r.ID, r.Version()))
	_, err = s.Restore(owner, "every", r.ID)
	must(t, err)
	s.evolve(schema.Op{Kind: schema.ShowField, Entity: "every", Field: "number"}, schema.Op{Kind: schema.ShowField, Entity: "every", Field: "code"})
	must(t, s.Build(owner))
	r, err = s.Get(owner, "every", r.ID)
	must(t, err)
	if n, _ := r.Number("number"); n != 7 || r.Text("code") != "c" || r.Text("line") != "b" {
		t.Errorf("shown again it holds %v %q %q", n, r.Text("code"), r.Text("line"))
	}
	page, err := s.List(owner, Query{Entity: "every", Sort: "number", Valued: true})
	if err != nil || len(page.Records) != 1 {
		t.Errorf("by what is shown again: %d, %v", len(page.Records), err)
	}
	must(t, s.Check(owner))
}

func TestFormulas(t *testing.T) {
	s := openShop(t)
	owner := as(t, access.Owner)
	s.role("no-cost", []access.Grant{{Entity: "*", Verb: "*", Scope: access.All}}, access.FieldRule{Entity: "thing", Field: "cost", Right: access.Hide})
	r, err := s.Create(owner, "thing", Values{"score": 10.0, "cost": 4.0})
	must(t, err)
	if r.Computed("double") != 20.0 || r.Computed("margin") != 6.0 || r.Fields()["margin"] != 6.0 {
		t.Errorf("computed %v %v", r.Computed("double"), r.Computed("margin"))
	}
	r, err = s.Get(as(t, "no-cost"), "thing", r.ID)
	must(t, err)
	if _, told := r.Fields()["margin"]; r.Computed("double") != 20.0 || r.Computed("margin") != nil || told {
		t.Errorf("whom the cost is hidden from reads %v %v", r.Computed("double"), r.Computed("margin"))
	}
	must(t, s.View(owner, func(tx store.Tx) error {
		raw := tx.Bucket("record.thing").Get(r.ID[:])
		if !bytes.Equal(raw, r.raw) || (Record{entity: r.entity, raw: raw}).Has("double") {
			t.Error("a formula's value is stored")
		}
		return nil
	}))
	empty, err := s.Change(owner, "thing", r.ID, r.Version(), Values{"score": nil})
	must(t, err)
	if empty.Computed("double") != nil {
		t.Errorf("of nothing: %v", empty.Computed("double"))
	}
}
