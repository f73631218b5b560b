package schema

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/fault"
)

func TestParseAmount(t *testing.T) {
	for _, c := range []struct {
		text, fallback string
		minor          int64
		currency       string
		again          string
	}{
		{"12.34", "ILS", 1234, "ILS", "12.34 ILS"},
		{" 12.3 usd ", "ILS", 1230, "USD", "12.30 USD"},
		{"-0.05", "EUR", -5, "EUR", "-0.05 EUR"},
		{"0", "ILS", 0, "ILS", "0.00 ILS"},
		{"-0", "ILS", 0, "ILS", "0.00 ILS"},
		{"500 JPY", "", 500, "JPY", "500 JPY"},
		{"-7.000 JPY", "", -7, "JPY", "-7 JPY"},
		{"1.5 KWD", "", 1500, "KWD", "1.500 KWD"},
		{"0.001 KWD", "", 1, "KWD", "0.001 KWD"},
		{"12.3400", "ILS", 1234, "ILS", "12.34 ILS"},
		{"007", "ILS", 700, "ILS", "7.00 ILS"},
		{"92233720368547758.07", "ILS", math.MaxInt64, "ILS", "92233720368547758.07 ILS"},
		{"-92233720368547758.07", "ILS", -math.MaxInt64, "ILS", "-92233720368547758.07 ILS"},
	} {
		a, err := ParseAmount(c.text, c.fallback)
		if err != nil || a.Minor != c.minor || a.Currency != c.currency || a.String() != c.again {
			t.Errorf("%q is %v, %v; want %s", c.text, a, err, c.again)
		}
	}
	for text, want := range map[string]string{
		"": "amount.malformed", "x": "amount.malformed", "1,234.50": "amount.malformed", "1.": "amount.malformed", ".5": "amount.malformed",
		"+1": "amount.malformed", "--1": "amount.malformed", "1e3": "amount.malformed", "0x1": "amount.malformed", "1.2.3": "amount.malformed", "١٢": "amount.malformed",
		"1-2": "amount.malformed", "1.-2": "amount.malformed", "NaN": "amount.malformed", "1\x002": "amount.malformed",
		"1." + strings.Repeat("0", 5<<20): "amount.malformed",
		"1 XYZ":                           "amount.currency", "1 ": "", "1 ILS USD": "amount.currency", "1 XXX": "amount.currency", "1 шек": "amount.currency",
		"1.234": "amount.digits", "1.5 JPY": "amount.digits", "1.2345 KWD": "amount.digits",
		"92233720368547758.08": "amount.range", "99999999999999999999999999": "amount.range", "9223372036854775808 JPY": "amount.range",
	} {
		_, err := ParseAmount(text, "ILS")
		if want == "" && err == nil {
			continue
		}
		if f := fault.Of(err); err == nil || f.Kind != fault.Invalid || f.Key != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	if _, err := ParseAmount("1", ""); fault.Of(err).Key != "amount.currency" {
		t.Errorf("an amount of no currency: %v", err)
	}
}

func TestAmountFrom(t *testing.T) {
	for _, value := range []any{"12.34", "12.34 ILS", 12.34, json.Number("12.34"), Amount{1234, "ILS"},
		map[string]any{"amount": "12.34"}, map[string]any{"amount": 12.34, "currency": "ILS"}} {
		if a, err := AmountFrom(value, "ILS"); err != nil || a != (Amount{1234, "ILS"}) {
			t.Errorf("%#v is %v, %v", value, a, err)
		}
	}
	for _, value := range []any{nil, true, []any{"1"}, math.NaN(), math.Inf(1), 1e300, 1e17, Amount{1, "xyz"}, Amount{math.MinInt64, "ILS"}, Amount{},
		map[string]any{}, map[string]any{"amount": "1", "currency": 5}, map[string]any{"amount": "1", "other": 1}, map[string]any{"amount": map[string]any{"amount": "1"}}} {
		if a, err := AmountFrom(value, "ILS"); fault.KindOf(err) != fault.Invalid || err == nil {
			t.Errorf("%#v is %v, %v", value, a, err)
		}
	}
}

func TestAmountForms(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	last := []byte{}
	for i, minor := range []int64{-math.MaxInt64, -1 << 40, -100, -1, 0, 1, 99, 100, 1 << 40, math.MaxInt64} {
		raw := Amount{minor, "ILS"}.Encode()
		if len(raw) != 11 || i > 0 && bytes.Compare(last, raw) >= 0 {
			t.Errorf("%d does not sort behind what is less", minor)
		}
		last = raw
	}
	for range 2000 {
		a := Amount{int64(r.Uint64()) >> r.IntN(63), []string{"ILS", "USD", "JPY", "KWD"}[r.IntN(4)]}
		if a.Minor == math.MinInt64 {
			continue
		}
		if back, ok := DecodeAmount(a.Encode()); !ok || back != a {
			t.Fatalf("%v is stored as %v", a, back)
		}
		raw, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		var back Amount
		if err := json.Unmarshal(raw, &back); err != nil || back != a {
			t.Fatalf("%v is %s, which is %v, %v", a, raw, back, err)
		}
	}
	if raw, _ := json.Marshal(Amount{-5, "ILS"}); string(raw) != `{"amount":"-0.05","currency":"ILS"}` {
		t.Errorf("JSON is %s", raw)
	}
	for _, raw := range []string{"", "12345678", "12345678ILs", "12345678ILSX"} {
		if _, ok := DecodeAmount([]byte(raw)); ok {
			t.Errorf("%q is an amount", raw)
		}
	}
	for _, raw := range []string{`{}`, `{"amount":"x","currency":"ILS"}`, `{"amount":"1"}`, `5`, `{"amount":1e400,"currency":"ILS"}`} {
		var a Amount
		if err := json.Unmarshal([]byte(raw), &a); err == nil {
			t.Errorf("%s is %v", raw, a)
		}
	}
	if got := (Amount{math.MinInt64, "ILS"}).Decimal(); got != "-92233720368547758.08" {
		t.Errorf("the least amount is written as %s", got)
	}
}

// FuzzAmount: a text is an amount that reads again as itself, or is refused.
func FuzzAmount(f *testing.F) {
	for _, seed := range []string{"12.34", "-0.05 ILS", "1 JPY", "99999999999999999999", "1.2.3", "", " ", "1 ", "1\x00", "-", "-.1", "1 usd"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAmount(text, "ILS")
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Fatal(err)
			}
			return
		}
		if again, err := ParseAmount(a.String(), ""); err != nil || again != a {
			t.Fatalf("%q is %v, which is %v, %v", text, a, again, err)
		}
		if back, ok := DecodeAmount(a.Encode()); !ok || back != a {
			t.Fatalf("%v is stored as %v", a, back)
		}
	})
}

