// Package console is where those who administer the office look after it: its plugins, for now.
//
// It owns the paths below /console and no data: a page decodes what a browser sent, asks a room, and draws the answer.
// Each page's Go and template lie side by side and bear its name.
//
// It promises that nobody reaches a page of it without the right to administer the office, which each request asks for
// anew, and that what a plugin says (its log, its names) is shown as text.
//
// It will not start, stop or judge a plugin itself: the host does.
package console

import (
	"context"
	"log/slog"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/plugin"
)

// Plugins is the host of the plugins as the pages need it; plugin.Host is one.
type Plugins interface {
	List() []plugin.Status
	Manifest(id string) (*plugin.Manifest, error)
	Waiting(id string) int64
	Logs(id string, after uint64, level slog.Level) ([]plugin.Line, error)
	JobStates(ctx context.Context, id string) ([]plugin.JobState, error)
	RunJob(ctx context.Context, id, name string) error
	Enable(ctx context.Context, id string) error
	Disable(ctx context.Context, id string) error
	Views(place plugin.Place, entity string) []plugin.ViewRef
}

// Packages is the installer as the pages need it; plugin.Installer is one.
type Packages interface {
	List(ctx context.Context) ([]plugin.Shown, error)
}

// Rooms is what the pages are drawn from.
type Rooms struct {
	Gate     *access.Gate
	Plugins  Plugins
	Packages Packages // nil where nothing is installed from packages
}

type pages struct {
	*frame.Frame
	Rooms
}

// Register adds the pages and their menu to the frame.
func Register(f *frame.Frame, r Rooms) {
	p := &pages{Frame: f, Rooms: r}
	f.MoreMenu(func(ctx context.Context, _ frame.View) []frame.MenuItem {
		if p.require(ctx) != nil {
			return nil
		}
		return []frame.MenuItem{{Path: "/console/plugins", Key: "console.plugins", Icon: "plug"}}
	})
	f.GET("/console/plugins", p.only(p.plugins))
	f.GET("/console/plugins/:id", p.only(p.plugin))
	f.POST("/console/plugins/:id/state", p.only(p.pluginState))
	f.POST("/console/plugins/:id/jobs/:job", p.only(p.pluginJob))
}

func (p *pages) require(ctx context.Context) error {
	return p.Gate.Require(ctx, access.Administer, access.Object{Entity: "office"})
}

// only lets those pass who may administer the office.
func (p *pages) only(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if err := p.require(c.Request().Context()); err != nil {
			return err
		}
		return next(c)
	}
}
