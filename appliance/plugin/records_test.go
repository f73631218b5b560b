package plugin

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/record"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// TestEveryValueComesBack writes a record with a value of each type and reads it again.
func TestEveryValueComesBack(t *testing.T) {
	b := newBench(t)
	x := b.plugin(workshopManifest())
	friend := b.customer(record.Values{"name": "Friend"})
	file := x.putText(t, b.itself(), "paper.txt", "a paper")
	in := valuesOf{
		"name": text("Dana Levi"), "owner": text("dana"), "phones": list(text("+972501112233"), text("+972501112234")), "note": text("two\nlines"),
		"score": {Of: &wirev1.Value_Number{Number: -2.5}}, "vip": {Of: &wirev1.Value_Yes{Yes: true}},
		"met":    {Of: &wirev1.Value_Time{Time: timestamppb.New(time.UnixMilli(1_700_000_000_123))}},
		"credit": {Of: &wirev1.Value_Money{Money: &wirev1.Money{Minor: -1234, Currency: "USD"}}},
		"web":    text("https://example.com/a?b=c"), "kind": text("firm"), "tags": list(text("a"), text("c")), "email": text("dana@example.com"),
		"friend": text(friend.ID.String()), "friends": list(text(friend.ID.String())), "anniversary": text("--02-29"),
		"papers":          list(&wirev1.Value{Of: &wirev1.Value_File{File: file}}),
		"workshop_credit": {Of: &wirev1.Value_Money{Money: &wirev1.Money{Minor: 500}}}, // in the field's own currency
	}
	made := x.wrote(t, b.itself(), creating("contact", in))[0]
	got, err := x.Get(b.itself(), &wirev1.GetRequest{Entity: "contact", Ids: []string{made.Id}})
	if err != nil || len(got.Records) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	want := proto.Clone(&wirev1.Record{Values: in}).(*wirev1.Record)
	want.Values["workshop_credit"].GetMoney().Currency = "ILS"
	want.Values["double"] = &wirev1.Value{Of: &wirev1.Value_Number{Number: -5}}
	for _, r := range []*wirev1.Record{made, got.Records[0]} {
		if !proto.Equal(&wirev1.Record{Values: r.Values}, want) {
			t.Errorf("got  %v\nwant %v", r.Values, want.Values)
		}
		if r.Version != 1 || r.CreatedBy != "plugin:il.example.workshop" || r.UpdatedBy != r.CreatedBy || r.Entity != "contact" || !r.CreatedAt.IsValid() {
			t.Errorf("the record is %v", r)
		}
	}
	empty := valuesOf{}
	for name := range in {
		if name != "name" && name != "owner" { // to give a customer away it was not granted
			empty[name] = &wirev1.Value{}
		}
	}
	emptied := x.wrote(t, b.itself(), updating(made, empty))[0]
	if len(emptied.Values) != 2 || emptied.Version != 2 {
		t.Errorf("emptied: %v", emptied)
	}
}

// TestWhatAFieldTakes sends values that do not fit.
func TestWhatAFieldTakes(t *testing.T) {
	b := newBench(t)
	x := b.plugin(workshopManifest())
	one := &wirev1.Value{Of: &wirev1.Value_Number{Number: 1}}
	for name, c := range map[string]struct {
		value *wirev1.Value
		want  string
	}{
		"phones": {text("+97250"), "field.many"}, "score": {text("1"), "field.type"}, "kind": {list(text("shop")), "field.type"}, "note": {one, "field.type"},
		"tags": {list(list(text("a"))), "field.type"}, "friend": {text("@0"), "field.link"}, "friends": {list(text("@-1")), "field.link"}, "met": {text("2026-11-22T09:00:00Z"), "field.type"},
		"vip": {one, "field.type"}, "photo": {text("x"), "field.type"}, "credit": {one, "field.type"}, "code": {text("1"), "field.closed"}, "double": {one, "field.closed"},
		"inner": {text("1"), "field.closed"}, "birthday": {text("1990-01-01"), "field.unknown"}, "no_such": {text("1"), "field.unknown"}, "web": {text("javascript:x"), "field.url"},
		"owner": {&wirev1.Value{Of: &wirev1.Value_Time{Time: &timestamppb.Timestamp{Seconds: 1 << 60}}}, "field.time"},
		"name":  {&wirev1.Value{}, "field.required"},
	} {
		values := valuesOf{"name": text("x")}
		values[name] = c.value
		_, err := x.Write(b.itself(), &wirev1.WriteRequest{Writes: []*wirev1.Write{creating("contact", values)}})
		wantTold(t, name, err, "INVALID input.invalid "+name+":"+c.want)
	}
}

