package sdk

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// Back-off between two Runs of a channel that ended by itself, and between two Starts that failed.
const (
	runAgainMin = time.Second
	runAgainMax = 5 * time.Minute
)

// server is the plugin's side of Base, and what the other services share.
type server struct {
	wirev1.UnimplementedBaseServer

	plugin Plugin
	host   *host
	logs   *logQueue
	ctx    context.Context // of the whole process; its Runs are made from it
	stop   context.CancelFunc
	events patience

	drained context.Context // ends when the host asks to begin nothing new
	drain   context.CancelFunc

	configuring sync.Mutex // one Configure at a time

	mu       sync.Mutex
	cancel   context.CancelFunc // ends the Runs under way
	ended    chan struct{}      // closed when they ended; nil when there are none
	draining bool
	calls    sync.WaitGroup
}

func newServer(ctx context.Context, p Plugin, h *host, logs *logQueue) *server {
	ctx, stop := context.WithCancel(ctx)
	s := &server{plugin: p, host: h, logs: logs, stop: stop}
	s.ctx = withStanding(ctx, standing{host: h})
	s.drained, s.drain = context.WithCancel(ctx)
	return s
}

// service is one of the optional services.
type service struct {
	name     string
	served   bool
	register func(*grpc.Server)
}

// services are the optional services of which the plugin filled at least a part.
func (s *server) services() []service {
	p := s.plugin
	all := []service{
		{wire.ServiceChannel, p.Channel != nil, func(g *grpc.Server) { wirev1.RegisterChannelServer(g, channel{server: s}) }},
		{wire.ServiceHooks, len(p.Before) > 0 || p.After != nil, func(g *grpc.Server) { wirev1.RegisterHooksServer(g, hooks{server: s}) }},
		{wire.ServiceActions, len(p.Actions) > 0, func(g *grpc.Server) { wirev1.RegisterActionsServer(g, actions{server: s}) }},
		{wire.ServiceJobs, len(p.Jobs) > 0, func(g *grpc.Server) { wirev1.RegisterJobsServer(g, jobs{server: s}) }},
		{wire.ServiceMigration, p.Migrate != nil, func(g *grpc.Server) { wirev1.RegisterMigrationServer(g, migration{server: s}) }},
		{wire.ServiceImport, len(p.Import) > 0, func(g *grpc.Server) { wirev1.RegisterImportServer(g, importer{server: s}) }},
		{wire.ServiceViews, len(p.Views) > 0, func(g *grpc.Server) { wirev1.RegisterViewsServer(g, views{server: s}) }},
		{wire.ServiceHTTP, p.HTTP != nil, func(g *grpc.Server) { wirev1.RegisterHTTPServer(g, web{server: s}) }},
	}
	served := all[:0]
	for _, one := range all {
		if one.served {
			served = append(served, one)
		}
	}
	return served
}

func (s *server) register(g *grpc.Server) {
	wirev1.RegisterBaseServer(g, s)
	for _, one := range s.services() {
		one.register(g)
	}
}

// options put the standing of each call into its context and keep a panic from ending the process.
func (s *server) options() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(func(ctx context.Context, q any, i *grpc.UnaryServerInfo, next grpc.UnaryHandler) (a any, err error) {
			ctx, leave := s.enter(ctx)
			defer leave()
			defer s.recovered(i.FullMethod, &err)
			return next(ctx, q)
		}),
		grpc.ChainStreamInterceptor(func(srv any, stream grpc.ServerStream, i *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
			ctx, leave := s.enter(stream.Context())
			defer leave()
			defer s.recovered(i.FullMethod, &err)
			return next(srv, standingStream{stream, ctx})
		}),
	}
}

// standingStream is a stream whose context carries the standing of its call.
type standingStream struct {
	grpc.ServerStream
	ctx context.Context
}

// Context is the call's.
func (s standingStream) Context() context.Context { return s.ctx }

// enter puts the host and the caller's handle into ctx. The handle is good until leave is called.
func (s *server) enter(ctx context.Context) (context.Context, func()) {
	at := standing{host: s.host}
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		if handles := md.Get(wire.CallKey); len(handles) == 1 {
			at.handle, at.over = handles[0], new(atomic.Bool)
		}
	}
	return withStanding(ctx, at), func() {
		if at.over != nil {
			at.over.Store(true)
		}
	}
}

// recovered makes a panic of a handler its answer, and logs where it was.
func (s *server) recovered(what string, err *error) {
	v := recover()
	if v == nil {
		return
	}
	_, stack, _ := strings.Cut(string(debug.Stack()), "panic(") // what stands above is of this function
	s.host.log.Error(fmt.Sprintf("a handler panicked: %v\npanic(%s", v, stack), "call", what)
	*err = wire.FaultError(&wirev1.Fault{Kind: wirev1.Kind_KIND_INTERNAL, Detail: "the plugin's handler panicked; its log says where"})
}

// unserved says that the program lacks what its manifest promises.
func unserved(what, name string) error {
	return toAnswer(fmt.Errorf("plugin.yaml declares the %s %q, and the program has none", what, wire.Valid(name)))
}

