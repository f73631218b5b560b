// Package egress is the one way out of a confined plugin: a proxy on a unix socket that takes CONNECT host:port and
// connects where the plugin's manifest says it may.
//
// It promises that a plugin reaches the hosts and ports of its rules and nothing else: names are looked up here, every
// address that comes of a name is checked in the moment of connecting, and that very address is dialled, so that a name
// that changes its mind leads nowhere. Addresses of this machine, of the office's network and of the plumbing between
// networks are refused unless the rule says Private; addresses from which clouds hand out their keys, and those of many
// receivers at once, are refused always. Only the process of the plugin, with the token of this start, is listened to.
// Each connection and each refusal is told to the host.
//
// It never looks into what flows: TLS is between the plugin and the other side. It owns nothing and keeps nothing.
package egress

import (
	"context"
	"crypto/subtle"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/karov-crm/karov/plugins/wire"
)

// Options say whom a Proxy serves and how far it goes. Zero bounds have defaults.
type Options struct {
	Token string               // of this start of the plugin; must not be empty
	Check func(net.Conn) error // who is at the other end of a new connection; nil accepts anybody who has the token
	Rules []Rule
	Tell  func(Event) // called from many goroutines, must return quickly; nil tells nobody

	Resolve func(ctx context.Context, host string) ([]netip.Addr, error) // the system's when nil
	Dial    func(ctx context.Context, to netip.AddrPort) (net.Conn, error)

	MaxConns int           // at the same time: 64
	MaxBytes int64         // of one connection, both ways: 16 GB
	Ask      time.Duration // how long the plugin may take to say where it wants to go: 10 s
	Connect  time.Duration // how long looking up and connecting may take: 20 s
	Idle     time.Duration // how long nothing may flow: 35 min, since mail servers are waited on for half an hour
}

// Kind says what happened.
type Kind string

// What happens at the way out.
const (
	Opened  Kind = "opened"
	Closed  Kind = "closed"
	Refused Kind = "refused" // by the rules; the plugin tried what it may not
	Failed  Kind = "failed"  // allowed, but the other side could not be reached
)

// Event is one thing that happened.
type Event struct {
	Kind           Kind
	Host           string // as the plugin asked
	Port           uint16
	Addr           netip.Addr    // where it led, when it led anywhere
	Why            Why           // of what was refused or failed
	Err            error         // beneath Why, for the log; may be nil
	Sent, Received int64         // bytes, of what was closed
	Took           time.Duration // of what was closed
}

// Why is the reason of a refusal or failure, as the plugin reads it too.
type Why string

// The reasons.
const (
	WhyStranger  Why = "stranger"          // another process, or the token of another start
	WhyMalformed Why = "malformed"         // no CONNECT host:port
	WhyRule      Why = "not-declared"      // no rule names the host and port
	WhyAddress   Why = "address-forbidden" // the name leads to an address that the rule does not cover
	WhyTooMany   Why = "too-many"          // connections at the same time
	WhyUnknown   Why = wire.EgressNoHost
	WhyClosed    Why = wire.EgressRefused
	WhyTimeout   Why = "timeout"
	WhyDown      Why = "unreachable"
)

// Proxy serves one start of one plugin.
type Proxy struct {
	o     Options
	conns chan struct{} // a place for each connection

	mu       sync.Mutex
	rules    []Rule
	listener net.Listener
	live     map[*tunnel]struct{}
	closed   bool
	running  sync.WaitGroup
}

// New makes a proxy.
func New(o Options) *Proxy {
	if o.Tell == nil {
		o.Tell = func(Event) {}
	}
	if o.Check == nil {
		o.Check = func(net.Conn) error { return nil }
	}
	if o.Resolve == nil {
		o.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if o.Dial == nil {
		o.Dial = dialTCP
	}
	if o.MaxConns <= 0 {
		o.MaxConns = 64
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 16 << 30
	}
	for _, d := range []struct {
		set   *time.Duration
		value time.Duration
	}{{&o.Ask, 10 * time.Second}, {&o.Connect, 20 * time.Second}, {&o.Idle, 35 * time.Minute}} {
		if *d.set <= 0 {
			*d.set = d.value
		}
	}
	return &Proxy{o: o, rules: slices.Clone(o.Rules), conns: make(chan struct{}, o.MaxConns), live: map[*tunnel]struct{}{}}
}

func dialTCP(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 4}}
	return d.DialContext(ctx, "tcp", to.String())
}

// Serve answers until Close, and closes l.
func (p *Proxy) Serve(l net.Listener) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return l.Close()
	}
	p.listener = l
	p.mu.Unlock()
	for {
		conn, err := l.Accept()
		if err != nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.closed {
				return nil
			}
			return err
		}
		t := &tunnel{p: p, plugin: conn}
		t.ctx, t.end = context.WithCancel(context.Background()) // of no caller: drop ends it
		if !p.take(t) {
			t.cut()
			continue
		}
		go func() {
			defer p.drop(t)
			t.serve()
		}()
	}
}

// take counts a tunnel in, unless the proxy closes.
func (p *Proxy) take(t *tunnel) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.live[t] = struct{}{}
	p.running.Add(1)
	return true
}

func (p *Proxy) drop(t *tunnel) {
	t.cut()
	p.mu.Lock()
	delete(p.live, t)
	p.mu.Unlock()
	p.running.Done()
}

// SetRules changes where the plugin may go. Connections that the new rules do not allow are cut.
func (p *Proxy) SetRules(rules []Rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = slices.Clone(rules)
	for t := range p.live {
		if host, port, addr := t.leadsTo(); host != "" {
			if rule, ok := match(p.rules, host, port); !ok || addr.IsValid() && !rule.covers(addr) {
				t.cut()
			}
		}
	}
}

// rule gives what covers a host and port.
func (p *Proxy) rule(host string, port uint16) (Rule, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return match(p.rules, host, port)
}

// Close cuts every connection and returns when the last is over.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	if p.listener != nil {
		_ = p.listener.Close()
	}
	for t := range p.live {
		t.cut()
	}
	p.mu.Unlock()
	p.running.Wait()
}

// knows compares a token, in a time that tells nothing of it.
func (p *Proxy) knows(token string) bool {
	return p.o.Token != "" && subtle.ConstantTimeCompare([]byte(token), []byte(p.o.Token)) == 1
}

// whyFailed names an error of looking up or connecting.
func whyFailed(err error) Why {
	var dns *net.DNSError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return WhyUnknown
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return WhyTimeout
	case refusedThere(err):
		return WhyClosed
	}
	return WhyDown
}
