package bolt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

// Stage names a part of the work of taking a file to a newer format.
type Stage string

// The stages of a migration, in their order.
const (
	Copying   Stage = "copy"
	Migrating Stage = "migrate"
	Checking  Stage = "check"
)

// Tell hears of a migration: the format it leads to, and how far its stage is (of 0 where nobody knows).
type Tell func(stage Stage, format int, done, of int64)

// roomForGrowth is what a migration may need on disk besides a copy: half of the file again, for what it builds before
// it drops what it replaces, and what bbolt takes at a time.
func roomForGrowth(size int64) int64 { return size/2 + 32<<20 }

// OpenFormat opens the file like Open, makes a fresh one the newest format, and takes one of an older format there.
//
// That is done on a copy, path.migrating, which is thrown away when anything fails or the process is killed. When the
// copy is whole, checked and durable, the old file gets a second name, path.format-N, and the copy takes its first one in
// one step, so that there is a whole file under path at any moment. The old file goes when the new one was opened again by
// a later start and its buckets could be read. A store of a newer format is refused untouched.
//
// A missing file beside which one of the others lies is not a new office: it is a fault "store.missing".
func OpenFormat(ctx context.Context, path string, steps []store.Migration, tell Tell) (*DB, error) {
	return migration{path: path, steps: steps, tell: tell, link: os.Link, reached: func(string) {}}.open(ctx)
}

// migration is one opening of a file. Link and reached are other than usual in tests only.
type migration struct {
	path    string
	steps   []store.Migration
	tell    Tell
	link    func(old, new string) error
	reached func(point string) // a test's process ends at some of them
}

func (m migration) copied() string { return m.path + ".migrating" }

func (m migration) kept(format int) string { return m.path + ".format-" + strconv.Itoa(format) }

// keptFiles lists the old files that lie beside the file.
func (m migration) keptFiles() ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(m.path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look beside the store: %w", diskFault(err))
	}
	var found []string
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), filepath.Base(m.path)+".format-")
		if _, err := strconv.Atoi(number); ok && err == nil {
			found = append(found, filepath.Join(filepath.Dir(m.path), e.Name()))
		}
	}
	return found, nil
}

func (m migration) open(ctx context.Context) (*DB, error) {
	if err := m.settle(); err != nil {
		return nil, err
	}
	db, err := m.current()
	if err != nil {
		return nil, err
	}
	format, err := store.Older(ctx, db, m.steps)
	switch {
	case err != nil:
	case format == 0:
		err = store.Prepare(ctx, db, m.steps)
	case format < store.Newest(m.steps):
		if err = m.migrate(ctx, db, format); err != nil {
			break
		}
		if err = db.Close(); err != nil {
			return nil, fmt.Errorf("close the old file: %w", err)
		}
		return m.current()
	default:
		err = m.confirm(ctx, db)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// current opens the file under the name. While one waits for its lock, its holder may have put another in its place:
// then that one is opened.
func (m migration) current() (*DB, error) {
	for {
		db, err := Open(m.path)
		if err != nil {
			return nil, err
		}
		opened, err := db.file.Stat()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("look at the store: %w", diskFault(err)), db.Close())
		}
		if named, err := os.Stat(m.path); err == nil && os.SameFile(opened, named) {
			return db, nil
		}
		if err := db.Close(); err != nil {
			return nil, fmt.Errorf("close a file that was replaced: %w", err)
		}
	}
}

// settle makes sure that a file which is missing or empty is a new office's, and not one whose data lies under another
// name. Where a link is refused, the file has no name for a moment between two renames: then both others are there, and
// the old one, which is whole, gets its name back.
func (m migration) settle() error {
	info, err := os.Stat(m.path)
	switch {
	case err == nil && info.Size() > 0:
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("look for the store: %w", diskFault(err))
	}
	kept, err := m.keptFiles()
	if err != nil {
		return err
	}
	_, err = os.Lstat(m.copied())
	half := err == nil
	switch {
	case len(kept) == 0 && !half:
		return nil
	case len(kept) == 1 && half:
		return m.giveBack(kept[0])
	}
	if half {
		kept = append(kept, m.copied())
	}
	return fault.New(fault.Conflict, "store.missing", "path", m.path, "found", strings.Join(kept, ", "))
}

// giveBack names the old file as it was called, unless the process that is renaming still lives.
func (m migration) giveBack(kept string) error {
	db, err := Open(kept) // for its lock
	if err != nil {
		return err
	}
	_, err = os.Lstat(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = os.Rename(kept, m.path)
	}
	if err == nil {
		err = m.syncFolder()
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("give the store its name back: %w", diskFault(err))
	}
	return nil
}

