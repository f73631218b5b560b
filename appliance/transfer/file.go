package transfer

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/text/transform"

	"github.com/karov-crm/karov/appliance/fault"
)

// file is a CSV that is understood as far as its header, and stands at its first row.
type file struct {
	encoding  string
	separator byte
	columns   []Column
	rows      source
	mapper    *mapper
	read      *counter
	size      int64
}

// counter counts the bytes that pass.
type counter struct {
	in io.Reader
	n  int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.n += int64(n)
	return n, err
}

// open knows the file by a pass over all of it and stops behind its header.
func open(r io.ReadSeeker, o Options) (*file, error) {
	var c census
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("rewind import file: %w", err)
	}
	if err := c.take(r); err != nil {
		return nil, err
	}
	m := newMapper(o.Map)
	if o.Entity != nil {
		m = newEntityMapper(o.Entity, o.Map)
	}
	if m.wrong != nil {
		return nil, m.wrong
	}
	if o.Entity != nil && beginsJSON(c.head) != 0 {
		return openJSON(r, &c, m)
	}
	name, mark, err := c.know(o)
	if err != nil {
		return nil, err
	}
	sample, err := io.ReadAll(decoded(bytes.NewReader(c.head[mark:]), name))
	if err != nil {
		return nil, fmt.Errorf("decode import file: %w", err)
	}
	if c.size > int64(len(c.head)) { // the last line of the sample is cut
		sample = sample[:max(0, bytes.LastIndexAny(sample, "\r\n"))]
	}
	separator, told := separatorOf(string(sample), m)
	if _, err := r.Seek(int64(mark), io.SeekStart); err != nil {
		return nil, fmt.Errorf("rewind import file: %w", err)
	}
	f := &file{encoding: name, separator: separator, size: c.size, read: &counter{in: r, n: int64(mark)}, mapper: m}
	rows := &records{in: newLines(decoded(f.read, name)), separator: separator}
	return f, f.readHeader(rows, told, o.Name)
}

func decoded(r io.Reader, name string) io.Reader {
	d, _ := decoder(name) // know has checked the name
	if d == nil {
		return r
	}
	return transform.NewReader(r, d)
}

// readHeader reads the first row, after the line that told the separator, and fails when no column is known.
func (f *file) readHeader(rows *records, told bool, name string) error {
	if told {
		if _, err := rows.take(); err != nil {
			return fmt.Errorf("read separator line: %w", err)
		}
	}
	header, err := rows.next()
	if err == io.EOF {
		return fault.New(fault.Invalid, "transfer.empty", "name", name)
	}
	if err != nil {
		return fmt.Errorf("read header: %w", err)
	}
	cells := trimEmpty(header.cells)
	switch {
	case header.long, header.over, len(cells) > maxColumns:
		return fault.New(fault.Invalid, "transfer.too-many-columns", "limit", strconv.Itoa(maxColumns))
	case header.wrong.Key != "":
		return fault.New(fault.Invalid, "transfer.header-broken", "header", cut(header.cells[0], keptRaw))
	}
	columns, err := f.mapper.columns(cells)
	if err != nil {
		return err
	}
	f.columns = columns
	rows.columns = len(cells)
	f.rows = &shortRuns{in: rows, off: f.columns[0].Header == rejectLine}
	for _, c := range f.columns {
		if c.Field != "" && c.Field != Ignore {
			return nil
		}
	}
	return fault.New(fault.Invalid, "transfer.no-known-column", "headers", seen(cells))
}

// trimEmpty takes empty cells off the end of a header.
func trimEmpty(cells []string) []string {
	for len(cells) > 1 && strings.TrimSpace(cells[len(cells)-1]) == "" {
		cells = cells[:len(cells)-1]
	}
	return cells
}

// seen lists headers for a sentence.
func seen(cells []string) string {
	var b strings.Builder
	for i, c := range cells {
		if i == 20 || b.Len() > 500 {
			b.WriteString(", …")
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("«" + cut(printable(c), 60) + "»")
	}
	return b.String()
}

// separatorOf finds the separator of a sample: what a sep= line tells, else the one of comma, semicolon and tab that
// makes the most known headers, then the most rows with as many cells as the header, then the most columns.
func separatorOf(sample string, m *mapper) (found byte, told bool) {
	first, _, _ := strings.Cut(strings.ReplaceAll(sample, "\r", "\n"), "\n")
	first = strings.Trim(first, `"`)
	if len(first) == len("sep=;") && strings.EqualFold(first[:4], "sep=") && separates(first[4]) {
		return first[4], true
	}
	best, separator := -1, byte(',')
	for _, candidate := range []byte(",;\t") {
		if score := m.score(sample, candidate); score > best {
			best, separator = score, candidate
		}
	}
	return separator, false
}

// separates tells the bytes that may be a separator: tab and ASCII signs, but no quotation mark.
func separates(b byte) bool {
	return b == '\t' || b > ' ' && b < 0x7F && b != '"' && b != '\'' && fold(string(rune(b))) == "" && (b < '0' || b > '9')
}

// score tells how well the sample's first rows look when cut at separator.
func (m *mapper) score(sample string, separator byte) int {
	rows := &records{in: newLines(strings.NewReader(sample)), separator: separator}
	header, err := rows.next()
	switch {
	case err == nil && header.over:
		return maxColumns
	case err != nil || header.wrong.Key != "":
		return -1
	}
	cells := trimEmpty(header.cells)
	known, same := 0, 0
	for _, c := range cells {
		if m.field(c) != "" {
			known++
		}
	}
	rows.columns = len(cells)
	for range sampleRows {
		r, err := rows.next()
		if err != nil {
			break
		}
		if r.wrong.Key == "" {
			same++
		}
	}
	if len(cells) == 1 {
		same = 0 // any separator that does not occur cuts every row alike
	}
	return known*1_000_000 + same*10_000 + min(len(cells), maxColumns)
}
