package transfer

import (
	"strings"
	"time"
)

// birthday reads a date, day first as in Israel and Russia, and gives it as ISO. A year of two digits is not taken:
// it does not say the century. Outlook's 0/0/00 is no birthday.
func birthday(text string) (iso, key string) {
	date := text
	if day, clock, ok := strings.Cut(text, " "); ok && strings.Trim(clock, "0:. APMapm") == "" {
		date = day
	} else if day, clock, ok := strings.Cut(text, "T"); ok && strings.Trim(clock, "0:.Z") == "" {
		date = day
	}
	if strings.Trim(date, "0/.-") == "" {
		return "", ""
	}
	for _, form := range []string{"2006-1-2", "2006/1/2", "2006.1.2", "2.1.2006", "2/1/2006", "2-1-2006", "20060102"} {
		if t, err := time.Parse(form, date); err == nil && t.Year() >= 1850 && t.Year() < 2200 {
			return t.Format(time.DateOnly), ""
		}
	}
	return "", "transfer.birthday"
}

// kind reads whether a row is a person or a company.
func kind(text string) (name, key string) {
	switch fold(text) {
	case "person", "individual", "private", "human", "p", "contact", "personal",
		"אדם", "פרטי", "איש", "אישה", "לקוחפרטי", "אישקשר", "יחיד",
		"человек", "физлицо", "физическоелицо", "частноелицо", "персона", "контакт", "частныи", "фл":
		return "person", ""
	case "company", "business", "organization", "organisation", "firm", "corporate", "c", "account",
		"חברה", "עסק", "ארגון", "עסקי", "לקוחעסקי", "חברהבעמ", "עמותה", "מוסד",
		"компания", "организация", "фирма", "юрлицо", "юридическоелицо", "предприятие", "ип", "ооо", "юл":
		return "company", ""
	}
	return "", "transfer.kind"
}
