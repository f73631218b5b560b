package transfer

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
	"github.com/karov-crm/karov/appliance/staff"
)

// car is an office's own kind of record, with a field of each type that a file may fill.
func car() schema.Entity {
	return schema.Entity{Name: "car", Title: "plate", Owner: "owner", Contact: "customer", Fields: []schema.Field{
		{Number: 16, Name: "plate", Type: schema.Text, Required: true, Indexed: true, Unique: true, Labels: map[string]string{"he": "מספר רישוי"}},
		{Number: 17, Name: "owner", Type: schema.Staff, Indexed: true},
		{Number: 18, Name: "customer", Type: schema.Link, Target: "contact", Indexed: true},
		{Number: 19, Name: "color", Type: schema.Choice, Choices: []string{"red", "blue"},
			ChoiceLabels: map[string]map[string]string{"red": {"he": "אדום", "ru": "Красный"}}},
		{Number: 20, Name: "extras", Type: schema.Text, Many: true},
		{Number: 21, Name: "price", Type: schema.Money, Currency: "ILS"},
		{Number: 22, Name: "seats", Type: schema.Number},
		{Number: 23, Name: "sold", Type: schema.YesNo},
		{Number: 24, Name: "bought", Type: schema.Date},
		{Number: 25, Name: "service_at", Type: schema.Time},
		{Number: 26, Name: "note", Type: schema.LongText},
		{Number: 27, Name: "last_seen", Type: schema.Time, Closed: true},
		{Number: 28, Name: "parts", Type: schema.Link, Target: "car", Many: true},
	}}
}

// carOffice has cars, two customers named alike and one who is not, and a member of staff.
func carOffice(t testing.TB) (*Office, map[string]string) {
	t.Helper()
	o := newOffice(t, car())
	ids := map[string]string{}
	ctx := asAppliance(t.Context())
	a, err := o.Staff.Add(ctx, staff.Draft{Email: "dana@office.example", Name: "Dana", Role: access.Owner, Password: "correct horse"})
	if err != nil {
		t.Fatal(err)
	}
	ids["dana"] = a.ID
	for _, name := range []string{"Twin", "Twin", "Noa Levi"} {
		c, err := o.Contacts.Create(ctx, record.Values{"name": name})
		if err != nil {
			t.Fatal(err)
		}
		ids[name] = c.ID.String()
	}
	return o, ids
}

func importCars(t testing.TB, o *Office, text string) (Result, error) {
	t.Helper()
	e := o.Book.Schema().Entity("car")
	return Import(asAppliance(t.Context()), strings.NewReader(text), Options{Name: "cars", Entity: e}, o.Records(e))
}

func cars(t testing.TB, o *Office) map[string]record.Record {
	t.Helper()
	page, err := o.Book.List(asAppliance(t.Context()), record.Query{Entity: "car", Limit: 200})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]record.Record{}
	for _, r := range page.Records {
		found[r.Text("plate")] = r
	}
	return found
}

