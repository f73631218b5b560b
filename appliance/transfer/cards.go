package transfer

import (
	"bufio"
	"io"
	"time"

	"github.com/emersion/go-vcard"

	"github.com/karov-crm/karov/appliance/record"
)

// cards writes customers as vCard 4.0 (RFC 6350), as phones and mail programs take them. Only what was asked for, and has
// a place there, is in them.
type cards struct {
	out    *bufio.Writer
	encode *vcard.Encoder
	shown  map[string]bool
	now    func() time.Time
}

func newCards(w io.Writer, columns []column, now func() time.Time) *cards {
	c := &cards{out: bufio.NewWriterSize(w, 64<<10), shown: map[string]bool{}, now: now}
	c.encode = vcard.NewEncoder(c.out)
	for _, column := range columns {
		c.shown[column.name] = true
	}
	return c
}

func (c *cards) head([]column) error { return nil }

// text is what a record shows in a field, "" where the field was not asked for.
func (c *cards) text(r record.Record, field string) string {
	if !c.shown[field] {
		return ""
	}
	return r.Text(field)
}

func (c *cards) texts(r record.Record, field string) []string {
	if !c.shown[field] {
		return nil
	}
	return r.Texts(field)
}

func (c *cards) add(r record.Record) error {
	card := vcard.Card{}
	card.SetValue(vcard.FieldVersion, "4.0")
	card.SetValue(vcard.FieldUID, "urn:uuid:"+r.ID.String())
	card.SetValue(vcard.FieldRevision, r.UpdatedAt().UTC().Format("20060102T150405Z"))
	phones, emails, name := c.texts(r, "phones"), c.texts(r, "emails"), c.text(r, "name")
	for _, other := range append(append([]string{name}, phones...), emails...) { // every card needs a name
		if other != "" {
			card.SetValue(vcard.FieldFormattedName, other)
			break
		}
	}
	if len(card[vcard.FieldFormattedName]) == 0 {
		card.SetValue(vcard.FieldFormattedName, "…")
	}
	kind := vcard.KindIndividual
	if c.text(r, "kind") == "company" {
		kind = vcard.KindOrganization
	}
	card.SetKind(kind)
	for _, phone := range phones {
		card.AddValue(vcard.FieldTelephone, phone)
	}
	for _, email := range emails {
		card.AddValue(vcard.FieldEmail, email)
	}
	city, address := c.text(r, "city"), c.text(r, "address")
	if city != "" || address != "" {
		card.AddAddress(&vcard.Address{Field: &vcard.Field{}, StreetAddress: address, Locality: city})
	}
	for field, text := range map[string]string{vcard.FieldOrganization: c.text(r, "company"), vcard.FieldNote: c.text(r, "note")} {
		if text != "" {
			card.SetValue(field, text)
		}
	}
	if day, err := time.Parse(time.DateOnly, c.text(r, "birthday")); err == nil {
		card.SetValue(vcard.FieldBirthday, day.Format("20060102"))
	}
	return c.encode.Encode(card)
}

func (c *cards) end() error { return c.out.Flush() }
