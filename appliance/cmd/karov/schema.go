package main

import (
	"context"
	"encoding/json"

	"github.com/karov-crm/karov/appliance/control"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/schema"
)

// schemaActs are what the local door does about kinds of record and their fields.
func (a *appliance) schemaActs() map[string]control.Act {
	return map[string]control.Act{
		"schema-show": a.schemaShow, "schema-change": a.schemaChange, "schema-versions": a.schemaVersions, "schema-revert": a.schemaRevert,
	}
}

// settle lets the rooms follow what this program brings to the kinds of record. What they refuse, such as values that a new
// field wants to be unique and are not, must not keep the office from starting.
func (a *appliance) settle(ctx context.Context) error {
	refused, err := a.schema.Settle(ctx)
	if refused != nil {
		a.log.Error("the data does not follow what this version brings", "error", refused)
	}
	return err
}

// schemaShown is the schema as commands show it.
type schemaShown struct {
	Version  uint64               `json:"version"`
	Entities []schema.ShownEntity `json:"entities"`
	Dormant  []string             `json:"dormant,omitempty"` // what this program cannot use
}

// schemaDone is what a change did, or would do.
type schemaDone struct {
	Version     uint64              `json:"version"`
	Differences []schema.Difference `json:"differences"`
}

func (a *appliance) schemaShow(_ context.Context, c *control.Call) (any, error) {
	var args struct{ Entity string }
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	s := a.schema.Current()
	shown := schemaShown{Version: s.Version(), Entities: []schema.ShownEntity{}, Dormant: s.Dormant()}
	for _, e := range s.Entities() {
		if args.Entity == "" || args.Entity == e.Name {
			shown.Entities = append(shown.Entities, e.Shown())
		}
	}
	if args.Entity != "" && len(shown.Entities) == 0 {
		return nil, fault.Missing("entity", args.Entity)
	}
	return shown, nil
}

// schemaChange works the ops of a file in. A file that names no version was made for the newest.
func (a *appliance) schemaChange(ctx context.Context, c *control.Call) (any, error) {
	var args struct {
		Version uint64
		Ops     json.RawMessage
		Preview bool
	}
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	ops, err := schema.ParseOps(args.Ops)
	if err != nil {
		return nil, err
	}
	seen := a.seenSchema(args.Version)
	foreseen, err := a.schema.Preview(ctx, seen, ops...)
	if err != nil || args.Preview {
		return schemaDone{seen, foreseen}, err
	}
	s, err := a.schema.Change(ctx, seen, ops...)
	if err != nil {
		return nil, err
	}
	return schemaDone{s.Version(), foreseen}, nil
}

func (a *appliance) seenSchema(version uint64) uint64 {
	if version == 0 {
		return a.schema.Current().Version()
	}
	return version
}

func (a *appliance) schemaVersions(ctx context.Context, c *control.Call) (any, error) {
	var args struct{ Limit int }
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	versions, err := a.schema.Versions(ctx, 0, args.Limit)
	if err != nil {
		return nil, err
	}
	return append([]schema.Version{}, versions...), nil
}

func (a *appliance) schemaRevert(ctx context.Context, c *control.Call) (any, error) {
	var args struct {
		Version, To uint64
		Preview     bool
	}
	if err := c.Args(&args); err != nil {
		return nil, err
	}
	seen := a.seenSchema(args.Version)
	foreseen, err := a.schema.PreviewRevert(ctx, seen, args.To)
	if err != nil || args.Preview {
		return schemaDone{seen, foreseen}, err
	}
	s, err := a.schema.Revert(ctx, seen, args.To)
	if err != nil {
		return nil, err
	}
	return schemaDone{s.Version(), foreseen}, nil
}
