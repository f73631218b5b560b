package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestNotInstalledTrustsOnlyInstalled(t *testing.T) {
	packages := []debianPackage{{name: "restic"}, {name: "postfix"}, {name: "lintian"}, {name: "chromium"}}
	// As dpkg-query prints it: removed with its configuration left, half done, and not known at all.
	listing := "installed restic\nconfig-files postfix\nhalf-configured lintian\n"
	got := notInstalled(listing, packages)
	if want := []string{"postfix", "lintian", "chromium"}; !slices.Equal(got, want) {
		t.Errorf("missing = %q, want %q", got, want)
	}
	if got := notInstalled("", nil); len(got) != 0 {
		t.Errorf("missing of nothing = %q", got)
	}
}

func TestKeepServicesDownLeavesThePolicyOfOthers(t *testing.T) {
	policy := filepath.Join(t.TempDir(), "policy-rc.d")
	back, err := keepServicesDown(policy)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(policy)
	if err != nil || string(text) != "#!/bin/sh\nexit 101\n" {
		t.Errorf("policy = %q, %v", text, err)
	}
	again, err := keepServicesDown(policy)
	if err != nil {
		t.Fatal(err)
	}
	again()
	if _, err := os.Stat(policy); err != nil {
		t.Errorf("a policy that was there is gone: %v", err)
	}
	back()
	if _, err := os.Stat(policy); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("our own policy is still there: %v", err)
	}
}
