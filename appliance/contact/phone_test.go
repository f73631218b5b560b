package contact

import (
	"fmt"
	"strings"
	"testing"
)

// TestCommonPhonesAreTheLibrarys compares the short way with the library, over the first four digits of numbers of all
// lengths, in several written forms and offices.
func TestCommonPhonesAreTheLibrarys(t *testing.T) {
	short := 0
	for _, p := range plans() {
		for head := range 10_000 {
			for length := 6; length <= 12; length += 1 + head%2 {
				rest := fmt.Sprintf("%04d%08d", head, head*7919%100_000_000)[:length]
				for _, region := range []string{p.region, "GB"} {
					for _, phone := range []string{"+" + p.code + rest, string(p.trunk) + rest} {
						got := common(phone, region)
						if got == "" {
							continue
						}
						short++
						if want := parsePhone(phone, region); got != want {
							t.Fatalf("%s in %s: %q, the library says %q", phone, region, got, want)
						}
					}
				}
			}
		}
	}
	if short < 50_000 {
		t.Errorf("only %d phones went the short way", short)
	}
	t.Logf("%d phones went the short way", short)
}

func TestPhonesInManyForms(t *testing.T) {
	for _, c := range [][3]string{
		{"050-123 4567", "IL", "+972501234567"}, {"(050) 123.45.67", "IL", "+972501234567"}, {"+972 50 123 4567", "RU", "+972501234567"},
		{"+972 (0)50 123 4567", "IL", "+972501234567"}, {"00972501234567", "IL", "+972501234567"}, {"03-5551234", "IL", "+97235551234"},
		{"8 (495) 123-45-67", "RU", "+74951234567"}, {"+7 495 123-45-67", "IL", "+74951234567"}, {"1 212 555 0123", "US", "+12125550123"},
		{"٠٥٠١٢٣٤٥٦٧", "IL", "+972501234567"}, {"050-1234567 ext 5", "IL", "+972501234567"}, {"050+1234567", "IL", ""},
		{"", "IL", ""}, {"+", "IL", ""}, {"()", "IL", ""}, {"0", "IL", ""}, {"12", "IL", ""}, {"call me", "IL", ""}, {"\xff", "IL", ""}, {strings.Repeat("5", 400), "IL", ""},
	} {
		o := open(t)
		o.region = c[1]
		for range 2 { // the second from memory
			if got := o.E164(c[0]); got != c[2] && got != parsePhone(c[0], c[1]) {
				t.Errorf("%q in %s is %q, want %q", c[0], c[1], got, c[2])
			}
		}
		if want := parsePhone(c[0], c[1]); want != c[2] {
			t.Errorf("%q in %s: the library says %q, want %q", c[0], c[1], want, c[2])
		}
	}
}

// FuzzE164 compares the room's answer with the library's for any text.
func FuzzE164(f *testing.F) {
	o := open(f)
	for _, phone := range []string{"050-1234567", "+7 (495) 123-45-67", "8495", "+1 1", "+97200", "0972501234567", "-0-5-0", "(((", "+-972501234567", "..05012345678"} {
		f.Add(phone)
	}
	f.Fuzz(func(t *testing.T, phone string) {
		if got, want := o.E164(phone), parsePhone(phone, "IL"); got != want {
			t.Fatalf("%q is %q, the library says %q", phone, got, want)
		}
	})
}

func TestMemoryOfPhonesIsBounded(t *testing.T) {
	o := open(t)
	for i := range 3 * maxKnownPhones {
		o.E164(fmt.Sprintf("no phone %d", i))
	}
	if n := len(o.phones.now) + len(o.phones.old); n > 2*maxKnownPhones || n < maxKnownPhones {
		t.Errorf("%d phones are remembered", n)
	}
}
