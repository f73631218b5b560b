package kit

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/attachment"
	"github.com/karov-crm/karov/appliance/blob"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/deal"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/appliance/job"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/segment"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
	"github.com/karov-crm/karov/appliance/task"
)

// closing is how long an office may take to close.
const closing = 30 * time.Second

// Core is a whole office over a folder: the real rooms over the real store, and a host with one plugin.
type Core struct {
	Host     *plugin.Host
	Book     *record.Book
	Inbox    *inbox.Room
	Settings *plugin.StoredSettings

	ID      string // of the plugin
	db      *tried
	log     *Lines
	run     string // folder of the sockets
	stop    context.CancelFunc
	stopped chan struct{}
	closed  atomic.Bool
}

// tried is the store of an office under test: it can be slow, and it can be full.
type tried struct {
	store.DB
	slow atomic.Int64 // pause before each transaction, in nanoseconds
	full atomic.Bool
}

// View reads, after the pause.
func (d *tried) View(ctx context.Context, fn func(store.Tx) error) error {
	d.wait()
	return d.DB.View(ctx, fn)
}

// Update writes, after the pause, where the disk has room.
func (d *tried) Update(ctx context.Context, fn func(store.Tx) error) error {
	d.wait()
	if d.full.Load() {
		return fault.New(fault.Unavailable, "disk.full")
	}
	return d.DB.Update(ctx, fn)
}

func (d *tried) wait() {
	if pause := d.slow.Load(); pause > 0 {
		time.Sleep(time.Duration(pause))
	}
}

// office says what an office to be opened is like.
type office struct {
	home   string // folder of plugins
	data   string
	launch []string                          // as plugin.Options.Launch
	log    *Lines                            // nil for one of its own
	change func(o *plugin.Options)           // nil for none
	config func() (map[string]string, error) // settings to begin with; nil for none
}

