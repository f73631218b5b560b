package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/appliance/record"
)

// door is one way to a customer. Secret says that what lies behind it is hidden from the blind; then they see nobody
// there. Who is the list of those to whom it opens, where that is not all who see the customer.
type door struct {
	name   string
	pages  bool // wants a token or a session
	secret bool
	who    func(person) []string
	try    func(h *house, p person, x *customer) sight
}

// page is a door of one path, in which {id}, {talk}, {message}, {word} and the like stand for the customer's.
func page(name, path string, secret bool) door {
	return door{name: name, pages: true, secret: secret, try: func(h *house, p person, x *customer) sight {
		fill := strings.NewReplacer("{id}", x.id.String(), "{talk}", x.talk.String(), "{message}", x.message.String(), "{word}", x.word, "{digits}", url.QueryEscape(x.phone),
			"{note}", x.note, "{code}", x.code, "{segment}", h.segment.String(), "{telling}", h.telling.String())
		status, answer := h.ask(p, http.MethodGet, fill.Replace(path), "")
		for blank, asked := range map[string]string{"{word}": x.word, "{digits}": strings.TrimPrefix(x.phone, "+"), "{note}": x.note, "{code}": x.code} {
			if strings.Contains(path, blank) { // what was asked for may be said again
				answer = strings.ReplaceAll(answer, asked, "")
			}
		}
		return x.of(answer, status == http.StatusOK, x.word, x.id.String())
	}}
}

// opens is a door that shows nothing but whether it opens.
func opens(name, path string) door {
	return door{name: name, pages: true, try: func(h *house, p person, x *customer) sight {
		status, answer := h.ask(p, http.MethodGet, strings.NewReplacer("{id}", x.id.String(), "{message}", x.message.String(), "{talk}", x.talk.String(), "{code}", x.code,
			"%7Bcode%7D", x.code).Replace(path), "")
		s := x.of(answer, true)
		s.seen = status == http.StatusOK
		return s
	}}
}

// room is a door without HTTP, for those too who have neither token nor session.
func room(name string, try func(h *house, ctx context.Context, x *customer) (any, error)) door {
	return door{name: name, try: func(h *house, p person, x *customer) sight {
		found, err := try(h, p.ctx, x)
		raw, broken := json.Marshal(found)
		if broken != nil {
			h.t.Errorf("%s: %v", name, broken)
		}
		return x.of(string(raw), err == nil, x.word, x.id.String())
	}}
}

// hides makes a door one whose answer tells a hidden field.
func hides(d door) door {
	d.secret = true
	return d
}

// lets says to whom a door opens.
func lets(d door, who func(person) []string) door {
	d.who = who
	return d
}

const records = "/api/v1/records/contact"

func doors() []door {
	return slices.Concat(roomDoors(), apiDoors(), traceDoors(), workDoors(), pageDoors())
}

