package record

import (
	"fmt"
	"testing"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/store"
)

// filled is a book of n contacts, every tenth of them Dana's.
func filled(b *testing.B, n int) *office {
	b.Helper()
	o, ctx := open(b), as(b, access.Owner)
	first := []string{"דנה", "יוסי", "Анна", "Борис", "John", "Mary"}
	for at := 0; at < n; at += 500 {
		must(b, o.Update(ctx, func(tx store.Tx) error {
			for i := at; i < min(at+500, n); i++ {
				v := Values{"name": fmt.Sprintf("%s %d", first[i%len(first)], i), "emails": []string{fmt.Sprintf("c%d@example.com", i)}}
				if i%10 == 0 {
					v["owner"] = "dana"
				}
				if _, err := o.CreateTx(ctx, tx, Change{Entity: "contact", Values: v}); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	return o
}

// BenchmarkCreate writes one contact a transaction, durably, among 10,000.
func BenchmarkCreate(b *testing.B) {
	o, ctx := filled(b, 10_000), as(b, access.Owner)
	for b.Loop() {
		if _, err := o.Create(ctx, "contact", Values{"name": "New Customer", "emails": []string{"new@example.com"}}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkList reads one page of 50 of 10,000 and its exact total.
func BenchmarkList(b *testing.B) {
	o := filled(b, 10_000)
	for _, role := range []access.Role{access.Owner, access.Agent} {
		for _, sort := range []string{"", "name"} {
			b.Run(fmt.Sprintf("%s/%s", role, sort), func(b *testing.B) {
				ctx := as(b, role, "dana")
				for b.Loop() {
					page, err := o.List(ctx, Query{Entity: "contact", Sort: sort})
					if _, _, err2 := o.Count(ctx, Query{Entity: "contact"}); err != nil || err2 != nil || len(page.Records) != 50 {
						b.Fatal(err, err2, len(page.Records))
					}
				}
			})
		}
	}
}
