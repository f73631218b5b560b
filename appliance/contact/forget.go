package contact

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/job"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

// ForgetJob is the kind of the job that erases what is left of a person.
const ForgetJob = "contact.forget"

const (
	// leavingBucket holds, under a contact and a blob's name, nothing: what he may have left in the blob store.
	leavingBucket = "contact.leaving"
	// forgetAtOnce is how many records Forget erases in its own transaction; a longer history is left to the job.
	forgetAtOnce = 300
	// forgetBatch is how many records one transaction of the job erases.
	forgetBatch = 200
)

// Reasons lists why a person may be forgotten. A reason is a key and never a text, which could be about the person.
func Reasons() []string { return []string{"request", "withdrawn", "expired", "mistake", "law"} }

// Erasing is told, in the transaction, of each record that is about to be erased, so that its room can drop what it
// keeps about the record elsewhere.
type Erasing func(ctx context.Context, tx store.Tx, r record.Record) error

// Erasure is what forgetting needs beside the book.
type Erasure struct {
	Jobs  *job.Queue                        // does what Forget leaves; nil: Forget returns when all is done
	Blobs interface{ Remove(string) error } // the attachments; nil: none
	Scrub func(context.Context) error       // makes deleted bytes unreadable in the store's file; nil: the engine cannot
}

// SetErasure says with what people are forgotten. It is called while the appliance is put together.
func (r *Room) SetErasure(e Erasure) { r.erasure = e }

// WhenErased adds a hook to the erasing of an entity's records. It is called while the appliance is put together.
func (r *Room) WhenErased(entity string, e Erasing) { r.erasing[entity] = append(r.erasing[entity], e) }

// Jobs are the kinds of job that the room does.
func (r *Room) Jobs() []job.Kind {
	return []job.Kind{{Name: ForgetJob, Work: r.forget, MaxAttempts: 200}}
}

// Forget erases a person: the contact, whatever hangs on it, their history, what they are found by, and what lies of
// them in the bin. When it returns, nobody sees the person any more; of a long history the rest goes within seconds, by
// a job that a crash does not stop, and so do the attachments that no other record needs and the bytes that deletion
// leaves in the store's file. What stays is a tombstone without a name, the journal's facts, which hold none, and the
// backups that were made before. It cannot be taken back.
//
// A message from the same address later is from a new customer. An import is refused the row (Draft.Anew insists).
func (r *Room) Forget(ctx context.Context, id ID, version uint64, reason string) error {
	if !slices.Contains(Reasons(), reason) {
		return fault.InvalidField("reason", "field.choice", "choices", strings.Join(Reasons(), ", "))
	}
	system := access.WithActor(ctx, access.Appliance())
	binned, err := r.binned(system, id)
	if err != nil {
		return err
	}
	err = r.book.Update(ctx, func(tx store.Tx) error {
		rec, err := r.book.Raw(tx, "contact", id)
		if err != nil {
			return err
		}
		if err := r.book.Require(ctx, tx, access.Forget, rec); err != nil {
			return err
		}
		if version != rec.Version() {
			return fault.New(fault.Conflict, "record.changed", "version", rec.Version(), "by", rec.UpdatedBy())
		}
		return r.buryTx(ctx, tx, rec, reason, binned)
	})
	if err != nil || r.erasure.Jobs != nil {
		return err
	}
	return r.forget(system, job.Job{Kind: ForgetJob, Key: id.String()})
}

// buryTx writes the tombstone, empties the contact, and erases it when its history is short.
func (r *Room) buryTx(ctx context.Context, tx store.Tx, rec record.Record, reason string, binned []hanging) error {
	stone := Tombstone{Contact: rec.ID, At: r.book.Now().UTC(), By: access.ActorFrom(ctx).ID, Reason: reason}
	if err := stone.put(tx, r.marksOf(tx, rec)); err != nil {
		return err
	}
	if err := r.emptyTx(ctx, tx, rec, reason); err != nil {
		return err
	}
	e := eraser{room: r, tx: tx, contact: rec.ID, left: forgetAtOnce}
	if err := e.all(ctx, binned); err != nil {
		return err
	}
	if r.erasure.Jobs == nil {
		return nil
	}
	return r.erasure.Jobs.Add(tx, job.Job{Kind: ForgetJob, Key: rec.ID.String()})
}

