package deal

import (
	"testing"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/record"
)

func TestAnOfficeBeginsInItsLanguage(t *testing.T) {
	for lang, want := range map[string][2]string{"he": {"מכירות", "הצעת מחיר"}, "ru": {"Продажи", "Коммерческое предложение"}, "en": {"Sales", "Quote"}} {
		o := bare(t)
		wantKey(t, "begun by a person", o.Begin(as(t, access.Owner), lang), "access.forbidden")
		must(t, o.Begin(as(t, access.System), lang))
		deals, leads := o.list(Deals), o.list(Leads)
		if len(deals) != 1 || len(leads) != 1 || deals[0].Name != want[0] || len(deals[0].Stages) != 6 || deals[0].Stages[2].Name != want[1] || len(leads[0].Stages) != 4 {
			t.Fatalf("%s: deals %+v, leads %+v", lang, deals, leads)
		}
		closed := 0
		for _, s := range append(deals[0].Stages, leads[0].Stages...) {
			if s.Closes() {
				closed++
			}
			if s.Name == "" || s.Colour == "" || s.Closes() && s.StaleDays != 0 || !s.Closes() && s.StaleDays == 0 {
				t.Errorf("%s: %+v", lang, s)
			}
		}
		if closed != 4 {
			t.Errorf("%d stages close", closed)
		}
		before := o.last()
		must(t, o.Begin(as(t, access.System), "en"))
		if again := o.told(before); again != "" {
			t.Errorf("%s: a second start tells %s", lang, again)
		}
	}
	wantKind(t, "another language", bare(t).Begin(as(t, access.System), "fr"), "invalid")
}

// TestWhatWasTakenAwayStaysAway deletes a pipeline and starts again.
func TestWhatWasTakenAwayStaysAway(t *testing.T) {
	o, owner := open(t), as(t, access.Owner)
	p := o.list(Leads)[0]
	wantKey(t, "a pipeline with stages", o.book.Delete(owner, "pipeline", p.ID, p.Version), "pipeline.in-use")
	for _, s := range p.Stages {
		must(t, o.book.Delete(owner, "stage", s.ID, s.Version))
	}
	must(t, o.book.Delete(owner, "pipeline", p.ID, p.Version))
	must(t, o.Begin(as(t, access.System), "en"))
	if left := o.list(Leads); len(left) != 0 {
		t.Errorf("%+v came back", left)
	}
	wantKey(t, "a lead without a pipeline", second(o.CreateLead(owner, "", record.Values{"name": "x"})), "stage deal.no-stage")
}

func TestPipelinesAreInOrder(t *testing.T) {
	o, owner := open(t), as(t, access.Owner)
	add := func(name string, values record.Values) record.ID {
		t.Helper()
		values["name"] = name
		p, err := o.book.Create(owner, "pipeline", values)
		must(t, err)
		return p.ID
	}
	add("Old", record.Values{"order": 0.0, "hidden": true})
	repairs := add("Repairs", record.Values{"order": 1.5})
	first := add("First", record.Values{"order": -1.0})
	var got []string
	for _, p := range o.list(Deals) {
		got = append(got, p.Name)
	}
	wantList(t, "pipelines", got, "First", "Repairs", "Sales", "Old")
	for _, name := range []string{"B", "A"} {
		_, err := o.book.Create(owner, "stage", record.Values{"pipeline": repairs, "name": name, "order": 2.0})
		must(t, err)
	}
	_, err := o.book.Create(owner, "stage", record.Values{"pipeline": repairs, "name": "Begin", "order": 1.0})
	must(t, err)
	p, err := o.Pipeline(as(t, access.Agent, "dana"), repairs)
	must(t, err)
	wantList(t, "stages", names(p.Stages), "Begin", "B", "A")
	// The first pipeline has no stage at all, so a new deal begins in the next one.
	if d := o.make(record.Values{}); d.Pipeline != repairs || d.Stage != p.Stages[0].ID {
		t.Errorf("a new deal begins in %s", d.Stage)
	}
	wantKey(t, "in a pipeline without stages", second(o.Create(owner, record.Values{"title": "x", "contact": o.customer(""), "pipeline": first})), "stage deal.no-stage")
	wantKind(t, "a plugin lists", second(o.Pipelines(as(t, access.Plugin), Deals)), "forbidden")
	wantKind(t, "nobody lists", second(o.Pipelines(t.Context(), Deals)), "unauthenticated")
	wantKind(t, "an agent makes one", second(o.book.Create(as(t, access.Agent, "dana"), "pipeline", record.Values{"name": "x"})), "forbidden")
}

// TestStagesHoldWhatIsInThem tries to take stages away from under deals and leads, and to make impossible ones.
func TestStagesHoldWhatIsInThem(t *testing.T) {
	o, owner := open(t), as(t, access.Owner)
	d := o.make(record.Values{})
	_, err := o.CreateLead(owner, "", record.Values{"name": "x"})
	must(t, err)
	other, err := o.book.Create(owner, "pipeline", record.Values{"name": "Other"})
	must(t, err)
	for _, c := range []struct {
		what, stage string
		values      record.Values
		wrong       string
	}{
		{"another name", "New enquiry", record.Values{"name": "Enquiry", "order": 7.0, "colour": "pink", "probability": 12.5, "stale_days": 0.0}, ""},
		{"another pipeline", "Quote", record.Values{"pipeline": other.ID}, "pipeline stage.pipeline-fixed"},
		{"another kind, empty", "Quote", record.Values{"kind": Won}, ""},
		{"another kind, with a deal", "New enquiry", record.Values{"kind": Won}, "kind stage.in-use"},
		{"another kind, with a lead", "lead New", record.Values{"kind": Lost}, "kind stage.in-use"},
		{"more than certain", "Needs", record.Values{"probability": 100.5}, "probability stage.probability"},
		{"less than impossible", "Needs", record.Values{"probability": -1.0}, "probability stage.probability"},
		{"half days", "Needs", record.Values{"stale_days": 0.5}, "stale_days stage.stale-days"},
		{"days before", "Needs", record.Values{"stale_days": -1.0}, "stale_days stage.stale-days"},
		{"a colour of no name", "Needs", record.Values{"colour": "#ff0000"}, "colour field.choice"},
	} {
		s := o.stages[c.stage]
		now, err := o.Stage(owner, s.ID)
		must(t, err)
		_, err = o.book.Change(owner, "stage", s.ID, now.Version, c.values)
		wantKey(t, c.what, err, c.wrong)
	}
	in, err := o.Stage(owner, d.Stage)
	must(t, err)
	wantKey(t, "deleting a stage with a deal", o.book.Delete(owner, "stage", in.ID, in.Version), "stage.in-use")
	p := o.list(Deals)[0]
	wantKey(t, "leads in a pipeline of deals", second(o.book.Change(owner, "pipeline", p.ID, p.Version, record.Values{"holds": Leads})), "holds pipeline.fixed")
	must(t, o.book.Delete(owner, Deals, d.ID, d.Version))
	must(t, o.book.Delete(owner, "stage", in.ID, in.Version))
	wantKey(t, "bringing back a deal whose stage is gone", second(o.book.Restore(owner, Deals, d.ID)), "stage field.link")
	o.told(0)
}

func TestCurrencyOf(t *testing.T) {
	for country, want := range map[string]string{"IL": "ILS", "RU": "RUB", "US": "USD", "DE": "EUR", "JP": "JPY", "XX": "USD", "": "USD"} {
		if got := CurrencyOf(country); got != want {
			t.Errorf("%q has %s, want %s", country, got, want)
		}
	}
}
