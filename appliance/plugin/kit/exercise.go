package kit

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/record"
)

// exercise uses a plugin as the people of an office would: it writes records that it asks or hears about, looks at its
// views, presses its buttons and lets its jobs run.
type exercise struct {
	t     *T
	c     *Core
	say   func(format string, args ...any) // of what failed
	quiet bool                             // failures are expected
}

func (e *exercise) failed(what string, err error) {
	if err != nil && !e.quiet && !e.refusal(err) {
		e.say("%s: %v", what, err)
	}
}

// refusal tells whether an error is a plugin's own no, in a sentence that it has.
func (e *exercise) refusal(err error) bool {
	f := fault.Of(err)
	return (f.Kind == fault.Invalid || f.Kind == fault.Forbidden) && e.t.subject.m.Sentences("en")[f.Key] != ""
}

// all uses everything once, and jobs that have a time to their end.
func (e *exercise) all() {
	e.once()
	ctx := asOwner(e.t.ctx)
	for _, j := range e.t.subject.m.Jobs {
		if j.Schedule == "" {
			continue // it is asked for with a payload that only the plugin knows
		}
		e.failed("ask for the job "+j.Name, e.c.Host.RunJob(ctx, e.c.ID, j.Name))
		e.t.wait("the job "+j.Name+" ran", func() bool { return e.ran(j.Name) })
	}
}

// ran tells whether a job came to its end, and says how it failed.
func (e *exercise) ran(name string) bool {
	states, err := e.c.Host.JobStates(asOwner(e.t.ctx), e.c.ID)
	e.failed("look at the jobs", err)
	for _, s := range states {
		if s.Job != name || s.Runs == 0 {
			continue
		}
		if !s.OK && e.t.subject.m.Sentences("en")[s.Key] == "" {
			e.say("the job %s failed: %s", name, s.Key)
		}
		return true
	}
	return false
}

// once uses records, views and buttons once.
func (e *exercise) once() {
	ctx, m := asOwner(e.t.ctx), e.t.subject.m
	for _, entity := range e.entities() {
		r, err := e.c.make(ctx, entity)
		if err != nil {
			e.failed("make a "+entity, err)
			continue
		}
		if e.change(ctx, r); len(m.Actions) > 0 {
			e.press(ctx, r)
		}
	}
	if answer := e.t.subject.World.Answer; answer != nil {
		out := *answer
		out.MessageID = record.NewID()
		_, err := e.c.Host.Send(ctx, out)
		e.failed("send", err)
	}
	for _, v := range m.Views {
		var on *plugin.Ref
		if v.Place == plugin.OnCard {
			id, err := e.c.linked(ctx, v.Entity, deepest)
			if err != nil {
				e.failed("make a "+v.Entity, err)
				continue
			}
			ref, err := record.ParseID(id)
			e.failed("name a "+v.Entity, err)
			on = &plugin.Ref{Entity: v.Entity, ID: ref}
		}
		_, err := e.c.Host.Render(ctx, e.c.ID, v.Name, on, nil)
		e.failed("draw the view "+v.Name, err)
	}
}

// change writes the record's title again.
func (e *exercise) change(ctx context.Context, r record.Record) {
	title := e.c.Book.Schema().Entity(r.Entity()).Title
	_, err := e.c.Book.Change(ctx, r.Entity(), r.ID, r.Version(), record.Values{title: "Changed"})
	e.failed("change a "+r.Entity(), err)
}

// press presses the buttons that stand on a record.
func (e *exercise) press(ctx context.Context, r record.Record) {
	for _, a := range e.t.subject.m.Actions {
		if a.Entity != r.Entity() {
			continue
		}
		_, err := e.c.Host.Act(ctx, plugin.Press{Plugin: e.c.ID, Action: a.Name, Records: []plugin.Ref{{Entity: r.Entity(), ID: r.ID}}, Key: r.ID.String()})
		e.failed("press "+a.Name, err)
	}
}

// entities are the kinds of records that the plugin declares, asks about, or stands on, and customers.
func (e *exercise) entities() []string {
	m := e.t.subject.m
	var all []string
	seen := map[string]bool{}
	add := func(name string) {
		if name != "" && !seen[name] {
			seen[name] = true
			all = append(all, name)
		}
	}
	add("contact")
	for _, d := range m.Entities {
		add(d.Name)
	}
	for _, h := range m.Hooks.Before {
		add(h.Entity)
	}
	for _, a := range m.Actions {
		add(a.Entity)
	}
	return all
}

// meanwhile uses the plugin from the side until the function that it gives is called.
func (e *exercise) meanwhile() (stop func()) {
	var busy sync.WaitGroup
	over := make(chan struct{})
	busy.Go(func() {
		for {
			select {
			case <-over:
				return
			case <-e.t.ctx.Done():
				return
			default:
				e.once()
			}
		}
	})
	return sync.OnceFunc(func() { close(over); busy.Wait() })
}

// word is a word that stands in no other message.
func (c *Core) word() string { return record.NewID().String() }

// messages counts the messages of the office that contain words.
func (c *Core) messages(t *T, words string) (n int) {
	query := record.Query{Entity: "message", Limit: 200}
	for {
		page, err := c.Book.List(asOwner(t.ctx), query)
		if err != nil {
			t.fatalf("list the messages: %v", err)
		}
		for _, r := range page.Records {
			if strings.Contains(r.Text("text"), words) {
				n++
			}
		}
		if query.Cursor = page.Next; query.Cursor == "" {
			return n
		}
	}
}

// Gone tells whether a process has ended.
func Gone(pid int) bool {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return true
	}
	_, after, _ := bytes.Cut(raw, []byte(") "))
	return bytes.HasPrefix(after, []byte("Z")) || bytes.HasPrefix(after, []byte("X"))
}
