package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
)

func open(t testing.TB) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "blobs"))
	must(t, err)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *Store) read(hash string) (string, error) {
	r, err := s.Open(hash)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return string(b), err
}

// files lists every file of the folder, half-written ones too.
func files(t testing.TB, dir string) (found []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found = append(found, d.Name())
		}
		return err
	}))
	return found
}

func TestPutAndOpen(t *testing.T) {
	s := open(t)
	var all []string
	for _, content := range []string{"", "x", strings.Repeat("long ", 100_000)} {
		hash, size, err := s.Put(t.Context(), strings.NewReader(content))
		must(t, err)
		if sum := sha256.Sum256([]byte(content)); hash != hex.EncodeToString(sum[:]) || size != int64(len(content)) {
			t.Errorf("Put = %s, %d", hash, size)
		}
		if back, err := s.read(hash); err != nil || back != content {
			t.Errorf("%d bytes came back as %d, %v", len(content), len(back), err)
		}
		info, err := os.Stat(s.path(hash))
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("others may read it: %v", info.Mode())
		}
		all = append(all, hash)
	}
	slices.Sort(all)
	var listed []string
	for name, err := range s.All() {
		must(t, err)
		listed = append(listed, name)
	}
	if !slices.Equal(listed, all) || len(files(t, s.dir)) != 3 {
		t.Errorf("All = %v, want %v; files %v", listed, all, files(t, s.dir))
	}
	for range s.All() {
		break
	}
}

func TestSameBytesAreKeptOnce(t *testing.T) {
	s := open(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, _, err := s.Put(t.Context(), strings.NewReader("same")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if left := files(t, s.dir); len(left) != 1 {
		t.Errorf("files %v", left)
	}
}

func TestDamagedFileIsNoticed(t *testing.T) {
	for what, bad := range map[string]string{"a byte changed": "contenT", "cut": "cont", "longer": "content+", "emptied": ""} {
		s := open(t)
		hash, _, err := s.Put(t.Context(), strings.NewReader("content"))
		must(t, err)
		must(t, os.WriteFile(s.path(hash), []byte(bad), 0o600))
		if _, err := s.read(hash); fault.KindOf(err) != fault.Invalid || fault.Of(err).Key != "blob.damaged" {
			t.Errorf("%s: %v", what, err)
		}
		if _, _, err := s.Put(t.Context(), strings.NewReader("content")); err != nil {
			t.Errorf("%s: Put = %v", what, err)
		}
		if _, err := s.read(hash); err != nil && len(bad) != len("content") {
			t.Errorf("%s: after the bytes came again: %v", what, err)
		}
	}
}

func TestForeignNames(t *testing.T) {
	s := open(t)
	must(t, os.WriteFile(filepath.Join(filepath.Dir(s.dir), "secret"), []byte("x"), 0o600))
	for _, name := range []string{"", "ab", "../secret", strings.Repeat("A", 64), strings.Repeat("g", 64), strings.Repeat("a", 64), strings.Repeat("a", 64) + "\n"} {
		if _, err := s.Open(name); fault.KindOf(err) != fault.NotFound {
			t.Errorf("Open(%q) = %v", name, err)
		}
	}
}

func TestFailedPutLeavesNothing(t *testing.T) {
	s := open(t)
	broken := errors.New("line cut")
	_, _, err := s.Put(t.Context(), io.MultiReader(strings.NewReader("begin"), errReader{broken}))
	if !errors.Is(err, broken) {
		t.Errorf("Put = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.Put(ctx, strings.NewReader("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("Put = %v", err)
	}
	if left := files(t, s.dir); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestCrashLeftoversAreRemoved(t *testing.T) {
	s := open(t)
	hash, _, err := s.Put(t.Context(), strings.NewReader("kept"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(s.dir, incoming, "blob-1"), []byte("half"), 0o600))
	s, err = Open(s.dir)
	must(t, err)
	if back, err := s.read(hash); err != nil || back != "kept" {
		t.Errorf("%q, %v", back, err)
	}
	if left := files(t, s.dir); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

func TestRemove(t *testing.T) {
	s := open(t)
	at := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	s.now = func() time.Time { return at }
	hash, _, err := s.Put(t.Context(), strings.NewReader("content"))
	must(t, err)
	kept, _, err := s.Put(t.Context(), strings.NewReader("another"))
	must(t, err)
	if _, _, err := s.Put(t.Context(), strings.NewReader("content")); err != nil {
		t.Fatal(err)
	}
	at = at.Add(grace)
	if err := s.Remove(hash); fault.KindOf(err) != fault.Unavailable || fault.Of(err).Key != "blob.in-use" {
		t.Errorf("a blob that was just Put again: Remove = %v", err)
	}
	if _, err := s.read(hash); err != nil {
		t.Error(err)
	}
	at = at.Add(time.Second)
	for range 2 { // the second finds nothing
		must(t, s.Remove(hash))
	}
	if _, err := s.read(hash); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a removed blob is read: %v", err)
	}
	for _, name := range []string{"", "../" + kept, strings.Repeat("a", 64)} {
		must(t, s.Remove(name))
	}
	if back, err := s.read(kept); err != nil || back != "another" {
		t.Errorf("%q, %v", back, err)
	}
	again, _, err := s.Put(t.Context(), strings.NewReader("content"))
	must(t, err)
	if back, err := s.read(again); err != nil || back != "content" {
		t.Errorf("put after it was removed: %q, %v", back, err)
	}
}

// TestRemoveWhilePutting removes a blob again and again while it comes again: who Put it finds it until the grace ends.
func TestRemoveWhilePutting(t *testing.T) {
	s := open(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				hash, _, err := s.Put(t.Context(), strings.NewReader("content"))
				if err != nil {
					t.Error(err)
				}
				if err := s.Remove(hash); err != nil && fault.Of(err).Key != "blob.in-use" {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if len(s.again) > 1 {
		t.Errorf("remembered: %v", s.again)
	}
}

// TestFullDisk fills a small disk: the refused blob leaves nothing behind, and there is work again once there is room.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT RUN: needs root to mount a small disk")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatalf("mount a small disk: %v", err)
	}
	defer func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }()
	s, err := Open(filepath.Join(dir, "blobs"))
	must(t, err)
	_, _, err = s.Put(t.Context(), bytes.NewReader(make([]byte, 2<<20)))
	if fault.KindOf(err) != fault.Unavailable || fault.Of(err).Key != "disk.full" {
		t.Errorf("Put on a full disk = %v", err)
	}
	if left := files(t, s.dir); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	hash, _, err := s.Put(t.Context(), bytes.NewReader(make([]byte, 512<<10)))
	must(t, err)
	if _, err := s.read(hash); err != nil {
		t.Error(err)
	}
}
