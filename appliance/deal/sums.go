package deal

import (
	"maps"
	"math"
	"math/big"
	"slices"
	"time"

	"github.com/karov-crm/karov/appliance/schema"
)

// sums adds amounts up by currency, in as many digits as it takes.
type sums map[string]*big.Int

func (s sums) add(a schema.Amount) { s.weigh(a, 1) }

// weigh adds an amount several times.
func (s sums) weigh(a schema.Amount, times int64) {
	if a.Currency == "" || a.Minor == 0 {
		return
	}
	if s[a.Currency] == nil {
		s[a.Currency] = new(big.Int)
	}
	s[a.Currency].Add(s[a.Currency], new(big.Int).Mul(big.NewInt(a.Minor), big.NewInt(times)))
}

// amounts lists the sums by currency. One that no Amount can hold is the largest that can.
func (s sums) amounts() []schema.Amount { return s.parts(1) }

// parts is the same of one n-th of each, rounded half up.
func (s sums) parts(n int64) (amounts []schema.Amount) {
	for _, code := range slices.Sorted(maps.Keys(s)) {
		whole := new(big.Int).Add(s[code], big.NewInt(n/2))
		whole.Div(whole, big.NewInt(n))
		minor := int64(math.MaxInt64)
		if whole.IsInt64() {
			minor = whole.Int64()
		}
		amounts = append(amounts, schema.Amount{Minor: minor, Currency: code})
	}
	return amounts
}

// tally is an Outlook while it is added up.
type tally struct {
	count            int
	total, pct, gain sums
}

func newTally() *tally { return &tally{total: sums{}, pct: sums{}, gain: sums{}} }

func (t *tally) outlook(month string) Outlook {
	return Outlook{Month: month, Count: t.count, Total: t.total.amounts(), Weighted: t.pct.parts(100), Won: t.gain.amounts()}
}

// outlooks is a Forecast while it is added up.
type outlooks struct {
	first                time.Time // day 1 of the first month
	names                []string
	months               map[string]*tally
	late, later, undated *tally
	cut                  bool
}

func newOutlooks(begin time.Time, months int) *outlooks {
	o := &outlooks{first: time.Date(begin.Year(), begin.Month(), 1, 0, 0, 0, 0, time.UTC), months: map[string]*tally{},
		late: newTally(), later: newTally(), undated: newTally()}
	for i := range months {
		name := o.first.AddDate(0, i, 0).Format("2006-01")
		o.names = append(o.names, name)
		o.months[name] = newTally()
	}
	return o
}

// of finds what a day belongs to.
func (o *outlooks) of(day string) *tally {
	if len(day) < len("2006-01") {
		return o.undated
	}
	switch month := day[:len("2006-01")]; {
	case month < o.names[0]:
		return o.late
	case month > o.names[len(o.names)-1]:
		return o.later
	default:
		return o.months[month]
	}
}

func (o *outlooks) expect(day string, value schema.Amount, percent int) {
	t := o.of(day)
	t.count++
	t.total.add(value)
	t.pct.weigh(value, int64(percent))
}

func (o *outlooks) won(day string, value schema.Amount) { o.of(day).gain.add(value) }

func (o *outlooks) forecast() Forecast {
	f := Forecast{Late: o.late.outlook(""), Later: o.later.outlook(""), Undated: o.undated.outlook(""), Exact: !o.cut}
	for _, name := range o.names {
		f.Months = append(f.Months, o.months[name].outlook(name))
	}
	return f
}
