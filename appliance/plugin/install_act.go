package plugin

import (
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/plugin/pack"
)

// Inspection is what a package is, before it is installed.
type Inspection struct {
	ID, Name string
	Version
	Installed  string          // the active version, "" for none
	Asks       []string        // all that it asks for, a phrase each
	Difference pack.Difference // from what was approved
}

// Inspect verifies a package and tells what it is. It changes nothing.
func (in *Installer) Inspect(ctx context.Context, file io.Reader) (Inspection, error) {
	if err := in.require(ctx); err != nil {
		return Inspection{}, err
	}
	c, err := in.open(ctx, file)
	if err != nil {
		return Inspection{}, err
	}
	defer c.file.Close()
	s, err := in.load(ctx, c.m.ID)
	if err != nil {
		return Inspection{}, err
	}
	out := Inspection{ID: c.m.ID, Name: c.m.Name, Version: c.v, Asks: c.v.Asks.phrases(), Difference: c.v.Asks.since(s.Granted)}
	if s.Active != nil {
		out.Installed = s.Active.Version
	}
	return out, nil
}

// candidate is a package that was verified and may come in.
type candidate struct {
	file *os.File
	p    *pack.Package
	m    *Manifest
	v    Version
}

// open takes in a file and verifies it. The caller closes the file.
func (in *Installer) open(ctx context.Context, r io.Reader) (*candidate, error) {
	f, size, err := in.arrive(ctx, r)
	if err != nil {
		return nil, err
	}
	c, err := in.verify(ctx, f, size)
	if err != nil {
		_ = f.Close() // it was only read since
		return nil, err
	}
	return c, nil
}

func (in *Installer) verify(ctx context.Context, f *os.File, size int64) (*candidate, error) {
	trust, err := in.trust(ctx)
	if err != nil {
		return nil, err
	}
	p, err := VerifyPackage(f, size, trust, in.o.Now(), Arch())
	if err != nil {
		return nil, err
	}
	raw, err := p.File("plugin.yaml")
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(raw, "plugin.yaml")
	if err != nil {
		return nil, err
	}
	c := p.Certificate
	return &candidate{file: f, p: p, m: m, v: Version{
		Version: m.Version, Hash: p.Hash, Data: m.Data, Asks: m.asks(), At: in.o.Now().UTC().Truncate(time.Second),
		Signer: SignedBy{Name: c.Name, Namespace: c.Namespace, Serial: c.Serial, Root: c.Root, RootName: p.Root.Name},
	}}, nil
}

// Install brings a package in and starts it; where another version is installed, it is an upgrade and begins with a
// probation. Approved is the hash of the package whose wishes somebody has seen and agreed to, as Inspect gave it; ""
// is enough when nothing is asked for that was not approved before.
func (in *Installer) Install(ctx context.Context, file io.Reader, approved string) (Installed, error) {
	if err := in.require(ctx); err != nil {
		return Installed{}, err
	}
	c, err := in.open(ctx, file)
	if err != nil {
		return Installed{}, err
	}
	defer c.file.Close()
	in.turn.Lock()
	defer in.turn.Unlock()
	s, err := in.load(ctx, c.m.ID)
	if err != nil {
		return s, err
	}
	if err := in.admits(s, c); err != nil {
		return s, err
	}
	if more := c.v.Asks.since(s.Granted).Added; len(more) > 0 && approved != c.v.Hash {
		return s, fault.New(fault.Forbidden, "plugin.not-approved", "id", s.ID, "what", strings.Join(more, "; "))
	}
	return in.bring(ctx, s, c)
}

// admits refuses a version that must not follow what is installed.
func (in *Installer) admits(s Installed, c *candidate) error {
	before := s.Active
	switch {
	case before == nil && s.Trial == nil && in.o.Host.has(s.ID):
		return fault.New(fault.Conflict, "plugin.from-folder", "id", s.ID)
	case s.Trial != nil:
		return fault.New(fault.Conflict, "plugin.on-probation", "id", s.ID, "version", s.Trial.Version.Version)
	case before != nil && s.Pinned:
		return fault.New(fault.Conflict, "plugin.is-pinned", "id", s.ID, "version", before.Version)
	case before != nil && (before.Signer.Root != c.v.Signer.Root || before.Signer.Namespace != c.v.Signer.Namespace):
		return fault.New(fault.Forbidden, "plugin.other-signer", "id", s.ID, "before", before.Signer.Name, "now", c.v.Signer.Name)
	case c.v.Data < s.touched():
		return fault.New(fault.Conflict, "plugin.data-newer", "id", s.ID, "version", c.v.Version)
	}
	return nil
}

// bring unpacks a version, writes it down and starts it.
func (in *Installer) bring(ctx context.Context, s Installed, c *candidate) (Installed, error) {
	if a := s.Active; a != nil && a.Hash == c.v.Hash && in.o.Host.has(s.ID) {
		return s, nil // it runs
	}
	m, err := in.unpack(c.p, c.v)
	if err != nil {
		return s, err
	}
	trial := &Trial{Version: c.v, Well: s.Active != nil && in.o.Host.Healthy(s.ID) == nil}
	if s, err = in.change(ctx, s.ID, "", func(s *Installed) map[string]string {
		if s.Removed {
			*s = Installed{ID: s.ID, Data: s.Data, Moving: s.Moving}
		}
		s.Name, s.Trial, s.Waiting = m.Name, trial, nil
		return nil
	}); err != nil {
		return s, err
	}
	return in.try(ctx, s)
}

