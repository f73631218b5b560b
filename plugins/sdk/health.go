package sdk

import (
	"context"
	"maps"
	"runtime/metrics"
	"time"

	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc"
)

// How often the plugin is asked how it is, and how often the host hears it where nothing changed.
const (
	healthEach  = time.Second
	healthHeard = 10 * time.Second
)

// State is how a plugin as a whole is; how the accounts of its channel fare Host.Report tells. Key and Params name a
// sentence for the administrator where it is not OK, Detail is shown beside it as it is.
type State struct {
	OK     bool
	Key    string
	Params map[string]string
	Detail string
}

// Health streams how the plugin is: at once, at each change, and every 10 seconds.
func (s *server) Health(_ *wirev1.HealthRequest, stream grpc.ServerStreamingServer[wirev1.HealthResponse]) error {
	ctx := stream.Context()
	each := healthEach
	if s.plugin.Health == nil {
		each = healthHeard // nothing changes
	}
	tick := time.NewTicker(each)
	defer tick.Stop()
	var last State
	var at time.Time
	for {
		now := s.state(ctx)
		if at.IsZero() || changed(last, now) || time.Since(at) >= healthHeard {
			if err := stream.Send(healthResponse(now)); err != nil {
				return err
			}
			last, at = now, time.Now()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ctx.Done():
			return nil
		}
	}
}

func (s *server) state(ctx context.Context) State {
	if s.plugin.Health == nil {
		return State{OK: true}
	}
	return s.plugin.Health(ctx)
}

func changed(a, b State) bool {
	return a.OK != b.OK || a.Key != b.Key || a.Detail != b.Detail || !maps.Equal(a.Params, b.Params)
}

func healthResponse(s State) *wirev1.HealthResponse {
	used := []metrics.Sample{{Name: "/sched/goroutines:goroutines"}, {Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(used)
	return &wirev1.HealthResponse{
		Ok: s.OK, Key: wire.Valid(s.Key), Params: validParams(s.Params), Detail: wire.Valid(s.Detail),
		Goroutines: int64(used[0].Value.Uint64()), Heap: int64(used[1].Value.Uint64()),
	}
}
