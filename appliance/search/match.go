package search

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/karov-crm/karov/appliance/access"
)

// meets tells how well a doc meets all terms of a query: as well as the one that it meets worst. Fields that the actor
// may not read count for nothing.
func (q *query) meets(d *stored, fields *access.Fields) grade {
	var best [maxQueryTerms]grade
	for i := range q.terms {
		best[i] = unmet
	}
	for i := range d.parts {
		if p := &d.parts[i]; p.kind == Phone && !hidden(p, fields) {
			q.meetsPhone(p.text, &best)
		}
	}
	if len(q.mails) == 0 && q.worst(&best) == wholeName {
		return wholeName
	}
	mails := uint(0)
	for i := range d.parts {
		p := &d.parts[i]
		if p.kind == Phone || hidden(p, fields) {
			continue
		}
		q.meetsWords(p, &best)
		if p.kind == Email && len(q.mails) > 0 {
			folded := Fold(string(p.text))
			for i, mail := range q.mails {
				if strings.Contains(folded, mail) {
					mails |= 1 << min(i, 63)
				}
			}
		}
	}
	for i := range q.mails {
		if mails&(1<<min(i, 63)) == 0 {
			return unmet
		}
	}
	return q.worst(&best)
}

func (q *query) worst(best *[maxQueryTerms]grade) grade {
	worst := wholeName
	for i := range q.terms {
		worst = max(worst, best[i])
	}
	return worst
}

// hidden tells whether the actor may not read the field of a part.
func hidden(p *storedPart, fields *access.Fields) bool {
	return fields != nil && fields.Hidden(string(p.field))
}

func (q *query) meetsPhone(phone []byte, best *[maxQueryTerms]grade) {
	var buffer [32]byte
	digits := phoneDigits(buffer[:0], phone)
	for i, t := range q.terms {
		if t.phone.digits != "" && best[i] > wholeName {
			best[i] = min(best[i], t.phone.in(digits))
		}
	}
}

// in tells how well the digits of a phone have a number in them.
func (n number) in(digits []byte) grade {
	if bytes.Contains(digits, []byte(n.digits)) {
		return wholeName
	}
	for _, less := range n.less {
		if bytes.Contains(digits, []byte(less)) {
			return beginsName
		}
	}
	return unmet
}

func (q *query) meetsWords(p *storedPart, best *[maxQueryTerms]grade) {
	q.cut.tokens(p.text, func(tok token) bool {
		for i, t := range q.terms {
			if best[i] > wholeName {
				best[i] = min(best[i], t.met(tok, p.kind))
			}
		}
		return true
	})
}

// met tells how well a word of a doc meets the term.
func (t *term) met(tok token, kind Kind) grade {
	if t.phone.digits != "" {
		if tok.digits && bytes.Contains(tok.text, []byte(t.text)) {
			return elsewhere
		}
		return unmet
	}
	if len(tok.text) >= len(t.text) && string(tok.text[:len(t.text)]) == t.text {
		switch {
		case tok.digits && len(tok.text) >= 3, kind == Email && t.runes == 1 && len(tok.text) > len(t.text):
			return unmet // no record is listed under that
		case kind != Name:
			return elsewhere
		case len(tok.text) == len(t.text):
			return wholeName
		}
		return beginsName
	}
	if g, ok := t.alike[string(tok.text)]; ok && kind != Email {
		return g
	}
	return unmet
}

// marks finds in a text what the query looked for, and tells how many of its terms that is. The spans are those behind
// what stands in to already.
func (q *query) marks(to []Span, raw []byte, kind Kind) (spans []Span, terms int) {
	var met [maxQueryTerms]bool
	from := len(to)
	to = q.spans(to, raw, kind, &met)
	spans = to[:from+len(merged(to[from:]))]
	for _, ok := range met {
		if ok {
			terms++
		}
	}
	return spans, terms
}

func (q *query) spans(spans []Span, raw []byte, kind Kind, met *[maxQueryTerms]bool) []Span {
	if kind == Phone {
		for i, t := range q.terms {
			if from, to, ok := t.phone.mark(raw); ok {
				spans, met[i] = append(spans, Span{from, to}), true
			}
		}
		return spans
	}
	q.cut.tokens(raw, func(tok token) bool {
		longest := 0
		for i, t := range q.terms {
			if t.phone.digits != "" {
				if at := bytes.Index(tok.text, []byte(t.text)); tok.digits && at >= 0 {
					spans, met[i] = append(spans, Span{beginning(raw, tok.from, tok.to, at), beginning(raw, tok.from, tok.to, at+len(t.text))}), true
				}
				continue
			}
			switch g := t.met(tok, kind); {
			case g <= elsewhere:
				longest, met[i] = max(longest, len(t.text)), true
			case g < unmet:
				longest, met[i] = max(longest, len(tok.text)), true
			}
		}
		if longest > 0 {
			spans = append(spans, Span{tok.from, beginning(raw, tok.from, tok.to, longest)})
		}
		return true
	})
	return spans
}

// mark finds the digits of the number in a phone, whatever stands between them.
func (n number) mark(phone []byte) (from, to int, ok bool) {
	if n.digits == "" {
		return 0, 0, false
	}
	var buffer [32]byte
	var at [32]int
	digits, places := buffer[:0], at[:0]
	for i, c := range phone {
		if c >= '0' && c <= '9' {
			digits, places = append(digits, c), append(places, i)
		}
	}
	run := n.digits
	found := bytes.Index(digits, []byte(run))
	for i := 0; found < 0 && i < len(n.less); i++ {
		run = n.less[i]
		found = bytes.Index(digits, []byte(run))
	}
	if found < 0 {
		return 0, 0, false
	}
	return places[found], places[found+len(run)-1] + 1, true
}

// merged sorts spans and joins those that touch.
func merged(spans []Span) []Span {
	slices.SortFunc(spans, func(a, b Span) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(b.To, a.To)) })
	out := spans[:0]
	for _, s := range spans {
		if n := len(out); n > 0 && s.From <= out[n-1].To {
			out[n-1].To = max(out[n-1].To, s.To)
			continue
		}
		out = append(out, s)
	}
	return out
}
