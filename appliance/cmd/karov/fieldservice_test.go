package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/config"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/job"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/plugins/plugintest"
)

const (
	fieldService  = "il.karov.fieldservice"
	lorryKind     = "fieldservice.asset"
	contractKind  = "fieldservice.contract"
	orderKind     = "fieldservice.order"
	fieldServices = "../../../plugins/fieldservice"
)

// garage is an office with the field service as the process that ships.
type garage struct {
	*yard
	zone *time.Location
}

func newGarage(t *testing.T) *garage {
	t.Helper()
	h := &house{t: t}
	c := config.Default()
	c.Data, c.Listen, c.PlainHTTP = t.TempDir(), "127.0.0.1:0", true
	c.Plugins = plugintest.Build(t, fieldServices, "github.com/karov-crm/karov/plugins/fieldservice")
	var err error
	h.a, err = open(t.Context(), c, slog.New(slog.DiscardHandler))
	h.must(err)
	t.Cleanup(func() { h.must(h.a.close()) })
	run, err := os.MkdirTemp("", "k") // the path of a socket must be short
	h.must(err)
	t.Cleanup(func() { _ = os.RemoveAll(run) })
	o := h.a.hosted(run)
	o.Launch, o.Timing = []string{plugintest.Launcher(t)}, plugintest.Quick()
	h.a.plugins, err = plugin.Open(o)
	h.must(err)
	h.a.book.SetAsker(h.a.plugins)
	h.handler, err = h.a.handler(t.Context())
	h.must(err)
	ctx, stop := context.WithCancel(t.Context())
	h.must(h.a.plugins.Start(ctx))
	ended := make(chan struct{})
	go func() { defer close(ended); _ = job.NewRunner(h.a.jobs, h.a.log, 2, h.a.plugins.Runs()).Run(ctx) }()
	t.Cleanup(func() {
		h.must(h.a.plugins.Close(context.Background()))
		stop()
		<-ended
	})
	g := &garage{yard: &yard{house: h}, zone: h.a.book.Zone()}
	g.serves()
	g.people()
	return g
}

// serves waits until the plugin is up.
func (g *garage) serves() {
	g.t.Helper()
	plugintest.Wait(g.t, "the field service is up", func() bool { return len(g.a.plugins.Views(plugin.OnPage, "")) == 1 })
}

func (g *garage) people() {
	g.manager = g.hire(person{name: "manager"}, access.Manager, "")
	g.agent = g.hire(person{name: "agent"}, access.Agent, "")
	customer := func(name string, p person) string {
		return g.make("contact", record.Values{"name": name, "owner": access.ActorFrom(p.ctx).ID})
	}
	g.his, g.other = customer("Haulage Ltd", g.agent), customer("Another Ltd", g.manager)
}

// make makes a record as the office, and gives its id.
func (g *garage) make(entity string, v record.Values) string {
	g.t.Helper()
	r, err := g.a.book.Create(g.appliance(), entity, v)
	g.must(err)
	return r.ID.String()
}

func (g *garage) get(entity, id string) record.Record {
	g.t.Helper()
	parsed, err := record.ParseID(id)
	g.must(err)
	r, err := g.a.book.Get(g.appliance(), entity, parsed)
	g.must(err)
	return r
}

// list gives the records that somebody sees.
func (g *garage) list(ctx context.Context, entity, filter string) []record.Record {
	g.t.Helper()
	q := record.Query{Entity: entity, Limit: record.MaxLimit}
	if filter != "" {
		parsed, err := g.a.book.Parse(ctx, entity, filter)
		g.must(err)
		q.Filter = parsed
	}
	page, err := g.a.book.List(ctx, q)
	g.must(err)
	return page.Records
}

// day is a day so many days from today, as a date field holds it.
func (g *garage) day(n int) string {
	return time.Now().In(g.zone).AddDate(0, 0, n).Format(time.DateOnly)
}

// noon is the middle of a day so many days from today.
func (g *garage) noon(n int) time.Time {
	y, m, d := time.Now().In(g.zone).AddDate(0, 0, n).Date()
	return time.Date(y, m, d, 12, 0, 0, 0, g.zone)
}

// refused fails unless err refuses with a sentence, also as the fault of one field.
func (g *garage) refused(what string, err error, key string) {
	g.t.Helper()
	f := fault.Of(err)
	ok := err != nil && f.Key == key
	for _, field := range faultFields(f) {
		ok = ok || field == key
	}
	if !ok {
		g.t.Errorf("%s: %v, want %s", what, err, key)
	}
}

func faultFields(f *fault.Error) (keys []string) {
	if f == nil {
		return nil
	}
	for _, field := range f.Fields {
		keys = append(keys, field.Key)
	}
	return keys
}

