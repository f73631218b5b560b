package task

import (
	"slices"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/record"
)

// TestSeriesKeepTheirDay finishes a task again and again on the day it is due.
func TestSeriesKeepTheirDay(t *testing.T) {
	const form = "2006-01-02 15:04"
	for _, c := range []struct {
		what, repeat, first string
		want                []string
	}{
		{"a day in spring, when the clock goes on", Daily, "2026-03-26 09:00", []string{"2026-03-27 09:00", "2026-03-28 09:00"}},
		{"an hour that the clock leaves out", Daily, "2026-03-26 02:30", []string{"2026-03-27 03:30", "2026-03-28 02:30", "2026-03-29 02:30"}},
		{"a day in autumn, when the clock goes back", Daily, "2026-10-24 09:00", []string{"2026-10-25 09:00", "2026-10-26 09:00"}},
		{"an hour that comes twice", Daily, "2026-10-24 01:30", []string{"2026-10-25 01:30", "2026-10-26 01:30"}},
		{"a week over the change of the clock", Weekly, "2026-03-23 08:15", []string{"2026-03-30 08:15", "2026-04-06 08:15"}},
		{"a week over the end of the year", Weekly, "2026-12-28 08:15", []string{"2027-01-04 08:15"}},
		{"the end of each month", Monthly, "2027-01-31 10:00", []string{"2027-02-28 10:00", "2027-03-31 10:00", "2027-04-30 10:00", "2027-05-31 10:00"}},
		{"the end of February in a leap year", Monthly, "2028-01-31 10:00", []string{"2028-02-29 10:00", "2028-03-31 10:00"}},
		{"the 30th", Monthly, "2026-12-30 10:00", []string{"2027-01-30 10:00", "2027-02-28 10:00", "2027-03-30 10:00"}},
		{"midnight of the first", Monthly, "2026-12-01 00:00", []string{"2027-01-01 00:00", "2027-02-01 00:00", "2027-03-01 00:00", "2027-04-01 00:00"}},
		{"the 29th of February", Yearly, "2028-02-29 10:00", []string{"2029-02-28 10:00", "2030-02-28 10:00", "2031-02-28 10:00", "2032-02-29 10:00"}},
		{"a year over the change of the clock", Yearly, "2026-03-27 12:00", []string{"2027-03-27 12:00", "2028-03-27 12:00"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			o := open(t)
			first, err := time.ParseInLocation(form, c.first, jerusalem(t))
			must(t, err)
			o.at = first.Add(-time.Hour)
			task := o.make(record.Values{"due": first, "repeat": c.repeat})
			var got []string
			for range c.want {
				o.at = task.Due
				done, err := o.Finish(as(t, access.Owner), task.ID)
				must(t, err)
				task, err = o.Get(as(t, access.Owner), done.Next)
				must(t, err)
				got = append(got, task.Due.In(jerusalem(t)).Format(form))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

// TestNextIsNeverPast finishes tasks too early and far too late.
func TestNextIsNeverPast(t *testing.T) {
	at := func(day string) time.Time {
		d, err := time.ParseInLocation("2006-01-02 15:04", day, jerusalem(t))
		must(t, err)
		return d
	}
	for _, c := range []struct{ what, repeat, due, done, want string }{
		{"in time", Weekly, "2026-11-23 09:00", "2026-11-23 09:00", "2026-11-30 09:00"},
		{"early", Weekly, "2026-11-23 09:00", "2026-11-18 09:00", "2026-11-30 09:00"},
		{"two days late", Weekly, "2026-11-23 09:00", "2026-11-25 09:00", "2026-11-30 09:00"},
		{"weeks late", Weekly, "2026-11-23 09:00", "2026-12-24 09:00", "2026-12-28 09:00"},
		{"on the minute of a later one", Daily, "2026-11-23 09:00", "2026-11-26 09:00", "2026-11-27 09:00"},
		{"half a year late, over the clock's change", Daily, "2026-11-23 09:00", "2027-05-02 08:00", "2027-05-02 09:00"},
		{"months late", Monthly, "2026-10-31 09:00", "2027-02-10 09:00", "2027-02-28 09:00"},
		{"years late", Yearly, "2024-02-29 09:00", "2026-11-22 09:00", "2027-02-28 09:00"},
		{"decades late", Daily, "1980-01-01 09:00", "2026-11-22 10:00", "2026-11-23 09:00"},
	} {
		o := open(t)
		o.at = at(c.due).Add(-30 * 24 * time.Hour)
		task := o.make(record.Values{"due": at(c.due), "repeat": c.repeat})
		o.at = at(c.done)
		done, err := o.Finish(as(t, access.Owner), task.ID)
		must(t, err)
		next, err := o.Get(as(t, access.Owner), done.Next)
		must(t, err)
		if !next.Due.Equal(at(c.want)) || !next.Due.After(o.at) {
			t.Errorf("%s: next on %s, want %s", c.what, next.Due.In(jerusalem(t)), c.want)
		}
	}
}

// TestNextIsTheSameTask looks at what goes along to the next one and what does not.
func TestNextIsTheSameTask(t *testing.T) {
	o, owner := open(t), as(t, access.Owner)
	customer := o.customer("dana")
	task := o.make(record.Values{"title": "Pay", "note": "by\nbank", "contact": customer, "due": o.at.Add(48 * time.Hour), "remind_at": o.at.Add(24 * time.Hour),
		"repeat": Monthly, "priority": "high", "assignee": "yossi", "kind": Call, "room": "7", "ticket": "T-1"})
	before := o.last()
	done, err := o.Finish(owner, task.ID)
	must(t, err)
	next, err := o.Get(owner, done.Next)
	must(t, err)
	if done.State != Done || done.DoneBy != "owner" || !done.DoneAt.Equal(o.at) {
		t.Errorf("finished: %+v", done)
	}
	if next.Title != "Pay" || next.Note != "by\nbank" || next.Contact != customer || next.Priority != "high" || next.Assignee != "yossi" ||
		next.Kind != Call || next.Repeat != Monthly || next.State != Open || next.Source != ByRepeat || !next.DoneAt.IsZero() || next.DoneBy != "" {
		t.Errorf("next: %+v", next)
	}
	if got := next.Due.Sub(next.RemindAt); got != 24*time.Hour {
		t.Errorf("it reminds %s before", got)
	}
	rec, err := o.book.Get(owner, "task", next.ID)
	must(t, err)
	if rec.Text("room") != "7" || rec.Text("ticket") != "" {
		t.Errorf("the office's own fields: %q and %q", rec.Text("room"), rec.Text("ticket"))
	}
	wantList(t, "facts", o.told(before), "task.created", "task.done")
}

func TestOneFinishMakesOneNext(t *testing.T) {
	o, owner := open(t), as(t, access.Owner)
	task := o.make(record.Values{"due": o.at.Add(time.Hour), "repeat": Daily})
	first, err := o.Finish(owner, task.ID)
	must(t, err)
	wantKey(t, "finishing twice", second(o.Finish(owner, task.ID)), "task.not-open")
	again, err := o.Reopen(owner, task.ID)
	must(t, err)
	if again.State != Open || !again.DoneAt.IsZero() || again.DoneBy != "" {
		t.Errorf("reopened: %+v", again)
	}
	wantKey(t, "reopening twice", second(o.Reopen(owner, task.ID)), "task.open")
	once, err := o.Finish(owner, task.ID)
	must(t, err)
	if once.Next != first.Next {
		t.Error("finishing a reopened task made another next one")
	}
	if n, err := o.Count(as(t, access.Owner)); err != nil || n.Open != 1 {
		t.Errorf("%+v open, %v", n, err)
	}
}

func TestASeriesEnds(t *testing.T) {
	o, owner := open(t), as(t, access.Owner)
	task := o.make(record.Values{"due": o.at.Add(time.Hour), "repeat": Daily})
	gone, err := o.Cancel(owner, task.ID)
	must(t, err)
	task = o.make(record.Values{"due": o.at.Add(time.Hour), "repeat": Daily})
	task, err = o.Change(owner, task.ID, task.Version, record.Values{"repeat": None})
	must(t, err)
	done, err := o.Finish(owner, task.ID)
	must(t, err)
	if !gone.Next.Zero() || !done.Next.Zero() || gone.State != Cancelled || len(o.everything(owner, Choice{})) != 0 {
		t.Errorf("next ones %s, %s", gone.Next, done.Next)
	}
}

// TestPuttingOffKeepsTheSeries tells a task that was put off once from one whose date was set anew.
func TestPuttingOffKeepsTheSeries(t *testing.T) {
	o, owner := open(t), as(t, access.Owner)
	monday := time.Date(2026, 11, 23, 9, 0, 0, 0, jerusalem(t))
	next := func(id record.ID) time.Time {
		t.Helper()
		done, err := o.Finish(owner, id)
		must(t, err)
		n, err := o.Get(owner, done.Next)
		must(t, err)
		return n.Due.In(jerusalem(t))
	}
	put := o.make(record.Values{"due": monday, "remind_at": monday.Add(-16 * time.Hour), "repeat": Weekly}) // Sunday at 17:00
	put, err := o.Snooze(owner, put.ID, monday.Add(50*time.Hour))                                           // Wednesday at 11:00
	must(t, err)
	if want := time.Date(2026, 11, 24, 17, 0, 0, 0, jerusalem(t)); !put.RemindAt.Equal(want) {
		t.Errorf("it reminds at %s, want %s", put.RemindAt, want)
	}
	put, err = o.Snooze(owner, put.ID, monday.Add(74*time.Hour))
	must(t, err)
	if got := next(put.ID); !got.Equal(monday.AddDate(0, 0, 7)) {
		t.Errorf("put off twice, the next is on %s", got)
	}
	far := o.make(record.Values{"due": monday, "repeat": Weekly})
	far, err = o.Snooze(owner, far.ID, monday.AddDate(0, 0, 8))
	must(t, err)
	if got := next(far.ID); !got.Equal(monday.AddDate(0, 0, 14)) {
		t.Errorf("put off beyond the next one, it is on %s", got)
	}
	moved := o.make(record.Values{"due": monday, "repeat": Weekly})
	moved, err = o.Snooze(owner, moved.ID, monday.Add(time.Hour))
	must(t, err)
	tuesday := monday.AddDate(0, 0, 1)
	moved, err = o.Change(owner, moved.ID, moved.Version, record.Values{"due": tuesday})
	must(t, err)
	if got := next(moved.ID); !got.Equal(tuesday.AddDate(0, 0, 7)) {
		t.Errorf("set anew, the next is on %s", got)
	}
	plain := o.make(record.Values{"remind_at": monday})
	plain, err = o.Snooze(owner, plain.ID, tuesday)
	must(t, err)
	if !plain.Due.Equal(tuesday) || !plain.RemindAt.Equal(tuesday) {
		t.Errorf("a task without a date was put off to %s, reminds at %s", plain.Due, plain.RemindAt)
	}
	wantKey(t, "into the past", second(o.Snooze(owner, plain.ID, o.at)), "until task.snooze-past")
	_, err = o.Cancel(owner, plain.ID)
	must(t, err)
	wantKey(t, "a cancelled one", second(o.Snooze(owner, plain.ID, tuesday)), "task.not-open")
}

// TestHoursThatAreLeftOut looks for the hour after the one that a clock leaves out, in zones on both sides of Greenwich
// and in one where it is midnight.
func TestHoursThatAreLeftOut(t *testing.T) {
	for _, c := range []struct {
		zone, hour string
		month      time.Month
		day        int
		want       string
	}{
		{"Asia/Jerusalem", "02:30", time.March, 27, "2026-03-27 03:30"},
		{"America/New_York", "02:30", time.March, 8, "2026-03-08 03:30"},
		{"Europe/London", "01:15", time.March, 29, "2026-03-29 02:15"},
		{"Australia/Lord_Howe", "02:10", time.October, 4, "2026-10-04 02:40"},
		{"Asia/Beirut", "00:20", time.March, 29, "2026-03-29 01:20"},
		{"America/New_York", "01:59", time.March, 8, "2026-03-08 01:59"},
		{"UTC", "02:30", time.March, 27, "2026-03-27 02:30"},
	} {
		zone, err := time.LoadLocation(c.zone)
		must(t, err)
		hour, err := time.ParseInLocation("2006-01-02 15:04", "2026-01-15 "+c.hour, zone)
		must(t, err)
		r := Room{zone: zone}
		if got := r.onDay(2026, c.month, c.day, hour).Format("2006-01-02 15:04"); got != c.want {
			t.Errorf("%s %s on %s %d is %s, want %s", c.zone, c.hour, c.month, c.day, got, c.want)
		}
	}
}
