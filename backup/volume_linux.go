package backup

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// room returns how many bytes may be written in the file system of dir.
func room(dir string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("look for free space: %w", err)
	}
	return s.Bavail * uint64(s.Bsize), nil
}

// syncVolume makes everything written in the file system of dir durable: one call
// instead of one for each of many small files.
func syncVolume(dir string) (err error) {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return fmt.Errorf("sync file system: %w", err)
	}
	return nil
}
