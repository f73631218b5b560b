package pack

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
)

// Certificate is a root's word that the holder of a key may sign packages within a namespace and a ceiling.
type Certificate struct {
	Format    int               `json:"format"`
	Name      string            `json:"name"`      // the reseller's
	Namespace string            `json:"namespace"` // reverse DNS: the id itself, and all ids below it
	Ceiling   Permissions       `json:"ceiling"`
	NotBefore time.Time         `json:"not_before"`
	NotAfter  time.Time         `json:"not_after"`
	Serial    string            `json:"serial"`
	Key       ed25519.PublicKey `json:"key"`
	Root      string            `json:"root"` // ID of the root

	body, signature []byte
}

// Terms are what a root grants a reseller.
type Terms struct {
	Namespace           string
	Ceiling             Permissions
	NotBefore, NotAfter time.Time
}

const signatureSize = ed25519.SignatureSize

// IssueCertificate signs a reseller's certificate.
func (k *RootKey) IssueCertificate(r Reseller, t Terms) (*Certificate, error) {
	if err := checkNamed(r.Name, r.Key); err != nil {
		return nil, err
	}
	serial := make([]byte, 8)
	if _, err := rand.Read(serial); err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	c := &Certificate{
		Format: format, Name: r.Name, Namespace: t.Namespace, Ceiling: t.Ceiling, Key: r.Key, Root: k.ID(),
		NotBefore: t.NotBefore.UTC().Truncate(time.Second), NotAfter: t.NotAfter.UTC().Truncate(time.Second),
		Serial: hex.EncodeToString(serial),
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	body, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("write a certificate: %w", err)
	}
	c.body, c.signature = body, sign(k.secret(), certificateDomain, body)
	return c, nil
}

// Encode writes the certificate as a file.
func (c *Certificate) Encode() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: slices.Concat(c.signature, c.body)})
}

// ReadCertificate reads a certificate's file. Whether to believe it is for a Trust to say.
func ReadCertificate(file []byte) (*Certificate, error) {
	raw, err := block(file, certificateBlock)
	if err != nil || len(raw) < signatureSize {
		return nil, refuse("pack.certificate-malformed")
	}
	c := &Certificate{signature: raw[:signatureSize], body: raw[signatureSize:]}
	if err := decodeStrictly(c.body, c); err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "pack.certificate-malformed")
	}
	return c, c.check()
}

func (c *Certificate) check() error {
	if err := checkNamed(c.Name, c.Key); err != nil || c.Format != format || len(c.Namespace) > maxID ||
		!idForm.MatchString(c.Namespace) || len(c.Serial) != 16 || !c.NotBefore.Before(c.NotAfter) {
		return refuse("pack.certificate-malformed")
	}
	return nil
}

// Covers tells whether an id lies in the certificate's namespace: com.shop covers com.shop and com.shop.mail, and not
// com.shopping.
func (c *Certificate) Covers(id string) bool {
	below, ok := strings.CutPrefix(id, c.Namespace)
	return ok && (below == "" || below[0] == '.')
}

// Reserved tells whether an id is one of Karov's own, which the product's root alone may sign.
func Reserved(id string) bool {
	own := func(ns string) bool { return id == ns || strings.HasPrefix(id, ns+".") }
	return own("il.karov") || own("com.karov-crm")
}

// Revocations are a root's word on what it no longer stands for. Each list holds all of the one before.
type Revocations struct {
	Format       int       `json:"format"`
	Root         string    `json:"root"`
	Counter      uint64    `json:"counter"` // grows with each list
	Issued       time.Time `json:"issued"`
	Certificates []string  `json:"certificates,omitempty"` // serial numbers
	Packages     []string  `json:"packages,omitempty"`     // hashes of manifests

	body, signature []byte
}

// Revoke signs the list that follows before, nil for the first, with more certificates and packages in it.
func (k *RootKey) Revoke(before *Revocations, certificates, packages []string, now time.Time) (*Revocations, error) {
	l := &Revocations{Format: format, Root: k.ID(), Counter: 1, Issued: now.UTC().Truncate(time.Second)}
	if before != nil {
		l.Counter = before.Counter + 1
		l.Certificates, l.Packages = slices.Clone(before.Certificates), slices.Clone(before.Packages)
	}
	join := func(a, b []string) []string { return slices.Compact(slices.Sorted(slices.Values(slices.Concat(a, b)))) }
	l.Certificates, l.Packages = join(l.Certificates, certificates), join(l.Packages, packages)
	body, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("write a revocation list: %w", err)
	}
	l.body, l.signature = body, sign(k.secret(), revocationDomain, body)
	return l, nil
}

