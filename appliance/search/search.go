// Package search finds customers by a few letters of any word, and by any run of digits of a phone.
//
// record tells it in the record's own transaction what a record can be found by, so that a new customer is found with
// the next keystroke. It owns the buckets search.words (one key for each word or digits' tail of a record, once for all
// and once under its owner, so that somebody who sees only own customers never pays for the others) and search.docs
// (what a result shows, and the words again for the second and third word of a query).
//
// It promises that a query costs what it finds, not what there is: at most candidateLimit records are read for a query,
// those of its rarest word. Of a word that more records have, some are not found: a second word finds them.
// It will not search in messages, and it does not check rights by itself beyond the filter of access.
package search

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/store"
)

const (
	wordsBucket = "search.words"
	docsBucket  = "search.docs"

	// candidateLimit bounds how many records one query reads, and how many keys of each of its words.
	candidateLimit = 2000
	// enough is how few records a word finds when looking for a rarer one costs more than reading them.
	enough = 50
	// maxWords bounds what one record can be found by.
	maxWords = 200
	// maxWord is how many bytes of a word count.
	maxWord = 64
	// MaxLimit is the most results one query gives.
	MaxLimit = 50
)

// Doc is what a record can be found by, and what a result shows of it.
type Doc struct {
	Entity   string
	ID       [16]byte
	Principals   []string // whose it is
	Title    string
	Subtitle string
	Texts    []string  // each word of them finds the record
	Phones   []string  // each run of at least three digits finds it
	Emails   []string  // each part finds it, and the whole
	Recent   time.Time // when the customer was last heard of; the newer stands higher
}

// Hit is one result.
type Hit struct {
	Entity   string
	ID       [16]byte
	Title    string
	Subtitle string
	Matched  string // the field's word that matched, where the title does not show it: a phone, an e-mail
}

// Index finds records. It keeps nothing in memory.
type Index struct {
	db   store.DB
	gate *access.Gate
}

// New makes the index of a store.
func New(db store.DB, gate *access.Gate) *Index { return &Index{db: db, gate: gate} }

func docKey(entity string, id [16]byte) []byte {
	return append(append([]byte(entity), 0), id[:]...)
}

func wordKey(owner, word, entity string, id [16]byte) []byte {
	key := make([]byte, 0, len(owner)+len(word)+len(entity)+20)
	key = append(append(key, owner...), 0)
	key = append(append(key, word...), 0)
	key = append(append(key, entity...), 0)
	return append(key, id[:]...)
}

// Put makes a record findable as doc says, and no longer as it was before. Nothing is written when nothing changed.
func Put(tx store.Tx, doc Doc) error {
	raw, err := encode(doc)
	if err != nil {
		return err
	}
	docs, key := tx.Bucket(docsBucket), docKey(doc.Entity, doc.ID)
	old := docs.Get(key)
	if bytes.Equal(old, raw) {
		return nil
	}
	if err := swap(tx, doc.Entity, doc.ID, old, raw); err != nil {
		return err
	}
	docs.Put(key, raw)
	return nil
}

// Delete makes a record unfindable.
func Delete(tx store.Tx, entity string, id [16]byte) error {
	docs, key := tx.Bucket(docsBucket), docKey(entity, id)
	if err := swap(tx, entity, id, docs.Get(key), nil); err != nil {
		return err
	}
	docs.Delete(key)
	return nil
}

// swap writes only the difference between two states of a record's keys.
func swap(tx store.Tx, entity string, id [16]byte, before, next []byte) error {
	old, err := keysOf(entity, id, before)
	if err != nil {
		return err
	}
	fresh, err := keysOf(entity, id, next)
	if err != nil {
		return err
	}
	words := tx.Bucket(wordsBucket)
	for key := range old {
		if !fresh[key] {
			words.Delete([]byte(key))
		}
	}
	for key := range fresh {
		if !old[key] {
			words.Put([]byte(key), nil)
		}
	}
	return nil
}

func keysOf(entity string, id [16]byte, raw []byte) (map[string]bool, error) {
	doc, err := decode(raw)
	if err != nil {
		return nil, err
	}
	rest, err := doc.shown()
	if err != nil {
		return nil, err
	}
	keys := map[string]bool{}
	for word := range strings.SplitSeq(strings.Trim(string(doc.words), "\x00"), "\x00") {
		if word == "" {
			continue
		}
		keys[string(wordKey("", word, entity, id))] = true
		for _, owner := range rest.Principals {
			if owner != "" {
				keys[string(wordKey(owner, word, entity, id))] = true
			}
		}
	}
	return keys, nil
}

