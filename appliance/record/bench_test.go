package record

import (
	"context"
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

// BenchmarkPages reads pages of 50 of 10,000 contacts: the first, one that is far, and those of a team of 20.
func BenchmarkPages(b *testing.B) {
	o, owner := filled(b, 10_000), as(b, access.Owner)
	gate, err := access.OpenGate(b.Context(), access.Options{DB: o.db, Now: o.clock.now,
		Tell:       func(context.Context, store.Tx, string, string, map[string]string) error { return nil },
		CheckWhere: func(string, string) error { return nil }, CheckField: func(string, string) error { return nil },
		Holders: func(store.Tx, access.Role) (int, error) { return 0, nil }})
	must(b, err)
	_, err = gate.SetRole(owner, 0, access.Rules{Name: "team-mate", Grants: []access.Grant{{Entity: "*", Verb: "*", Scope: access.Team}}})
	must(b, err)
	of := map[string]string{"dana": "team"}
	for i := range 19 {
		of[fmt.Sprint("m", i)] = "team"
	}
	gate.SetTeams(of)
	o.gate = gate
	page, ids := Page{}, 0
	for page, err = o.List(owner, Query{Entity: "contact", Limit: MaxLimit}); err == nil && ids < 9000; page, err = o.List(owner, Query{Entity: "contact", Limit: MaxLimit, Cursor: page.Next}) {
		must(b, o.Update(owner, func(tx store.Tx) error {
			for i, r := range page.Records {
				if _, err := o.ChangeTx(owner, tx, Change{Entity: "contact", ID: r.ID, Inside: true, Fact: "-", Values: Values{"owner": fmt.Sprint("m", i%19)}}); err != nil {
					return err
				}
			}
			return nil
		}))
		ids += len(page.Records)
	}
	must(b, err)
	far := ""
	for range 40 {
		page, err := o.List(owner, Query{Entity: "contact", Sort: "name", Limit: MaxLimit, Cursor: far})
		must(b, err)
		far = page.Next
	}
	for name, asked := range map[string]struct {
		ctx context.Context
		q   Query
	}{"first": {owner, Query{Sort: "name"}}, "far": {owner, Query{Sort: "name", Cursor: far}}, "team": {as(b, "team-mate", "dana"), Query{Sort: "name"}}} {
		asked.q.Entity = "contact"
		if name == "far" {
			asked.q.Cursor = far
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if page, err := o.List(asked.ctx, asked.q); err != nil || len(page.Records) != DefaultLimit {
					b.Fatal(err, len(page.Records))
				}
			}
		})
	}
}

// BenchmarkCreateMany writes 500 contacts a transaction, so that the disk's share is small.
func BenchmarkCreateMany(b *testing.B) {
	o, ctx := filled(b, 5_000), as(b, access.Owner)
	b.ReportAllocs()
	const batch = 500
	rounds := 0
	for b.Loop() {
		must(b, o.Update(ctx, func(tx store.Tx) error {
			for i := range batch {
				_, err := o.CreateTx(ctx, tx, Change{Entity: "contact", Values: Values{"name": fmt.Sprint("New Customer ", rounds, i),
					"emails": []string{"new@example.com"}, "owner": "dana", "kind": "person", "note": "note", "vip": true}})
				if err != nil {
					return err
				}
			}
			return nil
		}))
		rounds++
	}
	b.ReportMetric(float64(batch*rounds)/b.Elapsed().Seconds(), "records/s")
}
