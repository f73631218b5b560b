package bolt

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/storetest"
)

func openIn(dir string) (store.DB, error) { return Open(filepath.Join(dir, "karov.db")) }

func TestContract(t *testing.T) { storetest.Run(t, openIn) }

func TestSecondOwnerIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "karov.db")
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = Open(path)
	if fault.KindOf(err) != fault.Unavailable || fault.Of(err).Key != "store.in-use" {
		t.Fatalf("second Open = %v", err)
	}
}

func TestForeignFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "karov.db")
	if err := os.WriteFile(path, bytes.Repeat([]byte("not a store "), 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); fault.KindOf(err) != fault.Invalid {
		t.Fatalf("Open of a foreign file = %v", err)
	}
}

// TestFullDisk fills a small disk: the refused change leaves nothing behind, and there is work again once there is room.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT RUN: needs root to mount a small disk")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Fatalf("mount a small disk: %v", err)
	}
	defer func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }()
	db, err := openIn(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	write := func(i int) error {
		return db.Update(t.Context(), func(tx store.Tx) error {
			tx.Bucket("a").Put(fmt.Appendf(nil, "%04d", i), make([]byte, 32<<10))
			return nil
		})
	}
	written := 0
	for ; written < 100; written++ {
		if err = write(written); err != nil {
			break
		}
	}
	if fault.KindOf(err) != fault.Unavailable || fault.Of(err).Key != "disk.full" {
		t.Fatalf("write %d to a full disk = %v", written, err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := write(written); err != nil {
		t.Fatalf("write when there is room again: %v", err)
	}
	if err := db.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	count := 0
	_ = db.View(t.Context(), func(tx store.Tx) error {
		for range tx.Bucket("a").Scan(nil, nil, false) {
			count++
		}
		return nil
	})
	if count != written+1 {
		t.Errorf("%d values stored, %d acknowledged", count, written+1)
	}
}

// BenchmarkUpdate compares one writer with many: the many share syncs.
func BenchmarkUpdate(b *testing.B) {
	for _, writers := range []int{1, 32} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			db, err := openIn(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			b.SetParallelism(writers)
			i := make(chan int, 1)
			i <- 0
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					n := <-i
					i <- n + 1
					if err := db.Update(b.Context(), func(tx store.Tx) error {
						tx.Bucket("a").Put(fmt.Appendf(nil, "%09d", n), make([]byte, 600))
						return nil
					}); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
