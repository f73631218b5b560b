package record

import (
	"bytes"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/schema"
)

// FuzzDecode reads any bytes as a record: nothing may panic, and what passes as valid comes out again as it was.
func FuzzDecode(f *testing.F) {
	s, err := schema.New(entities()...)
	must(f, err)
	o := open(f)
	f.Add(o.create(Values{"name": "דנה", "emails": []string{"a@b.example"}, "score": 1.5, "vip": true, "seen": "2026-11-22T00:00:00Z"}).raw)
	f.Add([]byte{})
	f.Add([]byte{0xff})
	f.Add([]byte{0x82, 0x01, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := Record{entity: s.Entity("contact"), raw: raw}
		for _, field := range r.entity.Fields {
			r.Text(field.Name)
			r.Texts(field.Name)
			r.Link(field.Name)
			r.Time(field.Name)
			r.YesNo(field.Name)
			r.Number(field.Name)
			r.Has(field.Name)
			var data any
			_ = r.Data(field.Name, &data)
			if field.Indexed {
				indexKeys(r, &field, []string{"dana"})
			}
		}
		h := header{version: r.Version(), created: r.CreatedAt(), updated: r.UpdatedAt(), createdBy: r.CreatedBy(), updater: r.UpdatedBy()}
		again := Record{entity: r.entity, raw: encode(h, r.split())}
		if !again.valid() {
			t.Fatalf("%x encodes as %x, which is no record", raw, again.raw)
		}
		if twice := encode(h, again.split()); r.valid() && !bytes.Equal(twice, again.raw) {
			t.Fatalf("%x encodes as %x and then as %x", raw, again.raw, twice)
		}
		for _, field := range r.entity.Fields {
			if r.valid() && slices.IsSorted(numbers(r)) && !slices.Equal(r.Texts(field.Name), again.Texts(field.Name)) {
				t.Fatalf("%s of %x was lost in %x", field.Name, raw, again.raw)
			}
		}
	})
}

func numbers(r Record) (all []int) {
	r.walk(func(n protowire.Number, _ protowire.Type, _ []byte, _ uint64) bool {
		all = append(all, int(n))
		return true
	})
	return all
}

// FuzzCursor pages an agent's list from any cursor: it is refused, or shows own records only.
func FuzzCursor(f *testing.F) {
	o := open(f)
	for _, owner := range []string{"dana", "yossi", "dana"} {
		o.create(Values{"name": "x " + owner, "owner": owner})
	}
	for _, sort := range []string{"", "-", "name", "-name", "owner"} {
		page, err := o.List(as(f, access.Owner), Query{Entity: "contact", Sort: sort, Limit: 1})
		must(f, err)
		f.Add(sort, page.Next)
	}
	f.Add("name", "AAAA")
	f.Fuzz(func(t *testing.T, sort, cursor string) {
		page, err := o.List(as(t, access.Agent, "dana"), Query{Entity: "contact", Sort: sort, Cursor: cursor})
		if err != nil {
			wantKind(t, "list", err, "invalid")
		}
		for _, r := range page.Records {
			if r.Text("owner") != "dana" {
				t.Fatalf("sort %q, cursor %q shows a record of %s", sort, cursor, r.Text("owner"))
			}
		}
	})
}

// FuzzText cleans any text: what is taken is taken unchanged the second time.
func FuzzText(f *testing.F) {
	for _, s := range []string{"x", "\u202ex", "a\r\nb", "\x00", "\xff", "Dana <d@x.example>", "d@x.example", "\"a b\"@x.example"} {
		f.Add(s)
	}
	fields := entities()[0].Fields
	f.Fuzz(func(t *testing.T, s string) {
		for _, field := range fields {
			field.Many = false
			once, bad := clean(&field, s)
			if bad != nil || once == nil || field.Type == schema.Data {
				continue
			}
			twice, bad := clean(&field, once)
			if field.Type == schema.Email && bad != nil {
				continue // "a b"@x is taken without its quotes
			}
			if bad != nil || twice != once {
				t.Fatalf("%s: %q becomes %q, then %q, %v", field.Name, s, once, twice, bad)
			}
		}
	})
}