// TestABatchIsAllOrNothing makes records that name each other, and fails in the middle.
func TestABatchIsAllOrNothing(t *testing.T) {
	b := newBench(t)
	x := b.plugin(workshopManifest())
	made := x.wrote(t, b.itself(), creating("contact", valuesOf{"name": text("Firm")}), creating("workshop.lorry", valuesOf{"plate": text("1"), "customer": text("@0")}),
		creating("workshop.lorry", valuesOf{"plate": text("2"), "customer": text("@0"), "after": text("@1")}))
	if made[2].Values["customer"].GetText() != made[0].Id || made[2].Values["after"].GetText() != made[1].Id {
		t.Errorf("the links lead to %v", made[2].Values)
	}
	last, err := b.facts.Last(t.Context())
	b.must(err)
	failing := []*wirev1.Write{updating(made[0], valuesOf{"note": text("changed")}), deleting(made[1]), creating("workshop.lorry", valuesOf{"plate": text("2")})}
	_, err = x.Write(b.itself(), &wirev1.WriteRequest{Writes: failing, IdempotencyKey: "failing"})
	wantTold(t, "the third", err, "INVALID input.invalid plate:field.taken")
	_, err = x.Write(b.itself(), &wirev1.WriteRequest{Writes: []*wirev1.Write{deleting(made[2]), creating("workshop.lorry", valuesOf{"plate": text("9"), "after": text("@0")})}})
	wantTold(t, "a link to what made nothing", err, "INVALID input.invalid after:field.link")
	if now, err := b.facts.Last(t.Context()); err != nil || now != last {
		t.Errorf("a batch that failed left %d facts, %v", now-last, err)
	}
	got, err := x.Get(b.itself(), &wirev1.GetRequest{Entity: "workshop.lorry", Ids: []string{made[2].Id, "no id", made[1].Id, record.NewID().String()}})
	b.must(err)
	if len(got.Records) != 2 || got.Records[0].Id != made[2].Id || got.Records[1].Id != made[1].Id {
		t.Errorf("read in another order or not at all: %v", got.Records)
	}
	done := x.wrote(t, b.itself(), deleting(made[2]), updating(made[0], valuesOf{"note": text("seen")}))
	if len(done[0].Values) != 0 || done[0].Version != 0 || done[1].Version != 2 {
		t.Errorf("answered %v", done)
	}
	stale := []*wirev1.Write{creating("contact", valuesOf{"name": text("never")}), updating(made[0], valuesOf{"note": text("stale")})}
	_, err = x.Write(b.itself(), &wirev1.WriteRequest{Writes: stale})
	wantTold(t, "a version that is no longer the record's", err, "CONFLICT record.changed")
	none := updating(made[0], nil)
	none.GetUpdate().Version = 0
	_, err = x.Write(b.itself(), &wirev1.WriteRequest{Writes: []*wirev1.Write{none}})
	wantTold(t, "no version", err, "INVALID record.version-missing")
	_, err = x.Write(b.itself(), &wirev1.WriteRequest{Writes: []*wirev1.Write{{}}})
	wantTold(t, "no act", err, "INVALID input.invalid act:field.required")
	if n, err := x.Count(b.itself(), &wirev1.CountRequest{Entity: "contact"}); err != nil || n.Count != 1 || !n.Exact {
		t.Errorf("%v customers, %v", n, err)
	}
}

