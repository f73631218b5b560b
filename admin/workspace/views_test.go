package workspace_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/admin/frame/frametest"
	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/schema"
)

// workshop stands where the host of the plugins stands: one plugin, with each kind of block.
type workshop struct {
	mu      sync.Mutex
	wait    chan struct{} // Render waits for it where it is not nil
	failing error
	pressed []plugin.Press
	on      *plugin.Ref
}

const workshopID = "il.example.workshop"

func (w *workshop) refs() []plugin.ViewRef {
	label := plugin.Label{"he": "המשאיות של הלקוח", "en": "The customer's lorries", "ru": "Грузовики клиента"}
	return []plugin.ViewRef{
		{Plugin: workshopID, Name: "lorries", Place: plugin.OnCard, Entity: "contact", Label: label},
		{Plugin: workshopID, Name: "today", Place: plugin.OnPage, Icon: "truck", Label: plugin.Label{"he": "הביקורים היום", "en": "Today's visits", "ru": "Визиты сегодня"}},
		{Plugin: workshopID, Name: "waiting", Place: plugin.OnHome, Label: plugin.Label{"he": "ממתינים", "en": "Waiting lorries", "ru": "Ждут"}},
	}
}

func (w *workshop) Views(place plugin.Place, entity string) (list []plugin.ViewRef) {
	for _, ref := range w.refs() {
		if ref.Place == place && ref.Entity == entity {
			list = append(list, ref)
		}
	}
	return list
}

func (w *workshop) Manifest(id string) (*plugin.Manifest, error) {
	if id != workshopID {
		return nil, fault.Missing("plugin", id)
	}
	m := &plugin.Manifest{ID: id, Name: "Workshop"}
	for _, ref := range w.refs() {
		m.Views = append(m.Views, plugin.ViewSpec{Name: ref.Name, Place: ref.Place, Entity: ref.Entity, Label: ref.Label, Icon: ref.Icon})
	}
	return m, nil
}

func (w *workshop) Render(ctx context.Context, _, view string, on *plugin.Ref, params map[string]string) (plugin.View, error) {
	w.mu.Lock()
	wait, failing := w.wait, w.failing
	w.on = on
	w.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
		}
	}
	if failing != nil {
		return plugin.View{}, failing
	}
	price := schema.Amount{Minor: 123450, Currency: "ILS"}
	table := plugin.Table{Columns: []plugin.Column{{Label: "Plate"}, {Label: "State"}, {Label: "Price", End: true}},
		Rows: []plugin.Row{
			{Cells: []plugin.Cell{{Value: "12-345-67"}, {Value: "open", Tone: plugin.Warn}, {Value: price}}, Open: on},
			{Cells: []plugin.Cell{{Value: "<script>alert(1)</script>"}, {Value: "done", Tone: plugin.Good}, {Value: 17.5}}},
		}}
	return plugin.View{Blocks: []plugin.Block{
		plugin.Paragraph{Text: "החוזה פג", Tone: plugin.Bad},
		plugin.Figures{{Label: "Lorries", Value: 3.0}, {Label: "Owed", Value: price, Tone: plugin.Bad, Note: "since June"}},
		plugin.Tabs{Param: "tab", Tabs: []plugin.Tab{
			{Name: "all", Label: "All", Shown: params["tab"] != "late", Blocks: []plugin.Block{table}},
			{Name: "late", Label: "Late", Shown: params["tab"] == "late", Blocks: []plugin.Block{plugin.Table{Empty: "None is late."}}},
		}},
		plugin.Chart{Title: "Visits", Labels: []string{"Aug", "Sep", "Oct", "Nov"}, Series: []plugin.Series{
			{Label: "Planned", Values: []float64{4, 9, 7, 12}}, {Label: "Done", Values: []float64{3, 9, 6, 2.5}}}},
		plugin.Chart{Lines: true, Labels: []string{"1", "2", "3"}, Series: []plugin.Series{{Label: "Balance", Values: []float64{-1200, 300, 900}}}},
		plugin.Timeline{{At: time.Now().Add(-time.Hour), Text: "ביקור", Open: on, Tone: plugin.Good}, {At: time.Now().Add(-48 * time.Hour), Text: "Order opened"}},
		plugin.Form{Action: "plan", Submit: "Plan a visit", Inputs: []plugin.Input{
			{Name: "day", Label: "Day", Kind: plugin.InputDate, Required: true}, {Name: "hours", Label: "Hours", Kind: plugin.InputNumber, Value: 1.5},
			{Name: "note", Label: "Note", Kind: plugin.InputLong, Help: "For the technician"}, {Name: "urgent", Label: "Urgent", Kind: plugin.InputYesNo},
			{Name: "kind", Label: "Kind", Kind: plugin.InputChoice, Value: "paint", Choices: []plugin.Chosen{{Value: "repair", Label: "Repair"}, {Value: "paint", Label: "צביעה"}}},
			{Name: "customer", Label: "Customer", Kind: plugin.InputRecord, Entity: "contact"}, {Name: "from", Kind: plugin.InputHidden, Value: 7.0}}},
		plugin.Buttons{{Label: "Finish", Action: "plan", Tone: plugin.Good, Input: map[string]any{"price": price}}, {Label: "All visits", View: "today", Params: map[string]string{"tab": "late"}}},
	}}, nil
}

