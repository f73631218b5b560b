package search

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/store"
)

func TestFind(t *testing.T) {
	o := open(t)
	o.put(1, Doc{Title: "דנה כהן", Parts: []Part{{"name", Name, "דנה כהן", false}, text("company", "Acme Ltd"), phone("+972501234567"), email("dana.c@mail.example.com")}})
	o.put(2, Doc{Title: "Фёдор Достоевский", Parts: []Part{phone("+74951234567")}})
	o.put(3, Doc{Title: "José O'Brien-Łuk", Parts: []Part{email("o_brien+x@example.org")}})
	o.put(4, Doc{Title: `מוסך "צה"ל" בן־עמי`})
	o.put(5, Doc{Title: "שָׁלוֹם בִּנְיָמִין"})
	o.put(6, Doc{Title: "Long", Parts: []Part{email(strings.Repeat("x", 80) + "@example.com")}})
	for query, want := range map[string]string{
		"כהן": "דנה כהן", "כה": "דנה כהן", "כהנ": "דנה כהן", "כהן ד": "דנה כהן", "דנה כה": "דנה כהן", "acme דנ": "דנה כהן", "ACME": "דנה כהן",
		"ФЕДОР": "Фёдор Достоевский", "фёд": "Фёдор Достоевский", "достоевскии": "Фёдор Достоевский",
		"jose": "José O'Brien-Łuk", "obrien": "José O'Brien-Łuk", "O’Brien": "José O'Brien-Łuk", "JOSÉ": "José O'Brien-Łuk",
		"צהל": `מוסך "צה"ל" בן־עמי`, "צה״ל": `מוסך "צה"ל" בן־עמי`, "עמי": `מוסך "צה"ל" בן־עמי`,
		"שלום": "שָׁלוֹם בִּנְיָמִין", "בִנימינ": "שָׁלוֹם בִּנְיָמִין|" + `מוסך "צה"ל" בן־עמי`,
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
	o.put(1, Doc{Title: "Dana", Parts: []Part{shown(text("company", "Acme")), shown(phone("050-1234567")), phone("+972501234567"), phone("+97235556666"),
		email("dana@example.com"), email("boss@acme.example"), text("note", "Prefers mornings")}})
	for query, want := range map[string]string{"dana": "", "03-5556666": "+97235556666", "4567": "050-1234567", "97250": "+972501234567", "boss": "boss@acme.example",
		"acme.example": "boss@acme.example", "mornings": "Prefers mornings", "acme": "boss@acme.example"} {
		hits, err := o.Find(as(t, access.Owner, "o"), query, 5)
		must(t, err)
		if len(hits) != 1 || hits[0].Matched != want || hits[0].Subtitle != "Acme · 050-1234567" || hits[0].Entity != "contact" || hits[0].ID != [16]byte{15: 1} {
			t.Errorf("%q finds %+v, want it by %q", query, hits, want)
		}
	}
}

// marked writes a text with what is marked in brackets.
func marked(s string, spans []Span) string {
	var b strings.Builder
	at := 0
	for _, span := range spans {
		b.WriteString(s[at:span.From] + "[" + s[span.From:span.To] + "]")
		at = span.To
	}
	return b.String() + s[at:]
}

func TestMarks(t *testing.T) {
	o := open(t)
	o.put(1, Doc{Title: "שָׁלוֹם כהן", Parts: []Part{shown(text("company", "Acme Ltd")), shown(phone("+972 50-123-4567")), email("dana.c@acme.example")}})
	o.put(2, Doc{Title: `Михаил O'Brien-Кузнецов`, Parts: []Part{shown(text("order", "A-1234567"))}})
	for query, want := range map[string]string{
		"כה": "שָׁלוֹם [כה]ן / Acme Ltd · +972 50-123-4567 / ", "שלו": "[שָׁלוֹ]ם כהן / Acme Ltd · +972 50-123-4567 / ", "cohen": "שָׁלוֹם [כהן] / Acme Ltd · +972 50-123-4567 / ",
		"koh": "שָׁלוֹם [כהן] / Acme Ltd · +972 50-123-4567 / ", "acm": "שָׁלוֹם כהן / [Acm]e Ltd · +972 50-123-4567 / dana.c@[acm]e.example", "כהן שלום": "[שָׁלוֹם] [כהן] / Acme Ltd · +972 50-123-4567 / ",
		"0501234567": "שָׁלוֹם כהן / Acme Ltd · +972 [50-123-4567] / +972 [50-123-4567]", "1234567": "שָׁלוֹם כהן / Acme Ltd · +972 50-[123-4567] / +972 50-[123-4567]|Михаил O'Brien-Кузнецов / A-[1234567] / ",
		"dana.c@acme": "שָׁלוֹם כהן / [Acme] Ltd · +972 50-123-4567 / [dana].[c]@[acme].example",
		"obr":         "Михаил [O'Br]ien-Кузнецов / A-1234567 / ", "кузнацов": "Михаил O'Brien-[Кузнецов] / A-1234567 / ", "mish": "[Михаил] O'Brien-Кузнецов / A-1234567 / ", "vb[": "[Мих]аил O'Brien-Кузнецов / A-1234567 / ",
		"obrien михаил obr": "[Михаил] [O'Brien]-Кузнецов / A-1234567 / ",
	} {
		hits, err := o.Find(as(t, access.Owner, "o"), query, 5)
		must(t, err)
		var got []string
		for _, h := range hits {
			got = append(got, marked(h.Title, h.Marks)+" / "+marked(h.Subtitle, h.SubtitleMarks)+" / "+marked(h.Matched, h.MatchedMarks))
		}
		if strings.Join(got, "|") != want {
			t.Errorf("%q gives %q, want %q", query, strings.Join(got, "|"), want)
		}
	}
}

func TestRank(t *testing.T) {
	o := open(t)
	day := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	o.put(1, Doc{Title: "Levinson", Recent: day(9)})
	o.put(2, Doc{Title: "Dana Levi", Recent: day(1)})
	o.put(3, Doc{Title: "Avi Levi", Recent: day(5)})
	o.put(4, Doc{Title: "Dana", Parts: []Part{text("company", "Levi")}, Recent: day(30)})
	o.put(5, Doc{Title: "דן לוי", Recent: day(28)})
	o.put(6, Doc{Title: "Дан Левин", Recent: day(29)})
	if got, want := o.find("levi"), []string{"Avi Levi", "Dana Levi", "Levinson", "Dana", "דן לוי", "Дан Левин"}; !slices.Equal(got, want) {
		t.Errorf("found in order %q, want %q", got, want)
	}
	for limit, want := range map[int]int{1: 1, 3: 3, 0: 6, 1000: 6, -1: 6} {
		if hits, _ := o.Find(as(t, access.Owner, "o"), "levi", limit); len(hits) != want {
			t.Errorf("limit %d gives %d", limit, len(hits))
		}
	}
	// Heard of again: within the day of his place, and long after it.
	for _, heard := range []time.Time{day(1).Add(20 * time.Hour), day(5).Add(time.Minute), day(20), day(20).Add(time.Hour), day(3)} {
		o.put(2, Doc{Title: "Dana Levi", Recent: heard})
		first := "Avi Levi"
		if heard.After(day(5)) {
			first = "Dana Levi"
		}
		for _, limit := range []int{1, 20} {
			if hits, _ := o.Find(as(t, access.Owner, "o"), "levi", limit); len(hits) == 0 || hits[0].Title != first {
				t.Errorf("heard of at %v, limit %d: first is %+v", heard, limit, hits)
			}
		}
	}
}

// TestNewestOfMany holds two letters that many have: those heard of last are found, whatever their keys, and so are
// those who were heard of again since they got their place.
func TestNewestOfMany(t *testing.T) {
	o := open(t)
	const many = 20_000
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	doc := func(i int, recent time.Time) Doc {
		title := fmt.Sprintf("כהן %c%c", 'a'+rune(i%22), 'a'+rune(i/22%22))
		d := contact(0, Doc{Title: title, Recent: recent})
		binary.BigEndian.PutUint32(d.ID[12:], uint32(i))
		return d
	}
	want := map[int]time.Time{}
	must(t, o.db.Update(t.Context(), func(tx store.Tx) error {
		var docs []Doc
		for i := range many {
			want[i] = at.Add(time.Duration(i*7919%many) * time.Second)
			docs = append(docs, doc(i, want[i]))
		}
		return PutAll(tx, docs)
	}))
	check := func(when string) {
		t.Helper()
		order := make([]int, many)
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(a, b int) int { return want[b].Compare(want[a]) })
		for _, query := range []string{"כה", "כהן", "כהנ"} {
			hits, err := o.Find(as(t, access.Owner, "o"), query, 20)
			must(t, err)
			for n, h := range hits {
				if got := int(binary.BigEndian.Uint32(h.ID[12:])); !want[got].Equal(want[order[n]]) {
					t.Fatalf("%s: %q finds at place %d one of %v, want %v", when, query, n, want[got], want[order[n]])
				}
			}
			if len(hits) != 20 {
				t.Fatalf("%s: %d hits", when, len(hits))
			}
		}
	}
	check("all at once")
	must(t, o.db.Update(t.Context(), func(tx store.Tx) error {
		for i := 0; i < many; i += 400 { // within a day of their place
			want[i] = at.Add(many*time.Second + time.Duration(i)*time.Second)
			if err := Put(tx, doc(i, want[i])); err != nil {
				return err
			}
		}
		return nil
	}))
	check("some heard of again")
	must(t, o.db.Update(t.Context(), func(tx store.Tx) error {
		for i := 7; i < many; i += 900 { // days later
			want[i] = at.Add(90*time.Hour - time.Duration(i)*time.Second)
			if err := Put(tx, doc(i, want[i])); err != nil {
				return err
			}
		}
		return nil
	}))
	check("some heard of days later")
}

