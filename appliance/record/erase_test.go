package record

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

// crowd makes more customers than one batch erases: the last two with a history, one of them in the bin.
func crowd(t *testing.T, b *office, ctx context.Context) (kept, binned Record) {
	t.Helper()
	must(t, b.Update(ctx, func(tx store.Tx) error {
		for i := range eraseBatch + 50 {
			values := Values{"name": fmt.Sprintf("Customer %d", i), "external_id": fmt.Sprintf("secret-%d", i)}
			if _, err := b.CreateTx(ctx, tx, Change{Entity: "contact", Values: values}); err != nil {
				return err
			}
		}
		return nil
	}))
	for _, r := range []*Record{&kept, &binned} {
		made, err := b.Create(ctx, "contact", Values{"name": "Last", "external_id": "secret-old " + blobName(1)})
		must(t, err)
		made, err = b.Change(ctx, "contact", made.ID, 1, Values{"external_id": "secret-new"})
		must(t, err)
		*r, err = b.Change(ctx, "contact", made.ID, 2, Values{"external_id": "secret-newest", "note": "stays"})
		must(t, err)
	}
	must(t, b.Delete(ctx, "contact", binned.ID, binned.Version()))
	return kept, binned
}

// holding lists the buckets that hold a text.
func (b *office) holding(text string) (names []string) {
	must(b.t, b.db.View(b.t.Context(), func(tx store.Tx) error {
		for _, name := range tx.Buckets() {
			for key, value := range tx.Bucket(name).Scan(nil, nil, false) {
				if strings.Contains(string(key)+"\x00"+string(value), text) {
					names = append(names, name)
					break
				}
			}
		}
		return nil
	}))
	return names
}

func TestEraseField(t *testing.T) {
	b := open(t)
	ctx := as(t, access.System)
	kept, binned := crowd(t, b, ctx)
	if got := b.holding("secret-"); !slices.Contains(got, "record.contact") || !slices.Contains(got, binBucket) || !slices.Contains(got, historyBucket) {
		t.Fatalf("before, it stands in %v", got)
	}
	// The first attempt falls in the middle; the second does all.
	var left []string
	falling, fall := context.WithCancel(ctx)
	err := b.EraseField(falling, "contact", "external_id", func(_ store.Tx, blobs []string) { fall() })
	if err == nil {
		t.Error("an erasure that fell says that it is done")
	}
	must(t, b.EraseField(ctx, "contact", "external_id", func(_ store.Tx, blobs []string) { left = append(left, blobs...) }))
	if got := b.holding("secret-"); len(got) > 0 {
		t.Errorf("it still stands in %v", got)
	}
	if !slices.Contains(left, blobName(1)) {
		t.Errorf("the blobs told of are %v", left)
	}
	r, err := b.Get(ctx, "contact", kept.ID)
	must(t, err)
	if r.Version() != kept.Version() || r.Text("name") != "Last" || r.Text("note") != "stays" || !r.UpdatedAt().Equal(kept.UpdatedAt()) || r.Has("external_id") {
		t.Errorf("the record is now %v", r.Fields())
	}
	history, err := b.History(ctx, "contact", kept.ID, 0, 10)
	if err != nil || len(history) != 1 || len(history[0].Changes) != 1 || history[0].Changes[0].Field != "note" {
		t.Errorf("the history is %+v, %v", history, err)
	}
	back, err := b.Restore(ctx, "contact", binned.ID)
	if err != nil || back.Text("note") != "stays" || back.Has("external_id") {
		t.Errorf("out of the bin came %v, %v", back.Fields(), err)
	}
	customers, err := b.Parse(ctx, "contact", `name starts "Customer"`)
	must(t, err)
	if page, err := b.List(ctx, Query{Entity: "contact", Filter: customers, Limit: 200}); err != nil || len(page.Records) != 200 {
		t.Errorf("%d customers are listed, %v", len(page.Records), err)
	}
	must(t, b.Check(ctx))
}

func TestEraseEntity(t *testing.T) {
	b := open(t)
	ctx := as(t, access.System)
	kept, _ := crowd(t, b, ctx)
	talk, err := b.Create(ctx, "conversation", Values{"subject": "stays"})
	if err == nil {
		t.Fatal("a conversation with nobody was made")
	}
	talk, err = b.Create(ctx, "conversation", Values{"contact": kept.ID.String(), "subject": "stays"})
	must(t, err)
	must(t, b.EraseEntity(ctx, "conversation", func(store.Tx, []string) {}))
	if _, err := b.Get(ctx, "conversation", talk.ID); err == nil {
		t.Error("the conversation is still there")
	}
	if n, _, err := b.Count(ctx, Query{Entity: "contact"}); err != nil || n != eraseBatch+51 {
		t.Errorf("%d customers are left, %v", n, err)
	}
	var left []string
	must(t, b.EraseEntity(ctx, "contact", func(_ store.Tx, blobs []string) { left = append(left, blobs...) }))
	for _, text := range []string{"secret-", "Customer", "customer", "stays"} {
		if got := b.holding(text); len(got) > 0 {
			t.Errorf("%q still stands in %v", text, got)
		}
	}
	if n, _, err := b.Count(ctx, Query{Entity: "contact"}); err != nil || n != 0 || !slices.Contains(left, blobName(1)) {
		t.Errorf("%d customers are left, %v; blobs %v", n, err, left)
	}
	must(t, b.Check(ctx))
}

// FuzzWithout takes a field out of bytes that may be damaged: what is left is readable and does not mention it.
func FuzzWithout(f *testing.F) {
	f.Add(encode(header{version: 1}, nil), 16)
	f.Add([]byte{0x82, 0x01, 0x03, 'a', 'b', 'c'}, 16)
	f.Add([]byte{0x48, 0x10, 0x82, 0x01, 0x01, 'a'}, 16)
	f.Add([]byte{0xff, 0xff}, 1000)
	f.Fuzz(func(t *testing.T, raw []byte, number int) {
		if number < 16 || number > 1<<28 {
			return
		}
		kept, err := without(raw, numberOf(&schema.Field{Number: number}))
		if err == nil && mentions(kept, numberOf(&schema.Field{Number: number})) {
			t.Errorf("%x without %d is %x", raw, number, kept)
		}
	})
}
