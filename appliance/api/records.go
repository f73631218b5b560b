package api

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

const (
	// pageBytes ends a page early once it has grown so large: mails are megabytes, and "next" leads on.
	pageBytes = 8 << 20
	// chunk is how many records with long texts are held at once.
	chunk = 20
)

// page is one answer of a list.
type page struct {
	Items      []object
	Next       *string // cursor of the next page, nil on the last
	Total      int
	TotalExact bool // false: there are more than Total

	sensitive []record.Record // those of Items that show a sensitive field
}

// object is the page as it is written.
func (p page) object() object {
	var o object
	o.put("items", p.Items)
	if p.Next == nil {
		o.put("next", nil)
	} else {
		o.put("next", *p.Next)
	}
	o.put("total", p.Total)
	o.put("total_exact", p.TotalExact)
	return o
}

// entity is the kind of record that the path names.
func (a *API) entity(c echo.Context) (*schema.Entity, error) {
	e := a.Book.Schema().Entity(c.Param("entity"))
	if e == nil {
		return nil, fault.Missing("entity", c.Param("entity"))
	}
	return e, nil
}

// idOf reads the id in the path. A text that is no id is one that does not exist.
func idOf(c echo.Context, entity string) (record.ID, error) {
	id, err := record.ParseID(c.Param("id"))
	if err != nil {
		return id, fault.Missing(entity, c.Param("id"))
	}
	return id, nil
}

func (a *API) list(c echo.Context) error {
	e, err := a.entity(c)
	if err != nil {
		return err
	}
	l, err := a.listOf(c, e)
	if err != nil {
		return err
	}
	return a.answerList(c, l)
}

func (a *API) answerList(c echo.Context, l asked) error {
	ctx := c.Request().Context()
	var p page
	err := a.Book.View(ctx, func(tx store.Tx) (err error) {
		p, err = a.pageTx(ctx, tx, l)
		return err
	})
	if err != nil {
		return err
	}
	if p.Total, p.TotalExact, err = a.total(ctx, l); err != nil {
		return err
	}
	if err := a.Book.TellListed(ctx, l.query, len(p.Items)); err != nil {
		return err
	}
	for _, r := range p.sensitive {
		if err := a.noteRead(ctx, l.shape, r); err != nil {
			return err
		}
	}
	return writeJSON(c, http.StatusOK, jsonType, p.object())
}

// pageTx reads a page, in chunks where its records may be large.
func (a *API) pageTx(ctx context.Context, tx store.Tx, l asked) (page, error) {
	p, size, q := page{Items: []object{}}, 0, l.query
	for left := l.query.Limit; left > 0 && size < pageBytes; {
		q.Limit = left
		if large(l.shape.entity) {
			q.Limit = min(left, chunk)
		}
		found, err := a.Book.ListTx(ctx, tx, q)
		if err != nil {
			return page{}, err
		}
		for _, r := range found.Records {
			o, err := l.shape.show(r)
			if err != nil {
				return page{}, err
			}
			p.Items, size = append(p.Items, o), size+len(o.raw)
			if len(l.shape.sensitive(r)) > 0 {
				p.sensitive = append(p.sensitive, r)
			}
		}
		left, q.Cursor, p.Next = left-q.Limit, found.Next, nil
		if found.Next == "" {
			break
		}
		p.Next = &found.Next
	}
	return p, nil
}

// large tells whether a record of the entity may be megabytes.
func large(e *schema.Entity) bool {
	return slices.ContainsFunc(e.Fields, func(f schema.Field) bool { return f.Type == schema.LongText && f.Max == 0 })
}

// total counts what a list lists: as far as that is cheap, or to the end where that was asked for.
func (a *API) total(ctx context.Context, l asked) (n int, exact bool, err error) {
	q := l.query
	q.Cursor, q.Limit = "", record.MaxLimit
	if !q.Valued {
		q.Sort = "" // the order of a list does not change how long it is
	}
	if n, exact, err = a.Book.Count(ctx, q); err != nil || exact || !l.exact {
		return n, exact, err
	}
	n, err = a.Book.CountAll(ctx, q)
	return n, err == nil, err
}

