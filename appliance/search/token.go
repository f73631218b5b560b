package search

import (
	"unicode"
	"unicode/utf8"
)

// maxWord is how many folded bytes of a word count.
const maxWord = 64

// token is a run of letters or a run of digits in a text: "cohen12345" is two.
type token struct {
	text     []byte // folded; valid until the next token
	digits   bool
	from, to int // where it stands in the text
}

// tokens yields the tokens of a text in order.
func tokens(s []byte, yield func(token) bool) {
	var buffer [maxWord + 8]byte
	var folded [96]byte
	t := token{text: buffer[:0]}
	flush := func() bool {
		ok := len(t.text) == 0 || yield(t)
		t.text = buffer[:0]
		return ok
	}
	for at := 0; at < len(s); {
		r, size := decodeRune(s[at:])
		one := foldRune(folded[:0], r)
		at += size
		if len(one) == 0 { // a quote, a mark over a letter: no border of a word
			if len(t.text) > 0 && unicode.IsMark(r) {
				t.to = at
			}
			continue
		}
		for len(one) > 0 {
			f, n := decodeRune(one)
			digit, letter := kindOf(f)
			if len(t.text) > 0 && (!digit && !letter || digit != t.digits) && !flush() {
				return
			}
			if digit || letter {
				if len(t.text) == 0 {
					t.digits, t.from = digit, at-size
				}
				if t.to = at; len(t.text)+n <= maxWord {
					t.text = append(t.text, one[:n]...)
				}
			}
			one = one[n:]
		}
	}
	flush()
}

func kindOf(folded rune) (digit, letter bool) {
	if folded < utf8.RuneSelf {
		return folded >= '0' && folded <= '9', folded >= 'a' && folded <= 'z'
	}
	return false, unicode.IsLetter(folded) || unicode.IsDigit(folded)
}

func decodeRune(b []byte) (rune, int) {
	if b[0] < utf8.RuneSelf {
		return rune(b[0]), 1
	}
	return utf8.DecodeRune(b)
}

// beginning is where in s, of which a token stands at from to to, the first n folded bytes of the token end.
func beginning(s []byte, from, to, n int) int {
	var folded [96]byte
	for at := from; at < to; {
		r, size := decodeRune(s[at:])
		one := len(foldRune(folded[:0], r))
		if n <= 0 && (one > 0 || !unicode.IsMark(r)) {
			return at
		}
		n -= one
		at += size
	}
	return to
}

// start is the first two letters of a word, or its only one.
func start(word []byte) []byte {
	_, n := decodeRune(word)
	if n < len(word) {
		_, m := decodeRune(word[n:])
		n += m
	}
	return word[:n]
}
