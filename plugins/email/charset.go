package main

import (
	"bytes"
	"encoding/base64"
	"math"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	textunicode "golang.org/x/text/encoding/unicode"
)

// Names of the charsets that get special treatment.
const (
	charsetUTF8    = "utf-8"
	charsetUTF7    = "utf-7"
	charsetHebrew  = "windows-1255"
	charsetRussian = "windows-1251"
	charsetKOI8    = "koi8-r"
	charsetLatin   = "windows-1252"
)

// toUTF8 turns bytes that came with a charset label into text. The label may be missing, misspelt or untrue: valid
// UTF-8 is taken for UTF-8 whatever a one-byte label says, and 8-bit text under a label that promises none (us-ascii,
// iso-8859-1, unknown-8bit) is guessed. The result is always valid UTF-8 without NUL.
func toUTF8(label string, b []byte) string {
	name, enc := lookupCharset(label)
	if bom, rest, ok := cutBOM(b); ok {
		name, enc, b = charsetUTF8, bom, rest
	}
	switch {
	case name == charsetUTF7:
		return clean(decodeUTF7(b))
	case enc == nil, name == charsetLatin, name == charsetUTF8:
		return clean(decodeDoubtful(name, enc, b))
	}
	if _, oneByte := enc.(*charmap.Charmap); oneByte && has8Bit(b) && utf8.Valid(b) {
		return clean(string(b))
	}
	out, err := enc.NewDecoder().Bytes(b)
	if err != nil {
		out = bytes.ToValidUTF8(b, []byte("\uFFFD"))
	}
	return clean(string(out))
}

// decodeDoubtful reads text whose label says nothing, or says UTF-8 or Latin and may be wrong.
func decodeDoubtful(name string, enc encoding.Encoding, b []byte) string {
	if enc != nil && name == charsetUTF8 && enc != encoding.Nop { // a byte order mark decided
		if out, err := enc.NewDecoder().Bytes(b); err == nil {
			return string(out)
		}
	}
	if utf8.Valid(b) {
		return string(b)
	}
	if name == charsetUTF8 && mostlyUTF8(b) {
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	_, guessed := lookupCharset(guessCharset(b))
	out, err := guessed.NewDecoder().Bytes(b)
	if err != nil {
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	return string(out)
}

// clean makes text fit for storage: valid UTF-8, no NUL, Unix line ends.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if strings.ContainsAny(s, "\x00\r") {
		s = strings.NewReplacer("\x00", "", "\r\n", "\n", "\r", "\n").Replace(s)
	}
	return s
}

// lookupCharset finds a decoder for a label as mail programs write it. UTF-8 and unknown labels have none: their
// bytes are looked at instead.
func lookupCharset(label string) (string, encoding.Encoding) {
	label = strings.ToLower(strings.Trim(label, " \t\r\n\"'<>;,"))
	label = strings.TrimPrefix(label, "charset=")
	label = strings.Trim(label, "\"' ")
	label = strings.ReplaceAll(label, "_", "-")
	switch label {
	case "", "us-ascii", "ascii", "iso646-us", "unknown", "unknown-8bit", "x-unknown", "default", "none", "8bit":
		return "", nil
	case "utf8", "utf-8", "unicode-1-1-utf-8", "utf8mb4":
		return charsetUTF8, encoding.Nop
	case "utf-7", "unicode-1-1-utf-7":
		return charsetUTF7, nil
	case "cp862", "cp-862", "dos-862", "ibm862", "ibm-862":
		return "ibm862", charmap.CodePage862
	case "cp866", "dos-866", "ibm-866":
		return "ibm866", charmap.CodePage866
	case "windows1255", "win-1255", "cp-1255", "x-cp1255":
		return charsetHebrew, charmap.Windows1255
	case "windows1251", "win-1251", "cp-1251":
		return charsetRussian, charmap.Windows1251
	case "koi8", "koi-8", "koi8r":
		return charsetKOI8, charmap.KOI8R
	}
	enc, err := htmlindex.Get(label)
	if err != nil {
		if enc, err = ianaindex.MIME.Encoding(label); err != nil || enc == nil {
			return "", nil
		}
		return label, enc
	}
	name, err := htmlindex.Name(enc)
	if err != nil || name == "replacement" {
		return "", nil
	}
	return name, enc
}

// cutBOM takes a byte order mark off and says which encoding it stands for.
func cutBOM(b []byte) (encoding.Encoding, []byte, bool) {
	switch {
	case bytes.HasPrefix(b, []byte("\xEF\xBB\xBF")):
		return encoding.Nop, b[3:], true
	case bytes.HasPrefix(b, []byte("\xFF\xFE")):
		return textunicode.UTF16(textunicode.LittleEndian, textunicode.IgnoreBOM), b[2:], true
	case bytes.HasPrefix(b, []byte("\xFE\xFF")):
		return textunicode.UTF16(textunicode.BigEndian, textunicode.IgnoreBOM), b[2:], true
	}
	return nil, b, false
}

func has8Bit(b []byte) bool {
	return bytes.ContainsFunc(b, func(r rune) bool { return r >= utf8.RuneSelf || r == utf8.RuneError })
}

// mostlyUTF8 tells a UTF-8 text with a few broken characters (cut in the middle, say) from a text in another charset.
func mostlyUTF8(b []byte) bool {
	good, bad := 0, 0
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == utf8.RuneError && n == 1:
			bad++
		case n > 1:
			good++
		}
		b = b[n:]
	}
	return good > 2*bad
}

