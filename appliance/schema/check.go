package schema

import (
	"math"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/karov-crm/karov/appliance/fault"
)

// Limits of what an office may add.
const (
	MaxEntities = 200  // of its own, hidden ones too
	MaxFields   = 500  // of one entity, hidden ones too
	MaxChoices  = 1000 // of one field, retired ones too
	maxName     = 50
	maxLabel    = 100 // characters
	maxChoice   = 100
	maxFormula  = 10_000
	maxLength   = 5 << 20 // that Max may name
	maxDefault  = 100     // values of one Default
)

// A field's name has no dot, so that an entity's name, a dot and a field's name read in one way only.
var (
	nameShape  = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$`)
	fieldShape = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	langShape  = regexp.MustCompile(`^[a-z]{2,3}$`)
)

var (
	allTypes  = []Type{Text, LongText, Number, Money, YesNo, Choice, Time, Date, Yearly, Phone, Email, URL, Link, Staff, File, Picture, Formula, Data}
	listable  = []Type{Text, Choice, Time, Date, Yearly, Phone, Email, URL, Staff, Number, Money, YesNo, Link}
	many      = []Type{Text, LongText, Choice, Phone, Email, URL, Link, Staff, File, Picture}
	findable  = []Type{Text, LongText, Choice, Phone, Email, URL}
	hasLength = []Type{Text, LongText, Phone, Email, URL}
)

// Types lists all types that an office's field can have.
func Types() []Type {
	return slices.DeleteFunc(slices.Clone(allTypes), func(t Type) bool { return t == Data })
}

// Indexable tells whether records can be listed and sorted by a field of the type.
func (t Type) Indexable() bool { return slices.Contains(listable, t) }

// Listable tells whether a record can hold many values of the type.
func (t Type) Listable() bool { return slices.Contains(many, t) }

func (s *Schema) check(e *Entity) error {
	if !nameShape.MatchString(e.Name) {
		return fault.New(fault.Invalid, "schema.name", "entity", e.Name, "name", e.Name)
	}
	numbers, names := map[int]bool{}, map[string]bool{}
	for i := range e.Fields {
		f := &e.Fields[i]
		if err := s.checkField(e, f); err != nil {
			return err
		}
		if numbers[f.Number] || names[f.Name] {
			return fault.New(fault.Invalid, "schema.taken", "entity", e.Name, "field", f.Name, "type", f.Type, "number", f.Number)
		}
		numbers[f.Number], names[f.Name] = true, true
	}
	for _, role := range roles(e) {
		if role.field == "" || role.name == "contact" && role.field == "id" {
			continue
		}
		if f := e.Field(role.field); f == nil || f.Type != role.takes || f.Many {
			return fault.New(fault.Invalid, "schema.role", "entity", e.Name, "role", role.name, "field", role.field, "type", role.takes)
		}
	}
	if f := e.Field(e.Contact); e.Timeline && (f == nil || !f.Indexed) {
		return fault.New(fault.Invalid, "schema.timeline", "entity", e.Name)
	}
	return nil
}

// role is one part that a field plays in its entity.
type role struct {
	name, field string
	takes       Type
}

func roles(e *Entity) []role {
	return []role{{"title", e.Title, Text}, {"owner", e.Owner, Staff}, {"via", e.Via, Link}, {"contact", e.Contact, Link}}
}

func (s *Schema) checkField(e *Entity, f *Field) error {
	switch {
	case !fieldShape.MatchString(f.Name):
		return fault.New(fault.Invalid, "schema.name", "entity", e.Name, "field", f.Name, "type", f.Type, "name", f.Name)
	case f.Number < FirstField || f.Number > 1<<28:
		return fault.New(fault.Invalid, "schema.number", "entity", e.Name, "field", f.Name, "type", f.Type, "number", f.Number)
	case !slices.Contains(allTypes, f.Type):
		return fault.New(fault.Invalid, "schema.type", "entity", e.Name, "field", f.Name, "type", f.Type)
	case f.Many && !f.Type.Listable():
		return fault.New(fault.Invalid, "schema.many", "entity", e.Name, "field", f.Name, "type", f.Type)
	case f.Type == Link && s.byName[f.Target] == nil, f.Type != Link && f.Target != "":
		return fault.New(fault.Invalid, "schema.target", "entity", e.Name, "field", f.Name, "type", f.Type, "target", f.Target)
	case f.Max < 0 || f.Max > maxLength || f.Max > 0 && !slices.Contains(hasLength, f.Type):
		return fault.New(fault.Invalid, "schema.max", "entity", e.Name, "field", f.Name, "type", f.Type, "limit", maxLength)
	case f.Type == Formula && (f.Formula == "" || len(f.Formula) > maxFormula), f.Type != Formula && f.Formula != "":
		return fault.New(fault.Invalid, "schema.formula", "entity", e.Name, "field", f.Name, "type", f.Type, "limit", maxFormula)
	case f.Currency != "" && (f.Type != Money || !isCurrency(f.Currency)):
		return fault.New(fault.Invalid, "schema.currency", "entity", e.Name, "field", f.Name, "type", f.Type, "currency", f.Currency)
	}
	if err := checkMarks(e, f); err != nil {
		return err
	}
	if err := checkChoices(e, f); err != nil {
		return err
	}
	if f.Default != nil && !fits(f, f.Default) {
		return fault.New(fault.Invalid, "schema.default", "entity", e.Name, "field", f.Name, "type", f.Type)
	}
	return nil
}

func checkMarks(e *Entity, f *Field) error {
	switch {
	case f.Indexed && !f.Type.Indexable():
		return fault.New(fault.Invalid, "schema.indexed", "entity", e.Name, "field", f.Name, "type", f.Type)
	case f.Unique && !f.Indexed:
		return fault.New(fault.Invalid, "schema.unique", "entity", e.Name, "field", f.Name, "type", f.Type)
	case f.Searched && !slices.Contains(findable, f.Type):
		return fault.New(fault.Invalid, "schema.searched", "entity", e.Name, "field", f.Name, "type", f.Type)
	case f.Type == Formula && (f.Required || f.Closed):
		return fault.New(fault.Invalid, "schema.computed", "entity", e.Name, "field", f.Name, "type", f.Type)
	case f.Hidden && f.Required:
		return fault.New(fault.Invalid, "schema.needed", "entity", e.Name, "field", f.Name, "type", f.Type)
	}
	return nil
}

func checkChoices(e *Entity, f *Field) error {
	if f.Type != Choice {
		if len(f.Choices)+len(f.Retired) > 0 {
			return fault.New(fault.Invalid, "schema.no-choice", "entity", e.Name, "field", f.Name, "type", f.Type)
		}
		return nil
	}
	if len(f.Choices) == 0 {
		return fault.New(fault.Invalid, "schema.choices", "entity", e.Name, "field", f.Name, "type", f.Type)
	}
	seen := map[string]bool{}
	for _, choice := range slices.Concat(f.Choices, f.Retired) {
		if !isLine(choice) || len(choice) > maxChoice {
			return fault.New(fault.Invalid, "schema.choice", "entity", e.Name, "field", f.Name, "type", f.Type, "choice", choice, "limit", maxChoice)
		}
		if seen[choice] {
			return fault.New(fault.Invalid, "schema.choice-twice", "entity", e.Name, "field", f.Name, "type", f.Type, "choice", choice)
		}
		seen[choice] = true
	}
	return nil
}

// isLine tells whether a text is one that a record would keep as it is: visible, of one line, with no spaces at its ends
// or in a row, and without characters that nobody sees or that turn the direction of what stands around them.
func isLine(s string) bool {
	if s == "" || !utf8.ValidString(s) || strings.Join(strings.Fields(s), " ") != s {
		return false
	}
	seen := false
	for _, r := range s {
		if unicode.IsControl(r) || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0xfeff || r == 0x2028 || r == 0x2029 {
			return false
		}
		seen = seen || !unicode.IsSpace(r) && !unicode.In(r, unicode.Cf, unicode.Mn)
	}
	return seen
}

// checkLabels refuses names for people that cannot be shown.
func checkLabels(labels map[string]string) error {
	for lang, label := range labels {
		if !langShape.MatchString(lang) || !isLine(label) || utf8.RuneCountInString(label) > maxLabel {
			return fault.New(fault.Invalid, "schema.label", "lang", lang, "limit", maxLabel)
		}
	}
	return nil
}

// fits tells whether a value may be what a field gets by itself.
func fits(f *Field, value any) bool {
	if !f.Many {
		return fitsOne(f, value)
	}
	list, ok := value.([]string)
	if !ok || len(list) == 0 || len(list) > maxDefault {
		return false
	}
	for _, item := range list {
		if !fitsOne(f, item) {
			return false
		}
	}
	return true
}

func fitsOne(f *Field, value any) bool {
	switch f.Type {
	case Number:
		n, ok := value.(float64)
		return ok && !math.IsNaN(n) && !math.IsInf(n, 0)
	case YesNo:
		_, ok := value.(bool)
		return ok
	}
	s, ok := value.(string)
	if !ok || s == "" || !utf8.ValidString(s) || f.Max > 0 && len(s) > f.Max || f.Type != LongText && (len(s) > 1000 || !isLine(s)) {
		return false
	}
	var err error
	switch f.Type {
	case Text, LongText, Phone, Staff:
	case Choice:
		return slices.Contains(f.Choices, s)
	case Money:
		_, err = ParseAmount(s, f.Currency)
	case Time:
		_, err = time.Parse(time.RFC3339Nano, s)
	case Date:
		_, err = time.Parse(time.DateOnly, s)
	case Yearly:
		_, _, _, ok := ParseYearly(s)
		return ok
	case Email:
		_, err = mail.ParseAddress(s)
	case URL:
		var u *url.URL
		if u, err = url.Parse(s); err == nil && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
			return false
		}
	case Link:
		_, err = uuid.Parse(s)
	default:
		return false
	}
	return err == nil
}

// isCurrency tells whether a text is the code of a currency.
func isCurrency(code string) bool {
	_, ok := Digits(code)
	return ok
}

// ParseYearly reads a day that comes every year, as 1990-02-28 or, where the year (0) is unknown, --02-28. The 29 of
// February is one in leap years, and where the year is unknown.
func ParseYearly(s string) (year int, month time.Month, day int, ok bool) {
	whole, known := s, true
	if rest, cut := strings.CutPrefix(s, "--"); cut {
		whole, known = "2000-"+rest, false // a leap year
	}
	t, err := time.Parse(time.DateOnly, whole)
	if err != nil {
		return 0, 0, 0, false
	}
	if known {
		year = t.Year()
	}
	return year, t.Month(), t.Day(), !known || year > 0
}

// ValidName tells whether a name can be an entity's.
func ValidName(name string) bool { return len(name) <= maxName && nameShape.MatchString(name) }

// ValidField tells whether a name can be that of a field that is not built in.
func ValidField(name string) bool {
	return len(name) <= maxName && fieldShape.MatchString(name) && !slices.Contains(reservedFields, name)
}

// ValidLabel tells whether a text can be a name for people.
func ValidLabel(label string) bool {
	return isLine(label) && utf8.RuneCountInString(label) <= maxLabel
}
