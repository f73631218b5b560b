package plugin_test

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/journal"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
	"github.com/karov-crm/karov/plugins/plugintest"
)

// customers gives a host records to serve, with a customer of Dana's and one of Yossi's.
func customers(t *testing.T, o *plugin.Options) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	db, err := bolt.Open(filepath.Join(t.TempDir(), "karov.db"))
	check(err)
	t.Cleanup(func() { _ = db.Close() })
	check(store.Prepare(t.Context(), db, nil))
	gate, err := access.NewGate()
	check(err)
	kinds, err := schema.New(schema.Entity{Name: "contact", Title: "name", Owner: "owner", Contact: "id", Fields: []schema.Field{
		{Number: 16, Name: "name", Type: schema.Text, Indexed: true}, {Number: 17, Name: "owner", Type: schema.Staff, Indexed: true},
	}})
	check(err)
	facts := journal.New(db, time.Now)
	o.DB, o.Gate, o.Journal = db, gate, facts
	o.Book = record.NewBook(record.Parts{DB: db, Schema: schema.Fixed(kinds), Gate: gate, Journal: facts, Now: time.Now})
	o.Actor = func(ctx context.Context, id string) context.Context {
		return access.WithActor(ctx, access.Actor{ID: "plugin:" + id, Role: access.Plugin})
	}
	appliance := access.WithActor(t.Context(), access.Appliance())
	for _, name := range []string{"dana", "yossi"} {
		_, err := o.Book.Create(appliance, "contact", record.Values{"name": "Customer of " + name, "owner": name})
		check(err)
	}
}

// TestAPluginAsksForWhomItAnswers: a process made with the SDK draws a view, and sees of the office what he may see who
// looks at it.
func TestAPluginAsksForWhomItAnswers(t *testing.T) {
	home := plugintest.Build(t, "testdata/caller", "./testdata/caller")
	w := plugintest.Start(t, home, plugintest.NewOffice(nil), func(o *plugin.Options) { customers(t, o) })
	plugintest.Wait(t, "the plugin serves", func() bool { return w.Host.Healthy("test.caller") == nil })
	both := []string{"Customer of dana", "Customer of yossi"}
	for _, c := range []struct {
		who  access.Actor
		want []string
	}{{access.Actor{ID: "dana", Role: access.Agent}, both[:1]}, {access.Actor{ID: "yossi", Role: access.Agent}, both[1:]}, {access.Actor{ID: "m", Role: access.Manager}, both},
		{access.Actor{ID: "x", Role: access.Agent}, nil}, {access.Appliance(), both}} {
		v, err := w.Host.Render(access.WithActor(t.Context(), c.who), "test.caller", "customers", nil, nil)
		if err != nil {
			t.Fatal(c.who.ID, err)
		}
		var got []string
		for _, b := range v.Blocks {
			got = append(got, b.(plugin.Paragraph).Text)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s sees %q, want %q", c.who.ID, got, c.want)
		}
	}
}
