package search

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/store"
)

// few is how many results are so few that a wrong keyboard layout or a typing error is looked for.
const few = 5

// rare is of how many records each is sooner held against the query than looked for in the lists of its other words.
const rare = 32

// lowest is the rank of what is found by taking the query for a typing error.
const lowest = 1000

// finding is one query being answered.
type finding struct {
	*reading
	ctx    context.Context
	index  *Index
	limit  int
	rights map[string]*rights
	scope  func() source // what the actor sees of it; nil for everything

	doc   stored
	found []candidate
	seen  map[uint64]bool // stamps that need no second look

	texts []byte // of the hits
}

// begin takes a finding that another query is done with, or a new one.
func (x *Index) begin(ctx context.Context, tx store.Tx, limit int) *finding {
	f, _ := x.spare.Get().(*finding)
	if f == nil {
		f = &finding{reading: &reading{}, seen: make(map[uint64]bool, limit)}
	}
	f.reading.begin(tx)
	f.ctx, f.index, f.limit = ctx, x, limit
	return f
}

// end keeps a finding's memory for another query, and nothing of what was found.
func (x *Index) end(f *finding) {
	if len(f.seen) > keptSeen {
		return
	}
	f.reading.end()
	clear(f.found)
	clear(f.seen)
	f.doc.forget()
	*f = finding{reading: f.reading, doc: f.doc, found: f.found[:0], seen: f.seen, texts: f.texts[:0]}
	x.spare.Put(f)
}

// keptSeen is how many records a query looked at whose memory is worth keeping.
const keptSeen = 1000

// candidate is a record that was found.
type candidate struct {
	stamp  uint64
	rank   int
	recent int64
	query  *query
	raw    []byte // its doc, as it lies in the store
}

// rights are what an actor may see of an entity.
type rights struct {
	access.Filter
	entity string // its name
	fields *access.Fields
	none   bool
}

// attempt is one way of understanding what was typed, up to a grade. The first attempts rank highest.
type attempt struct {
	query *query
	grade grade
}

// run looks until there is enough, from the best understanding to the most daring one.
func (f *finding) run(text string) {
	text = cut(text, 4*maxQuery)
	literal := parse(text)
	rank := 0
	try := func(q *query, grades ...grade) {
		for _, g := range grades {
			rank++
			f.attempt(attempt{q, g}, rank, f.limit)
		}
	}
	try(literal, wholeName, beginsName, elsewhere)
	if len(literal.mails) > 0 && len(f.found) > 0 {
		return // an address is written down, not heard: nobody means one that sounds like it
	}
	little := len(f.found) < few
	try(literal, sameName)
	var others []*query
	if little {
		others = readings(text)
	}
	for _, q := range others {
		try(q, wholeName, beginsName, elsewhere, sameName)
	}
	if len(f.found) < few {
		// A typing error ranks lowest, but what merely sounds so must not take all the places.
		most := (f.limit + 1) / 2
		f.attempt(attempt{literal, misspelt}, lowest, most)
		f.attempt(attempt{literal, misstarted}, lowest+1, most)
	}
	try(literal, soundsLike, soundsFrom)
	if len(f.found) == 0 { // both at once, the keyboard and the ear, is meant by few
		for _, q := range others {
			try(q, soundsLike, soundsFrom)
		}
	}
}

// readings are the queries that the same keys write in other layouts.
func readings(text string) (others []*query) {
	for _, other := range retyped(text) {
		if q := parse(other); len(q.terms) > 0 {
			others = append(others, q)
		}
	}
	return others
}

// attempt finds the records in which every term is met by a grade or better, the newest first, until there are as many
// as there may be.
func (f *finding) attempt(a attempt, rank, most int) {
	if len(a.query.terms) == 0 || len(f.found) >= most {
		return
	}
	news := false
	for _, t := range a.query.terms {
		t.learn(f.reading, f.index.names, a.grade)
		news = news || len(t.ways[a.grade]) > 0
		a.query.vague = a.query.vague || t.vague
	}
	if !news {
		return
	}
	all := f.sources(a)
	if all == nil {
		return
	}
	before := len(f.found)
	for at := uint64(maxStamp); ; at-- {
		if at = all.seek(at); at == 0 {
			return
		}
		if f.check(at, a, rank); len(f.found) == most {
			f.newer(a, rank, before, at)
			return
		}
	}
}

