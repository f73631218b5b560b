package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

// TestMain is also the process that is killed: with an order in its environment it opens a file and says so.
func TestMain(m *testing.M) {
	if path := os.Getenv("KAROV_TEST_MIGRATE"); path != "" {
		os.Exit(migrateAndDie(path, os.Getenv("KAROV_TEST_DIE_AT"), os.Getenv("KAROV_TEST_NO_LINKS") != ""))
	}
	os.Exit(m.Run())
}

func migrateAndDie(path, point string, noLinks bool) int {
	m := plain(path)
	m.reached = func(p string) {
		if p == point {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			time.Sleep(time.Hour)
		}
	}
	if noLinks {
		m.link = noLink
	}
	m.steps = steps(m.reached)
	db, err := m.open(context.Background())
	if err != nil {
		fmt.Println(err)
		return 1
	}
	_ = db.Close()
	return 0
}

func noLink(string, string) error { return &os.LinkError{Op: "link", Err: syscall.EPERM} }

func plain(path string) migration {
	return migration{path: path, steps: steps(func(string) {}), tell: func(Stage, int, int64, int64) {}, link: os.Link, reached: func(string) {}}
}

const pairs = 3000

// steps move all pairs to another bucket, then write each value anew, a few at a time.
func steps(reached func(string)) []store.Migration {
	move := func(ctx context.Context, db store.DB, progress store.Progress) error {
		for i := 0; i < pairs; i += 500 {
			err := db.Update(ctx, func(tx store.Tx) error {
				for n := i; n < i+500; n++ {
					tx.Bucket("new").Put(key(n), tx.Bucket("old").Get(key(n)))
					tx.Bucket("old").Delete(key(n))
				}
				return nil
			})
			if err != nil {
				return err
			}
			progress(int64(i), pairs)
			reached(fmt.Sprint("moved ", i))
		}
		return nil
	}
	write := func(ctx context.Context, db store.DB, progress store.Progress) error {
		return db.Update(ctx, func(tx store.Tx) error {
			for n := range pairs {
				tx.Bucket("new").Put(key(n), append([]byte("new "), tx.Bucket("new").Get(key(n))...))
				if n == pairs/2 {
					reached("writing")
				}
			}
			return nil
		})
	}
	return []store.Migration{move, write}
}

func key(n int) []byte { return fmt.Appendf(nil, "%06d", n) }

// oldFile makes a file of format 1.
func oldFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "karov.db")
	db, err := OpenFormat(t.Context(), path, nil, func(Stage, int, int64, int64) {})
	must(t, err)
	must(t, db.Update(t.Context(), func(tx store.Tx) error {
		for n := range pairs {
			tx.Bucket("old").Put(key(n), bytes.Repeat([]byte{byte(n)}, n%400))
		}
		return nil
	}))
	must(t, db.Close())
	return path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// holds checks that a file is of the format, and that every pair is as that format has it.
func holds(t *testing.T, db *DB, format int) {
	t.Helper()
	must(t, db.Check(t.Context()))
	must(t, db.View(t.Context(), func(tx store.Tx) error {
		if found, err := store.Format(tx); found != format || err != nil {
			t.Fatalf("the file is of format %d: %v", found, err)
		}
		bucket, before := "old", ""
		if format == 3 {
			bucket, before = "new", "new "
		}
		count := 0
		for range tx.Bucket(bucket).Scan(nil, nil, false) {
			count++
		}
		for n := range pairs {
			if got := string(tx.Bucket(bucket).Get(key(n))); got != before+string(bytes.Repeat([]byte{byte(n)}, n%400)) {
				t.Fatalf("pair %d is %q", n, got)
			}
		}
		if names := tx.Buckets(); count != pairs || len(names) != 2 {
			t.Fatalf("%d pairs, buckets %q", count, names)
		}
		return nil
	}))
}

// beside lists what lies beside the file.
func beside(t *testing.T, path string) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimPrefix(e.Name(), filepath.Base(path)))
	}
	return strings.Join(names, " ")
}