// traceDoors are the calls about what was, and about many at once.
func traceDoors() []door {
	exporters := func(p person) []string {
		if p.exports {
			return p.sees
		}
		return nil
	}
	return []door{
		opens("API: history", records+"/{id}/history"),
		lets(opens("API: shares", records+"/{id}/shares"), func(p person) []string { return p.lends }),
		hides(page("API: file", records+"/{id}/files/plan/0", false)),
		page("API: segment", "/api/v1/segments/{segment}/members", false),
		hides(page("API: segment by hidden", "/api/v1/segments/{telling}/members", false)),
		opens("API: segments of a record", records+"/{id}/segments"),
		lets(page("API: export", "/api/v1/export/contact?format=csv", false), exporters),
		lets(page("API: export as JSON", "/api/v1/export/contact?format=json&sensitive=true", false), exporters),
		lets(page("API: export messages", "/api/v1/export/message?format=json&sensitive=true", false), exporters),
		hides(lets(page("API: export by hidden", "/api/v1/export/contact?filter="+url.QueryEscape(`note = "`)+"{note}"+url.QueryEscape(`"`), false), exporters)),
		hides(lets(opens("API: explain on hidden", records+"/explain?filter="+url.QueryEscape(`external_id = "{code}"`)), func(p person) []string {
			if len(p.sees) > 0 {
				return everybody // it tells how, not whom
			}
			return nil
		})),
		{name: "API: event stream", pages: true, try: func(h *house, p person, x *customer) sight { return h.hear(p, x, "/api/v1/events") }},
		{name: "API: bin", pages: true, who: func(p person) []string { return p.deletes }, try: func(h *house, p person, x *customer) sight {
			now, err := h.a.book.Get(h.appliance(), "contact", x.id)
			h.must(err)
			h.must(h.a.book.Delete(h.appliance(), "contact", x.id, now.Version()))
			status, answer := h.ask(p, http.MethodGet, records+"/bin", "")
			_, err = h.a.book.Restore(h.appliance(), "contact", x.id)
			h.must(err)
			return x.of(answer, status == http.StatusOK, x.id.String())
		}},
		{name: "API: change many", pages: true, who: func(p person) []string { return p.changes }, try: func(h *house, p person, x *customer) sight {
			before, err := h.a.book.Get(h.appliance(), "contact", x.id)
			h.must(err)
			_, answer := h.ask(p, http.MethodPost, records+"/bulk", fmt.Sprintf(`{"filter": "name contains \"%s\"", "values": {"address": "%s"}}`, x.word, record.NewID()),
				"Content-Type", "application/json", "Idempotency-Key", record.NewID().String())
			after, err := h.a.book.Get(h.appliance(), "contact", x.id)
			h.must(err)
			s := x.of(answer, true)
			s.seen = after.Text("address") != before.Text("address")
			return s
		}},
	}
}

func pageDoors() []door {
	return []door{
		page("page: card", "/contacts/{id}", false),
		page("page: list", "/contacts", false),
		page("page: search by name", "/lookup/results?q={word}", false),
		page("page: search by phone", "/lookup/results?q={digits}", true),
		page("page: inbox", "/inbox?view=open", false),
		page("page: conversation", "/inbox/{talk}", false),
		opens("page: messages", "/inbox/{talk}/messages"),
		opens("page: timeline", "/contacts/{id}/timeline"),
		page("page: attachment", "/inbox/{talk}/files/{message}/0", false),
		opens("page: edit form", "/contacts/{id}/edit"),
		{name: "page: event stream", pages: true, try: func(h *house, p person, x *customer) sight { return h.hear(p, x, "/live") }},
	}
}

// apiDoors are the calls of programs.
func apiDoors() []door {
	return []door{
		page("API: get", records+"/{id}", false),
		page("API: list", records, false),
		page("API: filter", records+"?filter="+url.QueryEscape(`name contains "`)+"{word}"+url.QueryEscape(`"`), false),
		page("API: filter on hidden", records+"?filter="+url.QueryEscape(`note = "`)+"{note}"+url.QueryEscape(`"`), true),
		page("API: filter through link", "/api/v1/records/message?filter="+url.QueryEscape(`contact.external_id = "`)+"{code}"+url.QueryEscape(`"`), true),
		page("API: sort", records+"?sort=name", false),
		page("API: sort by hidden", records+"?sort=external_id", true),
		page("API: search by name", "/api/v1/search?q={word}", false),
		page("API: search by phone", "/api/v1/search?q={digits}", true),
		page("API: messages listed", "/api/v1/records/message", false),
		opens("API: timeline", records+"/{id}/timeline"),
		page("API: conversations", "/api/v1/conversations?view=open", false),
		opens("API: messages", "/api/v1/conversations/{talk}/messages"),
		{name: "API: count", pages: true, try: func(h *house, p person, x *customer) sight {
			status, answer := h.ask(p, http.MethodGet, records+"?limit=1&count=exact", "")
			var list struct {
				Total int `json:"total"`
			}
			if status == http.StatusOK && json.Unmarshal([]byte(answer), &list) != nil {
				h.t.Errorf("the count of %s is no JSON: %s", p.name, answer)
			}
			if status == http.StatusOK && list.Total != len(p.sees) {
				h.t.Errorf("%s counts %d customers, but sees %d", p.name, list.Total, len(p.sees))
			}
			return sight{seen: status == http.StatusOK && slices.Contains(p.sees, x.key) && list.Total == len(p.sees)}
		}},
		{name: "API: change", pages: true, who: func(p person) []string { return p.changes }, try: func(h *house, p person, x *customer) sight {
			now, err := h.a.book.Get(h.appliance(), "contact", x.id)
			h.must(err)
			status, answer := h.ask(p, http.MethodPatch, records+"/"+x.id.String(), fmt.Sprintf(`{"city": %q}`, now.Text("city")), "Content-Type", "application/json",
				"If-Match", fmt.Sprintf(`"%d"`, now.Version()))
			s := x.of(answer, true)
			s.seen = status == http.StatusOK
			return s
		}},
	}
}

