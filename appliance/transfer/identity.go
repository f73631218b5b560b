package transfer

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nyaruka/phonenumbers"
)

// phone checks one phone and gives its E.164 form, or the key of what is wrong.
func phone(typed, region string) (e164, key string) {
	if scientific(typed) {
		return "", "transfer.phone-scientific"
	}
	if len(typed) > 60 {
		return "", "transfer.phone"
	}
	if e164 := valid(typed, region); e164 != "" {
		return e164, ""
	}
	// A spreadsheet takes the plus off a foreign number.
	if d := digits(typed); len(d) >= 11 && d[0] != '0' && !strings.Contains(typed, "+") && !letters(typed) {
		if e164 := valid("+"+d, region); e164 != "" {
			return e164, ""
		}
	}
	// Number plans change faster than libraries, and a customer is worth more than a plan: what is as long as a mobile
	// or a landline is taken.
	if e164 := parsed(typed, region, likely); e164 != "" {
		return e164, ""
	}
	return "", "transfer.phone"
}

func valid(typed, region string) string {
	if e164 := usual(typed, region); e164 != "" {
		return e164
	}
	return parsed(typed, region, phonenumbers.IsValidNumber)
}

// usual reads what most phones of a file look like: digits of the file's own region, with or without its calling code,
// and the marks that people put between them. It says what the library would say, in a tenth of the time; "" is for
// everything else.
func usual(typed, region string) string {
	code, calling, trunk, first := "972", int32(972), byte('0'), "23456789"
	switch region {
	case "IL":
	case "RU":
		code, calling, trunk, first = "7", 7, '8', "3489"
	default:
		return ""
	}
	var space [20]byte
	number := space[:0]
	for i := 0; i < len(typed); i++ {
		switch c := typed[i]; {
		case c >= '0' && c <= '9' && len(number) < 15:
			number = append(number, c)
		case c == '+' && i == 0, c == ' ', c == '-', c == '(', c == ')', c == '.':
		default:
			return ""
		}
	}
	national := string(number)
	switch {
	case strings.HasPrefix(typed, "+"):
		if national, _ = strings.CutPrefix(national, code); len(national)+len(code) != len(number) {
			return ""
		}
	case len(national) > 8 && national[0] == trunk:
		national = national[1:]
	default:
		return ""
	}
	value, err := strconv.ParseUint(national, 10, 64)
	if err != nil || strings.IndexByte(first, national[0]) < 0 {
		return ""
	}
	n := phonenumbers.PhoneNumber{CountryCode: &calling, NationalNumber: &value}
	if !phonenumbers.IsValidNumberForRegion(&n, region) {
		return ""
	}
	return "+" + code + national
}

// likely tells whether a number has as many digits as a mobile or a landline of its country.
func likely(n *phonenumbers.PhoneNumber) bool {
	region := phonenumbers.GetRegionCodeForCountryCode(int(n.GetCountryCode()))
	digits := len(phonenumbers.GetNationalSignificantNumber(n))
	for _, kind := range []phonenumbers.PhoneNumberType{phonenumbers.MOBILE, phonenumbers.FIXED_LINE} {
		example := phonenumbers.GetExampleNumberForType(region, kind)
		if example != nil && len(phonenumbers.GetNationalSignificantNumber(example)) == digits {
			return true
		}
	}
	return false
}

func parsed(typed, region string, good func(*phonenumbers.PhoneNumber) bool) string {
	n, err := phonenumbers.Parse(typed, region)
	if err != nil || !good(n) {
		return ""
	}
	return phonenumbers.Format(n, phonenumbers.E164)
}

func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}

func letters(s string) bool { return strings.ContainsFunc(s, unicode.IsLetter) }

// scientific tells what a spreadsheet makes of a long number: 9.72501E+11, or with a decimal comma.
func scientific(s string) bool {
	s = strings.TrimSpace(s)
	i := strings.LastIndexAny(s, "eE")
	if i <= 0 {
		return false
	}
	mantissa := strings.TrimLeft(s[:i], "+-")
	power := strings.TrimLeft(s[i+1:], "+-")
	if power == "" || digits(power) != power {
		return false
	}
	whole, rest, _ := strings.Cut(strings.Replace(mantissa, ",", ".", 1), ".")
	return len(whole) > 0 && digits(whole) == whole && digits(rest) == rest
}

// splitPhones cuts a cell with several phones. Semicolons, line ends and Google's ::: always part; a comma, a slash
// and a bar only between whole numbers, since people also write 03/123-4567.
func splitPhones(cell string) []string {
	var out []string
	for _, piece := range split(cell, ";\n") {
		if scientific(piece) {
			out = append(out, piece)
			continue
		}
		parts := split(piece, ",/|")
		for _, p := range parts {
			if len(digits(p)) < 7 {
				parts = []string{piece}
				break
			}
		}
		out = append(out, parts...)
	}
	return out
}

// splitEmails cuts a cell with several addresses.
func splitEmails(cell string) []string { return split(cell, ";,\n|") }

func split(cell, marks string) []string {
	cell = strings.ReplaceAll(cell, ":::", "\n")
	var out []string
	for _, p := range strings.FieldsFunc(cell, func(r rune) bool { return r == '\n' || strings.ContainsRune(marks, r) }) {
		if p = oneLine(p); p != "" {
			out = append(out, p)
		}
	}
	return out
}

// email checks one address, which may be dressed as "Dana <dana@x>" or "mailto:dana@x", and gives it bare.
func email(typed string) (address, key string) {
	address = typed
	if i := strings.LastIndexByte(address, '<'); i >= 0 && strings.HasSuffix(address, ">") {
		address = address[i+1 : len(address)-1]
	}
	if hasFold([]byte(address), "mailto:") {
		address = address[len("mailto:"):]
	}
	address = strings.TrimSpace(address)
	local, domain, ok := strings.Cut(address, "@")
	if !ok || len(address) > 254 || !localPart(local) || !domainName(domain) {
		return "", "transfer.email"
	}
	return address, ""
}

func localPart(s string) bool {
	if s == "" || len(s) > 64 || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r) || strings.ContainsRune(`()<>[]:;,"\@`, r)
	})
}

func domainName(s string) bool {
	labels := strings.Split(s, ".")
	if len(labels) < 2 || utf8.RuneCountInString(labels[len(labels)-1]) < 2 {
		return false
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
		if strings.ContainsFunc(l, func(r rune) bool {
			return r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
		}) {
			return false
		}
	}
	return true
}
