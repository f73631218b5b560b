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
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/karov-crm/karov/plugins/wire"
)

// maxAsk is how long the plugin's request may be.
const maxAsk = 8 << 10

// tunnel is one connection of the plugin.
type tunnel struct {
	p      *Proxy
	plugin net.Conn
	ctx    context.Context // ends when the tunnel is cut
	end    context.CancelFunc

	mu    sync.Mutex
	host  string // set when the rules allowed it
	port  uint16
	addr  netip.Addr
	world net.Conn // nil until the other side answered
	over  bool
}

func (t *tunnel) leadsTo() (string, uint16, netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.host, t.port, t.addr
}

// cut ends both sides. It may be called at any moment and again.
func (t *tunnel) cut() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	t.end()
	_ = t.plugin.Close()
	if t.world != nil {
		_ = t.world.Close()
	}
}

// joined keeps the other side, unless the tunnel was cut meanwhile.
func (t *tunnel) joined(world net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.world = world
	return !t.over
}

// serve does all there is to do for the connection.
func (t *tunnel) serve() {
	o := t.p.o
	if err := o.Check(t.plugin); err != nil {
		o.Tell(Event{Kind: Refused, Why: WhyStranger, Err: err})
		return
	}
	_ = t.plugin.SetDeadline(time.Now().Add(o.Ask))
	in := bufio.NewReader(t.plugin)
	host, port, why, err := t.ask(in)
	e := Event{Host: host, Port: port, Why: why, Err: err}
	if why != "" {
		e.Kind = Refused
		t.answer(e)
		return
	}
	select {
	case t.p.conns <- struct{}{}:
		defer func() { <-t.p.conns }()
	default:
		e.Kind, e.Why = Refused, WhyTooMany
		t.answer(e)
		return
	}
	rule, ok := t.p.rule(host, port)
	if !ok {
		e.Kind, e.Why = Refused, WhyRule
		t.answer(e)
		return
	}
	t.mu.Lock()
	t.host, t.port = host, port
	t.mu.Unlock()
	_ = t.plugin.SetDeadline(time.Now().Add(o.Connect + o.Ask))
	if world := t.connect(rule, &e); world != nil {
		t.flow(world, in, e)
		return
	}
	t.answer(e)
}

// ask reads where the plugin wants to go. Why is empty when it may ask.
func (t *tunnel) ask(in *bufio.Reader) (host string, port uint16, why Why, err error) {
	limited := bufio.NewReader(io.LimitReader(in, maxAsk))
	r, err := http.ReadRequest(limited)
	if err != nil {
		return "", 0, WhyMalformed, err
	}
	if extra := limited.Buffered(); extra > 0 { // nobody speaks before he was let through
		return "", 0, WhyMalformed, errors.New("something follows the request")
	}
	token, isToken := strings.CutPrefix(r.Header.Get("Proxy-Authorization"), "Bearer ")
	if !isToken || !t.p.knows(token) {
		return "", 0, WhyStranger, errors.New("the token of this start is missing or wrong")
	}
	if r.Method != http.MethodConnect {
		return "", 0, WhyMalformed, fmt.Errorf("%.20q instead of CONNECT", r.Method)
	}
	return target(r.RequestURI)
}

// target reads "host:port".
func target(to string) (string, uint16, Why, error) {
	at := strings.LastIndexByte(to, ':')
	if at < 0 {
		return "", 0, WhyMalformed, fmt.Errorf("%.100q is no host with a port", to)
	}
	port, err := strconv.ParseUint(to[at+1:], 10, 16)
	host, ok := cleanHost(to[:at])
	if err != nil || port == 0 || !ok {
		return "", 0, WhyMalformed, fmt.Errorf("%.100q is no host with a port", to)
	}
	return host, uint16(port), "", nil
}

