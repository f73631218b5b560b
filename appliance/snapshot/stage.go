package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/karov-crm/karov/appliance/fault"
)

// stage is the folder beside a new data folder in which a restore works: marker says so, tree holds what came out of
// the repository, data becomes the data folder. It is locked as long as its restore lives.
type stage struct {
	data string // what the data folder is to be called
	dir  string
	lock *os.File
}

// marker tells the folder of an interrupted restore from one that only happens to have its name.
const marker = "KAROV-RESTORE-IN-PROGRESS"

func (s *stage) tree() string { return filepath.Join(s.dir, "tree") }
func (s *stage) made() string { return filepath.Join(s.dir, "data") }

// vacant refuses a folder that holds anything, or that a rename cannot replace. It gives the folder's true path.
func vacant(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find folder to restore into: %w", err)
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return dir, nil
	case err != nil:
		return "", fault.Wrap(err, fault.Invalid, "restore.folder", "folder", dir)
	case len(entries) > 0:
		return "", fault.New(fault.Conflict, "restore.not-empty", "folder", dir)
	}
	var here, above syscall.Stat_t
	if err := errors.Join(syscall.Stat(dir, &here), syscall.Stat(filepath.Dir(dir), &above)); err != nil {
		return "", fault.Wrap(err, fault.Invalid, "restore.folder", "folder", dir)
	}
	if here.Dev != above.Dev {
		return "", fault.New(fault.Conflict, "restore.mount-point", "folder", dir)
	}
	return dir, nil
}

// newStage makes the folder, in place of one that an interrupted restore left.
func newStage(data string) (*stage, error) {
	s := &stage{data: data, dir: data + ".restoring"}
	if err := s.claim(); err != nil {
		return nil, err
	}
	if err := s.prepare(); err != nil {
		return nil, s.end(s.unusable(err))
	}
	return s, nil
}

func (s *stage) unusable(err error) error {
	return fault.Wrap(err, fault.Unavailable, "restore.folder", "folder", s.dir)
}

// claim makes the folder, or takes over what is left of one, and locks it.
func (s *stage) claim() error {
	if err := os.MkdirAll(filepath.Dir(s.dir), 0o700); err != nil {
		return s.unusable(err)
	}
	if err := os.Mkdir(s.dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return s.unusable(err)
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return s.unusable(err)
	}
	if len(entries) > 0 && !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == marker }) {
		return fault.New(fault.Conflict, "restore.not-empty", "folder", s.dir)
	}
	if s.lock, err = os.Open(s.dir); err != nil {
		return s.unusable(err)
	}
	if err := syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return errors.Join(fault.Wrap(err, fault.Conflict, "restore.running", "folder", s.data), s.lock.Close())
	}
	return nil
}

// prepare clears the folder and makes what belongs in it.
func (s *stage) prepare() error {
	for _, dir := range []string{s.tree(), s.tree() + ".partial", s.made()} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	note := []byte("A restore works here. It is safe to delete this folder when none is running.\n")
	if err := os.WriteFile(filepath.Join(s.dir, marker), note, 0o600); err != nil {
		return err
	}
	return os.Mkdir(s.made(), 0o700)
}

// place gives the new data its name, durably. A power cut leaves all of it or nothing under the name.
func (s *stage) place() error {
	if err := unix.Syncfs(int(s.lock.Fd())); err != nil {
		return fmt.Errorf("sync the restored data: %w", err)
	}
	// Not os.Rename, which refuses to replace even an empty folder.
	err := syscall.Rename(s.made(), s.data)
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST) {
		return fault.Wrap(err, fault.Conflict, "restore.not-empty", "folder", s.data)
	}
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "restore.folder", "folder", s.data)
	}
	parent, err := os.Open(filepath.Dir(s.data))
	if err != nil {
		return fmt.Errorf("sync the restored data: %w", err)
	}
	return errors.Join(parent.Sync(), parent.Close())
}

// end removes the folder, whatever came of the restore, and says so where it could not: customers' data lies in it.
func (s *stage) end(err error) error {
	removed := os.RemoveAll(s.dir)
	_ = s.lock.Close() // only read from; the lock goes with it
	if removed == nil {
		return err
	}
	left := fault.Field{Name: s.dir, Key: "restore.left-behind"}
	if err == nil {
		return &fault.Error{Kind: fault.Unavailable, Key: "restore.left-behind", Params: map[string]string{"folder": s.dir}, Err: removed}
	}
	f := fault.Of(err)
	return &fault.Error{Kind: f.Kind, Key: f.Key, Params: f.Params, Fields: append(f.Fields[:len(f.Fields):len(f.Fields)], left), Err: errors.Join(err, removed)}
}
