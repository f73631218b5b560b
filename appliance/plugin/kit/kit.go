// Package kit is what those use who write plugins: it makes a new plugin's folder, builds it, puts it through the
// conformance suite over a real core, and watches a folder for changes. `karov plugin new`, `pack`, `test` and `dev` are
// thin over it, and plugins/plugintest gives the same suite to go test.
//
// It owns no data: an office of the suite lives in a folder that is thrown away. It promises that the suite is the same by
// whatever door it is entered, that each check speaks with the real rooms and a confined process, and that a grade is
// given only for what was seen. It will not sign (package pack does) and not install.
package kit

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/plugin/pack"
)

// maxOutput is how much of a compiler's words is told.
const maxOutput = 4000

// Build makes in the folder to, which must not be there, what a package of the plugin in dir holds: its files, and its
// program, compiled where dir has Go's sources. The same sources give the same program, wherever they lie.
func Build(ctx context.Context, dir, to string) (*plugin.Manifest, error) {
	m, err := plugin.ReadManifest(dir)
	if err != nil {
		return nil, err
	}
	if err := copyPlugin(dir, to, m.Binary); err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "pack.unwritable", "file", to)
	}
	sources, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "pack.folder-unreadable", "file", dir)
	}
	if m.Interpreter == "" && len(sources) > 0 {
		if err := compile(ctx, dir, filepath.Join(to, m.Binary)); err != nil {
			return nil, err
		}
	}
	return plugin.ReadManifest(to)
}

// compile builds a program of Go that stands alone.
func compile(ctx context.Context, dir, to string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", to, ".")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return fault.Wrap(err, fault.Unavailable, "kit.no-go")
	}
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "kit.build-failed", "output", strings.TrimSpace(cutOutput(string(out))))
	}
	return nil
}

func cutOutput(s string) string {
	if len(s) > maxOutput {
		return s[:maxOutput] + "..."
	}
	return s
}

// copyPlugin copies what may belong into a package; pack leaves out the rest. A program from an earlier build is left
// behind where there are sources to build it from.
func copyPlugin(dir, to, binary string) error {
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil || rel == "." {
			return err
		}
		switch {
		case leftOut(d.Name()) && d.IsDir():
			return fs.SkipDir
		case leftOut(d.Name()):
			return nil
		case d.IsDir():
			return os.Mkdir(filepath.Join(to, rel), 0o700)
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(target, filepath.Join(to, rel)) // pack refuses it with a sentence
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), raw, info.Mode().Perm())
	})
}

func leftOut(name string) bool {
	switch name {
	case "testdata", "__pycache__", "node_modules", "go.mod", "go.sum":
		return true
	}
	return strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".go") || strings.HasSuffix(name, pack.Extension)
}