func (w *workshop) Actions(_ context.Context, entity, on string) []plugin.ActionRef {
	if entity == "vehicles.asset" && on == "list" {
		return []plugin.ActionRef{{Plugin: workshopID, Name: "wash", Entity: entity, Needs: "change", Label: plugin.Label{"he": "לשטוף", "en": "Wash", "ru": "Помыть"}}}
	}
	if entity != "contact" || on != "card" {
		return nil
	}
	return []plugin.ActionRef{{Plugin: workshopID, Name: "plan", Entity: entity, Needs: "change", Label: plugin.Label{"he": "לתאם ביקור", "en": "Plan a visit", "ru": "Назначить визит"}}}
}

func (w *workshop) Act(_ context.Context, press plugin.Press) (plugin.Outcome, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failing != nil {
		return plugin.Outcome{}, w.failing
	}
	w.pressed = append(w.pressed, press)
	return plugin.Outcome{Message: "הביקור תואם"}, nil
}

func (w *workshop) set(failing error, wait chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failing, w.wait = failing, wait
}

func TestAPluginsViewIsDrawnAndItsTextEscaped(t *testing.T) {
	d := aDay(newOffice(t))
	owner, cohen := d.reader(t, access.Owner), d.cohen.ID.String()
	card := owner.get("/contacts/" + cohen)
	for _, want := range []string{"The customer&#39;s lorries", "data-later", "/views/il.example.workshop/lorries/part?_on=contact+" + cohen, "Plan a visit"} {
		if !strings.Contains(card, want) {
			t.Errorf("the card lacks %s\n%s", want, card)
		}
	}
	if strings.Contains(card, "12-345-67") {
		t.Error("the card waited for the plugin")
	}
	part := owner.get("/views/il.example.workshop/lorries/part?_on=contact+" + cohen)
	for _, want := range []string{"12-345-67", "&lt;script&gt;", "1,234.50", `class="series-1"`, "Planned", `name="number.hours" type="number"`, "None is late", "משה כהן"} {
		if (strings.Contains(part, want)) == (want == "None is late") {
			t.Errorf("about %s the view is\n%s", want, part)
		}
	}
	if strings.Contains(part, "<script>") {
		t.Error("the plugin's text became markup")
	}
	if late := owner.get("/views/il.example.workshop/today?tab=late"); !strings.Contains(late, "None is late") || !strings.Contains(late, "Today&#39;s visits") {
		t.Errorf("another tab:\n%s", late)
	}
	for path, status := range map[string]int{"/views/il.example.workshop/none": 404, "/views/none/today": 404, "/views/il.example.workshop/lorries?_on=contact+x": 422} {
		if got, _, _ := owner.ask(http.MethodGet, path, nil); got != status {
			t.Errorf("%s: %d, want %d", path, got, status)
		}
	}
}

