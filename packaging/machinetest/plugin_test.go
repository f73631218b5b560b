package machinetest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// dropFolder is where Debian packages lay plugins.
const dropFolder = "/usr/share/karov/plugins"

// vertical is the plugin that a reseller ships here.
const (
	vertical   = "com.example.ceiling"
	verticalIn = dropFolder + "/" + vertical + ".karovplug"
)

// TestPluginByDebianPackage walks a plugin through its life as apt's: made, signed and packed by a reseller outside,
// brought, approved, upgraded and taken away on a machine that has nothing but the two packages.
func TestPluginByDebianPackage(t *testing.T) {
	deb := builtPackage(t)
	r := newReseller(t, deb)
	first := r.ship("1.0.0", nil)
	second := r.ship("1.1.0", []string{"  egress:", `    - {to: "rates.example.com:443"}`})
	o := &office{machine: boot(t)}
	o.deb = o.bring(t, deb)
	v := &dropped{office: o, first: o.bring(t, first), second: o.bring(t, second), root: o.bring(t, r.root())}
	for _, part := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"Karov is installed", o.install},
		{"a plugin of a stranger is refused", v.refused},
		{"one of a trusted root waits", v.waits},
		{"approved, it runs", v.approved},
		{"an upgrade that asks for more waits", v.upgradeWaits},
		{"approved, it takes over", v.upgraded},
		{"without its package it runs on", v.packageGone},
		{"removed, it is gone", v.removed},
	} {
		if !t.Run(part.name, part.run) {
			return
		}
	}
}

// reseller makes plugins with the program of the package, on our machine.
type reseller struct {
	t   *testing.T
	dir string
	bin string
}

// newReseller unpacks the program and makes a root, a reseller's key and his certificate.
func newReseller(t *testing.T, deb string) *reseller {
	t.Helper()
	r := &reseller{t: t, dir: t.TempDir()}
	r.command("dpkg-deb", "-x", deb, "unpacked")
	r.bin = filepath.Join(r.dir, "unpacked", "usr", "bin", "karov")
	source, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	r.karov("key", "root", "Example root", "root.key")
	r.karov("key", "reseller", "Example reseller", "reseller.key")
	r.karov("key", "certify", "root.key", "reseller.key.pub", "reseller.cert", "--namespace", "com.example", "--ceiling", "all")
	r.karov("new", "ceiling", "--kind", "custom", "--replace", source)
	return r
}

// root is the file by which an office trusts.
func (r *reseller) root() string { return filepath.Join(r.dir, "root.key.pub") }

func (r *reseller) karov(args ...string) { r.command(r.bin, append([]string{"plugin"}, args...)...) }

func (r *reseller) command(argv0 string, args ...string) {
	r.t.Helper()
	cmd := exec.Command(argv0, args...)
	cmd.Dir = r.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("%s %s: %v\n%s", argv0, strings.Join(args, " "), err, out)
	}
}

// ship makes the Debian package of a version that has these lines more among its permissions, and gives its path.
func (r *reseller) ship(version string, permissions []string) string {
	r.t.Helper()
	folder := filepath.Join(r.dir, "ceiling")
	r.replace(filepath.Join(folder, "plugin.yaml"), "version: 0.1.0", "version: "+version)
	r.replace(filepath.Join(folder, "main.go"), `"0.1.0"`, `"`+version+`"`)
	asked := strings.Join(append([]string{"permissions:"}, permissions...), "\n")
	r.replace(filepath.Join(folder, "plugin.yaml"), "permissions:", asked)
	tree := filepath.Join(r.dir, "deb-"+version)
	for _, dir := range []string{tree + "/DEBIAN", tree + dropFolder} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			r.t.Fatal(err)
		}
	}
	r.karov("pack", folder, "--key-file", "reseller.key", "--certificate", "reseller.cert", "-o", tree+verticalIn)
	// The next version is made from the same folder.
	r.replace(filepath.Join(folder, "plugin.yaml"), "version: "+version, "version: 0.1.0")
	r.replace(filepath.Join(folder, "main.go"), `"`+version+`"`, `"0.1.0"`)
	r.replace(filepath.Join(folder, "plugin.yaml"), asked, "permissions:")
	control := "Package: karov-plugin-ceiling\nVersion: " + version + "\nArchitecture: amd64\n" +
		"Maintainer: Example <office@example.com>\nDepends: karov-plugin-api-1\nDescription: a rule over deals\n"
	if err := os.WriteFile(tree+"/DEBIAN/control", []byte(control), 0o644); err != nil {
		r.t.Fatal(err)
	}
	file := filepath.Join(r.dir, "karov-plugin-ceiling_"+version+"_amd64.deb")
	r.command("dpkg-deb", "--root-owner-group", "--build", tree, file)
	return file
}

// replace changes a text that must be there once at least.
func (r *reseller) replace(file, from, to string) {
	r.t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		r.t.Fatal(err)
	}
	if !strings.Contains(string(raw), from) {
		r.t.Fatalf("%s has no %q:\n%s", file, from, raw)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(raw), from, to, 1)), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// dropped is an office to which a plugin comes by Debian packages.
type dropped struct {
	*office
	first, second, root string // paths inside
}

