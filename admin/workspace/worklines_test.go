package workspace_test

import (
	"html"
	"regexp"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/access"
)

// TestTheTimelineShowsWhatIsDone reads the lines of tasks, deals and a lead on a card in each language.
func TestTheTimelineShowsWhatIsDone(t *testing.T) {
	d := aDay(newOffice(t))
	spaces := regexp.MustCompile(`(<[^>]*>|\s)+`)
	for lang, wanted := range map[string][]string{
		"en": {"Call · להתקשר ולתאם טכנאי Late: was due", "Letter · Выслать договор (по-русски) Open · Due: ", " · יוסי כהן", "To do · Check the warranty Done · דנה לוי",
			"דנה לוי finished a task · Check the warranty", "Deal · Service contract 2027 פנייה חדשה · $1,800.50 · Expected to close: ", "Deal · דוד שמש חדש נסגרה בהצלחה · ₪12,400 ",
			"דנה לוי won the deal · דוד שמש חדש", "Lead · משה כהן Qualified · Referral"},
		"he": {"שיחת טלפון · להתקשר ולתאם טכנאי באיחור: לביצוע עד", "פתוחה · לביצוע עד ", "בוצעה · דנה לוי", "המשימה בוצעה על ידי דנה לוי · Check the warranty",
			"עסקה · Service contract 2027 פנייה חדשה · 1,800.50 $", "העסקה נסגרה בהצלחה על ידי דנה לוי · דוד שמש חדש", "ליד · משה כהן מתאים · המלצה"},
		"ru": {"Звонок · להתקשר ולתאם טכנאי Просрочено, срок был: ", "Письмо · Выслать договор (по-русски) Открыта · Срок: ", "דנה לוי: задача выполнена · Check the warranty",
			"Сделка · Service contract 2027 פנייה חדשה · 1 800,50 $ · Ожидаемое закрытие: ", "דנה לוי: сделка заключена", "Лид · משה כהן Подходит · По рекомендации"},
	} {
		if err := d.staff.SetLanguage(d.as(access.Owner), lang); err != nil {
			t.Fatal(err)
		}
		page := d.reader(t, access.Owner).get("/contacts/" + d.cohen.ID.String() + "/timeline?limit=40")
		text := html.UnescapeString(spaces.ReplaceAllString(page, " "))
		text = strings.NewReplacer("\u2066", "", "\u2068", "", "\u2069", "", "\u00a0", " ").Replace(text)
		for _, want := range wanted {
			if !strings.Contains(text, want) {
				t.Errorf("%s: the timeline does not say %q:\n%s", lang, want, text)
			}
		}
		if strings.Contains(text, "choice.") || strings.Contains(text, "fact.") {
			t.Errorf("%s: a key stands on the timeline: %s", lang, text)
		}
	}
}

// TestADeletedTaskIsNotTold deletes a task that was done: nothing is said of it any more.
func TestADeletedTaskIsNotTold(t *testing.T) {
	d := aDay(newOffice(t))
	reader, path := d.reader(t, access.Owner), "/contacts/"+d.cohen.ID.String()+"/timeline?limit=40"
	if !strings.Contains(reader.get(path), "Check the warranty") {
		t.Fatal("it is not told at all")
	}
	tasks, err := d.tasks.Of(d.system, d.cohen.ID, 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range tasks {
		if k.Title == "Check the warranty" {
			if err := d.book.Delete(d.system, "task", k.ID, k.Version); err != nil {
				t.Fatal(err)
			}
		}
	}
	if page := reader.get(path); strings.Contains(page, "Check the warranty") || strings.Contains(page, "finished a task") {
		t.Error("a deleted task is told")
	}
}
