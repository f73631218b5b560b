package search

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"
)

// term is one word of a query, in every spelling under which it may stand in the index.
type term struct {
	spellings []string
	digits    bool
}

// parse splits a query into terms, the most telling first. A query of digits and signs only is one phone number.
func parse(query string) []term {
	if len(query) > 200 {
		query = strings.ToValidUTF8(query[:200], "")
	}
	query = strings.TrimSpace(query)
	digits := Digits(query)
	if len(digits) >= 3 && strings.Trim(query, "+0123456789-–() ./\u200e\u200f\u2066\u2069\u202a\u202c") == "" {
		return []term{{spellings: phoneSpellings(digits), digits: true}}
	}
	if strings.Contains(query, "@") && !strings.ContainsAny(query, " \t") {
		return []term{{spellings: []string{strings.ToLower(query)}}}
	}
	var terms []term
	letters := 0
	for _, word := range Words(query) {
		letters += utf8.RuneCountInString(word)
		if len(word) > maxWord {
			word = strings.ToValidUTF8(word[:maxWord], "")
		}
		t := term{spellings: []string{word}}
		if Digits(word) == word && len(word) >= 3 {
			t = term{spellings: append(phoneSpellings(word), word), digits: true}
		}
		terms = append(terms, t)
	}
	if letters < 2 {
		return nil
	}
	slices.SortStableFunc(terms, func(a, b term) int { return cmp.Compare(len(b.spellings[0]), len(a.spellings[0])) })
	return terms[:min(len(terms), 8)]
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
	return spellings
}

// match tells whether a record matches every term, how well, and which phone or e-mail did it.
func match(doc stored, terms []term) (score int, hit string, ok bool) {
	for _, t := range terms {
		best := 0
		for _, spelling := range t.spellings {
			at, _ := slices.BinarySearch(doc.Words, spelling)
			if at >= len(doc.Words) || !strings.HasPrefix(doc.Words[at], spelling) {
				continue
			}
			if doc.Words[at] == spelling {
				best = max(best, 3)
			} else {
				best = max(best, 1)
			}
			if hit == "" {
				hit = shown(doc, t, spelling)
			}
		}
		if best == 0 {
			return 0, "", false
		}
		if first := Words(doc.Title); !t.digits && len(first) > 0 && strings.HasPrefix(first[0], t.spellings[0]) {
			best++
		}
		score += best
	}
	return score, hit, true
}

// shown is the phone or e-mail that a term matched, "" when it matched a word of the title.
func shown(doc stored, t term, spelling string) string {
	if t.digits {
		for _, phone := range doc.Phones {
			if strings.Contains(Digits(phone), strings.TrimPrefix(spelling, "#")) {
				return phone
			}
		}
	}
	for _, word := range Words(doc.Title) {
		if strings.HasPrefix(word, spelling) {
			return ""
		}
	}
	for _, mail := range doc.Emails {
		if strings.Contains(strings.ToLower(mail), spelling) {
			return mail
		}
	}
	return ""
}
