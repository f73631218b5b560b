package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// step is one thing that can pass or fail. It writes to out what a person needs
// when it fails; that is shown only then.
type step struct {
	name string
	run  func(ctx context.Context, out io.Writer) error
}

// notChecked says that a step could not find out, which is neither good nor bad
// but must be said loudly.
type notChecked struct{ reason string }

func (e notChecked) Error() string { return "NOT CHECKED: " + e.reason }

// tally counts what passed and what did not, over steps and tests alike.
type tally struct {
	passed, failed, skipped int
	// broken and silent name the failed and the skipped, each with its reason.
	broken, silent []string
}

func (t *tally) add(o tally) {
	t.passed += o.passed
	t.failed += o.failed
	t.skipped += o.skipped
	t.broken = append(t.broken, o.broken...)
	t.silent = append(t.silent, o.silent...)
}

// print closes a run; its last line is the one that programs read.
func (t *tally) print(out io.Writer, took time.Duration) {
	fmt.Fprintf(out, "\nfinished in %s\n", took.Round(time.Second))
	for _, s := range t.silent {
		fmt.Fprintln(out, "  NOT RUN:", s)
	}
	for _, s := range t.broken {
		fmt.Fprintln(out, "  FAILED:", s)
	}
	fmt.Fprintf(out, "%d passed, %d failed", t.passed, t.failed)
	if t.skipped > 0 {
		fmt.Fprintf(out, ", %d skipped", t.skipped)
	}
	fmt.Fprintln(out)
}

// err is what the tally means for the exit code.
func (t *tally) err() error {
	if t.failed > 0 {
		return fmt.Errorf("%d failed", t.failed)
	}
	if t.passed == 0 {
		return errors.New("nothing was run")
	}
	return nil
}

// runSteps runs all of them, also after one failed: a person wants to see every
// fault of a change at once.
func runSteps(ctx context.Context, out io.Writer, steps []step) tally {
	var t tally
	for _, s := range steps {
		if ctx.Err() != nil {
			t.failed++
			t.broken = append(t.broken, s.name+": stopped")
			return t
		}
		fmt.Fprintf(out, "==> %s\n", s.name)
		start := time.Now()
		var said bytes.Buffer
		err := s.run(ctx, &said)
		took := time.Since(start).Round(100 * time.Millisecond)
		var unknown notChecked
		switch {
		case err == nil:
			t.passed++
			fmt.Fprintf(out, "    ok (%s)\n", took)
		case errors.As(err, &unknown):
			t.skipped++
			t.silent = append(t.silent, s.name+": "+unknown.reason)
			fmt.Fprintf(out, "    %v (%s)\n", err, took)
		default:
			t.failed++
			t.broken = append(t.broken, s.name)
			fmt.Fprintf(out, "%s\n    FAILED: %v (%s)\n", indent(said.String()), err, took)
		}
	}
	return t
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ")
}

// command runs a program in dir and sends all it says to out. Without an
// explicit environment it has ours.
func command(ctx context.Context, dir string, out io.Writer, argv ...string) error {
	return commandEnv(ctx, dir, out, nil, argv...)
}

// commandEnv is command with further "KEY=value" variables.
func commandEnv(ctx context.Context, dir string, out io.Writer, env []string, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", argv[0], err)
	}
	return nil
}
