package workspace

import (
	"context"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

// recordHistory is how many changes a record's card shows.
const recordHistory = 20

// recordView is the card of a record that has no page of its own.
type recordView struct {
	Entity    *schema.Entity
	Record    record.Record
	Title     string
	Details   []recordDetail
	Linked    []linkedView
	History   []recordChange
	Owner     string // name of whose it is
	MayChange bool
	Slots     []viewPlace // views of plugins
	Acts      []plugin.ActionRef
}

type recordDetail struct {
	Label string
	Cells []cell
}

// recordChange says who changed which fields and when.
type recordChange struct {
	Text string
	At   time.Time
}

func (x recordView) ref() plugin.Ref { return plugin.Ref{Entity: x.Entity.Name, ID: x.Record.ID} }

func (x recordView) path(rest string) string {
	ref := x.ref()
	return recordPath(&ref) + rest
}

func (x recordView) live() string { return x.Entity.Name + ":" + x.Record.ID.String() }

// recordOf reads the record that the path names.
func (p *pages) recordOf(c echo.Context) (e *schema.Entity, r record.Record, err error) {
	if e, err = p.entityOf(c); err != nil {
		return nil, r, err
	}
	id, err := idOf(c, "id")
	if err != nil {
		return nil, r, err
	}
	r, err = p.Book.Get(c.Request().Context(), e.Name, id)
	return e, r, err
}

func (p *pages) record(c echo.Context) error {
	x, err := p.recordView(c)
	if err != nil {
		return err
	}
	ref := x.ref()
	if x.Linked, err = p.linked(c, x.Entity.Name, x.Record.ID); err != nil {
		return err
	}
	if x.History, err = p.recordHistory(c, x); err != nil {
		return err
	}
	x.Slots = p.slots(frame.Of(c), plugin.OnCard, &ref, x.live())
	if err := p.Book.TellRead(c.Request().Context(), x.Record); err != nil {
		return err
	}
	return p.Page(c, http.StatusOK, x.Title, recordPage(frame.Of(c), x))
}

// recordTop answers the live part of the card: its head and its fields.
func (p *pages) recordTop(c echo.Context) error {
	x, err := p.recordView(c)
	if err != nil {
		return err
	}
	return p.Part(c, http.StatusOK, recordTop(frame.Of(c), x))
}

func (p *pages) recordView(c echo.Context) (x recordView, err error) {
	ctx, v := c.Request().Context(), frame.Of(c)
	if x.Entity, x.Record, err = p.recordOf(c); err != nil {
		return x, err
	}
	x.Title = titleOf(v, x.Entity, x.Record)
	x.MayChange = p.may(c, access.Change, x.Entity.Name)
	x.Acts = p.mayAct(c, x.Entity.Name, "card")
	x.Details = p.recordTeller(ctx, v).details(x.Entity, x.Record, p.readable(ctx, x.Entity))
	return x, nil
}

// details are the fields that say something, but for the title.
func (t *recordTeller) details(e *schema.Entity, r record.Record, fields []*schema.Field) (list []recordDetail) {
	for _, f := range fields {
		if cells := t.cells(e, r, f); f.Name != e.Title && len(cells) > 0 {
			list = append(list, recordDetail{fieldName(t.v, e, f), cells})
		}
	}
	return list
}

func (p *pages) recordHistory(c echo.Context, x recordView) (list []recordChange, err error) {
	ctx, v := c.Request().Context(), frame.Of(c)
	revisions, err := p.Book.History(ctx, x.Entity.Name, x.Record.ID, 0, recordHistory)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, rev := range revisions {
		var fields []string
		for _, change := range rev.Changes {
			if f := x.Entity.Field(change.Field); f != nil && p.Book.Readable(ctx, x.Entity, f.Name) {
				fields = append(fields, isolated(fieldName(v, x.Entity, f)))
			}
		}
		if len(fields) > 0 {
			p.name(ctx, names, rev.By)
			list = append(list, recordChange{v.T("record.was-changed", "name", who(rev.By, names), "fields", strings.Join(fields, ", ")), rev.At})
		}
	}
	if len(revisions) < recordHistory {
		p.name(ctx, names, x.Record.CreatedBy())
		list = append(list, recordChange{v.T("record.was-made", "name", who(x.Record.CreatedBy(), names)), x.Record.CreatedAt()})
	}
	return list, nil
}

// recordFile answers a file of a record of any kind, always as something to keep, never as something to show.
func (p *pages) recordFile(c echo.Context) error {
	ctx, field := c.Request().Context(), c.Param("field")
	e := p.Book.Schema().Entity(c.Param("entity"))
	if e == nil || e.Hidden {
		return echo.ErrNotFound
	}
	id, err := idOf(c, "id")
	if err != nil {
		return err
	}
	r, err := p.Book.Get(ctx, e.Name, id)
	if err != nil {
		return err
	}
	number, err := strconv.Atoi(c.Param("number"))
	if err != nil || !p.Book.Readable(ctx, e, field) {
		return echo.ErrNotFound
	}
	files := r.Attachments(field)
	if number < 0 || number >= len(files) {
		return echo.ErrNotFound
	}
	if err := p.tellOpened(ctx, e, r); err != nil {
		return err
	}
	body, err := p.Files.Open(files[number].Blob)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // read only
	return keepFile(c, body, files[number].Name, files[number].Size)
}

// keepFile answers a file for the browser to keep: should one ever show it instead, it can do nothing.
func keepFile(c echo.Context, body io.Reader, name string, size int64) error {
	h := c.Response().Header()
	h.Set("Content-Security-Policy", filePolicy)
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": safeName(name)}))
	h.Set("Content-Length", strconv.FormatInt(size, 10))
	h.Set(echo.HeaderContentType, "application/octet-stream")
	c.Response().WriteHeader(http.StatusOK)
	_, err := io.Copy(c.Response(), body)
	return err
}

// tellOpened tells the journal that a file of a record was opened.
func (p *pages) tellOpened(ctx context.Context, e *schema.Entity, r record.Record) error {
	var customer record.ID
	if e.Contact != "" && e.Contact != "id" && p.Book.Readable(ctx, e, e.Contact) {
		customer = r.Link(e.Contact)
	}
	return p.Book.TellOpened(ctx, e.Name, r.ID, customer)
}
