package search

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxQuery is how many bytes of a query count, maxQueryTerms how many of its words.
	maxQuery      = 200
	maxQueryTerms = 8
)

// grade is how well a word of a query is met, the best first.
type grade int

const (
	wholeName  grade = iota // it is a word of the name, or stands in a phone
	beginsName              // it begins one
	elsewhere               // it is or begins a word of another field, or stands in a number there
	sameName                // a word is the same name in another spelling
	soundsLike              // a word sounds like it
	soundsFrom              // the beginning of a word sounds like it
	misspelt                // a word begins as it does but for one typing error behind its second letter
	misstarted              // the same, in its first two letters
	grades
	unmet = grades
)

// term is one word of a query, or one number.
type term struct {
	text  string
	runes int
	phone number

	learned [grades]bool
	ways    [grades][]way     // lists by which records are found
	grams   map[string]listed // of a number, those that were looked up
	address bool              // it stands in an e-mail address, and is looked for there alone
	open    bool              // of an address: its last word, which may go on
	alike   map[string]grade  // words of the index that are like it
	vague   bool              // the lists find more than what meets it
}

// way is a list by which records are found, or several that must all have a record.
type way struct {
	listed
	others []listed
}

// number is a term that is digits: the runs of them that it may be, in phones as people write them otherwise.
type number struct {
	digits string   // "" for a word
	less   []string // without a country's or a trunk's digits
}

// query is a text that is looked for.
type query struct {
	terms []*term
	mails []string // e-mail addresses or parts with an @: they must stand in one as they are
	vague bool     // the lists find more than what meets it: each record is held against it
	cut   cutter
}

// parse reads a query. One with fewer than two letters or digits has no terms.
func parse(text string) *query {
	// Marks of direction and other invisible signs come along when a phone or an address is copied from a page.
	text = strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Cf, r):
			return -1
		case unicode.IsControl(r):
			return ' '
		}
		return r
	}, cut(strings.ToValidUTF8(cut(text, 4*maxQuery), ""), maxQuery)))
	q := &query{}
	signs := 0
	for fields := strings.Fields(text); len(fields) > 0; {
		if n, digits := numberIn(fields); n > 0 {
			q.add(&term{text: digits, phone: numberOf(digits), runes: len(digits)})
			signs += len(digits)
			fields = fields[n:]
			continue
		}
		address := strings.Contains(fields[0], "@")
		if address {
			q.mails, q.vague = append(q.mails, Fold(fields[0])), true
		}
		tokens([]byte(fields[0]), func(t token) bool {
			one := &term{text: string(t.text), runes: utf8.RuneCount(t.text), address: address, open: t.to == len(fields[0])}
			if t.digits && one.runes >= 3 {
				one.phone = number{digits: one.text}
			}
			signs += one.runes
			q.add(one)
			return true
		})
		fields = fields[1:]
	}
	if signs < 2 {
		return &query{}
	}
	slices.SortStableFunc(q.terms, func(a, b *term) int { return cmp.Compare(b.runes, a.runes) })
	q.terms = q.terms[:min(len(q.terms), maxQueryTerms)]
	return q
}

func (q *query) add(t *term) {
	q.vague = q.vague || t.phone.digits != ""
	if !slices.ContainsFunc(q.terms, func(other *term) bool { return other.text == t.text }) {
		q.terms = append(q.terms, t)
	}
}

// numberIn tells how many of the first fields are one number, and its digits: one of at least three digits, or several
// that have the length of a phone together. 0 when there is none.
func numberIn(fields []string) (n int, digits string) {
	for n < len(fields) && strings.IndexFunc(fields[n], unicode.IsLetter) < 0 && !strings.Contains(fields[n], "@") {
		digits += Digits(fields[n])
		n++
	}
	if n > 1 && len(digits) < 7 {
		n, digits = 1, Digits(fields[0])
	}
	if len(digits) < 3 {
		return 0, ""
	}
	return n, digits
}

// numberOf says under which runs of digits a typed number may stand: as it is, and without what the stored form writes
// otherwise: the 00 of 00972, the 0 of 050, the 8 of 8 495, a country's one to three digits.
func numberOf(digits string) number {
	const whole = 9 // digits of a number that is surely whole
	n := number{digits: digits}
	if rest, ok := strings.CutPrefix(digits, "00"); ok && len(rest) >= whole {
		n.digits = rest
	} else if rest, ok := strings.CutPrefix(digits, "0"); ok {
		if len(rest) >= whole-1 {
			n.digits = rest
		} else if len(rest) >= 3 {
			n.less = append(n.less, rest)
		}
	} else if rest, ok := strings.CutPrefix(digits, "8"); ok {
		if len(rest) == 10 {
			n.digits = rest
		} else if len(rest) >= 3 {
			n.less = append(n.less, rest)
		}
	}
	if len(n.digits) >= 11 {
		n.less = append(n.less, n.digits[3:])
	}
	return n
}
