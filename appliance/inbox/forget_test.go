package inbox

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
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
	"github.com/karov-crm/karov/appliance/job"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/snapshot"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/backup"
)

// traces are what nobody may read anywhere once the person is forgotten: as it was written, and as it is found by.
func traces() []string {
	return []string{"Zebulon", "zebulon", "Quagga", "quagga", "5499988", "54-999-88", "wombat", "Wombat", "narwhal", "ext-4711"}
}

const (
	quaggaMail = "zebulon@quagga.example"
	otherMail  = "dana@example.com"
)

// person makes a customer with a history: letters in and out, a change, a deletion, an import, files of his own and one
// that another customer has too. It gives him and the files: his own, and the common one.
func (o *office) person(letters int, blobs *blob.Store) (who contact.Contact, own, common string) {
	o.t.Helper()
	owner := as(o.t, access.Owner)
	put := func(text string) string {
		hash, _, err := blobs.Put(o.t.Context(), strings.NewReader(text))
		must(o.t, err)
		return hash
	}
	own, common = put("the file of wombat"), put("the house's price list")
	_, errs, err := o.people.Import(owner, []contact.Draft{
		{Name: "Zebulon Quagga", Phones: []string{"054-999-8877"}, Emails: []string{quaggaMail}, ExternalID: "ext-4711", Key: "import:row1"},
		{Name: "Dana", Emails: []string{otherMail}, Key: "import:row2"}}, false)
	must(o.t, errors.Join(append(errs, err)...))
	for i := range letters {
		in := mail(fmt.Sprintf("n%d@quagga.example", i), quaggaMail)
		in.From.Name, in.Subject, in.Text = "Zebulon Quagga", fmt.Sprint("wombat ", i), "About the narwhal, wombat and all"
		if i > 0 {
			in.InReplyTo = []string{"n0@quagga.example"}
		}
		if i%3 == 0 {
			in.Raw, in.Attachments = own, []Attachment{{Name: "wombat.pdf", Blob: common}, {Name: "narwhal.pdf", Blob: own}}
		}
		must(o.t, o.Receive(as(o.t, access.Plugin, "plugin:email"), in))
	}
	other := mail("other@example.com", otherMail)
	other.Attachments = []Attachment{{Name: "list.pdf", Blob: common}}
	must(o.t, o.Receive(as(o.t, access.Plugin, "plugin:email"), other))
	for _, c := range o.list(AllOpen) {
		if c.Handle == quaggaMail {
			_, err = o.Reply(owner, c.ID, Reply{Text: "Dear Zebulon", Key: "k"})
			must(o.t, err)
			who, err = o.people.Get(owner, c.Contact)
			must(o.t, err)
		}
	}
	who, err = o.people.Change(owner, who.ID, who.Version, record.Values{"note": "keeps a wombat", "owner": "dana"})
	must(o.t, err)
	who, err = o.people.Change(owner, who.ID, who.Version, record.Values{"note": "keeps a narwhal", "name": "Zebulon of Quagga"})
	must(o.t, err)
	// One letter lies in the bin.
	page, err := o.book.List(owner, record.Query{Entity: "message", Limit: 1})
	must(o.t, err)
	must(o.t, o.book.Delete(owner, "message", page.Records[0].ID, page.Records[0].Version()))
	return who, own, common
}

// left lists the buckets in which a trace stands, in keys or values.
func (o *office) left(t testing.TB) (found []string) {
	t.Helper()
	must(t, o.db.View(t.Context(), func(tx store.Tx) error {
		for _, name := range tx.Buckets() {
			for key, value := range tx.Bucket(name).Scan(nil, nil, false) {
				for _, trace := range traces() {
					if bytes.Contains(key, []byte(trace)) || bytes.Contains(value, []byte(trace)) {
						found = append(found, fmt.Sprintf("%s in %s %q", trace, name, key))
					}
				}
			}
		}
		return nil
	}))
	return found
}

// erase runs the job of forgetting until it is done.
func (o *office) erase(t testing.TB, id record.ID) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	r := job.NewRunner(o.queue, slog.New(slog.NewTextHandler(io.Discard, nil)), 1, o.people.Jobs()...)
	go func() { defer close(done); _ = r.Run(ctx) }()
	defer func() { cancel(); <-done }()
	for range 4000 {
		stones, err := o.people.Tombstones(as(t, access.Owner))
		must(t, err)
		if slices.ContainsFunc(stones, func(s contact.Tombstone) bool { return s.Contact == id && s.Done }) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("the person is never forgotten")
}

func (o *office) withErasure(blobs *blob.Store) {
	o.people.SetErasure(contact.Erasure{Jobs: o.queue, Blobs: blobs, Scrub: o.db.Scrub})
}

