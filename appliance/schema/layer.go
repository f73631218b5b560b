package schema

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// layer is what the office added to the built-in set, as it is stored. Members that this program does not know are kept,
// because a newer one may have written them before an older one was put back.
type layer struct {
	Entities []*entityLayer `json:"entities,omitempty"`

	unknown members
}

// entityLayer is one of the office's own entities, or what it changed of a built-in one.
type entityLayer struct {
	Name     string            `json:"name"`
	Custom   bool              `json:"custom,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Plurals  map[string]string `json:"plurals,omitempty"`
	Hidden   bool              `json:"hidden,omitempty"`
	Title    string            `json:"title,omitempty"` // this and the next four: of an own one
	Owner    string            `json:"owner,omitempty"`
	Via      string            `json:"via,omitempty"`
	Contact  string            `json:"contact,omitempty"`
	Timeline bool              `json:"timeline,omitempty"`
	Fields   []*fieldLayer     `json:"fields,omitempty"`
	Declared *declaredEntity   `json:"declared,omitempty"` // of a plugin's

	unknown members
}

// fieldLayer is one of the office's own fields, which has a number, or what it changed of a built-in one. A mark that is
// nil is as the program has it.
type fieldLayer struct {
	Name   string            `json:"name"`
	Number int               `json:"number,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	Hidden bool              `json:"hidden,omitempty"`

	Type     Type   `json:"type,omitempty"` // this and the next four: of an own one
	Many     bool   `json:"many,omitempty"`
	Target   string `json:"target,omitempty"`
	Currency string `json:"currency,omitempty"`
	Max      int    `json:"max,omitempty"`

	Choices      []string                     `json:"choices,omitempty"` // of a built-in one: those added
	Retired      []string                     `json:"retired,omitempty"` // of a built-in one: built-in ones too
	ChoiceLabels map[string]map[string]string `json:"choice_labels,omitempty"`

	Required  *bool           `json:"required,omitempty"`
	Indexed   *bool           `json:"indexed,omitempty"`
	Unique    *bool           `json:"unique,omitempty"`
	Searched  *bool           `json:"searched,omitempty"`
	Sensitive *bool           `json:"sensitive,omitempty"`
	Default   json.RawMessage `json:"default,omitempty"` // null: none, though the program has one
	Formula   string          `json:"formula,omitempty"`
	Declared  *declaredField  `json:"declared,omitempty"` // of a plugin's: what it is, instead of the type and what follows

	unknown members
}

// members are those of a JSON object that this program does not know.
type members map[string]json.RawMessage

func (l *layer) UnmarshalJSON(raw []byte) error {
	type plain layer
	return decodeKeeping(raw, (*plain)(l), &l.unknown)
}

func (l layer) MarshalJSON() ([]byte, error) {
	type plain layer
	return encodeKeeping(plain(l), l.unknown)
}

func (e *entityLayer) UnmarshalJSON(raw []byte) error {
	type plain entityLayer
	return decodeKeeping(raw, (*plain)(e), &e.unknown)
}

func (e entityLayer) MarshalJSON() ([]byte, error) {
	type plain entityLayer
	return encodeKeeping(plain(e), e.unknown)
}

func (f *fieldLayer) UnmarshalJSON(raw []byte) error {
	type plain fieldLayer
	return decodeKeeping(raw, (*plain)(f), &f.unknown)
}

func (f fieldLayer) MarshalJSON() ([]byte, error) {
	type plain fieldLayer
	return encodeKeeping(plain(f), f.unknown)
}

// decodeKeeping reads an object into a struct and puts the members that the struct has no place for into unknown.
func decodeKeeping(raw []byte, into any, unknown *members) error {
	if err := json.Unmarshal(raw, into); err != nil {
		return err
	}
	var all members
	if err := json.Unmarshal(raw, &all); err != nil {
		return err
	}
	for _, name := range jsonNames(into) {
		delete(all, name)
	}
	if len(all) > 0 {
		*unknown = all
	}
	return nil
}

// encodeKeeping writes a struct with the members that were not known.
func encodeKeeping(from any, unknown members) ([]byte, error) {
	raw, err := json.Marshal(from)
	if err != nil || len(unknown) == 0 {
		return raw, err
	}
	all := maps.Clone(unknown)
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, err
	}
	return json.Marshal(all)
}

func (l *layer) entity(name string) *entityLayer {
	for _, e := range l.Entities {
		if e.Name == name {
			return e
		}
	}
	return nil
}

// own finds an own field by its number, or what was changed of a built-in one by its name (number 0).
func (e *entityLayer) own(number int, name string) *fieldLayer {
	for _, f := range e.Fields {
		if f.Number == number && (number != 0 || f.Name == name) {
			return f
		}
	}
	return nil
}

// prune drops the places in which nothing is changed.
func (l *layer) prune() {
	empty := func(v any) bool { // of fields, that have names, and only they
		raw, err := json.Marshal(v)
		var all members
		return err == nil && json.Unmarshal(raw, &all) == nil && len(all) == 1
	}
	for _, e := range l.Entities {
		e.Fields = slices.DeleteFunc(e.Fields, func(f *fieldLayer) bool { return f.Number == 0 && empty(f) })
	}
	l.Entities = slices.DeleteFunc(l.Entities, func(e *entityLayer) bool { return !e.Custom && empty(e) })
}

// sound refuses a stored layer that no program has written.
func (l *layer) sound(next int) bool {
	entities := map[string]bool{}
	for _, e := range l.Entities {
		if e == nil || entities[e.Name] || !nameShape.MatchString(e.Name) {
			return false
		}
		entities[e.Name] = true
		fields := map[string]bool{}
		for _, f := range e.Fields {
			if f == nil || !fieldShape.MatchString(f.Name) || f.Number != 0 && (f.Number < FirstCustom || f.Number >= next) {
				return false
			}
			name, number := "name "+f.Name, "number "+strconv.Itoa(f.Number)
			if f.Number == 0 {
				name, number = "change of "+f.Name, "change of "+f.Name
			}
			if fields[name] || fields[number] {
				return false
			}
			fields[name], fields[number] = true, true
		}
	}
	return true
}

// clone copies a layer, so that it can be changed; a nil one becomes an empty one.
func (l *layer) clone() *layer {
	copied := &layer{}
	if l == nil {
		return copied
	}
	raw, err := json.Marshal(l)
	if err == nil {
		err = json.Unmarshal(raw, copied)
	}
	if err != nil {
		panic(err) // it was read from JSON, or made of what JSON holds
	}
	return copied
}

func setIn(list []string, value string, in bool) []string {
	switch at := slices.Index(list, value); {
	case in && at < 0:
		return append(slices.Clone(list), value)
	case !in && at >= 0:
		return slices.Delete(slices.Clone(list), at, at+1)
	}
	return list
}
