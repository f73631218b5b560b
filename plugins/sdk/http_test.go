package sdk

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// exchange sends one request with its body in chunks and gives the answer.
func exchange(t *testing.T, k *karov, head *wirev1.HTTPRequestHead, body ...[]byte) (*wirev1.HTTPResponseHead, []byte, error) {
	t.Helper()
	stream, err := wirev1.NewHTTPClient(k.plugin).Handle(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		err := stream.Send(&wirev1.HTTPRequest{Part: &wirev1.HTTPRequest_Head{Head: head}})
		for _, chunk := range body {
			if err == nil {
				err = stream.Send(&wirev1.HTTPRequest{Part: &wirev1.HTTPRequest_Body{Body: chunk}})
			}
		}
		if err := errors.Join(err, stream.CloseSend()); err != nil && !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	}()
	defer func() { <-sent }()
	var answer *wirev1.HTTPResponseHead
	var got []byte
	for {
		part, err := stream.Recv()
		if err == io.EOF {
			return answer, got, nil
		}
		if err != nil {
			return answer, got, err
		}
		if part.GetHead() != nil && answer != nil || part.GetHead() == nil && answer == nil || len(part.GetBody()) > wire.ChunkSize {
			t.Fatalf("out of turn: %v", part)
		}
		if part.GetHead() != nil {
			answer = part.GetHead()
		}
		got = append(got, part.GetBody()...)
	}
}

func headers(head *wirev1.HTTPResponseHead) string {
	var lines []string
	for _, h := range head.GetHeaders() {
		lines = append(lines, h.GetName()+"="+h.GetValue())
	}
	return strings.Join(lines, " ")
}

func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-echo")
		w.WriteHeader(http.StatusCreated)
		w.Header().Set("Too-Late", "yes")
		_, _ = io.Copy(w, r.Body)
	})
	mux.HandleFunc("GET /who/{name}", func(w http.ResponseWriter, r *http.Request) {
		a, _ := ActorOf(r.Context())
		fmt.Fprintln(w, a.Name, r.PathValue("name"), r.URL.Query().Get("q"), r.Header.Get("X-One"), r.RemoteAddr, r.Host, r.ContentLength, HostOf(r.Context()) != nil)
	})
	mux.HandleFunc("/none", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/silent", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/abort", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	return mux
}

func TestRequestsAndAnswers(t *testing.T) {
	k := newKarov(t, Plugin{HTTP: routes()})
	get := func(path string) *wirev1.HTTPRequestHead { return &wirev1.HTTPRequestHead{Method: "GET", Path: path} }
	who := get("/who/דנה 100%?")
	who.Query, who.Remote, who.Actor = "q=a%20b", "203.0.113.7", &wirev1.Actor{Id: "u7", Name: "Dana"}
	who.Headers = []*wirev1.HTTPHeader{{Name: "x-one", Value: "1"}, {Name: "Host", Value: "crm.example"}, {Name: "content-length", Value: "0"}}
	nobody := get("/who/x")
	head := get("/who/x")
	head.Method = "HEAD"
	for name, test := range map[string]struct {
		head    *wirev1.HTTPRequestHead
		status  int32
		headers string
		body    string
	}{
		"all of a request": {who, 200, "Content-Type=text/plain; charset=utf-8", "Dana דנה 100%? a b 1 203.0.113.7 crm.example 0 true\n"},
		"nobody asks":      {nobody, 200, "Content-Type=text/plain; charset=utf-8", " x     -1 true\n"},
		"a head only":      {head, 200, "Content-Type=text/plain; charset=utf-8", ""},
		"no content":       {get("/none"), 204, "", ""},
		"no word":          {get("/silent"), 200, "", ""},
		"no such route":    {get("/other"), 404, "Content-Type=text/plain; charset=utf-8 X-Content-Type-Options=nosniff", "404 page not found\n"},
	} {
		answer, body, err := exchange(t, k, test.head)
		if err != nil || answer.GetStatus() != test.status || headers(answer) != test.headers || string(body) != test.body {
			t.Errorf("%s: %d %s %q, %v", name, answer.GetStatus(), headers(answer), body, err)
		}
	}
	if _, _, err := exchange(t, k, get("no-slash")); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a path that is none: %v", err)
	}
	if _, body, err := exchange(t, k, get("/abort")); status.Code(err) != codes.Unavailable || string(body) != "half" {
		t.Errorf("a handler that gives up: %q, %v", body, err)
	}
}

func TestBodiesGoBothWaysInChunks(t *testing.T) {
	k := newKarov(t, Plugin{HTTP: routes()})
	chunk := bytes.Repeat([]byte("0123456789abcdef"), wire.ChunkSize/16)
	body := make([][]byte, 80) // 20 MB, more than a message holds and than the line buffers
	sum := sha256.New()
	for i := range body {
		body[i] = append([]byte{byte(i)}, chunk[:len(chunk)-1-i]...)
		sum.Write(body[i])
	}
	answer, got, err := exchange(t, k, &wirev1.HTTPRequestHead{Method: "POST", Path: "/echo"}, body...)
	if err != nil || answer.GetStatus() != http.StatusCreated || headers(answer) != "Content-Type=application/x-echo" {
		t.Fatalf("it answers %v, %v", answer, err)
	}
	if want, is := sum.Sum(nil), sha256.Sum256(got); !bytes.Equal(want, is[:]) {
		t.Errorf("%d bytes came back, and not the same", len(got))
	}
}

func TestAnAnswerComesBeforeTheRequestEnds(t *testing.T) {
	k := newKarov(t, Plugin{HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		buf := make([]byte, 100)
		for {
			n, err := r.Body.Read(buf)
			if err != nil {
				return
			}
			fmt.Fprintf(w, "heard %s", buf[:n])
			if err := http.NewResponseController(w).Flush(); err != nil {
				return
			}
		}
	})})
	stream, err := wirev1.NewHTTPClient(k.plugin).Handle(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	head := &wirev1.HTTPRequestHead{Method: "POST", Path: "/"}
	if err := stream.Send(&wirev1.HTTPRequest{Part: &wirev1.HTTPRequest_Head{Head: head}}); err != nil {
		t.Fatal(err)
	}
	for i, word := range []string{"one", "two", "three"} {
		if err := stream.Send(&wirev1.HTTPRequest{Part: &wirev1.HTTPRequest_Body{Body: []byte(word)}}); err != nil {
			t.Fatal(err)
		}
		part, err := stream.Recv()
		if err == nil && i == 0 && part.GetHead().GetStatus() == 200 {
			part, err = stream.Recv()
		}
		if err != nil || string(part.GetBody()) != "heard "+word {
			t.Fatalf("after %q it says %v, %v", word, part, err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Errorf("it ended with %v", err)
	}
}
