// Package blob keeps attachments on disk, each named by the SHA-256 of its bytes.
//
// It owns the folder blobs/ of the data folder: ab/cd/<64 hex digits>. It promises that Put returns only after the
// bytes are durable, that a half-written file is never seen under a name, and that the same bytes are kept once. Names
// come from content, so nothing is ever overwritten.
//
// It will not know what refers to a blob: records do, and a backup takes what it finds here. It deletes one only when
// somebody who knows that asks (Remove). It will not make the bytes of a removed file unreadable on the disk: that is for
// an encrypted disk.
package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
)

// Store is a folder of blobs. It is safe for use from any goroutine.
type Store struct {
	dir string
	now func() time.Time

	mu    sync.Mutex
	again map[string]time.Time // blobs that were Put while they were here already, lately
}

const (
	incoming = "incoming"
	// grace is how long who Put a blob has for writing down that he needs it, when it was here already: until then it
	// may be that nobody else does.
	grace = 10 * time.Minute
)

// Open opens the folder, making it where there is none. What a crash left half-written is removed.
func Open(dir string) (*Store, error) {
	if err := os.RemoveAll(filepath.Join(dir, incoming)); err != nil {
		return nil, fmt.Errorf("clear half-written blobs: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, incoming), 0o700); err != nil {
		return nil, diskFault("make blob folder", err)
	}
	for _, made := range []string{dir, filepath.Dir(filepath.Clean(dir))} {
		if err := syncFolder(made); err != nil {
			return nil, diskFault("sync blob folder", err)
		}
	}
	return &Store{dir: dir, now: time.Now, again: map[string]time.Time{}}, nil
}

var nameShape = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (s *Store) path(hash string) string { return filepath.Join(s.dir, hash[:2], hash[2:4], hash) }

// Put keeps what r gives and returns its name and size when it is durable. A full disk is an Unavailable fault, and
// nothing stays of the attempt.
func (s *Store) Put(ctx context.Context, r io.Reader) (hash string, size int64, err error) {
	f, err := os.CreateTemp(filepath.Join(s.dir, incoming), "blob-")
	if err != nil {
		return "", 0, diskFault("make blob", err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // after a rename there is nothing left to remove
	defer f.Close()
	sum := sha256.New()
	size, err = io.Copy(io.MultiWriter(f, sum), readerUntil{ctx, r})
	if err != nil {
		return "", 0, diskFault("write blob", err)
	}
	if err := f.Sync(); err != nil {
		return "", 0, diskFault("sync blob", err)
	}
	hash = hex.EncodeToString(sum.Sum(nil))
	return hash, size, s.place(f.Name(), hash)
}

// place gives a written file its name, durably.
func (s *Store) place(from, hash string) error {
	to := s.path(hash)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return diskFault("make blob folder", err)
	}
	if err := s.name(from, to, hash); err != nil {
		return diskFault("name blob", err)
	}
	// Also for what was here: whoever named it may not have come to its sync yet.
	for dir := filepath.Dir(to); ; dir = filepath.Dir(dir) {
		if err := syncFolder(dir); err != nil {
			return diskFault("sync blob folder", err)
		}
		if dir == filepath.Clean(s.dir) {
			return nil
		}
	}
}

// name names a written file, unless the same bytes are here already: then Remove is told that somebody needs them.
func (s *Store) name(from, to, hash string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	maps.DeleteFunc(s.again, func(_ string, at time.Time) bool { return now.Sub(at) > grace })
	// Another file of another length is a damaged one, and these are its bytes.
	if old, err := os.Stat(to); err == nil && sameSize(old, from) {
		s.again[hash] = now
		return nil
	}
	return os.Rename(from, to)
}

// Remove deletes a blob that nothing refers to any more, durably; one that is not here is no error. One that was Put
// again a short while ago is Unavailable "blob.in-use": a record that names it may be on its way.
func (s *Store) Remove(hash string) error {
	if !nameShape.MatchString(hash) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok := s.again[hash]; ok && s.now().Sub(at) <= grace {
		return fault.New(fault.Unavailable, "blob.in-use")
	}
	err := os.Remove(s.path(hash))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return diskFault("remove blob", err)
	}
	return syncFolder(filepath.Dir(s.path(hash)))
}

func sameSize(old fs.FileInfo, file string) bool {
	fresh, err := os.Stat(file)
	return err == nil && old.Mode().IsRegular() && old.Size() == fresh.Size()
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Open gives the bytes of a blob. Reading them to the end checks them: damaged ones end with an Invalid fault.
func (s *Store) Open(hash string) (io.ReadCloser, error) {
	if !nameShape.MatchString(hash) {
		return nil, fault.Missing("blob", hash)
	}
	f, err := os.Open(s.path(hash))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Missing("blob", hash)
	}
	if err != nil {
		return nil, fmt.Errorf("open blob: %w", err)
	}
	return &checked{f: f, sum: sha256.New(), hash: hash}, nil
}

// All yields the names of all blobs, in order.
func (s *Store) All() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && d.Name() == incoming {
				return fs.SkipDir
			}
			if !d.IsDir() && nameShape.MatchString(d.Name()) && !yield(d.Name(), nil) {
				return fs.SkipAll
			}
			return nil
		})
		if err != nil {
			yield("", fmt.Errorf("list blobs: %w", err))
		}
	}
}

// checked compares what was read with the blob's name at its end.
type checked struct {
	f   *os.File
	sum interface {
		io.Writer
		Sum([]byte) []byte
	}
	hash string
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.f.Read(p)
	_, _ = c.sum.Write(p[:n])
	if err == io.EOF && hex.EncodeToString(c.sum.Sum(nil)) != c.hash {
		return n, fault.New(fault.Invalid, "blob.damaged", "blob", c.hash)
	}
	return n, err
}

func (c *checked) Close() error { return c.f.Close() }

type readerUntil struct {
	ctx context.Context
	r   io.Reader
}

func (r readerUntil) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

func diskFault(doing string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fault.Wrap(fmt.Errorf("%s: %w", doing, err), fault.Unavailable, "disk.full")
	}
	return fmt.Errorf("%s: %w", doing, err)
}
