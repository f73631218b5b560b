package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/config"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/job"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/snapshot"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/transfer"
)

const (
	vehicles = "il.karov.vehicles"
	assets   = "/api/v1/records/vehicles.asset"
	orders   = "/api/v1/records/vehicles.order"
)

// yard is an office with a plugin that declares lorries and orders, and has no process.
type yard struct {
	*house
	manifest       *plugin.Manifest
	manager, agent person
	his, other     string // customers: the agent's, and another's
}

func (y *yard) open(data string) {
	y.t.Helper()
	c := config.Default()
	c.Data, c.Plugins, c.Listen, c.PlainHTTP = data, y.t.TempDir(), "127.0.0.1:0", true
	var err error
	y.a, err = open(y.t.Context(), c, slog.New(slog.DiscardHandler))
	y.must(err)
	y.handler, err = y.a.handler(y.t.Context())
	y.must(err)
}

func newYard(t *testing.T) *yard {
	y := &yard{house: &house{t: t}}
	y.open(t.TempDir())
	t.Cleanup(func() { y.must(y.a.close()) })
	var err error
	y.manifest, err = plugin.ReadManifest(filepath.Join("testdata", "vehicles"))
	y.must(err)
	y.must(y.a.declarations().Apply(t.Context(), y.manifest))
	y.manager = y.hire(person{name: "manager"}, access.Manager, "")
	y.agent = y.hire(person{name: "agent"}, access.Agent, "")
	customer := func(name, owner string) string {
		made, err := y.a.book.Create(y.appliance(), "contact", record.Values{"name": name, "owner": owner})
		y.must(err)
		return made.ID.String()
	}
	y.his, y.other = customer("Haulage Ltd", access.ActorFrom(y.agent.ctx).ID), customer("Another Ltd", access.ActorFrom(y.manager.ctx).ID)
	return y
}

// call asks the API and reads its answer.
func (y *yard) call(p person, method, path string, body any, want int) map[string]any {
	y.t.Helper()
	raw := ""
	if body != nil {
		b, err := json.Marshal(body)
		y.must(err)
		raw = string(b)
	}
	status, answer := y.ask(p, method, path, raw, "Content-Type", "application/json")
	if status != want {
		y.t.Fatalf("%s %s %s: %d, want %d: %s", p.name, method, path, status, want, answer)
	}
	out := map[string]any{}
	if answer != "" && json.Unmarshal([]byte(answer), &out) != nil {
		y.t.Fatalf("%s %s answers %s", method, path, answer)
	}
	return out
}

func filtered(path, filter string) string {
	return path + "?" + url.Values{"filter": {filter}}.Encode()
}

// titles are the values of a field of what a list answers.
func (y *yard) titles(p person, path, field string) (all []string) {
	y.t.Helper()
	items, _ := y.call(p, http.MethodGet, path, nil, http.StatusOK)["items"].([]any)
	for _, item := range items {
		all = append(all, fmt.Sprint(item.(map[string]any)[field]))
	}
	return all
}

