package plugin

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/attachment"
	"github.com/karov-crm/karov/appliance/blob"
	"github.com/karov-crm/karov/appliance/job"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc/metadata"
)

// bench is an office whose records plugins work with, without a process: the services are called as gRPC calls them.
type bench struct {
	t     testing.TB
	dir   string
	db    store.DB
	gate  *access.Gate
	host  *Host
	book  *record.Book
	facts *journal.Journal
	blobs *blob.Store

	mu      sync.Mutex
	now     time.Time
	refused []string
}

func (b *bench) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *bench) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// kinds are customers with a field of each type, and the lorries of a plugin.
func kinds() (*schema.Schema, error) {
	return schema.New(
		schema.Entity{Name: "contact", Title: "name", Owner: "owner", Contact: "id", Fields: []schema.Field{
			{Number: 16, Name: "name", Type: schema.Text, Required: true, Indexed: true},
			{Number: 17, Name: "owner", Type: schema.Staff, Indexed: true},
			{Number: 18, Name: "phones", Type: schema.Phone, Many: true},
			{Number: 19, Name: "note", Type: schema.LongText},
			{Number: 20, Name: "birthday", Type: schema.Date, Sensitive: true},
			{Number: 21, Name: "score", Type: schema.Number},
			{Number: 22, Name: "vip", Type: schema.YesNo},
			{Number: 23, Name: "met", Type: schema.Time},
			{Number: 24, Name: "credit", Type: schema.Money, Currency: "ILS"},
			{Number: 25, Name: "web", Type: schema.URL},
			{Number: 26, Name: "kind", Type: schema.Choice, Choices: []string{"shop", "firm"}},
			{Number: 27, Name: "tags", Type: schema.Choice, Many: true, Choices: []string{"a", "b", "c"}},
			{Number: 28, Name: "friend", Type: schema.Link, Target: "contact"},
			{Number: 29, Name: "friends", Type: schema.Link, Target: "contact", Many: true},
			{Number: 30, Name: "papers", Type: schema.File, Many: true},
			{Number: 31, Name: "photo", Type: schema.Picture},
			{Number: 32, Name: "anniversary", Type: schema.Yearly},
			{Number: 33, Name: "code", Type: schema.Text, Closed: true},
			{Number: 34, Name: "double", Type: schema.Formula, Formula: "score * 2"},
			{Number: 35, Name: "email", Type: schema.Email},
			{Number: 36, Name: "secret_plan", Type: schema.File},
			{Number: 37, Name: "inner", Type: schema.Data, Closed: true},
			{Number: 38, Name: "workshop_credit", Type: schema.Money, Currency: "ILS", Sensitive: true},
		}},
		schema.Entity{Name: "deal", Title: "title", Owner: "owner", Fields: []schema.Field{
			{Number: 16, Name: "title", Type: schema.Text}, {Number: 17, Name: "owner", Type: schema.Staff, Indexed: true},
		}},
		schema.Entity{Name: "workshop.lorry", Title: "plate", Contact: "customer", Via: "customer", Fields: []schema.Field{
			{Number: 16, Name: "plate", Type: schema.Text, Required: true, Unique: true, Indexed: true},
			{Number: 17, Name: "customer", Type: schema.Link, Target: "contact", Indexed: true},
			{Number: 18, Name: "after", Type: schema.Link, Target: "workshop.lorry"},
			{Number: 19, Name: "vin", Type: schema.Text, Sensitive: true},
		}},
		schema.Entity{Name: "other.thing", Title: "name", Fields: []schema.Field{{Number: 16, Name: "name", Type: schema.Text}}},
	)
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), now: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)}
	var err error
	b.db, err = bolt.Open(filepath.Join(b.dir, "karov.db"))
	b.must(err)
	t.Cleanup(func() { _ = b.db.Close() })
	b.must(store.Prepare(t.Context(), b.db, nil))
	b.open()
	return b
}

// open builds the rooms over the store.
func (b *bench) open() {
	b.t.Helper()
	var err error
	b.gate, err = access.OpenGate(b.t.Context(), access.Options{DB: b.db, Now: b.clock,
		CheckWhere: func(_, _ string) error { return nil }, CheckField: func(_, _ string) error { return nil }})
	b.must(err)
	b.gate.SetCustom([]string{"workshop.lorry", "other.thing"})
	set, err := kinds()
	b.must(err)
	b.blobs, err = blob.Open(filepath.Join(b.dir, "blobs"))
	b.must(err)
	b.facts = journal.New(b.db, b.clock)
	b.book = record.NewBook(record.Parts{DB: b.db, Schema: schema.Fixed(set), Gate: b.gate, Journal: b.facts, Now: b.clock})
	settings, err := OpenSettings(b.db, b.gate, b.facts, filepath.Join(b.dir, "secret.key"))
	b.must(err)
	b.host, err = Open(Options{
		DataDir: b.dir, RunDir: b.dir, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Inbox: noInbox{}, Blobs: b.blobs, Settings: settings, Now: b.clock,
		DB: b.db, Book: b.book, Gate: b.gate, Journal: b.facts, Queue: job.NewQueue(b.db, b.clock), Secrets: settings,
		Files: attachment.New(b.book, b.gate, b.facts, b.blobs, b.clock),
		Actor: func(ctx context.Context, id string) context.Context {
			return access.WithActor(ctx, access.Actor{ID: "plugin:" + id, Role: access.Plugin})
		},
		Office: func() About {
			return About{Name: "Triangle", Language: "he", TimeZone: "Asia/Jerusalem", Country: "IL", Currency: "ILS"}
		},
		Refused: func(_ context.Context, id, what string, about map[string]string) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.refused = append(b.refused, id+" "+what+" "+about["permission"])
		},
	})
	b.must(err)
}

