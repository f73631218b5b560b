// Package task holds what must be done for the customers: by whom, until when, and what comes of it.
//
// It owns the entity task, the bucket task.open (the open tasks by when they are due, for everybody and for each who
// has to do them), and the facts task.created, task.changed, task.done, task.reopened, task.cancelled, task.snoozed,
// task.deleted and task.restored.
//
// It promises that finishing a task that repeats makes the next one in the same transaction, and only one however often
// it is finished; that a series keeps its day and its hour in the office's time zone, through daylight saving, short
// months and leap years, and never falls due in the past; and that a list of open tasks costs by its length, not by how
// much was done before.
//
// A series ends when its task is cancelled or no longer repeats. A task that was put off keeps the days of its series;
// one whose date was set anew begins the series there. It will not remind anybody: who shows or sends, reads remind_at.
package task

import (
	"context"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

// States of a task.
const (
	Open      = "open"
	Done      = "done"
	Cancelled = "cancelled"
)

// How often a task repeats. An empty one is None.
const (
	None    = "none"
	Daily   = "daily"
	Weekly  = "weekly"
	Monthly = "monthly"
	Yearly  = "yearly"
)

// Kinds of task.
const (
	Call    = "call"
	Meeting = "meeting"
	Mail    = "mail"
	ToDo    = "todo"
)

// Sources of a task that no person made.
const (
	ByRepeat = "repeat" // the one before was finished
	ByRule   = "automation"
	ByImport = "import"
	ByPlugin = "plugin"
)

// Entity is the task as schema knows it. It links to contact and deal. Never change or reuse a number.
func Entity() schema.Entity {
	return schema.Entity{
		Name: "task", Title: "title", Owner: "assignee", Via: "contact", Contact: "contact", Timeline: true,
		Fields: []schema.Field{
			{Number: 16, Name: "title", Type: schema.Text, Required: true, Max: 300},
			{Number: 17, Name: "note", Type: schema.LongText, Max: 64 << 10},
			{Number: 18, Name: "contact", Type: schema.Link, Target: "contact", Indexed: true},
			{Number: 19, Name: "deal", Type: schema.Link, Target: "deal", Indexed: true},
			{Number: 20, Name: "due", Type: schema.Time, Indexed: true},
			{Number: 21, Name: "remind_at", Type: schema.Time},
			{Number: 22, Name: "state", Type: schema.Choice, Choices: []string{Open, Done, Cancelled}, Default: Open, Closed: true, Indexed: true},
			{Number: 23, Name: "priority", Type: schema.Choice, Choices: []string{"low", "normal", "high"}, Default: "normal"},
			{Number: 24, Name: "assignee", Type: schema.Staff, Indexed: true},
			{Number: 25, Name: "kind", Type: schema.Choice, Choices: []string{Call, Meeting, Mail, ToDo}, Default: ToDo},
			{Number: 26, Name: "done_at", Type: schema.Time, Closed: true},
			{Number: 27, Name: "done_by", Type: schema.Staff, Closed: true},
			{Number: 28, Name: "repeat", Type: schema.Choice, Choices: []string{None, Daily, Weekly, Monthly, Yearly}},
			{Number: 29, Name: "source", Type: schema.Choice, Choices: []string{ByRepeat, ByRule, ByImport, ByPlugin}, Closed: true},
			{Number: 30, Name: "next", Type: schema.Link, Target: "task", Closed: true}, // what finishing it made
			{Number: 31, Name: "series", Type: schema.Data, Closed: true},
		},
	}
}

// Task is one thing to do, decoded for those who need all of it.
type Task struct {
	ID          record.ID
	Version     uint64
	Title       string
	Note        string
	Contact     record.ID
	ContactName string
	Deal        record.ID
	Due         time.Time
	RemindAt    time.Time
	State       string
	Priority    string
	Assignee    string // account id, "" for nobody
	Kind        string
	DoneAt      time.Time
	DoneBy      string // account id
	Repeat      string // None and "" are alike
	Source      string // "" for one that a person made
	Next        record.ID
	CreatedAt   time.Time
}

// Late tells whether the task is open and should have been done by now.
func (t Task) Late(now time.Time) bool {
	return t.State == Open && !t.Due.IsZero() && t.Due.Before(now)
}

// Room keeps tasks in a book.
type Room struct {
	book     *record.Book
	gate     *access.Gate
	journal  *journal.Journal
	contacts *contact.Room
	zone     *time.Location
	now      func() time.Time
}

// Parts is what a Room is made of.
type Parts struct {
	Book     *record.Book
	Gate     *access.Gate
	Journal  *journal.Journal
	Contacts *contact.Room
	Zone     *time.Location // in which the office's days begin and series keep their hour
	Now      func() time.Time
}

// New opens the room and hooks it into the book.
func New(p Parts) *Room {
	r := &Room{book: p.Book, gate: p.Gate, journal: p.Journal, contacts: p.Contacts, zone: p.Zone, now: p.Now}
	r.book.Watch("task", r.written)
	return r
}

// Get reads a task that the actor may see. That he did stands in the journal.
func (r *Room) Get(ctx context.Context, id record.ID) (Task, error) {
	t, rec, err := r.shown(ctx, id)
	if err != nil {
		return Task{}, err
	}
	return t, r.book.TellRead(ctx, rec)
}

// Title is what a task is called, "" for who may not see it.
func (r *Room) Title(ctx context.Context, id record.ID) string {
	t, _, err := r.shown(ctx, id)
	if err != nil {
		return ""
	}
	return t.Title
}

// shown reads a task as the actor may read it.
func (r *Room) shown(ctx context.Context, id record.ID) (t Task, rec record.Record, err error) {
	err = r.book.View(ctx, func(tx store.Tx) (err error) {
		if rec, err = r.book.GetTx(ctx, tx, "task", id); err == nil {
			t = r.task(ctx, tx, rec)
		}
		return err
	})
	return t, rec, err
}

// FromRecord decodes a task record that was read elsewhere, as on the timeline. It does not know the customer's name.
func FromRecord(rec record.Record) Task {
	state := rec.Text("state")
	if state == "" {
		state = Open
	}
	return Task{ID: rec.ID, Version: rec.Version(), Title: rec.Text("title"), Note: rec.Text("note"), Contact: rec.Link("contact"),
		Deal: rec.Link("deal"), Due: rec.Time("due"), RemindAt: rec.Time("remind_at"), State: state, Priority: rec.Text("priority"),
		Assignee: rec.Text("assignee"), Kind: rec.Text("kind"), DoneAt: rec.Time("done_at"), DoneBy: rec.Text("done_by"),
		Repeat: rec.Text("repeat"), Source: rec.Text("source"), Next: rec.Link("next"), CreatedAt: rec.CreatedAt()}
}

func (r *Room) task(ctx context.Context, tx store.Tx, rec record.Record) Task {
	t := FromRecord(rec)
	if !t.Contact.Zero() {
		t.ContactName = r.contacts.Named(ctx, tx, t.Contact)
	}
	return t
}
