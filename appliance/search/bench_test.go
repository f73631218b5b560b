package search

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/seed"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

// agents is among how many people the contacts of a benchmark are shared out.
const agents = 20

func synthetic(c seed.Contact, at time.Time) Doc {
	doc := Doc{Entity: "contact", Title: c.Name, Recent: at, Principals: []string{"agent" + strconv.Itoa(c.Index%agents)}}
	binary.BigEndian.PutUint64(doc.ID[:], uint64(c.Index))
	doc.Parts = append(doc.Parts, Part{"name", Name, c.Name, false})
	if c.Company != "" {
		doc.Parts = append(doc.Parts, Part{"company", Text, c.Company, true})
	}
	doc.Parts = append(doc.Parts, Part{"city", Text, c.City, true})
	for i, p := range c.Phones {
		digits := Digits(p)
		if digits[0] == '0' {
			digits = "972" + digits[1:]
		}
		doc.Parts = append(doc.Parts, Part{"phones", Phone, "+" + digits, i == 0})
	}
	for i, m := range c.Emails {
		doc.Parts = append(doc.Parts, Part{"emails", Email, m, i == 0})
	}
	return doc
}

// full is a store with many contacts, made once for all benchmarks of a run.
var full = sync.OnceValues(func() (o *office, err error) {
	n, _ := strconv.Atoi(os.Getenv("SEARCH_CONTACTS"))
	if n == 0 {
		n = 20_000
	}
	path := os.Getenv("SEARCH_STORE") // where it is kept for another run
	if path == "" {
		dir, err := os.MkdirTemp("", "search")
		if err != nil {
			return nil, err
		}
		path = filepath.Join(dir, "karov.db")
	}
	_, missing := os.Stat(path)
	db, err := bolt.Open(path)
	if err != nil {
		return nil, err
	}
	gate, err := access.NewGate()
	if err != nil || missing == nil {
		return &office{Index: New(db, gate), db: db, gate: gate}, err
	}
	var docs []Doc
	at, began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Now()
	var cpu time.Duration
	flush := func() {
		if err == nil {
			err = db.Update(access.WithActor(testContext(), access.Appliance()), func(tx store.Tx) error {
				start := time.Now()
				defer func() { cpu += time.Since(start) }()
				return PutAll(tx, docs)
			})
		}
		docs = docs[:0]
	}
	for c := range seed.Contacts(1, n) {
		if docs = append(docs, synthetic(c, at.Add(time.Duration(c.Index)*time.Second/20))); len(docs) == 1000 {
			flush()
		}
	}
	flush()
	if err != nil {
		return nil, err
	}
	keys, size := 0, 0
	err = db.View(testContext(), func(tx store.Tx) error {
		for _, name := range Buckets() {
			k, s := 0, 0
			for key, value := range tx.Bucket(name).Scan(nil, nil, false) {
				k++
				s += len(key) + len(value) + 16
			}
			keys, size = keys+k, size+s
			fmt.Printf("%s: %d keys, %.1f bytes a contact\n", name, k, float64(s)/float64(n))
		}
		return nil
	})
	fmt.Printf("%d contacts in %v (PutAll %.1f µs each), %.2f keys and %.0f bytes a contact, file %.0f\n", n, time.Since(began).Round(time.Millisecond), float64(cpu.Microseconds())/float64(n),
		float64(keys)/float64(n), float64(size)/float64(n), float64(db.Size())/float64(n))
	return &office{Index: New(db, gate), db: db, gate: gate}, err
})

