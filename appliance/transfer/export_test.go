package transfer

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"github.com/karov-crm/karov/appliance/record"
)

// TestExportIsNotHeldInMemory takes tens of megabytes out while the heap stays small.
func TestExportIsNotHeldInMemory(t *testing.T) {
	o := newOffice(t)
	note := strings.Repeat("note ", 1200)
	const n = 6000 // 36 MB
	for i := range n / 1000 {
		drafts := make([]Draft, 1000)
		for j := range drafts {
			drafts[j] = Draft{Kind: "person", Name: fmt.Sprintf("Customer %d", 1000*i+j), Note: fmt.Sprint(note, j), Key: fmt.Sprintf("k%d-%d", i, j)}
		}
		if _, _, err := o.Import(asAppliance(t.Context()), drafts); err != nil {
			t.Fatal(err)
		}
	}
	for _, format := range []string{CSV, JSON, XLSX, VCF} {
		x, err := o.Prepare(asAppliance(t.Context()), Order{Entity: "contact", Format: format})
		if err != nil {
			t.Fatal(err)
		}
		heap := func() uint64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		var most uint64
		size := counter{in: nil}
		before := heap()
		count, err := x.Write(asAppliance(t.Context()), writerOf(func(b []byte) { size.n += int64(len(b)) }), func(rows int) {
			if rows%1000 == 0 {
				most = max(most, heap()-min(before, heap()))
			}
		})
		if err != nil || count != n || size.n < 100_000 {
			t.Errorf("%s: %d records, %d bytes, %v", format, count, size.n, err)
		}
		if limit := uint64(24 << 20); most > limit {
			t.Errorf("%s: %d MB of heap", format, most>>20)
		}
	}
}

type writerOf func([]byte)

func (w writerOf) Write(b []byte) (int, error) { w(b); return len(b), nil }

// TestWorkbook reads a workbook back with its own program: numbers, money, days and texts are what they were, and what a
// sheet does not take goes on in the next.
func TestWorkbook(t *testing.T) {
	o, _ := carOffice(t)
	for i := range 5 {
		values := record.Values{"plate": fmt.Sprintf("=P%d", i), "price": "1234.50 ILS", "seats": float64(-i) - 0.5, "bought": "2020-02-29", "sold": true, "service_at": "2026-11-22T09:30:00Z"}
		if _, err := o.Book.Create(asAppliance(t.Context()), "car", values); err != nil {
			t.Fatal(err)
		}
	}
	e := o.Book.Schema().Entity("car")
	var columns []column
	for _, name := range []string{"plate", "price", "seats", "bought", "service_at", "sold"} {
		columns = append(columns, column{name, e.Field(name)})
	}
	var out bytes.Buffer
	b, err := newWorkbook(&out, "car", columns, o.Book.Zone())
	if err != nil {
		t.Fatal(err)
	}
	b.most = 4
	if err := b.head(columns); err != nil {
		t.Fatal(err)
	}
	for _, r := range cars(t, o) {
		if err := b.add(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.end(); err != nil {
		t.Fatal(err)
	}
	f, err := excelize.OpenReader(bytes.NewReader(out.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, name := range f.GetSheetList() {
		found, err := f.GetRows(name)
		if err != nil || len(found) == 0 || found[0][0] != "plate" {
			t.Fatalf("sheet %s: %v, %v", name, found, err)
		}
		for i, row := range found[1:] {
			rows++
			if !strings.HasPrefix(row[0], "=P") || row[1] != "1,234.50 ILS" || row[3] != "2020-02-29" || row[4] != "2026-11-22 09:30" || row[5] != "TRUE" {
				t.Errorf("row is %q", row)
			}
			if formula, err := f.GetCellFormula(name, fmt.Sprintf("A%d", i+2)); err != nil || formula != "" {
				t.Errorf("a text became the formula %q, %v", formula, err)
			}
		}
	}
	if got := fmt.Sprint(f.GetSheetList()); rows != 5 || got != "[car car 2]" {
		t.Errorf("%d rows in %s", rows, got)
	}
}
