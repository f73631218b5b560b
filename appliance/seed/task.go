package seed

import (
	"iter"
	"strings"
)

// Task is one synthetic thing to do for a customer.
type Task struct {
	Index    int      // of the customer whom it concerns, of the same seed
	Language Language // that of the customer
	Title    string
	Note     string // empty for most
	Kind     string // call, meeting, mail or todo
	Priority string // low, normal or high
	Repeat   string // none for most
	State    string // open, done or cancelled
	Days     int    // from today to when it is due; before today for what is late
	Minute   int    // of that day
	Who      int    // whose it is: the same number is the same member of the staff
}

// Tasks yields the tasks 0 to n-1 of a seed. Task i concerns customer i. What was done or cancelled was due before, of
// the open ones about a quarter is late.
func Tasks(seed uint64, n int) iter.Seq[Task] {
	return func(yield func(Task) bool) {
		books := map[Language]errands{Hebrew: hebrewErrands(), Russian: russianErrands(), English: englishErrands()}
		for i := range n {
			language := drawOf(seed, i).language()
			t := books[language].task(drawOf(seed^taskSalt, i))
			t.Index, t.Language = i, language
			if !yield(t) {
				return
			}
		}
	}
}

// taskSalt and the like keep what is drawn for tasks, deals and leads apart from what is drawn for customers.
const (
	taskSalt = 0x7461736b
	dealSalt = 0x6465616c
	leadSalt = 0x6c656164
)

// errand is a kind of task with its titles, parted by |. In a title, {thing} is what it is about.
type errand struct{ kind, titles string }

// errands is what people of one language have to do.
type errands struct {
	each          []errand
	things, notes []string
}

func (e errands) task(d draw) Task {
	what := e.each[d.IntN(len(e.each))]
	t := Task{Kind: what.kind, Title: strings.ReplaceAll(d.pick(list(what.titles)), "{thing}", d.pick(e.things)), Priority: "normal", Repeat: "none",
		State: "open", Minute: 8*60 + 15*d.IntN(40), Who: d.IntN(1000)}
	if d.chance(20) {
		t.Note = d.pick(e.notes)
	}
	switch n := d.IntN(100); {
	case n < 12:
		t.Priority = "high"
	case n < 22:
		t.Priority = "low"
	}
	switch n := d.IntN(100); {
	case n < 35:
		t.State, t.Days = "done", -1-d.IntN(60)
	case n < 42:
		t.State, t.Days = "cancelled", -1-d.IntN(60)
	case n < 57:
		t.Days = -1 - d.IntN(12)
	default:
		t.Days = d.IntN(30)
	}
	if t.State == "open" && d.chance(8) {
		t.Repeat = d.pick([]string{"daily", "weekly", "monthly", "yearly"})
	}
	return t
}

func hebrewErrands() errands {
	return errands{
		each: []errand{
			{"call", "לחזור ללקוח בעניין {thing}|לברר אם {thing} הגיע|להתקשר ולתאם התקנה: {thing}|לשאול אם הכול תקין אחרי התיקון"},
			{"meeting", "פגישה במשרד: {thing}|ביקור אצל הלקוח|הצגת קטלוג: {thing}"},
			{"mail", "לשלוח הצעת מחיר: {thing}|לשלוח חשבונית|לשלוח חוזה לחתימה"},
			{"todo", "להזמין {thing} מהמחסן|לבדוק אחריות: {thing}|לעדכן פרטי לקוח|לחדש חוזה שירות"},
		},
		things: list("מדפסת|מזגן|שולחן|ארון|מחשב|מערכת אזעקה|מקרר"),
		notes:  list("הלקוח ביקש שנתקשר רק אחרי ארבע|כבר ניסינו פעמיים|דחוף לפני החג|לבקש צילום של התקלה"),
	}
}

func russianErrands() errands {
	return errands{
		each: []errand{
			{"call", "Перезвонить клиенту: {thing}|Узнать, всё ли в порядке после ремонта|Согласовать установку: {thing}|Уточнить срок доставки: {thing}"},
			{"meeting", "Встреча в офисе: {thing}|Выезд к клиенту|Показать каталог: {thing}"},
			{"mail", "Отправить предложение: {thing}|Выслать счёт|Выслать договор на подпись"},
			{"todo", "Заказать со склада: {thing}|Проверить гарантию: {thing}|Обновить данные клиента|Продлить договор обслуживания"},
		},
		things: list("принтер|кондиционер|стол|шкаф|компьютер|холодильник"),
		notes:  list("Просил звонить после четырёх|Пробовали уже дважды|Срочно до праздников|Попросить фото поломки"),
	}
}

func englishErrands() errands {
	return errands{
		each: []errand{
			{"call", "Call back about the {thing}|Ask whether the {thing} has arrived|Arrange the installation of the {thing}|Ask whether all is well after the repair"},
			{"meeting", "Meeting at the office: {thing}|Visit the customer|Show the catalogue: {thing}"},
			{"mail", "Send a quote for the {thing}|Send the invoice|Send the contract to be signed"},
			{"todo", "Order the {thing} from the store|Check the warranty of the {thing}|Update the customer's details|Renew the service contract"},
		},
		things: list("printer|air conditioner|desk|cabinet|laptop|alarm system|refrigerator"),
		notes:  list("Call only after four|We have tried twice|Urgent before the holidays|Ask for a photo of the damage"),
	}
}
