package filter

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Days are counted from 1970-01-01 in the Gregorian calendar carried on both ways.

// dayNumber counts the days up to a date. The arithmetic is Howard Hinnant's days_from_civil: years begin in March, so
// that the day which not every year has is the last.
func dayNumber(year, month, day int) int64 {
	if month <= 2 {
		year--
	}
	era := floor(year, 400)
	ofEra := year - era*400
	ofYear := (153*((month+9)%12)+2)/5 + day - 1
	return int64(era)*146097 + int64(ofEra*365+ofEra/4-ofEra/100+ofYear) - 719468
}

// civil is the date of a day, the other way.
func civil(n int64) (year, month, day int) {
	n += 719468
	era := floor(int(n), 146097)
	ofEra := int(n) - era*146097
	ofYears := (ofEra - ofEra/1460 + ofEra/36524 - ofEra/146096) / 365
	ofYear := ofEra - (365*ofYears + ofYears/4 - ofYears/100)
	shifted := (5*ofYear + 2) / 153
	day, month = ofYear-(153*shifted+2)/5+1, shifted+3
	if month > 12 {
		month -= 12
	}
	year = ofYears + era*400
	if month <= 2 {
		year++
	}
	return year, month, day
}

func floor(a, b int) int {
	if a < 0 {
		return (a - b + 1) / b
	}
	return a / b
}

func isLeap(year int) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }

