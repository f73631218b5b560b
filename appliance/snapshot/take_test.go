package snapshot_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/snapshot"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/backup"
)

func TestRestoreIsWhatWasTaken(t *testing.T) {
	t.Parallel()
	o := busy(t, 2000)
	r, dir := repository(t)
	s, m := o.take(r)
	if m.Attachments != 10 || m.Count("record.contact") != 2010 || m.Count("record.message") != 10 || m.Count("none") != 0 || len(m.Rotten) > 0 {
		t.Errorf("manifest %+v", m)
	}
	was := measure(t, o.db)
	o.change() // what comes later is not in it
	data := filepath.Join(t.TempDir(), "new", "data")
	proof, db := restored(t, snapshot.Restore{From: dir, Key: strings.ToLower(strings.ReplaceAll(testKey, "-", " ")), Data: data})
	if !proof.Equal() || proof.Snapshot != s.ID || !slices.Equal(proof.Buckets, was) || !slices.Equal(measure(t, db), was) || !slices.Equal(m.Buckets, was) {
		t.Errorf("proof %+v\nwas %+v", proof, was)
	}
	for _, below := range []string{snapshot.BlobFolder, snapshot.ConfFolder} {
		want := tree(t, filepath.Join(o.data, below))
		if len(want) < 3 {
			t.Fatalf("%s holds only %d files", below, len(want))
		}
		equalTrees(t, tree(t, filepath.Join(data, below)), want)
	}
	must(t, db.Close())
	again := open(t, data)
	must(t, again.book.Check(again.ctx))
	got, err := again.book.Get(again.ctx, "contact", o.people[7].ID)
	if err != nil || got.Text("name") != o.people[7].Text("name") {
		t.Errorf("a customer: %v, %v", got.Fields(), err)
	}
	info, err := os.Stat(filepath.Join(data, snapshot.ConfFolder, "secret.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the key of secrets: %v, %v", info.Mode(), err)
	}
	if entries, err := os.ReadDir(data); err != nil || len(entries) != 3 {
		t.Errorf("data folder holds %v, %v", entries, err)
	}
}

func TestStockResticReadsTheSnapshot(t *testing.T) {
	t.Parallel()
	o := busy(t, 300)
	r, dir := repository(t)
	_, m := o.take(r)
	restic(t, dir, "check", "--read-data")
	to := t.TempDir()
	restic(t, dir, "restore", "latest", "--target", to)
	files := tree(t, to)
	if !strings.Contains(files["README.txt"], "karov restore") || files["config/secret.key"] != strings.Repeat("\x00\xff", 16) {
		t.Errorf("files %v", len(files))
	}
	var read snapshot.Manifest
	if err := json.Unmarshal([]byte(files["manifest.json"]), &read); err != nil || fmt.Sprint(read) != fmt.Sprint(m) {
		t.Errorf("manifest %+v, not %+v, %v", read, m, err)
	}
	for _, b := range m.Buckets {
		count := 0
		for text := range strings.Lines(files["db/base-000001/"+b.Name+".jsonl"]) {
			count++
			var line map[string]any
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				t.Errorf("%s: %q: %v", b.Name, text, err)
			}
			if fields, _ := line["read"].(map[string]any); b.Name == "record.contact" && fields["id"] == nil {
				t.Errorf("line of a customer cannot be read by people: %s", text)
			}
		}
		if count != b.Count {
			t.Errorf("%s: %d lines for %d entries", b.Name, count, b.Count)
		}
	}
	if lines := files["db/base-000001/record.contact.jsonl"]; !strings.Contains(lines, "דנה כהן 0") || !strings.Contains(lines, "Анна Коэн 1") {
		t.Error("names of customers cannot be read")
	}
	if _, there := files["config/not-there"]; there || len(files) != len(m.Buckets)+10+3+2 {
		t.Errorf("%d files", len(files))
	}
}

