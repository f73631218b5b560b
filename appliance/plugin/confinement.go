package plugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/plugin/confine"
	"github.com/karov-crm/karov/appliance/plugin/egress"
	"github.com/karov-crm/karov/plugins/wire"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// egressSocket is the way out to the network, beside the other two sockets.
const egressSocket = "egress.sock"

// What a plugin's process may have, where the manifest says nothing about it.
const (
	maxOpenFiles = 512
	spareTasks   = 1024 // processes and threads that the user of Karov may have beyond those it has at the start
)

// What Options.Refused is told of, beside what callbacks are refused.
const (
	refusedStranger  = "stranger"        // another process on one of the plugin's sockets
	refusedToken     = "token-wrong"     // the plugin's process without the token of this start
	refusedEgress    = "egress"          // a place in the network that the manifest does not name
	refusedProgram   = "program-changed" // the file is not the one that was installed
	refusedIsolation = "isolation-too-low"
)

// defaultLaunch is the small launcher that is installed with this program, since every start of a plugin waits for it.
// Where there is none this very program is the launcher, also when another version lies under its name by now.
func defaultLaunch() []string {
	if self, err := os.Executable(); err == nil {
		dir := filepath.Dir(self)
		for _, path := range []string{filepath.Join(dir, confine.Command), filepath.Join(dir, "../lib/karov", confine.Command)} {
			if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
				return []string{path}
			}
		}
	}
	return []string{"/proc/self/exe", confine.Command}
}

// values are the settings as they are now, as far as they can be read: what is wrong with them is told when the plugin
// is configured.
func (p *supervised) values(ctx context.Context) map[string]string {
	given, err := p.host.o.Settings.PluginConfig(ctx, p.m.ID)
	if err != nil {
		return nil
	}
	values, err := p.m.fill(given)
	if err != nil {
		return nil
	}
	return values
}

// spec says what the process of the plugin may have.
func (p *supervised) spec(sockets string, values map[string]string) (confine.Spec, error) {
	o, m := p.host.o, p.m
	read, write, err := p.host.paths(m, values)
	if err != nil {
		return confine.Spec{}, err
	}
	for _, name := range trustVariables() {
		if path := os.Getenv(name); filepath.IsAbs(path) {
			read = append(read, path)
		}
	}
	memory, storage := m.Permissions.Memory, m.Permissions.Storage
	if memory == 0 {
		memory = DefaultMemory
	}
	if storage == 0 {
		storage = DefaultStorage
	}
	return confine.Spec{
		Program: filepath.Join(m.dir, m.Binary), SHA256: m.programSum, Interpreter: m.Interpreter, Package: m.dir,
		Work: filepath.Join(o.DataDir, m.ID), Sockets: sockets, Read: read, Write: write,
		Minimum: o.MinimumIsolation, Parent: os.Getpid(),
		Limits: confine.Limits{Memory: uint64(memory), OpenFiles: maxOpenFiles, FileSize: uint64(storage), Tasks: tasksOf(os.Geteuid()) + spareTasks},
	}, nil
}

// paths are the files and folders outside of the plugin's own that settings name. The administrator who sets them gives
// them to the plugin; what is Karov's own nobody can give away so.
func (h *Host) paths(m *Manifest, values map[string]string) (read, write []string, err error) {
	for _, s := range m.Config {
		path := values[s.Key]
		if path == "" || s.Type != Path && s.Type != Folder {
			continue
		}
		real, err := filepath.EvalSymlinks(path)
		if errors.Is(err, os.ErrNotExist) {
			continue // the plugin says so itself, and is started anew when the setting changes
		}
		if err != nil {
			return nil, nil, fault.Wrap(err, fault.Invalid, "plugin.path-unreadable", "path", path)
		}
		for _, own := range append([]string{h.o.DataDir, h.o.RunDir}, h.o.Own...) {
			if within(real, own) || within(own, real) {
				return nil, nil, fault.New(fault.Forbidden, "plugin.path-own", "path", path)
			}
		}
		if s.Type == Folder {
			write = append(write, real)
		} else {
			read = append(read, real)
		}
	}
	return read, write, nil
}

// within tells whether a path is a folder or lies below it.
func within(path, folder string) bool {
	if real, err := filepath.EvalSymlinks(folder); err == nil {
		folder = real
	}
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/")
}

// tasksOf counts the processes and threads of a user that can be seen, since the kernel's limit is of all of them.
func tasksOf(uid int) uint64 {
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0
	}
	total := uint64(0)
	for _, dir := range all {
		if v, err := processOf(dir); err == nil && v.uid == uid {
			total += uint64(v.threads)
		}
	}
	return total
}

// rules are the places in the network that the plugin may reach with these settings.
func (p *supervised) rules(values map[string]string) (rules []egress.Rule) {
	for _, grant := range p.m.Permissions.Egress {
		to, ok := egress.Expand(grant.To, values)
		if !ok {
			continue
		}
		rule, err := egress.ParseRule(to, grant.Private)
		if err != nil { // a setting that is no host: the plugin says what it needs
			p.say(context.Background(), slog.LevelWarn, "a place in the network cannot be understood", slog.String("to", wire.Cut(to, 200)))
			continue
		}
		rules = append(rules, rule)
	}
	return rules
}

// openEgress opens the way out. It ends with close.
func (s *session) openEgress(values map[string]string) error {
	l, err := net.Listen("unix", filepath.Join(s.dir, egressSocket))
	if err != nil {
		return fmt.Errorf("open the way out: %w", err)
	}
	s.egress = egress.New(egress.Options{
		Token: string(s.token), Rules: s.p.rules(values), Tell: s.wentOut,
		Check: func(conn net.Conn) error { return checkPeer(conn, s.peer) },
	})
	go func() { _ = s.egress.Serve(l) }()
	return nil
}

