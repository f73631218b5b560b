package plugin

import (
	"strings"

	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
)

// Say makes a sentence of the plugin's with its parameters, in a language; where the plugin does not have it, in
// another. Parameters stand isolated, so that a name in Latin letters does not turn a Hebrew sentence around
// (Unicode UAX #9, FSI and PDI). A key that the plugin does not know is said as it is.
func (m *Manifest) Say(lang, key string, params map[string]string) string {
	sentence := m.sentences[lang][key]
	for _, other := range []string{"en", "he", "ru"} {
		if sentence == "" {
			sentence = m.sentences[other][key]
		}
	}
	if sentence == "" {
		return key
	}
	if len(params) == 0 {
		return sentence
	}
	pairs := make([]string, 0, 2*len(params))
	for name, value := range params {
		pairs = append(pairs, "{"+name+"}", "\u2068"+printable(value)+"\u2069")
	}
	return strings.NewReplacer(pairs...).Replace(sentence)
}

// words makes what a plugin says to people a text in a language.
func (m *Manifest) words(lang string, w *wirev1.Words) string {
	if w.GetKey() == "" {
		return paragraphs(w.GetText())
	}
	if !wire.ValidKey(w.GetKey()) {
		return ""
	}
	return m.Say(lang, w.GetKey(), wire.CleanParams(w.GetParams()))
}
