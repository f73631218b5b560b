package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
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

	// What is printed faster is not read faster: the plugin waits, and the host has its processor for others.
	printedASecond = 4 << 20
	printedAtOnce  = 8 << 20
	printedPiece   = 1 << 20 // is counted at a time
	printedLine    = 200     // is counted for a line beside its bytes, since short ones cost us more than they are long
)

// pluginLog is the log under a plugin's name. Everything in it is hostile: lines are cut, and control characters are
// written out, so that no plugin can forge a line of another.
type pluginLog struct {
	to      *slog.Logger
	limit   *rate.Limiter // of lines
	printed *rate.Limiter // of bytes on standard error
	kept    ring

	mu      sync.Mutex
	dropped int
	last    string // the last line that told of a fall
	falling bool   // a panic is being printed
}

func newPluginLog(to *slog.Logger, id string) *pluginLog {
	return &pluginLog{
		to:    to.With("plugin", id),
		limit: rate.NewLimiter(linesASecond, linesAtOnce), printed: rate.NewLimiter(printedASecond, printedAtOnce),
	}
}

// line writes one line, unless there are too many.
func (l *pluginLog) line(level slog.Level, message string, attrs map[string]string) {
	if l.allow() {
		l.write(level, message, attrs)
	}
}

// allow tells whether one more line may be written. It counts those that may not, and tells of them before the next.
func (l *pluginLog) allow() bool {
	l.mu.Lock()
	if !l.limit.Allow() {
		l.dropped++
		l.mu.Unlock()
		return false
	}
	dropped := l.dropped
	l.dropped = 0
	l.mu.Unlock()
	if dropped > 0 {
		const text = "a plugin's log lines were dropped, there were too many"
		l.to.LogAttrs(context.Background(), slog.LevelWarn, text, slog.Int("lines", dropped))
		l.kept.add(Line{At: time.Now(), Level: slog.LevelWarn, Text: text, Attrs: map[string]string{"lines": strconv.Itoa(dropped)}, Own: true})
	}
	return true
}

func (l *pluginLog) write(level slog.Level, message string, attrs map[string]string) {
	kept := Line{At: time.Now(), Level: level, Text: printable(wire.Cut(message, maxLine)), Attrs: map[string]string{}}
	var group []any
	for _, k := range slices.Sorted(maps.Keys(attrs)) {
		if len(group) == maxAttrs {
			break
		}
		key, value := printable(wire.Cut(k, 100)), printable(wire.Cut(attrs[k], maxLine))
		group = append(group, slog.String(key, value))
		kept.Attrs[key] = value
	}
	out := []slog.Attr{}
	if len(group) > 0 {
		out = append(out, slog.Group("of", group...)) // in a group, so that they cannot pass for ours
	}
	l.to.LogAttrs(context.Background(), level, kept.Text, out...) // a log line outlives the call that wrote it
	l.kept.add(kept)
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
func (l *pluginLog) stderr() io.Writer { return &lineWriter{take: l.print, pace: l.printed} }

// print takes one line that a plugin printed and finds out how much it matters.
func (l *pluginLog) print(line string) {
	if strings.TrimSpace(line) == "" {
		return
	}
	l.mu.Lock()
	if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
		l.falling, l.last = true, line
	}
	falling := l.falling
	l.mu.Unlock()
	if !l.allow() {
		return // and not looked at further: lines without end must not cost us much
	}
	level, message := levelOf(line)
	switch {
	case falling:
		level = slog.LevelError
	case level >= slog.LevelError:
		l.mu.Lock()
		l.last = line
		l.mu.Unlock()
	}
	l.write(level, message, nil)
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
	pace *rate.Limiter // of bytes; nil for none

	mu   sync.Mutex
	line []byte
}

// Write takes bytes; it never fails, but may take its time.
func (w *lineWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for rest := p; len(rest) > 0; {
		piece := rest[:min(len(rest), printedPiece)]
		rest = rest[len(piece):]
		if w.pace != nil {
			time.Sleep(w.pace.ReserveN(time.Now(), len(piece)+printedLine).Delay())
		}
		w.cut(piece)
	}
	return len(p), nil
}

// cut takes bytes line by line.
func (w *lineWriter) cut(p []byte) {
	for len(p) > 0 {
		n := bytes.IndexByte(p, '\n')
		part := p
		if n >= 0 {
			part = p[:n]
		}
		w.line = append(w.line, part[:min(len(part), maxLine-len(w.line))]...)
		if n < 0 {
			return
		}
		w.take(string(w.line))
		w.line = w.line[:0]
		p = p[n+1:]
	}
}
