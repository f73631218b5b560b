package contact

import (
	"strings"
	"sync"

	"github.com/nyaruka/phonenumbers"
)

// E164 writes a phone as +972501234567 (ITU-T E.164), or "" when it is no possible number.
func (r *Room) E164(phone string) string {
	if e164 := common(phone, r.region); e164 != "" {
		return e164
	}
	if len(phone) > maxKnownPhone {
		return parsePhone(phone, r.region)
	}
	if e164, ok := r.phones.get(phone); ok {
		return e164
	}
	e164 := parsePhone(phone, r.region)
	r.phones.put(phone, e164)
	return e164
}

// parsePhone asks the library, which costs as much as writing ten keys.
func parsePhone(phone, region string) string {
	n, err := phonenumbers.Parse(phone, region)
	if err != nil || !phonenumbers.IsPossibleNumber(n) {
		return ""
	}
	return phonenumbers.Format(n, phonenumbers.E164)
}

// plan is how most numbers of a country look: the calling code, the digit before a number within the country, the
// first digits and the lengths of numbers without either.
type plan struct {
	region, code string
	trunk        byte
	first        string
	least, most  int
}

// plans are the countries whose numbers most offices have. A test compares them with the library.
func plans() [3]plan {
	return [3]plan{
		{"IL", "972", '0', "23456789", 8, 9},
		{"RU", "7", '8', "3489", 10, 10},
		{"US", "1", '1', "23456789", 10, 10},
	}
}

// common brings the usual written forms to E.164 without the library: digits with spaces, hyphens, dots and brackets,
// after a plus and a calling code, or after the trunk digit of the office's own country. "" is for everything else.
func common(phone, region string) string {
	var space [16]byte
	digits, plus := space[:0], false
	for i := 0; i < len(phone); i++ {
		switch c := phone[i]; {
		case c >= '0' && c <= '9':
			if len(digits) == 15 {
				return ""
			}
			digits = append(digits, c)
		case c == '+' && i == 0:
			plus = true
		case c == ' ' || c == '-' || c == '(' || c == ')' || c == '.':
		default:
			return ""
		}
	}
	for _, p := range plans() {
		rest := digits
		switch {
		case plus && strings.HasPrefix(string(digits), p.code):
			rest = digits[len(p.code):]
		case !plus && p.region == region && len(digits) > 0 && digits[0] == p.trunk:
			rest = digits[1:]
		default:
			continue
		}
		if len(rest) < p.least || len(rest) > p.most || strings.IndexByte(p.first, rest[0]) < 0 {
			return ""
		}
		return "+" + p.code + string(rest)
	}
	return ""
}

const (
	// maxKnownPhone is the longest phone, in bytes, whose form is remembered; maxKnownPhones how many are, twice.
	maxKnownPhone  = 100
	maxKnownPhones = 4096
)

// knownPhones remembers the forms of phones, since one write asks for each several times. Two maps take turns, so that
// the old ones go without a search.
type knownPhones struct {
	mu       sync.Mutex
	now, old map[string]string
}

func (k *knownPhones) get(phone string) (e164 string, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e164, ok = k.now[phone]; !ok {
		e164, ok = k.old[phone]
	}
	return e164, ok
}

func (k *knownPhones) put(phone, e164 string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.now) >= maxKnownPhones || k.now == nil {
		k.now, k.old = make(map[string]string, 64), k.now
	}
	k.now[strings.Clone(phone)] = e164
}
