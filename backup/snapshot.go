package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/karov-crm/karov/backup/repo"
)

// SnapshotOptions is what a snapshot says about itself. Hostname and Paths should
// stay the same over time: stock restic groups by them when it forgets.
type SnapshotOptions struct {
	Hostname       string   // default: this machine's
	Username       string   // default: who runs this program
	Paths          []string // default: "/"
	Tags           []string
	ProgramVersion string
	Time           time.Time // default: now
	// Progress is told after each piece read, from one goroutine. It must be quick.
	Progress func(Progress)
}

// Snapshot is one backup.
type Snapshot struct {
	ID             string
	Time           time.Time
	Hostname       string
	Username       string
	Paths          []string
	Tags           []string
	ProgramVersion string
	// Tree is the ID of the listing of its root.
	Tree string
	// Summary is zero for snapshots of programs that write none.
	Summary Summary
}

// Summary says how large a snapshot is and what it cost.
type Summary struct {
	Files, Bytes uint64
	// Added are the plain bytes that were not stored before, AddedStored what they
	// take in the repository.
	Added, AddedStored uint64
	Duration           time.Duration
}

// Snapshot stores what src yields and returns when it is durable. If it fails,
// there is no snapshot, and the pieces stored so far serve the next attempt.
func (r *Repository) Snapshot(ctx context.Context, src Source, o SnapshotOptions) (Snapshot, error) {
	if r.config.Version < repo.Version {
		return Snapshot{}, ErrTooOld
	}
	began := time.Now()
	ctx, release, err := r.lock(ctx, lockMode{settle: settle})
	if err != nil {
		return Snapshot{}, err
	}
	defer release()
	run := &snapshotRun{r: r, o: o, root: newFolder()}
	tree, stats, err := run.store(ctx, src)
	if err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, ErrLockLost) || errors.Is(cause, ErrClosed) {
			err = cause
		}
		return Snapshot{}, fmt.Errorf("make snapshot: %w", err)
	}
	meta := run.describe(tree, began, stats)
	sealed, err := r.codec.SealFile(meta)
	if err != nil {
		return Snapshot{}, fmt.Errorf("write snapshot: %w", err)
	}
	id := repo.Hash(sealed)
	if err := context.Cause(ctx); err != nil {
		return Snapshot{}, fmt.Errorf("make snapshot: %w", err)
	}
	if err := r.target.Save(ctx, SnapshotFile, id.String(), sealed); err != nil {
		return Snapshot{}, fmt.Errorf("store snapshot: %w", err)
	}
	return newSnapshot(id.String(), meta), nil
}

// snapshotRun is the making of one snapshot.
type snapshotRun struct {
	r        *Repository
	o        SnapshotOptions
	root     *folder
	cutters  cutters
	pieces   sync.WaitGroup
	progress Progress
	trees    uint64
}

func (run *snapshotRun) store(ctx context.Context, src Source) (repo.ID, saveStats, error) {
	x, pending, err := run.r.indexToWrite(ctx)
	if err != nil {
		return repo.ID{}, saveStats{}, err
	}
	run.cutters.pol = run.r.config.Polynomial
	s := run.r.newSaver(ctx, x, pending)
	tree, err := run.read(s, src)
	if err != nil {
		return repo.ID{}, saveStats{}, s.abort(err)
	}
	if err := s.close(); err != nil {
		return repo.ID{}, saveStats{}, err
	}
	return tree, s.stats, nil
}

