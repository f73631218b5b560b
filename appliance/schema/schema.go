// Package schema says what kinds of record there are: entities and their fields.
//
// Each room declares the entities it owns in Go; record reads and writes records by them, so that a list, a card, the
// API, an import and a backup need no code per entity. A field's number is what stands in a stored record: it is given
// once and never used again, also when the field is gone.
//
// It owns no bucket yet, since all entities are built in; New refuses a set that contradicts itself. It will not hold
// data or texts: an entity's and a field's names on screen are keys "entity.<name>" and "field.<entity>.<name>".
package schema

import (
	"fmt"
	"regexp"
	"slices"
)

// Type is what a field holds.
type Type string

const (
	Text     Type = "text"      // one line
	LongText Type = "long-text" // paragraphs
	Number   Type = "number"
	Money    Type = "money" // an amount in a currency
	YesNo    Type = "yes-no"
	Choice   Type = "choice" // Many: several of them
	Time     Type = "time"   // a moment, kept in milliseconds
	Date     Type = "date"   // a day, as 2026-11-22
	Yearly   Type = "yearly" // a day that comes every year, as 1990-02-28, or --02-28 where the year is unknown
	Phone    Type = "phone"
	Email    Type = "email"
	URL      Type = "url"
	Link     Type = "link"    // the id of a record of Target; Many: of several
	Staff    Type = "staff"   // the id of an account
	File     Type = "file"    // an attachment: its name, media type, size and blob
	Picture  Type = "picture" // an attachment that is shown
	Formula  Type = "formula" // computed from the record's other fields when it is read
	Data     Type = "data"    // JSON that only the room that owns the entity reads and writes
)

// FirstField is the lowest number a field may have; those below are the record's own (version, times, authors).
const FirstField = 16

// Field is one field of an entity.
type Field struct {
	Number   int
	Name     string
	Type     Type
	Many     bool
	Required bool

	Choices   []string // of a Choice: every value that a record may hold
	Target    string   // entity that a Link names
	Formula   string   // of a Formula: its text in the language of package filter
	Currency  string   // of a Money: the currency of an amount that names none, as ILS
	Max       int      // most bytes of a text, 0 for the default of its type
	Default   any      // what a new record gets where nothing was given: a string, float64, bool or []string
	Closed    bool     // written by the entity's room only, never by a form or the API
	Indexed   bool     // records can be listed by its value, and sorted
	Unique    bool     // no two records have the same value; always Indexed too
	Searched  bool     // lookup finds the record by the words or digits in it
	Sensitive bool     // personal beyond a name: each reading of it is told to the journal, and exports leave it out unless asked

	Hidden  bool              // out of use: not shown, not writable; what records hold of it stays
	Custom  bool              // made by the office or a plugin, not built in
	Labels  map[string]string // a custom field's name for people, by language
	Retired []string          // of a Choice: values that old records may hold and nobody can choose any more

	ChoiceLabels map[string]map[string]string // of a custom Choice: value, language, text
}

// Entity is one kind of record.
type Entity struct {
	Name    string
	Fields  []Field
	Title   string // the text field that names a record to people
	Owner   string // the Staff field that says whose a record is, "" where only Via says it
	Via     string // a Link field: a record is also his whose the linked one is
	Contact string // the Link field that names the customer a record concerns; "id" for the customer itself

	Custom  bool              // made by the office or a plugin, not built in
	Hidden  bool              // out of use; its records stay
	Labels  map[string]string // a custom entity's name for people, by language
	Plurals map[string]string // the same, of many

	Timeline bool // its records stand on their customer's timeline; Contact must be an indexed link
}

// Field finds a field by name, nil where there is none.
func (e *Entity) Field(name string) *Field {
	for i := range e.Fields {
		if e.Fields[i].Name == name {
			return &e.Fields[i]
		}
	}
	return nil
}

// Schema is the set of entities.
type Schema struct {
	entities []*Entity
	byName   map[string]*Entity
}

// New makes a schema of entities. A set that contradicts itself is an error that says where.
func New(entities ...Entity) (*Schema, error) {
	s := &Schema{byName: map[string]*Entity{}}
	for _, e := range entities {
		if s.byName[e.Name] != nil {
			return nil, fmt.Errorf("entity %s is declared twice", e.Name)
		}
		s.byName[e.Name] = &e
		s.entities = append(s.entities, &e)
	}
	for _, e := range s.entities {
		if err := s.check(e); err != nil {
			return nil, fmt.Errorf("entity %s: %w", e.Name, err)
		}
	}
	return s, nil
}

// Entity finds an entity by name, nil where there is none.
func (s *Schema) Entity(name string) *Entity { return s.byName[name] }

// Entities lists all of them in the order in which they were declared.
func (s *Schema) Entities() []*Entity { return slices.Clone(s.entities) }

// A field's name has no dot, so that an entity's name, a dot and a field's name read in one way only.
var (
	nameShape  = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$`)
	fieldShape = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)

func (s *Schema) check(e *Entity) error {
	if !nameShape.MatchString(e.Name) {
		return fmt.Errorf("%q is not a name", e.Name)
	}
	numbers, names := map[int]bool{}, map[string]bool{}
	for _, f := range e.Fields {
		if err := s.checkField(f); err != nil {
			return fmt.Errorf("field %s: %w", f.Name, err)
		}
		if numbers[f.Number] || names[f.Name] {
			return fmt.Errorf("field %s: its number %d or name is taken", f.Name, f.Number)
		}
		numbers[f.Number], names[f.Name] = true, true
	}
	for _, role := range []struct {
		name, field string
		takes       Type
	}{{"title", e.Title, Text}, {"owner", e.Owner, Staff}, {"via", e.Via, Link}, {"contact", e.Contact, Link}} {
		if role.field == "" || role.name == "contact" && role.field == "id" {
			continue
		}
		if f := e.Field(role.field); f == nil || f.Type != role.takes || f.Many {
			return fmt.Errorf("its %s %q is not one %s of it", role.name, role.field, role.takes)
		}
	}
	if f := e.Field(e.Contact); e.Timeline && (f == nil || !f.Indexed) {
		return fmt.Errorf("it is on the timeline, but its contact is no indexed link")
	}
	return nil
}

// isText tells whether a type is kept as text, of which a record can hold many.
func isText(t Type) bool {
	return slices.Contains([]Type{Text, LongText, Choice, Date, Phone, Email, Staff}, t)
}

func (s *Schema) checkField(f Field) error {
	switch {
	case f.Number < FirstField || f.Number > 1<<28:
		return fmt.Errorf("number %d is out of range", f.Number)
	case !fieldShape.MatchString(f.Name):
		return fmt.Errorf("%q is not a name", f.Name)
	case !isText(f.Type) && !slices.Contains([]Type{Number, YesNo, Time, Link, Data}, f.Type):
		return fmt.Errorf("%q is no type", f.Type)
	case f.Many && !isText(f.Type):
		return fmt.Errorf("a record cannot hold many of %s", f.Type)
	case f.Type == Choice && len(f.Choices) == 0:
		return fmt.Errorf("a choice of nothing")
	case f.Type == Link && s.byName[f.Target] == nil:
		return fmt.Errorf("links to %q, which is no entity", f.Target)
	case f.Indexed && slices.Contains([]Type{LongText, Number, YesNo, Data}, f.Type):
		return fmt.Errorf("a %s cannot be indexed", f.Type)
	}
	return nil
}
