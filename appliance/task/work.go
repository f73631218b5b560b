package task

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

// Create makes a task out of field values. One that names nobody to do it is its maker's, and one about a deal concerns
// the deal's customer. For nobody's task give an empty assignee.
func (r *Room) Create(ctx context.Context, values record.Values) (Task, error) {
	return r.CreateOnce(ctx, "", values)
}

// CreateOnce is Create for a form that may be sent twice: the same actor's same key makes one task.
func (r *Room) CreateOnce(ctx context.Context, key string, values record.Values) (Task, error) {
	values, err := r.complete(ctx, values)
	if err != nil {
		return Task{}, err
	}
	var rec record.Record
	if key == "" {
		rec, err = r.book.Create(ctx, "task", values)
	} else {
		rec, err = r.book.CreateOnce(ctx, "task", key, values)
	}
	if err != nil {
		return Task{}, err
	}
	t, _, err := r.shown(ctx, rec.ID)
	return t, err
}

// complete says of a new task what its maker did not have to say.
func (r *Room) complete(ctx context.Context, values record.Values) (record.Values, error) {
	values = maps.Clone(values)
	if values == nil {
		values = record.Values{}
	}
	if _, given := values["assignee"]; !given && person(ctx) != "" {
		values["assignee"] = person(ctx)
	}
	if about, given := values["contact"]; given && about != nil && about != "" {
		return values, nil
	}
	deal, ok := values["deal"].(record.ID)
	if text, isText := values["deal"].(string); isText && text != "" {
		id, err := record.ParseID(text)
		deal, ok = id, err == nil
	}
	if !ok || deal.Zero() {
		return values, nil
	}
	about, err := r.book.Get(ctx, "deal", deal)
	if err != nil {
		return nil, fault.InvalidField("deal", "field.link")
	}
	if customer := about.Link("contact"); !customer.Zero() {
		values["contact"] = customer
	}
	return values, nil
}

// person is the account of the actor, "" where a plugin or the appliance itself acts.
func person(ctx context.Context) string {
	a := access.ActorFrom(ctx)
	if a.Role == access.System || a.Role == access.Plugin {
		return ""
	}
	return a.ID
}

// Change changes some fields of the version that was seen.
func (r *Room) Change(ctx context.Context, id record.ID, version uint64, values record.Values) (Task, error) {
	if _, err := r.book.Change(ctx, "task", id, version, values); err != nil {
		return Task{}, err
	}
	t, _, err := r.shown(ctx, id)
	return t, err
}

// Finish ends an open task that was done, and makes the next one where it repeats: Next of the answer names it.
func (r *Room) Finish(ctx context.Context, id record.ID) (Task, error) {
	return r.alter(ctx, id, func(tx store.Tx, t record.Record) (record.Change, error) {
		if stateOf(t) != Open {
			return record.Change{}, notOpen(t)
		}
		values := record.Values{"state": Done, "done_at": r.now(), "done_by": person(ctx)}
		about := map[string]string{}
		next, err := r.follow(ctx, tx, t)
		if err != nil {
			return record.Change{}, err
		}
		if !next.Zero() {
			values["next"], about["next"] = next, next.String()
		}
		return record.Change{Fact: "task.done", Values: values, About: about}, nil
	})
}

// Cancel ends an open task that will not be done. A series ends with it.
func (r *Room) Cancel(ctx context.Context, id record.ID) (Task, error) {
	return r.alter(ctx, id, func(_ store.Tx, t record.Record) (record.Change, error) {
		if stateOf(t) != Open {
			return record.Change{}, notOpen(t)
		}
		return record.Change{Fact: "task.cancelled", Values: record.Values{"state": Cancelled}}, nil
	})
}

// Reopen takes Finish or Cancel back. The next task of a series stays, and finishing this one again makes no second.
func (r *Room) Reopen(ctx context.Context, id record.ID) (Task, error) {
	return r.alter(ctx, id, func(_ store.Tx, t record.Record) (record.Change, error) {
		if stateOf(t) == Open {
			return record.Change{}, fault.New(fault.Conflict, "task.open")
		}
		return record.Change{Fact: "task.reopened", Values: record.Values{"state": Open, "done_at": nil, "done_by": nil}}, nil
	})
}

