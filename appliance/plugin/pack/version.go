package pack

import (
	"cmp"
	"strconv"
	"strings"
)

// Newer tells whether version a comes after version b, by the order of semver.org: what follows a plus is no part of it.
func Newer(a, b string) bool {
	a, _, _ = strings.Cut(a, "+")
	b, _, _ = strings.Cut(b, "+")
	a, beforeA, earlyA := strings.Cut(a, "-")
	b, beforeB, earlyB := strings.Cut(b, "-")
	if order := compareParts(a, b); order != 0 {
		return order > 0
	}
	switch {
	case earlyA && earlyB:
		return compareParts(beforeA, beforeB) > 0
	default:
		return !earlyA && earlyB
	}
}

// compareParts compares what stands between dots: numbers by value, and before words; the longer wins when all before
// is equal.
func compareParts(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		n, errA := strconv.ParseUint(as[i], 10, 64)
		m, errB := strconv.ParseUint(bs[i], 10, 64)
		order := cmp.Compare(as[i], bs[i])
		switch {
		case errA == nil && errB == nil:
			order = cmp.Compare(n, m)
		case errA == nil:
			order = -1
		case errB == nil:
			order = 1
		}
		if order != 0 {
			return order
		}
	}
	return cmp.Compare(len(as), len(bs))
}
