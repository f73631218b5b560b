package frame

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
)

// A form's token is bound to the session by a keyed hash, so nothing need be stored. It is masked anew on every page,
// so that compression of a page cannot give it away.
const maskLen = 16

func tokenOf(secret string) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("karov form"))
	return mac.Sum(nil)[:maskLen]
}

func formToken(secret string) string {
	masked := make([]byte, 2*maskLen)
	rand.Read(masked[:maskLen]) // crypto/rand.Read never fails
	for i, b := range tokenOf(secret) {
		masked[maskLen+i] = b ^ masked[i]
	}
	return base64.RawURLEncoding.EncodeToString(masked)
}

// checkToken refuses an action whose form was not made for this session.
func checkToken(c echo.Context, secret string) error {
	if safeMethod(c.Request().Method) {
		return nil
	}
	sent := c.Request().Header.Get("X-Karov-Token")
	if sent == "" {
		sent = c.FormValue("_token")
	}
	if !ownToken(sent, secret) {
		return fault.New(fault.Forbidden, "form.stale")
	}
	return nil
}

// ownToken tells whether a token was made for the session.
func ownToken(sent, secret string) bool {
	raw, err := base64.RawURLEncoding.DecodeString(sent)
	if err != nil || len(raw) != 2*maskLen {
		return false
	}
	for i := range maskLen {
		raw[maskLen+i] ^= raw[i]
	}
	return hmac.Equal(raw[maskLen:], tokenOf(secret))
}

// Who gives the person whose browser sends a request beside the pages: to the API, or to a plugin's route. It is the zero
// Actor for a browser that is not signed in. Own tells whether the request surely comes from a page of ours: it carries
// the token of forms. Without it nothing may be changed on the person's behalf.
func (f *Frame) Who(r *http.Request) (actor access.Actor, own bool, err error) {
	secret := cookieOf(r, f.cookieName("karov"))
	if secret == "" {
		return access.Actor{}, false, nil
	}
	account, err := f.Auth.Session(r.Context(), secret)
	if fault.KindOf(err) == fault.Unauthenticated {
		return access.Actor{}, false, nil
	}
	if err != nil {
		return access.Actor{}, false, err
	}
	return account.Actor(), ownToken(r.Header.Get("X-Karov-Token"), secret), nil
}

// sameOrigin refuses actions that a browser says come from another site, before anything of them is read.
func (f *Frame) sameOrigin(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if safeMethod(r.Method) {
			return next(c)
		}
		if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
			return fault.New(fault.Forbidden, "form.foreign")
		}
		if origin := r.Header.Get("Origin"); origin != "" {
			if u, err := url.Parse(origin); err != nil || u.Host != r.Host {
				return fault.New(fault.Forbidden, "form.foreign")
			}
		}
		return next(c)
	}
}

func safeMethod(m string) bool { return m == http.MethodGet || m == http.MethodHead }
