package contact

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/store"
)

// Entry is one thing that happened with a customer: a record that stands on the timeline, or a fact.
type Entry struct {
	At     time.Time
	Record record.Record // zero for a fact
	Fact   journal.Fact  // zero for a record
}

// place is how far each source of a timeline was read: ids of records by entity, the number of the last fact.
type place struct {
	Records map[string]record.ID `json:"r,omitempty"`
	Fact    uint64               `json:"f,omitempty"`
}

// Timeline gives what happened with a customer, newest first, and the cursor to what is older, "" at the end. Its cost
// depends on the page, not on the customer's history.
func (r *Room) Timeline(ctx context.Context, id ID, cursor string, limit int) (entries []Entry, next string, err error) {
	at, err := parsePlace(cursor)
	if err != nil {
		return nil, "", err
	}
	if limit <= 0 || limit > record.MaxLimit {
		limit = record.DefaultLimit
	}
	err = r.book.View(ctx, func(tx store.Tx) error {
		if _, err := r.book.GetTx(ctx, tx, "contact", id); err != nil {
			return err
		}
		entries, err = r.entries(ctx, tx, id, at, limit+1)
		return err
	})
	if err != nil || len(entries) <= limit {
		return entries, "", err
	}
	entries = entries[:limit]
	for _, e := range entries {
		if e.Record.Exists() {
			at.Records[e.Record.Entity()] = e.Record.ID
		} else {
			at.Fact = e.Fact.Seq
		}
	}
	raw, err := json.Marshal(at)
	return entries, base64.RawURLEncoding.EncodeToString(raw), err
}

// entries reads at most limit entries of each source and keeps the newest of them together.
func (r *Room) entries(ctx context.Context, tx store.Tx, id ID, at place, limit int) (entries []Entry, err error) {
	for _, e := range r.book.Schema().Entities() {
		if !e.Timeline {
			continue
		}
		read := 0
		for rec := range r.book.Linked(tx, e.Name, e.Contact, id, at.Records[e.Name]) {
			if !r.book.Allowed(ctx, tx, access.See, rec) {
				continue
			}
			entries = append(entries, Entry{At: rec.CreatedAt(), Record: rec})
			if read++; read >= limit {
				break
			}
		}
	}
	read := 0
	err = journal.Concerning(tx, id.String(), at.Fact, func(f journal.Fact) bool {
		entries = append(entries, Entry{At: f.At, Fact: f})
		read++
		return read < limit
	})
	slices.SortStableFunc(entries, func(a, b Entry) int {
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(b.Record.ID.String(), a.Record.ID.String()), cmp.Compare(b.Fact.Seq, a.Fact.Seq))
	})
	return entries[:min(len(entries), limit)], err
}

func parsePlace(cursor string) (place, error) {
	at := place{Records: map[string]record.ID{}}
	if cursor == "" {
		return at, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(raw) > 4096 || json.Unmarshal(raw, &at) != nil {
		return at, fault.InvalidField("cursor", "list.cursor")
	}
	if at.Records == nil {
		at.Records = map[string]record.ID{}
	}
	return at, nil
}
