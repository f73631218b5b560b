package transfer

import (
	"archive/zip"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/xuri/excelize/v2"

	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

// sheetRows is how many rows one sheet of a workbook has, its header among them (ECMA-376).
const sheetRows = 1_048_576

// workbook writes XLSX. Its rows wait on disk until the end, since a workbook is a zip. Numbers, amounts of money, days
// and moments are what they are; a text is a text and no formula. More records than a sheet takes go on in another.
type workbook struct {
	out     io.Writer
	name    string
	columns []column
	zone    *time.Location
	most    int // rows of a sheet

	file   *excelize.File
	sheet  *excelize.StreamWriter
	sheets int
	row    int
	day    int // styles
	moment int
	money  map[string]int // by currency
}

func newWorkbook(w io.Writer, name string, columns []column, zone *time.Location) (*workbook, error) {
	b := &workbook{out: w, name: name, columns: columns, zone: zone, most: sheetRows, file: excelize.NewFile(),
		money: map[string]int{}}
	day, moment := "yyyy-mm-dd", "yyyy-mm-dd hh:mm"
	var err error
	if b.day, err = b.file.NewStyle(&excelize.Style{CustomNumFmt: &day}); err != nil {
		return nil, err
	}
	b.moment, err = b.file.NewStyle(&excelize.Style{CustomNumFmt: &moment})
	return b, err
}

func (b *workbook) head(columns []column) error {
	if b.sheet != nil {
		if err := b.sheet.Flush(); err != nil {
			return err
		}
	}
	name := b.name
	b.sheets++
	if b.sheets == 1 {
		if err := b.file.SetSheetName("Sheet1", name); err != nil {
			return err
		}
	} else {
		name += " " + strconv.Itoa(b.sheets)
		if _, err := b.file.NewSheet(name); err != nil {
			return err
		}
	}
	var err error
	if b.sheet, err = b.file.NewStreamWriter(name); err != nil {
		return err
	}
	if err := b.sheet.SetPanes(&excelize.Panes{Freeze: true, YSplit: 1, TopLeftCell: "A2", ActivePane: "bottomLeft"}); err != nil {
		return err
	}
	b.row = 0
	cells := make([]any, len(columns))
	for i, c := range columns {
		cells[i] = c.name
	}
	return b.put(cells)
}

func (b *workbook) put(cells []any) error {
	b.row++
	return b.sheet.SetRow("A"+strconv.Itoa(b.row), cells)
}

func (b *workbook) add(r record.Record) error {
	if b.row >= b.most {
		if err := b.head(b.columns); err != nil {
			return err
		}
	}
	cells := make([]any, len(b.columns))
	for i, c := range b.columns {
		cells[i] = b.cell(r, c)
	}
	return b.put(cells)
}

// cell is a value as a workbook knows it. Its calendar begins in 1900; what was before is a text.
func (b *workbook) cell(r record.Record, c column) any {
	value := plainOf(r, c)
	kind := schema.Text
	switch {
	case c.field != nil:
		kind = c.field.Type
	case c.name == "created_at" || c.name == "updated_at":
		kind = schema.Time
	}
	switch v := value.(type) {
	case float64, uint64, bool, nil:
		return v
	case schema.Amount:
		if n, err := strconv.ParseFloat(v.Decimal(), 64); err == nil && exact(n, v) {
			return excelize.Cell{StyleID: b.moneyStyle(v), Value: n}
		}
	case string:
		switch kind {
		case schema.Date:
			if t, err := time.Parse(time.DateOnly, v); err == nil && t.Year() > 1900 {
				return excelize.Cell{StyleID: b.day, Value: t}
			}
		case schema.Time:
			if t, err := time.Parse(time.RFC3339Nano, v); err == nil && t.Year() > 1900 {
				t = t.In(b.zone) // a workbook knows no zones: the office's clock
				return excelize.Cell{StyleID: b.moment, Value: time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)}
			}
		}
	}
	return cellOf(value)
}

// exact tells whether a workbook's number holds an amount to its last unit.
func exact(n float64, a schema.Amount) bool {
	digits, _ := schema.Digits(a.Currency)
	return strconv.FormatFloat(n, 'f', digits, 64) == a.Decimal() && a.Minor < 1<<52 && a.Minor > -(1<<52)
}

// moneyStyle shows an amount with its currency behind it.
func (b *workbook) moneyStyle(a schema.Amount) int {
	if style, ok := b.money[a.Currency]; ok {
		return style
	}
	form := "#,##0"
	if digits, _ := schema.Digits(a.Currency); digits > 0 {
		form += "." + "000000"[:digits]
	}
	form += ` "` + a.Currency + `"`
	style, err := b.file.NewStyle(&excelize.Style{CustomNumFmt: &form})
	if err != nil {
		style = 0 // the plain number then; excelize knows the form, so it does not come to that
	}
	b.money[a.Currency] = style
	return style
}

func (b *workbook) end() error {
	if err := b.sheet.Flush(); err != nil {
		return err
	}
	// It would gather the zip in memory before it writes it: it gets a zip that goes straight to the reader.
	b.file.SetZipWriter(func(io.Writer) excelize.ZipWriter { return zip.NewWriter(b.out) })
	_, err := b.file.WriteTo(io.Discard)
	return errors.Join(err, b.file.Close())
}
