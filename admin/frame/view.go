package frame

import (
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/admin/frame/locale"
	"github.com/karov-crm/karov/appliance/access"
)

// View is what every template is given: whose page it is, in which language, and where things are.
type View struct {
	*locale.Voice
	Person access.Actor
	Title  string
	Path   string
	Query  string // what stands in the lookup box
	Theme  string // light, dark or auto
	Keys   bool   // single-letter shortcuts are on
	Token  string // of forms, against foreign sites
	Now    time.Time
	Office string
	Menu   []MenuItem
	Health []Health // accounts that are ill, for those who can mend them
	Told   string   // what the action that led to this page had to say; of a plugin, maybe
	assets *assets
}

const viewKey, sessionKey = "frame.view", "frame.session"

// Of gives the view of a request.
func Of(c echo.Context) View {
	v, _ := c.Get(viewKey).(View)
	return v
}

// Asset gives the address of a file among the assets, with the hash of its content.
func (v View) Asset(name string) string { return v.assets.url(name) }

// Icon gives the address of an icon in the sprite.
func (v View) Icon(name string) string { return v.assets.url("icons.svg") + "#" + name }

// Key makes the idempotency key of a form: the same form sent twice acts once.
func (v View) Key() string { return uuid.NewString() }

// Current tells whether a menu entry is the page's own or stands above it.
func (v View) Current(path string) bool {
	return v.Path == path || (path != "/" && len(v.Path) > len(path) && v.Path[:len(path)+1] == path+"/")
}

// Role names the person's role in words; one of the office's own by its name.
func (v View) Role() string {
	name := string(v.Person.Role)
	if name == "" || !v.Has("role."+name) {
		return name
	}
	return v.T("role." + name)
}

// Leads tells whether the person answers for others: owner or manager.
func (v View) Leads() bool { return v.Person.Role == access.Owner || v.Person.Role == access.Manager }

func (f *Frame) view(c echo.Context, p access.Actor) View {
	r := c.Request()
	lang := p.Lang
	if lang == "" {
		lang = cookieOf(r, "lang")
	}
	if lang == "" {
		lang = locale.Match(r.Header.Get("Accept-Language"), f.Language)
	}
	theme := cookieOf(r, "theme")
	if theme != "light" && theme != "dark" {
		theme = "auto"
	}
	return View{
		Told:  told(r),
		Voice: f.words.In(lang, f.Zone), Person: p, Path: r.URL.Path, Theme: theme, Keys: cookieOf(r, "keys") != "off",
		Now: f.Now(), Office: f.Office, Menu: f.menu, assets: f.assets,
	}
}

func cookieOf(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}