// TestRareWordFindsAmongMany holds because the most telling word is not always the longest.
func TestRareWordFindsAmongMany(t *testing.T) {
	o := open(t)
	must(t, o.db.Update(t.Context(), func(tx store.Tx) error {
		var docs []Doc
		for i := range 5000 {
			title := fmt.Sprintf("Konstantinopolsky %04d", i)
			if i == 4321 {
				title = "Konstantinopolsky Zo"
			}
			d := contact(0, Doc{Title: title})
			binary.BigEndian.PutUint32(d.ID[12:], uint32(i))
			docs = append(docs, d)
		}
		return PutAll(tx, docs)
	}))
	if got := o.find("konstantinopolsky zo"); !slices.Equal(got, []string{"Konstantinopolsky Zo"}) {
		t.Errorf("found %q", got)
	}
}

// TestChangeAndDeleteLeaveNoKey counts what is left in the buckets.
func TestChangeAndDeleteLeaveNoKey(t *testing.T) {
	o := open(t)
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	o.put(1, Doc{Title: "Old Name", Principals: []string{"dana"}, Parts: []Part{phone("+972501234567"), email("a@b.example"), text("id", "AB-123456")}, Recent: at})
	o.put(1, Doc{Title: "New", Principals: []string{"yossi"}, Recent: at.Add(time.Hour)})
	if got := o.find("old"); got != nil {
		t.Errorf("the old name finds %q", got)
	}
	o.put(1, Doc{Title: "Newer Name", Principals: []string{"yossi", "dana"}, Recent: at.Add(100 * time.Hour)})
	if got := o.find("newer"); len(got) != 1 {
		t.Errorf("the new name finds %q", got)
	}
	must(t, o.db.Update(t.Context(), func(tx store.Tx) error { return Delete(tx, "contact", [16]byte{15: 1}) }))
	must(t, o.db.Update(t.Context(), func(tx store.Tx) error { return Delete(tx, "contact", [16]byte{15: 2}) }))
	must(t, o.db.View(t.Context(), func(tx store.Tx) error {
		if left := tx.Buckets(); len(left) != 0 {
			return fmt.Errorf("left: %q", left)
		}
		return nil
	}))
}

