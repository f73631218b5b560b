package transfer

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/karov-crm/karov/appliance/fault"
)

// clean gives the text of a cell without spaces at the ends, marks that steer the direction of writing, and the
// apostrophe that marks text for a spreadsheet. The key is of the sentence that says why it may not be taken.
func clean(cell string) (text, key string) {
	if len(cell) > maxCell {
		return "", "transfer.cell-too-large"
	}
	if simple(cell) {
		return unguard(strings.TrimSpace(cell)), ""
	}
	if !utf8.ValidString(cell) || strings.ContainsRune(cell, utf8.RuneError) {
		return "", "transfer.letters"
	}
	var b strings.Builder
	for _, r := range cell {
		switch {
		case invisible(r):
			continue
		case r == '\v' || r == '\f' || r == 0x2028 || r == 0x2029 || r == 0x85: // line ends of other programs
			r = '\n'
		case unicode.IsControl(r) && r != '\n' && r != '\t':
			return "", "transfer.control"
		}
		b.WriteRune(r)
	}
	return unguard(strings.TrimSpace(b.String())), ""
}

// simple tells cells of printable ASCII, spaces and line ends, which need no second look.
func simple(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x7F || s[i] < ' ' && s[i] != '\n' && s[i] != '\t' {
			return false
		}
	}
	return true
}

// invisible tells the characters that steer the direction of writing or have no width, but carry no text. The joiners
// that hold an emoji together are not among them.
func invisible(r rune) bool {
	switch {
	case r == 0x061C, r == 0x200B, r == 0x200E, r == 0x200F, r == 0x2060, r == 0xFEFF,
		r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x2069:
		return true
	}
	return false
}

// oneLine makes every run of white space one space.
func oneLine(s string) string {
	return strings.Join(strings.Fields(s), " ")
}

// guard marks as text what a spreadsheet would calculate (and an attacker would have it calculate) or shorten: cells
// that begin with = + - @ tab or line end, numbers that begin with 0, and long numbers. unguard takes the mark away
// and nothing else, so that a guarded cell comes back as it was.
func guard(s string) string {
	if risky(strings.TrimLeft(s, "'")) {
		return "'" + s
	}
	return s
}

func unguard(s string) string {
	if len(s) > 0 && s[0] == '\'' && risky(strings.TrimLeft(s, "'")) {
		return s[1:]
	}
	return s
}

func risky(s string) bool {
	if s == "" {
		return false
	}
	switch s[0] {
	case '=', '+', '-', '@', '\t', '\r', '\n', '|', '%':
		return true
	}
	digits := 0
	for digits < len(s) && s[digits] >= '0' && s[digits] <= '9' {
		digits++
	}
	return digits > 1 && s[0] == '0' || digits >= 12
}

// wrong is the fault of one cell. Values are cut short: the whole stands in the reject file.
func wrong(field, key string, column Column, value string) fault.Field {
	return fault.Field{Name: field, Key: key, Params: map[string]string{
		"column": cut(column.Header, keptRaw), "value": cut(printable(value), 80), "limit": strconv.Itoa(maxCell >> 10)}}
}
