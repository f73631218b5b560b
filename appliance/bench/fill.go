package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/seed"
	"github.com/karov-crm/karov/appliance/store"
)

const (
	// fewest and most are how many records one transaction takes while data is made.
	fewest, most = 100, 5000
	// letters is how many different texts messages have, and tasks.
	letters = 3000
	// errand says which of a customer's entries is a task: every fifth; the others are messages.
	errand = 5
	// samples is how many customers are remembered to be asked for.
	samples = 2000
	// short and cards: that many customers have a history of that length.
	short, cards = 50, 20
)

// data is what a run remembers of what it made.
type data struct {
	contacts []record.ID
	speaks   []seed.Language
	threads  []record.ID // the conversation of each contact
	sample   []seed.Contact
	mails    map[seed.Language][]seed.Mail
	tasks    map[seed.Language][]seed.Task
}

// fill makes customers, and for each a conversation with its messages and tasks, written in rounds, so that a customer's
// entries lie far apart, as they do where they came over years. Customers 0 to 19 get a history of 50 entries, customer 20 one of
// History.
func (r *run) fill(ctx context.Context) error {
	start := time.Now()
	ctx = access.WithActor(ctx, access.Appliance())
	r.data = &data{mails: map[seed.Language][]seed.Mail{}, tasks: map[seed.Language][]seed.Task{}}
	for m := range seed.Mails(r.Seed, letters) {
		r.data.mails[m.Language] = append(r.data.mails[m.Language], m)
	}
	for t := range seed.Tasks(r.Seed, letters) {
		r.data.tasks[t.Language] = append(r.data.tasks[t.Language], t)
	}
	if err := r.fillContacts(ctx); err != nil {
		return err
	}
	if err := r.fillThreads(ctx); err != nil {
		return err
	}
	if err := r.fillMessages(ctx); err != nil {
		return err
	}
	took := time.Since(start)
	r.report.FillTime = took.Seconds()
	return nil
}

// batch is how many records the next transaction takes: an eighth of what is there. bbolt splits a page only when it
// commits, and within a transaction each key that comes into a page moves those behind it: a large transaction in small
// indexes takes time with the square of its size.
func batch(done int) int { return min(max(fewest, done/8), most) }

