package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/config"
	"github.com/karov-crm/karov/appliance/control"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/snapshot"
	"github.com/karov-crm/karov/appliance/staff"
)

// commands registers what the local door does. Each act's arguments and result are shared with its command by shape:
// the JSON names here are those in admin/cli.
func (a *appliance) commands() *control.Server {
	s := control.NewServer(a.log)
	for name, act := range map[string]control.Act{
		"status": a.status, "setup": a.setupAct, "import": a.importAct, "export": a.exportAct, "seed": a.seedAct,
		"staff-add": a.staffAdd, "staff-list": a.staffList, "staff-disable": a.staffDisable, "staff-reset": a.staffReset,
		"token-create": a.tokenCreate, "token-list": a.tokenList, "token-revoke": a.tokenRevoke,
		"backup-init": a.backupInit, "backup-now": a.backupNow, "backup-list": a.backupList, "backup-verify": a.backupVerify,
	} {
		s.Handle(name, act)
	}
	for _, acts := range []map[string]control.Act{a.rightsActs(), a.schemaActs(), a.auditActs(), a.pluginActs(), a.packageActs()} {
		for name, act := range acts {
			s.Handle(name, act)
		}
	}
	return s
}

// status is what `karov status` shows.
func (a *appliance) status(ctx context.Context, _ *control.Call) (any, error) {
	counts := map[string]int{}
	for _, entity := range []string{"contact", "conversation", "message"} {
		n, _, err := a.book.Count(ctx, record.Query{Entity: entity})
		if err != nil {
			return nil, err
		}
		counts[entity] = n
	}
	waiting, _, err := a.inbox.CountWaiting(ctx)
	if err != nil {
		return nil, err
	}
	targets, err := a.targets.List(ctx)
	if err != nil {
		return nil, err
	}
	return struct {
		Version string            `json:"version"`
		Data    string            `json:"data"`
		Up      string            `json:"up"`
		Bytes   int64             `json:"store_bytes"`
		Counts  map[string]int    `json:"counts"`
		Waiting int               `json:"waiting"`
		Plugins []pluginShown     `json:"plugins"`
		Backups []snapshot.Target `json:"backups"`
	}{version, a.config.Data, time.Since(a.since).Round(time.Second).String(), a.db.Size(), counts, waiting, a.shownPlugins(), targets}, nil
}

// draft is a new account as commands send it.
type draft struct {
	Email, Name, Lang, Password string
	Role                        access.Role
}

func (a *appliance) addStaff(ctx context.Context, d draft) (any, error) {
	account, err := a.staff.Add(ctx, staff.Draft{Email: d.Email, Name: d.Name, Lang: d.Lang, Password: d.Password, Role: d.Role})
	if err != nil {
		return nil, err
	}
	return account, nil
}

// setupAct makes the first owner. It is refused once there is an account.
func (a *appliance) setupAct(ctx context.Context, c *control.Call) (any, error) {
	var d draft
	if err := c.Args(&d); err != nil {
		return nil, err
	}
	return a.firstOwner(ctx, d)
}

func (a *appliance) firstOwner(ctx context.Context, d draft) (any, error) {
	empty, err := a.staff.Empty(ctx)
	if err != nil {
		return nil, err
	}
	if !empty {
		return nil, fault.New(fault.Conflict, "setup.done")
	}
	d.Role = access.Owner
	return a.addStaff(ctx, d)
}

// setup makes the first owner of a data folder that no daemon holds.
func setup(ctx context.Context, c config.Config, log *slog.Logger, email, name, lang, password string) (any, error) {
	holder := snapshot.HolderOf(c.Data)
	a, err := open(ctx, c, log)
	if err != nil {
		return nil, err
	}
	made, err := a.firstOwner(access.WithActor(ctx, access.Appliance()), draft{Email: email, Name: name, Lang: lang, Password: password})
	return made, errors.Join(err, a.close(), holder.Take(c.Data))
}

func (a *appliance) staffAdd(ctx context.Context, c *control.Call) (any, error) {
	var d draft
	if err := c.Args(&d); err != nil {
		return nil, err
	}
	return a.addStaff(ctx, d)
}

func (a *appliance) staffList(ctx context.Context, _ *control.Call) (any, error) {
	return a.staff.List(ctx)
}

// byEmail finds the account that a command names.
func (a *appliance) byEmail(ctx context.Context, c *control.Call, into any, email *string) (staff.Account, error) {
	if err := c.Args(into); err != nil {
		return staff.Account{}, err
	}
	return a.staff.ByEmail(ctx, *email)
}

func (a *appliance) staffDisable(ctx context.Context, c *control.Call) (any, error) {
	var args struct {
		Email   string
		Enabled bool
	}
	account, err := a.byEmail(ctx, c, &args, &args.Email)
	if err != nil {
		return nil, err
	}
	return nil, a.staff.Disable(ctx, account.ID, !args.Enabled)
}

func (a *appliance) staffReset(ctx context.Context, c *control.Call) (any, error) {
	var args struct{ Email, Password string }
	account, err := a.byEmail(ctx, c, &args, &args.Email)
	if err != nil {
		return nil, err
	}
	return nil, a.staff.ResetPassword(ctx, account.ID, args.Password)
}

// tokenCreate makes a token for the named account, or for the first owner.
func (a *appliance) tokenCreate(ctx context.Context, c *control.Call) (any, error) {
	var args struct{ Email, Name string }
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	accounts, err := a.staff.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, account := range accounts {
		if args.Email == account.Email || args.Email == "" && account.Role == access.Owner {
			secret, token, err := a.staff.CreateToken(ctx, account.ID, args.Name)
			return map[string]string{"token": secret, "id": token.ID, "email": account.Email}, err
		}
	}
	return nil, fault.Missing("staff", args.Email)
}

func (a *appliance) tokenList(ctx context.Context, _ *control.Call) (any, error) {
	return a.staff.Tokens(ctx)
}

func (a *appliance) tokenRevoke(ctx context.Context, c *control.Call) (any, error) {
	var args struct{ ID string }
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	return nil, a.staff.RevokeToken(ctx, args.ID)
}
