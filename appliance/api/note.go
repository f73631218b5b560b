package api

import (
	"context"

	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

// noteRead tells the journal that the caller reads a record, before it is shown to him.
func (a *API) noteRead(ctx context.Context, s shape, r record.Record) error {
	return a.Journal.Note(ctx, journal.Seen(r.Entity(), r.ID.String(), contactOf(s.entity, r), s.sensitive(r)))
}

// noteSensitive does so only where the record shows something that is marked sensitive: a list would else be a note
// for each of its lines.
func (a *API) noteSensitive(ctx context.Context, s shape, r record.Record) error {
	if len(s.sensitive(r)) == 0 {
		return nil
	}
	return a.noteRead(ctx, s, r)
}

// noteOf tells the journal that sensitive fields of a record are read, if any are.
func (a *API) noteOf(ctx context.Context, e *schema.Entity, id record.ID, sensitive []string) error {
	contact := ""
	if e.Contact == "id" {
		contact = id.String()
	}
	return a.Journal.Note(ctx, journal.Seen(e.Name, id.String(), contact, sensitive))
}

// sensitive lists the fields shown of a record that are marked sensitive and hold something.
func (s shape) sensitive(r record.Record) (names []string) {
	for i := range s.entity.Fields {
		f := &s.entity.Fields[i]
		if f.Sensitive && s.shows(f.Name) && r.Has(f.Name) {
			names = append(names, f.Name)
		}
	}
	return names
}

// contactOf is the id of the customer a record concerns, "" for none.
func contactOf(e *schema.Entity, r record.Record) string {
	switch {
	case e.Contact == "id":
		return r.ID.String()
	case e.Contact == "":
		return ""
	}
	if id := r.Link(e.Contact); !id.Zero() {
		return id.String()
	}
	return ""
}
