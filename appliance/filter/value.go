package filter

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/karov-crm/karov/appliance/schema"
)

// Value is what a formula gives for a record; the zero Value is nothing.
type Value struct {
	kind kind
	cur  [3]byte
	n    int64 // day, milliseconds, smallest units of money, 1 for yes, packed yearly day
	f    float64
	b    []byte // a text or the id of a link
}

// Empty tells a value that is nothing: of a missing field, or what could not be computed.
func (v Value) Empty() bool { return v.kind == kindNone }

// Type says what the value is: Text, Number, Money, Date, Time, Yearly, YesNo or Link; "" for nothing.
func (v Value) Type() schema.Type { return typeOf(v.kind) }

func typeOf(k kind) schema.Type {
	return [...]schema.Type{"", schema.Text, schema.Number, schema.Money, schema.Date, schema.Time, schema.Yearly, schema.YesNo, schema.Link, "", "", ""}[k]
}

// Any is the value as package record hands out fields: a string (text, date, yearly, link), float64, schema.Amount,
// time.Time or bool; nil for nothing.
func (v Value) Any() any {
	switch v.kind {
	case kindNumber:
		return v.f
	case kindMoney:
		return v.amount()
	case kindTime:
		return time.UnixMilli(v.n).UTC()
	case kindYesNo:
		return v.n == 1
	case kindNone, kindSpan, kindMe, kindTeam:
		return nil
	}
	return v.text(time.UTC)
}

// Text is the value as it stands in a joined text, "" for nothing. A moment is written in the zone.
func (v Value) Text(zone *time.Location) string {
	if zone == nil {
		zone = time.UTC
	}
	return v.text(zone)
}

func (v Value) text(zone *time.Location) string {
	switch v.kind {
	case kindText:
		return string(v.b)
	case kindNumber:
		return strconv.FormatFloat(v.f, 'f', -1, 64)
	case kindMoney:
		return v.amount().String()
	case kindDate:
		return dayText(v.n)
	case kindTime:
		return time.UnixMilli(v.n).In(zone).Format("2006-01-02 15:04")
	case kindYearly:
		return yearlyText(v.n)
	case kindYesNo:
		return strconv.FormatBool(v.n == 1)
	case kindLink:
		return linkText(v.b)
	}
	return ""
}

func linkText(b []byte) string {
	if id, err := uuid.FromBytes(b); err == nil {
		return id.String()
	}
	return ""
}

func (v Value) amount() schema.Amount { return schema.Amount{Minor: v.n, Currency: string(v.cur[:])} }

func moneyValue(a schema.Amount) Value {
	v := Value{kind: kindMoney, n: a.Minor}
	copy(v.cur[:], a.Currency)
	return v
}

func yesNo(yes bool) Value {
	if yes {
		return Value{kind: kindYesNo, n: 1}
	}
	return Value{kind: kindYesNo}
}

// number is a value of a number, nothing for one that is none or endless.
func number(f float64) Value {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return Value{}
	}
	return Value{kind: kindNumber, f: f}
}

// decode reads a stored value of a field. What a damaged record holds is nothing.
func decode(f *schema.Field, c cell) (v Value) {
	k := kindOf(f)
	if c.bytes != (k != kindNumber && k != kindTime && k != kindYesNo) {
		return Value{}
	}
	switch k {
	case kindText:
		if f.Type == schema.File || f.Type == schema.Picture {
			return fileName(c.b)
		}
		return Value{kind: kindText, b: c.b}
	case kindNumber:
		if f.Number < schema.FirstField {
			return number(float64(c.n))
		}
		return number(math.Float64frombits(c.n))
	case kindYesNo:
		return yesNo(c.n == 1)
	case kindTime:
		return Value{kind: kindTime, n: int64(c.n>>1) ^ -int64(c.n&1)} // zigzag
	case kindDate:
		if day, ok := readDay(c.b); ok {
			return Value{kind: kindDate, n: day}
		}
	case kindYearly:
		if n, ok := readYearly(c.b); ok {
			return Value{kind: kindYearly, n: n}
		}
	case kindMoney:
		return readMoney(c.b)
	case kindLink:
		if len(c.b) == 16 {
			return Value{kind: kindLink, b: c.b}
		}
	}
	return Value{}
}

// readMoney reads an amount as schema.Amount encodes it, without making a text of its currency.
func readMoney(b []byte) (v Value) {
	if len(b) != 11 {
		return v
	}
	var n uint64
	for _, c := range b[:8] {
		n = n<<8 | uint64(c)
	}
	v.kind, v.n = kindMoney, int64(n^1<<63)
	copy(v.cur[:], b[8:])
	return v
}

func fileName(b []byte) Value {
	var file struct {
		Name string `json:"name"`
	}
	if json.Unmarshal(b, &file) != nil || file.Name == "" {
		return Value{}
	}
	return Value{kind: kindText, b: []byte(file.Name)}
}

// order compares two values of one kind; ok is false where they have no order (nothing, or two currencies).
func order(a, b *Value, env *Env) (sign int, ok bool) {
	if a.kind != b.kind {
		return mixedOrder(a, b, env)
	}
	switch a.kind {
	case kindNumber:
		switch {
		case a.f < b.f:
			return -1, true
		case a.f > b.f:
			return 1, true
		}
		return 0, true
	case kindMoney:
		return compareInts(a.n, b.n), a.cur == b.cur
	case kindDate, kindTime, kindYesNo:
		return compareInts(a.n, b.n), true
	case kindYearly:
		return yearlyOrder(a.n, b.n)
	case kindLink:
		return bytes.Compare(a.b, b.b), true
	}
	return 0, false
}

// mixedOrder compares a day with a moment, which is on that day, before or after it, and a yearly day whose year is
// known with a day.
func mixedOrder(a, b *Value, env *Env) (sign int, ok bool) {
	x, xok := a.day(env)
	y, yok := b.day(env)
	return compareInts(x, y), xok && yok
}

// day is the day of a value in the asker's zone.
func (v *Value) day(env *Env) (day int64, ok bool) {
	switch v.kind {
	case kindDate:
		return v.n, true
	case kindTime:
		return dayOf(time.UnixMilli(v.n), env), true
	case kindYearly:
		year, month, day := unpackYearly(v.n)
		return dayNumber(year, month, day), year != 0
	}
	return 0, false
}

func compareInts(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
