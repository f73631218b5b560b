// Package frame is what every page stands in: layout and menu, sign-in, the check that a form is our own, the error
// page, languages and theme, and the files a browser needs.
//
// It owns the cookies karov (session), karov-visit (a visitor before sign-in), theme, lang and keys, the paths /sign-in,
// /sign-out, /settings and /static/, and no data at all.
//
// It promises that no page is reached without a session, that no form works from a foreign site, that every answer
// carries the content policy and is never kept by a cache, that an error becomes a page in the reader's language in one
// place, and that a surprise shows the same id on the page and in the log.
//
// It will not decide who may see what: the rooms do, below every path. It serves nothing of a third party and works
// without script; the kernel in assets only makes it faster.
package frame

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/karov-crm/karov/admin/frame/locale"
	"github.com/karov-crm/karov/appliance/staff"
)

// Auth is the staff room as the frame needs it; staff.Room is one. Session fails with kind Unauthenticated when the
// session is over.
type Auth interface {
	SignIn(ctx context.Context, email, password, remote string) (secret string, a staff.Account, err error)
	Session(ctx context.Context, secret string) (staff.Account, error)
	SignOut(ctx context.Context, secret string) error
	SetLanguage(ctx context.Context, lang string) error
}

// Health is one account of one channel, as the banner tells of it. Key names a sentence; Detail is what the other server
// said, shown as foreign text.
type Health struct {
	Account string
	OK      bool
	Key     string
	Params  map[string]string
	Detail  string
}

// Options is what a frame is built from.
type Options struct {
	Auth     Auth
	Log      *slog.Logger
	Now      func() time.Time
	Zone     *time.Location                      // the office's
	Office   string                              // its name, shown beside ours
	Language string                              // of a visitor whose browser speaks none of ours
	Secure   bool                                // pages are served over TLS: cookies are __Host- and Secure
	Words    func(lang string) map[string]string // sentences of plugins by key, nil where there are none
	Health   func(ctx context.Context) []Health  // nil where there are no channels
}

// MenuItem is one entry of the menu.
type MenuItem struct {
	Path, Key, Icon string
	Label           string // instead of Key: a name that somebody else gave, in the person's language
	Shortcut        string // the letter after g
}

// Frame serves the pages that were registered with it.
type Frame struct {
	Options
	echo   *echo.Echo
	pages  *echo.Group
	words  *locale.Bundle
	assets *assets
	menu   []MenuItem
	more   []func(context.Context, View) []MenuItem
}

// New builds a frame without pages.
func New(o Options) (*Frame, error) {
	words, err := locale.Load()
	if err != nil {
		return nil, err
	}
	words.Also(o.Words)
	files, err := loadAssets()
	if err != nil {
		return nil, fmt.Errorf("load assets: %w", err)
	}
	f := &Frame{Options: o, echo: echo.New(), words: words, assets: files}
	f.echo.HTTPErrorHandler = f.fail
	f.echo.Use(f.recover, f.headers, middleware.BodyLimit("32M"), middleware.GzipWithConfig(middleware.GzipConfig{
		MinLength: 1400,
		Skipper:   func(c echo.Context) bool { return !compressible(c.Request().URL.Path) },
	}))
	f.echo.GET("/static/*", f.serveAsset)
	open := f.echo.Group("", f.sameOrigin, f.visitor)
	open.GET("/sign-in", f.signInPage)
	open.POST("/sign-in", f.signIn)
	f.pages = f.echo.Group("", f.sameOrigin, f.session)
	f.POST("/sign-out", f.signOut)
	f.POST("/settings", f.settings)
	f.pages.RouteNotFound("/*", func(echo.Context) error { return echo.ErrNotFound })
	return f, nil
}

// Files and the event stream bring their own encoding or must not be held back by one.
func compressible(path string) bool {
	return path != "/live" && !strings.HasPrefix(path, "/static/") && !strings.Contains(path, "/files/")
}

// ServeHTTP serves all that was registered.
func (f *Frame) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.echo.ServeHTTP(w, r) }

// Menu adds entries to the menu, in the order in which they are shown.
func (f *Frame) Menu(items ...MenuItem) { f.menu = append(f.menu, items...) }

// MoreMenu adds entries that come and go, or are not for everybody: asked for each page.
func (f *Frame) MoreMenu(more func(context.Context, View) []MenuItem) { f.more = append(f.more, more) }

// GET registers a page for people who are signed in.
func (f *Frame) GET(path string, h echo.HandlerFunc) { f.pages.GET(path, h) }

// POST registers an action for people who are signed in. The form's token was checked before it is called.
func (f *Frame) POST(path string, h echo.HandlerFunc) { f.pages.POST(path, h) }

// Page answers with a whole page around body.
func (f *Frame) Page(c echo.Context, status int, title string, body templ.Component) error {
	v := Of(c)
	v.Title = title
	v.Menu = slices.Clone(v.Menu)
	for _, more := range f.more {
		v.Menu = append(v.Menu, more(c.Request().Context(), v)...)
	}
	if v.Told != "" {
		f.dropCookie(c, toldCookie)
	}
	return f.render(c, status, layout(v, body))
}

// Part answers with fragments only; each carries the id of the element it replaces.
func (f *Frame) Part(c echo.Context, status int, parts ...templ.Component) error {
	return f.render(c, status, templ.Join(parts...))
}

// The whole answer is made before its first byte leaves, so that an error half-way is still a clean error page.
func (f *Frame) render(c echo.Context, status int, body templ.Component) error {
	var buf bytes.Buffer
	if err := body.Render(c.Request().Context(), &buf); err != nil {
		return fmt.Errorf("render %s: %w", c.Path(), err)
	}
	return c.HTMLBlob(status, buf.Bytes())
}

// WantsPart tells whether the kernel asked, so that an action may answer with the fragment that changed. Without
// script the same action answers with a redirect.
func WantsPart(c echo.Context) bool { return c.Request().Header.Get("Karov-Request") == "form" }

// Done answers a form that succeeded by going to a page.
func (f *Frame) Done(c echo.Context, path string) error { return c.Redirect(http.StatusSeeOther, path) }
