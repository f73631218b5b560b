package repo

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math/bits"
	"time"

	"golang.org/x/crypto/scrypt"
)

const (
	saltSize = 64
	// maxScryptMemory bounds what opening one key file may take. The parameters
	// stand in a file nobody has authenticated yet: without a bound it is a bomb.
	maxScryptMemory = 1 << 30
	// maxScryptWork bounds the time in the same way, as memory times passes.
	maxScryptWork = 4 << 30
	// maxKeyFile is far above the 450 bytes a key file has.
	maxKeyFile = 64 << 10
)

// KDF is how costly it is to try a password.
type KDF struct{ N, R, P int }

// RandomSecretKDF is the cost for a secret drawn at random, as a recovery key is:
// what stock restic usually settles on, 32 MiB and about 0.1 s. More than 128
// random bits gain nothing from a higher cost, and restoring on a small machine
// stays possible.
func RandomSecretKDF() KDF { return KDF{N: 32768, R: 8, P: 1} }

// ChosenSecretKDF is the cost for a password that a person made up, which can be
// guessed: four times the memory and time of RandomSecretKDF for each guess.
func ChosenSecretKDF() KDF { return KDF{N: 131072, R: 8, P: 1} }

func (p KDF) check() error {
	if p.N < 2 || bits.OnesCount(uint(p.N)) != 1 || p.R < 1 || p.P < 1 {
		return fmt.Errorf("scrypt parameters N=%d r=%d p=%d: %w", p.N, p.R, p.P, ErrFormat)
	}
	if p.N > 1<<30 || p.R > 1<<20 || p.P > 1<<20 {
		return fmt.Errorf("scrypt parameters N=%d r=%d p=%d are too costly: %w", p.N, p.R, p.P, ErrFormat)
	}
	memory := 128 * uint64(p.R) * (uint64(p.N) + uint64(p.P))
	work := 128 * uint64(p.R) * uint64(p.N)
	if memory > maxScryptMemory || uint64(p.P) > maxScryptWork/work {
		return fmt.Errorf("scrypt parameters N=%d r=%d p=%d are too costly: %w", p.N, p.R, p.P, ErrFormat)
	}
	return nil
}

// KeyFile is one password of a repository: the master key, sealed with a key that
// is derived from the password.
type KeyFile struct {
	Created  time.Time `json:"created"`
	Username string    `json:"username"`
	Hostname string    `json:"hostname"`
	KDFName  string    `json:"kdf"`
	N        int       `json:"N"`
	R        int       `json:"r"`
	P        int       `json:"p"`
	Salt     []byte    `json:"salt"`
	Data     []byte    `json:"data"`
}

// WrapKey makes the key file of one password; f gives who made it and when.
func WrapKey(f KeyFile, password string, cost KDF, master *Key) ([]byte, error) {
	f.KDFName, f.N, f.R, f.P = "scrypt", cost.N, cost.R, cost.P
	f.Salt = make([]byte, saltSize)
	if _, err := rand.Read(f.Salt); err != nil {
		return nil, fmt.Errorf("draw salt: %w", err)
	}
	kek, err := f.derive(password)
	if err != nil {
		return nil, err
	}
	plain, err := master.marshal()
	if err != nil {
		return nil, fmt.Errorf("write master key: %w", err)
	}
	if f.Data, err = kek.Seal(nil, plain); err != nil {
		return nil, err
	}
	return json.Marshal(f)
}

// ParseKeyFile reads a key file and refuses parameters that would cost more than
// 1 GiB of memory to try.
func ParseKeyFile(data []byte) (*KeyFile, error) {
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("read key file of %d bytes: %w", len(data), ErrFormat)
	}
	f := new(KeyFile)
	if err := json.Unmarshal(data, f); err != nil {
		return nil, fmt.Errorf("read key file: %w: %w", ErrFormat, err)
	}
	if f.KDFName != "scrypt" || len(f.Salt) != saltSize || len(f.Data) < SealOverhead {
		return nil, fmt.Errorf("read key file: %w", ErrFormat)
	}
	if err := (KDF{f.N, f.R, f.P}).check(); err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	return f, nil
}

// Open returns the master key; ErrSeal means that the password is not this one.
func (f *KeyFile) Open(password string) (*Key, error) {
	kek, err := f.derive(password)
	if err != nil {
		return nil, err
	}
	plain, err := kek.Open(nil, f.Data)
	if err != nil {
		return nil, err
	}
	return unmarshalKey(plain)
}

func (f *KeyFile) derive(password string) (*Key, error) {
	if err := (KDF{f.N, f.R, f.P}).check(); err != nil {
		return nil, err
	}
	raw, err := scrypt.Key([]byte(password), f.Salt, f.N, f.R, f.P, rawKeySize)
	if err != nil {
		return nil, fmt.Errorf("derive key from password: %w", err)
	}
	return keyFromBytes(raw)
}
