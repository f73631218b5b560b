package disk_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/karov-crm/karov/backup"
	"github.com/karov-crm/karov/backup/disk"
	"github.com/karov-crm/karov/backup/targettest"
)

func open(t *testing.T, dir string) *disk.Target {
	t.Helper()
	target, err := disk.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func TestTarget(t *testing.T) {
	targettest.Run(t, func(t *testing.T) (backup.Target, func() backup.Target) {
		dir := filepath.Join(t.TempDir(), "a [strange] *name*")
		return open(t, dir), func() backup.Target { return open(t, dir) }
	})
}

var name = strings.Repeat("ab", 32)

func TestFilesAreReadOnlyAndPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "repo")
	if err := open(t, dir).Save(t.Context(), backup.PackFile, name, []byte("x")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{"": 0o700, "data": 0o700, "data/ab": 0o700, "data/ab/" + name: 0o400} {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%q has mode %v, %v", path, info.Mode(), err)
		}
	}
}

func TestLeftoversAreCleaned(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "repo")
	if err := open(t, dir).Save(t.Context(), backup.PackFile, name, []byte("x")); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * time.Hour)
	put := func(path string, when time.Time) string {
		path = filepath.Join(dir, path)
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
		return path
	}
	gone := put("data/ab/"+name+"-tmp-ABCDEFGHIJKL", old)
	stay := []string{
		put("data/ab/"+name+"-tmp-MNOPQRSTUVWX", time.Now()), // somebody may still write it
		put("notes-tmp-ABCDEFGHIJKL", old),
		put("README.txt", old),
	}
	target := open(t, dir)
	if _, err := os.Stat(gone); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("leftover is still there: %v", err)
	}
	for _, path := range stay {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	count := 0
	for _, err := range target.List(t.Context(), backup.PackFile) {
		if err != nil {
			t.Fatal(err)
		}
		count++
	}
	if count != 1 {
		t.Errorf("%d packs are listed", count)
	}
}

func TestRefusesFileAsFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := disk.New(path); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("file taken for a folder: %v", err)
	}
}

// small mounts a file system of the given size; that takes root.
func small(t *testing.T, size, flags string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size+flags); err != nil {
		t.Skipf("NOT TESTED, A FILE SYSTEM MUST BE MOUNTED, RUN AS ROOT: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestFullDisk(t *testing.T) {
	dir := small(t, "64k", "")
	target := open(t, dir)
	err := target.Save(t.Context(), backup.PackFile, name, make([]byte, 1<<20))
	if !errors.Is(err, backup.ErrNoSpace) {
		t.Fatalf("save on a full disk: %v", err)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			t.Errorf("left behind: %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if err := target.Save(t.Context(), backup.PackFile, name, []byte("small")); err != nil {
		t.Errorf("save when there is room again: %v", err)
	}
}

func TestReadOnlyDisk(t *testing.T) {
	dir := small(t, "1m", "")
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if err := open(t, dir).Save(t.Context(), backup.PackFile, name, []byte("x")); !errors.Is(err, backup.ErrReadOnly) {
		t.Errorf("save on a read-only disk: %v", err)
	}
}