// TestABatchWithAKeyIsDoneOnce asks twice, as somebody who never heard the answer does.
func TestABatchWithAKeyIsDoneOnce(t *testing.T) {
	b := newBench(t)
	x, other := b.plugin(workshopManifest()), workshopManifest()
	other.ID = "il.example.other"
	batch := func(name string) *wirev1.WriteRequest {
		return &wirev1.WriteRequest{Writes: []*wirev1.Write{creating("contact", valuesOf{"name": text(name)}), creating("workshop.lorry", valuesOf{"plate": text(name), "customer": text("@0")})}, IdempotencyKey: "k"}
	}
	first, err := x.Write(b.itself(), batch("one"))
	b.must(err)
	again, err := x.Write(b.itself(), batch("one"))
	b.must(err)
	if !proto.Equal(first, again) {
		t.Errorf("asked again: %v, first: %v", again, first)
	}
	_, err = x.Write(b.itself(), batch("two"))
	wantTold(t, "the same key for something else", err, "INVALID input.invalid idempotency_key:idempotency.reused")
	x.wrote(t, b.itself(), deleting(first.Records[1]))
	again, err = x.Write(b.itself(), batch("one"))
	if err != nil || len(again.Records) != 2 || again.Records[1].Version != 0 || again.Records[1].Id != first.Records[1].Id {
		t.Errorf("of what is gone: %v, %v", again, err)
	}
	made, err := b.plugin(other).Write(b.itself(), &wirev1.WriteRequest{Writes: batch("three").Writes[:1], IdempotencyKey: "k"})
	if err != nil || made.Records[0].Id == first.Records[0].Id {
		t.Errorf("another plugin's same key: %v, %v", made, err)
	}
	b.pass(onceLife)
	made, err = x.Write(b.itself(), batch("one"))
	if err != nil || made.Records[0].Id == first.Records[0].Id {
		t.Errorf("after a week: %v, %v", made, err)
	}
	_, err = x.Write(b.itself(), &wirev1.WriteRequest{Writes: batch("x").Writes, IdempotencyKey: strings.Repeat("k", 201)})
	wantTold(t, "a long key", err, "INVALID input.invalid idempotency_key:field.too-long")
}

// TestQueriesInPages walks lists with filters and orders, and refuses what cannot be asked.
func TestQueriesInPages(t *testing.T) {
	b := newBench(t)
	x := b.plugin(workshopManifest())
	for i := range 7 {
		b.customer(record.Values{"name": fmt.Sprint("Customer ", i), "score": float64(i), "birthday": "1990-01-01"})
	}
	var names []string
	q := &wirev1.QueryRequest{Entity: "contact", Filter: "score > 1", Sort: "-name", Limit: 2, Fields: []string{"name"}}
	for pages := 0; ; pages++ {
		page, err := x.Query(b.itself(), q)
		b.must(err)
		for _, r := range page.Records {
			if len(r.Values) != 1 {
				t.Errorf("asked for the name, got %v", r.Values)
			}
			names = append(names, strings.TrimPrefix(r.Values["name"].GetText(), "Customer "))
		}
		if q.Cursor = page.Next; page.Next == "" || pages > 5 {
			break
		}
	}
	if got := strings.Join(names, ""); got != "65432" {
		t.Errorf("listed %s", got)
	}
	for what, c := range map[string]struct {
		q    *wirev1.QueryRequest
		want string
	}{
		"a wrong filter":      {&wirev1.QueryRequest{Entity: "contact", Filter: "score >"}, "INVALID"},
		"a hidden field":      {&wirev1.QueryRequest{Entity: "contact", Filter: `birthday = "1990-01-01"`}, "INVALID"},
		"shown hidden":        {&wirev1.QueryRequest{Entity: "contact", Fields: []string{"birthday"}}, "INVALID input.invalid fields[0]:field.unknown"},
		"sorted by hidden":    {&wirev1.QueryRequest{Entity: "contact", Sort: "birthday"}, "INVALID input.invalid sort:list.sort"},
		"a foreign cursor":    {&wirev1.QueryRequest{Entity: "contact", Cursor: "AAAA"}, "INVALID input.invalid cursor:list.cursor"},
		"too many":            {&wirev1.QueryRequest{Entity: "contact", Limit: 201}, "INVALID input.invalid limit:list.limit"},
		"less than none":      {&wirev1.QueryRequest{Entity: "contact", Limit: -1}, "INVALID input.invalid limit:list.limit"},
		"an entity not given": {&wirev1.QueryRequest{Entity: "deal"}, "FORBIDDEN plugin.not-granted"},
		"no such entity":      {&wirev1.QueryRequest{Entity: "no.such"}, "FORBIDDEN plugin.not-granted"},
	} {
		_, err := x.Query(b.itself(), c.q)
		if got := kindOf(err); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: told %q, want %q", what, got, c.want)
		}
	}
	if n, err := x.Count(b.itself(), &wirev1.CountRequest{Entity: "contact", Filter: "score > 1"}); err != nil || n.Count != 5 || !n.Exact {
		t.Errorf("counted %v, %v", n, err)
	}
}

