package workspace

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/appliance/plugin"
)

const homeRows = 8

type homeView struct {
	Waiting   []inbox.Conversation
	Names     map[string]string
	MayCreate bool
	Slots     []viewPlace
}

// news is who waits, so that the page says so only when somebody else does.
func (x homeView) news() string { return newest(x.Waiting) }

// greeting suits the hour of the office.
func greeting(v frame.View) string {
	switch hour := v.Clock(v.Now)[:2]; {
	case hour < "05":
		return "home.night"
	case hour < "12":
		return "home.morning"
	case hour < "17":
		return "home.afternoon"
	}
	return "home.evening"
}

func (p *pages) home(c echo.Context) error {
	x, err := p.homeView(c)
	if err != nil {
		return err
	}
	v := frame.Of(c)
	x.Slots = p.slots(v, plugin.OnHome, nil, "")
	return p.Page(c, http.StatusOK, v.T("home.menu"), homePage(v, x))
}

func (p *pages) homeWaiting(c echo.Context) error {
	x, err := p.homeView(c)
	if err != nil {
		return err
	}
	return p.Part(c, http.StatusOK, homeWaiting(frame.Of(c), x))
}

func (p *pages) homeView(c echo.Context) (x homeView, err error) {
	ctx := c.Request().Context()
	x.MayCreate = p.may(c, access.Create, "contact")
	page, err := p.Inbox.List(ctx, inbox.Waiting, "", homeRows)
	x.Waiting, x.Names = page.Conversations, p.assignees(ctx, page.Conversations)
	return x, err
}

// assignees names those who look after conversations.
func (p *pages) assignees(ctx context.Context, rows []inbox.Conversation) map[string]string {
	names := map[string]string{}
	for _, c := range rows {
		p.name(ctx, names, c.Assignee)
	}
	return names
}