func daysIn(year, month int) int {
	switch month {
	case 2:
		if isLeap(year) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// twoDigits reads a number of two digits, -1 for anything else.
func twoDigits(a, b byte) int {
	if a < '0' || a > '9' || b < '0' || b > '9' {
		return -1
	}
	return int(a-'0')*10 + int(b-'0')
}

// readDate reads 2026-11-22.
func readDate(b []byte) (year, month, day int, ok bool) {
	if len(b) != len(datePattern) || b[4] != '-' || b[7] != '-' {
		return 0, 0, 0, false
	}
	century, rest := twoDigits(b[0], b[1]), twoDigits(b[2], b[3])
	month, day = twoDigits(b[5], b[6]), twoDigits(b[8], b[9])
	if century < 0 || rest < 0 || month < 1 || month > 12 {
		return 0, 0, 0, false
	}
	year = century*100 + rest
	return year, month, day, year > 0 && day >= 1 && day <= daysIn(year, month)
}

func readDay(b []byte) (int64, bool) {
	year, month, day, ok := readDate(b)
	return dayNumber(year, month, day), ok
}

func dayText(n int64) string {
	year, month, day := civil(n)
	return fmt.Sprintf("%04d-%02d-%02d", year, month, day)
}

// A yearly day is packed into one number: the year (0 where it is unknown), the month and the day.

func readYearly(b []byte) (int64, bool) {
	if len(b) == 7 && b[0] == '-' && b[1] == '-' && b[4] == '-' {
		month, day := twoDigits(b[2], b[3]), twoDigits(b[5], b[6])
		if month < 1 || month > 12 || day < 1 || day > daysIn(2000, month) {
			return 0, false
		}
		return packYearly(0, month, day), true
	}
	year, month, day, ok := readDate(b)
	return packYearly(year, month, day), ok
}

func packYearly(year, month, day int) int64 { return int64(year)<<9 | int64(month)<<5 | int64(day) }

func unpackYearly(n int64) (year, month, day int) { return int(n >> 9), int(n >> 5 & 15), int(n & 31) }

func yearlyText(n int64) string {
	year, month, day := unpackYearly(n)
	if year == 0 {
		return fmt.Sprintf("--%02d-%02d", month, day)
	}
	return fmt.Sprintf("%04d-%02d-%02d", year, month, day)
}

// yearlyOrder compares two yearly days: as dates where both years are known, else whether they are the same day of a
// year, which has no less or greater.
func yearlyOrder(a, b int64) (sign int, ok bool) {
	if a>>9 != 0 && b>>9 != 0 {
		return compareInts(a, b), true
	}
	if a&0x1ff == b&0x1ff {
		return 0, true
	}
	return 2, true // neither less nor greater: see holds
}

// fallsOn is the day on which a yearly day falls in a year: the 29th of February on the 28th where there is none.
func fallsOn(yearly int64, year int) int64 {
	_, month, day := unpackYearly(yearly)
	return dayNumber(year, month, min(day, daysIn(year, month)))
}

// span is a length of time: so many of a unit.
type span struct {
	n    int
	unit string
}

// units are the lengths of time, and how many of each may be written: a thousand years; of the short ones,
// as many as a time.Duration holds.
var units = map[string]int{"d": 366_000, "w": 52_000, "m": 12_000, "y": 1000, "h": 2_500_000, "min": 150_000_000}

// readSpan reads 90d.
func readSpan(s string) (span, bool) {
	digits := strings.TrimRight(s, "dwmyhin")
	n, err := strconv.Atoi(digits)
	unit := s[len(digits):]
	return span{n, unit}, err == nil && n <= units[unit]
}

func (s span) short() bool { return s.unit == "h" || s.unit == "min" }

// from is the moment that lies the span after another. A month later than the 31st is the last day of a shorter month.
func (s span) from(t time.Time) time.Time {
	switch s.unit {
	case "h":
		return t.Add(time.Duration(s.n) * time.Hour)
	case "min":
		return t.Add(time.Duration(s.n) * time.Minute)
	case "d":
		return t.AddDate(0, 0, s.n)
	case "w":
		return t.AddDate(0, 0, 7*s.n)
	}
	months := s.n
	if s.unit == "y" {
		months *= 12
	}
	year, month, day := t.Date()
	first := time.Date(year, month+time.Month(months), 1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), t.Location())
	return first.AddDate(0, 0, min(day, daysIn(first.Year(), int(first.Month())))-1)
}

// dayFrom is the day that lies a span of days or longer after another.
func (s span) dayFrom(n int64) int64 {
	switch s.unit {
	case "d":
		return n + int64(s.n)
	case "w":
		return n + 7*int64(s.n)
	}
	year, month, day := civil(n)
	months := s.n
	if s.unit == "y" {
		months *= 12
	}
	total := year*12 + month - 1 + months
	year, month = floor(total, 12), total-floor(total, 12)*12+1
	return dayNumber(year, month, min(day, daysIn(year, month)))
}

// relative is a moment seen from now: today or now, and spans one after the other. Without a base it is a span alone.
// A moment that names no zone is one too, since it depends on the asker's: its base is how it is written.
type relative struct {
	base  string
	wall  int64 // of a moment without a zone: its milliseconds as if it were in UTC
	spans []span
}

const (
	today = "today"
	now   = "now"
)

// maxSpans is how many spans may follow one another.
const maxSpans = 8

// kind tells a day from a moment.
func (r relative) kind() kind {
	if r.base == now || r.written() {
		return kindTime
	}
	for _, s := range r.spans {
		if s.short() {
			return kindTime
		}
	}
	return kindDate
}

// written tells a moment that was written out.
func (r relative) written() bool { return r.base != "" && r.base != today && r.base != now }

func (r relative) value(env *Env) Value {
	if r.kind() == kindDate {
		day := dayOf(env.Now, env)
		for _, s := range r.spans {
			day = s.dayFrom(day)
		}
		return bounded(Value{kind: kindDate, n: day})
	}
	t := env.Now.In(env.zone())
	switch {
	case r.base == today:
		t = startOf(dayOf(env.Now, env), env)
	case r.written():
		w := time.UnixMilli(r.wall).UTC()
		t = time.Date(w.Year(), w.Month(), w.Day(), w.Hour(), w.Minute(), w.Second(), w.Nanosecond(), env.zone())
	}
	for _, s := range r.spans {
		t = s.from(t)
	}
	return bounded(Value{kind: kindTime, n: t.UnixMilli()})
}

func (r relative) String() string {
	var b strings.Builder
	b.WriteString(r.base)
	for i, s := range r.spans {
		if s.n >= 0 && (r.base != "" || i > 0) {
			b.WriteByte('+')
		}
		b.WriteString(strconv.Itoa(s.n) + s.unit)
	}
	return b.String()
}

func (e *Env) zone() *time.Location {
	if e.Zone == nil {
		return time.UTC
	}
	return e.Zone
}

// dayOf is the day of a moment in the asker's zone.
func dayOf(t time.Time, env *Env) int64 {
	_, offset := t.In(env.zone()).Zone()
	return int64(floor(int(t.Unix())+offset, 24*60*60))
}

// startOf is the first moment of a day in the asker's zone.
func startOf(day int64, env *Env) time.Time {
	year, month, d := civil(day)
	return time.Date(year, time.Month(month), d, 0, 0, 0, 0, env.zone())
}

// readMoment reads a day or a moment: 2026-11-22, 2026-11-22T10:30, 2026-11-22T10:30:00Z. A moment without a zone is
// relative to the asker's.
func readMoment(s string) (v Value, local relative, ok bool) {
	if len(s) == len(datePattern) {
		day, ok := readDay([]byte(s))
		return Value{kind: kindDate, n: day}, local, ok
	}
	for _, layout := range []string{"2006-01-02T15:04Z07:00", time.RFC3339Nano} {
		if t, err := time.Parse(layout, s); err == nil {
			v = bounded(Value{kind: kindTime, n: t.UnixMilli()})
			return v, local, !v.Empty()
		}
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05.999999999"} {
		if t, err := time.Parse(layout, s); err == nil && t.Year() > 0 {
			return v, relative{base: t.Format("2006-01-02T15:04:05.999"), wall: t.UnixMilli()}, true
		}
	}
	return v, local, false
}

// period is what may follow is: today, this week, next 7 days.
type period struct {
	which string // today, tomorrow, yesterday, this, next, last
	unit  string // week, month, year, days; "" for a single day
	n     int    // of days
}

// maxPeriod is the most days of a period.
const maxPeriod = 3660

func (p period) String() string {
	switch {
	case p.unit == "":
		return p.which
	case p.n > 0:
		return p.which + " " + strconv.Itoa(p.n) + " days"
	}
	return p.which + " " + p.unit
}

// days gives the first and the last day of the period. Today belongs to the next 7 days, and so does the day a week
// from now.
func (p period) days(env *Env) (from, to int64) {
	today, step := dayOf(env.Now, env), int64(0)
	switch p.which {
	case "tomorrow", "next":
		step = 1
	case "yesterday", "last":
		step = -1
	}
	year, month, _ := civil(today)
	switch p.unit {
	case "days":
		return min(today, today+step*int64(p.n)), max(today, today+step*int64(p.n))
	case "week":
		weekday := (today + 4) % 7 // 1970-01-01 was a Thursday
		first := today - (weekday-int64(env.Week)+7)%7 + 7*step
		return first, first + 6
	case "month":
		first := span{int(step), "m"}.dayFrom(dayNumber(year, month, 1))
		year, month, _ = civil(first)
		return first, first + int64(daysIn(year, month)) - 1
	case "year":
		return dayNumber(year+int(step), 1, 1), dayNumber(year+int(step), 12, 31)
	}
	return today + step, today + step
}

// falls tells whether a value lies in a run of days: a yearly day does when one of its returns does.
func (v *Value) falls(from, to int64, env *Env) bool {
	if v.kind == kindYearly {
		born, _, _ := unpackYearly(v.n)
		first, _, _ := civil(from)
		last, _, _ := civil(to)
		for year := first; year <= last; year++ {
			if day := fallsOn(v.n, year); day >= from && day <= to && year >= born {
				return true
			}
		}
		return false
	}
	day, ok := v.day(env)
	return ok && day >= from && day <= to
}

// plus is a relative moment and the spans of another after it, or before.
func (r relative) plus(by relative, o op) relative {
	r.spans = slices.Clone(r.spans)
	for _, s := range by.spans {
		if o == opSubtract {
			s.n = -s.n
		}
		r.spans = append(r.spans, s)
	}
	return r
}
