package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// templCurrent generates the pages again from their templates, in a folder of
// its own, with the very version that go.mod names, and compares.
func templCurrent(ctx context.Context, d desk, out io.Writer) error {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Version}}", "github.com/a-h/templ")
	cmd.Dir = d.root
	version, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("read templ's version from go.mod: %w", err)
	}
	tool := "github.com/a-h/templ/cmd/templ@" + strings.TrimSpace(string(version))
	err = regenerate(d.root, []string{".templ"}, "_templ.go", out, func(dir string) error {
		return command(ctx, dir, out, "go", "run", tool, "generate", "-path", dir)
	})
	if err != nil {
		// templ writes the path as seen from the folder it runs in, so that folder must be one.
		return fmt.Errorf("%w: in the top folder, go run %s generate", err, tool)
	}
	return nil
}

// wireCurrent generates the wire types again by the go:generate lines of
// plugins/wire, which pin what they use.
func wireCurrent(ctx context.Context, d desk, out io.Writer) error {
	if _, err := exec.LookPath("protoc"); err != nil {
		return notChecked{"protoc is not on this machine (Debian's protobuf-compiler)"}
	}
	err := regenerate(d.root, []string{".proto", "wire/generate.go"}, ".pb.go", out, func(dir string) error {
		return command(ctx, dir, out, "go", "generate", "./plugins/wire")
	})
	if err != nil {
		return fmt.Errorf("%w: in the top folder, go generate ./plugins/wire", err)
	}
	return nil
}

// regenerate copies the sources into a fresh folder, lets generate work there
// and compares every file with the product's suffix in both directions.
func regenerate(root string, sources []string, product string, out io.Writer, generate func(dir string) error) error {
	dir, err := os.MkdirTemp("", "karov-generate-")
	if err != nil {
		return fmt.Errorf("make a folder to generate in: %w", err)
	}
	defer os.RemoveAll(dir)
	for _, suffix := range append(sources, "go.mod", "go.sum") {
		if err := copyAll(root, dir, suffix); err != nil {
			return err
		}
	}
	if err := generate(dir); err != nil {
		return err
	}
	have, err := collect(root, product)
	if err != nil {
		return err
	}
	want, err := collect(dir, product)
	if err != nil {
		return err
	}
	stale := 0
	for name, text := range want {
		if !bytes.Equal(withoutCompiler(have[name]), withoutCompiler(text)) {
			fmt.Fprintln(out, "not what its source says:", name)
			stale++
		}
	}
	for name := range have {
		if want[name] == nil {
			fmt.Fprintln(out, "its source is gone:", name)
			stale++
		}
	}
	if stale > 0 {
		return errors.New("these files must be generated again")
	}
	return nil
}

// compilerLine is where generated wire types say which protoc read the source.
// Distributions differ in it, and the types do not.
var compilerLine = regexp.MustCompile(`(?m)^// (- |\t)protoc +v.*\n`)

func withoutCompiler(text []byte) []byte { return compilerLine.ReplaceAll(text, nil) }

// collect reads the files below root whose paths end in suffix, by relative path.
func collect(root, suffix string) (map[string][]byte, error) {
	files := map[string][]byte{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && e.Name() == ".git" {
			return fs.SkipDir
		}
		if e.IsDir() || !strings.HasSuffix(path, suffix) {
			return nil
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		files[name], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("collect *%s: %w", suffix, err)
	}
	return files, nil
}

func copyAll(from, to, suffix string) error {
	files, err := collect(from, suffix)
	if err != nil {
		return err
	}
	for name, text := range files {
		path := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("copy %s: %w", name, err)
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return fmt.Errorf("copy %s: %w", name, err)
		}
	}
	return nil
}
