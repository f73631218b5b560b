package main

import (
	"context"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

// migrations lead a store from format i+1 to i+2. Those that released programs have run are never changed.
func (a *appliance) migrations() []store.Migration {
	return []store.Migration{a.indexAnew}
}

// indexAnew leads to format 2: lists are kept by whose a record is, records without a value stand in them too, and
// lookup knows three alphabets. All of that follows from the records alone.
func (a *appliance) indexAnew(ctx context.Context, db store.DB, progress store.Progress) error {
	of := &appliance{config: a.config, log: a.log, now: a.now} // with rooms over the copy that is migrated
	if err := of.recordsOver(ctx, db); err != nil {
		return err
	}
	contact.New(of.book, of.gate, a.config.Country)
	return of.book.Rebuild(access.WithActor(ctx, access.Appliance()), func(done int) { progress(int64(done), 0) })
}

// tellMigration writes down how far a migration is, for whoever waits for the first start after an upgrade.
func (a *appliance) tellMigration(stage bolt.Stage, format int, done, of int64) {
	a.log.Info("taking the data to a newer format", "format", format, "stage", string(stage), "done", done, "of", of)
}
