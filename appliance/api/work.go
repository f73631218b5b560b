package api

import (
	"net/http"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/search"
)

const (
	// timelineMost is the most entries of one page of a timeline: each may be a mail, which is read whole.
	timelineMost = 50
	// timelineText is how many bytes of a long text stand on a timeline; the record has the rest.
	timelineText = 600
)

// appendHit writes one result of the lookup. Its marks are what was looked for, each from the first character to the one
// behind the last. People wait for this answer at each key, so it is written in one go.
func appendHit(raw []byte, h *search.Hit) (_ []byte, err error) {
	for _, member := range [...]struct{ name, text string }{
		{`{"entity":`, h.Entity}, {`,"id":`, record.ID(h.ID).String()}, {`,"title":`, h.Title}, {`,"subtitle":`, h.Subtitle}, {`,"matched":`, h.Matched},
	} {
		if raw, err = appendText(append(raw, member.name...), member.text); err != nil {
			return raw, err
		}
	}
	raw = appendMarks(append(raw, `,"marks":`...), h.Title, h.Marks)
	raw = appendMarks(append(raw, `,"subtitle_marks":`...), h.Subtitle, h.SubtitleMarks)
	raw = appendMarks(append(raw, `,"matched_marks":`...), h.Matched, h.MatchedMarks)
	return append(raw, '}'), nil
}

// appendMarks turns marks in bytes into marks in characters (Unicode code points), which every language counts alike.
func appendMarks(raw []byte, text string, marks []search.Span) []byte {
	raw = append(raw, '[')
	for i, m := range marks {
		if i > 0 {
			raw = append(raw, ',')
		}
		from := min(max(m.From, 0), len(text))
		to := min(max(m.To, from), len(text))
		first := utf8.RuneCountInString(text[:from])
		raw = strconv.AppendInt(append(raw, '['), int64(first), 10)
		raw = strconv.AppendInt(append(raw, ','), int64(first+utf8.RuneCountInString(text[from:to])), 10)
		raw = append(raw, ']')
	}
	return append(raw, ']')
}

// hitSize is about how many bytes one result takes.
const hitSize = 360

func (a *API) search(c echo.Context) error {
	values, err := parameters(c, "q", "limit")
	if err != nil {
		return err
	}
	if _, given := values["q"]; !given {
		return fault.InvalidField("q", "field.required")
	}
	limit, err := limitOf(values, 20, search.MaxLimit)
	if err != nil {
		return err
	}
	found, err := a.Search.Find(c.Request().Context(), values["q"], limit)
	if err != nil {
		return err
	}
	if err := a.Journal.Note(c.Request().Context(), journal.Searched(len(found))); err != nil {
		return err
	}
	raw := append(make([]byte, 0, 64+hitSize*len(found)), `{"items":[`...)
	for i := range found {
		if i > 0 {
			raw = append(raw, ',')
		}
		if raw, err = appendHit(raw, &found[i]); err != nil {
			return fault.Wrap(err, fault.Internal, "error.internal")
		}
	}
	return c.Blob(http.StatusOK, jsonType, append(raw, "]}\n"...))
}

// entry is one line of a timeline: a record, or a fact.
type entry struct {
	At     any     `json:"at"`
	Record *object `json:"record,omitempty"`
	Fact   *fact   `json:"fact,omitempty"`
}

type fact struct {
	Seq    uint64            `json:"seq"`
	At     any               `json:"at"`
	Name   string            `json:"name"`
	Actor  string            `json:"actor"`
	Fields []string          `json:"fields"`
	About  map[string]string `json:"about,omitempty"`
}

func (a *API) timeline(c echo.Context) error {
	values, err := parameters(c, "cursor", "limit")
	if err != nil {
		return err
	}
	limit, err := limitOf(values, timelineMost, timelineMost)
	if err != nil {
		return err
	}
	id, err := idOf(c, "contact")
	if err != nil {
		return err
	}
	found, next, err := a.Contacts.Timeline(c.Request().Context(), id, values["cursor"], limit)
	if err != nil {
		return err
	}
	items := make([]entry, 0, len(found))
	for _, e := range found {
		shown, err := a.entry(e)
		if err != nil {
			return err
		}
		items = append(items, shown)
	}
	return writeJSON(c, http.StatusOK, jsonType, itemsOf(items, next))
}

