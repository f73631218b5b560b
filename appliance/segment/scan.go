package segment

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/filter"
	"github.com/karov-crm/karov/appliance/job"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/store"
)

// Kinds of the room's jobs; their keys are ids of segments.
const (
	ScanJob = "segment.scan" // computes the members of a segment
	TickJob = "segment.tick" // begins that when time has changed them
	DropJob = "segment.drop" // forgets the members of a segment that is gone
)

const (
	scanBatch = 1000 // records of one transaction
	dropBatch = 5000
	often     = 5 * time.Minute // between two computations of a filter that asks for now
)

// progress is how far the members of a segment were computed. The zero progress is one that never was.
type progress struct {
	Scanning bool      `json:"scanning,omitempty"`
	Quiet    bool      `json:"quiet,omitempty"`    // nobody joins or leaves: the segment itself is new or another
	Dropping bool      `json:"dropping,omitempty"` // the members of before go first
	Cursor   string    `json:"cursor,omitempty"`
	At       time.Time `json:"at,omitzero"` // the moment for which the members were computed, or are being
}

func progressOf(tx store.Tx, id record.ID) (p progress) {
	if raw := tx.Bucket(progressBucket).Get(id[:]); raw != nil && json.Unmarshal(raw, &p) != nil {
		return progress{} // damaged: members are found by the filter
	}
	return p
}

func setProgress(tx store.Tx, id record.ID, p progress) error {
	raw, err := json.Marshal(p)
	if err != nil {
		return err
	}
	tx.Bucket(progressBucket).Put(id[:], raw)
	return nil
}

// begin has a segment computed from the first record on.
func (r *Room) begin(tx store.Tx, id record.ID, p progress) error {
	if err := setProgress(tx, id, p); err != nil {
		return err
	}
	return r.jobs.Add(tx, job.Job{Kind: ScanJob, Key: id.String()})
}

// rescan has a segment computed anew and tells who joins and who leaves. One that is being computed begins again, and
// stays as quiet as it was.
func (r *Room) rescan(tx store.Tx, id record.ID) error {
	p := progressOf(tx, id)
	return r.begin(tx, id, progress{Scanning: true, Quiet: p.Scanning && p.Quiet, Dropping: p.Dropping})
}

// Jobs are the kinds of work of the room.
func (r *Room) Jobs() []job.Kind {
	return []job.Kind{{Name: ScanJob, Work: r.scan}, {Name: TickJob, Work: r.tick}, {Name: DropJob, Work: r.drop}}
}

// scan computes the members of a segment, batch by batch. A restart goes on with the batch that was not finished.
func (r *Room) scan(ctx context.Context, j job.Job) error {
	id, err := record.ParseID(j.Key)
	if err != nil {
		return err
	}
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := r.book.Update(ctx, func(tx store.Tx) (err error) {
			more, err = r.step(ctx, tx, id)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// step does one batch and tells whether there are more.
func (r *Room) step(ctx context.Context, tx store.Tx, id record.ID) (more bool, err error) {
	s, p := r.load(tx).all[id], progressOf(tx, id)
	switch {
	case s == nil || !p.Scanning:
		return false, nil
	case s.filter == nil:
		return false, setProgress(tx, id, progress{}) // until the schema, or the segment, is right again
	case p.Dropping:
		if !dropMembers(tx, id) {
			p.Dropping = false
		}
		return true, setProgress(tx, id, p)
	}
	if p.Cursor == "" {
		p.At = r.now()
	}
	for range scanBatch / record.MaxLimit {
		q := record.Query{Entity: s.entity, Cursor: p.Cursor, Limit: record.MaxLimit}
		page, err := r.book.ListTx(access.WithActor(ctx, access.Appliance()), tx, q)
		if fault.KindOf(err) == fault.NotFound && err != nil {
			page, err = record.Page{}, nil // the entity is out of use: nobody is in it
		}
		if err != nil {
			return false, err
		}
		for _, rec := range page.Records {
			if err := r.settle(ctx, tx, s, rec, r.book.Row(tx, rec)); err != nil {
				return false, err
			}
		}
		if p.Cursor = page.Next; p.Cursor == "" {
			return false, r.finish(ctx, tx, s, p)
		}
	}
	return true, setProgress(tx, id, p)
}

// finish says that a segment is computed, and when it will have to be again.
func (r *Room) finish(ctx context.Context, tx store.Tx, s *segment, p progress) error {
	if err := setProgress(tx, s.id, progress{At: p.At}); err != nil {
		return err
	}
	if p.Quiet {
		f := journal.Fact{Name: "segment.built", Entity: "segment", ID: s.id.String(),
			About: map[string]string{"members": strconv.FormatInt(counted(tx, s.id), 10)}}
		if err := r.journal.Append(ctx, tx, f); err != nil {
			return err
		}
	}
	switch s.filter.Clock() {
	case filter.Daily:
		return r.jobs.Add(tx, job.Job{Kind: TickJob, Key: s.id.String(), Due: r.midnight(p.At)})
	case filter.Always:
		return r.jobs.Add(tx, job.Job{Kind: TickJob, Key: s.id.String(), Due: r.now().Add(often)})
	}
	return nil
}

// midnight is when the day after a moment begins in the office.
func (r *Room) midnight(t time.Time) time.Time {
	t = t.In(r.book.Zone())
	return time.Date(t.Year(), t.Month(), t.Day()+1, 0, 0, 0, 0, t.Location())
}

// tick begins to compute a segment that time has changed.
func (r *Room) tick(ctx context.Context, j job.Job) error {
	id, err := record.ParseID(j.Key)
	if err != nil {
		return err
	}
	return r.book.Update(ctx, func(tx store.Tx) error {
		s := r.load(tx).all[id]
		if s == nil || s.filter == nil || s.filter.Clock() == filter.Timeless || progressOf(tx, id).Scanning {
			return nil // a scan that is under way asks for the next tick when it ends
		}
		return r.rescan(tx, id)
	})
}

// drop forgets the members of a segment that is gone. One that came back meanwhile drops them itself.
func (r *Room) drop(ctx context.Context, j job.Job) error {
	id, err := record.ParseID(j.Key)
	if err != nil {
		return err
	}
	for more := true; more; {
		err := r.book.Update(ctx, func(tx store.Tx) error {
			if tx.Bucket(filtersBucket).Get(id[:]) != nil {
				more = false
				return nil
			}
			if more = dropMembers(tx, id); !more {
				tx.Bucket(countsBucket).Delete(id[:])
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// dropMembers forgets a batch of a segment's members, and tells whether there are more.
func dropMembers(tx store.Tx, id record.ID) (more bool) {
	members := tx.Bucket(membersBucket)
	var keys [][]byte
	for key := range members.Scan(id[:], store.PrefixEnd(id[:]), false) {
		if len(keys) == dropBatch {
			more = true
			break
		}
		keys = append(keys, bytes.Clone(key))
	}
	for _, key := range keys {
		members.Delete(key)
	}
	if !more {
		setCount(tx, id, 0)
	} else {
		setCount(tx, id, counted(tx, id)-int64(len(keys)))
	}
	return more
}

// fresh tells whether the stored members of a segment are those of this moment.
func (r *Room) fresh(tx store.Tx, s *segment) bool {
	p := progressOf(tx, s.id)
	if p.Scanning || p.At.IsZero() {
		return false
	}
	switch s.filter.Clock() {
	case filter.Timeless:
		return true
	case filter.Daily:
		return r.now().Before(r.midnight(p.At))
	}
	return false
}