// TestForgetLeavesNothing forgets somebody with a short and with a long history, and looks for him in every bucket, in
// the bytes of the store's file, among the attachments and in a snapshot.
func TestForgetLeavesNothing(t *testing.T) {
	for _, letters := range []int{7, 700} {
		dir := t.TempDir()
		o, err := build(dir)
		must(t, err)
		o.t = t
		blobs, err := blob.Open(filepath.Join(dir, "blobs"))
		must(t, err)
		o.withErasure(blobs)
		who, own, common := o.person(letters, blobs)
		if len(o.left(t)) < 20 {
			t.Fatal("the person left too few traces for the test to show anything")
		}
		wantKind(t, "forget an older version", o.people.Forget(as(t, access.Owner), who.ID, who.Version-1, "request"), "conflict")
		must(t, o.people.Forget(as(t, access.Manager), who.ID, who.Version, "request"))
		for _, query := range []string{"zebulon", "quagga", "0549998877"} {
			if hits, err := o.index.Find(as(t, access.Owner), query, 5); err != nil || len(hits) != 0 {
				t.Errorf("%d letters: at once %q still finds %v, %v", letters, query, hits, err)
			}
		}
		if c, err := o.people.Get(as(t, access.Owner), who.ID); fault.KindOf(err) != fault.NotFound && (err != nil || c.Name+c.Note != "" || len(c.Phones)+len(c.Emails) != 0) {
			t.Errorf("%d letters: at once the card shows %+v, %v", letters, c, err)
		}
		o.erase(t, who.ID)
		must(t, o.book.Check(t.Context()))
		if left := o.left(t); len(left) != 0 {
			t.Errorf("%d letters: %d traces stand, as %s", letters, len(left), left[0])
		}
		n, _, err := o.people.Count(as(t, access.Owner))
		must(t, err)
		if list := o.list(AllOpen); n != 1 || len(list) != 1 || list[0].Handle != otherMail {
			t.Errorf("%d customers and conversations %+v are left", n, list)
		}
		if _, err := blobs.Open(own); fault.KindOf(err) != fault.NotFound {
			t.Errorf("his own file is there: %v", err)
		}
		if f, err := blobs.Open(common); err != nil {
			t.Errorf("a file that another has too is gone: %v", err)
		} else {
			must(t, f.Close())
		}
		if good, err := o.facts.Verify(t.Context()); err != nil {
			t.Errorf("the journal holds for %d facts: %v", good, err)
		}
		lookInSnapshot(t, o, blobs)
		must(t, o.db.Close())
		raw, err := os.ReadFile(filepath.Join(dir, "karov.db"))
		must(t, err)
		for _, trace := range traces() {
			if n := bytes.Count(raw, []byte(trace)); n > 0 {
				t.Errorf("%d letters: %q stands in the store's file %d times", letters, trace, n)
			}
		}
	}
}

// lookInSnapshot makes a backup, restores its files as stock restic would, and looks for traces in each.
func lookInSnapshot(t *testing.T, o *office, blobs *blob.Store) {
	t.Helper()
	const key = "KAROV-22222-22222-22222-22222-22222-22222"
	target, err := snapshot.OpenTarget(filepath.Join(t.TempDir(), "repo"), true)
	must(t, err)
	normal, err := backup.NormalizeRecoveryKey(key)
	must(t, err)
	repository, err := backup.Init(t.Context(), target, normal)
	must(t, err)
	defer repository.Close()
	made, _, err := snapshot.Take(t.Context(), repository, snapshot.Origin{DB: o.db, Book: o.book, Blobs: blobs, Program: "test", Now: time.Now}, nil)
	must(t, err)
	out, files := filepath.Join(t.TempDir(), "out"), 0
	_, err = repository.Restore(t.Context(), made, out, backup.RestoreOptions{})
	must(t, err)
	must(t, filepath.WalkDir(out, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		raw, err := os.ReadFile(path)
		for line := range bytes.Lines(raw) {
			var pair struct{ Vx string }
			if json.Unmarshal(line, &pair) == nil {
				value, _ := base64.StdEncoding.DecodeString(pair.Vx)
				line = append(bytes.Clone(line), value...)
			}
			for _, trace := range traces() {
				if bytes.Contains(line, []byte(trace)) {
					t.Errorf("%q stands in the snapshot's %s", trace, filepath.Base(path))
				}
			}
		}
		return err
	}))
	if files < 8 {
		t.Errorf("the snapshot has %d files only", files)
	}
}

