package sdk

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"golang.org/x/text/currency"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Ref names a record.
type Ref struct {
	Entity string // "contact", "fieldservice.asset"
	ID     string
}

// IsZero tells whether no record is named.
func (r Ref) IsZero() bool { return r.ID == "" }

// Money is an amount: minor units (agorot, cents) of a currency of ISO 4217. Written without a currency it is in the
// field's own.
type Money struct {
	Minor    int64
	Currency string
}

// String writes the amount with as many decimals as its currency has: "12.50 ILS", "1250 JPY".
func (m Money) String() string {
	digits := decimals(m.Currency)
	s := strconv.FormatInt(m.Minor, 10)
	sign := ""
	if m.Minor < 0 {
		sign, s = "-", s[1:]
	}
	if digits > 0 {
		s = strings.Repeat("0", max(0, digits+1-len(s))) + s
		s = s[:len(s)-digits] + "." + s[len(s)-digits:]
	}
	return strings.TrimSpace(sign + s + " " + m.Currency)
}

func decimals(code string) int {
	unit, err := currency.ParseISO(code)
	if err != nil {
		return 2
	}
	digits, _ := currency.Standard.Rounding(unit)
	return digits
}

// Date is a day. Year is 0 in a day that comes every year and whose year nobody knows. The zero Date is none.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// DateOf is the day of t where t's clock stands.
func DateOf(t time.Time) Date {
	y, m, d := t.Date()
	return Date{y, m, d}
}

// ParseDate reads "2026-11-22", or "--11-22" for a day whose year nobody knows.
func ParseDate(s string) (Date, error) {
	text := s
	yearless := strings.HasPrefix(text, "--")
	if yearless {
		text = "2000-" + text[2:] // a leap year, so that 29 February is a day
	}
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return Date{}, fmt.Errorf("read %q as a day: it is not written as 2026-11-22", s)
	}
	d := DateOf(t)
	if yearless {
		d.Year = 0
	}
	return d, nil
}

// IsZero tells whether there is no day.
func (d Date) IsZero() bool { return d == Date{} }

// String writes the day as ParseDate reads it, "" for none.
func (d Date) String() string {
	switch {
	case d.IsZero():
		return ""
	case d.Year == 0:
		return fmt.Sprintf("--%02d-%02d", int(d.Month), d.Day)
	}
	return fmt.Sprintf("%04d-%02d-%02d", d.Year, int(d.Month), d.Day)
}

// In is the day's beginning in a time zone.
func (d Date) In(loc *time.Location) time.Time {
	return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, loc)
}

// AddDays is the day so many days later, or earlier for less than 0.
func (d Date) AddDays(n int) Date { return DateOf(d.In(time.UTC).AddDate(0, 0, n)) }

// Before tells whether d comes before other.
func (d Date) Before(other Date) bool { return d.In(time.UTC).Before(other.In(time.UTC)) }

// Values are values of fields, by name. What may be written, and what is read:
//
//	text, long-text, choice, phone, e-mail, URL, staff   string
//	link                                                 a Ref or the record's id; read as the id
//	date, yearly                                         Date or its string; read as a string, Date parses it
//	number                                               any of Go's numbers; read as float64
//	yes-no                                               bool
//	time                                                 time.Time, to the millisecond; read in UTC
//	money                                                Money
//	file, picture                                        Blob
//	several of any of them                               a slice; several strings are read as []string, others as []any
//
// Types made of these (type Stage string) are written as what they are made of. Writing nil, or the zero value of
// time.Time, Date, Ref or Blob, takes away what was there.
type Values map[string]any

// Has tells whether the field has a value.
func (v Values) Has(name string) bool { return v[name] != nil }

// Text gives a text, "" where there is none.
func (v Values) Text(name string) string {
	s, _ := v[name].(string)
	return s
}

// Texts gives all texts of a field that holds many.
func (v Values) Texts(name string) []string {
	switch v := v[name].(type) {
	case string:
		return []string{v}
	case []string:
		return v
	}
	return nil
}

