// Package seed makes customers, letters, tasks, deals and leads that never were, for demonstrations, trials and
// measurements.
//
// It owns nothing and writes nothing: main turns what it yields into records through their rooms. About 60 of 100
// customers have Hebrew names, 25 Russian and 15 English, with the companies, cities, phones and addresses that go with
// them; what they write and what is done for them is in their language.
//
// It promises that customer i of a seed is always the same, however many are asked for; that no two customers of one
// seed share a phone or an e-mail address up to Most; that every phone is valid where it is from; and that every
// e-mail address is under a name that RFC 2606 keeps for tests, so that no letter reaches anybody. It holds one
// customer at a time. The phones are of the right form, not reserved ones (Israel and Russia reserve none): never
// dial or text a synthetic customer.
//
// It will not make data that looks real enough to be somebody: names are drawn from common ones by chance.
package seed

import "iter"

// Language is the language that a synthetic customer writes in.
type Language string

// The languages of synthetic customers.
const (
	Hebrew  Language = "he"
	Russian Language = "ru"
	English Language = "en"
)

// Contact is one synthetic customer.
type Contact struct {
	Index    int // from 0; the same index is the same customer
	Language Language
	Kind     string // "person" or "company"
	Name     string
	Company  string
	City     string
	Address  string
	Note     string
	Birthday string // ISO; empty for most
	Phones   []string
	Emails   []string
}

// Most is how many customers of one seed share no phone and no address.
const Most = 2_000_000

// Contacts yields the customers 0 to n-1 of a seed.
func Contacts(seed uint64, n int) iter.Seq[Contact] {
	return func(yield func(Contact) bool) {
		all := everywhere()
		for i := range n {
			if !yield(all.contact(seed, i)) {
				return
			}
		}
	}
}

// contact makes customer i of a seed.
func (ws worlds) contact(seed uint64, i int) Contact {
	d := drawOf(seed, i)
	w := ws[d.language()]
	c := Contact{Index: i, Language: w.language, Kind: "person"}
	place := d.IntN(len(w.cities))
	c.City = w.cities[place]
	latin := ""
	if d.chance(12) {
		c.Kind = "company"
		c.Name, latin = d.company(w)
		c.Company = c.Name
	} else {
		c.Name, latin = d.person(w)
		if d.chance(40) {
			c.Company, _ = d.company(w)
		}
		if d.chance(30) {
			c.Birthday = d.birthday()
		}
	}
	if d.chance(70) {
		c.Address = d.address(w)
	}
	if d.chance(25) {
		c.Note = d.pick(w.notes)
	}
	c.Phones = append(c.Phones, w.mobile(seed, i))
	if c.Kind == "company" || d.chance(25) {
		c.Phones = append(c.Phones, w.landline(seed, i, place))
	}
	if c.Kind == "company" || d.chance(75) {
		c.Emails = append(c.Emails, d.email(latin, i))
	}
	return c
}
