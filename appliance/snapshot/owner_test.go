package snapshot

import (
	"os"
	"path/filepath"
	"testing"
)

func TestHolderTakesWhatRootMade(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT RUN: needs root to give files away")
	}
	dir := t.TempDir()
	if err := os.Chown(dir, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	holder := HolderOf(dir)
	inside := filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(inside, 0o700); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := holder.Take(dir); err != nil {
		t.Fatal(err)
	}
	if got := HolderOf(inside); got.uid != 12345 {
		t.Errorf("what root made belongs to %d", got.uid)
	}
	if got := HolderOf(outside); got.uid != 0 {
		t.Errorf("a file behind a link was given to %d", got.uid)
	}
}
