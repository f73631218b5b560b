// Package access says who may do what, below every path to the data.
//
// casbin decides, and nobody outside sees it: rooms ask a Gate with Require, Scope, Filter and Fields. The built-in
// roles are text (policy.csv): role, entity, verb, scope, where "custom" stands for each kind of record that the office
// made itself. An office may make roles of its own, on a built-in one or on nothing: rules that stand before the built-in
// role's, conditions that records must meet, and fields that are hidden or read-only. What nothing grants is refused.
// Decisions are remembered until the policy changes, because asking casbin costs more than the read it guards.
//
// It owns the bucket access.policy (each version of the office's roles, whole) and the facts access.changed and
// access.reverted. It promises that a record that is not for the actor looks like one that does not exist, that a
// change of the policy counts from the next question on, that nobody makes a role that may do more than himself, and
// that a policy that cannot be read is refused at the start rather than guessed. Under a plugin's grant (WithGrant) every
// answer is no more than the grant and the actor's role both allow.
//
// It will not look at records itself: record and the rooms tell it whose an object is, with whom it is shared and
// whether it meets a condition, which access keeps as text only.
package access

import (
	"context"
	"slices"
	"strings"
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
	ShareIt    Verb = "share"      // lend one record to somebody whose it is not
	Forget     Verb = "forget"     // erase a person for good: what hangs on a customer, what it was, where it was found
	Receive    Verb = "receive"    // hand in what a channel brought
	Administer Verb = "administer" // of the entities "office" (plugins, backup, roles), "staff" and "schema"
)

// Verbs lists all verbs.
func Verbs() []Verb {
	return []Verb{See, Create, Change, Delete, Import, Export, Reply, Assign, ShareIt, Forget, Receive, Administer}
}

// verbCount is how many verbs there are.
const verbCount = 12

// place is the verb's place in Verbs, -1 for what is no verb.
func (v Verb) place() int {
	switch v {
	case See:
		return 0
	case Create:
		return 1
	case Change:
		return 2
	case Delete:
		return 3
	case Import:
		return 4
	case Export:
		return 5
	case Reply:
		return 6
	case Assign:
		return 7
	case ShareIt:
		return 8
	case Forget:
		return 9
	case Receive:
		return 10
	case Administer:
		return 11
	}
	return -1
}

// ofRecord tells whether the verb is done to a record that is there: it then reaches no further than See does, and can
// have a condition.
func (v Verb) ofRecord() bool {
	switch v {
	case See, Change, Delete, Export, Reply, Assign, ShareIt, Forget:
		return true
	}
	return false
}

// Scope is how far a permission reaches.
type Scope int

const (
	None Scope = iota // refused
	Own               // records that are the actor's
	Team              // records of the members of the actor's team, and his own
	All
)

// Role is a set of permissions with a name.
type Role string

const (
	Owner   Role = "owner"
	Manager Role = "manager"
	Agent   Role = "agent"  // sees and works on own customers only
	Viewer  Role = "viewer" // sees everything, changes nothing
	Plugin  Role = "plugin" // a plugin's process: hands in messages, and does what WithGrant grants it
	System  Role = "system" // the appliance itself: jobs, local commands, plugin host
)

// Roles lists the built-in roles that an account may have. Gate.Roles lists the office's own.
func Roles() []Role { return []Role{Owner, Manager, Agent, Viewer} }

// Actor is who acts: a person, a token, a plugin, or the appliance itself.
type Actor struct {
	ID   string // account id for people and their tokens, "plugin:<id>", or "system"
	Role Role
	Team string // id of the account's team, "" for none; what it grants is decided by what Gate.SetTeams said last
	Name string // for people to read
	Lang string // language of the pages: he, ru, en
}

// Appliance is the actor of what nobody asked for: jobs, start-up, commands on the machine itself.
func Appliance() Actor { return Actor{ID: "system", Role: System, Name: "Karov"} }

type actorKey struct{}

// acting is an actor, and the grant that limits him, nil for none. They stand in the context together, so that no new
// actor is limited by an old one's grant and none escapes his own.
type acting struct {
	Actor
	grant *Granted
}

// WithActor puts the actor into the context; every room reads it from there.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, acting{Actor: a})
}

// ActorFrom gives the context's actor. Without one it is the zero Actor, who may do nothing.
func ActorFrom(ctx context.Context) Actor { return actingFrom(ctx).Actor }

func actingFrom(ctx context.Context) acting {
	a, _ := ctx.Value(actorKey{}).(acting)
	return a
}

// Object is what an actor wants to act on. Owners are the accounts whose it is: its own owner and those of the records
// it hangs on. Without an Entity's record in question (a list, a count), ask Scope or Filter.
type Object struct {
	Entity string
	ID     string
	Owners []string
	Shares []Share
	// Meets tells whether the record meets a condition in the filter language. It is asked only where the actor's role
	// has one; a condition that cannot be read is not met, and nil meets none.
	Meets func(condition string) bool
}

// Share is the loan of one record to somebody whose it is not: he sees it and, with Change, changes it and replies.
// It reaches those only whose role has the verb for some records of the entity.
type Share struct {
	Subject string // an account's id, or TeamSubject of a team
	Change  bool
}

// Principal is under whom the shared record stands beside its owners: a team, or an account as one to whom something is
// lent. That is another than the account as an owner, or his whole team would see what was lent to him alone.
func (s Share) Principal() string {
	if strings.HasPrefix(s.Subject, TeamSubject("")) {
		return s.Subject
	}
	return "lent:" + s.Subject
}

// TeamSubject is the subject under which a share with a whole team stands.
func TeamSubject(team string) string { return "team:" + team }

// lends tells whether one of the shares gives one of the subjects the verb.
func lends(shares []Share, verb Verb, subjects ...string) bool {
	if verb != See && verb != Change && verb != Reply {
		return false
	}
	return slices.ContainsFunc(shares, func(s Share) bool {
		return (verb == See || s.Change) && slices.Contains(subjects, s.Subject)
	})
}
