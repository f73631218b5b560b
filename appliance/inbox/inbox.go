// Package inbox holds the office's conversations with its customers, over every channel.
//
// It owns the entities conversation and message, the buckets inbox.seen (what a channel brought already) and
// inbox.threads (which conversation a channel's message belongs to), the facts conversation.opened, message.received,
// message.queued, message.sent, message.failed, conversation.assigned and conversation.closed, and the job
// inbox.deliver.
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

	"github.com/karov-crm/karov/appliance/record"
)

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
