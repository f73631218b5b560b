package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestVulnerabilityListOutOfReachIsSaidAndNothingElse(t *testing.T) {
	exit := errors.New("exit status 1")
	// As govulncheck v1.8.0 writes them.
	away := "govulncheck: fetching vulnerabilities: Get \"https://vuln.go.dev/index/modules.json.gz\": dial tcp: lookup vuln.go.dev: no such host\nexit status 1\n"
	found := "=== Symbol Results ===\n\nVulnerability #1: GO-2099-0001\n    govulncheck: fetching is only mentioned here\nexit status 3\n"
	var unknown notChecked
	if err := judgeVulncheck(away, exit); !errors.As(err, &unknown) || !strings.Contains(unknown.reason, "no such host") {
		t.Errorf("out of reach: %v", err)
	}
	if err := judgeVulncheck(found, exit); err == nil || errors.As(err, &unknown) {
		t.Errorf("a finding: %v", err)
	}
	if err := judgeVulncheck("govulncheck: loading packages: no such package", exit); err == nil || errors.As(err, &unknown) {
		t.Errorf("another fault: %v", err)
	}
	if err := judgeVulncheck("No vulnerabilities found.", nil); err != nil {
		t.Errorf("clean: %v", err)
	}
}

func TestFormedNamesTheFile(t *testing.T) {
	dir := module(t, map[string]string{"good/a.go": "package good\n"})
	if err := formed(t.Context(), desk{root: dir}, io.Discard); err != nil {
		t.Errorf("a tidy tree: %v", err)
	}
	dir = module(t, map[string]string{"bad/a.go": "package bad\nvar   x=1\n"})
	var out strings.Builder
	if err := formed(t.Context(), desk{root: dir}, &out); err == nil || !strings.Contains(out.String(), "bad/a.go") {
		t.Errorf("error %v, said %q", err, out.String())
	}
}

// TestRegenerateComparesBothWays uses a generator of its own: it writes each
// source in capitals.
func TestRegenerateComparesBothWays(t *testing.T) {
	generate := func(dir string) error {
		sources, err := collect(dir, ".src")
		for name, text := range sources {
			out := filepath.Join(dir, strings.TrimSuffix(name, ".src")+".gen")
			err = errors.Join(err, os.WriteFile(out, []byte(strings.ToUpper(string(text))), 0o644))
		}
		return err
	}
	for name, c := range map[string]struct {
		files map[string]string
		want  string // in what is said; empty when all is well
	}{
		"current": {map[string]string{"a/x.src": "text", "a/x.gen": "TEXT"}, ""},
		"stale":   {map[string]string{"a/x.src": "text", "a/x.gen": "OLD"}, "not what its source says: a/x.gen"},
		"missing": {map[string]string{"a/x.src": "text"}, "not what its source says: a/x.gen"},
		"orphan":  {map[string]string{"a/x.gen": "TEXT"}, "its source is gone: a/x.gen"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := module(t, c.files)
			var out strings.Builder
			err := regenerate(dir, []string{".src"}, ".gen", &out, generate)
			if (err == nil) != (c.want == "") || !strings.Contains(out.String(), c.want) {
				t.Errorf("error %v, said %q, want %q", err, out.String(), c.want)
			}
			if _, err := os.Stat(filepath.Join(dir, "a", "x.gen")); name == "missing" && err == nil {
				t.Error("it wrote into the checkout")
			}
		})
	}
	same := withoutCompiler([]byte("// \tprotoc-gen-go v1.36.12\n// \tprotoc        v3.21.12\nx"))
	if string(same) != "// \tprotoc-gen-go v1.36.12\nx" {
		t.Errorf("without the compiler's line: %q", same)
	}
	same = withoutCompiler([]byte("// - protoc-gen-go-grpc v1.6.0\n// - protoc             v5.29.3\nx"))
	if string(same) != "// - protoc-gen-go-grpc v1.6.0\nx" {
		t.Errorf("without the compiler's line: %q", same)
	}
}

func TestRunStepsTellsPassedFailedAndUnknownApart(t *testing.T) {
	var out strings.Builder
	got := runSteps(t.Context(), &out, []step{
		{"good", func(context.Context, io.Writer) error { return nil }},
		{"bad", func(_ context.Context, out io.Writer) error {
			io.WriteString(out, "what went wrong\n")
			return errors.New("a fault")
		}},
		{"away", func(context.Context, io.Writer) error { return notChecked{"nobody there"} }},
		{"good again", func(context.Context, io.Writer) error { return nil }},
	})
	if got.passed != 2 || got.failed != 1 || got.skipped != 1 {
		t.Errorf("tally = %+v", got)
	}
	for _, want := range []string{"what went wrong", "FAILED: a fault", "NOT CHECKED: nobody there"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
	out.Reset()
	got.print(&out, 0)
	if !strings.HasSuffix(out.String(), "\n2 passed, 1 failed, 1 skipped\n") {
		t.Errorf("the last line:\n%s", out.String())
	}
	if got.err() == nil || (&tally{}).err() == nil || (&tally{passed: 1, skipped: 1}).err() != nil {
		t.Error("a failure and an empty run must fail, a skip must not")
	}
}
