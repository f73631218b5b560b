package snapshot_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/karov-crm/karov/appliance/snapshot"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

// formatOf reads what a store says of itself.
func formatOf(t *testing.T, db store.DB) (format int, identity string) {
	t.Helper()
	must(t, db.View(t.Context(), func(tx store.Tx) (err error) {
		identity = store.Identity(tx)
		format, err = store.Format(tx)
		return err
	}))
	return format, identity
}

// TestSalvageKnowsTheFormat loses what the store says of itself: the manifest says it too.
func TestSalvageKnowsTheFormat(t *testing.T) {
	t.Parallel()
	o := busy(t, 100)
	r, dir := repository(t)
	_, m := o.take(r)
	damage(t, r, dir, "db/base-000001/store.meta.jsonl", false)
	data := filepath.Join(t.TempDir(), "data")
	_, db := restored(t, snapshot.Restore{From: dir, Key: testKey, Data: data, Salvage: true})
	if format, identity := formatOf(t, db); format != m.Format || identity != m.Identity || format == 0 {
		t.Errorf("the restored data is of format %d and called %q; it was %d and %q", format, identity, m.Format, m.Identity)
	}
}

// TestOlderBackupIsMigratedAtTheNextStart restores with a program that knows a newer format than the backup's.
func TestOlderBackupIsMigratedAtTheNextStart(t *testing.T) {
	t.Parallel()
	o := busy(t, 100)
	r, dir := repository(t)
	_, m := o.take(r)
	data := filepath.Join(t.TempDir(), "data")
	proof, restoredDB := restored(t, snapshot.Restore{From: dir, Key: testKey, Data: data})
	must(t, restoredDB.Close())
	if !proof.Equal() {
		t.Fatalf("missing %q", proof.Missing)
	}
	step := func(ctx context.Context, db store.DB, _ store.Progress) error {
		return db.Update(ctx, func(tx store.Tx) error { tx.Bucket("test.migrated").Put([]byte("yes"), nil); return nil })
	}
	steps := make([]store.Migration, m.Format)
	steps[m.Format-1] = step
	db, err := bolt.OpenFormat(t.Context(), filepath.Join(data, snapshot.StoreFile), steps, func(bolt.Stage, int, int64, int64) {})
	must(t, err)
	defer db.Close()
	format, identity := formatOf(t, db)
	if format != m.Format+1 || identity != m.Identity {
		t.Errorf("the data is of format %d and called %q; it was %d and %q", format, identity, m.Format, m.Identity)
	}
	if now := measure(t, db); count(now, "test.migrated") != 1 || count(now, "record.contact") != m.Count("record.contact") {
		t.Errorf("after the migration: %v", now)
	}
}
