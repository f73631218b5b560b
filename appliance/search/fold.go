package search

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Fold brings a text to the form in which words are compared: lower case, no diacritics and niqqud, Hebrew final
// letters as the plain ones, ё as е, no quotes inside words (צה"ל is צהל, O'Brien is obrien).
func Fold(s string) string {
	if plain(s) {
		return s
	}
	return string(appendFolded(make([]byte, 0, len(s)), s))
}

// plain tells whether folding changes nothing, of what can be told at a glance.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || c >= 'A' && c <= 'Z' || c == '"' || c == '\'' || c == '`' {
			return false
		}
	}
	return true
}

func appendFolded(b []byte, s string) []byte {
	for _, r := range s {
		b = foldRune(b, r)
	}
	return b
}

// foldRune appends a folded sign: nothing, one or several.
func foldRune(b []byte, r rune) []byte {
	if r < utf8.RuneSelf && r >= ' ' && r != '"' && r != '\'' && r != '`' {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return append(b, byte(r))
	}
	if folded := foldLetter(r); folded > 0 {
		return utf8.AppendRune(b, folded)
	}
	return foldSign(b, r)
}

// foldLetter folds the letters of which most texts consist, 0 for another sign.
func foldLetter(r rune) rune {
	switch {
	case r >= 'א' && r <= 'ת':
		switch r {
		case 'ך', 'ם', 'ן', 'ף', 'ץ': // each stands before its plain form
			return r + 1
		}
		return r
	case r >= 'а' && r <= 'я' && r != 'й':
		return r
	case r >= 'А' && r <= 'Я' && r != 'Й':
		return r + 'а' - 'А'
	}
	return 0
}

// foldSign folds any sign.
func foldSign(b []byte, r rune) []byte {
	var whole [utf8.UTFMax]byte
	var parts [64]byte
	for rest := norm.NFKD.Append(parts[:0], utf8.AppendRune(whole[:0], r)...); len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		rest = rest[size:]
		switch {
		case unicode.Is(unicode.Mn, r): // accents, niqqud, the dots of ё and й
		case r == '"' || r == '\'' || r == '׳' || r == '״' || r == '’' || r == '`':
		case unicode.Is(unicode.Cf, r): // marks of direction and other invisible ones
		default:
			r = unicode.ToLower(r)
			if folded := foldLetter(r); folded > 0 {
				r = folded
			}
			b = utf8.AppendRune(b, r)
		}
	}
	return b
}

// Words splits a text into folded words of letters and digits.
func Words(s string) []string {
	return strings.FieldsFunc(Fold(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// Digits keeps the digits of a text, in ASCII.
func Digits(s string) string {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			s = norm.NFKC.String(s)
			break
		}
	}
	var b strings.Builder
	for i := range len(s) {
		if s[i] >= '0' && s[i] <= '9' {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
