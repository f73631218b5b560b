package inbox

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/job"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/store"
)

// DeliverJob is the kind of the job that sends one message.
const DeliverJob = "inbox.deliver"

// Reply is an answer to a conversation.
type Reply struct {
	Text        string
	Attachments []Attachment
	Key         string // idempotency key: the same actor's same key makes one message
}

// Reply writes an answer and the job that sends it, in one transaction. It goes out by the conversation's channel, to
// where the customer last wrote from.
func (r *Room) Reply(ctx context.Context, conversation record.ID, reply Reply) (m Message, err error) {
	text := strings.TrimSpace(reply.Text)
	if text == "" {
		return Message{}, fault.InvalidField("text", "field.required")
	}
	if len(text) > maxBody {
		return Message{}, fault.InvalidField("text", "field.too-long", "limit", maxBody)
	}
	if len(reply.Key) > 200 {
		return Message{}, fault.InvalidField("key", "field.too-long", "limit", 200)
	}
	err = r.book.Update(ctx, func(tx store.Tx) error {
		c, err := r.require(ctx, tx, access.Reply, conversation)
		if err != nil {
			return err
		}
		replies, key := tx.Bucket(repliesBucket), []byte(access.ActorFrom(ctx).ID+"\x00"+conversation.String()+"\x00"+reply.Key)
		if raw := replies.Get(key); reply.Key != "" && len(raw) == 16 {
			done, err := r.book.Raw(tx, "message", record.ID(raw))
			m = r.message(done)
			return err
		}
		if m, err = r.answerTx(ctx, tx, c, text, reply.Attachments); err != nil {
			return err
		}
		if reply.Key != "" {
			replies.Put(key, m.ID[:])
		}
		return r.jobs.Add(tx, job.Job{Kind: DeliverJob, Key: m.ID.String()})
	})
	return m, err
}

// require reads a conversation on which the actor may act.
func (r *Room) require(ctx context.Context, tx store.Tx, verb access.Verb, id record.ID) (record.Record, error) {
	c, err := r.book.Raw(tx, "conversation", id)
	if err != nil {
		return c, err
	}
	return c, r.book.Require(ctx, tx, verb, c)
}

func (r *Room) answerTx(ctx context.Context, tx store.Tx, c record.Record, text string, files []Attachment) (Message, error) {
	last, references := r.thread(tx, c.ID)
	subject := c.Text("subject")
	if subject != "" && !isReply(subject) {
		subject = "Re: " + subject
	}
	to := Party{Handle: c.Text("handle"), Name: r.contacts.Named(ctx, tx, c.Link("contact"))}
	if last.Incoming && last.From.Name != "" {
		to.Name = last.From.Name
	}
	values := record.Values{"contact": c.Link("contact"), "conversation": c.ID, "direction": "out", "channel": c.Text("channel"),
		"account": c.Text("account"), "parties": parties{From: Party{Handle: c.Text("account")}, To: []Party{to}},
		"subject": oneLine(subject, 900), "text": text, "state": Queued, "author": access.ActorFrom(ctx).ID,
		"external_id": newExternalID(c.Text("account")), "references": references}
	if len(files) > 0 {
		values["attachments"] = files
	}
	m, err := r.book.CreateTx(ctx, tx, record.Change{Entity: "message", Values: values, Inside: true, Fact: "message.queued",
		About: map[string]string{"channel": c.Text("channel"), "conversation": c.ID.String()}})
	if err != nil {
		return Message{}, err
	}
	tx.Bucket(threadsBucket).Put(threadKey(c.Text("channel"), m.Text("external_id")), c.ID[:])
	_, err = r.book.ChangeTx(ctx, tx, record.Change{Entity: "conversation", ID: c.ID, Inside: true, Fact: "-",
		Values: record.Values{"waiting_since": nil, "last_at": r.now(), "last_text": excerpt(text), "state": Open}})
	if err != nil {
		return Message{}, err
	}
	return r.message(m), r.contacts.HeardTx(ctx, tx, c.Link("contact"), r.now())
}

// thread gives the newest message that came in, and the external ids of the conversation, oldest first, as a
// References header wants them (RFC 5322, 3.6.4): the last ones of a long thread.
func (r *Room) thread(tx store.Tx, conversation record.ID) (last Message, references []string) {
	for rec := range r.book.Linked(tx, "message", "conversation", conversation, record.ID{}) {
		m := r.message(rec)
		if m.Incoming && last.ID.Zero() {
			last = m
		}
		if m.ExternalID != "" && !strings.HasPrefix(m.ExternalID, "sha256:") {
			references = append([]string{m.ExternalID}, references...)
		}
		if len(references) >= 20 {
			break
		}
	}
	return last, references
}

func isReply(subject string) bool {
	for _, prefix := range []string{"re:", "השב:", "תשובה:", "отв:", "на:", "aw:", "sv:"} {
		if len(subject) >= len(prefix) && strings.EqualFold(subject[:len(prefix)], prefix) {
			return true
		}
	}
	return false
}

// newExternalID makes an id that nobody can guess, in the domain of the account: an answer that carries it was written
// by somebody who got the message.
func newExternalID(account string) string {
	b := make([]byte, 18)
	_, _ = rand.Read(b)
	domain := "karov.invalid"
	if _, d, ok := strings.Cut(account, "@"); ok && d != "" {
		domain = d
	}
	return hex.EncodeToString(b) + "@" + domain
}

