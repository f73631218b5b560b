package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/karov-crm/karov/plugins/sdk"
)

const (
	shekel   = "ILS" // the currency of the prices that plugin.yaml declares
	maxPrice = 1_000_000
	maxAhead = 60
)

// settings are the configuration, read.
type settings struct {
	price      sdk.Money // of a visit whose contract names none
	ahead      int       // days for which visits are made
	begin, end clock     // the working day
	free       []time.Weekday
}

// clock is a time of day, in minutes.
type clock int

// String writes the time as "08:00".
func (c clock) String() string { return fmt.Sprintf("%02d:%02d", int(c)/60, int(c)%60) }

func parseClock(text string) (clock, error) {
	t, err := time.Parse("15:04", text)
	if err != nil {
		return 0, err
	}
	return clock(t.Hour()*60 + t.Minute()), nil
}

func readSettings(c sdk.Config) (s settings, err error) {
	price, ahead := c.Int("visit.price"), c.Int("days.ahead")
	if price < 0 || price > maxPrice {
		return s, sdk.Invalid("visit.price", "fieldservice.setting-price")
	}
	if ahead < 0 || ahead > maxAhead {
		return s, sdk.Invalid("days.ahead", "fieldservice.setting-ahead")
	}
	s.price, s.ahead = sdk.Money{Minor: int64(price) * 100, Currency: shekel}, ahead
	if s.begin, err = parseClock(c["hours.begin"]); err != nil {
		return s, sdk.Invalid("hours.begin", "fieldservice.setting-hour")
	}
	if s.end, err = parseClock(c["hours.end"]); err != nil || s.end <= s.begin {
		return s, sdk.Invalid("hours.end", "fieldservice.setting-hour")
	}
	switch c["week.free"] {
	case "fri-sat":
		s.free = []time.Weekday{time.Friday, time.Saturday}
	case "sat":
		s.free = []time.Weekday{time.Saturday}
	case "sat-sun":
		s.free = []time.Weekday{time.Saturday, time.Sunday}
	}
	return s, nil
}

// hours are the times at which a visit can be planned.
func (s settings) hours() (all []sdk.Choice) {
	for c := s.begin; c < s.end; c += 30 {
		all = append(all, sdk.Choice{Value: c.String(), Label: sdk.Plain(c.String())})
	}
	return all
}

// workday is the day itself, or the first one after it on which people work.
func (s settings) workday(d sdk.Date) sdk.Date {
	for slices.Contains(s.free, d.In(time.UTC).Weekday()) {
		d = d.AddDays(1)
	}
	return d
}
