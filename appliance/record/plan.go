package record

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

// maxCollected is how many records a list reads and sorts by itself where no index has the order that is asked for.
// With more of them, walking the order's index and testing each record costs less.
const maxCollected = 5000

// plan is how a query is answered: which keys are walked, in which order, and how each record is tested.
type plan struct {
	book       *Book
	query      Query
	entity     *schema.Entity
	principals []string // whose partitions are walked; "" alone for everybody's

	index   string   // field whose index is walked, ageField, or "" for the records themselves
	windows []window // of the index, in the order of the walk
	reverse bool
	collect bool          // the records are few: they are sorted here
	sort    *schema.Field // nil for age
	after   []byte        // place of the last record shown, for collect
	paged   bool          // only a page of it is wanted
	hopeful bool          // the order's index is walked in the hope that records which pass the tests are many
	spent   bool          // they were not

	tests   []func(Record) bool // conditions of the query and of the role
	visible func(Record) bool   // nil for those who see all

	chosen string // the condition that chose the index, for Explain
	held   int    // how many keys it holds, counted to maxCollected
}

// window is a range of places: from <= place < to. Nil is the beginning or the end.
type window struct{ from, to []byte }

// prefixed is the window of all places that begin alike.
func prefixed(prefix []byte) window { return window{prefix, store.PrefixEnd(prefix)} }

// under is the window within a principal's partition.
func (w window) under(principal string) (from, to []byte) {
	prefix := append([]byte(principal), 0)
	from = append(slices.Clone(prefix), w.from...)
	if w.to == nil {
		return from, store.PrefixEnd(prefix)
	}
	return from, append(slices.Clone(prefix), w.to...)
}

func (w window) holds(at []byte) bool {
	return bytes.Compare(w.from, at) <= 0 && (w.to == nil || bytes.Compare(at, w.to) < 0)
}

// everybody tells whether the actor sees all records of the entity.
func (p *plan) everybody() bool { return len(p.principals) == 1 && p.principals[0] == "" }

// plan says how the actor's query is answered.
func (b *Book) plan(ctx context.Context, tx store.Tx, q Query) (*plan, error) {
	p := &plan{book: b, query: q, entity: b.schema.At(tx).Entity(q.Entity), principals: []string{""}}
	if p.entity == nil || p.entity.Hidden {
		return nil, fault.Missing("entity", q.Entity)
	}
	rights, err := b.gate.Filter(ctx, q.Entity)
	if err != nil {
		return nil, err
	}
	if !rights.All {
		p.principals = rights.Principals
		// The partitions say it already. A record that stood in a wrong one would show a stranger's customer, so each
		// is asked for itself.
		p.visible = func(r Record) bool { return b.Allowed(ctx, tx, access.See, r) }
	}
	if err := p.test(ctx, tx, rights.Where); err != nil {
		return nil, err
	}
	if err := p.order(ctx, tx); err != nil {
		return nil, err
	}
	if err := p.choose(ctx, tx); err != nil {
		return nil, err
	}
	return p, p.resume()
}

// test collects the conditions that each record must meet.
func (p *plan) test(ctx context.Context, tx store.Tx, where string) error {
	env := p.book.env(ctx)
	scan := p.book.row(ctx, tx, Record{}) // one row for all records: nothing is allocated for each
	if f := p.query.Filter; f != nil {
		p.tests = append(p.tests, func(r Record) bool { scan.r = r; return f.Match(scan, env) })
	}
	if where != "" {
		f := p.book.where(p.book.schema.At(tx), p.entity.Name, where)
		office := p.book.officeRow(tx) // the office's rule follows every link
		p.tests = append(p.tests, func(r Record) bool { office.r = r; return f != nil && f.Match(office, env) })
	}
	if p.query.Keep != nil {
		p.tests = append(p.tests, p.query.Keep)
	}
	return nil
}

func (p *plan) passes(r Record) bool {
	for _, test := range p.tests {
		if !test(r) {
			return false
		}
	}
	return p.visible == nil || p.visible(r)
}

// order reads what the list is sorted by.
func (p *plan) order(ctx context.Context, tx store.Tx) error {
	name, reverse := strings.CutPrefix(p.query.Sort, "-")
	p.reverse = reverse
	if name == "" || name == "created_at" {
		return nil
	}
	f := p.entity.Field(name)
	switch {
	case f == nil, !f.Indexed, f.Many, f.Hidden, p.book.gate.Fields(ctx, p.entity.Name).Hidden(name):
		return fault.InvalidField("sort", "list.sort", "field", name) // by one of many it would list a record again and again
	case p.query.Field != "":
		return fault.InvalidField("sort", "list.sort-with-field")
	case !p.book.ready(tx, p.entity.Name, name):
		return fault.New(fault.Unavailable, "list.building", "field", name)
	}
	p.sort = f
	return nil
}

