package plugin

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"golang.org/x/sync/errgroup"
)

const (
	asksAtOnce = 8 // of one batch

	// A hook that did not answer so often in a row is not asked for a while: it would hold up every write.
	hookMisses = 5
	hookPause  = 30 * time.Second
)

// hookTrouble is how often in a row a plugin's before-hook did not answer.
type hookTrouble struct {
	mu     sync.Mutex
	missed int
	until  time.Time
}

// rests tells whether the hook is left alone.
func (t *hookTrouble) rests(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.missed >= hookMisses && now.Before(t.until)
}

func (t *hookTrouble) answered(ok bool, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if ok {
		t.missed = 0
		return
	}
	t.missed++
	t.until = now.Add(hookPause)
}

// hook is one before-hook of a plugin.
type hook struct {
	p    *supervised
	spec BeforeSpec
}

// hooksOf lists the hooks that are asked about writes of an entity, in the order of the plugins' ids. A plugin is not
// asked about what it writes itself.
func (h *Host) hooksOf(ctx context.Context, entity string, act record.Act) (hooks []hook) {
	writer := access.ActorFrom(ctx).ID
	h.each(func(p *supervised) {
		if len(p.m.Hooks.Before) == 0 || writer == "plugin:"+p.m.ID || access.PluginFrom(ctx) == p.m.ID || !p.isEnabled() || p.broken != nil {
			return
		}
		for _, spec := range p.m.Hooks.Before {
			if spec.Entity == entity && slices.Contains(spec.Acts, string(act)) {
				hooks = append(hooks, hook{p, spec})
			}
		}
	})
	return hooks
}

// Asks implements record.Asker.
func (h *Host) Asks(ctx context.Context, entity string, act record.Act) bool {
	return len(h.hooksOf(ctx, entity, act)) > 0
}

