package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/plugins/email/mailtest"
	"github.com/karov-crm/karov/plugins/sdk"
)

// waitFor is how long a test waits for something that must happen: a 30 MB mail under the race detector on a busy machine.
const waitFor = 4 * time.Minute

// delivered is a message as a host has it on disk: files read to their end.
type delivered struct {
	sdk.Message
	raw   []byte
	files map[string][]byte
}

// desk is a host in memory that keeps the contract of sdk.Host: it reads every file, keeps the cursor with the
// message, and takes a message it knows without keeping it twice.
type desk struct {
	sdk.Host // the rest of a host, which a channel of mail does not call

	refuse func(sdk.Message) error // answers Deliver before the message is kept, when set

	mu       sync.Mutex
	messages []delivered
	calls    int // of Deliver
	cursor   string
	health   []sdk.Health
	changed  chan struct{} // closed and replaced with each change
}

func newDesk() *desk { return &desk{changed: make(chan struct{})} }

// Dial connects at once: what Karov's way out lets through is its own test's work.
func (d *desk) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, addr)
}

func (d *desk) Deliver(_ context.Context, m sdk.Message) error {
	kept := delivered{Message: m, files: map[string][]byte{}}
	var err error
	if m.Raw != nil {
		if kept.raw, err = readFile(*m.Raw); err != nil {
			return err
		}
	}
	for _, f := range m.Attachments {
		if kept.files[f.Name], err = readFile(f); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	defer d.change()
	if d.refuse != nil {
		if err := d.refuse(m); err != nil {
			return err
		}
	}
	d.cursor = m.Cursor
	for _, have := range d.messages {
		if have.ExternalID == m.ExternalID && have.Account == m.Account {
			return nil
		}
	}
	d.messages = append(d.messages, kept)
	return nil
}

func readFile(f sdk.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// change wakes who waits. The caller holds mu.
func (d *desk) change() {
	close(d.changed)
	d.changed = make(chan struct{})
}

func (d *desk) Cursor(context.Context, string) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cursor, nil
}

func (d *desk) SaveCursor(_ context.Context, _, cursor string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cursor = cursor
	d.change()
	return nil
}

func (d *desk) Report(_ context.Context, h sdk.Health) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.health = append(d.health, h)
	d.change()
	return nil
}

func (d *desk) Log() *slog.Logger { return slog.New(slog.DiscardHandler) }

// until waits until the condition holds and fails the test when it never does. The condition is called under mu.
func (d *desk) until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	late := time.After(waitFor)
	for {
		d.mu.Lock()
		ok, changed := holds(), d.changed
		d.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-late:
			d.mu.Lock()
			defer d.mu.Unlock()
			t.Fatalf("%s did not happen; %d messages, cursor %q, health %+v", what, len(d.messages), d.cursor, d.health)
		}
	}
}

// waitMessages waits for n messages and returns them.
func (d *desk) waitMessages(t testing.TB, n int) []delivered {
	t.Helper()
	d.until(t, strconv.Itoa(n)+" messages", func() bool { return len(d.messages) >= n })
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]delivered(nil), d.messages...)
}

// waitHealth waits until the last report names the key.
func (d *desk) waitHealth(t testing.TB, key string) sdk.Health {
	t.Helper()
	var last sdk.Health
	d.until(t, "health "+key, func() bool {
		if len(d.health) == 0 {
			return false
		}
		last = d.health[len(d.health)-1]
		return last.Key == key
	})
	return last
}

// quick is a pace for tests: short waits after a broken connection, the real ones after a refused password.
func quick() pace {
	p := defaultPace()
	p.first, p.last = 20*time.Millisecond, 200*time.Millisecond
	return p
}

// configFor is the office's mailbox on the test's mail server.
func configFor(s *mailtest.Server) sdk.Config {
	return sdk.Config{
		"account.address": mailtest.Office, "account.name": "המשרד",
		"imap.host": s.Host, "imap.port": strconv.Itoa(s.IMAPSPort), "imap.password": mailtest.OfficeSecret,
		"smtp.host": s.Host, "smtp.port": strconv.Itoa(s.SubmissionPort),
		"tls.ca-file": s.CAFile,
	}
}

// newTestChannel makes a configured channel with a working directory of its own.
func newTestChannel(t testing.TB, config sdk.Config) *channel {
	t.Helper()
	c := newChannel(t.TempDir())
	c.pace = quick()
	c.quit = func() { t.Error("the plugin wanted to end its process") }
	if err := c.Configure(t.Context(), config); err != nil {
		t.Fatalf("configure: %v", err)
	}
	return c
}

// start runs the channel and returns what stops it.
func start(t testing.TB, c *channel, d *desk) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx, d) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			select {
			case <-done:
			case <-time.After(waitFor):
				t.Error("the channel does not stop")
			}
		})
	}
	t.Cleanup(stop)
	return stop
}