// migrate makes the file of the newest format and puts it in the place of the old one, which db keeps locked.
func (m migration) migrate(ctx context.Context, db *DB, format int) error {
	err := m.makeCopy(ctx, db, format)
	if err == nil {
		err = m.migrateCopy(ctx, format)
	}
	if err == nil {
		err = m.exchange(format)
	}
	if err != nil {
		if gone := os.Remove(m.copied()); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}
	return err
}

// makeCopy copies the file, when the disk has room for it.
func (m migration) makeCopy(ctx context.Context, db *DB, format int) (err error) {
	if err := os.Remove(m.copied()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove a copy that was interrupted: %w", diskFault(err))
	}
	size := db.Size()
	if err := enoughRoom(filepath.Dir(m.path), size+roomForGrowth(size)); err != nil {
		return err
	}
	f, err := os.OpenFile(m.copied(), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("make a copy of the store: %w", diskFault(err))
	}
	m.reached("copy made")
	w := &counting{w: f, tell: func(done int64) { m.tell(Copying, format+1, done, size) }}
	_, err = db.Copy(ctx, w)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("copy the store: %w", diskFault(err))
	}
	m.reached("copied")
	return nil
}

// counting tells how much of the copy is written.
type counting struct {
	w          io.Writer
	done, told int64
	tell       func(done int64)
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	if c.done += int64(n); c.done-c.told >= 64<<20 {
		c.told = c.done
		c.tell(c.done)
	}
	return n, err
}

// enoughRoom tells what is missing before anything is written.
func enoughRoom(dir string, needed int64) error {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return fmt.Errorf("ask for the room on disk: %w", diskFault(err))
	}
	if free := int64(s.Bavail) * s.Bsize; free < needed {
		return fault.New(fault.Unavailable, "store.no-room", "folder", dir, "needed", needed>>20+1, "free", free>>20)
	}
	return nil
}

// migrateCopy takes the copy through the steps, checks it and makes it durable.
func (m migration) migrateCopy(ctx context.Context, format int) error {
	db, err := open(m.copied(), true)
	if err != nil {
		return err
	}
	err = store.Migrate(ctx, db, m.steps, func(to int, done, of int64) { m.tell(Migrating, to, done, of) })
	m.reached("migrated")
	if err == nil {
		m.tell(Checking, store.Newest(m.steps), 0, 0)
		err = db.Check(ctx)
	}
	if err == nil {
		err = diskFault(db.file.Sync())
	}
	m.reached("synced")
	if err := errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("migrate the store from format %d: %w", format, err)
	}
	return nil
}

// exchange puts the copy in the file's place. The folder is synced before, so that no power cut can leave the new name
// of the old file without the copy.
func (m migration) exchange(format int) error {
	kept := m.kept(format)
	if err := m.syncFolder(); err != nil {
		return fmt.Errorf("sync the copy's name: %w", diskFault(err))
	}
	// One that an interrupted exchange left is the same file: a link, of which the other name stays.
	if err := os.Remove(kept); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keep the old file: %w", diskFault(err))
	}
	err := m.link(m.path, kept)
	if unlinkable(err) {
		err = os.Rename(m.path, kept)
	}
	if err != nil {
		return fmt.Errorf("keep the old file: %w", diskFault(err))
	}
	m.reached("kept")
	if err := os.Rename(m.copied(), m.path); err != nil {
		return fmt.Errorf("put the new file in place: %w", diskFault(err))
	}
	m.reached("renamed")
	if err := m.syncFolder(); err != nil {
		return fmt.Errorf("sync the new file's name: %w", diskFault(err))
	}
	m.reached("done")
	return nil
}

// unlinkable tells whether the file system has no second names for a file.
func unlinkable(err error) bool {
	return errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EMLINK)
}

func (m migration) syncFolder() error {
	dir, err := os.Open(filepath.Dir(m.path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// confirm removes what lies beside a file of the newest format that opens and can be read: a copy at work, which nobody
// works on, since the file is locked, and the old files.
func (m migration) confirm(ctx context.Context, db *DB) error {
	if err := os.Remove(m.copied()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove a copy that was interrupted: %w", diskFault(err))
	}
	kept, err := m.keptFiles()
	if err != nil || len(kept) == 0 {
		return err
	}
	if err := readable(ctx, db); err != nil {
		return err
	}
	for _, old := range kept {
		m.reached("before the old file goes")
		if err := os.Remove(old); err != nil {
			return fmt.Errorf("remove the old file: %w", diskFault(err))
		}
	}
	return nil
}

// readable reads the first and the last pair of every bucket: a file that was cut short or mixed up would not give them.
func readable(ctx context.Context, db *DB) error {
	return db.View(ctx, func(tx store.Tx) error {
		names := tx.Buckets()
		if len(names) == 0 {
			return fault.New(fault.Invalid, "store.damaged", "what", db.path)
		}
		for _, name := range names {
			for _, backwards := range []bool{false, true} {
				for range tx.Bucket(name).Scan(nil, nil, backwards) {
					break
				}
			}
		}
		return nil
	})
}
