package main

import (
	"time"

	"github.com/karov-crm/karov/plugins/sdk"
)

// months is how many months lie between two visits of a contract.
func months(kind string) int {
	switch kind {
	case "quarterly":
		return 3
	case "yearly":
		return 12
	}
	return 1
}

// after is the day so many months later. A contract that began on the 31st is visited on the last day of shorter months
// and on the 31st again of those that have one, which is why the day that is meant comes along.
func after(d sdk.Date, months, day int) sdk.Date {
	first := time.Date(d.Year, d.Month+time.Month(months), 1, 0, 0, 0, 0, time.UTC)
	return sdk.Date{Year: first.Year(), Month: first.Month(), Day: min(day, lastDay(first))}
}

func lastDay(first time.Time) int { return first.AddDate(0, 1, -1).Day() }

// meantDay is the day of the month on which a contract is visited: that of its next visit, as the office set it, unless
// the month is only too short for the one on which it began.
func meantDay(next, begins sdk.Date) int {
	if next.Day == lastDay(sdk.Date{Year: next.Year, Month: next.Month, Day: 1}.In(time.UTC)) {
		return max(next.Day, begins.Day)
	}
	return next.Day
}

// nextVisit is the first visit of a contract that lies behind both its due one and today: of visits that were missed
// while nobody looked, one is made and not a heap.
func nextVisit(contract sdk.Values, today sdk.Date) sdk.Date {
	due, step := contract.Date("next_visit"), months(contract.Text("kind"))
	day := meantDay(due, contract.Date("begins"))
	next := after(due, step, day)
	for n := 2; !today.Before(next); n++ {
		next = after(due, n*step, day)
	}
	return next
}

// at is a moment on a day of the office.
func at(d sdk.Date, c clock, zone *time.Location) time.Time {
	return time.Date(d.Year, d.Month, d.Day, int(c)/60, int(c)%60, 0, 0, zone)
}
