package locale

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// said is one place in the source where a fault gets its key, with the parameters that it passes there.
type said struct {
	key    string
	where  string
	params []string
}

// room is the parsed source of one package, with what the search for keys has found out about it.
type room struct {
	files  *token.FileSet
	funcs  map[string][]function // by name; methods of different types share one
	scopes map[ast.Node]function // the innermost function around each identifier, call and literal
	done   map[string]bool       // what was followed already
	said   []said
}

// function is a declaration, or a literal that has a name because it was assigned to one.
type function struct {
	kind *ast.FuncType
	body *ast.BlockStmt
}

// opaque stands among the parameters where a call hands on the arguments of its caller, so that those count besides.
const opaque = "..."

// keysOf finds each key that reaches a fault in the packages below the roots. A key is written where the fault is made
// (fault.New, Wrap, InvalidField, Missing; the Key of a fault.Error, fault.Field or of a page's Health), or it is on its
// way there: as the argument of a function that puts it into a fault, as a variable, as what a function gives back.
func keysOf(t *testing.T, roots ...string) []said {
	t.Helper()
	files := token.NewFileSet()
	byFolder := map[string][]*ast.File{}
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() && d.Name() == "testdata" {
				return fs.SkipDir
			}
			if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
			byFolder[filepath.Dir(path)] = append(byFolder[filepath.Dir(path)], file)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var all []said
	for _, folder := range slices.Sorted(maps.Keys(byFolder)) {
		all = append(all, searchRoom(files, byFolder[folder])...)
	}
	return all
}

func searchRoom(files *token.FileSet, parsed []*ast.File) []said {
	r := &room{files: files, funcs: map[string][]function{}, scopes: map[ast.Node]function{}, done: map[string]bool{}}
	for _, file := range parsed {
		r.note(file, function{})
	}
	for _, file := range parsed {
		ast.Inspect(file, func(n ast.Node) bool {
			r.sink(n)
			return true
		})
	}
	return r.said
}

// note remembers the functions of a node and which one surrounds each part of it.
func (r *room) note(root ast.Node, around function) {
	ast.Inspect(root, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			f := function{n.Type, n.Body}
			r.funcs[n.Name.Name] = append(r.funcs[n.Name.Name], f)
			if n.Body != nil {
				r.note(n.Body, f)
			}
			return false
		case *ast.AssignStmt:
			for i, right := range n.Rhs {
				if literal, ok := right.(*ast.FuncLit); ok && len(n.Lhs) == len(n.Rhs) {
					r.funcs[nameOf(n.Lhs[i])] = append(r.funcs[nameOf(n.Lhs[i])], function{literal.Type, literal.Body})
				}
			}
		case *ast.FuncLit:
			r.note(n.Body, function{n.Type, n.Body})
			return false
		}
		if n != nil {
			r.scopes[n] = around
		}
		return true
	})
}

// sink looks whether a node makes a fault, and follows its key.
func (r *room) sink(n ast.Node) {
	switch n := n.(type) {
	case *ast.CallExpr:
		name := nameOf(n.Fun)
		if at, ok := map[string]int{"fault.New": 1, "fault.Wrap": 2, "fault.InvalidField": 1}[name]; ok && len(n.Args) > at {
			r.follow(n.Args[at], passed(n, at))
		}
		if name == "fault.Missing" && len(n.Args) > 0 {
			if what, ok := literalOf(n.Args[0]); ok {
				r.found(n, what+".not-found", []string{"id"})
			}
		}
	case *ast.CompositeLit:
		switch nameOf(n.Type) {
		case "fault.Error", "fault.Field", "frame.Health":
			r.sinkLiteral(n)
		case "schema.Entity", "": // in a list of entities they stand without their type
			r.sinkEntity(n)
		}
	case *ast.AssignStmt: // f.Key = key, notice = "message.cut"
		for i, left := range n.Lhs {
			field, isField := left.(*ast.SelectorExpr)
			if i < len(n.Rhs) && (isField && field.Sel.Name == "Key" || nameOf(left) == "notice") {
				r.follow(n.Rhs[i], nil)
			}
		}
	}
}

// sinkEntity knows that whoever asks for a record of a kind may be told that it is not there.
func (r *room) sinkEntity(n *ast.CompositeLit) {
	if entity, ok := literalOf(fieldOf(n, "Name")); ok && fieldOf(n, "Fields") != nil {
		r.found(n, entity+".not-found", []string{"id"})
	}
}

func (r *room) sinkLiteral(n *ast.CompositeLit) {
	key := fieldOf(n, "Key")
	if key == nil {
		return
	}
	var params []string
	if given, ok := fieldOf(n, "Params").(*ast.CompositeLit); ok {
		for _, e := range given.Elts {
			if pair, ok := e.(*ast.KeyValueExpr); ok {
				if name, ok := literalOf(pair.Key); ok {
					params = append(params, name)
				}
			}
		}
	}
	r.follow(key, params)
}

