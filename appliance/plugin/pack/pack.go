// Package pack makes, signs, verifies and unpacks .karovplug files: a plugin as a reseller hands it out.
//
// A package is a zip of one fixed form, so that the same folder gives the same bytes: MANIFEST.json (id, version, api,
// processors, permissions, each file with size, mode and SHA-256), SIGNATURE (Ed25519 over MANIFEST.json), CERTIFICATE
// (the reseller's, signed by a root), then the files. A certificate names a namespace and a ceiling of permissions; a
// root may revoke certificates and packages by a list that works offline and whose counter never goes back.
//
// It owns no data. It promises that Verify reads no byte beyond the stated limits, believes nothing that a zip says of
// itself, and that each refusal has a key of its own; that Extract writes only what was verified, though the file
// change meanwhile, and that all is durable when it returns; that a secret key is in no log.
//
// A certificate must be valid at the moment of installing; afterwards its end stops nothing, since an office must not
// stand still because a reseller's paper ran out. A revocation forbids installing and each new start.
//
// It will not read plugin.yaml itself: who calls it gives the one reader there is, so that no two readings of the same
// file can differ. It will not keep trust: its caller does.
package pack

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
)

// Names within a package and of its file.
const (
	Extension       = ".karovplug"
	ManifestName    = "MANIFEST.json"
	SignatureName   = "SIGNATURE"
	CertificateName = "CERTIFICATE"
	pluginYAML      = "plugin.yaml"
)

// Limits of a package.
const (
	MaxPackage  = 256 << 20 // bytes of the file
	MaxUnpacked = 512 << 20 // bytes of all files together
	MaxFiles    = 2000
	maxManifest = 1 << 20
	maxSmall    = 64 << 10 // SIGNATURE, CERTIFICATE
	maxYAML     = 256 << 10
	maxRatio    = 100      // how much larger a file may be than it is in the package ...
	freeRatio   = 64 << 10 // ... from this size on
	format      = 1
)

// AnyArch is the architecture of a plugin whose program is a script.
const AnyArch = "any"

// File is one file of a package.
type File struct {
	Path   string `json:"path"` // with slashes, below the plugin's folder
	Size   int64  `json:"size"`
	Mode   uint32 `json:"mode"`   // 0644 or 0755
	SHA256 string `json:"sha256"` // in hex
}

// Manifest is MANIFEST.json: what is signed.
type Manifest struct {
	Format      int         `json:"format"`
	ID          string      `json:"id"`
	Version     string      `json:"version"`
	API         string      `json:"api"`  // range of the contract
	Arch        []string    `json:"arch"` // as linux/amd64, or AnyArch
	Permissions Permissions `json:"permissions"`
	Files       []File      `json:"files"` // in the order of their paths
}

// Description is what a plugin.yaml says that its package repeats.
type Description struct {
	ID, Version, API string
	Binary           string // its program: <Binary>, or bin/<os>-<arch>/<Binary> for each processor
	Script           bool   // Binary is a text for an interpreter
	Permissions      Permissions
}

// Describe reads a plugin.yaml, which may be hostile.
type Describe func(yaml []byte) (Description, error)

// Options are what a package is held against.
type Options struct {
	Now      time.Time
	Arch     string                 // as linux/amd64: "" takes every one
	Accepts  func(api string) error // nil when this Karov speaks a version of the contract within the range
	Describe Describe
}

// Package is a package that was verified.
type Package struct {
	Manifest    Manifest
	Certificate Certificate
	Root        Root
	Hash        string // SHA-256 of MANIFEST.json in hex: the package's identity

	described Description
	entries   []entry
	from      io.ReaderAt
	seal      map[string][]byte // MANIFEST.json, SIGNATURE, CERTIFICATE
}

func refuse(key string, args ...any) *fault.Error { return fault.New(fault.Invalid, key, args...) }

// Verify reads a package and proves it whole, signed by somebody trusted, and made for here. Everything in r may be
// hostile.
func Verify(r io.ReaderAt, size int64, trust *Trust, o Options) (*Package, error) {
	entries, err := readDirectory(r, size)
	if err != nil {
		return nil, err
	}
	p := &Package{entries: entries, from: r}
	if err := p.readSeal(true); err != nil {
		return nil, err
	}
	if err := p.checkSigner(trust, o.Now); err != nil {
		return nil, err
	}
	if err := p.readManifest(); err != nil {
		return nil, err
	}
	if err := p.checkFit(trust, o); err != nil {
		return nil, err
	}
	if err := p.checkList(); err != nil {
		return nil, err
	}
	return p, p.checkContents(o.Describe)
}

