package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/karov-crm/karov/appliance/control"
)

// plugin is a plugin as the daemon sends one.
type plugin struct {
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	Version  string            `json:"version"`
	State    string            `json:"state"`
	PID      int               `json:"pid,omitempty"`
	Restarts int               `json:"restarts"`
	Key      string            `json:"key,omitempty"`
	Params   map[string]string `json:"params,omitempty"`
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

// line is a plugin in one line and a line for each account, in words.
func (c *command) line(p plugin) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %s, %d restarts", p.ID, p.Version, p.State, p.Restarts)
	if p.Key != "" {
		b.WriteString("; " + c.voice().Fill(p.Key, p.Params))
	}
	for _, a := range p.Accounts {
		state := "works"
		if !a.OK {
			state = a.Key
			if words := a.Words[c.lang]; words != "" {
				state = words
				for name, value := range a.Params {
					state = strings.ReplaceAll(state, "{"+name+"}", value)
				}
			}
		}
		fmt.Fprintf(&b, "\n\t%s: %s", a.Account, state)
		if a.Detail != "" && !a.OK {
			fmt.Fprintf(&b, " (%s)", a.Detail)
		}
	}
	return b.String()
}

func (c *command) plugin() *cobra.Command {
	cmd := &cobra.Command{Use: "plugin", Short: "Channels and other plugins"}
	list := &cobra.Command{Use: "list", Short: "Show plugins and how their accounts fare", Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
		all := []plugin{}
		if err := c.ask(cmd.Context(), control.Wish{Act: "plugin-list", Args: struct{}{}, Result: &all}); err != nil {
			return err
		}
		return c.print(all, func(w io.Writer) {
			for _, p := range all {
				fmt.Fprintln(w, c.line(p))
			}
			if len(all) == 0 {
				fmt.Fprintln(w, "There are no plugins in the folder of plugins.")
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
	cmd.AddCommand(list, configure, c.switchPlugin("enable", "Start a plugin", true), c.switchPlugin("disable", "Stop a plugin", false))
	return cmd
}

func (c *command) switchPlugin(name, short string, enabled bool) *cobra.Command {
	return &cobra.Command{Use: name + " ID", Short: short, Args: exactly(1), RunE: func(cmd *cobra.Command, args []string) error {
		return c.ask(cmd.Context(), control.Wish{Act: "plugin-enable", Args: map[string]any{"ID": args[0], "Enabled": enabled}})
	}}
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
