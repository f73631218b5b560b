package search

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// people are customers in three alphabets, as an office has them.
var people = []string{"דנה כהן", "Robert Cohen", "Наталья Коэн", "Михаил Кузнецов", "מיכאל לוי", "Michael Smith", "Борис Леви", "Yossi Levy",
	"Хаим Вайнштейн", "חיים ברנשטיין", "Юлия Соколова", "יוליה פרץ", "Julia Novak", "שרה אזולאי", "Sarah Green", "Сара Фридман",
	"Ицхак Рабин", "יצחק שמיר", "Isaac Newton", "Alexander Bell", "אלכסנדר פושקין", "Копылов Антон", "Иосиф Бродский", "יוסף טרומפלדור",
	"Моисей Кац", "משה דיין", "Zvi Schwartz", "צבי שוורץ", "Цви Шварц", "Владимир Горовиц", "Avraham Stern", "Ростислав Щукин"}

func crowd(t testing.TB) *office {
	o := open(t)
	for i, name := range people {
		o.put(byte(i+1), Doc{Title: name, Recent: time.Date(2026, 1, 1+i, 0, 0, 0, 0, time.UTC)})
	}
	return o
}

func TestAcrossAlphabets(t *testing.T) {
	o := crowd(t)
	for _, c := range []struct{ query, want string }{ // want: those that must be found, the first of the query's own alphabet first
		{"כהן", "דנה כהן|Robert Cohen|Наталья Коэн"}, {"cohen", "Robert Cohen|דנה כהן|Наталья Коэн"}, {"Kohen", "Robert Cohen|דנה כהן|Наталья Коэн"},
		{"Коэн", "Наталья Коэн|Robert Cohen|דנה כהן"}, {"kohe", "Robert Cohen|דנה כהן|Наталья Коэн"}, {"коэ", "Наталья Коэн|Robert Cohen|דנה כהן"},
		{"Михаил", "Михаил Кузнецов|Michael Smith|מיכאל לוי"}, {"mikhail", "Михаил Кузнецов|Michael Smith|מיכאל לוי"}, {"מיכאל", "מיכאל לוי|Михаил Кузнецов|Michael Smith"},
		{"мих", "Михаил Кузнецов|Michael Smith|מיכאל לוי"}, {"micha", "Michael Smith|Михаил Кузнецов|מיכאל לוי"}, {"Миша", "Михаил Кузнецов|Michael Smith|מיכאל לוי"},
		{"haim", "Хаим Вайнштейн|חיים ברנשטיין"}, {"Chaim", "Хаим Вайнштейн|חיים ברנשטיין"}, {"חיים", "חיים ברנשטיין|Хаим Вайнштейн"},
		{"julia", "Julia Novak|Юлия Соколова|יוליה פרץ"}, {"Юлия", "Юлия Соколова|Julia Novak|יוליה פרץ"}, {"יולי", "יוליה פרץ|Юлия Соколова"},
		{"שרה", "שרה אזולאי|Sarah Green|Сара Фридман"}, {"Sara", "Sarah Green|שרה אזולאי|Сара Фридман"}, {"Сара", "Сара Фридман|Sarah Green|שרה אזולאי"},
		{"levi", "Yossi Levy|Борис Леви|מיכאל לוי"}, {"леви", "Борис Леви|Yossi Levy|מיכאל לוי"}, {"לוי", "מיכאל לוי|Борис Леви|Yossi Levy"},
		{"Isaac", "Isaac Newton|Ицхак Рабин|יצחק שמיר"}, {"itzhak", "Isaac Newton|Ицхак Рабин|יצחק שמיר"}, {"יצחק", "יצחק שמיר|Ицхак Рабин|Isaac Newton"},
		{"Александр", "Alexander Bell|אלכסנדר פושקין"}, {"Саша", "Alexander Bell|אלכסנדר פושקין"}, {"joseph", "Иосиф Бродский|יוסף טרומפלדור"}, {"יוסי", "יוסף טרומפלדור|Yossi Levy|Иосиф Бродский"},
		{"Moses", "משה דיין|Моисей Кац"}, {"Моше", "משה דיין|Моисей Кац"}, {"шварц", "Цви Шварц|צבי שוורץ|Zvi Schwartz"}, {"שוורץ", "צבי שוורץ|Цви Шварц|Zvi Schwartz"},
		{"kuznetsov", "Михаил Кузнецов"}, {"קוזנצוב", "Михаил Кузнецов"}, {"bernstein", "חיים ברנשטיין"}, {"cohen наталья", "Наталья Коэн"}, {"מיכאל kuznetsov", "Михаил Кузнецов"},
	} {
		got, want := o.find(c.query), strings.Split(c.want, "|")
		if written(want[0], c.query) && (len(got) == 0 || !written(got[0], c.query)) {
			t.Errorf("%q finds %q: what is written so does not stand first", c.query, got)
		}
		for _, name := range want {
			if !slices.Contains(got, name) {
				t.Errorf("%q finds %q, not %q", c.query, got, name)
			}
		}
	}
}

// written tells whether a word of the title begins as the query does.
func written(title, query string) bool {
	return slices.ContainsFunc(Words(title), func(word string) bool { return strings.HasPrefix(word, Fold(query)) })
}

