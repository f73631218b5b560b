package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Back-off between two Runs of a channel that ended by itself.
const (
	runAgainMin = time.Second
	runAgainMax = 5 * time.Minute
)

// server is the plugin's side of Base and Channel.
type server struct {
	wirev1.UnimplementedBaseServer
	wirev1.UnimplementedChannelServer

	info Info
	ch   Channel
	host *host
	logs *logQueue
	ctx  context.Context // of the whole process; its Runs are made from it
	stop context.CancelFunc

	configuring sync.Mutex // one Configure at a time

	mu       sync.Mutex
	cancel   context.CancelFunc // ends the Run under way
	ended    chan struct{}      // closed when it ended; nil when there is none
	draining bool
	sends    sync.WaitGroup
}

func (s *server) register(g *grpc.Server) {
	wirev1.RegisterBaseServer(g, s)
	wirev1.RegisterChannelServer(g, s)
}

// Info says who the plugin is.
func (s *server) Info(context.Context, *wirev1.InfoRequest) (*wirev1.InfoResponse, error) {
	return &wirev1.InfoResponse{
		Id: s.info.ID, Version: s.info.Version, Api: wire.API(), Services: []string{wire.ServiceChannel},
	}, nil
}

// Configure ends Run, gives the channel its configuration and starts Run with it. After a refusal nothing runs until
// there is a better configuration.
func (s *server) Configure(ctx context.Context, r *wirev1.ConfigureRequest) (*wirev1.ConfigureResponse, error) {
	s.configuring.Lock()
	defer s.configuring.Unlock()
	if !s.endRun(ctx) {
		return nil, toWire(Temporary("plugin.busy", errors.New("the channel does not let go of its old configuration")))
	}
	if err := s.ch.Configure(ctx, Config(r.GetValues())); err != nil {
		return nil, toWire(err)
	}
	answer := &wirev1.ConfigureResponse{}
	if l, ok := s.ch.(AccountLister); ok {
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
	if s.draining {
		return
	}
	ctx, cancel := context.WithCancel(s.ctx)
	ended := make(chan struct{})
	s.cancel, s.ended = cancel, ended
	go func() {
		defer close(ended)
		defer cancel()
		s.keepRunning(ctx)
	}()
}

// endRun ends the Run under way and tells whether it ended before ctx.
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

// keepRunning calls Run until ctx ends, with back-off after a Run that ended by itself.
func (s *server) keepRunning(ctx context.Context) {
	wait := runAgainMin
	for {
		began := time.Now()
		err := s.ch.Run(ctx, s.host)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("it ended without a reason")
		}
		if time.Since(began) > runAgainMax {
			wait = runAgainMin
		}
		s.host.log.Warn("the channel stopped running and is started again", "in", wait.String(), "error", err)
		jittered := wait/2 + rand.N(wait)
		wait = min(2*wait, runAgainMax)
		select {
		case <-time.After(jittered):
		case <-ctx.Done():
			return
		}
	}
}

// Send gives one message to the channel.
func (s *server) Send(ctx context.Context, r *wirev1.SendRequest) (*wirev1.SendResponse, error) {
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		return nil, toWire(Temporary("plugin.stopping", nil))
	}
	s.sends.Add(1)
	s.mu.Unlock()
	defer s.sends.Done()

	receipt, err := s.ch.Send(ctx, s.host, s.outgoing(ctx, r))
	if err != nil {
		return nil, toWire(err)
	}
	answer := &wirev1.SendResponse{ExternalId: wire.Valid(receipt.ExternalID)}
	if !receipt.At.IsZero() {
		answer.At = timestamppb.New(receipt.At)
	}
	return answer, nil
}

func (s *server) outgoing(ctx context.Context, r *wirev1.SendRequest) Outgoing {
	out := Outgoing{
		IdempotencyKey: r.GetIdempotencyKey(), Channel: r.GetChannel(), Account: r.GetAccount(),
		To:      Party{Handle: r.GetTo().GetHandle(), Name: r.GetTo().GetName()},
		Subject: r.GetSubject(), Text: r.GetText(), ExternalID: r.GetExternalId(),
		InReplyTo: r.GetInReplyTo(), References: r.GetReferences(),
	}
	for _, f := range r.GetAttachments() {
		handle := f.GetHandle()
		out.Attachments = append(out.Attachments, File{
			Name: f.GetName(), Type: f.GetType(), Inline: f.GetInline(), Size: f.GetSize(),
			Open: func() (io.ReadCloser, error) { return s.host.open(ctx, handle) },
		})
	}
	return out
}

// Drain begins nothing new and waits for what was begun.
func (s *server) Drain(ctx context.Context, r *wirev1.DrainRequest) (*wirev1.DrainResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, r.GetWithin().AsDuration())
	defer cancel()
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	s.endRun(ctx)
	done := make(chan struct{})
	go func() { s.sends.Wait(); close(done) }() // outlives the call only as long as a Send that is too slow
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

// String keeps a configuration out of every log: fmt and slog print this instead of the values.
func (c Config) String() string { return fmt.Sprintf("configuration of %d keys", len(c)) }

// GoString does for %#v what String does for %v.
func (c Config) GoString() string { return c.String() }

// LogValue does for slog what String does for fmt.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }
