package frame_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/admin/frame/locale"
)

// sources reads all templates and non-test Go files below a folder, generated ones left out.
func sources(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		ext := filepath.Ext(path)
		if err != nil || d.IsDir() || ext != ".go" && ext != ".templ" || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "_templ.go") {
			return err
		}
		raw, err := os.ReadFile(path)
		found[path] = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Keys that are put together at run time, by what comes before the last part.
var families = []string{"role.", "failure.", "frame.theme-", "frame.keys-", "inbox.tab-", "inbox.empty-", "channel.", "contact.kind-", "fact.", "field.contact.",
	"entity.", "choice.", "field.task.", "field.lead.", "field.deal.", "field.pipeline.", "field.stage.", "field.tag.",
	"field.segment.", "field.view.", "console.state-", "console.isolation-", "console.verb-", "console.level-"}

// Each sentence that a page says is there, and each that is there is said somewhere. That every fault has its sentence
// is tested beside the packs.
func TestEverySentenceIsThereAndUsed(t *testing.T) {
	words, err := locale.Load()
	if err != nil {
		t.Fatal(err)
	}
	voice := words.In("en", time.UTC)
	said := regexp.MustCompile(`\.(?:T|N|Fill)\(\s*"([^"]+)"\s*[,)]`)
	var everything strings.Builder
	for path, text := range sources(t, "../..") {
		everything.WriteString(text)
		if !strings.HasPrefix(path, "../../admin/") && strings.HasPrefix(path, "../../") {
			continue
		}
		for _, m := range said.FindAllStringSubmatch(text, -1) {
			if !voice.Has(m[1]) {
				t.Errorf("%s says %q, which no pack has", path, m[1])
			}
		}
	}
	for _, key := range locale.Keys() {
		family := func(prefix string) bool { return strings.HasPrefix(key, prefix) }
		if !strings.Contains(everything.String(), `"`+key+`"`) && !slices.ContainsFunc(families, family) && !strings.HasSuffix(key, ".not-found") {
			t.Errorf("the sentence %q is used nowhere", key)
		}
	}
}
