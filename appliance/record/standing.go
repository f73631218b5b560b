package record

import (
	"bytes"
	"context"
	"slices"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/filter"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

// maxVia is how many links a record's standing is followed through, so that a ring of links ends.
const maxVia = 4

// standing is whose a record is: its owner and those with whom it is shared, and the same of the record it hangs on.
type standing struct {
	owners []string
	shares []access.Share
}

// standing reads whose a record is.
func (b *Book) standing(tx store.Tx, r Record) (s standing) {
	for range maxVia + 1 {
		s.add(tx, r)
		if r.entity.Via == "" {
			return s
		}
		via := r.entity.Field(r.entity.Via)
		over := b.schema.At(tx).Entity(via.Target)
		var id ID
		copy(id[:], r.first(numberOf(via)))
		if over == nil || id.Zero() {
			return s
		}
		parent, ok := rawOf(tx, over, id)
		if !ok {
			return s
		}
		r = parent
	}
	return s
}

// add takes the owner of one record and those it is shared with.
func (s *standing) add(tx store.Tx, r Record) {
	if owner := ownerOf(r); owner != "" {
		s.owners = append(s.owners, owner)
	}
	s.shares = append(s.shares, sharesOf(tx, r.entity.Name, r.ID)...)
}

// principals are the ids under which the record stands in the partitions of lists, counts and lookup: sorted, each once.
func (s standing) principals() []string {
	if len(s.owners) == 0 && len(s.shares) == 0 {
		return nil
	}
	p := slices.Clone(s.owners)
	for _, share := range s.shares {
		p = append(p, share.Principal())
	}
	slices.Sort(p)
	return slices.Compact(p)
}

// ownerOf is a record's own owner, "" for none.
func ownerOf(r Record) string {
	if !r.Exists() || r.entity.Owner == "" {
		return ""
	}
	return string(r.first(numberOf(r.entity.Field(r.entity.Owner))))
}

// Require refuses the actor what he may not do to a record, as access.Gate.Require does.
func (b *Book) Require(ctx context.Context, tx store.Tx, verb access.Verb, r Record) error {
	return b.require(ctx, tx, verb, r)
}

// Allowed tells whether the actor may do verb to a record that was read already.
func (b *Book) Allowed(ctx context.Context, tx store.Tx, verb access.Verb, r Record) bool {
	return b.require(ctx, tx, verb, r) == nil
}

func (b *Book) require(ctx context.Context, tx store.Tx, verb access.Verb, r Record) error {
	o := access.Object{Entity: r.Entity(), ID: r.ID.String()}
	// Who is limited in seeing must be told "no such record", so seeing is asked about too.
	if b.gate.Scope(ctx, verb, r.Entity()) != access.All || b.gate.Scope(ctx, access.See, r.Entity()) != access.All {
		s := b.standing(tx, r)
		o.Owners, o.Shares = s.owners, s.shares
	}
	o.Meets = func(where string) bool { return b.fulfils(ctx, tx, r, where) }
	return b.gate.Require(ctx, verb, o)
}

// meets tells whether a record fulfils the condition that the actor's role puts on a verb.
func (b *Book) meets(ctx context.Context, tx store.Tx, verb access.Verb, r Record) bool {
	where := b.gate.Where(ctx, verb, r.Entity())
	return where == "" || b.fulfils(ctx, tx, r, where)
}

// fulfils tells whether a record fulfils a role's condition. It is the office's rule, so it follows every link: with the
// actor's eyes it would ask itself about each linked record, without an end where links go in a ring.
func (b *Book) fulfils(ctx context.Context, tx store.Tx, r Record, where string) bool {
	f := b.where(b.schema.At(tx), r.Entity(), where)
	return f != nil && f.Match(b.Row(tx, r), b.env(ctx))
}

// whereKey names a parsed condition.
type whereKey struct {
	version      uint64
	entity, text string
}

// where parses a role's condition, nil for one that is none any more: it then lets nothing through.
func (b *Book) where(s *schema.Schema, entity, text string) *filter.Filter {
	key := whereKey{s.Version(), entity, text}
	if f, ok := b.wheres.Load(key); ok {
		return f.(*filter.Filter)
	}
	f, err := filter.Parse(text, s, entity, filter.Options{})
	if err != nil {
		f = nil
	}
	b.wheres.Store(key, f)
	return f
}

// Visible tells whether the actor may see the record, and false for one that does not exist.
func (b *Book) Visible(ctx context.Context, entity string, id ID) (ok bool, err error) {
	err = b.db.View(ctx, func(tx store.Tx) error {
		_, err := b.GetTx(ctx, tx, entity, id)
		switch fault.KindOf(err) {
		case fault.NotFound, fault.Forbidden, fault.Unauthenticated:
			return nil
		}
		ok = err == nil
		return err
	})
	return ok, err
}

// shareKey is where a share stands in record.shares; its value is one byte, 1 where the subject may change the record.
func shareKey(entity string, id ID, subject string) []byte {
	return append(append(append([]byte(entity), 0), id[:]...), subject...)
}

func sharesOf(tx store.Tx, entity string, id ID) (shares []access.Share) {
	prefix := shareKey(entity, id, "")
	for key, value := range tx.Bucket(sharesBucket).Scan(prefix, store.PrefixEnd(prefix), false) {
		shares = append(shares, access.Share{Subject: string(key[len(prefix):]), Change: bytes.Equal(value, []byte{1})})
	}
	return shares
}

// Shares lists with whom a record is shared, to those who may change it.
func (b *Book) Shares(ctx context.Context, entity string, id ID) (shares []access.Share, err error) {
	err = b.db.View(ctx, func(tx store.Tx) error {
		r, err := b.Raw(tx, entity, id)
		if err != nil {
			return err
		}
		if err := b.require(ctx, tx, access.ShareIt, r); err != nil {
			return err
		}
		shares = sharesOf(tx, entity, id)
		return nil
	})
	return shares, err
}

// Share lets an account, or a team as "team:<id>", see a record and what hangs on it, and change it where that is asked
// for. A share goes no further than the subject's role: what the role cannot do with any record, it cannot do with this.
func (b *Book) Share(ctx context.Context, entity string, id ID, share access.Share) error {
	if share.Subject == "" || len(share.Subject) > 200 || bytes.ContainsRune([]byte(share.Subject), 0) {
		return fault.InvalidField("subject", "field.required")
	}
	value := []byte{0}
	if share.Change {
		value[0] = 1
	}
	return b.reshare(ctx, entity, id, ".shared", share.Subject, func(shares store.Bucket) {
		shares.Put(shareKey(entity, id, share.Subject), value)
	})
}

// Unshare takes a share back.
func (b *Book) Unshare(ctx context.Context, entity string, id ID, subject string) error {
	return b.reshare(ctx, entity, id, ".unshared", subject, func(shares store.Bucket) {
		shares.Delete(shareKey(entity, id, subject))
	})
}

func (b *Book) reshare(ctx context.Context, entity string, id ID, fact, subject string, change func(store.Bucket)) error {
	return b.db.Update(ctx, func(tx store.Tx) error {
		r, err := b.Raw(tx, entity, id)
		if err != nil {
			return err
		}
		if err := b.require(ctx, tx, access.ShareIt, r); err != nil {
			return err
		}
		before := b.standing(tx, r).principals()
		change(tx.Bucket(sharesBucket))
		if err := b.restand(ctx, tx, r, before, b.standing(tx, r).principals()); err != nil {
			return err
		}
		f := journal.Fact{Name: entity + fact, Entity: entity, ID: id.String(), About: map[string]string{"with": subject}}
		if contact := contactOf(r); !contact.Zero() {
			f.Contact = contact.String()
		}
		return b.journal.Append(ctx, tx, f)
	})
}

// restand moves a record and all that hangs on it between the partitions of lists, counts and lookup.
func (b *Book) restand(ctx context.Context, tx store.Tx, r Record, before, after []string) error {
	if slices.Equal(before, after) {
		return nil
	}
	b.partition(tx, r, before, after)
	if err := b.Reindex(tx, r.Entity(), r.ID); err != nil {
		return err
	}
	return b.restandBelow(ctx, tx, r, before, after)
}

// restandBelow does the same for the records that hang on r, whose own owners and shares stay.
func (b *Book) restandBelow(ctx context.Context, tx store.Tx, r Record, before, after []string) error {
	if slices.Equal(before, after) {
		return nil
	}
	for _, e := range b.schema.At(tx).Entities() {
		if e.Via == "" || e.Field(e.Via).Target != r.Entity() {
			continue
		}
		var below []Record
		for child := range b.hanging(tx, e, r.ID) {
			below = append(below, child)
		}
		for _, child := range below {
			var own standing
			own.add(tx, child)
			was := union(before, own.principals())
			is := union(after, own.principals())
			if err := b.restand(ctx, tx, child, was, is); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// hanging yields the records of an entity whose Via link names id.
func (b *Book) hanging(tx store.Tx, e *schema.Entity, id ID) func(func(Record) bool) {
	return b.Linked(tx, e.Name, e.Via, id, ID{})
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
