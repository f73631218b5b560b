package deal

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

func TestADealGoesItsWay(t *testing.T) {
	o := open(t)
	d := o.make(record.Values{"value": "1200.50", "source": "referral"})
	if want := (schema.Amount{Minor: 120050, Currency: "ILS"}); d.Value != want || d.Owner != "owner" || d.Stage != o.stages["New enquiry"].ID || !d.StageSince.Equal(o.at) {
		t.Errorf("a new deal: %+v", d)
	}
	for _, step := range []struct {
		stage  string
		closed bool
		reason string
		facts  string
	}{
		{"Quote", false, "", "deal.moved"}, {"Quote", false, "", ""}, {"Needs", false, "", "deal.moved"}, {"Won", true, "", "deal.moved deal.won"},
		{"Lost", true, "too dear", "deal.moved deal.lost"}, {"Lost", true, "too dear", ""}, {"Negotiation", false, "", "deal.moved deal.reopened"},
		{"Lost", true, "too dear", "deal.moved deal.lost"}, {"Won", true, "", "deal.moved deal.won"},
	} {
		before, since, from := o.last(), d.StageSince, d.Stage
		o.at = o.at.Add(time.Hour)
		d = o.move(d, step.stage)
		moved := o.stages[step.stage].ID != from
		if d.Stage != o.stages[step.stage].ID || d.ClosedAt.IsZero() == step.closed || d.LostReason != step.reason || d.StageSince.Equal(since) == moved {
			t.Errorf("in %s: %+v", step.stage, d)
		}
		if moved && step.closed && !d.ClosedAt.Equal(o.at) {
			t.Errorf("in %s it was closed at %s", step.stage, d.ClosedAt)
		}
		if facts := o.told(before); facts != step.facts {
			t.Errorf("to %s tells %q, want %q", step.stage, facts, step.facts)
		}
	}
	facts, err := o.facts.After(t.Context(), o.last()-2, 2)
	must(t, err)
	if m, w := facts[0], facts[1]; m.About["from"] != o.stages["Lost"].ID.String() || m.About["to"] != d.Stage.String() || m.About["pipeline"] != d.Pipeline.String() ||
		m.Contact != d.Contact.String() || m.Card || !w.Card || w.Contact != d.Contact.String() || w.ID != d.ID.String() {
		t.Errorf("told %+v and %+v", m, w)
	}
}

// TestRulesOfDeals breaks each of them.
func TestRulesOfDeals(t *testing.T) {
	o, owner := open(t), as(t, access.Owner)
	second2, err := o.book.Create(owner, "pipeline", record.Values{"name": "Second", "order": 9.0})
	must(t, err)
	elsewhere, err := o.book.Create(owner, "stage", record.Values{"pipeline": second2.ID, "name": "Elsewhere"})
	must(t, err)
	customer, sales := o.customer("owner"), o.stages["Quote"].Pipeline
	quote, won := o.stages["Quote"].ID, o.stages["Won"].ID
	for what, c := range map[string]struct {
		values record.Values
		wrong  string
	}{
		"nothing":                           {record.Values{}, "contact field.required"},
		"with no customer":                  {record.Values{"title": "x"}, "contact field.required"},
		"with nobody known":                 {record.Values{"title": "x", "contact": record.NewID()}, "contact field.link"},
		"in a stage":                        {record.Values{"title": "x", "contact": customer, "pipeline": sales, "stage": quote}, ""},
		"in a stage of an unnamed pipeline": {record.Values{"title": "x", "contact": customer, "stage": quote}, "pipeline field.required"},
		"in a stage of another pipeline":    {record.Values{"title": "x", "contact": customer, "pipeline": sales, "stage": elsewhere.ID}, "stage deal.other-pipeline"},
		"among leads":                       {record.Values{"title": "x", "contact": customer, "pipeline": o.stages["lead New"].Pipeline, "stage": o.stages["lead New"].ID}, "stage deal.other-kind"},
		"won already":                       {record.Values{"title": "x", "contact": customer, "pipeline": sales, "stage": won}, "stage deal.closed-stage"},
		"won at a time one says":            {record.Values{"title": "x", "contact": customer, "closed_at": o.at}, "closed_at field.closed"},
		"of less than nothing":              {record.Values{"title": "x", "contact": customer, "value": "-1 ILS"}, "value deal.negative"},
		"of nothing":                        {record.Values{"title": "x", "contact": customer, "value": "0 ILS"}, ""},
		"in a stage that is none":           {record.Values{"title": "x", "contact": customer, "pipeline": sales, "stage": "x"}, "stage field.link"},
		"in a pipeline that is none":        {record.Values{"title": "x", "contact": customer, "pipeline": record.NewID()}, "stage deal.no-stage"},
	} {
		_, err := o.Create(owner, c.values)
		wantKey(t, "a deal "+what, err, c.wrong)
	}
	d := o.make(record.Values{})
	for what, c := range map[string]struct {
		values record.Values
		wrong  string
	}{
		"another stage":            {record.Values{"stage": quote}, "stage deal.move"},
		"a stage elsewhere":        {record.Values{"stage": elsewhere.ID, "pipeline": second2.ID}, "stage deal.move"},
		"another pipeline":         {record.Values{"pipeline": second2.ID}, "stage deal.move"},
		"no stage":                 {record.Values{"stage": nil}, "stage field.required"},
		"the stage where it is":    {record.Values{"stage": d.Stage}, ""},
		"less than nothing for it": {record.Values{"value": "-0.01 USD"}, "value deal.negative"},
	} {
		_, err := o.Change(owner, d.ID, d.Version, c.values)
		wantKey(t, "changing to "+what, err, c.wrong)
	}
	for what, c := range map[string]struct {
		version uint64
		stage   record.ID
		wrong   string
	}{
		"without a version":                   {0, quote, "record.version-missing"},
		"with an old version":                 {99, quote, "record.changed"},
		"with an old version, to where it is": {99, d.Stage, "record.changed"},
		"to no stage":                         {d.Version, record.NewID(), "stage field.link"},
		"to nowhere":                          {d.Version, record.ID{}, "stage field.link"},
		"to another pipeline":                 {d.Version, elsewhere.ID, "stage deal.other-pipeline"},
		"to a pipeline, not to one":           {d.Version, sales, "stage field.link"},
		"among leads":                         {d.Version, o.stages["lead New"].ID, "stage deal.other-pipeline"},
	} {
		_, err := o.Move(owner, d.ID, c.version, c.stage, "")
		wantKey(t, "moving "+what, err, c.wrong)
	}
	o.told(0)
}

