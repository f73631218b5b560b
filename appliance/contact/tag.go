package contact

import (
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
)

// Colours lists the colours that tags and stages may have. A page shows each with the name beside it, since colour alone
// tells some readers nothing.
func Colours() []string {
	return []string{"grey", "blue", "teal", "green", "amber", "orange", "red", "pink", "purple"}
}

// TagEntity is the tag as schema knows it: a word that the office puts on customers, each one once, however it is
// written. Numbers stand in stored records: never change or reuse one.
func TagEntity() schema.Entity {
	return schema.Entity{Name: "tag", Title: "name", Fields: []schema.Field{
		{Number: 16, Name: "name", Type: schema.Text, Required: true, Indexed: true, Unique: true, Max: 60},
		{Number: 17, Name: "colour", Type: schema.Choice, Choices: Colours(), Default: "grey"},
	}}
}

// KnownTx lists the contacts that have an identity in any written form, the oldest first, for rooms that ask for
// permission themselves.
func (r *Room) KnownTx(tx store.Tx, kind, handle string) []record.ID {
	return r.all(tx, kind, r.handle(kind, handle))
}
