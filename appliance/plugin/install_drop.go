package plugin

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/plugin/pack"
)

// dropped is what was found out about a file in Drop, as long as it stays the same.
type dropped struct {
	size int64
	at   time.Time
	err  *fault.Error // why it does not come in; nil when there is nothing left to do
}

// Dropped is a package in Drop that did not come in.
type Dropped struct {
	File string
	Why  *fault.Error
}

// forget makes the next look at Drop a new one.
func (in *Installer) forget() {
	in.mu.Lock()
	defer in.mu.Unlock()
	clear(in.seen)
}

// poll looks at Drop at once and then again and again.
func (in *Installer) poll() {
	for {
		if _, err := in.look(in.life); err != nil && in.life.Err() == nil {
			in.o.Log.Error("the folder of dropped plugins cannot be looked at", "folder", in.o.Drop, "error", err)
		}
		if !in.pause(in.o.Poll) {
			return
		}
	}
}

// Rescan looks at Drop now, at everything anew, and names the packages that did not come in.
func (in *Installer) Rescan(ctx context.Context) ([]Dropped, error) {
	if err := in.require(ctx); err != nil {
		return nil, err
	}
	in.forget()
	return in.look(ctx)
}

// look brings in what is new in Drop, the newest version of each plugin.
func (in *Installer) look(ctx context.Context) ([]Dropped, error) {
	in.turn.Lock()
	defer in.turn.Unlock()
	out := []Dropped{}
	files, err := filepath.Glob(filepath.Join(in.o.Drop, "*"+pack.Extension))
	if err != nil {
		return out, err
	}
	best := map[string]*candidate{}
	defer func() {
		for _, c := range best {
			_ = c.file.Close() // it was only read
		}
	}()
	for _, file := range files {
		known, isNew := in.changed(file)
		if !isNew {
			if known.err != nil {
				out = append(out, Dropped{file, known.err})
			}
			continue
		}
		c, err := in.openDropped(ctx, file)
		in.learned(file, err)
		switch {
		case err != nil:
			in.o.Log.Error("a dropped plugin is not taken", "file", file, "error", err)
			out = append(out, Dropped{file, fault.Of(err)})
		case best[c.m.ID] == nil || pack.Newer(c.v.Version, best[c.m.ID].v.Version):
			if old := best[c.m.ID]; old != nil {
				_ = old.file.Close()
			}
			best[c.m.ID] = c
		default:
			_ = c.file.Close()
		}
	}
	for id, c := range best {
		if err := in.takeDropped(ctx, c); err != nil {
			in.o.Log.Error("a dropped plugin is not taken", "plugin", id, "error", err)
			in.learned(c.file.Name(), err)
			out = append(out, Dropped{c.file.Name(), fault.Of(err)})
		}
	}
	slices.SortFunc(out, func(a, b Dropped) int { return strings.Compare(a.File, b.File) })
	return out, nil
}

// changed tells whether a file is another than when it was last looked at.
func (in *Installer) changed(file string) (dropped, bool) {
	st, err := os.Lstat(file)
	if err != nil {
		return dropped{}, false // it went away
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	before, ok := in.seen[file]
	return before, !ok || before.size != st.Size() || !before.at.Equal(st.ModTime())
}

func (in *Installer) learned(file string, why error) {
	st, err := os.Lstat(file)
	if err != nil {
		return
	}
	d := dropped{size: st.Size(), at: st.ModTime()}
	if why != nil {
		d.err = fault.Of(why)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.seen[file] = d
}

// openDropped opens and verifies a file that only root, or Karov's own user, can have put there.
func (in *Installer) openDropped(ctx context.Context, file string) (*candidate, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "pack.unreadable")
	}
	c, err := in.verifyDropped(ctx, f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return c, nil
}

func (in *Installer) verifyDropped(ctx context.Context, f *os.File) (*candidate, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "pack.unreadable")
	}
	folder, err := os.Stat(in.o.Drop)
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "pack.unreadable")
	}
	if !st.Mode().IsRegular() || !ofAdministrator(st) || !ofAdministrator(folder) {
		return nil, fault.New(fault.Forbidden, "plugin.drop-open", "file", f.Name())
	}
	return in.verify(ctx, f, st.Size())
}

// ofAdministrator tells whether nobody but root, or Karov's own user, may write to it.
func ofAdministrator(st fs.FileInfo) bool {
	owner, ok := st.Sys().(*syscall.Stat_t)
	return ok && (owner.Uid == 0 || int(owner.Uid) == os.Geteuid()) && st.Mode().Perm()&0o022 == 0
}

// takeDropped brings in a version from Drop when it is newer than what is installed. What it asks for beyond what was
// approved waits for the administrator, but for Karov's own plugins: who installs a package of the system has approved.
func (in *Installer) takeDropped(ctx context.Context, c *candidate) error {
	s, err := in.load(ctx, c.m.ID)
	if err != nil {
		return err
	}
	switch {
	case s.Active != nil && s.Trial == nil && s.Active.Hash == c.v.Hash && !in.o.Host.has(s.ID):
		_, err := in.bring(access.WithActor(ctx, access.Appliance()), s, c) // its files are gone or damaged, as after a restore
		return err
	case s.Removed || s.Pinned || slices.Contains(s.Held, c.v.Hash):
		return nil // somebody decided so
	case s.Active != nil && !pack.Newer(c.v.Version, s.Active.Version):
		return nil
	case s.Trial != nil:
		if !pack.Newer(c.v.Version, s.Trial.Version.Version) {
			return nil
		}
	}
	if err := in.admits(s, c); err != nil {
		return err
	}
	more := c.v.Asks.since(s.Granted)
	if len(more.Added) == 0 || in.own(c) {
		ctx = access.WithActor(ctx, access.Appliance())
		_, err := in.bring(ctx, s, c)
		return err
	}
	if s.Waiting != nil && s.Waiting.Hash == c.v.Hash {
		return nil
	}
	_, err = in.change(ctx, s.ID, "plugin.waiting", func(s *Installed) map[string]string {
		s.Name, s.Waiting = c.m.Name, &Waiting{Version: c.v, File: c.file.Name(), More: more}
		return c.v.about()
	})
	return err
}

// own tells whether a package is one of Karov's own.
func (in *Installer) own(c *candidate) bool {
	return in.o.Product != nil && c.p.Root.ID() == in.o.Product.ID() && pack.Reserved(c.m.ID)
}

// Approve brings in the version that waits, with all that it asks for. Hash is the package that was shown.
func (in *Installer) Approve(ctx context.Context, id, hash string) (Installed, error) {
	if err := in.require(ctx); err != nil {
		return Installed{}, err
	}
	in.turn.Lock()
	defer in.turn.Unlock()
	s, err := in.known(ctx, id)
	if err != nil {
		return s, err
	}
	if s.Waiting == nil {
		return s, fault.New(fault.NotFound, "plugin.nothing-waits", "id", id)
	}
	c, err := in.openDropped(ctx, s.Waiting.File)
	if err != nil {
		return s, err
	}
	defer c.file.Close()
	if c.v.Hash != hash || c.m.ID != id {
		return s, fault.New(fault.Conflict, "plugin.waiting-changed", "id", id)
	}
	if err := in.admits(s, c); err != nil {
		return s, err
	}
	return in.bring(ctx, s, c)
}
