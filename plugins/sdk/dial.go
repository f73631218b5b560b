package sdk

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
)

// Limits of the way out, and of what the proxy may say before the connection stands.
const (
	dialWithin    = 30 * time.Second
	refusalAtMost = 1 << 10
	idleConns     = 16
	idleFor       = 90 * time.Second
)

// egress is the way out of a confined plugin: an HTTP proxy on a unix socket of Karov that takes CONNECT.
type egress struct {
	socket string // "" where Karov gives no way out
	token  wire.Token
}

// dial opens a connection to addr by the proxy. The name in addr is looked up by Karov: a plugin needs no resolver.
func (e egress) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if network != "tcp" {
		return nil, fmt.Errorf("dial %s: the way out of a plugin carries tcp, not %s", addr, network)
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	if host == "" || port == "" || strings.ContainsAny(addr, " \t\r\n/?#@") {
		return nil, fmt.Errorf("dial %q: an address is host:port", addr)
	}
	if e.socket == "" {
		return nil, local(wirev1.Kind_KIND_FORBIDDEN, "egress.none",
			fmt.Errorf("dial %s: Karov gave no way out (%s is not set)", addr, wire.EnvEgress))
	}
	ctx, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", e.socket)
	if err != nil {
		return nil, local(wirev1.Kind_KIND_UNAVAILABLE, "egress.unreachable", fmt.Errorf("reach the way out: %w", err))
	}
	out, err := e.connect(ctx, conn, addr)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("dial %s: %w", addr, err)
	}
	return out, nil
}

// connect asks the proxy for addr. When ctx ends first, the connection is cut under it.
func (e egress) connect(ctx context.Context, conn net.Conn, addr string) (net.Conn, error) {
	uncut := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer uncut()
	in, err := e.ask(conn, addr)
	if err != nil {
		if ctx.Err() != nil {
			return nil, local(wirev1.Kind_KIND_UNAVAILABLE, "egress.unreachable", ctx.Err())
		}
		return nil, err
	}
	if !uncut() { // ctx ended in the very moment in which the proxy agreed
		return nil, local(wirev1.Kind_KIND_UNAVAILABLE, "egress.unreachable", ctx.Err())
	}
	return &outConn{Conn: conn, in: in, to: outAddr(addr)}, nil
}

func (e egress) ask(conn net.Conn, addr string) (*bufio.Reader, error) {
	ask := &http.Request{
		Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr,
		Header: http.Header{"Proxy-Authorization": {"Bearer " + string(e.token)}},
	}
	if err := ask.Write(conn); err != nil {
		return nil, local(wirev1.Kind_KIND_UNAVAILABLE, "egress.unreachable", err)
	}
	in := bufio.NewReader(conn)
	answer, err := http.ReadResponse(in, ask)
	if err != nil {
		return nil, local(wirev1.Kind_KIND_UNAVAILABLE, "egress.unreachable", err)
	}
	if answer.StatusCode == http.StatusOK {
		return in, nil
	}
	why, _ := io.ReadAll(io.LimitReader(answer.Body, refusalAtMost)) // what came of it is said, the status says enough
	return nil, refusedBy(answer, strings.TrimSpace(wire.Valid(string(why))))
}

// refusedBy makes the proxy's refusal an error: what is not allowed stays so, everything else may work later.
func refusedBy(answer *http.Response, why string) error {
	if why == "" {
		why = answer.Status
	}
	kind, key := wirev1.Kind_KIND_UNAVAILABLE, "egress.unreachable"
	switch answer.StatusCode {
	case http.StatusForbidden, http.StatusProxyAuthRequired, http.StatusBadRequest:
		kind, key = wirev1.Kind_KIND_FORBIDDEN, "egress.forbidden"
	case http.StatusTooManyRequests:
		kind, key = wirev1.Kind_KIND_TOO_MANY, "egress.too-many"
	}
	return local(kind, key, causeOf(answer, why))
}

// causeOf is the error that a direct connection would have met, so that what tells them apart goes on doing so.
func causeOf(answer *http.Response, why string) error {
	switch answer.Header.Get(wire.EgressReason) {
	case wire.EgressNoHost:
		return &net.DNSError{Err: "no such host", Name: answer.Request.Host, IsNotFound: true}
	case wire.EgressRefused:
		return fmt.Errorf("%s: %w", why, syscall.ECONNREFUSED)
	}
	return errors.New(why)
}

// outConn is a connection through the proxy.
type outConn struct {
	net.Conn
	in *bufio.Reader // may hold what the other side said at once
	to outAddr
}

// Read reads what the other side says.
func (c *outConn) Read(p []byte) (int, error) { return c.in.Read(p) }

// RemoteAddr is the address that was asked for, not the proxy's.
func (c *outConn) RemoteAddr() net.Addr { return c.to }

// CloseWrite tells the other side that nothing more is said.
func (c *outConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// outAddr is an address in the world, "host:port".
type outAddr string

// Network is always "tcp".
func (outAddr) Network() string { return "tcp" }

// String gives "host:port".
func (a outAddr) String() string { return string(a) }

// httpClient is an http.Client that knows no other way than dial.
func (e egress) httpClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: e.dial, ForceAttemptHTTP2: true,
		MaxIdleConns: idleConns, IdleConnTimeout: idleFor, TLSHandshakeTimeout: dialWithin,
		ResponseHeaderTimeout: time.Minute, ExpectContinueTimeout: time.Second,
	}}
}
