package workspace

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/filter"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

const (
	recordsPageRows = 50
	recordColumns   = 4 // beside the title
)

// recordsView is a list of records of an entity that has no pages of its own.
type recordsView struct {
	Entity       *schema.Entity
	Columns      []*schema.Field
	Rows         []recordRow
	Filter       string
	Wrong        string // what is wrong with the filter
	Cursor, Next string
	Total        int
	Exact        bool
	MayCreate    bool
	Acts         []plugin.ActionRef
}

type recordRow struct {
	ID          record.ID
	Path, Title string
	Cells       [][]cell // by column
}

func (x recordsView) path() string { return "/records/" + url.PathEscape(x.Entity.Name) }

func (x recordsView) nextPage() string {
	values := url.Values{"cursor": {x.Next}}
	if x.Filter != "" {
		values.Set("filter", x.Filter)
	}
	return x.path() + "?" + values.Encode()
}

func (x recordsView) firstPage() string {
	if x.Filter == "" {
		return x.path()
	}
	return x.path() + "?" + url.Values{"filter": {x.Filter}}.Encode()
}

// count says how many there are; beyond what can be counted cheaply it says "1000+".
func (x recordsView) count(v frame.View) string {
	if x.Exact {
		return v.N("records.count", x.Total)
	}
	return v.T("records.count-least", "n", v.Number(x.Total)+"+")
}

// entityOf finds the entity of the path, if it has these pages and the person may see some of it.
func (p *pages) entityOf(c echo.Context) (*schema.Entity, error) {
	name, err := url.PathUnescape(c.Param("entity"))
	if err != nil {
		return nil, echo.ErrNotFound
	}
	if e := p.Book.Schema().Entity(name); generic(e) && p.may(c, access.See, name) {
		return e, nil
	}
	return nil, echo.ErrNotFound
}

func (p *pages) records(c echo.Context) error {
	e, err := p.entityOf(c)
	if err != nil {
		return err
	}
	ctx, v := c.Request().Context(), frame.Of(c)
	x := recordsView{Entity: e, Filter: strings.TrimSpace(c.QueryParam("filter")), Cursor: c.QueryParam("cursor"),
		MayCreate: p.may(c, access.Create, e.Name), Acts: p.mayAct(c, e.Name, "list")}
	x.Columns = columns(e, p.readable(ctx, e), recordColumns)
	wanted, err := p.wanted(c, e, x.Filter)
	status := http.StatusOK
	switch {
	case fault.KindOf(err) == fault.Invalid && err != nil:
		x.Wrong, status = v.Say(err), http.StatusUnprocessableEntity
	case err != nil:
		return err
	default:
		if err := p.listRecords(c, &x, wanted); err != nil {
			return err
		}
	}
	return p.Page(c, status, entityName(v, e, true), recordsPage(v, x))
}

// wanted reads what stands in the box of the list: a condition, or the beginning of words of the title.
func (p *pages) wanted(c echo.Context, e *schema.Entity, text string) (*filter.Filter, error) {
	ctx := c.Request().Context()
	if text == "" {
		return nil, nil //nolint:nilnil // no condition is a nil one
	}
	f, err := p.Book.Parse(ctx, e.Name, text)
	if err != nil && e.Title != "" && !strings.ContainsAny(text, `=<>"()`) && p.Book.Readable(ctx, e, e.Title) {
		return p.Book.Parse(ctx, e.Name, e.Title+" contains "+quoted(text))
	}
	return f, err
}

func (p *pages) listRecords(c echo.Context, x *recordsView, wanted *filter.Filter) error {
	ctx := c.Request().Context()
	q := record.Query{Entity: x.Entity.Name, Filter: wanted, Sort: "-", Limit: recordsPageRows, Cursor: x.Cursor}
	page, err := p.Book.List(ctx, q)
	if err != nil {
		return err
	}
	if x.Total, x.Exact, err = p.Book.Count(ctx, record.Query{Entity: x.Entity.Name, Filter: wanted}); err != nil {
		return err
	}
	x.Next = page.Next
	x.Rows = p.recordTeller(ctx, frame.Of(c)).rows(x.Entity, page.Records, x.Columns)
	return p.Book.TellListed(ctx, q, len(page.Records))
}

func (t *recordTeller) rows(e *schema.Entity, records []record.Record, columns []*schema.Field) (rows []recordRow) {
	for _, r := range records {
		row := recordRow{ID: r.ID, Path: recordPath(&plugin.Ref{Entity: e.Name, ID: r.ID}), Title: titleOf(t.v, e, r)}
		for _, f := range columns {
			row.Cells = append(row.Cells, t.cells(e, r, f))
		}
		rows = append(rows, row)
	}
	return rows
}

// linkedRows is how many of the records that link to one its card shows.
const linkedRows = 5

// linkedView is what of one entity links to the record whose card is shown.
type linkedView struct {
	Entity  *schema.Entity
	Field   *schema.Field
	Several bool // the entity links by more fields than this: the field is named too
	Columns []*schema.Field
	Rows    []recordRow
	All     string // the whole list
	New     string // the form of a new one that links here, "" for who may not
}

func (x linkedView) id() string {
	return "linked-" + strings.ReplaceAll(x.Entity.Name, ".", "-") + "-" + x.Field.Name
}

// linked lists, by entity and field, the newest records that link to one.
func (p *pages) linked(c echo.Context, entity string, id record.ID) (sections []linkedView, err error) {
	ctx, v := c.Request().Context(), frame.Of(c)
	t := p.recordTeller(ctx, v)
	for _, e := range p.Book.Schema().Entities() {
		if !generic(e) || e.Title == "" || !p.may(c, access.See, e.Name) {
			continue
		}
		var by []*schema.Field
		fields := p.readable(ctx, e)
		for _, f := range fields {
			if f.Type == schema.Link && f.Target == entity && f.Indexed {
				by = append(by, f)
			}
		}
		for _, f := range by {
			section := linkedView{Entity: e, Field: f, Several: len(by) > 1}
			section.Columns = columns(e, slices.DeleteFunc(slices.Clone(fields), func(x *schema.Field) bool { return x.Name == f.Name }), 2)
			condition := f.Name + " = " + quoted(id.String())
			wanted, err := p.Book.Parse(ctx, e.Name, condition)
			if err != nil {
				return nil, err
			}
			page, err := p.Book.List(ctx, record.Query{Entity: e.Name, Filter: wanted, Sort: "-", Limit: linkedRows})
			if err != nil {
				return nil, err
			}
			section.Rows = t.rows(e, page.Records, section.Columns)
			if page.Next != "" {
				section.All = "/records/" + url.PathEscape(e.Name) + "?" + url.Values{"filter": {condition}}.Encode()
			}
			if p.may(c, access.Create, e.Name) {
				section.New = "/records/" + url.PathEscape(e.Name) + "/new?" + url.Values{f.Name: {id.String()}}.Encode()
			}
			sections = append(sections, section)
		}
	}
	return sections, nil
}
