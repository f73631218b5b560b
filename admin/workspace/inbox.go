package workspace

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/appliance/inbox"
)

const inboxPageRows = 30

type inboxView struct {
	Tab, Next string
	Rows      []inbox.Conversation
	Names     map[string]string
}

// inboxTabs are the views of the inbox, by the names the room gives them.
func inboxTabs() []string {
	return []string{string(inbox.Waiting), string(inbox.AllOpen), string(inbox.Mine), string(inbox.Done)}
}

func (x inboxView) path(base string) string {
	return base + "?" + url.Values{"tab": {x.Tab}, "cursor": {x.Next}}.Encode()
}

// newest names the conversation that somebody wrote in last, so that a page announces only what is new.
func newest(rows []inbox.Conversation) string {
	var at string
	for _, c := range rows {
		if !c.WaitingSince.IsZero() {
			at = max(at, c.LastAt.UTC().Format("20060102150405.000")+c.ID.String())
		}
	}
	return at
}

func (p *pages) inbox(c echo.Context) error {
	x, err := p.inboxView(c)
	if err != nil {
		return err
	}
	v := frame.Of(c)
	return p.Page(c, http.StatusOK, v.T("inbox.menu"), inboxPage(v, x))
}

// inboxRows answers both the live list (the whole of it, as many rows as were shown) and "more" (the rows that follow).
func (p *pages) inboxRows(c echo.Context) error {
	x, err := p.inboxView(c)
	if err != nil {
		return err
	}
	if c.QueryParam("cursor") != "" {
		return p.Part(c, http.StatusOK, inboxRows(frame.Of(c), x))
	}
	return p.Part(c, http.StatusOK, inboxList(frame.Of(c), x))
}

func (p *pages) inboxView(c echo.Context) (x inboxView, err error) {
	ctx := c.Request().Context()
	if x.Tab = c.QueryParam("tab"); !slices.Contains(inboxTabs(), x.Tab) {
		x.Tab = string(inbox.Waiting)
	}
	page, err := p.Inbox.List(ctx, inbox.View(x.Tab), c.QueryParam("cursor"), rowsWanted(c, inboxPageRows))
	x.Rows, x.Next, x.Names = page.Conversations, page.Next, p.assignees(ctx, page.Conversations)
	return x, err
}

// rowsWanted is how many rows a live list shows already, so that reading it again takes none away.
func rowsWanted(c echo.Context, least int) int {
	n, err := strconv.Atoi(c.QueryParam("limit"))
	if err != nil {
		return least
	}
	return min(max(n, least), 200)
}
