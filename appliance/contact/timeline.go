package contact

import (
	"context"
	"encoding/base64"
	"encoding/json"
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
	var who record.Record
	err = r.book.View(ctx, func(tx store.Tx) (err error) {
		if who, err = r.book.GetTx(ctx, tx, "contact", id); err != nil {
			return err
		}
		entries, err = r.entries(ctx, tx, id, at, limit+1)
		return err
	})
	if err == nil {
		err = r.book.TellRead(ctx, who)
	}
	if err != nil {
		return nil, "", err
	}
	if len(entries) <= limit {
		return entries, "", nil
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

// entries reads at most limit entries of each source and merges them, newest first. Each source keeps its own order,
// whatever the clock said when its entries were written: the cursor remembers how far each source was read, and an
// entry that overtook another of its source would make the next page begin behind that one.
func (r *Room) entries(ctx context.Context, tx store.Tx, id ID, at place, limit int) ([]Entry, error) {
	var sources [][]Entry
	for _, e := range r.book.Schema().Entities() {
		if !e.Timeline {
			continue
		}
		var source []Entry
		for rec := range r.book.Linked(tx, e.Name, e.Contact, id, at.Records[e.Name]) {
			if !r.book.Allowed(ctx, tx, access.See, rec) {
				continue
			}
			if source = append(source, Entry{At: rec.CreatedAt(), Record: r.book.Shown(ctx, tx, rec)}); len(source) >= limit {
				break
			}
		}
		sources = append(sources, source)
	}
	var facts []Entry
	err := journal.Concerning(tx, id.String(), at.Fact, func(f journal.Fact) bool {
		if f.ID == id.String() || r.mayHear(ctx, tx, f) {
			facts = append(facts, Entry{At: f.At, Fact: f})
		}
		return len(facts) < limit
	})
	return merged(append(sources, facts), limit), err
}

// mayHear tells whether the actor may see the record that a fact is about, as a deal of the customer that was won.
func (r *Room) mayHear(ctx context.Context, tx store.Tx, f journal.Fact) bool {
	id, err := record.ParseID(f.ID)
	if err != nil {
		return false
	}
	rec, err := r.book.Raw(tx, f.Entity, id)
	return err == nil && r.book.Allowed(ctx, tx, access.See, rec)
}

// merged takes from the source whose next entry is the newest, until there are limit.
func merged(sources [][]Entry, limit int) (entries []Entry) {
	for len(entries) < limit {
		newest := -1
		for i, s := range sources {
			if len(s) > 0 && (newest < 0 || s[0].At.After(sources[newest][0].At)) {
				newest = i
			}
		}
		if newest < 0 {
			break
		}
		entries = append(entries, sources[newest][0])
		sources[newest] = sources[newest][1:]
	}
	return entries
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
