package plugin

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
)

const whole = `id: il.karov.fieldservice
name: Field service
version: 0.1.0
api: ">=1.1"
binary: main.py
interpreter: python3
data: 2
permissions:
  records:
    - {entity: contact, verbs: [see, change], fields: [name, phones]}
  egress:
    - {to: "maps.example.com:443"}
    - {to: "*.example.com:443,8443", private: true}
    - {to: "${maps.host}:143,993"}
    - {to: "[fd00::1]:25"}
  memory: 128MB
  storage: 1GB
config:
  - {key: maps.host, type: text, label: {he: שרת, en: Server, ru: Сервер}}
  - {key: folder, type: file, default: /srv/maps, label: {he: תיקייה, en: Folder, ru: Папка}}
entities:
  - name: fieldservice.asset
    label: {he: משאית, en: Lorry, ru: Грузовик}
    plural: {he: משאיות, en: Lorries, ru: Грузовики}
    title: plate
    contact: customer
    owner: driver
    timeline: true
    fields:
      - {name: plate, type: text, required: true, unique: true, searched: true, label: {he: לוחית, en: Plate, ru: Номер}}
      - {name: customer, type: link, to: contact, label: {he: לקוח, en: Customer, ru: Клиент}}
      - {name: driver, type: staff, label: {he: נהג, en: Driver, ru: Водитель}}
      - {name: bought, type: date, default: 2026-01-02, label: {he: נקנה, en: Bought, ru: Куплен}}
      - {name: axles, type: number, default: 2, label: {he: סרנים, en: Axles, ru: Оси}}
      - {name: twice, type: formula, formula: axles * 2, label: {he: כפול, en: Twice, ru: Дважды}}
      - {name: whose, type: formula, formula: customer.name, label: {he: של מי, en: Whose, ru: Чей}}
      - {name: price, type: money, currency: ILS, default: "12.50", label: {he: מחיר, en: Price, ru: Цена}}
      - name: state
        type: choice
        many: true
        default: [ready]
        label: {he: מצב, en: State, ru: Состояние}
        choices:
          - {value: ready, label: {he: מוכן, en: Ready, ru: Готов}}
          - {value: broken, label: {he: תקול, en: Broken, ru: Сломан}}
  - name: fieldservice.order
    label: {he: קריאה, en: Order, ru: Заказ}
    plural: {he: קריאות, en: Orders, ru: Заказы}
    title: what
    fields:
      - {name: what, type: text, label: {he: מה, en: What, ru: Что}}
      - {name: asset, type: link, to: fieldservice.asset, indexed: true, label: {he: משאית, en: Lorry, ru: Грузовик}}
fields:
  - {entity: contact, name: fieldservice_credit, type: money, currency: ILS, label: {he: אשראי, en: Credit, ru: Кредит}}
views:
  - {name: assets, place: card, entity: contact, label: {he: משאיות, en: Lorries, ru: Грузовики}}
  - {name: today, place: page, icon: truck, label: {he: היום, en: Today, ru: Сегодня}}
actions:
  - {name: finish, entity: fieldservice.order, on: [card, list], needs: change, label: {he: סיום, en: Finish, ru: Закончить}}
  - {name: plan, label: {he: תכנון, en: Plan, ru: План}}
jobs:
  - {name: visits, schedule: "0 5 * * 1-5", missed: skip, within: 20m, label: {he: ביקורים, en: Visits, ru: Визиты}}
  - {name: later, label: {he: אחר כך, en: Later, ru: Потом}}
hooks:
  before:
    - {entity: fieldservice.order, acts: [create, update], fields: [what], failing: closed, override: administer}
  after: ["contact.*", message.received]
http:
  - {path: /hook/, methods: [POST], public: true, limit: 10MB}
  - {path: /hook, methods: [GET]}
imports:
  - {name: old, entity: fieldservice.asset, files: [.xml], label: {he: ישן, en: Old, ru: Старый}}
`

func TestWholeManifest(t *testing.T) {
	m, err := parseManifest([]byte(whole), "plugin.yaml")
	if err != nil {
		t.Fatalf("%v: %+v", err, fault.Of(err).Fields)
	}
	switch {
	case m.Prefix() != "fieldservice", m.Data != 2, m.Permissions.Memory != 128<<20, m.Permissions.Storage != 1<<30,
		m.Entities[0].Fields[0].Name != "plate", m.Jobs[0].Within != 20*time.Minute, m.HTTP[0].Limit != 10<<20,
		m.Hooks.Before[0].Failing != "closed", len(m.Hooks.After) != 2:
		t.Errorf("read %+v", m)
	}
	if s := m.Permissions.Storage.String() + " " + m.Permissions.Memory.String(); s != "1GB 128MB" {
		t.Errorf("sizes are written %s", s)
	}
}

