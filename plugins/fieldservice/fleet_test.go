package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/karov-crm/karov/plugins/sdk"
)

func readFleet(t testing.TB, file string) (rows []sdk.Row, err error) {
	t.Helper()
	err = fleet(t.Context(), "fleet.csv", strings.NewReader(file), func(r sdk.Row) error {
		rows = append(rows, r)
		return nil
	})
	return rows, err
}

func TestAFleetIsReadInEitherEncoding(t *testing.T) {
	for _, name := range []string{"fleet-1255.csv", "fleet-utf8.csv"} {
		raw, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		rows, err := readFleet(t, string(raw))
		if err != nil || len(rows) != 3 {
			t.Fatalf("%s: %v, %v", name, rows, err)
		}
		if v := rows[0].Values; v["plate"] != "33-444-55" || v["maker"] != "וולוו" || v["model"] != "FH16" || v["year"] != "2018" || v["נהג"] != "דוד כהן" {
			t.Errorf("%s: the first lorry is %v", name, v)
		}
		if !rows[1].Problem.IsZero() || rows[2].Problem.IsZero() || rows[2].Line != 4 {
			t.Errorf("%s: %v", name, rows)
		}
	}
}

func TestWhatIsNoFleetIsRefused(t *testing.T) {
	for what, file := range map[string]string{
		"no columns": "plate\n11-222-33\n", "a line without end": "plate;model\n" + strings.Repeat("x", maxLine+1),
		"too many columns": strings.Repeat("a;", maxColumns) + "a\n",
	} {
		if rows, err := readFleet(t, file); !sdk.IsPermanent(err) {
			t.Errorf("%s: %v, %v", what, rows, err)
		}
	}
	if rows, err := readFleet(t, ""); err != nil || len(rows) != 0 {
		t.Errorf("an empty file: %v, %v", rows, err)
	}
	stop := os.ErrClosed
	err := fleet(t.Context(), "x", strings.NewReader("plate;model\na;b\nc;d\n"), func(sdk.Row) error { return stop })
	if err != stop {
		t.Errorf("nobody wants more rows: %v", err)
	}
}

// FuzzFleet gives the reader foreign bytes: it ends, keeps to the columns, and says of each line one thing.
func FuzzFleet(f *testing.F) {
	for _, name := range []string{"fleet-1255.csv", "fleet-utf8.csv"} {
		raw, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte("plate;model\n\"a;b\n\"\"\";c\n;\n"))
	f.Add([]byte("\xef\xbb\xbfplate;plate;\n\xff;\xe0\x00;x\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		last := 0
		err := fleet(t.Context(), "fuzz", bytes.NewReader(file), func(r sdk.Row) error {
			if r.Line <= last {
				t.Errorf("line %d comes after %d", r.Line, last)
			}
			last = r.Line
			if r.Problem.IsZero() == (r.Values == nil) {
				t.Errorf("line %d has values %v and the problem %s", r.Line, r.Values, r.Problem)
			}
			if len(r.Values) > maxColumns {
				t.Errorf("line %d has %d values", r.Line, len(r.Values))
			}
			return nil
		})
		if err != nil && !sdk.IsPermanent(err) {
			t.Errorf("read: %v", err)
		}
	})
}