// standing is what `karov plugin list` says of the plugin.
type standing struct {
	Version   string
	State     string
	Isolation string
	Package   *struct {
		State   string
		Active  *struct{ Version, Signer, Root string }
		Trial   *struct{ Version string }
		Waiting *struct {
			Version string
			Added   []string
		}
	}
}

// listed gives how the plugin stands, and whether it is listed at all.
func (v *dropped) listed(t *testing.T) (standing, bool) {
	t.Helper()
	var all []struct {
		ID string
		standing
	}
	if err := json.Unmarshal([]byte(v.run(t, "karov", "plugin", "list", "--json")), &all); err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p.ID == vertical {
			return p.standing, true
		}
	}
	return standing{}, false
}

// rescan looks at the folder now and gives what was refused.
func (v *dropped) rescan(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(v.run(t, "karov", "plugin", "rescan"))
}

// program tells which program of the plugin the machine runs; "" for none.
func (v *dropped) program(t *testing.T) string {
	t.Helper()
	for _, program := range v.processesBelow(t, dataFolder+"/plugins/store/"+vertical+"/") {
		return program
	}
	return ""
}

// runs waits until a version does.
func (v *dropped) runs(t *testing.T, version string) {
	t.Helper()
	eventually(t, vertical+" "+version+" runs", func() bool {
		now, _ := v.listed(t)
		return now.State == "running" && now.Version == version
	})
	if program := v.program(t); !strings.Contains(program, "/"+version+"-") {
		t.Errorf("%s should run, it is %q", version, program)
	}
}

func (v *dropped) refused(t *testing.T) {
	v.run(t, "dpkg", "-i", v.first)
	if out := strings.TrimSpace(v.run(t, "stat", "-c", "%U:%G %a", verticalIn)); out != "root:root 644" {
		t.Errorf("what the package brought is %s", out)
	}
	if out := v.rescan(t); !strings.HasPrefix(out, verticalIn+": ") || !strings.Contains(out, "root") {
		t.Errorf("a root that nobody trusts is answered with %q", out)
	}
	if now, ok := v.listed(t); ok {
		t.Errorf("it is listed: %+v", now)
	}
}

func (v *dropped) waits(t *testing.T) {
	v.run(t, "karov", "plugin", "trust", "add", v.root)
	if out := v.rescan(t); out != "" {
		t.Errorf("it is still refused: %s", out)
	}
	now, ok := v.listed(t)
	if !ok || now.Package == nil || now.Package.State != "waiting-approval" || now.Package.Waiting == nil {
		t.Fatalf("it should wait: %+v", now)
	}
	if w := now.Package.Waiting; w.Version != "1.0.0" || !strings.Contains(strings.Join(w.Added, "\n"), "asked before create deal") {
		t.Errorf("it waits with %+v", w)
	}
	if program := v.program(t); program != "" {
		t.Errorf("it runs before anybody approved: %s", program)
	}
}

func (v *dropped) approved(t *testing.T) {
	v.run(t, "karov", "plugin", "approve", vertical, "--yes")
	v.runs(t, "1.0.0")
	now, _ := v.listed(t)
	if p := now.Package; p == nil || p.Active == nil || p.Active.Signer != "Example reseller" || p.Active.Root != "Example root" {
		t.Errorf("it stands at %+v", p)
	}
	// How far it goes is the kernel's, as for Karov's own plugins.
	if level, _, _ := strings.Cut(now.Isolation, " "); level != "full" && level != "files" {
		t.Errorf("it is locked in: %q", now.Isolation)
	}
}

func (v *dropped) upgradeWaits(t *testing.T) {
	v.run(t, "dpkg", "-i", v.second)
	if out := v.rescan(t); out != "" {
		t.Errorf("it is refused: %s", out)
	}
	now, _ := v.listed(t)
	if now.Package == nil || now.Package.Waiting == nil {
		t.Fatalf("the upgrade should wait: %+v", now)
	}
	w := now.Package.Waiting
	if w.Version != "1.1.0" || len(w.Added) != 1 || !strings.Contains(w.Added[0], "rates.example.com:443") {
		t.Errorf("it waits with %+v", w)
	}
	v.runs(t, "1.0.0")
}

func (v *dropped) upgraded(t *testing.T) {
	v.run(t, "karov", "plugin", "approve", vertical, "--yes")
	v.runs(t, "1.1.0")
}

// packageGone: the package was the way in only; what was installed stays until the administrator says otherwise.
func (v *dropped) packageGone(t *testing.T) {
	v.run(t, "dpkg", "-r", "karov-plugin-ceiling")
	if _, err := os.Stat(v.machine.root + verticalIn); !os.IsNotExist(err) {
		t.Errorf("the file is left behind: %v", err)
	}
	v.rescan(t)
	v.runs(t, "1.1.0")
	v.run(t, "systemctl", "restart", "karov")
	v.answers(t)
	v.runs(t, "1.1.0")
}

func (v *dropped) removed(t *testing.T) {
	v.run(t, "karov", "plugin", "remove", vertical)
	if now, ok := v.listed(t); ok {
		t.Errorf("it is still listed: %+v", now)
	}
	if program := v.program(t); program != "" {
		t.Errorf("it still runs: %s", program)
	}
	if left, err := filepath.Glob(v.machine.root + dataFolder + "/plugins/store/" + vertical + "/*"); err != nil || len(left) > 0 {
		t.Errorf("its programs are left behind: %v, %v", left, err)
	}
}
