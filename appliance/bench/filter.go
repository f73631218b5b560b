package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/karov-crm/karov/appliance/record"
)

// filterGoal is in records a second.
const filterGoal = 1_000_000

// filters measures conditions that no index serves: every customer is looked at. The floor reads every customer's bytes
// and looks at nothing.
func (r *run) filters(ctx context.Context) error {
	ctx = r.owner(ctx)
	least := r.floor(1)
	for _, text := range []string{`city = "חיפה" and kind = "company"`, `note contains "חשבונית" or birthday < 1960-01-01`} {
		f, err := r.o.Book.Parse(ctx, "contact", text)
		if err != nil {
			return err
		}
		var rates, floors, ratios []float64
		found := 0
		for round := -1; round < rounds; round++ {
			start := time.Now()
			pairs, _, err := least.Scan("record.contact")
			if err != nil {
				return err
			}
			theirs := float64(pairs) / time.Since(start).Seconds()
			start = time.Now()
			if found, err = r.o.Book.CountAll(ctx, record.Query{Entity: "contact", Filter: f}); err != nil {
				return err
			}
			mine := float64(pairs) / time.Since(start).Seconds()
			if round >= 0 {
				rates, floors, ratios = append(rates, mine), append(floors, theirs), append(ratios, mine/theirs)
			}
		}
		rate := median(rates)
		r.add(Row{Name: "filter over all: " + text, Value: rate, Unit: "/s", Floor: median(floors), Ratio: median(ratios),
			Goal: "≥ 1,000,000 /s", Pass: rate >= filterGoal && found > 0, Note: fmt.Sprintf("%d found", found)})
	}
	return nil
}
