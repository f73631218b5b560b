package filter

import (
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/search"
)

// sameAsFold holds the ways in which stored texts are compared to search.Fold of both sides.
func sameAsFold(t *testing.T, text, other string) {
	t.Helper()
	folded, wanted := search.Fold(text), search.Fold(other)
	sign, starts := compareFolded([]byte(text), wanted)
	if want := strings.Compare(folded, wanted); sign != want {
		t.Errorf("%+q against %+q: %d, want %d", text, other, sign, want)
	}
	if want := strings.HasPrefix(folded, wanted); starts != want {
		t.Errorf("%+q starts %+q: %v, want %v", text, other, starts, want)
	}
	if got, want := containsFolded([]byte(text), wanted), strings.Contains(folded, wanted); got != want {
		t.Errorf("%+q contains %+q: %v, want %v", text, other, got, want)
	}
	if got, ok := appendFolded(nil, []byte(text)); ok && string(got) != folded {
		t.Errorf("%+q folds to %+q, want %+q", text, got, folded)
	}
}

var alike = []string{"", "a", "A", "חיפה", "חֵיפָה", "כהן", "כהנ", "Ёлка", "елка", "ЁЛКА", "Café", "cafe\u0301", "O'Brien", `צה"ל`, "צה״ל", "straße", "ﬁ", "½", "Ǆ", "ПЁТР", "петр", "\x00",
	"a\x00b", "\xff", "a\xffb", "\u200fחיפה", "日本", "Å", "ſ", "İstanbul", "i\u0307", "ΑΣ", "ας", "한글", "각", "😀", "a\u0345", "\u05c1\u05bcש", "ש\u05bc\u05c1", "שּׁ", "й", "и\u0306", "٣", strings.Repeat("\u0301", 100) + "a",
	strings.Repeat("חיפה ", 300) + "x", strings.Repeat("a", 511) + "é" + "b", strings.Repeat("é", 600)}

func TestFoldedAlike(t *testing.T) {
	for _, text := range alike {
		for _, other := range alike {
			sameAsFold(t, text, other)
			sameAsFold(t, text+other, other)
			sameAsFold(t, other+text+other, text)
		}
	}
	for r := range rune(0x3000) {
		sameAsFold(t, "a"+string(r)+"b", "a"+string(r))
	}
}

func FuzzFoldedAlike(f *testing.F) {
	for i, text := range alike {
		f.Add(text, alike[(i+1)%len(alike)])
	}
	f.Fuzz(func(t *testing.T, text, other string) {
		sameAsFold(t, text, other)
		sameAsFold(t, text+other, text)
		sameAsFold(t, text+other, other)
	})
}

func TestSamePhone(t *testing.T) {
	for _, c := range []struct {
		stored, asked string
		want          bool
	}{
		{"050-123 4567", "0501234567", true}, {"+972501234567", "050-123-4567", true}, {"00972 50 1234567", "+972 50 1234567", true}, {"8 (495) 765-43-21", "+7 495 765 43 21", true},
		{"1234567", "234567", false}, {"100", "100", true}, {"2100", "100", false}, {"", "100", false}, {"050-1234567", "054-1234567", false}, {"+1 212 555 0100", "+7 212 555 0100", false},
		{"０５０１２３４５６７", "0501234567", true}, {"٠٥٠١٢٣٤٥٦٧", "0501234567", false}, {strings.Repeat("5", 100), strings.Repeat("5", 32), true}, {"000", "0", true},
	} {
		var buffer [maxDigits]byte
		if got := samePhone(digitsOf(buffer[:0], []byte(c.stored)), search.Digits(c.asked)); got != c.want {
			t.Errorf("%s and %s: %v, want %v", c.stored, c.asked, got, c.want)
		}
	}
}