// Jobs are the kinds of job that the room does.
func (r *Room) Jobs() []job.Kind {
	return []job.Kind{{Name: DeliverJob, Work: r.deliver, Failed: r.failed, MaxAttempts: 24}}
}

// deliver sends one message and writes down that it was sent. It may run twice for one message; the Sender is told the
// message's id so that the channel can know it again.
func (r *Room) deliver(ctx context.Context, j job.Job) error {
	id, err := record.ParseID(j.Key)
	if err != nil {
		return err
	}
	var m Message
	err = r.book.View(ctx, func(tx store.Tx) error {
		rec, err := r.book.Raw(tx, "message", id)
		m = r.message(rec)
		return err
	})
	if fault.KindOf(err) == fault.NotFound {
		return nil // its customer was forgotten while it waited
	}
	if err != nil || m.State == Sent {
		return err
	}
	if r.sender == nil {
		return fault.New(fault.Unavailable, "channel.not-running", "channel", m.Channel)
	}
	receipt, err := r.sender.Send(ctx, m.outbound())
	if err != nil {
		return err
	}
	return r.book.Update(context.WithoutCancel(ctx), func(tx store.Tx) error {
		at := sane(receipt.At)
		if at.IsZero() {
			at = r.now()
		}
		values := record.Values{"state": Sent, "sent_at": at, "failure": nil}
		if id := plainID(receipt.ExternalID); id != "" && id != m.ExternalID {
			values["external_id"] = id
			tx.Bucket(threadsBucket).Put(threadKey(m.Channel, id), m.Conversation[:])
		}
		return r.markTx(ctx, tx, m, values, "message.sent")
	})
}

func (m Message) outbound() Outbound {
	out := Outbound{MessageID: m.ID, Channel: m.Channel, Account: m.Account, Subject: m.Subject, Text: m.Text,
		ExternalID: m.ExternalID, References: m.references, Attachments: m.Attachments}
	if len(m.To) > 0 {
		out.To = m.To[0]
	}
	if n := len(m.references); n > 0 {
		out.InReplyTo = m.references[n-1]
	}
	return out
}

// failed writes onto the message why it was not sent, and whether it will be tried again.
func (r *Room) failed(ctx context.Context, tx store.Tx, j job.Job, failure error, again time.Time) error {
	id, err := record.ParseID(j.Key)
	if err != nil {
		return nil // a job that names no message has nothing to mark
	}
	rec, err := r.book.Raw(tx, "message", id)
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	state := Retrying
	if again.IsZero() {
		state = Failed
	}
	f := fault.Of(failure)
	why := Failure{Key: f.Key, Params: f.Params, Attempts: j.Attempts, Again: again}
	if f.Err != nil {
		why.Detail = oneLine(rootOf(f.Err).Error(), 500)
	}
	return r.markTx(ctx, tx, r.message(rec), record.Values{"state": state, "failure": why}, "message."+state)
}

func rootOf(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

func (r *Room) markTx(ctx context.Context, tx store.Tx, m Message, values record.Values, fact string) error {
	_, err := r.book.ChangeTx(ctx, tx, record.Change{Entity: "message", ID: m.ID, Values: values, Inside: true, Fact: fact,
		About: map[string]string{"conversation": m.Conversation.String()}})
	return err
}

// Retry sends a message again that was given up, or that waits for its next attempt.
func (r *Room) Retry(ctx context.Context, message record.ID) error {
	return r.book.Update(ctx, func(tx store.Tx) error {
		rec, err := r.book.GetTx(ctx, tx, "message", message)
		if err != nil {
			return err
		}
		m := r.message(rec)
		if _, err := r.require(ctx, tx, access.Reply, m.Conversation); err != nil {
			return err
		}
		if m.State != Failed && m.State != Retrying {
			return fault.New(fault.Conflict, "message.not-failed")
		}
		if err := r.markTx(ctx, tx, m, record.Values{"state": Queued, "failure": nil}, "message.queued"); err != nil {
			return err
		}
		return r.jobs.Add(tx, job.Job{Kind: DeliverJob, Key: m.ID.String()})
	})
}

func (r *Room) message(rec record.Record) Message {
	m := Message{ID: rec.ID, Conversation: rec.Link("conversation"), Contact: rec.Link("contact"),
		Incoming: rec.Text("direction") == "in", Channel: rec.Text("channel"), Account: rec.Text("account"),
		Subject: rec.Text("subject"), Text: rec.Text("text"), HTML: rec.Text("html"), At: rec.CreatedAt(),
		SentAt: rec.Time("sent_at"), State: rec.Text("state"), Author: rec.Text("author"), ExternalID: rec.Text("external_id"),
		Raw: rec.Text("raw"), Automatic: rec.YesNo("automatic"), Notice: rec.Text("notice")}
	var p parties
	// Data is the room's own JSON; one that does not read leaves its field empty rather than hide the message.
	_ = rec.Data("parties", &p)
	_ = rec.Data("failure", &m.Failure)
	_ = rec.Data("attachments", &m.Attachments)
	_ = rec.Data("references", &m.references)
	m.From, m.To, m.CC = p.From, p.To, p.CC
	return m
}
