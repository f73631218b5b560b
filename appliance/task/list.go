package task

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/store"
)

// openBucket holds the open tasks by when they are due: under "e" everybody's, under "a" and an account those that it
// has to do. What it says is held against the task itself when it is read, so that a write that was refused half-way
// shows nowhere.
const openBucket = "task.open"

// tailSize is what stands behind the list's name in a key: when the task is due, and its id.
const tailSize = 8 + 16

// mostLooked is how many open tasks one page looks at, so that somebody who may see few of many does not wait.
const mostLooked = 2000

func everybody() []byte { return []byte("e") }

func listOf(account string) []byte { return append([]byte("a"+account), 0) }

// dueKey sorts as moments do. Tasks without a date come last.
func dueKey(due time.Time) []byte {
	if due.IsZero() {
		return bytes.Repeat([]byte{0xff}, 8)
	}
	return binary.BigEndian.AppendUint64(nil, uint64(due.UnixMilli())^(1<<63))
}

// openKeys lists where a task stands in task.open.
func openKeys(t record.Record) [][]byte {
	if !t.Exists() || stateOf(t) != Open {
		return nil
	}
	tail := append(dueKey(t.Time("due")), t.ID[:]...)
	keys := [][]byte{append(everybody(), tail...)}
	if who := t.Text("assignee"); who != "" {
		keys = append(keys, append(listOf(who), tail...))
	}
	return keys
}

// Choice says which open tasks are wanted.
type Choice struct {
	Assignee string    // account id; "" is everybody whose tasks the actor may see
	Before   time.Time // due before it; the zero time is all, and those without a date at the end
	Cursor   string    // of the page before, "" for the first
	Limit    int       // 0 is record.DefaultLimit
}

// Page is a run of tasks and the cursor to the next. A page may be short or empty and have a next one all the same.
type Page struct {
	Tasks []Task
	Next  string
}

// List gives a page of open tasks that the actor may see, those first that were due first. That he looked stands in the
// journal.
func (r *Room) List(ctx context.Context, c Choice) (page Page, err error) {
	if _, err := r.gate.Filter(ctx, "task"); err != nil {
		return Page{}, err
	}
	limit := c.Limit
	if limit <= 0 {
		limit = record.DefaultLimit
	}
	limit = min(limit, record.MaxLimit)
	err = r.book.View(ctx, func(tx store.Tx) error {
		page = Page{}
		var last []byte
		tired, err := r.open(ctx, tx, c, func(t record.Record, tail []byte) bool {
			if len(page.Tasks) == limit {
				page.Next = base64.RawURLEncoding.EncodeToString(last)
				return false
			}
			page.Tasks, last = append(page.Tasks, r.task(ctx, tx, t)), tail
			return true
		})
		if tired != nil {
			page.Next = base64.RawURLEncoding.EncodeToString(tired)
		}
		return err
	})
	if err != nil {
		return Page{}, err
	}
	q := record.Query{Entity: "task"}
	if c.Assignee != "" {
		q.Field = "assignee"
	}
	return page, r.book.TellListed(ctx, q, len(page.Tasks))
}

// Mine gives the actor's own open tasks that are due before a moment, all for the zero time.
func (r *Room) Mine(ctx context.Context, before time.Time, cursor string) (Page, error) {
	me := access.ActorFrom(ctx).ID
	if me == "" {
		return Page{}, fault.New(fault.Unauthenticated, "access.sign-in")
	}
	return r.List(ctx, Choice{Assignee: me, Before: before, Cursor: cursor})
}

// Overdue gives the open tasks that should have been done by now, everybody's whom the actor may see.
func (r *Room) Overdue(ctx context.Context, cursor string) (Page, error) {
	return r.List(ctx, Choice{Before: r.now(), Cursor: cursor})
}

