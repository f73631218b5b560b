package search

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/store"
	"github.com/karov-crm/karov/appliance/store/bolt"
)

type office struct {
	*Index
	t  testing.TB
	db store.DB
}

func open(t testing.TB) *office {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "karov.db"))
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	gate, err := access.NewGate()
	must(t, err)
	return &office{Index: New(db, gate), t: t, db: db}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func as(t testing.TB, role access.Role, id string) context.Context {
	return access.WithActor(t.Context(), access.Actor{ID: id, Role: role})
}

// put makes a record findable; its title is its name in the tests.
func (o *office) put(id byte, doc Doc) {
	o.t.Helper()
	doc.Entity, doc.ID = "contact", [16]byte{15: id}
	if doc.Texts == nil {
		doc.Texts = []string{doc.Title}
	}
	must(o.t, o.db.Update(o.t.Context(), func(tx store.Tx) error { return Put(tx, doc) }))
}

// find gives the titles that the owner of the office finds.
func (o *office) find(query string) (titles []string) {
	o.t.Helper()
	hits, err := o.Find(as(o.t, access.Owner, "o"), query, 0)
	must(o.t, err)
	for _, h := range hits {
		titles = append(titles, h.Title)
	}
	return titles
}

func TestFind(t *testing.T) {
	o := open(t)
	o.put(1, Doc{Title: "דנה כהן", Texts: []string{"דנה כהן", "Acme Ltd"}, Phones: []string{"+972501234567"}, Emails: []string{"dana.c@mail.example.com"}})
	o.put(2, Doc{Title: "Фёдор Достоевский", Phones: []string{"+74951234567"}})
	o.put(3, Doc{Title: "José O'Brien-Łuk", Emails: []string{"o_brien+x@example.org"}})
	o.put(4, Doc{Title: `מוסך "צה"ל" בן־עמי`})
	o.put(5, Doc{Title: "שָׁלוֹם בִּנְיָמִין"})
	o.put(6, Doc{Title: "Long", Emails: []string{strings.Repeat("x", 80) + "@example.com"}})
	for query, want := range map[string]string{
		"כהן": "דנה כהן", "כה": "דנה כהן", "כהנ": "דנה כהן", "כהן ד": "דנה כהן", "דנה כה": "דנה כהן", "acme דנ": "דנה כהן", "ACME": "דנה כהן",
		"ФЕДОР": "Фёдор Достоевский", "фёд": "Фёдор Достоевский", "достоевскии": "Фёдор Достоевский",
		"jose": "José O'Brien-Łuk", "obrien": "José O'Brien-Łuk", "O’Brien": "José O'Brien-Łuk", "JOSÉ": "José O'Brien-Łuk",
		"צהל": `מוסך "צה"ל" בן־עמי`, "צה״ל": `מוסך "צה"ל" בן־עמי`, "עמי": `מוסך "צה"ל" בן־עמי`,
		"שלום": "שָׁלוֹם בִּנְיָמִין", "בִנימינ": "שָׁלוֹם בִּנְיָמִין",
		"0501234567": "דנה כהן", "050-1234567": "דנה כהן", "+972 50 123 4567": "דנה כהן", "972501234567": "דנה כהן", "00972-50-1234567": "דנה כהן",
		"(050) 123.45.67": "דנה כהן", "0501": "דנה כהן", "50123": "דנה כהן", "כהן 4567": "דנה כהן", "050 123 4567 כהן": "דנה כהן",
		"8 (495) 123-45-67": "Фёдор Достоевский", "+7 (495) 123-45-67": "Фёдор Достоевский",
		"dana.c@mail": "דנה כהן", "Dana.C@Mail.Example.com": "דנה כהן", "mail.example": "דנה כהן", "@mail.example.com": "דנה כהן", "dana.c@mail.example.com כהן": "דנה כהן",
		"o_brien": "José O'Brien-Łuk", strings.Repeat("x", 80) + "@example.com": "Long",
		"": "", "כ": "", "4": "", "\x00": "", "\xff\xfe": "", "@": "", "%": "", "כהן משה": "", "9999": "", strings.Repeat("כהן ", 500) + "משה": "דנה כהן",
	} {
		if got := strings.Join(o.find(query), "|"); got != want {
			t.Errorf("%.40q finds %q, want %q", query, got, want)
		}
	}
	if got := o.find("4567"); len(got) != 2 {
		t.Errorf("the last four digits find %q", got)
	}
}