// indexToWrite returns what counts as stored when new pieces are compared with it,
// and the packs that have to be indexed. Packs that are missing or have another
// size do not count, so that what they held is stored again while it can be read.
// Packs that an interrupted run left, or whose index is damaged, count again.
func (r *Repository) indexToWrite(ctx context.Context) (*repo.Index, []repo.IndexedPack, error) {
	loaded, err := r.loadIndex(ctx)
	if err != nil {
		return nil, nil, err
	}
	var pending []repo.IndexedPack
	broken := make(map[repo.ID]bool)
	for _, p := range loaded.unlisted {
		// Others may trust an index to name sound packs only: look at all of it.
		_, err := r.loadNamed(ctx, PackFile, p.ID.String())
		switch {
		case ctx.Err() != nil:
			return nil, nil, ctx.Err()
		case err != nil || p.Blobs == nil:
			broken[p.ID] = true
		default:
			pending = append(pending, p)
		}
	}
	x := repo.NewIndex()
	for p := range loaded.Packs() {
		if size, ok := loaded.sizes[p.ID]; ok && size == repo.PackSize(p.Blobs) && !broken[p.ID] {
			x.Add(p)
		}
	}
	return x, pending, nil
}

func (run *snapshotRun) read(s *saver, src Source) (repo.ID, error) {
	for e, err := range src.Entries(s.ctx) {
		if err != nil {
			return repo.ID{}, fmt.Errorf("read source: %w", err)
		}
		file, err := run.root.place(e)
		if err != nil {
			return repo.ID{}, err
		}
		if file == nil {
			continue
		}
		run.progress.Path = e.Path
		if err := run.readFile(s, e, file); err != nil {
			return repo.ID{}, fmt.Errorf("read %s: %w", e.Path, err)
		}
		run.progress.Files++
		run.report()
	}
	if err := context.Cause(s.ctx); err != nil {
		return repo.ID{}, err
	}
	run.pieces.Wait()
	tree, _, err := run.root.store(func(plain []byte) (repo.ID, error) {
		run.trees++
		return s.save(repo.TreeBlob, plain)
	})
	return tree, err
}

func (run *snapshotRun) readFile(s *saver, e Entry, file *storedFile) (err error) {
	rd, err := e.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rd.Close()) }()
	cut, err := run.cutters.cut(rd, e.Records)
	if err != nil {
		return err
	}
	for {
		buf := s.buffer()
		*buf, err = cut.Next(*buf)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		size := uint64(len(*buf))
		id := new(repo.ID)
		file.content = append(file.content, id)
		file.size += size
		if err := s.add(buf, id, &run.pieces); err != nil {
			return err
		}
		run.progress.Bytes += size
		run.report()
	}
}

func (run *snapshotRun) report() {
	if run.o.Progress != nil {
		run.o.Progress(run.progress)
	}
}

func (run *snapshotRun) describe(tree repo.ID, began time.Time, stats saveStats) *repo.Snapshot {
	o := run.o
	if o.Hostname == "" {
		o.Hostname = run.r.host.real
	}
	if o.Username == "" {
		o.Username = userName()
	}
	if len(o.Paths) == 0 {
		o.Paths = []string{"/"}
	}
	if o.Time.IsZero() {
		o.Time = began
	}
	o.Time = o.Time.Round(0)
	return &repo.Snapshot{Time: o.Time, Tree: &tree, Paths: slices.Clone(o.Paths), Hostname: o.Hostname, Username: o.Username,
		UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Tags: slices.Clone(o.Tags), ProgramVersion: o.ProgramVersion,
		Summary: &repo.Summary{BackupStart: began, BackupEnd: time.Now(), FilesNew: run.progress.Files, DirsNew: run.trees,
			DataBlobs: stats.dataBlobs, TreeBlobs: stats.treeBlobs, DataAdded: stats.added, DataAddedPacked: stats.addedPacked,
			TotalFilesProcessed: run.progress.Files, TotalBytesProcessed: run.progress.Bytes}}
}

func newSnapshot(id string, m *repo.Snapshot) Snapshot {
	s := Snapshot{ID: id, Time: m.Time, Hostname: m.Hostname, Username: m.Username, Paths: m.Paths, Tags: m.Tags,
		ProgramVersion: m.ProgramVersion, Tree: m.Tree.String()}
	if sum := m.Summary; sum != nil {
		s.Summary = Summary{Files: sum.TotalFilesProcessed, Bytes: sum.TotalBytesProcessed, Added: sum.DataAdded,
			AddedStored: sum.DataAddedPacked, Duration: sum.BackupEnd.Sub(sum.BackupStart)}
	}
	return s
}
