package backup_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/karov-crm/karov/backup"
)

func TestStockResticReadsOurs(t *testing.T) {
	t.Parallel()
	r, dir := initRepo(t)
	first, second := nasty(1), nasty(1)
	delete(second, "one")
	second["new"] = []byte("new")
	for _, c := range []content{first, second} {
		s := snapshot(t, r, c)
		mustRestic(t, dir, "check", "--read-data")
		to := t.TempDir()
		mustRestic(t, dir, "restore", s.ID, "--target", to)
		same(t, onDisk(t, to), c)
		for _, path := range []string{"zero", "4095", "db/contact.jsonl", "deep/a/b/c/d/e/f/file", "bytes \xff\xfe\x80"} {
			if got := mustRestic(t, dir, "dump", s.ID, "/"+path); got != string(c[path]) {
				t.Errorf("dump of %q gave %d bytes of %d", path, len(got), len(c[path]))
			}
		}
	}
	mustRestic(t, dir, "stats", "--mode", "raw-data")
	if out := mustRestic(t, dir, "snapshots", "--host", "office"); strings.Count(out, "office") != 2 {
		t.Errorf("snapshots:\n%s", out)
	}
	if out, err := restic(t, dir, "other", "check"); err == nil {
		t.Errorf("another password opens the repository: %s", out)
	}
}

func TestOursReadsStockRestic(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"1", "2"} {
		t.Run("version "+version, func(t *testing.T) {
			dir, work := filepath.Join(t.TempDir(), "repo"), t.TempDir()
			first, second := nasty(2), nasty(3)
			first.write(t, work)
			mustRestic(t, dir, "init", "--repository-version", version)
			backupFolder(t, dir, work)
			second.write(t, work)
			backupFolder(t, dir, work)
			mustRestic(t, dir, "forget", "--keep-last", "1", "--prune")
			for path, data := range first {
				if _, again := second[path]; !again {
					second[path] = data
				}
			}
			r := openRepo(t, dir, testKey)
			report, err := r.Verify(t.Context(), backup.VerifyOptions{ReadData: true})
			if err != nil || !report.OK() || report.Snapshots != 1 || report.BytesRead == 0 {
				t.Errorf("verify: %+v, %v", report, err)
			}
			s, err := r.Find(t.Context(), backup.Latest)
			if err != nil {
				t.Fatal(err)
			}
			same(t, onDisk(t, filepath.Join(restore(t, r, s), work)), second)
			if _, err := r.Snapshot(t.Context(), content{}, backup.SnapshotOptions{}); (err == nil) != (version == "2") {
				t.Errorf("snapshot in version %s: %v", version, err)
			}
		})
	}
}

func backupFolder(t *testing.T, dir, work string) {
	t.Helper()
	mustRestic(t, dir, "backup", "--host", "office", work)
}

func TestSeveralKeysWithStockRestic(t *testing.T) {
	t.Parallel()
	r, dir := initRepo(t)
	s := snapshot(t, r, content{"a": []byte("a")})
	const other = "KAROV-33333-33333-33333-33333-33333-33332"
	id, err := r.AddKey(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := restic(t, dir, other, "dump", s.ID, "/a"); err != nil || out != "a" {
		t.Errorf("dump with the second key: %q, %v", out, err)
	}
	two := openRepo(t, dir, other)
	keys, err := two.Keys(t.Context())
	if err != nil || len(keys) != 2 || keys[0].Current || !keys[1].Current || keys[1].ID != id {
		t.Errorf("keys: %+v, %v", keys, err)
	}
	if err := two.RemoveKey(t.Context(), keys[0].ID); err != nil {
		t.Fatal(err)
	}
	if _, err := restic(t, dir, testKey, "check"); err == nil {
		t.Error("removed key still opens the repository")
	}
	if out, err := restic(t, dir, other, "check", "--read-data"); err != nil {
		t.Errorf("check: %s, %v", out, err)
	}
}

func TestMixedWriters(t *testing.T) {
	t.Parallel()
	r, dir := initRepo(t)
	work := t.TempDir()
	ours, theirs := nasty(4), nasty(5)
	theirs.write(t, work)
	snapshot(t, r, ours)
	backupFolder(t, dir, work)
	delete(ours, "deep/8MiB+1")
	ours["db/contact.jsonl"] = records(9, 3000)
	kept := snapshot(t, r, ours)
	mustRestic(t, dir, "forget", "--keep-last", "1", "--group-by", "host,paths", "--prune", "--max-unused", "0")
	ours["after"] = []byte("after")
	last := snapshot(t, r, ours)
	mustRestic(t, dir, "check", "--read-data")
	same(t, onDisk(t, restore(t, r, last)), ours)
	delete(ours, "after")
	same(t, onDisk(t, restore(t, r, kept)), ours)
	list, err := r.Snapshots(t.Context())
	if err != nil || len(list) != 3 || list[0].ID != last.ID {
		t.Fatalf("snapshots: %+v, %v", list, err)
	}
	for _, s := range list {
		if s.ID != kept.ID && s.ID != last.ID {
			same(t, onDisk(t, filepath.Join(restore(t, r, s), work)), theirs)
		}
	}
	report, err := r.Verify(t.Context(), backup.VerifyOptions{ReadData: true})
	if err != nil || !report.OK() || len(report.Unlisted) > 0 {
		t.Errorf("verify: %+v, %v", report, err)
	}
}

// The same big file cut by restic and by us must give the same pieces. Only the
// listing is new: 67 bytes a piece, of which there are more or fewer by chance.
func TestDeduplicatesWithStockRestic(t *testing.T) {
	t.Parallel()
	dir, work := filepath.Join(t.TempDir(), "repo"), t.TempDir()
	c := content{"file": noise(77, 12<<20)}
	c.write(t, work)
	mustRestic(t, dir, "init", "--repository-version", "2")
	backupFolder(t, dir, work)
	s := snapshot(t, openRepo(t, dir, testKey), c)
	if s.Summary.Added > 8<<10 {
		t.Errorf("%d bytes were added of a file that is stored", s.Summary.Added)
	}
}