// try starts the version on probation. A first version that does not start is forgotten again.
func (in *Installer) try(ctx context.Context, s Installed) (Installed, error) {
	err := in.launch(ctx, s.ID, in.dir(s.ID, s.Trial.Version))
	if err == nil {
		err = in.migrate(ctx, s.ID)
	}
	if err != nil {
		after, failErr := in.fail(ctx, s.ID, s.Trial.Hash, fault.Of(err))
		if failErr != nil {
			in.o.Log.Error("a plugin's version could not be taken back", "plugin", s.ID, "error", failErr)
		}
		return after, err
	}
	in.note(s.ID, nil)
	if status, err := in.o.Host.status(s.ID); s.Active == nil || err == nil && status.State == Disabled {
		return in.succeed(ctx, s.ID, s.Trial.Hash)
	}
	in.running.Go(func() { in.watch(s.ID, *s.Trial) })
	return s, nil
}

// launch makes the version in dir run, in the place of another or as the first.
func (in *Installer) launch(ctx context.Context, id, dir string) error {
	if in.o.Host.has(id) {
		return in.o.Host.Swap(ctx, id, dir)
	}
	if err := in.o.Host.Add(dir); err != nil {
		return err
	}
	p, err := in.o.Host.find(id)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*in.o.Host.o.Timing.Start)
	defer cancel()
	return p.started(ctx)
}

// Rollback brings the version before back, also out of a probation.
func (in *Installer) Rollback(ctx context.Context, id string) (Installed, error) {
	if err := in.require(ctx); err != nil {
		return Installed{}, err
	}
	in.turn.Lock()
	defer in.turn.Unlock()
	s, err := in.known(ctx, id)
	if err != nil {
		return s, err
	}
	if s.Trial != nil && s.Active != nil {
		if s.Active.Data < s.touched() {
			return s, fault.New(fault.Conflict, "plugin.data-newer", "id", id, "version", s.Active.Version)
		}
		return in.fail(ctx, id, s.Trial.Hash, fault.New(fault.Conflict, "plugin.taken-back"))
	}
	to := s.Previous
	if to == nil {
		return s, fault.New(fault.NotFound, "plugin.no-previous", "id", id)
	}
	if to.Data < s.touched() {
		return s, fault.New(fault.Conflict, "plugin.data-newer", "id", id, "version", to.Version)
	}
	trust, err := in.trust(ctx)
	if err != nil {
		return s, err
	}
	if err := in.mayStart(*to, id, trust); err != nil {
		return s, err
	}
	if err := in.launch(ctx, id, in.dir(id, *to)); err != nil {
		return s, err
	}
	in.note(id, nil)
	return in.change(ctx, id, "plugin.rolled-back", func(s *Installed) map[string]string {
		s.hold(s.Active.Hash)
		s.Active, s.Previous = s.Previous, s.Active
		s.Granted = s.Active.Asks
		return s.Active.about()
	})
}

// Pin keeps a plugin at its version, or lets it go again.
func (in *Installer) Pin(ctx context.Context, id string, pinned bool) error {
	if err := in.require(ctx); err != nil {
		return err
	}
	in.turn.Lock()
	defer in.turn.Unlock()
	if _, err := in.known(ctx, id); err != nil {
		return err
	}
	fact := "plugin.pinned"
	if !pinned {
		fact = "plugin.unpinned"
	}
	in.forget()
	_, err := in.change(ctx, id, fact, func(s *Installed) map[string]string { s.Pinned = pinned; return nil })
	return err
}

// Remove stops a plugin and takes it out of the store. Its data and settings stay, unless purge is wished for.
func (in *Installer) Remove(ctx context.Context, id string, purge bool) error {
	if err := in.require(ctx); err != nil {
		return err
	}
	in.turn.Lock()
	defer in.turn.Unlock()
	s, err := in.load(ctx, id)
	if err != nil {
		return err
	}
	if _, err := in.known(ctx, id); err != nil && (!purge || !s.Removed) {
		return err
	}
	if purge && in.o.Purge == nil {
		return fault.New(fault.Unavailable, "plugin.purge-impossible", "id", id)
	}
	if !s.Removed {
		if err := in.takeOut(ctx, s); err != nil {
			return err
		}
	}
	if !purge {
		return nil
	}
	if err := in.o.Purge(ctx, id); err != nil {
		return err
	}
	_, err = in.change(ctx, id, "", func(s *Installed) map[string]string {
		s.Data, s.Moving = 0, nil
		return nil
	})
	return err
}

// takeOut stops a plugin and leaves of it only what its data need to be known by.
func (in *Installer) takeOut(ctx context.Context, s Installed) error {
	if _, err := in.change(ctx, s.ID, "plugin.removed", func(s *Installed) map[string]string {
		*s = Installed{ID: s.ID, Name: s.Name, Removed: true, Data: s.Data, Moving: s.Moving}
		return nil
	}); err != nil {
		return err
	}
	if in.o.Host.has(s.ID) {
		if err := in.o.Host.Remove(ctx, s.ID); err != nil {
			return err
		}
	}
	in.note(s.ID, nil)
	in.cleanNow(ctx)
	if in.o.Withdraw == nil {
		return nil
	}
	return in.o.Withdraw(ctx, s.ID)
}

// has tells whether the host knows a plugin.
func (h *Host) has(id string) bool {
	return slices.ContainsFunc(h.all(), func(p *supervised) bool { return p.m.ID == id })
}

// status gives one plugin's status.
func (h *Host) status(id string) (Status, error) {
	p, err := h.find(id)
	if err != nil {
		return Status{}, err
	}
	return p.snapshot(), nil
}