// TestTwoMoveOneDeal lets two people take the same deal at once: one of them is told.
func TestTwoMoveOneDeal(t *testing.T) {
	o := open(t)
	d := o.make(record.Values{})
	before := o.last()
	stages, errs := []string{"Quote", "Won", "Lost", "Needs"}, make([]error, 4)
	var wg sync.WaitGroup
	for i, stage := range stages {
		wg.Go(func() {
			_, errs[i] = o.Move(as(t, access.Manager, stage), d.ID, d.Version, o.stages[stage].ID, "")
		})
	}
	wg.Wait()
	moved := ""
	for i, err := range errs {
		switch {
		case err == nil && moved == "":
			moved = stages[i]
		case err == nil:
			t.Errorf("both %s and %s have moved it", moved, stages[i])
		case fault.KindOf(err) != fault.Conflict || fault.Of(err).Params["by"] == "owner":
			t.Errorf("%s is told %v", stages[i], err)
		}
	}
	now, err := o.Get(as(t, access.Owner), d.ID)
	must(t, err)
	if moved == "" || now.Stage != o.stages[moved].ID || now.Version != d.Version+1 {
		t.Errorf("moved to %q, it is %+v", moved, now)
	}
	want := "deal.moved"
	if moved == "Won" || moved == "Lost" {
		want += map[string]string{"Won": " deal.won", "Lost": " deal.lost"}[moved]
	}
	if told := o.told(before); told != want {
		t.Errorf("told %s, want %s", told, want)
	}
}

