// Package api is what programs speak to: REST and JSON under /api/v1, described by an OpenAPI document made from the
// live schema, and the three paths by which machines are watched: /healthz, /readyz and /metrics.
//
// It owns no bucket and no fact: every call is a method of a room or of record, which asks for permission itself. An
// entity that the schema gains is here with no code.
//
// It promises that nothing is answered without a token or a session but /healthz, /readyz and the list of methods that
// OPTIONS gives; that a change of a record or of the roles names the version it saw (If-Match); that asking twice with one Idempotency-Key does a
// thing once; that every error is application/problem+json (RFC 9457) with an id that the log knows too; that what a
// caller sends is bounded in size, depth and number before anything looks at it; and that the journal hears of each
// reading (who, which record, which sensitive fields) before the answer leaves.
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
	"slices"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/attachment"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/deal"
	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/search"
	"github.com/karov-crm/karov/appliance/segment"
	"github.com/karov-crm/karov/appliance/staff"
	"github.com/karov-crm/karov/appliance/task"
	"github.com/karov-crm/karov/appliance/transfer"
)

// Prefix is where all calls for programs begin.
const Prefix = "/api/v1"

// Parts is what an API is made of.
type Parts struct {
	Book     *record.Book
	Schema   *schema.Registry
	Contacts *contact.Room
	Inbox    *inbox.Room
	Staff    *staff.Room
	Search   *search.Index
	Gate     *access.Gate
	Journal  *journal.Journal
	Files    *attachment.Room
	Transfer *transfer.Office
	Segments *segment.Room
	Tasks    *task.Room
	Deals    *deal.Room
	Log      *slog.Logger
	Now      func() time.Time
	Version  string // of the program, for the OpenAPI document
	Country  string // of the office in ISO 3166 letters: whose phones a file has where they name no other; "" for IL
	Spool    string // folder for files that wait to be imported; "" for the system's own
	Limits   Limits

	// Session gives the actor of a browser that is signed in, and the zero Actor for none. Own tells whether the
	// request proves that it comes from our own pages (the form's token); without that a session may only read. Nil
	// where there are no pages.
	Session func(*http.Request) (actor access.Actor, own bool, err error)
	// Ready tells why the appliance cannot serve, beyond its store, which is always tried. Nil for nothing more.
	Ready func(context.Context) error
	// Plugins gives the state of each plugin by its id, as "running". Nil where there are none.
	Plugins func() map[string]string
	// Sentences gives the plugins' sentences of a language by key. Nil where there are none.
	Sentences func(lang string) map[string]string
	// Numbers are given to Prometheus beside our own.
	Numbers []prometheus.Collector
	// Down is closed when the appliance goes down, so that streams of events end. Nil where it never does.
	Down <-chan struct{}
}

// Limits bounds what one caller may ask. A zero value stands for its default.
type Limits struct {
	Body      int64         // bytes of a request; 1 MB
	File      int64         // bytes of an uploaded file; 64 MB
	Import    int64         // bytes of a file to import; 512 MB
	Time      time.Duration // that one request may take, or one pause of a file or a stream; 30 s
	Streams   int           // streams of events of one account at once; 8. All accounts together have 64 times as many
	PerSecond float64       // requests of one account, on average; 50. One network address may make four times as many
	Burst     int           // requests at once; 200
}

