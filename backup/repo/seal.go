package repo

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"fmt"

	//lint:ignore SA1019 the format prescribes Poly1305 with a key of its own, which no AEAD of the library offers
	"golang.org/x/crypto/poly1305"
)

const (
	ivSize = aes.BlockSize
	// SealOverhead is how much longer sealed bytes are than the plain ones.
	SealOverhead = ivSize + poly1305.TagSize
	// rawKeySize is the length of a key as bytes: AES-256 key, MAC key, MAC r.
	rawKeySize = 32 + 16 + 16
)

// Key seals and opens. A repository has one master key; each key file wraps it
// with a Key made from a password. It is safe for concurrent use.
type Key struct {
	raw   [rawKeySize]byte
	block cipher.Block // AES-256, encrypts
	mac   cipher.Block // AES-128, binds the IV into the tag
}

// NewKey draws a master key from the system's random source.
func NewKey() (*Key, error) {
	var raw [rawKeySize]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return nil, fmt.Errorf("draw master key: %w", err)
	}
	return keyFromBytes(raw[:])
}

func keyFromBytes(raw []byte) (*Key, error) {
	if len(raw) != rawKeySize || allZero(raw[:32]) || allZero(raw[32:48]) || allZero(raw[48:]) {
		return nil, fmt.Errorf("make key: %w", ErrFormat)
	}
	k := &Key{raw: [rawKeySize]byte(raw)}
	var err error
	if k.block, err = aes.NewCipher(k.raw[:32]); err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	if k.mac, err = aes.NewCipher(k.raw[32:48]); err != nil {
		return nil, fmt.Errorf("make MAC cipher: %w", err)
	}
	return k, nil
}

func allZero(b []byte) bool {
	var or byte
	for _, c := range b {
		or |= c
	}
	return or == 0
}

// Seal appends the sealed form of plain to dst. The two must not overlap.
func (k *Key) Seal(dst, plain []byte) ([]byte, error) {
	var iv [ivSize]byte
	for allZero(iv[:]) {
		if _, err := rand.Read(iv[:]); err != nil {
			return nil, fmt.Errorf("draw IV: %w", err)
		}
	}
	return k.sealWith(dst, plain, iv), nil
}

func (k *Key) sealWith(dst, plain []byte, iv [ivSize]byte) []byte {
	start := len(dst)
	dst = append(dst, iv[:]...)
	dst = append(dst, plain...)
	body := dst[start+ivSize:]
	cipher.NewCTR(k.block, iv[:]).XORKeyStream(body, body)
	var tag [poly1305.TagSize]byte
	poly1305.Sum(&tag, body, k.oneTime(iv[:]))
	return append(dst, tag[:]...)
}

// Open appends the plain form of sealed to dst. Nothing is decrypted before the
// tag has been found right. The two must not overlap.
func (k *Key) Open(dst, sealed []byte) ([]byte, error) {
	if len(sealed) < SealOverhead || allZero(sealed[:ivSize]) {
		return nil, ErrSeal
	}
	iv := sealed[:ivSize]
	body := sealed[ivSize : len(sealed)-poly1305.TagSize]
	tag := [poly1305.TagSize]byte(sealed[len(sealed)-poly1305.TagSize:])
	if !poly1305.Verify(&tag, body, k.oneTime(iv)) {
		return nil, ErrSeal
	}
	start := len(dst)
	dst = append(dst, body...)
	cipher.NewCTR(k.block, iv).XORKeyStream(dst[start:], dst[start:])
	return dst, nil
}

// oneTime makes the Poly1305 key of one sealed object: r is fixed, s comes from
// the IV, which is how the IV is bound to the tag.
func (k *Key) oneTime(iv []byte) *[32]byte {
	var key [32]byte
	copy(key[:16], k.raw[48:])
	k.mac.Encrypt(key[16:], iv)
	return &key
}

type keyJSON struct {
	MAC struct {
		K []byte `json:"k"`
		R []byte `json:"r"`
	} `json:"mac"`
	Encrypt []byte `json:"encrypt"`
}

func (k *Key) marshal() ([]byte, error) {
	var j keyJSON
	j.Encrypt, j.MAC.K, j.MAC.R = k.raw[:32], k.raw[32:48], k.raw[48:]
	return json.Marshal(j)
}

func unmarshalKey(data []byte) (*Key, error) {
	var j keyJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return nil, fmt.Errorf("read master key: %w: %w", ErrFormat, err)
	}
	if len(j.Encrypt) != 32 || len(j.MAC.K) != 16 || len(j.MAC.R) != 16 {
		return nil, fmt.Errorf("read master key: %w", ErrFormat)
	}
	raw := make([]byte, 0, rawKeySize)
	raw = append(raw, j.Encrypt...)
	raw = append(raw, j.MAC.K...)
	return keyFromBytes(append(raw, j.MAC.R...))
}
