package access

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

// Limits of the office's own roles.
const (
	maxRoles = 100
	maxRules = 10_000 // grants and field rules of all of them together
	maxWhere = 4 << 10
	maxLabel = 100
)

// Rules are a role of the office's own. What its grants do not speak of is as its base grants it.
type Rules struct {
	Name   Role              `json:"name"`
	Labels map[string]string `json:"labels,omitempty"` // its name for people, by language
	Base   Role              `json:"base,omitempty"`   // a built-in role, "" for nothing
	Grants []Grant           `json:"grants,omitempty"`
	Fields []FieldRule       `json:"fields,omitempty"`
}

// Grant says how far a verb on an entity reaches; "*" stands for each verb or entity, "custom" for each entity that the
// office made itself. Of two that speak of the same, the one that names more counts.
type Grant struct {
	Entity string `json:"entity"`
	Verb   Verb   `json:"verb"`
	Scope  Scope  `json:"scope"`
	Where  string `json:"where,omitempty"` // a condition in the filter language that records must meet besides
}

// FieldRule takes a field of an entity away from a role, or its writing.
type FieldRule struct {
	Entity string `json:"entity"`
	Field  string `json:"field"`
	Right  Right  `json:"right"`
}

var scopeNames = []string{"none", "own", "team", "all"}

// String gives the scope's name.
func (s Scope) String() string {
	if s < 0 || int(s) >= len(scopeNames) {
		return scopeNames[None]
	}
	return scopeNames[s]
}

// MarshalText writes the scope by name.
func (s Scope) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a scope's name. One that is none is read as no scope at all, so that who checks the rules can say
// in which of them it stands.
func (s *Scope) UnmarshalText(text []byte) error {
	*s = Scope(slices.Index(scopeNames, string(text)))
	return nil
}

var (
	roleShape   = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	entityShape = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$`)
	fieldShape  = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)

// reserved are names that mean something already.
var reserved = []Role{Owner, Manager, Agent, Viewer, Plugin, System, "team", "nobody", "everybody"}

// name says why the text cannot be the name of a role of the office's own, "" when it can.
func (r Role) wrong() string {
	switch {
	case len(r) > 40 || !roleShape.MatchString(string(r)):
		return "role.name"
	case slices.Contains(reserved, r):
		return "role.reserved"
	}
	return ""
}

// wrong says what is wrong with a grant, as the key of a sentence, "" for nothing.
func (g Grant) wrong() string {
	switch {
	case g.Entity != wildcard && (len(g.Entity) > 100 || !entityShape.MatchString(g.Entity)):
		return "role.entity"
	case g.Verb != wildcard && g.Verb.place() < 0:
		return "role.verb"
	case g.Scope < None || g.Scope > All:
		return "role.scope"
	case g.Where == "":
		return ""
	case g.Scope == None || g.Entity == wildcard || g.Entity == custom || g.Verb != wildcard && !g.Verb.ofRecord():
		return "role.where-for-nothing"
	case len(g.Where) > maxWhere || !printable(g.Where):
		return "role.where"
	}
	return ""
}

// wrong says what is wrong with a field rule.
func (f FieldRule) wrong() string {
	switch {
	case len(f.Entity) > 100 || !entityShape.MatchString(f.Entity):
		return "role.entity"
	case len(f.Field) > 100 || !fieldShape.MatchString(f.Field):
		return "role.field"
	case f.Right != Hide && f.Right != ReadOnly:
		return "role.right"
	}
	return ""
}

// printable tells whether a text has nothing in it that a person cannot see.
func printable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == utf8.RuneError
	})
}

// check looks for contradictions in a role by itself. What its texts mean, CheckWhere and CheckField tell.
func (r Rules) check() error {
	var wrong []fault.Field
	add := func(name, key, about string) {
		if key != "" && len(wrong) < 20 {
			wrong = append(wrong, fault.Field{Name: name, Key: key, Params: map[string]string{"value": about}})
		}
	}
	add("name", r.Name.wrong(), string(r.Name))
	if r.Base != "" && !slices.Contains(Roles(), r.Base) {
		add("base", "role.base", string(r.Base))
	}
	for lang, label := range r.Labels {
		if len(lang) != 2 || label == "" || utf8.RuneCountInString(label) > maxLabel || !printable(label) {
			add("labels", "role.label", lang)
		}
	}
	said := map[string]bool{}
	once := func(list string, i int, key, what string) {
		if key == "" && said[what] {
			key = "role.twice"
		}
		said[what] = true
		add(fmt.Sprintf("%s[%d]", list, i), key, what)
	}
	for i, g := range r.Grants {
		once("grants", i, g.wrong(), string(g.Verb)+":"+g.Entity)
	}
	for i, f := range r.Fields {
		once("fields", i, f.wrong(), f.Entity+"."+f.Field)
	}
	if len(wrong) > 0 {
		return &fault.Error{Kind: fault.Invalid, Key: "input.invalid", Fields: wrong}
	}
	return nil
}

// ErrNoRole is what ParseRole answers to a name that is no role.
var ErrNoRole = errors.New("no such role")

// ParseRole reads the name of a role that an account may have: built-in, or the office's own.
func (g *Gate) ParseRole(name string) (Role, error) {
	if slices.Contains(Roles(), Role(name)) || g.policy.Load().rules(Role(name)) != nil {
		return Role(name), nil
	}
	return "", fault.Wrap(ErrNoRole, fault.Invalid, "role.unknown", "role", name)
}

// ParseRoleTx is ParseRole by what stands in the transaction, so that a role cannot go while somebody is given it.
func (g *Gate) ParseRoleTx(tx store.Tx, name string) (Role, error) {
	if slices.Contains(Roles(), Role(name)) || g.options.DB == nil {
		return g.ParseRole(name)
	}
	last, err := newest(tx)
	if err != nil {
		return "", err
	}
	if _, known := slices.BinarySearchFunc(last.Roles, Role(name), byName); known {
		return Role(name), nil
	}
	return "", fault.Wrap(ErrNoRole, fault.Invalid, "role.unknown", "role", name)
}

// rules finds a role of the office's own, nil where there is none.
func (p *policy) rules(name Role) *Rules {
	for i := range p.office {
		if p.office[i].Name == name {
			return &p.office[i]
		}
	}
	return nil
}