// settles starts the newest program twice: the data is there, and then nothing else is.
func settles(t *testing.T, path string) {
	t.Helper()
	for range 2 {
		db, err := plain(path).open(t.Context())
		must(t, err)
		holds(t, db, 3)
		must(t, db.Close())
	}
	if left := strings.TrimSpace(beside(t, path)); left != "" {
		t.Fatalf("besides the file there are still: %s", left)
	}
}

func TestMigration(t *testing.T) {
	path := oldFile(t)
	var heard []string
	m := plain(path)
	m.tell = func(s Stage, format int, done, of int64) { heard = append(heard, fmt.Sprint(s, format, done, of)) }
	db, err := m.open(t.Context())
	must(t, err)
	holds(t, db, 3)
	if got := beside(t, path); got != " .format-1" {
		t.Errorf("besides the new file: %q", got)
	}
	if all := fmt.Sprint(heard); !strings.Contains(all, "migrate2 500 3000") || !strings.Contains(all, "check3 0 0") {
		t.Errorf("heard %s", all)
	}
	old, err := Open(path + ".format-1")
	must(t, err)
	holds(t, old, 1)
	must(t, old.Close())
	must(t, db.Update(t.Context(), func(tx store.Tx) error { tx.Bucket("new").Put(key(0), []byte("new ")); return nil }))
	must(t, db.Close())
	settles(t, path)
}

// TestFailedMigrationLeavesTheOldFile also shows that the next start tries again.
func TestFailedMigrationLeavesTheOldFile(t *testing.T) {
	path := oldFile(t)
	m := plain(path)
	wrong := errors.New("cannot")
	m.steps[1] = func(ctx context.Context, db store.DB, _ store.Progress) error {
		must(t, db.Update(ctx, func(tx store.Tx) error { tx.Bucket("new").Delete(key(1)); return nil }))
		return wrong
	}
	if _, err := m.open(t.Context()); !errors.Is(err, wrong) {
		t.Fatalf("open = %v", err)
	}
	if got := beside(t, path); got != "" {
		t.Errorf("besides the old file: %q", got)
	}
	old, err := Open(path)
	must(t, err)
	holds(t, old, 1)
	must(t, old.Close())
	settles(t, path)
}

// TestKillInTheMiddleOfAMigration kills the process at each point between two changes on disk. The next start must find
// the old data or the new, whole: never neither, never an empty office.
func TestKillInTheMiddleOfAMigration(t *testing.T) {
	points := []string{"copy made", "copied", "moved 0", "moved 1500", "moved 2500", "writing", "migrated", "synced", "kept", "renamed", "done",
		"before the old file goes"}
	for _, noLinks := range []string{"", "1"} {
		for _, point := range points {
			t.Run(point+noLinks, func(t *testing.T) {
				t.Parallel()
				path := oldFile(t)
				if strings.HasPrefix(point, "before") { // this one is met by the second start
					die(t, path, "", noLinks)
				}
				if died := die(t, path, point, noLinks); !died {
					t.Fatal("the process did not come to this point")
				}
				neverFresh(t, path)
				settles(t, path)
			})
		}
	}
}

// die runs a process that migrates and kills itself at a point.
func die(t *testing.T, path, point, noLinks string) (died bool) {
	t.Helper()
	cmd := child(t, path, point, noLinks)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && !exit.Exited() {
		return true
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return false
}

func child(t *testing.T, path, point, noLinks string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "KAROV_TEST_MIGRATE="+path, "KAROV_TEST_DIE_AT="+point, "KAROV_TEST_NO_LINKS="+noLinks)
	return cmd
}

// neverFresh lets a program that knows the old format only look at what a kill left: it opens the old data whole, or
// refuses newer or missing data, and makes no new office.
func neverFresh(t *testing.T, path string) {
	t.Helper()
	if beside(t, path) == ".format-1 .migrating" { // between two renames: that the newest program settles this is for settles to show
		return
	}
	m := plain(path)
	m.steps = nil
	db, err := m.open(t.Context())
	if err != nil {
		if key := fault.Of(err).Key; key != "store.too-new" {
			t.Fatalf("an old program: %v", err)
		}
		return
	}
	holds(t, db, 1)
	must(t, db.Close())
}

