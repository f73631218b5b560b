package transfer

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/xuri/excelize/v2"

	"github.com/karov-crm/karov/appliance/fault"
)

const (
	// maxBook is how many bytes a workbook may have, and maxOpenBook how many once it is unpacked: its small parts are
	// held whole.
	maxBook     = 64 << 20
	maxOpenBook = 256 << 20
	// lastDay is the number of the day after the last one of a workbook's calendar, 9999-12-31.
	lastDay = 2_958_466
)

// Ready makes a file one that Import reads: a workbook becomes a CSV in its place, in the folder, of which the options
// learn. Any other file is given back as it is; those that are no workbook of this kind Import names. The file that is
// given, with an error too, is the caller's to close and to take away.
func Ready(ctx context.Context, file *os.File, folder string, o *Options) (*os.File, error) {
	head := make([]byte, 4)
	n, err := file.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return file, fmt.Errorf("look at the file to import: %w", err)
	}
	if !bytes.Equal(head[:n], []byte("PK\x03\x04")) {
		return file, nil
	}
	rows, err := os.CreateTemp(folder, "import-*.csv")
	if err != nil {
		return file, fmt.Errorf("keep the rows of the workbook: %w", err)
	}
	u, err := unfold(ctx, file.Name(), folder, o.Name, rows)
	o.Encoding, o.row = UTF8, u.row
	return rows, errors.Join(err, file.Close(), os.Remove(file.Name()))
}

// unfolded is a workbook as a CSV that Import reads.
type unfolded struct {
	sheet string
	extra []int // lines within a row: a cell may have several
}

// row is the row of the sheet that a line of the CSV is of.
func (u unfolded) row(line int) int {
	before, _ := slices.BinarySearch(u.extra, line+1)
	return line - before
}

// unfold writes the first sheet of a workbook (XLSX) that has anything in it as a CSV. Days and moments are written as
// ISO has them, numbers with all their digits: a phone that Excel shows as 9.72501E+11 is whole. What is no workbook,
// is locked, or is larger than any office's is Invalid or TooLarge. The file is a path, since a workbook is read from its
// end; folder is for what is large.
func unfold(ctx context.Context, file, folder, name string, out io.Writer) (u unfolded, err error) {
	defer func() {
		if p := recover(); p != nil { // foreign bytes that the reader of workbooks did not foresee
			err = fault.Wrap(fmt.Errorf("panic: %v", p), fault.Invalid, "transfer.workbook-broken", "name", name)
		}
	}()
	info, err := os.Stat(file)
	if err != nil {
		return unfolded{}, fmt.Errorf("look at the workbook: %w", err)
	}
	if info.Size() > maxBook {
		return unfolded{}, fault.New(fault.TooLarge, "transfer.workbook-large", "name", name, "limit", maxBook>>20)
	}
	book, err := excelize.OpenFile(file, excelize.Options{UnzipSizeLimit: maxOpenBook, UnzipXMLSizeLimit: 16 << 20, TmpDir: folder,
		ShortDatePattern: "yyyy-mm-dd", LongDatePattern: "yyyy-mm-dd"})
	if err != nil {
		return unfolded{}, fault.Wrap(err, fault.Invalid, "transfer.workbook-broken", "name", name)
	}
	defer func() { err = errors.Join(err, book.Close()) }()
	for _, sheet := range book.GetSheetList() {
		if visible, err := book.GetSheetVisible(sheet); err != nil || !visible {
			continue
		}
		b := &unfolding{book: book, out: out, csv: csv.NewWriter(out)}
		if err := b.take(ctx, sheet); err != nil {
			return unfolded{}, b.wrong(ctx, err, name)
		}
		if b.width > 0 {
			return unfolded{sheet: sheet, extra: b.extra}, nil
		}
	}
	return unfolded{}, fault.New(fault.Invalid, "transfer.empty", "name", name)
}

// unfolding is a sheet on its way into a CSV.
type unfolding struct {
	book   *excelize.File
	out    io.Writer
	csv    *csv.Writer
	line   int // lines written
	blank  int // rows without anything since
	extra  []int
	width  int   // of the first row with anything in it: the header
	failed error // of the writer
}

// wrong tells what became of a sheet: ours where it could not be written, else the file's.
func (b *unfolding) wrong(ctx context.Context, err error, name string) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case b.failed != nil:
		return fmt.Errorf("write the rows of the workbook: %w", b.failed)
	}
	return fault.Wrap(err, fault.Invalid, "transfer.workbook-broken", "name", name)
}

