package deal

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/schema"
)

// asker makes a lead as the owner of the office.
func (o *office) asker(values record.Values) Lead {
	o.t.Helper()
	l, err := o.CreateLead(as(o.t, access.Owner), "", values)
	must(o.t, err)
	return l
}

func TestALeadGoesItsWay(t *testing.T) {
	o, owner := open(t), as(t, access.Owner)
	l := o.asker(record.Values{"phone": "050-1234567", "source": "website", "value": "100"})
	if l.Title() != "050-1234567" || l.State != LeadNew || l.Owner != "owner" || l.Stage != o.stages["lead New"].ID || l.Value.Minor != 10000 {
		t.Errorf("a new lead: %+v", l)
	}
	for _, step := range []struct {
		stage, state string
		closed       bool
	}{{"In progress", LeadWorking, false}, {"Not suitable", LeadDisqualified, true}, {"New", LeadNew, false}, {"Qualified", LeadQualified, true}} {
		before := o.last()
		o.at = o.at.Add(time.Hour)
		var err error
		l, err = o.MoveLead(owner, l.ID, l.Version, o.stages["lead "+step.stage].ID, "no money")
		must(t, err)
		if l.State != step.state || l.ClosedAt.IsZero() == step.closed || (l.LostReason != "") != (step.state == LeadDisqualified) || !l.StageSince.Equal(o.at) {
			t.Errorf("in %s: %+v", step.stage, l)
		}
		if told := o.told(before); told != "lead.moved" {
			t.Errorf("to %s tells %s", step.stage, told)
		}
	}
	for what, c := range map[string]struct {
		values record.Values
		wrong  string
	}{
		"of nobody":         {record.Values{"company": "Acme"}, "name lead.nameless"},
		"with an address":   {record.Values{"email": "a@example.com"}, ""},
		"among deals":       {record.Values{"name": "x", "stage": o.stages["Quote"].ID}, "stage deal.other-kind"},
		"lost already":      {record.Values{"name": "x", "stage": o.stages["lead Not suitable"].ID}, "stage deal.closed-stage"},
		"qualified already": {record.Values{"name": "x", "state": LeadQualified}, "state field.closed"},
		"a customer":        {record.Values{"name": "x", "contact": o.customer("")}, "contact field.closed"},
		"worth less":        {record.Values{"name": "x", "value": "-5"}, "value deal.negative"},
	} {
		_, err := o.CreateLead(owner, "", c.values)
		wantKey(t, "a lead "+what, err, c.wrong)
	}
	wantKey(t, "taking the name away", second(o.ChangeLead(owner, l.ID, l.Version, record.Values{"phone": nil})), "name lead.nameless")
	wantKey(t, "moving past Move", second(o.ChangeLead(owner, l.ID, l.Version, record.Values{"stage": o.stages["lead New"].ID})), "stage deal.move")
}

func TestALeadBecomesACustomer(t *testing.T) {
	o, owner := open(t), as(t, access.Owner)
	l := o.asker(record.Values{"name": "Дина Коэн", "company": "Acme", "phone": "050-1234567", "email": "dina@example.com", "note": "wants a boiler",
		"value": "900 USD", "source": "referral", "owner": "dana"})
	before := o.last()
	done, err := o.Convert(owner, l.ID, l.Version, Conversion{Title: " Boiler "})
	must(t, err)
	if done.State != LeadQualified || done.Stage != o.stages["lead Qualified"].ID || !done.ClosedAt.Equal(o.at) || done.ContactName != "Дина Коэн" {
		t.Errorf("the lead: %+v", done)
	}
	who, err := o.people.Get(as(t, access.Agent, "dana"), done.Contact)
	must(t, err)
	if who.Name != "Дина Коэн" || who.Company != "Acme" || who.Phones[0] != "050-1234567" || who.Emails[0] != "dina@example.com" || who.Note != "wants a boiler" || who.Kind != "person" {
		t.Errorf("the customer: %+v", who)
	}
	d, err := o.Get(as(t, access.Agent, "dana"), done.Deal)
	must(t, err)
	if d.Title != "Boiler" || d.Contact != who.ID || d.Owner != "dana" || d.Stage != o.stages["New enquiry"].ID || d.Source != "referral" ||
		d.Value != (schema.Amount{Minor: 90000, Currency: "USD"}) || d.Note != "wants a boiler" {
		t.Errorf("the deal: %+v", d)
	}
	if told := o.told(before); told != "contact.created deal.created lead.converted" {
		t.Errorf("told %s", told)
	}
	wantKey(t, "converting twice", second(o.Convert(owner, l.ID, done.Version, Conversion{})), "lead.converted")
	wantKey(t, "moving a customer", second(o.MoveLead(owner, l.ID, done.Version, o.stages["lead New"].ID, "")), "lead.converted")
	entries, _, err := o.people.Timeline(owner, who.ID, "", 20)
	must(t, err)
	var kinds []string
	for _, e := range entries {
		if e.Record.Exists() {
			kinds = append(kinds, e.Record.Entity())
		} else {
			kinds = append(kinds, e.Fact.Name)
		}
	}
	for _, kind := range []string{Leads, Deals, "contact.created"} {
		if !strings.Contains(strings.Join(kinds, " "), kind) {
			t.Errorf("the timeline lacks the %s: %v", kind, kinds)
		}
	}
}

