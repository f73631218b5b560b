package plugin

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc"
)

// Limits of short texts that a plugin sends.
const (
	maxName   = 1000     // an account, a handle, a name, a file name
	maxCursor = 64 << 10 // a cursor
	maxLines  = 100      // log lines in one call
)

// callbacks is the host as one session of one plugin sees it: the connection says who calls.
type callbacks struct {
	wirev1.UnimplementedHostServer
	s *session
}

// actor makes the plugin the actor of ctx.
func (c *callbacks) actor(ctx context.Context) context.Context {
	return c.s.p.host.o.Actor(ctx, c.s.p.m.ID)
}

// channelOr gives the channel that a plugin names, or its only one when it names none.
func (m *Manifest) channelOr(channel string) (string, error) {
	if channel == "" && len(m.Provides.Channels) == 1 {
		return m.Provides.Channels[0], nil
	}
	if !slices.Contains(m.Provides.Channels, channel) {
		return "", fault.New(fault.Forbidden, "plugin.channel-not-provided", "channel", printable(wire.Cut(channel, 50)))
	}
	return channel, nil
}

func (c *callbacks) account(channel, name string) (account, error) {
	ch, err := c.s.p.m.channelOr(channel)
	if err != nil {
		return account{}, err
	}
	if name == "" || len(name) > maxName {
		return account{}, fault.InvalidField("account", "field.malformed")
	}
	return account{ch, name}, nil
}

// Cursor tells how far the plugin is.
func (c *callbacks) Cursor(ctx context.Context, r *wirev1.CursorRequest) (*wirev1.CursorResponse, error) {
	a, err := c.account(r.GetChannel(), r.GetAccount())
	if err != nil {
		return nil, c.toWire(err)
	}
	cursor, err := c.s.p.host.o.Inbox.Cursor(c.actor(ctx), a.channel, a.account)
	if err != nil {
		return nil, c.toWire(err)
	}
	return &wirev1.CursorResponse{Cursor: cursor}, nil
}

// SaveCursor keeps a cursor without a message.
func (c *callbacks) SaveCursor(ctx context.Context, r *wirev1.SaveCursorRequest) (*wirev1.SaveCursorResponse, error) {
	a, err := c.account(r.GetChannel(), r.GetAccount())
	if err == nil && len(r.GetCursor()) > maxCursor {
		err = fault.New(fault.TooLarge, "message.too-large", "what", "cursor")
	}
	if err == nil {
		err = c.s.p.host.o.Inbox.SaveCursor(c.actor(ctx), a.channel, a.account, r.GetCursor())
	}
	if err != nil {
		return nil, c.toWire(err)
	}
	return &wirev1.SaveCursorResponse{}, nil
}

// Report keeps how an account fares.
func (c *callbacks) Report(_ context.Context, r *wirev1.ReportRequest) (*wirev1.ReportResponse, error) {
	a, err := c.account(r.GetChannel(), r.GetAccount())
	if err == nil && r.GetKey() != "" && !wire.ValidKey(r.GetKey()) {
		err = fault.InvalidField("key", "field.malformed")
	}
	if err == nil {
		err = c.s.p.reported(Health{
			Channel: a.channel, Account: a.account, OK: r.GetOk(), Key: r.GetKey(),
			Params: wire.CleanParams(r.GetParams()), Detail: printable(wire.Cut(r.GetDetail(), 2000)),
		})
	}
	if err != nil {
		return nil, c.toWire(err)
	}
	return &wirev1.ReportResponse{}, nil
}

// Log writes the plugin's lines.
func (c *callbacks) Log(_ context.Context, r *wirev1.LogRequest) (*wirev1.LogResponse, error) {
	for i, l := range r.GetLines() {
		if i == maxLines {
			break
		}
		level := slog.LevelInfo
		switch l.GetLevel() {
		case wirev1.Level_LEVEL_DEBUG:
			level = slog.LevelDebug
		case wirev1.Level_LEVEL_WARN:
			level = slog.LevelWarn
		case wirev1.Level_LEVEL_ERROR:
			level = slog.LevelError
		}
		c.s.p.log.line(level, l.GetMessage(), l.GetAttrs())
	}
	return &wirev1.LogResponse{}, nil
}

// ReadFile gives a file of a message that is being sent through this session, and no other file.
func (c *callbacks) ReadFile(r *wirev1.ReadFileRequest, out grpc.ServerStreamingServer[wirev1.ReadFileResponse]) error {
	hash, ok := c.s.files.blob(r.GetHandle())
	if !ok {
		return c.toWire(fault.New(fault.NotFound, "file.not-found"))
	}
	f, err := c.s.p.host.o.Blobs.Open(hash)
	if err != nil {
		return c.toWire(fmt.Errorf("open a file to send: %w", err))
	}
	defer f.Close()
	return c.stream(f, func(data []byte) error { return out.Send(&wirev1.ReadFileResponse{Data: data}) })
}

// toWire makes an error of a room what the plugin is told. What the plugin must not know goes to the log instead: the
// host is the edge at which it stops.
func (c *callbacks) toWire(err error) error {
	f := fault.Of(err)
	if f.Kind == fault.Internal {
		c.s.p.host.o.Log.Error("a plugin's call failed", "plugin", c.s.p.m.ID, "error", err)
	}
	return wire.FaultError(toWire(f))
}

// fileHandles are the files that a session may read while its messages are being sent.
type fileHandles struct {
	mu    sync.Mutex
	blobs map[string]string // handle -> blob
}

func newFileHandles() *fileHandles { return &fileHandles{blobs: map[string]string{}} }

func (h *fileHandles) lend(blob string) (handle string) {
	handle = string(wire.NewToken())
	h.mu.Lock()
	defer h.mu.Unlock()
	h.blobs[handle] = blob
	return handle
}

func (h *fileHandles) takeBack(handles []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, x := range handles {
		delete(h.blobs, x)
	}
}

func (h *fileHandles) blob(handle string) (string, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b, ok := h.blobs[handle]
	return b, ok
}

// callWithin bounds a plugin's single calls; a message may take longer than that.
const callWithin = 30 * time.Second

// guardUnary gives a call its deadline and turns a panic in it into an error: what a plugin sends must neither end nor
// hold up the daemon.
func guardUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (answer any, err error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	defer recovered(info.Server, &err)
	return next(ctx, req)
}

// guardStream turns a panic in a stream into an error. A stream ends at the latest with the process at its other end.
func guardStream(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	defer recovered(srv, &err)
	return next(srv, s)
}

func recovered(srv any, err *error) {
	v := recover()
	if v == nil {
		return
	}
	if by, ok := srv.(caller); ok {
		c := by.of()
		c.s.p.host.o.Log.Error("a plugin's call panicked", "plugin", c.s.p.m.ID, "panic", v, "stack", string(debug.Stack()))
	}
	*err = wire.FaultError(toWire(fault.New(fault.Internal, "error.internal")))
}
