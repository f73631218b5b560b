package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/control"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/plugin"
)

// pluginActs are what commands do with the plugins.
func (a *appliance) pluginActs() map[string]control.Act {
	return map[string]control.Act{
		"plugin-list": a.pluginList, "plugin-configure": a.pluginConfigure, "plugin-enable": a.pluginEnable, "plugin-logs": a.pluginLogs,
		"plugin-dev": a.pluginDev,
	}
}

// pluginEnabled tells whether a plugin is started with the daemon. When the store cannot say it, it is not.
func (a *appliance) pluginEnabled(id string) bool {
	enabled, err := a.settings.Enabled(access.WithActor(context.Background(), access.Appliance()), id)
	if err != nil {
		a.log.Error("read whether a plugin is enabled", "plugin", id, "error", err)
	}
	return enabled
}

// pluginShown is a plugin as commands show it.
type pluginShown struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Version   string            `json:"version"`
	State     plugin.State      `json:"state"`
	PID       int               `json:"pid,omitempty"`
	Isolation string            `json:"isolation,omitempty"`
	Memory    int64             `json:"memory"` // bytes
	Restarts  int               `json:"restarts"`
	Key       string            `json:"key,omitempty"` // sentence of the last error
	Params    map[string]string `json:"params,omitempty"`
	Words     map[string]string `json:"words,omitempty"` // the sentence by language, as the plugin's own pack has it
	Pulse     *pulseShown       `json:"health,omitempty"`
	Numbers   numbersShown      `json:"numbers"`
	Accounts  []accountShown    `json:"accounts,omitempty"`
}

type pulseShown struct {
	OK         bool              `json:"ok"`
	Key        string            `json:"key,omitempty"`
	Params     map[string]string `json:"params,omitempty"`
	Detail     string            `json:"detail,omitempty"`
	Words      map[string]string `json:"words,omitempty"`
	Goroutines int64             `json:"goroutines"`
	Heap       int64             `json:"heap"`
}

type numbersShown struct {
	CallsTo            uint64 `json:"calls_to"`
	CallsToFailed      uint64 `json:"calls_to_failed"`
	CallsFrom          uint64 `json:"calls_from"`
	CallsFromFailed    uint64 `json:"calls_from_failed"`
	Refused            uint64 `json:"refused"`
	Connections        uint64 `json:"connections"`
	ConnectionsRefused uint64 `json:"connections_refused"`
	Waiting            int64  `json:"events_waiting"`
}

type accountShown struct {
	Account string            `json:"account"`
	OK      bool              `json:"ok"`
	Key     string            `json:"key,omitempty"`
	Params  map[string]string `json:"params,omitempty"`
	Detail  string            `json:"detail,omitempty"`
	Since   time.Time         `json:"since"`
	Words   map[string]string `json:"words,omitempty"`
}

func (a *appliance) pluginList(context.Context, *control.Call) (any, error) {
	return a.shownPlugins(), nil
}

func (a *appliance) shownPlugins() []pluginShown {
	all := []pluginShown{}
	for _, p := range a.plugins.List() {
		shown := pluginShown{ID: p.ID, Name: p.Name, Version: p.Version, State: p.State, PID: p.PID,
			Isolation: p.Isolation, Memory: p.Memory, Restarts: p.Restarts, Numbers: shownNumbers(p.Numbers, a.plugins.Waiting(p.ID))}
		if p.LastError != nil {
			shown.Key, shown.Params, shown.Words = p.LastError.Key, p.LastError.Params, a.words(p.ID, p.LastError.Key)
		}
		if u := p.Pulse; u != nil {
			shown.Pulse = &pulseShown{OK: u.OK, Key: u.Key, Params: u.Params, Detail: u.Detail, Words: a.words(p.ID, u.Key),
				Goroutines: u.Goroutines, Heap: u.Heap}
		}
		for _, h := range p.Accounts {
			shown.Accounts = append(shown.Accounts, accountShown{Account: h.Account, OK: h.OK, Key: h.Key, Params: h.Params,
				Detail: h.Detail, Since: h.Since, Words: a.words(p.ID, h.Key)})
		}
		all = append(all, shown)
	}
	return all
}

func shownNumbers(n plugin.Numbers, waiting int64) numbersShown {
	return numbersShown{CallsTo: n.CallsTo, CallsToFailed: n.CallsToFailed, CallsFrom: n.CallsFrom, CallsFromFailed: n.CallsFromFailed,
		Refused: n.Refused, Connections: n.Connections, ConnectionsRefused: n.ConnectionsRefused, Waiting: waiting}
}

// words gives a plugin's own sentence by language.
func (a *appliance) words(id, key string) map[string]string {
	out := map[string]string{}
	for _, lang := range plugin.Languages() {
		if text := a.plugins.Sentence(id, lang, key); text != "" {
			out[lang] = text
		}
	}
	return out
}

// lineShown is a line of a plugin's log as commands show it.
type lineShown struct {
	ID    uint64            `json:"id"`
	At    time.Time         `json:"at"`
	Level slog.Level        `json:"level"`
	Text  string            `json:"text"`
	Attrs map[string]string `json:"attrs,omitempty"`
	Own   bool              `json:"karov,omitempty"` // Karov said it of the plugin
}

// pluginLogs brings the last lines of a plugin's log, and with Follow those that come, as progress.
func (a *appliance) pluginLogs(ctx context.Context, c *control.Call) (any, error) {
	var args struct {
		ID     string
		Level  slog.Level
		Follow bool
	}
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	if err := a.gate.Require(ctx, access.Administer, access.Object{Entity: "office"}); err != nil {
		return nil, err
	}
	show := func(lines []plugin.Line) error {
		for _, l := range lines {
			c.Progress(lineShown(l))
		}
		return nil
	}
	if args.Follow {
		return nil, a.plugins.Follow(ctx, args.ID, 0, args.Level, show)
	}
	lines, err := a.plugins.Logs(args.ID, 0, args.Level)
	if err != nil {
		return nil, err
	}
	return nil, show(lines)
}

// pluginConfigure changes settings of a plugin and gives them to it.
func (a *appliance) pluginConfigure(ctx context.Context, c *control.Call) (any, error) {
	var args struct {
		ID     string
		Values map[string]string
		Anew   bool
	}
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	manifest, err := a.plugins.Manifest(args.ID)
	if err != nil {
		return nil, err
	}
	for name := range args.Values {
		if !manifest.HasSetting(name) {
			return nil, fault.InvalidField(name, "field.unknown")
		}
	}
	if err := a.settings.Set(ctx, args.ID, args.Values, args.Anew); err != nil {
		return nil, err
	}
	return nil, a.plugins.Reconfigure(ctx, args.ID)
}

func (a *appliance) pluginEnable(ctx context.Context, c *control.Call) (any, error) {
	var args struct {
		ID      string
		Enabled bool
	}
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	if args.Enabled {
		return nil, a.plugins.Enable(ctx, args.ID)
	}
	return nil, a.plugins.Disable(ctx, args.ID)
}
