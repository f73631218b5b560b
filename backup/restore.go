package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/karov-crm/karov/backup/repo"
	"golang.org/x/sync/errgroup"
)

const (
	partialSuffix = ".partial"
	// markerName is beside the staged tree and tells an interrupted restore from a
	// folder that only happens to have this name.
	markerName = "KAROV-RESTORE-IN-PROGRESS"
	stagedName = "tree"
)

// ErrSpecial is why devices, pipes and sockets are left out of a restore.
var ErrSpecial = errors.New("devices, pipes and sockets are not restored")

// RestoreOptions says what to restore and how to meet damage.
type RestoreOptions struct {
	// SkipDamaged restores everything that is sound, of damaged files too: see
	// LeftOut.Partial. Without it a restore stops at the first damage and leaves
	// nothing behind.
	SkipDamaged bool
	// Only restores these files and folders alone. One that is not in the snapshot
	// is an error.
	Only []string
	// Progress is told after each piece written. It must be quick; it is not called
	// by two goroutines at once.
	Progress func(Progress)
}

// RestoreReport says what a restore brought back and what it did not.
type RestoreReport struct {
	Dir          string
	Files, Bytes uint64
	// LeftOut names every file, and every folder with a slash at its end, that is
	// not, or not entirely, in Dir. It is empty if and only if all that was asked
	// for was restored.
	LeftOut []LeftOut
}

// Restore writes the files of a snapshot into dir, which must be new or empty. It
// writes beside it, into dir.partial, and renames when all is there and durable. If
// it fails, dir is as before; what was written is removed, by the next restore if
// the program was killed. Nothing is ever written outside of the folder.
func (r *Repository) Restore(ctx context.Context, snap Snapshot, dir string, o RestoreOptions) (RestoreReport, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return RestoreReport{}, fmt.Errorf("find folder to restore to: %w", err)
	}
	if err := checkVacant(dir); err != nil {
		return RestoreReport{}, err
	}
	ctx, release, err := r.lockToRead(ctx)
	if err != nil {
		return RestoreReport{}, err
	}
	defer release()
	x, err := r.currentIndex(ctx)
	if err != nil {
		return RestoreReport{}, err
	}
	run := &restoreRun{rd: r.newReader(x), o: o, only: newSelection(o.Only), report: RestoreReport{Dir: dir}}
	if err := run.plan(ctx, snap, filepath.Dir(dir)); err != nil {
		return RestoreReport{}, fmt.Errorf("restore: %w", err)
	}
	if err := run.into(ctx, snap, dir); err != nil {
		return RestoreReport{}, fmt.Errorf("restore: %w", fullDisk(err))
	}
	return run.report, nil
}

func fullDisk(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}

func checkVacant(dir string) error {
	info, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look at folder to restore to: %w", err)
	case !info.IsDir():
		return fmt.Errorf("restore to %s: %w", dir, ErrNotEmpty)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("look at folder to restore to: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("restore to %s: %w", dir, ErrNotEmpty)
	}
	return nil
}

// restoreRun is one restore.
type restoreRun struct {
	rd   reader
	o    RestoreOptions
	only *selection
	root *os.Root

	dirs  []visit // to get their times last, when nothing is written in them any more
	links []visit // to be made last, so that nothing is written through them

	mu       sync.Mutex
	report   RestoreReport
	progress Progress
}

// plan reads all listings before anything is written: it finds the total, damage
// that would stop the restore anyway, and whether there is room.
func (run *restoreRun) plan(ctx context.Context, snap Snapshot, parent string) error {
	err := run.rd.walk(ctx, snap, func(v visit) error {
		if v.err != nil {
			if run.o.SkipDamaged {
				return nil
			}
			return v.err
		}
		if !run.only.wants(v.path) {
			return fs.SkipDir
		}
		if v.node.Type == repo.FileNode {
			run.progress.TotalFiles++
			run.progress.TotalBytes += v.node.Size
		}
		return nil
	})
	if err != nil {
		return err
	}
	free, err := room(parent)
	if err != nil {
		return err
	}
	if free < run.progress.TotalBytes {
		return fmt.Errorf("%d bytes are needed in %s and %d are free: %w", run.progress.TotalBytes, parent, free, ErrNoSpace)
	}
	return nil
}

func (run *restoreRun) into(ctx context.Context, snap Snapshot, dir string) (err error) {
	stage := dir + partialSuffix
	if err := makeStage(stage); err != nil {
		return err
	}
	defer func() {
		if e := os.RemoveAll(stage); e != nil {
			err = errors.Join(err, fmt.Errorf("remove %s: %w", stage, e))
		}
	}()
	staged := filepath.Join(stage, stagedName)
	if run.root, err = os.OpenRoot(staged); err != nil {
		return err
	}
	err = run.fill(ctx, snap)
	if e := run.root.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = run.only.unmet(run.report.LeftOut)
	}
	if err != nil {
		return err
	}
	if err := syncVolume(staged); err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	// Not os.Rename, which refuses to replace even an empty folder.
	if err := syscall.Rename(staged, dir); err != nil {
		return fmt.Errorf("give the restored folder its name: %w", err)
	}
	return syncVolume(filepath.Dir(dir))
}