// Encode writes the list as a file.
func (l *Revocations) Encode() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: revocationBlock, Bytes: slices.Concat(l.signature, l.body)})
}

// MaxRevocations is how long the file of a revocation list may be.
const MaxRevocations = 4 << 20

// ReadRevocations reads a list's file. Whether to believe it is for a Trust to say.
func ReadRevocations(file []byte) (*Revocations, error) {
	if len(file) > MaxRevocations {
		return nil, refuse("pack.too-large", "what", "revocations", "limit", MaxRevocations)
	}
	raw, err := block(file, revocationBlock)
	if err != nil || len(raw) < signatureSize {
		return nil, refuse("pack.revocations-malformed")
	}
	l := &Revocations{signature: raw[:signatureSize], body: raw[signatureSize:]}
	if err := decodeStrictly(l.body, l); err != nil || l.Format != format || l.Counter == 0 {
		return nil, fault.Wrap(err, fault.Invalid, "pack.revocations-malformed")
	}
	return l, nil
}

// Trust is whom an office believes. It must not be changed while somebody asks it.
type Trust struct {
	Product     *Root                   // of Karov itself; nil in a program built without one
	Roots       []Root                  // that the administrator added
	Revocations map[string]*Revocations // by the root's ID
}

// root finds a trusted root.
func (t *Trust) root(id string) (Root, bool) {
	if t == nil {
		return Root{}, false
	}
	if t.Product != nil && t.Product.ID() == id {
		return *t.Product, true
	}
	i := slices.IndexFunc(t.Roots, func(r Root) bool { return r.ID() == id })
	if i < 0 {
		return Root{}, false
	}
	return t.Roots[i], true
}

// check gives the root that stands for a certificate at a moment.
func (t *Trust) check(c *Certificate, now time.Time) (Root, error) {
	r, ok := t.root(c.Root)
	switch {
	case !ok:
		return r, fault.New(fault.Forbidden, "pack.root-unknown", "name", c.Name, "root", cut(c.Root))
	case !verifyRaw(r.Key, certificateDomain, c.body, c.signature):
		return r, fault.New(fault.Forbidden, "pack.certificate-forged", "name", c.Name, "root", r.Name)
	case t.RevokedCertificate(c.Root, c.Serial):
		return r, fault.New(fault.Forbidden, "pack.certificate-revoked", "name", c.Name, "root", r.Name)
	case now.Before(c.NotBefore):
		return r, fault.New(fault.Forbidden, "pack.certificate-early", "name", c.Name, "from", c.NotBefore.Format(time.DateOnly))
	case !now.Before(c.NotAfter):
		return r, fault.New(fault.Forbidden, "pack.certificate-expired", "name", c.Name, "until", c.NotAfter.Format(time.DateOnly))
	}
	return r, nil
}

// RevokedCertificate tells whether a root took a certificate back.
func (t *Trust) RevokedCertificate(root, serial string) bool {
	l := t.Revocations[root]
	return l != nil && slices.Contains(l.Certificates, serial)
}

// RevokedPackage tells whether a root took a package back.
func (t *Trust) RevokedPackage(root, hash string) bool {
	l := t.Revocations[root]
	return l != nil && slices.Contains(l.Packages, hash)
}

// Take believes a list when a trusted root signed it and it is newer than the one before. It tells whether it was new;
// the same list again changes nothing.
func (t *Trust) Take(l *Revocations) (bool, error) {
	r, ok := t.root(l.Root)
	if !ok {
		return false, fault.New(fault.Forbidden, "pack.revocations-root-unknown", "root", cut(l.Root))
	}
	if !verifyRaw(r.Key, revocationDomain, l.body, l.signature) {
		return false, fault.New(fault.Forbidden, "pack.revocations-forged", "root", r.Name)
	}
	if old := t.Revocations[l.Root]; old != nil {
		if string(old.body) == string(l.body) {
			return false, nil
		}
		if l.Counter <= old.Counter {
			return false, fault.New(fault.Conflict, "pack.revocations-older", "root", r.Name, "counter", l.Counter, "known", old.Counter)
		}
	}
	if t.Revocations == nil {
		t.Revocations = map[string]*Revocations{}
	}
	t.Revocations[l.Root] = l
	return true, nil
}
