package kit

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
)

// lookEvery is how often a folder is looked at: an editor's save is noticed at once, and nothing of the system is needed.
const lookEvery = 200 * time.Millisecond

// Stamp tells the states of a folder apart.
type Stamp [sha256.Size]byte

// StampOf looks at a folder: names, times and sizes of all that a build may use.
func StampOf(dir string) (s Stamp, err error) {
	sum := sha256.New()
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if path != dir && (strings.HasPrefix(name, ".") || name == "__pycache__" || name == "node_modules" || name == "testdata") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		info, err := d.Info()
		if err == nil {
			fmt.Fprintf(sum, "%q %d %d\n", path, info.ModTime().UnixNano(), info.Size())
		}
		return err
	})
	copy(s[:], sum.Sum(nil))
	return s, err
}

// Await waits until a folder is another than it was, and has come to rest, or ctx ends.
func Await(ctx context.Context, dir string, was Stamp) (Stamp, error) {
	last := was
	for {
		select {
		case <-ctx.Done():
			return was, ctx.Err()
		case <-time.After(lookEvery):
		}
		now, err := StampOf(dir)
		if err != nil {
			continue // an editor is replacing a file
		}
		if now != was && now == last {
			return now, nil
		}
		last = now
	}
}
