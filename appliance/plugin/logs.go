package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/plugins/wire"
	"golang.org/x/time/rate"
)

// Limits of what a plugin writes into the log.
const (
	maxLine      = 4 << 10
	maxAttrs     = 30
	linesASecond = 50
	linesAtOnce  = 500
)

// pluginLog is the log under a plugin's name. Everything in it is hostile: lines are cut, and control characters are
// written out, so that no plugin can forge a line of another.
type pluginLog struct {
	to    *slog.Logger
	limit *rate.Limiter

	mu      sync.Mutex
	dropped int
	last    string // the last line that told of a fall
	falling bool   // a panic is being printed
}

func newPluginLog(to *slog.Logger, id string) *pluginLog {
	return &pluginLog{to: to.With("plugin", id), limit: rate.NewLimiter(linesASecond, linesAtOnce)}
}

// line writes one line.
func (l *pluginLog) line(level slog.Level, message string, attrs map[string]string) {
	l.mu.Lock()
	if !l.limit.Allow() {
		l.dropped++
		l.mu.Unlock()
		return
	}
	dropped := l.dropped
	l.dropped = 0
	l.mu.Unlock()
	ctx := context.Background() // a log line outlives the call that wrote it
	if dropped > 0 {
		l.to.LogAttrs(ctx, slog.LevelWarn, "a plugin's log lines were dropped, there were too many", slog.Int("lines", dropped))
	}
	var group []any
	for _, k := range slices.Sorted(maps.Keys(attrs)) {
		if len(group) == maxAttrs {
			break
		}
		group = append(group, slog.String(printable(wire.Cut(k, 100)), printable(wire.Cut(attrs[k], maxLine))))
	}
	out := []slog.Attr{}
	if len(group) > 0 {
		out = append(out, slog.Group("of", group...)) // in a group, so that they cannot pass for ours
	}
	l.to.LogAttrs(ctx, level, printable(wire.Cut(message, maxLine)), out...)
}

// printable writes control characters and what could turn the direction of a line as escapes.
func printable(s string) string {
	if !strings.ContainsFunc(s, isControl) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if isControl(r) {
			fmt.Fprintf(&b, "\\u%04x", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func isControl(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' ||
		r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
}

// stderr gives a writer that makes log lines of what a plugin prints.
func (l *pluginLog) stderr() io.Writer { return &lineWriter{take: l.printed} }

// printed takes one line that a plugin printed and finds out how much it matters.
func (l *pluginLog) printed(line string) {
	if strings.TrimSpace(line) == "" {
		return
	}
	level, message := levelOf(line)
	l.mu.Lock()
	if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
		l.falling, l.last = true, line
	} else if level >= slog.LevelError && !l.falling {
		l.last = line
	}
	if l.falling {
		level = slog.LevelError
	}
	l.mu.Unlock()
	l.line(level, message, nil)
}

// forget begins a new life.
func (l *pluginLog) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last, l.falling = "", false
}

// lastWords gives what the plugin said before it fell, nil when it said nothing.
func (l *pluginLog) lastWords() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == "" {
		return nil
	}
	return errors.New(printable(wire.Cut(l.last, 500)))
}

// whyEnded is the fault of a process that ended by itself.
func (l *pluginLog) whyEnded(exit error) error {
	if exit == nil {
		exit = errors.New("it ended by itself, without an error")
	}
	detail := exit.Error()
	if last := l.lastWords(); last != nil {
		detail += ": " + last.Error()
	}
	return fault.Wrap(exit, fault.Unavailable, "plugin.ended", "detail", detail)
}

// levelOf reads the level of a printed line: of a JSON log line, or by its prefix.
func levelOf(line string) (slog.Level, string) {
	if strings.HasPrefix(line, "{") {
		var j struct {
			Level, Msg         string
			AtLevel, AtMessage string
		}
		var raw map[string]any
		if json.Unmarshal([]byte(line), &raw) == nil {
			j.Level, _ = raw["level"].(string)
			j.AtLevel, _ = raw["@level"].(string)
			if level, ok := levelNamed(j.Level + j.AtLevel); ok {
				return level, line
			}
		}
		return slog.LevelInfo, line
	}
	if name, rest, ok := strings.Cut(strings.TrimPrefix(line, "["), "]"); ok && strings.HasPrefix(line, "[") {
		if level, ok := levelNamed(name); ok {
			return level, strings.TrimSpace(rest)
		}
	}
	if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
		return slog.LevelError, line
	}
	return slog.LevelInfo, line
}

func levelNamed(name string) (slog.Level, bool) {
	switch strings.ToUpper(name) {
	case "TRACE", "DEBUG":
		return slog.LevelDebug, true
	case "INFO":
		return slog.LevelInfo, true
	case "WARN", "WARNING":
		return slog.LevelWarn, true
	case "ERROR", "FATAL":
		return slog.LevelError, true
	}
	return slog.LevelInfo, false
}

// lineWriter cuts a stream into lines. A line without end is cut, never kept.
type lineWriter struct {
	take func(string)

	mu   sync.Mutex
	line []byte
	long bool // the rest of this line is thrown away
}

// Write takes bytes; it never fails.
func (w *lineWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range p {
		switch {
		case c == '\n':
			w.take(string(w.line))
			w.line, w.long = w.line[:0], false
		case len(w.line) < maxLine:
			w.line = append(w.line, c)
		default:
			w.long = true
		}
	}
	return len(p), nil
}
