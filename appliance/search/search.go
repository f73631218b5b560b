// Package search finds customers by a few letters of any word, in three alphabets, and by any run of digits of a phone.
//
// record tells it in the record's own transaction what a record can be found by, so that a new customer is found with
// the next keystroke. It owns the buckets search.records (what a result shows, by the record's stamp: its place in time),
// search.stamps (the stamp of each record), search.terms and search.postings (under each word, two letters that begin one
// and four digits in a row the stamps of its records) and search.sounds (the words of the index by how they sound).
//
// It promises that what was written exactly so stands first, then what sounds so in any alphabet, what the same keys
// write in another keyboard layout, and what is one typing error away; among equals those heard of last, whom it finds
// however many others there are. A query costs what it finds: past a bound the answer is what was found until then.
// Nobody finds a record, or by a field, that he may not see.
//
// It will not search in messages, and it does not decide on rights: access does.
package search

import (
	"context"
	"sync"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/store"
)

// MaxLimit is the most results one query gives.
const MaxLimit = 50

// Span is a range of bytes of a text.
type Span struct{ From, To int }

// Hit is one result.
type Hit struct {
	Entity   string
	ID       [16]byte
	Title    string
	Subtitle string
	Matched  string // the phone, the e-mail or the hidden-away text that matched, where the title does not show it

	Marks, SubtitleMarks, MatchedMarks []Span // what of them was looked for, in order
}

// Check tells whether a record meets a condition of the filter language, for the actor of the context.
type Check func(ctx context.Context, tx store.Tx, entity string, id [16]byte, where string) bool

// Index finds records. It keeps no record in memory.
type Index struct {
	db    store.DB
	gate  *access.Gate
	names *names
	check Check
	spare sync.Pool // of *finding, whose memory is used again
}

// New makes the index of a store. Records that must meet a condition are found by nobody until Conditions is called.
func New(db store.DB, gate *access.Gate) *Index {
	return &Index{db: db, gate: gate, names: readNames()}
}

// Conditions says how it is told whether a record meets a role's condition. It is called while the appliance is put
// together, never later.
func (x *Index) Conditions(check Check) { x.check = check }

// Find gives at most limit records that match every word of the query, best first. A query of less than two letters or
// digits finds nothing. Only what the actor may see is found.
func (x *Index) Find(ctx context.Context, query string, limit int) ([]Hit, error) {
	_, refused := x.gate.Filter(ctx, "contact")
	if limit <= 0 || limit > MaxLimit {
		limit = 20
	}
	var hits []Hit
	err := x.db.View(ctx, func(tx store.Tx) error {
		f := x.begin(ctx, tx, limit)
		defer x.end(f)
		if !f.permit(x.gate) {
			return refused
		}
		f.run(query)
		if f.failed != nil {
			return f.failed
		}
		hits = f.hits(f.best())
		return f.failed
	})
	if err != nil {
		return nil, err
	}
	return hits, nil
}
