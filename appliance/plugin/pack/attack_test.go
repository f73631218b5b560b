package pack

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
)

// forged is a package that a test takes apart and puts together as it likes.
type forged struct {
	w        *world
	manifest Manifest
	files    map[string][]byte
	order    []string
	signer   *Signer
	seal     map[string][]byte // instead of what would be right
	entries  func([]entry, [][]byte) ([]entry, [][]byte)
}

// forge begins with what Build would write.
func forge(t *testing.T) *forged {
	w := newWorld(t)
	files, m, err := gather(w.dir)
	must(t, err)
	m.ID, m.Version, m.API, m.Arch = "com.acme.triangle", "1.2.3", ">=1.0", []string{AnyArch}
	f := &forged{w: w, manifest: *m, files: files, signer: w.signer, seal: map[string][]byte{}}
	for _, file := range m.Files {
		f.order = append(f.order, file.Path)
	}
	return f
}

// raw writes the package, signed anew, so that only what the test changed is wrong.
func (f *forged) raw() []byte {
	t := f.w.t
	manifest, err := json.Marshal(f.manifest)
	must(t, err)
	seal := map[string][]byte{
		ManifestName: manifest, CertificateName: f.signer.Certificate.Encode(),
		SignatureName: []byte(base64.StdEncoding.EncodeToString(sign(f.signer.secret(), manifestDomain, manifest))),
	}
	for name, content := range f.seal {
		seal[name] = content
	}
	var entries []entry
	var bodies [][]byte
	add := func(name string, mode uint32, content []byte) {
		entries = append(entries, entry{name: name, mode: mode, crc: crc32.ChecksumIEEE(content), size: int64(len(content)), packed: int64(len(content))})
		bodies = append(bodies, content)
	}
	for _, name := range []string{ManifestName, SignatureName, CertificateName} {
		if seal[name] != nil {
			add(name, 0o644, seal[name])
		}
	}
	for _, name := range f.order {
		mode := uint32(0o644)
		if i := slices.IndexFunc(f.manifest.Files, func(x File) bool { return x.Path == name }); i >= 0 {
			mode = f.manifest.Files[i].Mode
		}
		add(name, mode, f.files[name])
	}
	if f.entries != nil {
		entries, bodies = f.entries(entries, bodies)
	}
	return assemble(t, entries, bodies)
}

// assemble writes entries as they are.
func assemble(t testing.TB, entries []entry, bodies [][]byte) []byte {
	var b bytes.Buffer
	z := &zipWriter{w: &b}
	for i := range entries {
		entries[i].at = z.at
		must(t, z.write(entries[i].local()))
		must(t, z.write(bodies[i]))
	}
	z.entries = entries
	must(t, z.close())
	return b.Bytes()
}

// put lists a file more in the manifest and packs it.
func (f *forged) put(name, content string) {
	f.files[name] = []byte(content)
	f.order = append(f.order, name)
	f.manifest.Files = append(f.manifest.Files, File{Path: name, Size: int64(len(content)), Mode: 0o644, SHA256: sumHex([]byte(content))})
}

// terms gives the signer another certificate.
func (f *forged) terms(change func(*Terms)) {
	terms := Terms{Namespace: "com.acme", Ceiling: wide(), NotBefore: testNow.Add(-time.Hour), NotAfter: testNow.Add(time.Hour)}
	change(&terms)
	f.signer = f.w.sign(f.w.root, terms)
}

// asks makes plugin.yaml and the manifest ask for permissions.
func (f *forged) asks(p Permissions) { f.describe("com.acme.triangle", p) }

func (f *forged) describe(id string, p Permissions) {
	f.manifest.ID, f.manifest.Permissions = id, p
	yaml := []byte(yamlOf(id, "1.2.3", p))
	f.files[pluginYAML] = yaml
	for i := range f.manifest.Files {
		if f.manifest.Files[i].Path == pluginYAML {
			f.manifest.Files[i].Size, f.manifest.Files[i].SHA256 = int64(len(yaml)), sumHex(yaml)
		}
	}
}

func (f *forged) entry(change func(*entry)) {
	f.entries = func(e []entry, b [][]byte) ([]entry, [][]byte) { change(&e[len(e)-1]); return e, b }
}

