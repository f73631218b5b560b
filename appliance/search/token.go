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
	var c cutter
	c.tokens(s, yield)
}

// tokens is the function tokens, for somebody who cuts many texts.
func (c *cutter) tokens(s []byte, yield func(token) bool) {
	c.text = c.buffer[:0]
	for at := 0; at < len(s); {
		r, size := decodeRune(s[at:])
		at += size
		if f, digit, letter := simple(r); f != 0 {
			if !c.sign(f, digit, letter, at-size, at, yield) {
				return
			}
			continue
		}
		one := foldRune(c.folded[:0], r)
		if len(one) == 0 && len(c.text) > 0 && unicode.IsMark(r) { // a mark over a letter
			c.to = at
		}
		for len(one) > 0 { // nothing for a quote, which is no border of a word
			f, n := decodeRune(one)
			digit, letter := kindOf(f)
			if !c.sign(f, digit, letter, at-size, at, yield) {
				return
			}
			one = one[n:]
		}
	}
	c.flush(yield)
}

// cutter collects the token that is being read.
type cutter struct {
	token
	buffer [maxWord + 8]byte
	folded [96]byte
}

func (c *cutter) flush(yield func(token) bool) bool {
	if len(c.text) == 0 {
		return true
	}
	ok := yield(c.token)
	c.text = c.buffer[:0]
	return ok
}

// sign takes a folded sign that stands in the text at from to to.
func (c *cutter) sign(f rune, digit, letter bool, from, to int, yield func(token) bool) bool {
	if len(c.text) > 0 && (!digit && !letter || digit != c.digits) && !c.flush(yield) {
		return false
	}
	if !digit && !letter {
		return true
	}
	if len(c.text) == 0 {
		c.digits, c.from = digit, from
	}
	if c.to = to; len(c.text) < maxWord-3 || len(c.text)+utf8.RuneLen(f) <= maxWord {
		c.text = utf8.AppendRune(c.text, f)
	}
	return true
}

// simple folds the signs of which most texts consist, 0 for another.
func simple(r rune) (f rune, digit, letter bool) {
	switch {
	case r >= 'a' && r <= 'z':
		return r, false, true
	case r >= 'A' && r <= 'Z':
		return r + 'a' - 'A', false, true
	case r >= '0' && r <= '9':
		return r, true, false
	case r == ' ' || r == '-' || r == '.' || r == '@' || r == ',':
		return r, false, false
	case r < utf8.RuneSelf:
		return 0, false, false
	}
	f = foldLetter(r)
	return f, false, f != 0
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
