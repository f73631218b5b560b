package snapshot_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/snapshot"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/backup"
)

const childEnv = "KAROV_SNAPSHOT_TEST_CHILD"

func TestMain(m *testing.M) {
	if args := os.Getenv(childEnv); args != "" {
		from, data, _ := strings.Cut(args, "\n")
		child(from, data)
		return
	}
	os.Exit(m.Run())
}

// child restores, and waits to be killed at its first progress; without a line of input it goes on.
func child(from, data string) {
	once := sync.OnceFunc(func() {
		fmt.Println("begun")
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	})
	_, err := snapshot.Restore{From: from, Key: testKey, Data: data, Progress: func(backup.Progress) { once() }}.Run(context.Background())
	fmt.Println("ended", err)
}

func TestRestoreRefusals(t *testing.T) {
	t.Parallel()
	o := busy(t, 20)
	r, dir := repository(t)
	o.take(r)
	full := t.TempDir()
	must(t, os.WriteFile(filepath.Join(full, "mine"), []byte("mine"), 0o600))
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for name, c := range map[string]struct {
		wish snapshot.Restore
		kind fault.Kind
		key  string
	}{
		"wrong key":         {snapshot.Restore{From: dir, Key: otherKey}, fault.Forbidden, "backup.wrong-key"},
		"mistyped key":      {snapshot.Restore{From: dir, Key: testKey[:len(testKey)-1] + "3"}, fault.Invalid, "backup.mistyped-key"},
		"no repository":     {snapshot.Restore{From: t.TempDir(), Key: testKey}, fault.NotFound, "backup.no-repository"},
		"no folder":         {snapshot.Restore{From: dir + "-none", Key: testKey}, fault.NotFound, "backup.no-folder"},
		"a file":            {snapshot.Restore{From: file, Key: testKey}, fault.NotFound, "backup.no-folder"},
		"no such snapshot":  {snapshot.Restore{From: dir, Key: testKey, Snapshot: "0123456789abcdef"}, fault.NotFound, "backup.no-snapshot"},
		"folder not empty":  {snapshot.Restore{From: dir, Key: testKey, Data: full}, fault.Conflict, "restore.not-empty"},
		"a file as folder":  {snapshot.Restore{From: dir, Key: testKey, Data: file}, fault.Invalid, "restore.folder"},
		"parent is a file":  {snapshot.Restore{From: dir, Key: testKey, Data: filepath.Join(file, "x")}, fault.Invalid, "restore.folder"},
		"salvage of no key": {snapshot.Restore{From: dir, Key: otherKey, Salvage: true}, fault.Forbidden, "backup.wrong-key"},
	} {
		t.Run(name, func(t *testing.T) {
			fresh := c.wish.Data == ""
			if fresh {
				c.wish.Data = filepath.Join(t.TempDir(), "data")
			}
			proof, err := c.wish.Run(t.Context())
			wantFault(t, err, c.kind, c.key)
			if fresh {
				gone(t, c.wish.Data)
			}
			if len(proof.Buckets) > 0 {
				t.Errorf("proof of nothing: %+v", proof)
			}
			if !strings.HasPrefix(c.wish.Data, file+"/") {
				gone(t, c.wish.Data+".restoring")
			}
		})
	}
	equalTrees(t, tree(t, full), map[string]string{"mine": "mine"})
	empty, _ := repository(t)
	_, err := snapshot.Restore{From: empty.Location(), Key: testKey, Data: filepath.Join(t.TempDir(), "data")}.Run(t.Context())
	wantFault(t, err, fault.NotFound, "backup.no-snapshot")
}

func TestRestoreIntoEmptyFolderAndThroughALink(t *testing.T) {
	t.Parallel()
	o := busy(t, 20)
	r, dir := repository(t)
	o.take(r)
	real := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(real, link))
	proof, err := snapshot.Restore{From: dir, Key: testKey, Data: link}.Run(t.Context())
	if err != nil || !proof.Equal() || len(tree(t, real)) != 14 {
		t.Errorf("through a link: %v, %v, %d files", proof.Missing, err, len(tree(t, real)))
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info, err)
	}
}

func TestRestoreLeavesForeignStagingAlone(t *testing.T) {
	t.Parallel()
	o := busy(t, 20)
	r, dir := repository(t)
	o.take(r)
	data := filepath.Join(t.TempDir(), "data")
	must(t, os.Mkdir(data+".restoring", 0o700))
	must(t, os.WriteFile(filepath.Join(data+".restoring", "mine"), []byte("mine"), 0o600))
	wish := snapshot.Restore{From: dir, Key: testKey, Data: data}
	_, err := wish.Run(t.Context())
	wantFault(t, err, fault.Conflict, "restore.not-empty")
	equalTrees(t, tree(t, data+".restoring"), map[string]string{"mine": "mine"})
	gone(t, data)
	must(t, os.RemoveAll(data+".restoring"))

	// Two at once into one folder: the second is refused while the first works, and does it no harm.
	var second error
	wish.Progress = func(backup.Progress) {
		if second == nil {
			_, second = snapshot.Restore{From: dir, Key: testKey, Data: data}.Run(t.Context())
		}
	}
	proof, _ := restored(t, wish)
	wantFault(t, second, fault.Conflict, "restore.running")
	if !proof.Equal() {
		t.Errorf("missing %v", proof.Missing)
	}
}

