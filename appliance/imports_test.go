package appliance_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/karov-crm/karov/"

// floors are the packages of the appliance from the ground up. A package imports only what stands on a floor below its
// own; what must go up goes as a fact in the journal or as a hook that main registers.
var floors = [][]string{
	{"fault", "config", "store", "blob"},
	{"schema", "journal", "record", "access", "search", "job", "filter"},
	{"staff", "contact", "inbox", "deal", "task", "attachment", "segment"},
	{"automation", "transfer", "plugin", "api", "control", "snapshot", "seed"},
	{"bench"},
	{"cmd/karov", "appliancetest"},
}

// notBuiltYet are the rooms of later issues: they have their floor already.
var notBuiltYet = []string{"automation", "appliancetest"}

// sideways are the imports allowed on one floor.
var sideways = []struct{ from, to, reason string }{
	{"store", "fault", "every error has a kind"},
	{"blob", "fault", "every error has a kind"},
	{"config", "fault", "every error has a kind"},
	{"inbox", "contact", "a conversation is with a customer"},
	{"deal", "contact", "a deal is with a customer"},
	{"task", "contact", "a task concerns a customer"},
	{"journal", "access", "a fact names its actor"},
	{"search", "access", "lookup finds only what the actor may see"},
	{"job", "access", "work is done as the appliance"},
	{"schema", "access", "a change of the schema asks for permission"},
	{"schema", "journal", "each change of the schema is a fact"},
	{"record", "schema", "records are made of its fields"},
	{"record", "journal", "each write is a fact"},
	{"record", "access", "each door asks for permission"},
	{"record", "search", "lookup is written with the record"},
	{"api", "transfer", "programs take records out by the same rules as people"},
	{"record", "filter", "lists are filtered, and formulas computed"},
	{"filter", "schema", "names and types are those of the schema"},
	{"filter", "search", "texts compare as lookup folds them"},
}

// rules are the bans besides the floors. A folder names itself and all below it; from "" is the whole tree.
var rules = []struct {
	from   string
	except []string // of from: who may
	to     string   // what must not be imported
	but    []string // of to: what may
	tests  bool     // test files too
	reason string
}{
	{"backup", nil, module, []string{"backup"}, true, "a backup must be readable when nothing else of Karov works"},
	{"plugins", []string{"plugins/sdk", "plugins/wire", "plugins/plugintest"}, module, []string{"plugins/sdk", "own"}, false,
		"what we ship is built the way a reseller builds, on the SDK alone"},
	{"plugins", []string{"plugins/sdk", "plugins/wire", "plugins/plugintest"}, module, []string{"plugins/sdk", "plugins/plugintest", "appliance/inbox", "own"}, true,
		"the tests of a plugin have the kit of a reseller, which speaks in messages of the inbox"},
	{"plugins/sdk", nil, module, []string{"plugins/sdk", "plugins/wire"}, false, "the SDK brings a plugin's author the contract and nothing of the core"},
	{"plugins/wire", nil, module, []string{"plugins/wire"}, true, "the contract outlives the code on both sides"},
	{"packaging", nil, module, []string{"packaging"}, true, "the package is built and tested from outside"},
	{"admin", nil, module + "appliance/store", nil, false, "a page asks a room, which asks for permission"},
	{"", []string{"admin", "appliance/cmd/karov"}, module + "admin", nil, true, "what the CRM does must not know how it is shown"},
	{"appliance", []string{"appliance/plugin", "appliance/cmd/karov"}, module + "plugins", nil, false, "only the host speaks with plugins"},
	{"appliance", []string{"appliance/snapshot", "appliance/cmd/karov"}, module + "backup", nil, false, "only the snapshot makes backups"},
	{"", []string{"appliance/store", "appliance/snapshot", "appliance/bench", "appliance/cmd/karov", "appliance/appliancetest", "appliance/plugin/kit"}, module + "appliance/store/bolt", nil, false,
		"who names an engine cannot have another"},
	{"", []string{"appliance/store/bolt"}, "go.etcd.io/bbolt", nil, true, "another engine must be able to take its place"},
	{"", []string{"appliance/access"}, "github.com/casbin/casbin", nil, true, "the rooms ask access and know nothing of its engine"},
	{"", []string{"*test"}, "testing", nil, false, "the testing package registers flags in the program"},
}

// source is one Go file's imports.
type source struct {
	file, folder string // slash paths below the module's root
	test         bool
	imports      []string
}

