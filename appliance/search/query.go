package search

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// term is one word of a query, in every spelling under which it may stand in the index.
type term struct {
	spellings  []string
	beginnings [][]byte // a NUL and the spelling, as a word of it begins in a stored doc
	digits     bool
}

func newTerm(digits bool, spellings ...string) term {
	t := term{spellings: spellings, digits: digits}
	for _, s := range spellings {
		t.beginnings = append(t.beginnings, []byte("\x00"+s))
	}
	return t
}

// parse splits a query into terms. Numbers that stand side by side are one phone when they are long enough together.
func parse(query string) []term {
	if len(query) > 200 {
		query = strings.ToValidUTF8(query[:200], "")
	}
	// Marks of direction and other invisible signs come along when a phone or an address is copied from a page.
	query = strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Cf, r):
			return -1
		case unicode.IsControl(r):
			return ' '
		}
		return r
	}, query))
	if strings.IndexByte(query, '@') > 0 && !strings.ContainsFunc(query, unicode.IsSpace) {
		return []term{newTerm(false, cutWord(strings.ToLower(query)))}
	}
	var terms []term
	signs := 0 // letters and digits
	fields := strings.Fields(query)
	for len(fields) > 0 {
		if n, digits := number(fields); n > 0 {
			terms = append(terms, newTerm(true, append(phoneSpellings(digits), digits)...))
			signs += len(digits)
			fields = fields[n:]
			continue
		}
		for _, word := range Words(fields[0]) {
			signs += utf8.RuneCountInString(word)
			terms = append(terms, newTerm(false, cutWord(word)))
		}
		fields = fields[1:]
	}
	if signs < 2 {
		return nil
	}
	slices.SortStableFunc(terms, func(a, b term) int { return cmp.Compare(len(b.spellings[0]), len(a.spellings[0])) })
	return terms[:min(len(terms), 8)]
}

// number tells how many of the first fields are one number, and its digits: one of at least three digits, or several
// that have the length of a phone together. 0 when there is none.
func number(fields []string) (n int, digits string) {
	for n < len(fields) && strings.IndexFunc(fields[n], unicode.IsLetter) < 0 {
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

// phoneSpellings are the runs of digits under which a typed number may stand: as it is, and without the national or
// international prefix that the stored form writes otherwise (0 of 050..., 8 of 8 495..., 00 of 00972...).
func phoneSpellings(digits string) []string {
	spellings := []string{"#" + digits}
	for _, prefix := range []string{"00", "0", "8"} {
		if rest, ok := strings.CutPrefix(digits, prefix); ok && len(rest) >= 3 {
			spellings = append(spellings, "#"+rest)
		}
	}
	if len(digits) == 11 && digits[0] == '7' { // stored as 8 495..., in an office where that is no phone
		spellings = append(spellings, "#"+digits[1:])
	}
	return spellings
}

// match tells whether a record matches every term, and how well.
func match(doc stored, terms []term) (score int, ok bool) {
	for _, t := range terms {
		best := 0
		for _, beginning := range t.beginnings {
			// The words are sorted: where one is the whole of the beginning, it is the first that is found.
			at := bytes.Index(doc.words, beginning)
			if at < 0 {
				continue
			}
			best = max(best, 1)
			if end := at + len(beginning); end == len(doc.words) || doc.words[end] == 0 {
				best = 3
			}
		}
		if best == 0 {
			return 0, false
		}
		if !t.digits && bytes.HasPrefix(doc.first, t.beginnings[0][1:]) {
			best++
		}
		score += best
	}
	return score, true
}

// matched is the phone or e-mail that the terms found, "" when each of them stands in the title.
func matched(of string, doc shown, terms []term) (hit string) {
	title, most := Words(of), 0
	terms = slices.DeleteFunc(slices.Clone(terms), func(t term) bool {
		return slices.ContainsFunc(title, func(word string) bool { return !t.digits && strings.HasPrefix(word, t.spellings[0]) })
	})
	for _, handle := range append(slices.Clone(doc.Phones), doc.Emails...) {
		n := 0
		for _, t := range terms {
			in := strings.ToLower(handle)
			if t.digits {
				in = Digits(handle)
			}
			if slices.ContainsFunc(t.spellings, func(s string) bool { return strings.Contains(in, strings.TrimPrefix(s, "#")) }) {
				n++
			}
		}
		if n > most {
			hit, most = handle, n
		}
	}
	return hit
}
