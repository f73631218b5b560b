package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"text/template"
	"time"

	"github.com/karov-crm/karov/packaging/changes"
)

// maintainer is whom Debian's tools name.
const maintainer = "The Karov authors <karov-crm@users.noreply.github.com>"

// deb makes the Debian package.
func deb(ctx context.Context, d desk, args []string) error {
	flags := flag.NewFlagSet("deb", flag.ContinueOnError)
	out := flags.String("out", d.cache, "folder for the package")
	if err := parse(flags, args); err != nil {
		return err
	}
	file, err := buildDeb(ctx, d, *out)
	if err != nil {
		return err
	}
	fmt.Fprintln(d.out, file)
	return nil
}

// buildDeb makes the package in the folder out and gives its path. The same
// commit gives the same bytes: all dates are the commit's.
func buildDeb(ctx context.Context, d desk, out string) (string, error) {
	date, err := sourceDate(ctx, d.root)
	if err != nil {
		return "", err
	}
	return buildDebAt(ctx, d, out, date)
}

// buildDebAt is buildDeb with a date given, which is all that it takes from git.
func buildDebAt(ctx context.Context, d desk, out string, date time.Time) (string, error) {
	out, err := filepath.Abs(out)
	if err != nil {
		return "", fmt.Errorf("find the folder for the package: %w", err)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return "", fmt.Errorf("make the folder for the package: %w", err)
	}
	all, err := releases(d.root)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "karov-deb-")
	if err != nil {
		return "", fmt.Errorf("make a folder to build in: %w", err)
	}
	defer os.RemoveAll(dir)
	p, err := compile(ctx, d, dir, target{os: "linux", arch: "amd64"})
	if err != nil {
		return "", err
	}
	if err := writeDocuments(ctx, d, dir, p, all, date); err != nil {
		return "", err
	}
	file := filepath.Join(out, "karov_"+all[0].Version+"_amd64.deb")
	return file, pack(ctx, d, dir, p, all[0].Version, date, file)
}

// writeDocuments puts the generated files of /usr/share beside the programs.
func writeDocuments(ctx context.Context, d desk, dir string, p product, all []changes.Release, date time.Time) error {
	var log bytes.Buffer
	if err := changes.WriteDebian(&log, all, maintainer, date); err != nil {
		return err
	}
	notices, err := thirdParty(ctx, d.root, p.names)
	if err != nil {
		return err
	}
	manual, err := os.ReadFile(filepath.Join(d.root, "packaging", "debian", "karov.8"))
	if err != nil {
		return fmt.Errorf("read the manual page: %w", err)
	}
	for name, text := range map[string][]byte{
		"changelog.gz":   log.Bytes(),
		"third-party.gz": notices,
		"karov.8.gz":     manual,
	} {
		if err := writeGzip(filepath.Join(dir, name), text); err != nil {
			return err
		}
	}
	return nil
}

// writeGzip compresses as `gzip -9n` does: no name and no date inside.
func writeGzip(path string, text []byte) error {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return fmt.Errorf("compress %s: %w", path, err)
	}
	if _, err := w.Write(text); err != nil {
		return fmt.Errorf("compress %s: %w", path, err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("compress %s: %w", path, err)
	}
	if err := os.WriteFile(path, packed.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// packed is one file of a plugin as nfpm.yaml names it.
type packed struct {
	From, To string
	Mode     string
}

// pluginFiles lists what compile laid down below dir. Only programs may be run.
func pluginFiles(dir string) ([]packed, error) {
	var files []packed
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		to, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		mode := "0755"
		if filepath.Ext(path) == ".yaml" {
			mode = "0644"
		}
		files = append(files, packed{path, "/usr/lib/karov/plugins/" + filepath.ToSlash(to), mode})
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the plugins' files: %w", err)
	}
	return files, nil
}

// pack fills in packaging/debian/nfpm.yaml and lets nfpm make the package.
func pack(ctx context.Context, d desk, dir string, p product, version string, date time.Time, file string) error {
	source := filepath.Join(d.root, "packaging")
	plugins, err := pluginFiles(p.plugins)
	if err != nil {
		return err
	}
	form, err := template.ParseFiles(filepath.Join(source, "debian", "nfpm.yaml"))
	if err != nil {
		return fmt.Errorf("read nfpm.yaml: %w", err)
	}
	var config bytes.Buffer
	err = form.Execute(&config, map[string]any{
		"Version":    version,
		"Date":       date.Format(time.RFC3339),
		"Maintainer": maintainer,
		"Build":      dir,
		"Source":     source,
		"Plugins":    plugins,
	})
	if err != nil {
		return fmt.Errorf("fill in nfpm.yaml: %w", err)
	}
	configFile := filepath.Join(dir, "nfpm.yaml")
	if err := os.WriteFile(configFile, config.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write nfpm.yaml: %w", err)
	}
	fmt.Fprintf(d.say, "packing %s\n", filepath.Base(file))
	epoch := fmt.Sprintf("SOURCE_DATE_EPOCH=%d", date.Unix())
	var said bytes.Buffer
	err = commandEnv(ctx, d.root, &said, []string{epoch},
		"go", "run", nfpmTool, "package", "--packager", "deb", "--config", configFile, "--target", file)
	if err != nil {
		return fmt.Errorf("make the package: %w\n%s", err, said.String())
	}
	return nil
}