func (y *yard) wants(what string, got []string, want ...string) {
	y.t.Helper()
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		y.t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// run is a part of a test, which fails by itself.
func (y *yard) run(name string, part func()) {
	y.t.Helper()
	whole := y.t
	whole.Run(name, func(t *testing.T) {
		y.t = t
		part()
	})
	y.t = whole
}

// fill makes two lorries and an order, with a picture and a scan.
func (y *yard) fill() (lorry string, blobs []string) {
	y.t.Helper()
	photo, err := y.a.files.Put(y.manager.ctx, "lorry.png", "image/png", strings.NewReader("\x89PNG\r\n\x1a\nlorry"))
	y.must(err)
	scan, err := y.a.files.Put(y.manager.ctx, "permit.txt", "text/plain", strings.NewReader("permit of the lorry"))
	y.must(err)
	made := y.call(y.manager, http.MethodPost, assets, map[string]any{"plate": "11-222-33", "customer": y.his, "axles": 4, "photo": photo}, http.StatusCreated)
	lorry = made["id"].(string)
	y.call(y.manager, http.MethodPost, assets, map[string]any{"plate": "44-555-66", "customer": y.other}, http.StatusCreated)
	y.call(y.manager, http.MethodPost, orders, map[string]any{"what": "Paint the cabin", "asset": lorry, "customer": y.his, "price": "120 ILS"}, http.StatusCreated)
	id, err := record.ParseID(y.his)
	y.must(err)
	contact, err := y.a.book.Get(y.manager.ctx, "contact", id)
	y.must(err)
	contact, err = y.a.book.Change(y.manager.ctx, "contact", id, contact.Version(), record.Values{"vehicles_permit": "PERMIT-OLD", "vehicles_scan": scan})
	y.must(err)
	_, err = y.a.book.Change(y.manager.ctx, "contact", id, contact.Version(), record.Values{"vehicles_permit": "PERMIT-77", "city": "Haifa"})
	y.must(err)
	return lorry, []string{photo.Blob, scan.Blob}
}

func (y *yard) found(p person, query string) (titles []string) {
	y.t.Helper()
	return y.titles(p, "/api/v1/search?q="+url.QueryEscape(query), "title")
}

// TestEntitiesOfAPlugin: what a manifest declares works everywhere with no code, goes out of use with the plugin, comes
// back with it, and is gone when it is purged.
func TestEntitiesOfAPlugin(t *testing.T) {
	y := newYard(t)
	lorry, blobs := y.fill()
	y.run("lists and filters through links", func() {
		y.wants("all lorries", y.titles(y.manager, assets, "plate"), "11-222-33", "44-555-66")
		y.wants("of a customer", y.titles(y.manager, filtered(assets, `customer.name = "Haulage Ltd"`), "plate"), "11-222-33")
		y.wants("through two links", y.titles(y.manager, filtered(orders, `asset.customer.name = "Haulage Ltd" and heavy = true`), "what"), "Paint the cabin")
		y.wants("by a field of the plugin", y.titles(y.manager, filtered("/api/v1/records/contact", `vehicles_permit = "PERMIT-77"`), "name"), "Haulage Ltd")
		y.wants("by a choice", y.titles(y.manager, filtered(assets, `state = "broken"`), "plate"))
	})
	y.run("rights", func() {
		y.wants("the agent's lorries", y.titles(y.agent, assets, "plate"), "11-222-33")
		y.wants("what the agent finds", y.found(y.agent, "44-555"))
		y.call(y.agent, http.MethodPost, assets, map[string]any{"plate": "77-888-99", "customer": y.other}, http.StatusForbidden)
		y.role(access.Rules{Name: "painter", Base: access.Agent, Grants: []access.Grant{{Entity: "vehicles.order", Verb: access.See, Scope: access.All}},
			Fields: []access.FieldRule{{Entity: "vehicles.order", Field: "price", Right: access.Hide}}})
		painter := y.hire(person{name: "painter"}, "painter", "")
		items := y.call(painter, http.MethodGet, orders, nil, http.StatusOK)["items"].([]any)
		if len(items) != 1 || items[0].(map[string]any)["price"] != nil {
			t.Errorf("the painter reads %v", items)
		}
		y.wants("the painter's lorries", y.titles(painter, assets, "plate"))
	})
	y.run("lookup", func() {
		y.wants("by digits", y.found(y.manager, "11-222"), "11-222-33")
		y.wants("by a word", y.found(y.agent, "cabin"), "Paint the cabin")
		y.wants("by a field of a customer", y.found(y.manager, "PERMIT-77"), "Haulage Ltd")
	})
	y.run("the customer's card", func() { y.onCard(lorry) })
	y.run("history, bulk and bin", y.changes)
	y.run("import and export", y.inAndOut)
	y.run("what programs are told", func() {
		told := y.call(y.manager, http.MethodGet, "/api/v1/openapi.json", nil, http.StatusOK)
		for _, path := range []string{"/records/vehicles.asset", "/records/vehicles.order/{id}"} {
			if told["paths"].(map[string]any)[path] == nil && told["paths"].(map[string]any)["/api/v1"+path] == nil {
				t.Errorf("the document does not name %s", path)
			}
		}
		raw, err := json.Marshal(y.call(y.manager, http.MethodGet, "/api/v1/schema", nil, http.StatusOK))
		if err != nil || !strings.Contains(string(raw), `"plugin":"il.karov.vehicles"`) {
			t.Errorf("the schema does not say whose the entities are: %v", err)
		}
	})
	y.run("backup and restore", y.restored)
	y.removed(blobs)
}

// onCard finds the lorry from the customer: by the links that name him, and on his timeline.
func (y *yard) onCard(lorry string) {
	y.t.Helper()
	id, err := record.ParseID(y.his)
	y.must(err)
	y.must(y.a.book.View(y.manager.ctx, func(tx store.Tx) error {
		for r := range y.a.book.Linked(tx, "vehicles.asset", "customer", id, record.ID{}) {
			if r.ID.String() != lorry {
				y.t.Errorf("the customer is linked from %s", r.ID)
			}
			return nil
		}
		y.t.Error("the customer's lorry is not found from him")
		return nil
	}))
	raw, err := json.Marshal(y.call(y.agent, http.MethodGet, "/api/v1/records/contact/"+y.his+"/timeline", nil, http.StatusOK))
	y.must(err)
	if !strings.Contains(string(raw), lorry) {
		y.t.Errorf("the lorry is not on the timeline: %s", raw)
	}
}

func (y *yard) changes() {
	y.t.Helper()
	made := y.call(y.manager, http.MethodPost, assets, map[string]any{"plate": "00-000-01", "customer": y.his}, http.StatusCreated)
	id, err := record.ParseID(made["id"].(string))
	y.must(err)
	r, err := y.a.book.Change(y.manager.ctx, "vehicles.asset", id, 1, record.Values{"axles": 3.0})
	y.must(err)
	history, err := y.a.book.History(y.manager.ctx, "vehicles.asset", id, 0, 10)
	if err != nil || len(history) != 1 || history[0].Changes[0].Field != "axles" {
		y.t.Errorf("the history is %+v, %v", history, err)
	}
	zeros, err := y.a.book.Parse(y.manager.ctx, "vehicles.asset", `plate starts "00"`)
	y.must(err)
	act, err := y.a.book.ChangeMany(y.manager.ctx, record.Query{Entity: "vehicles.asset", Filter: zeros}, record.Values{"state": "broken"}, func(record.Bulk) {})
	if err != nil || act.Done != 1 {
		y.t.Errorf("many were changed: %+v, %v", act, err)
	}
	y.call(y.manager, http.MethodPost, assets, map[string]any{"plate": "00-000-01"}, http.StatusUnprocessableEntity)
	y.must(y.a.book.Delete(y.manager.ctx, "vehicles.asset", id, r.Version()+1))
	if binned, _, err := y.a.book.Bin(y.manager.ctx, "vehicles.asset", record.ID{}, 10); err != nil || len(binned) != 1 {
		y.t.Errorf("in the bin are %v, %v", binned, err)
	}
}

func (y *yard) inAndOut() {
	y.t.Helper()
	e := y.a.schema.Current().Entity("vehicles.asset")
	result, err := transfer.Import(y.manager.ctx, strings.NewReader("מספר,Lorry\n"), transfer.Options{Name: "x", Entity: e}, y.a.transfer.Records(e))
	if err == nil {
		y.t.Errorf("a file without the plate was taken: %+v", result)
	}
	result, err = transfer.Import(y.manager.ctx, strings.NewReader("לוחית רישוי,Customer,Оси,State\n99-000-11,Haulage Ltd,6,תקולה\n99-000-12,Nobody,6,\n"),
		transfer.Options{Name: "lorries", Entity: e}, y.a.transfer.Records(e))
	if err != nil || result.Created != 1 {
		y.t.Errorf("imported: %+v, %v", result, err)
	}
	y.wants("the imported lorry", y.titles(y.agent, filtered(assets, `state = "broken" and axles = 6`), "plate"), "99-000-11")
	for form, want := range map[string]string{"csv": "99-000-11", "json": "99-000-11", "xlsx": "PK"} {
		status, answer := y.ask(y.manager, http.MethodGet, "/api/v1/export/vehicles.asset?format="+form, "")
		if status != http.StatusOK || !strings.Contains(answer, want) {
			y.t.Errorf("the export as %s: %d %.200s", form, status, answer)
		}
	}
}

// restored takes a snapshot and looks at an office that was made of it.
func (y *yard) restored() {
	folder, data := y.t.TempDir(), filepath.Join(y.t.TempDir(), "data")
	key, err := y.a.targets.Add(y.appliance(), folder, "", y.a.now())
	y.must(err)
	all, err := y.a.targets.List(y.appliance())
	y.must(err)
	_, err = y.a.backupTo(y.appliance(), all[0], nil)
	y.must(err)
	proof, err := snapshot.Restore{From: folder, Key: key, Data: data}.Run(y.appliance())
	if err != nil || !proof.Equal() {
		y.t.Fatalf("restored: %+v, %v", proof, err)
	}
	other := *y
	other.house = &house{t: y.t}
	other.open(data)
	defer func() { other.must(other.a.close()) }()
	other.wants("the restored lorries", other.titles(y.agent, filtered(assets, `customer.vehicles_permit starts "PERMIT"`), "plate"), "11-222-33", "99-000-11")
	other.wants("the restored lorry in lookup", other.found(y.manager, "11-222"), "11-222-33")
	other.must(other.a.declarations().Apply(y.t.Context(), y.manifest))
}

// removed takes the plugin away, brings it back, and purges it.
func (y *yard) removed(blobs []string) {
	y.t.Helper()
	declarations := y.a.declarations()
	y.must(declarations.Settle(y.t.Context(), []string{vehicles}))
	y.titles(y.manager, assets, "plate")
	y.must(declarations.Settle(y.t.Context(), nil))
	y.call(y.manager, http.MethodPost, assets, map[string]any{"plate": "1"}, http.StatusNotFound)
	y.must(y.a.book.Build(y.appliance()))
	y.wants("lookup of what is out of use", y.found(y.manager, "11-222"))
	y.wants("lookup by a field that is out of use", y.found(y.manager, "PERMIT-77"))
	y.must(declarations.Apply(y.t.Context(), y.manifest))
	y.must(y.a.book.Build(y.appliance()))
	y.wants("the lorries are back", y.titles(y.manager, assets, "plate"), "11-222-33", "44-555-66", "99-000-11")
	y.wants("and found", y.found(y.manager, "11-222"), "11-222-33")
	y.wants("the permit is back", y.found(y.manager, "PERMIT-77"), "Haulage Ltd")

	owner := y.hire(person{name: "owner"}, access.Owner, "")
	purging := y.a.purging()
	if err := purging.Purge(y.manager.ctx, vehicles); fault.KindOf(err) != fault.Forbidden {
		y.t.Errorf("a manager purges: %v", err)
	}
	if err := purging.Purge(owner.ctx, vehicles); fault.Of(err).Key != "plugin.still-installed" {
		y.t.Errorf("what is in use was purged: %v", err)
	}
	y.must(declarations.Withdraw(y.t.Context(), vehicles))
	y.must(purging.Purge(owner.ctx, vehicles))
	if err := declarations.Apply(y.t.Context(), y.manifest); fault.Of(err).Key != "plugin.purging" {
		y.t.Errorf("installed while it is purged: %v", err)
	}
	work := purging.Kinds()[0].Work
	y.must(work(y.appliance(), job.Job{Kind: plugin.PurgeJob, Key: vehicles}))
	y.must(y.a.book.Build(y.appliance()))
	y.gone(blobs)
	y.must(declarations.Apply(y.t.Context(), y.manifest))
	y.wants("after a new installation", y.titles(y.manager, assets, "plate"))
}

// gone looks for any trace of what the plugin's records held, in every bucket but the journal's and the schema's, which
// tell what was there, and the attachments', which tell only that a record held some bytes.
func (y *yard) gone(blobs []string) {
	y.t.Helper()
	if y.a.schema.Current().Entity("vehicles.asset") != nil || y.a.schema.Current().Entity("contact").Field("vehicles_permit") != nil {
		y.t.Error("the schema still has what was purged")
	}
	for _, hash := range blobs {
		if f, err := y.a.blobs.Open(hash); err == nil {
			raw, _ := io.ReadAll(f)
			y.t.Errorf("the file %s is still there: %s", hash, raw)
			_ = f.Close()
		}
	}
	y.must(y.a.db.View(y.t.Context(), func(tx store.Tx) error {
		for _, name := range tx.Buckets() {
			if strings.HasPrefix(name, "journal.") || strings.HasPrefix(name, "schema.") || strings.HasPrefix(name, "log") || name == "attachment.held" {
				continue
			}
			for key, value := range tx.Bucket(name).Scan(nil, nil, false) {
				text := strings.ToLower(string(key) + "\x00" + string(value))
				for _, trace := range append([]string{"11-222-33", "1122233", "paint the", "permit-", "permit of", "vehicles.asset\x00"}, blobs...) {
					if strings.Contains(text, trace) {
						y.t.Errorf("%s still holds %q: %q %.100q", name, trace, key, value)
					}
				}
			}
		}
		return nil
	}))
	y.wants("the customer", y.titles(y.manager, filtered("/api/v1/records/contact", `city = "Haifa"`), "name"), "Haulage Ltd")
}

// TestPurgeGoesOnAfterAFall: a purge that is interrupted anywhere ends when it is done again.
func TestPurgeGoesOnAfterAFall(t *testing.T) {
	y := newYard(t)
	_, blobs := y.fill()
	y.must(y.a.declarations().Withdraw(t.Context(), vehicles))
	owner := y.hire(person{name: "owner"}, access.Owner, "")
	purging := y.a.purging()
	y.must(purging.Purge(owner.ctx, vehicles))
	falls := 0
	for at := range purging.Kept {
		kept := purging.Kept[at]
		broken := *purging
		broken.Kept = append(broken.Kept[:at:at], func(ctx context.Context, id string) error {
			falls++
			return fault.New(fault.Unavailable, "store.disk-full")
		})
		if err := broken.Kinds()[0].Work(y.appliance(), job.Job{Kind: plugin.PurgeJob, Key: vehicles}); err == nil {
			t.Error("a purge that fell says that it is done")
		}
		y.must(kept(y.appliance(), vehicles))
	}
	if falls != len(purging.Kept) || y.a.schema.Current().Entity("vehicles.asset") == nil {
		t.Errorf("%d falls; the schema was emptied before the rest", falls)
	}
	y.must(purging.Kinds()[0].Work(y.appliance(), job.Job{Kind: plugin.PurgeJob, Key: vehicles}))
	y.must(y.a.book.Build(y.appliance()))
	y.gone(blobs)
}

// TestPurgeLeavesWhatOthersLinkTo: what a field of the office links to is not purged under it.
func TestPurgeLeavesWhatOthersLinkTo(t *testing.T) {
	y := newYard(t)
	_, err := y.a.schema.Change(y.manager.ctx, y.a.schema.Current().Version(), schema.Op{Kind: schema.AddField, Entity: "contact", Field: "lorry",
		Labels: map[string]string{"en": "Lorry"}, Definition: schema.Definition{Type: schema.Link, Target: "vehicles.asset"}})
	y.must(err)
	y.must(y.a.declarations().Withdraw(t.Context(), vehicles))
	owner := y.hire(person{name: "owner"}, access.Owner, "")
	if err := y.a.purging().Purge(owner.ctx, vehicles); fault.Of(err).Key != "plugin.purge-needed" || fault.Of(err).Params["field"] != "lorry" {
		t.Errorf("purged: %v", err)
	}
}
