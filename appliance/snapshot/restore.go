package snapshot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/backup"
	"github.com/karov-crm/karov/backup/disk"
)

// Names of the parts of a data folder.
const (
	StoreFile  = "karov.db"
	BlobFolder = "blobs"
	ConfFolder = "config"
	// RemainsFolder is only in a salvaged data folder: what is left of damaged files that are of no use as they are.
	RemainsFolder = "salvaged"
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
	Manifest Manifest // its Layout is 0 where a salvage found none
	Buckets  []Bucket // as counted and hashed in the restored store
	Missing  []string // what could not be brought back, in words; empty when everything is there and equal
}

// Equal tells whether the restored data is the same as the manifest says, bucket by bucket.
func (p Proof) Equal() bool { return len(p.Missing) == 0 }

// Run restores into Data. It works in Data + ".restoring" and gives it its name when all is there, compared and durable;
// when it fails or is killed, Data is as before, and what it wrote is removed, by the next one if it was killed. The
// backup is only read.
func (w Restore) Run(ctx context.Context) (Proof, error) {
	data, err := vacant(w.Data)
	if err != nil {
		return Proof{}, err
	}
	repository, err := w.open(ctx)
	if err != nil {
		return Proof{}, err
	}
	defer repository.Close()
	var proof Proof
	found, err := w.find(ctx, repository, &proof)
	if err != nil {
		return Proof{}, AsFault(err)
	}
	// Read before anything else, so that a snapshot of something else is refused at once.
	if err := w.manifest(ctx, repository, found, &proof); err != nil {
		return Proof{}, AsFault(err)
	}
	stage, err := newStage(data)
	if err != nil {
		return Proof{}, err
	}
	err = w.into(ctx, stage, repository, found, &proof)
	if err == nil {
		err = stage.place()
	}
	return proof, stage.end(AsFault(err))
}

// open opens the repository with the key as it was typed.
func (w Restore) open(ctx context.Context) (*backup.Repository, error) {
	key, err := backup.NormalizeRecoveryKey(w.Key)
	if err != nil {
		return nil, AsFault(err)
	}
	target, err := OpenTarget(w.From, false)
	if err != nil {
		return nil, err
	}
	repository, err := backup.Open(ctx, target, key)
	return repository, AsFault(err)
}

// OpenTarget opens the folder of a repository; unless make is given it must be there.
func OpenTarget(folder string, make bool) (backup.Target, error) {
	info, err := os.Stat(folder)
	switch {
	case err == nil && !info.IsDir(), errors.Is(err, fs.ErrNotExist) && !make:
		return nil, fault.Wrap(err, fault.NotFound, "backup.no-folder", "folder", folder)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fault.Wrap(err, fault.Unavailable, "backup.unreadable", "file", folder)
	}
	target, err := disk.New(folder)
	if err != nil {
		return nil, AsFault(fmt.Errorf("open backup folder: %w", err))
	}
	return target, nil
}

// find finds the snapshot: the newest of ours unless one is named. A damaged snapshot file may be the newest, so it
// stops the search, but for a salvage, which takes the newest of the others and says so.
func (w Restore) find(ctx context.Context, repository *backup.Repository, proof *Proof) (backup.Snapshot, error) {
	if w.Snapshot != "" && w.Snapshot != backup.Latest {
		return repository.Find(ctx, w.Snapshot)
	}
	list, err := repository.Snapshots(ctx)
	if err != nil && (!w.Salvage || len(list) == 0) {
		return backup.Snapshot{}, err
	}
	if err != nil {
		proof.miss("a snapshot that may be newer: %v", err)
	}
	list = slices.DeleteFunc(list, func(s backup.Snapshot) bool { return !slices.Contains(s.Tags, ourTag) })
	if len(list) == 0 {
		return backup.Snapshot{}, backup.ErrNotFound
	}
	return list[0], nil
}

