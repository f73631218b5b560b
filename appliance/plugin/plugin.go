// Package plugin hosts the plugin processes: it reads their manifests, starts them, talks with them, watches them and
// starts them again.
//
// It owns the folder of sockets (RunDir/p/<id>, 0700, made anew at each start), the working folders of the plugins
// (DataDir/<id>) and the translation between the wire's types and the rooms'; of the store the buckets plugin.kv,
// plugin.files, plugin.secrets, plugin.storage and plugin.writes (what it keeps for plugins, and how much), beside those
// of settings, jobs and packages. The contract is plugins/wire.
//
// It promises that a plugin can neither stop nor hold up the daemon: every call has a deadline, a process that hangs
// is found and killed, one that falls is started again with growing pauses, and no plugin outlives the daemon, however
// the daemon ends. A message is acknowledged to a plugin only after its files and its record are durable. A caller is
// known by its connection (process id, user, a token made for this start), never by what it says about itself. It is
// locked in before its first instruction (confine), reaches the network by one proxy (egress), and is ended when it goes
// over what it may use of disk, memory and threads. What it calls back for is done within its grant, and for a person
// within his rights too.
//
// It uses go-plugin for the handshake and the connection only. go-plugin's Ping and Kill have no deadline and are never
// called; its broker and its own TLS stay unused. It will not keep settings or messages: main gives it Settings and an
// Inbox.
package plugin

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/attachment"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/appliance/job"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/plugin/confine"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/store"
)

// Inbox is what the host hands messages to.
type Inbox interface {
	// Receive returns when the message and its cursor are durable. The same message again changes nothing.
	Receive(ctx context.Context, in inbox.Inbound) error
	// Cursor gives how far a plugin is in an account, "" at the beginning.
	Cursor(ctx context.Context, channel, account string) (string, error)
	// SaveCursor keeps a cursor without a message.
	SaveCursor(ctx context.Context, channel, account, cursor string) error
}

// Blobs keeps files.
type Blobs interface {
	// Put is durable when it returns.
	Put(ctx context.Context, r io.Reader) (hash string, size int64, err error)
	// Open reads a file again.
	Open(hash string) (io.ReadCloser, error)
}

// Settings gives the configuration of a plugin, its secrets opened, as the administrator set it.
type Settings interface {
	PluginConfig(ctx context.Context, id string) (map[string]string, error)
}

// Options are what a Host stands on.
type Options struct {
	Dirs     []string // folders to look for <name>/plugin.yaml, nearest first
	DataDir  string   // each plugin works in DataDir/<id>
	RunDir   string   // sockets; short, since the path of a socket has at most 99 bytes here
	Disabled []string // ids that Start does not start
	Version  string   // of Karov, told to the plugins
	Log      *slog.Logger
	Inbox    Inbox
	Blobs    Blobs
	Settings Settings
	Actor    func(ctx context.Context, pluginID string) context.Context // makes the plugin the actor of ctx
	Now      func() time.Time                                           // time.Now when nil
	DB       store.DB                                                   // with it and those below, to Office, nil a plugin can be a channel and nothing else
	Book     *record.Book
	Gate     *access.Gate
	Journal  *journal.Journal
	Queue    *job.Queue
	Files    *attachment.Room
	Secrets  *StoredSettings // keeps what plugins must not store themselves
	Office   func() About    // what plugins are told of the office
	Zone     *time.Location  // of the office, for the times of jobs; nil is UTC
	Timing   Timing          // zero fields have defaults

	Enabled  func(id string) bool                                     // what was remembered; nil: all but Disabled
	Remember func(ctx context.Context, id string, enabled bool) error // may refuse; nil: forgotten with the process

	// Refused hears of what a plugin tried and may not, the first time in a while; nil: only the log does.
	Refused func(ctx context.Context, id, what string, about map[string]string)

	// Declare brings the entities and fields of a manifest into the schema, before each start of its process; what it
	// refuses is not started. A manifest with an id alone is of a plugin that was removed. Nil: nothing is declared.
	Declare func(ctx context.Context, m *Manifest) error

	Launch           []string      // the launcher and its arguments; this program with confine.Command when nil
	MinimumIsolation confine.Level // less than this is not started; confine.Files when ""
	First            bool          // speak the contract's first version, 1.0, for the tests of plugins that promise to run under it
	Own              []string      // folders that no setting can give to a plugin, beside DataDir and RunDir
}