func sources(t *testing.T) (found []source) {
	root := os.DirFS("..")
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (d.Name()[0] == '.' || d.Name() == "testdata" || d.Name() == "node_modules"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go"):
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", path), nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		s := source{file: path, folder: filepath.ToSlash(filepath.Dir(path)), test: strings.HasSuffix(path, "_test.go")}
		for _, i := range parsed.Imports {
			name, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, name)
		}
		found = append(found, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 50 {
		t.Fatalf("only %d Go files found: is this the module?", len(found))
	}
	return found
}

// in tells whether a package stands in a folder or below it; "*test" is every package for tests.
func in(pkg, folder string) bool {
	if suffix, ok := strings.CutPrefix(folder, "*"); ok {
		return strings.HasSuffix(pkg, suffix)
	}
	folder = strings.TrimSuffix(folder, "/")
	return folder == "" || pkg == folder || strings.HasPrefix(pkg, folder+"/")
}

// floorOf gives the room of the appliance in which a package stands, and its floor; -1 for none.
func floorOf(pkg string) (room string, floor int) {
	for floor, rooms := range floors {
		for _, room := range rooms {
			if in(pkg, "appliance/"+room) {
				return room, floor
			}
		}
	}
	return "", -1
}

func TestImportsGoDown(t *testing.T) {
	for _, s := range sources(t) {
		room, floor := floorOf(s.folder)
		if !in(s.folder, "appliance") || s.folder == "appliance" {
			continue
		}
		if floor < 0 {
			t.Errorf("%s: its package stands on no floor of the table", s.file)
			continue
		}
		if s.test {
			continue
		}
		for _, name := range s.imports {
			ours, ok := strings.CutPrefix(name, module)
			other, below := floorOf(ours)
			if !ok || below < 0 || other == room || below < floor {
				continue
			}
			if below == floor && slices.ContainsFunc(sideways, func(a struct{ from, to, reason string }) bool { return a.from == room && a.to == other }) {
				continue
			}
			t.Errorf("%s imports %s, which is not below it: imports go down; up go facts and hooks", s.file, ours)
		}
	}
}

func TestImportRules(t *testing.T) {
	for _, s := range sources(t) {
		for _, r := range rules {
			if !in(s.folder, r.from) || s.test && !r.tests || slices.ContainsFunc(r.except, func(e string) bool { return in(s.folder, e) }) {
				continue
			}
			for _, name := range s.imports {
				if in(name, r.to) && !allowed(s, strings.TrimPrefix(name, module), r.but) {
					t.Errorf("%s imports %s: %s", s.file, name, r.reason)
				}
			}
		}
	}
}

// allowed tells whether an import is one of the folders; "own" is the plugin's own.
func allowed(s source, name string, folders []string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool {
		if folder == "own" {
			parts := strings.SplitN(s.folder, "/", 3)
			folder = strings.Join(parts[:min(2, len(parts))], "/")
		}
		return in(name, folder)
	})
}

// TestTheTableNamesWhatStands fails when a rule speaks of a package that is gone.
func TestTheTableNamesWhatStands(t *testing.T) {
	var names []string
	for _, rooms := range floors {
		for _, room := range rooms {
			names = append(names, "appliance/"+room)
		}
	}
	for _, a := range sideways {
		names = append(names, "appliance/"+a.from, "appliance/"+a.to)
	}
	for _, r := range rules {
		names = append(append(append(names, r.from), r.except...), r.but...)
		if ours, ok := strings.CutPrefix(r.to, module); ok {
			names = append(names, ours)
		}
	}
	stands := sources(t)
	for _, name := range names {
		later := slices.Contains(notBuiltYet, strings.TrimPrefix(name, "appliance/"))
		if name == "" || name == "own" || name[0] == '*' || later {
			continue
		}
		if !slices.ContainsFunc(stands, func(s source) bool { return in(s.folder, name) }) {
			t.Errorf("the table names %s, which is gone", name)
		}
	}
}

// TestTheRulesBite holds each rule against a file that breaks it.
func TestTheRulesBite(t *testing.T) {
	for _, c := range []struct{ folder, name string }{
		{"backup/repo", module + "appliance/fault"}, {"plugins/email", module + "appliance/inbox"}, {"plugins/email", module + "plugins/example"},
		{"plugins/sdk", module + "appliance/fault"}, {"admin/frame", module + "appliance/store"}, {"appliance/api", module + "admin/frame"},
		{"appliance/inbox", module + "plugins/wire"}, {"appliance/contact", module + "backup"}, {"appliance/record", module + "appliance/store/bolt"},
		{"appliance/record", "go.etcd.io/bbolt"}, {"appliance/api", "github.com/casbin/casbin/v2/model"}, {"appliance/seed", "testing"},
		{"packaging/build", module + "appliance/fault"}, {"plugins/wire/v1", module + "plugins/sdk"},
	} {
		broken := false
		for _, r := range rules {
			s := source{folder: c.folder}
			broken = broken || in(c.folder, r.from) && !slices.ContainsFunc(r.except, func(e string) bool { return in(c.folder, e) }) &&
				in(c.name, r.to) && !allowed(s, strings.TrimPrefix(c.name, module), r.but)
		}
		if !broken {
			t.Errorf("%s may import %s", c.folder, c.name)
		}
	}
}
