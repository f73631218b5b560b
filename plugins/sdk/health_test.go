package sdk

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// heard is a stream of health that keeps what it was sent, and when.
type heard struct {
	grpc.ServerStream
	ctx context.Context

	mu     sync.Mutex
	states []*wirev1.HealthResponse
	at     []time.Duration
	began  time.Time
}

func (h *heard) Context() context.Context { return h.ctx }

func (h *heard) Send(r *wirev1.HealthResponse) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.states, h.at = append(h.states, r), append(h.at, time.Since(h.began))
	return nil
}

func TestHealthIsToldAtOnceAtEachChangeAndEveryTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		began := time.Now()
		s := newServer(ctx, Plugin{Health: func(context.Context) State {
			if now := time.Since(began); now >= 13*time.Second && now < 15*time.Second {
				return State{Key: "x.away", Params: map[string]string{"a": "b"}, Detail: "no answer"}
			}
			return State{OK: true}
		}}, &host{}, nil)
		h := &heard{ctx: ctx, began: began}
		go func() { _ = s.Health(nil, h) }()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		want := []time.Duration{0, 10 * time.Second, 13 * time.Second, 15 * time.Second, 25 * time.Second}
		if !slices.Equal(h.at, want) {
			t.Fatalf("it was heard at %v, want %v", h.at, want)
		}
		if bad := h.states[2]; bad.GetOk() || bad.GetKey() != "x.away" || bad.GetParams()["a"] != "b" || bad.GetDetail() != "no answer" {
			t.Errorf("while it was not well it said %v", bad)
		}
		if good := h.states[4]; !good.GetOk() || good.GetGoroutines() < 1 || good.GetHeap() < 1 {
			t.Errorf("when it was well again it said %v", good)
		}
	})
}

func TestAPluginThatAnswersIsWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := newServer(ctx, Plugin{}, &host{}, nil)
		h := &heard{ctx: t.Context(), began: time.Now()}
		over := make(chan error)
		go func() { over <- s.Health(nil, h) }()
		time.Sleep(35 * time.Second)
		cancel() // the process ends
		if err := <-over; err != nil || len(h.states) != 4 || !h.states[3].GetOk() {
			t.Errorf("in 35 seconds it said %v and ended with %v", h.states, err)
		}
	})
}

func TestHealthCrossesTheLine(t *testing.T) {
	k := newKarov(t, Plugin{})
	stream, err := wirev1.NewBaseClient(k.plugin).Health(t.Context(), &wirev1.HealthRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if first, err := stream.Recv(); err != nil || !first.GetOk() {
		t.Errorf("at once it says %v, %v", first, err)
	}
}

func TestStartIsStartedAgainUntilItIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		starts, configured := 0, 0
		ch := &recorder{}
		logs := newLogQueue(nil)
		s := newServer(ctx, Plugin{
			Channel:   ch,
			Configure: func(_ context.Context, c Config) error { configured++; return nil },
			Start: func(ctx context.Context, h Host) error {
				if starts++; HostOf(ctx) != h || h == nil {
					return errors.New("the ctx knows no host")
				}
				if _, known := ActorOf(ctx); known {
					return errors.New("it acts for somebody")
				}
				switch starts {
				case 1:
					return errors.New("not yet")
				case 2:
					panic("boom")
				}
				return nil
			},
		}, &host{log: newLogger(logs)}, logs)
		if _, err := s.Configure(ctx, configure("1")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if starts != 3 || configured != 1 || !slices.Equal(ch.seen(), []string{"configure 1", "run"}) {
			t.Errorf("Start ran %d times, Configure %d times, the channel: %v", starts, configured, ch.seen())
		}
		ch.refuse = Invalid("n", "x.wrong")
		if _, err := s.Configure(ctx, configure("2")); status.Code(err) != codes.InvalidArgument {
			t.Errorf("the channel's refusal is %v", err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if starts != 3 || configured != 2 {
			t.Errorf("after a refusal Start ran %d times, Configure %d times", starts, configured)
		}
	})
}

// narrow is a channel over which not every message goes.
type narrow struct{ recorder }

func (*narrow) Ability(channel, account string) Ability {
	return Ability{MaxText: len(channel), MaxAttachment: 5 << 20, Attachments: -1, Begins: account == "a", ReplyWindow: 24 * time.Hour}
}

func TestAbility(t *testing.T) {
	k := newKarov(t, Plugin{Channel: &narrow{}})
	a, err := wirev1.NewChannelClient(k.plugin).Ability(t.Context(), &wirev1.AbilityRequest{Channel: "sms", Account: "a"})
	if err != nil || a.GetMaxText() != 3 || a.GetMaxAttachment() != 5<<20 || a.GetMaxAttachments() != -1 || !a.GetBegins() || a.GetReplyWindow() != 86400 {
		t.Errorf("it can do %v, %v", a, err)
	}
	wide := newKarov(t, Plugin{Channel: &recorder{}})
	if _, err := wirev1.NewChannelClient(wide.plugin).Ability(t.Context(), &wirev1.AbilityRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("one without limits: %v", err)
	}
}
