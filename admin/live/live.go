// Package live tells open pages what changed, so that they show it without being reloaded.
//
// It owns the path /live, a stream of server-sent events, and no data. An event carries only names, such as
// "contact:<id>", "conversation:<id>" or "inbox"; a page that shows one of them reads its part again through the
// ordinary, permission-checked address.
//
// It promises that nobody hears of a record that he may not see, that a stream resumes where it broke off (the event's
// id is the journal's number), that it ends when the session ends, and that a flood of changes becomes one word: "*",
// read everything again.
//
// It will not carry data, and it keeps nothing in memory for a stream but its place.
package live

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
)

const (
	ping     = 20 * time.Second       // proxies and the browser learn that the line still stands
	breath   = 150 * time.Millisecond // between two events of one stream: a burst becomes one
	batch    = 200                    // facts read at once
	manyMiss = 1000                   // facts behind which reading everything again is cheaper than naming it
	manyName = 40                     // names in one event, above which it says "*"
)

// Journal is what live reads of the journal.
type Journal interface {
	Last(ctx context.Context) (uint64, error)
	After(ctx context.Context, seq uint64, limit int) ([]journal.Fact, error)
	Wait(ctx context.Context, seq uint64) error
}

// Book answers whether the context's actor may see a record.
type Book interface {
	Visible(ctx context.Context, entity string, id record.ID) (bool, error)
}

type stream struct {
	life    context.Context
	frame   *frame.Frame
	journal Journal
	book    Book
}

// Register adds the stream to the frame. All streams end when life does, so that the server can stop in good order.
func Register(life context.Context, f *frame.Frame, j Journal, b Book) {
	s := &stream{life: life, frame: f, journal: j, book: b}
	f.GET("/live", s.serve)
	f.GET("/live/still", func(c echo.Context) error { return c.NoContent(http.StatusNoContent) })
}

// serve runs one stream until the browser, the session or the appliance ends it.
func (s *stream) serve(c echo.Context) error {
	ctx, cancel := context.WithCancel(c.Request().Context())
	defer cancel()
	stop := context.AfterFunc(s.life, cancel)
	defer stop()
	last, err := s.journal.Last(ctx)
	if err != nil {
		return err
	}
	seq := place(c.Request(), last)
	w := c.Response()
	w.Header().Set(echo.HeaderContentType, "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	line := http.NewResponseController(w)
	if err := line.SetWriteDeadline(time.Time{}); err != nil && !unsupported(err) {
		return fmt.Errorf("lift the stream's deadline: %w", err)
	}
	w.WriteHeader(http.StatusOK)
	if err := send(line, w, "retry: 2000\n\n"); err != nil {
		return nil // the browser is gone: nobody is left to tell
	}
	for {
		actor, signed := s.frame.Signed(c) // anew each time: a role may have been taken away
		if !signed {
			text := "event: over\ndata: session\n\n" // so that the browser does not knock again and again
			_ = send(line, w, text)                  // a browser that is gone need not be told
			return nil
		}
		text, next, err := s.next(access.WithActor(ctx, actor), seq)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if seq = next; send(line, w, text) != nil {
			return nil
		}
	}
}

// next waits for the next event: what changed after seq, or a ping when nothing did.
func (s *stream) next(ctx context.Context, seq uint64) (text string, next uint64, err error) {
	patience, cancel := context.WithTimeout(ctx, ping)
	defer cancel()
	if err := s.journal.Wait(patience, seq); err != nil {
		if patience.Err() != nil {
			return ": still here\n\n", seq, nil
		}
		return "", seq, err
	}
	select {
	case <-time.After(breath):
	case <-ctx.Done():
		return "", seq, nil
	}
	last, err := s.journal.Last(ctx)
	if err != nil {
		return "", seq, err
	}
	if last > seq+manyMiss {
		return event(last, []string{"*"}), last, nil
	}
	facts, err := s.journal.After(ctx, seq, batch)
	if err != nil || len(facts) == 0 {
		return "", seq, err
	}
	names, err := s.names(ctx, facts)
	if err != nil {
		return "", seq, err
	}
	return event(facts[len(facts)-1].Seq, names), facts[len(facts)-1].Seq, nil
}

// names lists what the facts changed, as far as the actor may see it.
func (s *stream) names(ctx context.Context, facts []journal.Fact) ([]string, error) {
	var names []string
	seen := map[string]bool{}
	for _, f := range facts {
		about := Names(f)
		if len(about) == 0 || seen[strings.Join(about, " ")] {
			continue
		}
		seen[strings.Join(about, " ")] = true
		ok, err := s.visible(ctx, f)
		if err != nil {
			return nil, err
		}
		if ok {
			names = append(names, about...)
		}
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) > manyName {
		return []string{"*"}, nil
	}
	return names, nil
}

// visible asks about the customer where the fact concerns one: what hangs on a customer is as visible as he is.
func (s *stream) visible(ctx context.Context, f journal.Fact) (bool, error) {
	entity, text := f.Entity, f.ID
	if f.Contact != "" {
		entity, text = "contact", f.Contact
	}
	id, err := record.ParseID(text)
	if err != nil {
		return false, nil // a fact about no record, as that the appliance started, is nobody's page
	}
	return s.book.Visible(ctx, entity, id)
}

// Names gives the names under which pages listen for a fact: the record, its customer, and the list it stands in. That
// somebody read something changes no page.
func Names(f journal.Fact) []string {
	if f.Read {
		return nil
	}
	var names []string
	add := func(entity, id string) {
		if id != "" {
			names = append(names, entity+":"+id)
		}
	}
	add(f.Entity, f.ID)
	if f.Contact != f.ID {
		add("contact", f.Contact)
	}
	if conversation := f.About["conversation"]; conversation != f.ID {
		add("conversation", conversation)
	}
	switch f.Entity {
	case "conversation", "message":
		names = append(names, "inbox")
	case "contact":
		names = append(names, "contacts")
	}
	return names
}

// place is where a stream begins: after the last event the browser had, or at the present.
func place(r *http.Request, last uint64) uint64 {
	for _, text := range []string{r.Header.Get("Last-Event-ID"), r.URL.Query().Get("after")} {
		if seq, err := strconv.ParseUint(text, 10, 64); err == nil {
			return min(seq, last)
		}
	}
	return last
}

// An event without names still moves the browser's place on.
func event(seq uint64, names []string) string {
	if len(names) == 0 {
		return fmt.Sprintf("id: %d\n\n", seq)
	}
	return fmt.Sprintf("id: %d\nevent: changed\ndata: %s\n\n", seq, strings.Join(names, " "))
}
