package workspace

import (
	"context"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/deal"
	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/task"
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
	Foreign           bool // Text is somebody else's and has a direction of its own
	At                time.Time
}

func (p *pages) timeline(c echo.Context, id record.ID) (x timelineView, err error) {
	ctx, v := c.Request().Context(), frame.Of(c)
	list, next, err := p.Contacts.Timeline(ctx, id, c.QueryParam("cursor"), rowsWanted(c, timelineRowsFirst))
	if err != nil {
		return x, err
	}
	x.Contact, x.Next = id, next
	t := teller{pages: p, ctx: ctx, v: v, names: map[string]string{}, stages: map[record.ID]string{}}
	for _, e := range list {
		if told, ok := t.tell(e); ok {
			x.Entries = append(x.Entries, told)
		}
	}
	return x, nil
}

// teller puts the entries of one timeline into words. It asks for each name once.
type teller struct {
	*pages
	ctx    context.Context
	v      frame.View
	names  map[string]string
	stages map[record.ID]string
}

// tell says what happened; false for facts that are for programs.
func (t teller) tell(e contact.Entry) (entry, bool) {
	if e.Record.Exists() {
		return t.record(e.Record), true
	}
	if !t.v.Has("fact." + e.Fact.Name) {
		return entry{}, false
	}
	t.name(t.ctx, t.names, e.Fact.Actor)
	told := factEntry(t.v, e.Fact, t.names)
	if e.Fact.Entity != "contact" {
		told.Icon = factIcon(e.Fact.Name)
		told.Title += subject(t.title(e.Fact))
	}
	return told, true
}

// record says what a record on the timeline is about.
func (t teller) record(r record.Record) entry {
	switch r.Entity() {
	case "message":
		m := t.Inbox.FromRecord(r)
		t.name(t.ctx, t.names, m.Author)
		return messageEntry(t.v, m, t.names)
	case "task":
		return t.task(task.FromRecord(r))
	case "deal":
		return t.deal(deal.FromRecord(r))
	case "lead":
		return t.lead(deal.LeadFromRecord(r))
	}
	e := entry{ID: "record-" + r.ID.String(), Icon: icon("history"), At: r.CreatedAt(), Title: r.Entity()}
	if kind := t.Book.Schema().Entity(r.Entity()); kind != nil {
		e.Title = entityName(t.v, kind, false)
		if kind.Title != "" {
			e.Title += subject(r.Text(kind.Title))
		}
		if generic(kind) {
			e.Icon, e.Href = icon("list-details"), recordPath(&plugin.Ref{Entity: kind.Name, ID: r.ID})
		}
	}
	return e
}

// subject is what stands behind a sentence, isolated since its direction is its own.
func subject(text string) string {
	if text == "" {
		return ""
	}
	return " · \u2068" + text + "\u2069"
}

// messageEntry says who wrote what, and by which way.
func messageEntry(v frame.View, m inbox.Message, names map[string]string) entry {
	e := entry{ID: "message-" + m.ID.String(), Icon: channelIcon(m.Channel), At: m.At, Href: "/inbox/" + m.Conversation.String(), Text: snippet(m.Text, 240), Foreign: true}
	switch {
	case m.Incoming:
		e.Title, e.Tone = v.T("timeline.received", "channel", channelName(v, m.Channel)), "in"
	case m.State == inbox.Failed:
		e.Title, e.Icon, e.Tone = v.T("timeline.failed", "name", who(m.Author, names)), icon("circle-x"), "bad"
	default:
		e.Title, e.Icon = v.T("timeline.answered", "name", who(m.Author, names)), icon("arrow-back-up")
	}
	e.Title += subject(m.Subject)
	return e
}

// factEntry says in words what a fact tells.
func factEntry(v frame.View, f journal.Fact, names map[string]string) entry {
	e := entry{ID: "fact-" + strconv.FormatUint(f.Seq, 10), Icon: icon("history"), At: f.At}
	said := []any{"name", who(f.Actor, names)}
	for name, value := range f.About { // of a plugin's fact, whose sentence is its own
		said = append(said, name, value)
	}
	e.Title = v.T("fact."+f.Name, said...)
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
