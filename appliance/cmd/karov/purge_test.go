package main

import (
	"bytes"
	"context"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/appliancetest"
)

// lorriesOf is what a plugin declares that keeps lorries and a number of each customer.
const lorriesOf = `entities:
  - name: mover.lorry
    label: {he: משאית, en: Lorry, ru: Грузовик}
    plural: {he: משאיות, en: Lorries, ru: Грузовики}
    title: plate
    contact: customer
    fields:
      - {name: plate, type: text, required: true, unique: true, searched: true, label: {he: לוחית, en: Plate, ru: Номер}}
      - {name: customer, type: link, to: contact, indexed: true, label: {he: לקוח, en: Customer, ru: Клиент}}
fields:
  - {entity: contact, name: mover_permit, type: text, searched: true, label: {he: היתר, en: Permit, ru: Пропуск}}
`

const (
	mover  = "test.rogue.mover"
	plate  = "qqz-77-purged"
	permit = "permit-of-qqz"
)

// TestARemovedPluginKeepsAndAPurgedOneLeavesNothing is the end of a plugin that has records, by the commands that an
// office types: after a removal all waits for it, after a purge nothing is left, though the daemon is killed as soon as it was asked.
func TestARemovedPluginKeepsAndAPurgedOneLeavesNothing(t *testing.T) {
	a := appliancetest.Start(t)
	w := newWorkshop(t, a)
	one := w.pack("1.0.0", lorriesOf)
	install := func() {
		t.Helper()
		a.Karov("", "plugin", "install", one, "--yes")
		a.Until("it runs", func() bool { return w.runs("1.0.0") })
	}
	a.Karov("", "plugin", "trust", "add", w.at("root.pub"))
	install()
	var customer struct{ ID string }
	a.Post("/api/v1/records/contact", map[string]any{"name": "Haulage Ltd", "mover_permit": permit}, &customer)
	a.Post("/api/v1/records/mover.lorry", map[string]any{"plate": plate, "customer": customer.ID}, nil)
	if out, err := a.Try("", "plugin", "remove", "il.karov.email", "--purge"); err == nil {
		t.Errorf("a plugin of the folder is purged:\n%s", out)
	}

	a.Karov("", "plugin", "remove", mover)
	status(t, a, "/api/v1/records/mover.lorry", http.StatusNotFound)
	install()
	if n := a.Total("mover.lorry"); n != 1 {
		t.Errorf("after a removal there are %d lorries", n)
	}
	if got := permitOf(a, customer.ID); got != permit {
		t.Errorf("after a removal the permit is %q", got)
	}
	if there := traces(t, a.Data); len(there) < 2 {
		t.Errorf("before the purge only this is found: %v", there)
	}

	a.Karov("", "plugin", "remove", mover, "--purge")
	a.Kill()
	a.Start()
	a.Until("it can be installed again", func() bool {
		out, err := a.Try("", "plugin", "install", one, "--yes")
		if err != nil && !strings.Contains(out, "erased") {
			t.Fatalf("while it is erased: %s", out)
		}
		return err == nil
	})
	a.Until("it runs", func() bool { return w.runs("1.0.0") })
	if n := a.Total("mover.lorry"); n != 0 {
		t.Errorf("after a purge there are %d lorries", n)
	}
	if got := permitOf(a, customer.ID); got != "" {
		t.Errorf("after a purge the permit is %q", got)
	}
	if out := a.Karov("", "audit", "list", "--json"); !strings.Contains(out, "plugin.purge-asked") || !strings.Contains(out, "plugin.erased") {
		t.Errorf("the audit does not tell of it:\n%s", out)
	}
	a.Stop()
	if left := traces(t, a.Data); len(left) > 0 {
		t.Errorf("after a purge there are still: %v", left)
	}
}

func status(t *testing.T, a *appliancetest.Appliance, path string, want int) {
	t.Helper()
	answer, err := a.Request(context.Background(), http.MethodGet, path, nil)
	if err != nil || answer.Status != want {
		t.Errorf("%s: %d, %v\n%s", path, answer.Status, err, answer.Body)
	}
}

// permitOf is the plugin's number of a customer.
func permitOf(a *appliancetest.Appliance, id string) string {
	var r struct {
		Permit string `json:"mover_permit"`
	}
	a.Get("/api/v1/records/contact/"+id, &r)
	return r.Permit
}

// traces tells which files of an office hold what was to be purged, each with what.
func traces(t *testing.T, data string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(data, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		for _, trace := range []string{plate, permit} {
			if bytes.Contains(raw, []byte(trace)) {
				found = append(found, filepath.Base(path)+" "+trace)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
