package transfer

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/karov-crm/karov/appliance/fault"
)

// The fields that a column may fill. Several columns may fill phone, email, address, city and note; of the others the
// first column that names one fills it, and a second one is reported as not understood.
const (
	Name       = "name"
	FirstName  = "first_name"
	MiddleName = "middle_name"
	LastName   = "last_name"
	Company    = "company"
	Phone      = "phone"
	Email      = "email"
	City       = "city"
	Address    = "address"
	Note       = "note"
	Birthday   = "birthday"
	Kind       = "kind"
	Owner      = "owner"
	ExternalID = "external_id"

	Ignore = "-" // left out on purpose
)

// Fields lists what a column may be mapped to by hand.
func Fields() []string {
	return []string{Name, FirstName, MiddleName, LastName, Company, Phone, Email, City, Address, Note, Birthday, Kind,
		Owner, ExternalID, Ignore}
}

// ParseMap reads pairs as they stand on a command line, "Header=field". A header may hold "=" itself.
func ParseMap(pairs []string) (map[string]string, error) {
	out := make(map[string]string, len(pairs))
	for _, p := range pairs {
		i := strings.LastIndexByte(p, '=')
		if i <= 0 {
			return nil, fault.New(fault.Invalid, "transfer.map-form", "pair", p)
		}
		out[p[:i]] = strings.TrimSpace(p[i+1:])
	}
	return out, nil
}

// mapper knows headers.
type mapper struct {
	names  map[string]string // folded header -> field
	byHand map[string]string // header with letter case and spaces folded -> field
	typed  map[string]string // the same -> as it was typed
	wrong  error             // a field given by hand does not exist

	key     func(string) string // folds a header to a key of names
	repeats func(string) bool   // fields that several columns may fill
}

func newMapper(byHand map[string]string) *mapper {
	m := &mapper{names: synonyms(), byHand: map[string]string{}, typed: map[string]string{}, key: fold, repeats: repeats}
	known := map[string]bool{}
	for _, f := range Fields() {
		known[f] = true
	}
	for header, field := range byHand {
		if !known[field] {
			m.wrong = fault.New(fault.Invalid, "transfer.map-field", "field", field, "fields", strings.Join(Fields(), ", "))
		}
		m.byHand[plain(header)] = field
		m.typed[plain(header)] = header
	}
	return m
}

// field names what a header means; empty when that is unknown.
func (m *mapper) field(header string) string {
	if f, ok := m.byHand[plain(header)]; ok {
		return f
	}
	return m.names[m.key(header)]
}

// columns maps a whole header.
func (m *mapper) columns(headers []string) ([]Column, error) {
	taken, used := map[string]bool{}, map[string]bool{}
	out := make([]Column, len(headers))
	for i, h := range headers {
		used[plain(h)] = true
		f := m.field(h)
		if taken[f] && !m.repeats(f) {
			f = ""
		}
		taken[f] = true
		out[i] = Column{Header: unguard(strings.TrimSpace(printable(h))), Field: f}
	}
	for p, header := range m.typed {
		if !used[p] {
			return nil, fault.New(fault.Invalid, "transfer.map-header", "header", header, "headers", seen(headers))
		}
	}
	return out, nil
}

func repeats(field string) bool {
	switch field {
	case Phone, Email, City, Address, Note, Ignore:
		return true
	}
	return false
}

// fold keeps of a header what carries its meaning: letters, without case, vowel points and accents (so ё is е and й
// is и). Digits, signs and spaces go: "E-mail 2 Address", "טל׳ נייד:" and "Телефон (моб.) 2" are what they are.
func fold(s string) string {
	var b strings.Builder
	for _, r := range norm.NFD.String(cut(s, 1000)) {
		if unicode.IsLetter(r) {
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return b.String()
}

// plain folds less, for headers named by hand: case, invisible marks and spaces at the ends and in a row.
func plain(s string) string {
	return strings.Join(strings.Fields(strings.ToLower(norm.NFC.String(printable(s)))), " ")
}

// printable takes control characters and direction marks out.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r) || invisible(r):
			return -1
		}
		return r
	}, s)
}
