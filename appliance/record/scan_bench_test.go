package record

import (
	"fmt"
	"testing"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/store"
)

// BenchmarkFilterOfAll tests two fields that no index has on every record.
func BenchmarkFilterOfAll(b *testing.B) {
	o := open(b)
	ctx := as(b, access.Owner)
	const n = 50_000
	for from := 0; from < n; from += 5000 {
		must(b, o.Update(ctx, func(tx store.Tx) error {
			for i := from; i < from+5000; i++ {
				_, err := o.CreateTx(ctx, tx, Change{Entity: "contact", Inside: true, Values: Values{"name": fmt.Sprintf("דנה כהן %d", i),
					"emails": []string{fmt.Sprintf("dana%d@example.org", i)}, "note": "רחוב הרצל 17, חיפה", "score": float64(i % 100), "vip": i%3 == 0}})
				if err != nil {
					return err
				}
			}
			return nil
		}))
	}
	f, err := o.Parse(ctx, "contact", `note = "תל אביב" or score > 98 and vip`)
	must(b, err)
	b.ReportAllocs()
	rounds := 0
	for b.Loop() {
		if _, err := o.CountAll(ctx, Query{Entity: "contact", Filter: f}); err != nil {
			b.Fatal(err)
		}
		rounds++
	}
	b.ReportMetric(float64(n*rounds)/b.Elapsed().Seconds(), "records/s")
}
