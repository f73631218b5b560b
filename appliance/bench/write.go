package bench

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/seed"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt/floor"
)

const (
	clients      = 32
	createGoal   = 0.7
	importGoal   = 10_000
	memoryGoal   = 32 // MB by which the second half of an import may need more than the first
	importBatch  = 200
	patternsKept = 300
)

// creates measures durable creates by 32 clients at once, through the room, beside the floor that puts the same pairs.
func (r *run) creates(ctx context.Context) error {
	ctx = r.owner(ctx)
	fresh := r.strangers(rounds*r.Creates + r.Creates + patternsKept)
	patterns, err := r.patterns(ctx, fresh(patternsKept))
	if err != nil {
		return err
	}
	least := r.floor(clients)
	var rates, floors, ratios []float64
	for round := -1; round < rounds; round++ {
		people := fresh(r.Creates)
		mine, err := together(len(people), func(i int) error {
			_, err := r.o.Contacts.Create(ctx, valuesOf(people[i]))
			return err
		})
		if err != nil {
			return err
		}
		plan, err := r.plan(ctx, patterns, r.Creates)
		if err != nil {
			return err
		}
		theirs, err := together(len(plan), func(i int) error { return least.Write(plan[i]) })
		if err != nil {
			return err
		}
		if round >= 0 {
			rates, floors, ratios = append(rates, mine), append(floors, theirs), append(ratios, mine/theirs)
		}
	}
	ratio := median(ratios)
	pairs := 0
	for _, p := range patterns {
		pairs += len(p.puts)
	}
	r.add(Row{Name: "durable create, all indexes, 32 clients", Value: median(rates), Unit: "/s", Floor: median(floors), Ratio: ratio,
		Goal: "≥ 0.7x floor", Pass: ratio >= createGoal, Note: fmt.Sprintf("%.1f pairs a create", float64(pairs)/float64(len(patterns)))})
	return least.Undo()
}

// strangers gives customers that are not there yet, so many at a time.
func (r *run) strangers(n int) func(n int) []seed.Contact {
	var all []seed.Contact
	for c := range seed.Contacts(r.Seed+1, n) {
		all = append(all, c)
	}
	return func(n int) (some []seed.Contact) {
		some, all = all[:n], all[n:]
		return some
	}
}

// patterns makes customers one by one and remembers what each put.
func (r *run) patterns(ctx context.Context, people []seed.Contact) (all []pattern, err error) {
	for _, c := range people {
		var made record.ID
		puts, err := r.o.Writes.capture(func() error {
			m, err := r.o.Contacts.Create(ctx, valuesOf(c))
			made = m.ID
			return err
		})
		if err != nil {
			return nil, err
		}
		if len(puts) != 1 {
			return nil, fmt.Errorf("a create took %d transactions", len(puts))
		}
		all = append(all, pattern{made, puts[0]})
	}
	return all, nil
}

// plan prepares n creates for the floor.
func (r *run) plan(ctx context.Context, patterns []pattern, n int) (plan [][]floor.Put, err error) {
	err = r.o.Book.View(ctx, func(tx store.Tx) error {
		for i := range n {
			plan = append(plan, patterns[i%len(patterns)].again(tx, record.NewID()))
		}
		return nil
	})
	return plan, err
}