func (l Limits) filled() Limits {
	if l.Body == 0 {
		l.Body = 1 << 20
	}
	if l.File == 0 {
		l.File = 64 << 20
	}
	if l.Import == 0 {
		l.Import = 512 << 20
	}
	if l.Streams == 0 {
		l.Streams = 8
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
	streams   *streams
	exports   *streams
	running   *running
	imports   *imports
	metrics   *metrics
	paths     map[string]bool // of the routes
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
	a := &API{Parts: p, echo: echo.New(), texts: readTexts(), metrics: newMetrics(prometheus.NewRegistry(), p.Numbers...)}
	a.accounts = newLimiter(p.Limits.PerSecond, p.Limits.Burst)
	a.addresses = newLimiter(4*p.Limits.PerSecond, 4*p.Limits.Burst)
	a.streams = newStreams(p.Limits.Streams)
	a.exports = newStreams(exportsEach)
	a.running, a.imports = newRunning(), &imports{}
	a.echo.HTTPErrorHandler = a.fail
	a.echo.IPExtractor = echo.ExtractIPDirect() // a header that anybody can send is no address
	a.echo.Use(a.measure, a.headers, a.recovered)
	a.paths = map[string]bool{}
	for _, r := range a.routes() {
		a.paths[r.path] = true
		handle := r.handle
		if !r.open {
			handle = a.known(handle)
		}
		if !r.long {
			handle = a.timed(handle)
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
	describe     func(*document) operation
	open         bool // answered to anybody
	long         bool // takes as long as it needs: it bounds each pause itself
}

func (a *API) routes() []route {
	return slices.Concat(a.machineRoutes(), a.recordRoutes(), a.traceRoutes(), a.manyRoutes(), a.importRoutes(), a.inboxRoutes(), a.taskRoutes(), a.dealRoutes(),
		a.schemaRoutes(), a.forgetRoutes(), a.segmentRoutes(), a.roleRoutes(), a.staffRoutes(), a.auditRoutes())
}

const (
	get   = http.MethodGet
	post  = http.MethodPost
	put   = http.MethodPut
	patch = http.MethodPatch
	del   = http.MethodDelete
)

func (a *API) machineRoutes() []route {
	return []route{
		{method: get, path: "/healthz", handle: a.health, describe: describeHealth, open: true},
		{method: get, path: "/readyz", handle: a.ready, describe: describeReady, open: true},
		{method: get, path: "/metrics", handle: a.showMetrics, describe: describeMetrics},
		{method: get, path: Prefix + "/openapi.json", handle: a.openapi, describe: describeSelf},
		{method: get, path: Prefix + "/events", handle: a.events, describe: describeEvents, long: true},
	}
}

// recordRoutes are of one record and of lists.
func (a *API) recordRoutes() []route {
	const all, one = Prefix + "/records/:entity", Prefix + "/records/:entity/:id"
	return []route{
		{method: get, path: Prefix + "/search", handle: a.search, describe: describeSearch},
		{method: get, path: all, handle: a.list, describe: describeList},
		{method: post, path: all, handle: a.create, describe: describeCreate},
		{method: get, path: all + "/explain", handle: a.explain, describe: describeExplain},
		{method: get, path: one, handle: a.get, describe: describeGet},
		{method: patch, path: one, handle: a.change, describe: describeChange},
		{method: del, path: one, handle: a.remove, describe: describeRemove},
		{method: get, path: one + "/files/:field/:n", handle: a.file, describe: describeFile, long: true},
		{method: post, path: Prefix + "/blobs", handle: a.upload, describe: describeUpload, long: true},
		{method: get, path: Prefix + "/records/contact/:id/timeline", handle: a.timeline, describe: describeTimeline},
	}
}

// traceRoutes are of what a record was, and for whom it is.
func (a *API) traceRoutes() []route {
	const all, one = Prefix + "/records/:entity", Prefix + "/records/:entity/:id"
	return []route{
		{method: get, path: one + "/history", handle: a.history, describe: describeHistory},
		{method: get, path: all + "/bin", handle: a.bin, describe: describeBin},
		{method: post, path: one + "/restore", handle: a.restore, describe: describeRestore},
		{method: get, path: one + "/shares", handle: a.shares, describe: describeShares},
		{method: put, path: one + "/shares/:subject", handle: a.share, describe: describeShare},
		{method: del, path: one + "/shares/:subject", handle: a.unshare, describe: describeUnshare},
	}
}

// manyRoutes are of many records at once.
func (a *API) manyRoutes() []route {
	return []route{
		{method: post, path: Prefix + "/records/:entity/bulk", handle: a.bulk, describe: describeBulk},
		{method: get, path: Prefix + "/bulk", handle: a.bulks, describe: describeBulks},
		{method: get, path: Prefix + "/bulk/:id", handle: a.bulkOf, describe: describeBulkOf},
		{method: post, path: Prefix + "/bulk/:id/undo", handle: a.undoBulk, describe: describeUndoBulk},
		{method: get, path: Prefix + "/export/:entity", handle: a.export, describe: describeExport, long: true},
	}
}

func (a *API) inboxRoutes() []route {
	const talk = Prefix + "/conversations/:id"
	return []route{
		{method: get, path: Prefix + "/conversations", handle: a.conversations, describe: describeConversations},
		{method: get, path: talk + "/messages", handle: a.messages, describe: describeMessages},
		{method: post, path: talk + "/messages", handle: a.reply, describe: describeReply},
		{method: post, path: talk + "/assign", handle: a.assign, describe: describeAssign},
		{method: post, path: talk + "/close", handle: a.closeConversation, describe: describeClose},
		{method: post, path: talk + "/reopen", handle: a.reopenConversation, describe: describeReopen},
		{method: post, path: Prefix + "/messages/:id/retry", handle: a.retry, describe: describeRetry},
	}
}
