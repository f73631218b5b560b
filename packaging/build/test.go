package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// machinePackage holds the tests that need the built package and the machine to
// themselves, so they run after all others and without the race detector.
const machinePackage = "github.com/karov-crm/karov/packaging/machinetest"

// test is what continuous integration runs.
func test(ctx context.Context, d desk, args []string) error {
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	if err := parse(flags, args); err != nil {
		return err
	}
	start := time.Now()
	total := runSteps(ctx, d.out, []step{
		{"what the tests need from Debian", func(ctx context.Context, out io.Writer) error { return install(ctx, out, d.out) }},
	})
	// Without them most tests would fail for one reason; that reason alone is told.
	if total.failed == 0 {
		total.add(runSteps(ctx, d.out, checkSteps(d)))
		total.add(unitTests(ctx, d))
		total.add(machineTests(ctx, d))
	}
	total.print(d.out, time.Since(start))
	return total.err()
}

// unitTests runs every package's tests but the machine's. Two packages at once:
// many of them start real servers, and more would only make each wait longer.
func unitTests(ctx context.Context, d desk) tally {
	fmt.Fprintln(d.out, "==> tests, with the race detector")
	packages, err := testPackages(ctx, d)
	if err != nil {
		return brokenRun("tests", d, err)
	}
	args := append([]string{"-race", "-p", "2", "-timeout", "25m"}, packages...)
	t, err := goTest(ctx, d, nil, args...)
	if err != nil {
		t.add(brokenRun("tests", d, err))
	}
	return t
}

func testPackages(ctx context.Context, d desk) ([]string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "./...")
	cmd.Dir = d.root
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list the packages: %w\n%s", err, said.String())
	}
	var packages []string
	for _, p := range strings.Fields(string(out)) {
		if p != machinePackage {
			packages = append(packages, p)
		}
	}
	return packages, nil
}

// machineTests builds the package and hands it to the tests on a fresh Debian.
func machineTests(ctx context.Context, d desk) tally {
	dir, err := os.MkdirTemp("", "karov-deb-")
	if err != nil {
		return brokenRun("package", d, fmt.Errorf("make a folder for the package: %w", err))
	}
	defer os.RemoveAll(dir)
	var file string
	t := runSteps(ctx, d.out, []step{
		{"the package", func(ctx context.Context, out io.Writer) error {
			quiet := d
			quiet.say = out
			file, err = buildDeb(ctx, quiet, dir)
			return err
		}},
		{"the package, built again elsewhere, is the same to the byte", func(ctx context.Context, out io.Writer) error {
			return rebuilt(ctx, d, file, out)
		}},
	})
	if t.failed > 0 {
		return t
	}
	fmt.Fprintln(d.out, "==> the package on a freshly made Debian")
	machine, err := goTest(ctx, d, []string{"KAROV_DEB=" + file, "KAROV_CACHE=" + d.cache}, "-count=1", "-timeout", "15m", machinePackage)
	t.add(machine)
	if err != nil {
		t.add(brokenRun("machine test", d, err))
	}
	return t
}

// rebuilt builds the package from a copy of the source at another path and
// compares, so that anybody can prove what a package was made of.
func rebuilt(ctx context.Context, d desk, file string, out io.Writer) error {
	if file == "" {
		return errors.New("there is no package to compare with")
	}
	dir, err := os.MkdirTemp("", "karov-elsewhere-")
	if err != nil {
		return fmt.Errorf("make a folder to build in: %w", err)
	}
	defer os.RemoveAll(dir)
	date, err := sourceDate(ctx, d.root)
	if err != nil {
		return err
	}
	other := desk{root: filepath.Join(dir, "source"), cache: d.cache, say: out}
	if err := copySource(ctx, d.root, other.root); err != nil {
		return err
	}
	again, err := buildDebAt(ctx, other, dir, date)
	if err != nil {
		return err
	}
	return sameBytes(file, again)
}

func sameBytes(one, other string) error {
	a, err := os.ReadFile(one)
	if err != nil {
		return fmt.Errorf("read a package: %w", err)
	}
	b, err := os.ReadFile(other)
	if err != nil {
		return fmt.Errorf("read a package: %w", err)
	}
	if !bytes.Equal(a, b) {
		return fmt.Errorf("%s (sha256 %x) and %s (%x) differ", one, sha256.Sum256(a), other, sha256.Sum256(b))
	}
	return nil
}

// brokenRun is the tally of a part that could not even be run.
func brokenRun(name string, d desk, err error) tally {
	fmt.Fprintf(d.out, "%s\n    FAILED: %s\n", indent(err.Error()), name)
	return tally{failed: 1, broken: []string{name + " could not be run"}}
}
