package api

import (
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/karov-crm/karov/appliance/fault"
)

// maxCallers bounds how many callers a limiter remembers.
const maxCallers = 10_000

// limiter slows down callers that ask too often, each by itself.
type limiter struct {
	perSecond rate.Limit
	burst     int

	mu      sync.Mutex
	callers map[string]*rate.Limiter
}

func newLimiter(perSecond float64, burst int) *limiter {
	return &limiter{perSecond: rate.Limit(perSecond), burst: burst, callers: map[string]*rate.Limiter{}}
}

// take counts one request of a caller. One too many is a TooMany fault that says how many seconds to wait.
func (l *limiter) take(caller string, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.callers[caller]
	if one == nil {
		if len(l.callers) >= maxCallers {
			l.forget(now)
		}
		one = rate.NewLimiter(l.perSecond, l.burst)
		l.callers[caller] = one
	}
	asked := one.ReserveN(now, 1)
	wait := asked.DelayFrom(now)
	if asked.OK() && wait == 0 {
		return nil
	}
	asked.CancelAt(now)
	return fault.New(fault.TooMany, "request.too-many", "seconds", int(math.Ceil(wait.Seconds())))
}

// forget drops the callers that rest, or all of them when none does: memory stays bounded, and somebody who comes from
// ever new addresses wins no more than a new burst.
func (l *limiter) forget(now time.Time) {
	for caller, one := range l.callers {
		if one.TokensAt(now) >= float64(l.burst) {
			delete(l.callers, caller)
		}
	}
	if len(l.callers) >= maxCallers {
		clear(l.callers)
	}
}
