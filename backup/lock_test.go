package backup

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/backup/repo"
)

// memory is a target for tests that look at single files.
type memory struct {
	mu    sync.Mutex
	files map[FileKind]map[string][]byte
}

func (m *memory) Location() string { return "memory" }

func (m *memory) Save(_ context.Context, kind FileKind, name string, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files == nil {
		m.files = map[FileKind]map[string][]byte{}
	}
	if m.files[kind] == nil {
		m.files[kind] = map[string][]byte{}
	}
	m.files[kind][name] = append([]byte(nil), data...)
	return nil
}

func (m *memory) Load(_ context.Context, kind FileKind, name string, offset, length int64) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.files[kind][name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	if length == 0 {
		length = int64(len(data)) - offset
	}
	return data[offset : offset+length], nil
}

func (m *memory) List(_ context.Context, kind FileKind) iter.Seq2[FileInfo, error] {
	return func(yield func(FileInfo, error) bool) {
		m.mu.Lock()
		var all []FileInfo
		for name, data := range m.files[kind] {
			all = append(all, FileInfo{Name: name, Size: int64(len(data)), ModTime: time.Now()})
		}
		m.mu.Unlock()
		for _, info := range all {
			if !yield(info, nil) {
				return
			}
		}
	}
}

func (m *memory) Remove(_ context.Context, kind FileKind, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.files[kind], name)
	return nil
}

func (m *memory) count(kind FileKind) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.files[kind])
}

func locked(t *testing.T) (*Repository, *memory) {
	t.Helper()
	m := &memory{}
	r, err := Init(t.Context(), m, "KAROV-22222-22222-22222-22222-22222-22222")
	if err != nil {
		t.Fatal(err)
	}
	return r, m
}

func put(t *testing.T, r *Repository, m *memory, l repo.Lock) string {
	t.Helper()
	data, err := r.codec.SealFile(l)
	if err != nil {
		t.Fatal(err)
	}
	name := repo.Hash(data).String()
	if err := m.Save(t.Context(), LockFile, name, data); err != nil {
		t.Fatal(err)
	}
	return name
}

// deadPID is the number of a process that has ended.
func deadPID(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

func TestLocksOfOthers(t *testing.T) {
	r, m := locked(t)
	me, ours := os.Getpid(), r.host
	rebooted := ours
	rebooted.run = "00000000"
	reused := ours
	reused.start = "1"
	hour := time.Now().Add(-time.Hour)
	for name, c := range map[string]struct {
		lock              repo.Lock
		shared, exclusive bool // can be had
	}{
		"shared elsewhere":       {repo.Lock{Time: time.Now(), Hostname: "other", PID: 1}, true, false},
		"exclusive elsewhere":    {repo.Lock{Time: time.Now(), Hostname: "other", PID: 1, Exclusive: true}, false, false},
		"elsewhere, old":         {repo.Lock{Time: hour, Hostname: "other", PID: me, Exclusive: true}, true, true},
		"elsewhere, from future": {repo.Lock{Time: time.Now().Add(9999 * time.Hour), Hostname: "other", PID: 1, Exclusive: true}, false, false},
		"restic here, dead":      {repo.Lock{Time: time.Now(), Hostname: ours.real, PID: deadPID(t), Exclusive: true}, true, true},
		"restic here, alive":     {repo.Lock{Time: hour, Hostname: ours.real, PID: me, Exclusive: true}, false, false},
		"ours, alive":            {repo.Lock{Time: hour, Hostname: ours.lockName(), PID: me}, true, false},
		"ours, dead":             {repo.Lock{Time: time.Now(), Hostname: ours.lockName(), PID: deadPID(t), Exclusive: true}, true, true},
		"ours, before the boot":  {repo.Lock{Time: time.Now(), Hostname: rebooted.lockName(), PID: me, Exclusive: true}, true, true},
		"ours, number reused":    {repo.Lock{Time: time.Now(), Hostname: reused.lockName(), PID: me, Exclusive: true}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			for exclusive, free := range map[bool]bool{false: c.shared, true: c.exclusive} {
				lock := put(t, r, m, c.lock)
				_, release, err := r.lock(t.Context(), lockMode{exclusive: exclusive})
				if (err == nil) != free {
					t.Errorf("exclusive %v: %v", exclusive, err)
				}
				var locked *LockedError
				if err != nil && (!errors.As(err, &locked) || locked.PID != c.lock.PID) {
					t.Errorf("refused with %v", err)
				}
				if err == nil {
					release()
				}
				if err := m.Remove(t.Context(), LockFile, lock); err != nil {
					t.Fatal(err)
				}
				if n := m.count(LockFile); n != 0 {
					t.Errorf("%d locks are left", n)
				}
			}
		})
	}
}