// connect looks the host up and dials those of its addresses that the rule covers, one after the other. It says in e
// what came of it.
func (t *tunnel) connect(rule Rule, e *Event) net.Conn {
	ctx, cancel := context.WithTimeout(t.ctx, t.p.o.Connect)
	defer cancel()
	var addrs []netip.Addr
	if ip, err := netip.ParseAddr(e.Host); err == nil {
		addrs = []netip.Addr{ip}
	} else if addrs, err = t.p.o.Resolve(ctx, e.Host); err != nil {
		e.Kind, e.Why, e.Err = Failed, whyFailed(err), err
		return nil
	}
	e.Kind, e.Why = Failed, WhyUnknown
	dialled := false
	for _, ip := range addrs {
		e.Addr = ip.Unmap()
		if !rule.covers(ip) {
			if !dialled {
				e.Kind, e.Why = Refused, WhyAddress
			}
			continue
		}
		dialled = true
		world, err := t.p.o.Dial(ctx, netip.AddrPortFrom(e.Addr, e.Port))
		if err == nil {
			e.Kind, e.Why, e.Err = Opened, "", nil
			t.mu.Lock()
			t.addr = e.Addr
			t.mu.Unlock()
			return world
		}
		e.Kind, e.Why, e.Err = Failed, whyFailed(err), err
		if ctx.Err() != nil {
			break
		}
	}
	return nil
}

// answer tells the plugin why it may not, or cannot.
func (t *tunnel) answer(e Event) {
	t.p.o.Tell(e)
	status := http.StatusForbidden
	switch e.Why {
	case WhyStranger:
		status = http.StatusProxyAuthRequired
	case WhyMalformed:
		status = http.StatusBadRequest
	case WhyTooMany:
		status = http.StatusTooManyRequests
	case WhyTimeout:
		status = http.StatusGatewayTimeout
	case WhyUnknown, WhyClosed, WhyDown:
		status = http.StatusBadGateway
	}
	body := string(e.Why)
	if e.Host != "" {
		body += " " + net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
	}
	_ = t.plugin.SetWriteDeadline(time.Now().Add(t.p.o.Ask))
	// Whether the plugin reads it is its own affair.
	_, _ = fmt.Fprintf(t.plugin, "HTTP/1.1 %d %s\r\n%s: %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		status, http.StatusText(status), wire.EgressReason, e.Why, len(body), body)
}

// flow lets the plugin and the other side speak until one is silent for too long, or both are done.
func (t *tunnel) flow(world net.Conn, in *bufio.Reader, e Event) {
	if !t.joined(world) {
		world.Close()
		return
	}
	began := time.Now()
	t.p.o.Tell(e)
	defer func() {
		e.Kind, e.Took = Closed, time.Since(began)
		t.p.o.Tell(e)
	}()
	_ = t.plugin.SetDeadline(time.Time{})
	if _, err := io.WriteString(t.plugin, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	left := &atomic.Int64{}
	left.Store(t.p.o.MaxBytes)
	back := make(chan int64, 1)
	go func() { back <- t.pour(t.plugin, world, world, left) }()
	e.Sent = t.pour(world, t.plugin, in, left)
	e.Received = <-back
}

// pour copies one way and gives how much. When its source is done, the other way goes on; on any error both end.
func (t *tunnel) pour(to, from net.Conn, read io.Reader, left *atomic.Int64) (total int64) {
	buf := make([]byte, 32<<10)
	for {
		soon := time.Now().Add(t.p.o.Idle)
		_, _ = from.SetReadDeadline(soon), to.SetReadDeadline(soon) // traffic either way keeps both
		n, err := read.Read(buf)
		if n > 0 {
			if left.Add(int64(-n)) < 0 {
				t.cut()
				return total
			}
			_ = to.SetWriteDeadline(time.Now().Add(t.p.o.Idle))
			if _, err := to.Write(buf[:n]); err != nil {
				t.cut()
				return total
			}
			total += int64(n)
		}
		if errors.Is(err, io.EOF) {
			if half, ok := to.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
				t.cut()
			}
			return total
		}
		if err != nil {
			t.cut()
			return total
		}
	}
}

func refusedThere(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
