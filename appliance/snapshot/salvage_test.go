package snapshot_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/snapshot"
	"github.com/karov-crm/karov/appliance/store"
)

// refused checks that a damaged backup is named, and that nothing is left of the attempt.
func refused(t *testing.T, dir, what string) {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	_, err := snapshot.Restore{From: dir, Key: testKey, Data: data}.Run(t.Context())
	wantFault(t, err, fault.Invalid, "backup.damaged")
	if got := fault.Of(err).Params["what"]; got != what {
		t.Errorf("damaged is %q, not %q", got, what)
	}
	gone(t, data)
	gone(t, data+".restoring")
}

func count(buckets []snapshot.Bucket, name string) int {
	return snapshot.Manifest{Buckets: buckets}.Count(name)
}

func TestSalvageOfDamagedRecords(t *testing.T) {
	t.Parallel()
	o := busy(t, 3000)
	r, dir := repository(t)
	_, m := o.take(r)
	damage(t, r, dir, "db/base-000001/record.contact.jsonl", false)
	refused(t, dir, "db/base-000001/record.contact.jsonl")

	data := filepath.Join(t.TempDir(), "data")
	proof, db := restored(t, snapshot.Restore{From: dir, Key: testKey, Data: data, Salvage: true})
	all, back := m.Count("record.contact"), count(proof.Buckets, "record.contact")
	if proof.Equal() || back >= all || back < all-400 {
		t.Errorf("%d of %d customers came back", back, all)
	}
	if len(proof.Missing) != 2 || !regexp.MustCompile(`^db/base-000001/record\.contact\.jsonl: damaged data file [0-9a-f]{64}, blob .*; \d+ of \d+ bytes are missing$`).MatchString(proof.Missing[0]) ||
		proof.Missing[1] != fmt.Sprintf("record.contact: %d of %d entries are missing", all-back, all) {
		t.Errorf("missing %q", proof.Missing)
	}
	for _, was := range m.Buckets {
		if was.Name != "record.contact" && !slices.Contains(proof.Buckets, was) {
			t.Errorf("%s is not as it was", was.Name)
		}
	}
	// Each that came back is byte for byte what it was.
	must(t, db.View(o.ctx, func(now store.Tx) error {
		return o.db.View(o.ctx, func(was store.Tx) error {
			for key, value := range now.Bucket("record.contact").Scan(nil, nil, false) {
				if !bytes.Equal(value, was.Bucket("record.contact").Get(key)) {
					t.Errorf("customer %x was never like this", key)
				}
			}
			return nil
		})
	}))
	gone(t, filepath.Join(data, snapshot.RemainsFolder))
}

func TestSalvageOfADamagedAttachment(t *testing.T) {
	t.Parallel()
	o := busy(t, 20)
	photo := make([]byte, 12<<20)
	_, err := rand.NewChaCha8([32]byte{1}).Read(photo)
	must(t, err)
	hash, _, err := o.blobs.Put(o.ctx, bytes.NewReader(photo))
	must(t, err)
	r, dir := repository(t)
	_, m := o.take(r)
	path := "attachments/" + hash[:2] + "/" + hash[2:4] + "/" + hash
	damage(t, r, dir, path, false)
	refused(t, dir, path)

	data := filepath.Join(t.TempDir(), "data")
	proof, _ := restored(t, snapshot.Restore{From: dir, Key: testKey, Data: data, Salvage: true})
	if len(proof.Missing) != 2 || !strings.HasPrefix(proof.Missing[0], path+": ") || proof.Missing[1] != "attachments: 1 of 11 are missing" {
		t.Errorf("missing %q", proof.Missing)
	}
	if !slices.Equal(proof.Buckets, m.Buckets) {
		t.Error("the store is not as it was")
	}
	gone(t, filepath.Join(data, snapshot.BlobFolder, hash[:2], hash[2:4], hash))
	info, err := os.Stat(filepath.Join(data, snapshot.RemainsFolder, path+".damaged"))
	if err != nil || info.Size() != int64(len(photo)) {
		t.Errorf("what is left of it: %v, %v", info, err)
	}
}

