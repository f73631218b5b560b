package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/attachment"
	"github.com/karov-crm/karov/appliance/blob"
	"github.com/karov-crm/karov/appliance/config"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/control"
	"github.com/karov-crm/karov/appliance/deal"
	"github.com/karov-crm/karov/appliance/filter"
	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/appliance/job"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/search"
	"github.com/karov-crm/karov/appliance/segment"
	"github.com/karov-crm/karov/appliance/snapshot"
	"github.com/karov-crm/karov/appliance/staff"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
	"github.com/karov-crm/karov/appliance/task"
	"github.com/karov-crm/karov/appliance/transfer"
)

// appliance is every room of a running Karov, wired by hand.
type appliance struct {
	config config.Config
	log    *slog.Logger
	now    func() time.Time
	since  time.Time

	db       store.DB
	gate     *access.Gate
	schema   *schema.Registry
	journal  *journal.Journal
	audit    *journal.Audit
	book     *record.Book
	search   *search.Index
	blobs    *blob.Store
	jobs     *job.Queue
	staff    *staff.Room
	contacts *contact.Room
	inbox    *inbox.Room
	tasks    *task.Room
	deals    *deal.Room
	files    *attachment.Room
	transfer *transfer.Office
	segments *segment.Room
	settings *plugin.StoredSettings
	plugins  *plugin.Host
	packages *plugin.Installer
	targets  *snapshot.Targets

	backing sync.Mutex // one backup at a time
}

// open builds the rooms over the data folder, making it where there is none. It fails when another Karov holds it.
func open(ctx context.Context, c config.Config, log *slog.Logger) (a *appliance, err error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	a = &appliance{config: c, log: log, now: time.Now, since: time.Now()}
	if a.db, err = bolt.OpenFormat(ctx, c.DataFile(snapshot.StoreFile), a.migrations(), a.tellMigration); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.db.Close())
		}
	}()
	if err := a.groundAndFirst(ctx); err != nil {
		return nil, err
	}
	if err := a.rooms(); err != nil {
		return nil, err
	}
	if err := a.settle(ctx); err != nil {
		return nil, err
	}
	if err := a.deals.Begin(access.WithActor(ctx, access.Appliance()), c.Language); err != nil {
		return nil, err
	}
	return a, a.staff.Seat(ctx)
}

// entities are all built-in kinds of record of an office in a country.
func entities(country string) []schema.Entity {
	return slices.Concat([]schema.Entity{contact.Entity(), contact.TagEntity(), task.Entity()}, inbox.Entities(), deal.Entities(deal.CurrencyOf(country)), segment.Entities())
}

// groundAndFirst builds what the rooms stand on.
func (a *appliance) groundAndFirst(ctx context.Context) (err error) {
	if a.blobs, err = blob.Open(a.config.DataFile(snapshot.BlobFolder)); err != nil {
		return err
	}
	if err := a.recordsOver(ctx, a.db); err != nil {
		return err
	}
	a.search = search.New(a.db, a.gate)
	a.search.Conditions(func(ctx context.Context, tx store.Tx, entity string, id [16]byte, _ string) bool {
		_, err := a.book.GetTx(ctx, tx, entity, id)
		return err == nil
	})
	a.jobs = job.NewQueue(a.db, a.now)
	a.targets = snapshot.NewTargets(a.db, a.config.DataFile(snapshot.ConfFolder, "backup.key"))
	return nil
}

// recordsOver builds the door to the records of a store, and what it stands on.
func (a *appliance) recordsOver(ctx context.Context, db store.DB) (err error) {
	zone, err := time.LoadLocation(a.config.TimeZone)
	if err != nil {
		return fmt.Errorf("load time zone: %w", err)
	}
	a.journal = journal.New(db, a.now)
	a.gate, err = access.OpenGate(ctx, access.Options{DB: db, Now: a.now, CheckWhere: a.checkWhere, CheckField: a.checkField,
		Tell: func(ctx context.Context, tx store.Tx, fact, role string, about map[string]string) error {
			return a.journal.Append(ctx, tx, journal.Fact{Name: fact, Entity: "role", ID: role, About: about})
		},
		Holders: func(tx store.Tx, role access.Role) (int, error) { return a.staff.Holders(tx, role) },
	})
	if err != nil {
		return err
	}
	a.schema, err = schema.Open(ctx, db, schema.Options{Journal: a.journal, Gate: a.gate, Now: a.now, CheckFormula: checkFormula}, entities(a.config.Country)...)
	if err != nil {
		return err
	}
	a.schema.Watch(a.keepConditions)
	a.keepCustom()
	a.book = record.NewBook(record.Parts{DB: db, Schema: a.schema, Gate: a.gate, Journal: a.journal, Now: a.now, Zone: zone, Week: weekOf(a.config.Country)})
	return nil
}

