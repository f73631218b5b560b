package workspace

import (
	"context"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
)

type timelineView struct {
	Contact record.ID
	Entries []entry
	Next    string
}

// entry is one line of a timeline as people read it.
type entry struct {
	ID, Icon, Tone    string
	Title, Text, Href string
	At                time.Time
}

func (p *pages) timeline(c echo.Context, id record.ID) (x timelineView, err error) {
	ctx, v := c.Request().Context(), frame.Of(c)
	list, next, err := p.Contacts.Timeline(ctx, id, c.QueryParam("cursor"), rowsWanted(c, timelineRowsFirst))
	if err != nil {
		return x, err
	}
	x.Contact, x.Next = id, next
	names := map[string]string{}
	for _, e := range list {
		if e.Record.Exists() {
			m := p.Inbox.FromRecord(e.Record)
			p.name(ctx, names, m.Author)
			x.Entries = append(x.Entries, messageEntry(v, m, names))
		} else if v.Has("fact." + e.Fact.Name) { // others are for programs
			p.name(ctx, names, e.Fact.Actor)
			x.Entries = append(x.Entries, factEntry(v, e.Fact, names))
		}
	}
	return x, nil
}

// messageEntry says who wrote what, and by which way.
func messageEntry(v frame.View, m inbox.Message, names map[string]string) entry {
	e := entry{ID: "message-" + m.ID.String(), Icon: channelIcon(m.Channel), At: m.At, Href: "/inbox/" + m.Conversation.String(), Text: snippet(m.Text, 240)}
	switch {
	case m.Incoming:
		e.Title, e.Tone = v.T("timeline.received", "channel", channelName(v, m.Channel)), "in"
	case m.State == inbox.Failed:
		e.Title, e.Icon, e.Tone = v.T("timeline.failed", "name", who(m.Author, names)), icon("circle-x"), "bad"
	default:
		e.Title, e.Icon = v.T("timeline.answered", "name", who(m.Author, names)), icon("arrow-back-up")
	}
	if m.Subject != "" {
		e.Title += " · \u2068" + m.Subject + "\u2069" // isolated: its direction is its own
	}
	return e
}

// factEntry says in words what a fact tells.
func factEntry(v frame.View, f journal.Fact, names map[string]string) entry {
	e := entry{ID: "fact-" + strconv.FormatUint(f.Seq, 10), Icon: icon("history"), At: f.At}
	e.Title = v.T("fact."+f.Name, "name", who(f.Actor, names))
	if f.Name == "contact.changed" {
		e.Icon, e.Text = icon("pencil"), fieldNames(v, f.Fields)
	}
	if f.Name == "contact.created" {
		e.Icon = icon("user-plus")
	}
	return e
}

func fieldNames(v frame.View, fields []string) (text string) {
	for _, name := range fields {
		if key := "field.contact." + name; v.Has(key) {
			name = v.T(key)
		}
		if text != "" {
			text += ", "
		}
		text += name
	}
	return text
}

// who names the doer of something: a person, or the appliance and its plugins.
func who(actor string, names map[string]string) string {
	if name := names[actor]; name != "" {
		return name
	}
	return "Karov"
}

// name looks the name of an account up once.
func (p *pages) name(ctx context.Context, names map[string]string, id string) {
	if _, known := names[id]; !known && id != "" {
		names[id] = p.Staff.Name(ctx, id)
	}
}

func (p *pages) names(ctx context.Context, ids ...string) map[string]string {
	names := map[string]string{}
	for _, id := range ids {
		p.name(ctx, names, id)
	}
	return names
}
