package sdk

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Lines wait for the host in memory, at most so many, and go over in batches.
const (
	logWaiting = 1000
	logBatch   = 99
	logWithin  = 5 * time.Second
)

// logQueue carries log lines to the host without ever making the plugin wait.
type logQueue struct {
	client  wirev1.HostClient
	lines   chan *wirev1.LogLine
	flushes chan chan struct{}
	dropped atomic.Int64
}

func newLogQueue(c wirev1.HostClient) *logQueue {
	return &logQueue{client: c, lines: make(chan *wirev1.LogLine, logWaiting), flushes: make(chan chan struct{})}
}

// run sends what waits until ctx ends.
func (q *logQueue) run(ctx context.Context) {
	for {
		select {
		case l := <-q.lines:
			q.send(ctx, l)
		case done := <-q.flushes:
			for len(q.lines) > 0 {
				q.send(ctx, <-q.lines)
			}
			close(done)
		case <-ctx.Done():
			return
		}
	}
}

// flush waits until what was logged before is with the host, or ctx ends.
func (q *logQueue) flush(ctx context.Context) {
	done := make(chan struct{})
	select {
	case q.flushes <- done:
		select {
		case <-done:
		case <-ctx.Done():
		}
	case <-ctx.Done():
	}
}

func (q *logQueue) send(ctx context.Context, first *wirev1.LogLine) {
	batch := []*wirev1.LogLine{first}
	for len(batch) < logBatch && len(q.lines) > 0 {
		batch = append(batch, <-q.lines)
	}
	if n := q.dropped.Swap(0); n > 0 {
		batch = append(batch, &wirev1.LogLine{
			At: timestamppb.Now(), Level: wirev1.Level_LEVEL_WARN, Message: "log lines were dropped, there were too many",
			Attrs: map[string]string{"lines": fmt.Sprint(n)},
		})
	}
	ctx, cancel := context.WithTimeout(ctx, logWithin)
	defer cancel()
	if _, err := q.client.Log(ctx, &wirev1.LogRequest{Lines: batch}); err != nil {
		for _, l := range batch { // standard error reaches the host too
			fmt.Fprintf(os.Stderr, "%s %v\n", l.Message, l.Attrs)
		}
	}
}

// logHandler makes slog records log lines.
type logHandler struct {
	queue  *logQueue
	attrs  []slog.Attr
	prefix string
}

func newLogger(q *logQueue) *slog.Logger { return slog.New(&logHandler{queue: q}) }

// Enabled takes every level: the host decides what it keeps.
func (h *logHandler) Enabled(context.Context, slog.Level) bool { return true }

// Handle queues one record.
func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	l := &wirev1.LogLine{
		At: timestamppb.New(r.Time), Level: levelToWire(r.Level), Message: wire.Cut(r.Message, 4<<10),
		Attrs: map[string]string{},
	}
	for _, a := range h.attrs {
		flatten(l.Attrs, "", a)
	}
	r.Attrs(func(a slog.Attr) bool {
		flatten(l.Attrs, h.prefix, a)
		return true
	})
	select {
	case h.queue.lines <- l:
	default:
		h.queue.dropped.Add(1)
	}
	return nil
}

// WithAttrs adds attributes to each record.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.attrs = slices.Clone(h.attrs)
	for _, a := range attrs {
		a.Key = h.prefix + a.Key
		c.attrs = append(c.attrs, a)
	}
	return &c
}

// WithGroup puts the following attributes under a name.
func (h *logHandler) WithGroup(name string) slog.Handler {
	c := *h
	if name != "" {
		c.prefix += name + "."
	}
	return &c
}

func flatten(into map[string]string, prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, inner := range v.Group() {
			flatten(into, prefix, inner)
		}
		return
	}
	into[wire.Cut(prefix+a.Key, 100)] = wire.Cut(v.String(), 1000)
}

func levelToWire(l slog.Level) wirev1.Level {
	switch {
	case l < slog.LevelInfo:
		return wirev1.Level_LEVEL_DEBUG
	case l < slog.LevelWarn:
		return wirev1.Level_LEVEL_INFO
	case l < slog.LevelError:
		return wirev1.Level_LEVEL_WARN
	}
	return wirev1.Level_LEVEL_ERROR
}