// shown is what a program would make of records.
func shown(list ...record.Record) (all []map[string]any) {
	for _, r := range list {
		one := map[string]any{"id": r.ID.String()}
		for _, name := range []string{"name", "note", "external_id", "text", "subject"} {
			one[name] = r.Text(name)
		}
		one["phones"] = r.Texts("phones")
		all = append(all, one)
	}
	return all
}

// listed is a list by a filter, in an order.
func listed(ctx context.Context, h *house, q record.Query, filter string) (any, error) {
	if filter != "" {
		f, err := h.a.book.Parse(ctx, q.Entity, filter)
		if err != nil {
			return nil, err
		}
		q.Filter = f
	}
	found, err := h.a.book.List(ctx, q)
	return shown(found.Records...), err
}

func roomDoors() []door {
	return []door{
		room("room: read", func(h *house, ctx context.Context, x *customer) (any, error) {
			r, err := h.a.book.Get(ctx, "contact", x.id)
			return shown(r), err
		}),
		room("room: list", func(h *house, ctx context.Context, x *customer) (any, error) {
			found, err := h.a.book.List(ctx, record.Query{Entity: "contact"})
			return shown(found.Records...), err
		}),
		room("room: filter", func(h *house, ctx context.Context, x *customer) (any, error) {
			return listed(ctx, h, record.Query{Entity: "contact"}, fmt.Sprintf("name contains %q", x.word))
		}),
		hides(room("room: filter on hidden", func(h *house, ctx context.Context, x *customer) (any, error) {
			return listed(ctx, h, record.Query{Entity: "contact"}, fmt.Sprintf("note = %q", x.note))
		})),
		hides(room("room: filter through link", func(h *house, ctx context.Context, x *customer) (any, error) {
			return listed(ctx, h, record.Query{Entity: "message"}, fmt.Sprintf("contact.external_id = %q", x.code))
		})),
		room("room: sort", func(h *house, ctx context.Context, x *customer) (any, error) {
			return listed(ctx, h, record.Query{Entity: "contact", Sort: "-name"}, "")
		}),
		hides(room("room: sort by hidden", func(h *house, ctx context.Context, x *customer) (any, error) {
			return listed(ctx, h, record.Query{Entity: "contact", Sort: "external_id"}, "")
		})),
		hides(room("room: explain on hidden", func(h *house, ctx context.Context, x *customer) (any, error) {
			f, err := h.a.book.Parse(ctx, "contact", fmt.Sprintf("external_id = %q", x.code))
			if err != nil {
				return nil, err
			}
			if _, err = h.a.book.Explain(ctx, record.Query{Entity: "contact", Filter: f}); err != nil {
				return nil, err
			}
			_, err = h.a.book.Get(ctx, "contact", x.id)
			return x.id.String(), err
		})),
		room("room: search", func(h *house, ctx context.Context, x *customer) (any, error) { return h.a.search.Find(ctx, x.word, 20) }),
		room("room: segment", func(h *house, ctx context.Context, x *customer) (any, error) {
			found, err := h.a.segments.Members(ctx, h.segment, "", 50)
			return shown(found.Records...), err
		}),
		hides(room("room: segment by hidden", func(h *house, ctx context.Context, x *customer) (any, error) {
			found, err := h.a.segments.Members(ctx, h.telling, "", 50)
			return shown(found.Records...), err
		})),
		room("room: card", func(h *house, ctx context.Context, x *customer) (any, error) { return h.a.contacts.Get(ctx, x.id) }),
		room("room: conversations", func(h *house, ctx context.Context, x *customer) (any, error) {
			return h.a.inbox.List(ctx, inbox.AllOpen, "", 50)
		}),
		room("room: message", func(h *house, ctx context.Context, x *customer) (any, error) {
			return h.a.inbox.Message(ctx, x.message)
		}),
		room("room: history", func(h *house, ctx context.Context, x *customer) (any, error) {
			revisions, err := h.a.book.History(ctx, "contact", x.id, 0, 50)
			return []any{x.id.String(), revisions}, err
		}),
		{name: "room: shares", who: func(p person) []string { return p.lends }, try: func(h *house, p person, x *customer) sight {
			_, err := h.a.book.Shares(p.ctx, "contact", x.id)
			return sight{seen: err == nil}
		}},
		{name: "room: share", who: func(p person) []string { return p.lends }, try: func(h *house, p person, x *customer) sight {
			err := h.a.book.Share(p.ctx, "contact", x.id, access.Share{Subject: "nobody of the office"})
			if err == nil {
				h.must(h.a.book.Unshare(h.appliance(), "contact", x.id, "nobody of the office"))
			}
			return sight{seen: err == nil}
		}},
	}
}