func TestUnreadableLockKeepsOthersFromDeletingOnly(t *testing.T) {
	r, m := locked(t)
	if err := m.Save(t.Context(), LockFile, repo.Hash(nil).String(), []byte("garbage")); err != nil {
		t.Fatal(err)
	}
	release, err := r.lockShared(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	release()
	var locked *LockedError
	if _, err := r.lockExclusive(t.Context()); !errors.As(err, &locked) {
		t.Errorf("exclusive: %v", err)
	}
}

func TestLockIsRenewedAndItsLossIsNoticed(t *testing.T) {
	r, m := locked(t)
	name, err := r.writeLock(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	h := &heldLock{name: name}
	if err := r.renew(t.Context(), h); err != nil || h.name == name || m.count(LockFile) != 1 {
		t.Errorf("renew: %v, %d locks", err, m.count(LockFile))
	}
	if err := m.Remove(t.Context(), LockFile, h.name); err != nil {
		t.Fatal(err)
	}
	if err := r.renew(t.Context(), h); !errors.Is(err, ErrLockLost) || m.count(LockFile) != 0 {
		t.Errorf("renew of a lost lock: %v, %d locks", err, m.count(LockFile))
	}
}

func TestCloseReleasesLocksAndEndsActs(t *testing.T) {
	r, m := locked(t)
	ctx, release, err := r.lock(t.Context(), lockMode{})
	if err != nil || m.count(LockFile) != 1 {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil || m.count(LockFile) != 0 {
		t.Errorf("close: %v, %d locks", err, m.count(LockFile))
	}
	if !errors.Is(context.Cause(ctx), ErrClosed) {
		t.Errorf("act was told %v", context.Cause(ctx))
	}
	release()
	if _, err := r.Snapshots(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("after close: %v", err)
	}
	if _, err := r.lockShared(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("lock after close: %v", err)
	}
}

// hostile stores a tree and a snapshot as somebody with the key could.
func hostile(t *testing.T, r *Repository, listing string, data ...[]byte) Snapshot {
	t.Helper()
	s := r.newSaver(t.Context(), repo.NewIndex(), nil)
	for _, d := range data {
		if _, err := s.save(repo.DataBlob, d); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := s.save(repo.TreeBlob, []byte(listing))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	sealed, err := r.codec.SealFile(repo.Snapshot{Time: time.Now(), Tree: &tree, Paths: []string{"/"}})
	if err != nil {
		t.Fatal(err)
	}
	name := repo.Hash(sealed).String()
	if err := r.target.Save(t.Context(), SnapshotFile, name, sealed); err != nil {
		t.Fatal(err)
	}
	return Snapshot{ID: name, Tree: tree.String()}
}

// These repositories pass restic's check --read-data, and a restore of some
// versions of restic writes wrong files without a word.
func TestGreenCheckIsNotEnough(t *testing.T) {
	piece := []byte("0123456789")
	id := repo.Hash(piece).String()
	file := func(name, size string) string {
		return `{"name":"` + name + `","type":"file","mode":384,"size":` + size + `,"content":["` + id + `"]}`
	}
	for name, listing := range map[string]string{
		"wrong size":     `{"nodes":[` + file("a", "11") + `]}`,
		"twins":          `{"nodes":[` + file("a", "10") + `,` + file("a", "10") + `]}`,
		"leaves folder":  `{"nodes":[` + file("../a", "10") + `]}`,
		"absolute":       `{"nodes":[` + file("/a", "10") + `]}`,
		"not a listing":  `[]`,
		"unquoted":       `{"nodes":[` + file(`\"`, "10") + `]}`,
		"missing pieces": `{"nodes":[{"name":"a","type":"file","size":1,"content":["` + repo.Hash([]byte("never stored")).String() + `"]}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := locked(t)
			s := hostile(t, r, listing, piece)
			report, err := r.Verify(t.Context(), VerifyOptions{})
			if err != nil || report.OK() || len(report.Damage[0].Hurts) == 0 {
				t.Errorf("verify: %+v, %v", report, err)
			}
			dir := t.TempDir() + "/x"
			var damage *DamageError
			if _, err := r.Restore(t.Context(), s, dir, RestoreOptions{}); !errors.As(err, &damage) {
				t.Errorf("restore: %v", err)
			}
			got, err := r.Restore(t.Context(), s, dir, RestoreOptions{SkipDamaged: true})
			if err != nil || len(got.LeftOut) != 1 || got.Files != 0 {
				t.Errorf("restore of the rest: %+v, %v", got, err)
			}
		})
	}
}

func TestNothingIsWrittenThroughLinks(t *testing.T) {
	r, _ := locked(t)
	outside := t.TempDir()
	piece := []byte("0123456789")
	s := hostile(t, r, `{"nodes":[{"name":"link","type":"symlink","linktarget":"`+outside+`","content":null},`+
		`{"name":"dev","type":"chardev","content":null}]}`, piece)
	dir := t.TempDir() + "/x"
	got, err := r.Restore(t.Context(), s, dir, RestoreOptions{})
	if err != nil || len(got.LeftOut) != 1 || !errors.Is(got.LeftOut[0].Err, ErrSpecial) {
		t.Errorf("restore: %+v, %v", got, err)
	}
	if to, err := os.Readlink(dir + "/link"); err != nil || to != outside {
		t.Errorf("link: %q, %v", to, err)
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
		t.Errorf("outside: %v, %v", entries, err)
	}
}