// emptyTx takes out of a contact all that is about the person, so that from now on there is nothing to see. The owner
// stays: by him the records that hang on it stand in the lists, until they go.
func (r *Room) emptyTx(ctx context.Context, tx store.Tx, rec record.Record, reason string) error {
	e := r.book.Schema().Entity("contact")
	values := record.Values{}
	for _, f := range e.Fields {
		if f.Name != e.Owner && !f.Hidden && !f.Required && f.Type != schema.Formula {
			values[f.Name] = nil
		}
	}
	_, err := r.book.ChangeTx(ctx, tx, record.Change{Entity: "contact", ID: rec.ID, Values: values, Inside: true,
		Fact: "contact.forgotten", About: map[string]string{"reason": reason}})
	return err
}

// forget does the rest of a Forget. Each step may have been done already, in whole or in part.
func (r *Room) forget(ctx context.Context, j job.Job) error {
	id, err := record.ParseID(j.Key)
	if err != nil {
		return err
	}
	if err := r.eraseAll(ctx, id); err != nil {
		return fmt.Errorf("erase what hangs on a contact: %w", err)
	}
	if err := r.eraseStrays(ctx, id); err != nil {
		return fmt.Errorf("erase what speaks of a contact: %w", err)
	}
	if err := r.forgetImports(ctx, id); err != nil {
		return fmt.Errorf("forget the rows of an import: %w", err)
	}
	files := r.removeFiles(ctx, id)
	if r.erasure.Scrub != nil {
		if err := r.erasure.Scrub(ctx); err != nil {
			return errors.Join(err, files)
		}
	}
	if files != nil {
		return fmt.Errorf("remove the attachments: %w", files)
	}
	return r.book.Update(ctx, func(tx store.Tx) error { return settle(tx, id) })
}

