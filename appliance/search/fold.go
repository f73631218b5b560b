package search

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

var hebrewFinals = strings.NewReplacer("ך", "כ", "ם", "מ", "ן", "נ", "ף", "פ", "ץ", "צ")

// Fold brings a text to the form in which words are compared: lower case, no diacritics and niqqud, Hebrew final
// letters as the plain ones, ё as е, no quotes inside words (צה"ל is צהל, O'Brien is obrien).
func Fold(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for _, r := range norm.NFKD.String(s) {
		switch {
		case unicode.Is(unicode.Mn, r): // accents, niqqud, the dots of ё and й
		case r == '"' || r == '\'' || r == '׳' || r == '״' || r == '’' || r == '`':
		case unicode.Is(unicode.Cf, r): // marks of direction and other invisible ones
		default:
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return hebrewFinals.Replace(b.String())
}

// Words splits a text into folded words of letters and digits.
func Words(s string) []string {
	return strings.FieldsFunc(Fold(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// Digits keeps the digits of a text, in ASCII.
func Digits(s string) string {
	var b strings.Builder
	for _, r := range norm.NFKC.String(s) {
		if r >= '0' && r <= '9' {
			b.WriteRune(r)
		}
	}
	return b.String()
}
