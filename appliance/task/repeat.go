package task

import (
	"time"

	"github.com/karov-crm/karov/appliance/record"
)

// series is where the dates of a task that repeats are counted from, while the task is due on For: after somebody set
// another date by hand, they are counted from that one. The day of the first is kept because a shorter month hides it.
type series struct {
	First time.Time `json:"first"`
	For   time.Time `json:"for"`
}

func repeats(t record.Record) bool {
	how := t.Text("repeat")
	return how != "" && how != None
}

// firstOf is the date from which a task's series is counted.
func firstOf(t record.Record) time.Time {
	var s series
	due := t.Time("due")
	if t.Data("series", &s) != nil || s.First.IsZero() || !s.For.Equal(due) {
		return due
	}
	return s.First
}

// after gives the first date of a series that is later than a moment, at the series' hour of the office's clock.
func (r *Room) after(how string, first, moment time.Time) time.Time {
	first, moment = first.In(r.zone), moment.In(r.zone)
	n := 0
	if moment.After(first) {
		days := int(moment.Sub(first) / (24 * time.Hour))
		switch how {
		case Daily:
			n = days
		case Weekly:
			n = days / 7
		case Monthly:
			n = (moment.Year()-first.Year())*12 + int(moment.Month()-first.Month())
		case Yearly:
			n = moment.Year() - first.Year()
		}
		n = max(n-1, 0) // an hour more or less of daylight saving is no day
	}
	for {
		if at := r.date(how, first, n); at.After(moment) {
			return at
		}
		n++
	}
}

// date is the n-th date of a series after its first.
func (r *Room) date(how string, first time.Time, n int) time.Time {
	year, month, day := first.Date()
	switch how {
	case Weekly:
		return r.onDay(year, month, day+7*n, first)
	case Monthly:
		return r.onDay(year, month+time.Month(n), min(day, lastDay(year, month+time.Month(n))), first)
	case Yearly:
		return r.onDay(year+n, month, min(day, lastDay(year+n, month)), first)
	}
	return r.onDay(year, month, day+n, first)
}

func lastDay(year int, month time.Month) int {
	return time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// onDay is a day at the hour of another moment, on the office's clock. An hour that the clock leaves out in spring
// becomes the one after it.
func (r *Room) onDay(year int, month time.Month, day int, hour time.Time) time.Time {
	hour = hour.In(r.zone)
	at := time.Date(year, month, day, hour.Hour(), hour.Minute(), hour.Second(), hour.Nanosecond(), r.zone)
	want := time.Date(year, month, day, hour.Hour(), hour.Minute(), hour.Second(), hour.Nanosecond(), time.UTC)
	got := time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), time.UTC)
	return at.Add(max(want.Sub(got), 0)) // time.Date may take an hour that is left out for the one before
}

// reminder moves a reminder along with its task: as many days before, at the same hour. Where the task was due at no
// time it is when the task is due now.
func (r *Room) reminder(due, remind, to time.Time) time.Time {
	if due.IsZero() {
		return to
	}
	due, remind, to = due.In(r.zone), remind.In(r.zone), to.In(r.zone)
	year, month, day := to.Date()
	days := int(midday(due).Sub(midday(remind)) / (24 * time.Hour))
	if days == 0 {
		return to.Add(remind.Sub(due))
	}
	return r.onDay(year, month, day-days, remind)
}

// midday is noon of a day in a zone without daylight saving, so that days between two can be counted.
func midday(t time.Time) time.Time {
	year, month, day := t.Date()
	return time.Date(year, month, day, 12, 0, 0, 0, time.UTC)
}
