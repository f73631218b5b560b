package search

import (
	"encoding/binary"
	"slices"

	"github.com/karov-crm/karov/appliance/store"
)

// Under each term stand the stamps of its records. The newest are in the term's tail, in search.terms, where a new one
// costs a few bytes at the end of one value; when a tail has grown long it becomes a block in search.postings. So what
// is written often lies together, however many records there are, and what is read first, the newest, is read first.

// tailMost is how many bytes of stamps a tail holds before it becomes a block, and blockMost those of a block.
const (
	tailMost  = 192
	blockMost = 512
)

// tail is the value of a term in search.terms.
type tail struct {
	count uint64 // records that have the term
	mark  uint64 // no stamp in a block is above it, every stamp in the tail is
	last  uint64 // the greatest stamp of the tail, its mark when it has none
	rest  []byte // the stamps, ascending, each as its distance to the one before it, the first to mark
}

func (t *tail) decode(raw []byte) error {
	*t = tail{}
	if raw == nil {
		return nil
	}
	r := reader{rest: raw}
	t.count, t.mark = r.number(), r.number()
	t.last = t.mark + r.number()
	if t.rest = r.rest; r.failed {
		return damaged(termsBucket)
	}
	return nil
}

// encode gives the stored form of the tail with stamps, which are all above its last, behind its own.
func (t *tail) encode(more ...uint64) []byte {
	last := t.last
	if len(more) > 0 {
		last = more[len(more)-1]
	}
	b := make([]byte, 0, 24+len(t.rest)+7*len(more))
	b = binary.AppendUvarint(binary.AppendUvarint(b, t.count+uint64(len(more))), t.mark)
	b = append(binary.AppendUvarint(b, last-t.mark), t.rest...)
	return appendDistances(b, t.last, more)
}

// set makes stamps the tail's.
func (t *tail) set(all []uint64) {
	t.rest, t.last = appendDistances(nil, t.mark, all), t.mark
	if len(all) > 0 {
		t.last = all[len(all)-1]
	}
}

// stamps appends stamps written as distances, the first to base.
func stamps(to []uint64, base uint64, raw []byte) ([]uint64, error) {
	to = slices.Grow(to, len(raw))
	n := len(to)
	to = to[:n+len(raw)] // as many as there can be
	for i := 0; i < len(raw); {
		distance := uint64(raw[i])
		switch {
		case distance < 0x80:
			i++
		case i+1 < len(raw) && raw[i+1] < 0x80: // most are of two bytes
			distance = distance&0x7f | uint64(raw[i+1])<<7
			i += 2
		default:
			var used int
			if distance, used = binary.Uvarint(raw[i:]); used <= 0 {
				return nil, damaged(postingsBucket)
			}
			i += used
		}
		base += distance
		to[n] = base
		n++
	}
	return to[:n], nil
}

func appendDistances(b []byte, base uint64, stamps []uint64) []byte {
	for _, s := range stamps {
		b = binary.AppendUvarint(b, s-base)
		base = s
	}
	return b
}

// stampSize is how many bytes of a stamp stand in a key.
const stampSize = 6

func appendStamp(b []byte, stamp uint64) []byte {
	return append(b, byte(stamp>>40), byte(stamp>>32), byte(stamp>>24), byte(stamp>>16), byte(stamp>>8), byte(stamp))
}

func stampAt(b []byte) (stamp uint64) {
	for _, c := range b {
		stamp = stamp<<8 | uint64(c)
	}
	return stamp
}

// blockKey is a term, a NUL and a stamp that is not above any in the block.
func blockKey(term []byte, base uint64) []byte {
	return appendBlockKey(make([]byte, 0, len(term)+1+stampSize), term, base)
}

func appendBlockKey(key, term []byte, base uint64) []byte {
	return appendStamp(append(append(key, term...), 0), base)
}

// lists writes stamps under terms.
type lists struct {
	terms, postings store.Bucket
}

func listsOf(tx store.Tx) lists {
	return lists{terms: tx.Bucket(termsBucket), postings: tx.Bucket(postingsBucket)}
}

