package plugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/plugin/egress"
	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
)

// The two sockets of a plugin.
const (
	pluginSocket = "plugin.sock"
	hostSocket   = "host.sock"

	// anySocket is as long as any name under which a plugin makes its socket before it gets the name above.
	anySocket = "plugin4294967295"

	maxSocketPath = 99 // the kernel takes 107; the rest is left for those who count differently
)

func (h *Host) socketDir(id string) string { return filepath.Join(h.o.RunDir, "p", id) }

// checkSockets refuses a folder so deep that no socket can be made in it.
func (h *Host) checkSockets(id string) error {
	path := filepath.Join(h.socketDir(id), anySocket)
	if len(path) > maxSocketPath {
		return fault.New(fault.Invalid, "plugin.socket-path-too-long", "path", path, "limit", maxSocketPath)
	}
	return nil
}

// session is one start of a plugin: the process, both sockets, the token.
type session struct {
	p       *supervised
	dir     string // of the sockets
	peer    wire.Peer
	token   wire.Token
	process *process
	server  *grpc.Server // ours, on host.sock
	rpc     goplugin.ClientProtocol
	conn    *grpc.ClientConn
	base    wirev1.BaseClient
	channel wirev1.ChannelClient
	files   *fileHandles
	taking  chan struct{} // one place for each message that is being received
	serving chan struct{} // one place for each HTTP request that it answers
	calls   *openCalls
	grant   *access.Granted
	limit   *limit
	floods  atomic.Int64 // calls that were refused for their number

	tells   bool                   // the plugin streams its health
	heard   atomic.Int64           // how often it told it
	sockets map[string]os.FileInfo // as they were when the plugin was connected to

	egress         *egress.Proxy // the way out to the network
	again          chan struct{} // closed when the settings need another process
	tellingRefused sync.Mutex
	told           map[string]bool // what was refused and told of

	configuring sync.Mutex
	configured  atomic.Bool
	refused     atomic.Bool // the configuration is wrong: no use to give it again
}

// begin starts the process and asks it who it is. On an error nothing is left behind.
func (p *supervised) begin(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, p.host.o.Timing.Start)
	defer cancel()
	if err := p.host.declare(ctx, p.m); err != nil {
		return nil, err
	}
	s := &session{
		p: p, dir: p.host.socketDir(p.m.ID), token: wire.NewToken(), files: newFileHandles(),
		taking: make(chan struct{}, receivesAtOnce), serving: make(chan struct{}, servedAtOnce), calls: newOpenCalls(), again: make(chan struct{}), grant: p.host.grant(p.m), limit: p.limit,
	}
	s.peer = wire.Peer{PID: s.pid, UID: os.Geteuid()}
	if err := os.MkdirAll(filepath.Join(p.host.o.DataDir, p.m.ID), 0o700); err != nil {
		return nil, fmt.Errorf("make the plugin's folder: %w", err)
	}
	values := p.values(ctx)
	spec, err := p.spec(s.dir, values)
	if err != nil {
		return nil, err
	}
	s.process = &process{
		spawner: p.host.spawner, launch: p.host.o.Launch, spec: spec, token: s.token,
		exited: make(chan struct{}), readOut: make(chan struct{}),
	}
	p.log.forget()
	if err := s.serve(values); err != nil {
		return nil, err
	}
	if err := s.connect(ctx); err != nil {
		s.close()
		return nil, s.notStarted(err)
	}
	go s.watchBounds() // ends with the process
	if err := errors.Join(s.introduce(ctx), s.noteSockets()); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *session) pid() int { return int(s.process.pid.Load()) }

// serve makes the folder of the sockets anew and listens on ours.
func (s *session) serve(values map[string]string) error {
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("clear the folder of the sockets: %w", err)
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("make the folder of the sockets: %w", err)
	}
	l, err := net.Listen("unix", filepath.Join(s.dir, hostSocket))
	if err != nil {
		return fmt.Errorf("listen for the plugin: %w", err)
	}
	s.server = s.newServer()
	if over := s.overStorage(); over != nil { // what it left behind last time
		return errors.Join(over, l.Close())
	}
	if err := s.openEgress(values); err != nil {
		return errors.Join(err, l.Close())
	}
	go func() { _ = s.server.Serve(lookedAt{l, s, &atomic.Int32{}}) }() // ends with close
	return nil
}

