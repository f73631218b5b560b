// Package locale holds every sentence that people read, in Hebrew, Russian and English, and how each language writes
// numbers, dates and plurals.
//
// It owns the packs he.yaml, ru.yaml and en.yaml: one key a sentence, with {parameters}, and plural forms where a number
// stands in it. A fault from any room names one of these keys, most of them in faults.he.yaml, faults.ru.yaml and
// faults.en.yaml. What records, fields and choices are called stands in names.he.yaml, names.ru.yaml and names.en.yaml. A
// plugin may bring keys of its own, which are merged at start and can never replace ours.
//
// It promises that the three packs have the same keys and the same parameters, and that each key is used: a test reads
// the templates and the code. What is put into a sentence is wrapped in directional isolates, so that a Hebrew name does
// not turn an English sentence about.
//
// It will not guess: a key that is missing shows as the key itself, which no test lets pass.
package locale

import (
	"embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

//go:embed he.yaml ru.yaml en.yaml faults.he.yaml faults.ru.yaml faults.en.yaml names.he.yaml names.ru.yaml names.en.yaml
var packs embed.FS

// Language is one of the languages in which the product speaks.
type Language struct {
	Code string // BCP 47, as "he"
	Name string // its own name for itself
	Dir  string // "rtl" or "ltr"
}

// Languages lists them in the order in which the switch shows them.
func Languages() []Language {
	return []Language{{"he", "עברית", "rtl"}, {"ru", "Русский", "ltr"}, {"en", "English", "ltr"}}
}

// sentence is a text with its plural forms; a plain sentence has only "other".
type sentence map[string]string

// UnmarshalYAML reads either a text or a map of plural forms.
func (s *sentence) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*s = sentence{"other": node.Value}
		return nil
	}
	forms := map[string]string{}
	if err := node.Decode(&forms); err != nil {
		return err
	}
	*s = forms
	return nil
}

// Bundle holds the packs of all languages.
type Bundle struct {
	packs map[string]map[string]sentence
	more  func(lang string) map[string]string // nil where there are no plugins
}

// Load reads the packs that are built into the program.
func Load() (*Bundle, error) {
	b := &Bundle{packs: map[string]map[string]sentence{}}
	for _, l := range Languages() {
		pack := map[string]sentence{}
		for _, file := range []string{l.Code + ".yaml", "faults." + l.Code + ".yaml", "names." + l.Code + ".yaml"} {
			raw, err := packs.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("read language pack %s: %w", file, err)
			}
			if err := addTo(pack, raw); err != nil {
				return nil, fmt.Errorf("parse language pack %s: %w", file, err)
			}
		}
		b.packs[l.Code] = pack
	}
	return b, nil
}

// addTo adds the sentences of a file to a pack. A key that is there already is refused: nobody could say which is shown.
func addTo(pack map[string]sentence, raw []byte) error {
	more := map[string]sentence{}
	if err := yaml.Unmarshal(raw, &more); err != nil {
		return err
	}
	for key, s := range more {
		if _, taken := pack[key]; taken {
			return fmt.Errorf("%q stands in another file of this language too", key)
		}
		pack[key] = s
	}
	return nil
}

// Also names where the sentences of plugins come from: by key, of one language, asked anew each time, since plugins come
// and go. A sentence of ours is never looked for there, so that a plugin cannot put words into the mouth of the core.
// It is called while the appliance is put together.
func (b *Bundle) Also(more func(lang string) map[string]string) { b.more = more }

// In gives the voice of a language in a time zone. A language that we do not speak answers in English.
func (b *Bundle) In(code string, zone *time.Location) *Voice {
	for _, l := range Languages() {
		if l.Code == code {
			return &Voice{Language: l, pack: b.packs[code], fallback: b.packs["en"], zone: zone, more: b.more}
		}
	}
	return b.In("en", zone)
}

// Match picks the first language of an Accept-Language header that we speak, or fallback.
func Match(header, fallback string) string {
	for part := range strings.SplitSeq(header, ",") {
		code, _, _ := strings.Cut(strings.TrimSpace(part), ";")
		code, _, _ = strings.Cut(strings.ToLower(code), "-")
		if code == "iw" {
			code = "he"
		}
		for _, l := range Languages() {
			if l.Code == code {
				return code
			}
		}
	}
	return fallback
}

// Voice says sentences in one language.
type Voice struct {
	Language
	pack, fallback map[string]sentence
	zone           *time.Location
	more           func(lang string) map[string]string
}

// Has tells whether there is a sentence of this key.
func (v *Voice) Has(key string) bool {
	_, own := v.pack[key]
	_, other := v.fallback[key]
	return own || other || v.plugins(key) != ""
}

// plugins gives a sentence of a plugin, "" where no plugin has it.
func (v *Voice) plugins(key string) string {
	if v.more == nil || !strings.Contains(key, ".") {
		return ""
	}
	if text := v.more(v.Code)[key]; text != "" {
		return text
	}
	return v.more("en")[key]
}

// T says a sentence. Args alternate parameter names and values.
func (v *Voice) T(key string, args ...any) string {
	return fill(v.form(key, "other"), args)
}

// N says a sentence about n things; {n} in it is the number.
func (v *Voice) N(key string, n int, args ...any) string {
	return fill(strings.ReplaceAll(v.form(key, plural(v.Code, n)), "{n}", v.Number(n)), args)
}

// Fill says a sentence whose parameters came as a map, as those of a fault do.
func (v *Voice) Fill(key string, params map[string]string) string {
	args := make([]any, 0, 2*len(params))
	for _, name := range slices.Sorted(maps.Keys(params)) {
		args = append(args, name, params[name])
	}
	return v.T(key, args...)
}

func (v *Voice) form(key, form string) string {
	for _, pack := range []map[string]sentence{v.pack, v.fallback} {
		if forms, ok := pack[key]; ok {
			for _, f := range []string{form, "other", "many"} {
				if text, ok := forms[f]; ok {
					return text
				}
			}
		}
	}
	if text := v.plugins(key); text != "" {
		return text
	}
	return key
}

// Directional isolates (Unicode UAX 9) keep a foreign word from reordering the sentence around it.
const firstStrong, popIsolate = "\u2068", "\u2069"

func fill(text string, args []any) string {
	if len(args) < 2 || !strings.Contains(text, "{") {
		return text
	}
	pairs := make([]string, 0, len(args))
	for i := 0; i+1 < len(args); i += 2 {
		pairs = append(pairs, "{"+fmt.Sprint(args[i])+"}", firstStrong+fmt.Sprint(args[i+1])+popIsolate)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// plural names the CLDR plural form of a whole number.
func plural(lang string, n int) string {
	if n < 0 {
		n = -n
	}
	switch {
	case lang == "ru" && n%10 == 1 && n%100 != 11:
		return "one"
	case lang == "ru" && n%10 >= 2 && n%10 <= 4 && (n%100 < 12 || n%100 > 14):
		return "few"
	case lang == "ru":
		return "many"
	case n == 1:
		return "one"
	case lang == "he" && n == 2:
		return "two"
	}
	return "other"
}

// Keys lists the keys of our own sentences, for the test that finds those that nobody uses.
func Keys() []string {
	b, err := Load()
	if err != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(b.packs["en"]))
}
