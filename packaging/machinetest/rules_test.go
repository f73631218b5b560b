package machinetest

import (
	"os/exec"
	"regexp"
	"strconv"
	"testing"
)

// TestPackageObeysDebian runs lintian over it at its strictest. What we do
// otherwise on purpose stands, with its reason, in packaging/debian/lintian-overrides.
func TestPackageObeysDebian(t *testing.T) {
	out, err := exec.Command("lintian", "--allow-root", "--display-info", "--pedantic",
		"--fail-on", "error,warning,info,pedantic", builtPackage(t)).CombinedOutput()
	if err != nil {
		t.Errorf("lintian: %v\n%s", err, out)
	}
}

// maxExposure is the most that systemd may find open in the unit, of 10.
const maxExposure = 1.3

// TestUnitIsHardened holds the sum of all hardening lines, so that none is lost unseen.
func TestUnitIsHardened(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not on this machine, so the unit's exposure is not measured; `go run ./packaging/build test` installs it")
	}
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "../systemd/karov.service").CombinedOutput()
	if err != nil {
		t.Fatalf("systemd-analyze: %v\n%s", err, out)
	}
	found := regexp.MustCompile(`Overall exposure level for karov\.service: ([\d.]+)`).FindSubmatch(out)
	if found == nil {
		t.Fatalf("no score in what it says:\n%s", out)
	}
	score, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	if score > maxExposure {
		t.Errorf("exposure %.1f is over %.1f:\n%s", score, maxExposure, out)
	}
}