// openCore opens an office over a folder, which may have been one before. ctx is that of its whole life.
func openCore(ctx context.Context, o office) (c *Core, err error) {
	if o.log == nil {
		o.log = &Lines{}
	}
	c = &Core{log: o.log, stopped: make(chan struct{})}
	engine, err := bolt.Open(filepath.Join(o.data, "karov.db"))
	if err != nil {
		return nil, err
	}
	c.db = &tried{DB: engine}
	defer func() {
		if err != nil {
			err = errors.Join(err, engine.Close(), os.RemoveAll(c.run))
		}
	}()
	if c.run, err = os.MkdirTemp("", "k"); err != nil { // the path of a socket must be short
		return nil, fault.Wrap(err, fault.Unavailable, "kit.setup")
	}
	options, declare, queue, err := c.rooms(ctx, o.data)
	if err != nil {
		return nil, err
	}
	options.Dirs, options.DataDir, options.RunDir, options.Launch = []string{o.home}, filepath.Join(o.data, "plugins"), c.run, o.launch
	options.Log = slog.New(slog.NewTextHandler(o.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	options.Declare = declare
	if o.change != nil {
		o.change(&options)
	}
	if c.Host, err = plugin.Open(options); err != nil {
		return nil, err
	}
	if c.ID = c.Host.List()[0].ID; o.config != nil {
		values, err := o.config()
		if err == nil && len(values) > 0 {
			err = c.Settings.Set(asOwner(ctx), c.ID, values, true)
		}
		if err != nil {
			return nil, err
		}
	}
	c.Inbox.SetSender(c.Host)
	c.Book.SetAsker(c.Host)
	return c, c.begin(ctx, queue)
}

// begin starts the plugin and the work that waits.
func (c *Core) begin(ctx context.Context, queue *job.Queue) error {
	ctx, c.stop = context.WithCancel(ctx)
	if err := c.Host.Start(ctx); err != nil {
		c.stop()
		return err
	}
	runner := job.NewRunner(queue, nil, 4, c.Host.Runs())
	go func() {
		defer close(c.stopped)
		_ = runner.Run(access.WithActor(ctx, access.Appliance()))
	}()
	return nil
}

// rooms builds the rooms, and says what a host stands on.
func (c *Core) rooms(ctx context.Context, data string) (o plugin.Options, declare func(context.Context, *plugin.Manifest) error, queue *job.Queue, err error) {
	facts := journal.New(c.db, time.Now)
	gate, err := access.NewGate()
	if err != nil {
		return o, nil, nil, err
	}
	kinds := append([]schema.Entity{contact.Entity(), contact.TagEntity(), task.Entity()}, inbox.Entities()...)
	kinds = append(append(kinds, deal.Entities("ILS")...), segment.Entities()...)
	registry, err := schema.Open(ctx, c.db, schema.Options{Journal: facts, Gate: gate, Now: time.Now}, kinds...)
	if err != nil {
		return o, nil, nil, err
	}
	keepCustom(registry, gate)
	c.Book = record.NewBook(record.Parts{DB: c.db, Schema: registry, Gate: gate, Journal: facts, Now: time.Now})
	queue = job.NewQueue(c.db, time.Now)
	contacts := contact.New(c.Book, gate, "IL")
	c.Inbox = inbox.New(inbox.Parts{Book: c.Book, Gate: gate, Contacts: contacts, Jobs: queue, Now: time.Now})
	deals := deal.New(deal.Parts{Book: c.Book, Gate: gate, Journal: facts, Contacts: contacts, Now: time.Now})
	blobs, err := blob.Open(filepath.Join(data, "blobs"))
	if err != nil {
		return o, nil, nil, err
	}
	if c.Settings, err = plugin.OpenSettings(c.db, gate, facts, filepath.Join(data, "secret.key")); err != nil {
		return o, nil, nil, err
	}
	if err := deals.Begin(access.WithActor(ctx, access.Appliance()), "en"); err != nil {
		return o, nil, nil, err
	}
	declarations := &plugin.Declarations{Schema: registry, Book: c.Book}
	return plugin.Options{
		Version: "test", Inbox: c.Inbox, Blobs: blobs, Settings: c.Settings, Timing: quick(),
		DB: c.db, Book: c.Book, Gate: gate, Journal: facts, Queue: queue, Secrets: c.Settings, Zone: c.Book.Zone(),
		Files: attachment.New(c.Book, gate, facts, blobs, time.Now),
		Actor: func(ctx context.Context, id string) context.Context {
			return access.WithActor(ctx, access.Actor{ID: "plugin:" + id, Role: access.Plugin, Name: id})
		},
		Office: func() plugin.About {
			return plugin.About{Name: "Test", Language: "en", TimeZone: "UTC", Country: "IL", Currency: "ILS"}
		},
	}, declarations.Apply, queue, nil
}

// keepCustom lets the gate know the entities that are not built in, now and whenever they change.
func keepCustom(registry *schema.Registry, gate *access.Gate) {
	tell := func(s *schema.Schema) {
		var made []string
		for _, e := range s.Entities() {
			if e.Custom {
				made = append(made, e.Name)
			}
		}
		gate.SetCustom(made)
	}
	tell(registry.Current())
	registry.Watch(func(tx store.Tx, _, after *schema.Schema) error {
		tx.OnCommit(func() { tell(after) })
		return nil
	})
}

// quick are spans of time short enough for a test.
func quick() plugin.Timing {
	return plugin.Timing{
		Before: 3 * time.Second, Render: 4 * time.Second,
		PingEvery: 300 * time.Millisecond, Ping: 2 * time.Second,
		BackoffMin: 20 * time.Millisecond, BackoffMax: 100 * time.Millisecond, Crashes: 1000,
	}
}

// Close stops the plugin and closes the store. A second Close does nothing.
func (c *Core) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	c.db.slow.Store(0)
	c.db.full.Store(false)
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	err := c.Host.Close(ctx)
	c.stop()
	<-c.stopped
	return errors.Join(err, c.db.Close(), os.RemoveAll(c.run))
}

// asOwner makes the office's owner the actor.
func asOwner(ctx context.Context) context.Context {
	return access.WithActor(ctx, access.Actor{ID: "owner", Role: access.Owner, Name: "Owner", Lang: "en"})
}

// status is that of the plugin.
func (c *Core) status() plugin.Status { return c.Host.List()[0] }
