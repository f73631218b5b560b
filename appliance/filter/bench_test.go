package filter

import (
	"fmt"
	"testing"
)

// contacts are records of the usual size, as the seed makes them.
func contacts(t testing.TB, o *office) (rows []*row) {
	t.Helper()
	cities := []string{"תל אביב", "ירושלים", "חיפה", "באר שבע", "Haifa", "Санкт-Петербург", "ראשון לציון"}
	kinds := []string{"person", "person", "person", "company"}
	for i := range 1000 {
		rows = append(rows, o.add("contact", byte(i), values{
			"name": fmt.Sprintf("אברהם בן דוד %d", i), "kind": kinds[i%len(kinds)], "company": id(100), "phones": []string{fmt.Sprintf("050-%07d", i*7919%10_000_000), "+972 3 765 43 21"},
			"emails": []string{fmt.Sprintf("avraham.bendavid%d@office.example", i)}, "city": cities[i%len(cities)], "note": "לקוח ותיק, מעדיף שיחה בבקרים. Likes coffee; звонить после обеда",
			"birthday": fmt.Sprintf("%d-%02d-%02d", 1940+i%60, 1+i%12, 1+i%28), "owner": "01990a3e-7c1b-7f00-8000-5a1d2c3b4e5f", "score": float64(i % 10), "last_at": moment("2026-11-20T22:30:00Z"), "due": fmt.Sprintf("2026-%02d-%02d", 1+i%12, 1+i%28),
			"tags": []string{"new"},
		}))
	}
	size := 0
	for _, r := range rows {
		size += len(r.raw)
	}
	if size /= len(rows); size < 300 || size > 500 {
		t.Fatalf("a contact has %d bytes", size)
	}
	return rows
}

var usual = []string{`city = "חיפה" and kind = "person"`, `kind = "person" and city = "חיפה"`, `city = "Haifa" or city = "חיפה"`, `city in ("חיפה", "ירושלים", "אילת", "עכו", "יפו")`, `note contains "coffee"`, `name starts "אברהם"`, `score > 5 and due < today+30d`, `last_at > today-90d`,
	`birthday is this week`, `age(birthday) >= 65`, `owner = me`, `phones = "050-1234567"`, `tags = "new" and not city is empty`}

func BenchmarkMatch(b *testing.B) {
	o, e := open(b), env(b)
	rows := contacts(b, o)
	for _, text := range usual {
		b.Run(text, func(b *testing.B) {
			f, err := Parse(text, o.Schema, "contact", Options{})
			must(b, err)
			b.ReportAllocs()
			r := &wiredRow{}
			var passed Row = r
			i, kept := 0, 0
			for b.Loop() {
				r.row = rows[i%len(rows)]
				if i++; f.Match(passed, e) {
					kept++
				}
			}
			b.ReportMetric(float64(kept)/float64(i), "kept/op")
			b.ReportMetric(float64(i)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

func BenchmarkParse(b *testing.B) {
	o := open(b)
	for b.Loop() {
		if _, err := Parse(`city = "חיפה" and not (birthday is this week or company.city starts "Tel")`, o.Schema, "contact", Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

// TestMatchAllocatesNothing holds the usual filters to it.
func TestMatchAllocatesNothing(t *testing.T) {
	o, e := open(t), env(t)
	rows := contacts(t, o)
	for _, text := range usual {
		f, err := Parse(text, o.Schema, "contact", Options{})
		must(t, err)
		for _, r := range rows[:10] {
			var passed Row = &wiredRow{r}
			if n := testing.AllocsPerRun(20, func() { f.Match(passed, e) }); n > 0 {
				t.Errorf("%s allocates %v times", text, n)
				break
			}
		}
	}
}
