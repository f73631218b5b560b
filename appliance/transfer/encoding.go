package transfer

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"github.com/karov-crm/karov/appliance/fault"
)

// The encodings that a file may have, as Options.Encoding and Result.Encoding name them.
const (
	UTF8        = "utf-8"
	UTF16LE     = "utf-16le"
	UTF16BE     = "utf-16be"
	Windows1255 = "windows-1255" // Hebrew
	Windows1251 = "windows-1251" // Russian
)

// Encodings lists the names that Options.Encoding takes.
func Encodings() []string { return []string{UTF8, UTF16LE, UTF16BE, Windows1255, Windows1251} }

// census is what one pass over the whole file learns, whatever its size.
type census struct {
	size     int64
	head     []byte // the first bytes, up to sampleSize
	counts   [256]int64
	inside   int64 // bytes that are a final Hebrew letter in windows-1255, followed by a letter
	ending   int64 // the same, but followed by none
	small    int64 // words that begin with a small letter in windows-1251
	runes    int64 // well-formed UTF-8 sequences of more than one byte
	broken   int64 // bytes that are not UTF-8
	previous byte
	tail     []byte // an unfinished UTF-8 sequence at the end of the last piece
}

// take counts the whole of r.
func (c *census) take(r io.Reader) error {
	buf := make([]byte, sampleSize)
	for {
		n, err := io.ReadFull(r, buf)
		c.add(buf[:n])
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			c.broken += int64(len(c.tail))
			return nil
		}
		if err != nil {
			return fmt.Errorf("read import file: %w", err)
		}
	}
}

func (c *census) add(p []byte) {
	if c.size == 0 {
		c.head = bytes.Clone(p)
	}
	c.size += int64(len(p))
	for _, b := range p {
		c.counts[b]++
		switch letter := b >= 0xC0; {
		case finalLetter(c.previous) && letter:
			c.inside++
		case finalLetter(c.previous):
			c.ending++
		case c.previous < 0xC0 && b >= 0xE0:
			c.small++
		}
		c.previous = b
	}
	c.wellFormed(p)
}

// wellFormed counts UTF-8 sequences, carrying a sequence that the end of p cuts over to the next piece.
func (c *census) wellFormed(p []byte) {
	if len(c.tail) > 0 {
		p = append(bytes.Clone(c.tail), p...)
		c.tail = nil
	}
	for len(p) > 0 {
		if p[0] < utf8.RuneSelf {
			p = p[1:]
			continue
		}
		if !utf8.FullRune(p) {
			c.tail = bytes.Clone(p)
			return
		}
		r, n := utf8.DecodeRune(p)
		if r == utf8.RuneError && n == 1 {
			c.broken++
		} else {
			c.runes++
		}
		p = p[n:]
	}
}

// sum adds up how often the bytes from..to occur.
func (c *census) sum(from, to int) (n int64) {
	for b := from; b <= to; b++ {
		n += c.counts[b]
	}
	return n
}

// know refuses what is no CSV and names the encoding of what is, with the number of bytes of its byte order mark.
func (c *census) know(o Options) (name string, mark int, err error) {
	if err := refuse(c, o.Name); err != nil {
		return "", 0, err
	}
	name, mark = byteOrderMark(c.head)
	switch {
	case o.Encoding != "":
		if _, err := decoder(o.Encoding); err != nil {
			return "", 0, err
		}
		if name != o.Encoding {
			mark = 0
		}
		return o.Encoding, mark, nil
	case name != "":
		return name, mark, nil
	case c.binary():
		return "", 0, fault.New(fault.Invalid, "transfer.not-text", "name", o.Name)
	case c.broken == 0 || c.runes > 10*c.broken:
		return UTF8, 0, nil // a few broken bytes are the fault of their rows, not of the file
	case c.dos():
		return "", 0, fault.New(fault.Invalid, "transfer.unknown-encoding", "name", o.Name)
	}
	return c.letters(o.Region), 0, nil
}

func byteOrderMark(head []byte) (string, int) {
	switch {
	case bytes.HasPrefix(head, []byte{0xEF, 0xBB, 0xBF}):
		return UTF8, 3
	case bytes.HasPrefix(head, []byte{0xFF, 0xFE}):
		return UTF16LE, 2
	case bytes.HasPrefix(head, []byte{0xFE, 0xFF}):
		return UTF16BE, 2
	}
	return "", 0
}

// refuse tells files that are something else by their first bytes.
func refuse(c *census, name string) error {
	text := c.head
	if _, mark := byteOrderMark(text); mark > 0 {
		text = text[mark:]
	}
	text = bytes.TrimSpace(text)
	if len(text) == 0 && c.size <= sampleSize {
		return fault.New(fault.Invalid, "transfer.empty", "name", name)
	}
	switch {
	case bytes.HasPrefix(text, []byte("PK\x03\x04")), bytes.HasPrefix(text, []byte("PK\x05\x06")), // xlsx, ods, zip
		bytes.HasPrefix(text, []byte("\xD0\xCF\x11\xE0")), // xls
		bytes.HasPrefix(text, []byte("\x09\x08\x10\x00")): // xls of Excel 4
		return fault.New(fault.Invalid, "transfer.is-workbook", "name", name)
	case hasFold(text, "<?xml"), hasFold(text, "<html"), hasFold(text, "<!doctype"), hasFold(text, "<table"),
		hasFold(text, "<meta"), bytes.HasPrefix(text, []byte("%PDF-")), bytes.HasPrefix(text, []byte(`{\rtf`)),
		bytes.HasPrefix(text, []byte("\x1F\x8B")), bytes.HasPrefix(text, []byte("Rar!")), bytes.HasPrefix(text, []byte("7z\xBC\xAF")):
		return fault.New(fault.Invalid, "transfer.is-document", "name", name)
	}
	return nil
}

func hasFold(text []byte, prefix string) bool {
	return len(text) >= len(prefix) && bytes.EqualFold(text[:len(prefix)], []byte(prefix))
}

// binary tells bytes that no text file has in number: control characters other than tab, line ends and form feed.
// A stray one is the fault of its row.
func (c *census) binary() bool {
	controls := c.sum(0, 0x1F) - c.sum('\t', '\r') + c.counts[0x7F]
	return controls*100 > c.size
}

// dos tells the code pages of DOS (862, 866), which Excel's "CSV (MS-DOS)" writes: their letters stand where Windows
// has rare signs. They are refused rather than read wrong.
func (c *census) dos() bool {
	signs := c.sum(0x80, 0x84) + c.sum(0x86, 0x90) + c.sum(0x98, 0x9F) +
		c.sum(0xA1, 0xA3) + c.counts[0xA5] + c.sum(0xAA, 0xAF) - c.counts[0xAB] - c.counts[0xAE]
	return signs > c.sum(0xC0, 0xFF)
}

// decoder gives the decoder of a named encoding; nil is UTF-8, which is read as it is and checked cell by cell.
func decoder(name string) (*encoding.Decoder, error) {
	switch name {
	case UTF8:
		return nil, nil
	case UTF16LE:
		return unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewDecoder(), nil
	case UTF16BE:
		return unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM).NewDecoder(), nil
	case Windows1255:
		return charmap.Windows1255.NewDecoder(), nil
	case Windows1251:
		return charmap.Windows1251.NewDecoder(), nil
	}
	return nil, fault.New(fault.Invalid, "transfer.encoding-name", "encoding", name, "encodings", strings.Join(Encodings(), ", "))
}
