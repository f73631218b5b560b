package bench

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/karov-crm/karov/appliance/search"
	"github.com/karov-crm/karov/appliance/seed"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt/floor"
)

const (
	lookupLimit   = 20
	lookupGoalP50 = 3.0 // times the floor
	lookupGoalP99 = 10 * time.Millisecond
	// rightly is how many of a hundred questions must find somebody.
	rightly = 98
)

// way is one way of looking for a customer.
type way struct {
	name string
	text func(d *rand.Rand, c seed.Contact) string // "" where the customer cannot be looked for like that
}

// lookups measures each way through the API's handler. The floor of a question is what its answer reads: the same keys and
// the same runs of pairs, in as many transactions, by bare bbolt, which knows already what to read, and does nothing with
// it. What is read is each index's own choice, so the note says how many reads those are, and how long a page takes that
// needs no index to be found: twenty keys that stand together, and the twenty records they name.
func (r *run) lookups(ctx context.Context) error {
	page, err := r.pageTime(ctx)
	if err != nil {
		return err
	}
	for n, w := range ways() {
		questions, texts := r.questionsOf(ctx, w, uint64(n))
		if len(questions) == 0 {
			continue
		}
		if err := r.lookup(w, questions, texts, page); err != nil {
			return err
		}
	}
	return nil
}

// lookup measures one way.
func (r *run) lookup(w way, questions []*http.Request, texts []string, page time.Duration) error {
	a := &answer{header: http.Header{}}
	asked, found, hits := 0, 0, 0
	ask := func(i int) error {
		if err := r.ask(a, questions[i%len(questions)]); err != nil {
			return fmt.Errorf("%s: %w", texts[i%len(texts)], err)
		}
		got := bytes.Count(a.body.Bytes(), []byte(`"title":`))
		asked++
		hits += got
		found += min(got, 1)
		return nil
	}
	reads := make([][][]floor.Read, len(questions))
	looks := 0
	for i := range questions {
		var err error
		if reads[i], err = r.o.Writes.readBy(func() error { return ask(i) }); err != nil {
			return err
		}
		for _, view := range reads[i] {
			looks += len(view)
		}
	}
	if looks < len(questions) {
		return fmt.Errorf("%d answers read only %d times: the floor would be of nothing", len(questions), looks)
	}
	least := r.floor(1)
	var values []byte
	t, err := r.inTurn(ask, func(i int) (err error) {
		values, err = least.Again(reads[i%len(reads)], values[:0])
		return err
	})
	if err != nil {
		return err
	}
	right := found*100 >= asked*rightly
	note := fmt.Sprintf("%.1f results, %.0f reads; %d of 100 found somebody; %.1fx a page of %d", float64(hits)/float64(asked),
		float64(looks)/float64(len(questions)), found*100/asked, float64(t.p50)/float64(max(1, page)), lookupLimit)
	r.add(Row{Name: "lookup by " + w.name + ", p50", Value: micro(t.p50), Unit: "µs", Floor: micro(t.floor), Ratio: t.ratio,
		Goal: fmt.Sprintf("≤ %.0fx floor", lookupGoalP50), Pass: right && t.ratio <= lookupGoalP50, Note: note})
	r.add(Row{Name: "lookup by " + w.name + ", p99", Value: milli(t.p99), Unit: "ms", Goal: "≤ 10 ms", Pass: right && t.p99 <= lookupGoalP99})
	return nil
}

// pageTime is how long bare bbolt takes for a page of a list.
func (r *run) pageTime(ctx context.Context) (time.Duration, error) {
	places, err := r.places(ctx, "index.contact.name")
	if err != nil {
		return 0, err
	}
	least := r.floor(1)
	var page []byte
	read := func(i int) (err error) {
		_, page, err = least.Page("index.contact.name", places[i%len(places)], lookupLimit, "record.contact", page[:0])
		return err
	}
	t, err := r.inTurn(read, read)
	return t.floor, err
}

// questionsOf prepares what is asked in one way.
func (r *run) questionsOf(ctx context.Context, w way, number uint64) (questions []*http.Request, texts []string) {
	d := rand.New(rand.NewPCG(r.Seed, number))
	for range 4 * r.Asks {
		text := w.text(d, r.data.sample[d.IntN(len(r.data.sample))])
		if text == "" {
			continue
		}
		texts = append(texts, text)
		questions = append(questions, r.question(ctx, "/search", url.Values{"q": {text}, "limit": {fmt.Sprint(lookupLimit)}}))
		if len(questions) == r.Asks {
			break
		}
	}
	return questions, texts
}

// places are keys of a bucket at equal distances, where all principals see them.
func (r *run) places(ctx context.Context, bucket string) (places [][]byte, err error) {
	err = r.o.Book.View(ctx, func(tx store.Tx) error {
		n := 0
		for k := range tx.Bucket(bucket).Scan(nil, nil, false) {
			if n++; n%max(1, r.Contacts/1000) == 0 && len(places) < 900 {
				places = append(places, bytes.Clone(k))
			}
		}
		return nil
	})
	if err == nil && len(places) == 0 {
		err = fmt.Errorf("bucket %s has too few keys", bucket)
	}
	return places, err
}

