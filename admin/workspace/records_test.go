package workspace_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/karov-crm/karov/admin/frame/frametest"
	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/contact"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

// names is a name in the languages of the pages.
func names(he, en, ru string) map[string]string {
	return map[string]string{"he": he, "en": en, "ru": ru}
}

// customers are as contact has them, with fields that a plugin declares.
func customers() schema.Entity {
	e := contact.Entity()
	e.Fields = append(slices.Clone(e.Fields),
		schema.Field{Number: 2000, Name: "vehicles_permit", Type: schema.Text, Custom: true, Labels: names("היתר", "Permit", "Разрешение")},
		schema.Field{Number: 2001, Name: "vehicles_limit", Type: schema.Number, Custom: true, Default: 5.0, Labels: names("תקרה", "Limit", "Предел")},
		schema.Field{Number: 2002, Name: "vehicles_scan", Type: schema.File, Custom: true, Labels: names("סריקה", "Scan", "Скан")})
	return e
}

// lorries are kinds of record that a plugin declares.
func lorries() []schema.Entity {
	number := schema.FirstCustom
	field := func(name string, t schema.Type, labels map[string]string) schema.Field {
		number++
		return schema.Field{Number: number, Name: name, Type: t, Labels: labels, Custom: true, Plugin: "il.karov.vehicles"}
	}
	plate := field("plate", schema.Text, names("לוחית רישוי", "Plate", "Номер"))
	plate.Required, plate.Indexed, plate.Unique, plate.Searched = true, true, true, true
	customer := field("customer", schema.Link, names("לקוח", "Customer", "Клиент"))
	customer.Target, customer.Indexed = "contact", true
	state := field("state", schema.Choice, names("מצב", "State", "Состояние"))
	state.Choices, state.Default = []string{"ready", "broken"}, "ready"
	state.ChoiceLabels = map[string]map[string]string{"ready": names("מוכנה", "Ready", "Готов"), "broken": names("תקולה", "Broken", "Сломан")}
	extras := field("extras", schema.Choice, names("תוספות", "Extras", "Дополнительно"))
	extras.Many, extras.Choices = true, []string{"crane", "tail lift"}
	drivers := field("drivers", schema.Phone, names("נהגים", "Drivers", "Водители"))
	drivers.Many = true
	twice := field("twice", schema.Formula, names("כפול", "Twice", "Дважды"))
	twice.Formula = "axles * 2"
	price := field("price", schema.Money, names("מחיר", "Price", "Цена"))
	price.Currency = "ILS"
	asset := schema.Entity{Name: "vehicles.asset", Title: "plate", Contact: "customer", Via: "customer", Custom: true, Timeline: true, Plugin: "il.karov.vehicles",
		Labels: names("משאית", "Lorry", "Грузовик"), Plurals: names("משאיות", "Lorries", "Грузовики"), Fields: []schema.Field{plate, customer, state, extras, drivers,
			field("axles", schema.Number, names("סרנים", "Axles", "Оси")), price, field("bought", schema.Date, names("נקנתה", "Bought", "Куплен")),
			field("seen", schema.Time, names("נראתה", "Seen", "Замечен")), field("insured", schema.YesNo, names("מבוטחת", "Insured", "Застрахован")),
			field("site", schema.URL, names("אתר", "Site", "Сайт")), field("note", schema.LongText, names("הערה", "Note", "Заметка")), twice,
			field("papers", schema.File, names("מסמכים", "Papers", "Документы"))}}
	lorry := field("asset", schema.Link, names("משאית", "Lorry", "Грузовик"))
	lorry.Target, lorry.Indexed = "vehicles.asset", true
	order := schema.Entity{Name: "vehicles.order", Title: "what", Custom: true, Plugin: "il.karov.vehicles", Labels: names("קריאה", "Order", "Заказ"),
		Plurals: names("קריאות", "Orders", "Заказы"), Fields: []schema.Field{field("what", schema.Text, names("מה", "What", "Что")), lorry}}
	return []schema.Entity{asset, order}
}

