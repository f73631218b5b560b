package egress

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/karov-crm/karov/plugins/wire"
)

const token = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// world is a proxy, a server that echoes behind it, and what the proxy told.
type world struct {
	proxy  *Proxy
	socket string
	port   int // of the server on 127.0.0.1

	mu     sync.Mutex
	events []Event
}

func newWorld(t *testing.T, change func(*Options)) *world {
	t.Helper()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	w := &world{socket: filepath.Join(t.TempDir(), "s"), port: server.Addr().(*net.TCPAddr).Port}
	o := Options{Token: token, Tell: w.tell}
	if change != nil {
		change(&o)
	}
	l, err := net.Listen("unix", w.socket)
	if err != nil {
		t.Fatal(err)
	}
	w.proxy = New(o)
	served := make(chan error, 1)
	go func() { served <- w.proxy.Serve(l) }()
	t.Cleanup(func() {
		w.proxy.Close()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return w
}

func (w *world) tell(e Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

func (w *world) told(kind Kind) (found []Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Kind == kind {
			found = append(found, e)
		}
	}
	return found
}

// speak sends raw bytes and gives the status and the reason of the answer, and the connection.
func (w *world) speak(t *testing.T, raw string) (int, Why, net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("unix", w.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	answer, err := http.ReadResponse(in, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return 0, "", conn, in
	}
	return answer.StatusCode, Why(answer.Header.Get(wire.EgressReason)), conn, in
}

func (w *world) connect(t *testing.T, to string) (int, Why, net.Conn, *bufio.Reader) {
	t.Helper()
	return w.speak(t, "CONNECT "+to+" HTTP/1.1\r\nHost: "+to+"\r\nProxy-Authorization: Bearer "+token+"\r\n\r\n")
}

// resolver answers names from a table.
func resolver(names map[string][]string) func(context.Context, string) ([]netip.Addr, error) {
	return func(_ context.Context, host string) (addrs []netip.Addr, err error) {
		for _, ip := range names[host] {
			addrs = append(addrs, netip.MustParseAddr(ip))
		}
		if addrs == nil {
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}
		return addrs, nil
	}
}

func rules(t *testing.T, all ...string) (list []Rule) {
	t.Helper()
	for _, text := range all {
		to, private := strings.CutPrefix(text, "private ")
		r, err := ParseRule(to, private)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	return list
}

func TestDeclaredPlacesAreReached(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Resolve = resolver(map[string][]string{"mail.office.test": {"127.0.0.1"}})
	})
	w.proxy.SetRules(rules(t, "private mail.office.test:"+strconv.Itoa(w.port)))
	status, _, conn, in := w.connect(t, "MAIL.office.test.:"+strconv.Itoa(w.port))
	if status != http.StatusOK {
		t.Fatalf("the answer is %d; the proxy told %v", status, w.events)
	}
	if _, err := io.WriteString(conn, "hello\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := in.ReadString('\n'); line != "hello\n" {
		t.Errorf("it came back as %q, %v", line, err)
	}
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
		t.Errorf("after the end came %q, %v", rest, err)
	}
	eventually(t, func() bool { return len(w.told(Closed)) == 1 })
	e := w.told(Closed)[0]
	if e.Host != "mail.office.test" || int(e.Port) != w.port || e.Addr.String() != "127.0.0.1" || e.Sent != 6 || e.Received != 6 {
		t.Errorf("it was told as %+v", e)
	}
}

func TestEverythingElseIsRefused(t *testing.T) {
	dialled := make(chan string, 100)
	w := newWorld(t, func(o *Options) {
		o.Resolve = resolver(map[string][]string{
			"api.test.example": {"127.0.0.1"}, "office.example": {"10.0.0.5"}, "mapped.example": {"::ffff:192.168.1.1"},
			"nat.example": {"64:ff9b::7f00:1"}, "meta.example": {"169.254.169.254"}, "six.example": {"fd00::1"}, "six2.example": {"fe80::1"},
			"cgnat.example": {"100.64.1.1"}, "many.example": {"224.0.0.1"}, "mixed.example": {"127.0.0.1", "8.8.8.8"},
		})
		o.Dial = func(_ context.Context, to netip.AddrPort) (net.Conn, error) {
			dialled <- to.String()
			return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		}
		o.Rules = rules(t, "api.test.example:443", "office.example:443", "mapped.example:443", "nat.example:443", "private meta.example:443",
			"six.example:443", "six2.example:443", "cgnat.example:443", "private many.example:443", "mixed.example:443", "*.wild.example:443",
			"gone.example:443", "127.0.0.1:443", "private 10.0.0.9:443", "[::1]:443")
	})
	for _, c := range []struct {
		to     string
		status int
		why    Why
	}{
		{"evil.example:443", 403, WhyRule}, {"api.test.example:80", 403, WhyRule}, {"x.api.test.example:443", 403, WhyRule},
		{"wild.example:443", 403, WhyRule}, {"evilwild.example:443", 403, WhyRule}, {"8.8.8.8:443", 403, WhyRule},
		{"api.test.example:443", 403, WhyAddress}, {"office.example:443", 403, WhyAddress}, {"mapped.example:443", 403, WhyAddress},
		{"nat.example:443", 403, WhyAddress}, {"meta.example:443", 403, WhyAddress}, {"six.example:443", 403, WhyAddress},
		{"six2.example:443", 403, WhyAddress}, {"cgnat.example:443", 403, WhyAddress}, {"many.example:443", 403, WhyAddress},
		{"127.0.0.1:443", 403, WhyAddress}, {"[::1]:443", 403, WhyAddress}, {"[::ffff:127.0.0.1]:443", 403, WhyAddress},
		{"127.1:443", 400, WhyMalformed}, {"2130706433:443", 400, WhyMalformed}, {"0x7f.1:443", 400, WhyMalformed},
		{"[fe80::1%25eth0]:443", 400, WhyMalformed}, {"host:0", 400, WhyMalformed}, {"host:99999", 400, WhyMalformed}, {"host", 400, WhyMalformed},
		{"gone.example:443", 502, WhyUnknown}, {"a.wild.example:443", 502, WhyUnknown},
		{"mixed.example:443", 502, WhyClosed}, {"10.0.0.9:443", 502, WhyClosed},
	} {
		if status, why, _, _ := w.connect(t, c.to); status != c.status || why != c.why {
			t.Errorf("%s: %d %s, want %d %s", c.to, status, why, c.status, c.why)
		}
	}
	close(dialled)
	var got []string
	for to := range dialled {
		got = append(got, to)
	}
	if want := "8.8.8.8:443 10.0.0.9:443"; strings.Join(got, " ") != want {
		t.Errorf("it dialled %v, want only %s", got, want)
	}
}

func TestStrangersAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		ask    string
		status int
	}{
		"no token":        {"CONNECT a.example:443 HTTP/1.1\r\nHost: a\r\n\r\n", 407},
		"wrong token":     {"CONNECT a.example:443 HTTP/1.1\r\nHost: a\r\nProxy-Authorization: Bearer " + strings.Repeat("0", 64) + "\r\n\r\n", 407},
		"another method":  {"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nProxy-Authorization: Bearer " + token + "\r\n\r\n", 400},
		"no request":      {"hello\r\n\r\n", 400},
		"long request":    {"CONNECT a.example:443 HTTP/1.1\r\nX: " + strings.Repeat("x", 2*maxAsk) + "\r\n\r\n", 400},
		"words too early": {"CONNECT a.example:443 HTTP/1.1\r\nHost: a\r\nProxy-Authorization: Bearer " + token + "\r\n\r\nhello", 400},
	} {
		w := newWorld(t, nil)
		if status, _, _, _ := w.speak(t, c.ask); status != c.status {
			t.Errorf("%s: %d, want %d", name, status, c.status)
		}
		eventually(t, func() bool { return len(w.told(Refused)) == 1 })
	}
	w := newWorld(t, func(o *Options) { o.Check = func(net.Conn) error { return errors.New("another process") } })
	if status, _, _, _ := w.connect(t, "a.example:443"); status != 0 {
		t.Errorf("another process is answered with %d", status)
	}
}

