package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/backup"
	"github.com/karov-crm/karov/backup/disk"
)

// testKey is a recovery key: keys like it are cheap to try, which made up
// passwords are not.
const testKey = "KAROV-22222-22222-22222-22222-22222-22222"

var when = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

// content is what a test stores: path to bytes; a nil slice is an empty folder.
type content map[string][]byte

func (c content) Entries(context.Context) iter.Seq2[backup.Entry, error] {
	return func(yield func(backup.Entry, error) bool) {
		for path, data := range c { // in any order, as the contract says
			e := backup.Entry{Path: path, ModTime: when, Records: strings.HasSuffix(path, ".jsonl")}
			if data != nil {
				e.Open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

func noise(seed uint64, n int) []byte {
	out := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	if _, err := r.Read(out); err != nil {
		panic(err)
	}
	return out
}

func records(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "{\"id\":\"%016d\",\"name\":\"customer %d\",\"note\":\"%s\"}\n", i, i, strings.Repeat("x", r.IntN(400)))
	}
	return b.Bytes()
}

// nasty has the names and lengths that break naive writers.
func nasty(seed uint64) content {
	c := content{
		"zero":                          {},
		"one":                           {7},
		"4095":                          noise(seed, 4095),
		"4096":                          noise(seed+1, 4096),
		"deep/a/b/c/d/e/f/file":         []byte("deep"),
		"deep/8MiB+1":                   noise(seed+2, 8<<20+1),
		"zeros":                         make([]byte, 3<<20),
		"db/contact.jsonl":              records(seed, 5000),
		"db/empty.jsonl":                {},
		"db/no newline.jsonl":           []byte(`{"id":1}`),
		"db/long.jsonl":                 append(bytes.Repeat([]byte("y"), 3<<20), "\n{}\n"...),
		"empty folder":                  nil,
		"empty/in/empty":                nil,
		"quote\"back\\slash\nnew\ttab'": []byte("q"),
		"bytes \xff\xfe\x80":            []byte("b"),
		"<&>\u2028\u00e9\u05d0":         []byte("u"),
		strings.Repeat("n", 255):        []byte("long name"),
		"-rf":                           []byte("dash"),
		" blank ":                       []byte("blank"),
		"...":                           []byte("dots"),
	}
	r := rand.New(rand.NewPCG(seed, 2))
	for range 40 {
		path := fmt.Sprintf("random/%x/%x/%d", r.IntN(4), r.IntN(4), r.IntN(1000))
		c[path] = noise(r.Uint64(), r.IntN(20000))
		if c[path] == nil {
			c[path] = []byte{}
		}
	}
	return c
}

func target(t testing.TB, dir string) *disk.Target {
	t.Helper()
	d, err := disk.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func initRepo(t testing.TB) (*backup.Repository, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "repo")
	r, err := backup.Init(t.Context(), target(t, dir), testKey)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeRepo(t, r) })
	return r, dir
}

func openRepo(t testing.TB, dir, password string) *backup.Repository {
	t.Helper()
	r, err := backup.Open(t.Context(), target(t, dir), password)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeRepo(t, r) })
	return r
}

func closeRepo(t testing.TB, r *backup.Repository) {
	if err := r.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func snapshot(t testing.TB, r *backup.Repository, c content) backup.Snapshot {
	t.Helper()
	s, err := r.Snapshot(t.Context(), c, backup.SnapshotOptions{Hostname: "office", ProgramVersion: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func restore(t testing.TB, r *backup.Repository, s backup.Snapshot) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "restored")
	report, err := r.Restore(t.Context(), s, dir, backup.RestoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.LeftOut) > 0 {
		t.Errorf("left out: %v", report.LeftOut)
	}
	return dir
}

// onDisk reads a folder back as content.
func onDisk(t testing.TB, dir string) content {
	t.Helper()
	c := content{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			entries, err := os.ReadDir(path)
			if err == nil && len(entries) == 0 && rel != "." {
				c[rel] = nil
			}
			return err
		}
		data, err := os.ReadFile(path)
		if data == nil {
			data = []byte{}
		}
		c[rel] = data
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c content) write(t testing.TB, dir string) {
	t.Helper()
	for path, data := range c {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if data == nil {
			err = os.MkdirAll(path, 0o755)
		} else {
			err = os.WriteFile(path, data, 0o640)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func same(t testing.TB, got, want content) {
	t.Helper()
	for _, path := range slices.Sorted(maps.Keys(want)) {
		data, ok := got[path]
		if !ok {
			t.Errorf("%q is missing", path)
		} else if !bytes.Equal(data, want[path]) || (data == nil) != (want[path] == nil) {
			t.Errorf("%q has %d bytes and differs from the %d stored", path, len(data), len(want[path]))
		}
	}
	for path := range got {
		if _, ok := want[path]; !ok {
			t.Errorf("%q came from nowhere", path)
		}
	}
}

// restic runs the stock program, which these tests need.
func restic(t testing.TB, dir, password string, args ...string) (string, error) {
	t.Helper()
	program, err := exec.LookPath("restic")
	if err != nil {
		t.Fatal("restic is not installed: these tests compare with it (apt-get install restic)")
	}
	cmd := exec.CommandContext(t.Context(), program, append([]string{"-r", dir, "--no-cache", "--quiet"}, args...)...)
	cmd.Env = append(os.Environ(), "RESTIC_PASSWORD="+password, "RESTIC_PROGRESS_FPS=0.01")
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("restic %s: %w: %s%s", strings.Join(args, " "), err, out.String(), stderr.String())
	}
	return out.String(), nil
}

func mustRestic(t testing.TB, dir string, args ...string) string {
	t.Helper()
	out, err := restic(t, dir, testKey, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func files(t testing.TB, dir, kind string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(filepath.Join(dir, kind), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, path)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return out
}

// change rewrites a stored file, which is read-only.
func change(t testing.TB, path string, edit func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, edit(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func flip(at int) func([]byte) []byte {
	return func(b []byte) []byte {
		b[(at+len(b))%len(b)] ^= 1
		return b
	}
}
