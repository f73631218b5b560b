package backup_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/karov-crm/karov/backup"
	"github.com/karov-crm/karov/backup/disk"
)

const childEnv = "KAROV_BACKUP_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if err := child(context.Background(), dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// child makes snapshots until it is killed.
func child(ctx context.Context, dir string) error {
	t, err := disk.New(dir)
	if err != nil {
		return err
	}
	r, err := backup.Open(ctx, t, testKey)
	if err != nil {
		return err
	}
	for seed := uint64(os.Getpid()); ; seed++ {
		c := content{"db/contact.jsonl": records(seed, 5000), "noise": noise(seed, 20<<20), "deep/er/file": noise(seed, 1000)}
		// The first piece has been read: the lock is held and packs are to come.
		begin := sync.OnceFunc(func() { fmt.Println("begin") })
		if _, err := r.Snapshot(ctx, c, backup.SnapshotOptions{Progress: func(backup.Progress) { begin() }}); err != nil {
			return err
		}
	}
}

func TestKilledSnapshotsLeaveASoundRepository(t *testing.T) {
	t.Parallel()
	r, dir := initRepo(t)
	c := nasty(6)
	first := snapshot(t, r, c)
	random := rand.New(rand.NewPCG(1, 1))
	leftLock := false
	for i := range 10 {
		// The first at once, the others anywhere up to the snapshots after it.
		kill(t, dir, time.Duration(min(i, 1))*time.Duration(random.IntN(400))*time.Millisecond)
		leftLock = leftLock || len(files(t, dir, "locks")) > 0
		report, err := r.Verify(t.Context(), backup.VerifyOptions{})
		if err != nil || !report.OK() {
			t.Fatalf("after kill %d: %+v, %v", i, report, err)
		}
		// Verify has removed the lock of the dead, or this would fail.
		mustRestic(t, dir, "check")
	}
	if !leftLock {
		t.Error("no kill came while a snapshot was made: the test tested nothing")
	}
	same(t, onDisk(t, restore(t, r, first)), c)
	last := snapshot(t, r, c)
	same(t, onDisk(t, restore(t, r, last)), c)
	report, err := r.Verify(t.Context(), backup.VerifyOptions{ReadData: true})
	if err != nil || !report.OK() || len(report.Unlisted) > 0 {
		t.Errorf("verify: %+v, %v", report, err)
	}
	mustRestic(t, dir, "check", "--read-data")
}

func kill(t *testing.T, dir string, after time.Duration) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "begin\n" {
		t.Errorf("child says %q, %v", line, err)
	}
	time.Sleep(after)
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("child ended by itself: %v", err)
	}
}

// faulty fails each Save from a given one on, after which it may be mended.
type faulty struct {
	backup.Target
	left atomic.Int64
	with error
}

func (f *faulty) Save(ctx context.Context, kind backup.FileKind, name string, data []byte) error {
	if kind != backup.LockFile && f.left.Add(-1) < 0 {
		return fmt.Errorf("save %s: %w", kind, f.with)
	}
	return f.Target.Save(ctx, kind, name, data)
}

func TestEveryFailingWriteIsToldAndResumed(t *testing.T) {
	t.Parallel()
	_, dir := initRepo(t)
	f := &faulty{Target: target(t, dir), with: backup.ErrNoSpace}
	f.left.Store(1 << 30)
	r, err := backup.Open(t.Context(), f, testKey)
	if err != nil {
		t.Fatal(err)
	}
	defer closeRepo(t, r)
	c := content{"a": noise(1, 40<<20), "b.jsonl": records(1, 1000)}
	for n := int64(0); ; n++ {
		if n > 20 {
			t.Fatal("the snapshot is never made")
		}
		f.left.Store(n)
		s, err := r.Snapshot(t.Context(), c, backup.SnapshotOptions{})
		if err != nil {
			if !errors.Is(err, backup.ErrNoSpace) {
				t.Fatalf("write %d failed: %v", n, err)
			}
			if locks := files(t, dir, "locks"); len(locks) > 0 {
				t.Fatalf("locks are left: %v", locks)
			}
			continue
		}
		if n < 2 {
			t.Error("no write failed: the test tested nothing")
		}
		if s.Summary.Added > 20<<20 {
			t.Errorf("the last attempt stored %d bytes again", s.Summary.Added)
		}
		same(t, onDisk(t, restore(t, r, s)), c)
		mustRestic(t, dir, "check", "--read-data")
		return
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	mount := t.TempDir()
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size=24m"); err != nil {
		t.Skipf("NOT TESTED, A FILE SYSTEM MUST BE MOUNTED, RUN AS ROOT: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(mount, 0); err != nil {
			t.Error(err)
		}
	}()
	dir := filepath.Join(mount, "repo")
	r, err := backup.Init(t.Context(), target(t, dir), testKey)
	if err != nil {
		t.Fatal(err)
	}
	defer closeRepo(t, r)
	small := content{"a": []byte("small")}
	s := snapshot(t, r, small)
	if _, err := r.Snapshot(t.Context(), content{"big": noise(1, 60<<20)}, backup.SnapshotOptions{}); !errors.Is(err, backup.ErrNoSpace) {
		t.Fatalf("snapshot on a full disk: %v", err)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if bytes.Contains([]byte(path), []byte("-tmp-")) {
			t.Errorf("left behind: %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	same(t, onDisk(t, restore(t, r, s)), small)
	mustRestic(t, dir, "check", "--read-data")
	if _, err := r.Restore(t.Context(), s, filepath.Join(mount, "x"), backup.RestoreOptions{}); err != nil {
		t.Errorf("restore beside the repository: %v", err)
	}
	if err := syscall.Mount("", mount, "", syscall.MS_REMOUNT, "size=200m"); err != nil {
		t.Fatal(err)
	}
	s = snapshot(t, r, content{"big": noise(1, 60<<20)})
	if err := syscall.Mount("", mount, "", syscall.MS_REMOUNT, "size=100m"); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(mount, "y")
	if _, err := r.Restore(t.Context(), s, to, backup.RestoreOptions{}); !errors.Is(err, backup.ErrNoSpace) {
		t.Errorf("restore to a full disk: %v", err)
	}
	gone(t, to)
}

func TestFailingSource(t *testing.T) {
	t.Parallel()
	r, dir := initRepo(t)
	broken := errors.New("broken source")
	open := func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(noise(1, 1<<20)), errReader{broken})), nil
	}
	for name, e := range map[string]backup.Entry{
		"reading":  {Path: "a", Open: open},
		"records":  {Path: "a", Open: open, Records: true},
		"opening":  {Path: "a", Open: func() (io.ReadCloser, error) { return nil, broken }},
		"iterator": {},
	} {
		src := source(func(yield func(backup.Entry, error) bool) {
			if name == "iterator" {
				yield(backup.Entry{}, broken)
			} else {
				yield(e, nil)
			}
		})
		if _, err := r.Snapshot(t.Context(), src, backup.SnapshotOptions{}); !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := files(t, dir, "snapshots"); len(got) > 0 {
		t.Errorf("snapshots: %v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	src := source(func(yield func(backup.Entry, error) bool) {
		cancel()
		yield(backup.Entry{Path: "a", Open: open}, nil)
	})
	if _, err := r.Snapshot(ctx, src, backup.SnapshotOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

type source iter.Seq2[backup.Entry, error]

func (s source) Entries(context.Context) iter.Seq2[backup.Entry, error] {
	return iter.Seq2[backup.Entry, error](s)
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }
