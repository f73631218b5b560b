package plugin

import (
	"context"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/store"
)

// enabledBucket holds an entry for each plugin that somebody disabled.
const enabledBucket = "plugin.enabled"

// Enabled tells whether a plugin may run: all may but those that somebody disabled.
func (s *StoredSettings) Enabled(ctx context.Context, id string) (enabled bool, err error) {
	err = s.db.View(ctx, func(tx store.Tx) error {
		enabled = tx.Bucket(enabledBucket).Get([]byte(id)) == nil
		return nil
	})
	return enabled, err
}

// Remember keeps whether a plugin may run, past a restart of Karov. It is for those who administer the office.
func (s *StoredSettings) Remember(ctx context.Context, id string, enabled bool) error {
	if err := s.gate.Require(ctx, access.Administer, access.Object{Entity: "office"}); err != nil {
		return err
	}
	return s.db.Update(ctx, func(tx store.Tx) error {
		b := tx.Bucket(enabledBucket)
		if enabled == (b.Get([]byte(id)) == nil) {
			return nil
		}
		fact := "plugin.enabled"
		if enabled {
			b.Delete([]byte(id))
		} else {
			b.Put([]byte(id), []byte("no"))
			fact = "plugin.disabled"
		}
		return s.journal.Append(ctx, tx, journal.Fact{Name: fact, Entity: "plugin", ID: id})
	})
}
