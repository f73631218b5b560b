package snapshot_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/blob"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/appliance/job"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/snapshot"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
	"github.com/karov-crm/karov/backup"
)

const (
	testKey  = "KAROV-22222-22222-22222-22222-22222-22222"
	otherKey = "KAROV-33333-33333-33333-33333-33333-33332"
)

// office is an appliance as main builds it, as far as a backup looks at it.
type office struct {
	t      testing.TB
	ctx    context.Context
	data   string
	db     store.DB
	book   *record.Book
	inbox  *inbox.Room
	blobs  *blob.Store
	people []record.Record
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open opens a data folder, a restored one too.
func open(t testing.TB, data string) *office {
	t.Helper()
	must(t, os.MkdirAll(filepath.Join(data, snapshot.ConfFolder), 0o700))
	db, err := bolt.Open(filepath.Join(data, snapshot.StoreFile))
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	must(t, store.Prepare(t.Context(), db, nil))
	kinds, err := schema.New(append([]schema.Entity{contact.Entity(), contact.TagEntity()}, inbox.Entities()...)...)
	must(t, err)
	gate, err := access.NewGate()
	must(t, err)
	blobs, err := blob.Open(filepath.Join(data, snapshot.BlobFolder))
	must(t, err)
	o := &office{t: t, ctx: access.WithActor(t.Context(), access.Appliance()), data: data, db: db, blobs: blobs}
	o.book = record.NewBook(record.Parts{DB: db, Schema: schema.Fixed(kinds), Gate: gate, Journal: journal.New(db, time.Now), Now: time.Now})
	contacts := contact.New(o.book, gate, "IL")
	o.inbox = inbox.New(inbox.Parts{Book: o.book, Gate: gate, Contacts: contacts, Jobs: job.NewQueue(db, time.Now), Now: time.Now})
	return o
}

// busy makes an office with customers, letters, attachments and configuration.
func busy(t testing.TB, customers int) *office {
	t.Helper()
	o := open(t, filepath.Join(t.TempDir(), "data"))
	for from := 0; from < customers; from += 200 {
		o.add(from, min(from+200, customers))
	}
	for i := range 10 {
		o.letter(i)
	}
	for name, content := range map[string]string{"secret.key": strings.Repeat("\x00\xff", 16), "tls.crt": "certificate", "tls.key": "key"} {
		must(t, os.WriteFile(filepath.Join(o.data, snapshot.ConfFolder, name), []byte(content), 0o600))
	}
	// Keys and values that are not text, as indexes and counters have.
	must(t, o.db.Update(o.ctx, func(tx store.Tx) error {
		odd := tx.Bucket("test.odd")
		for _, s := range []string{"\x00", "\xff\xfe", "a\x00b", "line\nend", "\u2028", "\ufffd", "\"", "{}"} {
			odd.Put([]byte(s), []byte(s+s))
			odd.Put([]byte("empty "+s), nil)
		}
		return nil
	}))
	return o
}

func (o *office) add(from, to int) {
	o.t.Helper()
	names := []string{"דנה כהן", "Анна Коэн", "Dan O'Brien"}
	random := rand.New(rand.NewPCG(uint64(from), 1))
	must(o.t, o.book.Update(o.ctx, func(tx store.Tx) error {
		for i := from; i < to; i++ {
			r, err := o.book.CreateTx(o.ctx, tx, record.Change{Entity: "contact", Values: record.Values{
				"name": fmt.Sprintf("%s %d", names[i%3], i), "kind": "person", "city": "חיפה", "external_id": fmt.Sprint(i),
				"phones": []string{fmt.Sprintf("+97250%07d", i)}, "note": fmt.Sprintf("%x", random.Uint64())}})
			if err != nil {
				return err
			}
			o.people = append(o.people, r)
		}
		return nil
	}))
}

func (o *office) letter(i int) {
	o.t.Helper()
	raw, _, err := o.blobs.Put(o.ctx, strings.NewReader(fmt.Sprintf("Subject: letter %d\r\n\r\nשלום", i)))
	must(o.t, err)
	must(o.t, o.inbox.Receive(o.ctx, inbox.Inbound{Channel: "email", Account: "office@example.com", ExternalID: fmt.Sprintf("%d@example.org", i),
		From: inbox.Party{Handle: fmt.Sprintf("writer%d@example.org", i), Name: "Пётр"}, Subject: fmt.Sprintf("letter %d", i),
		Text: "שלום, привет, hello", Raw: raw, SentAt: time.Now()}))
}

// change changes one customer in a hundred, by another note.
func (o *office) change() {
	o.t.Helper()
	for i := 0; i < len(o.people); i += 100 {
		r := o.people[i]
		now, err := o.book.Change(o.ctx, "contact", r.ID, r.Version(), record.Values{"note": "called again"})
		must(o.t, err)
		o.people[i] = now
	}
}

func (o *office) origin() snapshot.Origin {
	files := map[string]string{}
	for _, name := range []string{"secret.key", "tls.crt", "tls.key", "not-there"} {
		files[name] = filepath.Join(o.data, snapshot.ConfFolder, name)
	}
	return snapshot.Origin{DB: o.db, Book: o.book, Blobs: o.blobs, Config: files, Program: "test", Now: time.Now}
}

// repository makes one with the test's key.
func repository(t testing.TB) (*backup.Repository, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "repo")
	target, err := snapshot.OpenTarget(dir, true)
	must(t, err)
	r, err := backup.Init(t.Context(), target, testKey)
	must(t, err)
	t.Cleanup(func() { _ = r.Close() })
	return r, dir
}

