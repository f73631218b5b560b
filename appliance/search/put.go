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

	// Of Bulk: what is to be written, and the docs whose it is.
	bulk    map[string]*[]uint64
	pending map[string]bool
	given   map[uint64]uint64 // by its second, the last stamp that was given and may not be written yet

	second, last uint64 // the stamp that was given last
}

func writerOf(tx store.Tx) *writer {
	return &writer{records: tx.Bucket(recordsBucket), stamps: tx.Bucket(stampsBucket), sounds: tx.Bucket(soundsBucket), lists: listsOf(tx)}
}

// Put makes a record findable as doc says, and no longer as it was before. Nothing is written when nothing changed.
func Put(tx store.Tx, doc Doc) error { return writerOf(tx).put(doc) }

// Delete makes a record unfindable.
func Delete(tx store.Tx, entity string, id [16]byte) error {
	w := writerOf(tx)
	key := docKey(entity, id)
	was, err := w.before(key)
	if err != nil || was.stamp == 0 {
		return err
	}
	if err := w.swap(was, state{}); err != nil {
		return err
	}
	w.records.Delete(appendStamp(nil, was.stamp))
	w.stamps.Delete(key)
	return nil
}

// state is a record as it stands in the index, stamp 0 where it does not.
type state struct {
	stamp uint64
	doc   stored
	raw   []byte
}

// moved tells whether the customer was heard of since the record got its stamp.
func (s *state) moved() bool { return s.stamp != 0 && second(s.doc.recent) > s.stamp>>perSecond }

// before reads a record as it is.
func (w *writer) before(key []byte) (s state, err error) {
	raw := w.stamps.Get(key)
	if raw == nil {
		return s, nil
	}
	if s.stamp = stampOf(raw); s.stamp == 0 {
		return s, damaged(stampsBucket)
	}
	s.raw = w.records.Get(appendStamp(nil, s.stamp))
	return s, s.doc.decode(s.raw)
}

func (w *writer) put(doc Doc) error {
	key := docKey(doc.Entity, doc.ID)
	was, err := w.before(key)
	if err != nil {
		return err
	}
	return w.change(key, was, doc)
}

// change writes a record that stood so.
func (w *writer) change(key []byte, was state, doc Doc) error {
	is := state{stamp: was.stamp, raw: encode(doc)}
	if err := is.doc.decode(is.raw); err != nil {
		return err
	}
	if at := second(is.doc.recent); was.stamp == 0 || far(at, was.stamp>>perSecond) {
		is.stamp = w.newStamp(at)
	} else if bytes.Equal(is.raw, was.raw) {
		return nil
	}
	if err := w.swap(was, is); err != nil {
		return err
	}
	if was.stamp != is.stamp {
		if was.stamp != 0 {
			w.records.Delete(appendStamp(nil, was.stamp))
		}
		w.stamps.Put(key, appendStamp(nil, is.stamp))
	}
	w.records.Put(appendStamp(nil, is.stamp), is.raw)
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

// giveStamp is newStamp for records that are written later.
func (w *writer) giveStamp(at uint64) uint64 {
	stamp := w.newStamp(at)
	w.given[stamp>>perSecond] = stamp
	return stamp
}

func (w *writer) freeStamp(at uint64) uint64 {
	for step := uint64(1); ; step *= 2 {
		first := at<<perSecond + 1
		last := w.given[at]
		for key := range w.records.Scan(appendStamp(nil, first), appendStamp(nil, (at+1)<<perSecond), true) {
			last = max(last, stampOf(key))
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

// swap writes the difference between two states of a record's lists.
func (w *writer) swap(was, is state) error {
	if was.moved() && !(is.moved() && is.stamp == was.stamp) {
		if err := w.takeAway([]byte{moved}, was.stamp); err != nil {
			return err
		}
	}
	if is.moved() && !(was.moved() && is.stamp == was.stamp) {
		if err := w.enter([]byte{moved}, is.stamp); err != nil {
			return err
		}
	}
	if is.stamp == was.stamp && sameTerms(was.raw, is.raw) {
		return nil
	}
	var old, fresh [][]byte
	if was.stamp != 0 {
		old = termsOf(&was.doc)
	}
	if is.stamp != 0 {
		fresh = termsOf(&is.doc)
	}
	for _, term := range old {
		if is.stamp != was.stamp || !contains(fresh, term) {
			if err := w.takeAway(term, was.stamp); err != nil {
				return err
			}
		}
	}
	for _, term := range fresh {
		if is.stamp != was.stamp || !contains(old, term) {
			if err := w.enter(term, is.stamp); err != nil {
				return err
			}
		}
	}
	return nil
}

// contains tells whether a term is in a sorted list.
func contains(list [][]byte, term []byte) bool {
	_, ok := slices.BinarySearchFunc(list, term, bytes.Compare)
	return ok
}

// enter writes a stamp under a term, at once or with all others.
func (w *writer) enter(term []byte, stamp uint64) error {
	if w.pending == nil {
		return w.list(term, stamp)
	}
	w.later(term, stamp)
	return nil
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
