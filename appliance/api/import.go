package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/transfer"
)

const (
	// maxImports is how many imports run at once: each keeps the one writer of the store busy.
	maxImports = 2
	// keptImports is how many imports are remembered once they ended. A file whose import was forgotten can be imported
	// again: what it made is found by then.
	keptImports = 100
)

// importRoutes are of files that are brought in.
func (a *API) importRoutes() []route {
	const one = Prefix + "/imports/:id"
	return []route{
		{method: post, path: Prefix + "/import/:entity", handle: a.importFile, describe: describeImport, long: true},
		{method: get, path: Prefix + "/imports", handle: a.listImports, describe: describeImports},
		{method: get, path: one, handle: a.importOf, describe: describeImportOf},
		{method: get, path: one + "/progress", handle: a.importProgress, describe: describeProgress, long: true},
	}
}

// imports are those that run, and the newest of those that ended. They go on when their caller hangs up, and end between
// two batches when the appliance goes down.
type imports struct {
	mu      sync.Mutex
	running int
	all     []*importing // by when they began
}

// importing is one import.
type importing struct {
	id           record.ID
	by           string
	entity, name string
	dry          bool
	at           time.Time
	done         chan struct{} // closed at its end

	mu       sync.Mutex
	progress transfer.Progress
	result   transfer.Result // once done is closed
	err      error
}

// take makes room for one more import, and gives the function that gives it free.
func (i *imports) take() (func(), error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.running >= maxImports {
		return nil, fault.New(fault.TooMany, "import.busy", "seconds", 10)
	}
	i.running++
	return sync.OnceFunc(func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.running--
	}), nil
}

// keep remembers an import, and forgets the oldest that ended. One that has its id, and has not failed, is given instead.
func (i *imports) keep(one *importing) *importing {
	i.mu.Lock()
	defer i.mu.Unlock()
	at := slices.IndexFunc(i.all, func(known *importing) bool { return known.id == one.id })
	if at >= 0 {
		if !i.all[at].failed() {
			return i.all[at]
		}
		i.all = slices.Delete(i.all, at, at+1)
	}
	if len(i.all) >= keptImports+maxImports {
		oldest := slices.IndexFunc(i.all, func(known *importing) bool { return known.ended() })
		i.all = slices.Delete(i.all, oldest, oldest+1)
	}
	i.all = append(i.all, one)
	return one
}

// of lists the imports of an account, the newest first.
func (i *imports) of(account string) (list []*importing) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, one := range slices.Backward(i.all) {
		if one.by == account {
			list = append(list, one)
		}
	}
	return list
}

func (i *importing) ended() bool {
	select {
	case <-i.done:
		return true
	default:
		return false
	}
}

func (i *importing) failed() bool { return i.ended() && i.err != nil }

func (i *importing) tell(p transfer.Progress) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.progress = p
}

func (i *importing) so() transfer.Progress {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.progress
}

// importFile brings a file in. The caller waits for its end a while, and is told where to look after that.
func (a *API) importFile(c echo.Context) error {
	ctx := c.Request().Context()
	e, err := a.entity(c)
	if err != nil {
		return err
	}
	if e.Hidden {
		return fault.Missing("entity", e.Name)
	}
	if err := a.Gate.Require(ctx, access.Import, access.Object{Entity: e.Name}); err != nil {
		return err
	}
	key, err := idempotencyKey(c.Request())
	if err != nil {
		return err
	}
	free, err := a.imports.take()
	if err != nil {
		return err
	}
	begun := false
	defer func() {
		if !begun {
			free()
		}
	}()
	p, err := a.parcel(c)
	if err != nil {
		return err
	}
	one := &importing{id: record.NewID(), by: access.ActorFrom(ctx).ID, entity: e.Name, name: p.name, dry: p.dry, at: a.Now(), done: make(chan struct{})}
	if key != "" {
		if one.id, _, err = a.Book.Once(ctx, "import "+e.Name, key, p.asked()); err != nil {
			return errors.Join(err, p.drop())
		}
	}
	if known := a.imports.keep(one); known != one {
		return a.answerImport(c, known, p.drop())
	}
	begun = true
	go func() {
		defer free()
		a.runImport(context.WithoutCancel(ctx), e, one, p)
	}()
	return a.answerImport(c, one, nil)
}