// Timing holds every span of time that the host goes by. Tests make them short; nobody else needs to.
type Timing struct {
	Start        time.Duration // from the start of the process until it has said who it is: 15 s
	Configure    time.Duration // 10 s
	Send         time.Duration // 60 s
	Before       time.Duration // how long a before-hook may take: 300 ms
	Render       time.Duration // how long a view may take: 2 s
	PingEvery    time.Duration // 10 s
	Ping         time.Duration // how long an answer to a ping may take: 5 s. Two that fail end the plugin
	Silence      time.Duration // how long the stream of its health may be silent: 30 s
	Drain        time.Duration // how long a plugin may take to finish what it began: 10 s
	Exit         time.Duration // from Shutdown until it is killed: 2 s
	BackoffMin   time.Duration // 1 s
	BackoffMax   time.Duration // 5 min
	Crashes      int           // so many ends ...
	CrashWindow  time.Duration // ... within this time open the circuit: 5 in 10 min
	CircuitPause time.Duration // until the one attempt that may close it: 10 min
}

func (t Timing) withDefaults() Timing {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&t.Start, 15*time.Second)
	set(&t.Configure, 10*time.Second)
	set(&t.Send, time.Minute)
	set(&t.Before, 300*time.Millisecond)
	set(&t.Render, 2*time.Second)
	set(&t.PingEvery, 10*time.Second)
	set(&t.Ping, 5*time.Second)
	set(&t.Silence, 30*time.Second)
	set(&t.Drain, 10*time.Second)
	set(&t.Exit, 2*time.Second)
	set(&t.BackoffMin, time.Second)
	set(&t.BackoffMax, 5*time.Minute)
	set(&t.CrashWindow, 10*time.Minute)
	set(&t.CircuitPause, 10*time.Minute)
	if t.Crashes <= 0 {
		t.Crashes = 5
	}
	return t
}

// Host runs the plugins. Its methods may be called from any goroutine.
type Host struct {
	o       Options
	spawner *spawner
	running sync.WaitGroup

	mu       sync.Mutex
	plugins  []*supervised // in the order of their ids; replaced as a whole, never changed in place
	onChange []func()
	launch   func(*supervised)  // starts to supervise a plugin; nil before Start
	down     <-chan struct{}    // closed when the stop of everything began; nil before Start
	stop     context.CancelFunc // begins the stop of everything; nil before Start
	hurry    context.CancelFunc // ends all patience
}

// Open reads the manifests. A plugin whose manifest is wrong is listed with its error and never started; the others
// are not held up by it.
func Open(o Options) (*Host, error) {
	if o.Log == nil || o.Inbox == nil || o.Blobs == nil || o.Settings == nil {
		return nil, fault.New(fault.Internal, "plugin.host-incomplete")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Actor == nil {
		o.Actor = func(ctx context.Context, _ string) context.Context { return ctx }
	}
	o.Timing = o.Timing.withDefaults()
	if len(o.Launch) == 0 {
		o.Launch = defaultLaunch()
	}
	if o.MinimumIsolation == "" {
		o.MinimumIsolation = confine.Files
	}
	for _, dir := range []*string{&o.DataDir, &o.RunDir} {
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return nil, fmt.Errorf("find the folder %s: %w", *dir, err)
		}
		*dir = abs
	}
	if o.Book != nil {
		o.Book.KeepBlobs(filesBucket)
	}
	h := &Host{o: o, spawner: newSpawner()}
	byID := map[string]*supervised{}
	for _, dir := range o.Dirs {
		if err := h.readDir(dir, byID); err != nil {
			h.spawner.close()
			return nil, err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		h.plugins = append(h.plugins, byID[id])
	}
	return h, nil
}

// readDir reads the manifests below one folder. A folder that does not exist holds no plugins.
func (h *Host) readDir(dir string, byID map[string]*supervised) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("find the plugin folder: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "plugin.yaml"))
	if err != nil {
		return fmt.Errorf("look for plugins: %w", err)
	}
	for _, file := range files {
		folder := filepath.Dir(file)
		m, err := ReadManifest(folder)
		if err != nil {
			m = &Manifest{ID: filepath.Base(folder), Name: filepath.Base(folder), dir: folder}
		} else if _, taken := byID[m.ID]; taken {
			err = fault.New(fault.Conflict, "plugin.repeated", "id", m.ID, "file", file)
			m.ID = folder
		}
		if err == nil {
			err = h.checkSockets(m.ID)
		}
		p := newSupervised(h, m, nil)
		if err != nil {
			h.o.Log.Error("a plugin cannot be used", "plugin", m.ID, "error", err)
			p.broken = fault.Of(err)
			p.status.LastError = p.broken
		}
		byID[m.ID] = p
	}
	return nil
}

// Start starts the plugins and returns; they come up one by one. When ctx ends they are stopped, as by Close.
func (h *Host) Start(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stop != nil {
		return fault.New(fault.Internal, "plugin.host-started-twice")
	}
	for _, dir := range []string{h.o.DataDir, filepath.Join(h.o.RunDir, "p")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make the plugins' folder: %w", err)
		}
	}
	patience, hurry := context.WithCancel(context.WithoutCancel(ctx))
	ctx, stop := context.WithCancel(ctx)
	h.stop, h.hurry, h.down = stop, hurry, ctx.Done()
	h.launch = func(p *supervised) {
		if ctx.Err() == nil && p.broken == nil {
			h.running.Go(p.begun(ctx, patience))
		}
	}
	for _, p := range h.plugins {
		h.launch(p)
	}
	return nil
}

