package access

import (
	"context"
	"slices"
	"strings"
)

// GrantedRecords is a right of a plugin to records of one entity.
type GrantedRecords struct {
	Entity string
	Verbs  []Verb
	Fields []string // the fields it may read and write; empty for all that are not sensitive
}

// Terms are what a plugin asks for and an administrator approved.
type Terms struct {
	Holder  string // "plugin:<id>"
	Records []GrantedRecords

	// Own tells the plugin's own entities, with which it may do everything; OwnField its own fields of others' entities,
	// which it may read and write wherever it may have the record. Nil tells none.
	Own      func(entity string) bool
	OwnField func(entity, field string) bool
	// Sensitive tells the fields that must be named to be granted. Nil tells all, so that nothing is granted unnamed.
	Sensitive func(entity, field string) bool
}

// Granted is what a plugin may do at most, with whatever rights somebody has on whose behalf it acts. Nothing changes it.
type Granted struct {
	holder    string
	entities  map[string]grantedEntity
	own       func(entity string) bool
	ownField  func(entity, field string) bool
	sensitive func(entity, field string) bool
}

// grantedEntity is what is granted of one entity.
type grantedEntity struct {
	verbs  [verbCount]bool
	fields []string // empty for all that are not sensitive
}

// NewGrant makes a grant. Of two lines for one entity the verbs and the named fields count together. Only See, Create,
// Change and Delete can be granted; another verb among them is as if it were not there.
func NewGrant(t Terms) *Granted {
	none := func(string) bool { return false }
	g := &Granted{holder: t.Holder, entities: map[string]grantedEntity{}, own: t.Own, ownField: t.OwnField, sensitive: t.Sensitive}
	if g.own == nil {
		g.own = none
	}
	if g.ownField == nil {
		g.ownField = func(string, string) bool { return false }
	}
	if g.sensitive == nil {
		g.sensitive = func(string, string) bool { return true }
	}
	for _, r := range t.Records {
		e := g.entities[r.Entity]
		for _, verb := range r.Verbs {
			if slices.Contains([]Verb{See, Create, Change, Delete}, verb) {
				e.verbs[verb.place()] = true
			}
		}
		e.fields = append(slices.Clip(e.fields), r.Fields...)
		g.entities[r.Entity] = e
	}
	return g
}

// Holder is who has the grant, "plugin:<id>".
func (g *Granted) Holder() string { return g.holder }

// Allows tells whether the grant speaks of the verb on the entity. A verb that is done to records needs See as well.
func (g *Granted) Allows(verb Verb, entity string) bool {
	place := verb.place()
	if place < 0 {
		return false
	}
	if g.own(entity) {
		return true
	}
	e, named := g.entities[entity]
	return named && e.verbs[place] && (!verb.ofRecord() || e.verbs[See.place()])
}

// AllowsField tells whether the grant speaks of the verb on the entity, and of one of its fields.
func (g *Granted) AllowsField(verb Verb, entity, field string) bool {
	return g.Allows(verb, entity) && !g.hides(entity, field)
}

// hides tells whether a field is not granted. It is asked for each field of each record that is read.
func (g *Granted) hides(entity, field string) bool {
	if g == nil || g.own(entity) {
		return false
	}
	e, named := g.entities[entity]
	switch {
	case !named:
		return true
	case g.ownField(entity, field):
		return false
	case len(e.fields) > 0:
		return !slices.Contains(e.fields, field)
	}
	return g.sensitive(entity, field)
}

// WithGrant limits the context's actor to what the grant allows besides: from then on a Gate answers only what both do.
// The actor of a plugin that acts for itself, of the role Plugin, has no rights to records but these. WithActor says anew
// who acts, without a grant; a grant in a context that has one takes its place.
func WithGrant(ctx context.Context, g *Granted) context.Context {
	return context.WithValue(ctx, actorKey{}, acting{ActorFrom(ctx), g})
}

// PluginFrom gives the id of the plugin under whose grant the context's actor acts, "" where there is none.
func PluginFrom(ctx context.Context) string {
	if g := actingFrom(ctx).grant; g != nil {
		return strings.TrimPrefix(g.holder, "plugin:")
	}
	return ""
}

// Via gives the holder of the context's grant where that is not the actor himself, "" otherwise: with it a fact says by
// whom somebody let it be done.
func Via(ctx context.Context) string {
	if a := actingFrom(ctx); a.grant != nil && a.grant.holder != a.ID {
		return a.grant.holder
	}
	return ""
}
