package api

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// Lists and cards are mostly short texts. Writing those straight into the answer, instead of one call of encoding/json
// for each, makes a page of a list several times cheaper. What is not simple goes to encoding/json, so that the form is
// its own everywhere.

// appendJSON writes a value behind an answer.
func appendJSON(raw []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case nil:
		return append(raw, "null"...), nil
	case string:
		return appendText(raw, v)
	case bool:
		return strconv.AppendBool(raw, v), nil
	case int:
		return strconv.AppendInt(raw, int64(v), 10), nil
	case uint64:
		return strconv.AppendUint(raw, v, 10), nil
	case object:
		return v.appendTo(raw), v.err
	case []string:
		return appendList(raw, v, appendText)
	case []object:
		return appendList(raw, v, func(raw []byte, o object) ([]byte, error) { return o.appendTo(raw), o.err })
	case [][2]int:
		return appendList(raw, v, func(raw []byte, pair [2]int) ([]byte, error) {
			raw = strconv.AppendInt(append(raw, '['), int64(pair[0]), 10)
			return append(strconv.AppendInt(append(raw, ','), int64(pair[1]), 10), ']'), nil
		})
	}
	text, err := json.Marshal(value)
	return append(raw, text...), err
}

func appendList[T any](raw []byte, list []T, one func([]byte, T) ([]byte, error)) (_ []byte, err error) {
	raw = append(raw, '[')
	for i, item := range list {
		if i > 0 {
			raw = append(raw, ',')
		}
		if raw, err = one(raw, item); err != nil {
			return raw, err
		}
	}
	return append(raw, ']'), nil
}

// appendText writes a text. One with a sign that JSON or HTML escapes goes to encoding/json.
func appendText(raw []byte, text string) ([]byte, error) {
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			if c < ' ' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' || c == 0x7f {
				return appendOther(raw, text)
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError || r == '\u2028' || r == '\u2029' {
			return appendOther(raw, text)
		}
		i += size
	}
	return append(append(append(raw, '"'), text...), '"'), nil
}

func appendOther(raw []byte, text string) ([]byte, error) {
	quoted, err := json.Marshal(text)
	return append(raw, quoted...), err
}
