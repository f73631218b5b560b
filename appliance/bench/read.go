package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/store/bolt/floor"
)

const (
	readGoal  = 15 * time.Millisecond
	sameGoal  = 1.25 // times, of what must cost the same
	pageLimit = 50
	deepPage  = 10_000
	// permissionGoal is in nanoseconds.
	permissionGoal = 1000
)

func (r *run) floor(writers int) *floor.Floor { return floor.Over(r.o.Engine, writers) }

// cards measures the card of customers with a short history and of one with a long one: the record and its 50 newest
// entries, as a page asks for them.
func (r *run) cards(ctx context.Context) error {
	least := r.floor(1)
	card := func(customers []int) (turns, error) {
		a := &answer{header: http.Header{}}
		var records, timelines []*http.Request
		for _, c := range customers {
			id := r.data.contacts[c].String()
			records = append(records, r.question(ctx, "/records/contact/"+id, nil))
			timelines = append(timelines, r.question(ctx, "/records/contact/"+id+"/timeline", url.Values{"limit": {fmt.Sprint(pageLimit)}}))
		}
		var page []byte
		return r.inTurn(func(i int) error {
			if err := r.ask(a, records[i%len(records)]); err != nil {
				return err
			}
			return r.ask(a, timelines[i%len(timelines)])
		}, func(i int) (err error) {
			id := r.data.contacts[customers[i%len(customers)]]
			if page, err = least.Get("record.contact", [][]byte{id[:]}, page[:0]); err != nil {
				return err
			}
			found, out, err := least.Back("index.message.contact", append([]byte("\x00\x01"), id[:]...), pageLimit, "record.message", page)
			if page = out; err == nil && found == 0 {
				err = errors.New("the floor reads no messages: index keys look otherwise by now")
			}
			return err
		})
	}
	few := min(cards, len(r.data.contacts))
	var all []int
	for c := range few {
		all = append(all, c)
	}
	brief, err := card(all)
	if err != nil {
		return err
	}
	long, err := card([]int{min(cards, len(r.data.contacts)-1)})
	if err != nil {
		return err
	}
	r.addRead(fmt.Sprintf("card, history of %d, p99", short), brief)
	r.addRead(fmt.Sprintf("card, history of %d, p99", r.History), long)
	r.addSame("card, long history to short, p50", brief, long)
	return nil
}

// addRead adds the p99 of a page; its floor and ratio are those of the p50.
func (r *run) addRead(name string, t turns) {
	r.add(Row{Name: name, Value: milli(t.p99), Unit: "ms", Floor: milli(t.floor), Ratio: t.ratio, Goal: "≤ 15 ms", Pass: t.p99 <= readGoal,
		Note: fmt.Sprintf("p50 %.3f ms; floor and ratio are of the p50", milli(t.p50))})
}

// addSame compares what must cost the same.
func (r *run) addSame(name string, one, other turns) {
	ratio := float64(other.p50) / float64(one.p50)
	r.add(Row{Name: name, Value: ratio, Unit: "x", Goal: fmt.Sprintf("≤ %.2fx", sameGoal), Pass: ratio <= sameGoal})
}

// lists measures the first page and a late one by cursor, sorted by name.
func (r *run) lists(ctx context.Context) error {
	cursor, number, err := r.walk(ctx)
	if err != nil {
		return err
	}
	places, err := r.places(ctx, "index.contact.name")
	if err != nil {
		return err
	}
	least := r.floor(1)
	var both []turns
	for n, at := range []string{"", cursor} {
		query := url.Values{"sort": {"name"}, "limit": {fmt.Sprint(pageLimit)}}
		if at != "" {
			query.Set("cursor", at)
		}
		a, q := &answer{header: http.Header{}}, r.question(ctx, "/records/contact", query)
		var page []byte
		t, err := r.inTurn(func(int) error { return r.ask(a, q) }, func(int) (err error) {
			place := places[(len(places)-1)*n/2]
			_, page, err = least.Page("index.contact.name", place, pageLimit, "record.contact", page[:0])
			return err
		})
		if err != nil {
			return err
		}
		r.addRead(fmt.Sprintf("list by name, page %d, p99", []int{1, number}[n]), t)
		both = append(both, t)
	}
	r.addSame("list by name, late page to first, p50", both[0], both[1])
	return nil
}

// walk turns pages as somebody would who never stops, and gives the cursor of page 10,000, or of the last but one.
func (r *run) walk(ctx context.Context) (cursor string, number int, err error) {
	const step = 200 // four pages at once
	number = min(deepPage, r.Contacts/pageLimit-1)
	for skipped := 0; skipped+step <= (number-1)*pageLimit; skipped += step {
		query := url.Values{"sort": {"name"}, "limit": {fmt.Sprint(step)}, "fields": {"kind"}}
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		var page struct{ Next string }
		if err := r.read(ctx, "/records/contact", query, &page); err != nil {
			return "", 0, err
		}
		if page.Next == "" {
			return "", 0, fmt.Errorf("the list by name ends after %d records", skipped+step)
		}
		if cursor = page.Next; skipped/step%500 == 0 {
			r.Tell("turning pages", skipped/pageLimit, number)
		}
	}
	return cursor, number, nil
}

// permissions measures a decision that was made before.
func (r *run) permissions(ctx context.Context) error {
	ctx = r.owner(ctx)
	const times = 200_000
	object := access.Object{Entity: "contact", ID: r.data.contacts[0].String(), Owners: []string{r.o.Owner.ID}}
	var each []float64
	for range rounds {
		start := time.Now()
		for range times {
			if err := r.o.Gate.Require(ctx, access.See, object); err != nil {
				return err
			}
		}
		each = append(each, float64(time.Since(start).Nanoseconds())/times)
	}
	ns := median(each)
	r.add(Row{Name: "permission, cached decision", Value: ns, Unit: "ns", Goal: "≤ 1000 ns", Pass: ns <= permissionGoal})
	return nil
}
