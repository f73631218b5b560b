package kit

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/plugins/example"
)

// modulePath is where the SDK lives.
const modulePath = "github.com/karov-crm/karov"

// Draft says what plugin to make.
type Draft struct {
	Name   string // a word of lower-case letters and digits; entities, fields and sentences begin with it
	ID     string // reverse DNS, ending with Name; "" is com.example.<Name>
	Kind   string // channel, module or custom
	Lang   string // go or python
	Dir    string // the folder to make
	Source string // a checkout of Karov to build against; "" is the version of this program
}

// pattern is an example that is made into a new plugin.
type pattern struct{ folder, id, word string }

// patterns are the examples by kind and language.
func patterns() map[string]pattern {
	return map[string]pattern{
		"channel go":    {"channel", "com.karov-crm.example", "example"},
		"module go":     {"module", "com.karov-crm.garage", "garage"},
		"custom go":     {"custom", "com.karov-crm.credit", "credit"},
		"custom python": {"python", "com.karov-crm.limit", "limit"},
	}
}

var nameForm = regexp.MustCompile(`^[a-z][a-z0-9]{1,29}$`)

// New makes the folder of a plugin that builds, passes its tests and can be installed. It writes over nothing.
func New(d Draft) error {
	if !nameForm.MatchString(d.Name) {
		return fault.New(fault.Invalid, "kit.name", "name", d.Name)
	}
	if d.ID == "" {
		d.ID = "com.example." + d.Name
	}
	if !plugin.ValidID(d.ID) || !strings.HasSuffix(d.ID, "."+d.Name) {
		return fault.New(fault.Invalid, "kit.id", "id", d.ID, "name", d.Name)
	}
	from, ok := patterns()[d.Kind+" "+d.Lang]
	if !ok {
		return fault.New(fault.Invalid, "kit.kind", "kind", d.Kind, "lang", d.Lang)
	}
	files, err := d.files(from)
	if err != nil {
		return err
	}
	if d.Lang == "go" {
		if err := d.module(files); err != nil {
			return err
		}
	}
	return d.write(files)
}

// files are those of the example, called as the draft wants it.
func (d *Draft) files(from pattern) (map[string][]byte, error) {
	files := map[string][]byte{}
	err := fs.WalkDir(example.Files, from.folder, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		raw, err := fs.ReadFile(example.Files, name)
		if name = strings.TrimPrefix(name, from.folder+"/"); name == "LICENSE" {
			return nil // that of a new plugin is for its maker to choose
		}
		if end, ok := strings.CutPrefix(name, from.word+"."); ok { // a program that is a script
			name = d.Name + "." + end
		}
		files[name] = d.renamed(raw, from)
		return err
	})
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "kit.pattern")
	}
	for _, name := range []string{"plugin.yaml", "locale/en.yaml"} {
		if files[name] == nil {
			return nil, fault.Wrap(fmt.Errorf("the example has no %s", name), fault.Internal, "kit.pattern")
		}
	}
	return files, nil
}

// renamed puts the names of the draft into a file: its id, and its word where it begins a name.
func (d *Draft) renamed(raw []byte, from pattern) []byte {
	named := regexp.MustCompile(`(?m)(^|[^@\w.-])` + from.word + `([._][a-z])`)
	title := strings.ToUpper(d.Name[:1]) + d.Name[1:]
	for _, change := range []struct{ from, to string }{
		{regexp.QuoteMeta(from.id), d.ID},
		{named.String(), "${1}" + d.Name + "${2}"},
		{`(?m)^name: .*$`, "name: " + title},
		{`(?m)^binary: ` + from.word + `(\.py)?$`, "binary: " + d.Name + "${1}"},
		{`(// Command |""")` + from.word + ` `, "${1}" + d.Name + " "},
		{`plugins/example/` + from.folder + `/README\.md`, "README.md"},
		{`go test \./plugins/example/` + from.folder, "go test ."},
	} {
		raw = regexp.MustCompile(change.from).ReplaceAll(raw, []byte(change.to))
	}
	return raw
}

// module adds go.mod and go.sum, but for a folder within Karov's own module, which has both.
func (d *Draft) module(files map[string][]byte) error {
	within, err := d.withinModule()
	if err != nil || within {
		return err
	}
	if d.Source != "" {
		return d.moduleOver(files)
	}
	version := publishedVersion()
	if version == "" {
		return fault.New(fault.Invalid, "kit.no-version")
	}
	files["go.mod"] = fmt.Appendf(nil, "module %s\n\ngo 1.26.0\n\nrequire %s %s\n", d.Name, modulePath, version)
	return nil
}

// publishedVersion is that of this program as Go's tools could fetch it, "" when it was built from a checkout.
func publishedVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Path != modulePath || info.Main.Version == "(devel)" || strings.Contains(info.Main.Version, "+") {
		return ""
	}
	return info.Main.Version
}

// withinModule tells whether the folder will lie in Karov's own module.
func (d *Draft) withinModule() (bool, error) {
	dir, err := filepath.Abs(d.Dir)
	if err != nil {
		return false, fault.Wrap(err, fault.Invalid, "pack.folder-unreadable", "file", d.Dir)
	}
	for dir = filepath.Dir(dir); ; dir = filepath.Dir(dir) {
		raw, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil {
			return bytes.HasPrefix(raw, []byte("module "+modulePath+"\n")), nil
		}
		if dir == filepath.Dir(dir) {
			return false, nil
		}
	}
}

// moduleOver builds against a checkout: its versions of everything, so that nothing has to be fetched that it has.
func (d *Draft) moduleOver(files map[string][]byte) error {
	source, err := filepath.Abs(d.Source)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "kit.no-source", "file", d.Source)
	}
	theirs, err := os.ReadFile(filepath.Join(source, "go.mod"))
	if err != nil || !bytes.HasPrefix(theirs, []byte("module "+modulePath+"\n")) {
		return fault.Wrap(err, fault.Invalid, "kit.no-source", "file", source)
	}
	sums, err := os.ReadFile(filepath.Join(source, "go.sum"))
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "kit.no-source", "file", source)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "module %s\n\ngo 1.26.0\n\nrequire %s v0.0.0\n\nreplace %s => %s\n\nrequire (\n", d.Name, modulePath, modulePath, source)
	for _, m := range regexp.MustCompile(`(?m)^\t([^\s]+ v[^\s]+)`).FindAllSubmatch(theirs, -1) {
		fmt.Fprintf(&b, "\t%s // indirect\n", m[1])
	}
	b.WriteString(")\n")
	files["go.mod"], files["go.sum"] = b.Bytes(), sums
	return nil
}

// write makes the folder. One that is there already must be empty.
func (d *Draft) write(files map[string][]byte) error {
	if there, err := os.ReadDir(d.Dir); err == nil && len(there) > 0 {
		return fault.New(fault.Conflict, "kit.folder-taken", "file", d.Dir)
	}
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		to := filepath.Join(d.Dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return fault.Wrap(err, fault.Unavailable, "pack.unwritable", "file", to)
		}
		mode := fs.FileMode(0o644)
		if path.Ext(name) == ".py" && !strings.Contains(name, "/") {
			mode = 0o755
		}
		if err := os.WriteFile(to, files[name], mode); err != nil {
			return fault.Wrap(err, fault.Unavailable, "pack.unwritable", "file", to)
		}
	}
	return nil
}
