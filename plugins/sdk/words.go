package sdk

import (
	"fmt"
	"strconv"
	"time"

	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
)

// Words is a text for people: a sentence of the plugin's locale folder with its parameters (Say), or a text that is the
// same in every language (Plain). Karov escapes both and sets them apart from the text around them, so that nothing has
// to be cleaned before. The zero Words is no text.
type Words struct {
	key    string
	params map[string]string
	text   string
}

// Say names a sentence of the plugin's locale folder. Parameters are written as names and values in turns:
//
//	sdk.Say("fieldservice.visits-today", "count", len(visits), "day", sdk.DateOf(now))
//
// A value is written as it is for a string, in digits for a number, as 2026-11-22 for a Date, in RFC 3339 for a time,
// as 12.50 ILS for Money.
func Say(key string, params ...any) Words { return Words{key: key, params: paramsOf(params)} }

// Plain is a text that is the same in every language: a name, a number, what a customer wrote.
func Plain(text string) Words { return Words{text: text} }

// IsZero tells whether there is no text.
func (w Words) IsZero() bool { return w.key == "" && w.text == "" }

// String describes the words for a log; it is not the sentence. Office.Say makes that.
func (w Words) String() string {
	if w.key == "" {
		return w.text
	}
	if len(w.params) == 0 {
		return w.key
	}
	return fmt.Sprintf("%s %v", w.key, w.params)
}

// wire gives nil for no text.
func (w Words) wire() *wirev1.Words {
	if w.IsZero() {
		return nil
	}
	return &wirev1.Words{Key: wire.Valid(w.key), Params: validParams(w.params), Text: wire.Valid(w.text)}
}

// paramsOf reads names and values in turns. What is out of turn stands under "!", where an author's test finds it.
func paramsOf(in []any) map[string]string {
	if len(in) == 0 {
		return nil
	}
	out := make(map[string]string, len(in)/2)
	for i := 0; i < len(in); i += 2 {
		name, ok := in[i].(string)
		if !ok || i+1 == len(in) {
			out["!"] = fmt.Sprint(in[i])
			continue
		}
		out[name] = plain(in[i+1])
	}
	return out
}

// plain writes a value as a parameter.
func plain(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case float32:
		return strconv.FormatFloat(float64(v), 'f', -1, 32)
	case time.Time:
		return v.Format(time.RFC3339)
	}
	return fmt.Sprint(v)
}

func validParams(in map[string]string) map[string]string {
	if len(in) == 0 {
		return nil
	}
	out := make(map[string]string, len(in))
	for k, v := range in {
		out[wire.Valid(k)] = wire.Valid(v)
	}
	return out
}