// newServer serves the plugin's callbacks: to its process only, no more at once and in a second than it may have.
func (s *session) newServer() *grpc.Server {
	opts := append(wire.ServerOptions(s.token, s.peer),
		grpc.MaxConcurrentStreams(32), grpc.WaitForHandlers(true), grpc.StatsHandler(oversized{s}),
		grpc.ChainUnaryInterceptor(s.p.meter.servedUnary, guardUnary, s.limitUnary),
		grpc.ChainStreamInterceptor(s.p.meter.servedStream, guardStream, s.limitStream))
	server := grpc.NewServer(append([]grpc.ServerOption{grpc.ChainUnaryInterceptor(s.noteToken), grpc.ChainStreamInterceptor(s.noteTokenStream)}, opts...)...)
	registerServices(server, &callbacks{s: s}, s.p.host.o.First)
	return server
}

// connect starts the process and does the handshake. Everything go-plugin waits for in it ends with the process, and
// the process ends with ctx.
func (s *session) connect(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { _ = s.process.kill() })()
	client := goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  wire.Handshake(),
		Plugins:          goplugin.PluginSet{wire.LineName: &wire.Line{}},
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		SkipHostEnv:      true,
		StartTimeout:     s.p.host.o.Timing.Start,
		Stderr:           s.p.log.stderr(),
		SyncStdout:       s.p.log.stderr(),
		SyncStderr:       s.p.log.stderr(),
		Logger:           hclog.NewNullLogger(), // what it would say, the supervisor says
		GRPCDialOptions:  append(wire.DialOptions(s.token, s.peer), s.p.meter.dialOptions()...),
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: s.dir},
		RunnerFunc: func(_ hclog.Logger, _ *exec.Cmd, tmp string) (runner.Runner, error) {
			return s.process, os.Remove(tmp) // sockets lie in the folder above it
		},
	})
	if _, err := client.Start(); err != nil {
		return fmt.Errorf("shake hands with the plugin: %w", err)
	}
	rpc, err := client.Client()
	if err != nil {
		return fmt.Errorf("connect to the plugin: %w", err)
	}
	s.rpc = rpc
	line, err := rpc.Dispense(wire.LineName)
	if err != nil {
		return fmt.Errorf("connect to the plugin: %w", err)
	}
	conn, ok := line.(*grpc.ClientConn)
	if !ok {
		return errors.New("connect to the plugin: no connection")
	}
	s.conn, s.base, s.channel = conn, wirev1.NewBaseClient(conn), wirev1.NewChannelClient(conn)
	return nil
}

// introduce asks the plugin who it is and compares with the manifest.
func (s *session) introduce(ctx context.Context) error {
	ask := &wirev1.InfoRequest{HostVersion: s.p.host.o.Version, Api: wire.API(), Capabilities: wire.Capabilities()}
	if s.p.host.o.First {
		ask.Api, ask.Capabilities = "1.0", nil
	}
	who, err := s.base.Info(ctx, ask)
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "plugin.not-started")
	}
	m := s.p.m
	if who.GetId() != m.ID || who.GetVersion() != m.Version {
		return fault.New(fault.Invalid, "plugin.other-than-manifest",
			"says", wire.Cut(who.GetId()+" "+who.GetVersion(), 200), "manifest", m.ID+" "+m.Version)
	}
	if !builtFor.MatchString(who.GetApi()) {
		return fault.New(fault.Invalid, "plugin.api-unsupported")
	}
	for _, service := range m.needs() {
		if !slices.Contains(who.GetServices(), service) {
			return notServed(service)
		}
	}
	s.tells = slices.Contains(who.GetCapabilities(), wire.CapabilityHealth) && !s.p.host.o.First
	return nil
}

// builtFor is the contract that a plugin says it was built for. A newer minor than ours is no reason to refuse it: what
// it needs of us stands in its manifest.
var builtFor = regexp.MustCompile(fmt.Sprintf(`^%d\.\d{1,4}$`, wire.APIMajor))

