package seed

import (
	"iter"
	"strings"
)

// Deal is one thing that may be sold to a synthetic customer.
type Deal struct {
	Index    int      // of the customer, of the same seed
	Language Language // that of the customer
	Title    string
	Value    int    // in whole units of the office's currency
	Step     int    // how many open stages it has gone through, from 0; more than there are is the last
	Outcome  string // open, won or lost
	Reason   string // of a lost one
	Days     int    // from today to when it is expected to be closed
	Source   string // as a deal of the appliance has it
	Who      int    // whose it is: the same number is the same member of the staff
}

// Lead is somebody who may become a customer.
type Lead struct {
	Index    int // from 0; it shares no phone and no address with any customer of the seed below Most/2
	Language Language
	Name     string
	Company  string
	Phone    string
	Email    string
	Note     string
	Source   string
	Step     int // how many open stages it has gone through, from 0
	Who      int
}

// Deals yields the deals 0 to n-1 of a seed. Deal i is with customer i. Of 100 about 65 are open, 20 won and 15 lost.
func Deals(seed uint64, n int) iter.Seq[Deal] {
	return func(yield func(Deal) bool) {
		books := map[Language]offers{Hebrew: hebrewOffers(), Russian: russianOffers(), English: englishOffers()}
		for i := range n {
			language := drawOf(seed, i).language()
			deal := books[language].deal(drawOf(seed^dealSalt, i))
			deal.Index, deal.Language = i, language
			if !yield(deal) {
				return
			}
		}
	}
}

// Leads yields the leads 0 to n-1 of a seed, n at most Most/2.
func Leads(seed uint64, n int) iter.Seq[Lead] {
	return func(yield func(Lead) bool) {
		all := everywhere()
		books := map[Language]offers{Hebrew: hebrewOffers(), Russian: russianOffers(), English: englishOffers()}
		for i := range n {
			c, d := all.contact(seed, Most-1-i), drawOf(seed^leadSalt, i)
			l := Lead{Index: i, Language: c.Language, Name: c.Name, Company: c.Company, Phone: c.Phones[0], Source: d.source(), Step: d.IntN(2), Who: d.IntN(1000)}
			if len(c.Emails) > 0 && d.chance(60) {
				l.Email = c.Emails[0]
			}
			if d.chance(50) {
				l.Note = books[c.Language].title(d)
			}
			if !yield(l) {
				return
			}
		}
	}
}

func (d draw) source() string {
	return d.pick([]string{"phone", "phone", "email", "website", "website", "webchat", "social", "referral", "referral", "advert", "event", "visit"})
}

// offers is what is sold in one language. In a title, {thing} is what it is about.
type offers struct{ titles, things, reasons []string }

func (o offers) title(d draw) string {
	return strings.ReplaceAll(d.pick(o.titles), "{thing}", d.pick(o.things))
}

func (o offers) deal(d draw) Deal {
	x := Deal{Title: o.title(d), Value: 50 * (4 + d.IntN(16)*d.IntN(60)), Step: d.IntN(4), Outcome: "open", Days: d.IntN(90) - 10, Source: d.source(), Who: d.IntN(1000)}
	switch n := d.IntN(100); {
	case n < 20:
		x.Outcome = "won"
	case n < 35:
		x.Outcome, x.Reason = "lost", d.pick(o.reasons)
	}
	return x
}

func hebrewOffers() offers {
	return offers{
		titles:  list("{thing} למשרד החדש|החלפת {thing}|חוזה שירות שנתי|{thing} כולל התקנה|הרחבת המשרד|שדרוג: {thing}"),
		things:  list("מערכת אזעקה|מיזוג אוויר|ריהוט|מדפסות|מחשבים|מצלמות"),
		reasons: list("יקר מדי|בחרו ספק אחר|הפרויקט נדחה|אין תקציב השנה|לא ענו"),
	}
}

func russianOffers() offers {
	return offers{
		titles:  list("{thing} для нового офиса|Замена: {thing}|Годовой договор обслуживания|{thing} с установкой|Расширение офиса|Обновление: {thing}"),
		things:  list("сигнализация|кондиционеры|мебель|принтеры|компьютеры|камеры"),
		reasons: list("Слишком дорого|Выбрали другого поставщика|Проект отложен|Нет бюджета в этом году|Не отвечают"),
	}
}

func englishOffers() offers {
	return offers{
		titles:  list("{thing} for the new office|Replacement: {thing}|Yearly service contract|{thing} with installation|Office extension|Upgrade: {thing}"),
		things:  list("alarm system|air conditioning|furniture|printers|laptops|cameras"),
		reasons: list("Too expensive|Chose another supplier|Project put off|No budget this year|No answer"),
	}
}
