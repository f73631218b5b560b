package journal

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/store"
)

// TestAFactNamesThePluginByWhichItWasDone: the person stays its actor; what the plugin does for itself has no other name.
func TestAFactNamesThePluginByWhichItWasDone(t *testing.T) {
	j, _ := clocked(t)
	grant := access.NewGrant(access.Terms{Holder: "plugin:il.example.x"})
	via := access.WithGrant(as("dana", t), grant)
	itself := access.WithGrant(access.WithActor(t.Context(), access.Actor{ID: "plugin:il.example.x", Role: access.Plugin}), grant)
	about := map[string]string{"why": "asked"}
	must(t, j.db.Update(t.Context(), func(tx store.Tx) error {
		for _, ctx := range []context.Context{as("dana", t), via, itself} {
			if err := j.Append(ctx, tx, Fact{Name: "contact.changed", Entity: "contact", ID: "1", About: about}); err != nil {
				return err
			}
		}
		return nil
	}))
	must(t, j.Note(as("dana", t), Seen("contact", "1", "1", nil)))
	must(t, j.Note(via, Seen("contact", "1", "1", nil))) // another reading than her own
	must(t, j.Note(via, Seen("contact", "1", "1", nil)))
	must(t, j.Note(as("dana", t), Listed("contact", nil, 3)))
	must(t, j.Note(via, Listed("contact", nil, 3)))
	must(t, j.Flush(t.Context()))
	facts, err := j.After(t.Context(), 0, 100)
	must(t, err)
	var got []string
	for _, f := range facts {
		got = append(got, fmt.Sprintf("%s %s via %q", f.Actor, f.Name, f.About["via"]))
	}
	want := []string{`dana contact.changed via ""`, `dana contact.changed via "plugin:il.example.x"`, `plugin:il.example.x contact.changed via ""`,
		`dana contact.read via ""`, `dana contact.read via "plugin:il.example.x"`, `dana contact.listed via ""`, `dana contact.listed via "plugin:il.example.x"`}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if len(about) != 1 {
		t.Errorf("the caller's words became %v", about)
	}
}
