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
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
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
	Owners   []string // whose it is
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

// stored is what search.docs keeps of a Doc.
type stored struct {
	Owners   []string `json:"o,omitempty"`
	Title    string   `json:"t"`
	Subtitle string   `json:"s,omitempty"`
	Phones   []string `json:"p,omitempty"`
	Emails   []string `json:"e,omitempty"`
	Words    []string `json:"w"`
	Recent   int64    `json:"r,omitempty"`
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
	next := stored{Owners: doc.Owners, Title: doc.Title, Subtitle: doc.Subtitle, Phones: doc.Phones, Emails: doc.Emails,
		Words: wordsOf(doc)}
	if !doc.Recent.IsZero() {
		next.Recent = doc.Recent.UnixMilli()
	}
	raw, err := json.Marshal(next)
	if err != nil {
		return err
	}
	docs, key := tx.Bucket(docsBucket), docKey(doc.Entity, doc.ID)
	old := docs.Get(key)
	if bytes.Equal(old, raw) {
		return nil
	}
	before, err := decode(old)
	if err != nil {
		return err
	}
	swap(tx, doc.Entity, doc.ID, before, next)
	docs.Put(key, raw)
	return nil
}

// Delete makes a record unfindable.
func Delete(tx store.Tx, entity string, id [16]byte) error {
	docs, key := tx.Bucket(docsBucket), docKey(entity, id)
	before, err := decode(docs.Get(key))
	if err != nil {
		return err
	}
	swap(tx, entity, id, before, stored{})
	docs.Delete(key)
	return nil
}

func decode(raw []byte) (doc stored, err error) {
	if raw == nil {
		return doc, nil
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return doc, fault.Wrap(err, fault.Internal, "store.damaged", "what", docsBucket)
	}
	return doc, nil
}

// swap writes only the difference between two states of a record's keys.
func swap(tx store.Tx, entity string, id [16]byte, before, next stored) {
	old, fresh := keysOf(entity, id, before), keysOf(entity, id, next)
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
}

func keysOf(entity string, id [16]byte, doc stored) map[string]bool {
	keys := make(map[string]bool, len(doc.Words)*2)
	for _, word := range doc.Words {
		keys[string(wordKey("", word, entity, id))] = true
		for _, owner := range doc.Owners {
			if owner != "" {
				keys[string(wordKey(owner, word, entity, id))] = true
			}
		}
	}
	return keys
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
	var found []candidate
	err = x.db.View(ctx, func(tx store.Tx) (err error) {
		found, err = collect(tx, filter.Owner, terms)
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(found, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(b.doc.Recent, a.doc.Recent),
			strings.Compare(a.doc.Title, b.doc.Title), bytes.Compare(a.id[:], b.id[:]))
	})
	if limit <= 0 || limit > MaxLimit {
		limit = 20
	}
	hits := make([]Hit, 0, min(limit, len(found)))
	for _, c := range found[:min(limit, len(found))] {
		hits = append(hits, Hit{Entity: c.entity, ID: c.id, Title: c.doc.Title, Subtitle: c.doc.Subtitle, Matched: shown(c.doc, terms)})
	}
	return hits, nil
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
