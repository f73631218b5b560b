package search

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/store"
)

// model answers as Find promises for what is written exactly so, by looking at every doc.
type model map[[16]byte]Doc

// grade is how well a doc meets one word or number of a query, by the words of the promise.
func (m model) grade(doc Doc, term string) grade {
	best := unmet
	digits := strings.Trim(term, "0123456789") == ""
	for _, p := range doc.Parts {
		switch {
		case digits && p.Kind == Phone:
			if strings.Contains(Digits(p.Text), term) {
				best = min(best, wholeName)
			}
			continue
		case p.Kind == Phone:
			continue
		}
		for _, word := range Words(p.Text) {
			switch {
			case digits && strings.Contains(word, term):
				best = min(best, elsewhere)
			case digits || !strings.HasPrefix(word, term):
			case p.Kind == Email && word != term && utf8.RuneCountInString(term) == 1: // one letter begins no part of an address
			case p.Kind == Name && word == term:
				best = min(best, wholeName)
			case p.Kind == Name:
				best = min(best, beginsName)
			default:
				best = min(best, elsewhere)
			}
		}
	}
	return best
}

func (m model) find(terms []string, principals []string) (ids [][16]byte) {
	type met struct {
		id     [16]byte
		grade  grade
		recent time.Time
	}
	var all []met
	for id, doc := range m {
		if principals != nil && !slices.ContainsFunc(doc.Principals, func(p string) bool { return slices.Contains(principals, p) }) {
			continue
		}
		worst := wholeName
		for _, term := range terms {
			worst = max(worst, m.grade(doc, term))
		}
		if worst < unmet {
			all = append(all, met{id, worst, doc.Recent})
		}
	}
	slices.SortFunc(all, func(a, b met) int { return cmp.Or(cmp.Compare(a.grade, b.grade), b.recent.Compare(a.recent)) })
	for _, one := range all {
		ids = append(ids, one.id)
	}
	return ids
}

// chance makes docs and queries of a few letters and digits, so that they often meet.
type chance struct {
	*rand.Rand
	clock time.Time
}

func (c *chance) word() string {
	alphabet := []rune([]string{"abכהו", "аблкм", "דנהשר"}[c.IntN(3)])
	letters := make([]rune, 1+c.IntN(5))
	for i := range letters {
		letters[i] = alphabet[c.IntN(len(alphabet))]
	}
	return string(letters)
}

func (c *chance) digits(most int) string {
	b := make([]byte, 3+c.IntN(most-2))
	for i := range b {
		b[i] = "123"[c.IntN(3)]
	}
	return string(b)
}

func (c *chance) doc(id [16]byte) Doc {
	c.clock = c.clock.Add(time.Duration(1+c.IntN(40_000)) * time.Second) // no two alike, so that the order is sure
	doc := Doc{Entity: "contact", ID: id, Title: c.word() + " " + c.word(), Recent: c.clock, Principals: []string{fmt.Sprint("p", c.IntN(3))}}
	doc.Parts = []Part{{"name", Name, doc.Title, false}}
	if c.IntN(2) == 0 {
		doc.Parts = append(doc.Parts, text("company", c.word()+"-"+c.digits(5)))
	}
	if c.IntN(2) == 0 {
		doc.Parts = append(doc.Parts, phone(c.digits(9)), email(c.word()+"@"+c.word()+".il"))
	}
	return doc
}

func TestAgainstModel(t *testing.T) {
	o := open(t)
	c := &chance{rand.New(rand.NewPCG(3, 4)), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	m := model{}
	for round := range 40 {
		must(t, o.db.Update(t.Context(), func(tx store.Tx) error { return c.change(tx, m, round%3 == 0) }))
		for range 60 {
			terms := make([]string, 1+c.IntN(2))
			for i := range terms {
				if terms[i] = c.word(); c.IntN(3) == 0 {
					terms[i] = c.digits(6)
				}
			}
			slices.Sort(terms)
			terms = slices.Compact(terms)
			o.compare(m, terms, access.Owner, "o", nil)
			o.compare(m, terms, access.Agent, "p1", []string{"p1"})
		}
	}
}

// change writes some new docs, some old ones again and deletes some.
func (c *chance) change(tx store.Tx, m model, all bool) error {
	var docs []Doc
	for range 1 + c.IntN(30) {
		id := [16]byte{14: byte(c.IntN(2)), 15: byte(c.IntN(256))}
		if _, there := m[id]; there && c.IntN(3) == 0 {
			delete(m, id)
			docs = slices.DeleteFunc(docs, func(d Doc) bool { return d.ID == id })
			if err := Delete(tx, "contact", id); err != nil {
				return err
			}
			continue
		}
		doc := c.doc(id)
		m[id] = doc
		if all {
			docs = append(docs, doc)
			continue
		}
		if err := Put(tx, doc); err != nil {
			return err
		}
	}
	return PutAll(tx, docs)
}

// compare asks both. Only what is written exactly so is promised an order; the model knows nothing of what comes after.
func (o *office) compare(m model, terms []string, role access.Role, id string, principals []string) {
	o.t.Helper()
	query := strings.Join(terms, " ")
	if strings.Trim(query, "0123456789 ") == "" && len(terms) > 1 || len([]rune(query)) < 2 {
		return // two numbers side by side may be one
	}
	want := m.find(terms, principals)
	limit := MaxLimit
	hits, err := o.Find(as(o.t, role, id), query, limit)
	must(o.t, err)
	for i := range min(len(want), limit) {
		if i >= len(hits) || hits[i].ID != want[i] {
			o.t.Fatalf("%s %q: place %d of %d is not %+v; found: %+v", role, query, i, len(want), m[want[i]], hits)
		}
	}
	for _, h := range hits {
		if principals != nil && !slices.Contains(m[h.ID].Principals, id) {
			o.t.Fatalf("%s %q finds another's %q", role, query, h.Title)
		}
	}
}
