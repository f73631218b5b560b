package pack

import (
	"encoding/base64"
	"fmt"
	"io"
)

// part is one of the files that are about the others.
type part struct {
	name    string
	content []byte
}

// seal gives what stands before the files: the manifest, and its signature when there is somebody who signs.
func (s *Signer) seal(manifest []byte) []part {
	parts := []part{{ManifestName, manifest}}
	if s == nil {
		return parts
	}
	signature := base64.StdEncoding.EncodeToString(sign(s.secret(), manifestDomain, manifest)) + "\n"
	return append(parts, part{SignatureName, []byte(signature)}, part{CertificateName, s.Certificate.Encode()})
}

// Bundle packs the plugin in a folder as Build does, without signing it: nobody installs such a package before Sign.
func Bundle(dir string, w io.Writer, describe Describe) (*Manifest, error) {
	contents, m, err := prepare(dir, describe)
	if err != nil {
		return nil, err
	}
	return m, write(w, m, contents, nil)
}

// Look reads a package and proves it whole, whoever signed it or nobody. A signature must be that of the certificate
// beside it; whether to believe the certificate is for Verify to say.
func Look(r io.ReaderAt, size int64, describe Describe) (*Package, error) {
	entries, err := readDirectory(r, size)
	if err != nil {
		return nil, err
	}
	p := &Package{entries: entries, from: r}
	if err := p.readSeal(false); err != nil {
		return nil, err
	}
	if p.Signed() {
		c, err := ReadCertificate(p.seal[CertificateName])
		if err != nil {
			return nil, err
		}
		if !verify(c.Key, manifestDomain, p.seal[ManifestName], p.seal[SignatureName]) {
			return nil, refuse("pack.signature-wrong", "name", c.Name)
		}
		p.Certificate = *c
	}
	if err := p.readManifest(); err != nil {
		return nil, err
	}
	if err := p.checkList(); err != nil {
		return nil, err
	}
	return p, p.checkContents(describe)
}

// Signed tells whether the package holds a signature, whatever that is worth.
func (p *Package) Signed() bool {
	return p.seal[SignatureName] != nil && p.seal[CertificateName] != nil
}

// Sign writes the package with the signature of key, in the place of the one that it had, if any. What is signed is what
// was looked at: the files and their order stay, byte for byte.
func (p *Package) Sign(w io.Writer, key *Signer) error {
	if err := key.may(&p.Manifest); err != nil {
		return err
	}
	contents := map[string][]byte{}
	for _, f := range p.Manifest.Files {
		content, err := p.File(f.Path)
		if err != nil {
			return err
		}
		if secretInside(content) {
			return refuse("pack.secret-inside", "file", f.Path)
		}
		contents[f.Path] = content
	}
	if err := write(w, &p.Manifest, contents, key); err != nil {
		return fmt.Errorf("sign the package: %w", err)
	}
	return nil
}