func (r *run) fillContacts(ctx context.Context) error {
	d := r.data
	d.contacts = make([]record.ID, 0, r.Contacts)
	each := max(1, r.Contacts/samples)
	var some []seed.Contact
	flush := func() error {
		err := r.create(ctx, len(some), func(i int) record.Change {
			return record.Change{Entity: "contact", Values: valuesOf(some[i]), Inside: true}
		}, func(_ int, id record.ID) { d.contacts = append(d.contacts, id) })
		some = some[:0]
		r.Tell("customers", len(d.contacts), r.Contacts)
		return err
	}
	for c := range seed.Contacts(r.Seed, r.Contacts) {
		d.speaks = append(d.speaks, c.Language)
		if c.Index%each == 0 {
			d.sample = append(d.sample, c)
		}
		if some = append(some, c); len(some) == batch(len(d.contacts)) {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// valuesOf is a synthetic customer as the record has it.
func valuesOf(c seed.Contact) record.Values {
	values := record.Values{}
	for name, value := range map[string]string{"kind": c.Kind, "name": c.Name, "company": c.Company, "city": c.City,
		"address": c.Address, "note": c.Note, "birthday": c.Birthday} {
		if value != "" {
			values[name] = value
		}
	}
	if len(c.Phones) > 0 {
		values["phones"] = c.Phones
	}
	if len(c.Emails) > 0 {
		values["emails"] = c.Emails
	}
	return values
}

// create makes n records in one transaction.
func (r *run) create(ctx context.Context, n int, change func(i int) record.Change, made func(i int, id record.ID)) error {
	ids := make([]record.ID, n)
	err := r.o.Book.Update(ctx, func(tx store.Tx) error {
		for i := range n {
			rec, err := r.o.Book.CreateTx(ctx, tx, change(i))
			if err != nil {
				return err
			}
			ids[i] = rec.ID
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, id := range ids {
		made(i, id)
	}
	return nil
}

func (r *run) fillThreads(ctx context.Context) error {
	d, now := r.data, time.Now()
	d.threads = make([]record.ID, 0, len(d.contacts))
	for from := 0; from < len(d.contacts); from = len(d.threads) {
		err := r.create(ctx, min(batch(from), len(d.contacts)-from), func(i int) record.Change {
			mail := d.mail(from+i, 0)
			values := record.Values{"contact": d.contacts[from+i], "subject": mail.Subject, "channel": "email", "account": "office@karov.example",
				"state": []string{"closed", "closed", "open"}[i%3], "last_at": now, "handle": fmt.Sprintf("c%d@karov.example", from+i)}
			return record.Change{Entity: "conversation", Values: values, Inside: true, Fact: "conversation.opened"}
		}, func(_ int, id record.ID) { d.threads = append(d.threads, id) })
		if err != nil {
			return err
		}
		r.Tell("conversations", len(d.threads), len(d.contacts))
	}
	return nil
}

// mail is the text of a customer's message of a number, in his language.
func (d *data) mail(customer, number int) seed.Mail {
	all := d.mails[d.speaks[customer]]
	return all[(customer*31+number*7919)%len(all)]
}

func (r *run) fillMessages(ctx context.Context) error {
	order := r.order()
	now := time.Now()
	for from, n := 0, 0; from < len(order); from += n {
		n = min(batch(from), len(order)-from)
		err := r.create(ctx, n, func(i int) record.Change {
			if customer := int(order[from+i]); (from+i)%errand == errand-1 {
				return r.task(customer, from+i, now)
			}
			return r.message(int(order[from+i]), from+i, now)
		}, func(int, record.ID) {})
		if err != nil {
			return err
		}
		r.Tell("messages and tasks", from+n, len(order))
	}
	return nil
}

// order gives whose each message is: one for everybody, again and again, and spread between them those that make a few
// histories longer.
func (r *run) order() []int32 {
	few := len(r.data.contacts)
	if few == 0 {
		return nil
	}
	var more []int32
	for i := r.Messages; i < max(short, r.History); i++ {
		for c := range min(cards, few) {
			if i < short {
				more = append(more, int32(c))
			}
		}
		if i < r.History {
			more = append(more, int32(min(cards, few-1)))
		}
	}
	regular := few * r.Messages
	order := make([]int32, 0, regular+len(more))
	told := 0
	for i := range regular {
		order = append(order, int32(i%few))
		for ; told*regular < (i+1)*len(more); told++ {
			order = append(order, more[told])
		}
	}
	return order
}

func (r *run) message(customer, number int, now time.Time) record.Change {
	mail := r.data.mail(customer, number)
	direction, state := "in", "received"
	if number%3 == 0 {
		direction, state = "out", "sent"
	}
	return record.Change{Entity: "message", Inside: true, Fact: "message." + state, Values: record.Values{
		"contact": r.data.contacts[customer], "conversation": r.data.threads[customer], "direction": direction, "channel": "email",
		"account": "office@karov.example", "subject": mail.Subject, "text": mail.Text, "sent_at": now, "state": state,
		"external_id": fmt.Sprintf("%d.%d@karov.example", customer, number)}}
}

func (r *run) task(customer, number int, now time.Time) record.Change {
	all := r.data.tasks[r.data.speaks[customer]]
	t := all[(customer*31+number*7919)%len(all)]
	values := record.Values{"title": t.Title, "contact": r.data.contacts[customer], "kind": t.Kind, "priority": t.Priority, "state": t.State,
		"due": now.AddDate(0, 0, t.Days)}
	if t.Note != "" {
		values["note"] = t.Note
	}
	return record.Change{Entity: "task", Values: values, Inside: true}
}