// press presses a button for somebody.
func (g *garage) press(p person, action string, on []plugin.Ref, input map[string]any) (plugin.Outcome, error) {
	return g.a.plugins.Act(p.ctx, plugin.Press{Plugin: fieldService, Action: action, Records: on, Input: input, Key: record.NewID().String()})
}

func (g *garage) ref(entity, id string) []plugin.Ref {
	parsed, err := record.ParseID(id)
	g.must(err)
	return []plugin.Ref{{Entity: entity, ID: parsed}}
}

// runVisits runs the job of the morning and waits until it is through.
func (g *garage) runVisits() {
	g.t.Helper()
	runs := func() int {
		states, err := g.a.plugins.JobStates(g.appliance(), fieldService)
		g.must(err)
		return states[0].Runs
	}
	before := runs()
	g.must(g.a.plugins.RunJob(g.appliance(), fieldService, "visits"))
	plugintest.Wait(g.t, "the job ran", func() bool { return runs() > before })
}

// TestFieldServiceRefusesJobsThatNoContractCovers: by the API, by forms and by the plugin's own buttons; a manager may
// have it his way, and the order goes on from there.
func TestFieldServiceRefusesJobsThatNoContractCovers(t *testing.T) {
	g := newGarage(t)
	lorry := g.make(lorryKind, record.Values{"plate": "11-222-33", "customer": g.his})
	contract := func(number, customer string, more record.Values) string {
		v := record.Values{"number": number, "asset": lorry, "customer": customer, "price": schema.Amount{Minor: 45000, Currency: "ILS"}}
		for name, value := range more {
			v[name] = value
		}
		return g.make(contractKind, v)
	}
	good := contract("C-1", g.his, record.Values{"until": g.day(10)})
	over := contract("C-2", g.his, record.Values{"until": g.day(-1)})
	paused := contract("C-3", g.his, record.Values{"state": "paused"})
	ended := contract("C-4", g.his, record.Values{"state": "ended"})
	foreign := contract("C-5", g.other, nil)
	create := func(ctx context.Context, v record.Values) (record.Record, error) {
		return g.a.book.Create(ctx, orderKind, v)
	}
	g.run("fills in what the contract says", func() {
		r, err := create(g.manager.ctx, record.Values{"contract": good, "planned": g.noon(3)})
		g.must(err)
		price, _ := r.Amount("price")
		if r.Link("customer").String() != g.his || r.Link("asset").String() != lorry || price.Minor != 45000 || price.Currency != "ILS" ||
			r.Text("title") != "11-222-33 · "+g.noon(3).Format("02.01.2006") || r.YesNo("approved") {
			t.Errorf("the order is %v", r.Fields())
		}
		r, err = create(g.manager.ctx, record.Values{"asset": lorry, "kind": "repair"})
		g.must(err)
		if _, priced := r.Amount("price"); r.Link("customer").String() != g.his || priced {
			t.Errorf("the repair is %v", r.Fields())
		}
	})
	g.run("refuses", func() {
		for what, c := range map[string]struct {
			ctx context.Context
			v   record.Values
			key string
		}{
			"expired":                   {g.agent.ctx, record.Values{"customer": g.his, "contract": over}, "fieldservice.contract-expired"},
			"expired by then":           {g.agent.ctx, record.Values{"customer": g.his, "contract": good, "planned": g.noon(11)}, "fieldservice.contract-expired"},
			"paused":                    {g.agent.ctx, record.Values{"customer": g.his, "contract": paused}, "fieldservice.contract-paused"},
			"ended":                     {g.agent.ctx, record.Values{"customer": g.his, "contract": ended}, "fieldservice.contract-ended"},
			"a manager, unasked":        {g.manager.ctx, record.Values{"contract": over}, "fieldservice.contract-expired"},
			"an agent who overrides":    {record.WithOverride(g.agent.ctx), record.Values{"customer": g.his, "contract": over}, "fieldservice.contract-expired"},
			"an agent who says it":      {g.agent.ctx, record.Values{"customer": g.his, "contract": over, "approved": true}, "fieldservice.contract-expired"},
			"another's contract":        {g.manager.ctx, record.Values{"contract": foreign, "customer": g.his}, "fieldservice.other-customer"},
			"a contract not to be seen": {g.agent.ctx, record.Values{"customer": g.his, "contract": foreign}, "field.link"},
		} {
			_, err := create(c.ctx, c.v)
			g.refused(what, err, c.key)
		}
		status, answer := g.ask(g.agent, http.MethodPost, "/api/v1/records/"+orderKind, fmt.Sprintf(`{"customer":%q,"contract":%q}`, g.his, over), "Content-Type", "application/json")
		if status != http.StatusBadRequest || !strings.Contains(answer, "fieldservice.contract-expired") {
			t.Errorf("the API answers %d %s", status, answer)
		}
		if got := g.list(g.appliance(), orderKind, `contract.number in ("C-2", "C-3", "C-4", "C-5") or contract.number = "C-1" and planned > today + 5`); len(got) != 0 {
			t.Errorf("%d orders were made", len(got))
		}
	})
	g.run("a manager overrides", func() { g.overridden(over) })
	g.run("a job that was planned in time", func() { g.planned(good) })
}

