package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"

	"github.com/karov-crm/karov/appliance/fault"
)

func keys(r Result) (out []string) {
	for _, reject := range r.Rejects {
		for _, f := range reject.Fields {
			out = append(out, fmt.Sprintf("%d %s %s", reject.Line, f.Name, f.Key))
		}
	}
	return out
}

func wantKeys(t *testing.T, r Result, want ...string) {
	t.Helper()
	if got := keys(r); !slices.Equal(got, want) {
		t.Errorf("rejects %q, want %q", got, want)
	}
}

func TestLimits(t *testing.T) {
	var book ledger
	text := "Name,Phone,Note\n" +
		"Big cell,0502345671," + strings.Repeat("x", maxCell+1) + "\n" +
		"Full cell,0502345672," + strings.Repeat("x", maxCell) + "\n" +
		"Big row,0502345673," + strings.Repeat("y", maxRow) + "\n" +
		"After,0502345674,\"two\nlines\"\n" +
		"\"Big quoted\n" + strings.Repeat("z\n", maxRow/6-1) +
		"Last,0502345675,ok\n" +
		"Hundreds" + strings.Repeat(",x", 300) + "\n"
	var rejects bytes.Buffer
	res := mustImport(t, text, Options{Rejects: &rejects}, &book)
	wantKeys(t, res, "2 note transfer.cell-too-large", "4  transfer.row-too-large", "7  transfer.quotes",
		fmt.Sprintf("%d  transfer.cells", 8+maxRow/6))
	if res.Created != 3 || res.Rows != 7 {
		t.Errorf("%d created of %d rows", res.Created, res.Rows)
	}
	for _, r := range res.Rejects {
		if size := len(strings.Join(r.Raw, "")); size > keptRaw*keptCells {
			t.Errorf("line %d keeps %d bytes in memory", r.Line, size)
		}
	}
	if rejects.Len() < maxCell+maxRow || rejects.Len() > 2*maxRow {
		t.Errorf("the reject file has %d bytes", rejects.Len())
	}
}

func TestTooManyColumns(t *testing.T) {
	for columns, want := range map[int]string{maxColumns: "", maxColumns + 1: "transfer.too-many-columns", 5000: "transfer.too-many-columns"} {
		_, err := Import(t.Context(), strings.NewReader("Name"+strings.Repeat(",x", columns-1)+"\n"), Options{}, &ledger{})
		if want == "" && err != nil || want != "" && fault.Of(err).Key != want {
			t.Errorf("%d columns: %v, want %q", columns, err, want)
		}
	}
}

// TestBatchIsBoundInBytes commits large rows in smaller batches.
func TestBatchIsBoundInBytes(t *testing.T) {
	var book ledger
	header, row := "Name", ""
	for range 15 {
		header += ",x"
		row += "," + strings.Repeat("x", 60<<10)
	}
	text := header + "\n"
	for i := range 12 {
		text += fmt.Sprintf("Customer %d%s\n", i, row)
	}
	res := mustImport(t, text, Options{}, &book)
	if !slices.Equal(book.batches, []int{3, 3, 3, 3}) || res.Created != 12 {
		t.Errorf("batches of %v rows of 900 KB, %d created", book.batches, res.Created)
	}
}

// TestRejectFileHasNoRuns imports single short rows of a file back: gathered in the reject file they are no long run.
func TestRejectFileHasNoRuns(t *testing.T) {
	var rejects bytes.Buffer
	text := "Name,Phone,Note\n" + strings.Repeat("Whole,0502345678,ok\nHalf,0502345679\n", 2*longRun)
	var book ledger
	res := mustImport(t, text, Options{Rejects: &rejects}, &book)
	back := mustImport(t, rejects.String(), Options{}, &book)
	if res.Rejected != 2*longRun || back.Rejected != 2*longRun || len(book.contacts) != 1 {
		t.Errorf("rejected %d, then %d of %d", res.Rejected, back.Rejected, back.Rows)
	}
}

