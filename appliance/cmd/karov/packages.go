package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/karov-crm/karov/appliance/control"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/plugin/pack"
)

// productRoot is the root of Karov's own plugins: its public file in base64. It is set by the build; without it no root
// is trusted but those that the administrator adds.
var productRoot string

// openPackages opens what installs packages of plugins.
func (a *appliance) openPackages() (err error) {
	var product *pack.Root
	if productRoot != "" {
		file, err := base64.StdEncoding.DecodeString(productRoot)
		if err != nil {
			return fmt.Errorf("read the root that was built in: %w", err)
		}
		root, err := pack.ReadRoot(file)
		if err != nil {
			return fmt.Errorf("read the root that was built in: %w", err)
		}
		product = &root
	}
	a.packages, err = plugin.OpenInstaller(plugin.InstallerOptions{
		Host: a.plugins, DB: a.db, Gate: a.gate, Journal: a.journal, Dir: a.config.DataFile("plugins", "store"), Drop: a.config.Packages,
		Product: product, Log: a.log, Now: a.now,
		Withdraw: a.declarations().Withdraw,
		Purge:    func(ctx context.Context, id string) error { return a.purging().Purge(ctx, id) },
	})
	return err
}

// mayDeclare brings what a plugin declares into the schema, unless the plugin must not be started any more.
func (a *appliance) mayDeclare(ctx context.Context, m *plugin.Manifest) error {
	if a.packages != nil {
		if err := a.packages.MayStart(ctx, m.ID, m.Version); err != nil {
			return err
		}
	}
	return a.declarations().Apply(ctx, m)
}

// packageActs are what commands do with packages.
func (a *appliance) packageActs() map[string]control.Act {
	return map[string]control.Act{
		"plugin-inspect": a.packageInspect, "plugin-install": a.packageInstall, "plugin-rollback": a.packageRollback,
		"plugin-pin": a.packagePin, "plugin-remove": a.packageRemove, "plugin-approve": a.packageApprove, "plugin-rescan": a.packageRescan,
		"plugin-packages": a.packageList, "plugin-trust": a.trustAdd, "plugin-trust-list": a.trustList, "plugin-distrust": a.trustRemove,
		"plugin-revocations": a.takeRevocations,
	}
}

// packageVersion is a version of a package as commands show it.
type packageVersion struct {
	Version string   `json:"version"`
	Hash    string   `json:"hash,omitempty"`
	Signer  string   `json:"signer,omitempty"`
	Root    string   `json:"root,omitempty"`
	Added   []string `json:"added,omitempty"` // permissions that nobody approved yet
	Removed []string `json:"removed,omitempty"`
}

// failedShown is a version that did not get through its probation.
type failedShown struct {
	Version string            `json:"version"`
	Key     string            `json:"key"`
	Params  map[string]string `json:"params,omitempty"`
	At      time.Time         `json:"at"`
	Stays   bool              `json:"stays,omitempty"`
}

// packageShown is an installed package as commands show it.
type packageShown struct {
	ID       string                `json:"id"`
	Name     string                `json:"name"`
	State    plugin.InstalledState `json:"state"`
	Pinned   bool                  `json:"pinned,omitempty"`
	Active   *packageVersion       `json:"active,omitempty"`
	Previous *packageVersion       `json:"previous,omitempty"`
	Trial    *packageVersion       `json:"trial,omitempty"`
	Waiting  *packageVersion       `json:"waiting,omitempty"`
	Failed   *failedShown          `json:"failed,omitempty"`
	Key      string                `json:"key,omitempty"` // why it cannot be started
	Params   map[string]string     `json:"params,omitempty"`
}

func showVersion(v *plugin.Version) *packageVersion {
	if v == nil {
		return nil
	}
	return &packageVersion{Version: v.Version, Hash: v.Hash, Signer: v.Signer.Name, Root: v.Signer.RootName}
}

func showPackage(s plugin.Shown) packageShown {
	out := packageShown{ID: s.ID, Name: s.Name, State: s.State, Pinned: s.Pinned, Active: showVersion(s.Active), Previous: showVersion(s.Previous)}
	if s.Trial != nil {
		out.Trial = showVersion(&s.Trial.Version)
	}
	if w := s.Waiting; w != nil {
		out.Waiting = showVersion(&w.Version)
		out.Waiting.Added, out.Waiting.Removed = w.More.Added, w.More.Removed
	}
	if f := s.Failed; f != nil {
		out.Failed = &failedShown{Version: f.Version, Key: f.Key, Params: f.Params, At: f.At, Stays: f.Stays}
	}
	if s.Trouble != nil {
		out.Key, out.Params = s.Trouble.Key, s.Trouble.Params
	}
	return out
}

