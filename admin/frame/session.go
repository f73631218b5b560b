package frame

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
)

const rememberPreference = 365 * 24 * time.Hour

// cookieName carries __Host- where TLS allows it: then no other host and no plain page can set or read it.
func (f *Frame) cookieName(name string) string {
	if f.Secure {
		return "__Host-" + name
	}
	return name
}

func (f *Frame) setCookie(c echo.Context, name, value string, age time.Duration) {
	c.SetCookie(&http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: int(age / time.Second),
		HttpOnly: true, Secure: f.Secure, SameSite: http.SameSiteLaxMode,
	})
}

// Tell has the next page say a sentence once: what became of an action that leads there.
func (f *Frame) Tell(c echo.Context, text string) {
	if len(text) > maxTold {
		text = strings.ToValidUTF8(text[:maxTold], "")
	}
	f.setCookie(c, toldCookie, base64.RawURLEncoding.EncodeToString([]byte(text)), time.Minute)
}

const (
	toldCookie = "told"
	maxTold    = 1000
)

// told reads what the next page has to say. Whoever forges the cookie tells himself something.
func told(r *http.Request) string {
	raw, err := base64.RawURLEncoding.DecodeString(cookieOf(r, toldCookie))
	if err != nil || len(raw) > maxTold {
		return ""
	}
	return strings.ToValidUTF8(string(raw), "")
}

func (f *Frame) dropCookie(c echo.Context, name string) { f.setCookie(c, name, "", -time.Second) }

// session lets only people who are signed in pass, and puts the actor into the request's context.
func (f *Frame) session(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		token := cookieOf(r, f.cookieName("karov"))
		if token == "" {
			return fault.New(fault.Unauthenticated, "signin.needed")
		}
		account, err := f.Auth.Session(r.Context(), token)
		if err != nil {
			return err
		}
		ctx := access.WithActor(r.Context(), account.Actor())
		c.SetRequest(r.WithContext(ctx))
		v := f.view(c, account.Actor())
		v.Token = formToken(token)
		if f.Health != nil && v.Leads() {
			for _, h := range f.Health(ctx) {
				if !h.OK {
					v.Health = append(v.Health, h)
				}
			}
		}
		c.Set(viewKey, v)
		c.Set(sessionKey, token)
		if err := checkToken(c, token); err != nil {
			return err
		}
		return next(c)
	}
}

// visitor gives a browser that is not signed in a cookie to which its sign-in form is bound.
func (f *Frame) visitor(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		name := f.cookieName("karov-visit")
		secret := cookieOf(c.Request(), name)
		if len(secret) < 20 {
			secret = rand.Text()
			f.setCookie(c, name, secret, 24*time.Hour)
		}
		var chosen access.Actor
		if lang := c.QueryParam("lang"); lang != "" && f.words.In(lang, f.Zone).Code == lang {
			f.setCookie(c, "lang", lang, rememberPreference)
			chosen.Lang = lang
		}
		v := f.view(c, chosen)
		v.Token = formToken(secret)
		c.Set(viewKey, v)
		if err := checkToken(c, secret); err != nil {
			return f.signInAgain(c, fault.Wrap(err, fault.Forbidden, "signin.stale"))
		}
		return next(c)
	}
}

type signInForm struct{ Next, Email, Problem string }

func (f *Frame) signInPage(c echo.Context) error {
	if token := cookieOf(c.Request(), f.cookieName("karov")); token != "" {
		if _, err := f.Auth.Session(c.Request().Context(), token); err == nil {
			return f.Done(c, safeNext(c.QueryParam("next")))
		}
	}
	v := Of(c)
	v.Title = v.T("signin.title")
	return f.render(c, http.StatusOK, signInLayout(v, signInForm{Next: safeNext(c.QueryParam("next"))}))
}

func (f *Frame) signIn(c echo.Context) error {
	ctx := c.Request().Context()
	token, account, err := f.Auth.SignIn(ctx, strings.TrimSpace(c.FormValue("email")), c.FormValue("password"), c.RealIP())
	if err != nil {
		return f.signInAgain(c, err)
	}
	f.setCookie(c, f.cookieName("karov"), token, 30*24*time.Hour) // the server ends it earlier
	f.dropCookie(c, f.cookieName("karov-visit"))
	if account.Lang != "" {
		f.setCookie(c, "lang", account.Lang, rememberPreference)
	}
	return f.Done(c, safeNext(c.FormValue("next")))
}

// signInAgain shows the form with what was wrong. It says the same for an unknown address as for a wrong password.
func (f *Frame) signInAgain(c echo.Context, err error) error {
	v := Of(c)
	v.Title = v.T("signin.title")
	form := signInForm{Next: safeNext(c.FormValue("next")), Email: c.FormValue("email")}
	status := http.StatusUnprocessableEntity
	switch fa := fault.Of(err); fa.Kind {
	case fault.TooMany, fault.Forbidden:
		status, form.Problem = statusOf(fa.Kind), f.say(v, fa)
	case fault.Unauthenticated, fault.NotFound, fault.Invalid:
		form.Problem = v.T("signin.wrong")
	default:
		return err
	}
	return f.render(c, status, signInLayout(v, form))
}

func (f *Frame) signOut(c echo.Context) error {
	token, _ := c.Get(sessionKey).(string)
	if err := f.Auth.SignOut(c.Request().Context(), token); err != nil {
		return err
	}
	f.dropCookie(c, f.cookieName("karov"))
	return f.Done(c, "/sign-in")
}

// settings keeps what a person chose for themselves: language with the account, theme and keys with the browser.
func (f *Frame) settings(c echo.Context) error {
	if lang := c.FormValue("lang"); lang != "" {
		if f.words.In(lang, f.Zone).Code != lang {
			return fault.InvalidField("lang", "language.unknown")
		}
		if err := f.Auth.SetLanguage(c.Request().Context(), lang); err != nil {
			return err
		}
		f.setCookie(c, "lang", lang, rememberPreference)
	}
	if theme := c.FormValue("theme"); theme == "light" || theme == "dark" || theme == "auto" {
		f.setCookie(c, "theme", theme, rememberPreference)
	}
	if keys := c.FormValue("keys"); keys == "on" || keys == "off" {
		f.setCookie(c, "keys", keys, rememberPreference)
	}
	return f.Done(c, safeNext(c.FormValue("next")))
}

// safeNext keeps a redirect on our own site: a path, never another host.
func safeNext(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(next, "/") ||
		strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n") || strings.HasPrefix(u.Path, "/sign-in") {
		return "/"
	}
	return next
}

// Signed tells who is signed in now on a request that is still open, as a stream is; false when the session ended.
func (f *Frame) Signed(c echo.Context) (access.Actor, bool) {
	token, _ := c.Get(sessionKey).(string)
	account, err := f.Auth.Session(c.Request().Context(), token)
	return account.Actor(), err == nil
}
