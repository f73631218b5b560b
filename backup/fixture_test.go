package backup_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/karov-crm/karov/backup"
)

// The fixtures were written by restic 0.14.0: they must stay readable whatever
// restic is installed where the tests run.
func TestFixturesOfStockRestic(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"restic-0.14-version-1", "restic-0.14-version-2"} {
		dir := filepath.Join(t.TempDir(), name)
		if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", name))); err != nil {
			t.Fatal(err)
		}
		r := openRepo(t, dir, testKey)
		report, err := r.Verify(t.Context(), backup.VerifyOptions{ReadData: true})
		if err != nil || !report.OK() || report.Files != 3 {
			t.Errorf("%s: verify: %+v, %v", name, report, err)
		}
		s, err := r.Find(t.Context(), backup.Latest)
		if err != nil {
			t.Fatal(err)
		}
		to := restore(t, r, s)
		if link, err := os.Readlink(filepath.Join(to, "link")); err != nil || link != "db/a.jsonl" {
			t.Errorf("%s: link: %q, %v", name, link, err)
		}
		same(t, onDisk(t, to), content{"db/a.jsonl": []byte("{\"id\":1}\n"), "q\"uote/b": []byte("x"), "empty": {}, "link": []byte("{\"id\":1}\n")})
	}
}
