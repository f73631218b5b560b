package contact

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/job"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/store"
)

const (
	tombstonesBucket = "contact.tombstones" // contact -> Tombstone
	marksBucket      = "contact.forgotten"  // mark of an identity, contact -> nothing
)

// Tombstone says that a person was forgotten, without saying who. Its marks are keyed hashes of the person's identities:
// whoever has the store and a list of all phone numbers can try them, but nobody reads them.
type Tombstone struct {
	Contact ID        `json:"contact"`
	At      time.Time `json:"at"`
	By      string    `json:"by"` // id of the actor
	Reason  string    `json:"reason"`
	Marks   []string  `json:"marks,omitempty"` // in hex
	Done    bool      `json:"done,omitempty"`  // nothing is left to erase
}

// mark is the keyed hash of something that would tell the person again: an identity, a row of an import. The key is the
// store's own name, which a restored copy keeps, so that marks stay good after a restore.
func mark(tx store.Tx, kind, text string) []byte {
	m := hmac.New(sha256.New, []byte("karov forgotten "+store.Identity(tx)))
	m.Write([]byte(kind + "\x00" + text))
	return m.Sum(nil)
}

// marksOf gives the marks of a contact's identities.
func (r *Room) marksOf(tx store.Tx, rec record.Record) (marks []string) {
	for pair := range r.identities(rec) {
		kind, handle, _ := bytes.Cut([]byte(pair), []byte{0})
		marks = append(marks, hexMark(mark(tx, string(kind), string(handle))))
	}
	if external := rec.Text("external_id"); external != "" {
		marks = append(marks, hexMark(mark(tx, "external", external)))
	}
	if words := nameWords(rec.Text("name")); words != "" {
		marks = append(marks, hexMark(mark(tx, "name", words)))
	}
	slices.Sort(marks)
	return marks
}

