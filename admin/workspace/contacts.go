package workspace

import (
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/record"
)

const contactsPageRows = 50

type contactsView struct {
	Rows         []contact.Contact
	Cursor, Next string
	Total        int
	Exact        bool
	Names        map[string]string
	Region       string
	MayCreate    bool
}

func (x contactsView) nextPage() string {
	return "/contacts?" + url.Values{"cursor": {x.Next}}.Encode()
}

// count says how many there are; beyond what can be counted cheaply it says "1000+".
func (x contactsView) count(v frame.View) string {
	if x.Exact {
		return v.N("contacts.count", x.Total)
	}
	return v.T("contacts.count-least", "n", v.Number(x.Total)+"+")
}

func one(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

func (p *pages) contacts(c echo.Context) error {
	ctx, v := c.Request().Context(), frame.Of(c)
	x := contactsView{Cursor: c.QueryParam("cursor"), Region: p.Region, MayCreate: p.may(c, access.Create, "contact")}
	var err error
	x.Rows, x.Next, err = p.Contacts.List(ctx, record.Query{Sort: "name", Limit: contactsPageRows, Cursor: x.Cursor})
	if err != nil {
		return err
	}
	if x.Total, x.Exact, err = p.Contacts.Count(ctx); err != nil {
		return err
	}
	x.Names = map[string]string{}
	for _, row := range x.Rows {
		p.name(ctx, x.Names, row.Owner)
	}
	return p.Page(c, http.StatusOK, v.T("contacts.menu"), contactsPage(v, x))
}
