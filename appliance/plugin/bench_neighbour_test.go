package plugin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/record"
)

// neighbour measures how the core answers: a record that is read, and a page over HTTP with twenty of them.
type neighbour struct {
	p          *paced
	id         record.ID
	page       *httptest.Server
	get, pages [2][]time.Duration // in peace, and in trouble
}

func newNeighbour(p *paced) *neighbour {
	n := &neighbour{p: p}
	p.must(p.Host.Disable(p.b.Context(), pace))
	n.id = p.contacts(2000)
	p.must(p.Host.Enable(p.b.Context(), pace))
	p.up()
	n.page = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := access.WithActor(r.Context(), access.Actor{ID: "owner", Role: access.Owner, Lang: "en"})
		list, err := p.book.List(ctx, record.Query{Entity: "contact", Limit: 20})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		var rows []string
		for _, one := range list.Records {
			rows = append(rows, one.Text("name"))
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"rows": rows, "views": p.Host.Views(plugin.OnPage, "")})
	}))
	p.b.Cleanup(n.page.Close)
	return n
}

// ask asks for a while and keeps how long the answers took.
func (n *neighbour) ask(which int, long time.Duration) {
	n.p.b.Helper()
	for end := time.Now().Add(long); time.Now().Before(end); {
		time.Sleep(2 * time.Millisecond)
		began := time.Now()
		_, err := n.p.book.Get(n.p.owner(), "contact", n.id)
		n.get[which] = append(n.get[which], time.Since(began))
		n.p.must(err)
		began = time.Now()
		answer, err := http.Get(n.page.URL)
		n.p.must(err)
		err = json.NewDecoder(answer.Body).Decode(&map[string]any{})
		n.pages[which] = append(n.pages[which], time.Since(began))
		n.p.must(err)
		n.p.must(answer.Body.Close())
		if answer.StatusCode != http.StatusOK {
			n.p.b.Fatalf("the page answers %s", answer.Status)
		}
	}
}

// report prints the 99th percentiles, in trouble over in peace.
func (n *neighbour) report() {
	for what, took := range map[string][2][]time.Duration{"get": n.get, "page": n.pages} {
		peace, trouble := percentile(took[0], 99), percentile(took[1], 99)
		n.p.b.ReportMetric(float64(peace.Microseconds()), what+"-p99-us")
		n.p.b.ReportMetric(trouble.Seconds()/peace.Seconds(), what+"-p99-ratio")
		n.p.b.ReportMetric(median(took[1]).Seconds()/median(took[0]).Seconds(), what+"-p50-ratio")
	}
}

const window = 2 * time.Second // of peace, and of trouble, by turns

// BenchmarkNeighbour measures the 99th percentile of what the core answers while a plugin makes trouble, over that of the
// moments of peace in between.
func BenchmarkNeighbour(b *testing.B) {
	b.Run("flood", func(b *testing.B) {
		n := newNeighbour(newPaced(b))
		said := ""
		for b.Loop() {
			n.ask(0, window)
			var flood sync.WaitGroup
			flood.Go(func() { said, _ = n.p.ask(fmt.Sprintf("/flood?for=%s", window+window/2)) })
			time.Sleep(window / 4)
			n.ask(1, window)
			flood.Wait()
		}
		b.Logf("in %s: %s", window+window/2, said)
		n.report()
	})
	b.Run("hang", func(b *testing.B) {
		n := newNeighbour(newPaced(b))
		for b.Loop() {
			n.ask(0, window)
			pid := n.p.Stop(b)
			n.ask(1, window)
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
		n.report()
	})
	b.Run("crash", func(b *testing.B) {
		n := newNeighbour(newPaced(b))
		for b.Loop() {
			n.ask(0, window)
			ended, end := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(ended)
				for {
					n.p.ask("/fall") // answers nothing where it is down
					select {
					case <-end:
						return
					case <-time.After(50 * time.Millisecond):
					}
				}
			}()
			n.ask(1, window)
			close(end)
			<-ended
			n.p.up()
		}
		b.Logf("it fell %d times", n.p.Status().Restarts)
		n.report()
	})
}
