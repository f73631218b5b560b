package sdk

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/karov-crm/karov/plugins/wire"
)

// Where writes a filter of Karov's filter language. Each ? that does not stand in quotes takes the next value, written
// so that it is a value and nothing else, whatever it holds: a text out of a form or a web-hook cannot change what the
// filter asks.
//
//	sdk.Where("customer = ? and status in (?) and due < ?", contact.ID, []string{"open", "planned"}, sdk.DateOf(now))
//
// A slice is written as its values with commas between them. As with fmt, what does not fit stands in the text where
// the host's refusal shows it: a ? without a value, a value without a ?, an empty slice.
func Where(text string, values ...any) string {
	var b strings.Builder
	for len(text) > 0 {
		n := strings.IndexAny(text, "?\"'`")
		if n < 0 {
			break
		}
		b.WriteString(text[:n])
		c := text[n]
		if c == '?' && len(values) > 0 {
			b.WriteString(literal(values[0]))
			text, values = text[n+1:], values[1:]
			continue
		}
		end := 1
		if c != '?' {
			end = quotedLength(text[n:])
		}
		b.WriteString(text[n : n+end])
		text = text[n+end:]
	}
	b.WriteString(text)
	for _, v := range values {
		fmt.Fprintf(&b, " %%!(EXTRA %T)", v)
	}
	return b.String()
}

// quotedLength is how long the piece is that s opens with a quote.
func quotedLength(s string) int {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == s[0]:
			return i + 1
		case s[i] == '\\' && s[0] != '`':
			i++
		}
	}
	return len(s)
}

// literal writes a value in the filter language.
func literal(v any) string {
	switch v := v.(type) {
	case string:
		return quoted(v)
	case Ref:
		return quoted(v.ID)
	case bool:
		return strconv.FormatBool(v)
	case time.Time:
		return v.UTC().Format("2006-01-02T15:04:05.999Z07:00")
	case Date:
		if v.Year == 0 {
			return quoted(v.String())
		}
		return v.String()
	case Money:
		return v.String()
	}
	return kindLiteral(reflect.ValueOf(v))
}

func kindLiteral(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		return quoted(v.String())
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Slice, reflect.Array:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = literal(v.Index(i).Interface())
		}
		return strings.Join(parts, ", ")
	case reflect.Invalid:
		return "%!(NIL)"
	}
	n, err := kindValue(v)
	if err != nil {
		return fmt.Sprintf("%%!(%s)", v.Type())
	}
	return strconv.FormatFloat(n.GetNumber(), 'f', -1, 64)
}

var quoting = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`, "\r", `\r`)

// quoted writes a text in quotes. Characters that the filter language refuses even there, since no stored text holds
// them, become U+FFFD: such a text is looked for and not found, rather than refused.
func quoted(s string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == '\t', r == '\n', r == '\r':
			return r
		case r < 0x20, r >= 0x7f && r < 0xa0, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0xfeff:
			return '\uFFFD'
		}
		return r
	}, wire.Valid(s))
	return `"` + quoting.Replace(clean) + `"`
}
