package sdk

import (
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/protobuf/proto"
)

type stage string

func TestValuesCrossTheLine(t *testing.T) {
	at := time.Date(2026, 11, 22, 11, 30, 0, 123456789, time.FixedZone("", 7200))
	photo := Blob{ID: "b", Name: "n", Type: "image/png", Size: 5}
	for name, test := range map[string]struct{ in, want any }{
		"text": {"שלום", "שלום"}, "broken text": {"a\xff", "a\uFFFD"}, "own type": {stage("won"), "won"}, "empty text": {"", ""},
		"float": {2.5, 2.5}, "int": {-7, -7.0}, "uint8": {uint8(7), 7.0}, "float32": {float32(0.5), 0.5}, "most": {1 << 53, 1 << 53 * 1.0},
		"yes": {true, true}, "no": {false, false}, "nil": {nil, nil},
		"time": {at, time.Date(2026, 11, 22, 9, 30, 0, 123e6, time.UTC)}, "no time": {time.Time{}, nil},
		"date": {Date{2026, 2, 3}, "2026-02-03"}, "yearly": {Date{0, 2, 29}, "--02-29"}, "no date": {Date{}, nil},
		"money": {Money{-5, "ILS"}, Money{-5, "ILS"}}, "no money": {Money{}, Money{}},
		"link": {Ref{"contact", "7"}, "7"}, "no link": {Ref{}, nil}, "file": {photo, photo}, "no file": {Blob{}, nil},
		"texts": {[]string{"a", "b"}, []string{"a", "b"}}, "stages": {[]stage{"a"}, []string{"a"}}, "links": {[]Ref{{"x", "1"}, {"x", "2"}}, []string{"1", "2"}},
		"none": {[]int{}, []string{}}, "numbers": {[]int{1, 2}, []any{1.0, 2.0}}, "mixed": {[]any{"a", Money{1, "ILS"}}, []any{"a", Money{1, "ILS"}}},
	} {
		w, err := wireValue(test.in)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := plainValue(w, Ref{}); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %#v came over as %#v", name, test.in, got)
		}
	}
	for name, in := range map[string]any{
		"not a number": math.NaN(), "endless": math.Inf(-1), "too many digits": int64(1<<53 + 1), "too many digits, unsigned": uint64(1 << 63),
		"bytes": []byte("x"), "a map": map[string]string{}, "a pointer": new(int), "a list in a list": [][]string{{"a"}}, "nothing in a list": []any{nil},
		"a time far away": time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		if w, err := wireValue(in); err == nil {
			t.Errorf("%s: %v came over as %v", name, in, w)
		}
	}
}

func TestValuesAreReadAsTheyWereMeant(t *testing.T) {
	at, photo := time.Unix(7, 0), Blob{ID: "b"}
	v := Values{
		"text": "a", "texts": []string{"a", "b"}, "number": 2.5, "int": 3, "yes": true, "time": at, "money": Money{1, "ILS"},
		"link": Ref{"contact", "7"}, "date": "2026-11-22", "day": Date{2026, 11, 22}, "file": photo, "files": []any{photo, "x"}, "none": nil,
	}
	if v.Text("text") != "a" || v.Text("number") != "" || v.Number("number") != 2.5 || v.Number("int") != 3 || v.Int("number") != 3 ||
		!v.Yes("yes") || v.Yes("text") || v.Time("time") != at || v.Money("money").Minor != 1 || v.Money("x") != (Money{}) {
		t.Error("one value is not what it was")
	}
	if v.Link("link") != "7" || v.Link("text") != "a" || v.Date("date") != v.Date("day") || v.Date("date").Day != 22 || !v.Date("text").IsZero() {
		t.Error("a link or a day is not what it was")
	}
	if !slices.Equal(v.Texts("texts"), []string{"a", "b"}) || !slices.Equal(v.Texts("text"), []string{"a"}) || v.Texts("number") != nil ||
		v.File("file") != photo || !slices.Equal(v.Files("files"), []Blob{photo}) || len(v.Files("text")) != 0 {
		t.Error("one of several is not what it was")
	}
	if v.Has("none") || v.Has("x") || !v.Has("text") || Values(nil).Has("x") || v.Number("text") != 0 || v.Number("x") != 0 {
		t.Error("something is there that is not")
	}
}

func TestDates(t *testing.T) {
	for text, want := range map[string]Date{"2026-11-22": {2026, 11, 22}, "--02-29": {0, 2, 29}, "0001-01-01": {1, 1, 1}} {
		got, err := ParseDate(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "2026-02-30", "--02-30", "2026-1-2", "22.11.2026", "-2026-01-01"} {
		if got, err := ParseDate(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
	d := Date{2026, 2, 28}
	if next := d.AddDays(1); next != (Date{2026, 3, 1}) || !d.Before(next) || next.Before(d) || d.Before(d) || (Date{}).String() != "" {
		t.Errorf("the day after %v is %v", d, next)
	}
	zone := time.FixedZone("", 2*3600)
	if at := d.In(zone); DateOf(at) != d || at.UTC().Day() != 27 {
		t.Errorf("%v begins at %v", d, at)
	}
}

func TestMoneyIsWritten(t *testing.T) {
	for want, m := range map[string]Money{
		"12.50 ILS": {1250, "ILS"}, "0.05 ILS": {5, "ILS"}, "-0.05 ILS": {-5, "ILS"}, "-1234567.89 USD": {-123456789, "USD"}, "1250 JPY": {1250, "JPY"},
		"1.250 KWD": {1250, "KWD"}, "0.00": {0, ""}, "-92233720368547758.08 ILS": {math.MinInt64, "ILS"},
	} {
		if got := m.String(); got != want {
			t.Errorf("%#v is %s, want %s", m, got, want)
		}
	}
}

// FuzzValues reads any Value that a host may send, and holds that writing what was read gives the same value again.
func FuzzValues(f *testing.F) {
	for _, v := range []any{"x", 2.5, true, time.Unix(7, 0), Money{5, "ILS"}, Blob{ID: "b", Size: 3}, []string{"a"}, []any{1, "b"}, nil} {
		w, err := wireValue(v)
		if err != nil {
			f.Fatal(err)
		}
		raw, err := proto.Marshal(w)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var w wirev1.Value
		if proto.Unmarshal(raw, &w) != nil {
			return
		}
		v := plainValue(&w, Ref{})
		again, err := wireValue(v)
		if err != nil {
			return // what no plugin could write: NaN, an empty value in a list
		}
		if second := plainValue(again, Ref{}); !reflect.DeepEqual(v, second) && !lossy(v) {
			t.Errorf("%v was read as %#v and comes again as %#v", &w, v, second)
		}
		values := plainValues(map[string]*wirev1.Value{"x": &w}, Ref{"contact", "7"})
		_, _, _, _, _ = values.Text("x"), values.Texts("x"), values.Number("x"), values.Date("x"), values.Files("x")
	})
}

// lossy tells what is less exact when it is written: a time within a millisecond, a zero time, a file with a size below
// zero, and lists of them.
func lossy(v any) bool {
	switch v := v.(type) {
	case time.Time:
		return v.IsZero() || v.Nanosecond()%1e6 != 0
	case Blob:
		return v.ID == "" || v.Size < 0
	case []any:
		return slices.ContainsFunc(v, lossy)
	}
	return false
}
