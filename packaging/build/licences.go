package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// thirdParty collects the licences of every module that is linked into the
// programs, as those licences demand. It refuses a module without one, and one
// whose licence would bind what a reseller builds upon us.
func thirdParty(ctx context.Context, root string, plugins []string) ([]byte, error) {
	packages := []string{"./appliance/cmd/karov"}
	for _, name := range plugins {
		packages = append(packages, "./plugins/"+name)
	}
	form := "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}"
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", "-deps", "-f", form}, packages...)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	var said bytes.Buffer
	cmd.Stderr = &said
	listing, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list the linked modules: %w\n%s", err, said.String())
	}
	modules := strings.Split(strings.TrimSpace(string(listing)), "\n")
	slices.Sort(modules)
	var all bytes.Buffer
	for _, m := range slices.Compact(modules) {
		if m == "" {
			continue
		}
		path, rest, _ := strings.Cut(m, " ")
		version, dir, _ := strings.Cut(rest, " ")
		text, err := licence(dir)
		if err != nil {
			return nil, fmt.Errorf("licence of %s: %w", path, err)
		}
		writeNotice(&all, path+" "+version, text)
	}
	assets, err := embeddedAssets(root)
	if err != nil {
		return nil, err
	}
	return append(all.Bytes(), assets...), nil
}

// embeddedAssets collects the licences of what is not Go but is inside the
// program all the same: fonts, icons, a script.
func embeddedAssets(root string) ([]byte, error) {
	files, err := filepath.Glob(filepath.Join(root, "admin", "*", "assets", "licenses", "*"))
	if err != nil {
		return nil, fmt.Errorf("look for licences of assets: %w", err)
	}
	var all bytes.Buffer
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the licence of an asset: %w", err)
		}
		name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
		writeNotice(&all, name, string(text))
	}
	return all.Bytes(), nil
}

func writeNotice(out *bytes.Buffer, name, text string) {
	fmt.Fprintf(out, "%s\n%s\n\n%s\n\n", strings.Repeat("=", 78), name, strings.TrimSpace(text))
}

// licence reads the licence and notice files at a module's root.
func licence(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var all strings.Builder
	for _, e := range entries {
		name := strings.ToUpper(e.Name())
		if e.IsDir() || !hasAnyPrefix(name, "LICENSE", "LICENCE", "COPYING", "NOTICE") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&all, "%s\n", strings.TrimSpace(string(text)))
	}
	if all.Len() == 0 {
		return "", fmt.Errorf("no licence file in %s", dir)
	}
	// Only the licence itself writes its title so; MPL and others mention it in small letters.
	for _, title := range []string{"GNU GENERAL PUBLIC LICENSE", "GNU AFFERO GENERAL PUBLIC LICENSE"} {
		if strings.Contains(all.String(), title) {
			return "", fmt.Errorf("%s: what is linked into Karov must leave resellers free", title)
		}
	}
	return all.String(), nil
}

func hasAnyPrefix(s string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s, p) })
}