// Ask implements record.Asker: the hooks of the plugins are asked about each write, one plugin after the other, several
// writes at a time. It waits for no hook longer than 300 ms.
func (h *Host) Ask(ctx context.Context, asks []record.Ask) ([]record.Verdict, error) {
	verdicts := make([]record.Verdict, len(asks))
	var group errgroup.Group
	group.SetLimit(asksAtOnce)
	for i := range asks {
		group.Go(func() error {
			verdicts[i] = h.askOne(ctx, asks[i])
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return verdicts, ctx.Err()
}

func (h *Host) askOne(ctx context.Context, ask record.Ask) (v record.Verdict) {
	var values map[string]*wirev1.Value
	for _, k := range h.hooksOf(ctx, ask.Entity, ask.Act) {
		if ask.Act == record.ActUpdate && len(k.spec.Fields) > 0 &&
			!slices.ContainsFunc(k.spec.Fields, func(f string) bool { return slices.Contains(ask.Fields, f) }) {
			continue
		}
		more, err := h.askHook(ctx, k, ask, values)
		if err != nil {
			return record.Verdict{Refused: err}
		}
		if values == nil {
			values = map[string]*wirev1.Value{}
		}
		maps.Copy(values, more)
	}
	if len(values) == 0 {
		return v
	}
	reader := &valueReader{entity: h.o.schemaNow().Entity(ask.Entity)}
	if v.Values, v.Refused = reader.values(values); v.Refused != nil {
		v.Values = nil
	}
	return v
}

// askHook asks one hook. An error refuses the write: the plugin's own refusal, or its silence where its manifest says
// that a write must then not go on.
func (h *Host) askHook(ctx context.Context, k hook, ask record.Ask, sofar map[string]*wirev1.Value) (map[string]*wirev1.Value, error) {
	now := h.o.Now()
	silent := func(err error) (map[string]*wirev1.Value, error) {
		k.p.hook.answered(false, now)
		if k.spec.Failing == "open" {
			h.o.Log.Warn("a plugin was not asked before a write", "plugin", k.p.m.ID, "entity", ask.Entity, "error", err)
			return nil, nil
		}
		return nil, fault.Wrap(err, fault.Unavailable, "plugin.hook-silent", "plugin", k.p.m.Name)
	}
	if k.p.hook.rests(now) {
		return silent(context.DeadlineExceeded)
	}
	s, err := k.p.current()
	if err != nil {
		return silent(err)
	}
	ctx, cancel := context.WithTimeout(ctx, h.o.Timing.Before)
	defer cancel()
	request, err := h.beforeRequest(ctx, s, k, ask, sofar)
	if err != nil {
		return nil, err
	}
	call, done := s.asCaller(ctx)
	defer done()
	answer, err := wirev1.NewHooksClient(s.conn).Before(call, request)
	if err != nil {
		refusal := fromWire(err, "plugin.hook-refused")
		if refusal.Kind != fault.Invalid && refusal.Kind != fault.Forbidden {
			return silent(err)
		}
		k.p.hook.answered(true, now)
		return nil, refusal
	}
	k.p.hook.answered(true, now)
	return h.hookValues(s, ask, answer.GetValues())
}

// seenToWire is a record as far as a grant shows it.
func seenToWire(r record.Record, e *schema.Entity, sees func(field string) bool) *wirev1.Record {
	out := recordToWire(r, e, nil)
	maps.DeleteFunc(out.Values, func(field string, _ *wirev1.Value) bool { return !sees(field) })
	return out
}

func (h *Host) beforeRequest(ctx context.Context, s *session, k hook, ask record.Ask, sofar map[string]*wirev1.Value) (*wirev1.BeforeRequest, error) {
	acts := map[record.Act]wirev1.BeforeRequest_Act{record.ActCreate: wirev1.BeforeRequest_ACT_CREATE,
		record.ActUpdate: wirev1.BeforeRequest_ACT_UPDATE, record.ActDelete: wirev1.BeforeRequest_ACT_DELETE}
	r := &wirev1.BeforeRequest{Act: acts[ask.Act], Entity: ask.Entity, Actor: actorToWire(ctx), Values: map[string]*wirev1.Value{}}
	e := h.o.schemaNow().Entity(ask.Entity)
	if e == nil {
		return nil, fault.Missing("entity", ask.Entity)
	}
	sees := func(field string) bool { return s.grant.AllowsField(access.See, ask.Entity, field) }
	if ask.Before.Exists() {
		r.Before = seenToWire(ask.Before, e, sees)
	}
	if ask.After.Exists() {
		after := seenToWire(ask.After, e, sees)
		fields := ask.Fields
		if !ask.Before.Exists() { // of a new record, all that it holds
			fields = slices.Collect(maps.Keys(after.Values))
		}
		for _, name := range fields {
			if v, ok := after.Values[name]; ok {
				r.Values[name] = v
			} else if sees(name) {
				r.Values[name] = &wirev1.Value{}
			}
		}
	}
	maps.Copy(r.Values, sofar) // what hooks before this one changed
	r.Override = record.Overrides(ctx) && k.spec.Override != "" &&
		h.o.Gate.Require(ctx, access.Verb(k.spec.Override), overrideObject(k.spec)) == nil
	return r, nil
}

// overrideObject is on what the right to override is held: administration is of the office, all else of the entity.
func overrideObject(spec BeforeSpec) access.Object {
	if access.Verb(spec.Override) == access.Administer {
		return access.Object{Entity: "office"}
	}
	return access.Object{Entity: spec.Entity}
}

// hookValues reads what a hook wants to write. A field that the plugin may not change refuses the write: the hook's
// author must hear of it, and the person gets no half of what was meant.
func (h *Host) hookValues(s *session, ask record.Ask, in map[string]*wirev1.Value) (map[string]*wirev1.Value, error) {
	if ask.Act == record.ActDelete {
		return nil, nil
	}
	for name := range in {
		if !s.grant.AllowsField(access.Change, ask.Entity, name) {
			h.o.Log.Error("a plugin's hook writes what it may not", "plugin", s.p.m.ID, "entity", ask.Entity, "field", printable(wire.Cut(name, 100)))
			return nil, fault.New(fault.Unavailable, "plugin.hook-silent", "plugin", s.p.m.Name)
		}
	}
	return in, nil
}
