package access

import (
	"cmp"
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/casbin/casbin/v2"
	"github.com/casbin/casbin/v2/model"
)

//go:embed policy.csv
var builtinText string

// modelText is of one role. Rules are in the order in which they count, so the first that speaks of the question
// answers it: what it grants stands in the role's list of grants under its number, and no text of an office is ever
// part of an expression.
const modelText = `
[request_definition]
r = entity, verb
[policy_definition]
p = entity, verb, number
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = (p.entity == "*" || r.entity == p.entity) && (p.verb == "*" || r.verb == p.verb)
`

// policy is the built-in roles and one version of the office's own. It is never changed, only replaced.
type policy struct {
	number uint64
	office []Rules
	roles  map[Role]*role
}

func newPolicy(number uint64, office []Rules) (*policy, error) {
	builtin, err := builtinGrants()
	if err != nil {
		return nil, err
	}
	p := &policy{number: number, office: office, roles: map[Role]*role{}}
	for name, grants := range builtin {
		p.roles[name] = newRole(ordered(grants), nil)
	}
	for _, r := range office {
		p.roles[r.Name] = newRole(append(ordered(r.Grants), ordered(builtin[r.Base])...), r.Fields)
	}
	return p, nil
}

// builtinGrants reads the text of the built-in roles.
func builtinGrants() (map[Role][]Grant, error) {
	grants := map[Role][]Grant{}
	for number, line := range strings.Split(builtinText, "\n") {
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
		g := Grant{Entity: parts[2], Verb: Verb(parts[3]), Scope: Scope(slices.Index(scopeNames, parts[4]))}
		if wrong := g.wrong(); wrong != "" {
			return nil, fmt.Errorf("policy line %d: %s", number+1, wrong)
		}
		grants[Role(parts[1])] = append(grants[Role(parts[1])], g)
	}
	return grants, nil
}

// ordered puts the grants that say more exactly what they are about first: entity and verb, then any verb of the
// entity, then the same of each entity that the office made, then the verb of any entity, then all.
func ordered(grants []Grant) []Grant {
	grants = slices.Clone(grants)
	vague := func(g Grant) (n int) {
		switch g.Entity {
		case wildcard:
			n += 4
		case custom:
			n += 2
		}
		if g.Verb == wildcard {
			n++
		}
		return n
	}
	slices.SortStableFunc(grants, func(a, b Grant) int { return cmp.Compare(vague(a), vague(b)) })
	return grants
}

const (
	// wildcard is what stands in a grant for each entity or verb.
	wildcard = "*"
	// custom is what stands in a grant for each entity that the office made itself. No entity has this name.
	custom = "custom"
)

// decision is what a role may do with a verb on an entity.
type decision struct {
	scope Scope
	where string
}

// role decides for one role and remembers what it decided: two cells for each entity that its grants name, one for when
// the office made it, and two for all others, so that questions about made-up names take no memory.
type role struct {
	grants   []Grant
	fields   map[string]*Fields
	entities map[string]int // place of the cells; 0 is of those not named
	decided  []atomic.Pointer[verdict]
}

// kind is an entity, and whether it is one that the office made.
type kind struct {
	name   string
	custom bool
}

// verdict is what a role may do with an entity, by the verb's place.
type verdict [verbCount]decision

func newRole(grants []Grant, rules []FieldRule) *role {
	r := &role{grants: grants, fields: map[string]*Fields{}, entities: map[string]int{}}
	for _, g := range grants {
		if _, known := r.entities[g.Entity]; !known && g.Entity != wildcard && g.Entity != custom {
			r.entities[g.Entity] = len(r.entities) + 1
		}
	}
	r.decided = make([]atomic.Pointer[verdict], 2*(len(r.entities)+1))
	for _, rule := range rules {
		if r.fields[rule.Entity] == nil {
			r.fields[rule.Entity] = &Fields{rights: map[string]Right{}}
		}
		r.fields[rule.Entity].rights[rule.Field] = rule.Right
	}
	return r
}