// TestDoors knocks at every door as each role.
func TestDoors(t *testing.T) {
	o := open(t)
	hers := o.customer("dana")
	kinds := map[string]record.Values{"mine": {"owner": "dana"}, "theirs": {"owner": "yossi"}, "nobodys": {"owner": ""}, "customer": {"owner": "yossi", "contact": hers}}
	quote := o.stages["Quote"].ID
	doors := map[string]func(context.Context, Deal, Lead) error{
		"get": func(ctx context.Context, d Deal, _ Lead) error { return second(o.Get(ctx, d.ID)) },
		"change": func(ctx context.Context, d Deal, _ Lead) error {
			return second(o.Change(ctx, d.ID, 99, record.Values{"title": "x"}))
		},
		"move": func(ctx context.Context, d Deal, _ Lead) error {
			return second(o.Move(ctx, d.ID, d.Version, quote, ""))
		},
		"assign": func(ctx context.Context, d Deal, _ Lead) error {
			now, err := o.Get(as(t, access.Owner), d.ID)
			must(t, err)
			return second(o.Change(ctx, d.ID, now.Version, record.Values{"owner": "eve"}))
		},
		"delete":   func(ctx context.Context, d Deal, _ Lead) error { return o.book.Delete(ctx, Deals, d.ID, 99) },
		"get lead": func(ctx context.Context, _ Deal, l Lead) error { return second(o.GetLead(ctx, l.ID)) },
		"change lead": func(ctx context.Context, _ Deal, l Lead) error {
			return second(o.ChangeLead(ctx, l.ID, 99, record.Values{"name": "x"}))
		},
		"move lead": func(ctx context.Context, _ Deal, l Lead) error {
			return second(o.MoveLead(ctx, l.ID, 99, o.stages["lead Qualified"].ID, ""))
		},
		"convert": func(ctx context.Context, _ Deal, l Lead) error {
			return second(o.Convert(ctx, l.ID, l.Version, Conversion{}))
		},
	}
	all := map[string]string{"get": "", "change": "conflict", "move": "", "assign": "", "delete": "conflict", "get lead": "", "change lead": "conflict", "move lead": "conflict", "convert": ""}
	own, look, none, nobody := map[string]string{}, map[string]string{}, map[string]string{}, map[string]string{}
	for door, kind := range all {
		own[door], look[door], none[door], nobody[door] = kind, "forbidden", "not-found", "unauthenticated"
	}
	own["assign"], own["delete"], look["get"], look["get lead"] = "forbidden", "forbidden", "", ""
	byCustomer := map[string]string{"get": "", "change": "conflict", "move": "", "assign": "forbidden", "delete": "forbidden"}
	for _, c := range []struct {
		role  access.Role
		whose string
		want  map[string]string
	}{
		{access.Agent, "mine", own}, {access.Agent, "customer", byCustomer}, {access.Agent, "theirs", none}, {access.Agent, "nobodys", none},
		{access.Manager, "theirs", all}, {access.Owner, "nobodys", all}, {access.Viewer, "theirs", look}, {access.Plugin, "mine", none}, {"", "mine", nobody},
	} {
		ctx := as(t, c.role, "dana")
		if c.role == "" {
			ctx = t.Context()
		}
		for door, want := range c.want {
			lead, err := o.CreateLead(as(t, access.Owner), "", record.Values{"name": "L", "owner": kinds[c.whose]["owner"]})
			must(t, err)
			values := record.Values{}
			for name, v := range kinds[c.whose] {
				values[name] = v
			}
			wantKind(t, string(c.role)+" "+c.whose+" "+door, doors[door](ctx, o.make(values), lead), want)
		}
	}
	wantKind(t, "a viewer makes a deal", second(o.Create(as(t, access.Viewer), record.Values{"title": "x", "contact": hers})), "forbidden")
	wantKind(t, "an agent makes one with another's customer", second(o.Create(as(t, access.Agent, "yossi"), record.Values{"title": "x", "contact": hers})), "invalid")
	o.told(0)
}

// TestRolesWithLess moves deals as roles that may not write the stage, or may see only some of them.
func TestRolesWithLess(t *testing.T) {
	o := open(t)
	o.role("looker", nil, access.FieldRule{Entity: Deals, Field: "stage", Right: access.ReadOnly})
	o.role("small", []access.Grant{{Entity: Deals, Verb: access.See, Scope: access.All, Where: "closed_at is empty"}})
	d := o.make(record.Values{})
	wantKey(t, "one who may not write the stage", second(o.Move(as(t, "looker"), d.ID, d.Version, o.stages["Quote"].ID, "")), "stage field.read-only")
	wantKey(t, "one who sees open deals closes one", second(o.Move(as(t, "small"), d.ID, d.Version, o.stages["Won"].ID, "")), "access.not-yours")
	moved, err := o.Move(as(t, "small"), d.ID, d.Version, o.stages["Quote"].ID, "")
	must(t, err)
	if moved.Stage != o.stages["Quote"].ID {
		t.Errorf("%+v", moved)
	}
}

func TestOfACustomer(t *testing.T) {
	o := open(t)
	customer, company := o.customer("dana"), o.customer("owner")
	first := o.make(record.Values{"title": "won", "contact": customer, "company": company})
	o.move(first, "Won")
	o.make(record.Values{"title": "open", "contact": customer})
	o.make(record.Values{"title": "newer", "contact": company, "company": company})
	for _, c := range []struct {
		who  string
		id   record.ID
		want []string
	}{{"dana", customer, []string{"open", "won"}}, {"dana", company, []string{"won"}}, {"eve", customer, nil}} {
		deals, err := o.Of(as(t, access.Agent, c.who), c.id, 0)
		must(t, err)
		var titles []string
		for _, d := range deals {
			titles = append(titles, d.Title)
		}
		wantList(t, c.who, titles, c.want...)
	}
	of, err := o.Of(as(t, access.Owner), company, 0)
	must(t, err)
	if len(of) != 2 || of[0].Title != "newer" || of[1].ContactName != "Customer of dana" || of[1].CompanyName != "Customer of owner" {
		t.Errorf("%+v", of)
	}
	if of, err = o.Of(as(t, access.Owner), company, 1); err != nil || len(of) != 1 {
		t.Errorf("%d deals, %v", len(of), err)
	}
	f, err := o.book.Parse(as(t, access.Owner), Deals, `company.name = "customer of OWNER" and stage.kind = "open"`)
	if err != nil {
		t.Fatalf("%+v", fault.Of(err).Fields)
	}
	page, err := o.book.List(as(t, access.Owner), record.Query{Entity: Deals, Filter: f})
	must(t, err)
	if len(page.Records) != 1 || page.Records[0].Text("title") != "newer" {
		t.Errorf("through links %d deals are found", len(page.Records))
	}
}

