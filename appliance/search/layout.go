package search

import (
	"strings"
	"unicode/utf8"
)

// layout is what the keys of a keyboard write: those of qwerty, in its order.
type layout struct{ keys []rune }

const qwerty = "`qwertyuiop[]asdfghjkl;'zxcvbnm,./"

// The layouts that an office here types in: Israel's (SI 1452) and Russia's, beside the Latin one.
var layouts = []layout{
	{[]rune(qwerty)},
	{[]rune(";/'קראטוןםפ][שדגכעיחלךף,זסבהנמצתץ.")},
	{[]rune("ёйцукенгшщзхъфывапролджэячсмитьбю.")},
}

// retyped gives what the same keys write in the other layouts: for each, only where every letter of the query stands on
// a key of one layout and gives a letter in the other.
func retyped(query string) (others []string) {
	query = strings.ToLower(query)
	for _, from := range layouts {
		if !from.wrote(query) {
			continue
		}
		for _, to := range layouts {
			if other := from.as(to, query); other != "" && other != query {
				others = append(others, other)
			}
		}
	}
	return others
}

// wrote tells whether the letters of a query are all of a layout, and there is one.
func (l layout) wrote(query string) bool {
	letters := 0
	for _, r := range query {
		if !isLetter(r) {
			continue
		}
		if l.key(r) < 0 {
			return false
		}
		letters++
	}
	return letters > 0
}

// as writes the query in another layout, "" where a letter becomes none. A sign of punctuation is taken for what its key
// writes only where that is a letter: a dot stays one in an address.
func (l layout) as(other layout, query string) string {
	var b strings.Builder
	for _, r := range query {
		at := l.key(r)
		switch {
		case at >= 0 && isLetter(other.keys[at]):
			b.WriteRune(other.keys[at])
		case isLetter(r):
			return ""
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func (l layout) key(r rune) int {
	for at, k := range l.keys {
		if k == r {
			return at
		}
	}
	return -1
}

func isLetter(r rune) bool {
	var folded [utf8.UTFMax * 8]byte
	one := foldRune(folded[:0], r)
	if len(one) == 0 {
		return false
	}
	f, _ := decodeRune(one)
	_, letter := kindOf(f)
	return letter
}
