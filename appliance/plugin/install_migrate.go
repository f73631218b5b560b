package plugin

import (
	"context"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
)

// Limits of a migration.
const (
	migrateStep  = 5 * time.Minute // how long one call may take
	migrateSteps = 1_000_000       // calls until it counts as one without end
)

// migrate lets a version that runs bring the plugin's data up to what it works with, step by step: the place reached is
// written down after each, so that a fall in the middle goes on there.
func (in *Installer) migrate(ctx context.Context, id string) error {
	s, err := in.load(ctx, id)
	if err != nil || s.Trial == nil || s.Data == 0 || s.Trial.Data <= s.Data {
		return err
	}
	p, err := in.o.Host.find(id)
	if err != nil {
		return err
	}
	p.mu.Lock()
	live := p.session
	p.mu.Unlock()
	if live == nil { // disabled: its data moves when it runs again
		return fault.New(fault.Unavailable, "plugin.not-running", "plugin", p.m.Name)
	}
	client := wirev1.NewMigrationClient(live.conn)
	cursor := ""
	if s.Moving != nil && s.Moving.To == s.Trial.Data {
		cursor = s.Moving.Cursor
	}
	for range migrateSteps {
		if s, err = in.change(ctx, id, "", func(s *Installed) map[string]string {
			s.Moving = &Migration{To: s.Trial.Data, Cursor: cursor}
			return nil
		}); err != nil {
			return err
		}
		answer, err := migrateOnce(ctx, client, &wirev1.MigrateRequest{From: s.Data, To: s.Trial.Data, Cursor: cursor})
		switch {
		case err != nil:
			return fromWire(err, "plugin.migration-failed")
		case answer.GetDone():
			_, err = in.change(ctx, id, "", func(s *Installed) map[string]string {
				s.Data, s.Moving = s.Trial.Data, nil
				return nil
			})
			return err
		}
		cursor = wire.Cut(answer.GetCursor(), maxMigrateCursor)
	}
	return fault.New(fault.Unavailable, "plugin.migration-failed")
}

const maxMigrateCursor = 4096

func migrateOnce(ctx context.Context, c wirev1.MigrationClient, r *wirev1.MigrateRequest) (*wirev1.MigrateResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, migrateStep)
	defer cancel()
	return c.Migrate(ctx, r)
}