// TestCountsStopAtAThousand says that there are more.
func TestCountsStopAtAThousand(t *testing.T) {
	b := newBench(t)
	x := b.plugin(workshopManifest())
	for from := 0; from < 1100; from += 500 {
		var writes []*wirev1.Write
		for i := range min(500, 1100-from) {
			writes = append(writes, creating("workshop.lorry", valuesOf{"plate": text(fmt.Sprint(from + i))}))
		}
		x.wrote(t, b.itself(), writes...)
	}
	for _, filter := range []string{"", `plate != "x"`} {
		if n, err := x.Count(b.itself(), &wirev1.CountRequest{Entity: "workshop.lorry", Filter: filter}); err != nil || n.Count != 1000 || n.Exact {
			t.Errorf("%q: counted %v, %v", filter, n, err)
		}
	}
	_, err := x.Write(b.itself(), &wirev1.WriteRequest{Writes: make([]*wirev1.Write, 501)})
	wantTold(t, "501 writes", err, "INVALID input.invalid writes:field.too-many")
}

// TestLongRecordsFitIntoMessages asks for more than a message carries.
func TestLongRecordsFitIntoMessages(t *testing.T) {
	b := newBench(t)
	x := b.plugin(workshopManifest())
	var ids []string
	for range 6 {
		ids = append(ids, b.customer(record.Values{"name": "Long", "note": strings.Repeat("x", 1<<20)}).ID.String())
	}
	var seen []string
	q := &wirev1.QueryRequest{Entity: "contact", Limit: 200}
	for pages := 0; pages < 10; pages++ {
		page, err := x.Query(b.itself(), q)
		b.must(err)
		if proto.Size(page) > 4<<20 {
			t.Errorf("a page of %d bytes", proto.Size(page))
		}
		for _, r := range page.Records {
			seen = append(seen, r.Id)
		}
		if q.Cursor = page.Next; page.Next == "" {
			break
		}
	}
	if !slices.Equal(seen, ids) {
		t.Errorf("listed %d of %d", len(seen), len(ids))
	}
	_, err := x.Get(b.itself(), &wirev1.GetRequest{Entity: "contact", Ids: ids})
	wantTold(t, "six megabytes at once", err, "TOO_LARGE plugin.answer-too-long")
	if got, err := x.Get(b.itself(), &wirev1.GetRequest{Entity: "contact", Ids: ids, Fields: []string{"name"}}); err != nil || len(got.Records) != 6 {
		t.Errorf("their names: %v, %v", got, err)
	}
	huge := b.customer(record.Values{"name": "Huge", "note": strings.Repeat("x", 4<<20)})
	_, err = x.Query(b.itself(), &wirev1.QueryRequest{Entity: "contact", Filter: `name = "Huge"`})
	wantTold(t, "one record of 4 MB", err, "TOO_LARGE plugin.answer-too-long")
	written, err := x.Write(b.itself(), &wirev1.WriteRequest{Writes: []*wirev1.Write{updating(&wirev1.Record{Entity: "contact", Id: huge.ID.String(), Version: 1}, valuesOf{"score": {Of: &wirev1.Value_Number{Number: 1}}})}})
	if err != nil || written.Records[0].Version != 2 || len(written.Records[0].Values) != 0 {
		t.Errorf("a change of it: %v", err)
	}
}