func TestPutTwiceWritesNothing(t *testing.T) {
	o := open(t)
	doc := Doc{Title: "Dana", Recent: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Parts: []Part{phone("+972501234567")}}
	o.put(1, doc)
	before := dump(t, o)
	o.put(1, doc)
	must(t, o.db.Update(t.Context(), func(tx store.Tx) error { return PutAll(tx, []Doc{contact(1, doc), contact(1, doc)}) }))
	if after := dump(t, o); after != before {
		t.Errorf("%s\nbecame\n%s", before, after)
	}
}

// dump writes all that the package keeps.
func dump(t testing.TB, o *office) string {
	var b strings.Builder
	must(t, o.db.View(t.Context(), func(tx store.Tx) error {
		for _, name := range Buckets() {
			for k, v := range tx.Bucket(name).Scan(nil, nil, false) {
				fmt.Fprintf(&b, "%s %q %q\n", name, k, v)
			}
		}
		return nil
	}))
	return b.String()
}

func TestDrop(t *testing.T) {
	o := open(t)
	for i := range byte(30) {
		o.put(i+1, Doc{Title: fmt.Sprintf("Dana %c", 'a'+i), Parts: []Part{phone(fmt.Sprintf("+9725012345%02d", i))}})
	}
	must(t, o.db.Update(t.Context(), func(tx store.Tx) error {
		for i := range byte(20) {
			tx.Bucket("search.words").Put([]byte{i}, nil)
			tx.Bucket("search.docs").Put([]byte{i}, []byte("old"))
		}
		tx.Bucket("other").Put([]byte("k"), nil)
		return nil
	}))
	steps := 0
	for more := true; more; steps++ {
		must(t, o.db.Update(t.Context(), func(tx store.Tx) error {
			more = Drop(tx, 25)
			return nil
		}))
	}
	if steps < 5 {
		t.Errorf("dropped in %d steps", steps)
	}
	must(t, o.db.View(t.Context(), func(tx store.Tx) error {
		if left := tx.Buckets(); len(left) != 1 {
			return fmt.Errorf("left: %q", left)
		}
		return nil
	}))
}

