package plugin_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/job"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
	"github.com/karov-crm/karov/plugins/plugintest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const pace = "test.pace"

// paced is an office with the plugin of testdata/pace, confined, as an administrator would run it.
type paced struct {
	*plugintest.World
	b       *testing.B
	program string
	db      store.DB
	book    *record.Book
	facts   *journal.Journal
	change  chan struct{} // something about a plugin changed
}

func newPaced(b *testing.B, change ...func(*plugin.Options)) *paced {
	b.Helper()
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	dir := b.TempDir()
	db, err := bolt.Open(filepath.Join(dir, "karov.db"))
	must(err)
	b.Cleanup(func() { _ = db.Close() })
	must(store.Prepare(b.Context(), db, nil))
	gate, err := access.NewGate()
	must(err)
	set, err := schema.New(
		schema.Entity{Name: "contact", Title: "name", Contact: "id", Fields: []schema.Field{
			{Number: 16, Name: "name", Type: schema.Text, Required: true, Indexed: true}, {Number: 17, Name: "note", Type: schema.LongText}}},
		schema.Entity{Name: "deal", Title: "title", Fields: []schema.Field{{Number: 16, Name: "title", Type: schema.Text, Required: true}}})
	must(err)
	p := &paced{b: b, db: db, facts: journal.New(db, time.Now), change: make(chan struct{}, 1)}
	p.book = record.NewBook(record.Parts{DB: db, Schema: schema.Fixed(set), Gate: gate, Journal: p.facts, Now: time.Now})
	home := plugintest.Build(b, filepath.Join("testdata", "pace"), "github.com/karov-crm/karov/appliance/plugin/testdata/pace")
	p.program = filepath.Join(home, pace, "pace")
	p.World = plugintest.Start(b, home, plugintest.NewOffice(nil), append([]func(*plugin.Options){func(o *plugin.Options) {
		o.Timing = plugin.Timing{Crashes: 1 << 20, BackoffMax: time.Second} // as in life, but for the circuit
		o.DB, o.Book, o.Gate, o.Journal, o.Queue = db, p.book, gate, p.facts, job.NewQueue(db, time.Now)
		o.Actor = func(ctx context.Context, id string) context.Context {
			return access.WithActor(ctx, access.Actor{ID: "plugin:" + id, Role: access.Plugin})
		}
	}}, change...)...)
	p.Host.OnChange(func() {
		select {
		case p.change <- struct{}{}:
		default:
		}
	})
	p.up()
	return p
}

// up waits until the plugin can be called.
func (p *paced) up() {
	p.b.Helper()
	for late := time.After(time.Minute); p.Host.Healthy(pace) != nil; {
		select {
		case <-p.change:
		case <-time.After(100 * time.Millisecond): // health is no change
		case <-late:
			p.b.Fatalf("the plugin does not come up: %+v", p.Status())
		}
	}
}

func (p *paced) must(err error) {
	p.b.Helper()
	if err != nil {
		p.b.Fatal(err)
	}
}

func (p *paced) owner() context.Context {
	return access.WithActor(p.b.Context(), access.Actor{ID: "owner", Role: access.Owner, Lang: "en"})
}

// ask calls a route of the plugin.
func (p *paced) ask(path string) (string, int) {
	w := httptest.NewRecorder()
	p.Host.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/p/"+pace+path, nil).WithContext(p.b.Context()))
	return w.Body.String(), w.Code
}

// bare starts the same program without Karov and connects to it.
func (p *paced) bare() *grpc.ClientConn {
	p.b.Helper()
	dir, err := os.MkdirTemp("", "k")
	p.must(err)
	p.b.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	cmd := exec.Command(p.program, "bare", socket)
	cmd.Stderr, cmd.SysProcAttr = os.Stderr, &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	p.must(err)
	p.must(cmd.Start())
	p.b.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	p.must(polite(cmd.Process.Pid, gentle))
	plugintest.Wait(p.b, "the bare plugin listens", func() bool { _, err := os.Stat(socket); return err == nil })
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	p.must(err)
	p.b.Cleanup(func() { _ = conn.Close() })
	return conn
}

// median gives the middle of several times.
func median(all []time.Duration) time.Duration { return percentile(all, 50) }

func percentile(all []time.Duration, percent int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	all = slices.Clone(all)
	slices.Sort(all)
	return all[min(len(all)*percent/100, len(all)-1)]
}

// contacts makes customers, a thousand in a transaction.
func (p *paced) contacts(n int) (last record.ID) {
	p.b.Helper()
	for n > 0 {
		batch := min(n, 1000)
		n -= batch
		p.must(p.book.Update(p.owner(), func(tx store.Tx) error {
			for i := range batch {
				r, err := p.book.CreateTx(p.owner(), tx, record.Change{Entity: "contact", Values: record.Values{"name": fmt.Sprint("customer ", i)}})
				if err != nil {
					return err
				}
				last = r.ID
			}
			return nil
		}))
	}
	return last
}
