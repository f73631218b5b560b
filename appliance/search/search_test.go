package search

import (
	"strings"
	"testing"
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
