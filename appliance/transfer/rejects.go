package transfer

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/karov-crm/karov/appliance/fault"
)

// rejectFile writes the rows that were not imported: a UTF-8 CSV with a byte order mark, cut like the input, two
// columns (the line, the reasons) before the input's own. An office mends it in Excel and imports it again: the two
// columns are known and left out then, and so is the line of an earlier reject file.
//
// A cell that Excel would calculate or shorten gets an apostrophe before it (see guard), which keeps +972… and 050…
// through Excel and makes no formula of =cmd|…; the import takes exactly that apostrophe away again, so that what
// nobody mended is rejected again for the same reason. A row with too few or too many cells keeps their number, and a
// row that could not be cut stands in one cell, as it was but for its line ends.
type rejectFile struct {
	out       io.Writer // nil: none is wanted
	separator byte
	columns   []Column
	reason    func(fault.Field) string
	begun     bool
}

func newRejectFile(out io.Writer, separator byte, columns []Column, reason func(fault.Field) string) *rejectFile {
	if reason == nil {
		reason = func(f fault.Field) string { return f.Key }
	}
	return &rejectFile{out: out, separator: separator, columns: columns, reason: reason}
}

// write adds one row, and the header before the first.
func (f *rejectFile) write(r row, faults []fault.Field) error {
	if f.out == nil {
		return nil
	}
	var b strings.Builder
	if !f.begun {
		b.WriteString("\uFEFF")
		if !strings.ContainsRune(",;\t", rune(f.separator)) {
			b.WriteString("sep=" + string(rune(f.separator)) + "\r\n")
		}
		f.record(&b, rejectLine, rejectReason, f.headers())
		f.begun = true
	}
	reasons := make([]string, 0, len(faults))
	for _, w := range faults {
		reasons = append(reasons, f.reason(w))
	}
	f.record(&b, strconv.Itoa(r.line), strings.Join(reasons, " "), f.own(r.cells, len(r.cells) == len(f.columns)))
	if _, err := io.WriteString(f.out, b.String()); err != nil {
		return fmt.Errorf("write reject file: %w", err)
	}
	return nil
}

func (f *rejectFile) headers() []string {
	cells := make([]string, len(f.columns))
	for i, c := range f.columns {
		cells[i] = c.Header
	}
	return f.own(cells, true)
}

// own leaves the two columns of an earlier reject file out of a row that has all its cells.
func (f *rejectFile) own(cells []string, all bool) []string {
	if !all {
		return cells
	}
	out := make([]string, 0, len(cells))
	for i, c := range cells {
		if h := f.columns[i].Header; h != rejectLine && h != rejectReason {
			out = append(out, c)
		}
	}
	return out
}

// record writes one record, every cell in quotes but the empty ones.
func (f *rejectFile) record(b *strings.Builder, line, reason string, cells []string) {
	for i, c := range append([]string{line, reason}, cells...) {
		if i > 0 {
			b.WriteByte(f.separator)
		}
		if c = guard(unguard(strings.TrimSpace(legible(c)))); c != "" {
			b.WriteString(`"` + strings.ReplaceAll(c, `"`, `""`) + `"`)
		}
	}
	b.WriteString("\r\n")
}

// legible puts the sign of an unknown letter for what is no text, so that the reject file is text. Such a row is
// rejected again until somebody mends it.
func legible(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\v' && r != '\f' && r != 0x85 {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
}
