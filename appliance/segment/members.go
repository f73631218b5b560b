package segment

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/filter"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/store"
)

// Membership is a segment that a record is in.
type Membership struct {
	Segment record.ID
	Name    string
	Since   time.Time // zero while the segment is being computed
}

// Status is how a segment fares.
type Status struct {
	Ready  bool // its members are computed
	Broken bool // the schema has moved on: its filter cannot be read any more
}

// Filter gives a segment's filter, for lists of its members in any order. A segment that is not for the actor is
// missing; one that reads a field which is hidden from him is forbidden.
func (r *Room) Filter(ctx context.Context, id record.ID) (f *filter.Filter, err error) {
	err = r.book.View(ctx, func(tx store.Tx) error {
		s, err := r.open(ctx, tx, id)
		if err == nil {
			f = s.filter
		}
		return err
	})
	return f, err
}

// Status tells how a segment fares.
func (r *Room) Status(ctx context.Context, id record.ID) (status Status, err error) {
	err = r.book.View(ctx, func(tx store.Tx) error {
		if _, err := r.book.GetTx(ctx, tx, "segment", id); err != nil {
			return err
		}
		s := r.load(tx).all[id]
		status = Status{Broken: s == nil || s.filter == nil}
		status.Ready = !status.Broken && r.fresh(tx, s)
		return nil
	})
	return status, err
}

// open finds a segment that the actor may use.
func (r *Room) open(ctx context.Context, tx store.Tx, id record.ID) (*segment, error) {
	if _, err := r.book.GetTx(ctx, tx, "segment", id); err != nil {
		return nil, err
	}
	s := r.load(tx).all[id]
	switch {
	case s == nil || s.filter == nil:
		return nil, fault.New(fault.Conflict, "segment.broken", "id", id.String())
	case !r.readable(ctx, s):
		return nil, fault.New(fault.Forbidden, "segment.hidden", "id", id.String())
	}
	return s, nil
}

// readable tells whether the actor may read all that a segment's filter reads: who is in it tells him of that.
func (r *Room) readable(ctx context.Context, s *segment) bool {
	return !slices.ContainsFunc(s.filter.Uses(), func(u filter.Use) bool { return r.gate.Fields(ctx, u.Entity).Hidden(u.Field) })
}

// Cursors begin with how the page before was found.
const (
	byMembers = "m" // the id of its last record follows
	byFilter  = "f" // the cursor of the book follows
)

// Members gives a page of a segment's members that the actor may see, the oldest records first.
func (r *Room) Members(ctx context.Context, id record.ID, cursor string, limit int) (page record.Page, err error) {
	if limit <= 0 {
		limit = record.DefaultLimit
	}
	limit = min(limit, record.MaxLimit)
	err = r.book.View(ctx, func(tx store.Tx) error {
		s, err := r.open(ctx, tx, id)
		if err != nil {
			return err
		}
		how, rest := cursor, ""
		if cursor != "" {
			how, rest = cursor[:1], cursor[1:]
		}
		var after record.ID
		if how == byMembers {
			if after, err = record.ParseID(rest); err != nil {
				return fault.InvalidField("cursor", "list.cursor")
			}
			rest = ""
		}
		stored, err := r.stored(ctx, tx, s)
		switch {
		case err != nil:
			return err
		case how != "" && how != byMembers && how != byFilter:
			return fault.InvalidField("cursor", "list.cursor")
		case stored && how != byFilter:
			page, err = r.storedPage(ctx, tx, s, after, limit)
			return err
		}
		page, err = r.foundPage(ctx, tx, s, found{after: after, cursor: rest, limit: limit})
		return err
	})
	return page, err
}

// stored tells whether the stored members serve the actor: they are those of this moment, and he sees them all.
func (r *Room) stored(ctx context.Context, tx store.Tx, s *segment) (bool, error) {
	rights, err := r.gate.Filter(ctx, s.entity)
	return rights.All && rights.Where == "" && r.fresh(tx, s), err
}

func (r *Room) storedPage(ctx context.Context, tx store.Tx, s *segment, after record.ID, limit int) (page record.Page, err error) {
	from := s.id[:]
	if !after.Zero() {
		from = append(memberKey(s.id, after), 0)
	}
	for key := range tx.Bucket(membersBucket).Scan(from, store.PrefixEnd(s.id[:]), false) {
		if len(page.Records) == limit {
			page.Next = byMembers + page.Records[limit-1].ID.String()
			break
		}
		rec, err := r.book.GetTx(ctx, tx, s.entity, record.ID(bytes.Clone(key[16:])))
		if kind := fault.KindOf(err); err != nil && (kind == fault.NotFound || kind == fault.Forbidden) {
			continue
		}
		if err != nil {
			return page, err
		}
		page.Records = append(page.Records, rec)
	}
	return page, nil
}

