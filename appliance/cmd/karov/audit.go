package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/karov-crm/karov/admin/cli"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/control"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/snapshot"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

// auditActs are the commands about the journal, and the one that forgets a person.
func (a *appliance) auditActs() map[string]control.Act {
	return map[string]control.Act{"audit-verify": a.auditVerify, "audit-anchor": a.auditAnchor, "audit-list": a.auditList,
		"contact-forget": a.contactForget}
}

// erasure is with what people are forgotten.
func (a *appliance) erasure() contact.Erasure {
	e := contact.Erasure{Jobs: a.jobs, Blobs: a.blobs}
	if db, ok := a.db.(interface{ Scrub(context.Context) error }); ok {
		e.Scrub = db.Scrub
	}
	return e
}

func (a *appliance) auditVerify(ctx context.Context, c *control.Call) (any, error) {
	var args struct{ Anchors []string }
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	if err := a.journal.Flush(ctx); err != nil {
		return nil, err
	}
	return verified(ctx, a.journal, args.Anchors)
}

// verified checks a journal against what was kept of it elsewhere.
func verified(ctx context.Context, j *journal.Journal, texts []string) (cli.Verified, error) {
	var anchors []journal.Anchor
	for _, text := range texts {
		anchor, err := journal.ParseAnchor(text)
		if err != nil {
			return cli.Verified{}, err
		}
		anchors = append(anchors, anchor)
	}
	good, err := j.Verify(ctx, anchors...)
	if err != nil {
		return cli.Verified{Facts: good}, err
	}
	v := cli.Verified{Facts: good}
	newest, err := j.Anchor(ctx)
	if err == nil && newest.Seq > 0 {
		v.Anchor = newest.String()
	}
	return v, err
}

// verifyFile checks the journal of a store file, or of the one in a folder, without changing a byte of it.
func verifyFile(ctx context.Context, path string, anchors []string) (v cli.Verified, err error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, snapshot.StoreFile)
	}
	err = bolt.Look(path, func(db store.DB) error {
		v, err = verified(ctx, journal.New(db, time.Now), anchors)
		return err
	})
	return v, err
}

func (a *appliance) auditAnchor(ctx context.Context, _ *control.Call) (any, error) {
	anchor, err := a.journal.Anchor(ctx)
	return cli.Verified{Facts: int(anchor.Seq), Anchor: anchor.String()}, err
}

// shownFact is a fact with the name of who did it.
type shownFact struct {
	journal.Fact
	Who string `json:"who,omitempty"`
}

// auditList looks through the journal until it has found enough.
func (a *appliance) auditList(ctx context.Context, c *control.Call) (any, error) {
	var args struct {
		Actor, Record, Name string
		Since, Until        time.Time
		Limit               int
	}
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	q := journal.Query{Actor: args.Actor, Name: args.Name, From: args.Since, To: args.Until, Limit: args.Limit}
	q.Entity, q.ID = subject(args.Record)
	if strings.Contains(args.Actor, "@") {
		account, err := a.staff.ByEmail(ctx, args.Actor)
		if err != nil {
			return nil, err
		}
		q.Actor = account.ID
	}
	if err := a.journal.Flush(ctx); err != nil { // what was read a moment ago is listed too
		return nil, err
	}
	shown := []shownFact{}
	for len(shown) < args.Limit {
		page, err := a.audit.Search(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, f := range page.Facts {
			shown = append(shown, shownFact{Fact: f, Who: a.staff.Name(ctx, f.Actor)})
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	return shown[:min(len(shown), max(args.Limit, 0))], nil
}

// subject takes KIND:ID, KIND or ID apart.
func subject(text string) (entity, id string) {
	if kind, id, ok := strings.Cut(text, ":"); ok {
		return kind, id
	}
	if _, err := record.ParseID(text); err == nil {
		return "", text
	}
	return text, ""
}

// contactForget erases a person. Who types the command has seen the version that stands there now.
func (a *appliance) contactForget(ctx context.Context, c *control.Call) (any, error) {
	var args struct{ ID, Reason string }
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	id, err := record.ParseID(args.ID)
	if err != nil {
		return nil, fault.Missing("contact", args.ID)
	}
	who, err := a.contacts.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return nil, a.contacts.Forget(ctx, id, who.Version, args.Reason)
}