// ways are those of the goal.
func ways() []way {
	return []way{
		{"two letters", func(d *rand.Rand, c seed.Contact) string { return beginning(word(d, c.Name), 2) }},
		{"full name", func(_ *rand.Rand, c seed.Contact) string { return c.Name }},
		{"name in another alphabet", func(d *rand.Rand, _ seed.Contact) string {
			all := foreignNames()
			return all[d.IntN(len(all))]
		}},
		{"wrong keyboard layout", func(d *rand.Rand, c seed.Contact) string { return mistyped(word(d, c.Name)) }},
		{"one typing error", func(d *rand.Rand, c seed.Contact) string { return misspelt(d, word(d, c.Name)) }},
		{"phone, any form", phoneForm},
		{"last digits of a phone", func(d *rand.Rand, c seed.Contact) string { return last(digits(c.Phones[0]), 5+d.IntN(3)) }},
		{"e-mail", func(_ *rand.Rand, c seed.Contact) string {
			if len(c.Emails) == 0 {
				return ""
			}
			return c.Emails[0]
		}},
	}
}

// word is one of a name's words of at least three letters.
func word(d *rand.Rand, name string) string {
	words := search.Words(name)
	for range 4 {
		if len(words) == 0 {
			return ""
		}
		if w := words[d.IntN(len(words))]; utf8.RuneCountInString(w) >= 3 && unicode.IsLetter([]rune(w)[0]) {
			return w
		}
	}
	return ""
}

func beginning(word string, n int) string {
	letters := []rune(word)
	return string(letters[:min(n, len(letters))])
}

// foreignNames are names as people write them who know them in another alphabet than the customer does.
func foreignNames() []string {
	return []string{"Cohen", "Kohen", "Коэн", "כהן", "Levi", "Леви", "לוי", "Mizrahi", "Мизрахи", "Mikhail", "Михаил", "מיכאל",
		"David", "Давид", "דוד", "Daniel", "דניאל", "Ivanov", "איבנוב", "Avraham", "Авраам", "Sarah", "שרה", "Сара"}
}

// misspelt is a word of five letters or more with one of them, not the first, mistaken, left out or changed for its
// neighbour's place.
func misspelt(d *rand.Rand, word string) string {
	letters := []rune(word)
	if len(letters) < 5 {
		return ""
	}
	at := 2 + d.IntN(len(letters)-3)
	switch d.IntN(3) {
	case 0:
		letters[at], letters[at-1] = letters[at-1], letters[at]
	case 1:
		letters = append(letters[:at], letters[at+1:]...)
	default:
		letters[at] = letters[(at+2)%len(letters)]
	}
	if string(letters) == word {
		return ""
	}
	return string(letters)
}

// keyboards are the letters of the keys q to m in Israel's and Russia's layouts.
func keyboards() map[seed.Language][2]string {
	return map[seed.Language][2]string{
		seed.Hebrew:  {"ertyuiopasdfghjklzxcvbnm,.;", "קראטוןםפשדגכעיחלךזסבהנמצתץף"},
		seed.Russian: {"qwertyuiop[]asdfghjkl;'zxcvbnm,.", "йцукенгшщзхъфывапролджэячсмитьбю"},
	}
}

// mistyped is a word typed with the Latin layout on, or a Latin one with the Hebrew layout on.
func mistyped(word string) string {
	for _, pair := range keyboards() {
		latin, ours := []rune(pair[0]), []rune(pair[1])
		if typed := mapped(word, ours, latin); typed != "" {
			return typed
		}
	}
	pair := keyboards()[seed.Hebrew]
	return mapped(word, []rune(pair[0]), []rune(pair[1]))
}

// mapped changes each letter for its key's other one, "" where a letter has none.
func mapped(word string, from, to []rune) string {
	var b strings.Builder
	for _, letter := range word {
		found := false
		for i, r := range from {
			if r == letter {
				b.WriteRune(to[i])
				found = true
				break
			}
		}
		if !found {
			return ""
		}
	}
	return b.String()
}

// phoneForm writes a customer's phone as somebody else would.
func phoneForm(d *rand.Rand, c seed.Contact) string {
	all := digits(c.Phones[0])
	if rest, ok := strings.CutPrefix(all, "0"); ok {
		return []string{all, "972" + rest, "+972 " + rest[:2] + " " + rest[2:], "0" + rest[:2] + "-" + rest[2:]}[d.IntN(4)]
	}
	return []string{all, "+" + all, "+" + all[:1] + " (" + all[1:4] + ") " + all[4:]}[d.IntN(3)]
}

func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}

func last(s string, n int) string { return s[max(0, len(s)-n):] }
