package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// A fact is stored in one of two forms. The first journals wrote JSON; it begins with '{', and its hash is that of the
// JSON without the hash. Facts written since are binary, a third as long and written in a fortieth of the time:
//
//	1 byte      1, the form
//	uvarint     number
//	32 bytes    hash of the fact before, zero before the first
//	uvarint     moment, milliseconds since 1970, zigzag
//	text        name, actor, entity, id, contact
//	uvarint     1: it stands on a customer's timeline; 2: it tells of reading
//	uvarint     how many fields, then each as text
//	uvarint     how many words about it, then key and word of each as text, keys in order
//	32 bytes    SHA-256 of all bytes before
//
// A text is twice its length (uvarint) and its bytes, or 1 and the 16 bytes of an id in its usual form.

const (
	binaryForm = 1
	idText     = 1 // stands where a length stands, which is always even

	cardFlag = 1
	readFlag = 2
)

// sum is the hash of a fact.
type sum [sha256.Size]byte

func (s sum) String() string { return hex.EncodeToString(s[:]) }

// sumOf reads a hash in hex; anything else is the zero sum.
func sumOf(text string) (s sum) {
	if raw, err := hex.DecodeString(text); err == nil && len(raw) == len(s) {
		copy(s[:], raw)
	}
	return s
}

// encode gives the stored form of a fact after the one with the hash prev, and its own hash.
func encode(f *Fact, prev sum) (raw []byte, own sum) {
	raw = make([]byte, 0, 384)
	raw = binary.AppendUvarint(append(raw, binaryForm), f.Seq)
	raw = append(raw, prev[:]...)
	raw = binary.AppendVarint(raw, f.At.UnixMilli())
	for _, text := range [...]string{f.Name, f.Actor, f.Entity, f.ID, f.Contact} {
		raw = appendText(raw, text)
	}
	flags := byte(0)
	if f.Card {
		flags |= cardFlag
	}
	if f.Read {
		flags |= readFlag
	}
	raw = binary.AppendUvarint(append(raw, flags), uint64(len(f.Fields)))
	for _, field := range f.Fields {
		raw = appendText(raw, field)
	}
	raw = appendWords(raw, f.About)
	own = sha256.Sum256(raw)
	return append(raw, own[:]...), own
}

func appendWords(raw []byte, words map[string]string) []byte {
	raw = binary.AppendUvarint(raw, uint64(len(words)))
	var space [8]string
	keys := space[:0]
	for key := range words {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		raw = appendText(appendText(raw, key), words[key])
	}
	return raw
}

// appendText writes a text, with a mark in place of each byte that is no UTF-8: what is shown as JSON must say the same.
func appendText(raw []byte, text string) []byte {
	if id, ok := idOf(text); ok {
		return append(append(raw, idText), id[:]...)
	}
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	return append(binary.AppendUvarint(raw, uint64(len(text))<<1), text...)
}

// idOf gives the bytes of an id in its usual form: lower case, as 0198a6f2-7c3e-7d41-9a55-3f0e6b1c2d4e.
func idOf(text string) (id [16]byte, ok bool) {
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return id, false
	}
	at := 0
	for i := 0; i < 36; i += 2 {
		if text[i] == '-' {
			i++
		}
		high, low := nibble(text[i]), nibble(text[i+1])
		if high|low > 15 {
			return id, false
		}
		id[at] = high<<4 | low
		at++
	}
	return id, true
}

func nibble(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

func idString(id []byte) string {
	var text [36]byte
	hex.Encode(text[:8], id[:4])
	hex.Encode(text[9:13], id[4:6])
	hex.Encode(text[14:18], id[6:8])
	hex.Encode(text[19:23], id[8:10])
	hex.Encode(text[24:], id[10:16])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}

var errForm = errors.New("not a fact")

// decode reads a stored fact of either form. It does not check the hash: intact does.
func decode(raw []byte) (f Fact, err error) {
	if len(raw) > 0 && raw[0] == '{' {
		err = json.Unmarshal(raw, &f)
		return f, err
	}
	if len(raw) < 1+2*sha256.Size || raw[0] != binaryForm {
		return f, errForm
	}
	end := len(raw) - sha256.Size
	f.Hash = hex.EncodeToString(raw[end:])
	r := reader{rest: raw[1:end]}
	f.Seq = r.number()
	prev := r.bytes(sha256.Size)
	if !r.bad && sum(prev) != (sum{}) {
		f.Prev = hex.EncodeToString(prev)
	}
	f.At = time.UnixMilli(r.moment()).UTC()
	for _, text := range [...]*string{&f.Name, &f.Actor, &f.Entity, &f.ID, &f.Contact} {
		*text = r.text()
	}
	flags := r.number()
	f.Card, f.Read = flags&cardFlag != 0, flags&readFlag != 0
	for n := r.count(); n > 0 && !r.bad; n-- {
		f.Fields = append(f.Fields, r.text())
	}
	if n := r.count(); n > 0 && !r.bad {
		f.About = make(map[string]string, n)
		for ; n > 0 && !r.bad; n-- {
			key := r.text()
			f.About[key] = r.text()
		}
	}
	if r.bad || len(r.rest) > 0 {
		return Fact{}, errForm
	}
	return f, nil
}

// reader takes a binary fact apart. After the first thing that does not fit it is bad and gives nothing more.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) number() uint64 {
	n, used := binary.Uvarint(r.rest)
	if used <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[used:]
	return n
}

func (r *reader) moment() int64 {
	n, used := binary.Varint(r.rest)
	if used <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[used:]
	return n
}

// count reads how many texts follow; each takes a byte at least, so that no number makes us take memory for nothing.
func (r *reader) count() int {
	n := r.number()
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return 0
	}
	return int(n)
}

func (r *reader) bytes(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.bad, r.rest = true, nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) text() string {
	n := r.number()
	if n == idText {
		if id := r.bytes(16); id != nil {
			return idString(id)
		}
		return ""
	}
	if n%2 == 1 || n/2 > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return ""
	}
	return string(r.bytes(int(n / 2)))
}

// intact tells whether the stored bytes are those that the fact's own hash was made of.
func intact(raw []byte, f Fact) bool {
	if raw[0] != '{' {
		end := len(raw) - sha256.Size
		return sha256.Sum256(raw[:end]) == sum(raw[end:])
	}
	again, err := json.Marshal(f)
	if err != nil || string(again) != string(raw) { // what was added to the JSON counts too
		return false
	}
	own := f.Hash
	f.Hash = ""
	if again, err = json.Marshal(f); err != nil {
		return false
	}
	made := sum(sha256.Sum256(again))
	return made.String() == own
}