// yard puts lorries into an office: seven of one customer, one of the agent's.
func yard(d *day) (first record.Record) {
	d.t.Helper()
	add := func(entity string, values record.Values) record.Record {
		return must[record.Record](d.t)(d.book.Create(d.as(access.Owner), entity, values))
	}
	papers := d.keep("license.txt", "text/plain", "the license")
	for i := range 7 {
		r := add("vehicles.asset", record.Values{"plate": fmt.Sprintf("11-222-3%d", i), "customer": d.cohen.ID.String(), "axles": 3.0, "state": "broken",
			"extras": []string{"crane"}, "price": "1200.50 ILS", "bought": "2026-01-02", "drivers": []string{"050-1234567"}, "site": "https://lorry.example/1",
			"insured": true, "note": "<script>alert(1)</script>", "papers": schema.Attachment{Blob: papers.Blob, Name: papers.Name, Size: papers.Size, Type: papers.Type}})
		if i == 0 {
			first = r
		}
	}
	add("vehicles.order", record.Values{"what": "Paint the cabin", "asset": first.ID.String()})
	his := d.customer(record.Values{"name": "Haulage Ltd", "owner": d.people[access.Agent].ID})
	add("vehicles.asset", record.Values{"plate": "99-888-77", "customer": his.ID.String()})
	return first
}

func TestRecordPages(t *testing.T) {
	d := aDay(newOffice(t))
	lorry := yard(d)
	const list = "/records/vehicles.asset"
	card := list + "/" + lorry.ID.String()
	for _, test := range []struct {
		name, path string
		role       access.Role
		status     int
		wants      []string
		lacks      []string
	}{
		{"the menu", "/", access.Owner, 200, []string{`href="/records/vehicles.asset"`, "Lorries", "Orders"}, nil},
		{"a list", list, access.Owner, 200, []string{"<h1 tabindex=\"-1\"><bdi>Lorries", "8 records", "11-222-36", "99-888-77", "Broken", "crane", "050-123-4567", list + "/new"}, []string{"field.", "<script>alert"}},
		{"own lorries", list, access.Agent, 200, []string{"1 record", "99-888-77"}, []string{"11-222"}},
		{"a condition", list + "?filter=" + url.QueryEscape(`customer.name = "משה כהן" and axles > 2`), access.Owner, 200, []string{"7 records"}, []string{"99-888-77"}},
		{"a word", list + "?filter=888", access.Owner, 200, []string{"1 record", "99-888-77"}, []string{"11-222"}},
		{"a wrong condition", list + "?filter=" + url.QueryEscape(`colour = "red"`), access.Owner, 422, []string{`aria-describedby="filter-wrong"`, "colour"}, []string{"8 records"}},
		{"nothing fits", list + "?filter=zzz", access.Owner, 200, []string{"Nothing fits"}, nil},
		{"a card", card, access.Owner, 200, []string{"11-222-30", "משה כהן", "/contacts/" + d.cohen.ID.String(), "Broken", "1,200.50", `href="https://lorry.example/1"`, "Twice", "6", "Yes",
			"license.txt", "&lt;script&gt;", "Orders", "Paint the cabin", "added this", card + "/edit", "/records/vehicles.order/new?asset=" + lorry.ID.String()}, []string{"<script>alert"}},
		{"a card for reading", card, access.Viewer, 200, []string{"11-222-30"}, []string{"/edit", "/new"}},
		{"a foreign card", card, access.Agent, 404, nil, []string{"11-222"}},
		{"a foreign file", card + "/files/papers/0", access.Agent, 404, nil, []string{"license"}},
		{"a file", card + "/files/papers/0", access.Owner, 200, []string{"the license"}, nil},
		{"a file that is not there", card + "/files/papers/7", access.Owner, 404, nil, nil},
		{"a file of no field", card + "/files/plate/0", access.Owner, 404, nil, nil},
		{"a customer's lorries", "/contacts/" + d.cohen.ID.String(), access.Owner, 200, []string{"11-222-36", "Show all", list + "/new?customer=" + d.cohen.ID.String(), "Lorry"}, []string{"99-888-77"}},
		{"a built-in kind", "/records/contact", access.Owner, 404, nil, nil},
		{"no kind", "/records/parrot", access.Owner, 404, nil, nil},
		{"a form", list + "/new?customer=" + d.cohen.ID.String(), access.Owner, 200, []string{`value="משה כהן"`, `type="date"`, `type="datetime-local"`, `<option value="ready" selected`, `type="checkbox"`}, []string{`name="twice"`}},
		{"no form for a reader", list + "/new", access.Viewer, 403, nil, nil},
		{"the form of one", card + "/edit", access.Owner, 200, []string{"11-222-30", "1200.50 ILS", "&lt;script&gt;"}, []string{"<script>alert"}},
		{"lookup", "/lookup?q=888", access.Owner, 200, []string{"<mark>888</mark>", list + "/"}, nil},
	} {
		status, page, _ := d.reader(t, test.role).ask(http.MethodGet, test.path, nil)
		if status != test.status {
			t.Errorf("%s: %d, want %d", test.name, status, test.status)
		}
		for _, want := range test.wants {
			if !strings.Contains(page, want) {
				t.Errorf("%s lacks %s\n%s", test.name, want, page)
			}
		}
		for _, lack := range test.lacks {
			if strings.Contains(page, lack) {
				t.Errorf("%s shows %s", test.name, lack)
			}
		}
	}
}

