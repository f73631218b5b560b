package search

import (
	"bytes"

	"github.com/karov-crm/karov/appliance/access"
)

const (
	// subtitleParts is how many texts a subtitle has at most.
	subtitleParts = 3
	separator     = " · "
	// withheld stands for a title that the actor may not read.
	withheld = "…"
)

// permit reads the actor's rights. It tells whether there is anything that he may see.
func (f *finding) permit(gate *access.Gate) bool {
	f.rights = map[string]*rights{}
	seen, whole := false, false
	var terms []string
	for _, entity := range f.entities(f.tx) {
		filter, err := gate.Filter(f.ctx, entity)
		f.rights[entity] = &rights{Filter: filter, fields: gate.Fields(f.ctx, entity), none: err != nil}
		seen = seen || err == nil
		whole = whole || err == nil && filter.All
		for _, p := range filter.Principals {
			if p != "" {
				terms = append(terms, entity+"\x00"+p)
			}
		}
	}
	if !seen || whole { // where all of one entity is seen, each record is asked for its own
		return seen
	}
	return f.narrow(terms)
}

// narrow makes the lists of the actor's principals part of every search. It tells whether they have any record.
func (f *finding) narrow(terms []string) bool {
	var lists []listed
	for _, t := range terms {
		if l, ok := f.listed(principal, t); ok {
			lists = append(lists, l)
		}
	}
	f.scope = func() source {
		sources := make([]source, len(lists))
		for i, l := range lists {
			sources[i] = f.list(l)
		}
		return f.any(sources)
	}
	return len(lists) > 0
}

// hit makes a result of a candidate, of what the actor may read.
func (f *finding) hit(c candidate) Hit {
	if f.failed = f.doc.decode(c.raw); f.failed != nil {
		return Hit{}
	}
	d, r := &f.doc, f.rights[string(f.doc.entity)]
	h := Hit{Entity: string(d.entity), ID: d.id, Title: withheld}
	inTitle := 0 // how many of the terms the title shows
	if titleShown(d, r.fields) {
		h.Title = string(d.title)
		h.Marks, inTitle = c.query.marks(d.title, Name)
	}
	var buffer [256]byte
	subtitle, shown, most := buffer[:0], 0, 0
	for i := range d.parts {
		p := &d.parts[i]
		inSubtitle := p.shown && shown < subtitleParts
		if len(p.text) == 0 || bytes.Equal(p.text, d.title) || hidden(p, r.fields) || !inSubtitle && len(h.Marks) > 0 {
			continue
		}
		var marks []Span
		terms := 0
		if inTitle < len(c.query.terms) { // else the title says all of it
			marks, terms = c.query.marks(p.text, p.kind)
		}
		if inSubtitle {
			if shown++; shown > 1 {
				subtitle = append(subtitle, separator...)
			}
			for _, m := range marks {
				h.SubtitleMarks = append(h.SubtitleMarks, Span{m.From + len(subtitle), m.To + len(subtitle)})
			}
			subtitle = append(subtitle, p.text...)
		}
		if terms > most && len(h.Marks) == 0 && (!inSubtitle || p.kind == Phone || p.kind == Email) {
			h.Matched, h.MatchedMarks, most = string(p.text), marks, terms
		}
	}
	h.Subtitle = string(subtitle)
	return h
}

// titleShown tells whether the actor may read the field that the title stands in, or, of a title that is no field's
// text, all fields of the name.
func titleShown(d *stored, fields *access.Fields) bool {
	if fields == nil {
		return true
	}
	for i := range d.parts {
		if p := &d.parts[i]; string(p.text) == string(d.title) {
			return !fields.Hidden(string(p.field))
		}
	}
	for i := range d.parts {
		if p := &d.parts[i]; p.kind == Name && fields.Hidden(string(p.field)) {
			return false
		}
	}
	return true
}
