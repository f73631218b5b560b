package transfer

import (
	"bytes"
	"context"
	"encoding/csv"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"

	"github.com/karov-crm/karov/appliance/fault"
)

// bookOf writes a workbook and gives its path.
func bookOf(t testing.TB, write func(*excelize.File)) string {
	t.Helper()
	f := excelize.NewFile()
	write(f)
	path := filepath.Join(t.TempDir(), "book.xlsx")
	if err := errorsOf(f.SaveAs(path), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// rowsOf gives the rows of a workbook.
func rowsOf(t testing.TB, path string) ([][]string, unfolded) {
	t.Helper()
	var out bytes.Buffer
	u, err := unfold(t.Context(), path, t.TempDir(), "book.xlsx", &out)
	if err != nil {
		t.Fatal(err)
	}
	r := csv.NewReader(&out)
	r.FieldsPerRecord = -1
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows, u
}

// TestCellsOfAWorkbook: what people see as a day is a day, whatever its form; a number keeps all its digits, and a phone
// its zero.
func TestCellsOfAWorkbook(t *testing.T) {
	day, noon := time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC), time.Date(2026, 12, 31, 17, 30, 0, 0, time.UTC)
	for _, c := range []struct {
		about  string
		value  any
		number int    // of a built-in form
		form   string // or one of its own
		want   string
	}{
		{"a text", "דנה לוי", 0, "", "דנה לוי"},
		{"a text that looks like a number", "0501234567", 49, "", "0501234567"},
		{"a text of lines", "one\r\ntwo", 0, "", "one\ntwo"},
		{"a formula that is a text", "=1+1", 0, "", "=1+1"},
		{"a phone as a number", 972501234567.0, 0, "", "972501234567"},
		{"a phone shortened", 972501234567.0, 11, "", "972501234567"},
		{"a phone with a zero", 501234567, 0, "0000000000", "0501234567"},
		{"a phone with a zero and a line", 501234567, 0, `000"-"0000000`, "050-1234567"},
		{"a day of Excel's own", day, 14, "", "2026-12-31"},
		{"a day first", day, 0, "dd/mm/yyyy", "2026-12-31"},
		{"a month first", day, 0, "m/d/yy", "2026-12-31"},
		{"a day with points", day, 0, "d.m.yyyy", "2026-12-31"},
		{"a day with a month's name", day, 0, "d mmm yyyy", "2026-12-31"},
		{"a moment", noon, 22, "", "2026-12-31 17:30:00"},
		{"a number", 1234.5, 0, "", "1234.5"},
		{"a grouped number", 46387, 4, "", "46387"},
		{"a small number with zeros", 2, 2, "", "2"},
		{"a share", 0.15, 9, "", "0.15"},
		{"two hundred of a hundred", 2, 10, "", "2"},
		{"money", 12.5, 0, `[$₪-40D] #,##0.00`, "12.5"},
		{"money that looks like a day", 20.5, 0, `#,##0.00`, "20.5"},
		{"yes", true, 0, "", "TRUE"},
	} {
		path := bookOf(t, func(f *excelize.File) {
			style := &excelize.Style{NumFmt: c.number}
			if c.form != "" {
				style.CustomNumFmt = &c.form
			}
			id, err := f.NewStyle(style)
			if err := errorsOf(err, f.SetCellValue("Sheet1", "A1", "Header"), f.SetCellValue("Sheet1", "A2", c.value), f.SetCellStyle("Sheet1", "A2", "A2", id)); err != nil {
				t.Fatal(err)
			}
		})
		if rows, _ := rowsOf(t, path); len(rows) != 2 || rows[1][0] != c.want {
			t.Errorf("%s: %q, want %q", c.about, rows, c.want)
		}
	}
}

// TestRowsOfAWorkbook: the first sheet with anything in it that is not hidden is taken, and a line of what it becomes is
// told by its row.
func TestRowsOfAWorkbook(t *testing.T) {
	path := bookOf(t, func(f *excelize.File) {
		_, err1 := f.NewSheet("Hidden")
		_, err2 := f.NewSheet("People")
		if err := errorsOf(err1, err2, f.SetCellValue("Hidden", "A1", "secret"), f.SetSheetVisible("Hidden", false),
			f.SetCellValue("People", "A2", "Name"), f.SetCellValue("People", "B2", "Note"),
			f.SetCellValue("People", "A3", "Dana"), f.SetCellValue("People", "B3", "one\ntwo\nthree"),
			f.SetCellValue("People", "A6", "Avi"), f.SetCellValue("People", "C6", "more"), f.SetCellValue("People", "A7", "Last")); err != nil {
			t.Fatal(err)
		}
	})
	rows, u := rowsOf(t, path)
	if u.sheet != "People" || len(rows) != 4 || !slices.Equal(rows[1], []string{"Dana", "one\ntwo\nthree"}) || !slices.Equal(rows[2], []string{"Avi", "", "more"}) || !slices.Equal(rows[3], []string{"Last", ""}) {
		t.Errorf("sheet %q: %q", u.sheet, rows)
	}
	for line, row := range map[int]int{1: 1, 2: 2, 3: 3, 6: 4, 8: 6} { // 4 and 5 are lines of row 3
		if got := u.row(line); got != row {
			t.Errorf("line %d is of row %d, want %d", line, got, row)
		}
	}
}

// TestAWorkbookIsReady: it is imported as any file, a rejected row is told by its number, and the workbook is gone.
func TestAWorkbookIsReady(t *testing.T) {
	path := bookOf(t, func(f *excelize.File) {
		if err := errorsOf(f.SetCellValue("Sheet1", "A1", "Name"), f.SetCellValue("Sheet1", "B1", "Phone"), f.SetCellValue("Sheet1", "C1", "Note"),
			f.SetCellValue("Sheet1", "A2", "Dana"), f.SetCellValue("Sheet1", "C2", "one\ntwo"), f.SetCellValue("Sheet1", "B3", 7)); err != nil {
			t.Fatal(err)
		}
	})
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Name: "book.xlsx", DryRun: true}
	var rejects bytes.Buffer
	o.Rejects = &rejects
	ready, err := Ready(t.Context(), file, t.TempDir(), &o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ready.Close() }() // it was only read
	r, err := Import(t.Context(), ready, o, nil)
	if err != nil || r.Rows != 2 || len(r.Rejects) != 1 || r.Rejects[0].Line != 3 || r.Rejects[0].Fields[0].Line != 3 {
		t.Errorf("%+v, %v", r, err)
	}
	if !strings.Contains(rejects.String(), "\r\n\"3\",\"transfer.phone\"") {
		t.Errorf("the rejects are %q", rejects.String())
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the workbook is there still: %v", err)
	}
	plain := filepath.Join(t.TempDir(), "plain.csv")
	if err := os.WriteFile(plain, []byte("Na"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err = os.Open(plain)
	if err != nil {
		t.Fatal(err)
	}
	if same, err := Ready(t.Context(), file, t.TempDir(), &o); same != file || err != nil {
		t.Errorf("a file that is no workbook becomes %v, %v", same, err)
	}
}

// TestWhatIsNoWorkbook: a file that cannot be read is told as the caller's, and takes nobody down.
func TestWhatIsNoWorkbook(t *testing.T) {
	good, err := os.ReadFile(bookOf(t, func(f *excelize.File) {
		if err := f.SetCellValue("Sheet1", "A1", "Name"); err != nil {
			t.Fatal(err)
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	empty, err := os.ReadFile(bookOf(t, func(*excelize.File) {}))
	if err != nil {
		t.Fatal(err)
	}
	for about, c := range map[string]struct {
		raw []byte
		key string
	}{
		"nothing in it":       {empty, "transfer.empty"},
		"cut short":           {good[:len(good)/2], "transfer.workbook-broken"},
		"a zip of nothing":    {append([]byte("PK\x05\x06"), make([]byte, 18)...), ""},
		"a text":              {[]byte("PK\x03\x04 and no more"), "transfer.workbook-broken"},
		"broken in its midst": {bytes.Replace(bytes.Clone(good), []byte("xl/worksheets"), []byte("xl/workshoots"), -1), "transfer.workbook-broken"},
	} {
		path := filepath.Join(t.TempDir(), "x.xlsx")
		if err := os.WriteFile(path, c.raw, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := unfold(t.Context(), path, t.TempDir(), "x.xlsx", &bytes.Buffer{})
		if f := fault.Of(err); err == nil || f.Kind != fault.Invalid || c.key != "" && f.Key != c.key {
			t.Errorf("%s: %v", about, err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	path := filepath.Join(t.TempDir(), "x.xlsx")
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := unfold(gone, path, t.TempDir(), "x.xlsx", &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("nobody waits for it: %v", err)
	}
}

// FuzzUnfold: whatever the bytes are, they are rows or the caller's mistake.
func FuzzUnfold(f *testing.F) {
	for _, value := range []any{"Name", 46387, true, 1.5} {
		raw, err := os.ReadFile(bookOf(f, func(b *excelize.File) { _ = b.SetCellValue("Sheet1", "B2", value) }))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(raw[:len(raw)-30])
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		path := filepath.Join(t.TempDir(), "x.xlsx")
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := unfold(t.Context(), path, t.TempDir(), "x.xlsx", &bytes.Buffer{}); err != nil {
			if kind := fault.KindOf(err); kind != fault.Invalid && kind != fault.TooLarge {
				t.Fatal(err)
			}
		}
	})
}
