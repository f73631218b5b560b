package search

import (
	"bytes"
	"maps"
	"math"
	"slices"

	"github.com/karov-crm/karov/appliance/store"
)

const (
	recordsBucket  = "search.records"
	stampsBucket   = "search.stamps"
	termsBucket    = "search.terms"
	postingsBucket = "search.postings"
	soundsBucket   = "search.sounds"
)

// Buckets lists the buckets that the package owns. All of them can be made again from the records.
func Buckets() []string {
	return []string{postingsBucket, recordsBucket, soundsBucket, stampsBucket, termsBucket}
}

// oldBuckets are those of stores before format 2.
var oldBuckets = [...]string{"search.docs", "search.words"}

// Drop deletes at most limit keys of what the package and its older forms keep, and tells whether there are more. A
// store from which all is dropped finds nothing until each record is Put again.
func Drop(tx store.Tx, limit int) (more bool) {
	for _, name := range append(Buckets(), oldBuckets[:]...) {
		bucket := tx.Bucket(name)
		var keys [][]byte
		for key := range bucket.Scan(nil, nil, false) {
			if len(keys) == limit {
				more = true
				break
			}
			keys = append(keys, bytes.Clone(key))
		}
		for _, key := range keys {
			bucket.Delete(key)
		}
		if limit -= len(keys); more {
			return true
		}
	}
	return false
}

// A record's stamp is its place in every list: the second in which its customer was last heard of when it was given,
// and a number that makes it its own. So the greatest stamps are those heard of last, and stamps given one after the
// other lie together in the store.
const (
	stampEpoch = 1_577_836_800 // the first second of 2020, UTC
	perSecond  = 16            // bits of the number within a second
	maxStamp   = 1<<(8*stampSize) - 1

	// restamp is after how many seconds a customer who is heard of again gets a new stamp. Until then he stands in the
	// list of those who moved.
	restamp = 24 * 60 * 60
	// backwards is by how many seconds a customer's last moment may go back before he gets one.
	backwards = 60 * 60
)

func second(millis int64) uint64 {
	return uint64(min(max(millis/1000-stampEpoch, 0), math.MaxUint32))
}

func stampOf(raw []byte) uint64 {
	if len(raw) != stampSize {
		return 0
	}
	return stampAt(raw)
}

func docKey(entity string, id [16]byte) []byte {
	return append(append(append(make([]byte, 0, len(entity)+17), entity...), 0), id[:]...)
}

// writer writes docs within a transaction. What bulk collects is written by flush.
type writer struct {
	records, stamps, sounds store.Bucket
	lists

	// Of PutAll: what is to be written, and the docs whose it is.
	bulk    map[string]*[]uint64
	pending map[string]bool

	second, last uint64 // the stamp that was given last
}

func writerOf(tx store.Tx) *writer {
	return &writer{records: tx.Bucket(recordsBucket), stamps: tx.Bucket(stampsBucket), sounds: tx.Bucket(soundsBucket), lists: listsOf(tx)}
}

// Put makes a record findable as doc says, and no longer as it was before. Nothing is written when nothing changed.
func Put(tx store.Tx, doc Doc) error { return writerOf(tx).put(doc) }

// PutAll is Put for many records: it costs less for each, the more there are. Nothing is found by halves: it is written
// when PutAll returns, not before.
func PutAll(tx store.Tx, docs []Doc) error {
	w := writerOf(tx)
	w.pending, w.bulk = make(map[string]bool, len(docs)), map[string]*[]uint64{}
	for _, doc := range docs {
		if err := w.put(doc); err != nil {
			return err
		}
	}
	return w.flush()
}

// Delete makes a record unfindable.
func Delete(tx store.Tx, entity string, id [16]byte) error {
	w := writerOf(tx)
	key := docKey(entity, id)
	stamp, before, err := w.before(key)
	if err != nil || stamp == 0 {
		return err
	}
	for _, term := range withMoved(termsOf(before), before, stamp) {
		if err := w.takeAway(term, stamp); err != nil {
			return err
		}
	}
	w.records.Delete(appendStamp(nil, stamp))
	w.stamps.Delete(key)
	return nil
}

// before reads a record's doc as it is, stamp 0 where there is none.
func (w *writer) before(key []byte) (stamp uint64, d *stored, err error) {
	raw := w.stamps.Get(key)
	if raw == nil {
		return 0, nil, nil
	}
	if stamp = stampOf(raw); stamp == 0 {
		return 0, nil, damaged(stampsBucket)
	}
	d = &stored{}
	return stamp, d, d.decode(w.records.Get(appendStamp(nil, stamp)))
}

// hasMoved tells whether a doc was heard of since it got its stamp.
func hasMoved(d *stored, stamp uint64) bool { return second(d.recent) > stamp>>perSecond }

