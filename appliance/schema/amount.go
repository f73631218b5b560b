package schema

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"golang.org/x/text/currency"

	"github.com/karov-crm/karov/appliance/fault"
)

// Amount is money: so many of a currency's smallest units, as agorot. The zero Amount is none.
type Amount struct {
	Minor    int64
	Currency string // ISO 4217, as ILS
}

const (
	amountSize = 8 + 3 // bytes of an amount where it is stored
	maxAmount  = 100   // bytes of one that somebody writes
)

// Digits says how many decimals a currency has, as 2 for ILS, 0 for JPY and 3 for KWD, and whether there is such a one.
func Digits(code string) (int, bool) {
	if len(code) != 3 || strings.ToUpper(code) != code || code == "XXX" || code == "XTS" {
		return 0, false
	}
	unit, err := currency.ParseISO(code)
	if err != nil {
		return 0, false
	}
	digits, _ := currency.Standard.Rounding(unit)
	return digits, true
}

// ParseAmount reads an amount as people and programs write it, "12.34" or "-12.34 ILS"; one that names no currency is in
// fallback. It is exact: more decimals than the currency has are refused, not rounded, unless they are zeros.
func ParseAmount(text, fallback string) (Amount, error) {
	number, code, named := strings.Cut(strings.TrimSpace(text), " ")
	if code = strings.ToUpper(strings.TrimSpace(code)); !named {
		code = fallback
	}
	digits, ok := Digits(code)
	if !ok {
		return Amount{}, fault.New(fault.Invalid, "amount.currency", "currency", code)
	}
	rest, negative := strings.CutPrefix(number, "-")
	whole, part, _ := strings.Cut(rest, ".")
	if len(text) > maxAmount || !areDigits(whole) || strings.Contains(rest, ".") && !areDigits(part) {
		return Amount{}, fault.New(fault.Invalid, "amount.malformed")
	}
	if len(part) > digits {
		if strings.Trim(part[digits:], "0") != "" {
			return Amount{}, fault.New(fault.Invalid, "amount.digits", "currency", code, "limit", digits)
		}
		part = part[:digits]
	}
	minor, err := strconv.ParseUint(whole+part+strings.Repeat("0", digits-len(part)), 10, 64)
	if err != nil || minor > math.MaxInt64 {
		return Amount{}, fault.New(fault.Invalid, "amount.range")
	}
	if negative {
		return Amount{-int64(minor), code}, nil
	}
	return Amount{int64(minor), code}, nil
}

func areDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// AmountFrom reads an amount out of a value that a form or JSON gave: an Amount, a text as ParseAmount reads it, a
// number, or an object {"amount": "12.34", "currency": "ILS"}. One that names no currency is in fallback.
func AmountFrom(value any, fallback string) (Amount, error) {
	switch v := value.(type) {
	case Amount:
		if _, ok := Digits(v.Currency); !ok {
			return Amount{}, fault.New(fault.Invalid, "amount.currency", "currency", v.Currency)
		}
		if v.Minor == math.MinInt64 {
			return Amount{}, fault.New(fault.Invalid, "amount.range")
		}
		return v, nil
	case string:
		return ParseAmount(v, fallback)
	case json.Number:
		return ParseAmount(v.String(), fallback)
	case float64:
		if math.Abs(v) >= 1<<53 || math.IsNaN(v) {
			return Amount{}, fault.New(fault.Invalid, "amount.range")
		}
		return ParseAmount(strconv.FormatFloat(v, 'f', -1, 64), fallback)
	case map[string]any:
		for name := range v {
			if name != "amount" && name != "currency" {
				return Amount{}, fault.New(fault.Invalid, "amount.malformed")
			}
		}
		if code, given := v["currency"]; given {
			text, ok := code.(string)
			if !ok {
				return Amount{}, fault.New(fault.Invalid, "amount.currency", "currency", "")
			}
			fallback = text
		}
		if _, nested := v["amount"].(map[string]any); nested {
			return Amount{}, fault.New(fault.Invalid, "amount.malformed")
		}
		return AmountFrom(v["amount"], fallback)
	}
	return Amount{}, fault.New(fault.Invalid, "amount.malformed")
}

// Decimal writes the number alone, with all decimals of its currency, as 12.30.
func (a Amount) Decimal() string {
	digits, _ := Digits(a.Currency)
	minor, sign := uint64(a.Minor), ""
	if a.Minor < 0 {
		minor, sign = -minor, "-"
	}
	text := strconv.FormatUint(minor, 10)
	if digits == 0 {
		return sign + text
	}
	if missing := digits + 1 - len(text); missing > 0 {
		text = strings.Repeat("0", missing) + text
	}
	return sign + text[:len(text)-digits] + "." + text[len(text)-digits:]
}

// String writes the amount so that ParseAmount reads it again, as 12.30 ILS.
func (a Amount) String() string { return a.Decimal() + " " + a.Currency }

// MarshalJSON writes {"amount":"12.30","currency":"ILS"}: a text, since no program must round it.
func (a Amount) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"amount": a.Decimal(), "currency": a.Currency})
}

// UnmarshalJSON reads what MarshalJSON writes; the amount may be a number too.
func (a *Amount) UnmarshalJSON(raw []byte) error {
	var written struct {
		Amount   json.Number `json:"amount"`
		Currency string      `json:"currency"`
	}
	if err := json.Unmarshal(raw, &written); err != nil {
		return fault.Wrap(err, fault.Invalid, "amount.malformed")
	}
	read, err := ParseAmount(written.Amount.String(), written.Currency)
	if err != nil {
		return err
	}
	*a = read
	return nil
}

// Encode writes the amount as records store it: the number with its sign turned, so that bytes sort as amounts of one
// currency do, and the currency.
func (a Amount) Encode() []byte {
	raw := binary.BigEndian.AppendUint64(make([]byte, 0, amountSize), uint64(a.Minor)^(1<<63))
	return append(raw, a.Currency...)
}

// DecodeAmount reads what Encode wrote, and false for anything else.
func DecodeAmount(raw []byte) (Amount, bool) {
	if len(raw) != amountSize {
		return Amount{}, false
	}
	for _, c := range raw[8:] {
		if c < 'A' || c > 'Z' {
			return Amount{}, false
		}
	}
	return Amount{int64(binary.BigEndian.Uint64(raw) ^ 1<<63), string(raw[8:])}, true
}
