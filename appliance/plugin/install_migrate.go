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
	if err != nil {
		return err
	}
	v := s.newest()
	if v == nil || s.Data == 0 || v.Data <= s.Data {
		return nil
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
	return in.move(ctx, s, v.Data, wirev1.NewMigrationClient(live.conn))
}

// move calls the plugin until it is done.
func (in *Installer) move(ctx context.Context, s Installed, to uint32, client wirev1.MigrationClient) error {
	cursor := ""
	if s.Moving != nil && s.Moving.To == to {
		cursor = s.Moving.Cursor
	}
	for range migrateSteps {
		if _, err := in.change(ctx, s.ID, "", func(s *Installed) map[string]string {
			s.Moving = &Migration{To: to, Cursor: cursor}
			return nil
		}); err != nil {
			return err
		}
		answer, err := migrateOnce(ctx, client, &wirev1.MigrateRequest{From: s.Data, To: to, Cursor: cursor})
		if err != nil {
			return fromWire(err, "plugin.migration-failed")
		}
		if answer.GetDone() {
			_, err = in.change(ctx, s.ID, "", func(s *Installed) map[string]string {
				s.Data, s.Moving = to, nil
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
