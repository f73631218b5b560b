package kit_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/plugin/kit"
)

const source = "../../.."

// draft makes a new plugin in a folder of its own, outside Karov's module.
func draft(t *testing.T, kind, lang string) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "p")
	if err := kit.New(kit.Draft{Name: "acme", ID: "il.shop.acme", Kind: kind, Lang: lang, Dir: dir, Source: source}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// packed builds a folder and gives its package.
func packed(t *testing.T, dir string) []byte {
	t.Helper()
	built := filepath.Join(t.TempDir(), "built")
	if _, err := kit.Build(t.Context(), dir, built); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := plugin.BundlePackage(built, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestANewPluginIsCalledAsItsMakerWants(t *testing.T) {
	for _, k := range []struct{ kind, lang, left string }{
		{"channel", "go", "com.karov-crm"}, {"module", "go", "garage"}, {"custom", "go", "credit_"}, {"custom", "python", "com.karov-crm"},
	} {
		t.Run(k.kind+" "+k.lang, func(t *testing.T) {
			dir := draft(t, k.kind, k.lang)
			m, err := plugin.ReadManifest(dir)
			if err != nil {
				t.Fatal(err)
			}
			if m.ID != "il.shop.acme" || m.Name != "Acme" || !strings.HasPrefix(m.Binary, "acme") {
				t.Errorf("made %s %s %s", m.ID, m.Name, m.Binary)
			}
			for key := range m.Sentences("en") {
				if !strings.HasPrefix(key, "acme.") {
					t.Errorf("the sentence %s has the example's name", key)
				}
			}
			err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
				if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), "go.") {
					return err
				}
				raw, err := os.ReadFile(path)
				if bytes.Contains(raw, []byte(k.left)) {
					t.Errorf("%s still says %q", path, k.left)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			one, two := packed(t, dir), packed(t, dir)
			if !bytes.Equal(one, two) {
				t.Error("two builds differ")
			}
		})
	}
}

func TestTheSamePluginElsewhereIsTheSamePackage(t *testing.T) {
	one := draft(t, "custom", "go")
	two := filepath.Join(t.TempDir(), "elsewhere", "p")
	if err := os.CopyFS(two, os.DirFS(one)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(packed(t, one), packed(t, two)) {
		t.Error("the same sources in two places make two packages")
	}
}

func TestANewPluginsCodeIsFormattedAndVetted(t *testing.T) {
	for _, kind := range []string{"channel", "module", "custom"} {
		dir := draft(t, kind, "go")
		if out, err := exec.Command("gofmt", "-l", dir).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: gofmt: %v\n%s", kind, err, out)
		}
		vet := exec.Command("go", "vet", ".")
		vet.Dir = dir
		if out, err := vet.CombinedOutput(); err != nil {
			t.Errorf("%s: go vet: %v\n%s", kind, err, out)
		}
	}
}

func TestWrongDraftsAreRefused(t *testing.T) {
	taken := t.TempDir()
	if err := os.WriteFile(filepath.Join(taken, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	free := filepath.Join(t.TempDir(), "p")
	for key, d := range map[string]kit.Draft{
		"kit.name":         {Name: "Bad/../name", Kind: "module", Lang: "go", Dir: free},
		"kit.id":           {Name: "acme", ID: "il.shop.other", Kind: "module", Lang: "go", Dir: free},
		"kit.kind":         {Name: "acme", Kind: "channel", Lang: "python", Dir: free},
		"kit.no-source":    {Name: "acme", Kind: "module", Lang: "go", Dir: free, Source: t.TempDir()},
		"kit.no-version":   {Name: "acme", Kind: "module", Lang: "go", Dir: free},
		"kit.folder-taken": {Name: "acme", Kind: "module", Lang: "go", Dir: taken, Source: source},
	} {
		if err := kit.New(d); fault.Of(err).Key != key {
			t.Errorf("%s: %v", key, err)
		}
	}
	if _, err := os.Stat(free); err == nil {
		t.Error("a refused draft left a folder")
	}
}

func TestWhatDoesNotCompileIsTold(t *testing.T) {
	dir := draft(t, "module", "go")
	if err := os.WriteFile(filepath.Join(dir, "wrong.go"), []byte("package main\n\nvar x int = \"no\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := kit.Build(t.Context(), dir, filepath.Join(t.TempDir(), "built"))
	if f := fault.Of(err); f.Key != "kit.build-failed" || !strings.Contains(f.Params["output"], "wrong.go:3") {
		t.Errorf("%v", err)
	}
}
