//go:build pending

package plugin

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"golang.org/x/sync/errgroup"
)

const (
	beforeWithin = 300 * time.Millisecond
	asksAtOnce   = 8 // of one batch

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
		if len(p.m.Hooks.Before) == 0 || writer == "plugin:"+p.m.ID || writesFor(ctx) == p.m.ID || !p.isEnabled() || p.broken != nil {
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
	for _, k := range h.hooksOf(ctx, ask.Entity, ask.Act) {
		if ask.Act == record.ActUpdate && len(k.spec.Fields) > 0 &&
			!slices.ContainsFunc(k.spec.Fields, func(f string) bool { return slices.Contains(ask.Fields, f) }) {
			continue
		}
		values, err := h.askHook(ctx, k, ask, v.Values)
		if err != nil {
			v.Refused = err
			return v
		}
		for name, value := range values {
			if v.Values == nil {
				v.Values = record.Values{}
			}
			v.Values[name] = value
		}
	}
	return v
}

// askHook asks one hook. An error refuses the write: the plugin's own refusal, or its silence where its manifest says
// that a write must then not go on.
func (h *Host) askHook(ctx context.Context, k hook, ask record.Ask, sofar record.Values) (record.Values, error) {
	now := h.o.Now()
	silent := func(err error) (record.Values, error) {
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
	ctx, cancel := context.WithTimeout(ctx, beforeWithin)
	defer cancel()
	request, err := h.beforeRequest(ctx, k, ask, sofar)
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
	return h.hookValues(k.p, ask, answer.GetValues())
}

func (h *Host) beforeRequest(ctx context.Context, k hook, ask record.Ask, sofar record.Values) (*wirev1.BeforeRequest, error) {
	acts := map[record.Act]wirev1.BeforeRequest_Act{record.ActCreate: wirev1.BeforeRequest_ACT_CREATE,
		record.ActUpdate: wirev1.BeforeRequest_ACT_UPDATE, record.ActDelete: wirev1.BeforeRequest_ACT_DELETE}
	r := &wirev1.BeforeRequest{Act: acts[ask.Act], Entity: ask.Entity, Actor: actorToWire(ctx), Values: map[string]*wirev1.Value{}}
	sees := func(field string) bool { return k.p.grants(h, access.See, ask.Entity, field) }
	if ask.Before.Exists() {
		r.Before = recordToWire(ask.Before, sees)
	}
	fields := ask.Fields
	if ask.Before.Exists() == ask.After.Exists() || !ask.After.Exists() { // an update or a deletion: what changes
	} else { // of a new record, all that it holds
		fields = nil
		for i := range h.o.schemaNow().Entity(ask.Entity).Fields {
			fields = append(fields, h.o.schemaNow().Entity(ask.Entity).Fields[i].Name)
		}
	}
	if ask.After.Exists() {
		after := recordToWire(ask.After, sees)
		for _, name := range fields {
			if v, ok := after.Values[name]; ok {
				r.Values[name] = v
			} else if sees(name) && ask.Before.Exists() {
				r.Values[name] = &wirev1.Value{}
			}
		}
	}
	for name, value := range sofar { // what hooks before this one changed
		if v, err := shownToWire(value); err == nil && sees(name) {
			r.Values[name] = v
		}
	}
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
func (h *Host) hookValues(p *supervised, ask record.Ask, in map[string]*wirev1.Value) (record.Values, error) {
	if len(in) == 0 || ask.Act == record.ActDelete {
		return nil, nil
	}
	for name := range in {
		if !p.grants(h, access.Change, ask.Entity, name) {
			h.o.Log.Error("a plugin's hook changes what it may not", "plugin", p.m.ID, "entity", ask.Entity, "field", name)
			return nil, fault.New(fault.Unavailable, "plugin.hook-silent", "plugin", p.m.Name)
		}
	}
	return valuesFromWire(h.o.schemaNow().Entity(ask.Entity), in)
}
