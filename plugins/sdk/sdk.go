// Package sdk is what the author of a Karov plugin imports: a channel, a message, a host to hand it to.
//
// A plugin is a process of its own. Main serves it until the host goes away; everything between the two processes
// (sockets, tokens, gRPC) stays behind this package, so that a plugin reads as plain Go.
//
// It promises that Deliver returns nil only after the host has the message on disk, that a message delivered twice
// stands in the office once, and that the process ends when the host ends, however the host ended.
//
// It will not retry for the author: an error of Deliver means "keep it and bring it again".
package sdk

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Info says who the plugin is. ID and Version repeat plugin.yaml; the host refuses to start a plugin whose words differ.
type Info struct {
	ID      string // reverse DNS, as "il.karov.email"
	Version string // semantic version
}

// Config is the plugin's configuration as the administrator gave it: flat keys as plugin.yaml's config schema names
// them ("imap.host"), secrets already opened. It must never be logged.
type Config map[string]string

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
	Account string
	OK      bool
	Key     string
	Params  map[string]string
	Detail  string
}

// Host is the daemon, as a plugin sees it. Its methods may be called from any goroutine.
type Host interface {
	// Deliver hands over a message and returns when the host has it on disk. It is at-least-once and idempotent by
	// (Channel, Account, ExternalID). On an error the plugin keeps the message and brings it again later.
	Deliver(ctx context.Context, m Message) error
	// Cursor gives the Cursor of the last message delivered for the account, "" before the first.
	Cursor(ctx context.Context, account string) (string, error)
	// SaveCursor keeps a cursor without a message, for a place that holds nothing worth delivering.
	SaveCursor(ctx context.Context, account, cursor string) error
	// Report tells the administrator how an account fares. Reporting the same again costs nothing.
	Report(ctx context.Context, h Health) error
	// Log writes to the host's log under the plugin's name.
	Log() *slog.Logger

	// Dial opens a connection to "host:port" in the world. It is the only way out of a plugin, and goes where plugin.yaml's
	// permissions.egress says and the administrator approved; anywhere else is an error that IsForbidden knows. The name is
	// looked up by Karov. Network is "tcp"; TLS is the plugin's own to speak. Any library that takes a dial function of
	// this form can be given it.
	Dial(ctx context.Context, network, addr string) (net.Conn, error)
	// HTTPClient is a client whose every connection is made by Dial. It is shared, keeps connections and may be used at once
	// from everywhere; ctx of a request bounds it.
	HTTPClient() *http.Client
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
