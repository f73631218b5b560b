package kit

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// broken makes a plugin of a pattern, breaks it by replacing texts in one of its files, and gives it to the suite.
func broken(t *testing.T, kind, file string, replace ...string) *Subject {
	t.Helper()
	dir, home := filepath.Join(t.TempDir(), "acme"), t.TempDir()
	if err := New(Draft{Name: "acme", ID: "il.shop.acme", Kind: kind, Lang: "go", Dir: dir, Source: "../../.."}); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, file)
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	after := strings.NewReplacer(replace...).Replace(string(raw))
	if after == string(raw) {
		t.Fatalf("%s is as it was", file)
	}
	if err := os.WriteFile(name, []byte(after), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(t.Context(), dir, filepath.Join(home, "p")); err != nil {
		t.Fatal(err)
	}
	launch := filepath.Join(t.TempDir(), "launch")
	if out, err := exec.Command("go", "build", "-o", launch, modulePath+"/appliance/plugin/confine/launch").CombinedOutput(); err != nil {
		t.Fatalf("build the launcher: %v\n%s", err, out)
	}
	s, err := NewSubject(Subject{Source: dir, Home: home, Launch: []string{launch}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestTheSuiteBites breaks plugins and looks whether the right check says so.
func TestTheSuiteBites(t *testing.T) {
	for _, c := range []struct {
		what, kind, file string
		replace          []string
		check, says      string
	}{
		{"a label that nobody translated", "module", "plugin.yaml", []string{"he: תיקון,", "he: Repair,"}, "has a manifest that offices can live with", "label in he is the English one"},
		{"the contract's first version, which has no hooks", "custom", "plugin.yaml", []string{">=1.1", ">=1.0"}, "has a manifest that offices can live with", "knows nothing of"},
		{"a right that nothing uses", "custom", "plugin.yaml", []string{"verbs: [see], fields: [contact, value]", "verbs: [see, delete], fields: [contact, value]"}, "asks for no more than it needs", "delete deal"},
		{"another version than the manifest's", "custom", "main.go", []string{"0.1.0", "0.2.0"}, "starts confined and says who it is", "waited in vain"},
		{"a view that falls", "module", "main.go", []string{"	repairs, _, err := h", "	os.Exit(7)\n	repairs, _, err := h", "	\"context\"\n", "	\"context\"\n	\"os\"\n"}, "does what its manifest declares", "draw the view lorries"},
		{"a hook that refuses without a sentence", "custom", "main.go", []string{"	deal := w.After()", "	if w.Act == sdk.Creating {\n		return nil, sdk.Refuse(\"acme.unsaid\")\n	}\n	deal := w.After()"}, "does what its manifest declares", "make a deal"},
		{"a sentence with another parameter", "custom", "locale/ru.yaml", []string{"{limit}", "{limits}"}, "speaks every language", "other parameters"},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			s := broken(t, c.kind, c.file, c.replace...)
			for _, check := range Checks() {
				if check.Name != c.check {
					continue
				}
				r := s.Run(t.Context(), check)
				if said := strings.Join(r.Notes, "\n"); r.Outcome != Failed || !strings.Contains(said, c.says) {
					t.Errorf("%s, and says %s", r.Outcome, said)
				}
				return
			}
			t.Fatalf("there is no check %q", c.check)
		})
	}
}
