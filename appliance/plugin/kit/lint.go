package kit

import (
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/plugin/pack"
)

// What a package may be without a remark.
const (
	largeProgram = 40 << 20
	largeFile    = 10 << 20
	largeMemory  = 512 << 20
	largeStorage = 1 << 30
	longLabel    = 40 // letters
)

var placeholder = regexp.MustCompile(`\{[a-z0-9_-]+\}`)

// sameParams tells whether two sentences name the same parameters.
func sameParams(a, b string) bool {
	params := func(s string) []string {
		all := placeholder.FindAllString(s, -1)
		slices.Sort(all)
		return slices.Compact(all)
	}
	return slices.Equal(params(a), params(b))
}

// manifestLints looks for what is allowed and hurts an office all the same.
func manifestLints(t *T) {
	m := t.subject.m
	if m.Version == "0.0.0" {
		t.errorf("version: 0.0.0 can never be followed by an older one; begin with 0.1.0")
	}
	if m.Name == m.ID {
		t.errorf("name: people read the id; give it a name")
	}
	if pack.Reserved(m.ID) {
		t.saw("id: %s is of Karov's own namespace; only Karov's root signs it", m.ID)
	}
	if late := lateParts(m); len(late) > 0 && strings.Contains(strings.ReplaceAll(m.API, " ", ""), ">=1.0") {
		t.errorf("api: %s says that it runs under 1.0, which knows nothing of %s", m.API, strings.Join(late, ", "))
	}
	for _, s := range m.Config {
		lintSetting(t, s)
	}
	for at, label := range labels(m) {
		lintLabel(t, at, label)
	}
	for _, h := range m.Hooks.Before {
		lintHook(t, h)
	}
	for _, j := range m.Jobs {
		if first, _, _ := strings.Cut(j.Schedule, " "); first == "*" || first == "*/1" {
			t.errorf("jobs: %s runs every minute; hear events instead (hooks.after)", j.Name)
		}
	}
	for _, fact := range m.Hooks.After {
		if fact == "message.*" || strings.HasPrefix(fact, "read.") {
			t.saw("hooks.after: %s comes very often", fact)
		}
	}
	for _, e := range m.Entities {
		for _, f := range e.Fields {
			if f.Type == "link" && !f.Indexed && f.Name == e.Contact {
				t.errorf("entities: %s.%s names the customer and is not indexed: cards would be slow", e.Name, f.Name)
			}
			if f.Name == e.Title && !f.Searched {
				t.saw("entities: %s.%s is the title and is not searched: lookup does not find it", e.Name, f.Name)
			}
		}
	}
}

// lateParts are those of a manifest that came with 1.1.
func lateParts(m *plugin.Manifest) (late []string) {
	for name, n := range map[string]int{
		"entities": len(m.Entities), "fields": len(m.Fields), "views": len(m.Views), "actions": len(m.Actions), "jobs": len(m.Jobs),
		"hooks": len(m.Hooks.Before) + len(m.Hooks.After), "http": len(m.HTTP), "imports": len(m.Imports), "permissions.records": len(m.Permissions.Records),
	} {
		if n > 0 {
			late = append(late, name)
		}
	}
	slices.Sort(late)
	return late
}

func lintSetting(t *T, s plugin.Setting) {
	for _, word := range []string{"password", "secret", "token", "api-key"} {
		if strings.Contains(s.Key, word) && s.Type != plugin.Secret {
			t.errorf("config: %s sounds like a secret and is of type %s: it would be shown", s.Key, s.Type)
		}
	}
	if s.Required && s.Default != "" {
		t.errorf("config: %s is required and has a default; it can be only one of them", s.Key)
	}
}

func lintHook(t *T, h plugin.BeforeSpec) {
	if slices.Contains(h.Acts, "update") && len(h.Fields) == 0 {
		t.saw("hooks.before: every change of a %s waits for it; name the fields that matter", h.Entity)
	}
	if h.Failing == "closed" && h.Override == "" {
		t.saw("hooks.before: when it is away nobody can write a %s; name who may override", h.Entity)
	}
}