func (o *office) take(r *backup.Repository) (backup.Snapshot, snapshot.Manifest) {
	o.t.Helper()
	s, m, err := snapshot.Take(o.ctx, r, o.origin(), nil)
	must(o.t, err)
	return s, m
}

func measure(t testing.TB, db store.DB) []snapshot.Bucket {
	t.Helper()
	buckets, err := snapshot.Measure(t.Context(), db)
	must(t, err)
	return buckets
}

// restored restores what has to succeed, and opens the store.
func restored(t testing.TB, w snapshot.Restore) (snapshot.Proof, store.DB) {
	t.Helper()
	proof, err := w.Run(t.Context())
	must(t, err)
	gone(t, w.Data+".restoring")
	db, err := bolt.Open(filepath.Join(w.Data, snapshot.StoreFile))
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return proof, db
}

// tree reads all files below a folder.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, path := range walk(t, dir) {
		raw, err := os.ReadFile(filepath.Join(dir, path))
		must(t, err)
		files[path] = string(raw)
	}
	return files
}

func walk(t testing.TB, dir string) (paths []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		below, err := filepath.Rel(dir, path)
		paths = append(paths, below)
		return err
	}))
	return paths
}

func equalTrees(t testing.TB, got, want map[string]string) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("files %v, not %v, or their contents differ", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

func gone(t testing.TB, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("%s is there: %v", path, err)
	}
}

func wantFault(t testing.TB, err error, kind fault.Kind, key string) {
	t.Helper()
	if fault.KindOf(err) != kind || fault.Of(err).Key != key {
		t.Errorf("got %v, want %s %s", err, kind, key)
	}
}

func restic(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "restic", append([]string{"-r", dir, "--no-cache"}, args...)...)
	cmd.Env = append(os.Environ(), "RESTIC_PASSWORD="+testKey)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("restic %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// flip turns one byte of a file over.
func flip(t testing.TB, path string, at int64) {
	t.Helper()
	must(t, os.Chmod(path, 0o600))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	var b [1]byte
	_, err = f.ReadAt(b[:], at)
	must(t, err)
	b[0] ^= 0xff
	_, err = f.WriteAt(b[:], at)
	must(t, err)
	must(t, f.Close())
}

// damage flips a byte of the repository that hurts exactly this file of the snapshot: one near the end, where the last
// files are, or else anywhere.
func damage(t testing.TB, r *backup.Repository, dir, path string, last bool) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 1))
	packs := walk(t, filepath.Join(dir, "data"))
	for try := range int64(2000) {
		pack := filepath.Join(dir, "data", packs[random.IntN(len(packs))])
		info, err := os.Stat(pack)
		must(t, err)
		at := random.Int64N(info.Size())
		if last {
			at = max(0, info.Size()-try*100)
		}
		if at == info.Size() {
			continue
		}
		flip(t, pack, at)
		report, err := r.Verify(t.Context(), backup.VerifyOptions{ReadData: true})
		must(t, err)
		hurt := map[string]bool{}
		for _, d := range report.Damage {
			for _, h := range d.Hurts {
				hurt[h.Path] = true
			}
		}
		if len(hurt) == 1 && hurt[path] {
			return
		}
		flip(t, pack, at)
	}
	t.Fatalf("no byte found that hurts only %s", path)
}
