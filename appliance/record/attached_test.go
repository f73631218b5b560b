package record

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/store"
)

func blobName(n int) string { return fmt.Sprintf("%064x", n) }

// TestAttachedAndUnattached finds blobs in a record, in its history and in the bin, and those that nothing refers to.
func TestAttachedAndUnattached(t *testing.T) {
	b := open(t)
	ctx := as(t, access.Owner)
	name := func(ns ...int) string {
		var parts []string
		for _, n := range ns {
			parts = append(parts, "x"+blobName(n)+"y")
		}
		return strings.Join(parts, " ")
	}
	first, err := b.Create(ctx, "contact", Values{"name": name(1, 2)})
	must(t, err)
	_, err = b.Change(ctx, "contact", first.ID, first.Version(), Values{"name": name(2, 3)})
	must(t, err)
	second, err := b.Create(ctx, "contact", Values{"name": name(4)})
	must(t, err)
	must(t, b.Delete(ctx, "contact", second.ID, second.Version()))
	must(t, b.View(ctx, func(tx store.Tx) error {
		for id, want := range map[ID][]string{first.ID: {blobName(2), blobName(3), blobName(1)}, second.ID: {blobName(4)}, NewID(): nil} {
			if got := b.Attached(tx, "contact", id); !slices.Equal(got, want) {
				t.Errorf("attached %v, want %v", got, want)
			}
		}
		return nil
	}))
	all := []string{blobName(1), blobName(2), blobName(3), blobName(4), blobName(5), blobName(6)}
	b.KeepBlobs("somebody.else")
	must(t, b.Update(ctx, func(tx store.Tx) error {
		tx.Bucket("somebody.else").Put([]byte("a"), []byte(`{"blob":"`+blobName(6)+`"}`))
		tx.Bucket("not.asked").Put([]byte("a"), []byte(blobName(5)))
		return nil
	}))
	got, err := b.Unattached(ctx, all)
	must(t, err)
	if !slices.Equal(got, all[4:5]) {
		t.Errorf("nothing refers to %v, want %v", got, all[4:5])
	}
}

// TestUnattachedLooksAtAll asks for a blob that the last of more records than one step refers to.
func TestUnattachedLooksAtAll(t *testing.T) {
	b := open(t)
	must(t, b.Update(t.Context(), func(tx store.Tx) error {
		for i := range attachedStep + 10 {
			tx.Bucket("record.other").Put(fmt.Appendf(nil, "%08d", i), []byte(strings.Repeat("f", i%70)))
		}
		tx.Bucket("record.other").Put([]byte("99999999"), []byte("{"+blobName(7)))
		return nil
	}))
	got, err := b.Unattached(t.Context(), []string{blobName(7), blobName(8), strings.Repeat("f", 64)})
	must(t, err)
	if !slices.Equal(got, []string{blobName(8)}) {
		t.Errorf("nothing refers to %v", got)
	}
}