func withMoved(list [][]byte, d *stored, stamp uint64) [][]byte {
	if hasMoved(d, stamp) {
		return append(list, []byte{moved})
	}
	return list
}

func (w *writer) put(doc Doc) error {
	key := docKey(doc.Entity, doc.ID)
	if w.pending[string(key)] {
		if err := w.flush(); err != nil {
			return err
		}
	}
	old, before, err := w.before(key)
	if err != nil {
		return err
	}
	raw := encode(doc)
	stamp, was := old, [][]byte(nil)
	if old == 0 || far(second(millis(doc.Recent)), old>>perSecond) {
		stamp = w.newStamp(second(millis(doc.Recent)))
	} else if bytes.Equal(raw, w.records.Get(appendStamp(nil, old))) {
		return nil
	}
	if before != nil {
		was = withMoved(termsOf(before), before, old)
	}
	after := &stored{}
	if err := after.decode(raw); err != nil {
		return err
	}
	next := withMoved(termsOf(after), after, stamp)
	if err := w.swap(was, old, next, stamp); err != nil {
		return err
	}
	if old != stamp {
		if old != 0 {
			w.records.Delete(appendStamp(nil, old))
		}
		w.stamps.Put(key, appendStamp(nil, stamp))
	}
	w.records.Put(appendStamp(nil, stamp), raw)
	if w.pending != nil {
		w.pending[string(key)] = true
	}
	return nil
}

// far tells whether a customer last heard of at now stands too far from his place.
func far(now, place uint64) bool { return now >= place+restamp || now+backwards < place }

// newStamp finds a free stamp at a second, or, where a second is full, soon after.
func (w *writer) newStamp(at uint64) uint64 {
	if at == w.second && w.last > 0 && w.last+1 < (at+1)<<perSecond {
		w.last++
		return w.last
	}
	w.second = at
	w.last = w.freeStamp(at)
	return w.last
}

func (w *writer) freeStamp(at uint64) uint64 {
	for step := uint64(1); ; step *= 2 {
		first := at<<perSecond + 1
		last := uint64(0)
		for key := range w.records.Scan(appendStamp(nil, first), appendStamp(nil, (at+1)<<perSecond), true) {
			last = stampOf(key)
			break
		}
		if last == 0 {
			return first
		}
		if last+1 < (at+1)<<perSecond {
			return last + 1
		}
		at = min(at+step, math.MaxUint32-1)
	}
}

// swap writes the difference between two states of a record's terms.
func (w *writer) swap(was [][]byte, old uint64, next [][]byte, stamp uint64) error {
	for _, term := range was {
		if old != stamp || !contains(next, term) {
			if err := w.takeAway(term, old); err != nil {
				return err
			}
		}
	}
	for _, term := range next {
		if old == stamp && contains(was, term) {
			continue
		}
		if w.pending != nil {
			w.later(term, stamp)
			continue
		}
		if err := w.list(term, stamp); err != nil {
			return err
		}
	}
	return nil
}

func contains(list [][]byte, term []byte) bool {
	return slices.ContainsFunc(list, func(other []byte) bool { return bytes.Equal(other, term) })
}

// later keeps a stamp until flush writes it.
func (w *writer) later(term []byte, stamp uint64) {
	if all := w.bulk[string(term)]; all != nil {
		*all = append(*all, stamp)
		return
	}
	w.bulk[string(term)] = &[]uint64{stamp}
}

// flush writes what was collected, each term once.
func (w *writer) flush() error {
	for _, term := range slices.Sorted(maps.Keys(w.bulk)) {
		fresh := *w.bulk[term]
		slices.Sort(fresh)
		if err := w.list([]byte(term), fresh...); err != nil {
			return err
		}
	}
	clear(w.bulk)
	clear(w.pending)
	return nil
}

// list writes stamps under a term, and how it sounds when it is new.
func (w *writer) list(term []byte, stamps ...uint64) error {
	isNew, err := w.add(term, stamps...)
	if err != nil || !isNew || term[0] != nameWord && term[0] != textWord {
		return err
	}
	for _, sound := range soundsOf(string(term[1:])) {
		w.sounds.Put(soundKey(sound, term), nil)
	}
	return nil
}

func (w *writer) takeAway(term []byte, stamp uint64) error {
	gone, err := w.remove(term, stamp)
	if err != nil || !gone || term[0] != nameWord && term[0] != textWord {
		return err
	}
	for _, sound := range soundsOf(string(term[1:])) {
		w.sounds.Delete(soundKey(sound, term))
	}
	return nil
}

// soundKey is a sound, a NUL and the term that sounds so.
func soundKey(sound string, term []byte) []byte {
	return append(append(append(make([]byte, 0, len(sound)+1+len(term)), sound...), 0), term...)
}
