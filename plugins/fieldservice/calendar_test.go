package main

import (
	"testing"
	"time"

	"github.com/karov-crm/karov/plugins/sdk"
)

func day(t *testing.T, text string) sdk.Date {
	t.Helper()
	d, err := sdk.ParseDate(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestTheNextVisitFallsOnTheSameDayOfTheMonth(t *testing.T) {
	for _, c := range []struct{ due, begins, kind, today, want string }{
		{"2026-11-22", "2026-01-22", "monthly", "2026-11-15", "2026-12-22"},
		{"2026-12-05", "", "monthly", "2026-12-01", "2027-01-05"},
		{"2027-01-31", "2026-01-31", "monthly", "2027-01-25", "2027-02-28"},
		{"2027-02-28", "2026-01-31", "monthly", "2027-02-25", "2027-03-31"}, // the short month does not stay
		{"2027-02-28", "", "monthly", "2027-02-25", "2027-03-28"},
		{"2028-01-30", "2026-01-30", "monthly", "2028-01-25", "2028-02-29"},
		{"2026-11-10", "2026-01-22", "monthly", "2026-11-05", "2026-12-10"}, // the office moved it
		{"2026-11-22", "", "quarterly", "2026-11-22", "2027-02-22"},
		{"2028-02-29", "2024-02-29", "yearly", "2028-02-20", "2029-02-28"},
		{"2026-03-15", "", "monthly", "2026-11-15", "2026-12-15"}, // the machine was off: one visit, and on from here
		{"2026-03-15", "", "", "2026-11-14", "2026-11-15"},
	} {
		contract := sdk.Values{"next_visit": c.due, "begins": c.begins, "kind": c.kind}
		if got := nextVisit(contract, day(t, c.today)).String(); got != c.want {
			t.Errorf("after %s (begun %s, %s) on %s comes %s, want %s", c.due, c.begins, c.kind, c.today, got, c.want)
		}
	}
}

func TestAVisitIsPlannedForTheHourThatTheClockShows(t *testing.T) {
	zone, err := time.LoadLocation("Asia/Jerusalem")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{"2026-03-26": "2026-03-26T06:00:00Z", "2026-03-29": "2026-03-29T05:00:00Z"} { // summer time begins between them
		if got := at(day(t, text), 8*60, zone).UTC().Format(time.RFC3339); got != want {
			t.Errorf("eight o'clock on %s is %s, want %s", text, got, want)
		}
	}
}

func configuration(changes ...string) sdk.Config {
	c := sdk.Config{"visit.price": "350", "days.ahead": "7", "hours.begin": "08:00", "hours.end": "10:00", "week.free": "fri-sat"}
	for i := 0; i < len(changes); i += 2 {
		c[changes[i]] = changes[i+1]
	}
	return c
}

func TestSettingsAreReadAndWrongOnesNamed(t *testing.T) {
	s, err := readSettings(configuration())
	if err != nil {
		t.Fatal(err)
	}
	if s.price != (sdk.Money{Minor: 35000, Currency: "ILS"}) || len(s.hours()) != 4 || s.hours()[3].Value != "09:30" {
		t.Errorf("read %+v with hours %v", s, s.hours())
	}
	for free, want := range map[string]string{"fri-sat": "2026-11-22", "sat": "2026-11-20", "sat-sun": "2026-11-20", "none": "2026-11-20"} {
		s, err := readSettings(configuration("week.free", free))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.workday(day(t, "2026-11-20")).String(); got != want { // a Friday
			t.Errorf("with %s free the visit is on %s, want %s", free, got, want)
		}
	}
	for _, wrong := range [][2]string{{"visit.price", "-1"}, {"visit.price", "1000001"}, {"days.ahead", "61"}, {"days.ahead", "-1"},
		{"hours.begin", "8"}, {"hours.begin", "25:00"}, {"hours.end", "08:00"}, {"hours.end", ""}} {
		_, err := readSettings(configuration(wrong[0], wrong[1]))
		e, ok := err.(*sdk.Error)
		if !ok || e.Field != wrong[0] {
			t.Errorf("%s=%q: %v", wrong[0], wrong[1], err)
		}
	}
}