// overridden makes an order on a contract that is over, and works on it as an agent.
func (g *garage) overridden(over string) {
	r, err := g.a.book.Create(record.WithOverride(g.manager.ctx), orderKind, record.Values{"contract": over})
	g.must(err)
	if !r.YesNo("approved") {
		g.t.Errorf("the order does not say that a manager approved it: %v", r.Fields())
	}
	if _, err := g.press(g.agent, "plan-anyway", g.ref(contractKind, over), nil); fault.KindOf(err) != fault.Forbidden {
		g.t.Errorf("an agent plans anyway: %v", err)
	}
	if _, err := g.press(g.agent, "plan-anyway", nil, nil); fault.KindOf(err) != fault.Forbidden {
		g.t.Errorf("an agent presses it on nothing: %v", err)
	}
	_, err = g.press(g.manager, "plan-anyway", nil, nil)
	g.refused("a press on nothing", err, "fieldservice.one-contract")
	out, err := g.press(g.manager, "plan-anyway", g.ref(contractKind, over), nil)
	g.must(err)
	made := g.get(orderKind, out.Open.ID.String())
	if !made.YesNo("approved") || made.Link("customer").String() != g.his {
		g.t.Errorf("planned anyway: %v", made.Fields())
	}
	for _, step := range []struct{ action, state string }{{"leave", "on-the-way"}, {"start", "in-work"}, {"start", "in-work"}} {
		_, err := g.press(g.agent, step.action, g.ref(orderKind, r.ID.String()), nil)
		g.must(err)
		if state := g.get(orderKind, r.ID.String()).Text("state"); state != step.state {
			g.t.Errorf("after %s it is %s", step.action, state)
		}
	}
	now := g.get(orderKind, r.ID.String())
	changed, err := g.a.book.Change(g.agent.ctx, orderKind, now.ID, now.Version(), record.Values{"approved": false})
	g.must(err)
	if !changed.YesNo("approved") {
		g.t.Error("an agent takes a manager's word back")
	}
}

// planned finishes an order whose contract was cut short after it was made, and cancels another.
func (g *garage) planned(good string) {
	first, err := g.a.book.Create(g.agent.ctx, orderKind, record.Values{"customer": g.his, "contract": good, "planned": g.noon(2)})
	g.must(err)
	second, err := g.a.book.Create(g.agent.ctx, orderKind, record.Values{"customer": g.his, "contract": good, "planned": g.noon(2)})
	g.must(err)
	c := g.get(contractKind, good)
	_, err = g.a.book.Change(g.manager.ctx, contractKind, c.ID, c.Version(), record.Values{"until": g.day(1)})
	g.must(err)
	_, err = g.press(g.agent, "start", g.ref(orderKind, first.ID.String()), nil)
	g.refused("start", err, "fieldservice.contract-expired")
	began := time.Now().Add(-time.Second)
	_, err = g.press(g.agent, "finish", g.ref(orderKind, first.ID.String()), map[string]any{"price": 399.9, "parts": "two triangles", "note": ""})
	g.must(err)
	r := g.get(orderKind, first.ID.String())
	price, _ := r.Amount("price")
	if r.Text("state") != "done" || r.Time("finished").Before(began) || price.Minor != 39990 || r.Text("parts") != "two triangles" {
		g.t.Errorf("the finished order is %v", r.Fields())
	}
	_, err = g.press(g.agent, "cancel", g.ref(orderKind, first.ID.String()), nil)
	g.refused("cancel what is done", err, "fieldservice.order-done")
	_, err = g.press(g.agent, "cancel", g.ref(orderKind, second.ID.String()), nil)
	g.must(err)
	_, err = g.press(g.agent, "finish", g.ref(orderKind, second.ID.String()), map[string]any{"price": -1.0})
	g.refused("a price below nothing", err, "fieldservice.price-wrong")
	_, err = g.press(g.agent, "finish", nil, nil)
	g.refused("finish nothing", err, "fieldservice.no-order")
}