// TestANameThatChangesItsMind dials what was checked, not what the name says a moment later.
func TestANameThatChangesItsMind(t *testing.T) {
	asked := 0
	var dialled netip.AddrPort
	w := newWorld(t, func(o *Options) {
		o.Resolve = func(context.Context, string) ([]netip.Addr, error) {
			asked++
			if asked == 1 {
				return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
			}
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}
		o.Dial = func(_ context.Context, to netip.AddrPort) (net.Conn, error) {
			dialled = to
			return nil, errors.New("down")
		}
		o.Rules = rules(t, "turn.example:443")
	})
	if status, _, _, _ := w.connect(t, "turn.example:443"); status != 502 || dialled.String() != "93.184.216.34:443" || asked != 1 {
		t.Errorf("%d, dialled %s, asked %d times", status, dialled, asked)
	}
	if status, why, _, _ := w.connect(t, "turn.example:443"); status != 403 || why != WhyAddress {
		t.Errorf("the second time: %d %s", status, why)
	}
}

func TestRulesChangeWhileConnectionsLive(t *testing.T) {
	w := newWorld(t, nil)
	to := "127.0.0.1:" + strconv.Itoa(w.port)
	w.proxy.SetRules(rules(t, "private "+to))
	status, _, _, in := w.connect(t, to)
	if status != 200 {
		t.Fatalf("the answer is %d", status)
	}
	w.proxy.SetRules(rules(t, "private "+to, "other.example:1"))
	if n := len(w.told(Closed)); n != 0 {
		t.Fatal("a rule that stayed cut its connection")
	}
	w.proxy.SetRules(rules(t, to))
	if _, err := in.ReadByte(); err == nil {
		t.Error("a connection outlived its rule")
	}
	if status, why, _, _ := w.connect(t, to); status != 403 || why != WhyAddress {
		t.Errorf("a new one: %d %s", status, why)
	}
}