// put writes the tombstone, with more marks beside those that stand there.
func (s Tombstone) put(tx store.Tx, marks []string) error {
	if old, err := tombstone(tx, s.Contact); err == nil {
		s.Marks = append(s.Marks, old.Marks...)
	}
	s.Marks = append(s.Marks, marks...)
	slices.Sort(s.Marks)
	s.Marks = slices.Compact(s.Marks)
	for _, text := range s.Marks {
		raw, err := hex.DecodeString(text)
		if err != nil {
			return fault.Wrap(err, fault.Invalid, "store.damaged", "what", tombstonesBucket)
		}
		tx.Bucket(marksBucket).Put(append(raw, s.Contact[:]...), nil)
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	tx.Bucket(tombstonesBucket).Put(s.Contact[:], raw)
	return nil
}

// tombstone reads a contact's, NotFound where it was not forgotten.
func tombstone(tx store.Tx, id ID) (s Tombstone, err error) {
	raw := tx.Bucket(tombstonesBucket).Get(id[:])
	if raw == nil {
		return s, fault.Missing("contact", id.String())
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return s, fault.Wrap(err, fault.Internal, "store.damaged", "what", tombstonesBucket)
	}
	return s, nil
}

// buried tells whether a contact was forgotten.
func buried(tx store.Tx, id ID) bool { return tx.Bucket(tombstonesBucket).Get(id[:]) != nil }

// settle writes on a tombstone that nothing is left to erase.
func settle(tx store.Tx, id ID) error {
	s, err := tombstone(tx, id)
	if err != nil {
		return err
	}
	s.Done = true
	return s.put(tx, nil)
}

// Forgotten tells whether a person with this identity asked to be forgotten, for a page on which somebody is about to
// write him down again.
func (r *Room) Forgotten(ctx context.Context, kind, handle string) (yes bool, err error) {
	if err := r.gate.Require(ctx, access.Create, access.Object{Entity: "contact"}); err != nil {
		return false, err
	}
	err = r.book.View(ctx, func(tx store.Tx) error {
		yes = marked(tx, kind, r.handle(kind, handle))
		return nil
	})
	return yes, err
}

// marked tells whether something stands under a tombstone.
func marked(tx store.Tx, kind, text string) bool {
	if text == "" {
		return false
	}
	m := mark(tx, kind, text)
	for range tx.Bucket(marksBucket).Scan(m, store.PrefixEnd(m), false) {
		return true
	}
	return false
}

// anyMarks tells whether anybody was ever forgotten.
func anyMarks(tx store.Tx) bool {
	for range tx.Bucket(marksBucket).Scan(nil, nil, false) {
		return true
	}
	return false
}

// forgottenIn gives the field of a draft by which it describes a person who was forgotten, "" for none.
func (r *Room) forgottenIn(tx store.Tx, d Draft) string {
	for _, handle := range d.Emails {
		if marked(tx, Email, r.handle(Email, handle)) {
			return "emails"
		}
	}
	for _, handle := range d.Phones {
		if marked(tx, Phone, r.handle(Phone, handle)) {
			return "phones"
		}
	}
	switch {
	case marked(tx, "external", d.ExternalID):
		return "external_id"
	case marked(tx, "row", d.Key):
		return "name"
	}
	return ""
}

// importStep is how many rows of earlier imports one transaction looks through.
const importStep = 20_000

// forgetImports takes a contact's rows out of what imports brought, and marks them, so that the same file does not
// bring the person back.
func (r *Room) forgetImports(ctx context.Context, id ID) error {
	for _, bucket := range []string{importsBucket, identitiesBucket} {
		if err := r.forgetRows(ctx, bucket, id); err != nil {
			return err
		}
	}
	return nil
}

// forgetRows is forgetImports for the rows in one bucket.
func (r *Room) forgetRows(ctx context.Context, bucket string, id ID) error {
	for from := []byte(nil); ; {
		var keys [][]byte
		var next []byte
		err := r.book.View(ctx, func(tx store.Tx) error {
			n := 0
			keys, next = nil, nil
			for key, raw := range tx.Bucket(bucket).Scan(from, nil, false) {
				if n++; n > importStep {
					next = bytes.Clone(key)
					break
				}
				if bytes.Equal(raw, id[:]) && rowKey(bucket, key) != "" {
					keys = append(keys, bytes.Clone(key))
				}
			}
			return nil
		})
		if err == nil && len(keys) > 0 {
			err = r.book.Update(ctx, func(tx store.Tx) error { return markRows(tx, bucket, id, keys) })
		}
		if err != nil || next == nil {
			return err
		}
		from = next
	}
}

func markRows(tx store.Tx, bucket string, id ID, keys [][]byte) error {
	s, err := tombstone(tx, id)
	if err != nil {
		return err
	}
	var marks []string
	for _, key := range keys {
		tx.Bucket(bucket).Delete(key)
		marks = append(marks, hexMark(mark(tx, "row", rowKey(bucket, key))))
	}
	return s.put(tx, marks)
}

// Tombstones lists everybody who was forgotten, for a copy that is kept beside the backups: a restore of a backup that
// is older than a tombstone would bring the person back.
func (r *Room) Tombstones(ctx context.Context) (stones []Tombstone, err error) {
	if err := r.gate.Require(ctx, access.Administer, access.Object{Entity: "office"}); err != nil {
		return nil, err
	}
	err = r.book.View(ctx, func(tx store.Tx) error {
		stones = nil
		for key := range tx.Bucket(tombstonesBucket).Scan(nil, nil, false) {
			s, err := tombstone(tx, ID(key))
			if err != nil {
				return err
			}
			stones = append(stones, s)
		}
		return nil
	})
	return stones, err
}

// Rebury forgets again those whom a restored backup does not know to be forgotten, and says how many it had brought
// back.
func (r *Room) Rebury(ctx context.Context, stones []Tombstone) (back int, err error) {
	if err := r.gate.Require(ctx, access.Administer, access.Object{Entity: "office"}); err != nil {
		return 0, err
	}
	for _, s := range stones {
		again := false
		err := r.book.Update(ctx, func(tx store.Tx) error {
			again, err = r.reburyTx(ctx, tx, s)
			return err
		})
		if err == nil && r.erasure.Jobs == nil {
			err = r.forget(access.WithActor(ctx, access.Appliance()), job.Job{Kind: ForgetJob, Key: s.Contact.String()})
		}
		if err != nil {
			return back, err
		}
		if again {
			back++
		}
	}
	return back, nil
}

// reburyTx puts a tombstone back, and empties the contact where it is back. What hangs on it may be there without it.
func (r *Room) reburyTx(ctx context.Context, tx store.Tx, s Tombstone) (again bool, err error) {
	rec, err := r.book.Raw(tx, "contact", s.Contact)
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return false, err
	}
	s.Done = false
	if err := s.put(tx, nil); err != nil {
		return false, err
	}
	if rec.Exists() {
		if err := r.emptyTx(ctx, tx, rec, s.Reason); err != nil {
			return false, err
		}
	}
	if r.erasure.Jobs == nil {
		return rec.Exists(), nil
	}
	return rec.Exists(), r.erasure.Jobs.Add(tx, job.Job{Kind: ForgetJob, Key: s.Contact.String()})
}
