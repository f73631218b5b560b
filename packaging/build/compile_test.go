package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// smallSource is a checkout in the shape of ours, with a program and plugins
// that do next to nothing.
func smallSource() map[string]string {
	return map[string]string{
		"appliance/cmd/karov/main.go":             "package main\nvar version = \"?\"\nfunc main() { println(version) }\n",
		"appliance/plugin/confine/launch/main.go": "package main\nfunc main() {}\n",
		"packaging/changes/0.3.0/0001-now.md":     "# Now.\n",
		"plugins/post/main.go":                    "package main\nfunc main() {}\n",
		"plugins/post/plugin.yaml":                "id: x.post\nbinary: karov-plugin-post\nprovides:\n  binary: no\n",
		"plugins/post/locale/he.yaml":             "a: b\n",
		"plugins/post/testdata/other.yaml":        "not: shipped\n",
		"plugins/example/main.go":                 "package main\nfunc main() {}\n",
		"plugins/example/plugin.yaml":             "id: x.example\nbinary: example\n",
		"plugins/fieldservice/main.go":            "package main\nfunc main() {}\n",
		"plugins/fieldservice/plugin.yaml":        "id: x.fieldservice\nbinary: fieldservice\n",
		"plugins/sdk/sdk.go":                      "package sdk\n",
		"plugins/lib/lib.go":                      "package lib\n",
		"plugins/lib/plugin.yaml":                 "id: has no program\n",
	}
}

// tree lists the files below dir.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	files, err := collect(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func TestCompileLaysThingsOutAsThePackageDoes(t *testing.T) {
	d := desk{root: module(t, smallSource()), say: io.Discard}
	before := tree(t, d.root)
	out := t.TempDir()
	// What an earlier build left of a plugin that is gone must go.
	if err := os.MkdirAll(filepath.Join(out, "plugins", "gone"), 0o755); err != nil {
		t.Fatal(err)
	}
	p, err := compile(t.Context(), d, out, target{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"karov", "plugin-exec", "plugins/post/karov-plugin-post", "plugins/post/locale/he.yaml", "plugins/post/plugin.yaml"}
	if got := tree(t, out); !slices.Equal(got, want) {
		t.Errorf("built %q\nwant  %q", got, want)
	}
	if !slices.Equal(p.names, []string{"post"}) {
		t.Errorf("plugins = %q", p.names)
	}
	said, err := exec.Command(p.karov).CombinedOutput()
	if err != nil || strings.TrimSpace(string(said)) != "0.3.0" {
		t.Errorf("the program says version %q, %v", said, err)
	}
	if got := tree(t, d.root); !slices.Equal(got, before) {
		t.Errorf("the checkout changed:\n%q\n%q", before, got)
	}
	files, err := pluginFiles(p.plugins)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if program := strings.HasSuffix(f.To, "/karov-plugin-post"); program != (f.Mode == "0755") {
			t.Errorf("%s is packed with mode %s", f.To, f.Mode)
		}
	}
}

func TestCompileSaysWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct{ file, text, want string }{
		"a program that does not compile": {"appliance/cmd/karov/main.go", "package main\nfunc main() { undefinedThing() }\n", "undefinedThing"},
		"a plugin without a program":      {"plugins/post/plugin.yaml", "id: x.post\n", "names no binary"},
		"a binary elsewhere":              {"plugins/post/plugin.yaml", "binary: ../../bin/sh\n", "names no binary"},
		"no version":                      {"packaging/changes/0.3.0/0001-now.md", "", "0.3.0"},
	} {
		t.Run(name, func(t *testing.T) {
			files := smallSource()
			files[c.file] = c.text
			_, err := compile(t.Context(), desk{root: module(t, files), say: io.Discard}, t.TempDir(), target{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want it to say %q", err, c.want)
			}
		})
	}
}

// TestCompileGivesTheSameBytesElsewhere builds one source at two places, with
// another person's Go settings.
func TestCompileGivesTheSameBytesElsewhere(t *testing.T) {
	one, other := t.TempDir(), t.TempDir()
	if _, err := compile(t.Context(), desk{root: module(t, smallSource()), say: io.Discard}, one, target{"linux", "amd64"}); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOFLAGS", "-tags=theirs")
	t.Setenv("GOAMD64", "v2")
	if _, err := compile(t.Context(), desk{root: module(t, smallSource()), say: io.Discard}, other, target{"linux", "amd64"}); err != nil {
		t.Fatal(err)
	}
	for _, name := range tree(t, one) {
		if err := sameBytes(filepath.Join(one, name), filepath.Join(other, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestSameBytesSeesOneFlippedByte(t *testing.T) {
	dir := module(t, map[string]string{"a": "package", "b": "pacKage"})
	if sameBytes(filepath.Join(dir, "a"), filepath.Join(dir, "b")) == nil {
		t.Error("two different files are called the same")
	}
}

func TestCopySourceTakesWhatGitWouldKeep(t *testing.T) {
	from := module(t, map[string]string{
		".gitignore": "*.deb\n", "kept/a.txt": "a", "new.txt": "not yet added", "karov.deb": "built", "deleted.txt": "x",
	})
	for _, argv := range [][]string{
		{"init", "-q"}, {"add", "kept", "deleted.txt"},
	} {
		if out, err := exec.Command("git", append([]string{"-C", from}, argv...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", argv, err, out)
		}
	}
	if err := os.Remove(filepath.Join(from, "deleted.txt")); err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	if err := copySource(t.Context(), from, to); err != nil {
		t.Fatal(err)
	}
	want := []string{".gitignore", "go.mod", "kept/a.txt", "new.txt"}
	if got := tree(t, to); !slices.Equal(got, want) {
		t.Errorf("copied %q, want %q", got, want)
	}
}

func TestLicenceRefusesWhatWouldBindResellers(t *testing.T) {
	for name, c := range map[string]struct {
		file, text string
		ok         bool
	}{
		"MIT":             {"LICENSE.md", "Permission is hereby granted", true},
		"British":         {"LICENCE", "Permission is hereby granted", true},
		"MPL names GPL":   {"LICENSE", "\"Secondary License\" means either the GNU General Public License, Version 2.0", true},
		"GPL":             {"COPYING", "                    GNU GENERAL PUBLIC LICENSE\n  Version 3", false},
		"AGPL":            {"LICENSE", "GNU AFFERO GENERAL PUBLIC LICENSE", false},
		"none":            {"README", "a fine module", false},
		"only mentioned":  {"main.go", "// see LICENSE", false},
		"a notice as all": {"NOTICE.txt", "Copyright", true},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := licence(module(t, map[string]string{c.file: c.text}))
			if (err == nil) != c.ok {
				t.Errorf("error = %v, want it accepted: %v", err, c.ok)
			}
		})
	}
}