func TestCancelledRestore(t *testing.T) {
	t.Parallel()
	o := busy(t, 300)
	r, dir := repository(t)
	o.take(r)
	data := filepath.Join(t.TempDir(), "data")
	must(t, os.Mkdir(data, 0o700))
	calls := 0
	for stop := range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		calls = 0
		_, err := snapshot.Restore{From: dir, Key: testKey, Data: data, Progress: func(backup.Progress) {
			if calls++; calls > stop {
				cancel()
			}
		}}.Run(ctx)
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("cancelled after %d: %v", stop, err)
		}
		if entries, err := os.ReadDir(data); err != nil || len(entries) > 0 {
			t.Errorf("data folder: %v, %v", entries, err)
		}
		gone(t, data+".restoring")
	}
	proof, _ := restored(t, snapshot.Restore{From: dir, Key: testKey, Data: data})
	if !proof.Equal() {
		t.Errorf("missing %v", proof.Missing)
	}
}

func TestKilledRestore(t *testing.T) {
	t.Parallel()
	o := busy(t, 300)
	r, dir := repository(t)
	o.take(r)
	data := filepath.Join(t.TempDir(), "data")
	for range 2 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+dir+"\n"+data)
		in, err := cmd.StdinPipe()
		must(t, err)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "begun\n" {
			t.Fatalf("child says %q, %v", line, err)
		}
		must(t, cmd.Process.Kill())
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("child ended by itself: %v", err)
		}
		_ = in.Close()
		gone(t, data)
		if left := tree(t, data+".restoring"); len(left) < 2 {
			t.Errorf("the kill came when nothing was written: %d files", len(left))
		}
	}
	proof, db := restored(t, snapshot.Restore{From: dir, Key: testKey, Data: data})
	if !proof.Equal() || !slices.Equal(measure(t, db), measure(t, o.db)) {
		t.Errorf("missing %v", proof.Missing)
	}
}

// small mounts a small disk.
func small(t *testing.T, size uint64) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NOT RUN: needs root to mount a small disk")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Fatalf("mount a small disk: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

func TestRestoreToAFullDisk(t *testing.T) {
	o := busy(t, 20)
	must(t, o.db.Update(o.ctx, func(tx store.Tx) error {
		for i := range 64 {
			tx.Bucket("test.bulk").Put(fmt.Appendf(nil, "%04d", i), []byte(strings.Repeat("x", 128<<10)))
		}
		return nil
	}))
	r, dir := repository(t)
	s, _ := o.take(r)
	for name, size := range map[string]uint64{
		"no room for the tree":         s.Summary.Bytes / 2,
		"no room for the store beside": s.Summary.Bytes + s.Summary.Bytes/4,
	} {
		t.Run(name, func(t *testing.T) {
			disk := small(t, size)
			for _, salvage := range []bool{false, true} {
				data := filepath.Join(disk, "data")
				_, err := snapshot.Restore{From: dir, Key: testKey, Data: data, Salvage: salvage}.Run(t.Context())
				wantFault(t, err, fault.Unavailable, "disk.full")
				if entries, err := os.ReadDir(disk); err != nil || len(entries) > 0 {
					t.Errorf("left on the disk: %v, %v", entries, err)
				}
			}
			must(t, syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT, "size=256m"))
			proof, db := restored(t, snapshot.Restore{From: dir, Key: testKey, Data: filepath.Join(disk, "data")})
			if !proof.Equal() {
				t.Errorf("missing %v", proof.Missing)
			}
			must(t, db.Close())
		})
	}
	_, err := snapshot.Restore{From: dir, Key: testKey, Data: small(t, 1<<20)}.Run(t.Context())
	wantFault(t, err, fault.Conflict, "restore.mount-point")
}

// A folder in the staging that cannot be removed is told, beside why the restore failed.
func TestWhatCannotBeRemovedIsTold(t *testing.T) {
	o := busy(t, 20)
	r, dir := repository(t)
	o.take(r)
	data := filepath.Join(t.TempDir(), "data")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stuck := filepath.Join(data+".restoring", "stuck")
	_, err := snapshot.Restore{From: dir, Key: testKey, Data: data, Progress: func(backup.Progress) {
		if ctx.Err() == nil {
			must(t, os.Mkdir(stuck, 0o700))
			if err := syscall.Mount("tmpfs", stuck, "tmpfs", 0, "size=64k"); err != nil {
				t.Errorf("mount: %v", err)
			}
			cancel()
		}
	}}.Run(ctx)
	defer func() { _ = syscall.Unmount(stuck, syscall.MNT_DETACH) }()
	f := fault.Of(err)
	if !errors.Is(err, context.Canceled) || len(f.Fields) != 1 || f.Fields[0].Key != "restore.left-behind" || f.Fields[0].Name != data+".restoring" {
		t.Errorf("error %v, fields %v", err, f.Fields)
	}
}
