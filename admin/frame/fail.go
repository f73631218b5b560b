package frame

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
)

// statusOf is the one place where a kind becomes a status.
func statusOf(k fault.Kind) int {
	switch k {
	case fault.Invalid:
		return http.StatusUnprocessableEntity
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Conflict:
		return http.StatusConflict
	case fault.Forbidden:
		return http.StatusForbidden
	case fault.Unavailable:
		return http.StatusServiceUnavailable
	case fault.Unauthenticated:
		return http.StatusUnauthorized
	case fault.TooLarge:
		return http.StatusRequestEntityTooLarge
	case fault.TooMany:
		return http.StatusTooManyRequests
	}
	return http.StatusInternalServerError
}

// Failure is what an error page shows.
type Failure struct {
	Status int
	Kind   string // as "not-found"; its sentence is failure.<kind>
	Text   string
	Fields []string
	ID     string // also in the log; "" where nobody needs to look
}

// fail turns every error of every page into an answer: echo calls it, and nothing else does.
func (f *Frame) fail(err error, c echo.Context) {
	if c.Request().Context().Err() != nil { // the browser went away: nobody is left to tell, and nothing failed
		f.Log.Debug("nobody waits for the answer", "path", c.Request().URL.Path, "error", err)
		return
	}
	if c.Response().Committed {
		f.Log.Error("answer broke off", "path", c.Request().URL.Path, "error", err)
		return
	}
	fa := asFault(err)
	v := Of(c)
	if v.Voice == nil {
		v = f.view(c, access.Actor{})
	}
	if fa.Kind == fault.Unauthenticated {
		f.endSession(c, v)
		return
	}
	x := Failure{Status: statusOf(fa.Kind), Kind: fa.Kind.String(), Text: f.say(v, fa)}
	for _, field := range fa.Fields {
		x.Fields = append(x.Fields, v.T("failure.field", "field", f.fieldName(v, field.Name), "text", f.sayKey(v, field.Key, field.Params)))
	}
	if fa.Kind == fault.Internal || fa.Kind == fault.Unavailable {
		x.ID = rand.Text()[:10]
		f.Log.Error("page failed", "id", x.ID, "method", c.Request().Method, "path", c.Request().URL.Path,
			"person", v.Person.ID, "error", err)
	}
	v.Title = v.T("failure." + x.Kind)
	var answer error
	switch {
	case c.Request().Method == http.MethodHead:
		answer = c.NoContent(x.Status)
	case c.Request().Header.Get("Karov-Request") == "form", c.Request().Header.Get("Karov-Request") == "part":
		answer = f.render(c, x.Status, failureNote(v, x))
	case v.Person.ID == "":
		answer = f.render(c, x.Status, bareLayout(v, failurePage(v, x)))
	default:
		answer = f.render(c, x.Status, layout(v, failurePage(v, x)))
	}
	if answer != nil {
		f.Log.Error("error page failed", "id", x.ID, "error", answer)
	}
}

// endSession sends a browser whose session is over to the sign-in page, and back afterwards. The kernel is told with
// a status, since it keeps the drafts before it leaves.
func (f *Frame) endSession(c echo.Context, v View) {
	r := c.Request()
	f.dropCookie(c, f.cookieName("karov"))
	if r.Header.Get("Karov-Request") != "" || !strings.Contains(r.Header.Get("Accept"), "text/html") {
		if err := f.render(c, http.StatusUnauthorized, failureNote(v, Failure{Text: v.T("signin.over")})); err != nil {
			f.Log.Error("error page failed", "error", err)
		}
		return
	}
	target := "/sign-in"
	if safeMethod(r.Method) && r.URL.Path != "/" {
		target += "?next=" + url.QueryEscape(r.URL.RequestURI())
	}
	if err := c.Redirect(http.StatusSeeOther, target); err != nil {
		f.Log.Error("redirect failed", "error", err)
	}
}

// asFault also understands the router's own errors: no such path, wrong method, too long a body.
func asFault(err error) *fault.Error {
	var he *echo.HTTPError
	var fa *fault.Error
	if errors.As(err, &fa) || !errors.As(err, &he) {
		return fault.Of(err)
	}
	switch he.Code {
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return fault.Wrap(err, fault.NotFound, "failure.not-found.text")
	case http.StatusRequestEntityTooLarge:
		return fault.Wrap(err, fault.TooLarge, "failure.too-large.text")
	case http.StatusBadRequest:
		return fault.Wrap(err, fault.Invalid, "failure.invalid.text")
	}
	return fault.Of(err)
}

// say gives the sentence of a fault, or that of its kind where its key has none.
func (f *Frame) say(v View, fa *fault.Error) string {
	if fa.Kind != fault.Internal && v.Has(fa.Key) {
		return v.Fill(fa.Key, fa.Params)
	}
	return v.T("failure." + fa.Kind.String() + ".text")
}

// Say gives the sentence of an error for the places of a page that show one themselves.
func (v View) Say(err error) string {
	fa := fault.Of(err)
	if len(fa.Fields) > 0 && v.Has(fa.Fields[0].Key) {
		return v.Fill(fa.Fields[0].Key, fa.Fields[0].Params)
	}
	if fa.Kind != fault.Internal && v.Has(fa.Key) {
		return v.Fill(fa.Key, fa.Params)
	}
	return v.T("failure." + fa.Kind.String() + ".text")
}

func (f *Frame) sayKey(v View, key string, params map[string]string) string {
	if v.Has(key) {
		return v.Fill(key, params)
	}
	return v.T("failure.invalid.text")
}

func (f *Frame) fieldName(v View, name string) string {
	if key := "field.contact." + name; v.Has(key) {
		return v.T(key)
	}
	return name
}

// recover turns a panic into an error, so that one page's mistake is one page's error page.
func (f *Frame) recover(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				f.Log.Error("page panicked", slog.String("stack", string(debug.Stack())))
				err = fault.Wrap(fmt.Errorf("panic: %v", p), fault.Internal, "error.internal")
			}
		}()
		return next(c)
	}
}
