package search

import (
	"math"

	"github.com/karov-crm/karov/appliance/store"
)

// What one query may cost, in units of about 35 nanoseconds: past it, what was found until then is the answer.
const (
	workMost  = 80_000
	workScan  = 30 // finding a place in a bucket
	workBlock = 12 // reading one block of stamps
	workDoc   = 50 // reading one doc and holding it against the query
)

// reading is one query's look at the index.
type reading struct {
	tx                       store.Tx
	terms, postings, records store.Bucket

	work, most int // what was spent, and how much may be
	failed     error

	// lists are taken from here, and their memory is used again by the next query.
	made []*list
	used int
}

// begin makes it a look at the index of a transaction.
func (r *reading) begin(tx store.Tx) {
	*r = reading{most: workMost, tx: tx, terms: tx.Bucket(termsBucket), postings: tx.Bucket(postingsBucket), records: tx.Bucket(recordsBucket), made: r.made}
}

// end lets go of what belongs to the transaction.
func (r *reading) end() {
	made := r.made[:min(len(r.made), keptLists)]
	clear(r.made[len(made):])
	for _, l := range made {
		l.rest(keptStamps)
	}
	*r = reading{made: made}
}

const (
	// keptLists is how many lists are kept for the next query, keptStamps how many stamps each has room for at most.
	keptLists  = 64
	keptStamps = 1024
)

// spend tells whether there is work left, and takes it.
func (r *reading) spend(work int) bool {
	if r.work >= r.most || r.failed != nil {
		return false
	}
	r.work += work
	return true
}

// A source yields stamps, the greatest first. It keeps no cursor of the store between calls.
type source interface {
	// seek gives the greatest stamp at or below most, 0 where there is none. most never grows from call to call.
	seek(most uint64) uint64
}

// listed is a term with its tail as it lies in the store.
type listed struct {
	term []byte
	tail
}

// listed finds a term, false where no record has it.
func (r *reading) listed(class byte, text string) (l listed, ok bool) {
	key := append(append(make([]byte, 0, len(text)+1), class), text...)
	if !r.spend(workScan) {
		return l, false
	}
	raw := r.terms.Get(key)
	if raw == nil {
		return l, false
	}
	return l, r.open(&l, key, raw)
}

func (r *reading) open(l *listed, key, raw []byte) bool {
	if err := l.decode(raw); err != nil {
		r.failed = err
		return false
	}
	l.term = key
	return true
}

// list is the source of one term: its tail, then its blocks from the newest.
type list struct {
	in    *reading
	of    listed
	ready bool
	now   []uint64 // ascending; those above what was asked are cut off
	below uint64   // blocks that begin at or below it were not read yet
	ahead []block  // read from the store and not yet unpacked, descending
	step  int      // how many blocks the next look at the store brings

	blocks   []block // where ahead lies
	from, to []byte  // keys of the store, for look
}

type block struct {
	base uint64
	raw  []byte
}

func (r *reading) list(of listed) *list {
	if r.used == len(r.made) {
		r.made = append(r.made, &list{})
	}
	l := r.made[r.used]
	r.used++
	*l = list{in: r, of: of, step: 1, now: l.now[:0], blocks: l.blocks[:0], from: l.from[:0], to: l.to[:0]}
	return l
}

// rest empties a list and keeps its memory, where that is not too much.
func (l *list) rest(most int) {
	clear(l.blocks[:cap(l.blocks)])
	if cap(l.now) > most {
		l.now = nil
	}
	*l = list{now: l.now[:0], blocks: l.blocks[:0], from: l.from[:0], to: l.to[:0]}
}

func (l *list) seek(most uint64) uint64 {
	if !l.ready {
		l.ready, l.below = true, l.of.mark
		l.unpack(l.of.mark, l.of.rest)
	}
	for {
		if n := within(l.now, most); n > 0 {
			l.now = l.now[:n]
			return l.now[n-1]
		}
		l.now = l.now[:0]
		if !l.load(min(most, l.below)) {
			return 0
		}
	}
}

// within is how many of ascending stamps are at or below most. What is looked for is near the end.
func within(stamps []uint64, most uint64) int {
	n := len(stamps)
	for step := 1; n > 0 && stamps[n-1] > most; step *= 2 {
		if n <= step {
			step = n
		}
		if stamps[n-step] > most {
			n -= step
			continue
		}
		low, high := n-step, n-1 // stamps[low] <= most < stamps[high]
		for low+1 < high {
			if mid := (low + high) / 2; stamps[mid] <= most {
				low = mid
			} else {
				high = mid
			}
		}
		return low + 1
	}
	return n
}

