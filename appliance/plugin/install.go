package plugin

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/plugin/pack"
	"github.com/karov-crm/karov/appliance/store"
)

// InstallerOptions are what an Installer stands on.
type InstallerOptions struct {
	Host    *Host
	DB      store.DB
	Gate    *access.Gate
	Journal *journal.Journal
	Dir     string // the store of unpacked packages
	Drop    string // where packages of the system put .karovplug files; "" for nowhere
	Product *pack.Root
	Log     *slog.Logger
	Now     func() time.Time // time.Now when nil

	Probation time.Duration // how long a new version must do well before the old one is given up: 1 min
	Poll      time.Duration // how often Drop is looked at: 30 s

	// Withdraw hides what a removed plugin declared; nil for a host without records.
	Withdraw func(ctx context.Context, id string) error
	// Purge deletes all data of a removed plugin; nil when that is not possible here.
	Purge func(ctx context.Context, id string) error
}

// Installer brings packages into the office and takes them out, while the host runs.
//
// It owns the buckets plugin.installed (by id, what is installed) and plugin.trust (roots, revocation lists), the folder
// Dir (<id>/<version>-<hash>, read-only, several versions side by side) and the facts plugin.installed, plugin.upgraded,
// plugin.rolled-back, plugin.removed, plugin.pinned, plugin.unpinned, plugin.waiting, plugin.root-trusted,
// plugin.root-distrusted and plugin.revocations-taken.
//
// A new version of a plugin is on probation for a while: when it falls, or does not reach the state in which the old one
// was, the old one comes back by itself. What is written down is always ahead of what is done, so that whenever Karov
// is killed, it finds either the old version or the new one.
//
// The end of a certificate stops nothing that is installed. A revocation keeps what it names from being started again;
// what runs, runs until it is stopped, or Karov is.
type Installer struct {
	o InstallerOptions

	turn    sync.Mutex // held by whoever changes what is installed
	life    context.Context
	end     context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex
	trouble map[string]*fault.Error // by id: why it could not be started when Karov did
	seen    map[string]dropped      // by path, of Drop
}

