package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/karov-crm/karov/appliance/control"
)

// plugin is a plugin as the daemon sends one.
type plugin struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Version   string            `json:"version"`
	State     string            `json:"state"`
	PID       int               `json:"pid,omitempty"`
	Isolation string            `json:"isolation,omitempty"`
	Memory    int64             `json:"memory"`
	Restarts  int               `json:"restarts"`
	Key       string            `json:"key,omitempty"`
	Params    map[string]string `json:"params,omitempty"`
	Words     map[string]string `json:"words,omitempty"`
	Pulse     *struct {
		OK         bool              `json:"ok"`
		Key        string            `json:"key,omitempty"`
		Params     map[string]string `json:"params,omitempty"`
		Detail     string            `json:"detail,omitempty"`
		Words      map[string]string `json:"words,omitempty"`
		Goroutines int64             `json:"goroutines"`
		Heap       int64             `json:"heap"`
	} `json:"health,omitempty"`
	Numbers struct {
		CallsTo            uint64 `json:"calls_to"`
		CallsToFailed      uint64 `json:"calls_to_failed"`
		CallsFrom          uint64 `json:"calls_from"`
		CallsFromFailed    uint64 `json:"calls_from_failed"`
		Refused            uint64 `json:"refused"`
		Connections        uint64 `json:"connections"`
		ConnectionsRefused uint64 `json:"connections_refused"`
		Waiting            int64  `json:"events_waiting"`
	} `json:"numbers"`
	Package  *packaged `json:"package,omitempty"`
	Accounts []struct {
		Account string            `json:"account"`
		OK      bool              `json:"ok"`
		Key     string            `json:"key,omitempty"`
		Params  map[string]string `json:"params,omitempty"`
		Detail  string            `json:"detail,omitempty"`
		Since   time.Time         `json:"since"`
		Words   map[string]string `json:"words,omitempty"`
	} `json:"accounts,omitempty"`
}

// said is a sentence that the daemon sent: in the plugin's own words where it has them, else in ours.
func (c *command) said(key string, params, words map[string]string) string {
	own := words[c.lang]
	if own == "" {
		return c.voice().Fill(key, params)
	}
	for name, value := range params {
		own = strings.ReplaceAll(own, "{"+name+"}", value)
	}
	return own
}

// line is a plugin in one line and a line for each account, in words.
func (c *command) line(p plugin) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %s", p.ID, p.Version, p.State)
	if p.Isolation != "" {
		b.WriteString(", isolation " + p.Isolation)
	}
	if p.Memory > 0 {
		fmt.Fprintf(&b, ", %.1f MB", float64(p.Memory)/(1<<20))
	}
	fmt.Fprintf(&b, ", %d restarts", p.Restarts)
	if p.Numbers.Waiting > 0 {
		fmt.Fprintf(&b, ", %d events wait", p.Numbers.Waiting)
	}
	if p.Key != "" {
		b.WriteString("; " + c.said(p.Key, p.Params, p.Words))
	}
	if u := p.Pulse; u != nil && !u.OK {
		fmt.Fprintf(&b, "\n\tnot well: %s", c.withDetail(u.Key, u.Detail, u.Params, u.Words))
	}
	for _, a := range p.Accounts {
		state := "works"
		if !a.OK {
			state = c.withDetail(a.Key, a.Detail, a.Params, a.Words)
		}
		fmt.Fprintf(&b, "\n\t%s: %s", a.Account, state)
	}
	if p.Package != nil {
		for _, line := range c.packageLines(*p.Package) {
			b.WriteString("\n\t" + line)
		}
	}
	return b.String()
}

// withDetail is a sentence with what the other side said behind it.
func (c *command) withDetail(key, detail string, params, words map[string]string) string {
	text := detail
	if key != "" {
		if text = c.said(key, params, words); detail != "" {
			text += " (" + detail + ")"
		}
	}
	return text
}

