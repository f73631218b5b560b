package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/plugin/pack"
)

// incoming is where packages arrive and are unpacked. Its name is none of an id, which has a dot.
func (in *Installer) incoming() string { return filepath.Join(in.o.Dir, "incoming") }

// dir is where a version lies.
func (in *Installer) dir(id string, v Version) string {
	return filepath.Join(in.o.Dir, id, v.folder())
}

func (v Version) folder() string { return v.Version + "-" + v.Hash[:min(16, len(v.Hash))] }

// arrive keeps what r gives in a file without a name, so that it goes with the process.
func (in *Installer) arrive(ctx context.Context, r io.Reader) (*os.File, int64, error) {
	f, err := os.CreateTemp(in.incoming(), "package-")
	if err != nil {
		return nil, 0, fault.Wrap(err, fault.Unavailable, "pack.unwritable", "file", in.incoming())
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, 0, errors.Join(fault.Wrap(err, fault.Unavailable, "pack.unwritable", "file", f.Name()), f.Close())
	}
	n, err := io.Copy(f, io.LimitReader(readerUntil{ctx, r}, pack.MaxPackage+1))
	if err != nil {
		return nil, 0, errors.Join(fault.Wrap(err, fault.Unavailable, "pack.unwritable", "file", in.incoming()), f.Close())
	}
	return f, n, nil
}

// readerUntil ends with its context.
type readerUntil struct {
	ctx context.Context
	r   io.Reader
}

// Read reads.
func (r readerUntil) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(b)
}

// unpack brings a package into the store, durably, and reads the manifest there. A version that lies there already,
// whole, is left alone.
func (in *Installer) unpack(p *pack.Package, v Version) (*Manifest, error) {
	to := in.dir(p.Manifest.ID, v)
	if _, err := pack.Sound(to, v.Hash, describe); err == nil {
		return ReadManifest(to)
	}
	room, err := os.MkdirTemp(in.incoming(), "unpacked-")
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "pack.unwritable", "file", in.incoming())
	}
	defer func() { _ = pack.Remove(room) }() // what stays is removed with the next start
	from := filepath.Join(room, "plugin")
	if err := p.Extract(from, Arch()); err != nil {
		return nil, err
	}
	if _, err := ReadManifest(from); err != nil { // also the sentences, which the list of contents says nothing of
		return nil, err
	}
	if err := in.place(from, to, room); err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "pack.unwritable", "file", to)
	}
	return ReadManifest(to)
}

// place gives an unpacked folder its name. A damaged one of that name goes to the room that is removed.
func (in *Installer) place(from, to, room string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	// The name of a folder can be changed only by who may write to the folder.
	if err := os.Chmod(from, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(to, 0o755); err == nil {
		if err := os.Rename(to, filepath.Join(room, "damaged")); err != nil {
			return err
		}
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	if err := os.Chmod(to, 0o555); err != nil {
		return err
	}
	for _, dir := range []string{to, filepath.Dir(to), in.o.Dir, filepath.Dir(in.o.Dir)} {
		if err := syncFolder(dir); err != nil {
			return err
		}
	}
	return nil
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// clean removes from the store what nobody can go back to. What cannot be removed stays until the next start.
func (in *Installer) clean(all []Installed) {
	keep := map[string]bool{in.incoming(): true}
	for _, s := range all {
		for _, v := range s.versions() {
			keep[in.dir(s.ID, v)] = true
		}
	}
	found, err := filepath.Glob(filepath.Join(in.o.Dir, "*", "*"))
	if err != nil {
		in.o.Log.Warn("the store of plugins cannot be listed", "error", err)
		return
	}
	for _, dir := range found {
		if keep[dir] || filepath.Dir(dir) == in.incoming() {
			continue
		}
		if err := pack.Remove(dir); err != nil {
			in.o.Log.Warn("an old version of a plugin cannot be removed", "folder", dir, "error", err)
			continue
		}
		_ = os.Remove(filepath.Dir(dir)) // as long as other versions are there, it stays
	}
}

// versions are those that something may still start.
func (s *Installed) versions() []Version {
	var out []Version
	if s.Removed {
		return nil
	}
	if s.Trial != nil {
		out = append(out, s.Trial.Version)
	}
	for _, v := range []*Version{s.Active, s.Previous} {
		if v != nil {
			out = append(out, *v)
		}
	}
	return out
}

// cleanNow is clean with what is written down now.
func (in *Installer) cleanNow(ctx context.Context) {
	all, err := in.all(ctx)
	if err != nil {
		in.o.Log.Warn("the store of plugins is not cleaned", "error", fmt.Errorf("read what is installed: %w", err))
		return
	}
	in.clean(all)
}