// wentOut writes down what happens at the way out.
func (s *session) wentOut(e egress.Event) {
	to := net.JoinHostPort(printable(wire.Cut(e.Host, 253)), strconv.Itoa(int(e.Port)))
	about := map[string]string{"to": to, "why": string(e.Why)}
	if e.Addr.IsValid() {
		about["address"] = e.Addr.String()
	}
	switch e.Kind {
	case egress.Opened:
		s.p.meter.connect(true)
		s.p.log.line(slog.LevelInfo, "connected", about)
	case egress.Closed:
		about["sent"], about["received"] = strconv.FormatInt(e.Sent, 10), strconv.FormatInt(e.Received, 10)
		s.p.log.line(slog.LevelInfo, "connection ended", about)
	case egress.Failed:
		s.p.meter.connect(false)
		s.p.log.line(slog.LevelWarn, "connection failed", about)
	case egress.Refused:
		s.p.meter.connect(false)
		s.p.log.line(slog.LevelWarn, "connection refused by Karov", about)
		what := refusedEgress
		if e.Why == egress.WhyStranger {
			what = refusedToken
		}
		s.tellRefused(what, to+" "+string(e.Why), about)
	}
}

// maxTold is how many different refusals of one start are told of: one that makes up names shall not fill the audit.
const maxTold = 100

// tellRefused tells, once in each start, of something that the plugin tried and may not.
func (s *session) tellRefused(what, which string, about map[string]string) {
	s.p.meter.refuse(what)
	s.tellingRefused.Lock()
	if s.told == nil {
		s.told = map[string]bool{}
	}
	again := s.told[what+" "+which] || len(s.told) >= maxTold
	s.told[what+" "+which] = true
	s.tellingRefused.Unlock()
	if again {
		return
	}
	h := s.p.host
	s.p.say(context.Background(), slog.LevelWarn, "a plugin was refused", slog.String("what", what), slog.Any("about", about)) // of nobody's call
	if h.o.Refused != nil {
		h.o.Refused(context.Background(), s.p.m.ID, what, about) // of nobody's call
	}
}

// lookedAt is a listener that turns strangers away before the first byte and tells of them, and has no more connections
// at a time than a plugin needs.
type lookedAt struct {
	net.Listener
	s    *session
	open *atomic.Int32
}

// Accept gives the next connection of the plugin's own process.
func (l lookedAt) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		stranger := checkPeer(conn, l.s.peer)
		if stranger == nil && l.open.Add(1) <= connectionsAtOnce {
			return &counted{UnixConn: conn.(*net.UnixConn), open: l.open}, nil // checkPeer knows no other
		}
		_ = conn.Close()
		if stranger == nil {
			l.open.Add(-1)
			l.s.tellRefused(refusedRate, "", map[string]string{"detail": "connections"})
			time.Sleep(refusalTakes / 20) // only its own next connection waits
			continue
		}
		l.s.tellRefused(refusedStranger, "", map[string]string{"detail": stranger.Error()})
	}
}

// counted is a connection that counts while it is open.
type counted struct {
	*net.UnixConn
	open *atomic.Int32
	once sync.Once
}

// Close closes the connection and lets another one in.
func (c *counted) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.UnixConn.Close()
}

// checkPeer asks the kernel who is at the other end of a connection.
func checkPeer(conn net.Conn, want wire.Peer) error {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return errors.New("it is no unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return fmt.Errorf("ask who is at the other end: %w", err)
	}
	var got *unix.Ucred
	var inner error
	err = raw.Control(func(fd uintptr) { got, inner = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err := errors.Join(err, inner); err != nil {
		return fmt.Errorf("ask who is at the other end: %w", err)
	}
	if pid := want.PID(); pid == 0 || int(got.Pid) != pid || int(got.Uid) != want.UID {
		return fmt.Errorf("process %d of user %d is not the one expected here", got.Pid, got.Uid)
	}
	return nil
}

// otherPaths tells whether these settings name other files and folders than those the process was started with: what it
// may reach cannot change while it lives.
func (s *session) otherPaths(values map[string]string) (bool, error) {
	read, write, err := s.p.host.paths(s.p.m, values)
	if err != nil {
		return false, err
	}
	spec := s.process.spec
	had := func(all []string, path string) bool { return slices.Contains(all, path) }
	for _, path := range read {
		if !had(spec.Read, path) {
			return true, nil
		}
	}
	return len(write) != len(spec.Write) || slices.ContainsFunc(write, func(path string) bool { return !had(spec.Write, path) }), nil
}

// beginAgain ends the process so that another is started with what the settings name now.
func (s *session) beginAgain() {
	s.tellingRefused.Lock()
	defer s.tellingRefused.Unlock()
	select {
	case <-s.again:
	default:
		close(s.again)
	}
}

// noteToken tells of calls that the line itself refused for their token.
func (s *session) noteToken(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	answer, err := next(ctx, req)
	s.unauthenticated(ctx, err)
	return answer, err
}

// noteTokenStream is noteToken for streams.
func (s *session) noteTokenStream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	err := next(srv, stream)
	s.unauthenticated(stream.Context(), err)
	return err
}

func (s *session) unauthenticated(ctx context.Context, err error) {
	if status.Code(err) == codes.Unauthenticated {
		s.tellRefused(refusedToken, "", nil)
		s.holdUp(ctx)
	}
}
