package main

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/control"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/plugin"
)

// developed is how the folders of plugins that are being written begin, above the one of each build.
const developed = "karov-dev-"

// devStart is how long a plugin that is being written may take until it runs or says what is wrong.
const devStart = 15 * time.Second

// pluginDev runs the plugin of a folder, unsigned, in the place of the build before; without a folder it takes it out.
// Only those who administer the office on its own machine come here. What is installed otherwise is not touched.
func (a *appliance) pluginDev(ctx context.Context, c *control.Call) (any, error) {
	var args struct{ ID, Dir string }
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	if err := a.gate.Require(ctx, access.Administer, access.Object{Entity: "office"}); err != nil {
		return nil, err
	}
	m, err := a.plugins.Manifest(args.ID)
	there := err == nil
	if there && !isDeveloped(m.Dir()) {
		return nil, fault.New(fault.Conflict, "plugin.repeated", "id", args.ID, "file", m.Dir())
	}
	switch {
	case args.Dir == "":
		return nil, a.plugins.Remove(ctx, args.ID)
	case !filepath.IsAbs(args.Dir) || !isDeveloped(args.Dir):
		return nil, fault.InvalidField("Dir", "field.malformed")
	case there:
		err = a.plugins.Swap(ctx, args.ID, args.Dir)
	default:
		if err = a.packageAbsent(ctx, args.ID); err == nil {
			err = a.plugins.Add(args.Dir)
		}
	}
	if err != nil {
		return nil, err
	}
	return a.devStarted(ctx, args.ID)
}

func isDeveloped(dir string) bool {
	return strings.HasPrefix(filepath.Base(filepath.Dir(dir)), developed)
}

// packageAbsent refuses an id of which a package is installed.
func (a *appliance) packageAbsent(ctx context.Context, id string) error {
	all, err := a.packages.List(ctx)
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.ID == id {
			return fault.New(fault.Conflict, "plugin.repeated", "id", id, "file", a.config.DataFile("plugins", "store"))
		}
	}
	return nil
}

// devStarted waits until a plugin runs or says why not, and tells how it is.
func (a *appliance) devStarted(ctx context.Context, id string) (any, error) {
	for end := time.Now().Add(devStart); ; {
		for _, p := range a.plugins.List() {
			if p.ID != id {
				continue
			}
			settled := p.LastError != nil || p.State == plugin.Disabled || a.plugins.Healthy(id) == nil
			if settled || time.Now().After(end) {
				if p.LastError != nil && p.State != plugin.Running {
					return nil, p.LastError
				}
				return map[string]any{"version": p.Version, "state": p.State, "pid": p.PID}, nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}
