package pack

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

func sumHex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// FuzzVerify gives Verify anything: it takes nothing but what was signed, and falls over nothing.
func FuzzVerify(f *testing.F) {
	w := newWorld(f)
	good := w.build()
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add(end(0, 0, 0))
	f.Add(append(bytes.Clone(good), good...))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := w.verify(raw)
		if err == nil && p.Manifest.ID != "com.acme.triangle" {
			t.Errorf("it took %+v", p.Manifest)
		}
	})
}

// FuzzSigned is a reseller gone bad: what he writes is signed. It must stay in its folder all the same.
func FuzzSigned(f *testing.F) {
	w := newWorld(f)
	files, m, err := gather(w.dir)
	must(f, err)
	m.ID, m.Version, m.API, m.Arch = "com.acme.triangle", "1.2.3", ">=1.0", []string{AnyArch}
	manifest, err := json.Marshal(m)
	must(f, err)
	f.Add(manifest, files[pluginYAML], "locale/en.yaml", files["locale/en.yaml"])
	f.Add(manifest, files[pluginYAML], "../locale/en.yaml", []byte("x"))
	f.Add([]byte(`{"format":1,"files":[{"path":"a/../../b"}]}`), []byte("{}"), "a", []byte("x"))
	f.Fuzz(func(t *testing.T, manifest, yaml []byte, name string, content []byte) {
		if len(name) > 1000 {
			return
		}
		var b bytes.Buffer
		z := &zipWriter{w: &b}
		signature := base64.StdEncoding.EncodeToString(sign(w.signer.secret(), manifestDomain, manifest))
		must(t, z.add(ManifestName, 0o644, manifest))
		must(t, z.add(SignatureName, 0o644, []byte(signature)))
		must(t, z.add(CertificateName, 0o644, w.signer.Certificate.Encode()))
		must(t, z.add(name, 0o644, content))
		must(t, z.add(pluginYAML, 0o644, yaml))
		must(t, z.add("triangle", 0o755, files["triangle"]))
		must(t, z.close())
		p, err := w.verify(b.Bytes())
		if err != nil {
			return
		}
		home := t.TempDir()
		must(t, p.Extract(filepath.Join(home, "out"), "linux/amd64"))
		defer func() { must(t, Remove(filepath.Join(home, "out"))) }()
		if all, err := os.ReadDir(home); err != nil || len(all) != 1 {
			t.Errorf("something lies beside the folder: %v, %v", all, err)
		}
		if _, err := Sound(filepath.Join(home, "out"), p.Hash, testDescription); err != nil {
			t.Errorf("what was unpacked is damaged: %v", err)
		}
	})
}

// FuzzFiles gives the readers of keys, certificates and lists anything.
func FuzzFiles(f *testing.F) {
	w := newWorld(f)
	secret, err := w.root.Secret()
	must(f, err)
	public, err := w.root.Encode()
	must(f, err)
	list, err := w.root.Revoke(nil, []string{"a"}, []string{"b"}, testNow)
	must(f, err)
	for _, seed := range [][]byte{secret, public, list.Encode(), w.signer.Certificate.Encode(), []byte("-----BEGIN KAROV ROOT-----\n-----END KAROV ROOT-----\n")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if c, err := ReadCertificate(raw); err == nil {
			if _, err := w.trust.check(c, testNow); err == nil && c.Serial != w.signer.Certificate.Serial {
				t.Error("a certificate is believed that nobody signed")
			}
		}
		if l, err := ReadRevocations(raw); err == nil {
			trust := &Trust{Roots: w.trust.Roots}
			if _, err := trust.Take(l); err == nil && !trust.RevokedPackage(w.root.ID(), "b") {
				t.Error("a list is believed that nobody signed")
			}
		}
		_, _ = ReadRoot(raw)
		_, _ = ReadRootKey(raw)
		_, _ = ReadReseller(raw)
		_, _ = ReadResellerKey(raw)
	})
}
