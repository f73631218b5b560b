package plugin

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/store"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func put(key, value string, expected int64) *wirev1.KVWrite {
	return &wirev1.KVWrite{Key: []byte(key), Value: []byte(value), Expected: expected}
}

func (x *services) keep(ctx context.Context, writes ...*wirev1.KVWrite) ([]int64, error) {
	a, err := x.kv.Put(ctx, &wirev1.KVPutRequest{Writes: writes})
	return a.GetRevisions(), err
}

// TestSmallValuesAreSwapped writes by what was seen, and only so.
func TestSmallValuesAreSwapped(t *testing.T) {
	b := newBench(t)
	x := b.plugin(workshopManifest())
	first, err := x.keep(b.itself(), put("a", "1", 0), put("b", "2", -1))
	b.must(err)
	_, err = x.keep(b.itself(), put("c", "3", 0), put("a", "4", 0))
	wantTold(t, "a key that is there", err, "CONFLICT plugin.value-changed")
	second, err := x.keep(b.itself(), put("a", "5", first[0]))
	b.must(err)
	_, err = x.keep(b.itself(), put("a", "6", first[0]))
	wantTold(t, "what was changed meanwhile", err, "CONFLICT plugin.value-changed")
	got, err := x.kv.Get(b.itself(), &wirev1.KVGetRequest{Key: []byte("a")})
	if err != nil || string(got.Value) != "5" || got.Revision != second[0] || second[0] <= first[0] {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := x.kv.Get(b.itself(), &wirev1.KVGetRequest{Key: []byte("c")}); err != nil || got.Revision != 0 || len(got.Value) != 0 {
		t.Errorf("of a batch that failed: %v, %v", got, err)
	}
	gone, err := x.keep(b.itself(), &wirev1.KVWrite{Key: []byte("a"), Delete: true, Expected: second[0]})
	if err != nil || gone[0] != 0 {
		t.Errorf("%v, %v", gone, err)
	}
	anew, err := x.keep(b.itself(), put("a", "", 0))
	if err != nil || anew[0] <= second[0] {
		t.Errorf("made anew it has revision %v, before %v, %v", anew, second, err)
	}
	for what, w := range map[string]*wirev1.KVWrite{"no key": put("", "", 0), "a long key": put(strings.Repeat("k", 513), "", 0), "a long value": put("k", strings.Repeat("v", 64<<10+1), 0), "no revision": put("k", "", -2)} {
		if _, err := x.keep(b.itself(), w); !strings.HasPrefix(kindOf(err), "INVALID input.invalid") {
			t.Errorf("%s: told %s", what, kindOf(err))
		}
	}
	_, err = x.keep(b.itself())
	wantTold(t, "nothing", err, "INVALID input.invalid writes:field.too-many")
}

// TestListsOfSmallValues walks keys both ways, in pages, and never into another plugin's.
func TestListsOfSmallValues(t *testing.T) {
	b := newBench(t)
	other, longer := workshopManifest(), workshopManifest()
	other.ID, longer.ID = "il.example.worksho", "il.example.workshop2"
	x, y, z := b.plugin(workshopManifest()), b.plugin(other), b.plugin(longer)
	for _, who := range []*services{y, z} {
		_, err := who.keep(b.itself(), put("a/1", "theirs", 0), put("zz", "theirs", 0), put("\xff", "theirs", 0))
		b.must(err)
	}
	for _, key := range []string{"a", "a/1", "a/2", "a/3", "b", "\xff\xff", "\x00"} {
		_, err := x.keep(b.itself(), put(key, "v"+key, 0))
		b.must(err)
	}
	for _, c := range []struct {
		prefix, after string
		reverse       bool
		want          string
	}{{"", "", false, "\x00 a a/1 a/2 a/3 b \xff\xff"}, {"a/", "", false, "a/1 a/2 a/3"}, {"a/", "", true, "a/3 a/2 a/1"}, {"a/", "a/1", false, "a/2 a/3"}, {"a/", "a/3", true, "a/2 a/1"},
		{"a/", "zz", true, "a/3 a/2 a/1"}, {"a/", "a", false, "a/1 a/2 a/3"}, {"a/", "b", false, ""}, {"\xff", "", false, "\xff\xff"}, {"\xff\xff", "", true, "\xff\xff"}, {"c", "", false, ""}} {
		for _, limit := range []int32{0, 1, 2} {
			var keys []string
			q := &wirev1.KVListRequest{Prefix: []byte(c.prefix), After: []byte(c.after), Reverse: c.reverse, Limit: limit}
			for pages := 0; pages < 20; pages++ {
				page, err := x.kv.List(b.itself(), q)
				b.must(err)
				for _, e := range page.Entries {
					keys = append(keys, string(e.Key))
					if string(e.Value) != "v"+string(e.Key) || e.Revision == 0 {
						t.Errorf("%q is %v", e.Key, e)
					}
				}
				if !page.More {
					break
				}
				q.After = page.Entries[len(page.Entries)-1].Key
			}
			if got := strings.Join(keys, " "); got != c.want {
				t.Errorf("%+v, %d at a time: %q", c, limit, got)
			}
		}
	}
	if page, err := x.kv.List(b.itself(), &wirev1.KVListRequest{Limit: 501}); err == nil {
		t.Errorf("501 at a time: %v", page)
	}
}

// TestStorageIsBounded fills it, frees it, and counts right to the byte.
func TestStorageIsBounded(t *testing.T) {
	b := newBench(t)
	m := workshopManifest()
	m.Permissions.Storage = 300 << 10
	x := b.plugin(m)
	big := strings.Repeat("x", 60<<10)
	n := 0
	for ; n < 10; n++ {
		if _, err := x.keep(b.itself(), put(fmt.Sprint(n), big, 0)); err != nil {
			wantTold(t, "too much", err, "TOO_LARGE plugin.storage-full")
			break
		}
	}
	if n != 4 {
		t.Errorf("%d values of 60 KB went into 300 KB", n)
	}
	_, err := x.putFile(b.itself(), &wirev1.BlobPutRequest{Name: "f", Type: "text/plain", Data: []byte(big)})
	wantTold(t, "a file", err, "TOO_LARGE plugin.storage-full")
	_, err = x.keep(b.itself(), put("0", "small", -1))
	b.must(err)
	_, err = x.putFile(b.itself(), &wirev1.BlobPutRequest{Name: "f", Type: "text/plain", Data: []byte(big)})
	b.must(err)
	for i := range n {
		_, err = x.keep(b.itself(), &wirev1.KVWrite{Key: []byte(fmt.Sprint(i)), Delete: true, Expected: -1})
		b.must(err)
	}
	b.must(b.db.View(t.Context(), func(tx store.Tx) error {
		if s := storageOf(tx, m.ID); s.values != 0 || s.files != int64(len(big))+entryWeight {
			t.Errorf("after all values are gone, %+v is used", s)
		}
		return nil
	}))
	m.Permissions.Storage = 1 // granted less by a later version: what is there stays, and may go
	if _, err := x.keep(b.itself(), put("more", "", 0)); kindOf(err) != "TOO_LARGE plugin.storage-full" {
		t.Errorf("more than nothing: %s", kindOf(err))
	}
}

// TestSmallValuesCountEachOther increments from many goroutines by compare and swap.
func TestSmallValuesCountEachOther(t *testing.T) {
	b := newBench(t)
	x := b.plugin(workshopManifest())
	var wait sync.WaitGroup
	for range 6 {
		wait.Go(func() {
			for done := 0; done < 5; {
				e, err := x.kv.Get(b.itself(), &wirev1.KVGetRequest{Key: []byte("n")})
				if err != nil {
					t.Error(err)
					return
				}
				_, err = x.keep(b.itself(), put("n", string(e.Value)+"x", e.Revision))
				switch kindOf(err) {
				case "":
					done++
				case "CONFLICT plugin.value-changed":
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	if e, _ := x.kv.Get(b.itself(), &wirev1.KVGetRequest{Key: []byte("n")}); len(e.Value) != 30 {
		t.Errorf("counted %d of 30", len(e.Value))
	}
}

// chunks is a stream of a file, without a line.
type chunks struct {
	ctx  context.Context
	rest []*wirev1.BlobPutRequest
	err  error // at the end; io.EOF for nil
}

func (c *chunks) Context() context.Context { return c.ctx }

func (c *chunks) Recv() (*wirev1.BlobPutRequest, error) {
	if len(c.rest) == 0 {
		if c.err != nil {
			return nil, c.err
		}
		return nil, io.EOF
	}
	first := c.rest[0]
	c.rest = c.rest[1:]
	return first, nil
}

func (x *services) putFile(ctx context.Context, sent ...*wirev1.BlobPutRequest) (*wirev1.BlobRef, error) {
	a, err := x.blobs.put(&chunks{ctx: ctx, rest: sent})
	if err != nil {
		return nil, x.blobs.c.toWire(err)
	}
	return fileToWire(a), nil
}

func (x *services) putText(t testing.TB, ctx context.Context, name, content string) *wirev1.BlobRef {
	t.Helper()
	f, err := x.putFile(ctx, &wirev1.BlobPutRequest{Name: name, Type: "text/plain", Data: []byte(content[:1])}, &wirev1.BlobPutRequest{Data: []byte(content[1:])})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// sink is the stream of a file that is opened.
type sink struct {
	grpc.ServerStream
	ctx context.Context
	got bytes.Buffer
}

func (s *sink) Context() context.Context { return s.ctx }

func (s *sink) Send(r *wirev1.BlobOpenResponse) error {
	s.got.Write(r.GetData())
	return nil
}

func (x *services) opened(ctx context.Context, r *wirev1.BlobOpenRequest) (string, error) {
	s := &sink{ctx: ctx}
	err := x.blobs.Open(r, s)
	return s.got.String(), err
}

// TestFilesOfPlugins puts files, opens them, and finds that a name is no key.
func TestFilesOfPlugins(t *testing.T) {
	b := newBench(t)
	other := workshopManifest()
	other.ID = "il.example.other"
	x, y := b.plugin(workshopManifest()), b.plugin(other)
	long := strings.Repeat("file ", 200_000)
	var sent []*wirev1.BlobPutRequest
	for from := 0; from < len(long); from += 256 << 10 {
		sent = append(sent, &wirev1.BlobPutRequest{Data: []byte(long[from:min(from+256<<10, len(long))])})
	}
	sent[0].Name, sent[0].Type = "long.txt", "text/plain"
	f, err := x.putFile(b.itself(), sent...)
	b.must(err)
	if got, err := x.opened(b.itself(), &wirev1.BlobOpenRequest{Blob: f.Blob}); err != nil || got != long || f.Size != int64(len(long)) {
		t.Errorf("%d of %d bytes, %v", len(got), len(long), err)
	}
	if bare, err := x.putFile(b.itself(), &wirev1.BlobPutRequest{}); err != nil || bare.Size != 0 || bare.Type != "application/octet-stream" {
		t.Errorf("an empty file: %v, %v", bare, err)
	}
	theirs, err := b.host.o.Files.Put(b.appliance(), "s.txt", "text/plain", strings.NewReader("office secret"))
	b.must(err)
	for what, r := range map[string]*wirev1.BlobOpenRequest{"another plugin's": {Blob: f.Blob}, "the office's": {Blob: theirs.Blob}, "no name": {Blob: "../../etc/passwd"}, "none": {}} {
		_, err := y.opened(b.itself(), r)
		wantTold(t, what, err, "NOT_FOUND file.not-found")
	}
	_, err = y.Write(b.itself(), &wirev1.WriteRequest{Writes: []*wirev1.Write{creating("contact", valuesOf{"name": text("thief"), "papers": list(&wirev1.Value{Of: &wirev1.Value_File{File: f}})})}})
	wantTold(t, "another plugin's file in a record", err, "INVALID input.invalid papers:attachment.not-yours")
	for what, c := range map[string]struct {
		sent []*wirev1.BlobPutRequest
		want string
	}{
		"a long chunk":    {[]*wirev1.BlobPutRequest{{Name: "a", Type: "text/plain", Data: make([]byte, 256<<10+1)}}, "INVALID message.chunk-malformed"},
		"then a long one": {[]*wirev1.BlobPutRequest{{Name: "a", Type: "text/plain"}, {Data: make([]byte, 256<<10+1)}}, "INVALID message.chunk-malformed"},
		"a path":          {[]*wirev1.BlobPutRequest{{Name: "../a", Type: "text/plain"}}, "INVALID input.invalid name:attachment.name"},
		"no picture":      {[]*wirev1.BlobPutRequest{{Name: "a.png", Type: "image/png", Data: []byte("x")}}, "INVALID input.invalid type:field.picture"},
		"too much":        {slices.Repeat([]*wirev1.BlobPutRequest{{Data: make([]byte, 256<<10)}}, 257), "TOO_LARGE message.too-large"},
	} {
		_, err := x.putFile(b.itself(), c.sent...)
		wantTold(t, what, err, c.want)
	}
	_, err = x.blobs.put(&chunks{ctx: b.itself(), rest: sent[:1], err: io.ErrUnexpectedEOF})
	wantTold(t, "a stream that broke", x.blobs.c.toWire(err), "UNAVAILABLE message.cut-short")
}

// TestFilesThatNothingNamesGo after a day; those that a record or a small value names stay.
func TestFilesThatNothingNamesGo(t *testing.T) {
	b := newBench(t)
	x := b.plugin(workshopManifest())
	free, valued, inRecord := x.putText(t, b.itself(), "a.txt", "free file"), x.putText(t, b.itself(), "b.txt", "named by a value"), x.putText(t, b.itself(), "c.txt", "named by a record")
	_, err := x.keep(b.itself(), put("file", "blob:"+valued.Blob, 0), put("again", "blob:"+valued.Blob, 0))
	b.must(err)
	made := x.wrote(t, b.itself(), creating("contact", valuesOf{"name": text("x"), "papers": list(&wirev1.Value{Of: &wirev1.Value_File{File: inRecord}})}))[0]
	collect := func(want int) {
		t.Helper()
		if n, err := b.host.CollectFiles(b.appliance()); err != nil || n != want {
			t.Errorf("%d files went, %v; want %d", n, err, want)
		}
	}
	onDisk := func(f *wirev1.BlobRef) bool {
		body, err := b.blobs.Open(f.Blob)
		return err == nil && body.Close() == nil
	}
	collect(0)
	b.pass(fileLife)
	collect(1)
	if onDisk(free) || !onDisk(valued) || !onDisk(inRecord) {
		t.Errorf("on disk: free %v, of a value %v, of a record %v", onDisk(free), onDisk(valued), onDisk(inRecord))
	}
	_, err = x.opened(b.itself(), &wirev1.BlobOpenRequest{Blob: inRecord.Blob})
	wantTold(t, "a file that is the record's now", err, "NOT_FOUND file.not-found")
	if got, err := x.opened(b.itself(), &wirev1.BlobOpenRequest{Blob: inRecord.Blob, Record: &wirev1.RecordRef{Entity: "contact", Id: made.Id}}); err != nil || got != "named by a record" {
		t.Errorf("by way of the record: %q, %v", got, err)
	}
	_, err = x.keep(b.itself(), &wirev1.KVWrite{Key: []byte("again"), Delete: true, Expected: -1})
	b.must(err)
	collect(0)
	_, err = x.keep(b.itself(), put("file", "else", -1))
	b.must(err)
	collect(1)
	b.must(b.db.View(t.Context(), func(tx store.Tx) error {
		if s := storageOf(tx, "il.example.workshop"); s.files != 0 || onDisk(valued) {
			t.Errorf("%d bytes of files are still counted", s.files)
		}
		return nil
	}))
}

// TestSecretsAreSealed keeps them out of the data file and from other plugins, and signs with them.
func TestSecretsAreSealed(t *testing.T) {
	b := newBench(t)
	other := workshopManifest()
	other.ID = "il.example.other"
	x, y := b.plugin(workshopManifest()), b.plugin(other)
	set := func(x *services, name, value string) error {
		_, err := x.secrets.Set(b.itself(), &wirev1.SecretSetRequest{Name: name, Value: []byte(value)})
		return err
	}
	b.must(set(x, "token", "hunter2-hunter2"))
	got, err := x.secrets.Open(b.itself(), &wirev1.SecretOpenRequest{Name: "token"})
	if err != nil || string(got.Value) != "hunter2-hunter2" {
		t.Errorf("%v, %v", got, err)
	}
	_, err = y.secrets.Open(b.itself(), &wirev1.SecretOpenRequest{Name: "token"})
	wantTold(t, "another plugin's", err, "NOT_FOUND secret.not-found")
	raw, err := os.ReadFile(filepath.Join(b.dir, "karov.db"))
	b.must(err)
	if bytes.Contains(raw, []byte("hunter2")) {
		t.Error("the secret stands in the data file")
	}
	b.must(b.db.Update(t.Context(), func(tx store.Tx) error {
		s := tx.Bucket(secretsBucket)
		s.Put(kept("il.example.other", []byte("stolen")), s.Get(kept("il.example.workshop", []byte("token"))))
		return nil
	}))
	_, err = y.secrets.Open(b.itself(), &wirev1.SecretOpenRequest{Name: "stolen"})
	wantTold(t, "moved under another plugin", err, "INVALID secret.unreadable")

	sign := func(secret string) []byte {
		h := hmac.New(sha256.New, []byte(secret))
		h.Write([]byte("data"))
		return h.Sum(nil)
	}
	b.must(b.host.o.Secrets.Set(b.as("o", access.Owner), "il.example.workshop", map[string]string{"api.key": "from-settings", "host": "example.com"}, false))
	for name, want := range map[string][]byte{"token": sign("hunter2-hunter2"), "api.key": sign("from-settings")} {
		if got, err := x.secrets.MAC(b.itself(), &wirev1.SecretMACRequest{Name: name, Data: []byte("data")}); err != nil || !bytes.Equal(got.Mac, want) {
			t.Errorf("%s: %x, %v", name, got.GetMac(), err)
		}
	}
	for _, name := range []string{"host", "none"} { // a setting that is no secret is no key
		_, err := x.secrets.MAC(b.itself(), &wirev1.SecretMACRequest{Name: name, Data: []byte("data")})
		wantTold(t, name, err, "NOT_FOUND secret.not-found")
	}
	_, err = x.secrets.Open(b.itself(), &wirev1.SecretOpenRequest{Name: "api.key"})
	wantTold(t, "a setting opened as a secret", err, "NOT_FOUND secret.not-found")
	wantTold(t, "no name", set(x, "A b", "x"), "INVALID input.invalid name:field.malformed")
	wantTold(t, "a long one", set(x, "long", strings.Repeat("x", maxSecret+1)), "INVALID input.invalid value:field.too-long")
	b.must(set(x, "token", ""))
	_, err = x.secrets.Open(b.itself(), &wirev1.SecretOpenRequest{Name: "token"})
	wantTold(t, "taken away", err, "NOT_FOUND secret.not-found")
	for i := range maxSecrets {
		b.must(set(x, fmt.Sprint("s", i), "x"))
	}
	wantTold(t, "one too many", set(x, "more", "x"), "TOO_LARGE secret.too-many")
	wantTold(t, "one of them again", set(x, "s0", "y"), "")
}

// TestTheOfficeSpeaks describes itself and says the plugin's sentences.
func TestTheOfficeSpeaks(t *testing.T) {
	b := newBench(t)
	x := b.plugin(workshopManifest())
	a, err := x.office.About(b.itself(), &wirev1.AboutRequest{})
	if err != nil || a.Name != "Triangle" || a.Language != "he" || a.TimeZone != "Asia/Jerusalem" || a.Country != "IL" || a.Currency != "ILS" {
		t.Errorf("%v, %v", a, err)
	}
	say := func(lang, key string) (string, error) {
		s, err := x.office.Say(b.itself(), &wirev1.SayRequest{Language: lang, Words: &wirev1.Words{Key: key, Params: map[string]string{"plate": "12-345-67"}, Text: "as it is"}})
		return s.GetText(), err
	}
	for lang, want := range map[string]string{"en": "The lorry \u206812-345-67\u2069 is due.", "ru": "Грузовик \u206812-345-67\u2069 ждёт.", "": "המשאית \u206812-345-67\u2069 ממתינה."} {
		if got, err := say(lang, "workshop.due"); err != nil || got != want {
			t.Errorf("in %q: %q, %v", lang, got, err)
		}
	}
	if got, err := say("en", ""); err != nil || got != "as it is" {
		t.Errorf("%q, %v", got, err)
	}
	_, err = say("xx", "workshop.due")
	wantTold(t, "no language", err, "INVALID input.invalid language:field.malformed")
	_, err = say("en", "access.forbidden")
	wantTold(t, "a sentence of the core's", err, "INVALID input.invalid words.key:field.unknown")
}

// TestFactsOfPlugins stand in the journal under the plugin's own name, and hold no personal text.
func TestFactsOfPlugins(t *testing.T) {
	b := newBench(t)
	x := b.plugin(workshopManifest())
	r := b.customer(record.Values{"name": "Dana", "owner": "dana"})
	lorry := x.wrote(t, b.itself(), creating("workshop.lorry", valuesOf{"plate": text("1"), "customer": text(r.ID.String())}))[0]
	ref := &wirev1.RecordRef{Entity: "workshop.lorry", Id: lorry.Id}
	_, err := x.office.Emit(b.itself(), &wirev1.EmitRequest{Name: "visit-done", Record: ref, About: map[string]string{"number": "V-2026/11", "day": "2026-11-22"}})
	b.must(err)
	if f := b.lastFact(); f.Name != "il.example.workshop.visit-done" || f.Entity != "workshop.lorry" || f.ID != lorry.Id || f.Contact != r.ID.String() || !f.Card || f.About["number"] != "V-2026/11" {
		t.Errorf("emitted %+v", f)
	}
	_, err = x.office.Audit(b.itself(), &wirev1.AuditRequest{Act: "invoice-sent", Record: ref})
	b.must(err)
	if f := b.lastFact(); f.Name != "il.example.workshop.invoice-sent" || f.Card || f.Actor != "plugin:il.example.workshop" {
		t.Errorf("audited %+v", f)
	}
	_, err = x.office.Audit(b.itself(), &wirev1.AuditRequest{Act: "synced"})
	b.must(err)
	many := map[string]string{}
	for i := range 11 {
		many[fmt.Sprint("k", i)] = "1"
	}
	for what, c := range map[string]struct {
		r    *wirev1.AuditRequest
		want string
	}{
		"words":                {&wirev1.AuditRequest{Act: "Invoice sent"}, "INVALID input.invalid act:field.malformed"},
		"dots":                 {&wirev1.AuditRequest{Act: "a.b"}, "INVALID input.invalid act:field.malformed"},
		"an act of records'":   {&wirev1.AuditRequest{Act: "created"}, "INVALID input.invalid act:field.malformed"},
		"an address":           {&wirev1.AuditRequest{Act: "x", About: map[string]string{"to": "dana@example.com"}}, "INVALID input.invalid about.to:plugin.about-text"},
		"a name":               {&wirev1.AuditRequest{Act: "x", About: map[string]string{"who": "Dana Levi"}}, "INVALID input.invalid about.who:plugin.about-text"},
		"a name in Hebrew":     {&wirev1.AuditRequest{Act: "x", About: map[string]string{"who": "דנה"}}, "INVALID input.invalid about.who:plugin.about-text"},
		"a long text":          {&wirev1.AuditRequest{Act: "x", About: map[string]string{"n": strings.Repeat("1", 65)}}, "INVALID input.invalid about.n:plugin.about-text"},
		"whose it says it was": {&wirev1.AuditRequest{Act: "x", About: map[string]string{"via": "plugin:com.other"}}, "INVALID input.invalid about.via:plugin.about-text"},
		"many":                 {&wirev1.AuditRequest{Act: "x", About: many}, "INVALID input.invalid about:field.too-many"},
		"no such record":       {&wirev1.AuditRequest{Act: "x", Record: &wirev1.RecordRef{Entity: "contact", Id: record.NewID().String()}}, "NOT_FOUND contact.not-found"},
		"no id":                {&wirev1.AuditRequest{Act: "x", Record: &wirev1.RecordRef{Entity: "contact", Id: "1"}}, "NOT_FOUND contact.not-found"},
	} {
		_, err := x.office.Audit(b.itself(), c.r)
		wantTold(t, what, err, c.want)
	}
	_, err = x.office.Emit(b.itself(), &wirev1.EmitRequest{Name: "x"})
	wantTold(t, "a fact of no record", err, "INVALID input.invalid record:field.required")
	for range auditsPerMinute + 10 {
		if _, err = x.office.Audit(b.itself(), &wirev1.AuditRequest{Act: "flood", Record: &wirev1.RecordRef{Entity: "none"}}); kindOf(err) == "TOO_MANY plugin.too-many-facts" {
			return
		}
	}
	t.Errorf("a flood of facts was told %s at last", kindOf(err))
}

// TestRunsAreAskedFor puts them into the queue, moves them, and takes them back.
func TestRunsAreAskedFor(t *testing.T) {
	b := newBench(t)
	x := b.plugin(workshopManifest())
	at := b.clock().Add(time.Hour)
	ask := func(r *wirev1.EnqueueRequest) error {
		_, err := x.office.Enqueue(b.itself(), r)
		return err
	}
	waiting := func() (runs []string) {
		t.Helper()
		b.must(b.db.View(t.Context(), func(tx store.Tx) error {
			for key := range tx.Bucket("job.queue").Scan(nil, nil, false) {
				runs = append(runs, string(key[8:]))
			}
			return nil
		}))
		return runs
	}
	b.must(ask(&wirev1.EnqueueRequest{Job: "visits", Key: "a", Payload: []byte("1"), At: timestamppb.New(at)}))
	b.must(ask(&wirev1.EnqueueRequest{Job: "visits", Key: "a", Payload: []byte("2"), At: timestamppb.New(at.Add(time.Hour))}))
	b.must(ask(&wirev1.EnqueueRequest{Job: "visits", Key: "b"}))
	if got, want := waiting(), []string{"plugin.run\x00il.example.workshop\x00visits\x00b", "plugin.run\x00il.example.workshop\x00visits\x00a"}; !slices.Equal(got, want) {
		t.Errorf("waiting: %q", got)
	}
	for _, key := range []string{"a", "never there"} {
		_, err := x.office.Cancel(b.itself(), &wirev1.CancelRequest{Job: "visits", Key: key})
		b.must(err)
	}
	if got := waiting(); len(got) != 1 {
		t.Errorf("left: %q", got)
	}
	for what, c := range map[string]struct {
		r    *wirev1.EnqueueRequest
		want string
	}{
		"no such job":    {&wirev1.EnqueueRequest{Job: "other", Key: "a"}, "NOT_FOUND job.not-found"},
		"no key":         {&wirev1.EnqueueRequest{Job: "visits"}, "INVALID input.invalid key:field.required"},
		"a long key":     {&wirev1.EnqueueRequest{Job: "visits", Key: strings.Repeat("k", 201)}, "INVALID input.invalid key:field.malformed"},
		"a hostile key":  {&wirev1.EnqueueRequest{Job: "visits", Key: "a\x00b"}, "INVALID input.invalid key:field.malformed"},
		"a long payload": {&wirev1.EnqueueRequest{Job: "visits", Key: "a", Payload: make([]byte, 64<<10+1)}, "INVALID input.invalid payload:field.too-long"},
		"in ten years":   {&wirev1.EnqueueRequest{Job: "visits", Key: "a", At: timestamppb.New(at.AddDate(10, 0, 0))}, "INVALID input.invalid at:field.time"},
	} {
		wantTold(t, what, ask(c.r), c.want)
	}
	b.must(b.db.Update(t.Context(), func(tx store.Tx) error {
		for i := range maxRuns {
			tx.Bucket("job.jobs").Put([]byte(fmt.Sprintf("plugin.run\x00il.example.workshop\x00visits\x00%05d", i)), []byte("{}"))
		}
		return nil
	}))
	wantTold(t, "one too many", ask(&wirev1.EnqueueRequest{Job: "visits", Key: "more"}), "TOO_LARGE plugin.too-many-runs")
}

// TestWhatIsKeptOutlivesThePlugin until somebody who administers purges it.
func TestWhatIsKeptOutlivesThePlugin(t *testing.T) {
	b := newBench(t)
	other := workshopManifest()
	other.ID = "il.example.workshop2"
	x, y := b.plugin(workshopManifest()), b.plugin(other)
	for _, who := range []*services{x, y} {
		_, err := who.keep(b.itself(), put("k", "v", 0))
		b.must(err)
		_, err = who.secrets.Set(b.itself(), &wirev1.SecretSetRequest{Name: "s", Value: []byte("v")})
		b.must(err)
	}
	file := x.putText(t, b.itself(), "a.txt", "purged")
	b.open() // as after a restart
	again := b.plugin(workshopManifest())
	if e, err := again.kv.Get(b.itself(), &wirev1.KVGetRequest{Key: []byte("k")}); err != nil || string(e.Value) != "v" {
		t.Errorf("after a restart: %v, %v", e, err)
	}
	if err := b.host.PurgeKept(b.as("m", access.Manager), "il.example.workshop"); err == nil {
		t.Error("a manager purges")
	}
	b.must(b.host.PurgeKept(b.as("o", access.Owner), "il.example.workshop"))
	if n, err := b.host.CollectFiles(b.appliance()); err != nil || n != 1 {
		t.Errorf("%d files went, %v", n, err)
	}
	if e, _ := again.kv.Get(b.itself(), &wirev1.KVGetRequest{Key: []byte("k")}); e.GetRevision() != 0 {
		t.Error("a small value stayed")
	}
	_, err := again.secrets.Open(b.itself(), &wirev1.SecretOpenRequest{Name: "s"})
	wantTold(t, "a secret", err, "NOT_FOUND secret.not-found")
	_, err = again.opened(b.itself(), &wirev1.BlobOpenRequest{Blob: file.Blob})
	wantTold(t, "a file", err, "NOT_FOUND file.not-found")
	y = b.plugin(other)
	if e, err := y.kv.Get(b.itself(), &wirev1.KVGetRequest{Key: []byte("k")}); err != nil || string(e.Value) != "v" {
		t.Errorf("another plugin's: %v, %v", e, err)
	}
}
