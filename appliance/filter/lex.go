package filter

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/karov-crm/karov/appliance/fault"
)

// sort is what a token is.
type sort uint8

const (
	sortEnd sort = iota
	sortWord
	sortName // a name in backticks, which is never a keyword
	sortText // in quotes; text holds what stands between them
	sortNumber
	sortDate
	sortSpan // a number and its unit, as 90d
	sortSign
)

// token is a piece of the text.
type token struct {
	sort sort
	text string // a keyword or name in lower case, a number or date as written
	raw  string // as it stands
	at   int
}

// lexer cuts a text into tokens. After the first error it gives only the end.
type lexer struct {
	text string
	at   int
	err  error
}

// wrong remembers the first error. Args begin with "column" and a byte of the text.
func (l *lexer) wrong(key string, args ...any) token {
	if l.err == nil {
		l.err = fault.InvalidField("filter", key, located(l.text, args)...)
	}
	l.at = len(l.text)
	return token{sort: sortEnd, at: len(l.text)}
}

// twins are other ways to write a sign.
var twins = map[string]string{"==": "=", "<>": "!=", "≠": "!=", "≤": "<=", "≥": ">=", "−": "-", "×": "*", "÷": "/"}

func (l *lexer) next() token {
	for l.at < len(l.text) {
		r, size := utf8.DecodeRuneInString(l.text[l.at:])
		if !unicode.IsSpace(r) {
			break
		}
		l.at += size
	}
	rest, at := l.text[l.at:], l.at
	if rest == "" {
		return token{sort: sortEnd, at: at}
	}
	r, size := utf8.DecodeRuneInString(rest)
	switch {
	case r == '"' || r == '\'':
		return l.quoted(byte(r))
	case r == '`':
		return l.backticked()
	case r >= '0' && r <= '9':
		return l.number()
	case unicode.IsLetter(r) || r == '_':
		end := strings.IndexFunc(rest, func(r rune) bool {
			return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) && r != '_'
		})
		if end < 0 {
			end = len(rest)
		}
		return l.take(sortWord, end, strings.ToLower(rest[:end]))
	}
	for _, sign := range []string{"!=", "<=", ">=", "==", "<>", "≠", "≤", "≥", "−", "×", "÷"} {
		if strings.HasPrefix(rest, sign) {
			text := sign
			if twin := twins[sign]; twin != "" {
				text = twin
			}
			return l.take(sortSign, len(sign), text)
		}
	}
	if strings.ContainsRune("=<>(),.+-*/&", r) {
		return l.take(sortSign, size, rest[:size])
	}
	return l.wrong("filter.character", "column", at, "character", named(r))
}

func (l *lexer) take(s sort, size int, text string) token {
	t := token{sort: s, text: text, raw: l.text[l.at : l.at+size], at: l.at}
	l.at += size
	return t
}

// named is a character as an error can show it: one that cannot be seen is called by its number.
func named(r rune) string {
	if unicode.IsGraphic(r) && !unicode.Is(unicode.Mn, r) && r != utf8.RuneError {
		return string(r)
	}
	return fmt.Sprintf("%U", r)
}

// unwelcome tells the characters that may not even stand in quotes: those that cannot be seen and make a line read
// otherwise than it is. No stored text holds them.
func unwelcome(r rune) bool {
	return r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r >= 0x7f && r < 0xa0 ||
		r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0xfeff
}

// escapes are what may follow a backslash in quotes.
var escapes = map[byte]byte{'"': '"', '\'': '\'', '\\': '\\', 'n': '\n', 't': '\t', 'r': '\r'}

func (l *lexer) quoted(quote byte) token {
	open := l.at
	var b strings.Builder
	for at := open + 1; at < len(l.text); {
		c := l.text[at]
		switch {
		case c == quote:
			return l.take(sortText, at+1-open, b.String())
		case c == '\\':
			if at+1 == len(l.text) {
				return l.wrong("filter.quote", "column", open)
			}
			plain, ok := escapes[l.text[at+1]]
			if !ok {
				return l.wrong("filter.escape", "column", at)
			}
			b.WriteByte(plain)
			at += 2
			continue
		}
		r, size := utf8.DecodeRuneInString(l.text[at:])
		if unwelcome(r) {
			return l.wrong("filter.character", "column", at, "character", named(r))
		}
		b.WriteString(l.text[at : at+size])
		at += size
	}
	return l.wrong("filter.quote", "column", open)
}

func (l *lexer) backticked() token {
	end := strings.IndexByte(l.text[l.at+1:], '`')
	if end < 0 {
		return l.wrong("filter.quote", "column", l.at)
	}
	return l.take(sortName, end+2, l.text[l.at+1:l.at+1+end])
}

// datePattern is a day, timePattern the time of day behind it; 0 stands for a digit.
const (
	datePattern = "0000-00-00"
	timePattern = "T00:00"
)

func (l *lexer) number() token {
	rest := l.text[l.at:]
	if fits(rest, datePattern) {
		n := dateLength(rest)
		return l.take(sortDate, n, rest[:n])
	}
	end := 0
	for end < len(rest) && (rest[end] >= '0' && rest[end] <= '9' || rest[end] == '.' && end+1 < len(rest) && rest[end+1] >= '0' && rest[end+1] <= '9') {
		end++
	}
	letters := end
	for letters < len(rest) && (rest[letters]|0x20 >= 'a' && rest[letters]|0x20 <= 'z') {
		letters++
	}
	if _, ok := units[rest[end:letters]]; ok {
		return l.take(sortSpan, letters, rest[:letters])
	}
	return l.take(sortNumber, end, rest[:end])
}

// dateLength is how many bytes a day takes, with the time of day and the zone that may follow it.
func dateLength(s string) int {
	n := len(datePattern)
	if !fits(s[n:], timePattern) {
		return n
	}
	n += len(timePattern)
	if fits(s[n:], ":00") {
		n += len(":00")
		if fits(s[n:], ".0") {
			for n++; n < len(s) && s[n] >= '0' && s[n] <= '9'; n++ {
			}
		}
	}
	switch {
	case strings.HasPrefix(s[n:], "Z"):
		n++
	case fits(s[n:], "+00:00"), fits(s[n:], "-00:00"):
		n += len("+00:00")
	}
	return n
}

// fits tells whether s begins as the pattern, in which 0 stands for a digit.
func fits(s, pattern string) bool {
	if len(s) < len(pattern) {
		return false
	}
	for i := range len(pattern) {
		if isDigit := s[i] >= '0' && s[i] <= '9'; pattern[i] == '0' && !isDigit || pattern[i] != '0' && s[i] != pattern[i] {
			return false
		}
	}
	return true
}