func TestADeadPluginIsSaidInItsPlaceOnly(t *testing.T) {
	d := aDay(newOffice(t))
	owner := d.reader(t, access.Owner)
	d.workshop.set(fault.New(fault.Unavailable, "plugin.view-failed"), nil)
	status, page, _ := owner.ask(http.MethodGet, "/views/il.example.workshop/lorries/part?_on=contact+"+d.cohen.ID.String(), nil)
	if status != http.StatusOK || !strings.Contains(page, "cannot be shown just now") {
		t.Errorf("%d %s", status, page)
	}
	stuck := make(chan struct{})
	d.workshop.set(nil, stuck)
	defer close(stuck)
	if page := owner.get("/contacts/" + d.cohen.ID.String()); !strings.Contains(page, "What happened") {
		t.Error("the card waited for a plugin that hangs")
	}
}

func TestAPressGoesToThePluginAndTellsOnce(t *testing.T) {
	d := aDay(newOffice(t))
	owner, ref := d.reader(t, access.Owner), "contact "+d.cohen.ID.String()
	form := url.Values{"_key": {"k7"}, "_record": {ref}, "_next": {"/contacts/" + d.cohen.ID.String()}, "text.day": {"2026-12-01"}, "number.hours": {"2.5"},
		"yes-no.urgent": {"yes"}, "money.price": {"1234.50 ILS"}, "text.note": {""}}
	status, _, head := owner.ask(http.MethodPost, "/actions/il.example.workshop/plan", form)
	if status != http.StatusSeeOther || head.Get("Location") != "/contacts/"+d.cohen.ID.String() {
		t.Fatalf("%d to %s", status, head.Get("Location"))
	}
	if len(d.workshop.pressed) != 1 {
		t.Fatalf("pressed %v", d.workshop.pressed)
	}
	p := d.workshop.pressed[0]
	if p.Key != "k7" || len(p.Records) != 1 || p.Records[0].ID != d.cohen.ID || p.Input["hours"] != 2.5 || p.Input["urgent"] != true || p.Input["day"] != "2026-12-01" ||
		p.Input["price"] != (schema.Amount{Minor: 123450, Currency: "ILS"}) || p.Input["note"] != nil {
		t.Errorf("the plugin got %+v", p)
	}
	if page := owner.get("/contacts/" + d.cohen.ID.String()); !strings.Contains(page, "הביקור תואם") {
		t.Error("the message was not told")
	}
	if page := owner.get("/contacts/" + d.cohen.ID.String()); strings.Contains(page, "הביקור תואם") {
		t.Error("the message was told twice")
	}
	form.Set("_next", "https://evil.example/")
	if _, _, head := owner.ask(http.MethodPost, "/actions/il.example.workshop/plan", form); head.Get("Location") != "/" {
		t.Errorf("led to %s", head.Get("Location"))
	}
	form.Set("number.hours", "many")
	if status, page, _ := owner.ask(http.MethodPost, "/actions/il.example.workshop/plan", form); status != http.StatusUnprocessableEntity {
		t.Errorf("a number that is none: %d %s", status, page)
	}
	d.workshop.set(fault.New(fault.Forbidden, "plugin.hook-refused"), nil)
	form.Set("number.hours", "1")
	if status, page, _ := owner.ask(http.MethodPost, "/actions/il.example.workshop/plan", form); status != http.StatusForbidden || !strings.Contains(page, "refused") {
		t.Errorf("a refusal: %d", status)
	}
}

// The slot on the card fills by itself, and all of it is sound in both directions.
func TestViewsAreSound(t *testing.T) {
	d := aDay(newOffice(t))
	b := frametest.Open(t)
	for _, look := range []struct {
		lang, scheme  string
		width, height int64
		name          string
	}{{"he", "light", 1280, 860, "he-1280-light"}, {"en", "dark", 1280, 860, "en-1280-dark"}, {"he", "dark", 360, 740, "he-360-dark"}} {
		t.Run(look.name, func(t *testing.T) {
			p := b.Page(look.width, look.height, look.scheme)
			d.signIn(p, access.Owner, look.lang)
			for _, page := range []struct{ name, path string }{
				{"view-card", "/contacts/" + d.cohen.ID.String()}, {"view-page", "/views/il.example.workshop/today"}, {"view-home", "/"},
			} {
				p.Go(d.url + page.path)
				p.See("h1")
				p.Until(`document.querySelector(".figures") && !document.querySelector("[data-later]")`)
				p.Sound(page.name + " " + look.name)
				p.Shot(page.name + "-" + look.name)
			}
		})
	}
}
