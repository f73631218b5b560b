package search

import (
	"bytes"
	"cmp"
	"slices"
	"unicode/utf8"

	"github.com/karov-crm/karov/appliance/store"
)

const (
	// maxBegun bounds the words of the index that one word of a query may begin. Where there are more, the records whose
	// words begin with its first two letters are read instead.
	maxBegun = 2000
	// maxHeard bounds the words that sound like one of a query, and soundsRead how many are looked at for them.
	maxHeard   = 128
	soundsRead = 2000
	// maxGrams is how many runs of digits find a number at most. The record is held against the rest of it.
	maxGrams = 4
)

// gramsFor is how many runs of digits are worth their reading where the rarest has so many records: each leaves about a
// thousandth of them, and a record that is read for nothing costs less than a long list.
func gramsFor(rarest uint64) int {
	switch {
	case rarest <= 16:
		return 1
	case rarest <= 2000:
		return 2
	}
	return maxGrams
}

// learn finds the lists of a grade, once.
func (t *term) learn(r *reading, n *names, g grade) {
	if t.learned[g] {
		return
	}
	t.learned[g] = true
	switch {
	case t.phone.digits != "":
		t.learnNumber(r, g)
		return
	case t.address:
		t.learnAddress(r, g)
		return
	}
	switch g {
	case wholeName:
		t.way(g, r, nameWord, t.text)
	case beginsName:
		t.begun(g, r, nameWord, nameStart)
	case elsewhere:
		t.way(g, r, textWord, t.text)
		t.begun(g, r, textWord, textStart)
		t.way(g, r, mailWord, t.text)
		if t.runes >= 2 {
			t.begun(g, r, mailWord, 0)
		}
	case sameName:
		t.named(r, n)
	case soundsLike:
		t.heard(g, r, true)
	case soundsFrom:
		t.heard(g, r, false)
	case misspelt:
		t.mistyped(r)
	case misstarted:
		t.misstarted(r)
	}
}

// way adds the list of one term of the index.
func (t *term) way(g grade, r *reading, class byte, text string) {
	if l, ok := r.listed(class, text); ok {
		t.ways[g] = append(t.ways[g], way{listed: l})
	}
}

// begun adds the lists of the words that the term begins.
func (t *term) begun(g grade, r *reading, class, begin byte) {
	from := append([]byte{class}, t.text...)
	if begin != 0 && t.runes == 2 {
		t.way(g, r, begin, t.text)
		return
	}
	if begin != 0 && t.runes == 1 {
		from[0] = begin
	}
	before := len(t.ways[g])
	if r.each(from, maxBegun, func(l listed) {
		if len(l.term) > len(from) {
			t.ways[g] = append(t.ways[g], way{listed: l})
		}
	}) {
		return
	}
	if begin != 0 {
		t.ways[g], t.vague = t.ways[g][:before], true
		t.way(g, r, begin, string(start([]byte(t.text))))
	}
}

// each yields the terms that begin so, at most most of them, and tells whether those are all.
func (r *reading) each(from []byte, most int, fn func(listed)) (all bool) {
	return r.eachThat(from, most, func([]byte) bool { return true }, fn)
}

// eachThat is each of the terms that are good.
func (r *reading) eachThat(from []byte, most int, good func(term []byte) bool, fn func(listed)) (all bool) {
	n := 0
	if !r.spend(workScan) {
		return false
	}
	for k, v := range r.terms.Scan(from, store.PrefixEnd(from), false) {
		if n++; n > most || !r.spend(1) {
			return false
		}
		if !good(k) {
			continue
		}
		var l listed
		if !r.open(&l, k, v) {
			return false
		}
		fn(l)
	}
	return true
}

// like adds a word of the index that is like the term.
func (t *term) like(g grade, r *reading, class byte, word string) {
	if _, known := t.alike[word]; known && t.alike[word] < g || word == t.text {
		return
	}
	before := len(t.ways[g])
	if t.way(g, r, class, word); len(t.ways[g]) == before {
		return
	}
	if t.alike == nil {
		t.alike = map[string]grade{}
	}
	t.alike[word] = g
}

// foreign is how many letters a word has at least to be looked for in other alphabets.
const foreign = 3

// named adds the other spellings of the name that the term is or begins.
func (t *term) named(r *reading, n *names) {
	if t.runes < foreign {
		return
	}
	for _, word := range n.like(t.text) {
		t.like(sameName, r, nameWord, word)
		t.like(sameName, r, textWord, word)
	}
}

