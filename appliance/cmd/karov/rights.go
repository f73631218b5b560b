package main

import (
	"context"
	"sync"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/control"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/filter"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/staff"
	"github.com/karov-crm/karov/appliance/store"
)

// rightsActs are what the local door does about teams and roles.
func (a *appliance) rightsActs() map[string]control.Act {
	return map[string]control.Act{
		"team-add": a.teamAdd, "team-list": a.teamList, "team-rename": a.teamRename, "team-remove": a.teamRemove,
		"staff-move": a.staffMove, "staff-role": a.staffRole,
		"role-list": a.roleList, "role-show": a.roleShow, "role-add": a.roleAdd, "role-change": a.roleChange,
		"role-remove": a.roleRemove, "role-versions": a.roleVersions, "role-revert": a.roleRevert,
	}
}

func (a *appliance) teamAdd(ctx context.Context, c *control.Call) (any, error) {
	var args struct{ Name string }
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	return a.staff.TeamAdd(ctx, args.Name)
}

// teamShown is a team as commands show it.
type teamShown struct {
	staff.Team
	Emails []string `json:"emails"`
}

func (a *appliance) teamList(ctx context.Context, _ *control.Call) (any, error) {
	teams, err := a.staff.Teams(ctx)
	if err != nil {
		return nil, err
	}
	accounts, err := a.staff.List(ctx)
	if err != nil {
		return nil, err
	}
	shown := []teamShown{}
	for _, t := range teams {
		s := teamShown{Team: t, Emails: []string{}}
		for _, account := range accounts {
			if account.Team == t.ID {
				s.Emails = append(s.Emails, account.Email)
			}
		}
		shown = append(shown, s)
	}
	return shown, nil
}

// team finds a team by its name, or by its id.
func (a *appliance) team(ctx context.Context, name string) (string, error) {
	teams, err := a.staff.Teams(ctx)
	if err != nil {
		return "", err
	}
	for _, t := range teams {
		if t.Name == name || t.ID == name {
			return t.ID, nil
		}
	}
	return "", fault.Missing("team", name)
}

func (a *appliance) teamRename(ctx context.Context, c *control.Call) (any, error) {
	var args struct{ Team, Name string }
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	id, err := a.team(ctx, args.Team)
	if err != nil {
		return nil, err
	}
	return nil, a.staff.TeamRename(ctx, id, args.Name)
}

func (a *appliance) teamRemove(ctx context.Context, c *control.Call) (any, error) {
	var args struct{ Team string }
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	id, err := a.team(ctx, args.Team)
	if err != nil {
		return nil, err
	}
	return nil, a.staff.TeamRemove(ctx, id)
}

// staffMove puts an account into a team, into none where none is named.
func (a *appliance) staffMove(ctx context.Context, c *control.Call) (any, error) {
	var args struct{ Email, Team string }
	account, err := a.byEmail(ctx, c, &args, &args.Email)
	if err != nil {
		return nil, err
	}
	id := ""
	if args.Team != "" {
		if id, err = a.team(ctx, args.Team); err != nil {
			return nil, err
		}
	}
	return nil, a.staff.SetTeam(ctx, account.ID, id)
}

func (a *appliance) staffRole(ctx context.Context, c *control.Call) (any, error) {
	var args struct {
		Email string
		Role  access.Role
	}
	account, err := a.byEmail(ctx, c, &args, &args.Email)
	if err != nil {
		return nil, err
	}
	return nil, a.staff.SetRole(ctx, account.ID, args.Role)
}

// roleShown is a role as commands show it: a built-in one with all that it grants, one of the office's own with its
// rules and the number of the version in which they stand.
type roleShown struct {
	Version uint64 `json:"version"`
	BuiltIn bool   `json:"built_in,omitempty"`
	access.Rules
}

func (a *appliance) roleList(ctx context.Context, _ *control.Call) (any, error) {
	now, err := a.gate.Policy(ctx)
	if err != nil {
		return nil, err
	}
	all := []roleShown{}
	for _, name := range access.Roles() {
		all = append(all, roleShown{Version: now.Number, BuiltIn: true, Rules: a.gate.BuiltIn(name)})
	}
	for _, r := range now.Roles {
		all = append(all, roleShown{Version: now.Number, Rules: r})
	}
	return all, nil
}

func (a *appliance) roleShow(ctx context.Context, c *control.Call) (any, error) {
	var args struct{ Name access.Role }
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	all, err := a.roleList(ctx, c)
	if err != nil {
		return nil, err
	}
	for _, r := range all.([]roleShown) {
		if r.Name == args.Name {
			return r, nil
		}
	}
	return nil, fault.Missing("role", string(args.Name))
}