func TestMatchedShowsWhatTheTitleDoesNot(t *testing.T) {
	o := open(t)
	o.put(1, Doc{Title: "Dana", Subtitle: "Acme", Phones: []string{"+972501234567", "+97235556666"}, Emails: []string{"dana@example.com", "boss@acme.example"}})
	for query, want := range map[string]string{"dana": "", "03-5556666": "+97235556666", "4567": "+972501234567", "boss": "boss@acme.example", "acme.example": "boss@acme.example"} {
		hits, err := o.Find(as(t, access.Owner, "o"), query, 5)
		must(t, err)
		if len(hits) != 1 || hits[0].Matched != want || hits[0].Subtitle != "Acme" || hits[0].Entity != "contact" || hits[0].ID != [16]byte{15: 1} {
			t.Errorf("%q finds %+v, want it by %q", query, hits, want)
		}
	}
}

func TestRank(t *testing.T) {
	o := open(t)
	day := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	o.put(1, Doc{Title: "Levinson", Recent: day(9)})
	o.put(2, Doc{Title: "Dana Levi", Recent: day(1)})
	o.put(3, Doc{Title: "Avi Levi", Recent: day(5)})
	o.put(4, Doc{Title: "Levi Eshkol", Recent: day(2)})
	if got, want := o.find("levi"), []string{"Levi Eshkol", "Avi Levi", "Dana Levi", "Levinson"}; !slices.Equal(got, want) {
		t.Errorf("found in order %q, want %q", got, want)
	}
	for limit, want := range map[int]int{1: 1, 3: 3, 0: 4, 1000: 4, -1: 4} {
		if hits, _ := o.Find(as(t, access.Owner, "o"), "levi", limit); len(hits) != want {
			t.Errorf("limit %d gives %d", limit, len(hits))
		}
	}
}

// TestRareWordFindsAmongMany holds because the most telling word is not always the longest.
func TestRareWordFindsAmongMany(t *testing.T) {
	o := open(t)
	must(t, o.db.Update(t.Context(), func(tx store.Tx) error {
		for i := range candidateLimit + 500 {
			title := fmt.Sprintf("Konstantinopolsky %04d", i)
			if i == candidateLimit+400 {
				title = "Konstantinopolsky Zo"
			}
			if err := Put(tx, Doc{Entity: "contact", ID: [16]byte{14: byte(i >> 8), 15: byte(i)}, Title: title, Texts: []string{title}}); err != nil {
				return err
			}
		}
		return nil
	}))
	if got := o.find("konstantinopolsky zo"); !slices.Equal(got, []string{"Konstantinopolsky Zo"}) {
		t.Errorf("found %q", got)
	}
}

func TestOwnersArePartitioned(t *testing.T) {
	o := open(t)
	o.put(1, Doc{Title: "Levi", Principals: []string{"dana", "dan"}})
	o.put(2, Doc{Title: "Levin", Principals: []string{"yossi", ""}})
	o.put(3, Doc{Title: "Levit"})
	found := func(role access.Role, id string) string {
		hits, err := o.Find(as(t, role, id), "lev", 9)
		if err != nil {
			return fault.KindOf(err).String()
		}
		var titles []string
		for _, h := range hits {
			titles = append(titles, h.Title)
		}
		slices.Sort(titles)
		return strings.Join(titles, " ")
	}
	for _, c := range []struct {
		role     access.Role
		id, want string
	}{
		{access.Agent, "dana", "Levi"}, {access.Agent, "dan", "Levi"}, {access.Agent, "da", ""}, {access.Agent, "yossi", "Levin"},
		{access.Viewer, "v", "Levi Levin Levit"}, {access.Plugin, "plugin:x", "forbidden"}, {"", "", "unauthenticated"}, {access.Agent, "", "unauthenticated"},
	} {
		if got := found(c.role, c.id); got != c.want {
			t.Errorf("%s %q finds %q, want %q", c.role, c.id, got, c.want)
		}
	}
	o.put(1, Doc{Title: "Levi", Principals: []string{"yossi"}})
	if found(access.Agent, "dana") != "" || found(access.Agent, "yossi") != "Levi Levin" {
		t.Error("the owner changed and the index did not")
	}
}

// TestChangeAndDeleteLeaveNoKey counts what is left in the buckets.
func TestChangeAndDeleteLeaveNoKey(t *testing.T) {
	o := open(t)
	o.put(1, Doc{Title: "Old Name", Principals: []string{"dana"}, Phones: []string{"+972501234567"}, Emails: []string{"a@b.example"}})
	o.put(1, Doc{Title: "New", Principals: []string{"yossi"}})
	if got := o.find("old"); got != nil {
		t.Errorf("the old name finds %q", got)
	}
	must(t, o.db.Update(t.Context(), func(tx store.Tx) error { return Delete(tx, "contact", [16]byte{15: 1}) }))
	must(t, o.db.View(t.Context(), func(tx store.Tx) error {
		if left := tx.Buckets(); len(left) != 0 {
			return fmt.Errorf("left: %q", left)
		}
		return nil
	}))
}

