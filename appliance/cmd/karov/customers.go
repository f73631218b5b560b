package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/control"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/seed"
	"github.com/karov-crm/karov/appliance/transfer"
)

// importAct takes a file of customers, or of records of any kind. Rejected rows go back to the command as progress, piece by piece.
func (a *appliance) importAct(ctx context.Context, c *control.Call) (any, error) {
	var args struct {
		Entity, Name string
		Map          map[string]string
		DryRun       bool
	}
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	importer := transfer.Importer(a.transfer)
	var kind *schema.Entity
	if args.Entity != "contact" {
		if kind = a.book.Schema().Entity(args.Entity); kind == nil || kind.Hidden {
			return nil, fault.Missing("entity", args.Entity)
		}
		importer = a.transfer.Records(kind)
	}
	file, err := a.spool(c.File)
	if err != nil {
		return nil, err
	}
	defer func() { _ = errors.Join(file.Close(), os.Remove(file.Name())) }()
	o := transfer.Options{Name: args.Name, Map: args.Map, DryRun: args.DryRun, Region: a.config.Country, Entity: kind, Zone: a.book.Zone(),
		Progress: func(p transfer.Progress) { c.Progress(map[string]any{"rows": p}) }, Rejects: pieces{c}}
	if file, err = transfer.Ready(ctx, file, a.config.Data, &o); err != nil {
		return nil, err
	}
	return transfer.Import(ctx, file, o, importer)
}

// pieces sends what is written to it as progress.
type pieces struct{ call *control.Call }

func (p pieces) Write(b []byte) (int, error) {
	p.call.Progress(map[string]any{"rejects": slices.Clone(b)})
	return len(b), nil
}

// spool keeps a command's file on disk, since an import reads it twice.
func (a *appliance) spool(r io.Reader) (*os.File, error) {
	f, err := os.CreateTemp(a.config.Data, "import-*.csv")
	if err != nil {
		return nil, fmt.Errorf("keep the file to import: %w", err)
	}
	if _, err = io.Copy(f, r); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("keep the file to import: %w", err), f.Close(), os.Remove(f.Name()))
	}
	return f, nil
}

// seedBatch is how many synthetic customers one transaction takes.
const seedBatch = 500

// seedAct fills in synthetic customers, some of their letters, and the work that they make, for trials and measurements.
func (a *appliance) seedAct(ctx context.Context, c *control.Call) (any, error) {
	var args struct {
		Contacts, Letters int
		seedWork
	}
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	if err := args.check(args.Contacts); err != nil {
		return nil, err
	}
	if args.Contacts < 0 || args.Contacts > seed.Most || args.Letters < 0 || args.Letters > args.Contacts {
		return nil, fault.InvalidField("contacts", "seed.count", "most", seed.Most)
	}
	done, created, fresh := 0, 0, map[int]bool{}
	var batch []contact.Draft
	flush := func() error {
		outcomes, errs, err := a.contacts.Import(ctx, batch, false)
		for i := range outcomes {
			if outcomes[i] == contact.Created && errs[i] == nil {
				created++
				if index := done - len(batch) + i; index < max(args.Tasks, args.Deals) {
					fresh[index] = true
				}
			}
		}
		batch = batch[:0]
		return errors.Join(append(errs, err)...)
	}
	for s := range seed.Contacts(args.Seed, args.Contacts) {
		batch = append(batch, contact.Draft{Kind: s.Kind, Name: s.Name, Company: s.Company, Phones: s.Phones, Emails: s.Emails,
			City: s.City, Address: s.Address, Note: s.Note, Birthday: s.Birthday, Key: fmt.Sprintf("seed:%d:%d", args.Seed, s.Index)})
		if done++; len(batch) == seedBatch || done == args.Contacts {
			if err := flush(); err != nil {
				return nil, err
			}
			c.Progress(map[string]int{"done": done, "of": args.Contacts})
		}
	}
	letters, err := a.seedLetters(ctx, args.Seed, args.Letters)
	if err != nil {
		return nil, err
	}
	made, err := a.seedWork(ctx, args.seedWork, fresh)
	if err != nil {
		return nil, err
	}
	made["created"], made["letters"] = created, letters
	return made, nil
}

// seedLetters lets the first customers that have an e-mail address write to the office.
func (a *appliance) seedLetters(ctx context.Context, number uint64, n int) (received int, err error) {
	var writers []seed.Contact
	for s := range seed.Contacts(number, n) {
		writers = append(writers, s)
	}
	plugin := access.WithActor(ctx, access.Actor{ID: "plugin:seed", Role: access.Plugin})
	for m := range seed.Mails(number, n) {
		from := writers[m.Index]
		if len(from.Emails) == 0 {
			continue
		}
		err := a.inbox.Receive(plugin, inbox.Inbound{Channel: contact.Email, Account: "office@karov.example",
			ExternalID: fmt.Sprintf("seed-%d-%d@karov.example", number, m.Index), From: inbox.Party{Handle: from.Emails[0], Name: from.Name},
			Subject: m.Subject, Text: m.Text, SentAt: a.now()})
		if err != nil {
			return received, err
		}
		received++
	}
	return received, nil
}
