package filter

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/schema"
)

// office is a schema with a field of every type, and records in the stored form.
type office struct {
	*schema.Schema
	records map[[16]byte]*row
	barred  map[[16]byte]bool // not for the asker
}

func open(t testing.TB) *office {
	t.Helper()
	s, err := schema.New(
		schema.Entity{Name: "contact", Title: "name", Owner: "owner", Fields: []schema.Field{
			{Number: 16, Name: "name", Type: schema.Text},
			{Number: 17, Name: "kind", Type: schema.Choice, Choices: []string{"person", "company"}},
			{Number: 18, Name: "company", Type: schema.Link, Target: "company"},
			{Number: 19, Name: "phones", Type: schema.Phone, Many: true},
			{Number: 20, Name: "emails", Type: schema.Email, Many: true},
			{Number: 21, Name: "city", Type: schema.Text},
			{Number: 22, Name: "note", Type: schema.LongText},
			{Number: 23, Name: "birthday", Type: schema.Yearly},
			{Number: 24, Name: "owner", Type: schema.Staff},
			{Number: 25, Name: "balance", Type: schema.Money, Currency: "ILS"},
			{Number: 26, Name: "score", Type: schema.Number},
			{Number: 27, Name: "vip", Type: schema.YesNo},
			{Number: 28, Name: "last_at", Type: schema.Time},
			{Number: 29, Name: "due", Type: schema.Date},
			{Number: 30, Name: "tags", Type: schema.Choice, Many: true, Choices: []string{"new", "old", "gold"},
				ChoiceLabels: map[string]map[string]string{"gold": {"he": "זהב", "ru": "Золото"}, "new": {"en": "fresh"}, "old": {"en": "Fresh"}}},
			{Number: 31, Name: "site", Type: schema.URL},
			{Number: 32, Name: "contract", Type: schema.File},
			{Number: 33, Name: "raw", Type: schema.Data},
			{Number: 34, Name: "paid", Type: schema.Money},
			{Number: 35, Name: "size", Type: schema.Formula, Formula: `if(balance > 1000, "large", "small")`},
			{Number: 36, Name: "label", Type: schema.Formula, Formula: `name & " (" & size & ")"`},
			{Number: 37, Name: "left", Type: schema.Formula, Formula: `right`},
			{Number: 38, Name: "right", Type: schema.Formula, Formula: `left & "x"`},
			{Number: 39, Name: "broken", Type: schema.Formula, Formula: `no_such_field + 1`},
			{Number: 40, Name: "years", Type: schema.Formula, Formula: `age(birthday)`},
			{Number: 41, Name: "in", Type: schema.Text},
			{Number: 42, Name: "friends", Type: schema.Link, Target: "contact", Many: true},
		}},
		schema.Entity{Name: "company", Title: "name", Fields: []schema.Field{
			{Number: 16, Name: "name", Type: schema.Text},
			{Number: 17, Name: "city", Type: schema.Text},
			{Number: 18, Name: "parent", Type: schema.Link, Target: "company"},
			{Number: 19, Name: "staff", Type: schema.Number},
			{Number: 20, Name: "grand", Type: schema.Formula, Formula: `parent.name & "!"`},
		}})
	must(t, err)
	return &office{Schema: s, records: map[[16]byte]*row{}, barred: map[[16]byte]bool{}}
}

// row is a stored record. One that is not wired is read field by field.
type row struct {
	*office
	id  [16]byte
	raw []byte
}

type wiredRow struct{ *row }

func (r wiredRow) Wire() []byte { return r.raw }

func (r *row) ID() [16]byte { return r.id }

func (r *row) each(number int, fn func(cell) bool) {
	for at := 0; at < len(r.raw); {
		n, c, next := field(r.raw, at)
		if next == 0 || n == number && !fn(c) {
			return
		}
		at = next
	}
}

func (r *row) Each(number int, fn func([]byte) bool) {
	r.each(number, func(c cell) bool { return !c.bytes || fn(c.b) })
}

func (r *row) Bytes(number int) (b []byte, ok bool) {
	r.Each(number, func(value []byte) bool { b, ok = value, true; return false })
	return b, ok
}

func (r *row) Scalar(number int) (n uint64, ok bool) {
	r.each(number, func(c cell) bool { n, ok = c.n, !c.bytes; return !ok })
	return n, ok
}

func (r *row) Follow(_ string, id []byte) (Row, bool) {
	linked := r.records[[16]byte(id)]
	if linked == nil || r.barred[linked.id] {
		return nil, false
	}
	return wiredRow{linked}, true
}