func (r *role) decide(verb Verb, of kind) decision {
	place := verb.place()
	if place < 0 {
		return decision{}
	}
	named := r.entities[of.name]
	at := 2 * named
	if of.custom {
		at++
	}
	v := r.decided[at].Load()
	if v == nil {
		var err error
		if named == 0 {
			of.name = "" // no grant names it: all such get the answer of one
		}
		if v, err = r.judge(of); err != nil {
			return decision{}
		}
		r.decided[at].Store(v) // another goroutine may have been first, with the same verdict
	}
	return v[place]
}

// judge decides about all verbs on an entity.
func (r *role) judge(of kind) (*verdict, error) {
	speak := make([]Grant, 0, 16)
	for _, g := range r.grants {
		if g.Entity == custom && of.custom {
			g.Entity = wildcard
		}
		if g.Entity == of.name || g.Entity == wildcard {
			speak = append(speak, g)
		}
	}
	v := &verdict{}
	if len(speak) == 0 {
		return v, nil
	}
	engine, err := newEngine(speak)
	if err != nil {
		return nil, err
	}
	for place, verb := range Verbs() {
		d, err := engine.granted(of.name, verb)
		if err != nil {
			return nil, err
		}
		if verb.ofRecord() && verb != See { // which is the first
			see := v[See.place()]
			d.scope, d.where = min(d.scope, see.scope), both(see.where, d.where)
		}
		if d.scope == None || !verb.ofRecord() {
			d.where = ""
		}
		v[place] = d
	}
	return v, nil
}

// within tells whether the role may do nothing that another may not: no verb further, no condition less, and it sees no
// field that is hidden from the other. What the office made counts as such and as not, since it may make more.
func (r *role) within(other *role) bool {
	entities := map[string]bool{"": true}
	for entity := range r.entities {
		entities[entity] = true
	}
	for entity := range other.entities {
		entities[entity] = true
	}
	for entity := range entities {
		if !r.staysIn(kind{entity, false}, other) || !r.staysIn(kind{entity, true}, other) {
			return false
		}
	}
	for entity, fields := range other.fields {
		if !r.touches(kind{entity, false}) && !r.touches(kind{entity, true}) {
			continue
		}
		for field := range fields.rights {
			mine := r.fields[entity]
			if !mine.ReadOnly(field) || fields.Hidden(field) && !mine.Hidden(field) {
				return false
			}
		}
	}
	return true
}

// staysIn tells whether no verb on an entity goes further than another role's.
func (r *role) staysIn(of kind, other *role) bool {
	for _, verb := range Verbs() {
		mine, his := r.decide(verb, of), other.decide(verb, of)
		if mine.scope > his.scope || mine.scope != None && his.where != "" && mine.where != his.where {
			return false
		}
	}
	return true
}

// touches tells whether the role has to do with records of an entity.
func (r *role) touches(of kind) bool {
	return r.decide(See, of).scope != None || r.decide(Create, of).scope != None
}

// both joins two conditions. Each was parsed by itself when it was set, so no parenthesis in one can reach the other.
func both(a, b string) string {
	switch {
	case a == "" || a == b:
		return b
	case b == "":
		return a
	}
	return "(" + a + ") and (" + b + ")"
}

// engine is casbin with the grants that speak of one entity.
type engine struct {
	*casbin.Enforcer
	grants []Grant
}

func newEngine(grants []Grant) (*engine, error) {
	m, err := model.NewModelFromString(modelText)
	if err != nil {
		return nil, fmt.Errorf("read access model: %w", err)
	}
	enforcer, err := casbin.NewEnforcer(m)
	if err != nil {
		return nil, fmt.Errorf("make enforcer: %w", err)
	}
	rules := make([][]string, len(grants))
	for i, g := range grants {
		rules[i] = []string{g.Entity, string(g.Verb), strconv.Itoa(i)}
	}
	if _, err := enforcer.AddPolicies(rules); err != nil {
		return nil, fmt.Errorf("add grants: %w", err)
	}
	return &engine{enforcer, grants}, nil
}

// granted asks which grant speaks of the verb on the entity.
func (e *engine) granted(entity string, verb Verb) (decision, error) {
	found, rule, err := e.EnforceEx(entity, string(verb))
	if err != nil || !found {
		return decision{}, err
	}
	number, err := strconv.Atoi(rule[2])
	if err != nil {
		return decision{}, err
	}
	return decision{scope: max(e.grants[number].Scope, None), where: e.grants[number].Where}, nil
}
