package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"io"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// field is one line of a mail's header, unfolded, its bytes as they came.
type field struct {
	name  string // canonical: lower case
	value []byte
}

// header is the top of a mail.
type header struct {
	fields  []field
	charset string // what the header's bare 8-bit text is taken for
}

// readHeader reads up to the first empty line and leaves r at the body. Lines that are no fields are passed over;
// at most limit bytes are kept, so that a header without an end costs no memory.
func readHeader(r *bufio.Reader, limit int) (header, error) {
	var h header
	used := 0
	for {
		line, err := readLine(r, limit)
		if len(line) == 0 {
			if err == io.EOF {
				err = nil
			}
			h.charset = h.guess()
			return h, err
		}
		if used += len(line); used <= limit {
			h.add(line)
		}
	}
}

// readLine returns one line without its end. What goes beyond limit bytes is dropped.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		piece, err := r.ReadSlice('\n')
		if len(line) < limit {
			line = append(line, piece...)
		}
		if err != bufio.ErrBufferFull {
			return bytes.TrimRight(line, "\r\n"), err
		}
	}
}

func (h *header) add(line []byte) {
	if line[0] == ' ' || line[0] == '\t' {
		if n := len(h.fields); n > 0 {
			h.fields[n-1].value = append(append(h.fields[n-1].value, ' '), bytes.TrimLeft(line, " \t")...)
		}
		return
	}
	name, value, ok := bytes.Cut(line, []byte(":"))
	name = bytes.TrimRight(name, " \t")
	if !ok || len(name) == 0 || bytes.ContainsAny(name, " \t") {
		return
	}
	h.fields = append(h.fields, field{strings.ToLower(string(name)), bytes.Clone(bytes.TrimSpace(value))})
}

// guess looks at all bare 8-bit text of the header together: one name is too short to judge by, and a mail program
// writes them all alike.
func (h *header) guess() string {
	var sample []byte
	for _, f := range h.fields {
		if has8Bit(f.value) && !utf8.Valid(f.value) {
			sample = append(append(sample, f.value...), '\n')
		}
	}
	if len(sample) == 0 {
		return charsetUTF8
	}
	return guessCharset(sample)
}

// raw returns the first field of that name, nil when there is none.
func (h *header) raw(name string) []byte {
	for _, f := range h.fields {
		if f.name == name {
			return f.value
		}
	}
	return nil
}

// utf8 returns the first field of that name as text, encoded words left as they are.
func (h *header) utf8(name string) string { return bareText(h.raw(name), h.charset) }

// text returns the first field of that name, decoded.
func (h *header) text(name string) string {
	return strings.TrimSpace(oneLine(decodeWords(h.utf8(name))))
}

// all returns every field of that name, joined by a comma, encoded words left as they are.
func (h *header) all(name string) string {
	var values []string
	for _, f := range h.fields {
		if f.name == name {
			values = append(values, bareText(f.value, h.charset))
		}
	}
	return strings.Join(values, ", ")
}

// bareText reads header bytes that no encoded word explains.
func bareText(b []byte, charset string) string {
	if utf8.Valid(b) {
		return clean(string(b))
	}
	if charset == charsetUTF8 || charset == "" {
		charset = guessCharset(b)
	}
	return toUTF8(charset, b)
}

// oneLine turns line ends and other controls into spaces.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// decodeWords decodes RFC 2047 encoded words, wherever they stand. Neighbouring words of one charset are joined before
// they are decoded, because programs cut in the middle of a letter.
func decodeWords(s string) string {
	var out strings.Builder
	var pending []byte
	var charset string
	flush := func() {
		out.WriteString(toUTF8(charset, pending))
		pending = nil
	}
	for s != "" {
		start, end, word, ok := nextWord(s)
		if !ok {
			break
		}
		between := s[:start]
		if pending != nil && (strings.TrimSpace(between) != "" || !strings.EqualFold(word.charset, charset)) {
			flush()
		}
		if strings.TrimSpace(between) != "" || out.Len() == 0 && pending == nil {
			out.WriteString(between)
		}
		charset, pending = word.charset, append(pending, word.bytes...)
		if pending == nil {
			pending = []byte{}
		}
		s = s[end:]
	}
	if pending != nil {
		flush()
	}
	return out.String() + s
}

// maxWord bounds an encoded word. The standard has 75; programs write longer ones.
const maxWord = 8192

type encodedWord struct {
	charset string
	bytes   []byte
}

// nextWord finds the first encoded word: =?charset?B-or-Q?text?=
func nextWord(s string) (start, end int, word encodedWord, ok bool) {
	for from := 0; ; {
		i := strings.Index(s[from:], "=?")
		if i < 0 {
			return 0, 0, encodedWord{}, false
		}
		start = from + i
		charset, rest, found := strings.Cut(s[start+2:min(len(s), start+2+maxWord)], "?")
		if !found || len(rest) < 2 || rest[1] != '?' || strings.ContainsAny(charset, " \t=") {
			from = start + 2
			continue
		}
		text, _, closed := strings.Cut(rest[2:], "?=")
		if !closed {
			from = start + 2
			continue
		}
		end = start + 2 + len(charset) + 1 + 2 + len(text) + 2
		charset, _, _ = strings.Cut(charset, "*") // RFC 2231 allows a language there
		switch rest[0] {
		case 'b', 'B':
			return start, end, encodedWord{charset, lenientBase64(text)}, true
		case 'q', 'Q':
			return start, end, encodedWord{charset, decodeQ(text)}, true
		}
		from = start + 2
	}
}