// TestRecordsFromCSV: cells become what their fields hold; each wrong one is named with its line and field.
func TestRecordsFromCSV(t *testing.T) {
	o, ids := carOffice(t)
	text := "מספר רישוי;Owner;customer;COLOR;extras;Price;seats;sold;bought;service at;created_at;last_seen;odd\n" +
		"12-345-67;dana@office.example;Noa Levi;אדום;radio; roof;1 234,50;5;כן;31.12.2020;1.2.2026 17:30;whenever;never;x\n"
	text = strings.Replace(text, "radio; roof", `"radio; roof"`, 1)
	res, err := importCars(t, o, text)
	if err != nil || res.Created != 1 || !slices.Equal(res.Unmapped(), []string{"odd"}) {
		t.Fatalf("%+v, %v", res, err)
	}
	r := cars(t, o)["12-345-67"]
	price, _ := r.Amount("price")
	seats, _ := r.Number("seats")
	got := fmt.Sprintln(r.Text("owner") == ids["dana"], r.Link("customer").String() == ids["Noa Levi"], r.Text("color"), r.Texts("extras"), price, seats,
		r.YesNo("sold"), r.Text("bought"), r.Time("service_at").Format(time.RFC3339), r.Has("last_seen"))
	if want := "true true red [radio roof] 1234.50 ILS 5 true 2020-12-31 2026-02-01T17:30:00Z false\n"; got != want {
		t.Errorf("the car is %s, want %s", got, want)
	}
	again, err := importCars(t, o, text)
	if err != nil || again.Unchanged != 1 || len(cars(t, o)) != 1 {
		t.Errorf("the same again: %+v, %v", again, err)
	}
	bad := "plate,owner,customer,color,price,seats,sold,bought,service_at,parts\n" +
		"A,nobody@office.example,,,,,,,,\nB,,Twin,,,,,,,\nC,,Nobody,,,,,,,\nD,,,green,,,,,,\nE,,,,1.234 ILS,,,,,\nF,,,,5 QQQ,,,,,\nG,,,,,five,,,,\n" +
		"H,,,,,,perhaps,,,\nI,,,,,,,31.31.2020,,\nJ,,,,,,,,tomorrow,\n12-345-67,,,,,9,,,,\n,,,red,,,,,,\nK,,,,,1e999,,,,\nL,,,,,,,,,12-345-67;A\nM,,,BLUE,,,,,,12-345-67\n"
	res, err = importCars(t, o, bad)
	if err != nil || res.Created != 1 {
		t.Fatalf("%+v, %v", res, err)
	}
	want := []string{"2 owner transfer.owner", "3 customer transfer.link-ambiguous", "4 customer transfer.link", "5 color transfer.choice",
		"6 price amount.digits", "7 price amount.currency", "8 seats transfer.number", "9 sold transfer.yes-no", "10 bought transfer.birthday",
		"11 service_at transfer.moment", "12 plate field.taken", "13 plate field.required", "14 seats transfer.number", "15 parts transfer.link"}
	if got := keys(res); !slices.Equal(got, want) {
		t.Errorf("rejects\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestRecordsFromJSON reads lists and lines of objects, and says where one is wrong.
func TestRecordsFromJSON(t *testing.T) {
	o, ids := carOffice(t)
	res, err := importCars(t, o, "\ufeff[\n{\"plate\":\"A\",\"seats\":4,\"extras\":[\"x;y\",\"z\"],\"price\":{\"amount\":\"5.10\",\"currency\":\"USD\"},\"customer\":\"Noa Levi\",\"owner\":\"dana@office.example\"},\n"+
		"{\"plate\":\"B\",\"seats\":\"many\"},\n{\"plate\":\"C\",\n\"odd\":1},\n7,\n{\"plate\":\"D\",\"color\":\"אדום\",\"sold\":true,\"created_at\":\"x\"}\n]\n")
	if err != nil || res.Created != 2 {
		t.Fatalf("%+v, %v", res, err)
	}
	if got := keys(res); !slices.Equal(got, []string{"3 seats field.number", "4 odd field.unknown", "6  transfer.object"}) {
		t.Errorf("rejects %q", got)
	}
	found := cars(t, o)
	if a := found["A"]; !slices.Equal(a.Texts("extras"), []string{"x;y", "z"}) || a.Link("customer").String() != ids["Noa Levi"] || a.Text("owner") != ids["dana"] {
		t.Errorf("A is %v", a.Fields())
	}
	if d := found["D"]; d.Text("color") != "red" || !d.YesNo("sold") {
		t.Errorf("D is %v", d.Fields())
	}
	lines, err := importCars(t, o, "{\"plate\":\"E\"}\n{\"plate\":\"F\"}\n")
	if err != nil || lines.Created != 2 {
		t.Errorf("%+v, %v", lines, err)
	}
	for text, line := range map[string]string{"{\"plate\":\"G\"}\n{\"plate\":": "2", "[{\"plate\":\"H\"},\n\n{]": "3"} {
		if _, err := importCars(t, o, text); fault.Of(err).Key != "transfer.json" || fault.Of(err).Params["line"] != line {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := importCars(t, o, `[{"plate":"`+strings.Repeat("x", 20*maxRow)+`"}]`); fault.Of(err).Key != "transfer.json" {
		t.Errorf("an object of 20 MB: %v", err)
	}
}

// TestExportComesBack: what was taken out as CSV or JSON changes nothing when it is imported, changes what was changed in
// it, and makes the same records in an empty office.
func TestExportComesBack(t *testing.T) {
	o, ids := carOffice(t)
	ctx := asAppliance(t.Context())
	for i, plate := range []string{"=1+1", "'quoted", "0501", "-5", "b;c", "[x]", "\"q\"", "כהן, דנה"} {
		values := record.Values{"plate": plate, "seats": float64(-i), "price": "-12.30 USD", "sold": i%2 == 0, "bought": "2020-02-29",
			"extras": []string{"a;b", "c\nd", "[e"}, "note": "two\nlines, \"quoted\"", "customer": ids["Noa Levi"], "owner": ids["dana"], "service_at": "2026-11-22T09:30:00Z"}
		if _, err := o.Book.Create(ctx, "car", values); err != nil {
			t.Fatal(err)
		}
	}
	for _, format := range []string{CSV, JSON} {
		out := exportOf(t, o, Order{Entity: "car", Format: format, Mark: true})
		res, err := importCars(t, o, out)
		if err != nil || res.Unchanged != 8 || res.Rows != 8 {
			t.Errorf("%s came back as %+v, %v", format, res, err)
		}
		changed, err := importCars(t, o, strings.Replace(out, "lines", "rows of "+format, 1))
		if err != nil || changed.Updated != 1 || changed.Unchanged != 7 {
			t.Errorf("%s changed: %+v, %v", format, changed, err)
		}
		fresh := newOffice(t, car())
		e := fresh.Book.Schema().Entity("car")
		fields := []string{"id", "plate", "seats", "price", "sold", "bought", "extras", "note", "service_at"}
		out = exportOf(t, o, Order{Entity: "car", Format: format, Fields: fields})
		res, err = Import(ctx, strings.NewReader(out), Options{Entity: e}, fresh.Records(e))
		if err != nil || res.Created != 8 {
			t.Fatalf("%s in an empty office: %+v, %v", format, res, err)
		}
		if again := exportOf(t, fresh, Order{Entity: "car", Format: format, Fields: fields}); again != out {
			t.Errorf("%s came out as\n%s\nwent in as\n%s", format, again, out)
		}
	}
}

func exportOf(t testing.TB, o *Office, order Order) string {
	t.Helper()
	x, err := o.Prepare(asAppliance(t.Context()), order)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := x.Write(asAppliance(t.Context()), &b, nil); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestInterruptedImport: what ended in the middle goes on from there, without doubles.
func TestInterruptedImport(t *testing.T) {
	o, _ := carOffice(t)
	var text strings.Builder
	text.WriteString("plate,seats\n")
	for i := range 50 {
		fmt.Fprintf(&text, "P%d,%d\n", i, i)
	}
	e := o.Book.Schema().Entity("car")
	ctx, cancel := context.WithCancel(asAppliance(t.Context()))
	defer cancel()
	res, err := Import(ctx, strings.NewReader(text.String()), Options{Entity: e, Batch: 7, Progress: func(p Progress) {
		if p.Rows == 21 {
			cancel()
		}
	}}, o.Records(e))
	if err == nil || res.Created != 21 {
		t.Fatalf("%+v, %v", res, err)
	}
	res, err = importCars(t, o, text.String())
	if err != nil || res.Created != 29 || res.Unchanged != 21 || len(cars(t, o)) != 50 {
		t.Errorf("%+v, %v, %d cars", res, err, len(cars(t, o)))
	}
}

// TestRecordsWithinRights: who may not import is refused, and who may is refused what he could not write himself.
func TestRecordsWithinRights(t *testing.T) {
	o, _ := carOffice(t)
	e := o.Book.Schema().Entity("car")
	for role, want := range map[access.Role]string{access.Viewer: "access.forbidden", access.Agent: "access.forbidden", access.Manager: "access.forbidden", access.Owner: ""} {
		ctx := access.WithActor(t.Context(), access.Actor{ID: "somebody", Role: role})
		_, err := Import(ctx, strings.NewReader("plate\nX-"+string(role)+"\n"), Options{Entity: e}, o.Records(e))
		if got := fault.Of(err).Key; err == nil && want != "" || err != nil && got != want {
			t.Errorf("%s: %v, want %q", role, err, want)
		}
	}
}

// FuzzEntityCells: whatever stands in a cell becomes a value that its field may be offered, or a fault with a sentence.
func FuzzEntityCells(f *testing.F) {
	for _, seed := range []string{"", "5", "1 234,50", "1,234.50 ILS", "yes", "כן", "31.12.2020", "--02-29", "[\"a\",1]", "[", "a;b", "{\"blob\":1}", "2026-11-22T09:30:00Z", "1e999", "\x00", "NaN", "'=1"} {
		f.Add(seed)
	}
	e := car()
	s, err := schema.New(schema.Entity{Name: "contact", Title: "name", Fields: []schema.Field{{Number: 16, Name: "name", Type: schema.Text, Indexed: true}}}, e)
	if err != nil {
		f.Fatal(err)
	}
	u := &understander{entity: s.Entity("car"), zone: time.UTC}
	for i := range u.entity.Fields {
		u.columns = append(u.columns, Column{Header: u.entity.Fields[i].Name, Field: u.entity.Fields[i].Name})
	}
	f.Fuzz(func(t *testing.T, cell string) {
		cells := slices.Repeat([]string{cell}, len(u.columns))
		d, faults, blank := u.values(row{line: 2, cells: cells})
		again, _, _ := u.values(row{line: 3, cells: cells})
		if d.Key != again.Key || d.Key == "" {
			t.Fatalf("keys %q and %q", d.Key, again.Key)
		}
		for _, w := range faults {
			if w.Key == "" || w.Line != 2 || w.Name == "" {
				t.Fatalf("%q: fault %+v", cell, w)
			}
		}
		if blank && (len(faults) > 0 || len(d.Values) > 0) {
			t.Fatalf("%q is blank and %v %v", cell, d.Values, faults)
		}
	})
}
