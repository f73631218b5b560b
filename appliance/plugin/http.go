package plugin

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
)

// Limits of HTTP routes.
const (
	HTTPPrefix = "/p/"

	answerBegins = 10 * time.Second
	answerPause  = 30 * time.Second // longest silence within an answer
	bodyDefault  = 1 << 20
	bodyMost     = 100 << 20
	headersMost  = 60
	servedAtOnce = 16 // requests of one plugin
)

// sandbox is the policy of what a plugin answers: even what a browser takes for a page runs no script, sends no form and
// loads nothing, and is no part of the office's own pages.
const sandbox = "sandbox; default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// answered are the headers that a plugin may set; those of the connection, of cookies and of policies are ours.
var answered = []string{"Content-Type", "Content-Disposition", "Content-Language", "Cache-Control", "Etag", "Last-Modified", "Location", "Retry-After"}

// withheld are the headers of a request that no plugin gets: what they prove is the office's business.
var withheld = []string{"Cookie", "Connection", "Keep-Alive", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "X-Csrf-Token", "Karov-Csrf"}

// ServeHTTP answers requests below /p/<plugin id>/ by the plugin's own routes. A route that is not public is for an
// actor only, whom main puts into the request's context. Faults are answered in a few plain words: who calls a web-hook
// is a program.
func (h *Host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Security-Policy", sandbox)
	w.Header().Set("Cache-Control", "no-store")
	s, route, path, status := h.route(r)
	if status != http.StatusOK {
		http.Error(w, http.StatusText(status), status)
		return
	}
	select {
	case s.serving <- struct{}{}:
		defer func() { <-s.serving }()
	default:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "too many requests", http.StatusTooManyRequests)
		return
	}
	if err := s.handle(w, r, route, path); err != nil {
		h.o.Log.Warn("a plugin did not answer a request", "plugin", s.p.m.ID, "path", route.Path, "error", err)
	}
}

// route finds the plugin and its route. Status is what to answer where there is none.
func (h *Host) route(r *http.Request) (s *session, route RouteSpec, path string, status int) {
	id, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, HTTPPrefix), "/")
	p, err := h.find(id)
	if err != nil {
		return nil, route, "", http.StatusNotFound
	}
	path = "/" + rest
	found := slices.IndexFunc(p.m.HTTP, func(one RouteSpec) bool {
		return one.Path == path || strings.HasSuffix(one.Path, "/") && strings.HasPrefix(path, one.Path)
	})
	if found < 0 || strings.Contains(path, "..") {
		return nil, route, "", http.StatusNotFound
	}
	route = p.m.HTTP[found]
	switch {
	case !route.Public && access.ActorFrom(r.Context()).ID == "":
		return nil, route, "", http.StatusUnauthorized
	case len(route.Methods) > 0 && !slices.Contains(route.Methods, r.Method):
		return nil, route, "", http.StatusMethodNotAllowed
	}
	if s, err = p.current(); err != nil {
		return nil, route, "", http.StatusServiceUnavailable
	}
	return s, route, path, http.StatusOK
}

// handle carries one request to the plugin and its answer back.
func (s *session) handle(w http.ResponseWriter, r *http.Request, route RouteSpec, path string) error {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	limit := int64(route.Limit)
	if limit <= 0 {
		limit = bodyDefault
	}
	if r.ContentLength > min(limit, bodyMost) {
		http.Error(w, "the body is too large", http.StatusRequestEntityTooLarge)
		return nil
	}
	r.Body = http.MaxBytesReader(w, r.Body, min(limit, bodyMost))
	late := time.AfterFunc(answerBegins, func() { cancel(context.DeadlineExceeded) })
	defer late.Stop()
	call, done := s.asCaller(ctx)
	defer done()
	line, err := wirev1.NewHTTPClient(s.conn).Handle(call)
	if err != nil {
		return s.gaveUp(w, err)
	}
	sent := make(chan error, 1)
	go func() {
		err := sendRequest(line, r, path, route.Public)
		sent <- err
		if err != nil {
			cancel(err) // the plugin must not wait for the rest
		}
	}()
	first, err := line.Recv()
	if err != nil {
		var tooLarge *http.MaxBytesError
		if failed := notYet(sent); errors.As(failed, &tooLarge) {
			http.Error(w, "the body is too large", http.StatusRequestEntityTooLarge)
			return nil
		}
		return s.gaveUp(w, err)
	}
	head := first.GetHead()
	if head == nil || head.GetStatus() < 200 || head.GetStatus() > 599 {
		return s.gaveUp(w, errors.New("the answer does not begin with a head"))
	}
	answerHead(w, head)
	late.Reset(answerPause)
	return copyBody(w, line, late)
}

