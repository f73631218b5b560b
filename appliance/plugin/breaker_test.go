package plugin

import (
	"testing"
	"time"
)

func TestBreakerPausesGrow(t *testing.T) {
	b := &breaker{t: Timing{Crashes: 100}.withDefaults()}
	now := time.Unix(1_000_000, 0)
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300} {
		wait, open := b.ended(now, 0)
		want *= time.Second
		if open || wait < want*8/10 || wait > want*12/10 {
			t.Errorf("after end %d the pause is %v (open %v), want about %v", i+1, wait, open, want)
		}
	}
	for range 100 {
		b.streak++
	}
	if wait, _ := b.ended(now.Add(24*time.Hour), 0); wait > 6*time.Minute {
		t.Errorf("the pause grew to %v", wait)
	}
}

func TestBreakerOpensAndIsHalfOpenLater(t *testing.T) {
	b := &breaker{t: Timing{}.withDefaults()}
	now := time.Unix(1_000_000, 0)
	end := func(after, ran time.Duration) (time.Duration, bool) {
		now = now.Add(after)
		return b.ended(now, ran)
	}
	for i := range 4 {
		if _, open := end(time.Minute, time.Minute); open {
			t.Fatalf("open after %d ends", i+1)
		}
	}
	if wait, open := end(time.Minute, time.Minute); !open || wait < 8*time.Minute || wait > 12*time.Minute {
		t.Fatalf("after 5 ends in 5 minutes: pause %v, open %v", wait, open)
	}
	if _, open := end(30*time.Minute, time.Minute); !open {
		t.Error("the one attempt failed, and the circuit closed")
	}
	if wait, open := end(time.Hour, 20*time.Minute); open || wait > 2*time.Second {
		t.Errorf("after a long good run: pause %v, open %v", wait, open)
	}
}

func TestBreakerForgetsOldEnds(t *testing.T) {
	b := &breaker{t: Timing{}.withDefaults()}
	now := time.Unix(1_000_000, 0)
	for i := range 20 {
		now = now.Add(3 * time.Minute) // at most 4 in any 10 minutes
		if _, open := b.ended(now, time.Minute); open {
			t.Fatalf("open after %d ends 3 minutes apart", i+1)
		}
	}
}

func TestBreakerReset(t *testing.T) {
	b := &breaker{t: Timing{}.withDefaults()}
	now := time.Unix(1_000_000, 0)
	for range 5 {
		b.ended(now, 0)
	}
	b.reset()
	if _, open := b.ended(now, 0); open {
		t.Error("a person said try now, and the circuit is still open")
	}
}