// labels gives all labels of a manifest by where they stand.
func labels(m *plugin.Manifest) map[string]plugin.Label {
	all := map[string]plugin.Label{}
	field := func(at string, f plugin.Field) {
		all[at+"."+f.Name] = f.Label
		for _, o := range f.Choices {
			all[at+"."+f.Name+"."+o.Value] = o.Label
		}
	}
	for _, s := range m.Config {
		all["config."+s.Key] = s.Label
	}
	for _, e := range m.Entities {
		all["entities."+e.Name], all["entities."+e.Name+" (plural)"] = e.Label, e.Plural
		for _, f := range e.Fields {
			field("entities."+e.Name, f)
		}
	}
	for _, f := range m.Fields {
		field("fields."+f.Entity, f)
	}
	for _, v := range m.Views {
		all["views."+v.Name] = v.Label
	}
	for _, a := range m.Actions {
		all["actions."+a.Name] = a.Label
	}
	for _, j := range m.Jobs {
		all["jobs."+j.Name] = j.Label
	}
	for _, i := range m.Imports {
		all["imports."+i.Name] = i.Label
	}
	return all
}

// lintLabel looks whether a label is in the language that it is for.
func lintLabel(t *T, at string, label plugin.Label) {
	english := label["en"]
	words := strings.ContainsFunc(english, unicode.IsLower) // what is all capitals and digits may be the same everywhere
	for lang, script := range map[string]*unicode.RangeTable{"he": unicode.Hebrew, "ru": unicode.Cyrillic} {
		said := label[lang]
		if words && said == english && !strings.ContainsFunc(said, func(r rune) bool { return unicode.Is(script, r) }) {
			t.errorf("%s: the label in %s is the English one", at, lang)
		}
		if len([]rune(said)) > longLabel {
			t.saw("%s: the label in %s has more than %d letters", at, lang, longLabel)
		}
	}
}

// permissionLints looks for what is asked for and cannot be needed.
func permissionLints(t *T) {
	m := t.subject.m
	p := m.Permissions
	writes := len(m.Actions)+len(m.Jobs)+len(m.HTTP)+len(m.Hooks.After)+len(m.Provides.Channels) > 0
	changes := writes || len(m.Hooks.Before) > 0 // a hook may write other values
	seen := map[string]bool{}
	for _, g := range p.Records {
		for _, verb := range g.Verbs {
			if verb == "delete" || verb == "create" {
				if !writes {
					t.errorf("permissions: %s %s, and nothing in plugin.yaml could do it", verb, g.Entity)
				}
			} else if verb == "change" && !changes {
				t.errorf("permissions: change %s, and nothing in plugin.yaml could do it", g.Entity)
			}
		}
		if len(g.Fields) == 0 {
			t.errorf("permissions: of %s all fields, also those that an office adds later; name those that are needed", g.Entity)
		}
		if seen[g.Entity] {
			t.errorf("permissions: %s stands there twice", g.Entity)
		}
		seen[g.Entity] = true
		if strings.HasPrefix(g.Entity, m.Prefix()+".") {
			t.errorf("permissions: %s is its own; it need not ask", g.Entity)
		}
	}
	for _, g := range p.Egress {
		if strings.HasPrefix(g.To, "*") || strings.HasSuffix(g.To, ":*") {
			t.errorf("permissions: the way out to %s is a way out to nearly everywhere", g.To)
		}
		if g.Private && !strings.HasPrefix(g.To, "${") {
			t.saw("permissions: %s may be in the office's own network", g.To)
		}
	}
	if p.Memory > largeMemory {
		t.errorf("permissions: %d MB of memory; an office's server has few", p.Memory>>20)
	}
	if p.Storage > largeStorage {
		t.errorf("permissions: %d MB of disk", p.Storage>>20)
	}
	needsSight(t, m, seen)
}