func FuzzFold(f *testing.F) {
	for _, s := range []string{"כהן", "שָׁלוֹם", "Фёдор", "José", "O'Brien", "ﬁ½", "İstanbul", "\xff", "\u202ex", "ẞ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, word := range Words(s) {
			if word == "" || !utf8.ValidString(word) || strings.ContainsAny(word, "\x00 #") {
				t.Fatalf("%q has the word %q", s, word)
			}
		}
		if strings.Trim(Digits(s), "0123456789") != "" {
			t.Fatalf("Digits(%q) = %q", s, Digits(s))
		}
		if valid := strings.ToValidUTF8(s, "\uFFFD"); Fold(strings.ToUpper(Fold(valid))) == "" && Fold(valid) != "" {
			t.Fatalf("%q is lost in upper case", s)
		}
	})
}

// FuzzQuery asks any query: nothing may panic, spellings stay short, and an agent finds only his own.
func FuzzQuery(f *testing.F) {
	o := open(f)
	o.put(1, Doc{Title: "דנה Levi", Principals: []string{"dana"}, Phones: []string{"+972501234567"}, Emails: []string{"a@b.example"}})
	o.put(2, Doc{Title: "יוסי Levi", Principals: []string{"yossi"}, Phones: []string{"+972501234568"}, Emails: []string{"a@c.example"}})
	for _, s := range []string{"levi", "a@", "050-123", "8 495", "\xff", strings.Repeat("ל", 300), "@@ @", "# 1 2 3 4", "yossi\x00lev"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		for _, term := range parse(query) {
			for _, s := range term.spellings {
				if s == "" || s == "#" || len(s) > 210 {
					t.Fatalf("%q has the spelling %q", query, s)
				}
			}
		}
		hits, err := o.Find(as(t, access.Agent, "dana"), query, 5)
		must(t, err)
		for _, h := range hits {
			if h.ID != [16]byte{15: 1} {
				t.Fatalf("%q finds another's %q", query, h.Title)
			}
		}
	})
}

// BenchmarkFind looks among 10,000 customers, as somebody who sees all and as one who has a tenth.
func BenchmarkFind(b *testing.B) {
	o := open(b)
	first := []string{"דנה", "יוסי", "Анна", "Борис", "John", "Mary", "אבי", "Ольга"}
	last := []string{"כהן", "לוי", "Иванов", "Smith", "Мизрахи", "פרץ", "Kuznetsov", "אזולאי", "ביטון"}
	for at := 0; at < 10_000; at += 500 {
		must(b, o.db.Update(b.Context(), func(tx store.Tx) error {
			for i := at; i < at+500; i++ {
				doc := Doc{Entity: "contact", ID: [16]byte{14: byte(i >> 8), 15: byte(i)}, Title: first[i%len(first)] + " " + last[i/8%len(last)],
					Phones: []string{fmt.Sprintf("+9725%08d", i*7919%100_000_000)}, Emails: []string{fmt.Sprintf("c%d@example.com", i)}}
				if doc.Texts = []string{doc.Title, "חיפה"}; i%10 == 0 {
					doc.Principals = []string{"dana"}
				}
				if err := Put(tx, doc); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	for _, role := range []access.Role{access.Owner, access.Agent} {
		for name, query := range map[string]string{"two-letters": "כה", "two-words": "דנה כהן", "four-digits": "4567", "phone": "05012345"} {
			b.Run(fmt.Sprintf("%s/%s", role, name), func(b *testing.B) {
				ctx := as(b, role, "dana")
				for b.Loop() {
					if _, err := o.Find(ctx, query, 20); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// FuzzDoc reads any bytes as a stored doc: it is damaged, or its parts lie within it.
func FuzzDoc(f *testing.F) {
	good, err := encode(Doc{Title: "דנה", Texts: []string{"דנה"}, Phones: []string{"+972501234567"}, Principals: []string{"dana"}})
	must(f, err)
	for _, raw := range [][]byte{good, good[:20], nil, {}, make([]byte, 8), make([]byte, 11), append(make([]byte, 8), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01)} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, _ = keysOf("contact", [16]byte{}, raw)
		doc, err := decode(raw)
		if err != nil {
			return
		}
		if len(doc.words)+len(doc.first)+len(doc.title)+len(doc.rest) > len(raw) {
			t.Fatalf("%x gives parts that are longer than it", raw)
		}
		match(doc, parse("דנה 4567"))
	})
}