// heard adds the words that sound like the term, or whose beginning does.
func (t *term) heard(g grade, r *reading, whole bool) {
	if t.runes < foreign || alphabet(t.text) == 0 {
		return
	}
	sounds := soundsIn(t.text, whole)
	longest := 0
	for _, s := range sounds {
		longest = max(longest, len(s))
	}
	if !whole && longest < 2 {
		return
	}
	var found [][]byte
	for _, s := range sounds {
		if !whole && len(s) < 2 {
			continue
		}
		found = append(found, r.sounding(s, whole)...)
	}
	// Those that are nearest in length come first: they are likelier meant when there are too many.
	slices.SortStableFunc(found, func(a, b []byte) int {
		return cmp.Compare(t.strangeness(a), t.strangeness(b))
	})
	for _, term := range found[:min(len(found), maxHeard)] {
		t.like(g, r, term[0], string(term[1:]))
	}
}

// strangeness is how much longer or shorter a term of the index is than the term of the query.
func (t *term) strangeness(of []byte) int {
	n := utf8.RuneCount(of[1:]) - t.runes
	return max(n, -n)
}

// sounding gives the terms of the index that sound so, or begin with that sound.
func (r *reading) sounding(sound string, whole bool) (found [][]byte) {
	from := []byte(sound)
	if whole {
		from = append(from, 0)
	}
	if !r.spend(workScan) {
		return nil
	}
	for k := range r.tx.Bucket(soundsBucket).Scan(from, store.PrefixEnd(from), false) {
		if at := bytes.IndexByte(k, 0); at >= 0 && at+2 < len(k) {
			found = append(found, k[at+1:])
		}
		if len(found) == soundsRead || !r.spend(1) {
			break
		}
	}
	return found
}

// learnNumber finds the lists of a number: in phones as it is, then without a country's or trunk's digits, then in other
// fields.
func (t *term) learnNumber(r *reading, g grade) {
	switch g {
	case wholeName:
		t.gramsWay(g, r, phoneGram, t.phone.digits)
	case beginsName:
		for _, less := range t.phone.less {
			t.gramsWay(g, r, phoneGram, less)
		}
	case elsewhere:
		t.gramsWay(g, r, otherGram, t.phone.digits)
	}
}

// gramsWay adds the lists of a number's runs of digits: all of them together are one way. The runs stand side by side,
// from the end, where numbers differ most: two that overlap have nearly the same records.
func (t *term) gramsWay(g grade, r *reading, class byte, digits string) {
	if len(digits) < gramSize {
		t.way(g, r, class, digits)
		for d := '0'; d <= '9'; d++ { // they begin a run or end the number
			t.way(g, r, class, digits+string(d))
			t.way(g, r, class, string(d)+digits)
		}
		return
	}
	var all []listed
	for at := len(digits); at > 0 && len(all) < maxGrams; {
		at = max(at-gramSize, 0)
		l, ok := t.gram(r, class, digits[at:at+gramSize])
		if !ok {
			return
		}
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b listed) int { return cmp.Compare(a.count, b.count) })
	t.ways[g] = append(t.ways[g], way{all[0], all[1:min(len(all), gramsFor(all[0].count))]})
}

// gram is listed for a run of digits that more than one form of a number may have.
func (t *term) gram(r *reading, class byte, gram string) (l listed, ok bool) {
	if class != phoneGram {
		return r.listed(class, gram)
	}
	if l, known := t.grams[gram]; known {
		return l, l.term != nil
	}
	if t.grams == nil {
		t.grams = make(map[string]listed, 16)
	}
	l, ok = r.listed(class, gram)
	t.grams[gram] = l
	return l, ok
}

// learnAddress finds the lists of a word of an e-mail address, which must stand in one as it is.
func (t *term) learnAddress(r *reading, g grade) {
	if g != elsewhere {
		return
	}
	t.way(g, r, mailWord, t.text)
	if t.open {
		t.begun(g, r, mailWord, 0)
	}
}

// source joins the lists of a term from one grade to another, nil where there are none. It tells how many records they
// have at most.
func (t *term) source(r *reading, from, to grade) (s source, count uint64) {
	n := 0
	for g := from; g <= to; g++ {
		n += len(t.ways[g])
	}
	if n == 0 {
		return nil, 0
	}
	sources := make([]source, 0, n)
	for g := from; g <= to; g++ {
		for i := range t.ways[g] {
			w := &t.ways[g][i]
			count += w.count
			if len(w.others) == 0 {
				sources = append(sources, r.list(w.listed))
				continue
			}
			all := []source{r.list(w.listed)}
			for _, l := range w.others {
				all = append(all, r.list(l))
			}
			sources = append(sources, r.all(all))
		}
	}
	return r.any(sources), count
}
