package main

import (
	"context"
	"os"

	"github.com/karov-crm/karov/appliance/plugin"
)

// declarations bring what plugins declare into the kinds of record.
func (a *appliance) declarations() *plugin.Declarations {
	return &plugin.Declarations{Schema: a.schema, Book: a.book}
}

// purging erases what plugins left that were removed.
func (a *appliance) purging() *plugin.Purging {
	p := &plugin.Purging{Schema: a.schema, Book: a.book, Gate: a.gate, Journal: a.journal, Jobs: a.jobs, Blobs: a.blobs, Installed: a.installed,
		Kept: []func(context.Context, string) error{a.plugins.PurgeKept, a.forgetFolder}}
	if db, ok := a.db.(interface{ Scrub(context.Context) error }); ok {
		p.Scrub = db.Scrub
	}
	return p
}

// installed tells whether there is a plugin, in use or not.
func (a *appliance) installed(id string) bool {
	_, err := a.plugins.Manifest(id)
	return err == nil
}

// forgetFolder removes the folder in which a plugin worked.
func (a *appliance) forgetFolder(_ context.Context, id string) error {
	if !plugin.ValidID(id) {
		return nil
	}
	return os.RemoveAll(a.config.DataFile("plugins", id))
}

// settlePlugins withdraws what plugins declared that are gone. While one cannot be read nobody knows which are gone, and
// everything stays as it is.
func (a *appliance) settlePlugins(ctx context.Context) error {
	var ids []string
	for _, p := range a.plugins.List() {
		m, err := a.plugins.Manifest(p.ID)
		if err != nil || m.API == "" { // its manifest could not be read
			return err
		}
		ids = append(ids, p.ID)
	}
	packages, err := a.packages.List(ctx)
	if err != nil {
		return err
	}
	for _, p := range packages { // also those that cannot be started now
		ids = append(ids, p.ID)
	}
	return a.declarations().Settle(ctx, ids)
}
