package api

import (
	"context"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/task"
)

// taskRoutes are what is done with tasks beside changing them. A task tells by its state whether it can be done, so that
// these acts want no version.
func (a *API) taskRoutes() []route {
	const one = Prefix + "/tasks/:id"
	return []route{
		{method: post, path: one + "/finish", handle: a.finishTask, describe: describeFinish},
		{method: post, path: one + "/cancel", handle: a.cancelTask, describe: describeCancel},
		{method: post, path: one + "/reopen", handle: a.reopenTask, describe: describeReopenTask},
		{method: post, path: one + "/snooze", handle: a.snoozeTask, describe: describeSnooze},
	}
}

func (a *API) finishTask(c echo.Context) error { return a.endOrOpen(c, task.Done, a.Tasks.Finish) }

func (a *API) cancelTask(c echo.Context) error { return a.endOrOpen(c, task.Cancelled, a.Tasks.Cancel) }

func (a *API) reopenTask(c echo.Context) error { return a.endOrOpen(c, task.Open, a.Tasks.Reopen) }

// endOrOpen brings a task into a state.
func (a *API) endOrOpen(c echo.Context, state string, do func(context.Context, record.ID) (task.Task, error)) error {
	_, id, err := a.act(c, "task")
	if err != nil {
		return err
	}
	done, err := a.doneBefore(c, wanted{"task", id, state, nil, func(r record.Record) bool { return task.FromRecord(r).State == state }})
	if err == nil && !done {
		_, err = do(c.Request().Context(), id)
	}
	if err != nil {
		return err
	}
	return a.answer(c, "task", id)
}

// snoozeTask puts a task off.
func (a *API) snoozeTask(c echo.Context) error {
	values, id, err := a.act(c, "task", "until")
	if err != nil {
		return err
	}
	text, err := textOf(values, "until")
	if err != nil {
		return err
	}
	until, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return fault.InvalidField("until", "field.time")
	}
	done, err := a.doneBefore(c, wanted{"task", id, "snooze", values, func(r record.Record) bool { return r.Time("due").Equal(until.Truncate(time.Millisecond)) }})
	if err == nil && !done {
		_, err = a.Tasks.Snooze(c.Request().Context(), id, until)
	}
	if err != nil {
		return err
	}
	return a.answer(c, "task", id)
}

// wanted is an act on a record that may be asked for twice, and how the record looks once it was done.
type wanted struct {
	entity string
	id     record.ID
	act    string
	asked  any
	so     func(record.Record) bool
}

// doneBefore tells whether the caller asked for an act before, by its Idempotency-Key, and it was done. One that failed
// the first time is tried again.
func (a *API) doneBefore(c echo.Context, w wanted) (bool, error) {
	if len(c.Request().Header.Values("Idempotency-Key")) == 0 {
		return false, nil
	}
	r, err := a.Book.Get(c.Request().Context(), w.entity, w.id)
	if err != nil {
		return false, err
	}
	again, err := a.again(c, w.act+" "+w.entity+" "+w.id.String(), w.asked)
	return again && w.so(r), err
}
