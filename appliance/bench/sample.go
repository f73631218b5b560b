package bench

import (
	"slices"
	"time"
)

// turns are the durations of one thing that product and floor did in turn.
type turns struct {
	p50, p99, floor time.Duration // medians of the rounds
	ratio           float64       // median of the rounds' ratios of the p50
}

// inTurn lets both do a thing so many times a round, the floor first in every second round.
func (r *run) inTurn(product, floor func(i int) error) (t turns, err error) {
	var p50, p99, floors []time.Duration
	var ratios []float64
	for round := -1; round < rounds; round++ { // the first one only warms up
		mine, theirs := make([]time.Duration, r.Asks), make([]time.Duration, r.Asks)
		order := []func() error{
			func() error { return timed(mine, max(round, 0)*r.Asks, product) },
			func() error { return timed(theirs, max(round, 0)*r.Asks, floor) },
		}
		if round%2 == 0 {
			slices.Reverse(order)
		}
		for _, do := range order {
			if err := do(); err != nil {
				return t, err
			}
		}
		if round < 0 {
			continue
		}
		slices.Sort(mine)
		slices.Sort(theirs)
		p50, p99, floors = append(p50, at(mine, 50)), append(p99, at(mine, 99)), append(floors, at(theirs, 50))
		ratios = append(ratios, float64(at(mine, 50))/float64(max(1, at(theirs, 50))))
	}
	return turns{p50: median(p50), p99: median(p99), floor: median(floors), ratio: median(ratios)}, nil
}

func timed(into []time.Duration, first int, do func(i int) error) error {
	for i := range into {
		start := time.Now()
		if err := do(first + i); err != nil {
			return err
		}
		into[i] = time.Since(start)
	}
	return nil
}

// at is the percentile of sorted durations.
func at(sorted []time.Duration, percent int) time.Duration {
	return sorted[min(len(sorted)-1, len(sorted)*percent/100)]
}

func median[T ~int64 | float64](all []T) T {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

func micro(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

func milli(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
