package console

import (
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/plugin"
)

// pluginView is one plugin's page.
type pluginView struct {
	pluginRow
	Manifest *plugin.Manifest
	Jobs     []plugin.JobState
	Settings []plugin.ViewRef // its own views of its settings
	Log      []plugin.Line    // newest first
	Level    string
}

// levels are those by which a log can be read.
func levels() []string { return []string{"debug", "info", "warn", "error"} }

func levelOf(text string) slog.Level {
	level := slog.LevelInfo
	_ = level.UnmarshalText([]byte(text)) // another word reads as info
	return level
}

// may lists what the plugin was granted, a line each.
func (x pluginView) may(v frame.View) (lines []string) {
	if x.Manifest == nil {
		return nil
	}
	for _, r := range x.Manifest.Permissions.Records {
		verbs := make([]string, 0, len(r.Verbs))
		for _, verb := range r.Verbs {
			verbs = append(verbs, v.T("console.verb-"+verb))
		}
		line := v.T("console.may-records", "verbs", strings.Join(verbs, ", "), "entity", named(v, r.Entity))
		if len(r.Fields) > 0 {
			line += ": " + strings.Join(r.Fields, ", ")
		}
		lines = append(lines, line)
	}
	for _, e := range x.Manifest.Permissions.Egress {
		key := "console.may-egress"
		if e.Private {
			key = "console.may-egress-private"
		}
		lines = append(lines, v.T(key, "to", e.To))
	}
	return lines
}

// named is an entity's name in the reader's language where it has one.
func named(v frame.View, entity string) string {
	if key := "entity." + entity; v.Has(key) {
		return v.T(key)
	}
	return entity
}

// attrs are what a log line says besides its text, in the order of their names.
func attrs(l plugin.Line) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(l.Attrs)) {
		parts = append(parts, name+"="+l.Attrs[name])
	}
	return strings.Join(parts, " ")
}

func levelClass(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "danger"
	case l >= slog.LevelWarn:
		return "warn"
	}
	return ""
}

func (p *pages) pluginView(c echo.Context) (x pluginView, err error) {
	ctx, id := c.Request().Context(), c.Param("id")
	rows, err := p.rows(ctx)
	if err != nil {
		return x, err
	}
	i := slices.IndexFunc(rows, func(r pluginRow) bool { return r.ID == id })
	if i < 0 {
		return x, fault.Missing("plugin", id)
	}
	x.pluginRow = rows[i]
	if x.Level = c.QueryParam("level"); !slices.Contains(levels(), x.Level) {
		x.Level = "info"
	}
	if x.Manifest, err = p.Plugins.Manifest(id); fault.KindOf(err) == fault.NotFound {
		return x, nil // installed, and the host does not know it: there is nothing more to say of it
	} else if err != nil {
		return x, err
	}
	if x.Jobs, err = p.Plugins.JobStates(ctx, id); err != nil {
		return x, err
	}
	if x.Log, err = p.Plugins.Logs(id, 0, levelOf(x.Level)); err != nil {
		return x, err
	}
	slices.Reverse(x.Log)
	x.Settings = slices.DeleteFunc(p.Plugins.Views(plugin.OnSettings, ""), func(r plugin.ViewRef) bool { return r.Plugin != id })
	return x, nil
}

func (p *pages) plugin(c echo.Context) error {
	x, err := p.pluginView(c)
	if err != nil {
		return err
	}
	return p.Page(c, http.StatusOK, x.Name, pluginPage(frame.Of(c), x))
}

// pluginState starts a plugin or stops it. It is remembered past a restart.
func (p *pages) pluginState(c echo.Context) error {
	ctx, id := c.Request().Context(), c.Param("id")
	var err error
	switch c.FormValue("state") {
	case "on":
		err = p.Plugins.Enable(ctx, id)
	case "off":
		err = p.Plugins.Disable(ctx, id)
	default:
		err = fault.InvalidField("state", "field.malformed")
	}
	if err != nil {
		return err
	}
	return p.Done(c, pluginRow{Status: plugin.Status{ID: id}}.path())
}

// pluginJob runs a job of a plugin now.
func (p *pages) pluginJob(c echo.Context) error {
	id := c.Param("id")
	if err := p.Plugins.RunJob(c.Request().Context(), id, c.Param("job")); err != nil {
		return err
	}
	p.Tell(c, frame.Of(c).T("console.job-asked"))
	return p.Done(c, pluginRow{Status: plugin.Status{ID: id}}.path())
}

// levelName is the name of a level among those that a log can be read by.
func levelName(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "error"
	case l >= slog.LevelWarn:
		return "warn"
	case l >= slog.LevelInfo:
		return "info"
	}
	return "debug"
}