// OpenInstaller makes the installer of an office. Half of an unpacking that a crash left is removed.
func OpenInstaller(o InstallerOptions) (*Installer, error) {
	if o.Host == nil || o.DB == nil || o.Gate == nil || o.Journal == nil || o.Dir == "" || o.Log == nil {
		return nil, fault.New(fault.Internal, "plugin.host-incomplete")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Probation <= 0 {
		o.Probation = time.Minute
	}
	if o.Poll <= 0 {
		o.Poll = 30 * time.Second
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("find the folder %s: %w", o.Dir, err)
	}
	o.Dir = dir
	in := &Installer{o: o, trouble: map[string]*fault.Error{}, seen: map[string]dropped{}}
	if err := pack.Remove(in.incoming()); err != nil {
		return nil, fmt.Errorf("clear half-unpacked plugins: %w", err)
	}
	if err := os.MkdirAll(in.incoming(), 0o700); err != nil {
		return nil, fmt.Errorf("make the store of plugins: %w", err)
	}
	return in, nil
}

// Start gives what is installed to the host, goes on with probations that were under way, and begins to look at Drop.
// A plugin that cannot be started is listed with the reason; it holds up nobody.
func (in *Installer) Start(ctx context.Context) error {
	in.life, in.end = context.WithCancel(access.WithActor(ctx, access.Appliance()))
	trust, err := in.trust(in.life)
	if err != nil {
		return err
	}
	all, err := in.all(in.life)
	if err != nil {
		return err
	}
	in.turn.Lock()
	defer in.turn.Unlock()
	for _, s := range all {
		if s.Removed {
			continue
		}
		if err := in.begin(s, trust); err != nil {
			in.o.Log.Error("an installed plugin cannot be started", "plugin", s.ID, "error", err)
			in.note(s.ID, err)
		}
	}
	in.clean(all)
	if in.o.Drop != "" {
		in.running.Go(in.poll)
	}
	return nil
}

// begin gives one installed plugin to the host: the version on probation, else the active one.
func (in *Installer) begin(s Installed, trust *pack.Trust) error {
	if s.Trial != nil {
		if err := in.resume(s, trust); err == nil {
			return nil
		} else if s, err = in.fail(in.life, s.ID, s.Trial.Hash, fault.Of(err)); err != nil {
			return err
		}
	}
	if s.Active == nil {
		return nil
	}
	if err := in.mayStart(*s.Active, s.ID, trust); err != nil {
		return err
	}
	if err := in.o.Host.Add(in.dir(s.ID, *s.Active)); err != nil || s.Moving == nil {
		return err
	}
	in.running.Go(func() { // it did not get to the end of moving its data
		if err := in.upAgain(s.ID); err != nil && in.life.Err() == nil {
			in.o.Log.Error("a plugin could not move its data", "plugin", s.ID, "error", err)
			in.note(s.ID, err)
		}
	})
	return nil
}

// mayStart refuses what was revoked, and what is not as it was installed.
func (in *Installer) mayStart(v Version, id string, trust *pack.Trust) error {
	if err := v.standing(trust); err != nil {
		return err
	}
	_, err := pack.Sound(in.dir(id, v), v.Hash, describe)
	return err
}

// standing refuses a version that was revoked.
func (v Version) standing(trust *pack.Trust) error {
	if trust.RevokedCertificate(v.Signer.Root, v.Signer.Serial) {
		return fault.New(fault.Forbidden, "pack.certificate-revoked", "name", v.Signer.Name, "root", v.Signer.RootName)
	}
	if trust.RevokedPackage(v.Signer.Root, v.Hash) {
		return fault.New(fault.Forbidden, "pack.revoked", "name", v.Signer.Name)
	}
	return nil
}

// Close ends the looking and the probations; these go on with the next start.
func (in *Installer) Close() {
	if in.end != nil {
		in.end()
	}
	in.running.Wait()
}

func (in *Installer) note(id string, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	delete(in.trouble, id)
	if err != nil {
		in.trouble[id] = fault.Of(err)
	}
}

// require asks whether the actor may administer the office.
func (in *Installer) require(ctx context.Context) error {
	return in.o.Gate.Require(ctx, access.Administer, access.Object{Entity: "office"})
}

// InstalledState says how an installed plugin stands.
type InstalledState string

// The states of an installed plugin.
const (
	StateInstalled InstalledState = "installed"
	StateProbation InstalledState = "probation"
	StateWaiting   InstalledState = "waiting-approval" // a version lies in Drop that asks for more than was approved
	StateRevoked   InstalledState = "revoked"
	StateBroken    InstalledState = "broken" // it could not be started; Trouble says why
)

// Shown is an installed plugin as it stands now.
type Shown struct {
	Installed
	State   InstalledState
	Trouble *fault.Error
}

// List gives what is installed, in the order of ids.
func (in *Installer) List(ctx context.Context) ([]Shown, error) {
	all, err := in.all(ctx)
	if err != nil {
		return nil, err
	}
	trust, err := in.trust(ctx)
	if err != nil {
		return nil, err
	}
	out := []Shown{}
	for _, s := range all {
		if !s.there() {
			continue
		}
		in.mu.Lock()
		shown := Shown{Installed: s, State: StateInstalled, Trouble: in.trouble[s.ID]}
		in.mu.Unlock()
		v := s.newest()
		switch {
		case v != nil && v.standing(trust) != nil:
			shown.State = StateRevoked
		case shown.Trouble != nil:
			shown.State = StateBroken
		case s.Trial != nil:
			shown.State = StateProbation
		case s.Waiting != nil:
			shown.State = StateWaiting
		case s.Active == nil:
			shown.State, shown.Trouble = StateBroken, &fault.Error{Kind: fault.Unavailable, Key: s.Failed.Key, Params: s.Failed.Params}
		}
		out = append(out, shown)
	}
	return out, nil
}
