// Package schema says what kinds of record there are: entities and their fields.
//
// Each room declares the entities it owns in Go; the office adds its own entities, fields, choices and names to them
// while everything runs, and a Registry keeps what it added. Record reads and writes records by them, so that a list, a
// card, the API, an import and a backup need no code per entity. A field's number is what stands in a stored record: it
// is given once and never used again, also when the field is gone.
//
// It owns the bucket schema.versions (each version of what the office added, and which is the newest) and the facts
// schema.changed and schema.reverted. What is stored is the difference to the built-in set, so that a newer program
// brings its new built-in fields to an older store. Where one has the name of an office's own field, the built-in one
// gets the name, and the office's keeps its number and goes on as <name>_custom; an office's entity that becomes built
// in is taken over with its fields, because its records lie under its name.
//
// It promises that no change drops data: what is taken back is hidden. A set that contradicts itself is refused, by New
// and by Change alike. It will not hold data; a built-in entity's and field's names on screen are keys "entity.<name>"
// and "field.<entity>.<name>" unless the office named them otherwise.
package schema

import (
	"slices"

	"github.com/karov-crm/karov/appliance/fault"
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
// FirstCustom is the lowest of an office's own field; built-in ones stay below it.
const (
	FirstField  = 16
	FirstCustom = 1000
)

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
	Plugin  string            // id of the plugin that declares it, "" for none
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
	Plugin  string            // id of the plugin that declares it, "" for none
	Hidden  bool              // out of use; its records stay
	Labels  map[string]string // a custom entity's name for people, by language
	Plurals map[string]string // the same, of many

	Timeline bool // its records stand on their customer's timeline; Contact must be an indexed link

	index map[string]int // of Fields by name
}

// Field finds a field by name, nil where there is none.
func (e *Entity) Field(name string) *Field {
	if i, ok := e.index[name]; ok && i < len(e.Fields) && e.Fields[i].Name == name {
		return &e.Fields[i]
	}
	for i := range e.Fields {
		if e.Fields[i].Name == name {
			return &e.Fields[i]
		}
	}
	return nil
}

// Numbered finds a field by its number, nil where there is none.
func (e *Entity) Numbered(number int) *Field {
	for i := range e.Fields {
		if e.Fields[i].Number == number {
			return &e.Fields[i]
		}
	}
	return nil
}

// Schema is the set of entities at one moment. Nothing changes it.
type Schema struct {
	version  uint64
	entities []*Entity
	byName   map[string]*Entity
	layer    *layer           // what the office added, nil for nothing
	dormant  []string         // entity.field of what it added and this program cannot use
	refused  map[string]error // of dormant: why
}

// New makes a schema of entities, of version 1. A set that contradicts itself is an Invalid fault that says where.
func New(entities ...Entity) (*Schema, error) {
	s := &Schema{version: 1, byName: map[string]*Entity{}}
	for _, e := range entities {
		if s.byName[e.Name] != nil {
			return nil, fault.New(fault.Invalid, "schema.twice", "entity", e.Name)
		}
		e.Fields = slices.Clone(e.Fields)
		e.index = make(map[string]int, len(e.Fields))
		for i := range e.Fields {
			e.index[e.Fields[i].Name] = i
		}
		s.byName[e.Name] = &e
		s.entities = append(s.entities, &e)
	}
	for _, e := range s.entities {
		if err := s.check(e); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Version counts the changes the office made: 1 is the built-in set.
func (s *Schema) Version() uint64 { return s.version }

// Entity finds an entity by name, nil where there is none.
func (s *Schema) Entity(name string) *Entity { return s.byName[name] }

// Entities lists all of them in the order in which they were declared.
func (s *Schema) Entities() []*Entity { return slices.Clone(s.entities) }

// Dormant lists the office's fields and entities that this program cannot use, as entity.field: an older program than the
// one that made them, or one that lacks an entity they link to. They are kept, with all that records hold of them.
func (s *Schema) Dormant() []string { return slices.Clone(s.dormant) }
