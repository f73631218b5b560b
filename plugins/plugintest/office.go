// Package plugintest is the suite that every plugin passes, ours and a reseller's. Conform is that of `karov plugin test`,
// over a whole office (appliance/plugin/kit); Run is for a channel whose world only its own test can reach: it starts the
// real process under the real host, lets messages come and go, and kills, stops and starts the plugin meanwhile.
//
// It owns Office, an office in memory that stands where the store-backed rooms stand in Karov. It promises that a
// plugin that passes neither loses nor doubles a message when it falls at a bad moment, speaks to people in every
// language, and leaves nothing running behind. It will not test what a channel does with the world: that is the
// plugin's own test's work.
package plugintest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"maps"
	"sync"
	"testing"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/inbox"
)

// Office is what a host hands messages to, in memory: inbox, files and settings.
type Office struct {
	// Refuse, when not nil, is asked about each message before it is taken. Set it before the host starts.
	Refuse func(in inbox.Inbound) error

	mu       sync.Mutex
	messages []inbox.Inbound
	seen     map[[3]string]bool
	again    int
	cursors  map[[2]string]string
	blobs    map[string][]byte
	config   map[string]string
}

// NewOffice makes an office whose plugins have this configuration.
func NewOffice(config map[string]string) *Office {
	return &Office{
		seen: map[[3]string]bool{}, cursors: map[[2]string]string{}, blobs: map[string][]byte{}, config: maps.Clone(config),
	}
}

// Receive keeps a message once.
func (o *Office) Receive(ctx context.Context, in inbox.Inbound) error {
	if o.Refuse != nil {
		if err := o.Refuse(in); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if in.Cursor != "" {
		o.cursors[[2]string{in.Channel, in.Account}] = in.Cursor
	}
	id := [3]string{in.Channel, in.Account, in.ExternalID}
	if o.seen[id] {
		o.again++
		return nil
	}
	o.seen[id] = true
	o.messages = append(o.messages, in)
	return nil
}

// Cursor gives the cursor that was kept.
func (o *Office) Cursor(_ context.Context, channel, account string) (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.cursors[[2]string{channel, account}], nil
}

// SaveCursor keeps a cursor.
func (o *Office) SaveCursor(_ context.Context, channel, account, cursor string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cursors[[2]string{channel, account}] = cursor
	return nil
}

// Put keeps a file.
func (o *Office) Put(_ context.Context, r io.Reader) (string, int64, error) {
	raw, err := io.ReadAll(r)
	if err != nil {
		return "", 0, err
	}
	sum := sha256.Sum256(raw)
	hash := hex.EncodeToString(sum[:])
	o.mu.Lock()
	defer o.mu.Unlock()
	o.blobs[hash] = raw
	return hash, int64(len(raw)), nil
}

// Open reads a file.
func (o *Office) Open(hash string) (io.ReadCloser, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	raw, ok := o.blobs[hash]
	if !ok {
		return nil, fault.Missing("file", hash)
	}
	return io.NopCloser(bytes.NewReader(raw)), nil
}

// PluginConfig gives the configuration.
func (o *Office) PluginConfig(context.Context, string) (map[string]string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.config), nil
}

// SetConfig changes the configuration; Host.Reconfigure makes it known.
func (o *Office) SetConfig(config map[string]string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.config = maps.Clone(config)
}

// Messages gives what came in, in order.
func (o *Office) Messages() []inbox.Inbound {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]inbox.Inbound(nil), o.messages...)
}

// Again gives how often a message came that was here before.
func (o *Office) Again() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.again
}

// File gives what a file holds.
func (o *Office) File(t testing.TB, hash string) string {
	t.Helper()
	r, err := o.Open(hash)
	if err != nil {
		t.Fatalf("open a file: %v", err)
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("read a file: %v", err)
	}
	return string(raw)
}
