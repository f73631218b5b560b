package search

import (
	"bytes"
	"slices"
)

// A term is a class and a text: what records are listed under.
const (
	nameWord  = 'n' // a word of a name
	nameStart = 'N' // the first two letters of one
	textWord  = 't' // a word of another field
	textStart = 'T'
	mailWord  = 'e' // a run of letters in an e-mail address
	phoneGram = 'g' // four digits in a row of a phone
	otherGram = 'd' // four digits in a row of another field
	principal = 'o' // entity NUL principal
	moved     = 'm' // records heard of since they got their stamp
)

// maxTerms bounds the words, and again the digits, that one record is listed under.
const maxTerms = 400

// terms is the set of what one record is listed under.
type terms struct {
	arena []byte
	ends  []int
	list  [][]byte
}

func (t *terms) add(class byte, text []byte) {
	if len(t.ends) >= maxTerms {
		return
	}
	t.arena = append(append(t.arena, class), text...)
	t.ends = append(t.ends, len(t.arena))
}

// sorted gives the terms, each once.
func (t *terms) sorted() [][]byte {
	from := 0
	for _, end := range t.ends {
		t.list = append(t.list, t.arena[from:end:end])
		from = end
	}
	slices.SortFunc(t.list, bytes.Compare)
	t.list = slices.CompactFunc(t.list, bytes.Equal)
	return t.list
}

// termsOf lists what a stored doc is found by. It depends on the doc alone, so that a change can take away what was
// written before.
func termsOf(d *stored) [][]byte {
	t := &terms{arena: make([]byte, 0, 512), ends: make([]int, 0, 64), list: make([][]byte, 0, 64)}
	return t.of(d)
}

// of is termsOf, in the memory of those of an earlier doc.
func (t *terms) of(d *stored) [][]byte {
	t.arena, t.ends, t.list = t.arena[:0], t.ends[:0], t.list[:0]
	key := make([]byte, 0, 64)
	for _, p := range d.principals {
		if len(p) > 0 {
			key = append(append(append(key[:0], d.entity...), 0), p...)
			t.arena = append(append(t.arena, principal), key...)
			t.ends = append(t.ends, len(t.arena))
		}
	}
	for i := range d.parts {
		p := &d.parts[i]
		switch p.kind {
		case Name:
			t.words(p.text, nameWord, nameStart)
		case Phone:
			t.grams(phoneDigits(make([]byte, 0, 24), p.text), phoneGram)
		case Email:
			t.words(p.text, mailWord, 0)
		default:
			t.words(p.text, textWord, textStart)
		}
	}
	return t.sorted()
}

func (t *terms) words(text []byte, whole, begin byte) {
	tokens(text, func(tok token) bool {
		if tok.digits && len(tok.text) >= 3 {
			t.grams(tok.text, otherGram)
			return len(t.ends) < maxTerms
		}
		t.add(whole, tok.text)
		if begin != 0 {
			t.add(begin, start(tok.text))
		}
		return len(t.ends) < maxTerms
	})
}

// gramSize is how many digits in a row numbers are listed under. Numbers of three are listed as they are.
const gramSize = 4

func (t *terms) grams(digits []byte, class byte) {
	if len(digits) == gramSize-1 {
		t.add(class, digits)
	}
	for i := 0; i+gramSize <= len(digits); i++ {
		t.add(class, digits[i:i+gramSize])
	}
}

// phoneDigits appends the digits of a phone, however it is written.
func phoneDigits(b []byte, phone []byte) []byte {
	for i := range phone {
		switch c := phone[i]; {
		case c >= '0' && c <= '9':
			b = append(b, c)
		case c >= 0x80:
			return append(b[:0], Digits(string(phone))...)
		}
	}
	return b
}
