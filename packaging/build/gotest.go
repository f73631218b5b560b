package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// testEvent is a line of `go test -json` (see go doc test2json).
type testEvent struct {
	Action     string
	Package    string
	ImportPath string // of build-output and build-fail
	Test       string
	Output     string
	Elapsed    float64
}

// testReport turns the events into a line a package, the whole output of what
// failed, and a tally. One fault of a package as a whole (it does not compile, it
// died) counts as one failed test when no test of its own failed.
type testReport struct {
	out   io.Writer
	tally tally
	// output holds what each running test or package said, by key.
	output map[string][]string
	// counts are the finished tests of each running package.
	counts map[string]*tally
}

func newTestReport(out io.Writer) *testReport {
	return &testReport{out: out, output: map[string][]string{}, counts: map[string]*tally{}}
}

// read consumes the stream to its end. A line that is no event is shown as it is.
func (r *testReport) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e testEvent
			if json.Unmarshal([]byte(line), &e) == nil && e.Action != "" {
				r.event(e)
			} else {
				fmt.Fprint(r.out, line)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read what go test says: %w", err)
		}
	}
}

func (r *testReport) event(e testEvent) {
	switch {
	case e.Action == "build-output":
		key := "build " + e.ImportPath
		r.output[key] = append(r.output[key], e.Output)
	case e.Action == "build-fail":
		r.show("does not build: "+e.ImportPath, "build "+e.ImportPath)
	case e.Action == "output":
		key := e.Package + " " + e.Test
		r.output[key] = append(r.output[key], e.Output)
	case e.Test == "":
		r.packageEnd(e)
	default:
		r.testEnd(e)
	}
}

// of gives the running count of a package.
func (r *testReport) of(pkg string) *tally {
	if r.counts[pkg] == nil {
		r.counts[pkg] = &tally{}
	}
	return r.counts[pkg]
}

func (r *testReport) testEnd(e testEvent) {
	key, count := e.Package+" "+e.Test, r.of(e.Package)
	switch e.Action {
	case "pass":
		count.passed++
	case "skip":
		count.skipped++
		count.silent = append(count.silent, short(e.Package)+" "+e.Test+": "+reason(r.output[key]))
	case "fail":
		count.failed++
		count.broken = append(count.broken, short(e.Package)+" "+e.Test)
		r.show(fmt.Sprintf("--- %s %s", short(e.Package), e.Test), key)
	default:
		return
	}
	delete(r.output, key)
}

func (r *testReport) packageEnd(e testEvent) {
	count := r.of(e.Package)
	took := time.Duration(e.Elapsed * float64(time.Second)).Round(100 * time.Millisecond)
	switch e.Action {
	case "pass":
		fmt.Fprintf(r.out, "    ok      %-40s %4d tests %8s\n", short(e.Package), count.passed, took)
	case "skip":
		fmt.Fprintf(r.out, "    -       %-40s no tests\n", short(e.Package))
	case "fail":
		// A test that was running when the package died has no end of its own.
		for _, key := range r.unfinished(e.Package) {
			r.show("--- "+short(key)+" (never ended)", key)
		}
		if count.failed == 0 {
			count.failed = 1
			count.broken = append(count.broken, short(e.Package)+" (the package as a whole)")
		}
		r.show("--- "+short(e.Package), e.Package+" ")
		fmt.Fprintf(r.out, "    FAILED  %-40s %4d failed %7s\n", short(e.Package), count.failed, took)
	default:
		return
	}
	r.tally.add(*count)
	delete(r.counts, e.Package)
	delete(r.output, e.Package+" ")
}

func (r *testReport) unfinished(pkg string) []string {
	var keys []string
	for key := range r.output {
		if strings.HasPrefix(key, pkg+" ") && key != pkg+" " {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func (r *testReport) show(title, key string) {
	fmt.Fprintf(r.out, "%s\n%s\n", title, indent(strings.Join(r.output[key], "")))
	delete(r.output, key)
}

// short takes the module's path off a package's.
func short(pkg string) string {
	return strings.TrimPrefix(pkg, "github.com/karov-crm/karov/")
}

// reason finds what t.Skip was given, which stands after "file.go:12: ".
func reason(output []string) string {
	for _, line := range output {
		if _, text, ok := strings.Cut(strings.TrimSpace(line), ".go:"); ok {
			if _, text, ok = strings.Cut(text, ": "); ok {
				return text
			}
		}
	}
	return "no reason given"
}

// goTest runs go test with args in the checkout and reports on out.
func goTest(ctx context.Context, d desk, env []string, args ...string) (tally, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
	cmd.Dir = d.root
	cmd.Env = append(os.Environ(), env...)
	// Tests leave servers behind if they are killed: they are asked first.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	cmd.Stderr = d.out
	stream, err := cmd.StdoutPipe()
	if err != nil {
		return tally{}, fmt.Errorf("listen to go test: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return tally{}, fmt.Errorf("start go test: %w", err)
	}
	report := newTestReport(d.out)
	readErr := report.read(stream)
	if err := cmd.Wait(); err != nil && report.tally.failed == 0 {
		return report.tally, fmt.Errorf("go test: %w", err)
	}
	return report.tally, readErr
}