func (a *API) get(c echo.Context) error {
	e, err := a.entity(c)
	if err != nil {
		return err
	}
	values, err := parameters(c, "fields")
	if err != nil {
		return err
	}
	s, err := a.shapeOf(c.Request().Context(), e, values["fields"])
	if err != nil {
		return err
	}
	id, err := idOf(c, e.Name)
	if err != nil {
		return err
	}
	r, err := a.Book.Get(c.Request().Context(), e.Name, id)
	if err != nil {
		return err
	}
	if err := a.noteRead(c.Request().Context(), s, r); err != nil {
		return err
	}
	if slices.Contains(tagsOf(c.Request().Header, "If-None-Match"), etag(r)) {
		c.Response().Header().Set("ETag", etag(r))
		return c.NoContent(http.StatusNotModified)
	}
	return answerRecord(c, http.StatusOK, s, r)
}

func (a *API) create(c echo.Context) error {
	e, err := a.entity(c)
	if err != nil {
		return err
	}
	key, err := idempotencyKey(c.Request())
	if err != nil {
		return err
	}
	values, err := a.valuesOf(c)
	if err != nil {
		return err
	}
	var r record.Record
	if key == "" {
		r, err = a.Book.Create(c.Request().Context(), e.Name, values)
	} else {
		r, err = a.Book.CreateOnce(c.Request().Context(), e.Name, key, values)
	}
	if err != nil {
		return err
	}
	return answerNew(c, shape{entity: e}, r)
}

func (a *API) change(c echo.Context) error {
	e, err := a.entity(c)
	if err != nil {
		return err
	}
	id, version, err := seen(c, e.Name)
	if err != nil {
		return err
	}
	values, err := a.valuesOf(c)
	if err != nil {
		return err
	}
	r, err := a.Book.Change(c.Request().Context(), e.Name, id, version, values)
	if err != nil {
		return err
	}
	return answerRecord(c, http.StatusOK, shape{entity: e}, r)
}

func (a *API) remove(c echo.Context) error {
	e, err := a.entity(c)
	if err != nil {
		return err
	}
	id, version, err := seen(c, e.Name)
	if err != nil {
		return err
	}
	if err := a.Book.Delete(c.Request().Context(), e.Name, id, version); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// valuesOf reads the fields of a record from the body. What every record has of itself cannot be written.
func (a *API) valuesOf(c echo.Context) (record.Values, error) {
	if _, err := parameters(c); err != nil {
		return nil, err
	}
	values, err := a.body(c, false)
	if err != nil {
		return nil, err
	}
	return values, notOwn(values)
}

// notOwn refuses what every record has of itself.
func notOwn(values record.Values) error {
	for _, name := range sortedNames(values) {
		if slices.Contains(ownNames(), name) {
			return fault.InvalidField(name, "field.closed")
		}
	}
	return nil
}

func sortedNames(values record.Values) []string { return slices.Sorted(maps.Keys(values)) }

// answerRecord shows one record with its version as a strong entity tag.
func answerRecord(c echo.Context, status int, s shape, r record.Record) error {
	o, err := s.show(r)
	if err != nil {
		return err
	}
	c.Response().Header().Set("ETag", etag(r))
	return writeJSON(c, status, jsonType, o)
}

// answerNew shows a record that was made, and where it stands.
func answerNew(c echo.Context, s shape, r record.Record) error {
	c.Response().Header().Set("Location", Prefix+"/records/"+r.Entity()+"/"+r.ID.String())
	return answerRecord(c, http.StatusCreated, s, r)
}

func etag(r record.Record) string { return `"` + strconv.FormatUint(r.Version(), 10) + `"` }

// tagsOf lists the entity tags of a header.
func tagsOf(h http.Header, name string) (tags []string) {
	for tag := range strings.SplitSeq(strings.Join(h.Values(name), ","), ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			tags = append(tags, tag)
		}
	}
	return tags
}

// seen reads which record is meant and which version of it the caller saw.
func seen(c echo.Context, entity string) (id record.ID, version uint64, err error) {
	if id, err = idOf(c, entity); err != nil {
		return id, 0, err
	}
	version, err = versionOf(tagsOf(c.Request().Header, "If-Match"))
	return id, version, err
}

// versionOf reads the one entity tag of If-Match. "*" is refused: it would let a change run over another that nobody
// looked at.
func versionOf(tags []string) (version uint64, err error) {
	if len(tags) != 1 || tags[0] == "*" {
		return 0, fault.New(fault.Invalid, "version.missing")
	}
	if strings.HasPrefix(tags[0], "W/") {
		return 0, fault.New(fault.Conflict, "version.weak")
	}
	version, err = strconv.ParseUint(strings.Trim(tags[0], `"`), 10, 64)
	if err != nil || version == 0 || tags[0] != strconv.Quote(strconv.FormatUint(version, 10)) {
		return 0, fault.New(fault.Invalid, "version.malformed")
	}
	return version, nil
}