// hear opens a stream of events, lets the customer change, and looks whether the stream tells of it.
func (h *house) hear(p person, x *customer, path string) sight {
	if p.session == "" {
		status, answer := h.ask(p, http.MethodGet, path, "", "Accept", "text/event-stream")
		return x.of(answer, status == http.StatusOK, x.id.String())
	}
	before, err := h.a.journal.Last(h.t.Context())
	h.must(err)
	now, err := h.a.book.Get(h.appliance(), "contact", x.id)
	h.must(err)
	_, err = h.a.book.Change(h.appliance(), "contact", x.id, now.Version(), record.Values{"address": fmt.Sprint("street ", now.Version())})
	h.must(err)
	last, err := h.a.journal.Last(h.t.Context())
	h.must(err)
	server := httptest.NewServer(h.handler)
	defer server.Close()
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+path, nil)
	h.must(err)
	if strings.HasPrefix(path, "/api/") {
		r.Header.Set("Authorization", "Bearer "+p.token)
	} else {
		r.AddCookie(&http.Cookie{Name: "karov", Value: p.session})
	}
	r.Header.Set("Last-Event-ID", strconv.FormatUint(before, 10))
	answer, err := server.Client().Do(r)
	h.must(err)
	defer func() { _ = answer.Body.Close() }() // it is cut off in the middle
	var heard strings.Builder
	lines := bufio.NewScanner(answer.Body)
	reached := false
	for lines.Scan() {
		heard.WriteString(lines.Text() + "\n")
		if id, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
			seq, err := strconv.ParseUint(id, 10, 64)
			h.must(err)
			reached = seq >= last
		}
		if lines.Text() == "" && reached {
			cancel()
			return x.of(heard.String(), true, x.id.String())
		}
	}
	h.t.Errorf("the stream of %s never reached entry %d: %s", p.name, last, heard.String())
	return sight{}
}
