package plugin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc/metadata"
)

// serviceDoor is a way by which a plugin can come to a record. It gives what it saw of it.
type serviceDoor struct {
	name string
	verb access.Verb // that must be granted
	try  func(x *services, ctx context.Context, r record.Record, file string) (seen string, err error)
}

func serviceDoors() []serviceDoor {
	ref := func(r record.Record) *wirev1.RecordRef {
		return &wirev1.RecordRef{Entity: r.Entity(), Id: r.ID.String()}
	}
	said := func(r []*wirev1.Record) string { return fmt.Sprint(r) }
	return []serviceDoor{
		{"Records.Get", access.See, func(x *services, ctx context.Context, r record.Record, _ string) (string, error) {
			a, err := x.Get(ctx, &wirev1.GetRequest{Entity: r.Entity(), Ids: []string{r.ID.String()}})
			return said(a.GetRecords()), err
		}},
		{"Records.Query", access.See, func(x *services, ctx context.Context, r record.Record, _ string) (string, error) {
			a, err := x.Query(ctx, &wirev1.QueryRequest{Entity: r.Entity(), Filter: `name contains "Target"`})
			return said(a.GetRecords()), err
		}},
		{"Records.Count", access.See, func(x *services, ctx context.Context, r record.Record, _ string) (string, error) {
			a, err := x.Count(ctx, &wirev1.CountRequest{Entity: r.Entity(), Filter: `name contains "Target"`})
			return strings.Repeat("Target", int(a.GetCount())), err
		}},
		{"Records.Write, a change", access.Change, func(x *services, ctx context.Context, r record.Record, _ string) (string, error) {
			a, err := x.Write(ctx, &wirev1.WriteRequest{Writes: []*wirev1.Write{updating(&wirev1.Record{Entity: r.Entity(), Id: r.ID.String(), Version: r.Version()}, nil)}})
			return said(a.GetRecords()), err
		}},
		{"Records.Write, a link", access.See, func(x *services, ctx context.Context, r record.Record, _ string) (string, error) {
			_, err := x.Write(ctx, &wirev1.WriteRequest{Writes: []*wirev1.Write{creating("workshop.lorry", valuesOf{"plate": text(record.NewID().String()), "customer": text(r.ID.String())})}})
			return strings.Repeat("Target", btoi(err == nil)), err
		}},
		{"Blobs.Open", access.See, func(x *services, ctx context.Context, r record.Record, file string) (string, error) {
			return x.opened(ctx, &wirev1.BlobOpenRequest{Blob: file, Record: ref(r)})
		}},
		{"Office.Audit", access.See, func(x *services, ctx context.Context, r record.Record, _ string) (string, error) {
			_, err := x.office.Audit(ctx, &wirev1.AuditRequest{Act: "tried", Record: ref(r)})
			return strings.Repeat("Target", btoi(err == nil)), err
		}},
		{"Office.Emit", access.See, func(x *services, ctx context.Context, r record.Record, _ string) (string, error) {
			_, err := x.office.Emit(ctx, &wirev1.EmitRequest{Name: "tried", Record: ref(r)})
			return strings.Repeat("Target", btoi(err == nil)), err
		}},
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestEveryDoorOfAPlugin tries each way to a customer under each grant and on behalf of everybody: who sees him is who
// may by the grant and, where there is a person, by his own rights; and what is hidden from either is not there.
func TestEveryDoorOfAPlugin(t *testing.T) {
	b := newBench(t)
	_, err := b.gate.SetRole(b.appliance(), 0, access.Rules{Name: "desk", Base: access.Manager, Fields: []access.FieldRule{{Entity: "contact", Field: "note", Right: access.Hide}, {Entity: "contact", Field: "papers", Right: access.Hide}}})
	b.must(err)
	file, err := b.host.o.Files.Put(b.appliance(), "plan.txt", "text/plain", strings.NewReader("Target plan"))
	b.must(err)
	target := b.customer(record.Values{"name": "Target", "owner": "dana", "note": "secretnote", "birthday": "1990-01-01", "papers": []any{file}})
	granted := map[string][]RecordGrant{
		"nothing": nil,
		"see":     {{Entity: "contact", Verbs: []string{"see"}}},
		"change":  {{Entity: "contact", Verbs: []string{"see", "change"}}},
		"name":    {{Entity: "contact", Verbs: []string{"see", "change"}, Fields: []string{"name", "birthday"}}},
		"unseen":  {{Entity: "contact", Verbs: []string{"change"}}},
		"others":  {{Entity: "deal", Verbs: []string{"see", "change"}}},
	}
	people := map[string]struct {
		ctx     context.Context
		sees    bool
		changes bool
	}{
		"itself": {nil, true, true}, "manager": {b.as("m", access.Manager), true, true}, "her agent": {b.as("dana", access.Agent), true, true},
		"another agent": {b.as("yossi", access.Agent), false, false}, "viewer": {b.as("v", access.Viewer), true, false}, "desk": {b.as("d", "desk"), true, true},
		"stranger": {b.as("x", "no-such-role"), false, false}, "another plugin": {b.as("plugin:com.other", access.Plugin), true, true}, // it asks this one, which then acts as itself
	}
	tried, got := 0, map[string]int{}
	for grantName, records := range granted {
		m := workshopManifest()
		m.Permissions.Records = records
		x := b.plugin(m)
		for who, p := range people {
			ctx, done := b.itself(), func() {}
			if p.ctx != nil {
				ctx, done = x.behalf(p.ctx)
			}
			for _, d := range serviceDoors() {
				tried++
				seen, err := d.try(x, ctx, target, file.Blob)
				want := x.s.grant.Allows(d.verb, "contact") && p.sees && (d.verb == access.See || p.changes)
				switch d.name {
				case "Blobs.Open":
					want = want && grantName != "name" && who != "desk" // the field is hidden
				case "Records.Write, a link":
					want = want && who != "viewer" // who may make no lorries
				}
				if strings.Contains(seen, "Target") != want {
					t.Errorf("%s by grant %q for %s: saw %q, %s; want it seen: %v", d.name, grantName, who, seen, kindOf(err), want)
				}
				if strings.Contains(seen, "secretnote") && (who == "desk" || grantName == "name") || strings.Contains(seen, "1990-01-01") && grantName != "name" {
					t.Errorf("%s by grant %q for %s: leaked %q", d.name, grantName, who, seen)
				}
				if !x.s.grant.Allows(d.verb, "contact") && err != nil && d.name != "Records.Write, a link" && kindOf(err) != "FORBIDDEN plugin.not-granted" {
					t.Errorf("%s by grant %q for %s: told %s", d.name, grantName, who, kindOf(err))
				}
				got[d.name] += btoi(want)
			}
			done()
		}
	}
	t.Logf("%d tries; seen by door: %v", tried, got)
	if told := b.told(); !slices.Contains(told, "il.example.workshop not-granted see:contact") || !slices.Contains(told, "il.example.workshop not-granted change:contact") {
		t.Errorf("of what was not granted, the office heard %v", told)
	}
}

// TestAHandleIsGoodForItsCall ends handles, makes some up, and takes another plugin's.
func TestAHandleIsGoodForItsCall(t *testing.T) {
	b := newBench(t)
	x, other := b.plugin(workshopManifest()), workshopManifest()
	other.ID = "il.example.other"
	y := b.plugin(other)
	r := b.customer(record.Values{"name": "Dana's", "owner": "dana"})
	ask := func(ctx context.Context) error {
		_, err := x.Get(ctx, &wirev1.GetRequest{Entity: "contact", Ids: []string{r.ID.String()}})
		return err
	}
	good, done := x.behalf(b.as("dana", access.Agent))
	b.must(ask(good))
	md, _ := metadata.FromIncomingContext(good)
	two := metadata.NewIncomingContext(t.Context(), metadata.Pairs(wire.CallKey, md.Get(wire.CallKey)[0], wire.CallKey, md.Get(wire.CallKey)[0]))
	wantTold(t, "two handles", ask(two), "FORBIDDEN plugin.call-ended")
	done()
	foreign, end := y.behalf(b.as("dana", access.Agent))
	defer end()
	for what, ctx := range map[string]context.Context{"ended": good, "another plugin's": foreign,
		"made up": metadata.NewIncomingContext(t.Context(), metadata.Pairs(wire.CallKey, strings.Repeat("0", 64))), "empty": metadata.NewIncomingContext(t.Context(), metadata.Pairs(wire.CallKey, ""))} {
		wantTold(t, what, ask(ctx), "FORBIDDEN plugin.call-ended")
		_, err := x.kv.Get(ctx, &wirev1.KVGetRequest{Key: []byte("k")})
		wantTold(t, what+", small values", err, "FORBIDDEN plugin.call-ended")
	}
	if told := b.told(); !slices.Equal(told, []string{"il.example.workshop call-unknown "}) {
		t.Errorf("the office heard %v", told)
	}
	b.pass(tellEvery)
	_ = ask(good)
	if told := b.told(); len(told) != 1 {
		t.Errorf("a minute later it heard %v", told)
	}
	for what, ctx := range map[string]context.Context{"the appliance": b.appliance(), "a plugin": b.as("plugin:com.other", access.Plugin), "nobody": t.Context()} {
		call, done := x.s.asCaller(ctx)
		if md, _ := metadata.FromOutgoingContext(call); len(md.Get(wire.CallKey)) != 0 {
			t.Errorf("a call for %s has a handle", what)
		}
		done()
	}
}

// TestAWriteOnBehalf has the person as its author, and the plugin beside him in the journal.
func TestAWriteOnBehalf(t *testing.T) {
	b := newBench(t)
	x := b.plugin(workshopManifest())
	dana, done := x.behalf(b.as("dana", access.Agent))
	defer done()
	made := x.wrote(t, dana, creating("contact", valuesOf{"name": text("New")}))[0]
	if made.CreatedBy != "dana" || made.Values["owner"].GetText() != "dana" {
		t.Errorf("made by %s, owned by %v", made.CreatedBy, made.Values["owner"])
	}
	if f := b.lastFact(); f.Name != "contact.created" || f.Actor != "dana" || f.About["via"] != "plugin:il.example.workshop" {
		t.Errorf("the fact is %+v", f)
	}
	_, err := x.Write(dana, &wirev1.WriteRequest{Writes: []*wirev1.Write{updating(made, valuesOf{"owner": text("yossi")})}})
	wantTold(t, "a customer given away", err, "FORBIDDEN access.forbidden")
	_, err = x.Write(b.itself(), &wirev1.WriteRequest{Writes: []*wirev1.Write{updating(made, valuesOf{"owner": text("yossi")})}})
	wantTold(t, "given away by the plugin itself", err, "FORBIDDEN access.forbidden")
	_, err = x.Write(dana, &wirev1.WriteRequest{Writes: []*wirev1.Write{deleting(made)}})
	wantTold(t, "deleted", err, "FORBIDDEN plugin.not-granted")
	viewer, end := x.behalf(b.as("v", access.Viewer))
	defer end()
	_, err = x.Write(viewer, &wirev1.WriteRequest{Writes: []*wirev1.Write{creating("workshop.lorry", valuesOf{"plate": text("1")})}})
	wantTold(t, "the plugin's own entity by a viewer", err, "FORBIDDEN access.forbidden")
}
