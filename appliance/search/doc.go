package search

import (
	"encoding/binary"
	"encoding/json"
	"strings"

	"github.com/karov-crm/karov/appliance/fault"
)

// A query reads up to candidateLimit docs for each letter typed, so what it matches and ranks by stands in front, to be
// used as it lies: the moment the customer was last heard of (eight bytes, milliseconds), then the words, the first word
// of the title and the title, each with its length before it (varint). The rest is JSON, decoded for what is shown.

// stored is what search.docs keeps of a Doc. Its bytes are the store's: it is valid within the transaction only.
type stored struct {
	recent int64
	words  []byte // sorted; a NUL before, between and after them, so that a word is found by its beginning
	first  []byte // first folded word of the title
	title  []byte
	rest   []byte // a shown
}

// shown is what only results and changes need.
type shown struct {
	Principals   []string `json:"o,omitempty"`
	Subtitle string   `json:"s,omitempty"`
	Phones   []string `json:"p,omitempty"`
	Emails   []string `json:"e,omitempty"`
}

// encode gives the bytes of a Doc.
func encode(doc Doc) ([]byte, error) {
	rest, err := json.Marshal(shown{Principals: doc.Principals, Subtitle: doc.Subtitle, Phones: doc.Phones, Emails: doc.Emails})
	if err != nil {
		return nil, err
	}
	recent, first := int64(0), ""
	if !doc.Recent.IsZero() {
		recent = doc.Recent.UnixMilli()
	}
	if words := Words(doc.Title); len(words) > 0 {
		first = words[0]
	}
	raw := binary.BigEndian.AppendUint64(nil, uint64(recent))
	for _, part := range []string{"\x00" + strings.Join(wordsOf(doc), "\x00") + "\x00", first, doc.Title} {
		raw = append(binary.AppendUvarint(raw, uint64(len(part))), part...)
	}
	return append(raw, rest...), nil
}

// decode reads what encode wrote; no bytes are the zero doc.
func decode(raw []byte) (doc stored, err error) {
	if raw == nil {
		return doc, nil
	}
	if len(raw) < 8 {
		return doc, damaged(nil)
	}
	doc.recent, raw = int64(binary.BigEndian.Uint64(raw)), raw[8:]
	for _, part := range []*[]byte{&doc.words, &doc.first, &doc.title} {
		size, used := binary.Uvarint(raw)
		if used <= 0 || size > uint64(len(raw)-used) {
			return stored{}, damaged(nil)
		}
		*part, raw = raw[used:used+int(size)], raw[used+int(size):]
	}
	doc.rest = raw
	return doc, nil
}

func (d stored) shown() (s shown, err error) {
	if d.rest == nil {
		return s, nil
	}
	if err := json.Unmarshal(d.rest, &s); err != nil {
		return s, damaged(err)
	}
	return s, nil
}

func damaged(err error) error {
	return fault.Wrap(err, fault.Internal, "store.damaged", "what", docsBucket)
}
