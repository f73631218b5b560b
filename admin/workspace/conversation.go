package workspace

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/appliance/record"
)

const messagesFirst = 50

type conversationView struct {
	inbox.Conversation
	Contact   contact.Contact
	Messages  []message
	Older     string // the message before which there are others
	Others    []inbox.Conversation
	Names     map[string]string
	People    []person
	Region    string
	MayReply  bool
	MayAssign bool
	MayChange bool
}

type message struct {
	inbox.Message
	Own, Quoted string
	ShowSubject bool // it is another than the one before
}

type reply struct{ Text, Key, Problem string }

type person struct{ ID, Name string }

func (x conversationView) path(rest string) string { return "/inbox/" + x.ID.String() + rest }

func title(v frame.View, c inbox.Conversation) string {
	return cmp.Or(c.Subject, v.T("inbox.no-subject"))
}

func (x conversationView) author(v frame.View, m message) string {
	if !m.Incoming {
		return cmp.Or(x.Names[m.Author], v.T("inbox.office"))
	}
	return cmp.Or(m.From.Name, x.Contact.Title(), m.From.Handle)
}

func (x conversationView) newestInbound() string {
	for _, m := range slices.Backward(x.Messages) {
		if m.Incoming {
			return m.ID.String()
		}
	}
	return ""
}

func (x conversationView) newDay(v frame.View, i int) bool {
	return i == 0 || v.Date(x.Messages[i].At) != v.Date(x.Messages[i-1].At)
}

// reason is why an answer did not leave, in the reader's words.
func reason(v frame.View, m message) string {
	if v.Has(m.Failure.Key) {
		return v.Fill(m.Failure.Key, m.Failure.Params)
	}
	return v.T("message.reason-unknown")
}

func (p *pages) conversation(c echo.Context) error {
	x, err := p.conversationView(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	others, err := p.Inbox.Of(ctx, x.Contact.ID, 6)
	if err != nil {
		return err
	}
	x.Others = slices.DeleteFunc(others, func(o inbox.Conversation) bool { return o.ID == x.ID })
	v := frame.Of(c)
	return p.Page(c, http.StatusOK, title(v, x.Conversation), conversationPage(v, x))
}

func (p *pages) conversationMessages(c echo.Context) error {
	x, err := p.conversationView(c)
	if err != nil {
		return err
	}
	if c.QueryParam("before") != "" {
		return p.Part(c, http.StatusOK, messageRows(frame.Of(c), x))
	}
	return p.Part(c, http.StatusOK, messageList(frame.Of(c), x))
}

func (p *pages) conversationHead(c echo.Context) error {
	x, err := p.conversationView(c)
	if err != nil {
		return err
	}
	return p.Part(c, http.StatusOK, conversationHead(frame.Of(c), x))
}

func (p *pages) conversationView(c echo.Context) (x conversationView, err error) {
	id, err := idOf(c, "id")
	if err != nil {
		return x, err
	}
	ctx := c.Request().Context()
	if x.Conversation, err = p.Inbox.Get(ctx, id); err != nil {
		return x, err
	}
	if x.Contact, err = p.Contacts.Get(ctx, x.Conversation.Contact); err != nil {
		return x, err
	}
	x.Names = p.names(ctx, x.Assignee)
	if err := p.readMessages(c, &x); err != nil {
		return x, err
	}
	x.Region = p.Region
	x.MayReply = p.may(c, access.Reply, "conversation")
	x.MayChange = p.may(c, access.Change, "conversation")
	x.MayAssign = p.may(c, access.Assign, "conversation")
	x.People, err = p.people(ctx, x.MayAssign)
	return x, err
}

func (p *pages) readMessages(c echo.Context, x *conversationView) error {
	ctx := c.Request().Context()
	var before record.ID
	if text := c.QueryParam("before"); text != "" {
		var err error
		if before, err = record.ParseID(text); err != nil {
			return err
		}
	}
	list, more, err := p.Inbox.Messages(ctx, x.ID, before, rowsWanted(c, messagesFirst))
	if err != nil {
		return err
	}
	if more {
		x.Older = list[0].ID.String()
	}
	subject := x.Subject
	for _, m := range list {
		shown := message{Message: m, ShowSubject: plainSubject(m.Subject) != plainSubject(subject)}
		shown.Own, shown.Quoted = fold(m.Text)
		subject = m.Subject
		p.name(ctx, x.Names, m.Author)
		x.Messages = append(x.Messages, shown)
	}
	return nil
}

// plainSubject takes away what mail programs put before the subject of an answer.
func plainSubject(subject string) string {
	for {
		head, rest, ok := strings.Cut(strings.TrimSpace(subject), ":")
		if !ok || !slices.Contains([]string{"re", "fw", "fwd", "השב", "תשובה", "הועבר", "ответ", "на"}, strings.ToLower(strings.TrimSpace(head))) {
			return strings.TrimSpace(subject)
		}
		subject = rest
	}
}

func (p *pages) conversationReply(c echo.Context) error {
	x, err := p.conversationView(c)
	if err != nil {
		return err
	}
	v, ctx := frame.Of(c), c.Request().Context()
	form := reply{Text: c.FormValue("text"), Key: c.FormValue("_key")}
	if strings.TrimSpace(form.Text) == "" {
		err = fault.InvalidField("text", "field.required")
	} else {
		_, err = p.Inbox.Reply(ctx, x.ID, inbox.Reply{Text: form.Text, Key: form.Key})
	}
	if fault.KindOf(err) == fault.Invalid {
		form.Problem = v.Say(err)
		if frame.WantsPart(c) {
			return p.Part(c, http.StatusUnprocessableEntity, replyForm(v, x, form))
		}
		return p.Page(c, http.StatusUnprocessableEntity, title(v, x.Conversation), replyForm(v, x, form))
	}
	if err != nil {
		return err
	}
	if !frame.WantsPart(c) {
		return p.Done(c, x.path(""))
	}
	if x, err = p.conversationView(c); err != nil {
		return err
	}
	return p.Part(c, http.StatusOK, conversationHead(v, x), messageList(v, x), replyForm(v, x, reply{Key: v.Key()}), said(v.T("inbox.said")))
}

func (p *pages) conversationAssign(c echo.Context) error {
	return p.act(c, func(ctx context.Context, x conversationView) error {
		return p.Inbox.Assign(ctx, x.ID, c.FormValue("assignee"))
	})
}

func (p *pages) conversationState(c echo.Context) error {
	return p.act(c, func(ctx context.Context, x conversationView) error {
		return p.Inbox.Close(ctx, x.ID, c.FormValue("state") == inbox.Open)
	})
}

func (p *pages) messageRetry(c echo.Context) error {
	id, err := idOf(c, "message")
	if err != nil {
		return err
	}
	return p.act(c, func(ctx context.Context, x conversationView) error { return p.Inbox.Retry(ctx, id) })
}

// act does something to a conversation and shows what it became.
func (p *pages) act(c echo.Context, do func(context.Context, conversationView) error) error {
	x, err := p.conversationView(c)
	if err != nil {
		return err
	}
	if err := do(c.Request().Context(), x); err != nil {
		return err
	}
	if !frame.WantsPart(c) {
		return p.Done(c, x.path(""))
	}
	if x, err = p.conversationView(c); err != nil {
		return err
	}
	v := frame.Of(c)
	return p.Part(c, http.StatusOK, conversationHead(v, x), messageList(v, x), said(v.T("inbox.done")))
}
