package record

import (
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/search"
	"github.com/karov-crm/karov/appliance/store"
)

// shownParts is how many texts beside the title a result shows of a record that no room describes.
const shownParts = 3

// A text that is not much longer than its digits, and has a few of them, is a number by which people ask.
const (
	minNumber = 3
	maxNumber = 40
)

// describer says how records of an entity are found by lookup, nil where they are not. What the office or a plugin made
// has no room that could say it: there the schema does.
func (b *Book) describer(tx store.Tx, entity string) Describe {
	if d := b.describe[entity]; d != nil {
		return d
	}
	if e := b.schema.At(tx).Entity(entity); e != nil && e.Custom {
		return describeBySchema
	}
	return nil
}

// describeBySchema finds a record by its searched fields, and first of all by its title when that is one.
func describeBySchema(_ store.Tx, r Record) (doc search.Doc, ok bool) {
	e := r.entity
	if e.Hidden {
		return doc, false
	}
	if doc.Recent = r.UpdatedAt(); e.Title != "" {
		doc.Title = r.Text(e.Title)
	}
	shown := 0
	for i := range e.Fields {
		f := &e.Fields[i]
		if !f.Searched || f.Hidden {
			continue
		}
		part := search.Part{Field: f.Name, Kind: kindOf(f)}
		if f.Name == e.Title {
			part.Kind = search.Name
		}
		for i, text := range r.Texts(f.Name) {
			part.Text = text
			if part.Shown = i == 0 && f.Name != e.Title && f.Type != schema.LongText && shown < shownParts; part.Shown {
				shown++
			}
			doc.Parts = append(doc.Parts, part)
			if f.Type != schema.LongText && len(text) <= maxNumber && len(search.Digits(text)) >= minNumber { // a plate, an order's number
				doc.Parts = append(doc.Parts, search.Part{Field: f.Name, Kind: search.Phone, Text: text})
			}
		}
	}
	return doc, len(doc.Parts) > 0
}

func kindOf(f *schema.Field) search.Kind {
	switch f.Type {
	case schema.Phone:
		return search.Phone
	case schema.Email:
		return search.Email
	}
	return search.Text
}
