package seed

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/nyaruka/phonenumbers"
)

func hash[T any](all iter.Seq[T]) string {
	h := sha256.New()
	for v := range all {
		fmt.Fprintf(h, "%+v\n", v)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// TestSameSeedSameCustomers fails when any customer or letter changes: then measurements no longer compare.
func TestSameSeedSameCustomers(t *testing.T) {
	if got, want := hash(Contacts(1, 2000)), "f08ebeda1f559aec"; got != want {
		t.Errorf("contacts of seed 1: %s, want %s", got, want)
	}
	if got, want := hash(Mails(1, 2000)), "4740296a4dee1276"; got != want {
		t.Errorf("mails of seed 1: %s, want %s", got, want)
	}
	if hash(Contacts(1, 100)) == hash(Contacts(2, 100)) || hash(Mails(1, 100)) == hash(Mails(2, 100)) {
		t.Error("another seed makes the same")
	}
}

func TestCustomerIsTheSameHoweverManyAreAsked(t *testing.T) {
	few := slices.Collect(Contacts(7, 50))
	i := 0
	for c := range Contacts(7, 5000) {
		if i == len(few) {
			break
		}
		if fmt.Sprint(c) != fmt.Sprint(few[i]) {
			t.Fatalf("customer %d: %+v, but %+v", i, c, few[i])
		}
		i++
	}
	if i != 50 {
		t.Errorf("%d customers", i)
	}
}

// TestCustomersAreDifferentAndReachable checks 10,000 customers of two seeds: no phone and no address twice, every
// sixteenth phone valid (the forms of all are below), every address under a test name.
func TestCustomersAreDifferentAndReachable(t *testing.T) {
	const n = 10_000
	for _, seed := range []uint64{1, 1<<63 + 12345} {
		seen := map[string]int{}
		languages := map[Language]int{}
		kinds := map[string]int{}
		for c := range Contacts(seed, n) {
			languages[c.Language]++
			kinds[c.Kind]++
			if c.Name == "" || c.City == "" || len(c.Phones) == 0 || !utf8.ValidString(fmt.Sprint(c)) || strings.ContainsAny(c.Name, "*#:|") {
				t.Fatalf("%+v", c)
			}
			for _, p := range c.Phones {
				e164 := "+" + digits(p)
				if c.Index%16 == 0 {
					number, err := phonenumbers.Parse(p, "IL")
					if err != nil || !phonenumbers.IsValidNumber(number) || phonenumbers.Format(number, phonenumbers.E164) != e164 {
						t.Fatalf("customer %d: phone %s is not valid, or not %s: %v", c.Index, p, e164, err)
					}
				}
				unique(t, seen, e164, c.Index)
			}
			for _, e := range c.Emails {
				unique(t, seen, e, c.Index)
				domain := e[strings.IndexByte(e, '@')+1:]
				if !strings.HasSuffix(domain, ".test") && !strings.HasSuffix(domain, ".example") && domain != "example.org" {
					t.Fatalf("customer %d: %s could reach somebody", c.Index, e)
				}
				for _, r := range e {
					if r >= utf8.RuneSelf || r == ' ' {
						t.Fatalf("customer %d: %q is no address", c.Index, e)
					}
				}
			}
		}
		for language, percent := range map[Language]int{Hebrew: 60, Russian: 25, English: 15} {
			if got := languages[language] * 100 / n; got < percent-2 || got > percent+2 {
				t.Errorf("%d %% are %s, want %d", got, language, percent)
			}
		}
		if kinds["company"] < n/20 || kinds["person"]+kinds["company"] != n {
			t.Errorf("kinds %v", kinds)
		}
	}
}

// digits gives the international digits of a phone that may be written as within Israel.
func digits(phone string) string {
	only := strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, phone)
	if rest, ok := strings.CutPrefix(only, "0"); ok {
		return "972" + rest
	}
	return only
}

func unique(t *testing.T, seen map[string]int, identity string, index int) {
	t.Helper()
	if other, ok := seen[identity]; ok {
		t.Fatalf("customers %d and %d share %s", other, index, identity)
	}
	seen[identity] = index
}

// TestNumbersDoNotRepeatUpToMost checks what makes phones unique: each list of forms is large enough, spread meets no
// number twice, forms of different languages and areas never write the same number, and any number of a form is valid.
func TestNumbersDoNotRepeatUpToMost(t *testing.T) {
	stems, sizes := map[string]string{}, map[int]bool{}
	for _, w := range everywhere() {
		groups := map[string][]string{"mobile": w.mobiles}
		for _, l := range w.landlines {
			groups[l] = list(l)
		}
		if len(w.landlines) != 1 && len(w.landlines) != len(w.cities) {
			t.Errorf("%s: %d cities, %d areas", w.language, len(w.cities), len(w.landlines))
		}
		for name, forms := range groups {
			size := len(forms) * pow10(free(forms[0]))
			if size < Most {
				t.Errorf("%s %s: only %d numbers", w.language, name, size)
			}
			if !sizes[size] {
				sizes[size] = true
				spreadsOut(t, size)
			}
			for k, form := range forms {
				if free(form) != free(forms[0]) {
					t.Errorf("%s leaves %d digits free, %s %d", form, free(form), forms[0], free(forms[0]))
				}
				for _, n := range []int{0, 1, pow10(free(form)) / 2, pow10(free(form)) - 1} {
					written := number(forms, n*len(forms)+k)
					p, err := phonenumbers.Parse(written, "IL")
					if err != nil || !phonenumbers.IsValidNumber(p) {
						t.Errorf("%s is not valid: %v", written, err)
						continue
					}
					e164 := phonenumbers.Format(p, phonenumbers.E164)
					if stem := e164[:len(e164)-free(form)]; stems[stem] != "" && stems[stem] != name+form {
						t.Errorf("%s and %s write the same numbers", stems[stem], name+form)
					} else {
						stems[stem] = name + form
					}
				}
			}
		}
	}
}

func spreadsOut(t *testing.T, size int) {
	t.Helper()
	if size%1009 == 0 || size%611_953 == 0 {
		t.Fatalf("multiples of the step come again before %d numbers are used", size)
	}
	met := make([]bool, size)
	for i := range 100_000 {
		n := spread(99, i, size)
		if met[n] {
			t.Fatalf("of %d numbers, %d comes twice", size, n)
		}
		met[n] = true
	}
}

func TestMails(t *testing.T) {
	subjects, languages := map[string]bool{}, map[Language]int{}
	next, stop := iter.Pull(Contacts(5, 500))
	defer stop()
	for m := range Mails(5, 500) {
		c, _ := next()
		if m.Language != c.Language || m.Index != c.Index {
			t.Fatalf("letter %d is in %s, its customer in %s", m.Index, m.Language, c.Language)
		}
		if m.Subject == "" || strings.Count(m.Text, "\n\n") != 2 || strings.ContainsAny(m.Subject+m.Text, "{}") {
			t.Fatalf("%+v", m)
		}
		if letters := strings.ContainsFunc(m.Text, func(r rune) bool { return r >= 'א' && r <= 'ת' }); letters != (m.Language == Hebrew) {
			t.Fatalf("%+v", m)
		}
		subjects[m.Subject] = true
		languages[m.Language]++
	}
	if len(subjects) < 100 || len(languages) != 3 {
		t.Errorf("%d subjects, languages %v", len(subjects), languages)
	}
}

func BenchmarkContacts(b *testing.B) {
	for b.Loop() {
		for range Contacts(1, 1000) {
		}
	}
	b.ReportMetric(float64(1000*b.N)/b.Elapsed().Seconds(), "contacts/s")
}
