package plugin

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"
)

// Limits of the lines that are kept of one plugin.
const (
	keptLines = 1000
	keptBytes = 2 << 20
)

// Line is one line of a plugin's log. Nothing in it is to be believed, except when Karov said it.
type Line struct {
	ID    uint64 // grows by one with each line since Karov started
	At    time.Time
	Level slog.Level
	Text  string
	Attrs map[string]string
	Own   bool // Karov said it, about the plugin
}

func (l Line) size() int {
	n := len(l.Text) + 100
	for k, v := range l.Attrs {
		n += len(k) + len(v)
	}
	return n
}

// ring keeps the last lines.
type ring struct {
	mu    sync.Mutex
	lines []Line
	bytes int
	last  uint64        // id of the last line
	grown chan struct{} // closed at the next line
}

func (r *ring) add(l Line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	l.ID = r.last
	r.lines = append(r.lines, l)
	r.bytes += l.size()
	for len(r.lines) > keptLines || r.bytes > keptBytes && len(r.lines) > 1 {
		r.bytes -= r.lines[0].size()
		r.lines[0] = Line{} // lets go of its texts before the slice moves
		r.lines = r.lines[1:]
	}
	if r.grown != nil {
		close(r.grown)
		r.grown = nil
	}
}

// after gives the lines of at least a level that follow the line after, and what is closed when there are more.
func (r *ring) after(after uint64, level slog.Level) (lines []Line, last uint64, more <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.grown == nil {
		r.grown = make(chan struct{})
	}
	for _, l := range r.lines {
		if l.ID > after && l.Level >= level {
			l.Attrs = maps.Clone(l.Attrs)
			lines = append(lines, l)
		}
	}
	return lines, r.last, r.grown
}

// say tells something of the plugin, in Karov's own log and in the plugin's.
func (p *supervised) say(ctx context.Context, level slog.Level, text string, attrs ...slog.Attr) {
	p.host.o.Log.LogAttrs(ctx, level, text, append([]slog.Attr{slog.String("plugin", p.m.ID)}, attrs...)...)
	of := map[string]string{}
	for _, a := range attrs {
		of[a.Key] = printable(a.Value.String()) // an error may hold what the plugin said
	}
	p.log.kept.add(Line{At: p.host.o.Now(), Level: level, Text: text, Attrs: of, Own: true})
}

// Logs gives the lines of a plugin's log that follow the line after and have at least a level, of the last 1,000.
// It asks for no right: who may read them is for the caller to know.
func (h *Host) Logs(id string, after uint64, level slog.Level) ([]Line, error) {
	p, err := h.find(id)
	if err != nil {
		return nil, err
	}
	lines, _, _ := p.log.kept.after(after, level)
	return lines, nil
}

// Follow gives take the lines that Logs would give, and then those that come, until take fails, ctx ends or the host
// stops; only the first is an error.
func (h *Host) Follow(ctx context.Context, id string, after uint64, level slog.Level, take func([]Line) error) error {
	p, err := h.find(id)
	if err != nil {
		return err
	}
	h.mu.Lock()
	down := h.down
	h.mu.Unlock()
	for {
		lines, last, more := p.log.kept.after(after, level)
		if len(lines) > 0 {
			if err := take(lines); err != nil {
				return err
			}
		}
		after = max(after, last)
		select {
		case <-more:
		case <-ctx.Done():
			return nil
		case <-down:
			return nil
		}
	}
}