// TestReadingIsNoted: what a plugin reads of others' records stands in the audit, with the person and the plugin.
func TestReadingIsNoted(t *testing.T) {
	b := newBench(t)
	m := workshopManifest()
	m.Permissions.Records[0].Fields = []string{"name", "birthday"}
	x := b.plugin(m)
	r := b.customer(record.Values{"name": "Dana", "birthday": "1990-01-01", "owner": "dana"})
	_, err := x.Get(b.itself(), &wirev1.GetRequest{Entity: "contact", Ids: []string{r.ID.String()}})
	b.must(err)
	if f := b.lastFact(); f.Name != "contact.read" || f.Actor != "plugin:il.example.workshop" || !slices.Equal(f.Fields, []string{"birthday"}) {
		t.Errorf("noted %+v", f)
	}
	dana, done := x.behalf(b.as("dana", access.Agent))
	defer done()
	_, err = x.Query(dana, &wirev1.QueryRequest{Entity: "contact"})
	b.must(err)
	if f := b.lastFact(); f.Name != "contact.read" || f.Actor != "dana" || f.About["via"] != "plugin:il.example.workshop" {
		t.Errorf("noted %+v", f)
	}
	last, err := b.facts.Last(t.Context())
	b.must(err)
	x.wrote(t, b.itself(), creating("workshop.lorry", valuesOf{"plate": text("1")}))
	_, err = x.Query(b.itself(), &wirev1.QueryRequest{Entity: "workshop.lorry"})
	b.must(err)
	if f := b.lastFact(); f.Seq != last+1 || f.Name != "workshop.lorry.created" {
		t.Errorf("a plugin's own records: noted %+v", f)
	}
}

// TestParallelCallsOfManyPlugins writes and reads from many goroutines: nothing is lost and nobody acts for another.
func TestParallelCallsOfManyPlugins(t *testing.T) {
	b := newBench(t)
	x := b.plugin(workshopManifest())
	mine := b.customer(record.Values{"name": "Dana's", "owner": "dana"})
	var wait sync.WaitGroup
	for i := range 8 {
		who := fmt.Sprint("agent", i)
		if i%2 == 0 {
			who = "dana"
		}
		ctx, done := x.behalf(b.as(who, access.Agent))
		wait.Go(func() {
			defer done()
			for n := range 10 {
				got, err := x.Get(ctx, &wirev1.GetRequest{Entity: "contact", Ids: []string{mine.ID.String()}})
				if err != nil || (len(got.Records) == 1) != (who == "dana") {
					t.Errorf("%s sees %v, %v", who, got, err)
				}
				_, err = x.Write(b.itself(), &wirev1.WriteRequest{Writes: []*wirev1.Write{creating("workshop.lorry", valuesOf{"plate": text(fmt.Sprint(i, "-", n))})}})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if n, err := x.Count(b.itself(), &wirev1.CountRequest{Entity: "workshop.lorry"}); err != nil || n.Count != 80 {
		t.Errorf("%v of 80 lorries, %v", n, err)
	}
}
