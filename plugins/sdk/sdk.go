// Package sdk is what the author of a Karov plugin imports. A plugin's main function is one call of Run, with those parts
// of Plugin filled that the plugin is: a channel, hooks, views, actions, jobs, routes, importers.
//
// A plugin is a process of its own. Run serves it until the host goes away; everything between the two processes
// (sockets, tokens, gRPC) stays behind this package, so that a plugin reads as plain Go: functions that take a ctx and a
// Host, records with values of Go's own types, errors with a sentence.
//
// The process is confined. It has no network but Host.Dial and Host.HTTPClient, no resolver, no other programs, no files
// but its own folder, and as much memory as its manifest asked for (the Go runtime is told so by GOMEMLIMIT). The package
// needs none of them, and what a plugin wants kept it gives to Host.KV, Host.Blobs or Host.Records, which the office's
// backup holds.
//
// It promises that what a handler asks of the Host with its ctx is done with the rights of the person for whom Karov
// called; that Deliver returns nil only after the host has the message on disk, and a message delivered twice stands in
// the office once; that a panic of a handler is an answer, not the end; and that the process ends when the host ends,
// however the host ended.
//
// It will not retry for the author: an error of Deliver means "keep it and bring it again", one of Records "decide
// again". Only Amend, which is made for it, tries again by itself.
package sdk

import (
	"context"
	"log/slog"
	"net"
	"net/http"
)

// Info says who the plugin is. ID and Version repeat plugin.yaml; the host refuses to start a plugin whose words differ.
type Info struct {
	ID      string // reverse DNS, as "il.karov.email"
	Version string // semantic version
}

// Host is the daemon, as a plugin sees it. Its methods may be called from any goroutine. It grows with the contract: a host
// made for a test embeds it and writes the methods that the test needs.
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

	// Records is what the office holds: contacts, deals, the plugin's own entities.
	Records() Records
	// KV is the plugin's own store of small values.
	KV() KV
	// Blobs keeps files.
	Blobs() Blobs
	// Secrets keeps what a plugin must not store itself.
	Secrets() Secrets
	// Office tells where the plugin is, makes sentences, writes the audit and the journal, and asks for jobs.
	Office() Office

	// Dial opens a connection to "host:port" in the world. It is the only way out of a plugin, and goes where plugin.yaml's
	// permissions.egress says and the administrator approved; anywhere else is an error that IsForbidden knows. The name is
	// looked up by Karov. Network is "tcp"; TLS is the plugin's own to speak. Any library that takes a dial function of
	// this form can be given it.
	Dial(ctx context.Context, network, addr string) (net.Conn, error)
	// HTTPClient is a client whose every connection is made by Dial. It is shared, keeps connections and may be used at once
	// from everywhere; ctx of a request bounds it.
	HTTPClient() *http.Client
}
