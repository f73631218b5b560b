package plugin

import "log/slog"

// KeptOf gives what is kept of so many equal lines.
func KeptOf(n int, text string, attrs map[string]string) []Line {
	l := newPluginLog(slog.New(slog.DiscardHandler), "il.test")
	for range n {
		l.write(slog.LevelInfo, text, attrs)
	}
	lines, _, _ := l.kept.after(0, slog.LevelDebug)
	return lines
}
