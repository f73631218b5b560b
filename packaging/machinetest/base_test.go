package machinetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// suite is the Debian that the package must work on.
const suite = "bookworm"

// baseVersion goes into the kept file's name: raise it when its contents change.
const baseVersion = "1"

// freshRoot unpacks a Debian that nobody has used yet. It goes when the test ends.
func freshRoot(t *testing.T) string {
	t.Helper()
	cache := cacheFolder(t)
	base := filepath.Join(cache, suite+"-"+baseVersion+".tar")
	if _, err := os.Stat(base); err != nil {
		makeBase(t, base)
	}
	sweepOldRoots(t, cache)
	root, err := os.MkdirTemp(cache, "root-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(root); err != nil {
			t.Errorf("the machine's root is left behind: %v", err)
		}
	})
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("tar", "-xpf", base, "--numeric-owner", "-C", root).CombinedOutput(); err != nil {
		t.Fatalf("unpack the fresh Debian: %v\n%s", err, tail(out))
	}
	// tar gave it the date of the Debian; sweepOldRoots wants its own.
	if err := os.Chtimes(root, time.Time{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	return root
}

// sweepOldRoots deletes what tests left that were killed; a test of today may
// still be running in its own.
func sweepOldRoots(t *testing.T, cache string) {
	t.Helper()
	old, err := filepath.Glob(filepath.Join(cache, "root-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range old {
		if info, err := os.Lstat(path); err == nil && time.Since(info.ModTime()) > 24*time.Hour {
			if err := os.RemoveAll(path); err != nil {
				t.Errorf("an old root is left behind: %v", err)
			}
		}
	}
}

// cacheFolder is where the fresh Debian is kept and its copies live; not /tmp,
// which may forbid devices or be too small.
func cacheFolder(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("KAROV_CACHE")
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		dir = filepath.Join(base, "karov-build")
	}
	dir = filepath.Join(dir, "machines")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// makeBase makes it under another name first, so that a broken half is never used.
func makeBase(t *testing.T, base string) {
	t.Helper()
	t.Logf("making a fresh Debian %s, once", suite)
	half := filepath.Join(filepath.Dir(base), "half-"+filepath.Base(base))
	var out []byte
	var err error
	// A mirror may hiccup once.
	for range 2 {
		cmd := exec.Command("mmdebstrap", "--variant=minbase",
			"--include=systemd,systemd-sysv,dbus,libpam-systemd,apt-utils,ca-certificates,adduser,init-system-helpers",
			suite, half)
		if out, err = cmd.CombinedOutput(); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("make a fresh Debian: %v\n%s", err, tail(out))
	}
	if err := os.Rename(half, base); err != nil {
		t.Fatal(err)
	}
}
