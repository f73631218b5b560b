package filter

import (
	"bytes"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/karov-crm/karov/appliance/search"
)

// Texts compare as search.Fold folds them. Fold allocates, so the letters that people write here are folded one by one
// out of a table that Fold itself made; a text with any other character goes through Fold whole. A test compares both.

const (
	foldable = 0x2070 // runes below stand in the table: Latin, Greek, Cyrillic, Hebrew, Arabic, punctuation
	dropped  = 0      // folds to nothing
	unusual  = -1     // folds to more than one rune, or depends on what stands beside it
)

var folds = sync.OnceValue(func() *[foldable]rune {
	var table [foldable]rune
	for r := range rune(foldable) {
		switch folded := []rune(search.Fold("a" + string(r) + "a")); {
		case len(folded) == 2:
			table[r] = dropped
		case len(folded) == 3:
			table[r] = folded[1]
		default:
			table[r] = unusual
		}
	}
	table[0] = unusual
	return &table
})

// foldRune folds the first rune of b: size is 0 for one that the table does not know.
func foldRune(table *[foldable]rune, b []byte) (r rune, size int) {
	if b[0] < utf8.RuneSelf {
		r, size = rune(b[0]), 1
	} else if r, size = utf8.DecodeRune(b); r >= foldable || r == utf8.RuneError {
		return 0, 0
	}
	if r = table[r]; r == unusual {
		return 0, 0
	}
	return r, size
}

// compareFolded compares a text with a folded one: -1, 0 or 1 by their runes; starts tells that it begins with it.
func compareFolded(text []byte, folded string) (sign int, starts bool) {
	table, rest := folds(), folded
	for i := 0; i < len(text); {
		r, size := foldRune(table, text[i:])
		if size == 0 {
			return comparePlain(search.Fold(string(text)), folded)
		}
		i += size
		if r == dropped {
			continue
		}
		if rest == "" {
			return 1, true
		}
		want, wide := utf8.DecodeRuneInString(rest)
		if r != want {
			return compareInts(int64(r), int64(want)), false
		}
		rest = rest[wide:]
	}
	if rest != "" {
		return -1, false
	}
	return 0, true
}

func comparePlain(text, folded string) (sign int, starts bool) {
	return strings.Compare(text, folded), strings.HasPrefix(text, folded)
}

// appendFolded adds a folded text to a buffer; false for a text that the table does not know.
func appendFolded(buffer, text []byte) ([]byte, bool) {
	table := folds()
	for i := 0; i < len(text); {
		r, size := foldRune(table, text[i:])
		if size == 0 {
			return nil, false
		}
		if i += size; r != dropped {
			buffer = utf8.AppendRune(buffer, r)
		}
	}
	return buffer, true
}

// window is how much of a text is folded at a time.
const window = 512

// containsFolded tells whether a folded text stands within a text.
func containsFolded(text []byte, folded string) bool {
	if len(folded) > window/2 {
		return strings.Contains(search.Fold(string(text)), folded)
	}
	table := folds()
	var buffer [window]byte
	used := 0
	for i := 0; i < len(text); {
		r, size := foldRune(table, text[i:])
		if size == 0 {
			return strings.Contains(search.Fold(string(text)), folded)
		}
		if i += size; r == dropped {
			continue
		}
		if used+utf8.UTFMax > window {
			if bytesContain(buffer[:used], folded) {
				return true
			}
			used = copy(buffer[:], buffer[used-len(folded):used])
		}
		used += utf8.EncodeRune(buffer[used:], r)
	}
	return bytesContain(buffer[:used], folded)
}

// bytesContain is bytes.Contains without a copy of what is looked for.
func bytesContain(b []byte, s string) bool {
	if s == "" {
		return true
	}
	for {
		i := bytes.IndexByte(b, s[0])
		if i < 0 || len(b)-i < len(s) {
			return false
		}
		if string(b[i:i+len(s)]) == s {
			return true
		}
		b = b[i+1:]
	}
}

// Phones compare by their digits, in whatever form they were written.

const (
	enoughDigits = 7 // make a number of their own without the prefix of its country
	maxCountry   = 3 // digits of such a prefix
)

// samePhone tells whether two runs of digits are one phone: the same, or one written with the prefix of its country and
// the other within it.
func samePhone(a []byte, b string) bool {
	if len(a) == 11 && len(b) == 11 && (a[0] == '7' || a[0] == '8') && (b[0] == '7' || b[0] == '8') {
		return string(a[1:]) == b[1:] // Russians dial 8 where others dial 7
	}
	a, b = bytes.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	long, short := len(a), len(b)
	if long < short {
		long, short = short, long
	}
	return (long == short || short >= enoughDigits && long-short <= maxCountry) && string(a[len(a)-short:]) == b[len(b)-short:]
}

// maxDigits is up to where the digits of a stored phone are read.
const maxDigits = 32

// digitsOf puts the digits of a phone into a buffer; one with digits that are not ASCII goes the long way.
func digitsOf(buffer []byte, phone []byte) []byte {
	for _, c := range phone {
		if c >= utf8.RuneSelf {
			return append(buffer[:0], search.Digits(string(phone))...)
		}
		if c >= '0' && c <= '9' && len(buffer) < maxDigits {
			buffer = append(buffer, c)
		}
	}
	return buffer
}
