package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/karov-crm/karov/packaging/changes"
)

// checkout finds the folder of go.mod, from the working folder upwards.
func checkout() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the working folder: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no go.mod in this folder or above it: run it from the checkout")
		}
		dir = up
	}
}

// cacheFolder makes the folder for what is worth keeping between runs.
func cacheFolder() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		// A service account may have no home; the cache is only a matter of speed.
		base = os.TempDir()
	}
	dir := filepath.Join(base, "karov-build")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the cache folder: %w", err)
	}
	return dir, nil
}

// releases reads the notes on changes; the first is the version being built.
func releases(root string) ([]changes.Release, error) {
	all, err := changes.Read(os.DirFS(filepath.Join(root, "packaging", "changes")))
	if err != nil {
		return nil, fmt.Errorf("read the notes on changes: %w", err)
	}
	return all, nil
}

// version is the one being built.
func version(root string) (string, error) {
	all, err := releases(root)
	if err != nil {
		return "", err
	}
	return all[0].Version, nil
}

// sourceDate is the moment that stands for this source: SOURCE_DATE_EPOCH, or
// the last commit. Two builds of one commit carry the same date and so the same bytes.
func sourceDate(ctx context.Context, root string) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		cmd := exec.CommandContext(ctx, "git", "-C", root, "log", "-1", "--format=%ct")
		out, err := cmd.Output()
		if err != nil {
			return time.Time{}, fmt.Errorf("ask git for the last commit's date (or set SOURCE_DATE_EPOCH): %w", err)
		}
		text = strings.TrimSpace(string(out))
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("read the source date %q: %w", text, err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// notForEveryOffice are the plugins that the package does not bring, since what lies in its folder runs in each office:
// one that is made to be copied by authors, and a vertical that an office installs when it wants it.
func notForEveryOffice() []string { return []string{"example", "fieldservice"} }

// pluginNames lists the folders below plugins/ that make a plugin for offices:
// those with a plugin.yaml and a main package beside it.
func pluginNames(ctx context.Context, root string) ([]string, error) {
	manifests, err := filepath.Glob(filepath.Join(root, "plugins", "*", "plugin.yaml"))
	if err != nil {
		return nil, fmt.Errorf("look for plugins: %w", err)
	}
	var names []string
	for _, m := range manifests {
		name := filepath.Base(filepath.Dir(m))
		if slices.Contains(notForEveryOffice(), name) {
			continue
		}
		cmd := exec.CommandContext(ctx, "go", "list", "-f", "{{.Name}}", "./plugins/"+name)
		cmd.Dir = root
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("ask go about plugins/%s: %w", name, err)
		}
		if strings.TrimSpace(string(out)) == "main" {
			names = append(names, name)
		}
	}
	return names, nil
}

// copySource copies what git keeps, or would keep, from the checkout into another folder.
func copySource(ctx context.Context, from, to string) error {
	cmd := exec.CommandContext(ctx, "git", "-C", from, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("ask git for the source's files: %w", err)
	}
	for _, name := range strings.Split(strings.TrimRight(string(list), "\x00"), "\x00") {
		text, err := os.ReadFile(filepath.Join(from, name))
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted and not yet committed
		}
		if err != nil {
			return fmt.Errorf("copy the source: %w", err)
		}
		path := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("copy the source: %w", err)
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return fmt.Errorf("copy the source: %w", err)
		}
	}
	return nil
}
