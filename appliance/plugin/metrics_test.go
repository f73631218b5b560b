package plugin_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/plugins/plugintest"
)

// gathered gives what Prometheus reads of a host: a number for each name with its labels, of a histogram the count.
func gathered(t *testing.T, w *plugintest.World) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(w.Host); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, strings.TrimPrefix(l.GetValue(), "test.rogue."))
			}
			out[strings.TrimPrefix(f.GetName(), "karov_plugin_")+" "+strings.Join(labels, " ")] = valueOf(m)
		}
	}
	return out
}

func valueOf(m *dto.Metric) float64 {
	if h := m.GetHistogram(); h != nil {
		return float64(h.GetSampleCount())
	}
	return m.GetCounter().GetValue() + m.GetGauge().GetValue()
}

func TestNumbers(t *testing.T) {
	w := plugintest.Start(t, beside(t, "pulse"), plugintest.NewOffice(nil))
	works(t, w)
	plugintest.Wait(t, "the other works", func() bool { return statusOf(t, w, "pulse").Pulse != nil })
	for range 3 {
		if err := tellIt(t, w, "hello"); err != nil {
			t.Fatal(err)
		}
	}
	if err := tellIt(t, w, "forbidden"); err == nil {
		t.Error("nothing failed")
	}
	if err := tellIt(t, w, "die"); err == nil {
		t.Error("nothing fell")
	}
	plugintest.Wait(t, "it fell", func() bool {
		return gathered(t, w)["restarts_total pulse"]+gathered(t, w)["restarts_total sender"] == 1
	})
	works(t, w)
	plugintest.Wait(t, "both work", func() bool { return w.Host.Healthy("test.rogue.pulse") == nil })
	got := gathered(t, w)
	one := "pulse" // which of them the messages went to: both have the account
	if got["calls_total OK to Channel/Send sender"] > 0 {
		one = "sender"
	}
	for name, want := range map[string]float64{
		"calls_total OK to Channel/Send " + one:               3,
		"calls_total PermissionDenied to Channel/Send " + one: 1,
		"call_seconds to Channel/Send " + one:                 5,
		"calls_total OK to Base/Info " + one:                  2,
		"calls_total OK to Base/Configure " + one:             2,
		"up pulse":              1,
		"up sender":             1,
		"restarts_total " + one: 1,
		"events_waiting " + one: 0,
	} {
		if value, ok := got[name]; !ok || value != want {
			t.Errorf("%s is %v (%v), want %v in %q", name, value, ok, want, slices.Sorted(maps.Keys(got)))
		}
	}
	if got["memory_bytes pulse"] < 1<<20 || got["goroutines pulse"] != 7 || got["heap_bytes pulse"] != 42 {
		t.Errorf("of its health is told: %v", got)
	}
	if n := statusOf(t, w, one).Numbers; n.CallsToFailed < 2 || n.CallsToFailed > 3 || n.CallsTo < 7 {
		t.Errorf("in short: %+v", n)
	}
	if err := w.Host.Remove(t.Context(), "test.rogue."+one); err != nil {
		t.Fatal(err)
	}
	for name := range gathered(t, w) {
		if strings.HasSuffix(name, " "+one) {
			t.Errorf("of a plugin that is gone is told %s", name)
		}
	}
}

func TestCallsByAPluginAreCounted(t *testing.T) {
	w := plugintest.Start(t, rogue(t, "flood"), plugintest.NewOffice(nil))
	want := map[string]int{}
	for _, finding := range findings(t, w) {
		want[strings.Fields(finding)[0]]++
	}
	delete(want, "ResourceExhausted") // said by gRPC, which let it come to nobody
	n := w.Status().Numbers
	if n.CallsFrom < 15 || n.CallsFromFailed < 12 || n.CallsFromFailed >= n.CallsFrom {
		t.Errorf("%+v", n)
	}
	got := gathered(t, w)
	for code, times := range want {
		if counted := got["calls_total "+code+" from Host/Receive flood"]; counted != float64(times) {
			t.Errorf("%s was counted %v times, and was %d times", code, counted, times)
		}
	}
	for name := range got {
		if strings.Contains(name, "grpc") || strings.Contains(name, "plugin.") {
			t.Errorf("a call that is not of the contract is counted: %s", name)
		}
	}
}

// TestEnabledIsAskedAndRemembered has a memory that refuses.
func TestEnabledIsAskedAndRemembered(t *testing.T) {
	enabled := map[string]bool{}
	refuse := errors.New("refused")
	var refused error
	w := plugintest.Start(t, rogue(t, "sender"), plugintest.NewOffice(nil), func(o *plugin.Options) {
		o.Enabled = func(id string) bool { return enabled[id] }
		o.Remember = func(_ context.Context, id string, on bool) error { enabled[id] = on; return refused }
	})
	id := w.Status().ID
	if s := w.Status(); s.State != plugin.Disabled || s.PID != 0 {
		t.Errorf("state %s, process %d", s.State, s.PID)
	}
	if err := w.Host.Healthy(id); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a plugin that is disabled is said to be healthy: %v", err)
	}
	if err := w.Host.Enable(t.Context(), id); err != nil || !enabled[id] {
		t.Errorf("%v, remembered %v", err, enabled)
	}
	now := w.Up(t, 0)
	refused = refuse
	if err := w.Host.Disable(t.Context(), id); !errors.Is(err, refuse) {
		t.Errorf("disabled against the memory: %v", err)
	}
	if w.Status().PID != now.PID {
		t.Error("a refusal ended the process")
	}
	refused = nil
	if err := w.Host.Disable(t.Context(), id); err != nil || enabled[id] || !plugintest.Gone(now.PID) {
		t.Errorf("%v, remembered %v", err, enabled)
	}
}
