package inbox

import (
	"context"
	"slices"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/store"
)

// View is a choice of conversations.
type View string

const (
	Waiting View = "waiting" // the customer waits for an answer, longest first
	AllOpen View = "open"    // newest first
	Mine    View = "mine"    // assigned to the actor and open, newest first
	Done    View = "closed"  // newest first
)

// Page is a run of conversations and the cursor to the next.
type Page struct {
	Conversations []Conversation
	Next          string
}

// List gives a page of conversations that the actor may see.
func (r *Room) List(ctx context.Context, view View, cursor string, limit int) (page Page, err error) {
	q := record.Query{Entity: "conversation", Cursor: cursor, Limit: limit, Sort: "-last_at"}
	me := access.ActorFrom(ctx).ID
	switch view {
	case Waiting:
		q.Sort, q.Valued, q.Keep = "waiting_since", true, isOpen
	case AllOpen:
		q.Keep = isOpen
	case Mine:
		q.Keep = func(c record.Record) bool { return isOpen(c) && c.Text("assignee") == me }
	case Done:
		q.Keep = func(c record.Record) bool { return c.Text("state") == Closed }
	default:
		return Page{}, fault.InvalidField("view", "field.choice", "choices", "waiting, open, mine, closed")
	}
	err = r.book.View(ctx, func(tx store.Tx) error {
		found, err := r.book.ListTx(ctx, tx, q)
		page.Next = found.Next
		for _, c := range found.Records {
			page.Conversations = append(page.Conversations, r.conversation(ctx, tx, c))
		}
		return err
	})
	if err == nil {
		err = r.book.TellListed(ctx, q, len(page.Conversations))
	}
	return page, err
}

func isOpen(c record.Record) bool { return c.Text("state") == Open }

// CountWaiting says how many customers of the actor wait for an answer, exactly up to record.CountLimit.
func (r *Room) CountWaiting(ctx context.Context) (n int, exact bool, err error) {
	return r.book.Count(ctx, record.Query{Entity: "conversation", Sort: "waiting_since", Valued: true, Keep: isOpen})
}

// Of gives the newest conversations with a customer, open ones first.
func (r *Room) Of(ctx context.Context, contact record.ID, limit int) (conversations []Conversation, err error) {
	if limit <= 0 || limit > record.MaxLimit {
		limit = record.DefaultLimit
	}
	err = r.book.View(ctx, func(tx store.Tx) error {
		for c := range r.book.Linked(tx, "conversation", "contact", contact, record.ID{}) {
			if !r.book.Allowed(ctx, tx, access.See, c) {
				continue
			}
			if conversations = append(conversations, r.conversation(ctx, tx, r.book.Shown(ctx, tx, c))); len(conversations) >= limit {
				break
			}
		}
		return nil
	})
	slices.SortStableFunc(conversations, func(a, b Conversation) int {
		if (a.State == Open) != (b.State == Open) {
			if a.State == Open {
				return -1
			}
			return 1
		}
		return 0
	})
	return conversations, err
}

// Get reads a conversation that the actor may see. That he did stands in the journal, as for Messages and Message.
func (r *Room) Get(ctx context.Context, id record.ID) (c Conversation, err error) {
	var rec record.Record
	err = r.book.View(ctx, func(tx store.Tx) (err error) {
		if rec, err = r.book.GetTx(ctx, tx, "conversation", id); err == nil {
			c = r.conversation(ctx, tx, rec)
		}
		return err
	})
	if err == nil {
		err = r.book.TellRead(ctx, rec)
	}
	return c, err
}

// Messages gives the newest messages of a conversation, oldest first, older than before where that is given; more tells
// whether there are older ones still.
func (r *Room) Messages(ctx context.Context, conversation, before record.ID, limit int) (messages []Message, more bool, err error) {
	if limit <= 0 || limit > record.MaxLimit {
		limit = record.DefaultLimit
	}
	var read record.Record
	err = r.book.View(ctx, func(tx store.Tx) (err error) {
		if read, err = r.book.GetTx(ctx, tx, "conversation", conversation); err != nil {
			return err
		}
		for rec := range r.book.Linked(tx, "message", "conversation", conversation, before) {
			if !r.book.Allowed(ctx, tx, access.See, rec) { // a role may see conversations and not what was said in them
				continue
			}
			if len(messages) == limit {
				more = true
				break
			}
			messages = append(messages, r.message(r.book.Shown(ctx, tx, rec)))
		}
		return nil
	})
	if err == nil {
		err = r.book.TellRead(ctx, read)
	}
	slices.Reverse(messages)
	return messages, more, err
}

// Message reads one message that the actor may see.
func (r *Room) Message(ctx context.Context, id record.ID) (m Message, err error) {
	rec, err := r.book.Get(ctx, "message", id)
	if err == nil {
		err = r.book.TellRead(ctx, rec)
	}
	if err != nil {
		return Message{}, err
	}
	return r.message(rec), nil
}

// TellOpened tells the journal that the actor opens a file that came with a message.
func (r *Room) TellOpened(ctx context.Context, m Message) error {
	return r.book.TellOpened(ctx, "message", m.ID, m.Contact)
}

// FromRecord decodes a message record that was read elsewhere, as on the timeline.
func (r *Room) FromRecord(rec record.Record) Message { return r.message(rec) }

// Assign gives a conversation to an account, or to nobody (""). A customer who is nobody's becomes that account's too,
// so that it sees whom it answers.
func (r *Room) Assign(ctx context.Context, id record.ID, account string) error {
	return r.book.Update(ctx, func(tx store.Tx) error {
		c, err := r.require(ctx, tx, access.Assign, id)
		if err != nil {
			return err
		}
		_, err = r.book.ChangeTx(ctx, tx, record.Change{Entity: "conversation", ID: id, Inside: true, Fact: "conversation.assigned",
			Values: record.Values{"assignee": account}})
		if err != nil || account == "" {
			return err
		}
		who, err := r.book.Raw(tx, "contact", c.Link("contact"))
		if err != nil || who.Text("owner") != "" {
			return err
		}
		_, err = r.book.ChangeTx(ctx, tx, record.Change{Entity: "contact", ID: who.ID, Inside: true, Values: record.Values{"owner": account}})
		return err
	})
}

// Close ends a conversation until the customer writes again; with open it is taken up again.
func (r *Room) Close(ctx context.Context, id record.ID, open bool) error {
	return r.book.Update(ctx, func(tx store.Tx) error {
		if _, err := r.require(ctx, tx, access.Change, id); err != nil {
			return err
		}
		change := record.Change{Entity: "conversation", ID: id, Inside: true, Fact: "conversation.closed",
			Values: record.Values{"state": Closed, "waiting_since": nil}}
		if open {
			change.Fact, change.Values = "conversation.reopened", record.Values{"state": Open}
		}
		_, err := r.book.ChangeTx(ctx, tx, change)
		return err
	})
}

func (r *Room) conversation(ctx context.Context, tx store.Tx, rec record.Record) Conversation {
	return Conversation{ID: rec.ID, Version: rec.Version(), Contact: rec.Link("contact"),
		ContactName: r.contacts.Named(ctx, tx, rec.Link("contact")), Subject: rec.Text("subject"), Channel: rec.Text("channel"),
		Account: rec.Text("account"), Handle: rec.Text("handle"), State: rec.Text("state"), Assignee: rec.Text("assignee"),
		WaitingSince: rec.Time("waiting_since"), LastAt: rec.Time("last_at"), LastText: rec.Text("last_text")}
}