func TestAForgeryThatChangesNothingIsTaken(t *testing.T) {
	f := forge(t)
	f.put("more", "text")
	if _, err := f.w.verify(f.raw()); err != nil {
		t.Fatalf("the tests below would show nothing: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	type attack struct {
		name, key string
		make      func(f *forged)
	}
	named := func(name, key string) attack {
		return attack{"a file named " + name, key, func(f *forged) { f.put(name, "x") }}
	}
	for _, a := range []attack{
		{"no signature", "pack.unsigned", func(f *forged) { f.w.t.Log(drop(f, SignatureName)) }},
		{"no certificate", "pack.unsigned", func(f *forged) { f.w.t.Log(drop(f, CertificateName)) }},
		{"no manifest", "pack.manifest-missing", func(f *forged) { f.w.t.Log(drop(f, ManifestName)) }},
		{"an empty signature", "pack.signature-wrong", func(f *forged) { f.seal[SignatureName] = []byte("") }},
		{"a root nobody trusts", "pack.root-unknown", func(f *forged) { f.w.trust.Roots = nil }},
		{"a certificate that the root never signed", "pack.certificate-forged", func(f *forged) {
			stranger, err := GenerateRoot("Karov test")
			must(f.w.t, err)
			f.signer = f.w.sign(stranger, Terms{Namespace: "com.acme", Ceiling: wide(), NotBefore: testNow.Add(-time.Hour), NotAfter: testNow.Add(time.Hour)})
			body := bytes.Replace(f.signer.Certificate.body, []byte(stranger.ID()), []byte(f.w.root.ID()), 1)
			f.signer.Certificate.body = body
		}},
		{"an expired certificate", "pack.certificate-expired", func(f *forged) { f.terms(func(x *Terms) { x.NotAfter = testNow }) }},
		{"a certificate of tomorrow", "pack.certificate-early", func(f *forged) { f.terms(func(x *Terms) { x.NotBefore = testNow.Add(time.Second) }) }},
		{"a revoked certificate", "pack.certificate-revoked", func(f *forged) { f.revoke([]string{f.signer.Certificate.Serial}, nil) }},
		{"a revoked package", "pack.revoked", func(f *forged) {
			raw, err := json.Marshal(f.manifest)
			must(f.w.t, err)
			f.revoke(nil, []string{sumHex(raw)})
		}},
		{"another's namespace", "pack.namespace", func(f *forged) { f.terms(func(x *Terms) { x.Namespace = "com.other" }) }},
		{"a namespace that is a beginning", "pack.namespace", func(f *forged) { f.describe("com.acmes.triangle", Permissions{}) }},
		{"Karov's own namespace", "pack.namespace-reserved", func(f *forged) {
			product, err := GenerateRoot("Karov")
			must(f.w.t, err)
			f.w.trust.Product = &product.Root
			f.terms(func(x *Terms) { x.Namespace = "il.karov" })
			f.describe("il.karov.email", Permissions{})
		}},
		{"an entity beyond the ceiling", "pack.beyond-ceiling", func(f *forged) { f.asks(Permissions{Records: []Record{{Entity: "deal", Verbs: []string{"see"}}}}) }},
		{"a host beyond the ceiling", "pack.beyond-ceiling", func(f *forged) { f.asks(Permissions{Egress: []Egress{{To: "evil.com:443"}}}) }},
		{"signed by another with his certificate left out", "pack.signature-wrong", func(f *forged) {
			other := f.w.sign(f.w.root, Terms{Namespace: "com.other", NotBefore: testNow.Add(-time.Hour), NotAfter: testNow.Add(time.Hour)})
			f.signer = &Signer{Certificate: f.signer.Certificate, secret: other.secret}
		}},
		{"signed anew by another", "pack.namespace", func(f *forged) {
			f.signer = f.w.sign(f.w.root, Terms{Namespace: "com.other", NotBefore: testNow.Add(-time.Hour), NotAfter: testNow.Add(time.Hour)})
		}},
		{"a signature of something else", "pack.signature-wrong", func(f *forged) {
			f.seal[SignatureName] = []byte(base64.StdEncoding.EncodeToString(f.signer.Certificate.signature))
		}},
		{"another manifest under the signature", "pack.signature-wrong", func(f *forged) { f.seal[ManifestName] = []byte("{}") }},
		{"a changed file", "pack.tampered", func(f *forged) { f.files["locale/en.yaml"] = bytes.ToUpper(f.files["locale/en.yaml"]) }},
		{"a longer file", "pack.tampered", func(f *forged) { f.files["triangle"] = append(f.files["triangle"], 'x') }},
		{"a file of another mode", "pack.tampered", func(f *forged) { f.entry(func(e *entry) { e.mode ^= 0o111 }) }},
		{"a file more", "pack.file-extra", func(f *forged) { f.files["evil"], f.order = []byte("x"), append(f.order, "evil") }},
		{"a file less", "pack.file-missing", func(f *forged) { f.order = f.order[:len(f.order)-1] }},
		{"no plugin.yaml", "pack.file-missing", func(f *forged) { f.remove(pluginYAML) }},
		{"no program", "pack.program-missing", func(f *forged) { f.remove("triangle") }},
		{"a plugin.yaml that says otherwise", "pack.disagrees", func(f *forged) { f.manifest.Version = "9.9.9" }},
		{"permissions only in plugin.yaml", "pack.disagrees", func(f *forged) {
			f.asks(Permissions{Memory: 1000})
			f.manifest.Permissions = Permissions{}
		}},
		{"a list with the manifest in it", "pack.manifest-malformed", func(f *forged) {
			f.manifest.Files = append(f.manifest.Files, File{Path: ManifestName, Mode: 0o644, SHA256: sumHex(nil)})
		}},
		{"another form", "pack.format-unknown", func(f *forged) { f.manifest.Format = 2 }},
		{"an id that is a path", "pack.manifest-malformed", func(f *forged) { f.manifest.ID = "com.acme/../x" }},
		{"a version that is a path", "pack.manifest-malformed", func(f *forged) { f.manifest.Version = "1.0.0-../../x" }},
		{"another processor", "pack.wrong-arch", func(f *forged) { f.manifest.Arch = []string{"linux/s390x"} }},
		{"another contract", "pack.api-unsupported", func(f *forged) { f.manifest.API = ">=7.0" }},
		named("../escape", "pack.path-traversal"), named("a/../../escape", "pack.path-traversal"), named(`a\..\escape`, "pack.path-traversal"),
		named("/etc/cron.d/evil", "pack.path-absolute"), named("C:evil", "pack.path-absolute"),
		named("nul\x00byte", "pack.name-odd"), named(`back\slash`, "pack.name-odd"), named("folder/", "pack.name-odd"), named("a//b", "pack.name-odd"),
		named("./a", "pack.name-odd"), named(".hidden", "pack.name-odd"), named("line\nbreak", "pack.name-odd"), named("עברית", "pack.name-odd"),
		named(strings.Repeat("x", 201), "pack.name-odd"), named(strings.Repeat("d/", 10)+"x", "pack.name-odd"), named("-rf", "pack.name-odd"),
		named("TRIANGLE", "pack.names-collide"), named("Locale/he.yaml", "pack.names-collide"), named("triangle/x", "pack.names-collide"),
		named("manifest.json", "pack.names-collide"), named("triangle", "pack.file-twice"), named(ManifestName, "pack.file-twice"),
		{"a bomb that says so", "pack.bomb", func(f *forged) {
			f.put("zeros", "x")
			f.entry(func(e *entry) { e.method, e.size = deflated, 400<<20 })
		}},
		{"a bomb of many", "pack.bomb", func(f *forged) {
			for i := range 3 {
				f.put(fmt.Sprintf("zeros%d", i), strings.Repeat("x", 2<<20))
			}
			f.entries = func(e []entry, b [][]byte) ([]entry, [][]byte) {
				for i := len(e) - 3; i < len(e); i++ {
					e[i].method, e[i].size = deflated, 200<<20
				}
				return e, b
			}
		}},
		{"a bomb that lies", "pack.tampered", func(f *forged) {
			f.put("zeros", "x")
			f.entries = func(e []entry, b [][]byte) ([]entry, [][]byte) {
				i := len(e) - 1
				var z bytes.Buffer
				w := &zipWriter{w: &z}
				must(f.w.t, w.add("zeros", 0o644, bytes.Repeat([]byte{0}, 60<<10)))
				b[i], e[i].method, e[i].packed = z.Bytes()[len(w.entries[0].local()):], deflated, w.entries[0].packed
				return e, b
			}
		}},
		{"a symlink", "pack.symlink", func(f *forged) {
			f.put("link", "/etc/shadow")
			f.entry(func(e *entry) { e.mode |= 0o120000 &^ 0o100000 })
		}},
		{"a device", "pack.malformed", func(f *forged) { f.put("device", ""); f.entry(func(e *entry) { e.mode = 0o060000 | 0o644 }) }},
		{"a setuid file", "pack.malformed", func(f *forged) { f.put("suid", ""); f.entry(func(e *entry) { e.mode = 0o4755 }) }},
	} {
		t.Run(a.name, func(t *testing.T) {
			f := forge(t)
			a.make(f)
			f.w.t = t
			f.w.refused(f.raw(), a.key)
		})
	}
}

// drop takes a part of the seal away.
func drop(f *forged, name string) string {
	before := f.entries
	f.entries = func(e []entry, b [][]byte) ([]entry, [][]byte) {
		if before != nil {
			e, b = before(e, b)
		}
		i := slices.IndexFunc(e, func(x entry) bool { return x.name == name })
		return slices.Delete(e, i, i+1), slices.Delete(b, i, i+1)
	}
	return "without " + name
}

// remove takes a file out of the folder and of the list.
func (f *forged) remove(name string) {
	f.order = slices.DeleteFunc(f.order, func(n string) bool { return n == name })
	f.manifest.Files = slices.DeleteFunc(f.manifest.Files, func(x File) bool { return x.Path == name })
}

func (f *forged) revoke(certificates, packages []string) {
	l, err := f.w.root.Revoke(nil, certificates, packages, testNow)
	must(f.w.t, err)
	_, err = f.w.trust.Take(l)
	must(f.w.t, err)
}

// TestAZipOfAnotherForm changes the bytes themselves.
func TestAZipOfAnotherForm(t *testing.T) {
	f := forge(t)
	good := f.raw()
	change := func(edit func(b []byte) []byte) []byte { return edit(bytes.Clone(good)) }
	endAt := len(good) - endSize
	directory := int(binary.LittleEndian.Uint32(good[endAt+16:]))
	for name, raw := range map[string][]byte{
		"nothing":                  {},
		"a short file":             good[:10],
		"cut off":                  good[:len(good)-1],
		"a comment":                change(func(b []byte) []byte { b[len(b)-2] = 1; return append(b, 'x') }),
		"something before":         append([]byte("#!/bin/sh\n"), good...),
		"something after":          append(bytes.Clone(good), "more"...),
		"a local name":             change(func(b []byte) []byte { b[localSize] ^= 1; return b }),
		"a local size":             change(func(b []byte) []byte { b[22]++; return b }),
		"a data descriptor":        change(func(b []byte) []byte { b[6] |= 8; return b }),
		"an encrypted entry":       change(func(b []byte) []byte { b[directory+8] |= 1; return b }),
		"another method":           change(func(b []byte) []byte { b[directory+10] = 14; return b }),
		"an entry over another":    change(func(b []byte) []byte { b[directory+centralSize+len(ManifestName)+42] = 0; return b }),
		"a directory of 4 GB":      change(func(b []byte) []byte { binary.LittleEndian.PutUint32(b[endAt+12:], 1<<32-1); return b }),
		"a directory beyond":       change(func(b []byte) []byte { binary.LittleEndian.PutUint32(b[endAt+16:], 1<<32-1); return b }),
		"65535 entries":            change(func(b []byte) []byte { binary.LittleEndian.PutUint32(b[endAt+8:], 1<<32-1); return b }),
		"an entry more in the end": change(func(b []byte) []byte { b[endAt+8]++; b[endAt+10]++; return b }),
		"an entry less in the end": change(func(b []byte) []byte { b[endAt+8]--; b[endAt+10]--; return b }),
	} {
		_, err := f.w.verify(raw)
		if key := fault.Of(err).Key; err == nil || key != "pack.malformed" && key != "pack.too-many-files" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Verify(bytes.NewReader(good), MaxPackage+1, f.w.trust, f.w.options()); fault.Of(err).Key != "pack.too-large" {
		t.Errorf("a package that is too large: %v", err)
	}
}

// TestNoChangedByteMatters changes every byte of a package, one after the other. What is still taken, since the last bits
// of a deflated file mean nothing, is the same package.
func TestNoChangedByteMatters(t *testing.T) {
	w := newWorld(t)
	good := w.build()
	p, err := w.verify(good)
	must(t, err)
	taken := 0
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x20
		if q, err := w.verify(bad); err == nil {
			if taken++; q.Hash != p.Hash {
				t.Errorf("a package whose byte %d was changed is taken", i)
			}
		}
	}
	if taken > len(p.entries) {
		t.Errorf("%d changes of a byte were taken", taken)
	}
	for cut := range len(good) {
		if _, err := w.verify(good[:cut]); err == nil {
			t.Errorf("a package cut to %d bytes is taken", cut)
		}
	}
}

// TestAFileThatChangesAfterItWasVerified is refused when it is unpacked.
func TestAFileThatChangesAfterItWasVerified(t *testing.T) {
	w := newWorld(t)
	raw := w.build()
	p, err := w.verify(raw)
	must(t, err)
	e := p.entry("triangle")
	raw[e.at+localSize+int64(len(e.name))+3] ^= 1
	to := t.TempDir() + "/out"
	if err := p.Extract(to, "linux/amd64"); fault.Of(err).Key != "pack.tampered" {
		t.Errorf("it was unpacked: %v", err)
	}
	must(t, Remove(to))
	if _, err := os.Stat(to); !os.IsNotExist(err) {
		t.Errorf("something stayed: %v", err)
	}
}