// weekOf is the day on which a country's week begins.
func weekOf(country string) time.Weekday {
	switch country {
	case "IL", "US", "CA", "JP":
		return time.Sunday
	}
	return time.Monday // ISO 8601
}

// checkFormula refuses a formula that the filter language cannot read.
func checkFormula(s *schema.Schema, e *schema.Entity, f *schema.Field) error {
	_, err := filter.ParseFormula(f.Formula, s, e.Name, filter.Options{})
	return err
}

// rooms builds the rooms and the host of the plugins.
func (a *appliance) rooms() (err error) {
	a.staff = staff.New(a.db, a.gate, a.journal, a.now)
	a.contacts = contact.New(a.book, a.gate, a.config.Country)
	a.contacts.SetErasure(a.erasure())
	a.audit = journal.NewAudit(a.journal, a.gate)
	a.inbox = inbox.New(inbox.Parts{Book: a.book, Gate: a.gate, Contacts: a.contacts, Jobs: a.jobs, Now: a.now})
	a.book.Watch("contact", staff.Holder("owner"))
	a.book.Watch("conversation", staff.Holder("assignee"))
	a.book.Watch("task", staff.Holder("assignee"))
	a.book.Watch("lead", staff.Holder("owner"))
	a.book.Watch("deal", staff.Holder("owner"))
	a.tasks = task.New(task.Parts{Book: a.book, Gate: a.gate, Journal: a.journal, Contacts: a.contacts, Zone: a.book.Zone(), Now: a.now})
	a.deals = deal.New(deal.Parts{Book: a.book, Gate: a.gate, Journal: a.journal, Contacts: a.contacts, Now: a.now})
	a.files = attachment.New(a.book, a.gate, a.journal, a.blobs, a.now)
	a.transfer = &transfer.Office{Book: a.book, Gate: a.gate, Journal: a.journal, Contacts: a.contacts, Staff: a.staff, Now: a.now}
	// The last to watch all records: it tells of what the other rooms let through.
	a.segments = segment.New(segment.Parts{Book: a.book, Gate: a.gate, Journal: a.journal, Jobs: a.jobs, Schema: a.schema, Now: a.now})
	if a.settings, err = plugin.OpenSettings(a.db, a.gate, a.journal, a.config.DataFile(snapshot.ConfFolder, "secret.key")); err != nil {
		return err
	}
	run, err := control.MakeRunDir(a.config.Data)
	if err != nil {
		return err
	}
	a.plugins, err = plugin.Open(a.hosted(run))
	if err != nil {
		return err
	}
	a.inbox.SetSender(a.plugins)
	a.book.SetAsker(a.plugins)
	return a.openPackages()
}

// close writes down what was read last, and gives the data free. The plugins are gone by then.
func (a *appliance) close() error {
	return errors.Join(a.journal.Flush(access.WithActor(context.Background(), access.Appliance())), a.db.Close())
}

// origin is what a backup of this appliance is taken of.
func (a *appliance) origin() snapshot.Origin {
	files := map[string]string{}
	for _, name := range []string{"secret.key", "tls.crt", "tls.key"} {
		files[name] = a.config.DataFile(snapshot.ConfFolder, name)
	}
	return snapshot.Origin{DB: a.db, Book: a.book, Blobs: a.blobs, Config: files, Program: version, Now: a.now}
}

// health tells pages how the channels' accounts fare, to those who may see it.
func (a *appliance) health(ctx context.Context) (accounts []frame.Health) {
	if a.gate.Scope(ctx, access.See, "channel") == access.None {
		return nil
	}
	for _, p := range a.plugins.List() {
		for _, h := range p.Accounts {
			accounts = append(accounts, frame.Health{Account: h.Account, OK: h.OK, Key: h.Key, Params: h.Params, Detail: h.Detail})
		}
		if p.State == plugin.Backoff || p.State == plugin.OpenCircuit {
			accounts = append(accounts, frame.Health{Account: p.Name, Key: "plugin.down"})
		}
	}
	return accounts
}

// certificateFiles is where the appliance's own certificate lies.
func (a *appliance) certificateFiles() (cert, key string) {
	dir := a.config.DataFile(snapshot.ConfFolder)
	return filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
}
