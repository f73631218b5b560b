package api

import (
	_ "embed"
	"strings"

	"github.com/karov-crm/karov/appliance/fault"
)

//go:embed texts.txt
var textsFile string

// texts are the sentences of the API by key, in English: it speaks to programs, and to those who write them. {words}
// are filled in. A test reads the source of the whole appliance and fails when a fault's key has no sentence here.
type texts map[string]string

func readTexts() texts {
	t := texts{}
	for line := range strings.Lines(textsFile) {
		key, sentence, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if ok && !strings.HasPrefix(key, "#") {
			t[key] = sentence
		}
	}
	return t
}

func (t texts) title(k fault.Kind) string { return t["title."+k.String()] }

// say gives the sentence of a fault. What lies beneath a surprise is nobody's business but the log's.
func (t texts) say(f *fault.Error) string {
	if f.Kind == fault.Internal {
		return t["error.internal"]
	}
	if t.has(f.Key) {
		return t.fill(f.Key, f.Params)
	}
	return t["title."+f.Kind.String()] + "."
}

func (t texts) has(key string) bool {
	return t[key] != "" || strings.HasSuffix(key, ".not-found")
}

// fill gives the sentence of a key with its parameters.
func (t texts) fill(key string, params map[string]string) string {
	sentence, ok := t[key]
	what, missing := strings.CutSuffix(key, ".not-found")
	switch {
	case !ok && missing:
		sentence = strings.ReplaceAll(t["any.not-found"], "{what}", what)
	case !ok:
		sentence = t["input.invalid"]
	}
	if len(params) == 0 {
		return sentence
	}
	pairs := make([]string, 0, 2*len(params))
	for name, value := range params {
		pairs = append(pairs, "{"+name+"}", shortened(value))
	}
	return strings.NewReplacer(pairs...).Replace(sentence)
}
