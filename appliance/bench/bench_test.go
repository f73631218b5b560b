package bench

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/seed"
)

func TestMedianAndPercentile(t *testing.T) {
	if got := median([]float64{9, 1, 5, 3, 100}); got != 5 {
		t.Errorf("median %v", got)
	}
	var all []time.Duration
	for i := range 100 {
		all = append(all, time.Duration(i))
	}
	if at(all, 50) != 50 || at(all, 99) != 99 || at(all[:1], 99) != 0 {
		t.Errorf("percentiles %v %v", at(all, 50), at(all, 99))
	}
}

func TestGrowth(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		seen        []uint64
		later, peak float64
	}{{[]uint64{10 * mb}, 0, 0}, {[]uint64{10 * mb, 50 * mb, 40 * mb, 60 * mb}, 10, 50}, {[]uint64{10 * mb, 50 * mb, 20 * mb, 30 * mb}, 0, 40}} {
		if later, peak := growth(c.seen); later != c.later || peak != c.peak {
			t.Errorf("%v: %v, %v", c.seen, later, peak)
		}
	}
}

// TestTurnsAlternate: were the floor always first, whoever comes second would find warm caches.
func TestTurnsAlternate(t *testing.T) {
	r := &run{Options: Options{Asks: 1}}
	var order string
	_, err := r.inTurn(func(int) error { order += "p"; return nil }, func(int) error { order += "f"; return nil })
	if err != nil || order != "pffppffppffp"[:len(order)] || len(order) != 2*(rounds+1) {
		t.Errorf("%q %v", order, err)
	}
}

// TestHistories counts whose the messages are: everybody's few, 50 of some, a long history of one, none in a lump.
func TestHistories(t *testing.T) {
	r := &run{Options: Options{Messages: 5, History: 3000}, data: &data{contacts: make([]record.ID, 1000)}}
	count, latest := map[int32]int{}, map[int32]int{}
	order := r.order()
	for i, c := range order {
		count[c]++
		if c == cards && count[c] > 1 && i-latest[c] > 60 {
			t.Errorf("the long history rests from %d to %d", latest[c], i)
		}
		latest[c] = i
	}
	for c, want := range map[int32]int{0: short, 19: short, 20: 3000, 21: 5, 999: 5} {
		if count[c] != want {
			t.Errorf("customer %d has %d messages, want %d", c, count[c], want)
		}
	}
	if len(order) != 5*979+20*short+3000 {
		t.Errorf("%d messages", len(order))
	}
}

func TestQuestions(t *testing.T) {
	for word, typed := range map[string]string{"כהן": "fvi", "копылов": "rjgskjd", "cohen": "בםיקמ"} {
		if got := mistyped(word); got != typed {
			t.Errorf("%s typed with another layout is %q, not %q", word, got, typed)
		}
	}
	d := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		wrong := []rune(misspelt(d, "mikhail"))
		if len(wrong) > 0 && (wrong[0] != 'm' || len(wrong) < 6 || string(wrong) == "mikhail") {
			t.Fatalf("misspelt: %s", string(wrong))
		}
	}
	if misspelt(d, "anna") != "" {
		t.Error("a short word was misspelt")
	}
	forms := map[string]bool{}
	for range 100 {
		forms[phoneForm(d, seed.Contact{Phones: []string{"050-1234567"}})] = true
	}
	for _, want := range []string{"0501234567", "972501234567", "+972 50 1234567", "050-1234567"} {
		if !forms[want] {
			t.Errorf("nobody writes %s: %v", want, forms)
		}
	}
	for _, w := range ways() {
		asked := 0
		for c := range seed.Contacts(1, 300) {
			if w.text(d, c) != "" {
				asked++
			}
		}
		if asked < 100 {
			t.Errorf("by %s only %d of 300 can be looked for", w.name, asked)
		}
	}
}

// TestPatternIsTheSameForAnother: the floor must write as many pairs, of the same sizes, beside the same neighbours.
func TestPatternIsTheSameForAnother(t *testing.T) {
	db := filled(t)
	w := NewWrites(db)
	id := record.NewID()
	seen, err := w.capture(func() error { return createLike(t, w, id) })
	if err != nil || len(seen) != 1 || len(seen[0]) != 4 {
		t.Fatalf("captured %v, %v", seen, err)
	}
	other := record.NewID()
	puts := again(t, db, pattern{id, seen[0]}, other)
	for i, p := range puts {
		was := seen[0][i]
		if p.Bucket != was.Bucket || len(p.Key) != len(was.Key) || p.New != (i != 3) {
			t.Errorf("%q became %q, new %v", was.Key, p.Key, p.New)
		}
	}
	if string(puts[3].Value) != "8" || !slices.Equal(puts[0].Key, other[:]) {
		t.Errorf("%q", puts[3].Value)
	}
	if more, _ := w.capture(func() error { return nil }); len(more) != 0 {
		t.Errorf("captured %v of nothing", more)
	}
}
