package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Holder is the user to whom a data folder belongs: the daemon's, which is not root's.
type Holder struct{ uid, gid int }

// HolderOf finds out to whom a data folder belongs, before root works in it. A folder that is not there is root's own.
func HolderOf(dir string) Holder {
	info, err := os.Stat(dir)
	if err != nil {
		return Holder{os.Getuid(), os.Getgid()}
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return Holder{os.Getuid(), os.Getgid()}
	}
	return Holder{int(stat.Uid), int(stat.Gid)}
}

// Take gives everything in the folder to its holder again, so that the daemon can read what root made there. It does
// nothing for who is not root, or when the folder is root's own. Links are not followed.
func (h Holder) Take(dir string) error {
	if os.Geteuid() != 0 || h.uid == 0 {
		return nil
	}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		err = os.Lchown(path, h.uid, h.gid)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("give the data folder to its user: %w", err)
	}
	return nil
}