// cutWord is as much of a word as counts.
func cutWord(word string) string {
	if len(word) <= maxWord {
		return word
	}
	return strings.ToValidUTF8(word[:maxWord], "")
}

// wordsOf lists the folded words, e-mail parts and digits' tails a record is found by.
func wordsOf(doc Doc) []string {
	var words []string
	add := func(word string) {
		if word = cutWord(word); word != "" {
			words = append(words, word)
		}
	}
	for _, text := range doc.Texts {
		for _, word := range Words(text) {
			add(word)
		}
	}
	for _, mail := range doc.Emails {
		add(strings.ToLower(mail))
		for _, part := range Words(mail) {
			add(part)
		}
	}
	for _, phone := range doc.Phones {
		digits := Digits(phone)
		for i := 0; i+3 <= len(digits); i++ {
			add("#" + digits[i:])
		}
	}
	slices.Sort(words)
	words = slices.Compact(words)
	return words[:min(len(words), maxWords)]
}

// candidate is a record that some word of the query found.
type candidate struct {
	entity string
	id     [16]byte
	doc    stored
	score  int
}

// Find gives at most limit records that match every word of the query, best first: whole words before beginnings, then
// those heard of last. A query of less than two letters or digits finds nothing. Only what the actor may see is found.
func (x *Index) Find(ctx context.Context, query string, limit int) ([]Hit, error) {
	filter, err := x.gate.Filter(ctx, "contact")
	if err != nil {
		return nil, err
	}
	terms := parse(query)
	if len(terms) == 0 {
		return nil, nil
	}
	if limit <= 0 || limit > MaxLimit {
		limit = 20
	}
	var hits []Hit
	err = x.db.View(ctx, func(tx store.Tx) error {
		whose := filter.Principals
		if filter.All {
			whose = []string{""}
		}
		var found []candidate
		seen := map[[16]byte]bool{}
		for _, principal := range whose {
			some, err := collect(tx, principal, terms)
			if err != nil {
				return err
			}
			for _, c := range some {
				if !seen[c.id] {
					seen[c.id] = true
					found = append(found, c)
				}
			}
		}
		slices.SortFunc(found, func(a, b candidate) int {
			return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(b.doc.recent, a.doc.recent),
				bytes.Compare(a.doc.title, b.doc.title), bytes.Compare(a.id[:], b.id[:]))
		})
		hits = make([]Hit, 0, min(limit, len(found)))
		for _, c := range found[:min(limit, len(found))] {
			rest, err := c.doc.shown()
			if err != nil {
				return err
			}
			hits = append(hits, Hit{Entity: c.entity, ID: c.id, Title: string(c.doc.title), Subtitle: rest.Subtitle,
				Matched: matched(string(c.doc.title), rest, terms)})
		}
		return nil
	})
	return hits, err
}

// collect reads the records that the rarest term finds and keeps those that match the other terms too.
func collect(tx store.Tx, owner string, terms []term) ([]candidate, error) {
	words, docs := tx.Bucket(wordsBucket), tx.Bucket(docsBucket)
	var rarest [][]byte
	for i, t := range terms {
		if keys := docKeys(words, owner, t); i == 0 || len(keys) < len(rarest) {
			rarest = keys
		}
		if len(rarest) <= enough {
			break
		}
	}
	var found []candidate
	for _, key := range rarest {
		doc, err := decode(docs.Get(key))
		if err != nil {
			return nil, err
		}
		score, ok := match(doc, terms)
		if !ok {
			continue
		}
		c := candidate{entity: string(key[:len(key)-17]), doc: doc, score: score}
		copy(c.id[:], key[len(key)-16:])
		found = append(found, c)
	}
	return found, nil
}

// docKeys lists the keys in search.docs of the records that a term finds, each once, at most candidateLimit of them.
func docKeys(words store.Bucket, owner string, t term) (keys [][]byte) {
	seen := map[string]bool{}
	for _, spelling := range t.spellings {
		prefix := append(append([]byte(owner), 0), spelling...)
		for key := range words.Scan(prefix, store.PrefixEnd(prefix), false) {
			tail := key[len(owner)+1:]
			tail = tail[bytes.IndexByte(tail, 0)+1:]
			if seen[string(tail)] {
				continue
			}
			if len(keys) == candidateLimit {
				return keys
			}
			seen[string(tail)] = true
			keys = append(keys, tail)
		}
	}
	return keys
}