func notYet(sent <-chan error) error {
	select {
	case err := <-sent:
		return err
	case <-time.After(100 * time.Millisecond): // the body's reader tells of its limit at the same moment
		return nil
	}
}

// gaveUp answers for a plugin that did not.
func (s *session) gaveUp(w http.ResponseWriter, err error) error {
	status := http.StatusBadGateway
	if f := fromWire(err, "plugin.view-failed"); f.Kind == fault.Unavailable {
		status = http.StatusServiceUnavailable
	}
	http.Error(w, http.StatusText(status), status)
	return err
}

// sendRequest sends the head, then the body.
func sendRequest(line wirev1.HTTP_HandleClient, r *http.Request, path string, public bool) error {
	head := &wirev1.HTTPRequestHead{Method: r.Method, Path: wire.Valid(path), Query: wire.Valid(r.URL.RawQuery)}
	if actor := actorToWire(r.Context()); actor.GetId() != "" && !public {
		head.Actor = actor
	}
	head.Remote, _, _ = net.SplitHostPort(r.RemoteAddr)
	for name, values := range r.Header {
		if slices.Contains(withheld, textproto.CanonicalMIMEHeaderKey(name)) || name == "Authorization" && !public {
			continue
		}
		for _, value := range values {
			if len(head.Headers) < headersMost {
				head.Headers = append(head.Headers, &wirev1.HTTPHeader{Name: wire.Valid(name), Value: wire.Valid(value)})
			}
		}
	}
	if err := line.Send(&wirev1.HTTPRequest{Part: &wirev1.HTTPRequest_Head{Head: head}}); err != nil {
		return err
	}
	buf := make([]byte, wire.ChunkSize)
	for {
		n, err := r.Body.Read(buf)
		if n > 0 {
			if failed := line.Send(&wirev1.HTTPRequest{Part: &wirev1.HTTPRequest_Body{Body: slices.Clone(buf[:n])}}); failed != nil {
				return failed
			}
		}
		if errors.Is(err, io.EOF) {
			return line.CloseSend()
		}
		if err != nil {
			return err
		}
	}
}

// answerHead writes the head of an answer, with those headers only that a plugin may set. It leads nobody to another
// site: a Location stays within the plugin's own routes.
func answerHead(w http.ResponseWriter, head *wirev1.HTTPResponseHead) {
	for _, line := range head.GetHeaders()[:min(len(head.GetHeaders()), headersMost)] {
		name := textproto.CanonicalMIMEHeaderKey(line.GetName())
		if !slices.Contains(answered, name) || strings.ContainsAny(line.GetValue(), "\r\n\x00") {
			continue
		}
		if to, err := url.Parse(line.GetValue()); name == "Location" && (err != nil || to.Host != "" || to.Scheme != "" ||
			strings.HasPrefix(line.GetValue(), "/") && !strings.HasPrefix(line.GetValue(), HTTPPrefix) || strings.HasPrefix(line.GetValue(), "\\")) {
			continue
		}
		w.Header().Set(name, line.GetValue())
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/octet-stream")
	}
	w.WriteHeader(int(head.GetStatus()))
}

// copyBody writes the body as it comes.
func copyBody(w http.ResponseWriter, line wirev1.HTTP_HandleClient, late *time.Timer) error {
	flush := http.NewResponseController(w)
	for total := int64(0); ; {
		part, err := line.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			panic(http.ErrAbortHandler) // the head is out: only a broken connection tells the caller that the rest is missing
		}
		late.Reset(answerPause)
		if total += int64(len(part.GetBody())); total > bodyMost {
			panic(http.ErrAbortHandler)
		}
		if _, err := w.Write(part.GetBody()); err != nil {
			return nil // the caller is gone
		}
		_ = flush.Flush()
	}
}