// roleAdd makes a role that there is not yet.
func (a *appliance) roleAdd(ctx context.Context, c *control.Call) (any, error) {
	var r access.Rules
	if err := c.Args(&r); err != nil {
		return nil, err
	}
	now, err := a.gate.Policy(ctx)
	if err != nil {
		return nil, err
	}
	for _, there := range now.Roles {
		if there.Name == r.Name {
			return nil, fault.New(fault.Conflict, "role.exists", "role", r.Name)
		}
	}
	return a.setRole(ctx, now.Number, r)
}

// roleChange gives a role the rules of a file. A file that says in which version it was looked at is refused when
// another one counts by now.
func (a *appliance) roleChange(ctx context.Context, c *control.Call) (any, error) {
	var args roleShown
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	now, err := a.gate.Policy(ctx)
	if err != nil {
		return nil, err
	}
	if args.Version == 0 {
		args.Version = now.Number
	}
	for _, there := range now.Roles {
		if there.Name == args.Name {
			return a.setRole(ctx, args.Version, args.Rules)
		}
	}
	return nil, fault.Missing("role", string(args.Name))
}

func (a *appliance) setRole(ctx context.Context, seen uint64, r access.Rules) (any, error) {
	v, err := a.gate.SetRole(ctx, seen, r)
	if err != nil {
		return nil, err
	}
	return roleShown{Version: v.Number, Rules: r}, nil
}

func (a *appliance) roleRemove(ctx context.Context, c *control.Call) (any, error) {
	var args struct{ Name access.Role }
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	now, err := a.gate.Policy(ctx)
	if err != nil {
		return nil, err
	}
	_, err = a.gate.RemoveRole(ctx, now.Number, args.Name)
	return nil, err
}

// versionShown is a version of the roles as commands show it.
type versionShown struct {
	access.Version
	Who string `json:"who"` // the name of who made it
}

func (a *appliance) roleVersions(ctx context.Context, _ *control.Call) (any, error) {
	all, err := a.gate.Versions(ctx)
	if err != nil {
		return nil, err
	}
	shown := []versionShown{}
	for _, v := range all {
		who := a.staff.Name(ctx, v.By)
		if who == "" {
			who = v.By
		}
		shown = append(shown, versionShown{v, who})
	}
	return shown, nil
}

func (a *appliance) roleRevert(ctx context.Context, c *control.Call) (any, error) {
	var args struct{ To uint64 }
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	now, err := a.gate.Policy(ctx)
	if err != nil {
		return nil, err
	}
	return a.gate.Revert(ctx, now.Number, args.To)
}

// checkWhere refuses a role's condition that the records of its entity cannot be asked.
func (a *appliance) checkWhere(entity, condition string) error {
	_, err := filter.Parse(condition, a.schema.Current(), entity, filter.Options{})
	return err
}

// checkField refuses a role's rule for a field that is not there.
func (a *appliance) checkField(entity, field string) error {
	if e := a.schema.Current().Entity(entity); e == nil || e.Field(field) == nil {
		return fault.InvalidField("field", "field.unknown")
	}
	return nil
}

// keepConditions refuses a change of the schema that would make a role's condition unreadable: whom it lets at his
// records would all at once see none.
func (a *appliance) keepConditions(_ store.Tx, before, after *schema.Schema) error {
	for _, c := range a.gate.Conditions() {
		if _, err := filter.Parse(c.Where, before, c.Entity, filter.Options{}); err != nil {
			continue // it lets nobody through already
		}
		if _, err := filter.Parse(c.Where, after, c.Entity, filter.Options{}); err != nil {
			return fault.Wrap(err, fault.Conflict, "schema.in-condition", "role", c.Role, "entity", c.Entity, "where", c.Where)
		}
	}
	return nil
}

// keepCustom tells the gate which kinds of record the office made itself, now and after each change of the schema.
func (a *appliance) keepCustom() {
	var telling sync.Mutex
	told := uint64(0)
	tell := func(s *schema.Schema) {
		telling.Lock()
		defer telling.Unlock()
		if s.Version() < told {
			return // a newer change was quicker
		}
		told = s.Version()
		var made []string
		for _, e := range s.Entities() {
			if e.Custom {
				made = append(made, e.Name)
			}
		}
		a.gate.SetCustom(made)
	}
	a.schema.Watch(func(tx store.Tx, _, after *schema.Schema) error {
		tx.OnCommit(func() { tell(after) })
		return nil
	})
	tell(a.schema.Current())
}
