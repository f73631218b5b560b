// Package inbox holds the office's conversations with its customers, over every channel.
//
// It owns the entities conversation and message, the buckets inbox.seen (what a channel brought already) and
// inbox.threads (which conversation a channel's message belongs to), the facts conversation.opened, message.received,
// message.queued, message.sent, message.retrying, message.failed, conversation.reopened, conversation.assigned and
// conversation.closed, and the job inbox.deliver.
//
// It promises that a message that a channel brings twice stands here once; that Receive returns only after the message
// is durable; that an answer is written together with the job that delivers it, so that neither is lost without the
// other; and that nobody reads a conversation of a customer who is not theirs.
//
// It will not talk to the world: a Sender does, outside any transaction. It will not parse mail: the channel's plugin does.
package inbox

import (
	"context"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/job"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

const (
	seenBucket    = "inbox.seen"    // channel, account, external id -> message; of an erased one NUL and their hash
	threadsBucket = "inbox.threads" // channel, external id -> conversation
	cursorsBucket = "inbox.cursors" // channel, account -> how far its plugin is
	repliesBucket = "inbox.replies" // actor, idempotency key -> message
)

// States of a conversation.
const (
	Open   = "open"
	Closed = "closed"
)

// States of a message.
const (
	Received = "received"
	Queued   = "queued"   // waits to be sent
	Sent     = "sent"     // the channel took it
	Retrying = "retrying" // failed, will be tried again
	Failed   = "failed"   // given up: a person has to act
)

// Entities are the conversation and the message as schema knows them. Never change or reuse a number.
func Entities() []schema.Entity {
	return []schema.Entity{
		{Name: "conversation", Title: "subject", Owner: "assignee", Via: "contact", Contact: "contact", Fields: []schema.Field{
			{Number: 16, Name: "contact", Type: schema.Link, Target: "contact", Required: true, Closed: true, Indexed: true},
			{Number: 17, Name: "subject", Type: schema.Text},
			{Number: 18, Name: "channel", Type: schema.Text, Closed: true},
			{Number: 19, Name: "account", Type: schema.Text, Closed: true},
			{Number: 20, Name: "state", Type: schema.Choice, Choices: []string{Open, Closed}, Closed: true, Indexed: true},
			{Number: 21, Name: "assignee", Type: schema.Staff, Closed: true, Indexed: true},
			{Number: 22, Name: "waiting_since", Type: schema.Time, Closed: true, Indexed: true},
			{Number: 23, Name: "last_at", Type: schema.Time, Closed: true, Indexed: true},
			{Number: 24, Name: "last_text", Type: schema.Text, Closed: true},
			{Number: 25, Name: "handle", Type: schema.Text, Closed: true},
		}},
		{Name: "message", Title: "subject", Via: "conversation", Contact: "contact", Timeline: true, Fields: []schema.Field{
			{Number: 16, Name: "contact", Type: schema.Link, Target: "contact", Required: true, Closed: true, Indexed: true},
			{Number: 17, Name: "conversation", Type: schema.Link, Target: "conversation", Required: true, Closed: true, Indexed: true},
			{Number: 18, Name: "direction", Type: schema.Choice, Choices: []string{"in", "out"}, Closed: true},
			{Number: 19, Name: "channel", Type: schema.Text, Closed: true},
			{Number: 20, Name: "account", Type: schema.Text, Closed: true},
			{Number: 21, Name: "parties", Type: schema.Data, Closed: true},
			{Number: 22, Name: "subject", Type: schema.Text, Closed: true},
			{Number: 23, Name: "text", Type: schema.LongText, Closed: true},
			{Number: 24, Name: "html", Type: schema.LongText, Closed: true},
			{Number: 25, Name: "sent_at", Type: schema.Time, Closed: true},
			{Number: 26, Name: "state", Type: schema.Choice, Choices: []string{Received, Queued, Sent, Retrying, Failed}, Closed: true},
			{Number: 27, Name: "failure", Type: schema.Data, Closed: true},
			{Number: 28, Name: "author", Type: schema.Staff, Closed: true},
			{Number: 29, Name: "external_id", Type: schema.Text, Closed: true},
			{Number: 30, Name: "references", Type: schema.Data, Closed: true},
			{Number: 31, Name: "attachments", Type: schema.Data, Closed: true},
			{Number: 32, Name: "raw", Type: schema.Text, Closed: true},
			{Number: 33, Name: "automatic", Type: schema.YesNo, Closed: true},
			{Number: 34, Name: "notice", Type: schema.Text, Closed: true},
		}},
	}
}

// Conversation is what a customer and the office wrote to each other about one matter, over one channel.
type Conversation struct {
	ID           record.ID
	Version      uint64
	Contact      record.ID
	ContactName  string
	Subject      string
	Channel      string
	Account      string
	Handle       string // where an answer goes
	State        string
	Assignee     string    // account id, "" for nobody
	WaitingSince time.Time // when the customer's first unanswered message came, zero when nobody waits
	LastAt       time.Time
	LastText     string
}

// Message is one message of a conversation.
type Message struct {
	ID           record.ID
	Conversation record.ID
	Contact      record.ID
	Incoming     bool
	Channel      string
	Account      string
	From         Party
	To, CC       []Party
	Subject      string
	Text         string
	HTML         string    // hostile
	At           time.Time // when it came in, or was written here
	SentAt       time.Time // as the sender's clock said, or when the channel took it
	State        string
	Failure      Failure
	Author       string // account id of who wrote an answer
	ExternalID   string
	Attachments  []Attachment
	Raw          string // blob of the original
	Automatic    bool
	Notice       string

	references []string // external ids of the thread before it, oldest first
}

// Failure is why a message was not sent.
type Failure struct {
	Key      string            `json:"key,omitempty"`
	Params   map[string]string `json:"params,omitempty"`
	Detail   string            `json:"detail,omitempty"` // the other side's own words
	Attempts int               `json:"attempts,omitempty"`
	Again    time.Time         `json:"again,omitzero"` // when it will be tried again, zero for never
}

type parties struct {
	From Party   `json:"from"`
	To   []Party `json:"to,omitempty"`
	CC   []Party `json:"cc,omitempty"`
}

// Room keeps conversations in a book.
type Room struct {
	book     *record.Book
	gate     *access.Gate
	contacts *contact.Room
	jobs     *job.Queue
	sender   Sender
	now      func() time.Time
}

// Parts is what a Room is made of.
type Parts struct {
	Book     *record.Book
	Gate     *access.Gate
	Contacts *contact.Room
	Jobs     *job.Queue
	Now      func() time.Time
}

// New opens the room. Without a Sender (SetSender) answers wait in the queue.
func New(p Parts) *Room {
	r := &Room{book: p.Book, gate: p.Gate, contacts: p.Contacts, jobs: p.Jobs, now: p.Now}
	p.Contacts.WhenErased("message", r.messageErased)
	return r
}

// SetSender says who delivers answers. It is called while the appliance is put together, since the plugin host that
// sends needs the room that receives.
func (r *Room) SetSender(s Sender) { r.sender = s }

// Party is one end of a message, as the channel names it.
type Party struct {
	Handle string `json:"handle"` // e-mail address, phone in E.164, user name
	Name   string `json:"name,omitempty"`
}

// Attachment is a file that came or goes with a message. Its bytes lie in the blob store.
type Attachment struct {
	Name   string `json:"name"`
	Type   string `json:"type"` // media type, as the sender claimed it: hostile
	Size   int64  `json:"size"`
	Blob   string `json:"blob"` // SHA-256 of the bytes, 64 hex digits
	Inline bool   `json:"inline,omitempty"`
}

// Inbound is one message as a channel brought it, its files already durable in the blob store.
type Inbound struct {
	Channel     string // kind of identity: "email", "phone", ...
	Account     string // which of the office's own accounts received it: "office@example.com"
	ExternalID  string // the channel's id of the message: the same id enters once for a channel and account
	From        Party
	To, CC      []Party
	Subject     string
	Text        string   // plain text, the whole of it
	HTML        string   // as it came: hostile, cleaned when it is shown
	InReplyTo   []string // ExternalIDs this one answers, nearest first
	SentAt      time.Time
	Raw         string // blob of the original, "" where the channel has none
	Attachments []Attachment
	Automatic   bool   // an out-of-office note, a bounce, a list: it makes nobody wait for an answer
	Notice      string // key of a sentence when something about it had to be left out, as "mail.too-deep"
	Cursor      string // how far the plugin is in Account after this message; kept in the same transaction
}

// Outbound is one message on its way out.
type Outbound struct {
	MessageID   record.ID // idempotency key: sending it twice must not deliver twice where the channel can tell
	Channel     string
	Account     string
	To          Party
	Subject     string
	Text        string
	ExternalID  string   // the channel's id chosen for it, as a Message-ID without angle brackets
	InReplyTo   string   // ExternalID it answers, "" for a first message
	References  []string // ExternalIDs of the thread, oldest first
	Attachments []Attachment
}

// Receipt is what a channel said when it took a message.
type Receipt struct {
	ExternalID string // the channel's own id where it did not keep ours
	At         time.Time
}

// Sender delivers one message through its channel. It may be called again with the same MessageID after a failure of
// which nobody knows whether it happened before or after delivery. A fault of kind Unavailable is worth a retry;
// Invalid, Forbidden and NotFound are final. It is called outside any transaction, from job goroutines.
type Sender interface {
	Send(ctx context.Context, out Outbound) (Receipt, error)
}