// Snooze puts an open task off. The reminder moves with it, and a series goes on from where it would have been.
func (r *Room) Snooze(ctx context.Context, id record.ID, until time.Time) (Task, error) {
	until = until.Truncate(time.Millisecond)
	if !until.After(r.now()) {
		return Task{}, fault.InvalidField("until", "task.snooze-past")
	}
	return r.alter(ctx, id, func(_ store.Tx, t record.Record) (record.Change, error) {
		if stateOf(t) != Open {
			return record.Change{}, notOpen(t)
		}
		values := record.Values{"due": until}
		due, remind := t.Time("due"), t.Time("remind_at")
		if !remind.IsZero() {
			values["remind_at"] = r.reminder(due, remind, until)
		}
		if repeats(t) {
			values["series"] = series{First: firstOf(t), For: until}
		}
		return record.Change{Fact: "task.snoozed", Values: values}, nil
	})
}

func stateOf(t record.Record) string {
	if s := t.Text("state"); s != "" {
		return s
	}
	return Open
}

func notOpen(t record.Record) error {
	return fault.New(fault.Conflict, "task.not-open", "by", t.UpdatedBy())
}

// alter changes a task that the actor may change as fn says, in one transaction.
func (r *Room) alter(ctx context.Context, id record.ID, fn func(store.Tx, record.Record) (record.Change, error)) (Task, error) {
	err := r.book.Update(ctx, func(tx store.Tx) error {
		t, err := r.book.Raw(tx, "task", id)
		if err != nil {
			return err
		}
		if err := r.book.Require(ctx, tx, access.Change, t); err != nil {
			return err
		}
		c, err := fn(tx, t)
		if err != nil {
			return err
		}
		return r.write(ctx, tx, t, c)
	})
	if err != nil {
		return Task{}, err
	}
	t, _, err := r.shown(ctx, id)
	return t, err
}

// write changes a task and tells it. That one was done stands on the customer's timeline by itself.
func (r *Room) write(ctx context.Context, tx store.Tx, t record.Record, c record.Change) error {
	f := journal.Fact{Name: c.Fact, Entity: "task", ID: t.ID.String(), Fields: slices.Sorted(maps.Keys(c.Values)), About: c.About}
	if about := t.Link("contact"); !about.Zero() {
		f.Contact, f.Card = about.String(), c.Fact == "task.done"
	}
	c.Entity, c.ID, c.Inside, c.Fact = "task", t.ID, true, "-"
	if _, err := r.book.ChangeTx(ctx, tx, c); err != nil {
		return err
	}
	return r.journal.Append(ctx, tx, f)
}

// follow makes the next task of a series, the zero ID where there is none to make. What the office added to tasks goes
// along, but for what no two may share.
func (r *Room) follow(ctx context.Context, tx store.Tx, t record.Record) (record.ID, error) {
	due := t.Time("due")
	if !repeats(t) || due.IsZero() || !t.Link("next").Zero() {
		return record.ID{}, nil
	}
	after, first := due, firstOf(t)
	if now := r.now(); now.After(after) {
		after = now
	}
	next := r.after(t.Text("repeat"), first, after)
	values := record.Values{"state": Open, "due": next, "source": ByRepeat, "series": series{First: first, For: next}}
	had := t.Fields()
	for _, f := range r.book.Schema().Entity("task").Fields {
		value, stands := had[f.Name]
		if _, set := values[f.Name]; !stands || set || f.Closed || f.Hidden || f.Unique || f.Type == schema.Formula {
			continue
		}
		values[f.Name] = value
	}
	if remind := t.Time("remind_at"); !remind.IsZero() {
		values["remind_at"] = r.reminder(due, remind, next)
	}
	made, err := r.book.CreateTx(ctx, tx, record.Change{Entity: "task", Values: values, Inside: true,
		About: map[string]string{"source": ByRepeat, "before": t.ID.String()}})
	return made.ID, err
}

// written keeps task.open in step with a task, and refuses one that repeats from no day.
func (r *Room) written(_ context.Context, tx store.Tx, before, after record.Record) error {
	if after.Exists() && repeats(after) && !after.Has("due") {
		return fault.InvalidField("due", "task.repeat-needs-due")
	}
	open := tx.Bucket(openBucket)
	fresh := openKeys(after)
	for _, key := range openKeys(before) {
		open.Delete(key)
	}
	for _, key := range fresh {
		open.Put(key, nil)
	}
	return nil
}
