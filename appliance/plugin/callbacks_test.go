package plugin

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc"
)

func TestAPanicInACallIsAnError(t *testing.T) {
	var log strings.Builder
	h := &Host{o: Options{Log: slog.New(slog.NewTextHandler(&log, nil))}}
	c := &callbacks{s: &session{p: &supervised{host: h, m: &Manifest{ID: "il.test"}}}}
	_, err := guardUnary(t.Context(), nil, &grpc.UnaryServerInfo{Server: c}, func(ctx context.Context, _ any) (any, error) {
		if _, ok := ctx.Deadline(); !ok {
			t.Error("the call has no deadline")
		}
		panic("hostile")
	})
	if f := wire.FaultOf(err); f.Kind != wirev1.Kind_KIND_INTERNAL || strings.Contains(err.Error(), "hostile") {
		t.Errorf("the plugin is told %v", err)
	}
	if err := guardStream(c, nil, nil, func(any, grpc.ServerStream) error { panic("hostile") }); err == nil {
		t.Error("a panic in a stream is no error")
	}
	if n := strings.Count(log.String(), "panic=hostile"); n != 2 {
		t.Errorf("the log tells of %d panics", n)
	}
}

func TestKindsCrossTheLine(t *testing.T) {
	for k := fault.Internal; k <= fault.TooMany; k++ {
		want := "KIND_" + strings.ToUpper(strings.ReplaceAll(k.String(), "-", "_"))
		if got := kindToWire(k).String(); got != want {
			t.Errorf("%v crosses the line as %s", k, got)
		}
	}
	if kindToWire(fault.TooMany+1) != wirev1.Kind_KIND_INTERNAL || kindToWire(-1) != wirev1.Kind_KIND_INTERNAL {
		t.Error("an unknown kind is not internal")
	}
}

func TestHealthKeepsSinceAndTellsOnce(t *testing.T) {
	m := &Manifest{ID: "il.test", Provides: Provides{Channels: []string{"x"}}}
	var told int
	clock := time.Unix(0, 0)
	tick := func() time.Time { clock = clock.Add(time.Second); return clock }
	h := &Host{o: Options{Log: slog.New(slog.DiscardHandler), Now: tick}}
	h.OnChange(func() { told++ })
	p := newSupervised(h, m, nil)
	say := func(ok bool, detail string) Health {
		if err := p.reported(Health{Channel: "x", Account: "a", OK: ok, Key: "x.y", Detail: detail}); err != nil {
			t.Fatal(err)
		}
		return p.snapshot().Accounts[0]
	}
	first := say(false, "1")
	if again := say(false, "1"); !again.Since.Equal(first.Since) || told != 1 {
		t.Errorf("the same again: since %v, told %d times", again.Since, told)
	}
	if other := say(false, "2"); !other.Since.Equal(first.Since) || other.Detail != "2" || told != 2 {
		t.Errorf("another detail: %+v, told %d times", other, told)
	}
	if well := say(true, "2"); well.Since.Equal(first.Since) || told != 3 {
		t.Errorf("well again: %+v, told %d times", well, told)
	}
	for i := range maxAccounts - 1 {
		if err := p.reported(Health{Channel: "x", Account: strings.Repeat("b", i+1)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.reported(Health{Channel: "x", Account: "one more"}); fault.KindOf(err) != fault.TooMany {
		t.Errorf("one account too many: %v", err)
	}
	p.configured([]account{{"x", "a"}})
	if n := len(p.snapshot().Accounts); n != 1 {
		t.Errorf("%d accounts are left after a configuration with one", n)
	}
}
