package api

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
)

const (
	// eventBreath is the pause between two pieces of a stream, so that many listeners cost little in a busy office.
	eventBreath = 200 * time.Millisecond
	// eventBeat is the longest silence of a stream, and how long a token that was revoked may still hold one open.
	eventBeat = 20 * time.Second
)

// streams counts what is open of each account.
type streams struct {
	each int
	mu   sync.Mutex
	open map[string]int
	all  int
}

func newStreams(each int) *streams { return &streams{each: each, open: map[string]int{}} }

// take opens one, and gives the function that closes it.
func (s *streams) take(account string) (func(), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[account] >= s.each || s.all >= 64*s.each {
		return nil, fault.New(fault.TooMany, "streams.too-many", "limit", s.each, "seconds", 30)
	}
	s.open[account]++
	s.all++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.all--; s.open[account] > 1 {
			s.open[account]--
		} else {
			delete(s.open, account)
		}
	}, nil
}

// events tells the caller of each fact that he may hear, as server-sent events whose ids are the numbers of the journal.
func (a *API) events(c echo.Context) error {
	after, err := placeOf(c)
	if err != nil {
		return err
	}
	return a.stream(c, func(ctx context.Context, l *listener) error {
		return a.Journal.Watch(ctx, journal.Watcher{After: after, Breath: eventBreath, Beat: eventBeat, May: l.may, Tell: l.tell})
	})
}

// stream answers with server-sent events until serve returns, the caller hangs up or the appliance goes down.
func (a *API) stream(c echo.Context, serve func(context.Context, *listener) error) error {
	leave, err := a.streams.take(access.ActorFrom(c.Request().Context()).ID)
	if err != nil {
		return err
	}
	defer leave()
	h := c.Response().Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // a proxy that keeps it back for a whole page would make it late
	if c.Request().Method == http.MethodHead {
		return c.NoContent(http.StatusOK)
	}
	ctx, cancel := context.WithCancel(c.Request().Context())
	defer cancel()
	if a.Down != nil {
		go func() {
			defer cancel()
			select {
			case <-a.Down:
			case <-ctx.Done():
			}
		}()
	}
	l := &listener{api: a, request: c.Request(), out: a.patient(c), actor: access.ActorFrom(ctx)}
	l.out.pause = max(l.out.pause, 2*eventBeat)
	c.Response().WriteHeader(http.StatusOK)
	if err := l.say("retry: 2000\n\n"); err != nil {
		return nil // the caller is gone: nobody is left to tell
	}
	if err := serve(ctx, l); err != nil {
		return l.over(ctx, err)
	}
	return nil
}

// placeOf reads from where a stream goes on: after the event that the caller saw last, or from now on.
func placeOf(c echo.Context) (uint64, error) {
	values, err := parameters(c, "after")
	if err != nil {
		return 0, err
	}
	text, given := values["after"]
	if last := c.Request().Header.Get("Last-Event-ID"); last != "" {
		text, given = last, true
	}
	if !given {
		return math.MaxUint64, nil
	}
	seq, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fault.InvalidField("after", "events.after")
	}
	return seq, nil
}

// listener is one stream.
type listener struct {
	api     *API
	request *http.Request // by which the caller is asked again who he is
	out     *patient
	actor   access.Actor
	asked   bool // since the last piece
}

// ask makes sure that the caller is still who he was, with the role that he has now.
func (l *listener) ask() error {
	if l.asked {
		return nil
	}
	actor, err := l.api.actor(l.request)
	if err != nil {
		return err
	}
	l.actor, l.asked = actor, true
	return nil
}

// may tells whether the caller may hear of a fact: of a record that he sees, also in the bin. Facts about no record are
// for those who may look at the audit, and who read what is for nobody here.
func (l *listener) may(ctx context.Context, f journal.Fact) (bool, error) {
	if err := l.ask(); err != nil || f.Read {
		return false, err
	}
	ctx = access.WithActor(ctx, l.actor)
	id, err := record.ParseID(f.ID)
	if err != nil || l.api.Book.Schema().Entity(f.Entity) == nil {
		return l.api.Gate.Scope(ctx, access.See, "audit") == access.All, nil
	}
	return l.api.Book.Knows(ctx, f.Entity, id)
}

// tell writes a piece of the stream, or a sign of life. Its id is how far the journal was looked through, so that the
// caller resumes behind what was not for him.
func (l *listener) tell(seq uint64, facts []journal.Fact) error {
	if err := l.ask(); err != nil {
		return err
	}
	l.asked = false
	rights := func(entity string) *access.Fields {
		return l.api.Gate.Fields(access.WithActor(l.request.Context(), l.actor), entity)
	}
	var b strings.Builder
	for _, f := range facts {
		hidden := rights(f.Entity)
		fields := slices.DeleteFunc(slices.Clone(f.Fields), hidden.Hidden)
		if len(f.Fields) > 0 && len(fields) == 0 {
			continue
		}
		raw, err := json.Marshal(told{f.Seq, moment(f.At), f.Name, f.Actor, f.Entity, f.ID, append([]string{}, fields...), f.Contact, f.About})
		if err != nil {
			return fault.Wrap(err, fault.Internal, "error.internal")
		}
		b.WriteString("id: " + strconv.FormatUint(f.Seq, 10) + "\ndata: " + string(raw) + "\n\n")
	}
	if len(facts) == 0 || facts[len(facts)-1].Seq != seq {
		b.WriteString(": here\nid: " + strconv.FormatUint(seq, 10) + "\n\n")
	}
	return l.say(b.String())
}

// told is a fact as programs hear it.
type told struct {
	Seq     uint64            `json:"seq"`
	At      any               `json:"at"`
	Name    string            `json:"name"`
	Actor   string            `json:"actor"`
	Entity  string            `json:"entity"`
	ID      string            `json:"id"`
	Fields  []string          `json:"fields"`
	Contact string            `json:"contact,omitempty"`
	About   map[string]string `json:"about,omitempty"`
}

func (l *listener) say(text string) error {
	if _, err := l.out.Write([]byte(text)); err != nil {
		return errGone
	}
	if err := l.out.line.Flush(); err != nil {
		return errGone
	}
	return nil
}

// errGone is that the caller hung up.
var errGone = errors.New("the listener is gone")

// over ends a stream, and says why where there is a reason: a caller who is nobody any more should not knock again.
func (l *listener) over(ctx context.Context, err error) error {
	if errors.Is(err, errGone) || ctx.Err() != nil {
		return nil
	}
	f := asFault(ctx, err)
	raw, jsonErr := json.Marshal(map[string]string{"key": f.Key, "detail": l.api.texts.say(f)})
	if jsonErr == nil {
		_ = l.say("event: over\ndata: " + string(raw) + "\n\n") // it ends either way
	}
	if f.Kind == fault.Unauthenticated {
		return nil
	}
	return err
}
