package attachment

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/blob"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

// desk is an office whose notes hold files, with a clock that is set by hand.
type desk struct {
	*Room
	now time.Time
}

func as(t *testing.T, id string, role access.Role) context.Context {
	return access.WithActor(t.Context(), access.Actor{ID: id, Role: role})
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "karov.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := store.Prepare(t.Context(), db, nil); err != nil {
		t.Fatal(err)
	}
	gate, err := access.NewGate()
	if err != nil {
		t.Fatal(err)
	}
	kinds, err := schema.New(schema.Entity{Name: "note", Title: "title", Fields: []schema.Field{
		{Number: 16, Name: "title", Type: schema.Text},
		{Number: 17, Name: "papers", Type: schema.File, Many: true},
		{Number: 18, Name: "photo", Type: schema.Picture},
	}}, schema.Entity{Name: "plain", Fields: []schema.Field{{Number: 16, Name: "title", Type: schema.Text}}})
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := blob.Open(filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{now: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return d.now }
	facts := journal.New(db, clock)
	book := record.NewBook(record.Parts{DB: db, Schema: schema.Fixed(kinds), Gate: gate, Journal: facts, Now: clock})
	d.Room = New(book, gate, facts, blobs, clock)
	return d
}

func (d *desk) upload(t *testing.T, ctx context.Context, text string) schema.Attachment {
	t.Helper()
	a, err := d.Put(ctx, "paper.txt", "text/plain", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func keyOf(err error) string {
	if err == nil {
		return ""
	}
	f := fault.Of(err)
	if len(f.Fields) > 0 {
		return f.Fields[0].Key
	}
	return f.Key
}

// TestWhoMayNameABlob: the one who uploaded it, within a day, as it was uploaded; and the record that held it, for ever.
func TestWhoMayNameABlob(t *testing.T) {
	d := newDesk(t)
	dana, yossi := as(t, "dana", access.Owner), as(t, "yossi", access.Owner)
	a := d.upload(t, dana, "a paper")
	larger, other := a, a
	larger.Size++
	other.Type = "text/html"
	renamed := a
	renamed.Name = "another name.txt"
	for i, c := range []struct {
		ctx  context.Context
		file schema.Attachment
		want string
	}{{yossi, a, "attachment.not-yours"}, {dana, larger, "attachment.not-yours"}, {dana, other, "attachment.not-yours"}, {dana, renamed, ""}, {dana, a, ""},
		{access.WithActor(t.Context(), access.Appliance()), a, ""}} {
		_, err := d.book.Create(c.ctx, "note", record.Values{"papers": []schema.Attachment{c.file}})
		if got := keyOf(err); got != c.want {
			t.Errorf("case %d: %q, want %q", i, got, c.want)
		}
	}
	r, err := d.book.Create(dana, "note", record.Values{"papers": []schema.Attachment{a}})
	if err != nil {
		t.Fatal(err)
	}
	d.now = d.now.Add(uploadLife + time.Second)
	if _, err := d.book.Create(dana, "note", record.Values{"papers": []schema.Attachment{a}}); keyOf(err) != "attachment.not-yours" {
		t.Errorf("after a day: %v", err)
	}
	if r, err = d.book.Change(yossi, "note", r.ID, r.Version(), record.Values{"title": "kept", "papers": []schema.Attachment{a}}); err != nil {
		t.Errorf("a change that leaves the file: %v", err)
	}
	if r, err = d.book.Change(yossi, "note", r.ID, r.Version(), record.Values{"papers": nil}); err != nil {
		t.Fatal(err)
	}
	if r, err = d.book.Change(yossi, "note", r.ID, r.Version(), record.Values{"papers": []schema.Attachment{a}}); err != nil {
		t.Errorf("the record's own file again: %v", err)
	}
	if err := d.book.Delete(dana, "note", r.ID, r.Version()); err != nil {
		t.Fatal(err)
	}
	if _, err := d.book.Restore(dana, "note", r.ID); err != nil {
		t.Errorf("restore: %v", err)
	}
	_, body, err := d.Open(yossi, "note", r.ID, "papers", 0)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(body); err != nil || string(text) != "a paper" {
		t.Errorf("%q, %v", text, err)
	}
	if err := body.Close(); err != nil {
		t.Error(err)
	}
}

// TestUploadsAreBounded: one account fills no disk, and what a day has passed over counts no more.
func TestUploadsAreBounded(t *testing.T) {
	d := newDesk(t)
	dana := as(t, "dana", access.Owner)
	if _, err := d.Put(as(t, "eve", access.Viewer), "x", "text/plain", strings.NewReader("x")); keyOf(err) != "attachment.nowhere" {
		t.Errorf("who can put a file nowhere: %v", err)
	}
	for i := range maxUploads {
		a := schema.Attachment{Blob: strings.Repeat("0", 56) + string("0123456789abcdef"[i>>8&15]) + "0" + hexOf(byte(i)) + "0000", Size: 1, Type: "text/plain"}
		if err := d.book.Update(dana, func(tx store.Tx) error { return d.remember(tx, "dana", a, nil) }); err != nil {
			t.Fatal(i, err)
		}
	}
	if _, err := d.Put(dana, "x", "text/plain", strings.NewReader("x")); fault.KindOf(err) != fault.TooMany {
		t.Errorf("one too many: %v", err)
	}
	if _, err := d.Put(as(t, "yossi", access.Owner), "x", "text/plain", strings.NewReader("x")); err != nil {
		t.Errorf("somebody else: %v", err)
	}
	d.now = d.now.Add(uploadLife + time.Second)
	d.upload(t, dana, "the next day")
	n := 0
	if err := d.book.View(t.Context(), func(tx store.Tx) error {
		for range tx.Bucket(uploadsBucket).Scan([]byte("dana\x00"), []byte("dana\x01"), false) {
			n++
		}
		return nil
	}); err != nil || n != 1 {
		t.Errorf("%d uploads are remembered, %v", n, err)
	}
}

func hexOf(b byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[b>>4], digits[b&15]})
}