// makeStage makes the folder to write in, in place of one that a killed restore left.
func makeStage(stage string) error {
	if _, err := os.Lstat(filepath.Join(stage, markerName)); err == nil {
		if err := os.RemoveAll(stage); err != nil {
			return fmt.Errorf("remove what an interrupted restore left: %w", err)
		}
	}
	err := os.Mkdir(stage, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make %s: %w", stage, ErrNotEmpty)
	}
	if err != nil {
		return fmt.Errorf("make folder to restore in: %w", err)
	}
	err = os.WriteFile(filepath.Join(stage, markerName), []byte("A restore writes here. It is safe to delete this folder when none is running.\n"), 0o600)
	if err == nil {
		err = os.Mkdir(filepath.Join(stage, stagedName), 0o700)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("make folder to restore in: %w", err), os.RemoveAll(stage))
	}
	return nil
}

func (run *restoreRun) fill(ctx context.Context, snap Snapshot) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers())
	err := run.rd.walk(ctx, snap, func(v visit) error { return run.entry(ctx, group, v) })
	if wait := group.Wait(); wait != nil {
		// The walk only heard that it should stop.
		return wait
	}
	if err != nil {
		return err
	}
	return run.finish()
}

func (run *restoreRun) entry(ctx context.Context, group *errgroup.Group, v visit) error {
	if v.err != nil {
		return run.leaveOut(v.path+"/", v.err)
	}
	if !run.only.wants(v.path) {
		return fs.SkipDir
	}
	switch v.node.Type {
	case repo.DirNode:
		run.dirs = append(run.dirs, v)
		return run.root.Mkdir(v.path, 0o700)
	case repo.SymlinkNode:
		run.links = append(run.links, v)
	case repo.FileNode:
		group.Go(func() error { return run.file(ctx, v) })
	default:
		run.mu.Lock()
		defer run.mu.Unlock()
		run.report.LeftOut = append(run.report.LeftOut, LeftOut{Path: v.path, Err: ErrSpecial})
	}
	return nil
}

func (run *restoreRun) leaveOut(path string, err error) error {
	if !run.o.SkipDamaged || !isDamage(err) {
		return err
	}
	run.mu.Lock()
	defer run.mu.Unlock()
	run.report.LeftOut = append(run.report.LeftOut, LeftOut{Path: path, Err: err})
	return nil
}

func (run *restoreRun) file(ctx context.Context, v visit) error {
	f, err := run.root.OpenFile(v.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	w := &restoreWriter{run: run, f: f, path: v.path}
	var left *LeftOut
	if run.o.SkipDamaged {
		left, err = run.rd.copySound(ctx, v, w)
	} else {
		err = run.rd.copyFile(ctx, v.node, v.path, w)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	switch {
	case err != nil:
		return err // all that was written is removed together
	case left != nil && left.Partial == "":
		err = run.root.Remove(v.path)
	default:
		err = errors.Join(run.root.Chmod(v.path, v.node.Mode.Perm()), run.root.Chtimes(v.path, v.node.ModTime, v.node.ModTime))
	}
	if err != nil {
		return err
	}
	run.mu.Lock()
	defer run.mu.Unlock()
	if left != nil {
		run.report.LeftOut = append(run.report.LeftOut, *left)
		return nil
	}
	run.report.Files++
	run.report.Bytes += v.node.Size
	run.progress.Files++
	run.tell()
	return nil
}

// tell reports the progress; the lock is held.
func (run *restoreRun) tell() {
	if run.o.Progress != nil {
		run.o.Progress(run.progress)
	}
}

type restoreWriter struct {
	run  *restoreRun
	f    *os.File
	path string
}

// Write writes to the file and tells the progress.
func (w *restoreWriter) Write(plain []byte) (int, error) {
	n, err := w.f.Write(plain)
	w.run.mu.Lock()
	defer w.run.mu.Unlock()
	w.run.progress.Bytes += uint64(n)
	w.run.progress.Path = w.path
	w.run.tell()
	return n, err
}

// finish makes the links, gives what is left of damaged files its name, and gives
// the folders their times, the deepest first.
func (run *restoreRun) finish() error {
	for _, v := range run.links {
		if err := run.root.Symlink(v.node.LinkTarget, v.path); err != nil {
			return err
		}
	}
	if err := run.namePartials(); err != nil {
		return err
	}
	for i := len(run.dirs) - 1; i >= 0; i-- {
		v := run.dirs[i]
		err := errors.Join(run.root.Chtimes(v.path, v.node.ModTime, v.node.ModTime), run.root.Chmod(v.path, v.node.Mode.Perm()))
		if err != nil {
			return err
		}
	}
	return nil
}

// selection is which paths are wanted; none named means all.
type selection struct {
	prefixes []string
	met      []bool
}

func newSelection(only []string) *selection {
	s := &selection{}
	for _, p := range only {
		if p = strings.Trim(p, "/"); p != "" && p != "." {
			s.prefixes = append(s.prefixes, p)
		}
	}
	s.met = make([]bool, len(s.prefixes))
	return s
}

// wants reports whether the path is wanted, is in what is wanted or leads to it.
func (s *selection) wants(path string) bool {
	if len(s.prefixes) == 0 {
		return true
	}
	want := false
	for i, p := range s.prefixes {
		switch {
		case path == p:
			s.met[i], want = true, true
		case strings.HasPrefix(path, p+"/"), strings.HasPrefix(p, path+"/"):
			want = true
		}
	}
	return want
}

// unmet returns an error for a path that was asked for and is not in the snapshot.
// One in a folder whose listing is damaged may be there or not.
func (s *selection) unmet(left []LeftOut) error {
	for i, p := range s.prefixes {
		met := s.met[i]
		for _, l := range left {
			folder, isDir := strings.CutSuffix(l.Path, "/")
			met = met || isDir && (folder == "" || strings.HasPrefix(p, folder+"/"))
		}
		if !met {
			return fmt.Errorf("find %s in the snapshot: %w", p, ErrNotFound)
		}
	}
	return nil
}
