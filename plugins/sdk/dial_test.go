package sdk

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/karov-crm/karov/plugins/wire"
)

// proxy is a small real CONNECT proxy on a unix socket.
type proxy struct {
	token wire.Token
	hang  chan struct{} // closed: CONNECT is answered
	goes  map[string]string
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.hang != nil {
		select {
		case <-p.hang:
		case <-r.Context().Done():
			return
		}
	}
	to, ok := p.goes[r.Host]
	switch {
	case r.Method != http.MethodConnect:
		http.Error(w, "not a CONNECT", http.StatusMethodNotAllowed)
		return
	case r.Header.Get("Proxy-Authorization") != "Bearer "+string(p.token):
		http.Error(w, "who are you?", http.StatusProxyAuthRequired)
		return
	case !ok:
		http.Error(w, r.Host+" is not granted", http.StatusForbidden)
		return
	}
	out, err := net.Dial("tcp", to)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	in, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	greeting := make([]byte, 64)
	n := 0
	if p.goes["greets"] == to { // the answer and the first bytes come in one piece
		n, _ = out.Read(greeting)
	}
	fmt.Fprintf(rw, "HTTP/1.1 200 Connection established\r\n\r\n%s", greeting[:n])
	rw.Flush()
	go func() {
		_, _ = io.Copy(out, rw)
		_ = out.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(in, out)
	in.Close()
}

func (p *proxy) serve(t testing.TB) egress {
	t.Helper()
	dir, err := os.MkdirTemp("", "k")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: p}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close() })
	p.token = wire.NewToken()
	return egress{socket: l.Addr().String(), token: p.token}
}

func TestHTTPGoesOutByTheProxy(t *testing.T) {
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	defer web.Close()
	p := &proxy{goes: map[string]string{"example.com:443": web.Listener.Addr().String()}}
	client := p.serve(t).httpClient()
	client.Transport.(*http.Transport).TLSClientConfig = web.Client().Transport.(*http.Transport).TLSClientConfig
	defer client.CloseIdleConnections()

	body, w := io.Pipe()
	go func() { _, _ = io.WriteString(w, "שלום"); w.Close() }()
	answer, err := client.Post("https://example.com/", "text/plain", body) // no resolver here knows where that is
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if got, err := io.ReadAll(answer.Body); err != nil || string(got) != "שלום" {
		t.Errorf("it answered %q, %v", got, err)
	}
	if _, err := client.Get("https://elsewhere.example/"); !IsForbidden(err) {
		t.Errorf("elsewhere: %v", err)
	}
}

func TestDialKeepsTheFirstBytes(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(conn, "220 hello")
			all, _ := io.ReadAll(conn) // ends by CloseWrite
			fmt.Fprintf(conn, "you said %s", all)
			conn.Close()
		}
	}()
	to := l.Addr().String()
	out := (&proxy{goes: map[string]string{"mail.example:25": to, "greets": to}}).serve(t)
	conn, err := out.dial(t.Context(), "tcp", "mail.example:25")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if a := conn.RemoteAddr(); a.Network() != "tcp" || a.String() != "mail.example:25" {
		t.Errorf("the other side is %v", a)
	}
	in := bufio.NewReader(conn)
	if line, err := in.ReadString('\n'); err != nil || line != "220 hello\n" {
		t.Errorf("the first line is %q, %v", line, err)
	}
	fmt.Fprint(conn, "bye")
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(in); err != nil || string(rest) != "you said bye" {
		t.Errorf("the rest is %q, %v", rest, err)
	}
}

func TestDialIsRefused(t *testing.T) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	out := (&proxy{goes: map[string]string{"down.example:1": nobody.Addr().String()}}).serve(t)
	thief := egress{socket: out.socket, token: wire.NewToken()}
	for name, test := range map[string]struct {
		by            egress
		network, addr string
		forbidden     bool
	}{
		"not granted":         {out, "tcp", "other.example:1", true},
		"wrong token":         {thief, "tcp", "down.example:1", true},
		"no way out":          {egress{}, "tcp", "down.example:1", true},
		"nobody there":        {out, "tcp", "down.example:1", false},
		"no proxy":            {egress{socket: out.socket + "x"}, "tcp", "down.example:1", false},
		"udp":                 {out, "udp", "down.example:1", false},
		"no port":             {out, "tcp", "down.example", false},
		"a header in the way": {out, "tcp", "down.example:1\r\nX: y:1", false},
	} {
		conn, err := test.by.dial(t.Context(), test.network, test.addr)
		if err == nil {
			conn.Close()
		}
		if err == nil || IsForbidden(err) != test.forbidden {
			t.Errorf("%s: %v, forbidden %v", name, err, IsForbidden(err))
		}
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	p := &proxy{hang: make(chan struct{})}
	defer close(p.hang)
	out := p.serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if conn, err := out.dial(ctx, "tcp", "example.com:1"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v", conn, err)
	}
}
