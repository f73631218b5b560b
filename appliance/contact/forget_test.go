package contact

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

// wide opens a room with kinds of record that hang on a contact in every way: by a link, by a chain of links, by an
// address alone.
func wide(t testing.TB) *office {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "karov.db"))
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	who := schema.Field{Number: 16, Name: "who", Type: schema.Link, Target: "contact", Indexed: true}
	over := func(target string) schema.Field {
		return schema.Field{Number: 16, Name: "over", Type: schema.Link, Target: target, Required: true, Indexed: true}
	}
	text := schema.Field{Number: 17, Name: "text", Type: schema.Text}
	s, err := schema.New(Entity(), TagEntity(),
		schema.Entity{Name: "lead", Title: "text", Contact: "who", Fields: []schema.Field{who, text,
			{Number: 18, Name: "phone", Type: schema.Phone}, {Number: 19, Name: "mail", Type: schema.Email}}},
		schema.Entity{Name: "club.visit", Via: "who", Contact: "who", Fields: []schema.Field{who, text}},
		schema.Entity{Name: "club.photo", Via: "over", Fields: []schema.Field{over("club.visit"), text}},
		schema.Entity{Name: "club.remark", Via: "over", Fields: []schema.Field{over("club.photo"), text}},
		schema.Entity{Name: "club.house", Fields: []schema.Field{who, text}}) // knows a contact, and is not about him
	must(t, err)
	gate, err := access.NewGate()
	must(t, err)
	o := &office{t: t, at: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)}
	now := func() time.Time { return o.at }
	o.book = record.NewBook(record.Parts{DB: db, Schema: schema.Fixed(s), Gate: gate, Journal: journal.New(db, now), Now: now})
	o.Room = New(o.book, gate, "IL")
	return o
}

// TestForgetFollowsWhatHangs erases what hangs on a contact through any number of links, in use and in the bin, and the
// leads that name him; nothing of anybody else.
func TestForgetFollowsWhatHangs(t *testing.T) {
	o, ctx := wide(t), as(t, access.Owner)
	made := map[string]record.Record{}
	put := func(name, entity string, v record.Values) ID {
		t.Helper()
		rec, err := o.book.Create(ctx, entity, v)
		must(t, err)
		made[name] = rec
		return rec.ID
	}
	chain := func(name string, who ID) {
		t.Helper()
		visit := put(name+" visit", "club.visit", record.Values{"who": who, "text": "x"})
		photo := put(name+" photo", "club.photo", record.Values{"over": visit, "text": "x"})
		put(name+" remark", "club.remark", record.Values{"over": photo, "text": "x"})
		put(name+" binned remark", "club.remark", record.Values{"over": photo, "text": "x"})
		put(name+" binned visit", "club.visit", record.Values{"who": who, "text": "x"})
		put(name+" house", "club.house", record.Values{"who": who, "text": "x"})
		put(name+" lead", "lead", record.Values{"who": who, "text": "x"})
		for _, n := range []string{"binned remark", "binned visit"} {
			must(t, o.book.Delete(ctx, made[name+" "+n].Entity(), made[name+" "+n].ID, 1))
		}
	}
	dana := o.create(record.Values{"name": "Dana Levi", "phones": []string{"050-1234567"}, "emails": []string{"dana@example.com"}})
	other := o.create(record.Values{"name": "Yossi Levi", "phones": []string{"050-1234567"}})
	chain("hers", dana.ID)
	chain("his", other.ID)
	put("hers by mail", "lead", record.Values{"text": "Somebody", "mail": "DANA@example.com"})
	put("hers by phone and name", "lead", record.Values{"text": "levi DANA", "phone": "+972501234567"})
	put("hers by phone", "lead", record.Values{"phone": "0501234567"})
	put("his by phone and name", "lead", record.Values{"text": "Yossi Levi", "phone": "0501234567"})
	put("his, with her mail", "lead", record.Values{"text": "x", "mail": "dana@example.com", "who": other.ID})
	for range 2 * forgetBatch {
		put("hers many", "lead", record.Values{"mail": "dana@example.com"})
	}
	must(t, o.Forget(ctx, dana.ID, 1, "request"))
	binned := map[string]bool{}
	for _, entity := range []string{"club.visit", "club.remark"} {
		page, _, err := o.book.Bin(ctx, entity, ID{}, 100)
		must(t, err)
		for _, d := range page {
			binned[d.Record.ID.String()] = true
		}
	}
	for name, rec := range made {
		_, err := o.book.Get(ctx, rec.Entity(), rec.ID)
		stands := err == nil || binned[rec.ID.String()]
		if want := name[:3] == "his" || name == "hers house"; stands != want {
			t.Errorf("%s stands: %v (%v)", name, stands, err)
		}
	}
	if n, _, err := o.book.Count(ctx, record.Query{Entity: "lead"}); err != nil || n != 3 {
		t.Errorf("%d leads stand, %v", n, err)
	}
	must(t, o.book.Check(ctx))
	if _, err := o.Get(ctx, dana.ID); fault.KindOf(err) != fault.NotFound {
		t.Errorf("she stands: %v", err)
	}
}

func TestTombstoneNamesNobody(t *testing.T) {
	o, ctx := wide(t), as(t, access.Owner)
	dana := o.create(record.Values{"name": "Dana Levi", "phones": []string{"050-1234567"}, "emails": []string{"dana@example.com"}, "external_id": "x-1"})
	must(t, o.Forget(as(t, access.Manager, "boss"), dana.ID, 1, "law"))
	stones, err := o.Tombstones(ctx)
	must(t, err)
	if len(stones) != 1 || stones[0].Contact != dana.ID || stones[0].By != "boss" || stones[0].Reason != "law" || !stones[0].At.Equal(o.at) || !stones[0].Done || len(stones[0].Marks) != 4 {
		t.Errorf("%+v", stones)
	}
	for _, m := range stones[0].Marks {
		if len(m) != 64 || strings.ContainsAny(m, "ghijklmnopqrstuvwxyz@ ") {
			t.Errorf("a mark is %q", m)
		}
	}
}
