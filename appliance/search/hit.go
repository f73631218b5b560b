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
		f.rights[entity] = &rights{entity: entity, Filter: filter, fields: gate.Fields(f.ctx, entity), none: err != nil}
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

// texts are where the texts of a hit stand among those of all.
type texts struct{ title, subtitle, matched Span }

// hits makes results of what was found, of what the actor may read. Their texts are one string, and their marks one slice,
// cut into pieces.
func (f *finding) hits(best []candidate) []Hit {
	hits := make([]Hit, len(best))
	var places [MaxLimit]texts
	marks := make([]Span, 0, 2*len(best))
	for i, c := range best {
		if places[i], marks = f.hit(&hits[i], c, marks); f.failed != nil {
			return nil
		}
	}
	all := string(f.texts)
	for i := range hits {
		h, p := &hits[i], places[i]
		h.Title, h.Subtitle, h.Matched = all[p.title.From:p.title.To], all[p.subtitle.From:p.subtitle.To], all[p.matched.From:p.matched.To]
	}
	return hits
}

// say adds a text to those of the hits.
func (f *finding) say(text []byte) Span {
	from := len(f.texts)
	f.texts = append(f.texts, text...)
	return Span{from, len(f.texts)}
}

// taken gives the marks behind those before, in the capacity that they have.
func taken(marks []Span, before int) []Span {
	if before == len(marks) {
		return nil
	}
	return marks[before:len(marks):len(marks)]
}

// hit makes one result, but for its texts, which it says, and adds its marks to those of the others.
func (f *finding) hit(h *Hit, c candidate, marks []Span) (said texts, _ []Span) {
	if f.failed = f.doc.decode(c.raw); f.failed != nil {
		return said, marks
	}
	d, r := &f.doc, f.rights[string(f.doc.entity)]
	h.Entity, h.ID = r.entity, d.id
	inTitle := 0 // how many of the terms the title shows
	if titleShown(d, r.fields) {
		said.title = f.say(d.title)
		before := len(marks)
		marks, inTitle = c.query.marks(marks, d.title, Name)
		h.Marks = taken(marks, before)
	} else {
		said.title = f.say([]byte(withheld))
	}
	matched := -1 // the part that matched
	var subtitle [subtitleParts]int
	shown, most := subtitle[:0], 0
	var inSubtitle [subtitleParts][]Span
	for i := range d.parts {
		p := &d.parts[i]
		in := p.shown && len(shown) < subtitleParts
		if len(p.text) == 0 || bytes.Equal(p.text, d.title) || hidden(p, r.fields) || !in && len(h.Marks) > 0 {
			continue
		}
		before, terms := len(marks), 0
		if inTitle < len(c.query.terms) { // else the title says all of it
			marks, terms = c.query.marks(marks, p.text, p.kind)
		}
		if in {
			inSubtitle[len(shown)] = taken(marks, before)
			shown = append(shown, i)
		}
		if terms > most && len(h.Marks) == 0 && (!in || p.kind == Phone || p.kind == Email) {
			matched, h.MatchedMarks, most = i, taken(marks, before), terms
		}
	}
	said.subtitle.From = len(f.texts)
	for n, i := range shown {
		if n > 0 {
			f.texts = append(f.texts, separator...)
		}
		at := len(f.texts) - said.subtitle.From
		for _, m := range inSubtitle[n] {
			h.SubtitleMarks = append(h.SubtitleMarks, Span{m.From + at, m.To + at})
		}
		f.texts = append(f.texts, d.parts[i].text...)
	}
	said.subtitle.To = len(f.texts)
	if matched >= 0 {
		said.matched = f.say(d.parts[matched].text)
	}
	return said, marks
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
