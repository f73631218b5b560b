package record

import (
	"context"

	"github.com/karov-crm/karov/appliance/journal"
)

// TellRead tells the journal that the actor reads a record, with the names of its sensitive fields that hold something
// for him. Rooms call it for what they show to somebody, outside any transaction: reading that cannot be written down
// fails.
func (b *Book) TellRead(ctx context.Context, r Record) error {
	var sensitive []string
	for i := range r.entity.Fields {
		if f := &r.entity.Fields[i]; f.Sensitive && r.Has(f.Name) {
			sensitive = append(sensitive, f.Name)
		}
	}
	contact := ""
	if id := contactOf(r); !id.Zero() {
		contact = id.String()
	}
	return b.journal.Note(ctx, journal.Seen(r.Entity(), r.ID.String(), contact, sensitive))
}

// TellListed tells the journal that the actor looks at a list of an entity, by the fields that the query chose by.
func (b *Book) TellListed(ctx context.Context, q Query, results int) error {
	var fields []string
	if q.Field != "" {
		fields = append(fields, q.Field)
	}
	if q.Filter != nil {
		for _, use := range q.Filter.Uses() {
			name := ""
			for _, step := range use.Via {
				name += step.Field + "."
			}
			fields = append(fields, name+use.Field)
		}
	}
	return b.journal.Note(ctx, journal.Listed(q.Entity, fields, results))
}

// TellSearched tells the journal that the actor looked for somebody, and how many were found.
func (b *Book) TellSearched(ctx context.Context, results int) error {
	return b.journal.Note(ctx, journal.Searched(results))
}

// TellOpened tells the journal that the actor opens a file of a record.
func (b *Book) TellOpened(ctx context.Context, entity string, id, contact ID) error {
	return b.journal.Note(ctx, journal.Opened(entity, id.String(), contact.String()))
}