// eraseAll erases the contact and what hangs on it, a batch in a transaction.
func (r *Room) eraseAll(ctx context.Context, id ID) error {
	for gone := false; !gone; {
		binned, err := r.binned(ctx, id)
		if err != nil {
			return err
		}
		err = r.book.Update(ctx, func(tx store.Tx) error {
			e := eraser{room: r, tx: tx, contact: id, left: forgetBatch}
			err := e.all(ctx, binned)
			gone = e.left > 0
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// hanging is a record that hangs on a contact.
type hanging struct {
	entity string
	id     ID
	binned record.Record // as it lies in the bin, where it does
}

// maxDepth is how far what hangs on something that hangs on a contact is followed.
const maxDepth = 8

// eraser erases records until it has no more left to erase in its transaction.
type eraser struct {
	room    *Room
	tx      store.Tx
	contact ID
	left    int
}

// all erases those in the bin, what hangs on the contact, and last the contact itself.
func (e *eraser) all(ctx context.Context, binned []hanging) error {
	for _, h := range binned {
		if done, err := e.whole(ctx, h, 0); !done {
			return err
		}
	}
	_, err := e.whole(ctx, hanging{entity: "contact", id: e.contact}, 0)
	return err
}

// whole erases a record after all that hangs on it; done is false when there was too much.
func (e *eraser) whole(ctx context.Context, h hanging, depth int) (done bool, err error) {
	if depth < maxDepth {
		for _, kind := range e.room.hangOn(h.entity) {
			for before := (ID{}); ; {
				batch := e.batch(kind, h.id, before)
				for _, below := range batch {
					if done, err := e.whole(ctx, below, depth+1); !done {
						return false, err
					}
					before = below.id
				}
				if len(batch) == 0 {
					break
				}
			}
		}
	}
	if e.left <= 0 {
		return false, ctx.Err()
	}
	e.left--
	return true, e.one(ctx, h)
}

// batch lists the newest records that hang on another by a link, older than before; no more than can be erased.
func (e *eraser) batch(kind link, on, before ID) (batch []hanging) {
	for rec := range e.room.book.Linked(e.tx, kind.entity, kind.field, on, before) {
		if batch = append(batch, hanging{entity: kind.entity, id: rec.ID}); len(batch) > e.left {
			break
		}
	}
	return batch
}

// one erases one record, and remembers which files it leaves behind.
func (e *eraser) one(ctx context.Context, h hanging) error {
	rec, err := e.room.book.Raw(e.tx, h.entity, h.id)
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return err
	}
	for _, r := range []record.Record{rec, h.binned} {
		for _, hook := range e.room.erasing[h.entity] {
			if r.Exists() {
				if err := hook(ctx, e.tx, r); err != nil {
					return err
				}
			}
		}
	}
	if e.room.erasure.Blobs != nil {
		for _, hash := range e.room.book.Attached(e.tx, h.entity, h.id) {
			e.tx.Bucket(leavingBucket).Put(append(e.contact[:len(e.contact):len(e.contact)], hash...), nil)
		}
	}
	return e.room.book.EraseTx(ctx, e.tx, h.entity, h.id)
}

// link is a field by which the records of an entity hang on others.
type link struct{ entity, field string }

// hangOn lists the links by which records hang on those of an entity: on a contact what concerns it, on others what
// is theirs.
func (r *Room) hangOn(entity string) (links []link) {
	for _, e := range r.book.Schema().Entities() {
		for _, name := range []string{e.Contact, e.Via} {
			if f := e.Field(name); f != nil && f.Target == entity && (name == e.Via || entity == "contact") {
				if l := (link{e.Name, name}); !slices.Contains(links, l) {
					links = append(links, l)
				}
			}
		}
	}
	return links
}

// binned lists what of a contact lies in the bin.
func (r *Room) binned(ctx context.Context, id ID) (found []hanging, err error) {
	for _, e := range r.book.Schema().Entities() {
		if e.Name == "contact" || e.Via == "" && e.Contact == "" {
			continue
		}
		for after := (ID{}); ; {
			page, next, err := r.book.Bin(ctx, e.Name, after, record.MaxLimit)
			if err != nil {
				return nil, err
			}
			err = r.book.View(ctx, func(tx store.Tx) error {
				for _, d := range page {
					if r.customer(tx, d.Record, 0) == id {
						found = append(found, hanging{e.Name, d.Record.ID, d.Record})
					}
				}
				return nil
			})
			if err != nil || next.Zero() {
				break
			}
			after = next
		}
	}
	return found, err
}

// customer is the contact that a record hangs on, the zero ID for none.
func (r *Room) customer(tx store.Tx, rec record.Record, depth int) ID {
	e := r.book.Schema().Entity(rec.Entity())
	if e == nil || depth > maxDepth {
		return ID{}
	}
	if e.Contact != "" && e.Contact != "id" && rec.Has(e.Contact) {
		return rec.Link(e.Contact)
	}
	if e.Via == "" {
		return ID{}
	}
	over := e.Field(e.Via).Target
	if over == "contact" {
		return rec.Link(e.Via)
	}
	parent, err := r.book.Raw(tx, over, rec.Link(e.Via))
	if err != nil {
		return ID{}
	}
	return r.customer(tx, parent, depth+1)
}

// removeFiles removes what the contact left in the blob store, but for what another record needs.
func (r *Room) removeFiles(ctx context.Context, id ID) error {
	if r.erasure.Blobs == nil {
		return nil
	}
	var hashes []string
	err := r.book.View(ctx, func(tx store.Tx) error {
		for key := range tx.Bucket(leavingBucket).Scan(id[:], store.PrefixEnd(id[:]), false) {
			hashes = append(hashes, string(key[len(id):]))
		}
		return nil
	})
	if err != nil || len(hashes) == 0 {
		return err
	}
	free, err := r.book.Unattached(ctx, hashes)
	if err != nil {
		return err
	}
	var problems []error
	kept := map[string]bool{}
	for _, hash := range free {
		if err := r.erasure.Blobs.Remove(hash); err != nil {
			problems = append(problems, err)
			kept[hash] = true
		}
	}
	err = r.book.Update(ctx, func(tx store.Tx) error {
		for _, hash := range hashes {
			if !kept[hash] {
				tx.Bucket(leavingBucket).Delete(append(id[:len(id):len(id)], hash...))
			}
		}
		return nil
	})
	return errors.Join(append(problems, err)...)
}

// hexMark is a mark's text form.
func hexMark(mark []byte) string { return hex.EncodeToString(mark) }