// readSeal reads the three files that are about the others; of a package that need not be signed, those that are there.
func (p *Package) readSeal(signed bool) error {
	p.seal = map[string][]byte{}
	for _, part := range []struct {
		name    string
		limit   int64
		missing string
	}{{ManifestName, maxManifest, "pack.manifest-missing"}, {SignatureName, maxSmall, "pack.unsigned"}, {CertificateName, maxSmall, "pack.unsigned"}} {
		e := p.entry(part.name)
		if e == nil && !signed && part.name != ManifestName {
			continue
		}
		if e == nil {
			return refuse(part.missing, "file", part.name)
		}
		if e.size > part.limit {
			return refuse("pack.too-large", "what", part.name, "limit", part.limit)
		}
		var b bytes.Buffer
		if err := e.copyTo(&b, p.from); err != nil {
			return err
		}
		p.seal[part.name] = b.Bytes()
	}
	sum := sha256.Sum256(p.seal[ManifestName])
	p.Hash = hex.EncodeToString(sum[:])
	return nil
}

func (p *Package) entry(name string) *entry {
	i := slices.IndexFunc(p.entries, func(e entry) bool { return e.name == name })
	if i < 0 {
		return nil
	}
	return &p.entries[i]
}

// File gives the contents of one file of a verified package.
func (p *Package) File(path string) ([]byte, error) {
	i := slices.IndexFunc(p.Manifest.Files, func(f File) bool { return f.Path == path })
	if i < 0 {
		return nil, refuse("pack.file-missing", "file", cut(path))
	}
	var b bytes.Buffer
	if err := p.copyFile(&b, p.Manifest.Files[i]); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// checkSigner proves the chain: a trusted root, its certificate, its signature under the manifest.
func (p *Package) checkSigner(trust *Trust, now time.Time) error {
	c, err := ReadCertificate(p.seal[CertificateName])
	if err != nil {
		return err
	}
	if p.Root, err = trust.check(c, now); err != nil {
		return err
	}
	if !verify(c.Key, manifestDomain, p.seal[ManifestName], p.seal[SignatureName]) {
		return refuse("pack.signature-wrong", "name", c.Name)
	}
	p.Certificate = *c
	if trust.RevokedPackage(c.Root, p.Hash) {
		return fault.New(fault.Forbidden, "pack.revoked", "name", c.Name)
	}
	return nil
}

var (
	idForm      = regexp.MustCompile(`^[a-z][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*)+$`)
	versionForm = regexp.MustCompile(`^(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})([-+][0-9A-Za-z.+-]{1,60})?$`)
	archForm    = regexp.MustCompile(`^(any|[a-z0-9]{2,20}/[a-z0-9]{2,20})$`)
	hashForm    = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

const maxID = 60

func (p *Package) readManifest() error {
	m := &p.Manifest
	if err := decodeStrictly(p.seal[ManifestName], m); err != nil {
		return fault.Wrap(err, fault.Invalid, "pack.manifest-malformed")
	}
	return m.check()
}

// decodeStrictly takes one JSON value in which nothing is unknown: what this program does not understand may be what
// forbids something.
func decodeStrictly(raw []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the value")
	}
	return nil
}

func (m *Manifest) check() error {
	wrong := func(what string) error {
		return fault.Wrap(fmt.Errorf("the manifest's %s", what), fault.Invalid, "pack.manifest-malformed")
	}
	switch {
	case m.Format != format:
		return refuse("pack.format-unknown", "format", m.Format)
	case len(m.ID) > maxID || !idForm.MatchString(m.ID):
		return wrong("id")
	case !versionForm.MatchString(m.Version):
		return wrong("version")
	case len(m.API) > 100:
		return wrong("api")
	case len(m.Arch) == 0 || len(m.Arch) > 20 || slices.ContainsFunc(m.Arch, func(a string) bool { return !archForm.MatchString(a) }):
		return wrong("arch")
	case len(m.Files) > MaxFiles:
		return refuse("pack.too-many-files", "limit", MaxFiles)
	}
	var names []string
	var total int64
	for _, f := range m.Files {
		if f.Mode != 0o644 && f.Mode != 0o755 || f.Size < 0 || f.Size > MaxUnpacked || !hashForm.MatchString(f.SHA256) {
			return wrong("file " + cut(f.Path))
		}
		names, total = append(names, f.Path), total+f.Size
	}
	if total > MaxUnpacked {
		return refuse("pack.too-large", "what", m.ID, "limit", MaxUnpacked)
	}
	if isSeal := slices.ContainsFunc(names, sealName); isSeal {
		return wrong("list of files")
	}
	return checkNames(names)
}

func sealName(name string) bool {
	return name == ManifestName || name == SignatureName || name == CertificateName
}

// checkFit holds what the package wants against what its signer may give, and against this place.
func (p *Package) checkFit(trust *Trust, o Options) error {
	m, c := &p.Manifest, &p.Certificate
	if !c.Covers(m.ID) {
		return fault.New(fault.Forbidden, "pack.namespace", "id", m.ID, "name", c.Name, "namespace", c.Namespace)
	}
	if Reserved(m.ID) && trust.Product != nil && trust.Product.ID() != p.Root.ID() {
		return fault.New(fault.Forbidden, "pack.namespace-reserved", "id", m.ID, "name", p.Root.Name)
	}
	if beyond := m.Permissions.Beyond(c.Ceiling); len(beyond) > 0 {
		return fault.New(fault.Forbidden, "pack.beyond-ceiling", "name", c.Name, "what", cut(strings.Join(beyond, "; ")))
	}
	if o.Accepts != nil {
		if err := o.Accepts(m.API); err != nil {
			return fault.Wrap(err, fault.Invalid, "pack.api-unsupported", "api", m.API)
		}
	}
	if o.Arch != "" && !slices.Contains(m.Arch, o.Arch) && !slices.Contains(m.Arch, AnyArch) {
		return refuse("pack.wrong-arch", "arch", strings.Join(m.Arch, ", "), "here", o.Arch)
	}
	return nil
}

// checkList holds the files that are there against those that were signed.
func (p *Package) checkList() error {
	listed := map[string]File{}
	for _, f := range p.Manifest.Files {
		listed[f.Path] = f
		e := p.entry(f.Path)
		if e == nil {
			return refuse("pack.file-missing", "file", f.Path)
		}
		if e.size != f.Size || e.mode != f.Mode {
			return refuse("pack.tampered", "file", f.Path)
		}
	}
	for _, e := range p.entries {
		if _, ok := listed[e.name]; !ok && !sealName(e.name) {
			return refuse("pack.file-extra", "file", cut(e.name))
		}
	}
	return nil
}

// checkContents reads every file once.
func (p *Package) checkContents(describe Describe) error {
	var yaml bytes.Buffer
	for _, f := range p.Manifest.Files {
		to := io.Discard
		if f.Path == pluginYAML {
			if f.Size > maxYAML {
				return refuse("pack.too-large", "what", pluginYAML, "limit", maxYAML)
			}
			to = &yaml
		}
		if err := p.copyFile(to, f); err != nil {
			return err
		}
	}
	if yaml.Len() == 0 {
		return refuse("pack.file-missing", "file", pluginYAML)
	}
	d, err := describe(yaml.Bytes())
	if err != nil {
		return err
	}
	m := p.Manifest
	if d.ID != m.ID || d.Version != m.Version || d.API != m.API || !d.Permissions.equal(m.Permissions) {
		return refuse("pack.disagrees", "id", m.ID)
	}
	p.described = d
	_, err = p.Manifest.programs(d)
	return err
}

// copyFile copies one listed file, and fails at its end when it is not the one that was signed.
func (p *Package) copyFile(w io.Writer, f File) error {
	e := p.entry(f.Path)
	sum := sha256.New()
	if err := e.copyTo(io.MultiWriter(w, sum), p.from); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
		return refuse("pack.tampered", "file", f.Path)
	}
	return nil
}

// programs gives the path of the program by architecture: one beside plugin.yaml, or one for each listed processor.
func (m *Manifest) programs(d Description) (map[string]string, error) {
	out := map[string]string{}
	for _, f := range m.Files {
		if f.Path == d.Binary {
			if f.Mode != 0o755 && !d.Script {
				return nil, refuse("pack.program-missing", "file", cut(d.Binary))
			}
			for _, arch := range m.Arch {
				out[arch] = f.Path
			}
			return out, nil
		}
	}
	for _, arch := range m.Arch {
		path := programPath(arch, d.Binary)
		if !slices.ContainsFunc(m.Files, func(f File) bool { return f.Path == path && f.Mode == 0o755 }) {
			return nil, refuse("pack.program-missing", "file", cut(path))
		}
		out[arch] = path
	}
	return out, nil
}

// programPath is where the program for one of several processors lies.
func programPath(arch, binary string) string {
	return "bin/" + strings.ReplaceAll(arch, "/", "-") + "/" + binary
}

// cut keeps what is shown to people short.
func cut(s string) string {
	s = strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s), "?")
	const limit = 300
	if len(s) > limit {
		return strings.ToValidUTF8(s[:limit], "") + "..."
	}
	return s
}