func TestWrongPartsNameTheField(t *testing.T) {
	tests := []struct{ from, to, field string }{
		{"interpreter: python3", "interpreter: bash", "interpreter"},
		{"verbs: [see, change]", "verbs: [see, reply]", "permissions.records[0].verbs[1]"},
		{"verbs: [see, change]", "verbs: []", "permissions.records[0].verbs"},
		{"verbs: [see, change]", "verbs: [see, see]", "permissions.records[0].verbs[1]"},
		{"fields: [name, phones]", "fields: [Name]", "permissions.records[0].fields[0]"},
		{`"maps.example.com:443"`, `"maps.example.com"`, "permissions.egress[0].to"},
		{`"maps.example.com:443"`, `"maps.example.com:0"`, "permissions.egress[0].to"},
		{`"maps.example.com:443"`, `"maps.example.com:443,443"`, "permissions.egress[0].to"},
		{`"maps.example.com:443"`, `"https://maps.example.com:443"`, "permissions.egress[0].to"},
		{`"maps.example.com:443"`, `"*:443"`, "permissions.egress[0].to"},
		{`"maps.example.com:443"`, `"*.com:443"`, "permissions.egress[0].to"},
		{`"maps.example.com:443"`, `"*.example.com:443,8443"`, "permissions.egress[1].to"},
		{`"${maps.host}:143,993"`, `"${maps.guest}:143"`, "permissions.egress[2].to"},
		{`"[fd00::1]:25"`, `"[fd00::1:25"`, "permissions.egress[3].to"},
		{"memory: 128MB", "memory: 1KB", "permissions.memory"},
		{"storage: 1GB", "storage: 9999GB", "permissions.storage"},
		{"default: /srv/maps", "default: ../maps", "config[1].default"},
		{"default: /srv/maps", "default: /srv/../etc", "config[1].default"},
		{"name: fieldservice.asset", "name: other.asset", "entities[0].name"},
		{"name: fieldservice.asset", "name: fieldservice.", "entities[0].name"},
		{"name: fieldservice.order", "name: fieldservice.asset", "entities[1].name"},
		{"plural: {he: משאיות, en: Lorries, ru: Грузовики}", "plural: {he: משאיות, en: Lorries}", "entities[0].plural.ru"},
		{"en: Lorry, ru", `en: " Lorry", ru`, "entities[0].label.en"},
		{"title: plate", "title: number", "entities[0].title"},
		{"title: plate", "title: axles", "entities[0].title"},
		{"    title: what\n", "", "entities[1].title"},
		{"contact: customer\n", "contact: plate\n", "entities[0].contact"},
		{"to: contact, label", "to: fieldservice.order, label", "entities[0].contact"},
		{"    contact: customer\n", "", "entities[0].contact"},
		{"name: plate", "name: id", "entities[0].fields[0].name"},
		{"name: driver", "name: plate", "entities[0].fields[2].name"},
		{"type: staff", "type: data", "entities[0].fields[2].type"},
		{"default: 2,", "default: two,", "entities[0].fields[4]"},
		{"default: 2026-01-02", "default: 2026-13-02", "entities[0].fields[3]"},
		{`default: "12.50"`, "default: 12.50", "entities[0].fields[7]"},
		{"default: [ready]", "default: [lost]", "entities[0].fields[8]"},
		{"currency: ILS, default", "currency: XYZ1, default", "entities[0].fields[7]"},
		{"formula: axles * 2", "formula: axles *", "entities[0].fields[5].formula"},
		{"type: formula, formula: axles * 2", "type: formula", "entities[0].fields[5]"},
		{"value: broken", "value: ready", "entities[0].fields[8]"},
		{"value: broken", `value: ""`, "entities[0].fields[8].choices[1].value"},
		{"ru: Сломан", "ru: \"\"", "entities[0].fields[8].choices[1].label.ru"},
		{"to: fieldservice.asset", "to: fieldservice.lorry", "entities[1].fields[1].to"},
		{"to: fieldservice.asset, indexed", "indexed", "entities[1].fields[1].to"},
		{"name: fieldservice_credit", "name: credit", "fields[0].name"},
		{"entity: contact, name: f", "entity: fieldservice.asset, name: f", "fields[0].entity"},
		{"type: money, currency: ILS, label", "type: money, required: true, label", "fields[0].required"},
		{"place: card, entity: contact", "place: card", "views[0].entity"},
		{"place: page", "place: cellar", "views[1].place"},
		{"name: today", "name: assets", "views[1].name"},
		{"icon: truck", "icon: ../x", "views[1].icon"},
		{"on: [card, list]", "on: [shelf]", "actions[0].on[0]"},
		{"entity: fieldservice.order, on", "on", "actions[0].entity"},
		{"needs: change", "needs: fly", "actions[0].needs"},
		{"0 5 * * 1-5", "0 25 * * *", "jobs[0].schedule"},
		{"0 5 * * 1-5", "@every 1s", "jobs[0].schedule"},
		{"0 5 * * 1-5", "TZ=0", "jobs[0].schedule"},
		{"0 5 * * 1-5", "TZ=UTC 0 5 * * *", "jobs[0].schedule"},
		{"missed: skip", "missed: never", "jobs[0].missed"},
		{"within: 20m", "within: 2h", "jobs[0].within"},
		{"acts: [create, update]", "acts: [look]", "hooks.before[0].acts[0]"},
		{"failing: closed, ", "", "hooks.before[0].failing"},
		{"override: administer", "override: pray", "hooks.before[0].override"},
		{`"contact.*"`, `"*"`, "hooks.after[0]"},
		{`"contact.*"`, `message.received`, "hooks.after[1]"},
		{"path: /hook/", "path: /../hook", "http[0].path"},
		{"path: /hook/", "path: hook", "http[0].path"},
		{"methods: [POST]", "methods: [CONNECT]", "http[0].methods[0]"},
		{"path: /hook/, methods: [POST]", "path: /hook, methods: [GET]", "http[1].path"},
		{"limit: 10MB", "limit: 1GB", "http[0].limit"},
		{"files: [.xml]", "files: [xml]", "imports[0].files[0]"},
		{"files: [.xml]", "files: []", "imports[0].files"},
		{"id: il.karov.fieldservice", "id: il.karov.9", "id"},
	}
	for _, test := range tests {
		text := strings.Replace(whole, test.from, test.to, 1)
		if text == whole {
			t.Fatalf("the manifest has no %q", test.from)
		}
		_, err := parseManifest([]byte(text), "plugin.yaml")
		f := fault.Of(err)
		if err == nil || !slices.ContainsFunc(f.Fields, func(x fault.Field) bool { return x.Name == test.field }) {
			t.Errorf("%s -> %s: %v %v does not name %s", test.from, test.to, err, f.Params, test.field)
		}
	}
}