// together lets 32 clients do n things and gives how many a second they did.
func together(n int, do func(i int) error) (rate float64, err error) {
	var wg sync.WaitGroup
	var next atomic.Int64
	failed := make([]error, clients)
	start := time.Now()
	for c := range clients {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if failed[c] = do(i); failed[c] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return float64(n) / time.Since(start).Seconds(), errors.Join(failed...)
}

// imports measures the import of a file of many rows, beside the floor that puts as many pairs in as large transactions.
func (r *run) imports(ctx context.Context) error {
	path := filepath.Join(r.Folder, "bench.csv")
	if err := writeCSV(path, r.Seed+2, r.Rows); err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open the file to import: %w", err)
	}
	defer func() { _ = errors.Join(file.Close(), os.Remove(path)) }()
	runtime.GC()
	grown := watchMemory()
	start := time.Now()
	rows, err := r.o.Import(r.owner(ctx), file)
	rate := float64(rows) / time.Since(start).Seconds()
	growth, peak := grown()
	if err != nil {
		return err
	}
	if rows != r.Rows {
		return fmt.Errorf("%d of %d rows were imported", rows, r.Rows)
	}
	least, err := r.importFloor(ctx)
	if err != nil {
		return err
	}
	r.add(Row{Name: fmt.Sprintf("import of %d rows", rows), Value: rate, Unit: "/s", Floor: least, Ratio: rate / least,
		Goal: "≥ 10,000 /s", Pass: rate >= importGoal})
	r.add(Row{Name: "import, memory of its second half above its first", Value: growth, Unit: "MB", Goal: "≤ 32 MB", Pass: growth <= memoryGoal,
		Note: fmt.Sprintf("at its peak %.0f MB above what was held before", peak)})
	return nil
}

// importFloor is how many rows a second bare bbolt puts, of a tenth of the file.
func (r *run) importFloor(ctx context.Context) (rate float64, err error) {
	ctx = r.owner(ctx)
	people := r.strangers(patternsKept)(patternsKept)
	for i := range people { // not those that the creates make later
		people[i].Name, people[i].Phones, people[i].Emails = people[i].Name+" ב", nil, nil
	}
	patterns, err := r.patterns(ctx, people)
	if err != nil {
		return 0, err
	}
	plan, err := r.plan(ctx, patterns, max(importBatch, r.Rows/10))
	if err != nil {
		return 0, err
	}
	least := r.floor(1)
	start := time.Now()
	for some := range slices.Chunk(plan, importBatch) {
		if err := least.WriteAlone(slices.Concat(some...)); err != nil {
			return 0, err
		}
	}
	rate = float64(len(plan)) / time.Since(start).Seconds()
	return rate, least.Undo()
}

// writeCSV writes synthetic customers as an office would have them in a file.
func writeCSV(path string, number uint64, rows int) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write a file to import: %w", err)
	}
	w := csv.NewWriter(f)
	err = w.Write([]string{"name", "company", "phone", "email", "city", "address", "note", "birthday"})
	for c := range seed.Contacts(number, rows) {
		if err != nil {
			break
		}
		email := ""
		if len(c.Emails) > 0 {
			email = fmt.Sprintf("i%d.%s", c.Index, c.Emails[0])
		}
		err = w.Write([]string{fmt.Sprintf("%s %d", c.Name, c.Index), c.Company, c.Phones[0], email, c.City, c.Address,
			strings.ReplaceAll(c.Note, "\n", " "), c.Birthday})
	}
	w.Flush()
	if err := errors.Join(err, w.Error(), f.Close()); err != nil {
		return fmt.Errorf("write a file to import: %w", err)
	}
	return nil
}

// watchMemory looks at what the program holds of the system's memory for itself until it is asked: by how much the peak of
// the second half of the time is above that of the first, and the peak above the beginning, in MB. The store's file,
// which is mapped, is the system's to take back and does not count.
func watchMemory() (grown func() (later, peak float64)) {
	seen := []uint64{held()}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				seen = append(seen, held())
			}
		}
	}()
	return func() (later, peak float64) {
		close(stop)
		<-done
		return growth(seen)
	}
}

func growth(seen []uint64) (later, peak float64) {
	const mb = 1 << 20
	half := (len(seen) + 1) / 2
	first, second := slices.Max(seen[:half]), uint64(0)
	if half < len(seen) {
		second = slices.Max(seen[half:])
	}
	return max(0, float64(second)-float64(first)) / mb, (float64(max(first, second)) - float64(seen[0])) / mb
}

func held() uint64 {
	all := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(all)
	return all[0].Value.Uint64() - all[1].Value.Uint64()
}
