package pack

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
)

// testDescription is what the tests' plugin.yaml holds; they write it as JSON, since reading YAML is not tested here.
func testDescription(raw []byte) (Description, error) {
	var d Description
	if err := json.Unmarshal(raw, &d); err != nil {
		return d, fault.Wrap(err, fault.Invalid, "plugin.manifest-malformed")
	}
	return d, nil
}

var testNow = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

// world is a root, a reseller and a plugin's folder.
type world struct {
	t      testing.TB
	root   *RootKey
	signer *Signer
	trust  *Trust
	dir    string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	root, err := GenerateRoot("Karov test")
	must(t, err)
	w := &world{t: t, root: root, dir: filepath.Join(t.TempDir(), "plugin"), trust: &Trust{Roots: []Root{root.Root}}}
	w.signer = w.sign(root, Terms{Namespace: "com.acme", Ceiling: wide(), NotBefore: testNow.Add(-time.Hour), NotAfter: testNow.Add(time.Hour)})
	w.write("plugin.yaml", yamlOf("com.acme.triangle", "1.2.3"), 0o644)
	w.write("triangle", "#!/bin/sh\necho hello\n", 0o755)
	w.write("locale/en.yaml", strings.Repeat("hello: there\n", 50), 0o600)
	return w
}

func wide() Permissions {
	return Permissions{
		Records: []Record{{Entity: "contact", Verbs: []string{"see", "edit"}, Fields: []string{"name", "phone"}}, {Entity: "task", Verbs: []string{"*"}}},
		Egress:  []Egress{{To: "*.acme.com:443"}, {To: "10.0.0.1:25", Private: true}}, Memory: 100 << 20, Storage: 10 << 20,
	}
}

func yamlOf(id, version string, p ...Permissions) string {
	d := Description{ID: id, Version: version, API: ">=1.0", Binary: "triangle"}
	if len(p) > 0 {
		d.Permissions = p[0]
	}
	raw, err := json.Marshal(d)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) sign(root *RootKey, terms Terms) *Signer {
	w.t.Helper()
	key, err := GenerateReseller("Acme Ltd")
	must(w.t, err)
	c, err := root.IssueCertificate(key.Reseller, terms)
	must(w.t, err)
	s, err := NewSigner(key, c)
	must(w.t, err)
	return s
}

func (w *world) write(name, content string, mode os.FileMode) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	must(w.t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(w.t, os.WriteFile(path, []byte(content), mode))
	must(w.t, os.Chmod(path, mode))
}

func (w *world) build() []byte {
	w.t.Helper()
	var b bytes.Buffer
	_, err := Build(w.dir, &b, w.signer, testDescription)
	must(w.t, err)
	return b.Bytes()
}

func (w *world) options() Options {
	return Options{Now: testNow, Arch: "linux/amd64", Describe: testDescription, Accepts: func(api string) error {
		if api != ">=1.0" {
			return fmt.Errorf("%s is beyond us", api)
		}
		return nil
	}}
}

func (w *world) verify(raw []byte) (*Package, error) {
	return Verify(bytes.NewReader(raw), int64(len(raw)), w.trust, w.options())
}

// refused fails the test unless the package is refused with the key.
func (w *world) refused(raw []byte, key string) {
	w.t.Helper()
	_, err := w.verify(raw)
	if got := fault.Of(err).Key; err == nil || got != key {
		w.t.Errorf("the package is refused with %v, not %s", err, key)
	}
}

func TestWhatWasPackedIsUnpacked(t *testing.T) {
	w := newWorld(t)
	w.write("main.go", "package main", 0o644)
	w.write(".git/config", "x", 0o644)
	w.write("testdata/x", "x", 0o644)
	raw := w.build()
	p, err := w.verify(raw)
	must(t, err)
	if p.Manifest.ID != "com.acme.triangle" || p.Manifest.Version != "1.2.3" || p.Certificate.Name != "Acme Ltd" || p.Root.Name != "Karov test" {
		t.Errorf("the package says %+v", p.Manifest)
	}
	to := filepath.Join(t.TempDir(), "out")
	must(t, p.Extract(to, "linux/arm64"))
	t.Cleanup(func() { must(t, Remove(to)) })
	var names []string
	must(t, filepath.WalkDir(to, func(path string, d os.DirEntry, err error) error {
		must(t, err)
		st, err := d.Info()
		must(t, err)
		if st.Mode().Perm()&0o222 != 0 {
			t.Errorf("%s can be written to", path)
		}
		if !d.IsDir() {
			rel, err := filepath.Rel(to, path)
			must(t, err)
			names = append(names, fmt.Sprintf("%s %o", rel, st.Mode().Perm()))
		}
		return nil
	}))
	want := []string{"CERTIFICATE 444", "MANIFEST.json 444", "SIGNATURE 444", "locale/en.yaml 444", "plugin.yaml 444", "triangle 555"}
	if !slices.Equal(names, want) {
		t.Errorf("unpacked: %q", names)
	}
	if _, err := Sound(to, p.Hash, testDescription); err != nil {
		t.Errorf("what was just unpacked is damaged: %v", err)
	}
	if err := p.Extract(to, "linux/amd64"); fault.Of(err).Key != "pack.unwritable" {
		t.Errorf("unpacking over a folder: %v", err)
	}
}

