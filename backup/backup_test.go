package backup_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/karov-crm/karov/backup"
)

func TestOpenTellsItsFailuresApart(t *testing.T) {
	t.Parallel()
	empty := target(t, filepath.Join(t.TempDir(), "none"))
	if _, err := backup.Open(t.Context(), empty, testKey); !errors.Is(err, backup.ErrNoRepository) {
		t.Errorf("no repository: %v", err)
	}
	r, dir := initRepo(t)
	if _, err := backup.Open(t.Context(), target(t, dir), "KAROV-33333-33333-33333-33333-33333-33332"); !errors.Is(err, backup.ErrWrongKey) {
		t.Errorf("wrong key: %v", err)
	}
	again := openRepo(t, dir, testKey)
	if again.ID() != r.ID() || len(r.ID()) != 64 {
		t.Errorf("IDs %s and %s", r.ID(), again.ID())
	}
	var damage *backup.DamageError
	keys := files(t, dir, "keys")
	if err := os.Rename(keys[0], filepath.Join(t.TempDir(), "key")); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Open(t.Context(), target(t, dir), testKey); !errors.As(err, &damage) || damage.Kind != backup.KeyFile {
		t.Errorf("no key file: %v", err)
	}
}

func TestInitRefusesRemains(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"config", "keys", "snapshots"} {
		r, dir := initRepo(t)
		snapshot(t, r, content{"a": {}})
		for _, other := range []string{"config", "keys", "snapshots"} {
			if other != kind {
				if err := os.RemoveAll(filepath.Join(dir, other)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := backup.Init(t.Context(), target(t, dir), testKey); !errors.Is(err, backup.ErrExists) {
			t.Errorf("init with %s there: %v", kind, err)
		}
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	r, _ := initRepo(t)
	keys, err := r.Keys(t.Context())
	if err != nil || len(keys) != 1 || !keys[0].Current {
		t.Fatalf("keys: %+v, %v", keys, err)
	}
	if err := r.RemoveKey(t.Context(), keys[0].ID); !errors.Is(err, backup.ErrLastKey) {
		t.Errorf("remove the key in use: %v", err)
	}
	if err := r.RemoveKey(t.Context(), keys[0].ID[:63]+"x"); !errors.Is(err, backup.ErrNotFound) {
		t.Errorf("remove no key: %v", err)
	}
	if _, err := r.AddKey(t.Context(), ""); err == nil {
		t.Error("empty password was added")
	}
}

func TestUnchangedContentCostsNothing(t *testing.T) {
	t.Parallel()
	r, dir := initRepo(t)
	c := nasty(8)
	snapshot(t, r, c)
	packs := len(files(t, dir, "data"))
	s := snapshot(t, r, c)
	if s.Summary.Added != 0 || s.Summary.Files == 0 || len(files(t, dir, "data")) != packs {
		t.Errorf("second snapshot: %+v", s.Summary)
	}
	c["db/contact.jsonl"] = append(c["db/contact.jsonl"], "{\"id\":\"zzz\"}\n"...)
	if s := snapshot(t, r, c); s.Summary.Added == 0 || s.Summary.Added > 100<<10 {
		t.Errorf("one more record: %+v", s.Summary)
	}
}

func TestSourceIsChecked(t *testing.T) {
	t.Parallel()
	r, _ := initRepo(t)
	for _, c := range []content{
		{"": {}}, {"/a": {}}, {"a/": {}}, {"a//b": {}}, {"../a": {}}, {"a/./b": {}}, {"a\x00": {}},
		{"a": {}, "a/b": {}}, {"a/b": {}, "a": {}}, {"a": {}, "a/": nil}, {string(make([]byte, 300)): {}},
	} {
		if _, err := r.Snapshot(t.Context(), c, backup.SnapshotOptions{}); !errors.Is(err, backup.ErrBadEntry) {
			t.Errorf("%q: %v", slices.Collect(maps.Keys(c)), err)
		}
	}
	twice := source(func(yield func(backup.Entry, error) bool) {
		for e := range (content{"a": {}}).Entries(t.Context()) {
			for range 2 {
				if !yield(e, nil) {
					return
				}
			}
		}
	})
	if _, err := r.Snapshot(t.Context(), twice, backup.SnapshotOptions{}); !errors.Is(err, backup.ErrBadEntry) {
		t.Errorf("twice: %v", err)
	}
}

func TestReadFileAndWalk(t *testing.T) {
	t.Parallel()
	r, _ := initRepo(t)
	c := nasty(9)
	s := snapshot(t, r, c)
	got := content{}
	var paths []string
	for n, err := range r.Walk(t.Context(), s) {
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, n.Path)
		if n.IsDir() {
			if _, ok := c[n.Path]; ok {
				got[n.Path] = nil
			}
			continue
		}
		if !n.ModTime.Equal(when) || n.Size != uint64(len(c[n.Path])) {
			t.Errorf("%q: %+v", n.Path, n)
		}
	}
	for path, data := range c {
		if data == nil {
			continue
		}
		f, err := r.ReadFile(t.Context(), s, path)
		if err != nil {
			t.Fatal(err)
		}
		if got[path], err = io.ReadAll(f); err != nil {
			t.Errorf("%q: %v", path, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	same(t, got, c)
	if !slices.Contains(paths, "deep/a/b") {
		t.Errorf("walk came by %q", paths)
	}
	for _, none := range []string{"none", "deep", "", "zero/x", "deep/a/none"} {
		if _, err := r.ReadFile(t.Context(), s, none); !errors.Is(err, backup.ErrNotFound) {
			t.Errorf("read %q: %v", none, err)
		}
	}
	f, err := r.ReadFile(t.Context(), s, "deep/8MiB+1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(f, make([]byte, 10)); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil { // must not hang, nor keep the lock
		t.Error(err)
	}
	for range r.Walk(t.Context(), s) {
		break
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	r, _ := initRepo(t)
	if _, err := r.Find(t.Context(), backup.Latest); !errors.Is(err, backup.ErrNotFound) {
		t.Errorf("latest of none: %v", err)
	}
	for range 17 { // more than there are hex digits
		snapshot(t, r, content{"a": {}})
	}
	list, err := r.Snapshots(t.Context())
	if err != nil || len(list) != 17 {
		t.Fatalf("%d snapshots, %v", len(list), err)
	}
	ambiguous := 0
	for _, s := range list {
		if got, err := r.Find(t.Context(), s.ID); err != nil || got.ID != s.ID {
			t.Errorf("find %s: %v", s.ID, err)
		}
		if _, err := r.Find(t.Context(), s.ID[:1]); errors.Is(err, backup.ErrAmbiguous) {
			ambiguous++
		}
	}
	if ambiguous < 2 {
		t.Error("no prefix is ambiguous")
	}
	if _, err := r.Find(t.Context(), ""); !errors.Is(err, backup.ErrNotFound) {
		t.Errorf("empty name: %v", err)
	}
}

func TestRestoreIntoFolders(t *testing.T) {
	t.Parallel()
	r, _ := initRepo(t)
	c := content{"a/x": []byte("x"), "a/y": []byte("y"), "ab": []byte("ab"), "b/c/d": []byte("d")}
	s := snapshot(t, r, c)
	dir := filepath.Join(t.TempDir(), "to")
	content{"mine": []byte("mine")}.write(t, dir)
	if _, err := r.Restore(t.Context(), s, dir, backup.RestoreOptions{}); !errors.Is(err, backup.ErrNotEmpty) {
		t.Errorf("into a full folder: %v", err)
	}
	same(t, onDisk(t, dir), content{"mine": []byte("mine")})

	foreign := filepath.Join(t.TempDir(), "to")
	content{"mine": []byte("mine")}.write(t, foreign+".partial")
	if _, err := r.Restore(t.Context(), s, foreign, backup.RestoreOptions{}); !errors.Is(err, backup.ErrNotEmpty) {
		t.Errorf("over somebody's .partial: %v", err)
	}
	same(t, onDisk(t, foreign+".partial"), content{"mine": []byte("mine")})

	killed := t.TempDir() // exists and is empty, which is allowed
	content{"KAROV-RESTORE-IN-PROGRESS": {}, "tree/a/half": {}}.write(t, killed+".partial")
	if _, err := r.Restore(t.Context(), s, killed, backup.RestoreOptions{}); err != nil {
		t.Errorf("after a killed restore: %v", err)
	}
	same(t, onDisk(t, killed), c)
	info, err := os.Stat(filepath.Join(killed, "a/x"))
	if err != nil || !info.ModTime().Equal(when) || info.Mode().Perm() != 0o600 {
		t.Errorf("restored file: %v, %v", info, err)
	}

	part := filepath.Join(t.TempDir(), "to")
	if _, err := r.Restore(t.Context(), s, part, backup.RestoreOptions{Only: []string{"a", "/b/c/d"}}); err != nil {
		t.Fatal(err)
	}
	same(t, onDisk(t, part), content{"a/x": []byte("x"), "a/y": []byte("y"), "b/c/d": []byte("d")})
	none := filepath.Join(t.TempDir(), "to")
	if _, err := r.Restore(t.Context(), s, none, backup.RestoreOptions{Only: []string{"a", "c"}}); !errors.Is(err, backup.ErrNotFound) {
		t.Errorf("of what is not there: %v", err)
	}
	gone(t, none)
	ctx, cancel := context.WithCancel(t.Context())
	_, err = r.Restore(ctx, s, none, backup.RestoreOptions{Progress: func(backup.Progress) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	gone(t, none)
}

func TestProgressReachesItsTotal(t *testing.T) {
	t.Parallel()
	r, _ := initRepo(t)
	c := nasty(10)
	var made, restored, verified backup.Progress
	s, err := r.Snapshot(t.Context(), c, backup.SnapshotOptions{Progress: func(p backup.Progress) { made = p }})
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Restore(t.Context(), s, filepath.Join(t.TempDir(), "x"), backup.RestoreOptions{Progress: func(p backup.Progress) { restored = p }})
	if err != nil || restored.Bytes != made.Bytes || restored.Files != made.Files || restored.TotalBytes != made.Bytes || restored.TotalFiles != made.Files {
		t.Errorf("made %+v, restored %+v, %v", made, restored, err)
	}
	_, err = r.Verify(t.Context(), backup.VerifyOptions{ReadData: true, Progress: func(p backup.Progress) { verified = p }})
	if err != nil || verified.Bytes == 0 || verified.Bytes != verified.TotalBytes || verified.Files != verified.TotalFiles {
		t.Errorf("verified %+v, %v", verified, err)
	}
}

func TestActsAtOnce(t *testing.T) {
	t.Parallel()
	r, dir := initRepo(t)
	c := nasty(11)
	first := snapshot(t, r, c)
	var wg sync.WaitGroup
	for seed := range uint64(3) {
		wg.Go(func() {
			if _, err := r.Snapshot(t.Context(), nasty(20+seed/2), backup.SnapshotOptions{}); err != nil {
				t.Errorf("snapshot: %v", err)
			}
		})
	}
	wg.Go(func() { same(t, onDisk(t, restore(t, r, first)), c) })
	wg.Go(func() {
		if report, err := r.Verify(t.Context(), backup.VerifyOptions{}); err != nil || !report.OK() {
			t.Errorf("verify: %+v, %v", report, err)
		}
	})
	wg.Wait()
	mustRestic(t, dir, "check", "--read-data")
}