func TestRecordForms(t *testing.T) {
	d := aDay(newOffice(t))
	lorry := yard(d)
	const list = "/records/vehicles.asset"
	owner := d.reader(t, access.Owner)
	twin := d.customer(record.Values{"name": "Twin"})
	d.customer(record.Values{"name": "Twin"})
	whole := url.Values{"plate": {"55-555-55"}, "customer": {"משה כהן"}, "state": {"broken"}, "extras": {"crane", "tail lift"}, "drivers": {"050-7654321", ""}, "axles": {"2,5"},
		"price": {"99.90"}, "bought": {"2026-02-03"}, "seen": {"2026-02-03T10:30"}, "insured": {"no"}, "site": {"https://x.example"}, "note": {"two\r\nlines"}, "_key": {"k1"}}
	with := func(name string, values ...string) url.Values {
		form := url.Values{"plate": {"66-666-66"}, name: values, "_key": {record.NewID().String()}}
		return form
	}
	for _, test := range []struct {
		name, path string
		role       access.Role
		form       url.Values
		status     int
		wants      string
	}{
		{"a lorry", list + "/new", access.Owner, whole, 303, ""},
		{"the same form again", list + "/new", access.Owner, whole, 303, ""},
		{"the same plate", list + "/new", access.Owner, with("plate", "55-555-55"), 422, "Another record has this value"},
		{"no plate", list + "/new", access.Owner, with("plate", ""), 422, "wrong-plate"},
		{"no number", list + "/new", access.Owner, with("axles", "many"), 422, "wrong-axles"},
		{"no such customer", list + "/new", access.Owner, with("customer", "Nobody At All"), 422, "nothing with exactly this name"},
		{"two of that name", list + "/new", access.Owner, with("customer", "Twin"), 422, `<option value="` + twin.ID.String()},
		{"one of them", list + "/new", access.Owner, with("customer", twin.ID.String()), 303, ""},
		{"a foreign customer", list + "/new", access.Agent, url.Values{"plate": {"77"}, "customer": {d.cohen.ID.String()}, "_key": {"k2"}}, 403, ""},
		{"a reader adds nothing", list + "/new", access.Viewer, url.Values{"plate": {"77"}, "_key": {"k3"}}, 403, ""},
		{"a reader changes nothing", list + "/" + lorry.ID.String() + "/edit", access.Viewer, url.Values{"plate": {"77"}, "before.plate": {"11-222-30"}, "version": {"1"}}, 403, ""},
		{"a formula", list + "/new", access.Owner, with("twice", "7"), 303, ""},
	} {
		if test.name == "a formula" {
			test.form.Set("plate", "88")
		}
		form := maps.Clone(test.form) // each reader has a token of his own
		status, page, _ := d.reader(t, test.role).ask(http.MethodPost, test.path, form)
		if status != test.status || !strings.Contains(page, test.wants) {
			t.Errorf("%s: %d, want %d\n%s", test.name, status, test.status, page)
		}
	}
	made := must[record.Page](t)(d.book.List(d.system, record.Query{Entity: "vehicles.asset", Sort: "plate", Limit: 200}))
	var r record.Record
	for _, one := range made.Records {
		if one.Text("plate") == "55-555-55" {
			r = one
		}
	}
	axles, _ := r.Number("axles")
	price, _ := r.Amount("price")
	if r.Link("customer") != d.cohen.ID || axles != 2.5 || price.String() != "99.90 ILS" || len(r.Texts("extras")) != 2 || len(r.Texts("drivers")) != 1 || r.YesNo("insured") ||
		r.Time("seen").UTC().Format("15:04") != "08:30" || r.Text("note") != "two\nlines" || r.Text("state") != "broken" {
		t.Errorf("the form made %v", r.Fields())
	}
	// Somebody else saves while the form is open: what he did to other fields stays, what he did to the same one is shown.
	path := list + "/" + r.ID.String() + "/edit"
	r = must[record.Record](t)(d.book.Change(d.system, "vehicles.asset", r.ID, r.Version(), record.Values{"axles": 4.0, "state": "ready"}))
	form := url.Values{"version": {"1"}, "plate": {"55-555-56"}, "before.plate": {"55-555-55"}, "state": {"broken"}, "before.state": {"broken"}, "axles": {"2.5"}, "before.axles": {"2.5"},
		"customer": {"משה כהן"}, "before.customer": {"משה כהן"}}
	if status, page, _ := owner.ask(http.MethodPost, path, form); status != 303 {
		t.Errorf("another field: %d\n%s", status, page)
	}
	r = must[record.Record](t)(d.book.Get(d.system, "vehicles.asset", r.ID))
	if axles, _ = r.Number("axles"); axles != 4 || r.Text("plate") != "55-555-56" || r.Text("state") != "ready" || r.Link("customer") != d.cohen.ID {
		t.Errorf("after both it is %v", r.Fields())
	}
	form.Set("axles", "6")
	form.Set("plate", "55-555-56")
	form.Set("before.plate", "55-555-56")
	if status, page, _ := owner.ask(http.MethodPost, path, form); status != 409 || !strings.Contains(page, "Somebody else changed this") || !strings.Contains(page, "<bdi>4</bdi>") || !strings.Contains(page, `value="6"`) {
		t.Errorf("the same field: %d\n%s", status, page)
	}
	form = url.Values{"version": {"1"}, "extras": nil, "before.extras": {"crane, tail lift"}, "insured": {"yes"}, "before.insured": {"no"}}
	if status, page, _ := owner.ask(http.MethodPost, path, form); status != 303 {
		t.Errorf("emptied: %d\n%s", status, page)
	}
	if r = must[record.Record](t)(d.book.Get(d.system, "vehicles.asset", r.ID)); r.Has("extras") || !r.YesNo("insured") {
		t.Errorf("emptied it is %v", r.Fields())
	}
}