// open visits the open tasks of a choice in order, each with the end of its key, until visit returns false. After a good
// many that were not for the actor it stops, tired, at the end of the last key.
func (r *Room) open(ctx context.Context, tx store.Tx, c Choice, visit func(t record.Record, tail []byte) bool) (tired []byte, err error) {
	list := everybody()
	if c.Assignee != "" {
		list = listOf(c.Assignee)
	}
	from, to := list, store.PrefixEnd(list)
	if !c.Before.IsZero() {
		to = append(slices.Clone(list), dueKey(c.Before)...)
	}
	if c.Cursor != "" {
		tail, err := base64.RawURLEncoding.DecodeString(c.Cursor)
		if err != nil || len(tail) != tailSize {
			return nil, fault.InvalidField("cursor", "list.cursor")
		}
		from = append(append(slices.Clone(list), tail...), 0)
	}
	looked := 0
	for key := range tx.Bucket(openBucket).Scan(from, to, false) {
		if len(key) != len(list)+tailSize {
			continue
		}
		tail := slices.Clone(key[len(list):])
		if t, ok := r.stands(ctx, tx, key, record.ID(tail[8:])); ok && !visit(t, tail) {
			return nil, ctx.Err()
		}
		if looked++; looked == mostLooked {
			return tail, ctx.Err()
		}
	}
	return nil, ctx.Err()
}

// stands reads the task that a key of task.open names, if it is still so and for the actor.
func (r *Room) stands(ctx context.Context, tx store.Tx, key []byte, id record.ID) (record.Record, bool) {
	t, err := r.book.Raw(tx, "task", id)
	if err != nil || !slices.ContainsFunc(openKeys(t), func(k []byte) bool { return bytes.Equal(k, key) }) {
		return record.Record{}, false
	}
	t, err = r.book.GetTx(ctx, tx, "task", id)
	return t, err == nil
}

// Counts is how much waits for the actor.
type Counts struct {
	Overdue int  // should have been done by now
	Today   int  // the rest of the office's day
	Open    int  // all of his open tasks, these among them
	Exact   bool // false where there are more than were counted
}

// Count says how much the actor has to do, exactly up to record.CountLimit tasks.
func (r *Room) Count(ctx context.Context) (n Counts, err error) {
	me := access.ActorFrom(ctx).ID
	if _, err := r.gate.Filter(ctx, "task"); err != nil {
		return Counts{}, err
	}
	now := r.now().In(r.zone)
	midnight := time.Date(now.Year(), now.Month(), now.Day()+1, 0, 0, 0, 0, r.zone)
	err = r.book.View(ctx, func(tx store.Tx) error {
		n = Counts{Exact: true}
		tired, err := r.open(ctx, tx, Choice{Assignee: me}, func(t record.Record, _ []byte) bool {
			if n.Exact = n.Open < record.CountLimit; !n.Exact {
				return false
			}
			n.Open++
			switch due := t.Time("due"); {
			case due.IsZero():
			case due.Before(now):
				n.Overdue++
			case due.Before(midnight):
				n.Today++
			}
			return true
		})
		n.Exact = n.Exact && tired == nil
		return err
	})
	return n, err
}

// Of gives the newest tasks about a customer that the actor may see, open ones first and those by when they are due.
func (r *Room) Of(ctx context.Context, customer record.ID, limit int) ([]Task, error) {
	return r.linked(ctx, "contact", customer, limit)
}

// OfDeal is Of for a deal.
func (r *Room) OfDeal(ctx context.Context, deal record.ID, limit int) ([]Task, error) {
	return r.linked(ctx, "deal", deal, limit)
}

func (r *Room) linked(ctx context.Context, link string, id record.ID, limit int) (tasks []Task, err error) {
	if limit <= 0 || limit > record.MaxLimit {
		limit = record.DefaultLimit
	}
	err = r.book.View(ctx, func(tx store.Tx) error {
		tasks = nil
		for rec := range r.book.Linked(tx, "task", link, id, record.ID{}) {
			t, err := r.book.GetTx(ctx, tx, "task", rec.ID)
			if err != nil {
				continue
			}
			if tasks = append(tasks, r.task(ctx, tx, t)); len(tasks) == limit {
				break
			}
		}
		return ctx.Err()
	})
	slices.SortStableFunc(tasks, func(a, b Task) int { return cmp.Compare(rank(a), rank(b)) })
	return tasks, err
}

// rank puts open tasks first, by when they are due.
func rank(t Task) int64 {
	switch {
	case t.State != Open:
		return math.MaxInt32
	case t.Due.IsZero():
		return math.MaxInt32 - 1
	}
	return t.Due.Unix() / 60
}