// take writes a sheet row by row. It is read twice side by side: what stands in a cell, and what people see there.
func (b *unfolding) take(ctx context.Context, sheet string) error {
	stored, err := b.book.Rows(sheet)
	if err != nil {
		return err
	}
	defer func() { _ = stored.Close() }() // it was only read
	seen, err := b.book.Rows(sheet)
	if err != nil {
		return err
	}
	defer func() { _ = seen.Close() }()
	old := b.counts1904()
	for stored.Next() && seen.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		raw, err := stored.Columns(excelize.Options{RawCellValue: true})
		if err != nil {
			return err
		}
		shown, err := seen.Columns()
		if err != nil {
			return err
		}
		for i := range raw {
			if i < len(shown) {
				raw[i] = bookCell(raw[i], shown[i], old)
			}
		}
		if err := b.row(raw); err != nil {
			return err
		}
	}
	return errors.Join(stored.Error(), seen.Error())
}

// counts1904 tells a workbook whose calendar begins in 1904, as those of old Macs.
func (b *unfolding) counts1904() bool {
	about, err := b.book.GetWorkbookProps()
	return err == nil && about.Date1904 != nil && *about.Date1904
}

// row writes a row. Rows without anything are kept back, so that a sheet of such rows is nothing.
func (b *unfolding) row(cells []string) error {
	for len(cells) > 0 && strings.TrimSpace(cells[len(cells)-1]) == "" {
		cells = cells[:len(cells)-1]
	}
	if len(cells) == 0 {
		b.blank++
		return nil
	}
	if len(cells) > maxColumns+extraCells {
		cells = cells[:maxColumns+extraCells] // more is refused by who reads them
	}
	if b.width == 0 {
		b.width = len(cells)
	}
	for len(cells) < b.width { // a workbook does not keep empty cells at the end of a row
		cells = append(cells, "")
	}
	_, b.failed = io.WriteString(b.out, strings.Repeat("\n", b.blank))
	b.line, b.blank = b.line+b.blank+1, 0
	for _, cell := range cells {
		for range strings.Count(cell, "\n") {
			b.line++
			b.extra = append(b.extra, b.line)
		}
	}
	if b.failed == nil {
		b.failed = b.csv.Write(cells)
	}
	if b.failed == nil {
		b.csv.Flush()
		b.failed = b.csv.Error()
	}
	return b.failed
}

// bookCell is the text of a cell of which is known what is stored and what people see. A number is a day, a moment or a
// number by how it is shown.
func bookCell(stored, shown string, old bool) string {
	if stored == shown {
		return oneEnd(stored)
	}
	n, err := strconv.ParseFloat(stored, 64)
	if err != nil || math.IsInf(n, 0) || math.IsNaN(n) || strings.IndexFunc(shown, isDigit) < 0 {
		return oneEnd(shown) // a text, or yes and no
	}
	whole := strconv.FormatFloat(n, 'f', -1, 64)
	figures := digits(shown)
	if strings.Trim(shown, "0123456789 -()+") == "" && strings.TrimLeft(figures, "0") == whole && len(figures) > len(whole) {
		return shown // a phone or a code: its zeros are a matter of how it is shown
	}
	if at, err := excelize.ExcelDateToTime(n, old); err == nil && n < lastDay && !showsNumber(shown, n) && showsDay(shown, at) {
		if at = at.Round(time.Second); at.Equal(at.Truncate(24 * time.Hour)) {
			return at.Format(time.DateOnly)
		}
		return at.Format(time.DateTime)
	}
	return whole
}

func isDigit(r rune) bool { return r >= '0' && r <= '9' }

// oneEnd gives a text of several lines one kind of line end.
func oneEnd(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
}

// showsNumber tells whether a text shows the number itself, as 1,234.50 or ₪ 12 or 15%.
func showsNumber(shown string, n float64) bool {
	if strings.ContainsAny(shown, "%E") {
		return true
	}
	bare := strings.Map(func(r rune) rune {
		if isDigit(r) || strings.ContainsRune(".-/:", r) {
			return r
		}
		return -1
	}, shown)
	said, err := strconv.ParseFloat(bare, 64)
	return err == nil && math.Abs(said-n) < 1
}

// showsDay tells whether a text shows a day: its year, and its day or its month, stand there as numbers of their own.
func showsDay(shown string, at time.Time) bool {
	parts := strings.FieldsFunc(shown, func(r rune) bool { return !isDigit(r) })
	has := func(forms ...string) bool {
		return slices.ContainsFunc(parts, func(p string) bool { return slices.Contains(forms, p) })
	}
	year, day, month := has(at.Format("2006"), at.Format("06")), has(at.Format("2"), at.Format("02")), has(at.Format("1"), at.Format("01"))
	return year && len(parts) > 1 && (day || month) && strings.ContainsAny(shown, "/-.: ")
}
