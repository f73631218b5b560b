// Command email is the e-mail channel of Karov: it reads an office's mailbox by IMAP and sends answers by SMTP.
//
// It owns nothing but small files in its working directory: the keys of what was sent lately, the mark of the mail it
// is reading, and unnamed files for big mails.
//
// It promises that a mail is behind the cursor only when the host has it on disk; that a mail comes in whatever state
// it is in, with its header and original alone if need be; that nothing travels without TLS and a verified
// certificate; that a refused password is not tried again and again; and that an answer which the mail server took
// is not sent twice when the host asks again.
//
// It never marks a mail as read, deletes or moves one: other programs go on with the mailbox undisturbed.
package main

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/karov-crm/karov/plugins/sdk"
)

func info() sdk.Info { return sdk.Info{ID: "il.karov.email", Version: "0.1.0"} }

func main() {
	sdk.Main(info(), newChannel("."))
}

// pace is how long the plugin waits before it tries again, and how often it looks.
type pace struct {
	first, last               time.Duration // after trouble with the connection
	refusedFirst, refusedLast time.Duration // after a refused password: servers lock accounts
	settled                   time.Duration // a session of this length starts the waiting afresh
	trusted                   time.Duration // how long to believe an IDLE that has brought mail before
	patience                  time.Duration // how long the server may be silent within a command
	marking                   time.Duration // how long one mail may take to be read before it is marked
	parsing                   time.Duration // how long it may take at all
}

func defaultPace() pace {
	return pace{
		first: time.Second, last: 5 * time.Minute,
		refusedFirst: time.Minute, refusedLast: 30 * time.Minute,
		settled: time.Minute, trusted: 10 * time.Minute, // well below the 29 minutes after which servers hang up
		patience: 2 * time.Minute, marking: 100 * time.Millisecond, parsing: 2 * time.Minute,
	}
}

// channel is the plugin: one mailbox, as configured.
type channel struct {
	dir       string // working directory
	pace      pace
	limits    limits
	quit      func() // ends the process, when a mail cannot be read in time
	condition *condition
	sentKeys  *sentKeys
	copies    chan *sentCopy

	mu         sync.Mutex // guards what follows
	settings   settings
	configured bool
}

func newChannel(dir string) *channel {
	return &channel{
		dir: dir, pace: defaultPace(), limits: defaultLimits(), quit: func() { os.Exit(4) },
		condition: newCondition(), sentKeys: newSentKeys(dir, time.Now), copies: make(chan *sentCopy, 16),
	}
}

// Configure takes a new configuration.
func (c *channel) Configure(_ context.Context, config sdk.Config) error {
	s, err := readSettings(config)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settings, c.configured = s, true
	return nil
}

// Accounts names the mailbox.
func (c *channel) Accounts() []string {
	s, ok := c.current()
	if !ok {
		return nil
	}
	return []string{s.address}
}

func (c *channel) current() (settings, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.settings, c.configured
}

// Run reads the mailbox until ctx ends.
func (c *channel) Run(ctx context.Context, h sdk.Host) error {
	s, ok := c.current()
	if !ok {
		return sdk.Permanent(keySettingMissing, nil)
	}
	r := &receiver{
		settings: s, host: h, dir: c.dir, pace: c.pace, quit: c.quit, condition: c.condition, copies: c.copies,
		parser: parser{limits: c.limits, account: s.address}, mark: newMark(c.dir, s.address),
	}
	return r.run(ctx)
}
