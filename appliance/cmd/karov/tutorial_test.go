package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/appliancetest"
)

// lesson is a block of commands of the tutorial, and the lines that its reader is promised.
type lesson struct {
	commands string
	says     []string
}

// lessons reads the blocks of a tutorial.
func lessons(text string) (all []lesson) {
	for _, m := range regexp.MustCompile("(?ms)^```(sh|text)\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		if m[1] == "sh" {
			all = append(all, lesson{commands: m[2]})
		} else if len(all) > 0 {
			all[len(all)-1].says = strings.Split(strings.TrimSuffix(m[2], "\n"), "\n")
		}
	}
	return all
}

// TestTheTutorial types every command of plugins/README.md, in one shell over a real Karov, and holds what they say
// against what the tutorial shows.
func TestTheTutorial(t *testing.T) {
	karov, _ := appliancetest.Programs(t)
	raw, err := os.ReadFile("../../../plugins/README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	all := lessons(strings.NewReplacer("/usr/src/karov", source, "127.0.0.1:8480", free).Replace(string(raw)))
	if len(all) < 10 {
		t.Fatalf("the tutorial has only %d blocks of commands", len(all))
	}
	dir, err := os.MkdirTemp("", "kt") // sockets lie in it: its name is short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	outputs := typed(t, dir, filepath.Dir(karov), all)
	for i, l := range all {
		t.Logf("$ %s\n%s", strings.TrimSpace(l.commands), outputs[i])
		for _, line := range l.says {
			if !promised(line).MatchString(outputs[i]) {
				t.Errorf("after\n%s\nthere is no %q in\n%s", l.commands, line, outputs[i])
			}
		}
	}
}

// promised matches a line in which ... stands for anything.
func promised(line string) *regexp.Regexp {
	var parts []string
	for part := range strings.SplitSeq(line, "...") {
		parts = append(parts, regexp.QuoteMeta(part))
	}
	return regexp.MustCompile("(?m)^" + strings.Join(parts, ".*") + "$")
}

// typed runs the lessons one after the other in one shell that stops at the first command that fails, and gives what
// each printed.
func typed(t *testing.T, dir, path string, all []lesson) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	var script strings.Builder
	script.WriteString("set -eo pipefail -m\n") // -m: jobs, as a person's shell has them
	for i, l := range all {
		fmt.Fprintf(&script, "exec > out%d 2>&1\n%s", i, l.commands)
	}
	cmd := exec.CommandContext(ctx, "bash", "-c", script.String())
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+path+":"+os.Getenv("PATH"), "KAROV_LANG=en", "GOFLAGS=-mod=mod")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	failed := cmd.Run()
	var outputs []string
	for i := range all {
		out, err := os.ReadFile(filepath.Join(dir, fmt.Sprint("out", i)))
		if err != nil {
			break // it did not come so far
		}
		outputs = append(outputs, string(out))
	}
	if failed != nil {
		last := len(outputs) - 1
		if daemon, err := os.ReadFile(filepath.Join(dir, "office.log")); err == nil {
			t.Logf("the daemon's log:\n%s", daemon)
		}
		t.Fatalf("%v in\n%s\n%s", failed, all[last].commands, outputs[last])
	}
	return outputs
}
