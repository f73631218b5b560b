package seed

import (
	"iter"
	"strconv"
	"strings"
)

// Mail is one synthetic letter of a customer.
type Mail struct {
	Index    int
	Language Language // that of customer Index of the same seed
	Subject  string
	Text     string
}

// Mails yields the letters 0 to n-1 of a seed. Letter i is in the language of customer i.
func Mails(seed uint64, n int) iter.Seq[Mail] {
	return func(yield func(Mail) bool) {
		books := map[Language]letters{Hebrew: hebrewLetters(), Russian: russianLetters(), English: englishLetters()}
		for i := range n {
			language := drawOf(seed, i).language()
			m := books[language].write(drawOf(^seed, i))
			m.Index, m.Language = i, language
			if !yield(m) {
				return
			}
		}
	}
}

// letters is what people of one language write: a greeting, a matter, a closing. In each, {n} is a number, {day} a day
// and {thing} what it is about.
type letters struct {
	greetings, closings, days, things []string
	matters                           []matter
}

// matter is why somebody writes.
type matter struct{ subject, text string }

func (l letters) write(d draw) Mail {
	m := l.matters[d.IntN(len(l.matters))]
	fill := strings.NewReplacer("{n}", strconv.Itoa(1000+d.IntN(9000)), "{day}", d.pick(l.days), "{thing}", d.pick(l.things))
	text := d.pick(l.greetings) + "\n\n" + m.text + "\n\n" + d.pick(l.closings)
	return Mail{Subject: fill.Replace(m.subject), Text: fill.Replace(text)}
}

func hebrewLetters() letters {
	return letters{
		greetings: list("שלום,|שלום רב,|היי,|בוקר טוב,|צהריים טובים,"),
		closings:  list("תודה|תודה רבה מראש|בברכה|אשמח לתשובה בהקדם|תודה ויום נעים"),
		days:      list("ביום ראשון|ביום שני|ביום שלישי|ביום רביעי|ביום חמישי|מחר|השבוע"),
		things:    list("מדפסת|מזגן|שולחן|ארון|מחשב|מערכת אזעקה|מקרר"),
		matters: []matter{
			{"הזמנה {n}", "הזמנתי אצלכם {thing} ועדיין לא קיבלתי אישור. מספר ההזמנה {n}. האם היא יוצאת {day}?"},
			{"בקשה להצעת מחיר", "נשמח לקבל הצעת מחיר עבור {thing}, כולל משלוח והתקנה. נוח לנו {day}."},
			{"חשבונית חסרה", "לא קיבלנו את החשבונית על {thing} (הזמנה {n}). אפשר לשלוח שוב?"},
			{"תקלה ב{thing}", "מאז אתמול יש לנו תקלה: {thing} מפסיק לעבוד אחרי כמה דקות. מתי אפשר לשלוח טכנאי? נוח לנו {day}."},
			{"שינוי כתובת למשלוח", "עברנו דירה. בבקשה לעדכן את הכתובת להזמנה {n} לפני המשלוח."},
			{"לתאם פגישה", "אפשר לקבוע פגישה {day} בבוקר? יש לנו כמה שאלות על {thing}."},
			{"תלונה על השירות", "חיכיתי שעתיים לשליח של הזמנה {n} ואף אחד לא התקשר. זו כבר הפעם השנייה. אבקש שמנהל יחזור אליי."},
			{"תודה!", "רק רצינו להגיד תודה על הטיפול המהיר בהזמנה {n}. נמליץ עליכם בשמחה."},
		},
	}
}

func russianLetters() letters {
	return letters{
		greetings: list("Здравствуйте!|Добрый день!|Доброе утро!|Добрый вечер,"),
		closings:  list("Спасибо|С уважением|Заранее благодарю|Жду вашего ответа|Хорошего дня"),
		days:      list("в понедельник|во вторник|в среду|в четверг|завтра|на этой неделе"),
		things:    list("принтер|кондиционер|стол|шкаф|компьютер|холодильник"),
		matters: []matter{
			{"Заказ {n}", "Я заказывал у вас {thing}, но подтверждения так и не получил. Номер заказа {n}. Его отправят {day}?"},
			{"Запрос цены", "Пришлите, пожалуйста, предложение на {thing} с доставкой и установкой. Нам удобно {day}."},
			{"Нет счёта", "Мы не получили счёт по заказу {n} ({thing}). Вышлите, пожалуйста, ещё раз."},
			{"Неисправность: {thing}", "Со вчерашнего дня {thing} не работает. Когда может приехать мастер? Нам удобно {day}."},
			{"Смена адреса доставки", "Мы переехали. Исправьте, пожалуйста, адрес в заказе {n} до отправки."},
			{"Встреча", "Можем ли мы встретиться {day} утром? Есть несколько вопросов: {thing}."},
			{"Жалоба", "Два часа ждали курьера по заказу {n}, никто не позвонил. Это уже второй раз. Прошу, чтобы со мной связался руководитель."},
			{"Благодарность", "Спасибо за быструю помощь с заказом {n}. Будем рекомендовать вас знакомым."},
		},
	}
}

func englishLetters() letters {
	return letters{
		greetings: list("Hello,|Hi,|Good morning,|Dear team,"),
		closings:  list("Thanks|Thank you in advance|Best regards|Looking forward to your answer|Have a nice day"),
		days:      list("on Monday|on Tuesday|on Wednesday|on Thursday|tomorrow|this week"),
		things:    list("printer|air conditioner|desk|cabinet|laptop|alarm system|refrigerator"),
		matters: []matter{
			{"Order {n}", "I ordered a new {thing} from you and have had no confirmation yet. The order number is {n}. Will it ship {day}?"},
			{"Request for a quote", "Could you send us a quote for one {thing}, with delivery and installation? We are free {day}."},
			{"Missing invoice", "We have not received the invoice for the {thing} (order {n}). Could you send it again?"},
			{"Problem with the {thing}", "Since yesterday our {thing} stops working after a few minutes. When can somebody come? We are in {day}."},
			{"Change of delivery address", "We have moved. Please change the address of order {n} before it ships."},
			{"Meeting", "Could we meet {day} in the morning? We have a few questions about the {thing}."},
			{"Complaint", "I waited two hours for the courier of order {n} and nobody called. This is the second time. Please have a manager call me."},
			{"Thank you!", "Just a word of thanks for the quick help with order {n}. We will gladly recommend you."},
		},
	}
}