func TestBounds(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxConns, o.MaxBytes, o.Idle = 2, 1000, 300*time.Millisecond })
	to := "127.0.0.1:" + strconv.Itoa(w.port)
	w.proxy.SetRules(rules(t, "private "+to))
	_, _, _, idle := w.connect(t, to)
	_, _, conn, in := w.connect(t, to)
	if status, why, _, _ := w.connect(t, to); status != 429 || why != WhyTooMany {
		t.Errorf("the third at once: %d %s", status, why)
	}
	if _, err := conn.Write(make([]byte, 2000)); err != nil {
		t.Fatal(err)
	}
	if n, _ := io.Copy(io.Discard, in); n > 1000 {
		t.Errorf("%d bytes came through", n)
	}
	if _, err := idle.ReadByte(); err == nil {
		t.Error("a silent connection lives on")
	}
	eventually(t, func() bool { return len(w.told(Closed)) == 2 })
	if status, _, _, _ := w.connect(t, to); status != 200 {
		t.Errorf("afterwards there is no place: %d", status)
	}
}

func TestCloseCutsADialUnderWay(t *testing.T) {
	dialling := make(chan struct{})
	w := newWorld(t, func(o *Options) {
		o.Rules = rules(t, "8.8.8.8:1")
		o.Dial = func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
			close(dialling)
			<-ctx.Done()
			return nil, ctx.Err()
		}
	})
	go func() {
		<-dialling
		w.proxy.Close()
	}()
	if status, _, _, _ := w.connect(t, "8.8.8.8:1"); status == 200 {
		t.Error("it stands")
	}
}

func TestRulesAsManifestsHaveThem(t *testing.T) {
	values := map[string]string{"imap.host": " Mail.Office.Example ", "imap.port": "2993", "six": "fd00::1", "empty": " "}
	for in, want := range map[string]string{
		"api.example.com:443":       "{api.example.com [443] false}",
		"${imap.host}:143,993":      "{mail.office.example [143 993] false}",
		"${imap.host}:${imap.port}": "{mail.office.example [2993] false}",
		"${six}:25":                 "{fd00::1 [25] false}",
		"[fd00::1]:25":              "{fd00::1 [25] false}",
		"*.example.com:443":         "{*.example.com [443] false}",
		"${empty}:1":                "skipped", "a:${none}": "skipped",
		"*.com:443": "error", "*:443": "error", "*.1.2.3.4:1": "error", "a b:1": "error", "a:": "error", "a:0": "error", "a:70000": "error",
		"a": "error", ":1": "error", "a:1,": "error", "1.2.3:1": "error", "[::1%lo]:1": "error", "a..b:1": "error", "http://a:1": "error",
	} {
		got := "skipped"
		if to, ok := Expand(in, values); ok {
			r, err := ParseRule(to, false)
			if got = fmt.Sprint(r); err != nil {
				got = "error"
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func FuzzTarget(f *testing.F) {
	for _, s := range []string{"a.example:443", "[::1]:1", "127.0.0.1:80", "1.2:3", "a.:1", "\x00:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		host, port, why, err := target(s)
		if (why == "") != (err == nil) {
			t.Fatalf("%q: %s and %v", s, why, err)
		}
		if why != "" {
			return
		}
		again, ok := cleanHost(host)
		if strings.Contains(host, ":") {
			again, ok = cleanHost("[" + host + "]")
		}
		if port == 0 || !ok || again != host {
			t.Fatalf("%q is read as %q, which is not clean: %q %v", s, host, again, ok)
		}
	})
}

func FuzzParseRule(f *testing.F) {
	for _, s := range []string{"a.example:443", "*.example.com:1,2", "[::1]:1", "${a}:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRule(s, true)
		if err != nil {
			return
		}
		for _, port := range r.Ports {
			if port < 1 || port > 65535 {
				t.Fatalf("%q: port %d", s, port)
			}
		}
		if r.names("") || r.covers(netip.MustParseAddr("169.254.169.254")) {
			t.Fatalf("%q leads too far", s)
		}
	})
}

func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}
