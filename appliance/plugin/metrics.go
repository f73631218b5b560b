package plugin

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// contractPrefix is how the methods of the contract begin. Others (go-plugin's own, health checks) are not counted.
const contractPrefix = "/karov.plugin.v1."

// The directions of a call.
const (
	toPlugin   = "to"
	fromPlugin = "from"
)

// Numbers are what was counted of a plugin since Karov started.
type Numbers struct {
	CallsTo, CallsToFailed          uint64 // calls of the plugin
	CallsFrom, CallsFromFailed      uint64 // calls by the plugin
	Refused                         uint64 // what it tried and must not, or not so often
	Connections, ConnectionsRefused uint64 // through the way out to the network
}

// meter counts what one plugin does. It stays when a version takes the place of another.
type meter struct {
	calls       *prometheus.CounterVec   // by direction, method, code
	seconds     *prometheus.HistogramVec // by direction, method
	refusals    *prometheus.CounterVec   // by what
	connections *prometheus.CounterVec   // by outcome
	labels      prometheus.Labels

	to, toFailed, from, fromFailed, refused, connected, notConnected atomic.Uint64
	waiting                                                          atomic.Pointer[func() int64]
}

func newMeter(id string) *meter {
	labels := prometheus.Labels{"plugin": id}
	counter := func(name, help string, by ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}, by)
	}
	return &meter{
		labels: labels,
		calls: counter("karov_plugin_calls_total",
			"Calls between Karov and a plugin, by direction, method and how they ended.", "direction", "method", "code"),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "karov_plugin_call_seconds", ConstLabels: labels,
			Help:    "How long calls between Karov and a plugin took, by direction and method.",
			Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60},
		}, []string{"direction", "method"}),
		refusals: counter("karov_plugin_refused_total",
			"What a plugin tried and was refused, by what it was.", "what"),
		connections: counter("karov_plugin_connections_total",
			"Connections to the network that a plugin asked for, by outcome.", "outcome"),
	}
}

// call counts a call that ended.
func (m *meter) call(direction, method string, began time.Time, err error) {
	name, ours := strings.CutPrefix(method, contractPrefix)
	if !ours {
		return
	}
	all, failed := &m.to, &m.toFailed
	if direction == fromPlugin {
		all, failed = &m.from, &m.fromFailed
	}
	all.Add(1)
	if err != nil {
		failed.Add(1)
	}
	m.calls.WithLabelValues(direction, name, status.Code(err).String()).Inc()
	m.seconds.WithLabelValues(direction, name).Observe(time.Since(began).Seconds())
}

// refuse counts something that the plugin tried and that was refused. What is one of a few words of ours, never text
// of the plugin.
func (m *meter) refuse(what string) {
	m.refused.Add(1)
	m.refusals.WithLabelValues(what).Inc()
}

// connect counts a connection to the network that the plugin asked for.
func (m *meter) connect(allowed bool) {
	if allowed {
		m.connected.Add(1)
		m.connections.WithLabelValues("made").Inc()
		return
	}
	m.notConnected.Add(1)
	m.connections.WithLabelValues("refused").Inc()
}

// setWaiting says how to ask for the number of events that wait for the plugin. It is asked from any goroutine and must
// answer at once.
func (m *meter) setWaiting(f func() int64) { m.waiting.Store(&f) }

func (m *meter) numbers() Numbers {
	return Numbers{
		CallsTo: m.to.Load(), CallsToFailed: m.toFailed.Load(), CallsFrom: m.from.Load(), CallsFromFailed: m.fromFailed.Load(),
		Refused: m.refused.Load(), Connections: m.connected.Load(), ConnectionsRefused: m.notConnected.Load(),
	}
}

// queue gives how many events wait, 0 before setWaiting.
func (m *meter) queue() int64 {
	if f := m.waiting.Load(); f != nil {
		return (*f)()
	}
	return 0
}

// Waiting gives how many events a plugin has not taken yet, 0 for one that there is not. Unlike List it asks the store.
func (h *Host) Waiting(id string) int64 {
	p, err := h.find(id)
	if err != nil {
		return 0
	}
	return p.meter.queue()
}

// dialOptions count the calls of a connection to the plugin.
func (m *meter) dialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, answer any, conn *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			began := time.Now()
			err := next(ctx, method, req, answer, conn, opts...)
			m.call(toPlugin, method, began, err)
			return err
		}),
		grpc.WithChainStreamInterceptor(func(ctx context.Context, d *grpc.StreamDesc, conn *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			began := time.Now()
			opened := opts
			if strings.HasPrefix(method, contractPrefix) {
				opened = append(opened, grpc.OnFinish(func(err error) { m.call(toPlugin, method, began, err) }))
			}
			return next(ctx, d, conn, method, opened...)
		}),
	}
}

// servedUnary counts a call by the plugin.
func (m *meter) servedUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	began := time.Now()
	answer, err := next(ctx, req)
	m.call(fromPlugin, info.FullMethod, began, err)
	return answer, err
}

// servedStream counts a stream by the plugin, when it ended.
func (m *meter) servedStream(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	began := time.Now()
	err := next(srv, s)
	m.call(fromPlugin, info.FullMethod, began, err)
	return err
}

// Describe describes nothing: which plugins there are changes while Karov runs. It is for a prometheus.Collector.
func (h *Host) Describe(chan<- *prometheus.Desc) {}

// Collect gives the numbers of all plugins. It is for a prometheus.Collector.
func (h *Host) Collect(out chan<- prometheus.Metric) {
	h.each(func(p *supervised) {
		if p.broken == nil { // what cannot be used has no id that may be believed
			p.meter.collect(p.snapshot(), out)
		}
	})
}

func (m *meter) collect(s Status, out chan<- prometheus.Metric) {
	for _, c := range []prometheus.Collector{m.calls, m.seconds, m.refusals, m.connections} {
		c.Collect(out)
	}
	up := 0.0
	if s.State == Running {
		up = 1
	}
	m.gauge(out, "karov_plugin_up", "Whether a plugin's process runs.", up)
	m.gauge(out, "karov_plugin_memory_bytes", "Memory that a plugin's process occupies.", float64(s.Memory))
	m.gauge(out, "karov_plugin_events_waiting", "Events that a plugin has not taken yet.", float64(m.queue()))
	if s.Pulse != nil {
		m.gauge(out, "karov_plugin_heap_bytes", "Memory in use, as the plugin tells it.", float64(s.Pulse.Heap))
		m.gauge(out, "karov_plugin_goroutines", "What a plugin has under way, as it tells it.", float64(s.Pulse.Goroutines))
	}
	out <- prometheus.MustNewConstMetric(prometheus.NewDesc("karov_plugin_restarts_total", "How often a plugin fell.", nil, m.labels),
		prometheus.CounterValue, float64(s.Restarts))
}

func (m *meter) gauge(out chan<- prometheus.Metric, name, help string, value float64) {
	out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, nil, m.labels), prometheus.GaugeValue, value)
}
