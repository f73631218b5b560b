package locale

import (
	"strings"

	"github.com/karov-crm/karov/appliance/schema"
)

// Money writes an amount as people read it, with its currency's sign where everybody knows it, as 1,200.50 ₪. It is
// isolated and runs from left to right in each language.
func (v *Voice) Money(a schema.Amount) string {
	whole, part, _ := strings.Cut(a.Decimal(), ".")
	whole, negative := strings.CutPrefix(whole, "-")
	var b strings.Builder
	for i, digit := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteString(calendarOf(v.Code).group)
		}
		b.WriteRune(digit)
	}
	if strings.Trim(part, "0") != "" {
		b.WriteString(calendarOf(v.Code).decimal + part)
	}
	sign, known := map[string]string{"ILS": "₪", "RUB": "₽", "USD": "$", "EUR": "€", "GBP": "£", "UAH": "₴"}[a.Currency]
	if !known {
		sign = a.Currency
	}
	text := b.String() + "\u00a0" + sign
	if v.Code == "en" && known {
		text = sign + b.String()
	}
	if negative {
		text = "-" + text
	}
	return "\u2066" + text + "\u2069"
}
