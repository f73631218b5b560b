// Package disk keeps a backup repository in a folder of a file system: a disk of
// this machine, one on USB, a mounted share.
//
// It owns that folder's config, keys, data, index, snapshots and locks, in the
// layout stock restic uses, and leaves everything else in it alone.
//
// It promises what backup.Target does. A file is written beside its place, synced,
// renamed and its folder synced, so it is there whole or not at all, also after a
// power cut; then it is made read-only. What a killed program left half-written is
// removed by New once it is an hour old. Folders are 0700 and files 0400.
//
// It will not follow names out of its folder, nor make the folder's parents.
package disk

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/karov-crm/karov/backup"
)

const (
	dirMode  = 0o700
	fileMode = 0o400
	tempMark = "-tmp-"
	// leftover is the age from which a temporary file is nobody's any more.
	leftover = time.Hour
)

// Target is a repository folder. It implements backup.Target.
type Target struct{ dir string }

// New returns the target in dir. The folder is made by the first Save; what
// killed programs left half-written in it is removed.
func New(dir string) (*Target, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find repository folder: %w", err)
	}
	info, err := os.Stat(abs)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("look at repository folder: %w", err)
	case !info.IsDir():
		return nil, fmt.Errorf("repository %s is not a folder: %w", abs, fs.ErrInvalid)
	}
	t := &Target{dir: abs}
	t.sweep(time.Now().Add(-leftover))
	return t, nil
}

// Location returns the path of the folder.
func (t *Target) Location() string { return t.dir }

// folder returns where files of a kind live.
func (t *Target) folder(kind backup.FileKind) (string, error) {
	switch kind {
	case backup.ConfigFile:
		return t.dir, nil
	case backup.KeyFile:
		return filepath.Join(t.dir, "keys"), nil
	case backup.PackFile:
		return filepath.Join(t.dir, "data"), nil
	case backup.IndexFile:
		return filepath.Join(t.dir, "index"), nil
	case backup.SnapshotFile:
		return filepath.Join(t.dir, "snapshots"), nil
	case backup.LockFile:
		return filepath.Join(t.dir, "locks"), nil
	}
	return "", fmt.Errorf("kind of file %q: %w", kind, fs.ErrInvalid)
}

func (t *Target) path(kind backup.FileKind, name string) (string, error) {
	dir, err := t.folder(kind)
	if err != nil {
		return "", err
	}
	if !validName(kind, name) {
		return "", fmt.Errorf("name %q of a %s file: %w", name, kind, fs.ErrInvalid)
	}
	if kind == backup.PackFile {
		dir = filepath.Join(dir, name[:2])
	}
	return filepath.Join(dir, name), nil
}

func validName(kind backup.FileKind, name string) bool {
	if kind == backup.ConfigFile {
		return name == backup.ConfigName
	}
	return len(name) == 64 && strings.Trim(name, "0123456789abcdef") == ""
}

// Save writes a file, whole and durable or not at all.
func (t *Target) Save(ctx context.Context, kind backup.FileKind, name string, data []byte) error {
	path, err := t.path(kind, name)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if done, err := saved(path, data); done || err != nil {
		return translate("save "+string(kind), err)
	}
	if err := t.makeFolder(filepath.Dir(path)); err != nil {
		return translate("make folder", err)
	}
	return translate("save "+string(kind), place(path, data))
}

// saved reports whether the file is there with these bytes; with others it fails.
func saved(path string, data []byte) (bool, error) {
	have, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case bytes.Equal(have, data):
		return true, syncFolder(filepath.Dir(path))
	}
	return false, fmt.Errorf("%s holds other bytes: %w", path, fs.ErrExist)
}

