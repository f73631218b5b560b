package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// product is where compile put things; it looks like the installed package, so
// that the demo runs what the package ships.
type product struct {
	// karov is the program.
	karov string
	// plugins is the folder to pass as --plugins: one folder a plugin, with its
	// plugin.yaml and its binary.
	plugins string
	// names are the plugins' folder names.
	names []string
}

// target is the machine to build for; the zero value is this one.
type target struct{ os, arch string }

// compile builds the program and every plugin from root into dir. The same
// source gives the same bytes wherever it lies: no path, no build id, no date.
func compile(ctx context.Context, d desk, dir string, to target) (product, error) {
	p := product{karov: filepath.Join(dir, "karov"), plugins: filepath.Join(dir, "plugins")}
	version, err := version(d.root)
	if err != nil {
		return p, err
	}
	p.names, err = pluginNames(ctx, d.root)
	if err != nil {
		return p, err
	}
	fmt.Fprintf(d.say, "building karov %s\n", version)
	if err := compileOne(ctx, d, "./appliance/cmd/karov", p.karov, version, to); err != nil {
		return p, err
	}
	// The daemon finds it beside itself or, installed, in /usr/lib/karov. It could be its own launcher, but each start of a
	// plugin would wait until so big a program is up.
	if err := compileOne(ctx, d, "./appliance/plugin/confine/launch", filepath.Join(dir, "plugin-exec"), version, to); err != nil {
		return p, err
	}
	// A plugin that is gone from the source must be gone from here too.
	if err := os.RemoveAll(p.plugins); err != nil {
		return p, fmt.Errorf("clear the plugins' folder: %w", err)
	}
	for _, name := range p.names {
		fmt.Fprintf(d.say, "building plugin %s\n", name)
		if err := compilePlugin(ctx, d, name, filepath.Join(p.plugins, name), version, to); err != nil {
			return p, err
		}
	}
	return p, nil
}

// binaryLine is where a plugin.yaml names the program beside it. One line of it
// is all that is needed here, and Go's library reads no YAML.
var binaryLine = regexp.MustCompile(`(?m)^binary: *"?([a-z0-9-]+)"?\s*$`)

// compilePlugin builds one plugin and lays beside it what the daemon reads of it.
func compilePlugin(ctx context.Context, d desk, name, home, version string, to target) error {
	source := filepath.Join(d.root, "plugins", name)
	manifest, err := os.ReadFile(filepath.Join(source, "plugin.yaml"))
	if err != nil {
		return fmt.Errorf("read the manifest of plugin %s: %w", name, err)
	}
	binary := binaryLine.FindSubmatch(manifest)
	if binary == nil {
		return fmt.Errorf("plugins/%s/plugin.yaml names no binary", name)
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return fmt.Errorf("make the folder of plugin %s: %w", name, err)
	}
	if err := os.WriteFile(filepath.Join(home, "plugin.yaml"), manifest, 0o644); err != nil {
		return fmt.Errorf("copy the manifest of plugin %s: %w", name, err)
	}
	// A plugin that says nothing to people has no sentences.
	locale := filepath.Join(source, "locale")
	if _, err := os.Stat(locale); err == nil {
		if err := os.CopyFS(filepath.Join(home, "locale"), os.DirFS(locale)); err != nil {
			return fmt.Errorf("copy the sentences of plugin %s: %w", name, err)
		}
	}
	return compileOne(ctx, d, "./plugins/"+name, filepath.Join(home, string(binary[1])), version, to)
}

func compileOne(ctx context.Context, d desk, pkg, binary, version string, to target) error {
	cmd := exec.CommandContext(ctx, "go", "build",
		"-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -buildid= -X main.version="+version,
		"-o", binary, pkg)
	cmd.Dir = d.root
	// GOFLAGS and the CPU level of whoever builds must not change the bytes.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOAMD64=v1", "GOWORK=off")
	if to != (target{}) {
		cmd.Env = append(cmd.Env, "GOOS="+to.os, "GOARCH="+to.arch)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, strings.TrimSpace(string(out)))
	}
	return nil
}