func TestTheSameFolderGivesTheSameBytes(t *testing.T) {
	w := newWorld(t)
	first := w.build()
	other := *w
	other.dir = filepath.Join(t.TempDir(), "elsewhere")
	must(t, os.CopyFS(other.dir, os.DirFS(w.dir)))
	must(t, os.Chmod(filepath.Join(other.dir, "triangle"), 0o711))
	must(t, filepath.WalkDir(other.dir, func(path string, _ os.DirEntry, err error) error {
		must(t, err)
		return os.Chtimes(path, testNow, testNow.Add(-24*time.Hour))
	}))
	if second := other.build(); !bytes.Equal(first, second) {
		t.Error("the same files gave other bytes")
	}
}

func TestABinaryForEachProcessor(t *testing.T) {
	w := newWorld(t)
	must(t, os.Remove(filepath.Join(w.dir, "triangle")))
	elf := func(machine byte) string {
		h := make([]byte, 64)
		copy(h, "\x7fELF\x02\x01\x01")
		h[16], h[18], h[20], h[52] = 2, machine, 1, 64
		return string(h)
	}
	w.write("bin/linux-amd64/triangle", elf(62), 0o755)
	w.write("bin/linux-arm64/triangle", elf(183), 0o755)
	p, err := w.verify(w.build())
	must(t, err)
	if !slices.Equal(p.Manifest.Arch, []string{"linux/amd64", "linux/arm64"}) {
		t.Errorf("the processors are %v", p.Manifest.Arch)
	}
	to := filepath.Join(t.TempDir(), "out")
	must(t, p.Extract(to, "linux/arm64"))
	t.Cleanup(func() { must(t, Remove(to)) })
	got, err := os.ReadFile(filepath.Join(to, "triangle"))
	must(t, err)
	if string(got) != elf(183) || ProgramSum(to, "triangle", "linux/arm64") != sumHex(got) {
		t.Error("the program is for another processor")
	}
	if ProgramSum(w.dir, "triangle", "linux/arm64") != "" {
		t.Error("a folder that no package brought has a sum")
	}
	if _, err := os.Stat(filepath.Join(to, "bin")); err == nil {
		t.Error("the other program was unpacked too")
	}
	if _, err := Sound(to, p.Hash, testDescription); err != nil {
		t.Errorf("damaged: %v", err)
	}
	must(t, os.RemoveAll(filepath.Join(w.dir, "bin/linux-amd64")))
	w.refused(w.build(), "pack.wrong-arch")
	w.write("bin/linux-arm64/triangle", elf(62), 0o755)
	_, err = Build(w.dir, &bytes.Buffer{}, w.signer, testDescription)
	if fault.Of(err).Key != "pack.program-arch" {
		t.Errorf("a program in the folder of another processor: %v", err)
	}
}

func TestAScriptForAnInterpreter(t *testing.T) {
	w := newWorld(t)
	w.write("plugin.yaml", strings.Replace(yamlOf("com.acme.triangle", "1.0.0"), `"Script":false`, `"Script":true`, 1), 0o644)
	w.write("triangle", "import karov\n", 0o644)
	p, err := w.verify(w.build())
	must(t, err)
	if !slices.Equal(p.Manifest.Arch, []string{AnyArch}) {
		t.Errorf("it is for %v", p.Manifest.Arch)
	}
}

func TestVersionsInOrder(t *testing.T) {
	order := []string{"0.9.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0"}
	for i, a := range order {
		for j, b := range order {
			if got := Newer(a, b); got != (i > j) {
				t.Errorf("%s is newer than %s: %v", a, b, got)
			}
		}
	}
	if Newer("1.0.0+b", "1.0.0+a") || Newer("1.0.0+b", "1.0.0") {
		t.Error("a build is taken for a version")
	}
}