func notServed(service string) error {
	if service == wire.ServiceChannel {
		return fault.New(fault.Invalid, "plugin.channel-not-served")
	}
	return fault.New(fault.Invalid, "plugin.service-not-served", "service", service)
}

// needs gives the services that a plugin must serve for what its manifest declares. What it serves beside them is never
// called.
func (m *Manifest) needs() (services []string) {
	for _, declared := range []struct {
		service string
		some    bool
	}{
		{wire.ServiceChannel, len(m.Provides.Channels) > 0},
		{wire.ServiceHooks, len(m.Hooks.Before)+len(m.Hooks.After) > 0},
		{wire.ServiceActions, len(m.Actions) > 0},
		{wire.ServiceViews, len(m.Views) > 0},
		{wire.ServiceJobs, len(m.Jobs) > 0},
		{wire.ServiceHTTP, len(m.HTTP) > 0},
		{wire.ServiceImport, len(m.Imports) > 0},
		{wire.ServiceMigration, m.Data > 1}, // the first version has nothing behind it
	} {
		if declared.some {
			services = append(services, declared.service)
		}
	}
	return services
}

// configure reads the settings and gives them to the plugin.
func (s *session) configure(ctx context.Context) error {
	s.configuring.Lock()
	defer s.configuring.Unlock()
	s.configured.Store(false)
	err := s.configureOnce(ctx)
	s.configured.Store(err == nil)
	s.refused.Store(err != nil && fault.KindOf(err) == fault.Invalid)
	return err
}

func (s *session) configureOnce(ctx context.Context) error {
	m := s.p.m
	given, err := s.p.host.o.Settings.PluginConfig(ctx, m.ID)
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return fmt.Errorf("read the settings of %s: %w", m.ID, err)
	}
	values, err := m.fill(given)
	if err != nil {
		return err
	}
	if other, err := s.otherPaths(values); err != nil || other {
		if other {
			s.beginAgain()
		}
		return err
	}
	s.egress.SetRules(s.p.rules(values))
	answer, err := s.base.Configure(ctx, &wirev1.ConfigureRequest{Values: values})
	if err != nil {
		return fromWire(err, "plugin.configuration-refused")
	}
	var opened []account
	for _, a := range answer.GetAccounts() {
		ch, err := m.channelOr(a.GetChannel())
		if err != nil {
			return err
		}
		if len(opened) < maxAccounts && a.GetAccount() != "" && len(a.GetAccount()) <= maxName {
			opened = append(opened, account{ch, a.GetAccount()})
		}
	}
	s.p.configured(opened)
	return nil
}

// stop asks the plugin to finish and to exit, for as long as there is patience. Close does the rest.
func (s *session) stop(patience context.Context) {
	t := s.p.host.o.Timing
	s.configured.Store(false) // nothing new is sent
	ctx, cancel := context.WithTimeout(patience, t.Drain)
	_, err := s.base.Drain(ctx, &wirev1.DrainRequest{Within: durationpb.New(t.Drain * 9 / 10)})
	cancel()
	if err != nil {
		s.p.say(ctx, slog.LevelWarn, "a plugin did not finish its work", slog.Any("error", err))
	}
	ctx, cancel = context.WithTimeout(patience, t.Exit)
	defer cancel()
	if _, err := s.base.Shutdown(ctx, &wirev1.ShutdownRequest{}); err == nil {
		_ = s.conn.Close() // go-plugin's own streams would keep the plugin's server up
		select {
		case <-s.process.exited:
		case <-ctx.Done():
		}
	}
}

// close ends what is left of the session: the process, the connections, the sockets. It may be called in any state.
func (s *session) close() {
	if s.process.pid.Load() != 0 {
		if err := s.process.kill(); err != nil {
			s.p.host.o.Log.Error("a plugin could not be killed", "plugin", s.p.m.ID, "error", err)
		}
		<-s.process.exited
	}
	s.server.Stop()
	s.egress.Close()
	if s.rpc != nil {
		_ = s.rpc.Close() // after the end of the process it waits for nothing
	}
	_ = os.RemoveAll(s.dir)
}
