package backup_test

import (
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/karov-crm/karov/backup"
)

// damaged makes a repository with one snapshot in which each file has a pack of
// its own, and the folder listings another.
func damaged(t *testing.T) (dir string, c content, s backup.Snapshot, packOf map[string]string) {
	t.Helper()
	r, dir := initRepo(t)
	c, packOf = content{}, map[string]string{}
	known := map[string]bool{}
	for i, path := range []string{"a/first", "a/second", "third"} {
		c[path] = noise(uint64(i), 100000)
		s = snapshot(t, r, c)
		for _, pack := range files(t, dir, "data") {
			if info, err := os.Stat(pack); err != nil {
				t.Fatal(err)
			} else if !known[pack] && info.Size() > 100000 {
				packOf[path] = pack
			}
			known[pack] = true
		}
	}
	if len(packOf) != 3 {
		t.Fatalf("packs of files: %v", packOf)
	}
	return dir, c, s, packOf
}

func hurts(d backup.Damage, snapshot string) []string {
	var out []string
	for _, h := range d.Hurts {
		if h.Snapshot == snapshot {
			out = append(out, h.Path)
		}
	}
	return out
}

func TestFlippedByteInPackOfAFile(t *testing.T) {
	t.Parallel()
	dir, c, s, packOf := damaged(t)
	pack := packOf["a/second"]
	change(t, pack, flip(5000))
	r := openRepo(t, dir, testKey)

	report, err := r.Verify(t.Context(), backup.VerifyOptions{ReadData: true})
	if err != nil || len(report.Damage) != 1 {
		t.Fatalf("verify: %+v, %v", report, err)
	}
	d := report.Damage[0]
	if d.Kind != backup.PackFile || d.Name != filepath.Base(pack) || !strings.HasPrefix(d.Blob, "data ") || d.Reason == "" {
		t.Errorf("damage: %+v", d)
	}
	if got := hurts(d, s.ID); !slices.Equal(got, []string{"a/second"}) || len(d.Hurts) != 2 {
		t.Errorf("hurts %v", d.Hurts)
	}
	one, err := r.Verify(t.Context(), backup.VerifyOptions{ReadData: true, Snapshot: s.ID[:8]})
	if err != nil || len(one.Damage) != 1 || len(one.Damage[0].Hurts) != 1 {
		t.Errorf("verify of one snapshot: %+v, %v", one, err)
	}

	to := filepath.Join(t.TempDir(), "x")
	_, err = r.Restore(t.Context(), s, to, backup.RestoreOptions{})
	var damage *backup.DamageError
	if !errors.As(err, &damage) || damage.Path != "a/second" || damage.Name != filepath.Base(pack) {
		t.Errorf("restore: %v", err)
	}
	gone(t, to)

	skipped, err := r.Restore(t.Context(), s, to, backup.RestoreOptions{SkipDamaged: true})
	if err != nil || len(skipped.LeftOut) != 1 || skipped.LeftOut[0].Path != "a/second" || !errors.As(skipped.LeftOut[0].Err, &damage) {
		t.Errorf("restore of the rest: %+v, %v", skipped, err)
	}
	want := maps.Clone(c)
	delete(want, "a/second")
	same(t, onDisk(t, to), want)

	// What is not hurt restores without being told to skip.
	if _, err := r.Restore(t.Context(), s, filepath.Join(t.TempDir(), "y"), backup.RestoreOptions{Only: []string{"third"}}); err != nil {
		t.Errorf("restore of a sound file: %v", err)
	}
	f, err := r.ReadFile(t.Context(), s, "a/second")
	if err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(f); !errors.As(err, &damage) || len(data) > 0 {
		t.Errorf("read file: %d bytes, %v", len(data), err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func gone(t *testing.T, dir string) {
	t.Helper()
	for _, path := range []string{dir, dir + ".partial"} {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there: %v", path, err)
		}
	}
}

// Every byte of a repository is covered by something: flip one in each place that
// differs in kind, and what is told must name the file.
func TestFlippedByteInEveryKindOfFile(t *testing.T) {
	t.Parallel()
	dir, c, s, _ := damaged(t)
	open := openRepo(t, dir, testKey)
	for _, kind := range []string{"config", "keys", "index", "snapshots", "data"} {
		for _, path := range files(t, dir, kind) {
			for _, at := range []int{0, 20, 60, -1, -5, -40} {
				change(t, path, flip(at))
				checkNamed(t, open, path, at)
				if kind == "config" || kind == "keys" {
					checkOpenNames(t, dir, path, at)
				}
				change(t, path, flip(at))
			}
			if kind == "index" {
				// Without an index the packs themselves know what is in them.
				change(t, path, flip(70))
				same(t, onDisk(t, restore(t, open, s)), c)
				change(t, path, flip(70))
			}
		}
	}
	report, err := open.Verify(t.Context(), backup.VerifyOptions{ReadData: true})
	if err != nil || !report.OK() {
		t.Errorf("verify of the healed repository: %+v, %v", report, err)
	}
}

func checkNamed(t *testing.T, r *backup.Repository, path string, at int) {
	t.Helper()
	report, err := r.Verify(t.Context(), backup.VerifyOptions{ReadData: true})
	if err != nil || len(report.Damage) == 0 {
		t.Errorf("%s, byte %d: verify: %+v, %v", path, at, report, err)
	}
	for _, d := range report.Damage {
		if d.Name != filepath.Base(path) {
			t.Errorf("%s, byte %d: verify names %+v", path, at, d)
		}
	}
}

// checkOpenNames says that opening tells a broken file from a wrong key. A key
// file in which the change does not matter still opens.
func checkOpenNames(t *testing.T, dir, path string, at int) {
	t.Helper()
	r, err := backup.Open(t.Context(), target(t, dir), testKey)
	if err == nil {
		closeRepo(t, r)
		if strings.HasSuffix(path, backup.ConfigName) {
			t.Errorf("%s, byte %d: opened", path, at)
		}
		return
	}
	var damage *backup.DamageError
	if !errors.As(err, &damage) || damage.Name != filepath.Base(path) || errors.Is(err, backup.ErrWrongKey) {
		t.Errorf("%s, byte %d: open: %v", path, at, err)
	}
}

func TestTruncatedAndMissingPack(t *testing.T) {
	t.Parallel()
	for name, hurt := range map[string]func(t *testing.T, path string){
		"truncated": func(t *testing.T, path string) { change(t, path, func(b []byte) []byte { return b[:len(b)/2] }) },
		"empty":     func(t *testing.T, path string) { change(t, path, func([]byte) []byte { return nil }) },
		"missing": func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, c, s, packOf := damaged(t)
			pack := packOf["third"]
			hurt(t, pack)
			r := openRepo(t, dir, testKey)
			for _, read := range []bool{false, true} {
				report, err := r.Verify(t.Context(), backup.VerifyOptions{ReadData: read})
				if err != nil || len(report.Damage) == 0 {
					t.Fatalf("verify: %+v, %v", report, err)
				}
				for _, d := range report.Damage {
					if got := hurts(d, s.ID); d.Name != filepath.Base(pack) || !slices.Equal(got, []string{"third"}) {
						t.Errorf("read %v: damage %+v", read, d)
					}
				}
			}
			var damage *backup.DamageError
			_, err := r.Restore(t.Context(), s, filepath.Join(t.TempDir(), "x"), backup.RestoreOptions{})
			if !errors.As(err, &damage) || damage.Path != "third" {
				t.Errorf("restore: %v", err)
			}
			// While the content is still at hand, the next snapshot stores it again,
			// which heals the old one too.
			if name == "missing" {
				snapshot(t, r, c)
				same(t, onDisk(t, restore(t, r, s)), c)
			}
		})
	}
}

