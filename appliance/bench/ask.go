package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
)

// answer takes what a handler writes. It is used again for the next question, so that the measurement makes no garbage
// of its own.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) { a.status = status }

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.body.Write(p)
}

func (a *answer) reset() {
	clear(a.header)
	a.status = 0
	a.body.Reset()
}

// question prepares a request as the server would have read it.
func (r *run) question(ctx context.Context, path string, query url.Values) *http.Request {
	target := "/api/v1" + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	u, err := url.Parse(target)
	if err != nil {
		panic(err) // every path here is ours
	}
	request := (&http.Request{Method: http.MethodGet, URL: u, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
		Body: http.NoBody, Host: "localhost", RemoteAddr: "127.0.0.1:1", RequestURI: target}).WithContext(ctx)
	request.Header.Set("Authorization", "Bearer "+r.o.Token)
	return request
}

// ask lets the API answer.
func (r *run) ask(a *answer, q *http.Request) error {
	a.reset()
	r.o.API.ServeHTTP(a, q)
	if a.status != http.StatusOK {
		return fmt.Errorf("%s: %d %.300s", q.RequestURI, a.status, a.body.Bytes())
	}
	return nil
}

// read asks once and reads the answer.
func (r *run) read(ctx context.Context, path string, query url.Values, into any) error {
	a := &answer{header: http.Header{}}
	q := r.question(ctx, path, query)
	if err := r.ask(a, q); err != nil {
		return err
	}
	if err := json.Unmarshal(a.body.Bytes(), into); err != nil {
		return fmt.Errorf("%s: %w", q.RequestURI, err)
	}
	return nil
}