// TestWorkIsBounded gives queries little to spend: they overspend by what they had begun, not more.
func TestWorkIsBounded(t *testing.T) {
	o := open(t)
	must(t, o.db.Update(t.Context(), func(tx store.Tx) error {
		var docs []Doc
		for i := range 3000 {
			d := contact(0, Doc{Title: fmt.Sprintf("א%c ב%c Michael", 'א'+rune(i%20), 'א'+rune(i/20%20)), Recent: time.Unix(1_770_000_000+int64(i)*100, 0)})
			d.Parts = append(d.Parts, text("city", "Haifa"), phone(fmt.Sprintf("+97250%07d", i*7919)))
			binary.BigEndian.PutUint32(d.ID[12:], uint32(i))
			docs = append(docs, d)
		}
		return PutAll(tx, docs)
	}))
	ctx := as(t, access.Owner, "o")
	for _, query := range []string{"א ב ג", "א ב", "michael haifa אב", "מיכאל חיפה", "0501", "501", "mihcael", "maichael haifa", strings.Repeat("ab cd ", 60), strings.Repeat("א", 200), "gth xyz", "nhftk"} {
		ask := func(most int) (work int) {
			must(t, o.db.View(ctx, func(tx store.Tx) error {
				f := &finding{reading: readingOf(tx), ctx: ctx, index: o.Index, limit: 20, seen: map[uint64]bool{}}
				f.most = most
				if !f.permit(o.gate) {
					return fmt.Errorf("nothing to see")
				}
				f.run(query)
				work = f.work
				return f.failed
			}))
			return work
		}
		for _, most := range []int{0, 30, 200, 1000, 5000, workMost} {
			if work := ask(most); work > most+workDoc {
				t.Errorf("%.20q spent %d of %d", query, work, most)
			}
		}
	}
}
