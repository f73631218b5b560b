// Package workspace is the staff's day: who waits, lookup, the customer's card, the inbox and a conversation.
//
// It owns the paths /, /lookup, /contacts, /inbox, /records and /views and no data: a page decodes what a browser sent, asks a room, and
// draws the answer. Each page's Go, template and test lie side by side and bear its name.
//
// It promises that every page works without script and by keyboard; that what strangers wrote is shown as text, in its
// own direction, and their formatted mail only in a closed frame without pictures from elsewhere; that nothing typed is
// lost when a save collides with somebody else's.
//
// It will not decide who may see or do what: the rooms do. It hides what the person may not do anyway, and no more.
package workspace

import (
	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/blob"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/deal"
	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/search"
	"github.com/karov-crm/karov/appliance/staff"
	"github.com/karov-crm/karov/appliance/task"
)

// Rooms is what the pages are drawn from.
type Rooms struct {
	Search   *search.Index
	Contacts *contact.Room
	Inbox    *inbox.Room
	Tasks    *task.Room
	Deals    *deal.Room
	Staff    *staff.Room
	Files    *blob.Store
	Gate     *access.Gate
	Book     *record.Book
	Plugins  Plugins // nil where there are none
	Region   string  // where a phone number without a country is from, as "IL"
}

type pages struct {
	*frame.Frame
	Rooms
}

// Register adds the pages and their menu to the frame.
func Register(f *frame.Frame, r Rooms) {
	p := &pages{Frame: f, Rooms: r}
	f.Menu(
		frame.MenuItem{Path: "/", Key: "home.menu", Icon: "home", Shortcut: "h"},
		frame.MenuItem{Path: "/inbox", Key: "inbox.menu", Icon: "inbox", Shortcut: "i"},
		frame.MenuItem{Path: "/contacts", Key: "contacts.menu", Icon: "users", Shortcut: "c"},
	)
	f.MoreMenu(p.recordMenu)
	f.MoreMenu(p.viewMenu)
	f.GET("/", p.home)
	f.GET("/home/waiting", p.homeWaiting)
	f.GET("/lookup", p.lookup)
	f.GET("/lookup/results", p.lookupResults)
	f.GET("/contacts", p.contacts)
	f.GET("/contacts/new", p.contactNew)
	f.POST("/contacts/new", p.contactCreate)
	f.GET("/contacts/:id", p.contact)
	f.GET("/contacts/:id/timeline", p.contactTimeline)
	f.GET("/contacts/:id/top", p.contactTop)
	f.GET("/contacts/:id/talks", p.contactTalks)
	f.GET("/contacts/:id/edit", p.contactEdit)
	f.POST("/contacts/:id/edit", p.contactSave)
	f.GET("/inbox", p.inbox)
	f.GET("/inbox/rows", p.inboxRows)
	f.GET("/inbox/:id", p.conversation)
	f.GET("/inbox/:id/messages", p.conversationMessages)
	f.GET("/inbox/:id/head", p.conversationHead)
	f.POST("/inbox/:id/reply", p.conversationReply)
	f.POST("/inbox/:id/assign", p.conversationAssign)
	f.POST("/inbox/:id/state", p.conversationState)
	f.POST("/inbox/:id/messages/:message/retry", p.messageRetry)
	f.GET("/inbox/:id/messages/:message/formatted", p.messageFormatted)
	f.GET("/inbox/:id/files/:message/:number", p.messageFile)
	f.GET("/records/:entity", p.records)
	f.GET("/records/:entity/new", p.recordNew)
	f.POST("/records/:entity/new", p.recordCreate)
	f.GET("/records/:entity/:id", p.record)
	f.GET("/records/:entity/:id/top", p.recordTop)
	f.GET("/records/:entity/:id/edit", p.recordEdit)
	f.POST("/records/:entity/:id/edit", p.recordSave)
	f.GET("/records/:entity/:id/files/:field/:number", p.recordFile)
	f.GET("/views/:plugin/:view", p.view)
	f.GET("/views/:plugin/:view/part", p.viewPart)
	f.POST("/actions/:plugin/:action", p.press)
	f.POST("/actions", p.press)
}

// idOf reads an id from the path.
func idOf(c echo.Context, name string) (record.ID, error) { return record.ParseID(c.Param(name)) }

// may tells whether the person may do verb to some record of entity at all; the room decides about each.
func (p *pages) may(c echo.Context, verb access.Verb, entity string) bool {
	return p.Gate.Scope(c.Request().Context(), verb, entity) != access.None
}
