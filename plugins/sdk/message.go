package sdk

import (
	"context"
	"io"
	"time"
)

// Party is one end of a message.
type Party struct {
	Handle string // e-mail address, phone in E.164, user name
	Name   string
}

// File is an attachment on its way into or out of the host.
type File struct {
	Name   string
	Type   string // media type
	Inline bool
	Size   int64
	Open   func() (io.ReadCloser, error) // called at most once
}

// Message is one message that came in over a channel.
type Message struct {
	Channel     string // kind of identity: "email"
	Account     string // the office's own account that received it
	ExternalID  string // the channel's id of the message; must be the same when the message is brought again
	From        Party
	To, CC      []Party
	Subject     string
	Text        string
	HTML        string
	InReplyTo   []string // ids of the messages this one answers, nearest first
	SentAt      time.Time
	Raw         *File // the original, byte for byte
	Attachments []File
	Automatic   bool   // an out-of-office note, a bounce, a list
	Notice      string // key of a sentence when something had to be left out
	Cursor      string // how far the plugin is in Account after this message; the host keeps it with the message
}

// Outgoing is one message to send.
type Outgoing struct {
	IdempotencyKey string // the same for each attempt at the same message
	Channel        string
	Account        string
	To             Party
	Subject        string
	Text           string
	ExternalID     string // the id the message must carry, so that answers to it are recognised
	InReplyTo      string
	References     []string
	Attachments    []File
}

// Receipt is what the channel said when it took a message.
type Receipt struct {
	ExternalID string
	At         time.Time
}

// Health is how one account of a channel fares. Key and Params name a sentence for the administrator
// (as "mail.login-refused"); Detail is what the other side said, shown beside it as it is.
type Health struct {
	Channel string // may be left empty where plugin.yaml provides a single channel
	Account string
	OK      bool
	Key     string
	Params  map[string]string
	Detail  string
}

// Channel is a plugin that brings messages in and carries answers out.
type Channel interface {
	// Configure takes a new configuration. It must not talk to the world; a wrong value is an Invalid error.
	// It is called before Run and again on each change, never at the same time as itself.
	Configure(ctx context.Context, c Config) error
	// Run brings messages until ctx ends. After Configure it is ended and started again. A returned error other than
	// ctx's makes the host start Run again with back-off.
	Run(ctx context.Context, h Host) error
	// Send carries one message out. Wrap errors with Temporary or Permanent; an unwrapped one counts as temporary.
	// It may be called from several goroutines, and again with the same IdempotencyKey.
	Send(ctx context.Context, h Host, out Outgoing) (Receipt, error)
}
