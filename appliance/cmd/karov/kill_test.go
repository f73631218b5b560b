package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/appliancetest"
)

const (
	kills   = 50
	writers = 4
)

// acknowledged are the customers that the daemon said it has.
type acknowledged struct {
	mu  sync.Mutex
	ids map[string]string // id -> name
}

// write makes customers until the daemon dies under it.
func (k *acknowledged) write(ctx context.Context, a *appliancetest.Appliance, prefix string) {
	for i := 0; ctx.Err() == nil; i++ {
		name := fmt.Sprintf("%s-%d", prefix, i)
		answer, err := a.Request(ctx, http.MethodPost, "/api/v1/records/contact", map[string]any{"name": name})
		if err != nil {
			return
		}
		var made struct{ ID string }
		if answer.Status == http.StatusCreated && json.Unmarshal(answer.Body, &made) == nil {
			k.mu.Lock()
			k.ids[made.ID] = name
			k.mu.Unlock()
		}
	}
}

// TestKillLosesNothing kills the daemon at any moment under load, again and again: every customer that it acknowledged
// is there afterwards, the counts are right and the journal's chain is whole.
func TestKillLosesNothing(t *testing.T) {
	a := appliancetest.Start(t)
	a.Token("")
	known := &acknowledged{ids: map[string]string{}}
	for round := range kills {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() { known.write(ctx, a, fmt.Sprintf("r%d-w%d", round, w)) })
		}
		time.Sleep(time.Duration(rand.IntN(120)) * time.Millisecond)
		a.Kill()
		cancel()
		wg.Wait()
		a.Start()
	}
	stored := map[string]string{}
	for cursor := ""; ; {
		var page struct {
			Items []struct{ ID, Name string }
			Next  string
		}
		a.Get("/api/v1/records/contact?limit=200&fields=name&cursor="+cursor, &page)
		for _, c := range page.Items {
			stored[c.ID] = c.Name
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if len(known.ids) < kills {
		t.Errorf("only %d writes were acknowledged: the load was too light to show anything", len(known.ids))
	}
	for id, name := range known.ids {
		if stored[id] != name {
			t.Errorf("customer %s %q was acknowledged and is lost (%q)", id, name, stored[id])
		}
	}
	if total := a.Total("contact"); total != len(stored) {
		t.Errorf("the count says %d, the list has %d", total, len(stored))
	}
	t.Logf("%d kills, %d acknowledged writes, %d stored; %s", kills, len(known.ids), len(stored), a.Karov("", "audit", "verify"))
}

// TestNoPluginOutlivesTheDaemon kills the daemon and looks for its plugin.
func TestNoPluginOutlivesTheDaemon(t *testing.T) {
	a := appliancetest.Start(t)
	var pid int
	a.Until("the plugin runs", func() bool {
		p := a.Plugin("il.karov.email")
		pid = p.PID
		return p.State == "running" && pid > 0
	})
	a.Kill()
	a.Until("the plugin is gone", func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH })
}