func TestMapByHand(t *testing.T) {
	text := "שם,  Код  2 ,Type,Phone\nDana,Haifa,VIP,0502345678\n"
	byHand, err := ParseMap([]string{"код 2=city", "TYPE=-", "שם=name"})
	if err != nil {
		t.Fatal(err)
	}
	var book ledger
	res := mustImport(t, text, Options{Map: byHand}, &book)
	if res.Created != 1 || book.contacts[0].City != "Haifa" || len(res.Unmapped()) != 0 {
		t.Errorf("%+v, %+v", res, book.contacts)
	}
	for pair, want := range map[string]string{
		"Phone": "transfer.map-form", "=city": "transfer.map-form",
		"Phone=telephone": "transfer.map-field", "Fone=phone": "transfer.map-header",
	} {
		byHand, err := ParseMap([]string{pair})
		if err == nil {
			_, err = Import(t.Context(), strings.NewReader(text), Options{Map: byHand}, &book)
		}
		if got := fault.Of(err).Key; got != want {
			t.Errorf("--map %q: %s, want %s", pair, got, want)
		}
	}
	if one, err := ParseMap([]string{"a=b=note"}); err != nil || one["a=b"] != "note" {
		t.Errorf("a header with = in it: %v, %v", one, err)
	}
}

func TestDryRun(t *testing.T) {
	var rejects bytes.Buffer
	res, err := Import(t.Context(), strings.NewReader("Name,Phone\nDana,0502345678\nBad,1\n"), Options{DryRun: true, Rejects: &rejects}, nil)
	if err != nil || res.Rows != 2 || res.Rejected != 1 || res.Created != 0 || !strings.Contains(rejects.String(), `"Bad"`) {
		t.Errorf("%+v, %v, %s", res, err, rejects.String())
	}
}