// found is a page that is found by the filter.
type found struct {
	after  record.ID // a page before was one of stored members, and this was its last
	cursor string
	limit  int
}

// foundPage asks the filter about each record that the actor may see. It is the segment's answer, so the filter follows
// links that the actor may not.
func (r *Room) foundPage(ctx context.Context, tx store.Tx, s *segment, f found) (record.Page, error) {
	page, err := r.book.ListTx(ctx, tx, record.Query{Entity: s.entity, Cursor: f.cursor, Limit: f.limit, Keep: r.keep(tx, s, f.after)})
	if page.Next != "" {
		page.Next = byFilter + page.Next
	}
	return page, err
}

// keep tells the members among records that come after one.
func (r *Room) keep(tx store.Tx, s *segment, after record.ID) func(record.Record) bool {
	env := r.env()
	return func(rec record.Record) bool {
		return bytes.Compare(rec.ID[:], after[:]) > 0 && s.filter.Match(r.book.Row(tx, rec), env)
	}
}

// Count says how many members of a segment the actor may see: exact is false when there are more than n.
func (r *Room) Count(ctx context.Context, id record.ID) (n int, exact bool, err error) {
	err = r.book.View(ctx, func(tx store.Tx) error {
		s, err := r.open(ctx, tx, id)
		if err != nil {
			return err
		}
		stored, err := r.stored(ctx, tx, s)
		if err != nil {
			return err
		}
		if stored {
			n, exact = int(counted(tx, id)), true
			return nil
		}
		cursor := ""
		for n, exact = 0, true; exact; {
			page, err := r.foundPage(ctx, tx, s, found{cursor: cursor, limit: record.MaxLimit})
			if err != nil {
				return err
			}
			n += len(page.Records)
			if cursor = strings.TrimPrefix(page.Next, byFilter); cursor == "" {
				return nil
			}
			exact = n < record.CountLimit
		}
		return nil
	})
	return n, exact, err
}

// Of lists the segments that a record is in, of those that the actor may see, by name.
func (r *Room) Of(ctx context.Context, entity string, id record.ID) (in []Membership, err error) {
	err = r.book.View(ctx, func(tx store.Tx) error {
		in = nil
		if _, err := r.book.GetTx(ctx, tx, entity, id); err != nil {
			return err
		}
		rec, err := r.book.Raw(tx, entity, id)
		if err != nil {
			return err
		}
		row, env := r.book.Row(tx, rec), r.env()
		for _, s := range r.load(tx).of[entity] {
			if !s.filter.Match(row, env) || !r.readable(ctx, s) {
				continue
			}
			about, err := r.book.GetTx(ctx, tx, "segment", s.id)
			if kind := fault.KindOf(err); err != nil && (kind == fault.NotFound || kind == fault.Forbidden) {
				continue
			}
			if err != nil {
				return err
			}
			m := Membership{Segment: s.id, Name: about.Text("name")}
			if raw := tx.Bucket(membersBucket).Get(memberKey(s.id, id)); len(raw) == 8 {
				m.Since = time.UnixMilli(int64(binary.BigEndian.Uint64(raw))).UTC()
			}
			in = append(in, m)
		}
		slices.SortFunc(in, func(a, b Membership) int { return strings.Compare(a.Name, b.Name) })
		return nil
	})
	return in, err
}

// Views lists the views of an entity that the actor may use: his own and those shared with him, and those that
// everybody may use; by name.
func (r *Room) Views(ctx context.Context, entity string) (views []record.Record, err error) {
	err = r.book.View(ctx, func(tx store.Tx) error {
		views = nil
		if r.gate.Scope(ctx, access.See, entity) == access.None {
			return fault.Missing("entity", entity)
		}
		q := record.Query{Entity: "view", Field: "kind", Value: entity, Limit: record.MaxLimit}
		for more := true; more; {
			page, err := r.book.ListTx(ctx, tx, q)
			if err != nil {
				return err
			}
			views = append(views, page.Records...)
			q.Cursor, more = page.Next, page.Next != ""
		}
		prefix := []byte(entity + "\x00")
		for key := range tx.Bucket(sharedBucket).Scan(prefix, store.PrefixEnd(prefix), false) {
			id := record.ID(key[len(prefix):])
			if slices.ContainsFunc(views, func(v record.Record) bool { return v.ID == id }) {
				continue
			}
			view, err := r.book.Raw(tx, "view", id)
			if err != nil {
				return err
			}
			views = append(views, view)
		}
		slices.SortStableFunc(views, func(a, b record.Record) int { return strings.Compare(a.Text("name"), b.Text("name")) })
		return nil
	})
	return views, err
}