func (a *appliance) packageList(ctx context.Context, _ *control.Call) (any, error) {
	all, err := a.packages.List(ctx)
	out := []packageShown{}
	for _, s := range all {
		out = append(out, showPackage(s))
	}
	return out, err
}

// packageInspect shows what a package is.
func (a *appliance) packageInspect(ctx context.Context, c *control.Call) (any, error) {
	seen, err := a.packages.Inspect(ctx, c.File)
	if err != nil {
		return nil, err
	}
	return struct {
		ID        string         `json:"id"`
		Name      string         `json:"name"`
		Installed string         `json:"installed,omitempty"`
		Asks      []string       `json:"asks,omitempty"`
		Package   packageVersion `json:"package"`
	}{seen.ID, seen.Name, seen.Installed, seen.Asks, packageVersion{Version: seen.Version.Version, Hash: seen.Hash, Signer: seen.Signer.Name,
		Root: seen.Signer.RootName, Added: seen.Difference.Added, Removed: seen.Difference.Removed}}, nil
}

// installedNow answers with how one package stands.
func (a *appliance) installedNow(ctx context.Context, id string, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	all, err := a.packages.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if s.ID == id {
			return showPackage(s), nil
		}
	}
	return nil, fault.New(fault.NotFound, "plugin.not-installed", "id", id)
}

func (a *appliance) packageInstall(ctx context.Context, c *control.Call) (any, error) {
	var args struct{ Approved string }
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	s, err := a.packages.Install(ctx, c.File, args.Approved)
	return a.installedNow(ctx, s.ID, err)
}

func (a *appliance) packageRollback(ctx context.Context, c *control.Call) (any, error) {
	var args struct{ ID string }
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	_, err := a.packages.Rollback(ctx, args.ID)
	return a.installedNow(ctx, args.ID, err)
}

func (a *appliance) packageApprove(ctx context.Context, c *control.Call) (any, error) {
	var args struct{ ID, Hash string }
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	_, err := a.packages.Approve(ctx, args.ID, args.Hash)
	return a.installedNow(ctx, args.ID, err)
}

func (a *appliance) packagePin(ctx context.Context, c *control.Call) (any, error) {
	var args struct {
		ID     string
		Pinned bool
	}
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	return nil, a.packages.Pin(ctx, args.ID, args.Pinned)
}

func (a *appliance) packageRemove(ctx context.Context, c *control.Call) (any, error) {
	var args struct {
		ID    string
		Purge bool
	}
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	return nil, a.packages.Remove(ctx, args.ID, args.Purge)
}

// packageRescan looks at the folder where packages of the system put plugins.
func (a *appliance) packageRescan(ctx context.Context, _ *control.Call) (any, error) {
	type refused struct {
		File   string            `json:"file"`
		Key    string            `json:"key"`
		Params map[string]string `json:"params,omitempty"`
	}
	found, err := a.packages.Rescan(ctx)
	out := []refused{}
	for _, d := range found {
		out = append(out, refused{d.File, d.Why.Key, d.Why.Params})
	}
	return out, err
}

func (a *appliance) trustAdd(ctx context.Context, c *control.Call) (any, error) {
	var args struct{ File []byte }
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	root, err := a.packages.Trust(ctx, args.File)
	if err != nil {
		return nil, err
	}
	return map[string]string{"id": root.ID(), "name": root.Name}, nil
}

func (a *appliance) trustList(ctx context.Context, _ *control.Call) (any, error) {
	return a.packages.Roots(ctx)
}

func (a *appliance) trustRemove(ctx context.Context, c *control.Call) (any, error) {
	var args struct{ ID string }
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	return nil, a.packages.Distrust(ctx, args.ID)
}

func (a *appliance) takeRevocations(ctx context.Context, c *control.Call) (any, error) {
	var args struct{ File []byte }
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	concerned, err := a.packages.TakeRevocations(ctx, args.File)
	if err != nil {
		return nil, err
	}
	return map[string][]string{"concerned": concerned}, nil
}