// TestFieldServiceMakesEachVisitOnce: the job twice, by hand and killed in the middle; days, prices and the next visit.
func TestFieldServiceMakesEachVisitOnce(t *testing.T) {
	g := newGarage(t)
	next := func(id string) string { return g.get(contractKind, id).Text("next_visit") }
	contract := func(number string, v record.Values) string {
		v["number"], v["customer"] = number, g.his
		return g.make(contractKind, v)
	}
	due := contract("DUE", record.Values{"next_visit": g.day(2), "price": schema.Amount{Minor: 12345, Currency: "ILS"}})
	usual := contract("USUAL", record.Values{"next_visit": g.day(0), "kind": "quarterly"})
	missed := contract("MISSED", record.Values{"next_visit": g.day(-100)})
	far := contract("FAR", record.Values{"next_visit": g.day(30)})
	contract("PAUSED", record.Values{"next_visit": g.day(1), "state": "paused"})
	contract("OVER", record.Values{"next_visit": g.day(3), "until": g.day(2)})
	gone := g.make("contact", record.Values{"name": "Gone Ltd", "owner": access.ActorFrom(g.manager.ctx).ID})
	g.make(contractKind, record.Values{"number": "GONE", "customer": gone, "next_visit": g.day(1)})
	binned := g.get("contact", gone)
	g.must(g.a.book.Delete(g.manager.ctx, "contact", binned.ID, binned.Version()))
	g.runVisits()
	orders := g.list(g.appliance(), orderKind, "")
	if len(orders) != 3 {
		t.Fatalf("%d visits, want 3", len(orders))
	}
	for _, r := range orders {
		id := r.Link("contract").String()
		price, _ := r.Amount("price")
		at := r.Time("planned").In(g.zone)
		if want := map[string]int64{due: 12345, usual: 35000, missed: 35000}[id]; price.Minor != want || r.Link("customer").String() != g.his {
			t.Errorf("the visit is %v", r.Fields())
		}
		if wd := at.Weekday(); wd == time.Friday || wd == time.Saturday || at.Hour() != 8 || at.Minute() != 0 {
			t.Errorf("the visit is planned for %s", at)
		}
	}
	today := time.Now().In(g.zone).Format(time.DateOnly)
	if next(missed) <= today || next(usual) <= today || next(far) != g.day(30) {
		t.Errorf("next visits: missed %s, usual %s, far %s", next(missed), next(usual), next(far))
	}
	was := next(due)
	g.runVisits()
	_, err := g.press(g.manager, "visits-now", nil, nil)
	g.must(err)
	g.runVisits()
	if again := g.list(g.appliance(), orderKind, ""); len(again) != 3 || next(due) != was {
		t.Errorf("after more runs there are %d visits, the next is %s", len(again), next(due))
	}
	// Put back to a day that was visited, a contract goes on and the visit is not made again.
	r := g.get(contractKind, due)
	_, err = g.a.book.Change(g.manager.ctx, contractKind, r.ID, r.Version(), record.Values{"next_visit": g.day(2)})
	g.must(err)
	g.runVisits()
	if again := g.list(g.appliance(), orderKind, ""); len(again) != 3 || next(due) != was {
		t.Errorf("put back: %d visits, the next is %s, want %s", len(again), next(due), was)
	}
	g.killedAmongVisits()
}

// killedAmongVisits kills the plugin while it makes many visits, again and again.
func (g *garage) killedAmongVisits() {
	const contracts, kills = 150, 2
	for i := range contracts {
		g.make(contractKind, record.Values{"number": fmt.Sprintf("K-%03d", i), "customer": g.his, "next_visit": g.day(1)})
	}
	g.must(g.a.plugins.RunJob(g.appliance(), fieldService, "visits"))
	count := func() int { return len(g.list(g.appliance(), orderKind, `contract.number starts "K-"`)) }
	for k := range kills {
		plugintest.Wait(g.t, "some visits are made", func() bool { return count() > k*30 })
		g.t.Logf("killed after %d of %d visits", count(), contracts)
		if pid := g.a.plugins.List()[0].PID; pid != 0 {
			g.must(syscall.Kill(pid, syscall.SIGKILL))
		}
		g.a.jobs.Wake()
	}
	g.serves()
	g.runVisits()
	plugintest.Wait(g.t, "all visits are made", func() bool { return count() >= contracts })
	g.runVisits()
	visited := map[string]int{}
	for _, r := range g.list(g.appliance(), orderKind, `contract.number starts "K-"`) {
		visited[r.Link("contract").String()]++
	}
	if len(visited) != contracts || count() != contracts {
		g.t.Errorf("%d visits for %d of %d contracts", count(), len(visited), contracts)
	}
}
