package search

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
)

// Kind is how a part of a doc finds it.
type Kind byte

const (
	Name  Kind = iota + 1 // each word of it, before any other part's
	Text                  // each word of it
	Phone                 // each run of at least three digits
	Email                 // each part, and the whole
)

// Part is one text that a record can be found by.
type Part struct {
	Field string // the field it stands in: who may not read the field does not find by it
	Kind  Kind
	Text  string
	Shown bool // stands in the subtitle, in the order of the parts
}

// Doc is what a record can be found by, and what a result shows of it.
type Doc struct {
	Entity     string
	ID         [16]byte
	Principals []string // whose it is: accounts, and subjects of shares
	Title      string
	Parts      []Part
	Recent     time.Time // when the customer was last heard of; the newer stands higher
}

const (
	docForm  = 1 // the first byte of a stored doc
	shownBit = 0x80
	titleBit = 0x40 // the part's text is the title's, which is not stored again

	// maxParts, maxPrincipals and maxText bound what is kept of one record. A longer text is found by its beginning.
	maxParts      = 100
	maxPrincipals = 1000
	maxText       = 4 << 10
)

// stored is a doc as it lies in the store: its texts are the store's bytes and valid within the transaction only.
type stored struct {
	entity     []byte
	id         [16]byte
	recent     int64 // milliseconds
	principals [][]byte
	title      []byte
	parts      []storedPart
}

// forget lets go of the store's bytes and keeps the memory of the slices.
func (d *stored) forget() {
	clear(d.principals[:cap(d.principals)])
	clear(d.parts[:cap(d.parts)])
	*d = stored{principals: d.principals[:0], parts: d.parts[:0]}
}

type storedPart struct {
	kind        Kind
	shown       bool
	field, text []byte
}

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && s[most]&0xc0 == 0x80 {
		most--
	}
	return s[:most]
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// encode gives the stored form of a doc.
func encode(doc Doc) []byte {
	b := make([]byte, 0, 256)
	b = append(b, docForm)
	b = binary.BigEndian.AppendUint64(b, uint64(millis(doc.Recent)))
	b = append(appendText(b, doc.Entity), doc.ID[:]...)
	principals := doc.Principals[:min(len(doc.Principals), maxPrincipals)]
	b = binary.AppendUvarint(b, uint64(len(principals)))
	for _, p := range principals {
		b = appendText(b, p)
	}
	b = appendText(b, cut(doc.Title, maxText))
	parts := doc.Parts[:min(len(doc.Parts), maxParts)]
	b = binary.AppendUvarint(b, uint64(len(parts)))
	for _, p := range parts {
		flags := byte(p.Kind) & 0x3f
		if p.Shown {
			flags |= shownBit
		}
		if p.Text == doc.Title {
			b = appendText(append(b, flags|titleBit), p.Field)
			continue
		}
		b = appendText(appendText(append(b, flags), p.Field), cut(p.Text, maxText))
	}
	return b
}

// reader takes a stored form apart; after the first thing that is not there it has failed and gives nothing more.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) take(n uint64) []byte {
	if r.failed || n > uint64(len(r.rest)) {
		r.failed = true
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) number() uint64 {
	n, used := binary.Uvarint(r.rest)
	if r.failed || used <= 0 {
		r.failed = true
		return 0
	}
	r.rest = r.rest[used:]
	return n
}

func (r *reader) text() []byte { return r.take(r.number()) }

// count is a number of things that follow, each of at least one byte.
func (r *reader) count() int {
	n := r.number()
	if n > uint64(len(r.rest)) {
		r.failed = true
		return 0
	}
	return int(n)
}

// sameTerms tells whether two stored forms differ at most in when the customer was heard of.
func sameTerms(a, b []byte) bool {
	const front = 1 + 8
	return len(a) > front && len(b) > front && bytes.Equal(a[front:], b[front:])
}

// begin reads of what encode wrote whose it is and when it was last heard of, into d, whose slices it uses again.
func (d *stored) begin(raw []byte) error {
	_, err := d.head(raw)
	return err
}

func (d *stored) head(raw []byte) (reader, error) {
	r := reader{rest: raw}
	if form := r.take(1); r.failed || form[0] != docForm {
		return r, damaged(recordsBucket)
	}
	if recent := r.take(8); !r.failed {
		d.recent = int64(binary.BigEndian.Uint64(recent))
	}
	d.entity = r.text()
	copy(d.id[:], r.take(16))
	d.principals = d.principals[:0]
	for n := r.count(); n > 0 && !r.failed; n-- {
		d.principals = append(d.principals, r.text())
	}
	if r.failed {
		return r, damaged(recordsBucket)
	}
	return r, nil
}

// decode reads what encode wrote, into d, whose slices it uses again.
func (d *stored) decode(raw []byte) error {
	r, err := d.head(raw)
	if err != nil {
		return err
	}
	d.title = r.text()
	d.parts = d.parts[:0]
	for n := r.count(); n > 0 && !r.failed; n-- {
		flags := r.take(1)
		if r.failed {
			break
		}
		p := storedPart{kind: Kind(flags[0] & 0x3f), shown: flags[0]&shownBit != 0, field: r.text(), text: d.title}
		if flags[0]&titleBit == 0 {
			p.text = r.text()
		}
		d.parts = append(d.parts, p)
	}
	if r.failed || len(r.rest) > 0 {
		return damaged(recordsBucket)
	}
	return nil
}

func damaged(bucket string) error {
	return fault.New(fault.Internal, "store.damaged", "what", bucket)
}