func TestDamagedListing(t *testing.T) {
	t.Parallel()
	dir, c, s, packOf := damaged(t)
	sound := slices.Collect(maps.Values(packOf))
	for _, path := range files(t, dir, "data") {
		if !slices.Contains(sound, path) {
			change(t, path, flip(30)) // the listings are small: byte 30 is in the first
		}
	}
	r := openRepo(t, dir, testKey)
	report, err := r.Verify(t.Context(), backup.VerifyOptions{})
	if err != nil || report.OK() {
		t.Fatalf("verify: %+v, %v", report, err)
	}
	found := false
	for _, d := range report.Damage {
		found = found || slices.Contains(hurts(d, s.ID), "a/") || slices.Contains(hurts(d, s.ID), "/")
	}
	if !found {
		t.Errorf("no damage names the folder: %+v", report.Damage)
	}
	got, err := r.Restore(t.Context(), s, filepath.Join(t.TempDir(), "x"), backup.RestoreOptions{SkipDamaged: true})
	if err != nil || len(got.LeftOut) == 0 || !strings.HasSuffix(got.LeftOut[0].Path, "/") {
		t.Errorf("restore: %+v, %v of %d", got, err, len(c))
	}
}

func TestDamagedSnapshotDoesNotHideOthersNorItself(t *testing.T) {
	t.Parallel()
	r, dir := initRepo(t)
	old := snapshot(t, r, content{"a": []byte("1")})
	newer := snapshot(t, r, content{"a": []byte("2")})
	change(t, filepath.Join(dir, "snapshots", newer.ID), flip(50))
	var damage *backup.DamageError
	list, err := r.Snapshots(t.Context())
	if !errors.As(err, &damage) || damage.Name != newer.ID || len(list) != 1 || list[0].ID != old.ID {
		t.Errorf("snapshots: %v, %v", list, err)
	}
	if s, err := r.Find(t.Context(), backup.Latest); !errors.As(err, &damage) {
		t.Errorf("latest silently is %v, %v", s.ID, err)
	}
	if s, err := r.Find(t.Context(), old.ID[:12]); err != nil || s.ID != old.ID {
		t.Errorf("find: %v, %v", s.ID, err)
	}
}
