package seed

import (
	"fmt"
	"strings"
)

// world is where customers of one language live.
type world struct {
	language             Language
	men, women, families []string
	words, firms         []string // a company is one of firms, * a word and # a family
	cities, streets      []string
	street               string // street, house, flat
	notes                []string
	mobiles              []string // beginnings of mobile numbers, "x" for each digit that follows
	landlines            []string // the same for each city, parted by |, or one entry for all cities
}

func list(text string) []string { return strings.Split(text, "|") }

// mobile is unique among the customers of a seed.
func (w *world) mobile(seed uint64, i int) string {
	return number(w.mobiles, spread(seed, i, len(w.mobiles)*pow10(free(w.mobiles[0]))))
}

// landline is unique too: an area's forms are its own, and within them spread gives no number twice.
func (w *world) landline(seed uint64, i, city int) string {
	forms := list(w.landlines[city%len(w.landlines)])
	return number(forms, spread(seed+7, i, len(forms)*pow10(free(forms[0]))))
}

func free(form string) int { return strings.Count(form, "x") }

func pow10(n int) int {
	p := 1
	for range n {
		p *= 10
	}
	return p
}

// number writes n into one of the forms, all of which leave as many digits free.
func number(forms []string, n int) string {
	form := forms[n%len(forms)]
	digits := fmt.Sprintf("%0*d", free(form), n/len(forms))
	var b strings.Builder
	for i := range len(form) {
		if form[i] == 'x' {
			b.WriteByte(digits[0])
			digits = digits[1:]
		} else {
			b.WriteByte(form[i])
		}
	}
	return b.String()
}
