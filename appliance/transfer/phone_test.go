package transfer

import (
	"fmt"
	"testing"

	"github.com/nyaruka/phonenumbers"

	"github.com/karov-crm/karov/appliance/seed"
)

// TestUsualPhones: what is read without the library is what the library reads.
func TestUsualPhones(t *testing.T) {
	checked, taken := 0, 0
	check := func(typed, region string) {
		t.Helper()
		got := usual(typed, region)
		if checked++; got == "" {
			return
		}
		taken++
		if want := parsed(typed, region, phonenumbers.IsValidNumber); got != want {
			t.Fatalf("%q in %s reads as %q, the library says %q", typed, region, got, want)
		}
	}
	for c := range seed.Contacts(7, 3000) {
		for _, phone := range c.Phones {
			check(phone, "IL")
			check(phone, "RU")
		}
	}
	for _, region := range []string{"IL", "RU", "US", ""} {
		for prefix := range 1000 {
			for _, form := range []string{"0%d-1234567", "0%d123456", "8 (%d) 123-45-67", "+7%d1234567", "+972-%d-1234567", "+972 0%d 1234567", "%d1234567",
				"1-800-%d-123", "+7 8%d1234567", "1%d", "*%d", "00972%d1234567", "+%d", "(0)%d.123.4567", "972%d1234567", "٠%d1234567"} {
				check(fmt.Sprintf(form, prefix), region)
			}
		}
	}
	if taken < 4000 || taken == checked {
		t.Errorf("of %d phones %d were read without the library", checked, taken)
	}
}