func TestWrongLayout(t *testing.T) {
	o := crowd(t)
	for query, want := range map[string]string{"fvi": "דנה כהן", "rjg": "Копылов Антон", "Rjgskjd": "Копылов Антон", "בםיקמ": "Robert Cohen", "сщрут": "Robert Cohen",
		"fvi sbv": "דנה כהן", "rjgskjd fynjy": "Копылов Антон", "vb[fbk": "Михаил Кузнецов", "גשמש": "", "fv": "דנה כהן", "דצןאי": "Michael Smith", ",jhbc": "Борис Леви",
		"כענמאט": "", "יט,אק": ""} {
		got := o.find(query)
		if want != "" && (len(got) == 0 || got[0] != want) {
			t.Errorf("%q finds %q, want %q first", query, got, want)
		}
		for _, hit := range got {
			if want == "" && strings.Contains(hit, "Robert") {
				t.Errorf("%q finds %q", query, got)
			}
		}
	}
}

func TestOneTypingError(t *testing.T) {
	o := crowd(t)
	for query, want := range map[string]string{
		"кузнацов": "Михаил Кузнецов", "кузнцов": "Михаил Кузнецов", "кузненцов": "Михаил Кузнецов", "кузнцеов": "Михаил Кузнецов", "ьузнецов": "Михаил Кузнецов", "укзнецов": "Михаил Кузнецов",
		"узнецов": "Михаил Кузнецов", "квузнецов": "Михаил Кузнецов", "кзунецов": "Михаил Кузнецов", "кузнаце": "Михаил Кузнецов", "alexnader": "Alexander Bell", "טרומפדלור": "יוסף טרומפלדור", "ברנשטיינן": "חיים ברנשטיין",
		"xлександр": "", "ростислав щукни": "Ростислав Щукин", "сокалова": "Юлия Соколова", "schwarzt": "Zvi Schwartz",
	} {
		if got := o.find(query); want != "" && !slices.Contains(got, want) {
			t.Errorf("%q finds %q, want %q", query, got, want)
		}
	}
	for _, query := range []string{"дпян", "zxqwv", "кузбуцав"} { // too short, no word's, two errors
		if got := o.find(query); len(got) != 0 {
			t.Errorf("%q finds %q", query, got)
		}
	}
}

func TestBegunWithError(t *testing.T) {
	for _, c := range []struct {
		q, word string
		want    bool
	}{
		{"abcde", "abcde", false}, {"abcde", "abcdef", false}, {"abxde", "abcde", true}, {"abde", "abcde", true}, {"abccde", "abcde", true}, {"abdce", "abcde", true}, {"bacde", "abcde", true},
		{"abcdx", "abcde", true}, {"abcdex", "abcde", true}, {"xabcde", "abcde", true}, {"bcde", "abcde", true}, {"abxye", "abcde", false}, {"abced", "abcdef", true}, {"abcdef", "abc", false},
		{"acbed", "abcde", false}, {"a", "", true}, {"ab", "", false},
	} {
		if got := begunWithError([]rune(c.q), []rune(c.word)); got != c.want {
			t.Errorf("begunWithError(%q, %q) = %v", c.q, c.word, got)
		}
	}
}

func TestSounds(t *testing.T) {
	for _, words := range []string{"כהן cohen kohen коэн", "מיכאל mikhail михаил michael", "חיים хаим haim chaim", "יוליה julia юлия yulia", "שרה sarah сара sara", "לוי levi levy леви",
		"יצחק itzhak yitzhak ицхак", "קוזנצוב kuznetsov кузнецов", "שוורץ schwartz шварц", "אלכסנדר alexander александр", "רבקה rivka ривка", "דבורה dvora двора", "פרידמן friedman фридман",
		"וקנין vaknin вакнин", "אביב aviv авив", "גוראל goral горал", "ג'ון john джон", "צ'רנוב chernov чернов", "הלל hillel гиллел", "רחל rachel рахель"} {
		list := strings.Fields(words)
		first := soundsOf(Fold(list[0]))
		for _, word := range list[1:] {
			if !slices.ContainsFunc(soundsOf(word), func(s string) bool { return slices.Contains(first, s) }) {
				t.Errorf("%s %v does not sound like %s %v", word, soundsOf(word), list[0], first)
			}
		}
	}
	for _, pair := range []string{"cohen levi", "משה דוד", "иванов петров", "שרה רחל", "smith jones"} {
		a, b, _ := strings.Cut(pair, " ")
		if slices.ContainsFunc(soundsOf(a), func(s string) bool { return slices.Contains(soundsOf(b), s) }) {
			t.Errorf("%s sounds like %s", a, b)
		}
	}
	for _, word := range []string{"", "中文", "12", strings.Repeat("ו", 60), strings.Repeat("ch", 30), strings.Repeat("h", 64)} {
		if n := len(soundsOf(word)); n > maxSounds {
			t.Errorf("%q has %d sounds", word, n)
		}
	}
}

// TestNamesTable holds the table to its form: each spelling folded, of one alphabet, in a name of several.
func TestNamesTable(t *testing.T) {
	n := readNames()
	if len(n.groups) < 100 {
		t.Errorf("%d names", len(n.groups))
	}
	for _, group := range n.groups {
		if len(group) < 2 {
			t.Errorf("%q has no other spelling", group)
		}
		alphabets := map[rune]bool{}
		for _, word := range group {
			alphabets[alphabet(word)] = true
			for _, r := range word {
				if alphabet(string(r)) != alphabet(word) || alphabet(word) == 0 {
					t.Errorf("%q mixes alphabets", word)
				}
			}
		}
		if len(alphabets) < 2 {
			t.Errorf("%q is of one alphabet", group)
		}
	}
	for i := range n.spellings[1:] {
		if fmt.Sprint(n.spellings[i]) > fmt.Sprint(n.spellings[i+1]) && n.spellings[i].word > n.spellings[i+1].word {
			t.Error("not sorted")
		}
	}
}
