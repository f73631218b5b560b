package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// The tools that are no part of the product. They run as modules of their own,
// so that go.mod holds only what Karov is made of. Change a version here only.
const (
	staticcheckTool = "honnef.co/go/tools/cmd/staticcheck@2026.1"
	govulncheckTool = "golang.org/x/vuln/cmd/govulncheck@v1.8.0"
	nfpmTool        = "github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.0"
)

// check is the quick part of test.
func check(ctx context.Context, d desk, args []string) error {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	if err := parse(flags, args); err != nil {
		return err
	}
	start := time.Now()
	total := runSteps(ctx, d.out, checkSteps(d))
	total.print(d.out, time.Since(start))
	return total.err()
}

func checkSteps(d desk) []step {
	in := func(argv ...string) func(context.Context, io.Writer) error {
		return func(ctx context.Context, out io.Writer) error { return command(ctx, d.root, out, argv...) }
	}
	return []step{
		{"form (gofmt)", func(ctx context.Context, out io.Writer) error { return formed(ctx, d, out) }},
		{"go vet", in("go", "vet", "./...")},
		{"staticcheck", in("go", "run", staticcheckTool, "./...")},
		{"go.mod is tidy", in("go", "mod", "tidy", "-diff")},
		{"generated pages are current", func(ctx context.Context, out io.Writer) error { return templCurrent(ctx, d, out) }},
		{"generated wire types are current", func(ctx context.Context, out io.Writer) error { return wireCurrent(ctx, d, out) }},
		{"known vulnerabilities", func(ctx context.Context, out io.Writer) error { return vulnerable(ctx, d, out) }},
	}
}

// formed fails on files that gofmt would change, and names them.
func formed(ctx context.Context, d desk, out io.Writer) error {
	// gofmt of the very Go that builds; another's may hold other views.
	goroot, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("find gofmt: %w", err)
	}
	gofmt := filepath.Join(strings.TrimSpace(string(goroot)), "bin", "gofmt")
	var list bytes.Buffer
	if err := command(ctx, d.root, io.MultiWriter(&list, out), gofmt, "-l", "."); err != nil {
		return err
	}
	if list.Len() > 0 {
		return errors.New("run gofmt -w on these files")
	}
	return nil
}

// vulnerable asks the public list of vulnerabilities about what the program
// really calls. Out of reach of the list it says so: a pass that looked at
// nothing would be a lie, and a failure would stop work without a fault.
func vulnerable(ctx context.Context, d desk, out io.Writer) error {
	var said bytes.Buffer
	err := command(ctx, d.root, io.MultiWriter(&said, out), "go", "run", govulncheckTool, "./...")
	return judgeVulncheck(said.String(), err)
}

func judgeVulncheck(said string, err error) error {
	if err == nil {
		return nil
	}
	// go run makes every exit code 1; these words come only when the list, not the code, was the trouble.
	for _, line := range strings.Split(said, "\n") {
		if strings.HasPrefix(line, "govulncheck: fetching vulnerabilities") {
			return notChecked{"the list of known vulnerabilities cannot be reached from here: " + line}
		}
	}
	return fmt.Errorf("govulncheck: %w", err)
}
