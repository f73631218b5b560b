package transfer

import (
	"bytes"
	"encoding/csv"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// FuzzImport gives any bytes for a file. Whatever they are: every row has one outcome and every reject a line; the
// same file again changes nothing; and the reject file, not mended, is rejected again row for row.
func FuzzImport(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.*")
	if err != nil {
		f.Fatal(err)
	}
	for _, p := range paths {
		if strings.HasSuffix(p, ".golden") {
			continue
		}
		data, err := os.ReadFile(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(",Phone\n\"\"\"\n,,,0\""))
	f.Add([]byte("Name,Phone\n'=1,+5\n\"a\"b\",'0123\n\x00,\xff\n' =x,-\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		var book ledger
		var rejects bytes.Buffer
		res, err := Import(t.Context(), bytes.NewReader(data), Options{Batch: 7, Rejects: &rejects}, &book)
		if err != nil {
			return
		}
		if res.Created+res.Updated+res.Unchanged+res.Rejected != res.Rows {
			t.Fatalf("outcomes do not add up: %+v", res)
		}
		lines := bytes.Count(data, []byte("\n")) + bytes.Count(data, []byte("\r")) + 1
		last := 0
		for _, r := range res.Rejects {
			if r.Line <= last || r.Line > lines || len(r.Fields) == 0 {
				t.Fatalf("reject %+v after line %d of %d", r, last, lines)
			}
			last = r.Line
		}
		again, err := Import(t.Context(), bytes.NewReader(data), Options{}, &book)
		if err != nil || again.Created+again.Updated != 0 || again.Rejected != res.Rejected {
			t.Fatalf("again: %+v, %v; first %+v", again, err, res)
		}
		if res.Rejected == 0 || len(res.Columns) < 2 || foreign(res.Columns) {
			return
		}
		back, err := Import(t.Context(), bytes.NewReader(rejects.Bytes()), Options{}, &book)
		if err != nil || back.Rows != res.Rejected || back.Rejected != res.Rejected {
			t.Fatalf("rejects imported: %+v, %v; first %+v\n%q", back, err, res, rejects.String())
		}
		for i := range back.Rejects {
			if back.Rejects[i].Fields[0].Name != res.Rejects[i].Fields[0].Name {
				t.Fatalf("rejected for another reason: %+v, first %+v", back.Rejects[i], res.Rejects[i])
			}
		}
	})
}

// foreign tells a file with a column of a reject file where no reject file has it.
func foreign(columns []Column) bool {
	return slices.ContainsFunc(columns, func(c Column) bool { return c.Field == Ignore })
}

// FuzzRecords reads back whatever encoding/csv writes.
func FuzzRecords(f *testing.F) {
	f.Add("a|b\nc||\"|,", ",")
	f.Add("חברה בע\"מ|x", ";")
	f.Fuzz(func(t *testing.T, text, sep string) {
		if !slices.Contains([]string{",", ";", "\t"}, sep) || len(text) > 1<<12 {
			return
		}
		want := strings.Split(strings.ReplaceAll(text, "\r", ""), "|")
		if strings.TrimSpace(strings.Join(want, "")) == "" {
			return
		}
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		w.Comma = rune(sep[0])
		for range 2 {
			if err := w.Write(want); err != nil {
				return
			}
		}
		w.Flush()
		rows := &records{in: newLines(&b), separator: sep[0], columns: len(want)}
		for range 2 {
			r, err := rows.next()
			if err != nil || r.wrong.Key != "" || !slices.Equal(r.cells, want) {
				t.Fatalf("%q %v %v, want %q", r.cells, r.wrong, err, want)
			}
		}
	})
}

// FuzzCells checks what a cell is taken for: clean twice is clean once, and what a reject file makes of a cell means
// the same when it comes back.
func FuzzCells(f *testing.F) {
	for _, s := range []string{"'=1+1", "'' +5", "\u200f'0501", "=", "''0501", "a\x00", "\xff", "  '-x ", "\v'+1", "'\u200e+1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, cell string) {
		text, key := clean(cell)
		var b strings.Builder
		newRejectFile(nil, ',', nil, nil).record(&b, "", "", []string{cell})
		back := &records{in: newLines(strings.NewReader(b.String())), separator: ',', columns: 3}
		r, err := back.next()
		if err != nil { // a blank cell makes a blank row
			if text != "" {
				t.Fatalf("%q is lost", cell)
			}
			return
		}
		got, gotKey := clean(r.cells[2])
		if (key == "") != (gotKey == "") || got != text {
			t.Fatalf("%q means %q %s, but %q %s when it comes back", cell, text, key, got, gotKey)
		}
	})
}

// FuzzHeader maps any header, and the same however it is dressed.
func FuzzHeader(f *testing.F) {
	f.Add("E-mail 2 Address", "=")
	f.Add("טל׳ נייד", "שם=name")
	m := newMapper(nil)
	f.Fuzz(func(t *testing.T, header, pair string) {
		field := m.field(header)
		if dressed := m.field(" " + header + " 7:"); len(header) < 900 && dressed != field {
			t.Fatalf("%q is %q, dressed %q", header, field, dressed)
		}
		if byHand, err := ParseMap([]string{pair}); err == nil {
			columns, err := newMapper(byHand).columns([]string{header})
			if err == nil && len(columns) != 1 {
				t.Fatalf("%d columns of one header", len(columns))
			}
		}
	})
}

func BenchmarkImport(b *testing.B) {
	data := thousand(b)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		res, err := Import(b.Context(), bytes.NewReader(data), Options{}, nobody{})
		if err != nil || res.Created != 1000 {
			b.Fatal(res, err)
		}
	}
	b.ReportMetric(float64(1000*b.N)/b.Elapsed().Seconds(), "rows/s")
}
