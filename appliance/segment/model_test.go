package segment

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/store"
)

var asked = []string{`city = "Haifa"`, `score > 3 and not city = "Acre"`, `company.city = "Haifa"`, `company.holding.city != "Acre"`, `parent.company.city = "Haifa" or parent is empty`, `grade = "good"`, `due <= today`, `employer.city = "Haifa"`, ``}

// TestModel makes a few hundred random writes and holds the stored members, their counts and the facts to what the
// filters find.
func TestModel(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runModel(t, rand.New(rand.NewPCG(seed, 7))) })
	}
}

func runModel(t *testing.T, chance *rand.Rand) {
	o := open(t)
	var people, companies, segments []record.ID
	for i := range 3 {
		companies = append(companies, o.add("company", record.Values{"name": fmt.Sprint("c", i), "city": "Haifa"}).ID)
	}
	for _, text := range asked {
		segments = append(segments, o.segment(text).ID)
	}
	o.work()
	gone := map[record.ID]bool{}
	one := func(from []record.ID) any {
		if len(from) > 0 && chance.IntN(4) > 0 {
			if id := from[chance.IntN(len(from))]; !gone[id] {
				return id
			}
		}
		return nil
	}
	pick := func(from ...any) any { return from[chance.IntN(len(from))] }
	values := func(entity string) record.Values {
		if entity == "company" {
			return record.Values{"city": pick("Haifa", "Acre", nil), "holding": one(companies)}
		}
		return record.Values{"city": pick("Haifa", "Acre", "haifa", nil), "score": pick(1.0, 4.0, 9.0, nil), "company": one(companies), "employer": one(companies), "parent": one(people), "due": pick("2026-11-22", "2026-11-24", nil)}
	}
	for n := range 250 {
		var id record.ID
		entity, list := "contact", people
		if chance.IntN(3) == 0 {
			entity, list = "company", companies
		}
		if len(list) > 0 {
			id = list[chance.IntN(len(list))]
		}
		switch {
		case entity == "contact" && (len(people) < 5 || chance.IntN(6) == 0):
			v := values(entity)
			v["name"] = fmt.Sprint("p", n)
			people = append(people, o.add(entity, v).ID)
		case gone[id]:
			if _, err := o.book.Restore(as(t, access.Owner), entity, id); err != nil {
				t.Fatal(err)
			}
			delete(gone, id)
		default:
			rec, err := o.book.Get(as(t, access.Owner), entity, id)
			must(t, err)
			if chance.IntN(5) == 0 {
				must(t, o.book.Delete(as(t, access.Owner), entity, id, rec.Version()))
				gone[id] = true
				break
			}
			v := values(entity)
			for name := range v {
				if chance.IntN(2) == 0 {
					delete(v, name)
				}
			}
			must(t, second(o.book.Change(as(t, access.Owner), entity, id, rec.Version(), v)))
		}
		if chance.IntN(20) == 0 {
			o.pass(o.clock().Add(7 * time.Hour).UTC().Format(time.RFC3339))
			o.work()
		}
		for i, s := range segments {
			if strings.Contains(asked[i], "employer") || strings.Contains(asked[i], "today") {
				continue // a job follows
			}
			if got, want := o.members(s), o.foundBy(s); !slices.Equal(got, want) {
				t.Fatalf("after write %d (%s %s) members of %s are %v, want %v", n, entity, id, asked[i], got, want)
			}
		}
	}
	o.work()
	for i, s := range segments {
		if got, want := o.members(s), o.foundBy(s); !slices.Equal(got, want) {
			t.Errorf("at the end members of %s are %v, want %v", asked[i], got, want)
		}
		o.holdFacts(s)
	}
}

// holdFacts replays the facts of a segment that began empty: whoever joined and did not leave is a member.
func (o *office) holdFacts(id record.ID) {
	o.t.Helper()
	all, err := o.journal.After(o.t.Context(), 0, 1_000_000)
	must(o.t, err)
	in := map[string]bool{}
	for _, f := range all {
		if f.About["segment"] != id.String() {
			continue
		}
		if joined := f.Name == "segment.joined"; in[f.ID] == joined {
			o.t.Errorf("%s %s twice", f.ID, f.Name)
		} else {
			in[f.ID] = joined
		}
	}
	must(o.t, o.db.View(o.t.Context(), func(tx store.Tx) error {
		for key := range tx.Bucket(membersBucket).Scan(id[:], store.PrefixEnd(id[:]), false) {
			member := record.ID(key[16:]).String()
			if !in[member] {
				o.t.Errorf("no fact says that %s joined", member)
			}
			delete(in, member)
		}
		return nil
	}))
	for left, is := range in {
		if is {
			o.t.Errorf("no fact says that %s left", left)
		}
	}
}

// BenchmarkCreate makes records while there are none and twenty segments.
func BenchmarkCreate(b *testing.B) {
	for _, n := range []int{0, 20} {
		b.Run(fmt.Sprint(n, " segments"), func(b *testing.B) {
			o := open(b)
			for i := range n {
				o.add("segment", record.Values{"name": fmt.Sprint(i), "kind": "contact", "filter": fmt.Sprintf(`city = "city %d" and score > %d`, i, i)})
			}
			o.work()
			ctx := as(b, access.Owner)
			i := 0
			for b.Loop() {
				must(b, o.book.Update(ctx, func(tx store.Tx) error {
					for range 100 {
						i++
						c := record.Change{Entity: "contact", Values: record.Values{"name": fmt.Sprint("name ", i), "city": fmt.Sprint("city ", i%40), "score": float64(i % 10)}}
						if _, err := o.book.CreateTx(ctx, tx, c); err != nil {
							return err
						}
					}
					return nil
				}))
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(i)*1e6, "µs/record")
		})
	}
}

// BenchmarkScan computes a segment of many records.
func BenchmarkScan(b *testing.B) {
	o := open(b)
	ctx := as(b, access.Owner)
	const n = 20_000
	for from := 0; from < n; from += 1000 {
		must(b, o.book.Update(ctx, func(tx store.Tx) error {
			for i := range 1000 {
				c := record.Change{Entity: "contact", Values: record.Values{"name": fmt.Sprint("name ", from+i), "city": fmt.Sprint("city ", i%40), "score": float64(i % 10)}}
				if _, err := o.book.CreateTx(ctx, tx, c); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	s := o.segment(`score > 5`)
	for b.Loop() {
		must(b, o.book.Update(ctx, func(tx store.Tx) error { return o.begin(tx, s.ID, progress{Scanning: true, Quiet: true}) }))
		for more := true; more; {
			must(b, o.book.Update(ctx, func(tx store.Tx) (err error) { more, err = o.step(ctx, tx, s.ID); return err }))
		}
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "records/s")
}
