package snapshot_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/snapshot"
	"github.com/karov-crm/karov/appliance/store"
)

func targets(t *testing.T, o *office) (*snapshot.Targets, string) {
	t.Helper()
	file := filepath.Join(o.data, "new", "backup.key")
	return snapshot.NewTargets(o.db, file), file
}

func TestTargetsAddOpenAndDone(t *testing.T) {
	t.Parallel()
	o := busy(t, 20)
	all, file := targets(t, o)
	folder := filepath.Join(t.TempDir(), "disk")
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	key, err := all.Add(o.ctx, folder, "", at)
	must(t, err)
	list, err := all.List(o.ctx)
	if err != nil || len(list) != 1 || list[0].Folder != folder || !list[0].Added.Equal(at) || !list[0].Last.IsZero() {
		t.Fatalf("targets %+v, %v", list, err)
	}
	password, err := os.ReadFile(file)
	must(t, err)
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 || len(password) < 40 || strings.Contains(string(password), key) {
		t.Errorf("machine's password: %d letters, %v, %v", len(password), info.Mode(), err)
	}
	gone(t, file+".new")

	r, err := all.Open(o.ctx, list[0])
	must(t, err)
	made, _ := o.take(r)
	must(t, r.Close())
	must(t, all.Done(o.ctx, list[0], made))
	// The key that was shown restores; the store that it brings back remembers the target.
	proof, db := restored(t, snapshot.Restore{From: folder, Key: key, Data: filepath.Join(t.TempDir(), "data")})
	if !proof.Equal() || proof.Snapshot != made.ID {
		t.Errorf("proof %+v", proof)
	}
	elsewhere := snapshot.NewTargets(db, filepath.Join(t.TempDir(), "backup.key"))
	remembered, err := elsewhere.List(o.ctx)
	if err != nil || len(remembered) != 1 {
		t.Fatalf("targets after a restore: %+v, %v", remembered, err)
	}
	_, err = elsewhere.Open(o.ctx, remembered[0])
	wantFault(t, err, fault.Forbidden, "backup.machine-key-lost")

	// Adding it again with its key lets the new machine in, and takes nothing away.
	again, err := elsewhere.Add(o.ctx, folder, strings.ToLower(key), at)
	if err != nil || again != key {
		t.Errorf("added again: %q, %v", again, err)
	}
	r, err = elsewhere.Open(o.ctx, remembered[0])
	must(t, err)
	must(t, r.Close())
	if _, err := all.Add(o.ctx, folder, key, at); err != nil {
		t.Error(err)
	}
	list, err = all.List(o.ctx)
	if err != nil || len(list) != 1 || list[0].Snapshot != made.ID || !list[0].Last.Equal(made.Time) {
		t.Errorf("targets %+v, %v", list, err)
	}
	r, err = all.Open(o.ctx, list[0])
	must(t, err)
	keys, err := r.Keys(o.ctx)
	if err != nil || len(keys) != 3 {
		t.Errorf("recovery key and two machines: %d keys, %v", len(keys), err)
	}
	must(t, r.Close())
}

func TestTargetsRefusals(t *testing.T) {
	t.Parallel()
	o := busy(t, 1)
	all, file := targets(t, o)
	_, dir := repository(t)
	_, err := all.Add(o.ctx, dir, "", time.Now())
	wantFault(t, err, fault.Conflict, "backup.exists")
	_, err = all.Add(o.ctx, dir, otherKey, time.Now())
	wantFault(t, err, fault.Forbidden, "backup.wrong-key")
	_, err = all.Add(o.ctx, dir, testKey[:len(testKey)-1]+"3", time.Now())
	wantFault(t, err, fault.Invalid, "backup.mistyped-key")
	_, err = all.Add(o.ctx, file, "", time.Now()) // the password is there by now: a file, not a folder
	wantFault(t, err, fault.NotFound, "backup.no-folder")
	if list, err := all.List(o.ctx); err != nil || len(list) != 0 {
		t.Errorf("targets %+v, %v", list, err)
	}

	_, err = all.Add(o.ctx, dir, testKey, time.Now())
	must(t, err)
	list, err := all.List(o.ctx)
	must(t, err)
	must(t, os.WriteFile(file, []byte("of another machine\n"), 0o600))
	_, err = all.Open(o.ctx, list[0])
	wantFault(t, err, fault.Forbidden, "backup.machine-unknown")
	must(t, os.WriteFile(file, nil, 0o600))
	_, err = all.Open(o.ctx, list[0])
	wantFault(t, err, fault.Forbidden, "backup.machine-key-lost")
	must(t, os.Remove(file))
	_, err = all.Open(o.ctx, list[0])
	wantFault(t, err, fault.Forbidden, "backup.machine-key-lost")
	gone(t, file)

	_, err = all.Add(o.ctx, dir, testKey, time.Now())
	must(t, err)
	must(t, os.Rename(dir, dir+"-unplugged"))
	_, err = all.Open(o.ctx, list[0])
	wantFault(t, err, fault.NotFound, "backup.no-folder")

	must(t, o.db.Update(o.ctx, func(tx store.Tx) error { tx.Bucket("snapshot.targets").Put([]byte(dir), []byte("{")); return nil }))
	_, err = all.List(o.ctx)
	wantFault(t, err, fault.Internal, "store.damaged")
}

// Many ask for the first target at once: the machine has one password, and each of its repositories opens with it.
func TestTargetsAddedAtOnce(t *testing.T) {
	t.Parallel()
	o := busy(t, 1)
	all, _ := targets(t, o)
	var adding sync.WaitGroup
	for range 4 {
		folder := filepath.Join(t.TempDir(), "disk")
		adding.Go(func() {
			if _, err := all.Add(o.ctx, folder, "", time.Now()); err != nil {
				t.Error(err)
			}
		})
	}
	adding.Wait()
	list, err := all.List(o.ctx)
	if err != nil || len(list) != 4 {
		t.Fatalf("targets %+v, %v", list, err)
	}
	for _, target := range list {
		r, err := all.Open(o.ctx, target)
		must(t, err)
		must(t, r.Close())
	}
}