// place writes a temporary file in the same folder and gives it its name. Two
// writers of one name write the same bytes, so it does not matter who comes last;
// only the config is not named by its bytes, and there a link decides.
func place(path string, data []byte) (err error) {
	temp := path + tempMark + rand.Text()[:12]
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreMissing(os.Remove(temp)))
		}
	}()
	if err := fill(f, data); err != nil {
		return err
	}
	if filepath.Base(path) == backup.ConfigName {
		err = os.Link(temp, path)
		if errors.Is(err, fs.ErrExist) {
			return err
		}
		if err == nil {
			return errors.Join(os.Remove(temp), syncFolder(filepath.Dir(path)))
		}
		// A file system without links: rename, and trust Init's look before.
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func fill(f *os.File, data []byte) error {
	_, err := f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		// Shares without modes refuse this; the file is good all the same.
		if err := f.Chmod(fileMode); err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, errors.ErrUnsupported) {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(err, f.Close())
}

// makeFolder makes dir and what is missing above it, down from the repository.
func (t *Target) makeFolder(dir string) error {
	err := os.Mkdir(dir, dirMode)
	if err == nil {
		return syncFolder(filepath.Dir(dir))
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) && dir != t.dir {
		if err := t.makeFolder(filepath.Dir(dir)); err != nil {
			return err
		}
		return t.makeFolder(dir)
	}
	return err
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) {
		err = nil // shares on which a folder can not be synced
	}
	return errors.Join(err, d.Close())
}

// Load reads a part of a file.
func (t *Target) Load(ctx context.Context, kind backup.FileKind, name string, offset, length int64) ([]byte, error) {
	path, err := t.path(kind, name)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	data, err := load(path, offset, length)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", kind, err)
	}
	return data, nil
}

func load(path string, offset, length int64) (data []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if offset < 0 || length < 0 {
		return nil, fmt.Errorf("range %d+%d: %w", offset, length, fs.ErrInvalid)
	}
	if length == 0 {
		length = info.Size() - offset
	}
	if length < 0 || offset+length > info.Size() {
		return nil, fmt.Errorf("%s has %d bytes: %w", path, info.Size(), io.ErrUnexpectedEOF)
	}
	data = make([]byte, length)
	if _, err := f.ReadAt(data, offset); err != nil && !(errors.Is(err, io.EOF) && length == 0) {
		return nil, err
	}
	return data, nil
}

// List yields the files of a kind.
func (t *Target) List(ctx context.Context, kind backup.FileKind) iter.Seq2[backup.FileInfo, error] {
	return func(yield func(backup.FileInfo, error) bool) {
		dir, err := t.folder(kind)
		if err != nil {
			yield(backup.FileInfo{}, err)
			return
		}
		t.list(ctx, kind, dir, yield)
	}
}

func (t *Target) list(ctx context.Context, kind backup.FileKind, dir string, yield func(backup.FileInfo, error) bool) bool {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		yield(backup.FileInfo{}, fmt.Errorf("list %s: %w", kind, err))
		return false
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			yield(backup.FileInfo{}, err)
			return false
		}
		if e.IsDir() {
			if kind == backup.PackFile && len(e.Name()) == 2 && !t.list(ctx, kind, filepath.Join(dir, e.Name()), yield) {
				return false
			}
			continue
		}
		if !validName(kind, e.Name()) || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			yield(backup.FileInfo{}, fmt.Errorf("list %s: %w", kind, err))
			return false
		}
		if !yield(backup.FileInfo{Name: e.Name(), Size: info.Size(), ModTime: info.ModTime()}, nil) {
			return false
		}
	}
	return true
}

// Remove deletes a file.
func (t *Target) Remove(ctx context.Context, kind backup.FileKind, name string) error {
	path, err := t.path(kind, name)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	err = os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	return translate("remove "+string(kind), err)
}

// sweep removes temporary files older than the limit. It is housekeeping: what it
// can not remove stays, and harms nobody.
func (t *Target) sweep(before time.Time) {
	dirs := make([]string, 0, 256+5)
	for n := range 256 {
		dirs = append(dirs, filepath.Join(t.dir, "data", fmt.Sprintf("%02x", n)))
	}
	for _, name := range []string{"", "keys", "index", "snapshots", "locks"} {
		dirs = append(dirs, filepath.Join(t.dir, name))
	}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if !isTemp(e.Name()) {
				continue
			}
			if info, err := e.Info(); err == nil && info.Mode().IsRegular() && info.ModTime().Before(before) {
				_ = os.Remove(filepath.Join(dir, e.Name()))
			}
		}
	}
}

func isTemp(name string) bool {
	stem, random, ok := strings.Cut(name, tempMark)
	if !ok || len(random) != 12 {
		return false
	}
	return validName(backup.ConfigFile, stem) || validName(backup.PackFile, stem)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// translate names the kinds of failure that callers tell apart.
func translate(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%s: %w: %w", what, backup.ErrNoSpace, err)
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: %w: %w", what, backup.ErrReadOnly, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
