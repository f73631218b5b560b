package plugin_test

import (
	"context"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
)

// atOnce asks nobody and has nothing against any write: what asking costs without the asking.
type atOnce struct{}

func (atOnce) Asks(_ context.Context, entity string, _ record.Act) bool { return entity == "contact" }

func (atOnce) Ask(_ context.Context, asks []record.Ask) ([]record.Verdict, error) {
	return make([]record.Verdict, len(asks)), nil
}

// silent asks about nothing.
type silent struct{ atOnce }

func (silent) Asks(context.Context, string, record.Act) bool { return false }

// BenchmarkBeforeHook writes a customer without a hook, with one that answers at once within the host (the second run of
// the transaction, and nothing else), and with a plugin's, and makes one bare call to a process of the same program: by
// turns. Trips is what the plugin's hook adds, in bare calls; what the second run adds is part of it and told apart.
func BenchmarkBeforeHook(b *testing.B) {
	p := newPaced(b)
	floor := wirev1.NewHooksClient(p.bare())
	askers := []record.Asker{silent{}, atOnce{}, p.Host}
	took := make([][]time.Duration, len(askers))
	var bare []time.Duration
	silences := 0
	for b.Loop() {
		for i, asker := range askers {
			p.book.SetAsker(asker)
			began := time.Now()
			_, err := p.book.Create(p.owner(), "contact", record.Values{"name": "Dana Levi", "note": "calls in the morning"})
			if fault.Of(err).Key == "plugin.hook-silent" { // somebody else has the processors
				silences++
			} else {
				p.must(err)
				took[i] = append(took[i], time.Since(began))
			}
			began = time.Now()
			_, err = floor.Before(b.Context(), &wirev1.BeforeRequest{Act: wirev1.BeforeRequest_ACT_CREATE, Entity: "contact",
				Actor: &wirev1.Actor{Id: "owner", Language: "en"}, Values: map[string]*wirev1.Value{
					"name": {Of: &wirev1.Value_Text{Text: "Dana Levi"}}, "note": {Of: &wirev1.Value_Text{Text: "calls in the morning"}}}})
			bare = append(bare, time.Since(began))
			p.must(err)
		}
	}
	micro := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
	plain, again, hooked, trip := median(took[0]), median(took[1]), median(took[2]), median(bare)
	b.ReportMetric(float64(silences), "silences")
	b.ReportMetric(micro(plain), "plain-us")
	b.ReportMetric(micro(again-plain), "second-run-us")
	b.ReportMetric(micro(hooked-plain), "hook-adds-us")
	b.ReportMetric(micro(trip), "bare-trip-us")
	b.ReportMetric((hooked-plain).Seconds()/trip.Seconds(), "trips")
	b.ReportMetric((hooked-again).Seconds()/trip.Seconds(), "trips-without-second-run")
}