// TestTheTimelineTellsOfDeals shows that a deal was won to those who may see the deal, and to nobody else.
func TestTheTimelineTellsOfDeals(t *testing.T) {
	o := open(t)
	o.role("support", []access.Grant{{Entity: Deals, Verb: access.See, Scope: access.None}})
	d := o.move(o.make(record.Values{}), "Won")
	for role, want := range map[access.Role]bool{access.Owner: true, access.Viewer: true, "support": false} {
		entries, _, err := o.people.Timeline(as(t, role), d.Contact, "", 20)
		must(t, err)
		told, made := false, false
		for _, e := range entries {
			told = told || e.Fact.Name == "deal.won"
			made = made || e.Record.Exists() && e.Record.Entity() == Deals
		}
		if told != want || made != want || len(entries) == 0 {
			t.Errorf("%s: the deal %v, that it was won %v", role, made, told)
		}
	}
}

// TestWhereWhatIsMadeAnywhereBegins: a deal or a lead that is made through the door of all records, as programs and
// imports do, begins in the first stage as those of the room do; and what its maker names is his own to answer for.
func TestWhereWhatIsMadeAnywhereBegins(t *testing.T) {
	o := open(t)
	owner := as(t, access.Owner)
	dana, err := o.people.Create(owner, record.Values{"name": "Dana"})
	must(t, err)
	o.role("looker", nil, access.FieldRule{Entity: Deals, Field: "stage", Right: access.ReadOnly},
		access.FieldRule{Entity: Deals, Field: "pipeline", Right: access.ReadOnly})
	first := o.stages["New enquiry"]
	for _, c := range []struct {
		about  string
		as     access.Role
		entity string
		values record.Values
		stage  record.ID // zero where it is refused
		key    string
	}{
		{"a deal", access.Owner, Deals, record.Values{"title": "x", "contact": dana.ID}, first.ID, ""},
		{"a deal of a pipeline", access.Owner, Deals, record.Values{"title": "x", "contact": dana.ID, "pipeline": first.Pipeline.String()}, first.ID, ""},
		{"a deal in a stage", access.Owner, Deals, record.Values{"title": "x", "contact": dana.ID, "pipeline": first.Pipeline, "stage": o.stages["Quote"].ID}, o.stages["Quote"].ID, ""},
		{"a lead", access.Owner, Leads, record.Values{"name": "x"}, o.stages["lead New"].ID, ""},
		{"a deal of who may not choose", "looker", Deals, record.Values{"title": "x", "contact": dana.ID}, first.ID, ""},
		{"a stage of who may not choose", "looker", Deals, record.Values{"title": "x", "contact": dana.ID, "pipeline": first.Pipeline, "stage": first.ID}, record.ID{}, "pipeline field.read-only"},
		{"a pipeline of who may not choose", "looker", Deals, record.Values{"title": "x", "contact": dana.ID, "pipeline": first.Pipeline}, record.ID{}, "pipeline field.read-only"},
		{"a pipeline that is none", access.Owner, Deals, record.Values{"title": "x", "contact": dana.ID, "pipeline": "none"}, record.ID{}, "pipeline field.link"},
		{"a pipeline of leads", access.Owner, Deals, record.Values{"title": "x", "contact": dana.ID, "pipeline": o.stages["lead New"].Pipeline}, record.ID{}, "stage deal.no-stage"},
		{"a deal of nobody", access.Owner, Deals, record.Values{"title": "x"}, record.ID{}, "contact field.required"},
		{"a deal by who may not", access.Viewer, Deals, record.Values{"title": "x", "contact": dana.ID}, record.ID{}, "access.forbidden"},
	} {
		r, err := o.book.Create(as(t, c.as), c.entity, c.values)
		wantKey(t, c.about, err, c.key)
		if got := r.Link("stage"); err == nil && got != c.stage {
			t.Errorf("%s begins in %s, want %s", c.about, got, c.stage)
		}
	}
}