// Link gives the id of the record to which a link leads, "" where there is none. Texts gives those of a field with many.
func (v Values) Link(name string) string {
	if r, ok := v[name].(Ref); ok {
		return r.ID
	}
	return v.Text(name)
}

// Number gives a number, 0 where there is none.
func (v Values) Number(name string) float64 {
	n, err := wireValue(v[name])
	if err != nil {
		return 0
	}
	return n.GetNumber()
}

// Int gives a number, rounded to a whole one.
func (v Values) Int(name string) int { return int(math.Round(v.Number(name))) }

// Yes tells whether a yes-no field says yes.
func (v Values) Yes(name string) bool {
	yes, _ := v[name].(bool)
	return yes
}

// Time gives a moment, the zero time where there is none.
func (v Values) Time(name string) time.Time {
	t, _ := v[name].(time.Time)
	return t
}

// Date gives a day, the zero Date where there is none.
func (v Values) Date(name string) Date {
	if d, ok := v[name].(Date); ok {
		return d
	}
	d, _ := ParseDate(v.Text(name))
	return d
}

// Money gives an amount, the zero Money where there is none.
func (v Values) Money(name string) Money {
	m, _ := v[name].(Money)
	return m
}

// File gives the file of a file or picture field, the zero Blob where there is none. Blobs.Open reads it.
func (v Values) File(name string) Blob {
	b, _ := v[name].(Blob)
	return b
}

// Files gives all files of a field that holds many.
func (v Values) Files(name string) []Blob {
	switch v := v[name].(type) {
	case Blob:
		return []Blob{v}
	case []Blob:
		return v
	case []any:
		var out []Blob
		for _, one := range v {
			if b, ok := one.(Blob); ok {
				out = append(out, b)
			}
		}
		return out
	}
	return nil
}

// wire makes the values what crosses the line.
func (v Values) wire() (map[string]*wirev1.Value, error) {
	if len(v) == 0 {
		return nil, nil
	}
	out := make(map[string]*wirev1.Value, len(v))
	for name, one := range v {
		w, err := wireValue(one)
		if err != nil {
			return nil, fmt.Errorf("value of %s: %w", name, err)
		}
		out[wire.Valid(name)] = w
	}
	return out, nil
}

// wireValue makes v a Value. A nil one is the empty Value.
func wireValue(v any) (*wirev1.Value, error) {
	switch v := v.(type) {
	case nil:
		return &wirev1.Value{}, nil
	case string:
		return textValue(v), nil
	case bool:
		return &wirev1.Value{Of: &wirev1.Value_Yes{Yes: v}}, nil
	case float64:
		return numberValue(v)
	case time.Time:
		return timeValue(v)
	case Date:
		if v.IsZero() {
			return &wirev1.Value{}, nil
		}
		return textValue(v.String()), nil
	case Ref:
		if v.IsZero() {
			return &wirev1.Value{}, nil
		}
		return textValue(v.ID), nil
	case Money:
		m := &wirev1.Money{Minor: v.Minor, Currency: wire.Valid(v.Currency)}
		return &wirev1.Value{Of: &wirev1.Value_Money{Money: m}}, nil
	case Blob:
		if v.ID == "" {
			return &wirev1.Value{}, nil
		}
		return &wirev1.Value{Of: &wirev1.Value_File{File: v.wire()}}, nil
	}
	return kindValue(reflect.ValueOf(v))
}

func textValue(s string) *wirev1.Value {
	return &wirev1.Value{Of: &wirev1.Value_Text{Text: wire.Valid(s)}}
}

func numberValue(n float64) (*wirev1.Value, error) {
	if math.IsNaN(n) || math.IsInf(n, 0) {
		return nil, fmt.Errorf("%v is no number that a field can hold", n)
	}
	return &wirev1.Value{Of: &wirev1.Value_Number{Number: n}}, nil
}