func TestWhomALeadBecomes(t *testing.T) {
	o, owner := open(t), as(t, access.Owner)
	known, err := o.people.Create(owner, record.Values{"name": "Known", "phones": []string{"+972 50 123 4567"}, "owner": "dana"})
	must(t, err)
	for _, c := range []struct {
		what   string
		role   access.Role
		who    string
		lead   record.Values
		choose Conversion
		known  bool
		wrong  string
	}{
		{"known by his phone", access.Agent, "dana", record.Values{"phone": "050-1234567"}, Conversion{}, true, ""},
		{"known, but another's", access.Agent, "yossi", record.Values{"phone": "050-1234567"}, Conversion{}, false, ""},
		{"not known", access.Agent, "dana", record.Values{"phone": "050-7654321"}, Conversion{}, false, ""},
		{"chosen", access.Agent, "dana", record.Values{"phone": "050-7654322"}, Conversion{Contact: known.ID}, true, ""},
		{"chosen, but another's", access.Agent, "yossi", record.Values{"phone": "050-7654323"}, Conversion{Contact: known.ID}, false, "contact field.link"},
		{"without a deal", access.Manager, "", record.Values{"name": "Only"}, Conversion{NoDeal: true}, false, ""},
		{"a company", access.Manager, "", record.Values{"email": "office@acme.example", "company": "Acme"}, Conversion{}, false, ""},
		{"into a pipeline of leads", access.Manager, "", record.Values{"name": "x"}, Conversion{Pipeline: o.stages["lead New"].Pipeline}, false, "stage deal.no-stage"},
	} {
		if c.who == "" {
			c.who = "m"
		}
		c.lead["owner"] = c.who
		l := o.asker(c.lead)
		people, _, err := o.people.Count(owner)
		must(t, err)
		done, err := o.Convert(as(t, c.role, c.who), l.ID, l.Version, c.choose)
		wantKey(t, c.what, err, c.wrong)
		after, _, err2 := o.people.Count(owner)
		must(t, err2)
		if made := after - people; err == nil && ((done.Contact == known.ID) != c.known || made == 1 == c.known || done.Deal.Zero() != c.choose.NoDeal) || err != nil && made != 0 {
			t.Errorf("%s: %+v, %d new customers", c.what, done, made)
		}
		if c.what == "a company" {
			if who, err := o.people.Get(owner, done.Contact); err != nil || who.Kind != "company" || who.Name != "Acme" {
				t.Errorf("a company: %+v, %v", who, err)
			}
		}
	}
	o.told(0)
}

// TestTwoConvertOneLead makes one customer and one deal, however many press the button.
func TestTwoConvertOneLead(t *testing.T) {
	o, owner := open(t), as(t, access.Owner)
	l := o.asker(record.Values{"name": "x"})
	errs := make([]error, 4)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = second(o.Convert(owner, l.ID, l.Version, Conversion{})) })
	}
	wg.Wait()
	good := 0
	for _, err := range errs {
		if err == nil {
			good++
		} else if fault.KindOf(err) != fault.Conflict {
			t.Error(err)
		}
	}
	people, _, err := o.people.Count(owner)
	must(t, err)
	deals, _, err := o.book.Count(owner, record.Query{Entity: Deals})
	must(t, err)
	if good != 1 || people != 1 || deals != 1 {
		t.Errorf("%d conversions, %d customers, %d deals", good, people, deals)
	}
}

// TestConversionShowsNothing converts a lead as somebody from whom its note and its value are hidden.
func TestConversionShowsNothing(t *testing.T) {
	o := open(t)
	o.role("blind", nil, access.FieldRule{Entity: Leads, Field: "note", Right: access.Hide}, access.FieldRule{Entity: Leads, Field: "value", Right: access.Hide})
	l := o.asker(record.Values{"name": "x", "note": "secret", "value": "5"})
	done, err := o.Convert(as(t, "blind"), l.ID, l.Version, Conversion{})
	must(t, err)
	d, err := o.Get(as(t, access.Owner), done.Deal)
	must(t, err)
	who, err := o.people.Get(as(t, access.Owner), done.Contact)
	must(t, err)
	if done.Note != "" || d.Note != "" || who.Note != "" || d.Value != (schema.Amount{}) {
		t.Errorf("lead %+v, deal %+v, customer %+v", done, d, who)
	}
	if kept, err := o.GetLead(as(t, access.Owner), l.ID); err != nil || kept.Note != "secret" || kept.Value.Minor != 500 {
		t.Errorf("the lead lost what was hidden: %+v, %v", kept, err)
	}
}
