package plugin

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/plugins/wire"
)

// readSentences reads locale/<language>.yaml. A plugin that says nothing to people has no such folder.
func readSentences(dir string) (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	for _, lang := range Languages() {
		file := filepath.Join(dir, lang+".yaml")
		raw, err := readLimited(file, maxManifest)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "plugin.manifest-unreadable", "file", file)
		}
		if out[lang], err = parseSentences(raw, file); err != nil {
			return nil, err
		}
	}
	return out, sameKeys(out, dir)
}

// sameKeys refuses sentences that are not there in all languages: somebody would get a key to read.
func sameKeys(sentences map[string]map[string]string, dir string) error {
	if len(sentences) == 0 {
		return nil
	}
	all := map[string]bool{}
	for _, said := range sentences {
		for key := range said {
			all[key] = true
		}
	}
	for _, lang := range Languages() {
		c := &checker{}
		for _, key := range slices.Sorted(maps.Keys(all)) {
			if _, ok := sentences[lang][key]; !ok && len(c.fields) < 20 {
				c.wrong(key, "field.required")
			}
		}
		if len(c.fields) > 0 {
			return &fault.Error{Kind: fault.Invalid, Key: "plugin.manifest-invalid",
				Params: map[string]string{"file": filepath.Join(dir, lang+".yaml")}, Fields: c.fields}
		}
	}
	return nil
}

// Sentences gives the plugin's sentences in a language, by key.
func (m *Manifest) Sentences(lang string) map[string]string { return maps.Clone(m.sentences[lang]) }

func parseSentences(raw []byte, file string) (map[string]string, error) {
	var m map[string]string
	if err := decode(raw, &m); err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "plugin.manifest-malformed", "file", file, "detail", wire.Cut(err.Error(), 500))
	}
	c := &checker{}
	if len(m) > maxSentences {
		c.wrong("", "field.too-many", "limit", maxSentences)
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if !wire.ValidKey(key) || !plainText(m[key], maxSentence) || m[key] == "" {
			c.wrong(wire.Cut(key, 100), "field.malformed")
		}
		if len(c.fields) >= 20 {
			break
		}
	}
	if len(c.fields) > 0 {
		return nil, &fault.Error{
			Kind: fault.Invalid, Key: "plugin.manifest-invalid",
			Params: map[string]string{"file": file}, Fields: c.fields,
		}
	}
	return m, nil
}
