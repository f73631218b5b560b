package record

import (
	"bytes"
	"context"
	"slices"

	"github.com/karov-crm/karov/appliance/filter"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

// served is a condition of a query that an index can answer: its windows hold every record that meets it, and may hold
// others, so that the filter is tested on each all the same.
type served struct {
	field   *schema.Field
	windows []window // in the order of the index
	one     bool     // all that the windows hold has one value, so it is in the order of age
	text    string
	held    int // keys in the windows, counted to maxCollected
}

// bestCondition picks the condition that leaves the fewest records, nil where no index serves any.
func (p *plan) bestCondition(ctx context.Context, tx store.Tx) (best *served) {
	if p.query.Filter == nil {
		return nil
	}
	env := p.book.env(ctx)
	for _, c := range p.query.Filter.Conditions() {
		// The filter may have been read under an older schema, when the field had an index that is gone.
		f := p.entity.Numbered(c.Field.Number)
		if f == nil || !f.Indexed || f.Hidden || !p.book.ready(tx, p.entity.Name, f.Name) {
			continue
		}
		c.Field = f
		s := serve(c, env)
		most := maxCollected
		if best != nil {
			most = best.held
		}
		s.held = p.holds(tx, s, most)
		if best == nil || s.held < best.held {
			best = s
		}
	}
	return best
}

// holds counts the keys in a condition's windows, to most.
func (p *plan) holds(tx store.Tx, s *served, most int) (n int) {
	for _, w := range s.windows {
		for range p.keys(tx, s.field.Name, w, false) {
			if n++; n >= most {
				return n
			}
		}
	}
	return n
}

// serve turns a condition into windows of its field's index.
func serve(c filter.Condition, env *filter.Env) *served {
	s := &served{field: c.Field, text: c.Field.Name + " " + c.Op}
	switch c.Op {
	case "empty":
		s.windows, s.one = []window{prefixed([]byte(missing))}, true
		return s
	case "not empty":
		s.windows = []window{{[]byte(valued), []byte(missing)}}
		return s
	}
	ranges := c.Resolve(env)
	for _, r := range ranges {
		s.windows = append(s.windows, windowOf(c.Field, r))
	}
	s.one = len(ranges) == 1 && !ranges[0].Prefix && ranges[0].From != nil && bytes.Equal(ranges[0].From, ranges[0].To)
	s.windows = joined(s.windows)
	return s
}

// windowOf is where the values of a range stand in the index. Texts stand there folded and cut, so that it may hold
// more than the range.
func windowOf(f *schema.Field, r filter.Range) window {
	w := window{[]byte(valued), []byte(missing)}
	form := func(value []byte) []byte {
		switch f.Type {
		case schema.Number, schema.Time, schema.Link, schema.Money:
			return append([]byte(valued), value...)
		case schema.YesNo:
			return []byte(valued)
		}
		return append([]byte(valued), foldedText(string(value))...)
	}
	if r.Prefix {
		return prefixed(form(r.From))
	}
	if r.From != nil {
		w.from = form(r.From)
	}
	if r.To != nil {
		w.to = store.PrefixEnd(append(form(r.To), textEnd(f)...))
	}
	if r.From != nil && bytes.Equal(r.From, r.To) {
		w.from = append(w.from, textEnd(f)...)
	}
	return w
}

// textEnd is what ends a text in an index; values of one length need no end.
func textEnd(f *schema.Field) []byte {
	switch f.Type {
	case schema.Number, schema.Time, schema.Link, schema.Money, schema.YesNo:
		return nil
	}
	return []byte{0}
}

// joined puts windows in the order of the index and makes one of those that overlap.
func joined(windows []window) (apart []window) {
	slices.SortFunc(windows, func(a, b window) int { return bytes.Compare(a.from, b.from) })
	for _, w := range windows {
		if bytes.Compare(w.from, w.to) >= 0 {
			continue
		}
		if last := len(apart) - 1; last >= 0 && bytes.Compare(w.from, apart[last].to) <= 0 {
			if bytes.Compare(w.to, apart[last].to) > 0 {
				apart[last].to = w.to
			}
			continue
		}
		apart = append(apart, w)
	}
	return apart
}