func TestAttachments(t *testing.T) {
	blob := "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	good := Attachment{Blob: blob, Name: "חוזה.pdf", Size: 5, Type: "application/pdf"}
	for _, value := range []any{good, map[string]any{"blob": blob, "name": "חוזה.pdf", "size": 5.0, "type": "application/pdf"}} {
		a, err := AttachmentFrom(value)
		if err != nil || a != good {
			t.Errorf("%v is %v, %v", value, a, err)
		}
		if back, ok := DecodeAttachment(a.Encode()); !ok || back != good {
			t.Errorf("it is stored as %v", back)
		}
	}
	for _, change := range []func(*Attachment){
		func(a *Attachment) { a.Blob = "../../etc/passwd" }, func(a *Attachment) { a.Blob = "" }, func(a *Attachment) { a.Size = -1 },
		func(a *Attachment) { a.Name = "../x" }, func(a *Attachment) { a.Name = ".." }, func(a *Attachment) { a.Name = "a\u202egnp.exe" }, func(a *Attachment) { a.Name = "" },
		func(a *Attachment) { a.Type = "x" }, func(a *Attachment) { a.Type = "text/html\r\nX: y" }, func(a *Attachment) { a.Type = "" },
	} {
		a := good
		change(&a)
		if _, err := AttachmentFrom(a); fault.KindOf(err) != fault.Invalid || err == nil {
			t.Errorf("%+v: %v", a, err)
		}
	}
	for _, value := range []any{nil, "x", map[string]any{}, map[string]any{"blob": blob, "name": "x", "size": 1.5, "type": "a/b"}, map[string]any{"path": "x"}} {
		if a, err := AttachmentFrom(value); err == nil {
			t.Errorf("%v is %v", value, a)
		}
	}
	if good.IsPicture() || !(Attachment{Type: "image/png"}).IsPicture() || (Attachment{Type: "image/svg+xml"}).IsPicture() {
		t.Error("pictures are told from other files wrongly")
	}
}