func (l *list) unpack(base uint64, raw []byte) {
	if !l.in.spend(workBlock) {
		return
	}
	now, err := stamps(l.now[:0], base, raw)
	if err != nil {
		l.in.failed = err
		return
	}
	l.now = now
}

// load unpacks the newest block that may hold a stamp at or below most.
func (l *list) load(most uint64) bool {
	if most == 0 || l.below == 0 || l.in.failed != nil || l.in.work >= l.in.most {
		return false
	}
	for len(l.ahead) > 0 && l.ahead[0].base > most {
		l.ahead = l.ahead[1:]
	}
	if len(l.ahead) == 0 && !l.look(most) {
		l.below = 0
		return false
	}
	b := l.ahead[0]
	l.ahead = l.ahead[1:]
	l.below = b.base - 1
	if b.base == 0 {
		l.below = 0
	}
	l.unpack(b.base, b.raw)
	return true
}

// look brings blocks from the store: one at first, more when it is asked again.
func (l *list) look(most uint64) bool {
	if !l.in.spend(workScan) {
		return false
	}
	l.blocks = l.blocks[:0]
	l.from, l.to = appendBlockKey(l.from[:0], l.of.term, 0), appendBlockKey(l.to[:0], l.of.term, most+1)
	for k, v := range l.in.postings.Scan(l.from, l.to, true) {
		l.blocks = append(l.blocks, block{stampAt(k[len(k)-stampSize:]), v})
		if len(l.blocks) == l.step {
			break
		}
	}
	l.ahead = l.blocks
	l.step = min(2*l.step, 32)
	return len(l.ahead) > 0
}

// every is the source of what all its sources have.
type every struct {
	in      *reading
	sources []source
	a, b    *list // the first two sources, where they are lists
}

// all joins sources by what all of them have, the rarest first; one stays as it is.
func (r *reading) all(sources []source) source {
	if len(sources) == 1 {
		return sources[0]
	}
	e := &every{in: r, sources: sources}
	if a, ok := sources[0].(*list); ok {
		if b, ok := sources[1].(*list); ok {
			e.a, e.b, e.sources = a, b, sources[2:]
		}
	}
	return e
}

func (e *every) seek(most uint64) uint64 {
	for {
		if e.a != nil {
			if most = meet(e.a, e.b, most); most == 0 {
				return 0
			}
		}
		agreed := true
		for _, s := range e.sources {
			at := s.seek(most)
			if at == 0 || !e.in.spend(1) {
				return 0
			}
			if at < most {
				most, agreed = at, false
				break
			}
		}
		if agreed {
			return most
		}
	}
}

// meet gives the greatest stamp at or below most that two lists have in common.
func meet(a, b *list, most uint64) uint64 {
	for {
		at := a.seek(most)
		if at == 0 {
			return 0
		}
		if most = b.seek(at); most == 0 {
			return 0
		}
		if most == at {
			return at
		}
		x, y := a.now, b.now
		i, j := len(x), len(y)
		for i > 0 && j > 0 && x[i-1] != y[j-1] {
			if x[i-1] > y[j-1] {
				i--
			} else {
				j--
			}
		}
		a.now, b.now = a.now[:i], b.now[:j]
		if i > 0 && j > 0 {
			return a.now[i-1]
		}
	}
}

// some is the source of what any of its sources has: a heap by the stamp each stands at.
type some struct {
	in    *reading
	heads heads
}

type heads []head

type head struct {
	at uint64
	source
}

// any joins sources by what any of them has; one stays as it is.
func (r *reading) any(sources []source) source {
	if len(sources) == 1 {
		return sources[0]
	}
	s := &some{r, make(heads, len(sources))}
	for i, one := range sources {
		s.heads[i] = head{math.MaxUint64, one}
	}
	return s
}

func (s *some) seek(most uint64) uint64 {
	h := s.heads
	for len(h) > 0 && h[0].at > most {
		if !s.in.spend(1) {
			return 0
		}
		if h[0].at = h[0].source.seek(most); h[0].at == 0 {
			h[0] = h[len(h)-1]
			h = h[:len(h)-1]
		}
		h.sink()
	}
	if s.heads = h; len(h) == 0 {
		return 0
	}
	return h[0].at
}

// sink takes the first head to its place.
func (s heads) sink() {
	for i := 0; ; {
		next := 2*i + 1
		if next >= len(s) {
			return
		}
		if next+1 < len(s) && s[next+1].at > s[next].at {
			next++
		}
		if s[i].at >= s[next].at {
			return
		}
		s[i], s[next] = s[next], s[i]
		i = next
	}
}
