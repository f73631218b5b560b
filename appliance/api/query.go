package api

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

// maxParameter is the most bytes of one query parameter. A filter may be as long as its language takes.
const maxParameter = 4096

// parameters reads the query of a call: each name at most once, and only those it knows. A misspelt filter that was
// ignored would list everybody.
func parameters(c echo.Context, names ...string) (map[string]string, error) {
	given, err := url.ParseQuery(c.Request().URL.RawQuery)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "query.malformed")
	}
	values := map[string]string{}
	for name, all := range given {
		switch {
		case !slices.Contains(names, name):
			return nil, fault.InvalidField(name, "query.unknown", "known", strings.Join(names, ", "))
		case len(all) > 1:
			return nil, fault.InvalidField(name, "query.repeated")
		case len(all[0]) > maxParameter && name != "filter":
			return nil, fault.InvalidField(name, "field.too-long", "limit", maxParameter)
		case !utf8.ValidString(all[0]):
			return nil, fault.InvalidField(name, "field.utf8")
		}
		values[name] = all[0]
	}
	return values, nil
}

// limitOf reads a page size: from 1 to most, usual where none is given.
func limitOf(values map[string]string, usual, most int) (int, error) {
	text, given := values["limit"]
	if !given {
		return usual, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, fault.InvalidField("limit", "list.limit", "most", most)
	}
	return n, nil
}

// countOf tells whether an exact total is wanted, whatever it costs.
func countOf(values map[string]string) (exact bool, err error) {
	if text, given := values["count"]; given && text != "exact" {
		return false, fault.InvalidField("count", "field.choice", "choices", "exact")
	}
	return values["count"] == "exact", nil
}

// flagOf reads a parameter that says yes or no; without it no.
func flagOf(values map[string]string, name string) (bool, error) {
	switch text, given := values[name]; {
	case !given || text == "false":
		return false, nil
	case text == "true":
		return true, nil
	}
	return false, fault.InvalidField(name, "field.yes-no")
}

// asked is what a list was asked for.
type asked struct {
	query record.Query
	shape shape
	exact bool
}

// listOf reads the query of a list of an entity.
func (a *API) listOf(c echo.Context, e *schema.Entity) (l asked, err error) {
	values, err := parameters(c, "filter", "sort", "valued", "limit", "cursor", "fields", "count")
	if err != nil {
		return l, err
	}
	if l.query, err = a.queryOf(c, e, values); err != nil {
		return l, err
	}
	l.query.Cursor = values["cursor"]
	if l.query.Limit, err = limitOf(values, record.DefaultLimit, record.MaxLimit); err != nil {
		return l, err
	}
	if l.exact, err = countOf(values); err != nil {
		return l, err
	}
	l.shape, err = a.shapeOf(c.Request().Context(), e, values["fields"])
	return l, err
}

// queryOf reads which records are asked for, and in which order.
func (a *API) queryOf(c echo.Context, e *schema.Entity, values map[string]string) (q record.Query, err error) {
	q = record.Query{Entity: e.Name, Sort: values["sort"]}
	if q.Valued, err = flagOf(values, "valued"); err != nil {
		return q, err
	}
	if text, given := values["filter"]; given {
		q.Filter, err = a.Book.Parse(c.Request().Context(), e.Name, text)
	}
	return q, err
}

// explain says how a list would be answered.
func (a *API) explain(c echo.Context) error {
	e, err := a.entity(c)
	if err != nil {
		return err
	}
	values, err := parameters(c, "filter", "sort", "valued")
	if err != nil {
		return err
	}
	q, err := a.queryOf(c, e, values)
	if err != nil {
		return err
	}
	x, err := a.Book.Explain(c.Request().Context(), q)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, jsonType, struct {
		record.Explanation
		Text string `json:"text"`
	}{x, x.String()})
}