// Letters in a thousand, as they occur in running text.
var (
	hebrewFrequency = [27]float64{ // א to ת, the final letters in their places
		63, 47, 13, 26, 109, 104, 13, 25, 12, 111, 8, 27, 74, 27, 46, 12, 29, 15, 32, 2, 17, 1, 12, 21, 56, 44, 50,
	}
	russianFrequency = [32]float64{ // а to я
		80, 16, 45, 17, 30, 85, 9, 16, 74, 12, 35, 44, 32, 67, 110, 28, 47, 55, 63, 26, 3, 10, 5, 14, 7, 4, 0.4, 19, 17, 3, 6, 20,
	}
)

// Costs of what letters alone do not tell, in natural logarithms of a likelihood.
const (
	costSymbol      = -6  // a sign that texts do hold: quotation marks, dashes, №
	costStrange     = -10 // a sign that texts do not hold: box drawing, controls
	costCapital     = -1
	costCapitalNext = -0.15 // a capital after a capital
	costCapitalTail = -6    // a capital after a small letter
	costInnerFinal  = -4    // a Hebrew final letter inside a word
	implausible     = -6    // the mean below which no candidate is believed
	guessSample     = 4096
)

// guessCharset names the likeliest charset of 8-bit text that carries no usable label: Hebrew or Russian by the
// frequency of letters, Western when the 8-bit letters stand inside Latin words.
func guessCharset(b []byte) string {
	if utf8.Valid(b) {
		return charsetUTF8
	}
	if len(b) > guessSample {
		b = b[:guessSample]
	}
	if looksLatin(b) {
		return charsetLatin
	}
	best, bestScore := charsetLatin, float64(implausible)
	for _, candidate := range []struct {
		name  string
		enc   *charmap.Charmap
		prior float64 // for texts too short to tell: what comes to an office in Israel
	}{{charsetHebrew, charmap.Windows1255, 1}, {charsetRussian, charmap.Windows1251, 0.5}, {charsetKOI8, charmap.KOI8R, 0}} {
		if score := plausibility(candidate.enc, b, candidate.prior); score > bestScore {
			best, bestScore = candidate.name, score
		}
	}
	return best
}

// looksLatin says that most 8-bit bytes touch an ASCII letter, as é does in café and never does in a Hebrew word.
func looksLatin(b []byte) bool {
	touching, high := 0, 0
	for i, c := range b {
		if c < 0xC0 {
			continue
		}
		high++
		if i > 0 && asciiLetter(b[i-1]) || i+1 < len(b) && asciiLetter(b[i+1]) {
			touching++
		}
	}
	return high > 0 && touching*2 > high
}

func asciiLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// plausibility is the mean logarithm of the likelihood of the 8-bit bytes, read in the given charset.
func plausibility(enc *charmap.Charmap, b []byte, prior float64) float64 {
	sum, n := prior, 0
	var before rune
	for _, c := range b {
		r := enc.DecodeByte(c)
		if c >= utf8.RuneSelf {
			sum += letterScore(before, r)
			n++
		}
		before = r
	}
	if n == 0 {
		return math.Inf(-1)
	}
	return sum / float64(n)
}

func letterScore(before, r rune) float64 {
	score := 0.0
	if isFinal(before) && r >= 'א' && r <= 'ת' {
		score += costInnerFinal
	}
	if unicode.IsUpper(r) {
		switch {
		case unicode.IsUpper(before):
			score += costCapitalNext
		case unicode.IsLower(before):
			score += costCapitalTail
		default:
			score += costCapital
		}
	}
	switch l := unicode.ToLower(r); {
	case l >= 'א' && l <= 'ת':
		return score + math.Log(hebrewFrequency[l-'א']/1000)
	case l >= 'а' && l <= 'я':
		return score + math.Log(russianFrequency[l-'а']/1000)
	case l == 'ё':
		return score + math.Log(0.001)
	case strings.ContainsRune("«»“”„‘’–—…№•€₪§©®° ״׳־\u200e\u200f", r), unicode.Is(unicode.Hebrew, r):
		return score + costSymbol
	}
	return score + costStrange
}

func isFinal(r rune) bool { return strings.ContainsRune("ךםןףץ", r) && r != 0 }

// decodeUTF7 reads RFC 2152, which some old Outlooks still write.
func decodeUTF7(b []byte) string {
	var out strings.Builder
	for len(b) > 0 {
		if b[0] != '+' {
			out.WriteByte(b[0])
			b = b[1:]
			continue
		}
		end := 1
		for end < len(b) && (asciiLetter(b[end]) || b[end] >= '0' && b[end] <= '9' || b[end] == '+' || b[end] == '/') {
			end++
		}
		if end == 1 {
			out.WriteByte('+')
		} else {
			out.WriteString(decodeShifted(string(b[1:end])))
		}
		if end < len(b) && b[end] == '-' {
			end++
		}
		b = b[end:]
	}
	return out.String()
}

func decodeShifted(s string) string {
	raw, _ := base64.RawStdEncoding.DecodeString(s[:len(s)-len(s)%4]) // what is whole
	if rest := s[len(s)-len(s)%4:]; len(rest) > 1 {
		tail, _ := base64.RawStdEncoding.DecodeString(rest)
		raw = append(raw, tail...)
	}
	units := make([]uint16, 0, len(raw)/2)
	for i := 0; i+1 < len(raw); i += 2 {
		units = append(units, uint16(raw[i])<<8|uint16(raw[i+1]))
	}
	return string(utf16.Decode(units))
}
