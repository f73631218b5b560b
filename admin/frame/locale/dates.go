package locale

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// golang.org/x/text has no date patterns, so each language's own stand here, one small table.
type calendar struct {
	months  [12]string // as they stand after a day's number
	short   [12]string
	days    [7]string // from Sunday
	day     string    // a date of this year: {d} day, {m} month
	year    string    // a date of another year: {y} besides
	group   string    // between thousands
	decimal string
	units   [4]string // bytes, kilo, mega, giga
}

func calendarOf(lang string) calendar {
	switch lang {
	case "he":
		return calendar{
			months: [12]string{"ינואר", "פברואר", "מרץ", "אפריל", "מאי", "יוני", "יולי", "אוגוסט", "ספטמבר", "אוקטובר", "נובמבר", "דצמבר"},
			short:  [12]string{"ינו׳", "פבר׳", "מרץ", "אפר׳", "מאי", "יוני", "יולי", "אוג׳", "ספט׳", "אוק׳", "נוב׳", "דצמ׳"},
			days:   [7]string{"יום ראשון", "יום שני", "יום שלישי", "יום רביעי", "יום חמישי", "יום שישי", "שבת"},
			day:    "{d} ב{m}", year: "{d} ב{m} {y}", group: ",", decimal: ".",
			units: [4]string{"בתים", "ק״ב", "מ״ב", "ג״ב"},
		}
	case "ru":
		return calendar{
			months: [12]string{"января", "февраля", "марта", "апреля", "мая", "июня", "июля", "августа", "сентября", "октября", "ноября", "декабря"},
			short:  [12]string{"янв.", "февр.", "мар.", "апр.", "мая", "июн.", "июл.", "авг.", "сент.", "окт.", "нояб.", "дек."},
			days:   [7]string{"воскресенье", "понедельник", "вторник", "среда", "четверг", "пятница", "суббота"},
			day:    "{d} {m}", year: "{d} {m} {y}", group: "\u00a0", decimal: ",",
			units: [4]string{"Б", "КБ", "МБ", "ГБ"},
		}
	}
	return calendar{
		months: [12]string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"},
		short:  [12]string{"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"},
		days:   [7]string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"},
		day:    "{d} {m}", year: "{d} {m} {y}", group: ",", decimal: ".",
		units: [4]string{"bytes", "KB", "MB", "GB"},
	}
}

// Number writes a whole number with the language's thousands.
func (v *Voice) Number(n int) string {
	s, sign := strconv.Itoa(n), ""
	if n < 0 {
		s, sign = s[1:], "-"
	}
	var b strings.Builder
	for i, digit := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteString(calendarOf(v.Code).group)
		}
		b.WriteRune(digit)
	}
	return sign + b.String()
}

// Decimal writes a number with as many decimals as it has, at most six.
func (v *Voice) Decimal(x float64) string {
	text := strings.TrimRight(strings.TrimRight(strconv.FormatFloat(math.Abs(x), 'f', 6, 64), "0"), ".")
	whole, rest, broken := strings.Cut(text, ".")
	n, err := strconv.Atoi(whole)
	if err != nil { // beyond what an office counts
		return strconv.FormatFloat(x, 'g', -1, 64)
	}
	out := v.Number(n)
	if broken {
		out += calendarOf(v.Code).decimal + rest
	}
	if x < 0 && out != "0" {
		out = "-" + out
	}
	return out
}

// Size writes a number of bytes as people read it.
func (v *Voice) Size(bytes int64) string {
	c, f, unit := calendarOf(v.Code), float64(bytes), 0
	for f >= 1024 && unit < len(c.units)-1 {
		f, unit = f/1024, unit+1
	}
	precision := 0
	if unit > 0 && f < 10 {
		precision = 1
	}
	number := strings.ReplaceAll(strconv.FormatFloat(f, 'f', precision, 64), ".", c.decimal)
	return number + "\u00a0" + c.units[unit]
}

// Clock writes the time of day in the office's zone.
func (v *Voice) Clock(t time.Time) string { return t.In(v.zone).Format("15:04") }

// Date writes a day in full, with its year.
func (v *Voice) Date(t time.Time) string {
	c := calendarOf(v.Code)
	return c.write(c.year, c.months, t.In(v.zone))
}

// Moment writes a day and a time in full, for titles and print.
func (v *Voice) Moment(t time.Time) string { return v.Date(t) + ", " + v.Clock(t) }

// Stamp is for machines: the datetime attribute of a time element.
func (v *Voice) Stamp(t time.Time) string { return t.In(v.zone).Format(time.RFC3339) }

// When writes a moment as short as now allows: the time today, "yesterday", a day of this week, a date.
func (v *Voice) When(t, now time.Time) string {
	t, now = t.In(v.zone), now.In(v.zone)
	c := calendarOf(v.Code)
	switch ago := daysBetween(t, now); {
	case ago == 0:
		return v.Clock(t)
	case ago == 1:
		return v.T("time.yesterday") + " " + v.Clock(t)
	case ago > 1 && ago < 7:
		return c.days[t.Weekday()] + " " + v.Clock(t)
	case t.Year() == now.Year():
		return c.write(c.day, c.short, t)
	}
	return c.write(c.year, c.short, t)
}

// Day names the day of a moment, for the lines between the days of a conversation or a timeline.
func (v *Voice) Day(t, now time.Time) string {
	t, now = t.In(v.zone), now.In(v.zone)
	c := calendarOf(v.Code)
	switch ago := daysBetween(t, now); {
	case ago == 0:
		return v.T("time.today")
	case ago == 1:
		return v.T("time.yesterday")
	case t.Year() == now.Year():
		return c.days[t.Weekday()] + ", " + c.write(c.day, c.months, t)
	}
	return c.write(c.year, c.months, t)
}

// Waited writes how long somebody has been waiting: minutes, hours, then days.
func (v *Voice) Waited(d time.Duration) string {
	switch {
	case d < time.Minute:
		return v.T("time.just-now")
	case d < time.Hour:
		return v.N("time.minutes", int(d/time.Minute))
	case d < 48*time.Hour:
		return v.N("time.hours", int(d/time.Hour))
	}
	return v.N("time.days", int(d/(24*time.Hour)))
}

func (c calendar) write(pattern string, months [12]string, t time.Time) string {
	return strings.NewReplacer("{d}", strconv.Itoa(t.Day()), "{m}", months[t.Month()-1], "{y}", strconv.Itoa(t.Year())).Replace(pattern)
}

// daysBetween counts midnights, not hours, so that "yesterday" is right at one in the morning and across daylight saving.
func daysBetween(t, now time.Time) int {
	day := func(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), t.Day(), 12, 0, 0, 0, time.UTC) }
	return int(day(now).Sub(day(t)).Hours() / 24)
}
