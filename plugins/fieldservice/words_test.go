package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/karov-crm/karov/plugins/plugintest"
)

// said finds the sentences that the source names; a name that ends with a hyphen is put together there.
var said = regexp.MustCompile(`"(fieldservice\.[a-z-]+[a-z])"`)

// TestEverySentenceIsThereInEachLanguage starts the plugin as Karov does, and looks for what its source says.
func TestEverySentenceIsThereInEachLanguage(t *testing.T) {
	home := plugintest.Build(t, ".", "github.com/karov-crm/karov/plugins/fieldservice")
	w := plugintest.Start(t, home, plugintest.NewOffice(nil))
	plugintest.Wait(t, "the plugin runs", func() bool { s := w.Status(); return s.State == "running" && s.LastError == nil })
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(raw)
	}
	keys := said.FindAllStringSubmatch(source.String(), -1)
	if len(keys) < 50 {
		t.Fatalf("only %d sentences found: is this the source?", len(keys))
	}
	kinds := map[string]bool{assetEntity: true, contractEntity: true, orderEntity: true}
	alphabets := map[string]*regexp.Regexp{"he": regexp.MustCompile(`\p{Hebrew}`), "ru": regexp.MustCompile(`\p{Cyrillic}`), "en": regexp.MustCompile(`[A-Za-z]`)}
	for lang, alphabet := range alphabets {
		sentences := w.Host.Sentences(lang)
		for _, k := range keys {
			if sentences[k[1]] == "" && !kinds[k[1]] {
				t.Errorf("%s is not said in %s", k[1], lang)
			}
		}
		for key, sentence := range sentences {
			if !alphabet.MatchString(sentence) {
				t.Errorf("%s is not in %s: %s", key, lang, sentence)
			}
		}
	}
	settled(t, w)
}

// settled gives the plugin a wrong setting and a good one.
func settled(t *testing.T, w *plugintest.World) {
	id := w.Status().ID
	w.Office.SetConfig(map[string]string{"hours.end": "07:00"})
	_ = w.Host.Reconfigure(t.Context(), id) // what it says stands in the status too
	plugintest.Wait(t, "the setting is refused", func() bool { return w.Status().LastError != nil })
	if f := w.Status().LastError.Fields; len(f) != 1 || f[0].Name != "hours.end" || w.Host.Sentences("he")[f[0].Key] == "" {
		t.Errorf("refused: %v", w.Status().LastError)
	}
	w.Office.SetConfig(map[string]string{"hours.end": "18:00"})
	if err := w.Host.Reconfigure(t.Context(), id); err != nil {
		t.Errorf("a good setting: %v", err)
	}
	plugintest.Wait(t, "the setting is taken", func() bool { return w.Status().LastError == nil })
}