func (a *API) entry(e contact.Entry) (entry, error) {
	if !e.Record.Exists() {
		f := e.Fact
		return entry{At: moment(e.At), Fact: &fact{Seq: f.Seq, At: moment(e.At), Name: f.Name, Actor: f.Actor, Fields: append([]string{}, f.Fields...),
			About: f.About}}, nil
	}
	o, err := shape{entity: a.Book.Schema().Entity(e.Record.Entity()), cut: timelineText}.show(e.Record)
	return entry{At: moment(e.At), Record: &o}, err
}

// conversations lists the inbox. Its total is of the view, within what the caller may see.
func (a *API) conversations(c echo.Context) error {
	ctx := c.Request().Context()
	values, err := parameters(c, "view", "cursor", "limit", "count")
	if err != nil {
		return err
	}
	limit, err := limitOf(values, record.DefaultLimit, record.MaxLimit)
	if err != nil {
		return err
	}
	exact, err := countOf(values)
	if err != nil {
		return err
	}
	view := inbox.View(values["view"])
	if _, given := values["view"]; !given {
		view = inbox.AllOpen
	}
	found, err := a.Inbox.List(ctx, view, values["cursor"], limit)
	if err != nil {
		return err
	}
	p := page{Items: []object{}}
	if found.Next != "" {
		p.Next = &found.Next
	}
	l := asked{query: viewQuery(view, access.ActorFrom(ctx).ID), shape: shape{entity: a.Book.Schema().Entity("conversation")}, exact: exact}
	for _, conversation := range found.Conversations {
		r, err := a.Book.Get(ctx, "conversation", conversation.ID)
		if err != nil && fault.KindOf(err) == fault.NotFound {
			continue // it went, or went to somebody else, since the list was read
		}
		if err != nil {
			return err
		}
		o, err := l.shape.show(r)
		if err != nil {
			return err
		}
		o.put("contact_name", conversation.ContactName)
		p.Items = append(p.Items, o)
	}
	if p.Total, p.TotalExact, err = a.total(ctx, l); err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, jsonType, p.object())
}

// viewQuery asks record for what a view of the inbox shows, to count it.
func viewQuery(view inbox.View, me string) record.Query {
	q := record.Query{Entity: "conversation"}
	open := func(r record.Record) bool { return r.Text("state") == inbox.Open }
	switch view {
	case inbox.Waiting:
		q.Sort, q.Valued, q.Keep = "waiting_since", true, open
	case inbox.Mine:
		q.Field, q.Value, q.Keep = "assignee", me, open
	case inbox.Done:
		q.Field, q.Value = "state", inbox.Closed
	default:
		q.Field, q.Value = "state", inbox.Open
	}
	return q
}

// messages lists those of one conversation, newest first.
func (a *API) messages(c echo.Context) error {
	ctx := c.Request().Context()
	values, err := parameters(c, "cursor", "limit", "fields", "count")
	if err != nil {
		return err
	}
	l := asked{query: record.Query{Entity: "message", Field: "conversation", Sort: "-", Cursor: values["cursor"]}}
	if l.query.Limit, err = limitOf(values, record.DefaultLimit, record.MaxLimit); err != nil {
		return err
	}
	if l.exact, err = countOf(values); err != nil {
		return err
	}
	if l.shape, err = a.shapeOf(ctx, a.Book.Schema().Entity("message"), values["fields"]); err != nil {
		return err
	}
	id, err := idOf(c, "conversation")
	if err != nil {
		return err
	}
	if _, err := a.Book.Get(ctx, "conversation", id); err != nil {
		return err
	}
	l.query.Value = id
	return a.answerList(c, l)
}

