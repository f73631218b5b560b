package contact

import (
	"context"
	"slices"
	"strings"

	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/search"
	"github.com/karov-crm/karov/appliance/store"
)

// nameWords is a name in the form in which it is compared: its folded words, in whatever order they were written.
func nameWords(name string) string {
	words := search.Words(name)
	slices.Sort(words)
	return strings.Join(words, " ")
}

// strays finds records that concern a customer who was forgotten and never hung on his card, as a lead that became
// nobody yet: they have his e-mail address, or his phone together with his name or with none, since a family shares a
// phone. Only the marks of the tombstone are left to tell.
func (r *Room) strays(ctx context.Context, id ID) (found []hanging, err error) {
	var stone Tombstone
	err = r.book.View(ctx, func(tx store.Tx) error {
		stone, err = tombstone(tx, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, e := range r.book.Schema().Entities() {
		if e.Name == "contact" || e.Contact == "" || !reaches(e) {
			continue
		}
		for cursor := ""; ; {
			page, err := r.book.List(ctx, record.Query{Entity: e.Name, Cursor: cursor, Limit: record.MaxLimit})
			if err != nil {
				return nil, err
			}
			err = r.book.View(ctx, func(tx store.Tx) error {
				for _, rec := range page.Records {
					if rec.Link(e.Contact).Zero() && r.tells(tx, e, rec, stone) {
						found = append(found, hanging{entity: e.Name, id: rec.ID})
					}
				}
				return nil
			})
			if cursor = page.Next; err != nil || cursor == "" {
				break
			}
		}
	}
	return found, nil
}

// reaches tells whether records of an entity hold a phone or an e-mail address.
func reaches(e *schema.Entity) bool {
	return slices.ContainsFunc(e.Fields, func(f schema.Field) bool { return f.Type == schema.Phone || f.Type == schema.Email })
}

// tells whether a record is about the person under a tombstone.
func (r *Room) tells(tx store.Tx, e *schema.Entity, rec record.Record, stone Tombstone) bool {
	is := func(kind, text string) bool {
		return text != "" && slices.Contains(stone.Marks, hexMark(mark(tx, kind, text)))
	}
	name := nameWords(rec.Text(e.Title))
	for i := range e.Fields {
		f := &e.Fields[i]
		for _, text := range rec.Texts(f.Name) {
			switch {
			case f.Type == schema.Email && is(Email, r.handle(Email, text)):
				return true
			case f.Type == schema.Phone && is(Phone, r.handle(Phone, text)) && (name == "" || is("name", name)):
				return true
			}
		}
	}
	return false
}

// eraseStrays erases them, a batch in a transaction.
func (r *Room) eraseStrays(ctx context.Context, id ID) error {
	found, err := r.strays(ctx, id)
	if err != nil {
		return err
	}
	for len(found) > 0 {
		rest := found
		err := r.book.Update(ctx, func(tx store.Tx) error {
			e := eraser{room: r, tx: tx, contact: id, left: forgetBatch}
			for rest = found; len(rest) > 0; rest = rest[1:] {
				if done, err := e.whole(ctx, rest[0], 0); !done || err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		found = rest
	}
	return nil
}