// lenientBase64 decodes what there is, with or without padding, whatever stands between.
func lenientBase64(s string) []byte {
	s = strings.Map(func(r rune) rune {
		switch {
		case r < utf8.RuneSelf && asciiLetter(byte(r)), r >= '0' && r <= '9', r == '+', r == '/':
			return r
		case r == '-':
			return '+'
		case r == '_':
			return '/'
		}
		return -1
	}, s)
	if len(s)%4 == 1 {
		s = s[:len(s)-1]
	}
	out, _ := base64.RawStdEncoding.DecodeString(s)
	return out
}

func decodeQ(s string) []byte {
	var out []byte
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '_':
			out = append(out, ' ')
		case s[i] == '=' && i+2 < len(s):
			if v, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				out = append(out, byte(v))
				i += 2
				continue
			}
			out = append(out, s[i])
		default:
			out = append(out, s[i])
		}
	}
	return out
}

// mediaType reads "type/subtype; name=value; ..." as mail programs write it, good or bad: quotes missing, single,
// unclosed; RFC 2231 in any charset, in pieces; encoded words; bare 8-bit text. Parameter names are lower-case, values
// are decoded.
func mediaType(raw []byte) (string, map[string]string) {
	head, rest := cutParameter(raw)
	kind, more, _ := bytes.Cut(bytes.Trim(head, " \t\"'"), []byte(" "))
	if len(more) > 0 { // the semicolon was forgotten
		rest = append(append(bytes.Clone(more), ';'), rest...)
	}
	params := map[string]string{}
	pieces := map[string][]piece{}
	for len(rest) > 0 {
		var one []byte
		one, rest = cutParameter(rest)
		name, value, ok := bytes.Cut(one, []byte("="))
		if !ok {
			continue
		}
		key := strings.ToLower(string(bytes.TrimSpace(name)))
		value = unquote(bytes.TrimSpace(value))
		if base, p, ok := readPiece(key, value); ok {
			pieces[base] = append(pieces[base], p)
		} else if _, twice := params[key]; !twice {
			params[key] = strings.TrimSpace(oneLine(decodeWords(bareText(value, ""))))
		}
	}
	for base, list := range pieces {
		params[base] = strings.TrimSpace(oneLine(joinPieces(list)))
	}
	return token(string(kind)), params
}

// token makes a media type or a disposition of what stands in its place.
func token(s string) string {
	return strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f && !strings.ContainsRune("()<>@,;:\\\"[]?=", r) {
			return unicode.ToLower(r)
		}
		return -1
	}, s)
}

// cutParameter cuts at the next semicolon that stands outside double quotes.
func cutParameter(raw []byte) (one, rest []byte) {
	quoted := false
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '\\':
			if quoted {
				i++
			}
		case '"':
			quoted = !quoted
		case ';':
			if !quoted {
				return raw[:i], raw[i+1:]
			}
		}
	}
	return raw, nil
}

func unquote(v []byte) []byte {
	if len(v) >= 2 && v[0] == '\'' && v[len(v)-1] == '\'' {
		return v[1 : len(v)-1]
	}
	if len(v) == 0 || v[0] != '"' {
		return v
	}
	var out []byte
	for i := 1; i < len(v); i++ {
		switch {
		case v[i] == '\\' && i+1 < len(v):
			i++
			out = append(out, v[i])
		case v[i] == '"':
			return out
		default:
			out = append(out, v[i])
		}
	}
	return out
}

// piece is a part of a parameter in RFC 2231's way: name*1*=...
type piece struct {
	number  int
	encoded bool
	value   []byte
}

func readPiece(key string, value []byte) (base string, p piece, ok bool) {
	base, tail, ok := strings.Cut(key, "*")
	if !ok {
		return "", piece{}, false
	}
	number, encoded := strings.CutSuffix(tail, "*")
	if tail == "" {
		return base, piece{encoded: true, value: value}, true
	}
	n, err := strconv.Atoi(number)
	if err != nil {
		return "", piece{}, false
	}
	return base, piece{n, encoded, value}, true
}

func joinPieces(list []piece) string {
	sort.SliceStable(list, func(i, j int) bool { return list[i].number < list[j].number })
	var charset string
	var out []byte
	for i, p := range list {
		value := p.value
		if i == 0 && p.encoded {
			if parts := bytes.SplitN(value, []byte("'"), 3); len(parts) == 3 {
				charset, value = string(parts[0]), parts[2]
			}
		}
		if p.encoded {
			if plain, err := url.PathUnescape(string(value)); err == nil {
				value = []byte(plain)
			}
		}
		out = append(out, value...)
	}
	if charset == "" {
		return decodeWords(bareText(out, ""))
	}
	return toUTF8(charset, out)
}
