package schema

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
)

func TestNewerProgramOverOlderStore(t *testing.T) {
	o := openOffice(t)
	o.change(t, newField("contact", "nickname", Definition{Type: Text, Indexed: true}), newField("contact", "nickname_custom", Definition{Type: Number}),
		Op{Kind: AddEntity, Entity: "offer", Title: "name", Labels: names("Offer"), Fields: []NewField{{"name", names("Name"), Definition{Type: Text}}, {"sum", names("Sum"), Definition{Type: Number}}}},
		newField("contact", "offer", Definition{Type: Link, Target: "offer"}))
	newer := append(builtin(), Entity{Name: "offer", Title: "name", Fields: []Field{{Number: 16, Name: "name", Type: Text}}})
	newer[0].Fields = append(newer[0].Fields, Field{Number: 22, Name: "nickname", Type: Text}, Field{Number: 23, Name: "shoe", Type: Number})
	upgraded := reopen(t, o.db, newer...)
	s := upgraded.Current()
	e := s.Entity("contact")
	if e.Field("nickname").Number != 22 || e.Field("nickname_custom2") == nil || e.Field("nickname_custom2").Number != FirstCustom || e.Field("nickname_custom").Number != FirstCustom+1 || e.Field("shoe") == nil {
		t.Errorf("contact has %+v", e.Fields)
	}
	offer := s.Entity("offer")
	if offer.Custom || offer.Field("name").Number != 16 || offer.Field("name_custom").Number != FirstCustom+2 || offer.Field("sum").Number != FirstCustom+3 {
		t.Errorf("offer has %+v", offer.Fields)
	}
	s = upgraded.change(t, Op{Kind: RenameField, Entity: "contact", Field: "nickname_custom2", Labels: names("Old nickname")})
	if f := s.Entity("contact").Field("nickname_custom2"); f.Number != FirstCustom || f.Labels["en"] != "Old nickname" {
		t.Errorf("the field with a new name is %+v", f)
	}
	older := reopen(t, o.db, builtin()...)
	s = older.Current()
	if s.Entity("contact").Field("nickname_custom2").Number != FirstCustom || !s.Entity("offer").Custom || s.Entity("offer").Field("sum") == nil {
		t.Error("the older program lost something")
	}
	older.change(t, newField("contact", "nickname", Definition{Type: Text}))
	s = older.revert(t, 2)
	numbers := map[int]bool{}
	for _, f := range s.Entity("contact").Fields {
		numbers[f.Number] = true
	}
	for n := FirstCustom; n < FirstCustom+6; n++ {
		if !numbers[n] && s.Entity("offer").Numbered(n) == nil {
			t.Errorf("field %d is lost", n)
		}
	}
}

func TestOlderProgramKeepsWhatItDoesNotKnow(t *testing.T) {
	o := openOffice(t)
	o.change(t, newField("contact", "code", Definition{Type: Text}), Op{Kind: RenameField, Entity: "contact", Field: "city", Labels: names("Town")})
	o.rewrite(t, func(text string) string {
		for _, change := range [][2]string{{`"type":"text"`, `"type":"barcode","symbology":"ean"`}, {`"layer":{`, `"layer":{"themes":[1],`}, {`{"name":"city",`, `{"name":"city","icon":"house",`},
			{`{"name":"contact",`, `{"name":"contact","colour":"red",`}, {`"fields":[`, `"fields":[{"name":"from_the_future","hidden":true},`}} {
			text = strings.Replace(text, change[0], change[1], -1)
		}
		return text
	})
	older := reopen(t, o.db, builtin()...)
	s := older.Current()
	if s.Entity("contact").Field("code") != nil || !slices.Contains(s.Dormant(), "contact.code") || !slices.Contains(s.Dormant(), "contact.from_the_future") || s.Entity("contact").Field("city").Labels["en"] != "Town" {
		t.Fatalf("dormant are %v", s.Dormant())
	}
	if _, err := older.Change(boss, s.Version(), newField("contact", "code", Definition{Type: Text})); fault.Of(err).Key != "schema.taken" {
		t.Errorf("a dormant field's name is free: %v", err)
	}
	s = older.change(t, newField("contact", "more", Definition{Type: Text}))
	if s.Entity("contact").Field("more").Number != FirstCustom+1 {
		t.Errorf("more is %+v", s.Entity("contact").Field("more"))
	}
	older.revert(t, 1)
	var stored []byte
	_ = o.db.View(t.Context(), func(tx store.Tx) error {
		stored = bytes.Clone(tx.Bucket(versionsBucket).Get(versionKey(3)))
		return nil
	})
	for _, kept := range []string{`"themes":[1]`, `"symbology":"ean"`, `"barcode"`, `"icon":"house"`, `"colour":"red"`, `from_the_future`} {
		if !bytes.Contains(stored, []byte(kept)) {
			t.Errorf("%s is gone: %s", kept, stored)
		}
	}
}

