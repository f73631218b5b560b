package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/job"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

// PurgeJob is the kind of the job that erases what a plugin left.
const PurgeJob = "plugin.purge"

const (
	purgingBucket = "plugin.purging" // under a plugin's id, what Purge was asked for; until all is erased
	leavingBucket = "plugin.leaving" // under a plugin's id, NUL and a blob's name, nothing: what may be removed
)

// Purging erases what plugins leave when they are removed. A plugin's removal keeps all; this is asked for by itself.
type Purging struct {
	Schema  *schema.Registry
	Book    *record.Book
	Gate    *access.Gate
	Journal *journal.Journal
	Jobs    *job.Queue                        // does the erasing; nil: Purge returns when all is done
	Blobs   interface{ Remove(string) error } // the attachments
	Scrub   func(context.Context) error       // makes deleted bytes unreadable in the store's file; nil: the engine cannot
	// Installed tells whether a plugin is there, so that it must not be purged.
	Installed func(id string) bool
	// Kept erase what is kept of a plugin beside records: settings, values, secrets, its folder. Each may be called again
	// after it was done.
	Kept []func(ctx context.Context, id string) error
}

// purge is what was asked for.
type purge struct {
	By string    `json:"by"`
	At time.Time `json:"at"`
}

// Kinds are the jobs that purging does.
func (p *Purging) Kinds() []job.Kind {
	return []job.Kind{{Name: PurgeJob, Work: p.work, MaxAttempts: 200}}
}

// Purge erases all that a removed plugin left: the records of its entities, in use and in the bin, with their histories,
// what others' records hold of its fields, its settings and whatever it kept, and the files that nothing else needs. It
// cannot be taken back; copies in backups stay. It is for those who administer the office. When it returns, the rest is
// done by a job that a crash does not stop, and until then the plugin cannot be installed again.
func (p *Purging) Purge(ctx context.Context, id string) error {
	if err := p.Gate.Require(ctx, access.Administer, access.Object{Entity: "office"}); err != nil {
		return err
	}
	if p.Installed != nil && p.Installed(id) || p.Schema.Current().Declares(id) {
		return fault.New(fault.Conflict, "plugin.still-installed", "id", id)
	}
	if err := p.Schema.MayErase(speaking(ctx, id), id); err != nil {
		about := fault.Of(err).Params
		return fault.Wrap(err, fault.Conflict, "plugin.purge-needed", "id", id, "entity", about["entity"], "field", about["field"])
	}
	err := p.Book.Update(ctx, func(tx store.Tx) error {
		raw, err := json.Marshal(purge{By: access.ActorFrom(ctx).ID, At: p.Book.Now().UTC()})
		if err != nil {
			return err
		}
		tx.Bucket(purgingBucket).Put([]byte(id), raw)
		if p.Jobs != nil {
			if err := p.Jobs.Add(tx, job.Job{Kind: PurgeJob, Key: id}); err != nil {
				return err
			}
		}
		return p.Journal.Append(ctx, tx, journal.Fact{Name: "plugin.purge-asked", Entity: "plugin", ID: id})
	})
	if err != nil || p.Jobs != nil {
		return err
	}
	return p.work(access.WithActor(ctx, access.Appliance()), job.Job{Kind: PurgeJob, Key: id})
}

// work erases what Purge was asked to. Each step may have been done already, in whole or in part.
func (p *Purging) work(ctx context.Context, j job.Job) error {
	id := j.Key
	asked, err := p.asked(ctx, id)
	if err != nil || asked == nil {
		return err
	}
	if err := p.eraseDeclared(ctx, id); err != nil {
		return err
	}
	for _, kept := range p.Kept {
		if err := kept(ctx, id); err != nil {
			return fmt.Errorf("erase what is kept of a plugin: %w", err)
		}
	}
	if err := p.removeFiles(ctx, id); err != nil {
		return fmt.Errorf("remove the files: %w", err)
	}
	if p.Scrub != nil {
		if err := p.Scrub(ctx); err != nil {
			return err
		}
	}
	_, fields := p.Schema.Current().Withdrawn(id)
	if _, err := p.Schema.Erase(speaking(ctx, id), id); err != nil {
		return err
	}
	for entity, all := range fields {
		for _, f := range all {
			if err := p.Book.DropIndex(ctx, entity, f.Name); err != nil {
				return err
			}
		}
	}
	return p.Book.Update(ctx, func(tx store.Tx) error {
		tx.Bucket(purgingBucket).Delete([]byte(id))
		return p.Journal.Append(ctx, tx, journal.Fact{Name: "plugin.erased", Entity: "plugin", ID: id, About: map[string]string{"by": asked.By}})
	})
}

// asked reads what Purge was asked for, nil where all is done.
func (p *Purging) asked(ctx context.Context, id string) (found *purge, err error) {
	err = p.Book.View(ctx, func(tx store.Tx) error {
		raw := tx.Bucket(purgingBucket).Get([]byte(id))
		if raw == nil {
			return nil
		}
		found = &purge{}
		if err := json.Unmarshal(raw, found); err != nil {
			return fault.Wrap(err, fault.Internal, "store.damaged", "what", purgingBucket)
		}
		return nil
	})
	return found, err
}

// eraseDeclared erases what records hold of what the plugin declared.
func (p *Purging) eraseDeclared(ctx context.Context, id string) error {
	entities, fields := p.Schema.Current().Withdrawn(id)
	for _, e := range entities {
		if err := p.Book.EraseEntity(ctx, e.Name, leaves(id)); err != nil {
			return fmt.Errorf("erase the records of %s: %w", e.Name, err)
		}
	}
	for entity, all := range fields {
		for _, f := range all {
			if err := p.Book.EraseField(ctx, entity, f.Name, leaves(id)); err != nil {
				return fmt.Errorf("erase %s of %s: %w", f.Name, entity, err)
			}
		}
	}
	return nil
}

// leaves remembers which blobs a plugin leaves behind.
func leaves(id string) func(store.Tx, []string) {
	return func(tx store.Tx, blobs []string) {
		for _, hash := range blobs {
			tx.Bucket(leavingBucket).Put([]byte(id+"\x00"+hash), nil)
		}
	}
}

// removeFiles removes what the plugin left in the blob store, but for what something else needs.
func (p *Purging) removeFiles(ctx context.Context, id string) error {
	prefix := []byte(id + "\x00")
	var hashes []string
	err := p.Book.View(ctx, func(tx store.Tx) error {
		hashes = nil
		for key := range tx.Bucket(leavingBucket).Scan(prefix, store.PrefixEnd(prefix), false) {
			hashes = append(hashes, string(bytes.TrimPrefix(key, prefix)))
		}
		return nil
	})
	if err != nil || len(hashes) == 0 {
		return err
	}
	free, err := p.Book.Unattached(ctx, hashes)
	if err != nil {
		return err
	}
	var problems []error
	for _, hash := range free {
		if p.Blobs != nil {
			problems = append(problems, p.Blobs.Remove(hash))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	return p.Book.Update(ctx, func(tx store.Tx) error {
		for _, hash := range hashes {
			tx.Bucket(leavingBucket).Delete([]byte(id + "\x00" + hash))
		}
		return nil
	})
}