func TestSalvageWithoutTheManifest(t *testing.T) {
	t.Parallel()
	o := busy(t, 200)
	r, dir := repository(t)
	_, m := o.take(r)
	damage(t, r, dir, "manifest.json", true)
	refused(t, dir, "manifest.json")
	proof, _ := restored(t, snapshot.Restore{From: dir, Key: testKey, Data: filepath.Join(t.TempDir(), "data"), Salvage: true})
	if !slices.Equal(proof.Buckets, m.Buckets) || proof.Manifest.Layout != 0 {
		t.Errorf("buckets %v", proof.Buckets)
	}
	if len(proof.Missing) != 1 || !strings.HasPrefix(proof.Missing[0], "the manifest, so that nothing can be compared") {
		t.Errorf("missing %q", proof.Missing)
	}
}

// A value of more than 1 MiB is in several pieces: the rest of its line must neither abort the salvage nor pass for it.
func TestSalvageOfALineInPieces(t *testing.T) {
	t.Parallel()
	o := busy(t, 20)
	big := make([]byte, 5<<20)
	_, err := rand.NewChaCha8([32]byte{2}).Read(big)
	must(t, err)
	must(t, o.db.Update(o.ctx, func(tx store.Tx) error {
		b := tx.Bucket("test.big")
		b.Put([]byte("a"), []byte("before"))
		b.Put([]byte("b"), big)
		b.Put([]byte("c"), []byte("after"))
		return nil
	}))
	r, dir := repository(t)
	o.take(r)
	damage(t, r, dir, "db/base-000001/test.big.jsonl", false)
	data := filepath.Join(t.TempDir(), "data")
	proof, db := restored(t, snapshot.Restore{From: dir, Key: testKey, Data: data, Salvage: true})
	lost := slices.IndexFunc(proof.Missing, func(s string) bool {
		return regexp.MustCompile(`^test\.big: \d lines? cannot be read, line \d the first: `).MatchString(s)
	})
	must(t, db.View(o.ctx, func(tx store.Tx) error {
		b, gone := tx.Bucket("test.big"), 3
		for key, value := range map[string]string{"a": "before", "c": "after"} { // a neighbour may share the damaged piece
			if got := b.Get([]byte(key)); string(got) == value {
				gone--
			} else if got != nil {
				t.Errorf("%s is %q", key, got)
			}
		}
		if b.Get([]byte("b")) != nil || gone == 3 {
			t.Errorf("b has %d bytes, %d of 3 are gone", len(b.Get([]byte("b"))), gone)
		}
		if lost < 0 || !slices.Contains(proof.Missing, fmt.Sprintf("test.big: %d of 3 entries are missing", gone)) {
			t.Errorf("%d are gone, missing %q", gone, proof.Missing)
		}
		return nil
	}))
	if info, err := os.Stat(filepath.Join(data, snapshot.RemainsFolder, "db/base-000001/test.big.jsonl.damaged")); err != nil || info.Size() < 5<<20 {
		t.Errorf("what is left of the line: %v, %v", info, err)
	}
}

func TestSalvageTakesTheNewestThatCanBeRead(t *testing.T) {
	t.Parallel()
	o := busy(t, 20)
	r, dir := repository(t)
	sound, _ := o.take(r)
	o.change()
	newer, _ := o.take(r)
	flip(t, filepath.Join(dir, "snapshots", newer.ID), 40)
	refused(t, dir, "snapshot "+newer.ID)
	proof, _ := restored(t, snapshot.Restore{From: dir, Key: testKey, Data: filepath.Join(t.TempDir(), "data"), Salvage: true})
	if proof.Snapshot != sound.ID || len(proof.Missing) != 1 || !strings.Contains(proof.Missing[0], newer.ID) {
		t.Errorf("restored %s, missing %q", proof.Snapshot, proof.Missing)
	}
}

// All packs are gone: an empty office must not pass for a salvaged one.
func TestSalvageOfNothing(t *testing.T) {
	t.Parallel()
	o := busy(t, 20)
	r, dir := repository(t)
	o.take(r)
	must(t, os.RemoveAll(filepath.Join(dir, "data")))
	data := filepath.Join(t.TempDir(), "data")
	_, err := snapshot.Restore{From: dir, Key: testKey, Data: data, Salvage: true}.Run(t.Context())
	wantFault(t, err, fault.Invalid, "restore.nothing")
	gone(t, data)
	gone(t, data+".restoring")
}