func TestWhatIsNotPacked(t *testing.T) {
	for _, c := range []struct {
		key  string
		make func(w *world)
	}{
		{"pack.symlink", func(w *world) { must(t, os.Symlink("/etc/passwd", filepath.Join(w.dir, "users"))) }},
		{"pack.name-odd", func(w *world) { w.write("a b", "x", 0o644) }},
		{"pack.names-collide", func(w *world) { w.write("LOCALE/he.yaml", "x", 0o644) }},
		{"pack.file-missing", func(w *world) { must(t, os.Remove(filepath.Join(w.dir, "plugin.yaml"))) }},
		{"pack.program-missing", func(w *world) { must(t, os.Remove(filepath.Join(w.dir, "triangle"))) }},
		{"pack.program-missing", func(w *world) { must(t, os.Chmod(filepath.Join(w.dir, "triangle"), 0o644)) }},
		{"pack.program-unknown", func(w *world) { w.write("triangle", "MZ", 0o755) }},
		{"pack.namespace", func(w *world) { w.write("plugin.yaml", yamlOf("com.acmes.triangle", "1.0.0"), 0o644) }},
		{"pack.beyond-ceiling", func(w *world) {
			w.write("plugin.yaml", yamlOf("com.acme.triangle", "1.0.0", Permissions{Memory: 1 << 40}), 0o644)
		}},
		{"pack.secret-inside", func(w *world) {
			key, err := GenerateReseller("Acme")
			must(t, err)
			raw, err := key.Secret()
			must(t, err)
			w.write("notes", string(raw), 0o644)
		}},
	} {
		w := newWorld(t)
		c.make(w)
		if _, err := Build(w.dir, &bytes.Buffer{}, w.signer, testDescription); fault.Of(err).Key != c.key {
			t.Errorf("packing gives %v, not %s", err, c.key)
		}
	}
}

func TestInstalledFilesThatChanged(t *testing.T) {
	w := newWorld(t)
	p, err := w.verify(w.build())
	must(t, err)
	for name, change := range map[string]func(dir string){
		"another program":      func(dir string) { rewrite(t, dir, "triangle") },
		"another sentence":     func(dir string) { rewrite(t, dir, "locale/en.yaml") },
		"another manifest":     func(dir string) { rewrite(t, dir, "MANIFEST.json") },
		"another certificate":  func(dir string) { rewrite(t, dir, "CERTIFICATE") },
		"a file more":          func(dir string) { rewrite(t, dir, "more") },
		"a file less":          func(dir string) { must(t, os.Remove(filepath.Join(dir, "locale/en.yaml"))) },
		"no program":           func(dir string) { must(t, os.Remove(filepath.Join(dir, "triangle"))) },
		"a link for a program": func(dir string) { link(t, dir, "triangle") },
	} {
		dir := filepath.Join(t.TempDir(), "out")
		must(t, p.Extract(dir, "linux/amd64"))
		for _, folder := range []string{dir, filepath.Join(dir, "locale")} {
			must(t, os.Chmod(folder, 0o700))
		}
		change(dir)
		if _, err := Sound(dir, p.Hash, testDescription); fault.Of(err).Key != "pack.installed-damaged" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func rewrite(t *testing.T, dir, name string) {
	path := filepath.Join(dir, name)
	_ = os.Remove(path) // one may not be there yet
	must(t, os.WriteFile(path, []byte("#!/bin/evil"), 0o755))
}

func link(t *testing.T, dir, name string) {
	must(t, os.Rename(filepath.Join(dir, name), filepath.Join(filepath.Dir(dir), "aside")))
	must(t, os.Symlink("../aside", filepath.Join(dir, name)))
}

func TestSecretsAreNotPrinted(t *testing.T) {
	w := newWorld(t)
	key, err := GenerateReseller("Acme")
	must(t, err)
	seed := key.secret().Seed()
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("key", "key", key, "root", w.root, "secret", key.secret, "signer", w.signer)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("key", "key", key, "root", w.root, "secret", key.secret, "signer", w.signer)
	text := log.String() + fmt.Sprintf("%v %+v %#v", key, key, key) + fmt.Sprintf("%v %#v", key.secret, w.signer)
	for _, form := range []string{fmt.Sprintf("%x", seed[:8]), base64.StdEncoding.EncodeToString(seed)[:10], strings.Trim(fmt.Sprint(seed[:6]), "[]"),
		strings.Trim(fmt.Sprintf("%#v", seed[:5]), "[]byte{}")} {
		if strings.Contains(text, form) {
			t.Errorf("the secret is printed as %s", form)
		}
	}
	if ed25519.PublicKey(key.Key).Equal(w.root.Key) {
		t.Error("two keys are one")
	}
}