// TestKillAtAnyMoment kills a migrating process again and again, wherever it is, until thirty died at work.
func TestKillAtAnyMoment(t *testing.T) {
	whole := 200 * time.Millisecond // of a process's life, as it turns out on this machine
	killed := 0
	for round := 0; killed < 30; round++ {
		path := oldFile(t)
		for range 3 {
			cmd := child(t, path, "", []string{"", "1"}[round%2])
			must(t, cmd.Start())
			time.Sleep(time.Duration(rand.Int64N(int64(whole))))
			_ = cmd.Process.Kill()
			if err := cmd.Wait(); err != nil {
				killed++
				whole += whole / 8
			} else {
				whole -= whole / 8
			}
			neverFresh(t, path)
		}
		settles(t, path)
	}
}

// TestMissingFileIsNoNewOffice: who lost the file and has what lies beside it must choose himself.
func TestMissingFileIsNoNewOffice(t *testing.T) {
	for _, names := range [][]string{{".format-1"}, {".migrating"}, {".format-1", ".format-2", ".migrating"}} {
		for _, empty := range []bool{false, true} {
			path := oldFile(t)
			raw, err := os.ReadFile(path)
			must(t, err)
			must(t, os.Remove(path))
			if empty {
				must(t, os.WriteFile(path, nil, 0o600))
			}
			for _, name := range names {
				must(t, os.WriteFile(path+name, raw, 0o600))
			}
			before := beside(t, path)
			_, err = plain(path).open(t.Context())
			if f := fault.Of(err); f.Key != "store.missing" || f.Params["path"] != path || !strings.Contains(f.Params["found"], path+names[0]) {
				t.Errorf("%v: %v", names, err)
			}
			if after := beside(t, path); after != before {
				t.Errorf("there were %q, there are %q", before, after)
			}
		}
	}
}

// TestNewerFileIsLeftAlone compares every byte.
func TestNewerFileIsLeftAlone(t *testing.T) {
	path := oldFile(t)
	settles(t, path)
	before, err := os.ReadFile(path)
	must(t, err)
	m := plain(path)
	m.steps = nil
	if _, err := m.open(t.Context()); fault.Of(err).Key != "store.too-new" {
		t.Fatalf("an old program opened new data: %v", err)
	}
	after, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(before, after) || beside(t, path) != "" {
		t.Error("the refused file was changed")
	}
}

// TestNoRoomIsSaidBefore migrates on a disk on which a second copy has no room.
func TestNoRoomIsSaidBefore(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT RUN: needs root to mount a small disk")
	}
	raw, err := os.ReadFile(oldFile(t))
	must(t, err)
	dir := t.TempDir()
	must(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"))
	defer func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }()
	path := filepath.Join(dir, "karov.db")
	must(t, os.WriteFile(path, raw, 0o600))
	_, err = plain(path).open(t.Context())
	if f := fault.Of(err); f.Key != "store.no-room" || f.Params["needed"] == "" || f.Params["free"] == "" {
		t.Fatalf("open = %v", err)
	}
	if got := beside(t, path); got != "" {
		t.Errorf("besides the old file: %q", got)
	}
	db, err := Open(path)
	must(t, err)
	defer db.Close()
	holds(t, db, 1)
}

// TestWaitingForAFileThatIsReplaced starts a second process while the first holds the old file: it must end with the new
// file or be refused, and never with the old one.
func TestWaitingForAFileThatIsReplaced(t *testing.T) {
	path := oldFile(t)
	waiting := make(chan struct{})
	got := make(chan error, 1)
	m := plain(path)
	m.reached = func(point string) {
		if point != "synced" {
			return
		}
		go func() {
			close(waiting)
			db, err := plain(path).open(context.Background())
			if err == nil {
				found := 0
				err = db.View(context.Background(), func(tx store.Tx) (err error) { found, err = store.Format(tx); return err })
				if found != 3 {
					err = errors.Join(err, fmt.Errorf("the waiting one got format %d", found))
				}
				err = errors.Join(err, db.Close())
			}
			got <- err
		}()
		<-waiting
	}
	db, err := m.open(t.Context())
	if err != nil && fault.Of(err).Key != "store.in-use" {
		t.Fatal(err)
	}
	if err := <-got; err != nil && fault.Of(err).Key != "store.in-use" {
		t.Fatal(err)
	}
	if db != nil {
		must(t, db.Close())
	}
	settles(t, path)
}