// TestFieldsOfCustomersByOthers: what a plugin adds to customers stands on their card and in their form.
func TestFieldsOfCustomersByOthers(t *testing.T) {
	d := aDay(newOffice(t))
	owner := d.reader(t, access.Owner)
	scan := d.keep("scan.txt", "text/plain", "the scan")
	d.customer(record.Values{"name": "Other"})
	if page := owner.get("/contacts/new"); !strings.Contains(page, "Permit") || !strings.Contains(page, `name="vehicles_limit"`) || !strings.Contains(page, `value="5"`) || strings.Contains(page, `name="vehicles_scan"`) {
		t.Errorf("the form of a new customer:\n%s", page)
	}
	for wrong, status := range map[string]int{"many": 422, "7.5": 303} {
		got, page, _ := owner.ask(http.MethodPost, "/contacts/new", url.Values{"name": {"Permitted"}, "vehicles_permit": {"P-77"}, "vehicles_limit": {wrong}, "_key": {wrong}})
		if got != status || status == 422 && !strings.Contains(page, "wrong-vehicles_limit") {
			t.Errorf("a limit of %s: %d\n%s", wrong, got, page)
		}
	}
	found := must[record.Page](t)(d.book.List(d.system, record.Query{Entity: "contact", Sort: "-"})).Records[0]
	path := "/contacts/" + found.ID.String()
	found = must[record.Record](t)(d.book.Change(d.system, "contact", found.ID, found.Version(), record.Values{
		"vehicles_scan": schema.Attachment{Blob: scan.Blob, Name: scan.Name, Size: scan.Size, Type: scan.Type}}))
	file := "/records/contact/" + found.ID.String() + "/files/vehicles_scan/0"
	if page := owner.get(path); !strings.Contains(page, "Permit") || !strings.Contains(page, "P-77") || !strings.Contains(page, "7.5") || !strings.Contains(page, file) {
		t.Errorf("the card:\n%s", page)
	}
	if page := owner.get(file); page != "the scan" {
		t.Errorf("the file is %q", page)
	}
	if status, page, _ := d.reader(t, access.Agent).ask(http.MethodGet, file, nil); status != 404 || strings.Contains(page, "the scan") {
		t.Errorf("a foreign file: %d", status)
	}
	found = must[record.Record](t)(d.book.Change(d.system, "contact", found.ID, found.Version(), record.Values{"vehicles_permit": "P-88", "city": "Haifa"}))
	form := url.Values{"version": {"1"}, "name": {"Permitted"}, "before.name": {"Permitted"}, "vehicles_permit": {"P-99"}, "before.vehicles_permit": {"P-77"}}
	if status, page, _ := owner.ask(http.MethodPost, path+"/edit", form); status != 409 || !strings.Contains(page, "P-88") || !strings.Contains(page, `value="P-99"`) || !strings.Contains(page, ">Permit") {
		t.Errorf("the same field: %d\n%s", status, page)
	}
	form.Set("before.vehicles_permit", "P-88")
	if status, page, _ := owner.ask(http.MethodPost, path+"/edit", form); status != 303 {
		t.Errorf("saved again: %d\n%s", status, page)
	}
	if now := must[record.Record](t)(d.book.Get(d.system, "contact", found.ID)); now.Text("vehicles_permit") != "P-99" || now.Text("city") != "Haifa" {
		t.Errorf("after it the customer is %v", now.Fields())
	}
}

