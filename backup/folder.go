package backup

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/karov-crm/karov/backup/repo"
)

const (
	nameMax = 255 // what file systems take
	// Constant, so that listings stay the same whoever runs the program.
	storedFileMode = 0o600
	storedDirMode  = 0o700 | fs.ModeDir
)

// folder is one folder of the snapshot in the making.
type folder struct {
	modTime time.Time
	dirs    map[string]*folder
	files   map[string]*storedFile
}

// storedFile is a file whose pieces are on their way.
type storedFile struct {
	modTime time.Time
	size    uint64
	content []*repo.ID
}

func newFolder() *folder {
	return &folder{dirs: make(map[string]*folder), files: make(map[string]*storedFile)}
}

// place finds room for an entry, making the folders above it.
func (f *folder) place(e Entry) (*storedFile, error) {
	parts := strings.Split(e.Path, "/")
	for _, name := range parts {
		if err := repo.CheckName(name); err != nil || len(name) > nameMax {
			return nil, fmt.Errorf("path %q: %w", e.Path, ErrBadEntry)
		}
	}
	when := storedTime(e.ModTime)
	for i, name := range parts[:len(parts)-1] {
		next, err := f.child(name, strings.Join(parts[:i+1], "/"))
		if err != nil {
			return nil, err
		}
		f = next
	}
	name := parts[len(parts)-1]
	if e.Open == nil {
		dir, err := f.child(name, e.Path)
		if err == nil {
			dir.modTime = when
		}
		return nil, err
	}
	if f.files[name] != nil || f.dirs[name] != nil {
		return nil, fmt.Errorf("path %q came twice: %w", e.Path, ErrBadEntry)
	}
	file := &storedFile{modTime: when}
	f.files[name] = file
	return file, nil
}

func (f *folder) child(name, path string) (*folder, error) {
	if f.files[name] != nil {
		return nil, fmt.Errorf("path %q is a file and a folder: %w", path, ErrBadEntry)
	}
	if f.dirs[name] == nil {
		f.dirs[name] = newFolder()
	}
	return f.dirs[name], nil
}

// storedTime brings a time into what every file system and reader can hold.
func storedTime(t time.Time) time.Time {
	if t = t.UTC(); t.Year() < 1970 || t.Year() > 2200 {
		return time.Unix(0, 0).UTC()
	}
	return t.Round(0)
}

// store saves the listings from the leaves up and returns the ID of this one. A
// folder is as new as the newest thing in it.
func (f *folder) store(save func([]byte) (repo.ID, error)) (repo.ID, time.Time, error) {
	newest := storedTime(f.modTime)
	var tree repo.Tree
	for _, name := range slices.Sorted(maps.Keys(f.dirs)) {
		id, when, err := f.dirs[name].store(save)
		if err != nil {
			return repo.ID{}, time.Time{}, err
		}
		tree.Nodes = append(tree.Nodes, repo.Node{Name: name, Type: repo.DirNode, Mode: storedDirMode,
			ModTime: when, AccessTime: when, ChangeTime: when, Subtree: &id})
		newest = later(newest, when)
	}
	for name, file := range f.files {
		n := repo.Node{Name: name, Type: repo.FileNode, Mode: storedFileMode, Size: file.size,
			ModTime: file.modTime, AccessTime: file.modTime, ChangeTime: file.modTime}
		n.Content = make([]repo.ID, len(file.content))
		for i, id := range file.content {
			n.Content[i] = *id
		}
		tree.Nodes = append(tree.Nodes, n)
		newest = later(newest, file.modTime)
	}
	plain, err := tree.Encode()
	if err != nil {
		return repo.ID{}, time.Time{}, err
	}
	id, err := save(plain)
	return id, newest, err
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
