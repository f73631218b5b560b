package plugin

import (
	"math/rand/v2"
	"time"
)

// breaker decides when a plugin that ended is started again: soon, then later and later, and after too many ends in
// too short a time not before a long pause.
type breaker struct {
	t        Timing
	ends     []time.Time // within the window
	streak   int
	halfOpen bool // the next start is the one attempt after the pause
}

// ended takes note of an end at now, after the plugin ran for so long. It gives the pause before the next start and
// whether the circuit is open.
func (b *breaker) ended(now time.Time, ran time.Duration) (wait time.Duration, open bool) {
	if ran >= b.t.CrashWindow {
		b.reset()
	}
	recent := b.ends[:0]
	for _, at := range b.ends {
		if since := now.Sub(at); since >= 0 && since < b.t.CrashWindow { // one of the future is of another clock
			recent = append(recent, at)
		}
	}
	b.ends = append(recent, now)
	if b.halfOpen || len(b.ends) >= b.t.Crashes {
		b.halfOpen = true
		return jitter(b.t.CircuitPause), true
	}
	wait = b.t.BackoffMax
	if b.streak < 30 {
		wait = min(b.t.BackoffMin<<b.streak, b.t.BackoffMax)
	}
	b.streak++
	return jitter(wait), false
}

// reset forgets what was: a person said "try now", or the plugin has been well for long.
func (b *breaker) reset() { b.ends, b.streak, b.halfOpen = nil, 0, false }

// jitter moves d by up to a fifth, so that plugins that fell together do not rise together.
func jitter(d time.Duration) time.Duration {
	fifth := d / 5
	if fifth <= 0 {
		return d
	}
	return d - fifth + rand.N(2*fifth)
}