// choose picks the keys to walk.
func (p *plan) choose(ctx context.Context, tx store.Tx) error {
	if p.query.Field != "" {
		w, is, err := equals(p.entity, p.query.Field, p.query.Value)
		if err != nil {
			return err
		}
		if p.book.gate.Fields(ctx, p.entity.Name).Hidden(p.query.Field) {
			return fault.InvalidField("filter", "list.field", "field", p.query.Field)
		}
		if !p.book.ready(tx, p.entity.Name, p.query.Field) {
			return fault.New(fault.Unavailable, "list.building", "field", p.query.Field)
		}
		p.index, p.windows, p.tests = p.query.Field, []window{w}, append(p.tests, is)
		p.chosen = p.query.Field + " ="
		return nil
	}
	p.walkOrder()
	best := p.bestCondition(ctx, tx)
	switch {
	case best == nil:
		p.hopeful = p.sort != nil && len(p.tests) > 0
	case p.sort != nil && best.field == p.sort: // the order's own index, only less of it
		p.windows, p.chosen, p.held = best.windows, best.text, best.held
		if p.reverse {
			slices.Reverse(p.windows)
		}
	case p.sort == nil && best.one: // within one value the index is in the order of age
		p.index, p.windows, p.chosen, p.held = best.field.Name, best.windows, best.text, best.held
	case best.held < maxCollected:
		p.index, p.windows, p.chosen, p.held = best.field.Name, best.windows, best.text, best.held
		p.collect = true
	default:
		p.hopeful = p.sort != nil
	}
	return nil
}

// collectAll reads all records in their own order instead.
func (p *plan) collectAll() {
	p.index, p.windows, p.collect, p.hopeful, p.spent = "", []window{{}}, true, false, false
	if !p.everybody() {
		p.index = ageField
	}
}

// walkOrder walks all records in the order that is asked for.
func (p *plan) walkOrder() {
	switch {
	case p.sort != nil:
		p.index = p.sort.Name
		p.windows = []window{{[]byte(valued), []byte(missing)}}
		if !p.query.Valued {
			p.windows = append(p.windows, prefixed([]byte(missing)))
		}
	case p.everybody():
		p.windows = []window{{}}
	default:
		p.index, p.windows = ageField, []window{{}}
	}
}

// resume leaves out what the pages before have shown.
func (p *plan) resume() error {
	if p.query.Cursor == "" {
		return nil
	}
	at, err := cursorPlace(p.query)
	if err != nil {
		return err
	}
	switch {
	case p.sort == nil && len(at) != 16, len(at) < 1+16 && p.sort != nil:
		return fault.InvalidField("cursor", "list.cursor")
	case p.collect:
		p.after = at
		return nil
	}
	if p.after = at; p.sort == nil && len(p.windows) == 1 {
		at = append(slices.Clone(p.windows[0].from), at...) // within the one value that is walked
	}
	for i, w := range p.windows {
		if w.holds(at) {
			if p.reverse {
				w.to = at
			} else {
				w.from = append(slices.Clone(at), 0)
			}
			p.windows = append([]window{w}, p.windows[i+1:]...)
			return nil
		}
	}
	// The place is in no window any more: a filter such as "the last two hours" moved on. What lies before it was shown.
	p.windows = slices.DeleteFunc(slices.Clone(p.windows), func(w window) bool {
		if p.reverse {
			return bytes.Compare(w.from, at) > 0
		}
		return w.to != nil && bytes.Compare(w.to, at) <= 0
	})
	return nil
}

// Explanation says how a query is answered.
type Explanation struct {
	Walks     string   `json:"walks"`               // "index contact.city", "contact by age"
	By        string   `json:"by,omitempty"`        // the condition that the index serves
	Holds     int      `json:"holds,omitempty"`     // how many keys it leaves, counted to 5000
	Sorts     string   `json:"sorts"`               // "by the index", "in memory"
	Tests     string   `json:"tests,omitempty"`     // the filter, tested on each record that is walked
	Principal []string `json:"principal,omitempty"` // whose partitions are walked, where not everybody's
}

// Explain says how the actor's query would be answered, without answering it.
func (b *Book) Explain(ctx context.Context, q Query) (x Explanation, err error) {
	err = b.db.View(ctx, func(tx store.Tx) error {
		p, err := b.plan(ctx, tx, q)
		if err != nil {
			return err
		}
		x = Explanation{Walks: "index " + p.entity.Name + "." + p.index, By: p.chosen, Holds: p.held, Sorts: "by the index"}
		switch p.index {
		case "":
			x.Walks = "all of " + p.entity.Name + ", by age"
		case ageField:
			x.Walks = "own " + p.entity.Name + ", by age"
		}
		if p.collect {
			x.Sorts = "in memory"
		}
		if q.Filter != nil {
			x.Tests = q.Filter.String()
		}
		if !p.everybody() {
			x.Principal = p.principals
		}
		return nil
	})
	return x, err
}

// String is the explanation in one line.
func (x Explanation) String() string {
	line := "walks " + x.Walks
	if x.By != "" {
		line += fmt.Sprintf(" for %s (%d keys)", x.By, x.Holds)
	}
	line += "; sorts " + x.Sorts
	if x.Tests != "" {
		line += "; tests " + x.Tests
	}
	if x.Principal != nil {
		line += fmt.Sprintf("; only of %d accounts or teams", len(x.Principal))
	}
	return line
}
