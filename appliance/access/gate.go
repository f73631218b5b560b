package access

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/karov-crm/karov/appliance/fault"
)

// Gate answers whether an actor may act. It is safe for use from any goroutine, and asks without a lock.
type Gate struct {
	options Options
	swap    sync.Mutex // held while a newer policy takes the place of the one before
	policy  atomic.Pointer[policy]
	teams   atomic.Pointer[teams]
	custom  atomic.Pointer[map[string]bool]
}

// NewGate makes the gate of the built-in policy, which cannot be changed. The appliance opens one with OpenGate.
func NewGate() (*Gate, error) {
	p, err := newPolicy(0, nil)
	if err != nil {
		return nil, err
	}
	g := &Gate{}
	g.policy.Store(p)
	g.SetTeams(nil)
	g.SetCustom(nil)
	return g, nil
}

// Scope says how far the actor's permission for verb on entity reaches. A verb that is done to records reaches no
// further than See does.
func (g *Gate) Scope(ctx context.Context, verb Verb, entity string) Scope {
	return g.decide(actingFrom(ctx), verb, entity).scope
}

// Where gives the condition, in the filter language, that a record must meet besides for the actor to do verb to it,
// that of See included; "" for none.
func (g *Gate) Where(ctx context.Context, verb Verb, entity string) string {
	return g.decide(actingFrom(ctx), verb, entity).where
}

// decide says what the actor may do, within his grant. What is remembered is of roles alone.
func (g *Gate) decide(a acting, verb Verb, entity string) decision {
	switch {
	case a.grant == nil, a.Role == Plugin && verb == Receive:
		return g.ofRole(a.Role, verb, entity)
	case !a.grant.Allows(verb, entity):
		return decision{}
	case a.Role != Plugin:
		return g.ofRole(a.Role, verb, entity)
	case a.ID == a.grant.holder:
		return decision{scope: All}
	}
	return decision{}
}

func (g *Gate) ofRole(name Role, verb Verb, entity string) decision {
	if name == System {
		return decision{scope: All}
	}
	r := g.policy.Load().roles[name]
	if r == nil {
		return decision{}
	}
	return r.decide(verb, kind{entity, (*g.custom.Load())[entity]})
}

// Allowed tells whether the actor may do verb to the object.
func (g *Gate) Allowed(ctx context.Context, verb Verb, o Object) bool {
	actor := actingFrom(ctx)
	d := g.decide(actor, verb, o.Entity)
	if d.scope == None || d.where != "" && o.ID != "" && (o.Meets == nil || !o.Meets(d.where)) {
		return false
	}
	if d.scope == All {
		return true
	}
	if actor.ID == "" {
		return false
	}
	if slices.Contains(o.Owners, actor.ID) {
		return true
	}
	t := g.teams.Load()
	team := t.of[actor.ID]
	if team == "" {
		return lends(o.Shares, verb, actor.ID)
	}
	if d.scope == Team && slices.ContainsFunc(o.Owners, func(id string) bool { return t.of[id] == team }) {
		return true
	}
	return lends(o.Shares, verb, actor.ID, TeamSubject(team))
}

// Require refuses what is not allowed. An object that the actor may not even see is NotFound; one he sees but may not
// act on is Forbidden. Without an actor it is Unauthenticated.
func (g *Gate) Require(ctx context.Context, verb Verb, o Object) error {
	if g.Allowed(ctx, verb, o) {
		return nil
	}
	if ActorFrom(ctx).ID == "" {
		return fault.New(fault.Unauthenticated, "access.sign-in")
	}
	if o.ID != "" && !g.Allowed(ctx, See, o) {
		return fault.Missing(o.Entity, o.ID)
	}
	return fault.New(fault.Forbidden, "access.forbidden", "permission", string(verb)+":"+o.Entity)
}

// Filter is what of an entity an actor may see in lists, counts and searches.
type Filter struct {
	All bool
	// Principals, when not All: the accounts whose records he sees, and the principals of shares with him.
	Principals []string
	// Where is a condition in the filter language that records must meet besides, also with All; "" for none. One that
	// cannot be read is met by nothing.
	Where string
}

// Filter gives the actor's filter for an entity. Someone who may see nothing at all gets a Forbidden fault.
func (g *Gate) Filter(ctx context.Context, entity string) (Filter, error) {
	return g.FilterFor(ctx, See, entity)
}

// FilterFor is Filter for another verb than See, as Export: it gives no more than Filter does. Of a share it does not
// tell whether it is one to change: ask Allowed for each record before changing it.
func (g *Gate) FilterFor(ctx context.Context, verb Verb, entity string) (Filter, error) {
	actor := actingFrom(ctx)
	d := g.decide(actor, verb, entity)
	if d.scope == All {
		return Filter{All: true, Where: d.where}, nil
	}
	if d.scope == None || actor.ID == "" {
		return Filter{}, g.Require(ctx, verb, Object{Entity: entity})
	}
	return Filter{Principals: g.principals(actor.ID, d.scope), Where: d.where}, nil
}

// principals lists whose records, and which shares, an actor's own or team scope reaches.
func (g *Gate) principals(id string, scope Scope) []string {
	t := g.teams.Load()
	lent := Share{Subject: id}.Principal()
	team := t.of[id]
	switch {
	case team == "":
		return []string{id, lent}
	case scope == Team:
		return append(slices.Clip(t.members[team]), lent, TeamSubject(team))
	}
	return []string{id, lent, TeamSubject(team)}
}

// Members lists the accounts of the actor's team, himself among them; himself alone when he is in none.
func (g *Gate) Members(ctx context.Context) []string {
	id := ActorFrom(ctx).ID
	t := g.teams.Load()
	if team := t.of[id]; team != "" {
		return t.members[team]
	}
	if id == "" {
		return nil
	}
	return []string{id}
}

// Fields gives the fields of an entity that the actor may not read or write; nil restricts nothing.
func (g *Gate) Fields(ctx context.Context, entity string) *Fields {
	a := actingFrom(ctx)
	fields := g.fieldsOf(a.Role, entity)
	if a.grant == nil || a.grant.own(entity) {
		return fields
	}
	within := Fields{entity: entity, grant: a.grant}
	if fields != nil {
		within.rights, within.every = fields.rights, fields.every
	}
	return &within
}

func (g *Gate) fieldsOf(name Role, entity string) *Fields {
	if name == System {
		return nil
	}
	if r := g.policy.Load().roles[name]; r != nil {
		return r.fields[entity]
	}
	return &Fields{every: true}
}

// teams is who is in which team. It is never changed, only replaced.
type teams struct {
	of      map[string]string   // account to team
	members map[string][]string // team to its accounts, in order
}

// SetTeams says anew which accounts are in which team. It counts from the next question on.
func (g *Gate) SetTeams(of map[string]string) {
	t := &teams{of: map[string]string{}, members: map[string][]string{}}
	for account, team := range of {
		if account != "" && team != "" {
			t.of[account] = team
			t.members[team] = append(t.members[team], account)
		}
	}
	for _, accounts := range t.members {
		slices.Sort(accounts)
	}
	g.teams.Store(t)
}

// SetCustom says anew which entities the office made itself. It counts from the next question on.
func (g *Gate) SetCustom(entities []string) {
	made := make(map[string]bool, len(entities))
	for _, name := range entities {
		made[name] = true
	}
	g.custom.Store(&made)
}
