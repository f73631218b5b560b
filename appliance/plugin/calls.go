package plugin

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/plugins/wire"
	"google.golang.org/grpc/metadata"
)

// What Options.Refused is told of.
const (
	refusedHandle = "call-unknown"     // a handle of a call that is not under way, or of another plugin's
	refusedGrant  = "not-granted"      // records, a secret or a file that the plugin was not granted
	refusedRate   = "too-many-calls"   // more calls than a plugin may make
	refusedSize   = "message-too-long" // a message over the limit of the line
)

// openCalls are the calls of a session that are made for people just now, by their handles.
type openCalls struct {
	mu     sync.Mutex
	actors map[string]access.Actor
}

func newOpenCalls() *openCalls { return &openCalls{actors: map[string]access.Actor{}} }

func (o *openCalls) open(a access.Actor) (handle string) {
	handle = string(wire.NewToken())
	o.mu.Lock()
	defer o.mu.Unlock()
	o.actors[handle] = a
	return handle
}

func (o *openCalls) end(handle string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.actors, handle)
}

func (o *openCalls) actor(handle string) (access.Actor, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	a, ok := o.actors[handle]
	return a, ok
}

// asCaller is a context for a call of the plugin that is made for the actor of ctx. Until done is called, the plugin may
// call back on his behalf. What the appliance or another plugin asks for is done by the plugin as itself: it gets no
// handle then.
func (s *session) asCaller(ctx context.Context) (call context.Context, done func()) {
	a := access.ActorFrom(ctx)
	if a.ID == "" || a.Role == access.System || a.Role == access.Plugin {
		return ctx, func() {}
	}
	handle := s.calls.open(a)
	return metadata.AppendToOutgoingContext(ctx, wire.CallKey, handle), func() { s.calls.end(handle) }
}

// acting gives a callback its actor: the person for whom the call is made that it names, or the plugin itself, and
// either within the plugin's grant.
func (c *callbacks) acting(ctx context.Context) (context.Context, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	handles := md.Get(wire.CallKey)
	if len(handles) == 0 {
		return access.WithGrant(c.actor(ctx), c.s.grant), nil
	}
	a, ok := c.s.calls.actor(handles[0])
	if !ok || len(handles) > 1 {
		c.refused(ctx, refusedHandle, nil)
		return nil, fault.New(fault.Forbidden, "plugin.call-ended")
	}
	return access.WithGrant(access.WithActor(ctx, a), c.s.grant), nil
}

// granted refuses what the plugin was not granted, whoever it acts for, and tells that it was tried.
func (c *callbacks) granted(ctx context.Context, verb access.Verb, entity string) error {
	if c.s.grant.Allows(verb, entity) {
		return nil
	}
	c.refused(ctx, refusedGrant, map[string]string{"permission": string(verb) + ":" + printable(wire.Cut(entity, 100))})
	return fault.New(fault.Forbidden, "plugin.not-granted", "permission", string(verb)+":"+printable(wire.Cut(entity, 100)))
}

// refused tells of something that a plugin tried and may not, the first time in a while.
func (c *callbacks) refused(ctx context.Context, what string, about map[string]string) {
	c.s.p.meter.refuse(what)
	c.s.limit.tell(what+" "+about["permission"], func() {
		h := c.s.p.host
		c.s.p.say(ctx, slog.LevelWarn, "a plugin was refused", slog.String("what", what), slog.Any("about", about))
		if h.o.Refused != nil {
			h.o.Refused(context.WithoutCancel(ctx), c.s.p.m.ID, what, about)
		}
	})
}

// grant is what the plugin of a manifest may do with records: what its permissions list, and everything with the
// entities and fields that it declares itself.
func (h *Host) grant(m *Manifest) *access.Granted {
	terms := access.Terms{
		Holder: "plugin:" + m.ID,
		Own: func(entity string) bool {
			return slices.ContainsFunc(m.Entities, func(e Entity) bool { return e.Name == entity })
		},
		OwnField: func(entity, field string) bool {
			return slices.ContainsFunc(m.Fields, func(f Field) bool { return f.Entity == entity && f.Name == field })
		},
	}
	if book := h.o.Book; book != nil {
		terms.Sensitive = func(entity, field string) bool {
			f := fieldOf(book.Schema(), entity, field)
			return f == nil || f.Sensitive
		}
	}
	for _, r := range m.Permissions.Records {
		g := access.GrantedRecords{Entity: r.Entity, Fields: r.Fields}
		for _, verb := range r.Verbs {
			g.Verbs = append(g.Verbs, access.Verb(verb))
		}
		terms.Records = append(terms.Records, g)
	}
	return access.NewGrant(terms)
}

// declares tells whether an entity is the plugin's own.
func (m *Manifest) declares(entity string) bool {
	return slices.ContainsFunc(m.Entities, func(e Entity) bool { return e.Name == entity })
}

func fieldOf(s *schema.Schema, entity, field string) *schema.Field {
	e := s.Entity(entity)
	if e == nil {
		return nil
	}
	return e.Field(field)
}
