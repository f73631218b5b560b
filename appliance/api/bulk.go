package api

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

const (
	// bulkPatience is how long a caller waits for the end of an act on many records; after it he is told where to look.
	bulkPatience = 10 * time.Second
	// maxRunning is how many acts on many records run at once: each keeps the one writer of the store busy.
	maxRunning = 4
)

// running are the acts on many records that are under way. They go on when their caller hangs up.
type running struct {
	mu   sync.Mutex
	acts map[string]*underway
}

// underway is one of them. Act and err are read once done is closed, act also before, under mu.
type underway struct {
	done chan struct{}
	mu   sync.Mutex
	act  record.Bulk
	err  error
}

func newRunning() *running { return &running{acts: map[string]*underway{}} }

func (u *underway) tell(act record.Bulk) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.act = act
}

func (u *underway) so(ctx context.Context, patience time.Duration) (act record.Bulk, ended bool, err error) {
	select {
	case <-u.done:
		return u.act, true, u.err
	case <-time.After(patience):
	case <-ctx.Done():
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.act, false, nil
}

// begin runs an act under a name, or gives the one that runs under it already.
func (r *running) begin(ctx context.Context, name string, do func(context.Context, func(record.Bulk)) (record.Bulk, error)) (*underway, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if u := r.acts[name]; u != nil {
		return u, nil
	}
	if len(r.acts) >= maxRunning {
		return nil, fault.New(fault.TooMany, "bulk.busy", "seconds", 10)
	}
	u := &underway{done: make(chan struct{})}
	r.acts[name] = u
	ctx = context.WithoutCancel(ctx)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				u.err = fault.Wrap(fmt.Errorf("panic: %v\n%s", p, debug.Stack()), fault.Internal, "error.internal")
			}
			r.mu.Lock()
			delete(r.acts, name)
			r.mu.Unlock()
			close(u.done)
		}()
		act, err := do(ctx, u.tell)
		u.tell(act)
		u.err = err
	}()
	return u, nil
}

// wish is what an act on many records is asked to do.
type wish struct {
	query    record.Query
	values   record.Values
	deletion bool
}

// bulk changes or deletes all records that a filter finds and the caller may change or delete.
func (a *API) bulk(c echo.Context) error {
	ctx := c.Request().Context()
	e, err := a.entity(c)
	if err != nil {
		return err
	}
	key, err := idempotencyKey(c.Request())
	if err != nil {
		return err
	}
	if _, err := parameters(c); err != nil {
		return err
	}
	body, err := a.body(c, false)
	if err != nil {
		return err
	}
	w, err := a.wishOf(ctx, e, body)
	if err != nil {
		return err
	}
	w.query.Act = record.NewID()
	if key != "" {
		id, fresh, err := a.Book.Once(ctx, "bulk "+e.Name, key, body)
		if err != nil {
			return err
		}
		w.query.Act = id
		if act, err := a.Book.BulkOf(ctx, id); !fresh && err == nil {
			return answerBulk(c, act, act.Ended)
		}
	}
	u, err := a.running.begin(ctx, w.query.Act.String(), func(ctx context.Context, tell func(record.Bulk)) (record.Bulk, error) {
		if w.deletion {
			return a.Book.DeleteMany(ctx, w.query, tell)
		}
		return a.Book.ChangeMany(ctx, w.query, w.values, tell)
	})
	if err != nil {
		return err
	}
	act, ended, err := u.so(ctx, bulkPatience)
	if err != nil {
		return err
	}
	if act.ID.Zero() { // nothing is done yet
		act.ID, act.Entity, act.Filter, act.By, act.Deletion = w.query.Act, e.Name, w.query.Filter.String(), access.ActorFrom(ctx).ID, w.deletion
	}
	return answerBulk(c, act, ended)
}

