package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/appliancetest"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/plugin/pack"
)

// workshop is where somebody makes and signs packages with karov's commands.
type workshop struct {
	t       *testing.T
	a       *appliancetest.Appliance
	dir     string
	program []byte
}

// newWorkshop makes a root, a reseller and his certificate.
func newWorkshop(t *testing.T, a *appliancetest.Appliance) *workshop {
	t.Helper()
	w := &workshop{t: t, a: a, dir: t.TempDir()}
	file := filepath.Join(w.dir, "program")
	if out, err := exec.Command("go", "build", "-o", file, "github.com/karov-crm/karov/appliance/plugin/testdata/mover").CombinedOutput(); err != nil {
		t.Fatalf("build the plugin: %v\n%s", err, out)
	}
	w.program = w.read("program")
	a.Karov("", "plugin", "key", "root", "Acme Root", w.at("root"))
	a.Karov("", "plugin", "key", "reseller", "Acme Ltd", w.at("acme"))
	a.Karov("", "plugin", "key", "certify", w.at("root"), w.at("acme.pub"), w.at("acme.crt"), "--namespace", "test.rogue", "--ceiling", "all")
	return w
}

func (w *workshop) at(name string) string { return filepath.Join(w.dir, name) }

func (w *workshop) read(name string) []byte {
	w.t.Helper()
	raw, err := os.ReadFile(w.at(name))
	w.must(err)
	return raw
}

func (w *workshop) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// pack makes a package of a version and gives its path.
func (w *workshop) pack(version, more string) string {
	w.t.Helper()
	key, err := pack.ReadResellerKey(w.read("acme"))
	w.must(err)
	certificate, err := pack.ReadCertificate(w.read("acme.crt"))
	w.must(err)
	signer, err := pack.NewSigner(key, certificate)
	w.must(err)
	dir := filepath.Join(w.dir, "plugin-"+version)
	w.must(os.Mkdir(dir, 0o700))
	w.must(os.WriteFile(filepath.Join(dir, "mover-"+version), w.program, 0o700))
	w.must(os.WriteFile(filepath.Join(dir, "plugin.yaml"), fmt.Appendf(nil,
		"id: test.rogue.mover\nname: Mover\nversion: %s\napi: \">=1.0\"\nbinary: mover-%s\n%s", version, version, more), 0o600))
	var b bytes.Buffer
	_, err = plugin.BuildPackage(dir, &b, signer)
	w.must(err)
	file := w.at("mover-" + version + pack.Extension)
	w.must(os.WriteFile(file, b.Bytes(), 0o600))
	return file
}

// runs tells whether a version runs.
func (w *workshop) runs(version string) bool {
	out := w.a.Karov("", "plugin", "list")
	return strings.Contains(out, "test.rogue.mover "+version+": running")
}

// TestAPackageLives is the life of a package, by the commands that an office types: it is installed, asks for more,
// fails, comes back, is revoked, and is removed, and the daemon is never restarted for it.
func TestAPackageLives(t *testing.T) {
	a := appliancetest.Start(t)
	w := newWorkshop(t, a)
	one := w.pack("1.0.0", "")
	says := func(out string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(out, part) {
				t.Errorf("there is no %q in\n%s", part, out)
			}
		}
	}
	fails := func(args ...string) string {
		t.Helper()
		out, err := a.Try("", args...)
		if err == nil {
			t.Errorf("karov %s did not fail:\n%s", strings.Join(args, " "), out)
		}
		return out
	}
	says(fails("plugin", "install", one), "does not trust that root")
	says(a.Karov("", "plugin", "trust", "add", w.at("root.pub")), "Acme Root")
	says(a.Karov("", "plugin", "install", one), "Mover (test.rogue.mover)", "1.0.0 installed, signed by Acme Ltd (Acme Root)")
	a.Until("the first version runs", func() bool { return w.runs("1.0.0") })
	pid := a.Plugin("test.rogue.mover").PID

	two := w.pack("1.1.0", "permissions:\n  records:\n    - {entity: contact, verbs: [see]}\n")
	says(fails("plugin", "upgrade", two), "+ see contact", "[y/N]", "not approved")
	if a.Plugin("test.rogue.mover").PID != pid {
		t.Error("a question that was not answered restarted the plugin")
	}
	says(a.Karov("y\n", "plugin", "upgrade", two), "version 1.1.0 is on probation")
	says(a.Karov("", "plugin", "rollback", "test.rogue.mover"), "1.0.0 installed", "1.1.0 failed and was taken back")
	a.Until("the first version runs again", func() bool { return w.runs("1.0.0") })
	says(fails("plugin", "upgrade", w.pack("1.2.0-dead", ""), "--wait"), "did not start")
	a.Until("the first version runs still", func() bool { return w.runs("1.0.0") })

	a.Karov("", "plugin", "pin", "test.rogue.mover")
	says(fails("plugin", "install", two, "--yes"), "is pinned at version")
	a.Karov("", "plugin", "unpin", "test.rogue.mover")

	certificate, err := pack.ReadCertificate(w.read("acme.crt"))
	w.must(err)
	a.Karov("", "plugin", "key", "revoke", w.at("root"), w.at("list"), "--certificate", certificate.Serial)
	says(a.Karov("", "plugin", "revocations", "import", w.at("list")), "test.rogue.mover is revoked")
	says(a.Karov("", "plugin", "list"), "1.0.0 revoked", "running")
	says(fails("plugin", "install", two, "--yes"), "took back the certificate")

	says(fails("plugin", "trust", "remove", pack.Root{Key: w.root().Key}.ID()), "Remove them first")
	a.Karov("", "plugin", "remove", "test.rogue.mover")
	if out := a.Karov("", "plugin", "list"); strings.Contains(out, "mover") {
		t.Errorf("it is still there:\n%s", out)
	}
	says(fails("plugin", "key", "root", "Other", w.at("root")), "already there")
	if st, err := os.Stat(w.at("acme")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the secret is for everybody: %v, %v", st.Mode(), err)
	}
}

func (w *workshop) root() pack.Root {
	w.t.Helper()
	r, err := pack.ReadRoot(w.read("root.pub"))
	w.must(err)
	return r
}
