package locale

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/deal"
	"github.com/karov-crm/karov/appliance/inbox"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/segment"
	"github.com/karov-crm/karov/appliance/task"
)

// TestEverythingHasItsName names every built-in kind of record in each language, and the fields and choices of those
// that people make and change. What only a room reads (Data) nobody needs to name.
func TestEverythingHasItsName(t *testing.T) {
	made := slices.Concat([]schema.Entity{contact.TagEntity(), task.Entity()}, deal.Entities("ILS"), segment.Entities())
	wanted := map[string]bool{"entity.not-found": true} // which is a fault's sentence
	for _, e := range slices.Concat([]schema.Entity{contact.Entity()}, inbox.Entities(), made) {
		wanted["entity."+e.Name] = true
	}
	for _, e := range made {
		for _, f := range e.Fields {
			if f.Type == schema.Data {
				continue
			}
			wanted["field."+e.Name+"."+f.Name] = true
			for _, c := range f.Choices {
				wanted["choice."+e.Name+"."+f.Name+"."+c] = true
			}
		}
	}
	b := load(t)
	for _, l := range Languages() {
		v := b.In(l.Code, time.UTC)
		for key := range wanted {
			if _, ok := b.packs[l.Code][key]; !ok || v.T(key) == "" {
				t.Errorf("%s has no %s", l.Code, key)
			}
		}
	}
	for key := range b.packs["en"] {
		kind, rest, _ := strings.Cut(key, ".")
		entity, _, deep := strings.Cut(rest, ".")
		named := kind == "entity" || kind == "choice" || kind == "field" && deep && entity != "contact"
		if named && !wanted[key] {
			t.Errorf("nothing is called %s any more", key)
		}
	}
}