// begin counts a call under way, and refuses it while the plugin drains.
func (s *server) begin() (done func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return nil, toAnswer(local(wirev1.Kind_KIND_UNAVAILABLE, "plugin.stopping", errors.New("the plugin is stopping")))
	}
	s.calls.Add(1)
	return s.calls.Done, nil
}

// Info says who the plugin is.
func (s *server) Info(context.Context, *wirev1.InfoRequest) (*wirev1.InfoResponse, error) {
	answer := &wirev1.InfoResponse{
		Id: s.plugin.Info.ID, Version: s.plugin.Info.Version, Api: wire.API(), Capabilities: []string{wire.CapabilityHealth},
	}
	for _, one := range s.services() {
		answer.Services = append(answer.Services, one.name)
	}
	return answer, nil
}

// Configure ends what runs, gives the plugin its configuration and lets it run with it. After a refusal nothing runs
// until there is a better configuration.
func (s *server) Configure(ctx context.Context, r *wirev1.ConfigureRequest) (*wirev1.ConfigureResponse, error) {
	s.configuring.Lock()
	defer s.configuring.Unlock()
	if !s.endRun(ctx) {
		return nil, toAnswer(local(wirev1.Kind_KIND_UNAVAILABLE, "plugin.busy", errors.New("the plugin does not let go of its old configuration")))
	}
	if s.plugin.Configure != nil {
		if err := s.plugin.Configure(ctx, Config(r.GetValues())); err != nil {
			return nil, toWire(err)
		}
	}
	answer := &wirev1.ConfigureResponse{}
	if s.plugin.Channel != nil {
		if err := s.plugin.Channel.Configure(ctx, Config(r.GetValues())); err != nil {
			return nil, toWire(err)
		}
	}
	if l, ok := s.plugin.Channel.(AccountLister); ok {
		for _, a := range l.Accounts() {
			answer.Accounts = append(answer.Accounts, &wirev1.Account{Account: wire.Valid(a)})
		}
	}
	s.beginRun()
	return answer, nil
}

func (s *server) beginRun() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining || s.plugin.Channel == nil && s.plugin.Start == nil {
		return
	}
	ctx, cancel := context.WithCancel(s.ctx)
	ended := make(chan struct{})
	s.cancel, s.ended = cancel, ended
	var running sync.WaitGroup
	if s.plugin.Channel != nil {
		running.Go(func() { s.keepRunning(ctx, "the channel's Run", s.runChannel) })
	}
	if s.plugin.Start != nil {
		running.Go(func() { s.keepRunning(ctx, "Start", s.plugin.Start) })
	}
	go func() {
		running.Wait()
		cancel()
		close(ended)
	}()
}

// runChannel is a Run that may not end without a reason.
func (s *server) runChannel(ctx context.Context, h Host) error {
	if err := s.plugin.Channel.Run(ctx, h); err != nil {
		return err
	}
	return errors.New("it ended without a reason")
}

// endRun ends what runs and tells whether it ended before ctx.
func (s *server) endRun(ctx context.Context) bool {
	s.mu.Lock()
	cancel, ended := s.cancel, s.ended
	s.mu.Unlock()
	if ended == nil {
		return true
	}
	cancel()
	select {
	case <-ended:
		return true
	case <-ctx.Done():
		return false
	}
}

// keepRunning calls run until ctx ends or run is done, with back-off after one that failed.
func (s *server) keepRunning(ctx context.Context, what string, run func(context.Context, Host) error) {
	wait := runAgainMin
	for {
		began := time.Now()
		err := s.runOnce(ctx, what, run)
		if err == nil || ctx.Err() != nil {
			return
		}
		if time.Since(began) > runAgainMax {
			wait = runAgainMin
		}
		s.host.log.Warn(what+" stopped and is started again", "in", wait.String(), "error", err)
		jittered := wait/2 + rand.N(wait)
		wait = min(2*wait, runAgainMax)
		select {
		case <-time.After(jittered):
		case <-ctx.Done():
			return
		}
	}
}

func (s *server) runOnce(ctx context.Context, what string, run func(context.Context, Host) error) (err error) {
	defer s.recovered(what, &err)
	return run(ctx, s.host)
}

// Drain begins nothing new and waits for what was begun.
func (s *server) Drain(ctx context.Context, r *wirev1.DrainRequest) (*wirev1.DrainResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, r.GetWithin().AsDuration())
	defer cancel()
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	s.drain()
	s.endRun(ctx)
	done := make(chan struct{})
	go func() { s.calls.Wait(); close(done) }() // outlives the call only as long as a handler that is too slow
	select {
	case <-done:
	case <-ctx.Done():
	}
	s.logs.flush(ctx)
	return &wirev1.DrainResponse{}, nil
}

// Shutdown ends Serve.
func (s *server) Shutdown(context.Context, *wirev1.ShutdownRequest) (*wirev1.ShutdownResponse, error) {
	s.stop()
	return &wirev1.ShutdownResponse{}, nil
}
