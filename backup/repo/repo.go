// Package repo is the repository format of the backup: restic's format, version 2
// for writing and versions 1 and 2 for reading, so that a stock restic program
// checks, mounts and restores what this engine wrote, and the other way round.
//
// It owns bytes and nothing else: sealing, key files, the config, packs, indexes,
// trees, snapshots and locks are turned into bytes and back. It opens no file and
// no connection; package backup does that over its Target.
//
// It promises that a reader here takes every input as hostile: lengths are checked
// before memory is taken, names in trees can not leave their folder, and the cost
// of a key file is capped. What a writer here makes is read back and compared
// before it is handed out.
//
// It will not repair, guess or skip: a broken object is an error, and what to do
// about it is decided above.
package repo

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// ErrSeal says that sealed bytes do not open: they were changed, or the key is
// another one. The format can not tell the two apart.
var ErrSeal = errors.New("seal is broken or made with another key")

// ErrFormat says that bytes which opened well do not have the form they should.
var ErrFormat = errors.New("not in the repository format")

// ErrHash says that bytes are not those their name promises.
var ErrHash = errors.New("content does not match its name")

// ID names an object by the SHA-256 of its bytes.
type ID [sha256.Size]byte

// Hash returns the ID of data.
func Hash(data []byte) ID { return sha256.Sum256(data) }

// ParseID reads the 64 lower-case hex digits of an ID.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 2*len(id) {
		return ID{}, fmt.Errorf("read ID of %d characters: %w", len(s), ErrFormat)
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return ID{}, fmt.Errorf("read ID %q: %w", s, ErrFormat)
		}
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return ID{}, fmt.Errorf("read ID %q: %w", s, ErrFormat)
	}
	return id, nil
}

// String returns the 64 lower-case hex digits of the ID.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText returns the ID as its hex digits.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads the ID from its hex digits.
func (id *ID) UnmarshalText(text []byte) error {
	parsed, err := ParseID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

// BlobType says what a blob is.
type BlobType uint8

const (
	// DataBlob is a piece of a file.
	DataBlob BlobType = iota
	// TreeBlob is the listing of one folder.
	TreeBlob
)

// String returns the name the index uses for the type.
func (t BlobType) String() string {
	if t == TreeBlob {
		return "tree"
	}
	return "data"
}

// MarshalText returns the name the index uses for the type.
func (t BlobType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads the name the index uses for the type.
func (t *BlobType) UnmarshalText(text []byte) error {
	switch string(text) {
	case "data":
		*t = DataBlob
	case "tree":
		*t = TreeBlob
	default:
		return fmt.Errorf("read blob type %q: %w", text, ErrFormat)
	}
	return nil
}

// Handle names one blob: the same ID may exist once as data and once as tree.
type Handle struct {
	Type BlobType
	ID   ID
}

// String returns the type and the ID of the blob.
func (h Handle) String() string { return h.Type.String() + " " + h.ID.String() }