// noInbox is the inbox of an office without channels.
type noInbox struct{ Inbox }

// told gives what Options.Refused heard since the last time.
func (b *bench) told() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	told := b.refused
	b.refused = nil
	return told
}

func (b *bench) as(id string, role access.Role) context.Context {
	return access.WithActor(b.t.Context(), access.Actor{ID: id, Role: role})
}

func (b *bench) appliance() context.Context {
	return access.WithActor(b.t.Context(), access.Appliance())
}

// services is one plugin as it calls back.
type services struct {
	recordsService
	kv      kvService
	blobs   blobsService
	secrets secretsService
	office  officeService
	s       *session
}

// workshopManifest is of a plugin with an entity and a field of its own, which may see customers and change them.
func workshopManifest() *Manifest {
	return &Manifest{
		ID: "il.example.workshop", Name: "Workshop", Version: "1.0.0",
		Permissions: Permissions{Records: []RecordGrant{{Entity: "contact", Verbs: []string{"see", "create", "change"}}}, Storage: 1 << 20},
		Entities:    []Entity{{Name: "workshop.lorry"}},
		Fields:      []Field{{Entity: "contact", Name: "workshop_credit"}},
		Jobs:        []JobSpec{{Name: "visits"}},
		Config:      []Setting{{Key: "api.key", Type: Secret}, {Key: "host", Type: Text}},
		sentences: map[string]map[string]string{
			"en": {"workshop.due": "The lorry {plate} is due."}, "he": {"workshop.due": "המשאית {plate} ממתינה."}, "ru": {"workshop.due": "Грузовик {plate} ждёт."},
		},
	}
}

// plugin starts to serve a plugin.
func (b *bench) plugin(m *Manifest) *services {
	s := &session{p: newSupervised(b.host, m, nil), calls: newOpenCalls(), grant: b.host.grant(m), files: newFileHandles()}
	s.limit = s.p.limit
	c := &callbacks{s: s}
	return &services{recordsService{c: c}, kvService{c: c}, blobsService{c: c}, secretsService{c: c}, officeService{c: c}, s}
}

// itself is the context of a call that the plugin makes for itself.
func (b *bench) itself() context.Context { return b.t.Context() }

// for is the context of a callback during a call that was made for somebody, as it comes in over the line.
func (x *services) behalf(ctx context.Context) (call context.Context, done func()) {
	out, done := x.s.asCaller(ctx)
	md, _ := metadata.FromOutgoingContext(out)
	return metadata.NewIncomingContext(context.WithoutCancel(ctx), md), done
}

// kindOf is what a plugin is told: "" for success, else the kind and the key of the fault, and of its first field.
func kindOf(err error) string {
	if err == nil {
		return ""
	}
	f := wire.FaultOf(err)
	said := wirev1.Kind_name[int32(f.Kind)][len("KIND_"):] + " " + f.Key
	if len(f.Fields) > 0 {
		said += " " + f.Fields[0].Name + ":" + f.Fields[0].Key
	}
	return said
}

func wantTold(t testing.TB, what string, err error, want string) {
	t.Helper()
	if got := kindOf(err); got != want {
		t.Errorf("%s: told %q, want %q", what, got, want)
	}
}

func text(s string) *wirev1.Value { return textToWire(s) }

func list(values ...*wirev1.Value) *wirev1.Value {
	return &wirev1.Value{Of: &wirev1.Value_List{List: &wirev1.ValueList{Values: values}}}
}

type valuesOf = map[string]*wirev1.Value

func creating(entity string, values valuesOf) *wirev1.Write {
	return &wirev1.Write{Act: &wirev1.Write_Create{Create: &wirev1.CreateRecord{Entity: entity, Values: values}}}
}

func updating(r *wirev1.Record, values valuesOf) *wirev1.Write {
	return &wirev1.Write{Act: &wirev1.Write_Update{Update: &wirev1.UpdateRecord{Entity: r.Entity, Id: r.Id, Version: r.Version, Values: values}}}
}

func deleting(r *wirev1.Record) *wirev1.Write {
	return &wirev1.Write{Act: &wirev1.Write_Delete{Delete: &wirev1.DeleteRecord{Entity: r.Entity, Id: r.Id, Version: r.Version}}}
}

// wrote writes and gives the records.
func (x *services) wrote(t testing.TB, ctx context.Context, writes ...*wirev1.Write) []*wirev1.Record {
	t.Helper()
	answer, err := x.Write(ctx, &wirev1.WriteRequest{Writes: writes})
	if err != nil {
		t.Fatalf("%s (%v)", kindOf(err), wire.FaultOf(err))
	}
	return answer.Records
}

func (b *bench) customer(values record.Values) record.Record {
	b.t.Helper()
	r, err := b.book.Create(b.appliance(), "contact", values)
	b.must(err)
	return r
}

// lastFact is the newest fact.
func (b *bench) lastFact() journal.Fact {
	b.t.Helper()
	b.must(b.facts.Flush(b.t.Context()))
	last, err := b.facts.Last(b.t.Context())
	b.must(err)
	facts, err := b.facts.After(b.t.Context(), last-1, 1)
	b.must(err)
	return facts[0]
}
