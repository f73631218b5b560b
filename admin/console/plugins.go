package console

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/appliance/plugin"
)

// pluginRow is a plugin in the list.
type pluginRow struct {
	plugin.Status
	Package *plugin.Shown
	Waiting int64
}

func (r pluginRow) path() string { return "/console/plugins/" + url.PathEscape(r.ID) }

// tone is how a state is shown, besides in words.
func (r pluginRow) tone() (class, icon string) {
	switch {
	case r.State == plugin.Disabled || r.State == plugin.Stopped:
		return "", "circle-x"
	case r.State == plugin.OpenCircuit || r.LastError != nil || r.Pulse != nil && !r.Pulse.OK:
		return "danger", "alert-triangle"
	case r.State == plugin.Running:
		return "good", "circle-check"
	}
	return "warn", "hourglass"
}

// isolation is the level that was reached and the parts that make it up. Both are names of the kernel's own.
func (r pluginRow) isolation() (level, parts string) {
	level, parts, _ = strings.Cut(r.Isolation, " (")
	return level, strings.TrimSuffix(parts, ")")
}

// trouble is what is the matter with a plugin, in the reader's language; "" when all is well.
func (r pluginRow) trouble(v frame.View) string {
	switch {
	case r.LastError != nil:
		return v.Say(r.LastError)
	case r.Pulse != nil && !r.Pulse.OK && r.Pulse.Key != "":
		return v.Fill(r.Pulse.Key, r.Pulse.Params)
	case r.Pulse != nil && !r.Pulse.OK:
		return r.Pulse.Detail
	case r.Package != nil && r.Package.Trouble != nil:
		return v.Say(r.Package.Trouble)
	}
	return ""
}

func (p *pages) plugins(c echo.Context) error {
	rows, err := p.rows(c.Request().Context())
	if err != nil {
		return err
	}
	v := frame.Of(c)
	return p.Page(c, http.StatusOK, v.T("console.plugins"), pluginsPage(v, rows))
}

// rows are the plugins that the host knows, and those that are installed and could not be given to it.
func (p *pages) rows(ctx context.Context) ([]pluginRow, error) {
	installed := map[string]*plugin.Shown{}
	if p.Packages != nil {
		list, err := p.Packages.List(ctx)
		if err != nil {
			return nil, err
		}
		for i := range list {
			installed[list[i].ID] = &list[i]
		}
	}
	var rows []pluginRow
	for _, status := range p.Plugins.List() {
		rows = append(rows, pluginRow{Status: status, Package: installed[status.ID], Waiting: p.Plugins.Waiting(status.ID)})
		delete(installed, status.ID)
	}
	for _, id := range slices.Sorted(maps.Keys(installed)) {
		rows = append(rows, pluginRow{Status: plugin.Status{ID: id, Name: installed[id].Name, State: plugin.Stopped}, Package: installed[id]})
	}
	return rows, nil
}