// wishOf reads {"filter", "values"} or {"filter", "delete": true}. A filter must be given: without one it would be all.
func (a *API) wishOf(ctx context.Context, e *schema.Entity, body record.Values) (w wish, err error) {
	if err := onlyThese(body, "filter", "values", "delete"); err != nil {
		return w, err
	}
	text, err := textOf(body, "filter")
	if err != nil {
		return w, err
	}
	if strings.TrimSpace(text) == "" {
		return w, fault.InvalidField("filter", "field.required")
	}
	values, given := body["values"].(map[string]any)
	remove, isFlag := body["delete"].(bool)
	verb := access.Change
	switch {
	case body["delete"] != nil && !isFlag:
		return w, fault.InvalidField("delete", "field.yes-no")
	case body["values"] != nil && !given:
		return w, fault.InvalidField("values", "body.not-object")
	case remove && given || !remove && len(values) == 0:
		return w, fault.InvalidField("values", "bulk.one-of")
	case remove:
		verb = access.Delete
	}
	if a.Gate.Scope(ctx, verb, e.Name) == access.None {
		return w, a.Gate.Require(ctx, verb, access.Object{Entity: e.Name})
	}
	w = wish{query: record.Query{Entity: e.Name}, values: values, deletion: remove}
	if err := a.writable(ctx, e, values); err != nil {
		return w, err
	}
	w.query.Filter, err = a.Book.Parse(ctx, e.Name, text)
	return w, err
}

// writable refuses values that no record of the entity takes from the caller, before the first is touched.
func (a *API) writable(ctx context.Context, e *schema.Entity, values record.Values) error {
	if err := notOwn(values); err != nil {
		return err
	}
	wrong := &fault.Error{Kind: fault.Invalid, Key: "input.invalid"}
	for _, name := range sortedNames(values) {
		f := e.Field(name)
		switch {
		case !a.Book.Readable(ctx, e, name):
			wrong.Fields = append(wrong.Fields, fault.Field{Name: name, Key: "field.unknown"})
		case f.Closed || f.Type == schema.Formula:
			wrong.Fields = append(wrong.Fields, fault.Field{Name: name, Key: "field.closed"})
		case a.Gate.Fields(ctx, e.Name).ReadOnly(name):
			wrong.Fields = append(wrong.Fields, fault.Field{Name: name, Key: "field.read-only"})
		}
	}
	if len(wrong.Fields) > 0 {
		return wrong
	}
	return nil
}

// answerBulk shows an act; one that goes on is Accepted.
func answerBulk(c echo.Context, act record.Bulk, ended bool) error {
	status := http.StatusOK
	if !ended {
		status = http.StatusAccepted
	}
	c.Response().Header().Set("Location", Prefix+"/bulk/"+act.ID.String())
	return writeJSON(c, status, jsonType, act)
}

// bulks lists the newest acts on many records that the caller may know of.
func (a *API) bulks(c echo.Context) error {
	values, err := parameters(c, "limit")
	if err != nil {
		return err
	}
	limit, err := limitOf(values, record.DefaultLimit, record.MaxLimit)
	if err != nil {
		return err
	}
	found, err := a.Book.Bulks(c.Request().Context(), limit)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, jsonType, itemsOf(append([]record.Bulk{}, found...), ""))
}

func (a *API) bulkOf(c echo.Context) error {
	id, err := idOf(c, "bulk")
	if err != nil {
		return err
	}
	if _, err := parameters(c); err != nil {
		return err
	}
	act, err := a.Book.BulkOf(c.Request().Context(), id)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, jsonType, act)
}

// undoBulk takes an act on many records back. Asking again does nothing more.
func (a *API) undoBulk(c echo.Context) error {
	ctx := c.Request().Context()
	_, id, err := a.act(c, "bulk")
	if err != nil {
		return err
	}
	before, err := a.Book.BulkOf(ctx, id)
	if err != nil {
		return err
	}
	u, err := a.running.begin(ctx, "undo "+id.String(), func(ctx context.Context, tell func(record.Bulk)) (record.Bulk, error) {
		return a.Book.UndoMany(ctx, id, tell)
	})
	if err != nil {
		return err
	}
	act, ended, err := u.so(ctx, bulkPatience)
	if err != nil {
		return err
	}
	if act.ID.Zero() {
		act = before
	}
	return answerBulk(c, act, ended)
}