// TestImporterRefuses takes the faults of single drafts into the rejects, in the order of the lines, and stops at the
// fault of a batch with what the batches before it did.
func TestImporterRefuses(t *testing.T) {
	text := "Name,Phone\nDana,0502345671\nBad,1\nEve,0502345672\nTom,0502345673\nMax,0502345674\nZoe,0502345675\n"
	book := ledger{refuse: func(d Draft) error {
		switch d.Name {
		case "Eve":
			return fault.InvalidField("owner", "transfer.owner-unknown", "value", "eve")
		case "Tom":
			return fault.New(fault.Forbidden, "access.forbidden")
		}
		return nil
	}}
	var progress []Progress
	o := Options{Batch: 2, Progress: func(p Progress) { progress = append(progress, p) },
		Reason: func(f fault.Field) string { return "because " + f.Key }}
	var rejects bytes.Buffer
	o.Rejects = &rejects
	res := mustImport(t, text, o, &book)
	wantKeys(t, res, "3 phone transfer.phone", "4 owner transfer.owner-unknown", "5  access.forbidden")
	if res.Created != 3 || !slices.Equal(book.batches, []int{1, 2, 2}) {
		t.Errorf("%+v in batches of %v", res, book.batches)
	}
	if want := (Progress{Rows: 6, Rejected: 3, Bytes: int64(len(text)), Size: int64(len(text))}); len(progress) != 3 || progress[2] != want {
		t.Errorf("progress %+v", progress)
	}
	if !strings.Contains(rejects.String(), `"4","because transfer.owner-unknown","Eve","'0502345672"`) {
		t.Error(rejects.String())
	}
	down := ledger{fail: errDown}
	res, err := Import(t.Context(), strings.NewReader(text), Options{Batch: 3}, &down)
	if !errors.Is(err, errDown) || res.Rows != 3 || res.Created != 2 || res.Rejected != 1 {
		t.Errorf("%+v, %v", res, err)
	}
	down.fail = nil
	if res = mustImport(t, text, Options{Batch: 3}, &down); res.Unchanged != 2 || res.Created != 3 {
		t.Errorf("importing again after a failure: %+v", res)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Import(ctx, strings.NewReader(text), Options{}, &ledger{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

type brokenReader struct{ io.ReadSeeker }

func (brokenReader) Read([]byte) (int, error) { return 0, errDown }

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errDown }

func TestBrokenDisk(t *testing.T) {
	text := "Name,Phone\nBad,1\n"
	if _, err := Import(t.Context(), brokenReader{strings.NewReader(text)}, Options{}, &ledger{}); !errors.Is(err, errDown) {
		t.Errorf("reading: %v", err)
	}
	if _, err := Import(t.Context(), strings.NewReader(text), Options{Rejects: brokenWriter{}}, &ledger{}); !errors.Is(err, errDown) {
		t.Errorf("writing rejects: %v", err)
	}
}

// thousand makes the file of an office: a thousand rows, notes over two lines, phones with leading zeros.
func thousand(t testing.TB) []byte {
	first := []string{"דנה", "משה", "אביגיל", "יוסף", "נועה", "איתן", "שירה", "אברהם", "רחל", "יעקב"}
	last := []string{"כהן", "לוי", "מזרחי", "פרץ", "ביטון", "אוחיון", "פרידמן", "בן-דוד", "קליין", "שפירא"}
	var b strings.Builder
	b.WriteString("שם מלא;טלפון נייד;דוא\"ל;עיר;הערות\r\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "%s %s;05%d-23%05d;c%d@customers.test;\"עיר מס' %d\";\"לקוח מספר %d;\r\n\"\"חשוב\"\"\"\r\n",
			first[i%10], last[i/10%10], 2+i%2, i, i, i%50, i)
	}
	out, err := charmap.Windows1255.NewEncoder().String(b.String())
	if err != nil {
		t.Fatal(err)
	}
	return []byte(out)
}

func TestThousandRowsOfWindows1255(t *testing.T) {
	data := thousand(t)
	var book ledger
	for pass, want := range []Result{{Rows: 1000, Created: 1000}, {Rows: 1000, Unchanged: 1000}} {
		res, err := Import(t.Context(), bytes.NewReader(data), Options{Name: "office.csv"}, &book)
		if err != nil || res.Encoding != Windows1255 || res.Separator != ";" || res.Rows != want.Rows ||
			res.Created != want.Created || res.Unchanged != want.Unchanged || res.Rejected != 0 {
			t.Fatalf("pass %d: %+v, %v", pass, res, err)
		}
	}
	d := book.contacts[123]
	if d.Name != "יוסף מזרחי" || d.Phones[0] != "053-2300123" || d.Note != "לקוח מספר 123;\n\"חשוב\"" {
		t.Errorf("%+v", d)
	}
}

// endless makes a file of rows out of nothing, so that only the import can hold memory.
type endless struct {
	rows, row int
	rest      string
}

func (e *endless) Read(p []byte) (int, error) {
	if e.rest == "" {
		switch {
		case e.row > e.rows:
			return 0, io.EOF
		case e.row == 0:
			e.rest = "Name,Note\n"
		default:
			e.rest = fmt.Sprintf("Customer %d,%s\n", e.row, strings.Repeat("note ", 400))
		}
		e.row++
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

func (e *endless) Seek(int64, int) (int64, error) {
	e.row, e.rest = 0, ""
	return 0, nil
}

type nobody struct{}

func (nobody) Import(_ context.Context, drafts []Draft) ([]Outcome, []error, error) {
	return make([]Outcome, len(drafts)), make([]error, len(drafts)), nil
}

func TestFileIsNotHeldInMemory(t *testing.T) {
	var most uint64
	o := Options{Progress: func(p Progress) {
		if p.Rows%3000 == 0 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
		}
	}}
	const rows = 30_000 // 60 MB
	res, err := Import(t.Context(), &endless{rows: rows}, o, nobody{})
	if err != nil || res.Created != rows {
		t.Fatalf("%+v, %v", res, err)
	}
	if most == 0 || most > 20<<20 {
		t.Errorf("%d MB of heap for a file of 60 MB", most>>20)
	}
}