func TestSizesThatAreNone(t *testing.T) {
	for _, size := range []string{"-1", "1TB", "1.5GB", "99999999999999999999", "999999999GB", "[1]", "{}", "lots"} {
		if _, err := parseManifest([]byte(strings.Replace(whole, "128MB", size, 1)), "plugin.yaml"); fault.Of(err).Key != "plugin.manifest-malformed" {
			t.Errorf("%s: %v", size, err)
		}
	}
}

func TestTooManyParts(t *testing.T) {
	text := whole[:strings.Index(whole, "views:")] + "views:\n"
	for range maxViews + 1 {
		text += "  - {}\n"
	}
	_, err := parseManifest([]byte(text), "plugin.yaml")
	if f := fault.Of(err); len(f.Fields) != 1 || f.Fields[0].Name != "views" || f.Fields[0].Key != "field.too-many" {
		t.Errorf("the fault is %v", f)
	}
}

func TestSentencesAreInAllLanguages(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "locale"), 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("plugin.yaml", good)
	for _, lang := range Languages() {
		write("locale/"+lang+".yaml", "mail.refused: "+lang+"\n")
	}
	m, err := ReadManifest(dir)
	if err != nil || m.Sentences("ru")["mail.refused"] != "ru" || m.Dir() != dir {
		t.Fatalf("%v, %v", m, err)
	}
	write("locale/ru.yaml", "mail.other: x\n")
	_, err = ReadManifest(dir)
	if f := fault.Of(err); len(f.Fields) != 1 || f.Fields[0].Name != "mail.other" {
		t.Errorf("a sentence that is in one language only: %v", err)
	}
}
