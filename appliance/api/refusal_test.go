package api

import (
	"context"
	"testing"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
)

// shopkeeper refuses each new customer, unless he is overridden.
type shopkeeper struct{}

func (shopkeeper) Asks(_ context.Context, entity string, act record.Act) bool {
	return entity == "contact" && act == record.ActCreate
}

func (shopkeeper) Ask(ctx context.Context, asks []record.Ask) ([]record.Verdict, error) {
	verdicts := make([]record.Verdict, len(asks))
	for i := range verdicts {
		if !record.Overrides(ctx) {
			verdicts[i].Refused = fault.New(fault.Invalid, "shop.closed", "until", "Sunday")
		}
	}
	return verdicts, nil
}

func TestAPluginsRefusalIsToldInItsOwnWords(t *testing.T) {
	h := bareHouse(t, func(p *Parts) {
		p.Book.SetAsker(shopkeeper{})
		p.Sentences = func(lang string) map[string]string {
			return map[string]map[string]string{"en": {"shop.closed": "The shop is closed until {until}."}}[lang]
		}
	})
	call := request{as: "owner", method: "POST", path: Prefix + "/records/contact", body: `{"name":"New","kind":"person"}`, status: 400,
		want: `"key":"shop.closed" & The shop is closed until & Sunday`}
	h.check(t, call)
	call.headers, call.status, call.want = overrideHeader+": false", 400, "shop.closed"
	h.check(t, call)
	call.headers, call.status, call.want = overrideHeader+": true", 201, `"name":"New"`
	h.check(t, call)
}
