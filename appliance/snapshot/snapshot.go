// Package snapshot says what a backup of an appliance holds, and makes an appliance out of it again.
//
// A snapshot is a tree that anybody can read with stock restic and a text editor: README.txt, manifest.json,
// db/base-000001/<bucket>.jsonl (one line a key), attachments/ab/cd/<sha256>, config/. The database file itself is
// never in it: a small change would make all of it new. The repository format is package backup's.
//
// It owns the bucket snapshot.targets (where backups go) and the file of the machine's backup password. It promises
// that a snapshot shows one moment; that the manifest counts each bucket and holds its content hash, so that a restored
// copy is proved and not believed; that a restore never writes into a folder that holds anything, and appears under its
// name only when it is whole and durable; and that of a damaged backup every sound line comes back when asked for, and
// what is missing is named.
//
// It will not choose when or where: commands do. It does not mend what a salvaged store lacks: an index may lead to a
// record that is lost, and record's Check says so.
package snapshot

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"time"

	"github.com/karov-crm/karov/appliance/store"
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
	// Rotten are attachments whose bytes were no longer those of their names when they were read for the snapshot.
	Rotten []string `json:"rotten_attachments,omitempty"`
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
