package workspace

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/search"
)

// lookupRows is the most a keystroke answers with: more would cost the browser more than it tells the eye.
const lookupRows = 20

type lookupView struct {
	Query     string
	Hits      []hit
	MayCreate bool
}

type hit struct {
	ID, Path, Title           string
	Marked, Subtitle, Matched []piece // Marked is the title with what was looked for
}

// createPath is the form for a new customer, with what was typed in the field where it belongs.
func (x lookupView) createPath() string {
	field := "name"
	switch digits := search.Digits(x.Query); {
	case strings.Contains(x.Query, "@"):
		field = "emails"
	case len(digits) >= 5 && strings.Trim(x.Query, "+0123456789-() .") == "":
		field = "phones"
	}
	return "/contacts/new?" + url.Values{field: {x.Query}}.Encode()
}

func (p *pages) lookup(c echo.Context) error {
	x, err := p.lookupView(c)
	if err != nil {
		return err
	}
	v := frame.Of(c)
	return p.Page(c, http.StatusOK, v.T("lookup.label"), lookupPage(v, x))
}

func (p *pages) lookupResults(c echo.Context) error {
	x, err := p.lookupView(c)
	if err != nil {
		return err
	}
	return p.Part(c, http.StatusOK, lookupParts(frame.Of(c), x))
}

func (p *pages) lookupView(c echo.Context) (lookupView, error) {
	x := lookupView{Query: strings.TrimSpace(c.QueryParam("q")), MayCreate: p.may(c, access.Create, "contact")}
	if x.Query == "" {
		return x, nil
	}
	found, err := p.Search.Find(c.Request().Context(), x.Query, lookupRows)
	if err == nil {
		err = p.Contacts.TellSearched(c.Request().Context(), len(found))
	}
	if err != nil {
		return x, err
	}
	for _, h := range found {
		id := record.ID(h.ID).String()
		row := hit{ID: id, Path: recordPath(&plugin.Ref{Entity: h.Entity, ID: record.ID(h.ID)}), Title: h.Title, Marked: marked(h.Title, h.Marks)}
		if h.Subtitle != "" {
			row.Subtitle = marked(h.Subtitle, h.SubtitleMarks)
		}
		if h.Matched != "" && len(h.SubtitleMarks) == 0 { // what matched is not to be seen yet
			row.Matched = marked(h.Matched, h.MatchedMarks)
		}
		x.Hits = append(x.Hits, row)
	}
	return x, nil
}