func timeValue(t time.Time) (*wirev1.Value, error) {
	if t.IsZero() {
		return &wirev1.Value{}, nil
	}
	at := timestamppb.New(t.Truncate(time.Millisecond))
	if err := at.CheckValid(); err != nil {
		return nil, fmt.Errorf("%v is no time that a field can hold", t)
	}
	return &wirev1.Value{Of: &wirev1.Value_Time{Time: at}}, nil
}

// exactInts is the size up to which a float64 holds every whole number.
const exactInts = 1 << 53

// kindValue reads what is made of a plain type: other numbers, slices, an author's own types.
func kindValue(v reflect.Value) (*wirev1.Value, error) {
	switch v.Kind() {
	case reflect.String:
		return textValue(v.String()), nil
	case reflect.Bool:
		return &wirev1.Value{Of: &wirev1.Value_Yes{Yes: v.Bool()}}, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if n := v.Int(); n >= -exactInts && n <= exactInts {
			return numberValue(float64(n))
		}
		return nil, fmt.Errorf("%d has more digits than a number holds; write it as a text", v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if n := v.Uint(); n <= exactInts {
			return numberValue(float64(n))
		}
		return nil, fmt.Errorf("%d has more digits than a number holds; write it as a text", v.Uint())
	case reflect.Float32, reflect.Float64:
		return numberValue(v.Float())
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() != reflect.Uint8 {
			return listValue(v)
		}
	}
	return nil, fmt.Errorf("a %s is nothing that a field can hold", v.Type())
}

func listValue(v reflect.Value) (*wirev1.Value, error) {
	list := &wirev1.ValueList{Values: make([]*wirev1.Value, 0, v.Len())}
	for i := range v.Len() {
		one, err := wireValue(v.Index(i).Interface())
		if err != nil {
			return nil, err
		}
		if _, nested := one.GetOf().(*wirev1.Value_List); nested || one.GetOf() == nil {
			return nil, fmt.Errorf("value %d of a list is empty or a list itself", i)
		}
		list.Values = append(list.Values, one)
	}
	return &wirev1.Value{Of: &wirev1.Value_List{List: list}}, nil
}

// plainValues reads the values of a record, or of a form where in is zero.
func plainValues(in map[string]*wirev1.Value, of Ref) Values {
	out := make(Values, len(in))
	for name, v := range in {
		out[name] = plainValue(v, of)
	}
	return out
}

// plainValue makes a Value what an author reads; of is the record in which it stands.
func plainValue(v *wirev1.Value, of Ref) any {
	switch v := v.GetOf().(type) {
	case *wirev1.Value_Text:
		return v.Text
	case *wirev1.Value_Number:
		return v.Number
	case *wirev1.Value_Yes:
		return v.Yes
	case *wirev1.Value_Time:
		return plainTime(v.Time)
	case *wirev1.Value_Money:
		return Money{Minor: v.Money.GetMinor(), Currency: v.Money.GetCurrency()}
	case *wirev1.Value_File:
		return plainBlob(v.File, of)
	case *wirev1.Value_List:
		return plainList(v.List.GetValues(), of)
	}
	return nil
}

func plainList(in []*wirev1.Value, of Ref) any {
	texts := make([]string, 0, len(in))
	for _, v := range in {
		if t, ok := v.GetOf().(*wirev1.Value_Text); ok {
			texts = append(texts, t.Text)
		}
	}
	if len(texts) == len(in) {
		return texts
	}
	out := make([]any, 0, len(in))
	for _, v := range in {
		if _, nested := v.GetOf().(*wirev1.Value_List); !nested {
			out = append(out, plainValue(v, of))
		}
	}
	return out
}

// plainTime gives the zero time for none, and for one that is no time at all.
func plainTime(t *timestamppb.Timestamp) time.Time {
	if t.CheckValid() != nil {
		return time.Time{}
	}
	return t.AsTime()
}

// wireTime gives nil for the zero time, and for one that the line cannot carry.
func wireTime(t time.Time) *timestamppb.Timestamp {
	if at := timestamppb.New(t); !t.IsZero() && at.IsValid() {
		return at
	}
	return nil
}