// rewrite changes what is stored of the newest version, as another program would have written it.
func (o *office) rewrite(t *testing.T, change func(string) string) {
	t.Helper()
	err := o.db.Update(t.Context(), func(tx store.Tx) error {
		number := o.Current().Version()
		bucket := tx.Bucket(versionsBucket)
		raw := []byte(change(string(bucket.Get(versionKey(number)))))
		bucket.Put(versionKey(number), raw)
		bucket.Put(headKey, headOf(number, raw))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDamagedStore(t *testing.T) {
	for name, damage := range map[string]func(store.Bucket){
		"short head":       func(b store.Bucket) { b.Put(headKey, []byte{1}) },
		"no version":       func(b store.Bucket) { b.Delete(versionKey(2)) },
		"changed version":  func(b store.Bucket) { b.Put(versionKey(2), append(b.Get(versionKey(2)), ' ')) },
		"counter gone":     func(b store.Bucket) { b.Delete(nextKey) },
		"counter set back": func(b store.Bucket) { b.Put(nextKey, make([]byte, 8)) },
	} {
		o := openOffice(t)
		o.change(t, newField("contact", "x", Definition{Type: Text}))
		if err := o.db.Update(t.Context(), func(tx store.Tx) error { damage(tx.Bucket(versionsBucket)); return nil }); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), o.db, o.Options, builtin()...)
		if f := fault.Of(err); err == nil || f.Key != "store.damaged" || f.Params["what"] != versionsBucket {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestUpgradesAreTold: what a newer program brings reaches the watchers once, before anybody writes, also when one of them
// refuses it.
func TestUpgradesAreTold(t *testing.T) {
	o := openOffice(t)
	var heard []string
	settle := func(o *office, answer error) (refused error) {
		t.Helper()
		heard = nil
		o.Watch(func(tx store.Tx, before, after *Schema) error {
			for _, d := range Diff(before, after) {
				heard = append(heard, d.Entity+"."+d.Field+" "+d.What)
			}
			tx.Bucket("test.heard").Put([]byte("x"), []byte("y"))
			return answer
		})
		refused, err := o.Settle(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return refused
	}
	if err := settle(o, nil); err != nil || heard != nil {
		t.Errorf("the first start: %v, %v", heard, err)
	}
	o.change(t, newField("contact", "nickname", Definition{Type: Choice, Many: true, Choices: []string{"a"}, Default: []string{"a"}, Indexed: true}))
	if err := settle(reopen(t, o.db, builtin()...), nil); err != nil || heard != nil {
		t.Errorf("the same program again: %v, %v", heard, err)
	}
	newer := builtin()
	newer[0].Fields[4].Indexed = true
	newer[0].Fields = append(newer[0].Fields, Field{Number: 22, Name: "nickname", Type: Text})
	no := errors.New("there are duplicates")
	if err := settle(reopen(t, o.db, newer...), no); !errors.Is(err, no) {
		t.Errorf("the refusal is not told: %v", err)
	}
	if !slices.Equal(heard, []string{"contact.city indexed", "contact.nickname added", "contact.nickname_custom name"}) {
		t.Errorf("heard %v", heard)
	}
	if err := settle(reopen(t, o.db, newer...), nil); err != nil || heard != nil {
		t.Errorf("told twice: %v, %v", heard, err)
	}
	if err := o.db.Update(t.Context(), func(tx store.Tx) error { tx.Bucket(versionsBucket).Put(builtKey, []byte("[null]")); return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Settle(t.Context()); fault.Of(err).Key != "store.damaged" {
		t.Errorf("damaged: %v", err)
	}
	if refused, err := Fixed(o.Current()).Settle(t.Context()); refused != nil || err != nil {
		t.Errorf("a fixed one: %v, %v", refused, err)
	}
}