// values are what a test puts into a record, by field.
type values map[string]any

func id(n byte) [16]byte { return [16]byte{0: 1, 6: 0x70, 8: 0x80, 15: n} }

// add stores a record as package record writes it: header and fields in the order of their numbers.
func (o *office) add(entity string, n byte, v values) *row {
	raw := varintField(nil, 1, 3)
	raw = varintField(raw, 2, protowire.EncodeZigZag(moment("2026-11-01T09:00:00Z").UnixMilli()))
	raw = varintField(raw, 3, protowire.EncodeZigZag(moment("2026-11-20T22:30:00Z").UnixMilli()))
	raw = bytesField(raw, 4, []byte("dana"))
	raw = bytesField(raw, 5, []byte("system"))
	for _, f := range o.Entity(entity).Fields {
		if value, given := v[f.Name]; given {
			raw = encode(raw, f, value)
		}
	}
	r := &row{office: o, id: id(n), raw: raw}
	o.records[r.id] = r
	return r
}

func encode(raw []byte, f schema.Field, value any) []byte {
	switch value := value.(type) {
	case string:
		return bytesField(raw, f.Number, []byte(value))
	case []string:
		for _, s := range value {
			raw = bytesField(raw, f.Number, []byte(s))
		}
		return raw
	case [16]byte:
		return bytesField(raw, f.Number, value[:])
	case [][16]byte:
		for _, id := range value {
			raw = bytesField(raw, f.Number, id[:])
		}
		return raw
	case float64:
		return protowire.AppendFixed64(protowire.AppendTag(raw, protowire.Number(f.Number), protowire.Fixed64Type), math.Float64bits(value))
	case bool:
		return varintField(raw, f.Number, 1)
	case time.Time:
		return varintField(raw, f.Number, protowire.EncodeZigZag(value.UnixMilli()))
	case schema.Amount:
		return bytesField(raw, f.Number, value.Encode())
	}
	b, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return bytesField(raw, f.Number, b)
}

func bytesField(raw []byte, number int, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(raw, protowire.Number(number), protowire.BytesType), b)
}

func varintField(raw []byte, number int, n uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(raw, protowire.Number(number), protowire.VarintType), n)
}

func moment(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

// dana is a contact with something in every field.
func (o *office) dana() *row {
	o.add("company", 101, values{"name": "Holding", "city": "Tel Aviv"})
	o.add("company", 100, values{"name": "Acme", "city": "חיפה", "parent": id(101), "staff": 12.0})
	o.add("contact", 2, values{"name": "Михаил", "city": "Яффо"})
	return o.add("contact", 1, values{
		"name": `דנה כהן`, "kind": "person", "company": id(100), "phones": []string{"050-123 4567", "+7 (495) 765-43-21"},
		"emails": []string{"dana@example.com"}, "city": "חיפה", "note": "Likes CAFÉ.\nNo calls; ёлка", "birthday": "1988-02-29",
		"owner": "dana", "balance": schema.Amount{Minor: 120050, Currency: "ILS"}, "score": 7.5, "vip": true,
		"last_at": moment("2026-11-20T22:30:00Z"), "due": "2026-11-25", "tags": []string{"new", "gold"}, "site": "https://example.com/A",
		"contract": schema.Attachment{Blob: "aa", Name: "Contract 2026.pdf", Type: "application/pdf", Size: 10},
		"paid":     schema.Amount{Minor: -500, Currency: "USD"}, "in": "inside", "friends": [][16]byte{id(2), id(77)},
	})
}

// env is Sunday, 22 November 2026, noon in Jerusalem.
func env(t testing.TB) *Env {
	t.Helper()
	zone, err := time.LoadLocation("Asia/Jerusalem")
	must(t, err)
	return &Env{Now: moment("2026-11-22T10:00:00Z"), Zone: zone, Me: "dana", Team: []string{"dana", "moshe"}}
}

func (e *Env) at(s string) *Env {
	other := *e
	other.Now = moment(s)
	return &other
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// faultOf is the key and the parameters of a fault of the field "filter".
func faultOf(t testing.TB, err error) fault.Field {
	t.Helper()
	f := fault.Of(err)
	if err == nil || f.Kind != fault.Invalid || len(f.Fields) != 1 || f.Fields[0].Name != "filter" {
		t.Fatalf("%v is no fault of the filter", err)
	}
	return f.Fields[0]
}
