package api

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
)

// headers guards every answer. It holds customers' data: no cache keeps it, no page runs or frames it.
func (a *API) headers(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if c.IsTLS() {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		return next(c)
	}
}

// recovered turns a panic into an error, so that one call's mistake is one call's answer.
func (a *API) recovered(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler {
				panic(p)
			}
			err = fault.Wrap(fmt.Errorf("panic: %v\n%s", p, debug.Stack()), fault.Internal, "error.internal")
		}()
		return next(c)
	}
}

// timed ends a request that takes too long, also one whose sender dribbles its body.
func (a *API) timed(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		// A connection that knows no deadline (none that we serve) is still bounded by the context.
		_ = http.NewResponseController(c.Response()).SetReadDeadline(time.Now().Add(a.Limits.Time))
		ctx, cancel := context.WithTimeout(c.Request().Context(), a.Limits.Time)
		defer cancel()
		c.SetRequest(c.Request().WithContext(ctx))
		return next(c)
	}
}

// overrideHeader asks that a plugin which would refuse a write lets it pass. Whether the caller may have that is for the
// plugin's manifest and his role to say; for others it changes nothing.
const overrideHeader = "Karov-Override"

// known lets only callers pass who say who they are and do not ask too often, and puts the actor into the context.
func (a *API) known(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if err := a.addresses.take(network(c.RealIP()), a.Now()); err != nil {
			return err
		}
		actor, err := a.actor(c.Request())
		if err != nil {
			return err
		}
		if err := a.accounts.take(actor.ID, a.Now()); err != nil {
			return err
		}
		ctx := access.WithActor(c.Request().Context(), actor)
		if c.Request().Header.Get(overrideHeader) == "true" {
			ctx = record.WithOverride(ctx)
		}
		c.SetRequest(c.Request().WithContext(ctx))
		return next(c)
	}
}

// actor says who asks. A token that is given counts alone: a wrong one does not fall back to a session.
func (a *API) actor(r *http.Request) (access.Actor, error) {
	given := r.Header.Values("Authorization")
	if len(given) > 0 {
		scheme, secret, _ := strings.Cut(given[0], " ")
		if len(given) > 1 || !strings.EqualFold(scheme, "Bearer") {
			return access.Actor{}, fault.New(fault.Unauthenticated, "access.scheme")
		}
		account, err := a.Staff.Token(r.Context(), strings.TrimSpace(secret))
		if err != nil {
			return access.Actor{}, err
		}
		return account.Actor(), nil
	}
	if a.Session == nil {
		return access.Actor{}, fault.New(fault.Unauthenticated, "access.token")
	}
	actor, own, err := a.Session(r)
	switch {
	case err != nil:
		return access.Actor{}, err
	case actor.ID == "":
		return access.Actor{}, fault.New(fault.Unauthenticated, "access.token")
	case !own && r.Method != http.MethodGet && r.Method != http.MethodHead:
		return access.Actor{}, fault.New(fault.Forbidden, "form.foreign")
	}
	return actor, nil
}

// network is what one caller has for himself: an IPv4 address, or the /64 of an IPv6 one.
func network(remote string) string {
	if host, _, err := net.SplitHostPort(remote); err == nil {
		remote = host
	}
	addr, err := netip.ParseAddr(remote)
	if err != nil {
		return remote
	}
	if addr = addr.Unmap(); addr.Is6() {
		prefix, err := addr.WithZone("").Prefix(64)
		if err == nil {
			return prefix.String()
		}
	}
	return addr.String()
}
