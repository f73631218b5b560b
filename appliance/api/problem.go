package api

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
)

const problemType = "application/problem+json"

// problem is an error as programs get it (RFC 9457). Key is the stable name of what is wrong, Detail its sentence.
type problem struct {
	Type     string         `json:"type"`
	Title    string         `json:"title"`
	Status   int            `json:"status"`
	Detail   string         `json:"detail"`
	Instance string         `json:"instance"`
	ID       string         `json:"id"`
	Key      string         `json:"key"`
	Errors   []fieldProblem `json:"errors,omitempty"`
}

type fieldProblem struct {
	Field  string `json:"field"`
	Key    string `json:"key"`
	Detail string `json:"detail"`
}

// statusOf is the one place where a fault becomes a status. Some keys have a status of their own in HTTP.
func statusOf(f *fault.Error, method string) int {
	switch f.Key {
	case "method.not-allowed":
		return http.StatusMethodNotAllowed
	case "body.slow":
		return http.StatusRequestTimeout
	case "body.media-type", "body.encoding":
		return http.StatusUnsupportedMediaType
	case "version.missing":
		return http.StatusPreconditionRequired
	case "record.changed", "version.weak", "role.changed-meanwhile":
		return http.StatusPreconditionFailed
	}
	switch f.Kind {
	case fault.Invalid:
		if len(f.Fields) > 0 && method != http.MethodGet && method != http.MethodHead {
			return http.StatusUnprocessableEntity // it could be read, but what it says will not do
		}
		return http.StatusBadRequest
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

// asFault also understands the router's own errors, and a request that ended.
func asFault(ctx context.Context, err error) *fault.Error {
	var known *fault.Error
	var routed *echo.HTTPError
	switch {
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return fault.Wrap(err, fault.Unavailable, "request.canceled")
	case errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(err, fault.Unavailable, "request.timeout")
	case errors.As(err, &known):
		return known
	case errors.As(err, &routed) && routed.Code == http.StatusNotFound:
		return fault.New(fault.NotFound, "path.not-found")
	case errors.As(err, &routed) && routed.Code == http.StatusMethodNotAllowed:
		return fault.New(fault.Invalid, "method.not-allowed")
	}
	return fault.Of(err)
}

// fail turns every error of every call into an answer: echo calls it, and nothing else does.
func (a *API) fail(err error, c echo.Context) {
	r := c.Request()
	id := strings.ToLower(rand.Text()[:12])
	if c.Response().Committed {
		a.Log.Warn("answer broke off", "id", id, "method", r.Method, "path", r.URL.Path, "error", err)
		return
	}
	f := asFault(r.Context(), err)
	about := []any{"id", id, "method", r.Method, "path", r.URL.Path, "actor", access.ActorFrom(r.Context()).ID, "error", err}
	if (f.Kind == fault.Internal || f.Kind == fault.Unavailable) && f.Key != "request.canceled" {
		a.Log.Error("call failed", about...)
	} else {
		a.Log.Debug("call refused", about...)
	}
	p := problem{Type: "urn:karov:problem:" + f.Kind.String(), Title: a.texts.title(f.Kind), Status: statusOf(f, r.Method),
		Detail: a.say(f), Instance: shortened(r.URL.EscapedPath()), ID: id, Key: f.Key}
	if f.Kind == fault.Internal {
		p.Key = "error.internal"
	}
	for _, field := range f.Fields {
		p.Errors = append(p.Errors, fieldProblem{shortened(field.Name), field.Key, a.told(field.Key, field.Params)})
	}
	adviseHeaders(c.Response().Header(), f)
	if err := writeJSON(c, p.Status, problemType, p); err != nil {
		a.Log.Warn("problem not told", "id", id, "error", err)
	}
}

// say gives the sentence of a fault; of a plugin's refusal the plugin's own.
func (a *API) say(f *fault.Error) string {
	if f.Kind != fault.Internal && !a.texts.has(f.Key) {
		if text := a.ofPlugins(f.Key, f.Params); text != "" {
			return text
		}
	}
	return a.texts.say(f)
}

// told is say for what is wrong with a field.
func (a *API) told(key string, params map[string]string) string {
	if !a.texts.has(key) {
		if text := a.ofPlugins(key, params); text != "" {
			return text
		}
	}
	return a.texts.fill(key, params)
}

// ofPlugins gives a sentence of a plugin in English, as programs are spoken to; "" where no plugin has it.
func (a *API) ofPlugins(key string, params map[string]string) string {
	if a.Sentences == nil {
		return ""
	}
	sentence := a.Sentences("en")[key]
	if sentence == "" {
		return ""
	}
	return texts{key: sentence}.fill(key, params)
}

// adviseHeaders tells a program what to do about it, as HTTP has it.
func adviseHeaders(h http.Header, f *fault.Error) {
	switch f.Kind {
	case fault.Unauthenticated:
		challenge := `Bearer realm="Karov"`
		if f.Key == "access.token" || f.Key == "access.scheme" {
			challenge += `, error="invalid_token"`
		}
		h.Set("WWW-Authenticate", challenge)
	case fault.TooMany:
		seconds, err := strconv.Atoi(f.Params["seconds"])
		if err != nil || seconds < 1 {
			seconds = 1
		}
		h.Set("Retry-After", strconv.Itoa(seconds))
	case fault.Unavailable:
		h.Set("Retry-After", "5")
	}
}

// shortened keeps what a caller sent from filling the answer.
func shortened(s string) string {
	const most = 200
	if len(s) <= most {
		return strings.ToValidUTF8(s, "�")
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