// Close stops the plugins: each may finish what it began, until ctx ends; what lives then is killed. It returns when
// no plugin lives.
func (h *Host) Close(ctx context.Context) error {
	h.mu.Lock()
	stop, hurry := h.stop, h.hurry
	if stop != nil {
		stop() // under the lock: nothing is launched after it
	}
	h.mu.Unlock()
	if stop == nil {
		h.spawner.close()
		return nil
	}
	defer hurry()
	defer context.AfterFunc(ctx, hurry)()
	h.running.Wait()
	h.spawner.close()
	return nil
}

// OnChange adds a function that is called when a status or an account's health changed. It must return quickly.
func (h *Host) OnChange(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.onChange = append(h.onChange, f)
}

func (h *Host) changed() {
	h.mu.Lock()
	calls := slices.Clone(h.onChange)
	h.mu.Unlock()
	for _, f := range calls {
		f()
	}
}

// List gives the status of every plugin, in the order of their ids.
func (h *Host) List() []Status {
	out := []Status{}
	h.each(func(p *supervised) { out = append(out, p.snapshot()) })
	return out
}

// Manifest gives the manifest of a plugin, for its page of settings.
func (h *Host) Manifest(id string) (*Manifest, error) {
	p, err := h.find(id)
	if err != nil {
		return nil, err
	}
	return p.m, nil
}

// Sentences gives the sentences of all plugins in a language, by key. Where two have the same key, the first by id wins.
func (h *Host) Sentences(lang string) map[string]string {
	out := map[string]string{}
	for _, p := range slices.Backward(h.all()) {
		maps.Copy(out, p.m.sentences[lang])
	}
	return out
}

// Sentence gives a sentence of one plugin in a language, "" when it has none under the key. Two plugins may have
// different sentences under one key.
func (h *Host) Sentence(id, lang, key string) string {
	p, err := h.find(id)
	if err != nil {
		return ""
	}
	return p.m.sentences[lang][key]
}

// Channels gives, by channel, the office's accounts that can send now.
func (h *Host) Channels() map[string][]string {
	out := map[string][]string{}
	h.each(func(p *supervised) {
		for _, a := range p.accounts() {
			if !slices.Contains(out[a.channel], a.account) {
				out[a.channel] = append(out[a.channel], a.account)
			}
		}
	})
	for _, accounts := range out {
		slices.Sort(accounts)
	}
	return out
}

// Reconfigure reads a plugin's settings again and gives them to it. The fault says which setting is wrong. A plugin
// that waits after a fall is started at once.
func (h *Host) Reconfigure(ctx context.Context, id string) error {
	p, err := h.find(id)
	if err != nil {
		return err
	}
	return p.reconfigure(ctx)
}

// all gives the plugins there are now, in the order of their ids.
func (h *Host) all() []*supervised {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.plugins
}

// each calls f with every plugin there is now, in the order of their ids.
func (h *Host) each(f func(*supervised)) {
	for _, p := range h.all() {
		f(p)
	}
}

func (h *Host) find(id string) (*supervised, error) {
	for _, p := range h.all() {
		if p.m.ID == id {
			return p, nil
		}
	}
	return nil, fault.Missing("plugin", id)
}