// TestForgottenStaysForgotten brings the person back in every way: the same mail again changes nothing, the same import
// is refused unless somebody insists, an old backup's copy goes again, and a new letter is from a new customer.
func TestForgottenStaysForgotten(t *testing.T) {
	o := open(t)
	blobs, err := blob.Open(filepath.Join(t.TempDir(), "blobs"))
	must(t, err)
	o.withErasure(blobs)
	who, _, _ := o.person(4, blobs)
	must(t, o.people.Forget(as(t, access.Owner), who.ID, who.Version, "request"))
	o.erase(t, who.ID)

	again := mail("n1@quagga.example", quaggaMail)
	must(t, o.Receive(as(t, access.Plugin, "plugin:email"), again))
	if n := len(o.list(AllOpen)); n != 1 {
		t.Errorf("the same mail again makes %d conversations", n)
	}
	for what, d := range map[string]contact.Draft{
		"the same row":       {Name: "Zebulon Quagga", Key: "import:row1"},
		"the address":        {Name: "Z", Emails: []string{"ZEBULON@quagga.example"}},
		"the phone":          {Name: "Z", Phones: []string{"+972 54 999 88 77"}},
		"the other system's": {Name: "Z", ExternalID: "ext-4711"},
	} {
		outcomes, errs, err := o.people.Import(as(t, access.Owner), []contact.Draft{d, {Name: "Somebody else", Key: what}}, true)
		must(t, err)
		if f := fault.Of(errs[0]); f.Kind != fault.Invalid || len(f.Fields) != 1 || f.Fields[0].Key != "contact.forgotten" || outcomes[1] != contact.Created || errs[1] != nil {
			t.Errorf("import of %s: %v %v", what, outcomes, errs)
		}
		d.Anew = true
		outcomes, errs, err = o.people.Import(as(t, access.Owner), []contact.Draft{d}, true)
		must(t, errors.Join(append(errs, err)...))
		if outcomes[0] != contact.Created {
			t.Errorf("import of %s anew: %v", what, outcomes)
		}
	}
	for handle, want := range map[string]bool{quaggaMail: true, otherMail: false, "": false} {
		if yes, err := o.people.Forgotten(as(t, access.Agent), contact.Email, handle); err != nil || yes != want {
			t.Errorf("Forgotten(%q) = %v, %v", handle, yes, err)
		}
	}
	fresh := mail("fresh@quagga.example", quaggaMail)
	must(t, o.Receive(as(t, access.Plugin, "plugin:email"), fresh))
	list := o.list(AllOpen)
	if len(list) != 2 || list[0].Contact == who.ID && list[1].Contact == who.ID {
		t.Errorf("a new letter: %+v", list)
	}
}

// TestRestoredBackupForgetsAgain restores a store from before the person was forgotten: his tombstone, kept elsewhere,
// sends him away again.
func TestRestoredBackupForgetsAgain(t *testing.T) {
	dir, old := t.TempDir(), t.TempDir()
	o, err := build(dir)
	must(t, err)
	o.t = t
	blobs, err := blob.Open(filepath.Join(dir, "blobs"))
	must(t, err)
	o.withErasure(blobs)
	who, _, _ := o.person(10, blobs)
	f, err := os.Create(filepath.Join(old, "karov.db"))
	must(t, err)
	_, err = o.db.Copy(t.Context(), f)
	must(t, errors.Join(err, f.Close()))
	must(t, o.people.Forget(as(t, access.Owner), who.ID, who.Version, "withdrawn"))
	o.erase(t, who.ID)
	stones, err := o.people.Tombstones(as(t, access.Owner))
	must(t, errors.Join(err, o.db.Close()))

	b, err := build(old)
	must(t, err)
	defer b.db.Close()
	b.t = t
	b.withErasure(blobs)
	if len(b.left(t)) < 20 {
		t.Fatal("the old store has no traces: the test shows nothing")
	}
	back, err := b.people.Rebury(as(t, access.Owner), stones)
	must(t, err)
	b.erase(t, who.ID)
	if left := b.left(t); back != 1 || len(left) != 0 {
		t.Errorf("%d came back, traces %v", back, left)
	}
	if back, err = b.people.Rebury(as(t, access.Owner), stones); back != 0 || err != nil {
		t.Errorf("again: %d came back, %v", back, err)
	}
}