func BenchmarkFind(b *testing.B) {
	o, err := full()
	must(b, err)
	b.Run("floor", o.floor)
	for _, role := range []access.Role{access.Owner, access.Agent} {
		for _, q := range []struct{ name, text string }{
			{"two-letters", "כה"}, {"full-name", "משה כהן"}, {"phone-4", "4567"}, {"phone-7", "4561237"}, {"phone-whole", "+972 52-234-5678"}, {"alphabet", "kohen"},
			{"alphabet-begun", "мих"}, {"layout", "fvi"}, {"layout-latin", "בםיקמ"}, {"typo", "кузнацов"}, {"typo-first", "ьузнецов"}, {"two-starts", "דנ כה"}, {"email", "moshe.cohen"},
			{"nothing", "qqxxzz"}, {"one-letters", "א ב ג"}, {"phone-start", "05223456"}, {"phone-3", "456"}, {"city", "חיפה"}, {"rare-pair", "john כהן"}, {"many", "אא בב גג דד הה וו זז חח טט"},
		} {
			b.Run(fmt.Sprintf("%s/%s", role, q.name), func(b *testing.B) {
				ctx := as(b, role, "agent7")
				hits := 0
				percentiles(b, func() {
					found, err := o.Find(ctx, q.text, 20)
					must(b, err)
					hits = len(found)
				})
				b.ReportMetric(float64(hits), "hits")
			})
		}
	}
}

// floor reads the least that an answer needs: twenty keys that stand together, and twenty docs.
func (o *office) floor(b *testing.B) {
	d := rand.New(rand.NewPCG(1, 1))
	var stamps [][]byte
	must(b, o.db.View(b.Context(), func(tx store.Tx) error {
		for _, stamp := range tx.Bucket(stampsBucket).Scan(nil, nil, false) {
			stamps = append(stamps, slices.Clone(stamp))
		}
		return nil
	}))
	size := 0
	percentiles(b, func() {
		must(b, o.db.View(b.Context(), func(tx store.Tx) error {
			records, n := tx.Bucket(recordsBucket), 0
			for range tx.Bucket(stampsBucket).Scan(docKey("contact", [16]byte{6: byte(d.Uint32())}), nil, false) {
				if n++; n == 20 {
					break
				}
				size += len(records.Get(stamps[d.IntN(len(stamps))]))
			}
			return nil
		}))
	})
}

func percentiles(b *testing.B, fn func()) {
	var took []time.Duration
	used := cpuTime()
	for b.Loop() {
		start := time.Now()
		fn()
		took = append(took, time.Since(start))
	}
	b.ReportMetric(float64((cpuTime()-used).Nanoseconds())/float64(len(took))/1e3, "cpu-µs")
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e3, "µs-p50")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e3, "µs-p99")
}

func putEach(tx store.Tx, docs []Doc) error {
	for _, doc := range docs {
		if err := Put(tx, doc); err != nil {
			return err
		}
	}
	return nil
}

// putBare writes what an index of one key for each term would write.
func putBare(tx store.Tx, docs []Doc) error {
	for _, doc := range docs {
		var d stored
		if err := d.decode(encode(doc)); err != nil {
			return err
		}
		for _, term := range termsOf(&d) {
			tx.Bucket("bare").Put(append(append(term, 0), doc.ID[:]...), nil)
		}
		tx.Bucket("docs").Put(doc.ID[:], encode(doc))
	}
	return nil
}

// BenchmarkPut writes new contacts into a store that has many: one by one within transactions of a thousand, and all of
// a thousand at once. The time of the commit is not in it.
func BenchmarkPut(b *testing.B) {
	for name, put := range map[string]func(store.Tx, []Doc) error{"bare": putBare, "one-by-one": putEach, "all": PutAll} {
		b.Run(name, func(b *testing.B) {
			o := open(b)
			var docs []Doc
			for c := range seed.Contacts(2, 50_000) {
				docs = append(docs, synthetic(c, time.Unix(1_770_000_000+int64(c.Index)/10, 0)))
			}
			var inside, cpu time.Duration
			n := 0
			for n < b.N || n == 0 {
				must(b, o.db.Update(b.Context(), func(tx store.Tx) error {
					some := docs[n%len(docs):][:1000]
					for i := range some {
						binary.BigEndian.PutUint64(some[i].ID[:], uint64(n+i))
					}
					start, used := time.Now(), cpuTime()
					defer func() { inside, cpu = inside+time.Since(start), cpu+cpuTime()-used }()
					return put(tx, some)
				}))
				n += 1000
			}
			b.ReportMetric(float64(inside.Nanoseconds())/float64(n)/1e3, "µs/contact")
			b.ReportMetric(float64(cpu.Nanoseconds())/float64(n)/1e3, "cpu-µs/contact")
		})
	}
}

// cpuTime is what the process has used, which others on the machine change less than they do the clock.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
