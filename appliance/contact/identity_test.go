package contact

import (
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/store"
)

func TestIdentityForms(t *testing.T) {
	since := time.UnixMilli(1_790_000_000_123).UTC()
	for _, source := range []string{"", "appliance", "sixteen letters.", record.NewID().String(), strings.ToUpper(record.NewID().String()), "\xff\x00"} {
		want := identity{source, 100, since}
		raw := want.encode()
		got, err := identityOf(raw)
		if err != nil || got != want {
			t.Errorf("%q is read as %+v, %v", source, got, err)
		}
		if len(source) == 36 && source == strings.ToLower(source) && len(raw) > 30 {
			t.Errorf("an id takes %d bytes", len(raw))
		}
	}
	old, err := identityOf([]byte(`{"source":"s","certainty":90,"since":"2026-09-21T14:13:20.123Z"}`))
	if err != nil || old != (identity{"s", 90, since}) {
		t.Errorf("of the first form: %+v, %v", old, err)
	}
	for _, raw := range []string{"", "{", "\x01", "\x01d", "\x01d\x80", "\x02d\x00", "\x01\xe4\x00short"} {
		if i, err := identityOf([]byte(raw)); err == nil {
			t.Errorf("%q is read as %+v", raw, i)
		}
	}
}

// TestRowsStandBesideTheirIdentity: what an import remembers must say the same wherever it stands, whatever becomes of the
// contact, in whatever order the row has its phones, and must be gone with a person who is forgotten.
func TestRowsStandBesideTheirIdentity(t *testing.T) {
	const key = "import:0123456789abcdef0123456789abcdef"
	o, ctx := open(t), as(t, access.Owner)
	d := Draft{Name: "דנה לוי", Phones: []string{"050-1234567", "03-5551234"}, Emails: []string{"Dana@example.com"}, Key: key}
	if got := o.importAll(false, d, Draft{Name: "other", Key: "import:other"}); got != "new new" {
		t.Fatalf("first import: %s", got)
	}
	rows := func() (beside, alone int) {
		must(t, o.book.View(ctx, func(tx store.Tx) error {
			for k := range tx.Bucket(identitiesBucket).Scan(nil, nil, false) {
				if rowKey(identitiesBucket, k) == key {
					beside++
				}
			}
			for range tx.Bucket(importsBucket).Scan(nil, nil, false) {
				alone++
			}
			return nil
		}))
		return beside, alone
	}
	if beside, alone := rows(); beside != 1 || alone != 1 {
		t.Errorf("%d rows beside identities, %d alone", beside, alone)
	}
	list, _, err := o.List(ctx, record.Query{})
	must(t, err)
	for _, c := range list {
		if c.Name != d.Name {
			continue
		}
		c, err := o.Change(ctx, c.ID, c.Version, record.Values{"name": "דנה כהן", "phones": []string{}, "emails": []string{"new@example.com"}})
		must(t, err)
		d.Phones[0], d.Phones[1] = d.Phones[1], d.Phones[0]
		if got := o.importAll(false, d); got != "same" {
			t.Errorf("the row comes again: %s", got)
		}
		must(t, o.Forget(ctx, c.ID, c.Version, "request"))
	}
	if beside, _ := rows(); beside != 0 {
		t.Error("a forgotten person's row stands in the store")
	}
	if got := o.importAll(false, Draft{Name: "דנה לוי", Address: "x", Phones: d.Phones[:1], Key: key}); got != "bad" {
		t.Errorf("a forgotten person's row: %s", got)
	}
}