func (p *Proof) miss(format string, args ...any) {
	p.Missing = append(p.Missing, fmt.Sprintf(format, args...))
}

// maxManifest bounds what is read of a manifest; one with 100,000 rotten attachments has 7 MB.
const maxManifest = 64 << 20

// manifest reads what the snapshot says of itself. A salvage does without one that is damaged.
func (w Restore) manifest(ctx context.Context, repository *backup.Repository, found backup.Snapshot, proof *Proof) error {
	proof.Snapshot = found.ID
	m, err := readManifest(ctx, repository, found)
	var damage *backup.DamageError
	switch {
	case w.Salvage && errors.As(err, &damage):
		proof.miss("the manifest, so that nothing can be compared with what was: %v", damage)
	case errors.Is(err, backup.ErrNotFound):
		return fault.Wrap(err, fault.Invalid, "restore.no-manifest")
	case err != nil:
		return err
	case m.Layout > Layout:
		return fault.New(fault.Invalid, "backup.too-new")
	}
	proof.Manifest = m
	return nil
}

func readManifest(ctx context.Context, repository *backup.Repository, found backup.Snapshot) (m Manifest, err error) {
	f, err := repository.ReadFile(ctx, found, manifestPath)
	if err != nil {
		return m, err
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxManifest))
	if err := errors.Join(err, f.Close()); err != nil {
		return m, err
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return Manifest{}, fault.Wrap(err, fault.Invalid, "restore.no-manifest")
	}
	if m.Layout < 1 {
		return Manifest{}, fault.New(fault.Invalid, "restore.no-manifest")
	}
	return m, nil
}

// into restores the tree and builds the data out of it.
func (w Restore) into(ctx context.Context, s *stage, repository *backup.Repository, found backup.Snapshot, proof *Proof) error {
	report, err := repository.Restore(ctx, found, s.tree(), backup.RestoreOptions{SkipDamaged: w.Salvage, Progress: w.Progress})
	if errors.Is(err, backup.ErrNoSpace) {
		return fault.Wrap(err, fault.Unavailable, "disk.full") // not the backup's disk
	}
	if err != nil {
		return err
	}
	b := building{tree: s.tree(), data: s.made(), left: map[string]backup.LeftOut{}, proof: proof}
	for _, out := range report.LeftOut {
		b.left[out.Path] = out
		proof.leftOut(out)
	}
	if err := b.build(ctx); err != nil {
		return err
	}
	if !w.Salvage && !proof.Equal() {
		return fault.New(fault.Invalid, "restore.differs", "what", strings.Join(proof.Missing, "; "))
	}
	return os.RemoveAll(s.tree())
}

// leftOut names a file that did not come back whole. The manifest itself is named already.
func (p *Proof) leftOut(out backup.LeftOut) {
	var damage *backup.DamageError
	what := out.Path + ": "
	if errors.As(out.Err, &damage) {
		what = "" // the error begins with the path
	}
	switch {
	case out.Path == manifestPath:
	case out.MissingBytes > 0:
		p.miss("%s%v; %d of %d bytes are missing", what, out.Err, out.MissingBytes, out.Size)
	default:
		p.miss("%s%v", what, out.Err)
	}
}

// compare says how the restored store differs from what the manifest says.
func (p *Proof) compare() {
	if p.Manifest.Layout == 0 {
		return
	}
	restored := make(map[string]Bucket, len(p.Buckets))
	for _, b := range p.Buckets {
		restored[b.Name] = b
	}
	for _, was := range p.Manifest.Buckets {
		is := restored[was.Name]
		delete(restored, was.Name)
		switch {
		case is == was:
		case is.Count < was.Count:
			p.miss("%s: %d of %d entries are missing", was.Name, was.Count-is.Count, was.Count)
		default:
			p.miss("%s: its %d entries are not the %d of the manifest", was.Name, is.Count, was.Count)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(restored)) {
		p.miss("%s: the manifest does not know its %d entries", name, restored[name].Count)
	}
}
