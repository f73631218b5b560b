package pack

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/karov-crm/karov/appliance/fault"
)

// What a signature is for stands before what is signed, so that one made for one thing is none for another.
const (
	manifestDomain    = "karov.plugin.v1 manifest\n"
	certificateDomain = "karov.plugin.v1 certificate\n"
	revocationDomain  = "karov.plugin.v1 revocations\n"
)

// The kinds of blocks in key files.
const (
	rootBlock        = "KAROV ROOT"
	rootSecretBlock  = "KAROV ROOT SECRET KEY"
	requestBlock     = "KAROV RESELLER"
	secretBlock      = "KAROV RESELLER SECRET KEY"
	certificateBlock = "KAROV CERTIFICATE"
	revocationBlock  = "KAROV REVOCATIONS"
)

// SecretMark stands in each file of a secret key. Such a file is never packed.
const SecretMark = " SECRET KEY-----"

func sign(key ed25519.PrivateKey, domain string, message []byte) []byte {
	return ed25519.Sign(key, append([]byte(domain), message...))
}

// verify takes a signature as it stands in SIGNATURE: a line of base64.
func verify(key ed25519.PublicKey, domain string, message, line []byte) bool {
	signature, err := base64.StdEncoding.Strict().DecodeString(string(bytes.TrimSuffix(line, []byte("\n"))))
	return err == nil && verifyRaw(key, domain, message, signature)
}

func verifyRaw(key ed25519.PublicKey, domain string, message, signature []byte) bool {
	return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, append([]byte(domain), message...), signature)
}

// secret is a private key that cannot be printed: of a function there is only an address to print.
type secret func() ed25519.PrivateKey

func hide(key ed25519.PrivateKey) secret { return func() ed25519.PrivateKey { return key } }

// Root is the beginning of a chain: whoever trusts it trusts the certificates it signed.
type Root struct {
	Name string            `json:"name"`
	Key  ed25519.PublicKey `json:"key"`
}

// ID is the root's name that cannot be forged: the beginning of the hash of its key.
func (r Root) ID() string {
	sum := sha256.Sum256(r.Key)
	return hex.EncodeToString(sum[:8])
}

// Encode writes the root as a file that may be given to everybody.
func (r Root) Encode() ([]byte, error) { return encodeBlock(rootBlock, r) }

// ReadRoot reads a root's file.
func ReadRoot(file []byte) (Root, error) {
	var r Root
	if err := decodeBlock(file, rootBlock, &r); err != nil {
		return Root{}, err
	}
	return r, checkNamed(r.Name, r.Key)
}

// RootKey is a root with its secret.
type RootKey struct {
	Root
	secret secret
}

// GenerateRoot makes a root.
func GenerateRoot(name string) (*RootKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return &RootKey{Root{name, public}, hide(private)}, checkNamed(name, public)
}

type secretFile struct {
	Name string `json:"name"`
	Seed []byte `json:"seed"`
}

func (f secretFile) key() (ed25519.PrivateKey, ed25519.PublicKey, error) {
	if len(f.Seed) != ed25519.SeedSize {
		return nil, nil, refuse("pack.key-malformed")
	}
	private := ed25519.NewKeyFromSeed(f.Seed)
	public, _ := private.Public().(ed25519.PublicKey) // of an Ed25519 key it is nothing else
	return private, public, checkNamed(f.Name, public)
}

// Secret writes the root with its secret, for a file that only its owner may read.
func (k *RootKey) Secret() ([]byte, error) {
	return encodeBlock(rootSecretBlock, secretFile{k.Name, k.secret().Seed()})
}

// ReadRootKey reads what Secret wrote.
func ReadRootKey(file []byte) (*RootKey, error) {
	var f secretFile
	if err := decodeBlock(file, rootSecretBlock, &f); err != nil {
		return nil, err
	}
	private, public, err := f.key()
	return &RootKey{Root{f.Name, public}, hide(private)}, err
}

// Reseller is who asks a root for a certificate.
type Reseller struct {
	Name string            `json:"name"`
	Key  ed25519.PublicKey `json:"key"`
}

// Encode writes the request as a file for the root's owner.
func (r Reseller) Encode() ([]byte, error) { return encodeBlock(requestBlock, r) }

// ReadReseller reads a request.
func ReadReseller(file []byte) (Reseller, error) {
	var r Reseller
	if err := decodeBlock(file, requestBlock, &r); err != nil {
		return Reseller{}, err
	}
	return r, checkNamed(r.Name, r.Key)
}

// ResellerKey is a reseller with his secret.
type ResellerKey struct {
	Reseller
	secret secret
}

// GenerateReseller makes a reseller's key.
func GenerateReseller(name string) (*ResellerKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return &ResellerKey{Reseller{name, public}, hide(private)}, checkNamed(name, public)
}

// Secret writes the reseller with his secret, for a file that only he may read.
func (k *ResellerKey) Secret() ([]byte, error) {
	return encodeBlock(secretBlock, secretFile{k.Name, k.secret().Seed()})
}

// ReadResellerKey reads what Secret wrote.
func ReadResellerKey(file []byte) (*ResellerKey, error) {
	var f secretFile
	if err := decodeBlock(file, secretBlock, &f); err != nil {
		return nil, err
	}
	private, public, err := f.key()
	return &ResellerKey{Reseller{f.Name, public}, hide(private)}, err
}

// Signer signs packages: a reseller's secret and the certificate that speaks for it.
type Signer struct {
	Certificate *Certificate
	secret      secret
}

// NewSigner puts a key and its certificate together.
func NewSigner(key *ResellerKey, c *Certificate) (*Signer, error) {
	if !bytes.Equal(key.Key, c.Key) {
		return nil, refuse("pack.key-of-another", "name", c.Name)
	}
	return &Signer{c, key.secret}, nil
}

func checkNamed(name string, key ed25519.PublicKey) error {
	if name == "" || len(name) > 100 || cut(name) != name || len(key) != ed25519.PublicKeySize {
		return refuse("pack.key-malformed")
	}
	return nil
}

func encodeBlock(kind string, v any) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("write a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}), nil
}

// block gives the bytes of the one block in a file.
func block(file []byte, kind string) ([]byte, error) {
	b, rest := pem.Decode(file)
	if b == nil || b.Type != kind || len(b.Headers) > 0 || len(bytes.TrimSpace(rest)) > 0 {
		return nil, refuse("pack.key-other", "want", kind)
	}
	return b.Bytes, nil
}

func decodeBlock(file []byte, kind string, to any) error {
	raw, err := block(file, kind)
	if err != nil {
		return err
	}
	if err := decodeStrictly(raw, to); err != nil {
		return fault.Wrap(errors.New("the block cannot be read"), fault.Invalid, "pack.key-malformed") // the error could quote a secret
	}
	return nil
}
