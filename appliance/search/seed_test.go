package search

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/seed"
	"github.com/karov-crm/karov/appliance/store"
)

// TestSyntheticOffice looks for words of an office's names as people mistype them. Where a mistyped word is a word or
// the beginning of one itself, others are rightly found; so not each must find what was meant, but nearly each.
func TestSyntheticOffice(t *testing.T) {
	o := open(t)
	var docs []Doc
	var names []string
	for c := range seed.Contacts(1, 5000) {
		docs = append(docs, synthetic(c, time.Unix(1_770_000_000+int64(c.Index), 0)))
		names = append(names, c.Name)
	}
	must(t, o.db.Update(t.Context(), func(tx store.Tx) error { return PutAll(tx, docs) }))
	d := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		what     string
		mistype  func(word string) string
		of100    int
		atLeast  int
		lettersN int
	}{
		{"one typing error", func(word string) string { return slip(d, word) }, 95, 250, 5},
		{"another layout", otherKeys, 97, 250, 3},
	} {
		asked, found := 0, 0
		for range 1500 {
			words := Words(names[d.IntN(len(names))])
			word := words[d.IntN(len(words))]
			query := c.mistype(word)
			if utf8.RuneCountInString(word) < c.lettersN || query == "" || query == word {
				continue
			}
			hits, err := o.Find(as(t, access.Owner, "o"), query, 20)
			must(t, err)
			asked++
			if slices.ContainsFunc(hits, func(h Hit) bool { return slices.Contains(Words(h.Title), word) }) {
				found++
			} else {
				t.Logf("%s: %q does not find %q", c.what, query, word)
			}
		}
		if asked < c.atLeast || found*100 < asked*c.of100 {
			t.Errorf("%s: %d of %d were found", c.what, found, asked)
		}
	}
}

// slip makes one typing error, not in the first letter.
func slip(d *rand.Rand, word string) string {
	letters := []rune(word)
	if len(letters) < 5 || letters[0] < 'a' {
		return ""
	}
	switch at := 1 + d.IntN(len(letters)-1); d.IntN(4) {
	case 0:
		letters[at], letters[at-1] = letters[at-1], letters[at]
	case 1:
		letters = slices.Delete(letters, at, at+1)
	case 2:
		letters = slices.Insert(letters, at, letters[d.IntN(len(letters))])
	default:
		letters[at] = letters[(at+2)%len(letters)]
	}
	return string(letters)
}

// otherKeys writes a Hebrew or Russian word with the Latin layout on.
func otherKeys(word string) string {
	for _, l := range layouts[1:] {
		if l.wrote(word) {
			return l.as(layouts[0], word)
		}
	}
	return ""
}
