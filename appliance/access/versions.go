package access

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

const policyBucket = "access.policy"

// Options are what the appliance's gate stands on. Its functions are called after the appliance is put together.
type Options struct {
	DB  store.DB
	Now func() time.Time
	// Tell appends a fact about a role to the journal, which imports this package and so is not known here.
	Tell func(ctx context.Context, tx store.Tx, fact, role string, about map[string]string) error
	// CheckWhere refuses a condition that the entity's records cannot be asked. Without it no condition can be set.
	CheckWhere func(entity, condition string) error
	// CheckField refuses a field that the entity does not have. Without it no field can be taken away.
	CheckField func(entity, field string) error
	// Holders counts the accounts that have a role.
	Holders func(tx store.Tx, role Role) (int, error)
}

// Version is one state of the office's roles: who made it, when, and by what.
type Version struct {
	Number uint64    `json:"number"`
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Act    string    `json:"act"`            // set, removed or reverted
	Role   Role      `json:"role,omitempty"` // that was set or removed
	To     uint64    `json:"to,omitempty"`   // the version that was brought back
	Roles  []Rules   `json:"roles"`          // all of the office's own, by name
}

// OpenGate makes the gate of the built-in policy and the office's own roles. A stored policy that cannot be read is an
// error, since without it nobody can tell what was taken away from whom.
func OpenGate(ctx context.Context, o Options) (*Gate, error) {
	var last Version
	err := o.DB.View(ctx, func(tx store.Tx) (err error) {
		last, err = newest(tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	p, err := newPolicy(last.Number, last.Roles)
	if err != nil {
		return nil, err
	}
	g := &Gate{options: o}
	g.policy.Store(p)
	g.SetTeams(nil)
	g.SetCustom(nil)
	return g, nil
}

func numberKey(number uint64) []byte { return binary.BigEndian.AppendUint64(nil, number) }

// newest reads the version that counts, number 0 where the office never made a role.
func newest(tx store.Tx) (Version, error) {
	for key, raw := range tx.Bucket(policyBucket).Scan(nil, nil, true) {
		return readVersion(key, raw)
	}
	return Version{}, nil
}

func readVersion(key, raw []byte) (v Version, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields() // what is not understood may be what keeps somebody out
	err = d.Decode(&v)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("text after the end")
		}
	}
	if err == nil && !bytes.Equal(key, numberKey(v.Number)) {
		err = errors.New("it is under another number")
	}
	if err == nil {
		err = checkAll(v.Roles)
	}
	if err != nil {
		return Version{}, fault.Wrap(err, fault.Internal, "store.damaged", "what", policyBucket)
	}
	return v, nil
}

// checkAll looks for contradictions in a whole set of roles.
func checkAll(roles []Rules) error {
	rules := 0
	for i, r := range roles {
		if err := r.check(); err != nil {
			return err
		}
		if i > 0 && roles[i-1].Name >= r.Name {
			return fault.InvalidField("name", "role.twice", "value", r.Name)
		}
		rules += len(r.Grants) + len(r.Fields)
	}
	if len(roles) > maxRoles || rules > maxRules {
		return fault.New(fault.TooLarge, "role.too-many", "roles", maxRoles, "rules", maxRules)
	}
	return nil
}

// Policy gives the version of the office's own roles that counts, to those who may see the staff or administer.
func (g *Gate) Policy(ctx context.Context) (v Version, err error) {
	if err := g.mayRead(ctx); err != nil {
		return Version{}, err
	}
	if g.options.DB == nil {
		return Version{}, nil
	}
	err = g.options.DB.View(ctx, func(tx store.Tx) error {
		v, err = newest(tx)
		return err
	})
	return v, err
}

// BuiltIn gives the text of a built-in role as rules; those of a name that is none are empty.
func (g *Gate) BuiltIn(name Role) Rules {
	r := Rules{Name: name}
	if role := g.policy.Load().roles[name]; role != nil && slices.Contains(Roles(), name) {
		r.Grants = slices.Clone(role.grants)
	}
	return r
}

func (g *Gate) mayRead(ctx context.Context) error {
	if g.Scope(ctx, Administer, "office") == All {
		return nil
	}
	return g.Require(ctx, See, Object{Entity: "staff"})
}

// Versions lists all versions, newest first.
func (g *Gate) Versions(ctx context.Context) (all []Version, err error) {
	if err := g.mayRead(ctx); err != nil || g.options.DB == nil {
		return nil, err
	}
	err = g.options.DB.View(ctx, func(tx store.Tx) error {
		for key, raw := range tx.Bucket(policyBucket).Scan(nil, nil, true) {
			v, err := readVersion(key, raw)
			if err != nil {
				return err
			}
			all = append(all, v)
		}
		return nil
	})
	return all, err
}

// SetRole makes a role of the office's own, or gives it other rules. Seen is the number of the version that the caller
// looked at; another one by now is a Conflict. It counts from the next question on.
func (g *Gate) SetRole(ctx context.Context, seen uint64, r Rules) (Version, error) {
	if err := g.mayChange(ctx); err != nil {
		return Version{}, err
	}
	r.Grants, r.Fields = slices.Clone(r.Grants), slices.Clone(r.Fields)
	if err := errors.Join(r.check(), g.checkMeaning(r)); err != nil {
		return Version{}, err
	}
	return g.alter(ctx, seen, Version{Act: "set", Role: r.Name}, func(_ store.Tx, roles []Rules) ([]Rules, error) {
		i, known := slices.BinarySearchFunc(roles, r.Name, byName)
		if known {
			roles[i] = r
			return roles, nil
		}
		return slices.Insert(roles, i, r), nil
	})
}

// RemoveRole takes a role away. One that somebody has is a Conflict.
func (g *Gate) RemoveRole(ctx context.Context, seen uint64, name Role) (Version, error) {
	if err := g.mayChange(ctx); err != nil {
		return Version{}, err
	}
	return g.alter(ctx, seen, Version{Act: "removed", Role: name}, func(tx store.Tx, roles []Rules) ([]Rules, error) {
		i, known := slices.BinarySearchFunc(roles, name, byName)
		if !known {
			return nil, fault.Missing("role", string(name))
		}
		return slices.Delete(roles, i, i+1), nil
	})
}

// Revert brings the roles back to how they stood in an older version; 0 is that of no roles. It is a new version.
func (g *Gate) Revert(ctx context.Context, seen, to uint64) (Version, error) {
	if err := g.mayChange(ctx); err != nil {
		return Version{}, err
	}
	return g.alter(ctx, seen, Version{Act: "reverted", To: to}, func(tx store.Tx, _ []Rules) ([]Rules, error) {
		if to == 0 {
			return nil, nil
		}
		raw := tx.Bucket(policyBucket).Get(numberKey(to))
		if raw == nil {
			return nil, fault.Missing("policy", strconv.FormatUint(to, 10))
		}
		v, err := readVersion(numberKey(to), raw)
		return v.Roles, err
	})
}

func byName(r Rules, name Role) int { return strings.Compare(string(r.Name), string(name)) }

func (g *Gate) mayChange(ctx context.Context) error {
	if err := g.Require(ctx, Administer, Object{Entity: "office"}); err != nil {
		return err
	}
	if g.options.DB == nil {
		return fault.New(fault.Conflict, "role.built-in-only")
	}
	return nil
}

// checkMeaning asks the schema about the conditions and fields of a role.
func (g *Gate) checkMeaning(r Rules) error {
	for i, grant := range r.Grants {
		if grant.Where == "" {
			continue
		}
		name := fmt.Sprintf("grants[%d].where", i)
		if g.options.CheckWhere == nil {
			return fault.InvalidField(name, "role.where", "value", grant.Where)
		}
		if err := g.options.CheckWhere(grant.Entity, grant.Where); err != nil {
			return in(name, err)
		}
	}
	for i, rule := range r.Fields {
		name := fmt.Sprintf("fields[%d]", i)
		if g.options.CheckField == nil {
			return fault.InvalidField(name, "role.field", "value", rule.Entity+"."+rule.Field)
		}
		if err := g.options.CheckField(rule.Entity, rule.Field); err != nil {
			return in(name, err)
		}
	}
	return nil
}

// in says of a fault in which part of the role it is.
func in(name string, err error) error {
	f := *fault.Of(err)
	if f.Kind != fault.Invalid {
		return err
	}
	fields := slices.Clone(f.Fields)
	if len(fields) == 0 {
		fields = []fault.Field{{Key: f.Key, Params: f.Params}}
	}
	for i := range fields {
		fields[i].Name = name
	}
	return &fault.Error{Kind: fault.Invalid, Key: "input.invalid", Fields: fields, Err: err}
}

// alter stores a new version and lets it count once it is durable.
func (g *Gate) alter(ctx context.Context, seen uint64, made Version, change func(store.Tx, []Rules) ([]Rules, error)) (Version, error) {
	err := g.options.DB.Update(ctx, func(tx store.Tx) error {
		last, err := newest(tx)
		if err != nil {
			return err
		}
		if last.Number != seen {
			return fault.New(fault.Conflict, "role.changed-meanwhile", "version", last.Number)
		}
		before := last.Roles
		if made.Roles, err = change(tx, slices.Clone(before)); err != nil {
			return err
		}
		made.Number, made.At, made.By = last.Number+1, g.options.Now().UTC().Truncate(time.Millisecond), ActorFrom(ctx).ID
		p, err := g.replaces(ctx, tx, before, made)
		if err != nil {
			return err
		}
		raw, err := json.Marshal(made)
		if err != nil {
			return err
		}
		if err := g.tell(ctx, tx, made); err != nil {
			return err
		}
		tx.Bucket(policyBucket).Put(numberKey(made.Number), raw)
		tx.OnCommit(func() { g.count(p) })
		return nil
	})
	if err != nil {
		return Version{}, err
	}
	return made, nil
}

// replaces makes the policy of a new version, unless it gives or takes what the actor may not.
func (g *Gate) replaces(ctx context.Context, tx store.Tx, before []Rules, made Version) (*policy, error) {
	if err := checkAll(made.Roles); err != nil {
		return nil, err
	}
	p, err := newPolicy(made.Number, made.Roles)
	if err != nil {
		return nil, err
	}
	old, err := newPolicy(made.Number-1, before)
	if err != nil {
		return nil, err
	}
	for _, r := range before {
		if p.roles[r.Name] != nil || g.options.Holders == nil {
			continue
		}
		n, err := g.options.Holders(tx, r.Name)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			return nil, fault.New(fault.Conflict, "role.in-use", "role", r.Name, "accounts", n)
		}
	}
	actor := ActorFrom(ctx).Role
	for _, r := range slices.Concat(before, made.Roles) {
		was, now := old.rules(r.Name), p.rules(r.Name)
		if was != nil && now != nil && was.equal(*now) {
			continue
		}
		if !old.limits(actor, old.roles[r.Name]) || !old.limits(actor, p.roles[r.Name]) {
			return nil, fault.New(fault.Forbidden, "role.beyond-yours", "role", r.Name)
		}
	}
	return p, nil
}

