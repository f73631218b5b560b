package sdk

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc"
)

// responseBuffer is how much of an answer is gathered before it goes over.
const responseBuffer = 64 << 10

type httpStream = grpc.BidiStreamingServer[wirev1.HTTPRequest, wirev1.HTTPResponse]

// web serves Plugin.HTTP.
type web struct {
	wirev1.UnimplementedHTTPServer
	*server
}

// Handle answers one request.
func (s web) Handle(stream httpStream) (err error) {
	done, err := s.begin()
	if err != nil {
		return err
	}
	defer done()
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	head := first.GetHead()
	if head == nil {
		return toAnswer(local(wirev1.Kind_KIND_INVALID, "http.no-head", errors.New("the request does not begin with its head")))
	}
	r, err := request(withActor(stream.Context(), head.GetActor()), head)
	if err != nil {
		return toAnswer(local(wirev1.Kind_KIND_INVALID, "http.bad-request", err))
	}
	r.Body = &pieces[*wirev1.HTTPRequest]{recv: stream.Recv, bytes: (*wirev1.HTTPRequest).GetBody}
	w := &responder{stream: stream, header: http.Header{}, bodyless: r.Method == http.MethodHead}
	w.body = bufio.NewWriterSize(chunkWriter{w}, responseBuffer)
	defer func() {
		if v := recover(); v == http.ErrAbortHandler {
			err = toAnswer(local(wirev1.Kind_KIND_UNAVAILABLE, "http.aborted", http.ErrAbortHandler))
		} else if v != nil {
			panic(v) // the server says and logs it
		}
	}()
	s.plugin.HTTP.ServeHTTP(w, r)
	return w.finish()
}

// request makes what the host sent a request as net/http knows it.
func request(ctx context.Context, head *wirev1.HTTPRequestHead) (*http.Request, error) {
	if !strings.HasPrefix(head.GetPath(), "/") {
		return nil, fmt.Errorf("%q is no path", head.GetPath())
	}
	u := &url.URL{Path: head.GetPath(), RawQuery: head.GetQuery()}
	r := &http.Request{
		Method: head.GetMethod(), URL: u, RequestURI: u.RequestURI(), RemoteAddr: head.GetRemote(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, ContentLength: -1,
	}
	for _, h := range head.GetHeaders() {
		r.Header.Add(h.GetName(), h.GetValue())
	}
	r.Host = r.Header.Get("Host")
	r.Header.Del("Host")
	if n, err := strconv.ParseInt(r.Header.Get("Content-Length"), 10, 64); err == nil && n >= 0 {
		r.ContentLength = n
	}
	return r.WithContext(ctx), nil
}

// responder is the http.ResponseWriter of one request. It is for one goroutine, as those of net/http are.
type responder struct {
	stream   httpStream
	header   http.Header // as the handler sees it
	decided  http.Header // as it was when the status was decided
	status   int         // 0: nothing is decided
	told     bool
	bodyless bool
	body     *bufio.Writer
}

// Header is the head of the answer.
func (w *responder) Header() http.Header { return w.header }

// WriteHeader decides the status. What follows is ignored, except after one that only informs.
func (w *responder) WriteHeader(status int) {
	if w.status != 0 || status < 200 || status > 999 {
		return
	}
	w.status = status
	w.decided = w.header.Clone() // what a handler sets from here on does not count
	if status == http.StatusNoContent || status == http.StatusNotModified {
		w.bodyless = true
	}
}

// Write writes a piece of the body.
func (w *responder) Write(p []byte) (int, error) {
	if w.status == 0 {
		if _, set := w.header["Content-Type"]; !set && len(p) > 0 {
			w.header.Set("Content-Type", http.DetectContentType(p))
		}
		w.WriteHeader(http.StatusOK)
	}
	if w.bodyless {
		return len(p), nil
	}
	return w.body.Write(p)
}

// FlushError sends what was written so far, for http.ResponseController.
func (w *responder) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if err := w.tell(); err != nil {
		return err
	}
	return w.body.Flush()
}

// Flush sends what was written so far.
func (w *responder) Flush() { _ = w.FlushError() } // the next Write, or the end, says what is wrong

func (w *responder) finish() error {
	if err := w.FlushError(); err != nil {
		return fmt.Errorf("answer the request: %w", err)
	}
	return nil
}

// tell sends the head, once.
func (w *responder) tell() error {
	if w.told {
		return nil
	}
	w.told = true
	head := &wirev1.HTTPResponseHead{Status: int32(w.status)}
	for _, name := range slices.Sorted(maps.Keys(w.decided)) {
		for _, v := range w.decided[name] {
			head.Headers = append(head.Headers, &wirev1.HTTPHeader{
				Name: wire.Valid(textproto.CanonicalMIMEHeaderKey(name)), Value: wire.Valid(v),
			})
		}
	}
	return w.stream.Send(&wirev1.HTTPResponse{Part: &wirev1.HTTPResponse_Head{Head: head}})
}

// chunkWriter sends the body in pieces that the line takes.
type chunkWriter struct{ *responder }

// Write sends p.
func (w chunkWriter) Write(p []byte) (int, error) {
	if err := w.tell(); err != nil {
		return 0, err
	}
	sent := 0
	for sent < len(p) {
		n := min(len(p)-sent, wire.ChunkSize)
		part := &wirev1.HTTPResponse_Body{Body: p[sent : sent+n]}
		if err := w.stream.Send(&wirev1.HTTPResponse{Part: part}); err != nil {
			if errors.Is(err, io.EOF) {
				err = context.Cause(w.stream.Context())
			}
			return sent, err
		}
		sent += n
	}
	return sent, nil
}