// reply writes an answer, which leaves by the conversation's channel.
func (a *API) reply(c echo.Context) error {
	ctx := c.Request().Context()
	key, err := idempotencyKey(c.Request())
	if err != nil {
		return err
	}
	values, id, err := a.act(c, "conversation", "text")
	if err != nil {
		return err
	}
	text, err := textOf(values, "text")
	if err != nil {
		return err
	}
	m, err := a.Inbox.Reply(ctx, id, inbox.Reply{Text: text, Key: key})
	if err != nil {
		return err
	}
	if key != "" && bare(m.Text) != bare(text) {
		return fault.InvalidField("Idempotency-Key", "idempotency.reused")
	}
	r, err := a.Book.Get(ctx, "message", m.ID)
	if err != nil {
		return err
	}
	return answerNew(c, shape{entity: a.Book.Schema().Entity("message")}, r)
}

// bare is a text without what storing it may change: spaces and invisible characters.
func bare(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, s)
}

func (a *API) assign(c echo.Context) error {
	ctx := c.Request().Context()
	values, id, err := a.act(c, "conversation", "account")
	if err != nil {
		return err
	}
	if _, given := values["account"]; !given {
		return fault.InvalidField("account", "field.required")
	}
	account, err := textOf(values, "account")
	if err != nil {
		return err
	}
	if account != "" && a.Staff.Name(ctx, account) == "" {
		return fault.InvalidField("account", "staff.not-found", "id", account)
	}
	done, err := a.doneBefore(c, wanted{"conversation", id, "assign", values, func(r record.Record) bool { return r.Text("assignee") == account }})
	if err == nil && !done {
		err = a.Inbox.Assign(ctx, id, account)
	}
	if err != nil {
		return err
	}
	return a.answer(c, "conversation", id)
}

func (a *API) closeConversation(c echo.Context) error { return a.closeOrOpen(c, false) }

func (a *API) reopenConversation(c echo.Context) error { return a.closeOrOpen(c, true) }

func (a *API) closeOrOpen(c echo.Context, open bool) error {
	_, id, err := a.act(c, "conversation")
	if err != nil {
		return err
	}
	state := inbox.Closed
	if open {
		state = inbox.Open
	}
	done, err := a.doneBefore(c, wanted{"conversation", id, state, nil, func(r record.Record) bool { return r.Text("state") == state }})
	if err == nil && !done {
		err = a.Inbox.Close(c.Request().Context(), id, open)
	}
	if err != nil {
		return err
	}
	return a.answer(c, "conversation", id)
}

// retry sends a message again that was given up, or that waits for its next attempt.
func (a *API) retry(c echo.Context) error {
	_, id, err := a.act(c, "message")
	if err != nil {
		return err
	}
	if err := a.Inbox.Retry(c.Request().Context(), id); err != nil {
		return err
	}
	return a.answer(c, "message", id)
}

// act reads what an act on a record is told: the id in the path, and a body of the named fields, which may be left out
// where there are none.
func (a *API) act(c echo.Context, entity string, fields ...string) (record.Values, record.ID, error) {
	id, err := idOf(c, entity)
	if err != nil {
		return nil, id, err
	}
	if _, err := parameters(c); err != nil {
		return nil, id, err
	}
	values, err := a.body(c, len(fields) == 0)
	if err != nil {
		return nil, id, err
	}
	return values, id, onlyThese(values, fields...)
}

// answer shows the record that an act changed. Who may act on it but not see it any more, as after giving it away, is
// told that it worked and no more.
func (a *API) answer(c echo.Context, entity string, id record.ID) error {
	r, err := a.Book.Get(c.Request().Context(), entity, id)
	switch {
	case err != nil && fault.KindOf(err) == fault.NotFound:
		return c.NoContent(http.StatusNoContent)
	case err != nil:
		return err
	}
	return answerRecord(c, http.StatusOK, shape{entity: a.Book.Schema().Entity(entity)}, r)
}
