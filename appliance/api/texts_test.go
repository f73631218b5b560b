package api

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/fault"
)

// use is one place in the source where a fault's key stands, and the parameters it is given there.
type use struct {
	key    string
	params []string
	known  bool // the parameters could be read
}

// module is where the import path of our own packages begins.
const module = "github.com/karov-crm/karov/appliance/"

// usesOf finds the keys in the source of every package whose faults can reach an answer: this one, what it imports, and
// the store's engine and the rooms whose rules stand behind the door of records. A key is an argument of fault.New, Wrap, InvalidField or Missing
// of record's problem or the filter's wrong, or the Key of a fault.Field or fault.Error.
func usesOf(t *testing.T) map[string]use {
	found := map[string]use{}
	todo, seen := []string{"api", "store/bolt", "task", "deal"}, map[string]bool{}
	for len(todo) > 0 {
		folder := todo[0]
		if todo = todo[1:]; seen[folder] {
			continue
		}
		seen[folder] = true
		paths, err := filepath.Glob(filepath.Join("..", folder, "*.go"))
		if err != nil || len(paths) == 0 {
			t.Fatalf("no source of %s: %v", folder, err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, imported := range file.Imports {
				if below, ok := strings.CutPrefix(strings.Trim(imported.Path.Value, `"`), module); ok {
					todo = append(todo, below)
				}
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if u, ok := useOf(n); ok {
					found[files.Position(n.Pos()).String()] = u
				}
				return true
			})
		}
	}
	return found
}

func useOf(n ast.Node) (use, bool) {
	switch n := n.(type) {
	case *ast.CallExpr:
		at, ok := map[string]int{"fault.New": 1, "fault.Wrap": 2, "fault.InvalidField": 1, "fault.Missing": 0, "problem": 1, "p.wrong": 0}[nameOf(n.Fun)]
		if !ok || len(n.Args) <= at {
			return use{}, false
		}
		key, ok := literal(n.Args[at])
		if !ok {
			return use{}, false
		}
		if nameOf(n.Fun) == "fault.Missing" {
			return use{key + ".not-found", []string{"id"}, true}, true
		}
		u := use{key: key, known: !n.Ellipsis.IsValid() && nameOf(n.Fun) != "p.wrong"}
		for i := at + 1; i < len(n.Args); i += 2 {
			if name, ok := literal(n.Args[i]); ok {
				u.params = append(u.params, name)
			}
		}
		return u, true
	case *ast.CompositeLit:
		if name := nameOf(n.Type); name != "fault.Field" && name != "fault.Error" {
			return use{}, false
		}
		for _, e := range n.Elts {
			if pair, ok := e.(*ast.KeyValueExpr); ok && nameOf(pair.Key) == "Key" {
				key, ok := literal(pair.Value)
				return use{key: key}, ok
			}
		}
	}
	return use{}, false
}

func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return nameOf(e.X) + "." + e.Sel.Name
	}
	return ""
}

func literal(e ast.Expr) (string, bool) {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(l.Value)
	return s, err == nil
}

// TestEveryFaultHasASentence keeps texts.txt in step with the rooms: whoever adds a key adds its sentence.
func TestEveryFaultHasASentence(t *testing.T) {
	sentences, uses := readTexts(), usesOf(t)
	if len(uses) < 80 {
		t.Fatalf("only %d keys found in the source: the test looks in the wrong place", len(uses))
	}
	blank := regexp.MustCompile(`\{[a-z_]+\}`)
	for at, u := range uses {
		if !sentences.has(u.key) {
			t.Errorf("%s: texts.txt has no sentence for %q", at, u.key)
			continue
		}
		for _, name := range blank.FindAllString(sentences[u.key], -1) {
			if u.known && !strings.Contains(" "+strings.Join(u.params, " ")+" ", " "+strings.Trim(name, "{}")+" ") {
				t.Errorf("%s: the sentence of %q wants %s, which is not given here", at, u.key, name)
			}
		}
	}
}

func TestTextsAreWellFormed(t *testing.T) {
	seen := map[string]bool{}
	for line := range strings.Lines(textsFile) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, sentence, ok := strings.Cut(line, ": ")
		if !ok || sentence == "" || seen[key] {
			t.Errorf("line %q is no key and sentence, or stands twice", line)
		}
		if !strings.HasPrefix(key, "title.") && !strings.HasSuffix(sentence, ".") {
			t.Errorf("%s: %q is no sentence", key, sentence)
		}
		seen[key] = true
	}
	for k := fault.Internal; k <= fault.TooMany; k++ {
		if !seen["title."+k.String()] {
			t.Errorf("kind %s has no title", k)
		}
	}
}

func TestSentences(t *testing.T) {
	sentences := readTexts()
	for _, c := range []struct {
		fault *fault.Error
		want  string
	}{
		{fault.Missing("contact", "7"), "There is no such contact, or it is not for you."},
		{fault.Missing("club.member", "7"), "There is no such club.member, or it is not for you."},
		{fault.New(fault.TooMany, "request.too-many", "seconds", 3), "Too many requests. Wait 3 seconds."},
		{fault.New(fault.Internal, "store.damaged", "what", "secret"), "Something went wrong. It was written down under the id."},
		{fault.New(fault.Conflict, "no.such-key"), "Somebody else was first."},
		{fault.New(fault.NotFound, "path.not-found"), "There is nothing at this path."},
	} {
		if got := sentences.say(c.fault); got != c.want {
			t.Errorf("%v: %q, want %q", c.fault, got, c.want)
		}
	}
	if got := sentences.fill("field.choice", map[string]string{"choices": strings.Repeat("x", 10_000)}); len(got) > 400 {
		t.Errorf("a parameter of 10,000 bytes makes a sentence of %d", len(got))
	}
}
