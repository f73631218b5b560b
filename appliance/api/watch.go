package api

import (
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

// health tells that the process answers, and looks at nothing else: a watchdog that restarts us must not do so because
// a disk is slow.
func (a *API) health(c echo.Context) error {
	return writeJSON(c, http.StatusOK, jsonType, map[string]string{"status": "ok"})
}

// readiness is what /readyz tells anybody who asks: how many plugins are in which state, and not which.
type readiness struct {
	Status  string         `json:"status"`
	Store   string         `json:"store"`
	Plugins map[string]int `json:"plugins"`
}

// ready tells whether customers can be served: the store reads, and whatever else Ready asks. A plugin that fell does
// not make the appliance unready; it is counted.
func (a *API) ready(c echo.Context) error {
	ctx := c.Request().Context()
	err := a.Book.View(ctx, func(tx store.Tx) error {
		_, err := store.Format(tx)
		return err
	})
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "ready.not")
	}
	if a.Ready != nil {
		if err := a.Ready(ctx); err != nil {
			return fault.Wrap(err, fault.Unavailable, "ready.not")
		}
	}
	r := readiness{Status: "ready", Store: "ok", Plugins: map[string]int{}}
	if a.Plugins != nil {
		for _, state := range a.Plugins() {
			r.Plugins[state]++
		}
	}
	return writeJSON(c, http.StatusOK, jsonType, r)
}

// metrics is what Prometheus reads of us.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	handler  http.Handler
}

func newMetrics(registry *prometheus.Registry, more ...prometheus.Collector) *metrics {
	m := &metrics{
		registry: registry,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "karov_http_requests_total", Help: "Calls answered, by method, route and status.",
		}, []string{"method", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "karov_http_request_seconds", Help: "How long calls took, by method and route.",
			Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30},
		}, []string{"method", "route"}),
	}
	registry.MustRegister(m.requests, m.seconds, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registry.MustRegister(more...)
	m.handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{DisableCompression: true})
	return m
}

func (a *API) showMetrics(c echo.Context) error {
	a.metrics.handler.ServeHTTP(c.Response(), c.Request())
	return nil
}

// measure counts every call. A path or a method that we do not know has one name for all: a caller who invents them
// must not fill our memory.
func (a *API) measure(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		began := a.Now()
		if err := next(c); err != nil {
			c.Error(err) // answered here, so that its status is known
		}
		method, route := c.Request().Method, c.Path()
		switch method {
		case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete, http.MethodPut, http.MethodOptions:
		default:
			method = "other"
		}
		if !a.paths[route] {
			route = "other"
		}
		a.metrics.requests.WithLabelValues(method, route, strconv.Itoa(c.Response().Status)).Inc()
		a.metrics.seconds.WithLabelValues(method, route).Observe(a.Now().Sub(began).Seconds())
		return nil
	}
}
