// Package api is what programs speak to: REST and JSON under /api/v1, described by an OpenAPI document made from the
// live schema, and the three paths by which machines are watched: /healthz, /readyz and /metrics.
//
// It owns no bucket and no fact: every call is a method of a room or of record, which asks for permission itself. An
// entity that the schema gains is here with no code.
//
// It promises that nothing is answered without a token or a session but /healthz, /readyz and the list of methods that
// OPTIONS gives; that a change names the version it saw (If-Match); that asking twice with one Idempotency-Key does a
// thing once; that every error is application/problem+json (RFC 9457) with an id that the log knows too; and that what
// a caller sends is bounded in size, depth and number before anything looks at it.
//
// /metrics wants a token of any account as well: loopback is no proof of anything, since a reverse proxy on the same
// machine makes the whole world come from there. Its numbers name routes and never customers.
//
// It will not guess: an unknown field, parameter or media type is refused. It speaks English only, and allows no other
// site to call it from a browser (no CORS).
package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/search"
	"github.com/karov-crm/karov/appliance/staff"
)

// Prefix is where all calls for programs begin.
const Prefix = "/api/v1"

// Parts is what an API is made of.
type Parts struct {
	Book     *record.Book
	Contacts *contact.Room
	Inbox    *inbox.Room
	Staff    *staff.Room
	Search   *search.Index
	Log      *slog.Logger
	Now      func() time.Time
	Version  string // of the program, for the OpenAPI document
	Limits   Limits

	// Session gives the actor of a browser that is signed in, and the zero Actor for none. Own tells whether the
	// request proves that it comes from our own pages (the form's token); without that a session may only read. Nil
	// where there are no pages.
	Session func(*http.Request) (actor access.Actor, own bool, err error)
	// Ready tells why the appliance cannot serve, beyond its store, which is always tried. Nil for nothing more.
	Ready func(context.Context) error
	// Plugins gives the state of each plugin by its id, as "running". Nil where there are none.
	Plugins func() map[string]string
}

// Limits bounds what one caller may ask. A zero value stands for its default.
type Limits struct {
	Body      int64         // bytes of a request; 1 MB
	Time      time.Duration // that one request may take; 30 s
	PerSecond float64       // requests of one account, on average; 50. One network address may make four times as many
	Burst     int           // requests at once; 200
}

func (l Limits) filled() Limits {
	if l.Body == 0 {
		l.Body = 1 << 20
	}
	if l.Time == 0 {
		l.Time = 30 * time.Second
	}
	if l.PerSecond == 0 {
		l.PerSecond = 50
	}
	if l.Burst == 0 {
		l.Burst = 200
	}
	return l
}

// API answers the calls. It is an http.Handler.
type API struct {
	Parts
	echo      *echo.Echo
	texts     texts
	accounts  *limiter
	addresses *limiter
	metrics   *metrics
}

// New makes the API. A schema that has a field named like one of a record's own is refused.
func New(p Parts) (*API, error) {
	for _, e := range p.Book.Schema().Entities() {
		for _, name := range ownNames() {
			if e.Field(name) != nil {
				return nil, fmt.Errorf("entity %s: field %s is named like one that every record has", e.Name, name)
			}
		}
	}
	p.Limits = p.Limits.filled()
	a := &API{Parts: p, echo: echo.New(), texts: readTexts(), metrics: newMetrics(prometheus.NewRegistry())}
	a.accounts = newLimiter(p.Limits.PerSecond, p.Limits.Burst)
	a.addresses = newLimiter(4*p.Limits.PerSecond, 4*p.Limits.Burst)
	a.echo.HTTPErrorHandler = a.fail
	a.echo.IPExtractor = echo.ExtractIPDirect() // a header that anybody can send is no address
	a.echo.Use(a.measure, a.headers, a.recovered, a.timed)
	for _, r := range a.routes() {
		handle := r.handle
		if !r.open {
			handle = a.known(handle)
		}
		a.echo.Add(r.method, r.path, handle)
		if r.method == http.MethodGet {
			a.echo.Add(http.MethodHead, r.path, handle)
		}
	}
	return a, nil
}

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.echo.ServeHTTP(w, r) }

// Mount gives the API its paths in the office's one listener.
func (a *API) Mount(mux *http.ServeMux) {
	for _, path := range []string{"/api/", "/healthz", "/readyz", "/metrics"} {
		mux.Handle(path, a)
	}
}

// route is one call. The OpenAPI document is made from the same list.
type route struct {
	method, path string
	handle       echo.HandlerFunc
	open         bool // answered to anybody
	describe     func(*document) operation
}

func (a *API) routes() []route {
	const get, post = http.MethodGet, http.MethodPost
	return []route{
		{get, "/healthz", a.health, true, describeHealth},
		{get, "/readyz", a.ready, true, describeReady},
		{get, "/metrics", a.showMetrics, false, describeMetrics},
		{get, Prefix + "/openapi.json", a.openapi, false, describeSelf},
		{get, Prefix + "/search", a.search, false, describeSearch},
		{get, Prefix + "/records/:entity", a.list, false, describeList},
		{post, Prefix + "/records/:entity", a.create, false, describeCreate},
		{get, Prefix + "/records/:entity/:id", a.get, false, describeGet},
		{http.MethodPatch, Prefix + "/records/:entity/:id", a.change, false, describeChange},
		{http.MethodDelete, Prefix + "/records/:entity/:id", a.remove, false, describeRemove},
		{get, Prefix + "/records/contact/:id/timeline", a.timeline, false, describeTimeline},
		{get, Prefix + "/conversations", a.conversations, false, describeConversations},
		{get, Prefix + "/conversations/:id/messages", a.messages, false, describeMessages},
		{post, Prefix + "/conversations/:id/messages", a.reply, false, describeReply},
		{post, Prefix + "/conversations/:id/assign", a.assign, false, describeAssign},
		{post, Prefix + "/conversations/:id/close", a.closeConversation, false, describeClose},
		{post, Prefix + "/conversations/:id/reopen", a.reopenConversation, false, describeReopen},
		{post, Prefix + "/messages/:id/retry", a.retry, false, describeRetry},
	}
}