// newer finds the customers that were heard of lately but stand at an earlier place, below the last that was found.
func (f *finding) newer(a attempt, rank, before int, below uint64) {
	oldest := f.found[before].recent
	for _, c := range f.found[before:] {
		oldest = min(oldest, c.recent)
	}
	l, ok := f.listed(moved, "")
	if !ok {
		return
	}
	all := f.all([]source{f.list(l), f.sources(a)})
	place := second(oldest)
	for most := below - 1; ; most-- {
		if most = all.seek(most); most == 0 || most>>perSecond+restamp < place {
			return
		}
		f.check(most, a, rank)
	}
}

// sources joins what an attempt finds and the ones of lower grades did not: one term is met by the grade itself, those
// before it by less, those after it by at most that. What the actor may see is part of each. nil where there is nothing.
func (f *finding) sources(a attempt) source {
	var ways []source
	for i := range a.query.terms {
		if way := f.way(a, i); way != nil {
			ways = append(ways, way)
		}
	}
	if len(ways) == 0 {
		return nil
	}
	return f.any(ways)
}

// way is the source of the records in which the term of a number is met by the attempt's grade.
func (f *finding) way(a attempt, number int) source {
	type counted struct {
		source
		count uint64
	}
	list := make([]counted, 0, len(a.query.terms))
	for i, t := range a.query.terms {
		from, to := wholeName, a.grade
		switch {
		case i == number:
			from = a.grade
		case i < number:
			to--
		}
		s, count := t.source(f.reading, from, to)
		if s == nil {
			return nil
		}
		list = append(list, counted{s, count})
	}
	slices.SortStableFunc(list, func(a, b counted) int { return cmp.Compare(a.count, b.count) })
	if a.query.vague && list[0].count <= rare {
		list = list[:1]
	}
	all := make([]source, 0, len(list)+1)
	for _, c := range list {
		all = append(all, c.source)
	}
	if f.scope != nil {
		all = append(all, f.scope())
	}
	return f.all(all)
}

// check reads a record and keeps it where it is what was looked for and for the actor to see.
func (f *finding) check(stamp uint64, a attempt, rank int) {
	if f.seen[stamp] || !f.spend(workDoc) {
		return
	}
	var key [stampSize]byte
	raw := f.records.Get(appendStamp(key[:0], stamp))
	d := &f.doc
	if f.failed = d.begin(raw); f.failed != nil {
		return
	}
	r := f.rights[string(d.entity)]
	if r == nil || r.none || !r.sees(d) {
		f.seen[stamp] = true
		return
	}
	if r.fields != nil || a.query.vague {
		if f.failed = d.decode(raw); f.failed != nil || a.query.meets(d, r.fields) > a.grade {
			return
		}
	}
	f.seen[stamp] = true
	if r.Where != "" && (f.index.check == nil || !f.spend(workDoc) || !f.index.check(f.ctx, f.tx, string(d.entity), d.id, r.Where)) {
		return
	}
	f.found = append(f.found, candidate{stamp, rank, d.recent, a.query, raw})
}

// sees tells whether a doc is among those that the rights reach.
func (r *rights) sees(d *stored) bool {
	return r.All || slices.ContainsFunc(d.principals, func(p []byte) bool {
		return len(p) > 0 && slices.Contains(r.Principals, string(p))
	})
}

// best sorts what was found and gives the first of it.
func (f *finding) best() []candidate {
	slices.SortFunc(f.found, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(b.recent, a.recent), cmp.Compare(b.stamp, a.stamp))
	})
	return f.found[:min(len(f.found), f.limit)]
}

// entities lists the entities that have records here.
func (f *finding) entities(tx store.Tx) (names []string) {
	stamps := tx.Bucket(stampsBucket)
	for from := []byte(nil); ; {
		name, found := "", false
		for k := range stamps.Scan(from, nil, false) {
			if at := bytes.IndexByte(k, 0); at >= 0 {
				name, found = string(k[:at]), true
			}
			break
		}
		if !found {
			return names
		}
		names = append(names, name)
		from = append([]byte(name), 1)
	}
}