// runImport imports a file to its end, and takes it off the disk.
func (a *API) runImport(ctx context.Context, e *schema.Entity, one *importing, p *parcel) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-a.Down: // nil, and so never, where nothing goes down
			cancel()
		case <-ctx.Done():
		}
	}()
	defer close(one.done)
	defer func() {
		if r := recover(); r != nil {
			one.err = fault.Wrap(fmt.Errorf("panic: %v\n%s", r, debug.Stack()), fault.Internal, "error.internal")
		}
		if err := p.drop(); err != nil {
			a.Log.Warn("take an imported file away", "id", one.id.String(), "error", err)
		}
		if kind := fault.KindOf(one.err); one.err != nil && (kind == fault.Internal || kind == fault.Unavailable) {
			a.Log.Error("import failed", "id", one.id.String(), "entity", one.entity, "actor", one.by, "error", one.err)
		}
	}()
	o := transfer.Options{Name: p.name, Map: p.columns, DryRun: p.dry, Encoding: p.encoding, Region: a.Country, Zone: a.Book.Zone(), Progress: one.tell}
	importer := transfer.Importer(a.Transfer)
	if e.Name != "contact" {
		importer, o.Entity = a.Transfer.Records(e), a.fillable(ctx, e)
	}
	var err error
	if p.file, err = transfer.Ready(ctx, p.file, a.Spool, &o); err == nil {
		one.result, err = transfer.Import(ctx, p.file, o, importer)
	}
	if err != nil && ctx.Err() != nil {
		err = fault.Wrap(err, fault.Unavailable, "store.closed")
	}
	one.err = err
}

// fillable is a kind of record as the caller knows it: columns are not named to him after fields that are hidden from him.
func (a *API) fillable(ctx context.Context, e *schema.Entity) *schema.Entity {
	seen := *e
	seen.Fields = nil
	for i := range e.Fields {
		if a.Book.Readable(ctx, e, e.Fields[i].Name) {
			seen.Fields = append(seen.Fields, e.Fields[i])
		}
	}
	return &seen
}

// answerImport waits for the end of an import a while. One that failed before its first row is the caller's error.
func (a *API) answerImport(c echo.Context, one *importing, err error) error {
	if err != nil {
		return err
	}
	status := http.StatusOK
	select {
	case <-one.done:
	case <-time.After(bulkPatience):
		status = http.StatusAccepted
	case <-c.Request().Context().Done():
		status = http.StatusAccepted
	}
	if one.failed() && one.result.Rows == 0 {
		return one.err
	}
	c.Response().Header().Set("Location", Prefix+"/imports/"+one.id.String())
	return writeJSON(c, status, jsonType, a.importShown(one))
}

// mine finds the import of the caller's that the path names.
func (a *API) mine(c echo.Context) (*importing, error) {
	id, err := idOf(c, "import")
	if err != nil {
		return nil, err
	}
	for _, one := range a.imports.of(access.ActorFrom(c.Request().Context()).ID) {
		if one.id == id {
			return one, nil
		}
	}
	return nil, fault.Missing("import", id.String())
}

func (a *API) listImports(c echo.Context) error {
	if _, err := parameters(c); err != nil {
		return err
	}
	shown := []importShown{}
	for _, one := range a.imports.of(access.ActorFrom(c.Request().Context()).ID) {
		s := a.importShown(one)
		s.Problems = []rowProblem{}
		shown = append(shown, s)
	}
	return writeJSON(c, http.StatusOK, jsonType, itemsOf(shown, ""))
}

func (a *API) importOf(c echo.Context) error {
	if _, err := parameters(c); err != nil {
		return err
	}
	one, err := a.mine(c)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, jsonType, a.importShown(one))
}

// importProgress tells how far an import is, as server-sent events, until it ended.
func (a *API) importProgress(c echo.Context) error {
	if _, err := parameters(c); err != nil {
		return err
	}
	one, err := a.mine(c)
	if err != nil {
		return err
	}
	return a.stream(c, func(ctx context.Context, l *listener) error {
		ended := false
		for last := (transfer.Progress{Rows: -1}); !ended; {
			select {
			case <-one.done:
				ended = true
			case <-time.After(eventBreath):
			case <-ctx.Done():
				return ctx.Err()
			}
			l.asked = false
			if err := l.ask(); err != nil {
				return err
			}
			event := "progress"
			if ended {
				event = "ended"
			} else if now := one.so(); now == last {
				continue
			} else {
				last = now
			}
			raw, err := appendJSON([]byte("event: "+event+"\ndata: "), a.importShown(one))
			if err != nil {
				return fault.Wrap(err, fault.Internal, "error.internal")
			}
			if err := l.say(string(raw) + "\n\n"); err != nil {
				return err
			}
		}
		return nil
	})
}
