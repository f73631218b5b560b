package api

import (
	"encoding/json"
	"testing"
)

// FuzzAppendText holds each text's form against encoding/json's.
func FuzzAppendText(f *testing.F) {
	for _, text := range []string{"", "חיפה", "a\"b\\c", "<b>&</b>", "\x00\x1f\x7f", "\u2028\u2029", "\xff\xfe", "é\ufffd", "tab\t\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		want, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := appendText([]byte("x"), text)
		if err != nil || string(got) != "x"+string(want) {
			t.Errorf("%q is written %s, %v; want %s", text, got, err, want)
		}
	})
}

func TestAppendJSONIsWhatEncodingJSONWrites(t *testing.T) {
	var o object
	o.put("a", "x")
	o.put("b", []string{})
	for _, value := range []any{nil, "", "ש", true, 7, uint64(1 << 63), -3, []string{"a", "<"}, []string{}, [][2]int{{1, 2}, {3, 4}}, [][2]int{},
		1.5, map[string]int{"a": 1}, []any{nil, 1}, o, []object{o, {}}, object{}} {
		want, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		got, err := appendJSON(nil, value)
		if err != nil || string(got) != string(want) {
			t.Errorf("%v is written %s, %v; want %s", value, got, err, want)
		}
	}
}