// tell writes the fact of a new version.
func (g *Gate) tell(ctx context.Context, tx store.Tx, made Version) error {
	if g.options.Tell == nil {
		return nil
	}
	about := map[string]string{"version": strconv.FormatUint(made.Number, 10)}
	if made.Act == "reverted" {
		about["to"] = strconv.FormatUint(made.To, 10)
		return g.options.Tell(ctx, tx, "access.reverted", "", about)
	}
	about["act"] = made.Act
	return g.options.Tell(ctx, tx, "access.changed", string(made.Role), about)
}

// count lets a policy count, unless a newer one does already.
func (g *Gate) count(p *policy) {
	g.swap.Lock()
	defer g.swap.Unlock()
	if p.number > g.policy.Load().number {
		g.policy.Store(p)
	}
}

// equal tells whether two roles have the same rules.
func (r Rules) equal(other Rules) bool {
	a, errA := json.Marshal(r)
	b, errB := json.Marshal(other)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

// limits tells whether a role may do nothing that the actor's, as it stands in p, may not. One that is not there may do
// nothing.
func (p *policy) limits(actor Role, r *role) bool {
	if r == nil || actor == System || actor == Owner {
		return true
	}
	return p.roles[actor] != nil && r.within(p.roles[actor])
}

// Within tells whether a role may do nothing that the actor may not, so that he may give it to somebody or act for one
// who has it. Under a grant it is false: a plugin gives nobody anything.
func (g *Gate) Within(ctx context.Context, name Role) bool {
	p, a := g.policy.Load(), actingFrom(ctx)
	return a.grant == nil && p.limits(a.Role, p.roles[name])
}

// Condition is one condition of a role of the office's own.
type Condition struct {
	Role          Role
	Entity, Where string
}

// Conditions lists every condition of the office's roles, so that a change of the schema can be held against them.
func (g *Gate) Conditions() (all []Condition) {
	for _, r := range g.policy.Load().office {
		for _, grant := range r.Grants {
			if grant.Where != "" {
				all = append(all, Condition{r.Name, grant.Entity, grant.Where})
			}
		}
	}
	return all
}