func (c *command) plugin() *cobra.Command {
	cmd := &cobra.Command{Use: "plugin", Short: "Channels and other plugins"}
	list := &cobra.Command{Use: "list", Short: "Show plugins and how their accounts fare", Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
		all := []plugin{}
		if err := c.ask(cmd.Context(), control.Wish{Act: "plugin-list", Args: struct{}{}, Result: &all}); err != nil {
			return err
		}
		all, err := c.withPackages(cmd.Context(), all)
		if err != nil {
			return err
		}
		return c.print(all, func(w io.Writer) {
			for _, p := range all {
				fmt.Fprintln(w, c.line(p))
			}
			if len(all) == 0 {
				fmt.Fprintln(w, "There are no plugins, neither in the folder of plugins nor installed from packages.")
			}
		})
	}}
	var secrets []string
	var anew bool
	configure := &cobra.Command{Use: "configure ID KEY=VALUE...", Short: "Change a plugin's settings; an empty value takes one away",
		Long: "Settings are given as KEY=VALUE. Secrets are named with --secret KEY and read from standard input, a line each, in that order.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) == 1 && len(secrets) == 0 {
				return usageError{fmt.Errorf("name the plugin and at least one setting")}
			}
			values := map[string]string{}
			for _, pair := range args[1:] {
				key, value, ok := strings.Cut(pair, "=")
				if !ok {
					return usageError{fmt.Errorf("%q is not KEY=VALUE", pair)}
				}
				values[key] = value
			}
			if err := c.readSecrets(secrets, values); err != nil {
				return err
			}
			return c.ask(cmd.Context(), control.Wish{Act: "plugin-configure", Args: map[string]any{"ID": args[0], "Values": values, "Anew": anew}})
		}}
	configure.Flags().BoolVar(&anew, "anew", false, "forget the settings before, as when the key that opens them is lost")
	configure.Flags().StringArrayVar(&secrets, "secret", nil, "a setting whose value comes on standard input")
	cmd.AddCommand(c.packageCommands()...)
	cmd.AddCommand(c.kitCommands()...)
	cmd.AddCommand(list, configure, c.pluginLogs(), c.switchPlugin("enable", "Start a plugin", true), c.switchPlugin("disable", "Stop a plugin", false))
	return cmd
}

func (c *command) switchPlugin(name, short string, enabled bool) *cobra.Command {
	return &cobra.Command{Use: name + " ID", Short: short, Args: exactly(1), RunE: func(cmd *cobra.Command, args []string) error {
		return c.ask(cmd.Context(), control.Wish{Act: "plugin-enable", Args: map[string]any{"ID": args[0], "Enabled": enabled}})
	}}
}

// logLine is a line of a plugin's log as the daemon sends one.
type logLine struct {
	ID    uint64            `json:"id"`
	At    time.Time         `json:"at"`
	Level slog.Level        `json:"level"`
	Text  string            `json:"text"`
	Attrs map[string]string `json:"attrs,omitempty"`
	Own   bool              `json:"karov,omitempty"`
}

func (l logLine) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %-5s ", l.At.Local().Format(time.DateTime), l.Level)
	if l.Own {
		b.WriteString("karov: ")
	}
	b.WriteString(l.Text)
	for _, name := range slices.Sorted(maps.Keys(l.Attrs)) {
		fmt.Fprintf(&b, " %s=%q", name, l.Attrs[name])
	}
	return b.String()
}

func (c *command) pluginLogs() *cobra.Command {
	var follow bool
	var named string
	cmd := &cobra.Command{Use: "logs ID", Short: "Show the last 1,000 lines of a plugin's log", Args: exactly(1),
		Long: "Shows what a plugin logged and printed since Karov started, at most its last 1,000 lines, and what Karov says of it.",
		RunE: func(cmd *cobra.Command, args []string) error {
			var level slog.Level
			if err := level.UnmarshalText([]byte(named)); err != nil {
				return usageError{fmt.Errorf("%q is no level: debug, info, warn, error", named)}
			}
			err := c.ask(cmd.Context(), control.Wish{Act: "plugin-logs", Args: map[string]any{"ID": args[0], "Level": level, "Follow": follow},
				Progress: c.showLine})
			if follow && cmd.Context().Err() != nil {
				return nil // whoever follows ends it
			}
			return err
		}}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with the lines that come, until Ctrl-C")
	cmd.Flags().StringVar(&named, "level", "debug", "the least level to show: debug, info, warn, error")
	return cmd
}

func (c *command) showLine(raw json.RawMessage) {
	if c.json {
		fmt.Fprintln(c.Out, string(raw))
		return
	}
	var l logLine
	if json.Unmarshal(raw, &l) == nil {
		fmt.Fprintln(c.Out, l)
	}
}

// readSecrets reads a line of standard input for each name.
func (c *command) readSecrets(names []string, values map[string]string) error {
	if len(names) == 0 {
		return nil
	}
	raw, err := io.ReadAll(io.LimitReader(c.In, 1<<20))
	if err != nil {
		return fmt.Errorf("read secrets: %w", err)
	}
	lines := strings.Split(strings.TrimRight(string(raw), "\r\n"), "\n")
	if len(lines) != len(names) {
		return usageError{fmt.Errorf("%d secrets are named, but %d lines came on standard input", len(names), len(lines))}
	}
	for i, name := range names {
		values[name] = strings.TrimRight(lines[i], "\r")
	}
	return nil
}
