package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// debianPackage is one thing that the tests use and Go cannot fetch.
type debianPackage struct{ name, why string }

// debianPackages are the real servers and tools that the tests speak to.
func debianPackages() []debianPackage {
	return []debianPackage{
		{"gcc", "the race detector"},
		{"libc6-dev", "the race detector"},
		{"dovecot-imapd", "a real mailbox for plugins/email"},
		{"dovecot-lmtpd", "delivery into that mailbox"},
		{"postfix", "a real mail server that answers leave by"},
		{"restic", "the stock program that must read our backups"},
		{"chromium", "pages as a person sees them"},
		{"fonts-noto-core", "Hebrew and Cyrillic in those pages"},
		{"protobuf-compiler", "generated wire types are current"},
		{"python3-grpcio", "the plugin in Python"},
		{"python3-protobuf", "the plugin in Python"},
		{"lintian", "the package obeys Debian's rules"},
		{"mmdebstrap", "a freshly made Debian for the machine test"},
		{"systemd-container", "starting that Debian"},
		{"iproute2", "a network of its own for that Debian"},
		{"ca-certificates", "fetching that Debian"},
	}
}

// install makes sure that they are there. It starts nothing: the tests start
// the servers themselves, on loopback, with their own settings.
func install(ctx context.Context, out, say io.Writer) error {
	missing, err := missingPackages(ctx, debianPackages())
	if err != nil {
		return err
	}
	if len(missing) == 0 {
		return nil
	}
	argv := append([]string{"apt-get", "-o", "DPkg::Lock::Timeout=600", "install", "-y", "--no-install-recommends"}, missing...)
	if os.Geteuid() != 0 {
		return fmt.Errorf("the tests need some Debian packages; this installs them: sudo apt-get update && sudo %s", strings.Join(argv, " "))
	}
	fmt.Fprintf(say, "    installing %s\n", strings.Join(missing, " "))
	quiet, err := keepServicesDown("/usr/sbin/policy-rc.d")
	if err != nil {
		return err
	}
	defer quiet()
	env := []string{"DEBIAN_FRONTEND=noninteractive"}
	update := []string{"apt-get", "-o", "DPkg::Lock::Timeout=600", "update"}
	for attempt := range 2 {
		if attempt > 0 {
			fmt.Fprintln(say, "    once more, a mirror may have hiccuped")
			if err := pause(ctx, 5*time.Second); err != nil {
				return err
			}
		}
		// A stale list is tried as well: what is missing may still be in it.
		if err = commandEnv(ctx, "/", out, env, update...); err != nil {
			fmt.Fprintf(out, "apt-get update: %v\n", err)
		}
		if err = commandEnv(ctx, "/", out, env, argv...); err == nil {
			return nil
		}
	}
	return fmt.Errorf("install what the tests need: %w", err)
}

// missingPackages asks dpkg which are not installed, in the order given.
func missingPackages(ctx context.Context, packages []debianPackage) ([]string, error) {
	query := []string{"-W", "-f", "${db:Status-Status} ${Package}\n"}
	for _, p := range packages {
		query = append(query, p.name)
	}
	// It exits with 1 when one is unknown, and lists the others all the same.
	out, err := exec.CommandContext(ctx, "dpkg-query", query...).Output()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, errors.New("the tests need a Debian machine (12 or later), or a container of it; `check` and `demo` work anywhere")
	}
	return notInstalled(string(out), packages), nil
}

func notInstalled(listing string, packages []debianPackage) []string {
	have := map[string]bool{}
	for _, line := range strings.Split(listing, "\n") {
		if name, ok := strings.CutPrefix(line, "installed "); ok {
			have[name] = true
		}
	}
	var missing []string
	for _, p := range packages {
		if !have[p.name] {
			missing = append(missing, p.name)
		}
	}
	return missing
}

// keepServicesDown tells Debian's scripts to start nothing while we install. It
// gives the function that takes that back; a policy that is there already stays.
func keepServicesDown(policy string) (func(), error) {
	f, err := os.OpenFile(policy, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if errors.Is(err, os.ErrExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("forbid services to start: %w", err)
	}
	defer f.Close()
	if _, err := f.WriteString("#!/bin/sh\nexit 101\n"); err != nil {
		return nil, fmt.Errorf("forbid services to start: %w", err)
	}
	return func() { os.Remove(policy) }, nil
}

// pause waits, or ends early with the context.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
