// Package snapshot says what a backup of an appliance holds, and makes an appliance out of it again.
//
// A snapshot is a tree that anybody can read with stock restic and a text editor: README.txt, manifest.json,
// db/base-000001/<bucket>.jsonl (one line a key), attachments/ab/cd/<sha256>, config/. The database file itself is
// never in it: a small change would make all of it new. The repository format is package backup's.
//
// It owns no bucket. It promises that a snapshot shows one moment; that the manifest counts each bucket and holds its
// content hash, so that a restored copy is proved and not believed; that a restore never writes into a folder that
// holds anything, and appears under its name only when it is whole; and that what is damaged is named.
//
// It will not choose when or where: commands do.
package snapshot

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"time"
	"unicode/utf8"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/backup"
)

// Layout numbers what a snapshot's tree looks like. A newer one is refused by an older program.
const Layout = 1

const (
	manifestPath = "manifest.json"
	basePath     = "db/base-000001/"
	filesPath    = "attachments/"
	configPath   = "config/"
)

// Manifest says what a snapshot holds.
type Manifest struct {
	Layout      int       `json:"layout"`
	Program     string    `json:"program"`  // version that made it
	Format      int       `json:"format"`   // of the data
	Identity    string    `json:"identity"` // of the data
	Taken       time.Time `json:"taken"`
	Buckets     []Bucket  `json:"buckets"`
	Attachments int       `json:"attachments"`
}

// Bucket counts one bucket and holds its set hash: the sum, modulo 2^256, of the SHA-256 of each pair (length of the
// key in 4 bytes, key, value), in hex. It does not depend on order and can be kept up by adding and subtracting.
type Bucket struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
	Hash  string `json:"hash"`
}

// Count is how many keys a bucket holds, 0 for one that is not there.
func (m Manifest) Count(bucket string) int {
	for _, b := range m.Buckets {
		if b.Name == bucket {
			return b.Count
		}
	}
	return 0
}

// measure counts and hashes every bucket of one moment.
func measure(ctx context.Context, tx store.Tx) (buckets []Bucket, err error) {
	modulus := new(big.Int).Lsh(big.NewInt(1), 256)
	for _, name := range tx.Buckets() {
		b, sum, one := Bucket{Name: name}, new(big.Int), new(big.Int)
		for key, value := range tx.Bucket(name).Scan(nil, nil, false) {
			if b.Count++; b.Count%4096 == 0 && ctx.Err() != nil {
				return nil, ctx.Err()
			}
			digest := sha256.New()
			digest.Write(binary.BigEndian.AppendUint32(nil, uint32(len(key))))
			digest.Write(key)
			digest.Write(value)
			sum.Add(sum, one.SetBytes(digest.Sum(nil)))
		}
		var raw [32]byte
		b.Hash = hex.EncodeToString(sum.Mod(sum, modulus).FillBytes(raw[:]))
		buckets = append(buckets, b)
	}
	return buckets, nil
}

// Measure counts and hashes every bucket of a store.
func Measure(ctx context.Context, db store.DB) (buckets []Bucket, err error) {
	err = db.View(ctx, func(tx store.Tx) error {
		buckets, err = measure(ctx, tx)
		return err
	})
	return buckets, err
}

// line is one pair of a bucket's file. Text stands as text; what is not text stands as hex (keys) or base64 (values).
// Read is a record's fields for people; a restore does not look at it.
type line struct {
	Key      *string        `json:"k,omitempty"`
	KeyHex   string         `json:"kx,omitempty"`
	Value    *string        `json:"v,omitempty"`
	ValueB64 string         `json:"vx,omitempty"`
	Read     map[string]any `json:"read,omitempty"`
}

func lineOf(key, value []byte, read map[string]any) ([]byte, error) {
	l := line{Read: read}
	if s := string(key); plain(s) {
		l.Key = &s
	} else {
		l.KeyHex = hex.EncodeToString(key)
	}
	if s := string(value); utf8.ValidString(s) && read == nil {
		l.Value = &s
	} else {
		l.ValueB64 = base64.StdEncoding.EncodeToString(value)
	}
	raw, err := json.Marshal(l)
	return append(raw, '\n'), err
}

// plain tells whether a key can stand as text: no control characters, so that lines sort and read well.
func plain(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if r < 0x20 && r != 0 || r == utf8.RuneError {
			return false
		}
	}
	return true
}

func parseLine(raw []byte) (key, value []byte, err error) {
	var l line
	if err := json.Unmarshal(raw, &l); err != nil {
		return nil, nil, err
	}
	switch {
	case l.Key != nil:
		key = []byte(*l.Key)
	default:
		if key, err = hex.DecodeString(l.KeyHex); err != nil {
			return nil, nil, err
		}
	}
	if len(key) == 0 {
		return nil, nil, errors.New("a line without a key")
	}
	if l.Value != nil {
		return key, []byte(*l.Value), nil
	}
	value, err = base64.StdEncoding.DecodeString(l.ValueB64)
	return key, value, err
}

// AsFault gives an error of the backup library its kind and sentence.
func AsFault(err error) error {
	var damage *backup.DamageError
	var locked *backup.LockedError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, backup.ErrWrongKey):
		return fault.Wrap(err, fault.Forbidden, "backup.wrong-key")
	case errors.Is(err, backup.ErrMistypedKey):
		return fault.Wrap(err, fault.Invalid, "backup.mistyped-key")
	case errors.Is(err, backup.ErrNoRepository):
		return fault.Wrap(err, fault.NotFound, "backup.no-repository")
	case errors.Is(err, backup.ErrExists):
		return fault.Wrap(err, fault.Conflict, "backup.exists")
	case errors.Is(err, backup.ErrTooNew):
		return fault.Wrap(err, fault.Invalid, "backup.too-new")
	case errors.Is(err, backup.ErrNoSpace):
		return fault.Wrap(err, fault.Unavailable, "backup.no-space")
	case errors.Is(err, backup.ErrReadOnly), errors.Is(err, os.ErrPermission):
		return fault.Wrap(err, fault.Unavailable, "backup.read-only")
	case errors.Is(err, backup.ErrNotFound):
		return fault.Wrap(err, fault.NotFound, "backup.no-snapshot")
	case errors.Is(err, backup.ErrAmbiguous):
		return fault.Wrap(err, fault.Invalid, "backup.ambiguous")
	case errors.Is(err, backup.ErrNotEmpty):
		return fault.Wrap(err, fault.Conflict, "backup.folder-not-empty")
	case errors.As(err, &locked):
		return fault.Wrap(err, fault.Unavailable, "backup.locked")
	case errors.As(err, &damage):
		return fault.Wrap(err, fault.Invalid, "backup.damaged", "what", damage.Error())
	}
	return err
}