// Writers move one from a to b, bring attachments and write the manifest's own buckets while the snapshot is made: in
// it the sum must be what it always is, every attachment that a record names must be there, and the manifest must fit.
func TestASnapshotShowsOneMoment(t *testing.T) {
	t.Parallel()
	o := busy(t, 1500)
	const stock = 1000
	set := func(tx store.Tx, bucket string, n uint64) {
		tx.Bucket(bucket).Put([]byte("n"), binary.BigEndian.AppendUint64(nil, n))
	}
	get := func(tx store.Tx, bucket string) uint64 {
		return binary.BigEndian.Uint64(tx.Bucket(bucket).Get([]byte("n")))
	}
	must(t, o.db.Update(o.ctx, func(tx store.Tx) error {
		set(tx, "aaa.first", stock) // read first, and zzz last
		set(tx, "zzz.last", stock)
		return nil
	}))
	stop, wrote := make(chan struct{}), make(chan struct{})
	var writers sync.WaitGroup
	writers.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			hash, _, err := o.blobs.Put(o.ctx, strings.NewReader(fmt.Sprint("attachment ", i)))
			if err != nil {
				t.Error(err)
				return
			}
			if err := o.db.Update(o.ctx, func(tx store.Tx) error {
				set(tx, "aaa.first", get(tx, "aaa.first")-1)
				set(tx, "zzz.last", get(tx, "zzz.last")+1)
				tx.Bucket("test.named").Put([]byte(hash), nil)
				return nil
			}); err != nil {
				t.Error(err)
				return
			}
			if i == 3 {
				close(wrote)
			}
		}
	})
	<-wrote
	r, dir := repository(t)
	for range 3 {
		o.take(r)
		data := filepath.Join(t.TempDir(), "data")
		proof, db := restored(t, snapshot.Restore{From: dir, Key: testKey, Data: data})
		if !proof.Equal() {
			t.Errorf("missing %v", proof.Missing)
		}
		files := tree(t, filepath.Join(data, snapshot.BlobFolder))
		must(t, db.View(o.ctx, func(tx store.Tx) error {
			if sum := get(tx, "aaa.first") + get(tx, "zzz.last"); sum != 2*stock {
				t.Errorf("the snapshot shows two moments: %d", sum)
			}
			for hash := range tx.Bucket("test.named").Scan(nil, nil, false) {
				h := string(hash)
				if _, ok := files[filepath.Join(h[:2], h[2:4], h)]; !ok {
					t.Errorf("attachment %s is named and not there", h)
				}
			}
			return nil
		}))
	}
	close(stop)
	writers.Wait()
}

func TestSmallChangesAddLittle(t *testing.T) {
	t.Parallel()
	o := busy(t, 10000)
	r, dir := repository(t)
	first, _ := o.take(r)
	again, _ := o.take(r)
	if again.Summary.Added > 16<<10 { // the manifest and three listings
		t.Errorf("nothing changed and %d bytes were added", again.Summary.Added)
	}
	o.change()
	changed, m := o.take(r)
	t.Logf("first %d bytes, 1 %% changed %d bytes", first.Summary.Added, changed.Summary.Added)
	// A changed customer stands in three places (the record, its time of change as it was, its history), each in a piece
	// of 16 KiB on average, whatever the size of the office. How the pieces fall differs from run to run.
	const places, piece = 3, 16 << 10
	if limit := uint64(len(o.people) / 100 * places * piece); changed.Summary.Added == 0 || uint64(changed.Summary.Added) > limit {
		t.Errorf("1 %% changed: %d of %d bytes were added, more than %d", changed.Summary.Added, first.Summary.Added, limit)
	}
	proof, _ := restored(t, snapshot.Restore{From: dir, Key: testKey, Data: filepath.Join(t.TempDir(), "data")})
	if !proof.Equal() || !slices.Equal(proof.Buckets, m.Buckets) || proof.Snapshot != changed.ID {
		t.Errorf("the newest: %+v", proof)
	}
	proof, _ = restored(t, snapshot.Restore{From: dir, Key: testKey, Snapshot: first.ID[:10], Data: filepath.Join(t.TempDir(), "data")})
	if !proof.Equal() || proof.Snapshot != first.ID {
		t.Errorf("the first: %+v", proof)
	}
}

func TestARottenAttachmentDoesNotEndBackups(t *testing.T) {
	t.Parallel()
	o := busy(t, 10)
	hash, _, err := o.blobs.Put(o.ctx, bytes.NewReader(make([]byte, 3<<20)))
	must(t, err)
	flip(t, filepath.Join(o.data, snapshot.BlobFolder, hash[:2], hash[2:4], hash), 1<<20)
	r, dir := repository(t)
	_, m := o.take(r)
	if !slices.Equal(m.Rotten, []string{hash}) || m.Attachments != 11 {
		t.Errorf("manifest %+v", m)
	}
	data := filepath.Join(t.TempDir(), "data")
	proof, _ := restored(t, snapshot.Restore{From: dir, Key: testKey, Data: data})
	if !proof.Equal() || !slices.Equal(proof.Manifest.Rotten, m.Rotten) {
		t.Errorf("proof %+v", proof)
	}
	equalTrees(t, tree(t, filepath.Join(data, snapshot.BlobFolder)), tree(t, filepath.Join(o.data, snapshot.BlobFolder)))
}

func TestASnapshotOfSomethingElseIsPassedOver(t *testing.T) {
	t.Parallel()
	o := busy(t, 10)
	r, dir := repository(t)
	ours, _ := o.take(r)
	restic(t, dir, "backup", o.data)
	proof, _ := restored(t, snapshot.Restore{From: dir, Key: testKey, Data: filepath.Join(t.TempDir(), "data")})
	if proof.Snapshot != ours.ID {
		t.Errorf("restored %s", proof.Snapshot)
	}
	list, err := r.Snapshots(t.Context())
	must(t, err)
	i := slices.IndexFunc(list, func(s backup.Snapshot) bool { return s.ID != ours.ID })
	to := filepath.Join(t.TempDir(), "data")
	_, err = snapshot.Restore{From: dir, Key: testKey, Snapshot: list[i].ID, Data: to}.Run(t.Context())
	wantFault(t, err, fault.Invalid, "restore.no-manifest")
	gone(t, to)
	gone(t, to+".restoring")
}
