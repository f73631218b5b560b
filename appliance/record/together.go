package record

import (
	"context"

	"github.com/karov-crm/karov/appliance/search"
	"github.com/karov-crm/karov/appliance/store"
)

// together are the records that were written in one go, and lookup was not told of yet.
type together struct {
	written []lookedUp
	known   map[lookedUp]bool
}

type lookedUp struct {
	entity string
	id     ID
}

type togetherKey struct{}

func togetherIn(ctx context.Context) *together {
	t, _ := ctx.Value(togetherKey{}).(*together)
	return t
}

func (t *together) later(entity string, id ID) {
	if which := (lookedUp{entity, id}); !t.known[which] {
		t.known[which] = true
		t.written = append(t.written, which)
	}
}

// Together runs fn, which writes many records in a transaction with the context it is given. Lookup is told of all of
// them at the end, which costs half as much as telling it of each; in fn nothing may rely on what lookup finds.
func (b *Book) Together(ctx context.Context, tx store.Tx, fn func(ctx context.Context) error) error {
	t := &together{known: map[lookedUp]bool{}}
	if err := fn(context.WithValue(ctx, togetherKey{}, t)); err != nil {
		return err
	}
	bulk := search.NewBulk(tx)
	defer bulk.Drop()
	for _, which := range t.written {
		doc, ok := b.docOf(tx, which)
		if !ok {
			if err := search.Delete(tx, which.entity, which.id); err != nil {
				return err
			}
			continue
		}
		if err := bulk.Put(doc); err != nil { // its words are cut while the next one is described
			return err
		}
	}
	return bulk.Write()
}

// docOf is what lookup finds a record by as it is now; ok is false for one that it does not find.
func (b *Book) docOf(tx store.Tx, which lookedUp) (doc search.Doc, ok bool) {
	e := b.schema.At(tx).Entity(which.entity)
	if e == nil {
		return doc, false
	}
	r, ok := rawOf(tx, e, which.id)
	if !ok {
		return doc, false
	}
	if doc, ok = b.describer(tx, which.entity)(tx, r); ok {
		doc.Entity, doc.ID, doc.Principals = which.entity, which.id, b.standing(tx, r).principals()
	}
	return doc, ok
}