// TestBrokenUploads leave nothing that could be named.
func TestBrokenUploads(t *testing.T) {
	d := newDesk(t)
	dana := as(t, "dana", access.Owner)
	broken := errors.New("the line broke")
	if _, err := d.Put(dana, "x", "text/plain", io.MultiReader(strings.NewReader("half"), failing{broken})); !errors.Is(err, broken) {
		t.Errorf("a broken upload: %v", err)
	}
	for hash := range d.blobs.All() {
		t.Errorf("%s stays", hash)
	}
	for _, c := range []struct{ name, media, text, want string }{
		{"", "text/plain", "x", "attachment.name"}, {"a/b", "text/plain", "x", "attachment.name"}, {"..", "text/plain", "x", "attachment.name"},
		{"a\u202eb", "text/plain", "x", "attachment.name"}, {"x", "", "x", "attachment.type"}, {"x", "image/png", "GIF89a", "field.picture"},
		{"x", "image/avif", "\x00\x00\x00\x1cftypheic", "field.picture"},
		{"x", "image/gif", "GIF89a", ""}, {"x", "image/avif", "\x00\x00\x00\x1cftypavif", ""}, {"x", "image/svg+xml", "<svg/>", ""},
	} {
		_, err := d.Put(dana, c.name, c.media, strings.NewReader(c.text))
		if got := keyOf(err); got != c.want {
			t.Errorf("%q as %s: %q, want %q (%v)", c.name, c.media, got, c.want, err)
		}
	}
	svg, err := d.Put(dana, "x.svg", "image/svg+xml", strings.NewReader("<svg/>"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.book.Create(dana, "note", record.Values{"photo": svg}); keyOf(err) != "field.picture" {
		t.Errorf("a document that holds script as a picture: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestPutWith takes files of one whose uploads somebody else bounds, in the transaction of that one's own books.
func TestPutWith(t *testing.T) {
	d := newDesk(t)
	dana := as(t, "dana", access.Owner)
	kept := 0
	keep := func(tx store.Tx, a schema.Attachment) error {
		if kept++; kept == 2 {
			return fault.New(fault.TooLarge, "attachment.too-many")
		}
		tx.Bucket("test.kept").Put([]byte(a.Blob), []byte("x"))
		return nil
	}
	a, err := d.PutWith(dana, "paper.txt", "text/plain", strings.NewReader("one"), keep)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.book.Create(dana, "note", record.Values{"papers": []schema.Attachment{a}}); err != nil {
		t.Errorf("a file that was put: %v", err)
	}
	b, err := d.PutWith(dana, "paper.txt", "text/plain", strings.NewReader("two"), keep)
	if fault.KindOf(err) != fault.TooLarge {
		t.Errorf("a file that was refused: %v", err)
	}
	if _, err := d.book.Create(dana, "note", record.Values{"papers": []schema.Attachment{b}}); keyOf(err) != "attachment.not-yours" {
		t.Errorf("a file that was refused, in a record: %v", err)
	}
	if _, err := d.PutWith(dana, "photo.png", "image/png", strings.NewReader("no picture"), keep); keyOf(err) != "field.picture" || kept != 2 {
		t.Errorf("a false picture: %v", err)
	}
	if _, err := d.PutWith(as(t, "eve", access.Viewer), "x", "text/plain", strings.NewReader("three"), keep); err != nil {
		t.Errorf("one who may put it nowhere else: %v", err)
	}
}
