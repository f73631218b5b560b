package api

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/transfer"
)

// exportsEach is how many exports one account has at once: each reads everything there is.
const exportsEach = 2

// export gives all records that a filter finds, and the caller may take out, as a file. What is wrong is said before its
// first byte; an answer that breaks off later has no proper end.
func (a *API) export(c echo.Context) error {
	ctx := c.Request().Context()
	e, err := a.entity(c)
	if err != nil {
		return err
	}
	values, err := parameters(c, "filter", "fields", "format", "sensitive", "bom")
	if err != nil {
		return err
	}
	o := transfer.Order{Entity: e.Name, Filter: values["filter"], Format: values["format"]}
	if o.Sensitive, err = flagOf(values, "sensitive"); err != nil {
		return err
	}
	if o.Mark, err = flagOf(values, "bom"); err != nil {
		return err
	}
	if values["fields"] != "" {
		for name := range strings.SplitSeq(values["fields"], ",") {
			o.Fields = append(o.Fields, strings.TrimSpace(name))
		}
	}
	x, err := a.Transfer.Prepare(ctx, o)
	if err != nil {
		return err
	}
	leave, err := a.exports.take(access.ActorFrom(ctx).ID)
	if err != nil {
		return err
	}
	defer leave()
	h := c.Response().Header()
	h.Set("Content-Type", x.MediaType())
	h.Set("Content-Disposition", disposition(x.FileName()))
	if c.Request().Method == http.MethodHead {
		return c.NoContent(http.StatusOK)
	}
	if _, err := x.Write(ctx, a.patient(c), nil); err != nil {
		return a.brokeOff(c, err)
	}
	return nil
}
