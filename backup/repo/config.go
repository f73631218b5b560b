package repo

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/restic/chunker"
)

const (
	// MinVersion is the oldest repository version that can be read.
	MinVersion = 1
	// Version is the repository version that is written, and the newest read.
	Version = 2

	polynomialDegree = 53
)

// Config describes a repository. It is sealed, but neither compressed nor named
// by its hash.
type Config struct {
	Version    uint        `json:"version"`
	ID         string      `json:"id"`
	Polynomial chunker.Pol `json:"chunker_polynomial"`
}

// NewConfig draws the ID and the polynomial of a new repository.
func NewConfig() (Config, error) {
	var id [32]byte
	if _, err := rand.Read(id[:]); err != nil {
		return Config{}, fmt.Errorf("draw repository ID: %w", err)
	}
	pol, err := chunker.RandomPolynomial()
	if err != nil {
		return Config{}, fmt.Errorf("draw polynomial: %w", err)
	}
	return Config{Version: Version, ID: hex.EncodeToString(id[:]), Polynomial: pol}, nil
}

// Encode returns the sealed config.
func (c Config) Encode(key *Key) ([]byte, error) {
	plain, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("write config: %w", err)
	}
	return key.Seal(nil, plain)
}

// VersionError says that a repository has a version this program does not know.
type VersionError struct{ Version uint }

// Error names the version.
func (e *VersionError) Error() string {
	return fmt.Sprintf("repository has format version %d, this program knows %d to %d", e.Version, MinVersion, Version)
}

// DecodeConfig opens and checks a config.
func DecodeConfig(key *Key, sealed []byte) (Config, error) {
	plain, err := key.Open(nil, sealed)
	if err != nil {
		return Config{}, fmt.Errorf("open config: %w", err)
	}
	return parseConfig(plain)
}

func parseConfig(plain []byte) (Config, error) {
	// The version is read first: a later version may have anything beside it.
	var v struct {
		Version uint `json:"version"`
	}
	if err := json.Unmarshal(plain, &v); err != nil {
		return Config{}, fmt.Errorf("read config: %w: %w", ErrFormat, err)
	}
	if v.Version < MinVersion || v.Version > Version {
		return Config{}, &VersionError{Version: v.Version}
	}
	var c Config
	if err := json.Unmarshal(plain, &c); err != nil {
		return Config{}, fmt.Errorf("read config: %w: %w", ErrFormat, err)
	}
	if c.Polynomial.Deg() != polynomialDegree || !c.Polynomial.Irreducible() {
		return Config{}, fmt.Errorf("read config: chunker polynomial: %w", ErrFormat)
	}
	return c, nil
}
