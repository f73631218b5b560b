package main

import (
	"context"
	"maps"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/deal"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/plugin/confine"
	"github.com/karov-crm/karov/appliance/store"
)

// hosted is what the plugins' host stands on.
func (a *appliance) hosted(run string) plugin.Options {
	return plugin.Options{
		Dirs: []string{a.config.Plugins}, DataDir: a.config.DataFile("plugins"), RunDir: run, Version: version,
		Log: a.log, Inbox: a.inbox, Blobs: a.blobs, Settings: a.settings, Now: a.now,
		DB: a.db, Book: a.book, Gate: a.gate, Journal: a.journal, Queue: a.jobs, Files: a.files, Secrets: a.settings, Zone: a.book.Zone(),
		Actor:   asPlugin,
		Office:  a.aboutOffice,
		Refused: a.refusedPlugin,
		Declare: a.mayDeclare,
		Enabled: a.pluginEnabled, Remember: a.settings.Remember,
		MinimumIsolation: confine.Level(a.config.Isolation), Own: []string{a.config.Data},
	}
}

// asPlugin makes a plugin the actor.
func asPlugin(ctx context.Context, id string) context.Context {
	return access.WithActor(ctx, access.Actor{ID: "plugin:" + id, Role: access.Plugin, Name: id})
}

// aboutOffice is what plugins are told of the office.
func (a *appliance) aboutOffice() plugin.About {
	c := a.config
	return plugin.About{Name: c.Office, Language: c.Language, TimeZone: c.TimeZone, Country: c.Country, Currency: deal.CurrencyOf(c.Country)}
}

// refusedPlugin writes to the audit what a plugin tried and may not.
func (a *appliance) refusedPlugin(ctx context.Context, id, what string, about map[string]string) {
	words := map[string]string{"what": what}
	maps.Copy(words, about)
	ctx = asPlugin(ctx, id)
	err := a.db.Update(ctx, func(tx store.Tx) error {
		return a.journal.Append(ctx, tx, journal.Fact{Name: "plugin.refused", Entity: "plugin", ID: id, About: words})
	})
	if err != nil {
		a.log.Error("write down what a plugin was refused", "plugin", id, "error", err)
	}
}
