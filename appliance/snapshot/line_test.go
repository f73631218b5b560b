package snapshot

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/store"
)

func FuzzLine(f *testing.F) {
	for _, s := range []string{"a", "\x00", "\xff", "a\x00b", "\n", "\r\n", "\u2028<&>", "\ufffd", "\"\\", "שלום", strings.Repeat("x", 70000), ""} {
		f.Add([]byte("k"+s), []byte(s), false)
		f.Add([]byte(s), []byte("v"+s), true)
	}
	f.Fuzz(func(t *testing.T, key, value []byte, isRecord bool) {
		if len(key) == 0 || len(key) > store.MaxKey {
			return // no store has it
		}
		var read map[string]any
		if isRecord {
			read = map[string]any{"name": string(value), "k": "x", "v": map[string]any{"k": "y"}}
		}
		raw, err := lineOf(key, value, read)
		if err != nil || bytes.IndexByte(raw, '\n') != len(raw)-1 || bytes.IndexByte(raw, 0) >= 0 {
			t.Fatalf("line %q, %v", raw, err)
		}
		gotKey, gotValue, err := parseLine(raw)
		if err != nil || !bytes.Equal(gotKey, key) || !bytes.Equal(gotValue, value) {
			t.Fatalf("%q: key %q is %q, value %q is %q, %v", raw, key, gotKey, value, gotValue, err)
		}
	})
}

// A part of a line must never pass for a line: of a salvaged file nobody knows what is a whole one.
func FuzzPartOfALine(f *testing.F) {
	for _, s := range []string{"{\"k\":\"a\"}", "}", "{ ", "{", "{}", "{ \"", "\\", "\x00{\"k\":\"b\",\"v\":\"c\"}\n", "\xff"} {
		f.Add([]byte("k"+s), []byte(s), true, uint16(3), uint16(9))
		f.Add([]byte(s), []byte("v"+s), false, uint16(0), uint16(1))
	}
	f.Fuzz(func(t *testing.T, key, value []byte, isRecord bool, from, length uint16) {
		var read map[string]any
		if isRecord {
			read = map[string]any{"k": string(value), "v": string(key), "in": map[string]any{"k": string(key), "v": ""}}
		}
		raw, err := lineOf(key, value, read)
		if err != nil {
			t.Fatal(err)
		}
		raw = raw[:len(raw)-1]
		a := min(int(from), len(raw))
		b := min(a+int(length), len(raw))
		if b-a == 0 {
			return
		}
		for _, part := range [][]byte{raw[:a], raw[b:], raw[a:b]} {
			if len(part) == len(raw) {
				continue
			}
			if k, v, err := parseLine(part); err == nil && len(part) > 0 && (a > 0 || b < len(raw)) && !inner(raw, part) {
				t.Errorf("%q of %q passes for %q, %q", part, raw, k, v)
			}
		}
		holed := bytes.Clone(raw)
		clear(holed[a:b])
		if a == 0 {
			holed = bytes.TrimLeft(holed, "\x00")
		}
		if k, v, err := parseLine(holed); err == nil {
			t.Errorf("%q with a hole passes for %q, %q", raw, k, v)
		}
	})
}

// inner tells whether a part begins and ends inside of its line: no damage cuts one out like this.
func inner(raw, part []byte) bool { return !bytes.HasPrefix(raw, part) && !bytes.HasSuffix(raw, part) }

func FuzzParseLine(f *testing.F) {
	for _, s := range []string{"", "{}", "{\"k\":\"\"}", "{\"kx\":\"zz\"}", "{\"kx\":\"61\",\"vx\":\"!\"}", "{\"k\":\"a\xff\",\"v\":\"\"}", "null", "[]", "{\"k\":\"a\"} x"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		key, _, err := parseLine(raw)
		if err == nil && (len(key) == 0 || len(key) > store.MaxKey) {
			t.Errorf("%q gives key %q", raw, key)
		}
	})
}

func TestARecordThatIsNoJSONIsKept(t *testing.T) {
	raw, err := lineOf([]byte("k"), []byte("v"), map[string]any{"score": math.NaN()})
	if err != nil {
		t.Fatal(err)
	}
	if key, value, err := parseLine(raw); err != nil || string(key) != "k" || string(value) != "v" {
		t.Errorf("%q: %q, %q, %v", raw, key, value, err)
	}
}
