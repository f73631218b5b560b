package snapshot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/karov-crm/karov/appliance/blob"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store/bolt"
	"github.com/karov-crm/karov/backup"
	"github.com/karov-crm/karov/backup/disk"
)

// Names of the parts of a data folder.
const (
	StoreFile  = "karov.db"
	BlobFolder = "blobs"
	ConfFolder = "config"
)

// Restore is a wish to have a snapshot back.
type Restore struct {
	From     string // folder of the repository
	Key      string // recovery key as it was typed
	Snapshot string // id or its beginning; "" for the newest
	Data     string // new or empty folder
	Salvage  bool   // restore what is sound when something is damaged
	Progress func(backup.Progress)
}

// Proof is what a restore brought back, compared with what the snapshot's manifest says.
type Proof struct {
	Snapshot string
	Manifest Manifest
	Buckets  []Bucket // as counted and hashed in the restored store
	Missing  []string // what could not be brought back, in words; empty when everything is there and equal
}

// Equal tells whether the restored store is the same as the manifest says, bucket by bucket.
func (p Proof) Equal() bool { return len(p.Missing) == 0 }

// Run restores into Data. It works in Data + ".restoring" and gives it its name when all is there and compared; when it
// fails, Data is as before. The backup is only read.
func (w Restore) Run(ctx context.Context) (Proof, error) {
	if err := vacant(w.Data); err != nil {
		return Proof{}, err
	}
	key, err := backup.NormalizeRecoveryKey(w.Key)
	if err != nil {
		return Proof{}, AsFault(err)
	}
	target, err := OpenTarget(w.From, false)
	if err != nil {
		return Proof{}, err
	}
	repository, err := backup.Open(ctx, target, key)
	if err != nil {
		return Proof{}, AsFault(err)
	}
	defer repository.Close()
	if w.Snapshot == "" {
		w.Snapshot = backup.Latest
	}
	found, err := repository.Find(ctx, w.Snapshot)
	if err != nil {
		return Proof{}, AsFault(err)
	}
	staging := filepath.Clean(w.Data) + ".restoring"
	if err := os.RemoveAll(staging); err != nil {
		return Proof{}, fmt.Errorf("clear an earlier restore: %w", err)
	}
	if err := os.MkdirAll(staging, 0o700); err != nil {
		return Proof{}, fmt.Errorf("make folder to restore into: %w", err)
	}
	proof, err := w.into(ctx, repository, found, staging)
	if err != nil {
		return proof, errors.Join(AsFault(err), os.RemoveAll(staging))
	}
	return proof, place(staging, w.Data)
}

// OpenTarget opens the folder of a repository; unless make is given it must be there.
func OpenTarget(folder string, make bool) (backup.Target, error) {
	if !make {
		if info, err := os.Stat(folder); err != nil || !info.IsDir() {
			return nil, fault.Wrap(err, fault.NotFound, "backup.no-folder", "folder", folder)
		}
	}
	target, err := disk.New(folder)
	if err != nil {
		return nil, AsFault(fmt.Errorf("open backup folder: %w", err))
	}
	return target, nil
}

// vacant refuses a folder that holds anything.
func vacant(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look into %s: %w", dir, err)
	}
	if len(entries) > 0 {
		return fault.New(fault.Conflict, "restore.not-empty", "folder", dir)
	}
	return nil
}

// into restores the tree beside the new data folder and builds the data out of it.
func (w Restore) into(ctx context.Context, repository *backup.Repository, found backup.Snapshot, staging string) (Proof, error) {
	tree := filepath.Join(staging, "tree")
	report, err := repository.Restore(ctx, found, tree, backup.RestoreOptions{SkipDamaged: w.Salvage, Progress: w.Progress})
	if err != nil {
		return Proof{}, err
	}
	proof := Proof{Snapshot: found.ID}
	for _, out := range report.LeftOut {
		proof.Missing = append(proof.Missing, fmt.Sprintf("%s: %v", out.Path, out.Err))
	}
	if proof.Manifest, err = readManifest(filepath.Join(tree, manifestPath)); err != nil {
		return proof, err
	}
	if err := w.build(ctx, tree, staging, &proof); err != nil {
		return proof, err
	}
	if len(proof.Missing) > 0 && !w.Salvage {
		return proof, fault.New(fault.Invalid, "restore.differs", "what", strings.Join(proof.Missing, "; "))
	}
	return proof, os.RemoveAll(tree)
}

func readManifest(path string) (m Manifest, err error) {
	raw, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return m, fault.Wrap(err, fault.Invalid, "restore.no-manifest")
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, fault.Wrap(err, fault.Invalid, "restore.no-manifest")
	}
	if m.Layout > Layout {
		return m, fault.New(fault.Invalid, "backup.too-new")
	}
	return m, nil
}

// build makes store, blobs and configuration and compares them with the manifest.
func (w Restore) build(ctx context.Context, tree, data string, proof *Proof) error {
	db, err := bolt.Open(filepath.Join(data, StoreFile))
	if err != nil {
		return err
	}
	defer db.Close()
	for _, b := range proof.Manifest.Buckets {
		path := filepath.Join(tree, filepath.FromSlash(basePath), b.Name+".jsonl")
		if err := loadLines(ctx, db, b.Name, path); err != nil && !w.Salvage {
			return err
		} else if err != nil {
			proof.Missing = append(proof.Missing, fmt.Sprintf("%s: %v", b.Name, err))
		}
	}
	if err := db.Check(ctx); err != nil {
		return err
	}
	if proof.Buckets, err = Measure(ctx, db); err != nil {
		return err
	}
	restored := Manifest{Buckets: proof.Buckets}
	for _, b := range proof.Manifest.Buckets {
		for _, got := range append(restored.Buckets, Bucket{Name: b.Name}) {
			if got.Name != b.Name {
				continue
			}
			if got != b {
				proof.Missing = append(proof.Missing, fmt.Sprintf("%s: %d of %d entries", b.Name, got.Count, b.Count))
			}
			break
		}
	}
	if err := w.files(ctx, tree, data, proof); err != nil {
		return err
	}
	return db.Close()
}

// files moves attachments and configuration into the new data folder.
func (w Restore) files(ctx context.Context, tree, data string, proof *Proof) error {
	if err := move(filepath.Join(tree, filepath.FromSlash(filesPath)), filepath.Join(data, BlobFolder)); err != nil {
		return err
	}
	if err := move(filepath.Join(tree, filepath.FromSlash(configPath)), filepath.Join(data, ConfFolder)); err != nil {
		return err
	}
	blobs, err := blob.Open(filepath.Join(data, BlobFolder))
	if err != nil {
		return err
	}
	count := 0
	for _, err := range blobs.All() {
		if err != nil {
			return err
		}
		count++
	}
	if count != proof.Manifest.Attachments {
		proof.Missing = append(proof.Missing, fmt.Sprintf("attachments: %d of %d", count, proof.Manifest.Attachments))
	}
	return ctx.Err()
}

func move(from, to string) error {
	err := os.Rename(from, to)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("place restored files: %w", err)
	}
	return nil
}

// place gives the restored folder its name, durably.
func place(staging, data string) error {
	if err := os.Remove(data); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("make room for the restored data: %w", err)
	}
	if err := os.Rename(staging, data); err != nil {
		return fmt.Errorf("place the restored data: %w", err)
	}
	parent, err := os.Open(filepath.Dir(filepath.Clean(data)))
	if err != nil {
		return fmt.Errorf("sync the restored data: %w", err)
	}
	defer parent.Close()
	return parent.Sync()
}