func TestForgetIsForThoseWhoMay(t *testing.T) {
	o := open(t)
	blobs, err := blob.Open(filepath.Join(t.TempDir(), "blobs"))
	must(t, err)
	who, _, _ := o.person(2, blobs)
	for role, kind := range map[access.Role]string{access.Agent: "not-found", access.Viewer: "forbidden", access.Plugin: "not-found"} {
		wantKind(t, string(role), o.people.Forget(as(t, role), who.ID, who.Version, "request"), kind)
	}
	wantKind(t, "nobody", o.people.Forget(t.Context(), who.ID, who.Version, "request"), "unauthenticated")
	wantKind(t, "an agent's own", o.people.Forget(as(t, access.Agent, "dana"), who.ID, who.Version, "request"), "forbidden")
	wantKind(t, "for a reason in words", o.people.Forget(as(t, access.Owner), who.ID, who.Version, "Zebulon rang"), "invalid")
	wantKind(t, "nobody there", o.people.Forget(as(t, access.Owner), record.NewID(), 1, "request"), "not-found")
	if c, err := o.people.Get(as(t, access.Owner), who.ID); err != nil || c.Name == "" {
		t.Errorf("after refusals: %+v, %v", c, err)
	}
	// Without a queue it is done when Forget returns.
	must(t, o.people.Forget(as(t, access.Owner), who.ID, who.Version, "mistake"))
	if left := o.left(t); len(left) != 0 {
		t.Errorf("traces %v", left)
	}
	if _, err := o.people.Tombstones(as(t, access.Manager)); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("tombstones for a manager: %v", err)
	}
}

// childEnv makes the test program forget somebody in a folder until it is killed.
const childEnv = "KAROV_TEST_FORGET"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if err := forgetInChild(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// forgetInChild forgets the person of a folder and says a line for each letter it erases.
func forgetInChild(dir string) error {
	o, err := build(dir)
	if err != nil {
		return err
	}
	blobs, err := blob.Open(filepath.Join(dir, "blobs"))
	if err != nil {
		return err
	}
	o.withErasure(blobs)
	o.people.WhenErased("message", func(context.Context, store.Tx, record.Record) error {
		_, err := fmt.Println("erased")
		return err
	})
	ctx := access.WithActor(context.Background(), access.Appliance())
	var id record.ID
	err = o.book.View(ctx, func(tx store.Tx) error {
		id = o.people.KnownTx(tx, contact.Email, quaggaMail)[0]
		return nil
	})
	if err != nil {
		return err
	}
	who, err := o.people.Get(ctx, id)
	if err != nil {
		return err
	}
	if err := o.people.Forget(ctx, who.ID, who.Version, "request"); err != nil {
		return err
	}
	return job.NewRunner(o.queue, slog.New(slog.NewTextHandler(io.Discard, nil)), 1, o.people.Jobs()...).Run(ctx)
}

// TestForgetSurvivesKills kills the process after so many erased letters, in a transaction or between two: what was
// begun is ended by the next process.
func TestForgetSurvivesKills(t *testing.T) {
	first := t.TempDir()
	o, err := build(first)
	must(t, err)
	o.t = t
	blobs, err := blob.Open(filepath.Join(first, "blobs"))
	must(t, err)
	who, own, _ := o.person(1000, blobs)
	must(t, o.db.Close())
	for _, letters := range []int{1, 299, 302, 450, 777, 990} {
		dir := t.TempDir()
		must(t, os.CopyFS(dir, os.DirFS(first)))
		killed := killedAfter(t, dir, letters)
		b, err := build(dir)
		must(t, err)
		b.t = t
		blobs, err := blob.Open(filepath.Join(dir, "blobs"))
		must(t, err)
		b.withErasure(blobs)
		must(t, b.book.Check(t.Context()))
		stones, err := b.people.Tombstones(as(t, access.Owner))
		must(t, err)
		left, _, err := b.book.Count(as(t, access.Owner), record.Query{Entity: "message"})
		must(t, err)
		t.Logf("killed after %d erased letters: %d messages are left, tombstones %d", killed, left, len(stones))
		if len(stones) == 0 { // Forget never returned: nothing happened
			now, err := b.people.Get(as(t, access.Owner), who.ID)
			must(t, err)
			must(t, b.people.Forget(as(t, access.Owner), who.ID, now.Version, "request"))
		} else if hits, err := b.index.Find(as(t, access.Owner), "zebulon", 5); err != nil || len(hits) != 0 {
			t.Errorf("after the kill he is found: %v, %v", hits, err)
		}
		b.erase(t, who.ID)
		if left := b.left(t); len(left) != 0 {
			t.Errorf("killed after %d: %d traces stand, as %s", killed, len(left), left[0])
		}
		if _, err := blobs.Open(own); fault.KindOf(err) != fault.NotFound {
			t.Errorf("killed after %d: his own file is there: %v", killed, err)
		}
		must(t, b.book.Check(t.Context()))
		must(t, b.db.Close())
	}
}

// killedAfter forgets the person in another process, kills it when it has erased so many letters, and says how many
// it came to.
func killedAfter(t *testing.T, dir string, letters int) (erased int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if erased++; erased == letters {
			must(t, cmd.Process.Kill())
		}
	}
	if err := cmd.Wait(); err == nil || erased < letters {
		t.Fatalf("the process ended by itself after %d letters: %v", erased, err)
	}
	return erased
}
