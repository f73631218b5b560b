package locale

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
)

// TestEveryFaultHasASentence keeps the packs in step with the rooms: whoever adds a key adds its sentence in each
// language, and a sentence says nothing that the code does not tell it.
func TestEveryFaultHasASentence(t *testing.T) {
	all := keysOf(t, "../../../appliance", "../..")
	if len(all) < 200 {
		t.Fatalf("only %d keys found in the source: the test looks in the wrong place", len(all))
	}
	for lang, pack := range load(t).packs {
		for _, s := range all {
			if wrong := s.judge(pack); wrong != "" {
				t.Errorf("%s: %q in %s: %s", s.where, s.key, lang, wrong)
			}
		}
	}
}

var parameter = regexp.MustCompile(`\{([a-z-]+)\}`)

// judge says what is wrong with the sentence of a key, "" when nothing is.
func (s said) judge(pack map[string]sentence) string {
	forms, ok := pack[s.key]
	if !ok {
		return "there is no sentence"
	}
	if strings.Contains(s.where, "appliance/plugin/manifest.go:") {
		return "" // what is wrong with the fields of a manifest goes to the log; it is without parameters
	}
	for _, text := range forms {
		for _, p := range parameter.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(s.params, p[1]) {
				return "the sentence wants " + p[0] + ", which is not passed here"
			}
		}
	}
	return ""
}

// TestEverySentenceOfAFaultIsUsed finds the sentences that are left when a fault goes.
func TestEverySentenceOfAFaultIsUsed(t *testing.T) {
	used := map[string]bool{}
	for _, s := range keysOf(t, "../../../appliance", "../..") {
		used[s.key] = true
	}
	for _, l := range Languages() {
		raw, err := packs.ReadFile("faults." + l.Code + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		pack := map[string]sentence{}
		if err := addTo(pack, raw); err != nil {
			t.Fatal(err)
		}
		for key, forms := range pack {
			if !used[key] {
				t.Errorf("no fault has the key %q (%s)", key, l.Code)
			}
			if !strings.ContainsAny(forms["other"], ".:…") {
				t.Errorf("%s %q is no sentence: %s", l.Code, key, forms["other"])
			}
		}
	}
}

// TestKeysAreFoundOnTheirWays holds the search above to each way on which a key reaches a fault.
func TestKeysAreFoundOnTheirWays(t *testing.T) {
	const source = `package p
func plain() error { return fault.New(fault.Invalid, "way.plain", "a", 1) }
func wrapped(err error) error { return fault.Wrap(err, fault.Invalid, "way.wrapped", "b", 2) }
func missing() error { return fault.Missing("way", "7") }
func problem(name, key string, args ...any) error { return fault.InvalidField(name, key, args...) }
func calls() { problem("x", "way.argument", "c", 3) }
func (w *writer) wrong(name, key string) { w.all = append(w.all, fault.Field{Name: name, Key: key, Params: map[string]string{"d": ""}}) }
func method(w *writer) { w.wrong("x", "way.method") }
func closure() { add := func(key string) { use(&fault.Error{Key: key}) }; add("way.closure") }
func given() (int, string) { if odd { return 1, "" }; return again() }
func again() (int, string) { return 0, "way.result" }
func variable() error { n, key := given(); if n > 1 { key = "way.variable" }; return problem("x", key, "e", n) }
func table(err error) error { for _, x := range []struct{ err error; key string }{{nil, "way.table"}} { fault.Wrap(err, fault.Invalid, x.key) } }
func assigned(f *fault.Error) { f.Key = "way.assigned" }
func kinds() []schema.Entity { return []schema.Entity{{Name: "kind", Fields: nil}} }
func other(key string) { bucket.Get("not.a-fault") }
`
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "p.go", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range searchRoom(files, []*ast.File{file}) {
		got[s.key] = strings.Trim(strings.Join(s.params, " "), ". ")
	}
	want := map[string]string{"way.plain": "a", "way.wrapped": "b", "way.not-found": "id", "way.argument": "c", "way.method": "d",
		"way.closure": "", "way.result": "e", "way.variable": "e", "way.table": "", "way.assigned": "", "kind.not-found": "id"}
	if !maps.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
}

func TestAKeyStandsInOneFile(t *testing.T) {
	pack := map[string]sentence{}
	if err := addTo(pack, []byte("a.b: One\n")); err != nil {
		t.Fatal(err)
	}
	if err := addTo(pack, []byte("a.b: Another\n")); err == nil {
		t.Error("a second sentence of the same key was taken")
	}
}

func TestSentencesOfFaultsAreShownWhole(t *testing.T) {
	for lang, want := range map[string]string{
		"en": "There is no plugin \u2068mail\u2069. karov plugin list shows those that are installed.",
		"he": "אין תוסף \u2068mail\u2069. הפקודה \u2066karov plugin list\u2069 מציגה את המותקנים.",
		"ru": "Модуля \u2068mail\u2069 нет. Установленные показывает команда karov plugin list.",
	} {
		f := fault.Missing("plugin", "mail")
		if got := load(t).In(lang, time.UTC).Fill(f.Key, f.Params); got != want {
			t.Errorf("%s: %q, want %q", lang, got, want)
		}
	}
}
