package plugin

import (
	"math"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// FuzzValues gives any bytes as a value to each field of a customer. What is read of them is a value that a Book knows
// or a reason why not; and what a record holds of it is read back the same, when it is written again.
func FuzzValues(f *testing.F) {
	b := newBench(f)
	x := b.plugin(workshopManifest())
	set, err := kinds()
	b.must(err)
	e := set.Entity("contact")
	seed := func(v *wirev1.Value, field string) {
		raw, err := proto.Marshal(v)
		b.must(err)
		for i := range e.Fields {
			if e.Fields[i].Name == field {
				f.Add(raw, uint8(i))
			}
		}
	}
	id := record.NewID().String()
	seeds := valuesOf{"name": text("Dana"), "phones": list(text("+972501112233"), &wirev1.Value{}), "score": {Of: &wirev1.Value_Number{Number: math.NaN()}}, "vip": {Of: &wirev1.Value_Yes{}},
		"met": {Of: &wirev1.Value_Time{Time: timestamppb.New(time.Unix(1<<40, 0))}}, "credit": {Of: &wirev1.Value_Money{Money: &wirev1.Money{Minor: math.MinInt64, Currency: "XXX"}}},
		"friend": text("@0"), "friends": list(text("@0"), text(id)), "papers": list(&wirev1.Value{Of: &wirev1.Value_File{File: &wirev1.BlobRef{Blob: "x", Size: -1}}}), "photo": {Of: &wirev1.Value_File{}},
		"tags": list(list()), "note": text("\x00\u202e"), "code": text("x"), "inner": text("{}"), "double": {}, "anniversary": text("--02-30")}
	for field, v := range seeds {
		seed(v, field)
	}
	f.Fuzz(func(t *testing.T, raw []byte, at uint8) {
		v := &wirev1.Value{}
		if proto.Unmarshal(raw, v) != nil {
			return
		}
		field := &e.Fields[int(at)%len(e.Fields)]
		reader := &valueReader{entity: e, made: []record.ID{record.NewID(), {}}}
		values, err := reader.values(valuesOf{field.Name: v})
		if err != nil {
			if got := kindOf(x.c.toWire(err)); len(got) < len("INVALID input.invalid ") {
				t.Fatalf("told %q", got)
			}
			return
		}
		known(t, field, values[field.Name])
		all := valuesOf{"name": text("x")}
		all[field.Name] = v
		answer, err := x.Write(t.Context(), &wirev1.WriteRequest{Writes: []*wirev1.Write{creating("contact", all)}})
		if err != nil {
			if got := kindOf(err); got == "INTERNAL error.internal" {
				t.Fatalf("%v of %s: %s", v, field.Name, got)
			}
			return
		}
		made := answer.Records[0]
		again, err := x.Write(t.Context(), &wirev1.WriteRequest{Writes: []*wirev1.Write{updating(made, written(e, made))}})
		if err != nil || again.Records[0].Version != 1 || !proto.Equal(again.Records[0], made) {
			t.Fatalf("%s, written as it was read, is %v, before %v, %v", field.Name, again, made, err)
		}
	})
}

// written are the values of a record that a plugin may write.
func written(e *schema.Entity, r *wirev1.Record) valuesOf {
	out := valuesOf{}
	for name, v := range r.Values {
		if f := e.Field(name); !f.Closed && f.Type != schema.Formula {
			out[name] = v
		}
	}
	return out
}

func known(t *testing.T, f *schema.Field, value any) {
	t.Helper()
	switch v := value.(type) {
	case nil, string, float64, bool, time.Time, schema.Amount, schema.Attachment, record.ID:
	case []any:
		if !f.Many {
			t.Fatalf("%s takes one value and got %v", f.Name, v)
		}
		for _, one := range v {
			known(t, f, one)
		}
	default:
		t.Fatalf("%s got a %T", f.Name, value)
	}
}

// FuzzKeys lists and swaps with any keys and values: nothing of one plugin is ever seen by another.
func FuzzKeys(f *testing.F) {
	b := newBench(f)
	other := workshopManifest()
	other.ID = "il.example.workshop.x"
	x, y := b.plugin(workshopManifest()), b.plugin(other)
	if _, err := y.keep(f.Context(), put("theirs", "theirs", -1), put("\xff\xff", "theirs", -1)); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("a"), []byte(""), []byte("b"), true)
	f.Add([]byte("\x00"), []byte("\xff"), []byte("\x00\xff"), false)
	f.Add([]byte(".x\x00theirs"), []byte(".x\x00"), []byte(""), false)
	f.Fuzz(func(t *testing.T, key, prefix, after []byte, reverse bool) {
		revisions, err := x.keep(t.Context(), put(string(key), "mine", -1))
		if (err == nil) != (len(key) > 0 && len(key) <= maxKey) {
			t.Fatalf("a key of %d bytes: %v", len(key), err)
		}
		if err == nil {
			if e, err := x.kv.Get(t.Context(), &wirev1.KVGetRequest{Key: key}); err != nil || string(e.Value) != "mine" || e.Revision != revisions[0] {
				t.Fatalf("%v, %v", e, err)
			}
		}
		page, err := x.kv.List(t.Context(), &wirev1.KVListRequest{Prefix: prefix, After: after, Reverse: reverse, Limit: 500})
		if err != nil {
			return
		}
		for _, e := range page.Entries {
			if string(e.Value) != "mine" {
				t.Fatalf("saw %v", e)
			}
		}
	})
}