// needsSight looks for parts that stand on records which the plugin cannot see.
func needsSight(t *T, m *plugin.Manifest, granted map[string]bool) {
	sees := func(entity string) bool {
		return entity == "" || granted[entity] || strings.HasPrefix(entity, m.Prefix()+".")
	}
	for _, v := range m.Views {
		if !sees(v.Entity) {
			t.saw("views: %s stands on a %s, of which it may see nothing", v.Name, v.Entity)
		}
	}
	for _, a := range m.Actions {
		if !sees(a.Entity) {
			t.saw("actions: %s stands on a %s, of which it may see nothing", a.Name, a.Entity)
		}
	}
	for _, h := range m.Hooks.Before {
		if !sees(h.Entity) {
			t.errorf("hooks.before: it is asked about a %s, of which it may see nothing", h.Entity)
		}
	}
}

// packageLints looks at the files.
func packageLints(t *T) {
	home, m := t.subject.m.Dir(), t.subject.m
	source := t.subject.Source
	has := func(dir string, names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool {
			st, err := os.Stat(filepath.Join(dir, name))
			return err == nil && st.Size() > 0
		})
	}
	if !has(home, "README.md", "README") {
		t.errorf("README.md is missing: whoever installs it wants to read what it does")
	}
	if !has(home, "LICENSE", "LICENSE.txt", "LICENCE", "COPYING") {
		t.errorf("LICENSE is missing: nobody knows what may be done with it")
	}
	if len(m.Sentences("en")) == 0 && len(lateParts(m))+len(m.Provides.Channels) > 0 {
		t.errorf("locale is missing: it cannot say anything to people")
	}
	if source != "" && m.Interpreter == "" {
		if tests, err := filepath.Glob(filepath.Join(source, "*_test.go")); err != nil || len(tests) == 0 {
			t.errorf("there is no test beside its program")
		}
	}
	if m.Interpreter == "" {
		lintProgram(t, filepath.Join(home, m.Binary))
	}
	err := filepath.WalkDir(home, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == m.Binary {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > largeFile {
			t.errorf("%s has %d MB", d.Name(), info.Size()>>20)
		}
		if ext := filepath.Ext(path); slices.Contains([]string{".log", ".bak", ".swp", ".orig", ".pem", ".key"}, ext) {
			t.errorf("%s does not look as if it were meant to be handed out", d.Name())
		}
		return err
	})
	t.must("look at the files", err)
}

// lintProgram looks into a program.
func lintProgram(t *T, name string) {
	st, err := os.Stat(name)
	t.must("look at the program", err)
	if st.Size() > largeProgram {
		t.errorf("the program has %d MB", st.Size()>>20)
	}
	f, err := elf.Open(name)
	if err != nil {
		return // a script
	}
	defer f.Close()
	if f.Section(".debug_info") != nil || f.Section(".zdebug_info") != nil || f.Section(".symtab") != nil {
		t.errorf("the program holds symbols for a debugger: build it with -ldflags=-s")
	}
	if f.Section(".interp") != nil {
		t.saw("the program needs the system's libraries: another Debian may have others")
	}
}

// builtAlike builds the plugin twice and compares the packages.
func builtAlike(t *T) {
	if t.subject.Source == "" {
		t.missing("only its package is there, not its source")
	}
	var hashes []string
	for i := range 2 {
		built := filepath.Join(t.folder(), fmt.Sprint("built", i))
		_, err := Build(t.ctx, t.subject.Source, built)
		t.must("build it", err)
		var w strings.Builder
		_, err = plugin.BundlePackage(built, &w)
		t.must("pack it", err)
		hashes = append(hashes, w.String())
	}
	if hashes[0] != hashes[1] {
		t.errorf("two builds of the same sources differ")
	}
}
