package workspace

import (
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/nyaruka/phonenumbers"

	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/schema"
)

const timelineRowsFirst = 20

type contactView struct {
	contact.Contact
	Conversations []inbox.Conversation
	Timeline      timelineView
	Names         map[string]string
	Region        string
	MayChange     bool
	Slots         []viewPlace // views of plugins
	Linked        []linkedView
	Added         []recordDetail // what the fields say that the office or a plugin added
	Acts          []plugin.ActionRef
}

type detail struct{ Label, Text string }

func (x contactView) path(rest string) string { return "/contacts/" + x.ID.String() + rest }

// details are the fields that say something, in the order in which people look for them.
func (x contactView) details(v frame.View) (list []detail) {
	for _, d := range []detail{
		{v.T("field.contact.note"), x.Note},
		{v.T("field.contact.address"), x.Address},
		{v.T("field.contact.birthday"), dayOf(v, x.Birthday)},
		{v.T("field.contact.external_id"), x.ExternalID},
	} {
		if d.Text != "" {
			list = append(list, d)
		}
	}
	return list
}

func dayOf(v frame.View, day string) string {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return day
	}
	return v.Date(t.Add(12 * time.Hour)) // noon is the same day in every zone an office is in
}

// dialled is what a telephone is given: the number with its country where that is known.
func dialled(number, region string) string {
	n, err := phonenumbers.Parse(number, region)
	if err != nil || !phonenumbers.IsPossibleNumber(n) {
		return number
	}
	return phonenumbers.Format(n, phonenumbers.E164)
}

func (p *pages) contact(c echo.Context) error {
	x, err := p.contactView(c)
	if err != nil {
		return err
	}
	if err := p.addTalks(c, &x); err != nil {
		return err
	}
	if x.Timeline, err = p.timeline(c, x.ID); err != nil {
		return err
	}
	x.Slots = p.slots(frame.Of(c), plugin.OnCard, &plugin.Ref{Entity: "contact", ID: x.ID}, "contact:"+x.ID.String())
	if x.Linked, err = p.linked(c, "contact", x.ID); err != nil {
		return err
	}
	return p.Page(c, http.StatusOK, x.Title(), contactPage(frame.Of(c), x))
}

// addTalks reads the open conversations and the names of those who look after them.
func (p *pages) addTalks(c echo.Context, x *contactView) error {
	ctx := c.Request().Context()
	found, err := p.Inbox.Of(ctx, x.ID, 30)
	if err != nil {
		return err
	}
	x.Conversations = slices.DeleteFunc(found, func(c inbox.Conversation) bool { return c.State != inbox.Open })
	for _, conversation := range x.Conversations {
		p.name(ctx, x.Names, conversation.Assignee)
	}
	return nil
}

func (p *pages) contactTop(c echo.Context) error {
	x, err := p.contactView(c)
	if err != nil {
		return err
	}
	return p.Part(c, http.StatusOK, contactTop(frame.Of(c), x))
}

func (p *pages) contactTalks(c echo.Context) error {
	x, err := p.contactView(c)
	if err != nil {
		return err
	}
	if err := p.addTalks(c, &x); err != nil {
		return err
	}
	return p.Part(c, http.StatusOK, contactTalks(frame.Of(c), x))
}

func (p *pages) contactView(c echo.Context) (x contactView, err error) {
	id, err := idOf(c, "id")
	if err != nil {
		return x, err
	}
	ctx := c.Request().Context()
	if x.Contact, err = p.Contacts.Get(ctx, id); err != nil {
		return x, err
	}
	x.Region = p.Region
	x.MayChange = p.may(c, access.Change, "contact")
	x.Names = p.names(ctx, x.Owner)
	x.Acts = p.mayAct(c, "contact", "card")
	return x, p.added(c, &x)
}

// added reads the fields of a customer that the office or a plugin added.
func (p *pages) added(c echo.Context, x *contactView) error {
	ctx, v := c.Request().Context(), frame.Of(c)
	e := p.Book.Schema().Entity("contact")
	fields := slices.DeleteFunc(p.readable(ctx, e), func(f *schema.Field) bool { return !f.Custom })
	if len(fields) == 0 {
		return nil
	}
	r, err := p.Book.Get(ctx, e.Name, x.ID)
	if err != nil {
		return err
	}
	x.Added = p.recordTeller(ctx, v).details(e, r, fields)
	return nil
}

func (x timelineView) path(cursor string) string {
	path := "/contacts/" + x.Contact.String() + "/timeline"
	if cursor == "" {
		return path
	}
	return path + "?" + url.Values{"cursor": {cursor}}.Encode()
}

// morePage is the whole page from the cursor on, for a browser without script.
func (x timelineView) morePage() string {
	return "/contacts/" + x.Contact.String() + "?" + url.Values{"cursor": {x.Next}}.Encode()
}

// contactTimeline answers the live list and "more" alike.
func (p *pages) contactTimeline(c echo.Context) error {
	id, err := idOf(c, "id")
	if err != nil {
		return err
	}
	x, err := p.timeline(c, id)
	if err != nil {
		return err
	}
	if c.QueryParam("cursor") != "" {
		return p.Part(c, http.StatusOK, timelineRows(frame.Of(c), x))
	}
	return p.Part(c, http.StatusOK, timelineList(frame.Of(c), x))
}
