// Package access says who may do what, below every path to the data.
//
// casbin decides, and nobody outside sees it: rooms ask a Gate with Require, Scope and Filter. The policy is text
// (policy.csv): role, entity, verb, scope; what it does not grant is refused. Decisions are remembered until the policy
// changes, because asking casbin costs more than the read it guards.
//
// It promises that a record that is not for the actor looks like one that does not exist. It owns no bucket yet: the
// four roles are built in. It will not look at records itself: record and the rooms tell it whose an object is.
package access

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/casbin/casbin/v2"
	"github.com/casbin/casbin/v2/model"

	"github.com/karov-crm/karov/appliance/fault"
)

// Verb is an act on records of an entity. A permission's name is "verb:entity", as "reply:conversation".
type Verb string

const (
	See        Verb = "see"
	Create     Verb = "create"
	Change     Verb = "change"
	Delete     Verb = "delete"
	Import     Verb = "import"
	Export     Verb = "export"
	Reply      Verb = "reply"
	Assign     Verb = "assign"
	Receive    Verb = "receive"    // hand in what a channel brought
	Administer Verb = "administer" // of the entity "office": staff, plugins, backup
)

// Scope is how far a permission reaches.
type Scope int

const (
	None Scope = iota // refused
	Own               // records that are the actor's
	All
)

// Role is a set of permissions with a name.
type Role string

const (
	Owner   Role = "owner"
	Manager Role = "manager"
	Agent   Role = "agent"  // sees and works on own customers only
	Viewer  Role = "viewer" // sees everything, changes nothing
	Plugin  Role = "plugin" // a plugin's process: hands in messages, sees nothing
	System  Role = "system" // the appliance itself: jobs, local commands, plugin host
)

// Roles lists the roles that an account may have.
func Roles() []Role { return []Role{Owner, Manager, Agent, Viewer} }

// Actor is who acts: a person, a token, a plugin, or the appliance itself.
type Actor struct {
	ID   string // account id for people and their tokens, "plugin:<id>", or "system"
	Role Role
	Name string // for people to read
	Lang string // language of the pages: he, ru, en
}

// Appliance is the actor of what nobody asked for: jobs, start-up, commands on the machine itself.
func Appliance() Actor { return Actor{ID: "system", Role: System, Name: "Karov"} }

type actorKey struct{}

// WithActor puts the actor into the context; every room reads it from there.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorFrom gives the context's actor. Without one it is the zero Actor, who may do nothing.
func ActorFrom(ctx context.Context) Actor {
	a, _ := ctx.Value(actorKey{}).(Actor)
	return a
}

// Object is what an actor wants to act on. Owners are the accounts whose it is: its own owner and those of the records
// it hangs on. Without an Entity's record in question (a list, a count), ask Scope.
type Object struct {
	Entity string
	ID     string
	Owners []string
}

//go:embed policy.csv
var policyText string

const modelText = `
[request_definition]
r = role, entity, verb, scope
[policy_definition]
p = role, entity, verb, scope
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.role == p.role && (p.entity == "*" || r.entity == p.entity) && (p.verb == "*" || r.verb == p.verb) && r.scope == p.scope
`

// Gate answers whether an actor may act. It is safe for use from any goroutine.
type Gate struct {
	mu       sync.RWMutex
	enforcer *casbin.Enforcer
	decided  map[question]Scope
}

type question struct {
	role   Role
	entity string
	verb   Verb
}

// NewGate makes the gate of the built-in policy.
func NewGate() (*Gate, error) {
	m, err := model.NewModelFromString(modelText)
	if err != nil {
		return nil, fmt.Errorf("read access model: %w", err)
	}
	enforcer, err := casbin.NewEnforcer(m)
	if err != nil {
		return nil, fmt.Errorf("make enforcer: %w", err)
	}
	for number, line := range strings.Split(policyText, "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.Split(line, ",")
		for i := range parts {
			parts[i] = strings.TrimSpace(parts[i])
		}
		if len(parts) != 5 || parts[0] != "p" {
			return nil, fmt.Errorf("policy line %d: %q is not p, role, entity, verb, scope", number+1, line)
		}
		if _, err := enforcer.AddPolicy(parts[1], parts[2], parts[3], parts[4]); err != nil {
			return nil, fmt.Errorf("policy line %d: %w", number+1, err)
		}
	}
	return &Gate{enforcer: enforcer, decided: map[question]Scope{}}, nil
}

// Scope says how far the actor's permission for verb on entity reaches.
func (g *Gate) Scope(ctx context.Context, verb Verb, entity string) Scope {
	return g.decide(question{ActorFrom(ctx).Role, entity, verb})
}

func (g *Gate) decide(q question) Scope {
	if q.role == System {
		return All
	}
	g.mu.RLock()
	scope, ok := g.decided[q]
	g.mu.RUnlock()
	if ok {
		return scope
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, try := range []struct {
		name  string
		scope Scope
	}{{"all", All}, {"own", Own}} {
		granted, err := g.enforcer.Enforce(string(q.role), q.entity, string(q.verb), try.name)
		if err == nil && granted {
			scope = try.scope
			break
		}
	}
	g.decided[q] = scope
	return scope
}

// Allowed tells whether the actor may do verb to the object.
func (g *Gate) Allowed(ctx context.Context, verb Verb, o Object) bool {
	switch g.Scope(ctx, verb, o.Entity) {
	case All:
		return true
	case Own:
		id := ActorFrom(ctx).ID
		return id != "" && slices.Contains(o.Owners, id)
	}
	return false
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
	All   bool
	Owner string // when not All: only records whose it is; "" is nobody's
}

// Filter gives the actor's filter for an entity. Someone who may see nothing at all gets a Forbidden fault.
func (g *Gate) Filter(ctx context.Context, entity string) (Filter, error) {
	switch g.Scope(ctx, See, entity) {
	case All:
		return Filter{All: true}, nil
	case Own:
		if id := ActorFrom(ctx).ID; id != "" {
			return Filter{Owner: id}, nil
		}
	}
	return Filter{}, g.Require(ctx, See, Object{Entity: entity})
}

// ErrNoRole is what ParseRole answers to a name that is no role.
var ErrNoRole = errors.New("no such role")

// ParseRole reads the name of a role that an account may have.
func ParseRole(name string) (Role, error) {
	if slices.Contains(Roles(), Role(name)) {
		return Role(name), nil
	}
	return "", fault.Wrap(ErrNoRole, fault.Invalid, "role.unknown", "role", name)
}