// follow goes back from an expression that ends up as a key to the literals that it may be.
func (r *room) follow(e ast.Expr, params []string) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if key, ok := literalOf(e); ok && key != "" {
			r.found(e, key, params)
		}
	case *ast.Ident:
		r.followName(e.Name, r.scopes[e], params)
	case *ast.SelectorExpr:
		r.followColumn(nameOf(e.X), e.Sel.Name, r.scopes[e], params)
	case *ast.CallExpr:
		r.followResult(last(nameOf(e.Fun)), 0, params)
	}
}

// followColumn goes through the rows of a table over which a loop runs: for _, row := range []struct{...}{...}.
func (r *room) followColumn(row, column string, in function, params []string) {
	if in.body == nil {
		return
	}
	ast.Inspect(in.body, func(n ast.Node) bool {
		loop, ok := n.(*ast.RangeStmt)
		if !ok || nameOf(loop.Value) != row {
			return true
		}
		table, ok := loop.X.(*ast.CompositeLit)
		if !ok {
			return true
		}
		for _, e := range table.Elts {
			cells, ok := e.(*ast.CompositeLit)
			if !ok {
				continue
			}
			if at := indexOf(columnsOf(table), column); at >= 0 && at < len(cells.Elts) {
				r.follow(cells.Elts[at], params)
			}
		}
		return true
	})
}

// columnsOf lists the fields of a table's rows, none when their type stands elsewhere.
func columnsOf(table *ast.CompositeLit) *ast.FieldList {
	if rows, ok := table.Type.(*ast.ArrayType); ok {
		if row, ok := rows.Elt.(*ast.StructType); ok {
			return row.Fields
		}
	}
	return &ast.FieldList{}
}

// followName goes through what is assigned to a variable, and through the calls of its function when it is a parameter.
func (r *room) followName(name string, in function, params []string) {
	if in.body == nil || !r.first("name", name, strconv.Itoa(int(in.body.Pos())), params) {
		return
	}
	ast.Inspect(in.body, func(n ast.Node) bool {
		assigned, ok := n.(*ast.AssignStmt)
		if !ok {
			return true
		}
		for i, left := range assigned.Lhs {
			call, isCall := assigned.Rhs[0].(*ast.CallExpr)
			switch {
			case nameOf(left) != name:
			case len(assigned.Rhs) == len(assigned.Lhs):
				r.follow(assigned.Rhs[i], params)
			case isCall:
				r.followResult(last(nameOf(call.Fun)), i, params)
			}
		}
		return true
	})
	if at := indexOf(in.kind.Params, name); at >= 0 {
		r.followCalls(in, at, params)
	}
}

// followCalls goes to all calls of a function, whose argument is a key.
func (r *room) followCalls(of function, at int, params []string) {
	for name, all := range r.funcs {
		if !slices.Contains(all, of) {
			continue
		}
		for n := range r.scopes {
			if call, ok := n.(*ast.CallExpr); ok && last(nameOf(call.Fun)) == name && len(call.Args) > at {
				own := slices.Clone(params)
				if slices.Contains(params, opaque) {
					for _, name := range passed(call, at) {
						if !slices.Contains(own, name) { // a function that calls itself comes here again
							own = append(own, name)
						}
					}
				}
				r.follow(call.Args[at], own)
			}
		}
	}
}

// followResult goes to what a function of this package gives back.
func (r *room) followResult(name string, at int, params []string) {
	if !r.first("result", name, strconv.Itoa(at), params) {
		return
	}
	for _, f := range r.funcs[name] {
		for n, in := range r.scopes {
			back, ok := n.(*ast.ReturnStmt)
			if !ok || in != f {
				continue
			}
			if len(back.Results) > at {
				r.follow(back.Results[at], params)
			} else if len(back.Results) == 1 && at > 0 {
				if call, ok := back.Results[0].(*ast.CallExpr); ok {
					r.followResult(last(nameOf(call.Fun)), at, params)
				}
			}
		}
	}
}

// first tells whether a way was not gone yet.
func (r *room) first(what, name, where string, params []string) bool {
	way := strings.Join([]string{what, name, where, strings.Join(params, ",")}, " ")
	defer func() { r.done[way] = true }()
	return !r.done[way]
}

func (r *room) found(n ast.Node, key string, params []string) {
	r.said = append(r.said, said{key, r.files.Position(n.Pos()).String(), params})
}

// passed lists the names among the alternating arguments after a key.
func passed(call *ast.CallExpr, key int) (names []string) {
	for i := key + 1; i < len(call.Args); i += 2 {
		if name, ok := literalOf(call.Args[i]); ok {
			names = append(names, name)
		}
	}
	if call.Ellipsis.IsValid() {
		names = append(names, opaque)
	}
	return names
}

func literalOf(e ast.Expr) (string, bool) {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(l.Value)
	return s, err == nil
}

func fieldOf(n *ast.CompositeLit, name string) ast.Expr {
	for _, e := range n.Elts {
		if pair, ok := e.(*ast.KeyValueExpr); ok && nameOf(pair.Key) == name {
			return pair.Value
		}
	}
	return nil
}

func indexOf(list *ast.FieldList, name string) int {
	at := 0
	for _, field := range list.List {
		for _, n := range field.Names {
			if n.Name == name {
				return at
			}
			at++
		}
	}
	return -1
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

func last(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }
