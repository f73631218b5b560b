package search

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

// TestListsAgainstSets adds and removes stamps at random, in order and out of it, and holds every way of reading them
// against plain sets.
func TestListsAgainstSets(t *testing.T) {
	o := open(t)
	d := rand.New(rand.NewPCG(1, 2))
	names := []string{"na", "nab", "nb", "Nb", "g1234"}
	sets := map[string]map[uint64]bool{}
	for _, name := range names {
		sets[name] = map[uint64]bool{}
	}
	for round := range 60 {
		must(t, o.db.Update(t.Context(), func(tx store.Tx) error { return churn(d, listsOf(tx), names, sets, round) }))
		must(t, o.db.View(t.Context(), func(tx store.Tx) error {
			for _, name := range names {
				if err := sameAsSet(readingOf(tx), name, sets[name]); err != nil {
					return fmt.Errorf("round %d: %w", round, err)
				}
			}
			return sameTogether(d, readingOf(tx), names, sets)
		}))
	}
	must(t, o.db.Update(t.Context(), func(tx store.Tx) error {
		for _, name := range names {
			for stamp := range sets[name] {
				if _, err := listsOf(tx).remove([]byte(name), stamp); err != nil {
					return err
				}
			}
		}
		return nil
	}))
	must(t, o.db.View(t.Context(), func(tx store.Tx) error {
		if left := tx.Buckets(); len(left) > 0 {
			return fmt.Errorf("left: %q", left)
		}
		return nil
	}))
}

// churn changes each list a little.
func churn(d *rand.Rand, l lists, names []string, sets map[string]map[uint64]bool, round int) error {
	for _, name := range names {
		set := sets[name]
		var fresh []uint64
		for range d.IntN(150) {
			switch d.IntN(3) {
			case 0: // anywhere
				fresh = append(fresh, 1+d.Uint64N(1<<30))
			case 1: // beside one that is there
				for stamp := range set {
					fresh = append(fresh, stamp+d.Uint64N(3))
					break
				}
			default: // the newest
				fresh = append(fresh, 1<<30+uint64(round)<<20+d.Uint64N(1<<20))
			}
		}
		slices.Sort(fresh)
		fresh = slices.Compact(fresh)
		if d.IntN(2) == 0 {
			if isNew, err := l.add([]byte(name), fresh...); err != nil || isNew != (len(set) == 0) && len(fresh) > 0 {
				return fmt.Errorf("add = %v, %w", isNew, err)
			}
		} else {
			for _, stamp := range fresh {
				if _, err := l.add([]byte(name), stamp); err != nil {
					return err
				}
			}
		}
		for _, stamp := range fresh {
			set[stamp] = true
		}
		for stamp := range set {
			if d.IntN(4) > 0 {
				continue
			}
			gone, err := l.remove([]byte(name), stamp)
			if delete(set, stamp); err != nil || gone != (len(set) == 0) {
				return fmt.Errorf("remove = %v of %d, %w", gone, len(set), err)
			}
		}
		if _, err := l.remove([]byte(name), 1<<40); err != nil { // not there
			return err
		}
	}
	return nil
}

func descending(set map[uint64]bool) (all []uint64) {
	for stamp := range set {
		all = append(all, stamp)
	}
	slices.Sort(all)
	slices.Reverse(all)
	return all
}

func drain(s source) (all []uint64) {
	for most := uint64(maxStamp); ; most-- {
		if most = s.seek(most); most == 0 {
			return all
		}
		all = append(all, most)
	}
}

func sameAsSet(r *reading, name string, set map[uint64]bool) error {
	of, ok := r.listed(name[0], name[1:])
	if !ok {
		if len(set) > 0 {
			return fmt.Errorf("%s is gone with %d stamps", name, len(set))
		}
		return r.failed
	}
	want := descending(set)
	if got := drain(r.list(of)); !slices.Equal(got, want) || of.count != uint64(len(want)) {
		return fmt.Errorf("%s has %d stamps and says %d, want %d", name, len(got), of.count, len(want))
	}
	s := r.list(of)
	for i := 0; i < len(want); i += 7 { // with leaps, also to where none is
		most := want[i] + uint64(i%2)
		if i > 0 && want[i-1] <= most {
			most = want[i]
		}
		if got := s.seek(most); got != want[i] {
			return fmt.Errorf("%s: seek(%d) = %d, want %d", name, most, got, want[i])
		}
	}
	return r.failed
}

// sameTogether holds joined lists against joined sets.
func sameTogether(d *rand.Rand, r *reading, names []string, sets map[string]map[uint64]bool) error {
	for range 6 {
		some := d.Perm(len(names))[:2+d.IntN(3)]
		both, either := map[uint64]bool{}, map[uint64]bool{}
		lists := func() (all []source) {
			for _, i := range some {
				if of, ok := r.listed(names[i][0], names[i][1:]); ok {
					all = append(all, r.list(of))
				}
			}
			return all
		}
		for i, at := range some {
			next := map[uint64]bool{}
			for stamp := range sets[names[at]] {
				if either[stamp] = true; i == 0 || both[stamp] {
					next[stamp] = true
				}
			}
			both = next
		}
		if all := lists(); len(all) == len(some) {
			if got := drain(r.all(all)); !slices.Equal(got, descending(both)) {
				return fmt.Errorf("all of %v: %d stamps, want %d", some, len(got), len(both))
			}
			// Nested: (a or b) and c.
			if all := lists(); len(all) > 2 {
				nested := drain(r.all([]source{r.any(all[:2:2]), all[2]}))
				for _, stamp := range nested {
					if !sets[names[some[2]]][stamp] || !sets[names[some[0]]][stamp] && !sets[names[some[1]]][stamp] {
						return fmt.Errorf("nested: %d is in neither", stamp)
					}
				}
			}
		}
		if all := lists(); len(all) > 0 {
			if got := drain(r.any(all)); !slices.Equal(got, descending(either)) {
				return fmt.Errorf("any of %v: %d stamps, want %d", some, len(got), len(either))
			}
		}
		r.work = 0
	}
	return r.failed
}

func TestNewStampIsFree(t *testing.T) {
	o := open(t)
	must(t, o.db.Update(t.Context(), func(tx store.Tx) error {
		seen := map[uint64]bool{}
		for _, at := range []uint64{0, 5, 5, 5, 4, 6, 0, 1 << 31} {
			for range 3 {
				stamp := writerOf(tx).newStamp(at)
				if seen[stamp] || stamp>>perSecond != at || stamp == 0 || stamp > maxStamp {
					return fmt.Errorf("second %d gets %d", at, stamp)
				}
				seen[stamp] = true
				tx.Bucket(recordsBucket).Put(appendStamp(nil, stamp), []byte{1})
			}
		}
		tx.Bucket(recordsBucket).Put(appendStamp(nil, 8<<perSecond-1), []byte{1}) // second 7 is full
		if stamp := writerOf(tx).newStamp(7); stamp>>perSecond != 8 {
			return fmt.Errorf("a full second gives %d", stamp)
		}
		return nil
	}))
	for millis, want := range map[int64]uint64{0: 0, -1 << 60: 0, 1 << 62: 1<<32 - 1, stampEpoch * 1000: 0, stampEpoch*1000 + 1999: 1} {
		if got := second(millis); got != want {
			t.Errorf("second(%d) = %d, want %d", millis, got, want)
		}
	}
}

// TestDamageIsSaid writes nonsense over each value: a search or a write may say that the store is damaged, or go on
// where the value does not tell, but never panics.
func TestDamageIsSaid(t *testing.T) {
	said := 0
	for _, bucket := range []string{recordsBucket, stampsBucket, termsBucket, postingsBucket} {
		for n, nonsense := range [][]byte{{}, {0xff}, {1}, {1, 2, 3}, []byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), {1, 0, 0, 0x80}} {
			o := open(t)
			must(t, o.db.Update(t.Context(), func(tx store.Tx) error {
				for i := range 400 {
					doc := contact(0, Doc{Title: fmt.Sprintf("Dana Levi %d", i), Principals: []string{"dana"}, Parts: []Part{phone("+972501234567")}})
					doc.ID[14], doc.ID[15] = byte(i>>8), byte(i)
					if err := Put(tx, doc); err != nil {
						return err
					}
				}
				b := tx.Bucket(bucket)
				var keys [][]byte
				for k := range b.Scan(nil, nil, false) {
					keys = append(keys, slices.Clone(k))
				}
				if len(keys) == 0 {
					return fmt.Errorf("%s is empty", bucket)
				}
				for _, k := range keys {
					b.Put(k, nonsense)
				}
				return nil
			}))
			count := func(err error) {
				if err != nil {
					if said++; fault.Of(err).Key != "store.damaged" {
						t.Errorf("%s, nonsense %d: %v", bucket, n, err)
					}
				}
			}
			for _, query := range []string{"da", "dana levi", "4567", "dena", "דנה"} {
				_, err := o.Find(as(t, "owner", "o"), query, 9)
				count(err)
				_, err = o.Find(as(t, "agent", "dana"), query, 9)
				count(err)
			}
			count(o.db.Update(t.Context(), func(tx store.Tx) error {
				return Put(tx, contact(9, Doc{Title: "Dana Levi", Parts: []Part{phone("+972501234567")}}))
			}))
			count(o.db.Update(t.Context(), func(tx store.Tx) error { return Delete(tx, "contact", [16]byte{15: 7}) }))
		}
	}
	if said < 50 {
		t.Errorf("only %d times damage was said", said)
	}
}