// add writes stamps, ascending, under a term. It tells whether the term is new.
func (l lists) add(term []byte, fresh ...uint64) (isNew bool, err error) {
	raw := l.terms.Get(term)
	var t tail
	if err := t.decode(raw); err != nil {
		return false, err
	}
	for len(fresh) > 0 && fresh[0] <= t.mark {
		added, err := l.insert(term, fresh[0])
		if err != nil {
			return false, err
		}
		if added {
			t.count++
		}
		fresh = fresh[1:]
	}
	if len(fresh) == 0 || fresh[0] > t.last {
		if len(t.rest)+2*len(fresh) <= tailMost {
			l.terms.Put(term, t.encode(fresh...))
			return raw == nil, nil
		}
	}
	all, err := stamps(make([]uint64, 0, len(t.rest)+len(fresh)), t.mark, t.rest)
	if err != nil {
		return false, err
	}
	before := len(all)
	all = append(all, fresh...)
	slices.Sort(all)
	all = slices.Compact(all)
	t.count += uint64(len(all) - before)
	if t.set(all); len(t.rest) > tailMost {
		l.write(term, all)
		t.mark, t.rest = t.last, nil
	}
	l.terms.Put(term, t.encode())
	return raw == nil, nil
}

// write stores stamps as new blocks.
func (l lists) write(term []byte, all []uint64) {
	for len(all) > 0 {
		n, size, base := 0, 0, all[0]
		var buffer [binary.MaxVarintLen64]byte
		for previous := base; n < len(all) && size < tailMost; n++ {
			size += binary.PutUvarint(buffer[:], all[n]-previous)
			previous = all[n]
		}
		if rest := len(all) - n; rest > 0 && rest < n/4 {
			n = len(all) // no crumb of a block
		}
		l.postings.Put(blockKey(term, base), appendDistances(make([]byte, 0, size+64), base, all[:n]))
		all = all[n:]
	}
}

// block finds the block in which a stamp stands or would.
func (l lists) block(term []byte, stamp uint64) (key []byte, all []uint64, err error) {
	found := func(reverse bool, from, to []byte) bool {
		for k, v := range l.postings.Scan(from, to, reverse) {
			key = append([]byte(nil), k...)
			all, err = stamps(make([]uint64, 0, len(v)+1), stampAt(k[len(k)-stampSize:]), v)
			return true
		}
		return false
	}
	first, end := blockKey(term, 0), blockKey(term, stamp+1)
	if !found(true, first, end) {
		found(false, first, append(append([]byte(nil), term...), 1))
	}
	return key, all, err
}

// insert adds a stamp to the blocks. It tells whether it was not there.
func (l lists) insert(term []byte, stamp uint64) (added bool, err error) {
	key, all, err := l.block(term, stamp)
	if err != nil {
		return false, err
	}
	at, there := slices.BinarySearch(all, stamp)
	if there {
		return false, nil
	}
	all = slices.Insert(all, at, stamp)
	if key != nil {
		if base := stampAt(key[len(key)-stampSize:]); stamp >= base {
			if raw := appendDistances(nil, base, all); len(raw) <= blockMost {
				l.postings.Put(key, raw)
				return true, nil
			}
		}
		l.postings.Delete(key)
	}
	l.write(term, all)
	return true, nil
}

// remove takes a stamp from under a term. It tells whether the term has no more records and is gone.
func (l lists) remove(term []byte, stamp uint64) (gone bool, err error) {
	raw := l.terms.Get(term)
	if raw == nil {
		return false, nil
	}
	var t tail
	if err := t.decode(raw); err != nil {
		return false, err
	}
	removed := false
	if stamp > t.mark {
		all, err := stamps(nil, t.mark, t.rest)
		if err != nil {
			return false, err
		}
		var at int
		if at, removed = slices.BinarySearch(all, stamp); removed {
			t.set(slices.Delete(all, at, at+1))
		}
	} else if removed, err = l.takeOut(term, stamp); err != nil {
		return false, err
	}
	if !removed {
		return false, nil
	}
	if t.count--; t.count == 0 {
		l.terms.Delete(term)
		return true, nil
	}
	l.terms.Put(term, t.encode())
	return false, nil
}

// takeOut removes a stamp from the blocks.
func (l lists) takeOut(term []byte, stamp uint64) (removed bool, err error) {
	key, all, err := l.block(term, stamp)
	if err != nil || key == nil {
		return false, err
	}
	at, there := slices.BinarySearch(all, stamp)
	if !there {
		return false, nil
	}
	if all = slices.Delete(all, at, at+1); len(all) == 0 {
		l.postings.Delete(key)
		return true, nil
	}
	l.postings.Put(key, appendDistances(nil, stampAt(key[len(key)-stampSize:]), all))
	return true, nil
}
