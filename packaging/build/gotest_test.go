package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// module writes files as a Go module of its own and gives its folder.
func module(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	files["go.mod"] = "module github.com/karov-crm/karov\n\ngo 1.26\n"
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestGoTestCountsWhatHappened runs the real go test over packages that pass,
// fail, skip, die and do not compile.
func TestGoTestCountsWhatHappened(t *testing.T) {
	head := "import (\"os\"; \"testing\")\nvar _ = os.Exit\n"
	dir := module(t, map[string]string{
		"good/a_test.go": "package good\n" + head + `
func TestA(t *testing.T) { t.Run("sub", func(t *testing.T) {}) }
func TestB(t *testing.T) { t.Skip("no such thing here") }`,
		"bad/a_test.go": "package bad\n" + head + `
func TestFine(t *testing.T) {}
func TestWrong(t *testing.T) { t.Log("what was seen"); t.Fatal("one is not two") }`,
		"dead/a_test.go": "package dead\n" + head + `
func TestDies(t *testing.T) { t.Log("last words"); os.Exit(3) }`,
		"broken/a_test.go": "package broken\n" + head + "func TestX(t *testing.T) { undefinedThing() }",
		"empty/a.go":       "package empty\n",
	})
	var out strings.Builder
	got, err := goTest(t.Context(), desk{root: dir, out: &out}, []string{"GOFLAGS="}, "./...")
	if err != nil {
		t.Fatal(err)
	}
	said := out.String()
	if got.passed != 3 || got.failed != 3 || got.skipped != 1 {
		t.Errorf("tally = %+v, want 3 passed (A, sub, Fine), 3 failed (Wrong, dead, broken), 1 skipped\n%s", got, said)
	}
	for _, want := range []string{
		"ok      good", "FAILED  bad", "what was seen", "one is not two", "FAILED  dead",
		"FAILED  broken", "undefinedThing", "empty",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("the report lacks %q:\n%s", want, said)
		}
	}
	if len(got.silent) != 1 || !strings.HasSuffix(got.silent[0], "good TestB: no such thing here") {
		t.Errorf("skipped = %q", got.silent)
	}
	if got.err() == nil {
		t.Error("a run with failures must not end well")
	}
}

func TestGoTestThatCannotStartIsAnError(t *testing.T) {
	dir := module(t, map[string]string{"a.go": "package a\n"})
	var out strings.Builder
	got, err := goTest(t.Context(), desk{root: dir, out: &out}, []string{"GOFLAGS=-mod=nonsense"}, "./...")
	if err == nil && got.err() == nil {
		t.Errorf("no error and tally %+v; it said:\n%s", got, out.String())
	}
}