// Every generic page, in each direction, light and dark, wide and on a phone.
func TestRecordPagesAreSound(t *testing.T) {
	d := aDay(newOffice(t))
	lorry := yard(d)
	b := frametest.Open(t)
	for _, look := range []struct {
		lang, scheme  string
		width, height int64
		name          string
	}{
		{"he", "light", 1280, 860, "he-1280-light"}, {"en", "dark", 1280, 860, "en-1280-dark"}, {"he", "dark", 360, 740, "he-360-dark"}, {"ru", "light", 900, 800, "ru-900-light"},
	} {
		t.Run(look.name, func(t *testing.T) {
			p := b.Page(look.width, look.height, look.scheme)
			d.signIn(p, access.Owner, look.lang)
			for _, page := range []struct{ name, path string }{
				{"records", "/records/vehicles.asset"}, {"records-narrowed", "/records/vehicles.asset?filter=888"}, {"records-wrong", "/records/vehicles.asset?filter=a+%3D"},
				{"record", "/records/vehicles.asset/" + lorry.ID.String()}, {"record-edit", "/records/vehicles.asset/" + lorry.ID.String() + "/edit"},
				{"record-new", "/records/vehicles.order/new?asset=" + lorry.ID.String()}, {"card-linked", "/contacts/" + d.cohen.ID.String()},
			} {
				p.Go(d.url + page.path)
				p.See("h1")
				p.Sound(page.name + " " + look.name)
				p.Shot(page.name + "-" + look.name)
			}
		})
	}
	p := b.Page(1280, 860, "light")
	d.signIn(p, access.Owner, "en")
	p.Go(d.url + "/records/vehicles.asset/new")
	p.Type("#plate", "\r")
	p.See("#wrong-plate")
	p.Type("#plate", "12-345-67\r")
	p.Until(`document.querySelector("h1").textContent.includes("12-345-67")`)
}

func TestAButtonOfAListWorksOnWhatIsTicked(t *testing.T) {
	d := aDay(newOffice(t))
	lorry := yard(d)
	owner := d.reader(t, access.Owner)
	ref := "vehicles.asset " + lorry.ID.String()
	page := owner.get("/records/vehicles.asset")
	for _, want := range []string{`form="acts"`, `value="` + ref + `"`, `name="_act" value="` + workshopID + ` wash"`, "With those that are ticked"} {
		if !strings.Contains(page, want) {
			t.Errorf("the list lacks %s\n%s", want, page)
		}
	}
	form := url.Values{"_act": {workshopID + " wash"}, "_record": {ref}, "_next": {"/records/vehicles.asset"}}
	if status, _, head := owner.ask(http.MethodPost, "/actions", form); status != http.StatusSeeOther || head.Get("Location") != "/records/vehicles.asset" {
		t.Errorf("%d to %s", status, head.Get("Location"))
	}
	if p := d.workshop.pressed; len(p) != 1 || p[0].Action != "wash" || len(p[0].Records) != 1 || p[0].Records[0].ID != lorry.ID {
		t.Errorf("pressed %+v", p)
	}
}
