package seed

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// draw is the chance of one customer.
type draw struct{ *rand.Rand }

// drawOf is the same for the same seed and number, in whatever order they are asked for.
func drawOf(seed uint64, i int) draw { return draw{rand.New(rand.NewPCG(seed, uint64(i)))} }

func (d draw) chance(percent int) bool { return d.IntN(100) < percent }

func (d draw) pick(from []string) string { return from[d.IntN(len(from))] }

func (d draw) language() Language {
	switch n := d.IntN(100); {
	case n < 60:
		return Hebrew
	case n < 85:
		return Russian
	}
	return English
}

// both splits "דנה:dana" into the name and how it is written in an address.
func both(entry string) (name, latin string) {
	name, latin, _ = strings.Cut(entry, ":")
	if latin == "" {
		latin = strings.ToLower(name)
	}
	return name, latin
}

// person draws a name; a woman's Russian family name has a woman's ending.
func (d draw) person(w *world) (name, latin string) {
	woman := d.chance(50)
	names := w.men
	if woman {
		names = w.women
	}
	first, firstLatin := both(d.pick(names))
	last, lastLatin := both(d.pick(w.families))
	if woman && w.language == Russian {
		last, lastLatin = feminine(last), lastLatin+"a"
	}
	return first + " " + last, firstLatin + "." + lastLatin
}

func feminine(family string) string {
	if stem, ok := strings.CutSuffix(family, "ский"); ok {
		return stem + "ская"
	}
	return family + "а"
}

func (d draw) company(w *world) (name, latin string) {
	word, latin := both(d.pick(w.words))
	family, _ := both(d.pick(w.families))
	name = strings.NewReplacer("*", word, "#", family).Replace(d.pick(w.firms))
	return name, latin
}

func (d draw) address(w *world) string {
	return fmt.Sprintf(w.street, d.pick(w.streets), 1+d.IntN(120), 1+d.IntN(40))
}

func (d draw) birthday() string {
	return time.Date(1940+d.IntN(65), time.January, 1+d.IntN(365), 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
}

// email is unique since it holds the customer's number.
func (d draw) email(latin string, i int) string {
	domains := []string{"mail.test", "post.test", "office.example", "home.example", "box.test", "example.org"}
	return fmt.Sprintf("%s%d@%s", strings.ReplaceAll(latin, " ", ""), i, d.pick(domains))
}

// step is the product of two primes that divide no number of phones here, so that its multiples go round the whole
// circle before one comes again.
const step = 611_953 * 1009

// spread maps i to a number below size, different i below size to different numbers, in no visible order.
func spread(seed uint64, i, size int) int {
	return int((uint64(i)%uint64(size)*step + seed%uint64(size)) % uint64(size))
}
